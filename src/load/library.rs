//! Joins the ops and graphs that files declare: looks up what each call names, and compiles every graph
//! where it stands, so that a mistake is told once and whatever uses it knows of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::asset::Context;
use super::calls::{self, CallDraft, CalleeDraft, GraphDraft};
use super::diagnostic::{Diagnostic, Place, did_you_mean};
use super::io;
use super::mistake;
use super::node::{Faults, Sink, Table, repeated_below};
use super::op::{self, OpDraft};
use super::resource;
use super::types::{Declared, Words, twice};
use super::wire::WireDraft;
use crate::base::JobName;
use crate::defs::{Call, Callee, Graph, InputDecl, IoDef, Op, Origin, Source};

/// What files declare, by name; `None` where it cannot be read at all.
#[derive(Debug, Default)]
pub(super) struct Drafts {
    pub words: Words,
    ops: BTreeMap<String, Declared<Option<OpDraft>>>,
    graphs: BTreeMap<String, Declared<Option<GraphDraft>>>,
}

impl Drafts {
    pub fn read_ops(&mut self, table: Table<'_>, context: &Context<'_>, sink: &mut Sink) {
        for (entry, value) in table.iter() {
            let place = table.key_place(entry);
            if let Some(first) = self.ops.get_mut(&entry.key) {
                twice("op", &entry.key, &place, first, sink);
                continue;
            }
            let mut faults = Faults::new();
            let def = sink.noting(&mut faults, |sink| {
                repeated_below(value, sink);
                check_name("an op", &entry.key, &place, sink);
                let own = value.table(&entry.key, sink)?;
                let owner = format!("op `{}`", entry.key);
                let known = own.allow(&[op::STEP_KEYS, op::HOOK_KEYS], &owner, sink);
                let place = place.clone();
                Some(op::read(&entry.key, place, own, known, Vec::new(), context, sink))
            });
            self.ops.insert(entry.key.clone(), Declared { def, place, faults });
        }
    }

    pub fn read_graphs(&mut self, table: Table<'_>, context: &Context<'_>, sink: &mut Sink) {
        for (entry, value) in table.iter() {
            let place = table.key_place(entry);
            if let Some(first) = self.graphs.get_mut(&entry.key) {
                twice("graph", &entry.key, &place, first, sink);
                continue;
            }
            let mut faults = Faults::new();
            let def = sink.noting(&mut faults, |sink| {
                repeated_below(value, sink);
                check_name("a graph", &entry.key, &place, sink);
                let own = value.table(&entry.key, sink)?;
                Some(calls::graph(&entry.key, place.clone(), own, context, sink))
            });
            self.graphs.insert(entry.key.clone(), Declared { def, place, faults });
        }
    }

    /// Looks everything up and compiles every graph.
    pub fn resolve<'a>(
        mut self,
        resources: &'a resource::Declared,
        io: &'a io::Declared,
        sink: &mut Sink,
    ) -> Library<'a> {
        self.words.resolve(sink);
        let order = in_order(&mut self.graphs, sink);
        let (ops, graphs) = (BTreeMap::new(), BTreeMap::new());
        let mut library = Library { words: self.words, resources, io, ops, graphs };
        for (name, Declared { def, mut faults, .. }) in self.ops {
            let def = def.map(|draft| Arc::new(library.look_up(&draft, &mut faults, sink)));
            library.ops.insert(name, Known { def, faults });
        }
        // A graph in a circle is called before it is built.
        for (name, declared) in &self.graphs {
            let faults = declared.faults.clone();
            library.graphs.insert(name.clone(), Known { def: None, faults });
        }
        for name in order {
            let declared = &self.graphs[&name];
            if let Some(draft) = &declared.def {
                let known = library.graph(draft, declared.faults.clone(), sink);
                library.graphs.insert(name, known);
            }
        }
        library
    }
}

fn check_name(what: &str, name: &str, place: &Place, sink: &mut Sink) {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if name.is_empty() || !name.bytes().all(word) {
        let message = format!("`{name}` cannot name {what}: it is letters, digits, `_` and `-`");
        sink.push(place.error(message).label("no name"));
    }
}

