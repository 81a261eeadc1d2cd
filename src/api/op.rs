//! Typed ops: their declaration, and calls of them in a graph.

use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;

use super::body::{Call, Check, HookCall, InputCheck, OpBody, failure_of, next_slot};
use super::datum::{Data, type_of};
use super::graph::{Callable, Feeds, Graph, Parts};
use super::hook::Hook;
use super::io::{Io, OpIo};
use super::job::JobMistakeKind;
use super::kind::Kind;
use super::op_context::OpContext;
use super::ports::{
    After, Alone, Arguments, Called, Further, Longer, Many, Maybe, One, Outputs, Param, Pieced,
    Plain, Undeclared,
};
use super::project::origin;
use super::resource::{Resource, Used};
use super::value::BoxError;
use crate::defs::config::Schema;
use crate::defs::{
    self, Body, Callee, FunctionBody, HookDef, InputDecl, Memo, Retries, Source, Takes, TypeRef,
};

/// Begins to declare an op: a function of a program as a step that graphs and jobs are made of.
///
/// Inputs are declared in the order of the function's parameters, at most six. Without declared outputs the
/// function gives one value, the output `result`. Mistakes (a name twice, a schema that is none) are told when
/// a job with the op is first used; see [`JobMistakeKind`](super::JobMistakeKind).
///
/// ```
/// use giornata::api::{job, op};
/// let return_one = op("return_one").run(|_| Ok(1_i64));
/// let add = op("add").input::<i64>("a").input::<i64>("b").run(|_, a, b| Ok(a + b));
/// let sum = job("sum").define(|g| {
///     let one = return_one.call(g);
///     add.call(g, one, one);
/// });
/// assert_eq!(sum.execute_in_process()?.value::<i64>("add")?, 2);
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
#[track_caller]
pub fn op(name: &str) -> OpBuilder<(), Undeclared> {
    OpBuilder { draft: Draft::new(name), types: PhantomData }
}

/// An op in the making: `I` are its inputs, `O` its outputs. It is ended by [`run`](OpBuilder::run). See the
/// example of [`op`](super::op()).
#[must_use = "an op is finished by `run`"]
pub struct OpBuilder<I, O> {
    draft: Draft,
    types: PhantomData<fn(I) -> O>,
}

struct Draft {
    op: defs::Op,
    inputs: Vec<InputDecl>,
    input_checks: Vec<InputCheck>,
    outputs: Vec<String>,
    /// Of each named output, the type of the program's that it has.
    kinds: Vec<Option<(TypeRef, Check)>>,
    slot: u32,
    hooks: Vec<(u32, HookCall)>,
    resources: Vec<Used>,
    io: OpIo,
    mistakes: Vec<JobMistakeKind>,
}

impl Draft {
    #[track_caller]
    fn new(name: &str) -> Draft {
        let (slot, function) = next_slot();
        // The digest of the executable takes its place where a version is asked for and there is none.
        let body = Body::Function(FunctionBody { version: String::new(), slot: function });
        Draft {
            op: defs::Op::new(name, origin(Location::caller()), body),
            inputs: Vec::new(),
            input_checks: Vec::new(),
            outputs: Vec::new(),
            kinds: Vec::new(),
            slot,
            hooks: Vec::new(),
            resources: Vec::new(),
            io: OpIo::default(),
            mistakes: Vec::new(),
        }
    }

    fn finish<O: Outputs>(mut self, call: Call) -> Callable {
        let mut outputs = O::declare(&self.outputs);
        let mut checks = Vec::new();
        self.kinds.resize_with(outputs.len(), || None);
        for (output, kind) in outputs.iter_mut().zip(self.kinds) {
            checks.push(kind.map(|(kind, check)| {
                output.kind = kind;
                check
            }));
        }
        self.op.inputs = self.inputs.into();
        self.op.outputs = outputs.into();
        for input in self.io.inputs.keys() {
            if !self.op.inputs.iter().any(|known| *known.name == **input) {
                self.mistakes.push(JobMistakeKind::NoInput { input: input.clone() });
            }
        }
        for output in self.io.outputs.keys() {
            if !self.op.outputs.iter().any(|known| *known.name == **output) {
                self.mistakes.push(JobMistakeKind::NoOutput { output: output.clone() });
            }
        }
        self.resources.extend(self.io.each().filter_map(Io::used).cloned());
        let body = OpBody { call, inputs: self.input_checks, outputs: checks };
        let parts = Parts {
            bodies: vec![(self.slot, Arc::new(body))],
            hooks: self.hooks,
            resources: self.resources,
            ios: vec![(self.slot, self.io)],
            mistakes: self
                .mistakes
                .into_iter()
                .map(|kind| (self.op.name.clone(), self.op.origin.clone(), kind))
                .collect(),
            within: Vec::new(),
        };
        let name = self.op.name.clone();
        Callable {
            name,
            callee: Callee::Op(Arc::new(self.op)),
            slot: self.slot,
            parts: Arc::new(parts),
        }
    }
}

