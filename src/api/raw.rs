//! Ops and graphs without types, for those who make graphs from data: values are JSON, names are texts.
//!
//! The typed layer builds the same graphs. What the compiler says there is said here when the job is
//! first used, or when a step runs.
//!
//! ```
//! use giornata::api::raw::{self, Graph};
//! use giornata::defs::{Port, Ref, Source};
//! use serde_json::json;
//!
//! let add = raw::op("add").input("a", "int").input("b", "int").run(|_, args, to| {
//!     let number = |name| args.get(name).and_then(serde_json::Value::as_i64).unwrap_or(0);
//!     Ok(to.give("result", json!(number("a") + number("b")))?)
//! });
//! let mut graph = Graph::new("sum");
//! let first = graph.call(&add, [("a", Source::Value(json!(1))), ("b", Source::Value(json!(2)))]);
//! let port = Ref::Port(Port::only(&first));
//! graph.call(&add, [("a", Source::One(port.clone())), ("b", Source::One(port))]);
//! let result = graph.into_job(giornata::api::job("sum")).execute_in_process()?;
//! assert_eq!(result.value::<i64>("add_2")?, 6);
//! # Ok::<(), giornata::api::BoxError>(())
//! ```

use std::collections::BTreeMap;
use std::panic::Location;
use std::sync::Arc;

use serde_json::Value;

use super::body::{Arg, Call, Check, FailureKind, InputCheck, OpBody, failure_of, next_slot};
use super::datum::{HeldOf, hold, load};
use super::graph::{self, Callable, Parts};
use super::job::{Job, JobBuilder, JobMistakeKind};
use super::op_context::OpContext;
use super::project::origin;
use super::value::BoxError;
use crate::defs::{
    self, Body, Callee, Emits, FunctionBody, InputDecl, OutputDecl, Ref, Retries, Source, Takes,
    TypeRef,
};
use crate::exec::Datum;

pub use super::body::{Emit, StepFailure};

/// Begins to declare an op without types; its only output is `result` unless it declares others. Types that
/// are none and wires that do not fit are told when the job is first used.
///
/// ```
/// use giornata::api::{job, raw};
/// use serde_json::json;
/// let load = raw::op("load").run(|_, _, to| Ok(to.give("result", json!([1, 2]))?));
/// let sum = raw::op("sum").input("numbers", "list(int)").run(|_, args, to| {
///     let numbers = args.get("numbers").and_then(|it| it.as_array()).ok_or("there are none")?;
///     Ok(to.give("result", json!(numbers.iter().filter_map(|it| it.as_i64()).sum::<i64>()))?)
/// });
/// # use giornata::defs::{Port, Ref, Source};
/// let mut graph = raw::Graph::new("j");
/// let loaded = Source::One(Ref::Port(Port::only(&graph.call(&load, []))));
/// graph.call(&sum, [("numbers", loaded)]);
/// assert_eq!(graph.into_job(job("j")).execute_in_process()?.value::<i64>("sum")?, 3);
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
#[track_caller]
pub fn op(name: &str) -> OpBuilder {
    let (slot, function) = next_slot();
    let body = Body::Function(FunctionBody { version: String::new(), slot: function });
    let op = defs::Op::new(name, origin(Location::caller()), body);
    OpBuilder { op, slot, inputs: Vec::new(), outputs: Vec::new(), mistakes: Vec::new() }
}

/// An op in the making, ended by [`run`](OpBuilder::run); see the example of [`op`].
#[must_use = "an op is finished by `run`"]
pub struct OpBuilder {
    op: defs::Op,
    slot: u32,
    inputs: Vec<InputDecl>,
    outputs: Vec<OutputDecl>,
    mistakes: Vec<JobMistakeKind>,
}

impl OpBuilder {
    /// Takes one value of a type such as `int`, `any` or `list(int)`. If the type is one of lists, or
    /// `any`, a list of several ops' values may be wired into it. A text that is no type is a mistake
    /// ([`JobMistakeKind::Type`]). See the example of [`op`].
    pub fn input(mut self, name: &str, kind: &str) -> Self {
        let kind = self.kind(kind);
        self.inputs.push(InputDecl { name: name.into(), takes: Takes::One, kind });
        self
    }

    /// Runs after what is wired here, without its value; [`Arguments`] have nothing under its name. See the
    /// example of [`OpBuilder::output`].
    pub fn after(mut self, name: &str) -> Self {
        self.inputs.push(InputDecl { takes: Takes::Nothing, ..InputDecl::one(name) });
        self
    }

