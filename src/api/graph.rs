//! Graphs in the making: calls of ops, and typed edges between them.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::body::{HookCall, OpBody, next_slot};
use super::datum::{Data, type_of};
use super::io::OpIo;
use super::job::JobMistakeKind;
use super::ports::{After, Called, Longer, Many, One};
use super::project::origin;
use super::resource::Used;
use crate::defs::{
    self, Call, Callee, Entry, Hooks, InputDecl, Origin, OutputDecl, Port, Ref, Source, Takes,
};

/// What can be called in a graph, with all the functions that it needs.
#[derive(Clone)]
pub(super) struct Callable {
    /// What its steps are named after.
    pub(super) name: String,
    pub(super) callee: Callee,
    /// No other op or graph has it.
    pub(super) slot: u32,
    pub(super) parts: Arc<Parts>,
}

/// Functions of ops and hooks by their slots, and mistakes of the declarations.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) bodies: Vec<(u32, Arc<OpBody>)>,
    pub(super) hooks: Vec<(u32, HookCall)>,
    pub(super) resources: Vec<Used>,
    /// Of ops, by their slots.
    pub(super) ios: Vec<(u32, OpIo)>,
    pub(super) mistakes: Vec<(String, Origin, JobMistakeKind)>,
    pub(super) within: Vec<Arc<Parts>>,
}

/// A graph in the making: ops are called in it, and what they give is wired into others. It is what the
/// function of [`JobBuilder::define`](super::JobBuilder::define) and [`GraphBuilder::define`] gets.
///
/// ```
/// use giornata::api::{Alone, Edge, Graph, One, Op, Plain, job, op};
/// fn twice(g: &Graph, add_one: &Op<(One<i64>,), Alone<Plain<i64>>>, number: Edge<i64>) -> Edge<i64> {
///     let once = add_one.call(g, number);
///     add_one.call(g, once)
/// }
///
/// let one = op("one").run(|_| Ok(1_i64));
/// let add_one = op("add_one").input::<i64>("number").run(|_, number| Ok(number + 1));
/// let j = job("j").define(|g| { twice(g, &add_one, one.call(g)); });
/// let result = j.execute_in_process()?;
/// assert_eq!(result.value::<i64>("add_one_2")?, 3);
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
pub struct Graph {
    /// Tells the edges of two graphs apart.
    id: u64,
    inner: RefCell<Inner>,
    foreign: Cell<bool>,
}

struct Inner {
    graph: defs::Graph,
    /// How many calls there are of each name.
    names: HashMap<String, u32>,
    parts: BTreeMap<u32, Arc<Parts>>,
    mistakes: Vec<(String, Origin, JobMistakeKind)>,
}

impl Graph {
    pub(super) fn new(name: &str) -> Graph {
        static IDS: AtomicU64 = AtomicU64::new(0);
        let graph = defs::Graph { name: name.to_owned(), ..defs::Graph::default() };
        Graph {
            id: IDS.fetch_add(1, Ordering::Relaxed),
            inner: RefCell::new(Inner {
                graph,
                names: HashMap::new(),
                parts: BTreeMap::new(),
                mistakes: Vec::new(),
            }),
            foreign: Cell::new(false),
        }
    }

    pub(super) fn input(&self, decl: InputDecl) -> u32 {
        let inputs = &mut self.inner.borrow_mut().graph.inputs;
        inputs.push(decl);
        u32::try_from(inputs.len() - 1).expect("inputs are few")
    }

    /// Adds a call whose wires are in the order of the inputs, each with whether it is mapped.
    pub(super) fn add(
        &self,
        callable: &Callable,
        sources: Vec<(Source, bool)>,
        origin: Origin,
    ) -> Called {
        let each = sources.iter().any(|(_, each)| *each);
        let inputs = callable.callee.inputs().iter().map(|input| input.name.to_string());
        let wires = inputs.zip(sources.into_iter().map(|(source, _)| source)).collect();
        let call = self.add_by_name(callable, wires, Vec::new(), origin);
        Called { graph: self.id, call, each }
    }