type Graphs = BTreeMap<String, Declared<Option<GraphDraft>>>;

/// The names of the graphs, each after those that it calls.
fn in_order(graphs: &mut Graphs, sink: &mut Sink) -> Vec<String> {
    let mut order = Vec::with_capacity(graphs.len());
    let mut done = BTreeSet::new();
    let names: Vec<String> = graphs.keys().cloned().collect();
    for root in names {
        // The way down, with how many calls of each have been followed.
        let mut way: Vec<(String, usize)> = vec![(root, 0)];
        while let Some((name, at)) = way.last_mut() {
            let (name, at) = (name.clone(), std::mem::replace(at, *at + 1));
            let draft = graphs.get(&name).and_then(|declared| declared.def.as_ref());
            let calls = draft.map_or(&[][..], |draft| &draft.calls[..]);
            let Some(call) = calls.get(at).filter(|_| !done.contains(&name)) else {
                if done.insert(name.clone()) {
                    order.push(name);
                }
                way.pop();
                continue;
            };
            let CalleeDraft::Graph(next, place) = &call.callee else { continue };
            if !graphs.contains_key(next) {
                continue;
            }
            let Some(from) = way.iter().position(|(open, _)| open == next) else {
                way.push((next.clone(), 0));
                continue;
            };
            let circle: Vec<&str> = way[from..].iter().map(|(name, _)| name.as_str()).collect();
            let circle = circle.join(" -> ");
            let message = format!("graphs call each other in a circle: {circle} -> {next}");
            let error = place.error(message).label("leads back");
            let declared = graphs.get_mut(&name).expect("it has calls");
            sink.noting(&mut declared.faults, |sink| sink.push(error));
        }
    }
    order
}

/// A definition that others use; `None` where it cannot be read, or is used by itself.
#[derive(Debug)]
struct Known<T> {
    def: Option<Arc<T>>,
    /// Its own, and those of what it uses.
    faults: Faults,
}

/// All ops and graphs by name.
#[derive(Debug)]
pub(super) struct Library<'a> {
    pub words: Words,
    resources: &'a resource::Declared,
    io: &'a io::Declared,
    ops: BTreeMap<String, Known<Op>>,
    graphs: BTreeMap<String, Known<Graph>>,
}

/// A graph as far as it could be built.
pub(super) struct Built {
    pub graph: Graph,
    pub faults: Faults,
    /// Calls of which something is not known; what follows from them is not worth a word.
    pub doubtful: BTreeSet<String>,
}