    /// Gives values of a type under this name: always, perhaps, or pieces.
    ///
    /// ```
    /// use giornata::api::{StepState, job, raw};
    /// use giornata::defs::{Emits, Port, Ref, Source};
    /// use serde_json::json;
    /// let pick = raw::op("pick").output("left", Emits::Required, "int")
    ///     .output("right", Emits::Optional, "int").run(|_, _, to| Ok(to.give("left", json!(1))?));
    /// let ends = raw::op("ends").after("it").run(|_, _, to| Ok(to.give("result", json!("end"))?));
    /// let mut graph = raw::Graph::new("j");
    /// let picked = graph.call(&pick, []);
    /// for (name, output) in [("on_left", "left"), ("on_right", "right")] {
    ///     graph.call_as(name, &ends, [("it", Source::One(Ref::Port(Port::new(&picked, output))))]);
    /// }
    /// let result = graph.into_job(job("j")).execute_in_process()?;
    /// assert_eq!(result.state("on_left"), Some(StepState::Success));
    /// assert_eq!(result.state("on_right"), Some(StepState::Skipped));
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn output(mut self, name: &str, emits: Emits, kind: &str) -> Self {
        let kind = self.kind(kind);
        self.outputs.push(OutputDecl { name: name.into(), emits, kind, ..OutputDecl::result() });
        self
    }

    /// How often a failed attempt is repeated, and how long is waited before; without it, never.
    ///
    /// ```
    /// use giornata::api::{Retries, job, raw};
    /// let flaky = raw::op("flaky").retries(Retries::times(1)).run(|ctx, _, to| match ctx.attempt() {
    ///     1 => Err("not yet".into()),
    ///     _ => Ok(to.give("result", serde_json::json!(7))?),
    /// });
    /// let mut graph = raw::Graph::new("j");
    /// graph.call(&flaky, []);
    /// assert_eq!(graph.into_job(job("j")).execute_in_process()?.attempts("flaky"), Some(2));
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn retries(mut self, retries: Retries) -> Self {
        self.op.retries = retries;
        self
    }

    fn kind(&mut self, text: &str) -> TypeRef {
        TypeRef::parse(text).unwrap_or_else(|error| {
            self.mistakes.push(JobMistakeKind::Type { reason: error.to_string() });
            TypeRef::Any
        })
    }

    /// Says what it does: the function gets its arguments by name, and gives values by name. An error of it, a
    /// panic, or a value that is not of its type fails the step. See the example of [`op`].
    pub fn run<F>(mut self, function: F) -> Op
    where
        F: Fn(&OpContext<'_>, &Arguments, &mut Emit<'_>) -> Result<(), BoxError>
            + Send
            + Sync
            + 'static,
    {
        if self.outputs.is_empty() {
            self.outputs.push(OutputDecl::result());
        }
        self.op.inputs = self.inputs.into();
        self.op.outputs = self.outputs.into();
        let inputs = self.op.inputs.clone();
        let call: Call = Box::new(move |context, args, to| {
            let mut named = BTreeMap::new();
            for (input, arg) in inputs.iter().zip(args) {
                let value = match arg {
                    Arg::One(datum) => json(&datum)?,
                    Arg::Many(data) => {
                        Value::Array(data.iter().map(json).collect::<Result<_, _>>()?)
                    }
                    Arg::Nothing => continue,
                };
                named.insert(input.name.clone(), value);
            }
            let done = function(context, &Arguments(named), to);
            done.map_err(|error| failure_of(context, error))
        });
        let input_check = |input: &InputDecl| InputCheck {
            one: check(&input.kind),
            each: input.kind.item().and_then(check),
        };
        let body = OpBody {
            call,
            inputs: self.op.inputs.iter().map(input_check).collect(),
            outputs: self.op.outputs.iter().map(|output| check(&output.kind)).collect(),
        };
        let (name, origin) = (self.op.name.clone(), self.op.origin.clone());
        let mistakes = self.mistakes.into_iter().map(|kind| (name.clone(), origin.clone(), kind));
        let parts = Parts {
            bodies: vec![(self.slot, Arc::new(body))],
            mistakes: mistakes.collect(),
            ..Parts::default()
        };
        let callee = Callee::Op(Arc::new(self.op));
        Op(Callable { name, callee, slot: self.slot, parts: Arc::new(parts) })
    }
}