    pub(super) fn add_by_name(
        &self,
        callable: &Callable,
        wires: Vec<(String, Source)>,
        after: Vec<String>,
        origin: Origin,
    ) -> u32 {
        let mut inner = self.inner.borrow_mut();
        let count = inner.names.entry(callable.name.clone()).or_insert(0);
        *count += 1;
        let name = match *count {
            1 => callable.name.clone(),
            count => format!("{}_{count}", callable.name),
        };
        if self.foreign.take() {
            let mistake = (name.clone(), origin.clone(), JobMistakeKind::Foreign);
            inner.mistakes.push(mistake);
        }
        inner.parts.entry(callable.slot).or_insert_with(|| callable.parts.clone());
        let callee = callable.callee.clone();
        let hooks = Hooks::default();
        inner.graph.calls.push(Call { name, callee, wires, after, hooks, origin });
        u32::try_from(inner.graph.calls.len() - 1).expect("memory ends before")
    }

    pub(super) fn call_name(&self, call: u32) -> String {
        self.inner.borrow().graph.calls[call as usize].name.clone()
    }

    fn refer(&self, graph: u64, from: From) -> Option<Ref> {
        if graph != self.id {
            return None;
        }
        let inner = self.inner.borrow();
        Some(match from {
            From::Input(at) => Ref::Input(inner.graph.inputs[at as usize].name.to_string()),
            From::Call { call, output } => {
                let call = &inner.graph.calls[call as usize];
                let output = match &call.callee {
                    Callee::Op(op) => &*op.outputs[output as usize].name,
                    Callee::Graph(graph) => graph.results[output as usize].0.as_str(),
                };
                Ref::Port(Port::new(&call.name, output))
            }
        })
    }

    /// An edge of another graph is noted with the call that it is for.
    fn source(&self, graph: u64, from: From, make: impl FnOnce(Ref) -> Source) -> Source {
        match self.refer(graph, from) {
            Some(of) => make(of),
            None => {
                self.foreign.set(true);
                Source::Value(serde_json::Value::Null)
            }
        }
    }

    pub(super) fn finish(self, results: Vec<(String, Ref)>) -> (defs::Graph, Parts) {
        let inner = self.inner.into_inner();
        let graph = defs::Graph { results, ..inner.graph };
        let within = inner.parts.into_values().collect();
        (graph, Parts { mistakes: inner.mistakes, within, ..Parts::default() })
    }
}

#[derive(Clone, Copy)]
enum From {
    Call { call: u32, output: u32 },
    Input(u32),
}

/// One `T` on its way from one op to others: an edge of a graph. It may be wired any number of times, within
/// the graph in which it was made; elsewhere it is a mistake
/// ([`JobMistakeKind::Foreign`](super::JobMistakeKind::Foreign)). See the example of [`Graph`].
pub struct Edge<T> {
    graph: u64,
    from: From,
    /// It is one for each piece.
    each: bool,
    value: PhantomData<fn() -> T>,
}

impl<T> Clone for Edge<T> {
    fn clone(&self) -> Edge<T> {
        *self
    }
}

impl<T> Copy for Edge<T> {}

impl<T> Edge<T> {
    pub(super) fn at(called: Called, output: u32) -> Edge<T> {
        let from = From::Call { call: called.call, output };
        Edge { graph: called.graph, from, each: called.each, value: PhantomData }
    }
}

/// One `T` for each piece: to be mapped, or to be collected. How many there are is known when the op that
/// gives them has run. They cannot be wired into an input of one value, and no call may read the pieces of two
/// ops: that is a mistake, as in Dagster. See the example of [`OpBuilder::pieces`](super::OpBuilder::pieces).
pub struct Pieces<T> {
    graph: u64,
    from: From,
    value: PhantomData<fn() -> T>,
}

impl<T> Clone for Pieces<T> {
    fn clone(&self) -> Pieces<T> {
        *self
    }
}

impl<T> Copy for Pieces<T> {}

impl<T> Pieces<T> {
    pub(super) fn at(called: Called, output: u32) -> Pieces<T> {
        let from = From::Call { call: called.call, output };
        Pieces { graph: called.graph, from, value: PhantomData }
    }

    /// What is made of each piece: the calls within run once for each, and their steps have the key in their
    /// names, `double[a]`. What they read besides is the same for all.
    ///
    /// ```
    /// use giornata::api::{job, op};
    /// let words = op("words").pieces::<String>().run(|_| {
    ///     Ok(["ink", "paper"].map(|word| (word.to_owned(), word.to_owned())).into())
    /// });
    /// let suffix = op("suffix").run(|_| Ok("s".to_owned()));
    /// let join = op("join").input::<String>("a").input::<String>("b").run(|_, a, b| Ok(a + &b));
    /// let length = op("length").input::<String>("text").run(|_, text| Ok(text.len() as u64));
    /// let result = job("j").define(|g| {
    ///     let suffix = suffix.call(g);
    ///     words.call(g).map(|word| join.call(g, word, suffix)).map(|word| length.call(g, word));
    /// }).execute_in_process()?;
    /// assert_eq!(result.value::<u64>("length[paper]")?, 6);
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn map<U>(&self, make: impl FnOnce(Edge<T>) -> Edge<U>) -> Pieces<U> {
        let (graph, from) = (self.graph, self.from);
        let made = make(Edge { graph, from, each: true, value: PhantomData });
        Pieces { graph: made.graph, from: made.from, value: PhantomData }
    }