/// Inputs.
impl<I, O> OpBuilder<I, O> {
    /// Takes one `T` under this name: a parameter of the function. See the example of [`op`](super::op()).
    pub fn input<T: Data>(self, name: &str) -> OpBuilder<I::With, O>
    where
        I: Longer<One<T>>,
    {
        self.takes(name, Takes::One, type_of::<T>(), InputCheck::default())
    }

    /// Takes one `T` of a type of the program's; what is not of it fails the step before the function is
    /// called. See the example of [`Kind`].
    pub fn input_that<T: Data>(self, name: &str, kind: &Kind<T>) -> OpBuilder<I::With, O>
    where
        I: Longer<One<T>>,
    {
        let check = InputCheck { one: Some(kind.check()), each: None };
        self.takes(name, Takes::One, kind.type_ref(), check)
    }

    /// Takes several `T`, from several ops or from all pieces: a `Vec<T>` of the function, in the order in which
    /// they are wired. Those that were skipped are left out; the op is skipped only if all are.
    ///
    /// ```
    /// use giornata::api::{job, op};
    /// let number = op("number").run(|_| Ok(2_i64));
    /// let sum = op("sum").list::<i64>("numbers").run(|_, numbers| Ok(numbers.iter().sum::<i64>()));
    /// let total = job("total").define(|g| {
    ///     let (a, b) = (number.call(g), number.call(g));
    ///     sum.call(g, [a, b]);
    /// });
    /// assert_eq!(total.execute_in_process()?.value::<i64>("sum")?, 4);
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn list<T: Data>(self, name: &str) -> OpBuilder<I::With, O>
    where
        I: Longer<Many<T>>,
    {
        self.takes(name, Takes::Many, type_of::<T>(), InputCheck::default())
    }

    /// Takes several `T` of a type of the program's, each of which is checked; see [`Kind`].
    ///
    /// ```
    /// use giornata::api::{Kind, job, op};
    /// let even = Kind::<i64>::new("Even", |n| n % 2 == 0);
    /// let number = op("number").run(|_| Ok(3_i64));
    /// let sum = op("sum").list_that("numbers", &even).run(|_, all| Ok(all.iter().sum::<i64>()));
    /// let result = job("j").define(|g| { sum.call(g, [number.call(g)]); }).execute_in_process()?;
    /// let failure = result.failure("sum").ok_or("3 is not even")?;
    /// assert_eq!(failure.text, "input `numbers` of `sum`: expected Even, got 3");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn list_that<T: Data>(self, name: &str, kind: &Kind<T>) -> OpBuilder<I::With, O>
    where
        I: Longer<Many<T>>,
    {
        let check = InputCheck { one: None, each: Some(kind.check()) };
        self.takes(name, Takes::Many, kind.type_ref(), check)
    }

    /// Runs after whatever is wired here, without its value: a parameter `()` of the function. Dagster's input
    /// of the type `Nothing`. Where what is wired failed or was skipped, it does not run.
    ///
    /// ```
    /// use giornata::api::{job, op};
    /// let create = op("create").run(|_| Ok(()));
    /// let fill = op("fill").after("created").run(|_, ()| Ok(3_i64));
    /// let j = job("j").define(|g| { let created = create.call(g); fill.call(g, created); });
    /// assert_eq!(j.execute_in_process()?.value::<i64>("fill")?, 3);
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn after(self, name: &str) -> OpBuilder<I::With, O>
    where
        I: Longer<After>,
    {
        self.takes(name, Takes::Nothing, TypeRef::Any, InputCheck::default())
    }

    fn takes<P>(
        mut self,
        name: &str,
        takes: Takes,
        kind: TypeRef,
        check: InputCheck,
    ) -> OpBuilder<I::With, O>
    where
        I: Longer<P>,
    {
        if self.draft.inputs.iter().any(|input| *input.name == *name) {
            self.draft.mistakes.push(JobMistakeKind::InputTwice { input: name.to_owned() });
        }
        self.draft.inputs.push(InputDecl { name: name.into(), takes, kind });
        self.draft.input_checks.push(check);
        self.typed()
    }