/// The check of a built-in type; all others have none.
fn check(kind: &TypeRef) -> Option<Check> {
    let kind = match kind {
        TypeRef::Any | TypeRef::Named(_) => return None,
        TypeRef::Builtin(_) => kind.clone(),
    };
    let expected = kind.to_string().into();
    let is = move |datum: &Datum| match datum.get::<HeldOf<Value>>() {
        Some(HeldOf(value)) => kind.admits(value),
        None => json(datum).is_ok_and(|value| kind.admits(&value)),
    };
    Some(Check { expected, is: Arc::new(is) })
}

fn json(datum: &Datum) -> Result<Value, StepFailure> {
    if let Some(HeldOf(value)) = datum.get::<HeldOf<Value>>() {
        return Ok(value.clone());
    }
    if let Some(HeldOf(text)) = datum.get::<HeldOf<String>>() {
        return Ok(Value::String(text.clone()));
    }
    load(datum).map_err(|error| {
        StepFailure::new(FailureKind::Type, format!("read a value as JSON: {error}"))
    })
}

/// What a function got, by the names of its inputs. Several values are an array. See the example of
/// [`op`].
#[derive(Debug, Clone, PartialEq)]
pub struct Arguments(BTreeMap<Arc<str>, Value>);

impl Arguments {
    /// The value at an input; `None` if it takes none. See the example of [`op`].
    pub fn get(&self, input: &str) -> Option<&Value> {
        self.0.get(input)
    }

    /// All of them with their names, in alphabetical order.
    ///
    /// ```
    /// use giornata::api::{job, raw};
    /// use giornata::defs::Source;
    /// use serde_json::json;
    /// let sum = raw::op("sum").input("a", "int").input("b", "int").run(|_, args, to| {
    ///     let sum: i64 = args.iter().filter_map(|(_, number)| number.as_i64()).sum();
    ///     Ok(to.give("result", json!(sum))?)
    /// });
    /// let mut graph = raw::Graph::new("j");
    /// graph.call(&sum, [("a", Source::Value(json!(1))), ("b", Source::Value(json!(2)))]);
    /// assert_eq!(graph.into_job(job("j")).execute_in_process()?.value::<i64>("sum")?, 3);
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }
}

impl Emit<'_> {
    /// Gives a value at an output. An output that there is not, that has been given, or that has another type
    /// is an error, and the step has failed whatever the function makes of it. See the example of [`op`].
    pub fn give(&mut self, output: &str, value: Value) -> Result<(), StepFailure> {
        self.emit(output, None, hold(value))
    }

    /// Gives a piece at an output that is one of pieces; fails as [`give`](Emit::give) does, and for a key that
    /// is none or comes again.
    ///
    /// ```
    /// use giornata::api::{job, raw};
    /// use giornata::defs::{Emits, Least};
    /// use serde_json::json;
    /// let load = raw::op("load").output("result", Emits::Pieces(Least::None), "int").run(|_, _, to| {
    ///     to.piece("result", "a", json!(1))?;
    ///     Ok(to.piece("result", "b", json!(2))?)
    /// });
    /// let mut graph = raw::Graph::new("j");
    /// graph.call(&load, []);
    /// let result = graph.into_job(job("j")).execute_in_process()?;
    /// assert_eq!(result.pieces::<i64>("load")?.get("b"), Some(&2));
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn piece(&mut self, output: &str, key: &str, value: Value) -> Result<(), StepFailure> {
        self.emit(output, Some(key), hold(value))
    }
}

/// An op without types, to be called in graphs any number of times; see the example of [`op`].
#[derive(Clone)]
pub struct Op(Callable);

/// A graph of ops without types, in the making; see the example of [`op`].
pub struct Graph(graph::Graph);

/// A graph that can be called like an op; see the example of [`Graph::into_callee`].
#[derive(Clone)]
pub struct SubGraph(Callable);

/// What can be called in a graph: an [`Op`] or a [`SubGraph`]. Implemented here only.
///
/// ```
/// use giornata::api::raw;
/// use giornata::api::raw::Callees;
/// let add = raw::op("add").input("a", "int").input("b", "int").run(|_, _, _| Ok(()));
/// assert_eq!((add.inputs(), add.outputs()), (vec!["a".into(), "b".into()], vec!["result".into()]));
/// ```
pub trait Callees {
    #[doc(hidden)]
    fn add(
        &self,
        name: Option<&str>,
        graph: &mut Graph,
        wires: Vec<(String, Source)>,
        location: &'static Location<'static>,
    ) -> String;