    /// All of them as one list, in the order in which the pieces were emitted, for an input of many. Pieces that
    /// were skipped are left out; where one failed, the reader does not run; where there are none, it gets an
    /// empty list.
    ///
    /// ```
    /// use giornata::api::{job, op};
    /// let none = op("none").pieces::<i64>().run(|_| Ok(vec![]));
    /// let count = op("count").list::<i64>("all").run(|_, all| Ok(all.len() as u64));
    /// let j = job("j").define(|g| { count.call(g, none.call(g).collect()); });
    /// assert_eq!(j.execute_in_process()?.value::<u64>("count")?, 0);
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn collect(&self) -> Collected<T> {
        Collected { graph: self.graph, from: self.from, value: PhantomData }
    }
}

/// All pieces as one list, on the way to an input of many; see the example of [`Pieces::collect`].
pub struct Collected<T> {
    graph: u64,
    from: From,
    value: PhantomData<fn() -> T>,
}

impl<T> Clone for Collected<T> {
    fn clone(&self) -> Collected<T> {
        *self
    }
}

impl<T> Copy for Collected<T> {}

/// What fits an input: an [`Edge`] one value, a list or [`Collected`] an input of many.
///
/// What does not fit does not compile:
///
/// ```compile_fail,E0277
/// use giornata::api::{job, op};
/// let number = op("number").run(|_| Ok(1_i64));
/// let shout = op("shout").input::<String>("text").run(|_, text| Ok(text.to_uppercase()));
/// job("j").define(|g| {
///     let number = number.call(g);
///     shout.call(g, number); // an `i64` into a `String`
/// });
/// ```
///
/// Nor do pieces where one value is wanted,
///
/// ```compile_fail,E0277
/// use giornata::api::{job, op};
/// let load = op("load").pieces::<i64>().run(|_| Ok(vec![]));
/// let double = op("double").input::<i64>("n").run(|_, n| Ok(2 * n));
/// job("j").define(|g| {
///     let pieces = load.call(g);
///     double.call(g, pieces); // wants `pieces.map(|n| double.call(g, n))`
/// });
/// ```
///
/// or a list of something else.
///
/// ```compile_fail,E0277
/// use giornata::api::{job, op};
/// let load = op("load").pieces::<i64>().run(|_| Ok(vec![]));
/// let join = op("join").list::<String>("texts").run(|_, texts| Ok(texts.concat()));
/// job("j").define(|g| {
///     let pieces = load.call(g);
///     join.call(g, pieces.collect()); // `i64`s, not `String`s
/// });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not fit an input that takes `{P}`",
    label = "does not fit this input",
    note = "`Edge<T>` fits one `T`; `[Edge<T>; N]`, `Vec<Edge<T>>` and `pieces.collect()` fit many"
)]
pub trait Feeds<P> {
    /// The source, and whether it is mapped over pieces.
    #[doc(hidden)]
    fn source(&self, graph: &Graph) -> (Source, bool);
}

impl<T> Feeds<One<T>> for Edge<T> {
    fn source(&self, graph: &Graph) -> (Source, bool) {
        let make = if self.each { Source::Each } else { Source::One };
        (graph.source(self.graph, self.from, make), self.each)
    }
}

impl<T> Feeds<Many<T>> for Collected<T> {
    fn source(&self, graph: &Graph) -> (Source, bool) {
        (graph.source(self.graph, self.from, Source::Collect), false)
    }
}

impl<T> Feeds<Many<T>> for Vec<Edge<T>> {
    fn source(&self, graph: &Graph) -> (Source, bool) {
        list(self, graph)
    }
}

impl<T, const N: usize> Feeds<Many<T>> for [Edge<T>; N] {
    fn source(&self, graph: &Graph) -> (Source, bool) {
        list(self, graph)
    }
}

impl<T> Feeds<After> for Edge<T> {
    fn source(&self, graph: &Graph) -> (Source, bool) {
        Feeds::<One<T>>::source(self, graph)
    }
}

