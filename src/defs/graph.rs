//! A graph: named calls of ops and of other graphs, wired to each other by name.
//!
//! Files and programs build the same value; [`Graph::compile`] looks the names up and makes a flat
//! [`Flow`] of it, or says everything that is wrong at once. Whether values fit is said here as far as
//! their declared types decide it.

mod compile;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::{Flow, Hooks, InputDecl, Op, Origin, OutputDecl, TypeRef};
use crate::base::JobName;

/// Calls, before names are looked up.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Graph {
    pub name: String,
    pub inputs: Vec<InputDecl>,
    pub calls: Vec<Call>,
    /// What it gives, by name.
    pub results: Vec<(String, Ref)>,
}

/// One use of an op or a graph within a graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Unique within its graph.
    pub name: String,
    pub callee: Callee,
    /// By the name of the callee's input.
    pub wires: Vec<(String, Source)>,
    /// Calls that must have succeeded before, whatever they give.
    pub after: Vec<String>,
    pub hooks: Hooks,
    pub origin: Origin,
}

/// What is called.
#[derive(Debug, Clone, PartialEq)]
pub enum Callee {
    Op(Arc<Op>),
    Graph(Arc<Graph>),
}

/// What is wired into an input.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    One(Ref),
    /// Each piece in turn, or each of what the steps of the pieces give.
    Each(Ref),
    /// All pieces as one list.
    Collect(Ref),
    List(Vec<Entry>),
    Value(Value),
}

/// One entry of a list that is wired into an input.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    One(Ref),
    Each(Ref),
}

/// Something within a graph that has a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ref {
    Port(Port),
    /// An input of the graph itself.
    Input(String),
}

/// An output of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    pub call: String,
    /// `None`: the only one that it has.
    pub output: Option<String>,
}

/// A mistake in a graph.
///
/// ```
/// use giornata::base::JobName;
/// use giornata::defs::{Body, Call, Callee, CommandBody, CommandLine, Graph, InputDecl, Op, Origin};
/// use std::sync::Arc;
///
/// let origin = Origin { file: "assets/jobs.yaml".into(), line: 3 };
/// let line = CommandLine::Shell("true".to_owned());
/// let body = Body::Command(CommandBody { line, code: None, named_files: Vec::new() });
/// let mut op = Op::new("add_one", origin.clone(), body);
/// op.inputs = [InputDecl::one("number")].into();
/// let call = Call {
///     name: "a".to_owned(),
///     callee: Callee::Op(Arc::new(op)),
///     wires: Vec::new(),
///     after: Vec::new(),
///     hooks: Default::default(),
///     origin,
/// };
/// let graph = Graph { name: "nightly".to_owned(), calls: vec![call], ..Graph::default() };
/// let mistakes = graph.compile(&JobName::parse("nightly")?).unwrap_err();
/// assert_eq!(mistakes[0].to_string(), "`a`: nothing is wired into its input `number`");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("`{path}`: {kind}")]
pub struct GraphMistake {
    /// Of the call; of the result, if it is about one.
    pub path: String,
    /// Of the call.
    pub origin: Origin,
    pub at: MistakeAt,
    pub kind: GraphMistakeKind,
}