    /// Names of what it gives, in declared order; see the example of [`Callees`].
    fn outputs(&self) -> Vec<String>;

    /// Names of what it takes, in declared order; see the example of [`Callees`].
    fn inputs(&self) -> Vec<String>;
}

macro_rules! callees {
    ($($Callee:ty),*) => {
        $(impl Callees for $Callee {
            fn add(
                &self,
                name: Option<&str>,
                graph: &mut Graph,
                wires: Vec<(String, Source)>,
                location: &'static Location<'static>,
            ) -> String {
                let name = name.unwrap_or(&self.0.name).to_owned();
                let callable = Callable { name, ..self.0.clone() };
                let call = graph.0.add_by_name(&callable, wires, Vec::new(), origin(location));
                graph.0.call_name(call)
            }

            fn outputs(&self) -> Vec<String> {
                self.0.callee.outputs().into_iter().map(str::to_owned).collect()
            }

            fn inputs(&self) -> Vec<String> {
                self.0.callee.inputs().iter().map(|input| input.name.to_string()).collect()
            }
        })*
    };
}

callees!(Op, SubGraph);

impl Graph {
    /// A graph without calls; see the example of [`op`].
    pub fn new(name: &str) -> Graph {
        Graph(graph::Graph::new(name))
    }

    /// Declares an input of the graph, which its calls refer to by [`Ref::Input`]; see the example of
    /// [`Graph::into_callee`].
    pub fn input(&mut self, name: &str) {
        self.0.input(InputDecl::one(name));
    }

    /// Adds a call, with what is wired into its inputs by their names; returns the name of the call, for
    /// [`Port`](defs::Port). A second call is named `NAME_2`. Wires that do not fit are told when the job is first
    /// used. See the example of [`op`].
    #[track_caller]
    pub fn call<'a>(
        &mut self,
        callee: &impl Callees,
        wires: impl IntoIterator<Item = (&'a str, Source)>,
    ) -> String {
        self.add(callee, None, wires, Location::caller())
    }

    /// As [`call`](Graph::call), under another name; see the example of [`OpBuilder::output`].
    #[track_caller]
    pub fn call_as<'a>(
        &mut self,
        name: &str,
        callee: &impl Callees,
        wires: impl IntoIterator<Item = (&'a str, Source)>,
    ) -> String {
        self.add(callee, Some(name), wires, Location::caller())
    }

    fn add<'a>(
        &mut self,
        callee: &impl Callees,
        name: Option<&str>,
        wires: impl IntoIterator<Item = (&'a str, Source)>,
        location: &'static Location<'static>,
    ) -> String {
        let wires = wires.into_iter().map(|(name, source)| (name.to_owned(), source)).collect();
        callee.add(name, self, wires, location)
    }

    /// The graph as something to be called in others, with what it gives by name.
    ///
    /// ```
    /// use giornata::api::{job, raw};
    /// use giornata::defs::{Port, Ref, Source};
    /// use serde_json::json;
    /// let double = raw::op("double").input("n", "int").run(|_, args, to| {
    ///     let n = args.get("n").and_then(|n| n.as_i64()).ok_or("there is no `n`")?;
    ///     Ok(to.give("result", json!(2 * n))?)
    /// });
    /// let mut twice = raw::Graph::new("twice");
    /// twice.input("n");
    /// let doubled = twice.call(&double, [("n", Source::One(Ref::Input("n".to_owned())))]);
    /// let twice = twice.into_callee("twice", vec![("result".to_owned(), Ref::Port(Port::only(&doubled)))]);
    /// let mut graph = raw::Graph::new("j");
    /// graph.call(&twice, [("n", Source::Value(json!(3)))]);
    /// assert_eq!(graph.into_job(job("j")).execute_in_process()?.value::<i64>("twice.double")?, 6);
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn into_callee(self, name: &str, results: Vec<(String, Ref)>) -> SubGraph {
        let (graph, parts) = self.0.finish(results);
        let callee = Callee::Graph(Arc::new(graph));
        let parts = Arc::new(parts);
        SubGraph(Callable { name: name.to_owned(), callee, slot: next_slot().0, parts })
    }

    /// The graph as a job, which has no inputs. Mistakes of the graph are told when the job is first used. See
    /// the example of [`op`].
    pub fn into_job(self, job: JobBuilder) -> Job {
        let (graph, parts) = self.0.finish(Vec::new());
        job.finish(&graph, &parts)
    }
}
