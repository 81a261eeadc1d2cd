//! Assets that a graph of ops makes: one step of the project, made of several.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use super::compute::Wire;
use super::datum::Data;
use super::declare::{Asset, Draft, Sole};
use super::graph::{Callable, Edge, SubGraph};
use super::handle::Handle;
use super::job::Table;
use super::ports::One;
use super::system;
use super::value::Form;
use crate::base::{AssetKey, JobName};
use crate::defs::config::Env;
use crate::defs::{Body, Callee, Flow, FunctionBody, GraphBody, graph_schema};

/// The graph that makes an asset.
#[derive(Clone)]
pub(super) struct Backing {
    pub(super) graph: Callable,
    /// The upstream asset that each input of the graph is, in their order.
    pub(super) upstream: Vec<Arc<str>>,
    pub(super) form: Form,
}

/// A graph that was judged.
pub(super) struct Backed {
    pub(super) body: GraphBody,
    /// The values of its ops, with defaults.
    pub(super) config: BTreeMap<String, Json>,
    pub(super) table: Table,
}

impl Backing {
    /// What makes the asset, or everything that is wrong with it.
    pub(super) fn judge(&self, draft: &Draft, key: &AssetKey) -> Result<Backed, Vec<String>> {
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
        let name = JobName::parse(key.as_str()).map_err(|error| vec![error.to_string()])?;
        let compiled = graph
            .compile(&name)
            .map_err(|wrong| wrong.iter().map(ToString::to_string).collect::<Vec<_>>());
        let judged = compiled.and_then(|flow| {
            let flow = versioned(flow).map_err(|problem| vec![problem])?;
            let result = flow.sole_result().map_err(|problem| vec![problem])?;
            let config = configured(&flow, &draft.values)?;
            Ok((flow, result, config))
        });
        match judged {
            Ok((flow, result, config)) if problems.is_empty() => {
                let variable = |name: &Arc<str>| AssetKey::parse(name).map(|key| key.variable());
                // A name that is none is told where it is declared.
                let inputs = self.upstream.iter().map(variable).collect::<Result<_, _>>();
                let inputs = inputs.map_err(|error| vec![error.to_string()])?;
                let body = GraphBody { flow: Arc::new(flow), inputs, result };
                Ok(Backed { body, config, table })
            }
            Ok(_) => Err(problems),
            Err(more) => Err(problems.into_iter().chain(more).collect()),
        }
    }
}

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
                open.finish_backed(Backing { graph: graph.callable().clone(), upstream, form: V::FORM })
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