/// Where in a graph a mistake is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MistakeAt {
    /// The call as such.
    Call,
    /// What is wired into this input of the call.
    Wire(String),
    /// This one of the calls that it comes after.
    After(String),
    /// This result of the graph.
    Result(String),
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum GraphMistakeKind {
    #[error("the name `{name}` cannot be used: it is letters, digits, `_` and `-`")]
    Name { name: String },
    #[error("there are two calls of this name")]
    NameTwice,
    #[error("there is no `{name}` in this graph{}", hint(.similar))]
    UnknownCall { name: String, similar: Option<String> },
    #[error("this graph has no input `{name}`{}", hint(.similar))]
    UnknownGraphInput { name: String, similar: Option<String> },
    #[error("`{call}` has no output `{output}`{}", hint(.similar))]
    UnknownOutput { call: String, output: String, similar: Option<String> },
    #[error("`{call}` has {}; say which, as in `{call}.{}`", outputs(.known), .known.first().map_or("NAME", String::as_str))]
    WhichOutput { call: String, known: Vec<String> },
    #[error("it has no input `{input}`{}", hint(.similar))]
    UnknownInput { input: String, similar: Option<String> },
    #[error("its input `{input}` is wired twice")]
    WiredTwice { input: String },
    #[error("nothing is wired into its input `{input}`")]
    NotWired { input: String },
    #[error(
        "`{from}` gives pieces; its input `{input}` needs one value: map it over each piece, or collect them"
    )]
    DynamicDirect { input: String, from: String },
    #[error("`{from}` gives one value, no pieces, so there is nothing to {verb}")]
    NotDynamic { from: String, verb: &'static str },
    #[error(
        "`{input}` is one value within this graph; it is mapped or collected where the graph is called"
    )]
    MapOfInput { input: String },
    #[error("it is mapped over the pieces of both `{first}` and `{second}`; collect one of them")]
    TwoDynamics { first: String, second: String },
    #[error(
        "it gives pieces and is itself mapped over the pieces of `{outer}`; collect those first"
    )]
    NestedDynamic { outer: String },
    #[error("these wait for each other: {}", .calls.join(", "))]
    Circle { calls: Vec<String> },
    #[error("its input `{input}` takes many values, and `{from}` is one; write a list or collect")]
    OneForMany { input: String, from: String },
    #[error("its input `{input}` takes one value of the type `{takes}`, not a list of several")]
    ListForOne { input: String, takes: TypeRef },
    #[error("an entry of the list for `{input}` is a list itself")]
    ListInList { input: String },
    #[error("its input `{input}` takes `{takes}`, and `{from}` gives `{gives}`")]
    TypeClash { input: String, takes: TypeRef, from: String, gives: String },
    #[error("graphs are nested too deeply")]
    TooDeep,
    #[error("this would be {}; a graph has {max} steps at the most", counted(*.steps))]
    TooMany { steps: u64, max: u64 },
}

fn hint(similar: &Option<String>) -> String {
    similar.as_ref().map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

fn counted(steps: u64) -> String {
    match steps {
        u64::MAX => "more steps than can be counted".to_owned(),
        steps => format!("{steps} steps"),
    }
}

fn outputs(known: &[String]) -> String {
    match known {
        [] => "no output".to_owned(),
        known => format!("the outputs `{}`", known.join("`, `")),
    }
}

impl Graph {
    /// A flat flow whose steps are named `JOB/PATH`, or everything that is wrong.
    pub fn compile(&self, job: &JobName) -> Result<Flow, Vec<GraphMistake>> {
        compile::compile(self, job)
    }
}

impl Callee {
    pub fn inputs(&self) -> &[InputDecl] {
        match self {
            Callee::Op(op) => &op.inputs,
            Callee::Graph(graph) => &graph.inputs,
        }
    }

    /// Names of what it gives.
    pub fn outputs(&self) -> Vec<&str> {
        match self {
            Callee::Op(op) => op.outputs.iter().map(|output: &OutputDecl| &*output.name).collect(),
            Callee::Graph(graph) => graph.results.iter().map(|(name, _)| name.as_str()).collect(),
        }
    }
}

impl Port {
    pub fn new(call: &str, output: &str) -> Port {
        Port { call: call.to_owned(), output: Some(output.to_owned()) }
    }

    /// The only output of a call.
    pub fn only(call: &str) -> Port {
        Port { call: call.to_owned(), output: None }
    }
}

impl fmt::Display for Ref {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ref::Port(Port { call, output: Some(output) }) => write!(f, "{call}.{output}"),
            Ref::Port(Port { call, output: None }) => f.write_str(call),
            Ref::Input(name) => f.write_str(name),
        }
    }
}

impl Entry {
    pub fn of(&self) -> &Ref {
        match self {
            Entry::One(of) | Entry::Each(of) => of,
        }
    }
}

impl Source {
    /// What it refers to.
    pub fn refs(&self) -> Vec<&Ref> {
        match self {
            Source::One(of) | Source::Each(of) | Source::Collect(of) => vec![of],
            Source::List(entries) => entries.iter().map(Entry::of).collect(),
            Source::Value(_) => Vec::new(),
        }
    }
}