    fn typed<J, Q>(self) -> OpBuilder<J, Q> {
        OpBuilder { draft: self.draft, types: PhantomData }
    }
}

/// Outputs.
impl<I, O> OpBuilder<I, O> {
    /// Gives a `T` under this name, always. With several, at most four, the function gives a tuple of them in
    /// the order of their declaration; one alone is a tuple of one, `(value,)`.
    ///
    /// ```
    /// use giornata::api::{job, op};
    /// let both = op("both").output::<i64>("number").output::<String>("text")
    ///     .run(|_| Ok((5, "foo".to_owned())));
    /// let j = job("j").define(|g| { both.call(g); });
    /// assert_eq!(j.execute_in_process()?.output::<String>("both", "text")?, "foo");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn output<T: Data>(self, name: &str) -> OpBuilder<I, O::With>
    where
        O: Further<Plain<T>>,
    {
        self.gives(name, None)
    }

    /// Gives a `T` of a type of the program's under this name; a value that is not of it fails the step. See
    /// [`Kind`].
    ///
    /// ```
    /// use giornata::api::{Kind, job, op};
    /// let even = Kind::<i64>::new("Even", |n| n % 2 == 0);
    /// let three = op("three").output_that("number", &even).run(|_| Ok((3,)));
    /// let result = job("j").define(|g| { three.call(g); }).execute_in_process()?;
    /// let failure = result.failure("three").ok_or("3 is not even")?;
    /// assert_eq!(failure.text, "output `number` of `three`: expected Even, got 3");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn output_that<T: Data>(self, name: &str, kind: &Kind<T>) -> OpBuilder<I, O::With>
    where
        O: Further<Plain<T>>,
    {
        self.gives(name, Some((kind.type_ref(), kind.check())))
    }

    /// May give a `T` under this name: an `Option<T>` of the function. What reads it is skipped where there is
    /// none, and so is what reads that; the run succeeds. Dagster's `is_required=False`, but for `None`, which
    /// Dagster hands on as a value.
    ///
    /// ```
    /// use giornata::api::{StepState, job, op};
    /// let pick = op("pick").optional::<i64>("left").optional::<i64>("right").run(|_| Ok((Some(1), None)));
    /// let use_left = op("use_left").input::<i64>("n").run(|_, n| Ok(n));
    /// let use_right = op("use_right").input::<i64>("n").run(|_, n| Ok(n));
    /// let result = job("branching").define(|g| {
    ///     let (left, right) = pick.call(g);
    ///     use_left.call(g, left);
    ///     use_right.call(g, right);
    /// }).execute_in_process()?;
    /// assert_eq!(result.state("use_left"), Some(StepState::Success));
    /// assert_eq!(result.state("use_right"), Some(StepState::Skipped));
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn optional<T: Data>(self, name: &str) -> OpBuilder<I, O::With>
    where
        O: Further<Maybe<T>>,
    {
        self.gives(name, None)
    }

    fn gives<P>(mut self, name: &str, kind: Option<(TypeRef, Check)>) -> OpBuilder<I, O::With>
    where
        O: Further<P>,
    {
        if self.draft.outputs.iter().any(|output| output == name) {
            self.draft.mistakes.push(JobMistakeKind::OutputTwice { output: name.to_owned() });
        }
        self.draft.outputs.push(name.to_owned());
        self.draft.kinds.push(kind);
        self.typed()
    }
}

impl<I> OpBuilder<I, Undeclared> {
    /// Gives pieces: the function gives keys and values, and what is mapped over them runs once for each.
    /// Dagster's `DynamicOut`. Keys are letters, digits and `_`, each once; another key fails the step with
    /// [`FailureKind::PieceKey`](super::FailureKind), one that comes again with `Emission`.
    ///
    /// ```
    /// use giornata::api::{job, op};
    /// let load = op("load").pieces::<i64>().run(|_| Ok(vec![("a".to_owned(), 1), ("b".to_owned(), 2)]));
    /// let double = op("double").input::<i64>("n").run(|_, n| Ok(2 * n));
    /// let sum = op("sum").list::<i64>("all").run(|_, all| Ok(all.iter().sum::<i64>()));
    /// let result = job("dynamic").define(|g| {
    ///     let doubled = load.call(g).map(|n| double.call(g, n));
    ///     sum.call(g, doubled.collect());
    /// }).execute_in_process()?;
    /// assert_eq!(result.value::<i64>("sum")?, 6);
    /// assert_eq!(result.value::<i64>("double[b]")?, 4);
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn pieces<T: Data>(self) -> OpBuilder<I, Alone<Pieced<T>>> {
        self.typed()
    }