impl<T> Feeds<After> for Collected<T> {
    fn source(&self, graph: &Graph) -> (Source, bool) {
        Feeds::<Many<T>>::source(self, graph)
    }
}

impl<T> Feeds<After> for Vec<Edge<T>> {
    fn source(&self, graph: &Graph) -> (Source, bool) {
        list(self, graph)
    }
}

impl<P, W: Feeds<P>> Feeds<P> for &W {
    fn source(&self, graph: &Graph) -> (Source, bool) {
        (**self).source(graph)
    }
}

fn list<T>(edges: &[Edge<T>], graph: &Graph) -> (Source, bool) {
    let mut entries = Vec::with_capacity(edges.len());
    for edge in edges {
        match graph.refer(edge.graph, edge.from) {
            Some(of) if edge.each => entries.push(Entry::Each(of)),
            Some(of) => entries.push(Entry::One(of)),
            None => graph.foreign.set(true),
        }
    }
    (Source::List(entries), edges.iter().any(|edge| edge.each))
}

/// What a graph gives: nothing, an edge, pieces, or a tuple of two to four of these. Implemented here only.
///
/// ```
/// use giornata::api::{Edge, Graph, Results, graph, op};
/// let one = op("one").run(|_| Ok(1_i64));
/// fn gives<R: Results>(name: &str, define: impl FnOnce(&Graph) -> R) -> String {
///     graph(name).define(define).name().to_owned()
/// }
/// assert_eq!(gives("nothing", |g| { one.call(g); }), "nothing");
/// assert_eq!(gives("one_edge", |g| -> Edge<i64> { one.call(g) }), "one_edge");
/// assert_eq!(gives("two_edges", |g| (one.call(g), one.call(g))), "two_edges");
/// ```
pub trait Results: Copy + 'static {
    #[doc(hidden)]
    fn refs(&self, graph: &Graph) -> Vec<Option<Ref>>;

    /// The same of a call of the graph.
    #[doc(hidden)]
    fn of_call(called: Called, first: u32) -> Self;
}

impl Results for () {
    fn refs(&self, _: &Graph) -> Vec<Option<Ref>> {
        Vec::new()
    }

    fn of_call(_: Called, _: u32) {}
}

impl<T: 'static> Results for Edge<T> {
    fn refs(&self, graph: &Graph) -> Vec<Option<Ref>> {
        vec![graph.refer(self.graph, self.from)]
    }

    fn of_call(called: Called, first: u32) -> Edge<T> {
        Edge::at(called, first)
    }
}

impl<T: 'static> Results for Pieces<T> {
    fn refs(&self, graph: &Graph) -> Vec<Option<Ref>> {
        vec![graph.refer(self.graph, self.from)]
    }

    fn of_call(called: Called, first: u32) -> Pieces<T> {
        Pieces::at(called, first)
    }
}

macro_rules! results {
    ($($R:ident $place:tt),*) => {
        impl<$($R: Results),*> Results for ($($R,)*) {
            fn refs(&self, graph: &Graph) -> Vec<Option<Ref>> {
                let mut refs = Vec::new();
                $(refs.extend(self.$place.refs(graph));)*
                refs
            }

            fn of_call(called: Called, first: u32) -> Self {
                ($($R::of_call(called, first + $place),)*)
            }
        }
    };
}

results!(A 0, B 1);
results!(A 0, B 1, C 2);
results!(A 0, B 1, C 2, D 3);

/// Begins to declare a graph that is called like an op. Its steps are named after the call and the op:
/// `inner.add_one`.
///
/// ```
/// use giornata::api::{graph, job, op};
/// let one = op("one").run(|_| Ok(1_i64));
/// let add_one = op("add_one").input::<i64>("number").run(|_, number| Ok(number + 1));
/// let add_two = graph("add_two").input::<i64>("number").define(|g, number| {
///     let once = add_one.call(g, number);
///     add_one.call(g, once)
/// });
/// let j = job("j").define(|g| {
///     let three = add_two.call(g, one.call(g));
///     add_two.call(g, three);
/// });
/// let result = j.execute_in_process()?;
/// assert_eq!(result.value::<i64>("add_two_2.add_one_2")?, 5);
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
pub fn graph(name: &str) -> GraphBuilder<()> {
    GraphBuilder { graph: Graph::new(name), name: name.to_owned(), inputs: PhantomData }
}

/// A graph in the making: `I` are its inputs, at most three. It is ended by
/// [`define`](GraphBuilder::define). See the example of [`graph`](super::graph()).
#[must_use = "a graph is finished by `define`"]
pub struct GraphBuilder<I> {
    graph: Graph,
    name: String,
    inputs: PhantomData<fn(I)>,
}

