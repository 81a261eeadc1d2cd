//! Assets that a graph of ops makes, one or several: one step of the project, made of several.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use super::compute::Wire;
use super::datum::Data;
use super::declare::{Asset, Draft, DraftBody, Sole};
use super::graph::{Callable, Edge, Results, SubGraph};
use super::handle::Handle;
use super::job::Table;
use super::ports::One;
use super::system;
use super::together::{Declared, Several};
use super::value::Form;
use crate::base::{AssetKey, JobName};
use crate::defs::config::Env;
use crate::defs::{Body, Callee, Flow, FunctionBody, GraphBody, Wiring, graph_schema};

/// The graph that makes an asset, or several.
#[derive(Clone)]
pub(super) struct Backing {
    pub(super) graph: Callable,
    /// The upstream asset that each input of the graph is, in their order.
    pub(super) upstream: Vec<Arc<str>>,
    pub(super) form: Form,
    /// The place of the asset among those that it makes, which are its results in their order.
    pub(super) place: usize,
}

/// A graph that was judged.
pub(super) struct Backed {
    pub(super) body: GraphBody,
    /// The values of its ops, with defaults.
    pub(super) config: BTreeMap<String, Json>,
    pub(super) table: Table,
}

impl Backing {
    /// What makes the asset, or everything that is wrong with it. What is wrong with a graph of several assets
    /// is told of the first.
    pub(super) fn judge(&self, draft: &Draft) -> Result<Backed, Vec<String>> {
        let Callee::Graph(graph) = &self.graph.callee else {
            unreachable!("only graphs are taken")
        };
        let mut mistakes = Vec::new();
        let table = Table::of((&*draft.name, &draft.origin), &self.graph.parts, &mut mistakes);
        let mut problems: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        if table.has_io() {
            problems.push("`io` of an op is for jobs; say it of the asset".to_owned());
        }
        for (says, what) in [(draft.retries > 0, "retries"), (draft.version.is_some(), "version")] {
            if says {
                problems.push(format!("`{what}` is that of its ops"));
            }
        }
        let first = draft.shared.as_ref().map_or(&draft.name, |names| &names[0]);
        let name = JobName::parse(first).map_err(|error| vec![error.to_string()])?;
        let compiled = graph
            .compile(&name)
            .map_err(|wrong| wrong.iter().map(ToString::to_string).collect::<Vec<_>>());
        let judged = compiled.and_then(|flow| {
            let flow = versioned(flow).map_err(|problem| vec![problem])?;
            let config = configured(&flow, &draft.values)?;
            Ok((flow, config))
        });
        match judged {
            Ok((flow, config)) if problems.is_empty() => {
                Ok(Backed { body: self.body(flow)?, config, table })
            }
            Ok(_) | Err(_) if self.place > 0 => Err(Vec::new()),
            Ok(_) => Err(problems),
            Err(more) => Err(problems.into_iter().chain(more).collect()),
        }
    }

    fn body(&self, flow: Flow) -> Result<GraphBody, Vec<String>> {
        let value = |(name, wiring): &(String, Wiring)| {
            let several = flow.results.len() > 1;
            let name = if several { format!(" `{name}`") } else { String::new() };
            flow.value(wiring).map_err(|what| format!("its result{name} {what}"))
        };
        let result = value(&flow.results[self.place]).map_err(|problem| vec![problem])?;
        let others = flow.results.iter().enumerate().filter(|(at, _)| *at != self.place);
        // What another one lacks is told there.
        let others = others.filter_map(|(_, of)| value(of).ok()).collect();
        let variable = |name: &Arc<str>| AssetKey::parse(name).map(|key| key.variable());
        // A name that is none is told where it is declared.
        let inputs = self.upstream.iter().map(variable).collect::<Result<_, _>>();
        let inputs = inputs.map_err(|error| vec![error.to_string()])?;
        Ok(GraphBody { flow: Arc::new(flow), inputs, result, others })
    }
}

/// A tuple with an edge for each of `N` assets, up to four, in the order of their names: what a graph gives
/// that makes several assets. Implemented here only.
///
/// ```
/// use giornata::api::{Project, graph, op};
/// # let dir = tempfile::tempdir()?;
/// let halve = op("halve").input::<i64>("n").output::<i64>("half").output::<i64>("rest");
/// let halve = halve.run(|_, n| Ok((n / 2, n % 2)));
/// let seven = op("seven").run(|_| Ok(7_i64));
/// let halved = graph("halved").define(|g| halve.call(g, seven.call(g)));
/// let mut project = Project::new("numbers", dir.path());
/// let (half, rest) = project.assets(["half", "rest"]).graph(&halved);
/// assert_eq!((project.get(&half, ())?, project.get(&rest, ())?), (3, 1));
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
#[diagnostic::on_unimplemented(message = "`{Self}` is not one edge for each of {N} assets")]
pub trait Backs<const N: usize>: Results {
    /// A handle of each.
    type Handles;
    #[doc(hidden)]
    const FORMS: [Form; N];

    #[doc(hidden)]
    fn handles(declared: Declared<N>) -> Self::Handles;
}

macro_rules! backs {
    ($count:literal: $($V:ident $value:ident),*) => {
        impl<$($V: Data),*> Backs<$count> for ($(Edge<$V>,)*) {
            type Handles = ($(Handle<$V>,)*);
            const FORMS: [Form; $count] = [$($V::FORM),*];

            fn handles(Declared([$($value),*]): Declared<$count>) -> Self::Handles {
                ($(Handle::new($value),)*)
            }
        }
    };
}