impl Library<'_> {
    /// The op of a draft with what it names looked up.
    fn look_up(&self, draft: &OpDraft, faults: &mut Faults, sink: &mut Sink) -> Op {
        draft.types.iter().for_each(|it| self.words.check_type(it, faults, sink));
        if let Some((name, place)) = &draft.pool {
            self.words.check_pool(name, place, faults, sink);
        }
        for (name, place) in &draft.resources {
            self.resources.check(name, place, faults, sink);
        }
        sink.noting(faults, |sink| op::check_tables(draft, self.resources, sink));
        let mut op = draft.op.clone();
        op.io = draft.io.as_ref().and_then(|io| self.io.of_op(io, &op, faults, sink));
        if let Some(IoDef::Table(def)) = &op.io {
            op.resources.insert(def.on.clone());
        }
        op
    }

    fn graph(&self, draft: &GraphDraft, faults: Faults, sink: &mut Sink) -> Known<Graph> {
        let mut built = self.build(draft, faults, sink);
        // Its name is only for the steps of a flow that nothing runs.
        let name = JobName::parse("graph").expect("it is a name");
        if let Err(mistakes) = built.graph.compile(&name) {
            let owner = format!("graph `{}`", draft.name);
            mistake::report(&owner, draft, mistakes, &mut built, sink);
        }
        Known { def: Some(Arc::new(built.graph)), faults: built.faults }
    }

    /// The graph of a draft; names are looked up in it when it is compiled.
    pub fn build(&self, draft: &GraphDraft, mut faults: Faults, sink: &mut Sink) -> Built {
        draft.types.iter().for_each(|it| self.words.check_type(it, &mut faults, sink));
        let mut doubtful = BTreeSet::new();
        let mut graph_calls = Vec::with_capacity(draft.calls.len());
        for call in &draft.calls {
            let mut own = Faults::new();
            let callee = self.callee(call, &mut own, sink);
            if call.is_doubtful || callee.is_none() || !own.is_empty() {
                doubtful.insert(call.name.clone());
            }
            let callee = callee.unwrap_or_else(|| stand_in(call));
            faults.extend(own);
            let wire = |wire: &WireDraft| {
                let nothing = Source::Value(serde_json::Value::Null);
                (wire.input.clone(), wire.source.clone().unwrap_or(nothing))
            };
            graph_calls.push(Call {
                name: call.name.clone(),
                callee,
                wires: call.wires.iter().map(wire).collect(),
                after: call.after.iter().map(|(name, _)| name.clone()).collect(),
                hooks: call.hooks.clone(),
                origin: origin(&call.place),
            });
        }
        let results = draft.results.iter().map(|it| (it.name.clone(), it.of.clone())).collect();
        let (name, inputs) = (draft.name.clone(), draft.inputs.clone());
        let graph = Graph { name, inputs, calls: graph_calls, results };
        Built { graph, faults, doubtful }
    }

    /// The graph of a name, and the errors because of which it cannot be used.
    pub fn find_graph(
        &self,
        name: &str,
        place: &Place,
        faults: &mut Faults,
        sink: &mut Sink,
    ) -> Option<Arc<Graph>> {
        if let Some(known) = self.graphs.get(name) {
            faults.extend(&known.faults);
            return known.def.clone();
        }
        let hiding = sink.hiding(name);
        if !hiding.is_empty() {
            faults.extend(hiding);
            return None;
        }
        let error = unknown("graph", name, self.graphs.keys(), self.ops.keys(), place);
        sink.noting(faults, |sink| sink.push(error));
        None
    }

    fn callee(&self, call: &CallDraft, faults: &mut Faults, sink: &mut Sink) -> Option<Callee> {
        match &call.callee {
            CalleeDraft::Own(draft) => {
                Some(Callee::Op(Arc::new(self.look_up(draft, faults, sink))))
            }
            CalleeDraft::Op(name, place) => match self.ops.get(name) {
                Some(known) => {
                    faults.extend(&known.faults);
                    known.def.clone().map(Callee::Op)
                }
                None if !sink.hiding(name).is_empty() => {
                    faults.extend(sink.hiding(name));
                    None
                }
                None => {
                    let error = unknown("op", name, self.ops.keys(), self.graphs.keys(), place);
                    sink.noting(faults, |sink| sink.push(error));
                    None
                }
            },
            CalleeDraft::Graph(name, place) => {
                self.find_graph(name, place, faults, sink).map(Callee::Graph)
            }
            CalleeDraft::Unknown => None,
        }
    }
}

fn unknown<'a>(
    what: &str,
    name: &str,
    known: impl Iterator<Item = &'a String>,
    mut others: impl Iterator<Item = &'a String>,
    place: &Place,
) -> Diagnostic {
    let help = match (did_you_mean(name, known.map(String::as_str)), what) {
        (Some(help), _) => help,
        (None, "op") if others.any(|other| other == name) => {
            format!("`graph: {name}` calls the graph")
        }
        (None, "graph") if others.any(|other| other == name) => {
            format!("`use: {name}` calls the op")
        }
        (None, _) => format!("it is declared at the top of a file: `{what}s: {{{name}: ..}}`"),
    };
    place.error(format!("there is no {what} `{name}`")).label("nothing has this name").help(help)
}

/// In the place of what is called and not known, with the inputs that it is called with.
fn stand_in(call: &CallDraft) -> Callee {
    let inputs = call.wires.iter().map(|wire| InputDecl::one(&wire.input)).collect();
    Callee::Op(Arc::new(op::stand_in(&call.name, &call.place, inputs)))
}

fn origin(place: &Place) -> Origin {
    Origin { file: place.path().to_path_buf(), line: place.line() }
}