    /// The one value that the function gives, `result`, is of a type of the program's; see [`Kind`].
    ///
    /// ```
    /// use giornata::api::{Kind, job, op};
    /// let even = Kind::<i64>::new("Even", |n| n % 2 == 0);
    /// let three = op("three").gives_that(&even).run(|_| Ok(3));
    /// let result = job("j").define(|g| { three.call(g); }).execute_in_process()?;
    /// let failure = result.failure("three").ok_or("3 is not even")?;
    /// assert_eq!(failure.text, "output `result` of `three`: expected Even, got 3");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn gives_that<T: Data>(mut self, kind: &Kind<T>) -> OpBuilder<I, Alone<Plain<T>>> {
        self.draft.kinds.push(Some((kind.type_ref(), kind.check())));
        self.typed()
    }
}

/// How it is run.
impl<I, O> OpBuilder<I, O> {
    /// What can be configured of the op, in the spelling of [`defs::config`]: Dagster's `config_schema`. The
    /// values are checked before anything runs, all errors at once, and are part of what decides a result. See
    /// the example of [`OpContext`]. A schema that is none is a mistake
    /// ([`JobMistakeKind::Config`](super::JobMistakeKind::Config)).
    pub fn config(mut self, schema: Json) -> Self {
        match Schema::parse_root(&schema) {
            Ok(schema) => self.draft.op.config = schema,
            Err(errors) => self.draft.mistakes.push(JobMistakeKind::Config(errors)),
        }
        self
    }