backs!(2: A a, B b);
backs!(3: A a, B b, C c);
backs!(4: A a, B b, C c, D d);

/// The code of an op that says no version is the program.
fn versioned(mut flow: Flow) -> Result<Flow, String> {
    for step in &mut flow.steps {
        let Body::Function(function) = &step.op.body else { continue };
        if step.op.version.is_none() {
            let version = system::executable().map_err(|reason| {
                format!("cannot read the program itself to say its version ({reason}); give its ops a `version`")
            })?;
            let body = FunctionBody { version: version.to_owned(), slot: function.slot };
            Arc::make_mut(&mut step.op).body = Body::Function(body);
        }
    }
    Ok(flow)
}

fn configured(flow: &Flow, values: &Json) -> Result<BTreeMap<String, Json>, Vec<String>> {
    let schema = graph_schema(flow)
        .map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let empty = Json::Object(Default::default());
    let config = schema.validate(if values.is_null() { &empty } else { values }, Env::Keep);
    let config =
        config.map_err(|errors| errors.0.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    if !config.withheld.is_empty() {
        let problem = "the values of an asset can hold no secrets and no variables";
        return Err(vec![problem.to_owned()]);
    }
    Ok(config.value.as_object().cloned().unwrap_or_default().into_iter().collect())
}

macro_rules! backed {
    ($(#[doc = $example:literal])* $($A:ident $wire:ident),*) => {
        impl<$($A: Data),*> Asset<'_, ($(Wire<$A>,)*)> {
            /// Says that the ops of a graph make a partition, and ends the declaration. The inputs of the
            /// asset are those of the graph, in their order, and its one result is that of the asset.
            ///
            /// It is one step: where an op fails, the asset fails; a change of any of its ops makes it stale.
            /// What ops hand to each other is kept until the step has ended. The log of the asset has a line
            /// for each op. `retries` and `version` are those of the ops.
            /// See the example of [`Asset::values`].
            ///
            $(#[doc = $example])*
            pub fn graph<V: Data>(self, graph: &SubGraph<($(One<$A>,)*), Edge<V>>) -> Handle<V> {
                let Asset { open, wires: ($($wire,)*), kind: Sole } = self;
                let upstream = vec![$($wire.name().clone()),*];
                let graph = graph.callable().clone();
                open.finish_backed(Backing { graph, upstream, form: V::FORM, place: 0 })
            }
        }

        impl<$($A: Data,)* const N: usize> Asset<'_, ($(Wire<$A>,)*), Several<N>> {
            /// Says that the ops of a graph make a partition of all the assets, and ends the declaration; gives a
            /// handle of each. The inputs are those of the graph, in their order, and its results, a tuple of
            /// edges, are the assets. Ops that only others need than are wanted do not run; an op that fails is the
            /// failure of those that need it. See the example of [`Backs`].
            pub fn graph<R: Backs<N>>(self, graph: &SubGraph<($(One<$A>,)*), R>) -> R::Handles {
                let Asset { open, wires: ($($wire,)*), kind } = self;
                let upstream = vec![$($wire.name().clone()),*];
                let graph = graph.callable().clone();
                let body = |place, form| {
                    let (graph, upstream) = (graph.clone(), upstream.clone());
                    DraftBody::Graph(Backing { graph, upstream, form, place })
                };
                R::handles(open.finish_several(kind, R::FORMS, &body))
            }
        }
    };
}

backed!();
backed! {
    /// ```
    /// use giornata::api::{Project, graph, op};
    /// # let dir = tempfile::tempdir()?;
    /// # std::fs::write(dir.path().join("words.txt"), "fig Oak pear Elm")?;
    /// let names = op("names").input::<String>("text").run(|_, text| {
    ///     let names: Vec<&str> = text.split(' ').filter(|it| it.starts_with(char::is_uppercase)).collect();
    ///     Ok(names.join(" "))
    /// });
    /// let count = op("count").input::<String>("names").run(|_, names| Ok(names.split(' ').count() as u64));
    /// let counted = graph("counted")
    ///     .input::<String>("text")
    ///     .define(|g, text| count.call(g, names.call(g, text)));
    /// let mut project = Project::new("words", dir.path());
    /// let words = project.source("words").files_as::<String>("words.txt");
    /// let trees = project.asset("trees").input(&words).graph(&counted);
    /// assert_eq!(project.get(&trees, ())?, 2);
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    ///
    /// An input of another type does not compile:
    ///
    /// ```compile_fail,E0308
    /// # use giornata::api::{Project, graph, op};
    /// let count = op("count").input::<i64>("n").run(|_, n| Ok(n));
    /// let counted = graph("counted").input::<i64>("n").define(|g, n| count.call(g, n));
    /// # let mut project = Project::new("words", ".");
    /// let words = project.source("words").files_as::<String>("words.txt");
    /// project.asset("trees").input(&words).graph(&counted);
    /// ```
    A a
}
backed!(A a, B b);
backed!(A a, B b, C c);
backed!(A a, B b, C c, D d);
backed!(A a, B b, C c, D d, E e);
backed!(A a, B b, C c, D d, E e, F f);