impl<I> GraphBuilder<I> {
    /// Takes one `T`: an edge within the graph. See the example of [`graph`](super::graph()).
    pub fn input<T: Data>(self, name: &str) -> GraphBuilder<I::With>
    where
        I: Longer<One<T>>,
    {
        let name_shared = name.into();
        self.graph.input(InputDecl { name: name_shared, takes: Takes::One, kind: type_of::<T>() });
        GraphBuilder { graph: self.graph, name: self.name, inputs: PhantomData }
    }
}

/// A declared graph, to be called in other graphs any number of times: `I` are its inputs, `R` what it
/// gives.
///
/// ```
/// use giornata::api::{Edge, One, SubGraph, graph, job, op};
/// let add_one = op("add_one").input::<i64>("number").run(|_, number| Ok(number + 1));
/// let add_two: SubGraph<(One<i64>,), Edge<i64>> = graph("add_two")
///     .input::<i64>("number")
///     .define(|g, number| add_one.call(g, add_one.call(g, number)));
/// assert_eq!(add_two.name(), "add_two");
///
/// let one = op("one").run(|_| Ok(1_i64));
/// let j = job("j").define(|g| { add_one.call(g, add_two.call(g, one.call(g))); });
/// assert_eq!(j.execute_in_process()?.value::<i64>("add_one")?, 4);
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
pub struct SubGraph<I, R> {
    callable: Callable,
    types: PhantomData<fn(I) -> R>,
}

impl<I, R: Results> SubGraph<I, R> {
    pub(super) fn callable(&self) -> &Callable {
        &self.callable
    }

    fn new(name: String, graph: Graph, results: R) -> SubGraph<I, R> {
        let refs = results.refs(&graph);
        let name_of = |place: usize| match refs.len() {
            1 => OutputDecl::RESULT.to_owned(),
            _ => format!("result_{}", place + 1),
        };
        let mut named = Vec::new();
        for (place, of) in refs.iter().enumerate() {
            match of {
                Some(of) => named.push((name_of(place), of.clone())),
                None => {
                    let origin = Origin { file: "".into(), line: 0 };
                    let mistake = (name.clone(), origin, JobMistakeKind::Foreign);
                    graph.inner.borrow_mut().mistakes.push(mistake);
                    // The places of the other results must stay.
                    let nothing = Ref::Port(Port::only(&name));
                    named.push((name_of(place), nothing));
                }
            }
        }
        let (graph, parts) = graph.finish(named);
        let callee = Callee::Graph(Arc::new(graph));
        let callable = Callable { name, callee, slot: next_slot().0, parts: Arc::new(parts) };
        SubGraph { callable, types: PhantomData }
    }

    /// Its name, after which calls of it are named; see the example of [`SubGraph`].
    pub fn name(&self) -> &str {
        &self.callable.name
    }
}

macro_rules! graphs {
    ($($T:ident $edge:ident $place:tt),*) => {
        impl<$($T: Data),*> GraphBuilder<($(One<$T>,)*)> {
            /// Says which ops the graph calls, and what it gives; ends the declaration. The function is called at once,
            /// with an edge for each input. Mistakes are told by the job that calls the graph. See the example of
            /// [`graph`](super::graph()).
            pub fn define<R: Results>(
                self,
                define: impl FnOnce(&Graph, $(Edge<$T>),*) -> R,
            ) -> SubGraph<($(One<$T>,)*), R> {
                $(let $edge = Edge {
                    graph: self.graph.id,
                    from: From::Input($place),
                    each: false,
                    value: PhantomData,
                };)*
                let results = define(&self.graph, $($edge),*);
                SubGraph::new(self.name, self.graph, results)
            }
        }

        impl<$($T: Data,)* R: Results> SubGraph<($(One<$T>,)*), R> {
            /// Adds the steps of the graph to another one, and says what they read; gives what the graph gives. A second
            /// call is named `NAME_2`. See the example of [`SubGraph`].
            #[track_caller]
            pub fn call(&self, graph: &Graph, $($edge: impl Feeds<One<$T>>),*) -> R {
                let sources: Vec<(Source, bool)> = vec![$($edge.source(graph)),*];
                R::of_call(graph.add(&self.callable, sources, origin(Location::caller())), 0)
            }
        }
    };
}

graphs!();
graphs!(A a 0);
graphs!(A a 0, B b 1);
graphs!(A a 0, B b 1, C c 2);