    /// Which fields of the job's configuration the op reads, with [`OpContext::setting`]. Only these decide its
    /// result. A field that the job does not have is a mistake. See the example of [`OpContext::setting`].
    pub fn reads<'a>(mut self, fields: impl IntoIterator<Item = &'a str>) -> Self {
        self.draft.op.reads.extend(fields.into_iter().map(str::to_owned));
        self
    }

    /// How often a failed attempt is repeated, and how long is waited before; without it, never.
    ///
    /// ```
    /// use giornata::api::{Retries, job, op};
    /// let flaky = op("flaky").retries(Retries::times(2)).run(|ctx| match ctx.attempt() {
    ///     3 => Ok(7_i64),
    ///     _ => Err("not yet".into()),
    /// });
    /// let result = job("j").define(|g| { flaky.call(g); }).execute_in_process()?;
    /// assert_eq!((result.value::<i64>("flaky")?, result.attempts("flaky")), (7, Some(3)));
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn retries(mut self, retries: Retries) -> Self {
        self.draft.op.retries = retries;
        self
    }

    /// How long an attempt may take. A function cannot be stopped: it fails with
    /// [`FailureKind::TimedOut`](super::FailureKind) when it returns, and
    /// [`is_cancelled`](OpContext::is_cancelled) tells it that it is late. See the example of
    /// [`OpContext::is_cancelled`].
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.draft.op.timeout = Some(timeout);
        self
    }

    /// A pool to whose steps the op's belong: of these, at most so many run at once as the project's settings
    /// say. Dagster's concurrency pools. Of no effect in
    /// [`execute_in_process`](super::Job::execute_in_process), which runs one step at a time.
    ///
    /// ```
    /// use giornata::api::{job, op};
    /// let ask = op("ask").pool("database").run(|_| Ok(1_i64));
    /// let j = job("j").define(|g| { ask.call(g); });
    /// assert_eq!(j.execute_in_process()?.value::<i64>("ask")?, 1);
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn pool(mut self, name: &str) -> Self {
        self.draft.op.pool = Some(name.into());
        self
    }

    /// Its function finds the resource with [`OpContext::resource`]: Dagster's `required_resource_keys`. See the
    /// example of [`resource`](super::resource()).
    pub fn uses<R>(mut self, resource: &Resource<R>) -> Self {
        self.draft.op.resources.insert(resource.name().to_owned());
        self.draft.resources.push(resource.used());
        self
    }

    /// Its values are handed on through the IO manager, instead of in memory or as the job says; in a run on the
    /// store they are put there too. See the example of [`OpBuilder::input_io`].
    pub fn io(mut self, io: &Io) -> Self {
        self.draft.io.all = Some(io.clone());
        self
    }

    /// The values of one output are handed on through the IO manager. The one output of an op that names
    /// none is `result`; an output that there is not is a mistake
    /// ([`JobMistakeKind::NoOutput`](super::JobMistakeKind::NoOutput)).
    ///
    /// ```
    /// use giornata::api::{Io, Launch, job, op};
    /// # let dir = tempfile::tempdir()?;
    /// let both = op("both").output::<i64>("n").output::<String>("text").output_io("text", &Io::files("out"))
    ///     .run(|_| Ok((1, "hello".to_owned())));
    /// let j = job("j").define(|g| { both.call(g); });
    /// j.execute(&Launch::new().root(dir.path()))?;
    /// assert_eq!(std::fs::read_to_string(dir.path().join("out/j/both+text.txt"))?, "hello");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn output_io(mut self, output: &str, io: &Io) -> Self {
        self.draft.io.outputs.insert(output.to_owned(), io.clone());
        self
    }

    /// The values of one input are read by this IO manager, from the place where another one has put them:
    /// what the op that makes them is given must put them there.
    ///
    /// ```
    /// use giornata::api::{Io, Launch, TableFormat, Table, job, op};
    /// # let dir = tempfile::tempdir()?;
    /// let rain = op("rain").io(&Io::files("out")).run(|_| Ok(Table::with_columns(["mm"])));
    /// // Another way to read the same files.
    /// let count = op("count").input::<Table>("rain").input_io("rain", &Io::files_as("out", TableFormat::Csv))
    ///     .run(|_, rain| Ok(rain.columns.len() as i64));
    /// let j = job("j").define(|g| { count.call(g, rain.call(g)); });
    /// assert_eq!(j.execute(&Launch::new().root(dir.path()))?.value::<i64>("count")?, 1);
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn input_io(mut self, input: &str, io: &Io) -> Self {
        self.draft.io.inputs.insert(input.to_owned(), io.clone());
        self
    }

    /// On a store, a result that was made of the same is taken instead of running the op again: of the same
    /// version, configuration and inputs, in any earlier run. Dagster has no such thing.
    ///
    /// ```
    /// use giornata::api::{Launch, Project, job, op};
    /// # let dir = tempfile::tempdir()?;
    /// let one = op("one").memo().version("1").run(|_| Ok(1_i64));
    /// let mut project = Project::new("numbers", dir.path());
    /// project.job(job("j").define(|g| { one.call(g); }));
    /// assert_eq!(project.run("j", &Launch::new())?.ran, ["one"]);
    /// assert_eq!(project.run("j", &Launch::new())?.reused, ["one"]);
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn memo(mut self) -> Self {
        self.draft.op.memo = Memo::ByContent;
        self
    }

    /// Says which version the function has, instead of the digest of the executable: Dagster's `code_version`.
    /// While it stays the same, a change of the program is no reason to run the op again. See the example of
    /// [`OpBuilder::memo`].
    pub fn version(mut self, version: &str) -> Self {
        self.draft.op.version = Some(version.to_owned());
        self
    }

    /// What it does, in a sentence.
    ///
    /// ```
    /// use giornata::api::{job, op};
    /// use giornata::defs::Work;
    /// let one = op("one").describe("Gives 1").run(|_| Ok(1_i64));
    /// let j = job("j").define(|g| { one.call(g); });
    /// let Work::Flow(flow) = &j.definition()?.work else { panic!() };
    /// assert_eq!(flow.steps[0].op.description.as_deref(), Some("Gives 1"));
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn describe(mut self, text: &str) -> Self {
        self.draft.op.description = Some(text.to_owned());
        self
    }

    /// Called when a step of it has succeeded; see the example of [`Hook::piece`].
    pub fn on_success<F>(mut self, hook: F) -> Self
    where
        F: Fn(&Hook<'_>) -> Result<(), BoxError> + Send + Sync + 'static,
    {
        let (slot, function) = next_slot();
        self.draft.hooks.push((slot, Arc::new(hook)));
        self.draft.op.hooks.success.push(HookDef::Function(function));
        self
    }

    /// Called when a step of it has failed, after its last attempt; see [`Hook`].
    ///
    /// ```
    /// use giornata::api::{job, op};
    /// use std::sync::{Arc, atomic::{AtomicU32, Ordering}};
    /// let calls = Arc::new(AtomicU32::new(0));
    /// let count = calls.clone();
    /// let fails = op("fails")
    ///     .on_failure(move |hook| { count.fetch_add(hook.attempts(), Ordering::Relaxed); Ok(()) })
    ///     .run(|_| -> Result<i64, _> { Err("no ink left".into()) });
    /// job("j").define(|g| { fails.call(g); }).execute_in_process()?;
    /// assert_eq!(calls.load(Ordering::Relaxed), 1);
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn on_failure<F>(mut self, hook: F) -> Self
    where
        F: Fn(&Hook<'_>) -> Result<(), BoxError> + Send + Sync + 'static,
    {
        let (slot, function) = next_slot();
        self.draft.hooks.push((slot, Arc::new(hook)));
        self.draft.op.hooks.failure.push(HookDef::Function(function));
        self
    }
}

/// A declared op, to be called in graphs any number of times: `I` are its inputs, `O` its outputs. See the
/// example of [`Param`].
pub struct Op<I, O> {
    callable: Callable,
    types: PhantomData<fn(I) -> O>,
}

impl<I, O> Op<I, O> {
    /// Its name, after which its steps are named; see the example of [`Param`].
    pub fn name(&self) -> &str {
        &self.callable.name
    }

    /// The same op under another name, for graphs that call it several times.
    ///
    /// ```
    /// use giornata::api::{job, op};
    /// let one = op("one").run(|_| Ok(1_i64));
    /// let j = job("j").define(|g| { one.call(g); one.named("uno").call(g); });
    /// assert_eq!(j.execute_in_process()?.value::<i64>("uno")?, 1);
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    #[must_use]
    pub fn named(&self, name: &str) -> Op<I, O> {
        let callable = Callable { name: name.to_owned(), ..self.callable.clone() };
        Op { callable, types: PhantomData }
    }
}

// A method for each number of inputs, and no trait in between: so the compiler knows the types of a
// closure's parameters before it reads its body.
macro_rules! arity {
    ($($A:ident $a:ident),*) => {
        impl<$($A: Param),*> OpBuilder<($($A,)*), Undeclared> {
            /// Says what it does: a function of its inputs that gives one value, the output `result`. It gets an
            /// [`OpContext`] and a value for each input. See the example of [`op`](super::op()).
            pub fn run<V, Fun>(self, function: Fun) -> Op<($($A,)*), Alone<Plain<V>>>
            where
                V: Data,
                Fun: Fn(&OpContext<'_>, $($A::Arg),*) -> Result<V, BoxError> + Send + Sync + 'static,
            {
                self.typed::<($($A,)*), Alone<Plain<V>>>().run(function)
            }
        }

        impl<$($A: Param,)* O: Outputs> OpBuilder<($($A,)*), O> {
            /// Says what it does: a function of its inputs that gives all its outputs. An error of it, or a panic,
            /// fails the step and what reads it, and nothing else. See the example of [`OpBuilder::output`].
            #[allow(unused_mut, unused_variables, reason = "there may be no inputs")]
            pub fn run<Fun>(self, function: Fun) -> Op<($($A,)*), O>
            where
                Fun: Fn(&OpContext<'_>, $($A::Arg),*) -> Result<O::Values, BoxError>
                    + Send + Sync + 'static,
            {
                let call: Call = Box::new(move |context, args, to| {
                    let mut args = Arguments(args);
                    $(let $a = $A::read(&mut args)?;)*
                    let values = function(context, $($a),*);
                    O::emit(values.map_err(|error| failure_of(context, error))?, to)
                });
                Op { callable: self.draft.finish::<O>(call), types: PhantomData }
            }
        }

        impl<$($A: Param,)* O: Outputs> Op<($($A,)*), O> {
            /// Adds a step to a graph, and says what it reads, input after input; what does not fit does not
            /// compile (see [`Feeds`]). Gives an edge or pieces for each output. Steps are named like their op,
            /// the second `NAME_2`. See the example of [`op`](super::op()).
            #[track_caller]
            #[allow(clippy::too_many_arguments, reason = "one for each input")]
            pub fn call(&self, graph: &Graph, $($a: impl Feeds<$A>),*) -> O::Edges {
                let sources: Vec<(Source, bool)> = vec![$($a.source(graph)),*];
                let called: Called =
                    graph.add(&self.callable, sources, origin(Location::caller()));
                O::edges(called)
            }
        }
    };
}

arity!();
arity!(A a);
arity!(A a, B b);
arity!(A a, B b, C c);
arity!(A a, B b, C c, D d);
arity!(A a, B b, C c, D d, E e);
arity!(A a, B b, C c, D d, E e, G g);
