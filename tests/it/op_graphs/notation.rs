//! Reads the table's graphs, which are in the notation of Python, and makes graphs of ours of them: in this
//! process, or in the words of a file.

use std::collections::HashMap;

use giornata::defs::{Entry, Port, Ref, Source};

/// A graph in the making.
pub trait Make: Sized {
    /// An op or a graph that can be called.
    type Callee: Clone;

    fn new(name: &str) -> Self;
    fn input(&mut self, name: &str);
    /// Adds a call, under a name of its own if none is given; returns the name.
    fn call(
        &mut self,
        name: Option<&str>,
        callee: &Self::Callee,
        wires: Vec<(String, Source)>,
    ) -> String;
    fn into_callee(self, name: &str, results: Vec<(String, Ref)>) -> Self::Callee;
    fn inputs(callee: &Self::Callee) -> Vec<String>;
    fn outputs(callee: &Self::Callee) -> Vec<String>;
}

/// What cannot be said in a graph at all.
pub type Refusal = String;

#[derive(Debug, Clone)]
enum Expr {
    Name(String),
    Text(String),
    List(Vec<Expr>),
    Dict(Vec<(String, Expr)>),
    Call(Box<Expr>, Vec<(Option<String>, Expr)>),
    Attribute(Box<Expr>, String),
    Lambda(String, Box<Expr>),
}

#[derive(Debug)]
enum Statement {
    Let(Vec<String>, Expr),
    Do(Expr),
    Return(Expr),
    Define(String, Vec<String>, Vec<Statement>),
}

// ---- reading

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn eat(&mut self, token: &str) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn word(&mut self) -> String {
        self.rest = self.rest.trim_start();
        let end = self.rest.find(|c: char| !c.is_alphanumeric() && c != '_');
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        assert!(!word.is_empty(), "a word is missing before `{}`", self.rest);
        self.rest = rest;
        word.to_owned()
    }

    fn text(&mut self) -> Option<String> {
        let quote = ["'", "\""].into_iter().find(|quote| self.eat(quote))?;
        let (text, rest) = self.rest.split_once(quote).unwrap();
        self.rest = rest;
        Some(text.to_owned())
    }

    fn expr(&mut self) -> Expr {
        let mut expr = self.primary();
        loop {
            if self.eat("(") {
                expr = Expr::Call(Box::new(expr), self.arguments());
            } else if self.eat(".") {
                expr = Expr::Attribute(Box::new(expr), self.word());
            } else {
                return expr;
            }
        }
    }

    fn primary(&mut self) -> Expr {
        if let Some(text) = self.text() {
            return Expr::Text(text);
        }
        if self.eat("[") {
            let mut items = Vec::new();
            while !self.eat("]") {
                items.push(self.expr());
                self.eat(",");
            }
            return Expr::List(items);
        }
        if self.eat("{") {
            let mut items = Vec::new();
            while !self.eat("}") {
                let name = self.text().unwrap();
                assert!(self.eat(":"));
                items.push((name, self.expr()));
                self.eat(",");
            }
            return Expr::Dict(items);
        }
        if self.eat("(") {
            let expr = self.expr();
            assert!(self.eat(")"));
            return expr;
        }
        let word = self.word();
        if word == "lambda" {
            let name = self.word();
            assert!(self.eat(":"));
            return Expr::Lambda(name, Box::new(self.expr()));
        }
        Expr::Name(word)
    }

    fn arguments(&mut self) -> Vec<(Option<String>, Expr)> {
        let mut arguments = Vec::new();
        while !self.eat(")") {
            let before = self.rest;
            let name = (before.trim_start().starts_with(|c: char| c.is_alphabetic() || c == '_'))
                .then(|| self.word());
            let name = name.filter(|_| self.eat("="));
            if name.is_none() {
                self.rest = before;
            }
            arguments.push((name, self.expr()));
            self.eat(",");
        }
        arguments
    }
}

fn expr(text: &str) -> Expr {
    let mut reader = Reader { rest: text };
    let expr = reader.expr();
    assert!(reader.rest.trim().is_empty(), "left over: `{}`", reader.rest);
    expr
}

fn statements(lines: &[&str]) -> Vec<Statement> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at].trim();
        at += 1;
        if line.is_empty() || line.starts_with('@') {
            continue;
        }
        if let Some(head) = line.strip_prefix("def ") {
            let (name, params) = head.trim_end_matches(':').split_once('(').unwrap();
            let params = params.trim_end_matches(')').split(',').map(str::trim);
            let params = params.filter(|param| !param.is_empty()).map(str::to_owned).collect();
            let body = lines[at..].iter().take_while(|line| line.starts_with([' ', '\t']));
            let count = body.count();
            let body = statements(&lines[at..at + count]);
            found.push(Statement::Define(name.trim().to_owned(), params, body));
            at += count;
        } else if let Some(value) = line.strip_prefix("return ") {
            found.push(Statement::Return(expr(value)));
        } else {
            let assigned = line.split_once(" = ").filter(|(names, _)| !names.contains(['(', '[']));
            found.push(match assigned {
                Some((names, value)) => {
                    let names = names.split(',').map(|name| name.trim().to_owned());
                    Statement::Let(names.collect(), expr(value))
                }
                None => Statement::Do(expr(line)),
            });
        }
    }
    found
}

// ---- making

/// What an expression stands for.
#[derive(Debug, Clone)]
enum Handle {
    Nothing,
    Input(String),
    One {
        port: Port,
        each: bool,
    },
    /// Of each piece; may not be used as it is.
    Pieces(Port),
    Collected(Port),
    List(Vec<Handle>),
    Named(Vec<(String, Handle)>),
}

/// What can be called, with which of its outputs give pieces.
type Callable<G> = (<G as Make>::Callee, Vec<bool>);

/// The names that are known in one graph.
struct Scope<G: Make> {
    callables: HashMap<String, Callable<G>>,
    locals: HashMap<String, Handle>,
}

impl<G: Make> Scope<G> {
    fn with(&self, locals: impl IntoIterator<Item = (String, Handle)>) -> Scope<G> {
        Scope { callables: self.callables.clone(), locals: locals.into_iter().collect() }
    }
}

/// The graph of a text. `ops` are the ops by name, each with which of its outputs give pieces.
pub fn graph<G: Make>(text: &str, ops: HashMap<String, Callable<G>>) -> Result<G, Refusal> {
    let lines: Vec<&str> = text.lines().collect();
    let mut scope = Scope { callables: ops, locals: HashMap::new() };
    let mut graph = G::new("j_");
    run(&statements(&lines), &mut scope, &mut graph)?;
    Ok(graph)
}

/// Returns what is returned.
fn run<G: Make>(
    body: &[Statement],
    scope: &mut Scope<G>,
    graph: &mut G,
) -> Result<Handle, Refusal> {
    for statement in body {
        match statement {
            Statement::Do(value) => {
                evaluate(value, scope, graph)?;
            }
            Statement::Return(value) => return evaluate(value, scope, graph),
            Statement::Let(names, value) => {
                let value = evaluate(value, scope, graph)?;
                match (names.as_slice(), value) {
                    ([name], value) => {
                        scope.locals.insert(name.clone(), value);
                    }
                    (names, Handle::Named(values)) if names.len() == values.len() => {
                        let values = values.into_iter().map(|(_, value)| value);
                        scope.locals.extend(names.iter().cloned().zip(values));
                    }
                    (names, value) => return Err(format!("{names:?} are not {value:?}")),
                }
            }
            Statement::Define(name, params, body) => {
                let defined = define(name, params, body, scope)?;
                scope.callables.insert(name.clone(), defined);
            }
        }
    }
    Ok(Handle::Nothing)
}

fn define<G: Make>(
    name: &str,
    params: &[String],
    body: &[Statement],
    outside: &Scope<G>,
) -> Result<Callable<G>, Refusal> {
    let mut graph = G::new(name);
    params.iter().for_each(|param| graph.input(param));
    let locals = params.iter().map(|param| (param.clone(), Handle::Input(param.clone())));
    let mut scope = outside.with(locals);
    let results = match run(body, &mut scope, &mut graph)? {
        Handle::Nothing => Vec::new(),
        Handle::Named(values) => values,
        value => vec![("result".to_owned(), value)],
    };
    let mut pieces = Vec::new();
    let mut refs = Vec::new();
    for (name, value) in results {
        pieces.push(matches!(value, Handle::Pieces(_)));
        let of = match value {
            Handle::Input(input) => Ref::Input(input),
            Handle::One { port, .. } | Handle::Pieces(port) => Ref::Port(port),
            other => return Err(format!("a graph cannot return {other:?}")),
        };
        refs.push((name, of));
    }
    Ok((graph.into_callee(name, refs), pieces))
}

fn evaluate<G: Make>(expr: &Expr, scope: &Scope<G>, graph: &mut G) -> Result<Handle, Refusal> {
    match expr {
        Expr::Name(name) => match scope.locals.get(name) {
            Some(value) => Ok(value.clone()),
            None => Err(format!("`{name}` is no value")),
        },
        Expr::List(items) => {
            let items = items.iter().map(|item| evaluate(item, scope, graph));
            Ok(Handle::List(items.collect::<Result<_, _>>()?))
        }
        Expr::Dict(items) => {
            let items =
                items.iter().map(|(name, item)| Ok((name.clone(), evaluate(item, scope, graph)?)));
            Ok(Handle::Named(items.collect::<Result<_, Refusal>>()?))
        }
        Expr::Attribute(of, name) => match evaluate(of, scope, graph)? {
            Handle::Named(values) => {
                let found = values.into_iter().find(|(output, _)| output == name);
                found.map(|(_, value)| value).ok_or_else(|| format!("no output `{name}`"))
            }
            other => Err(format!("{other:?} has no `{name}`")),
        },
        Expr::Call(callee, arguments) => call(callee, arguments, scope, graph),
        Expr::Text(_) | Expr::Lambda(..) => Err(format!("{expr:?} is no value of a graph")),
    }
}

fn call<G: Make>(
    callee: &Expr,
    arguments: &[(Option<String>, Expr)],
    scope: &Scope<G>,
    graph: &mut G,
) -> Result<Handle, Refusal> {
    if let Expr::Attribute(of, method) = callee
        && matches!(method.as_str(), "map" | "collect")
    {
        return match (evaluate(of, scope, graph)?, method.as_str(), arguments) {
            (Handle::Pieces(port), "collect", []) => Ok(Handle::Collected(port)),
            (Handle::Pieces(port), "map", [(_, function)]) => {
                let piece = Handle::One { port, each: true };
                pieces(apply(function, piece, scope, graph)?)
            }
            (value, _, _) => Err(format!("`{method}` of {value:?}")),
        };
    }
    let (callable, name) = callable(callee, scope)?;
    let mut values = Vec::new();
    for (name, argument) in arguments {
        values.push((name.clone(), evaluate(argument, scope, graph)?));
    }
    invoke(&callable, name.as_deref(), values, graph)
}

/// What is called, and under which name.
fn callable<G: Make>(
    expr: &Expr,
    scope: &Scope<G>,
) -> Result<(Callable<G>, Option<String>), Refusal> {
    match expr {
        Expr::Name(name) => match scope.callables.get(name) {
            Some(callable) => Ok((callable.clone(), None)),
            None => Err(format!("`{name}` cannot be called")),
        },
        Expr::Call(method, arguments) => match (&**method, arguments.as_slice()) {
            (Expr::Attribute(of, method), [(_, Expr::Text(alias))]) if method == "alias" => {
                Ok((callable(of, scope)?.0, Some(alias.clone())))
            }
            (other, _) => Err(format!("{other:?} cannot be called")),
        },
        other => Err(format!("{other:?} cannot be called")),
    }
}

fn apply<G: Make>(
    function: &Expr,
    piece: Handle,
    scope: &Scope<G>,
    graph: &mut G,
) -> Result<Handle, Refusal> {
    match function {
        Expr::Lambda(name, body) => {
            let locals = scope.locals.clone().into_iter().chain([(name.clone(), piece)]);
            evaluate(body, &scope.with(locals), graph)
        }
        other => {
            let (callable, name) = callable(other, scope)?;
            invoke(&callable, name.as_deref(), vec![(None, piece)], graph)
        }
    }
}

/// What was made of each piece is one of pieces again.
fn pieces(made: Handle) -> Result<Handle, Refusal> {
    match made {
        Handle::One { port, .. } | Handle::Pieces(port) => Ok(Handle::Pieces(port)),
        Handle::Named(values) => {
            let values = values.into_iter().map(|(name, value)| Ok((name, pieces(value)?)));
            Ok(Handle::Named(values.collect::<Result<_, Refusal>>()?))
        }
        Handle::Nothing => Ok(Handle::Nothing),
        other => Err(format!("the pieces of {other:?}")),
    }
}

fn invoke<G: Make>(
    (callee, pieces): &Callable<G>,
    name: Option<&str>,
    arguments: Vec<(Option<String>, Handle)>,
    graph: &mut G,
) -> Result<Handle, Refusal> {
    let inputs = G::inputs(callee);
    let mut each = false;
    let mut wires = Vec::new();
    for (place, (name, value)) in arguments.into_iter().enumerate() {
        each |= is_mapped(&value);
        let input = match name {
            Some(name) => name,
            None => inputs.get(place).cloned().ok_or("too many arguments")?,
        };
        wires.push((input, source(value)?));
    }
    let call = graph.call(name, callee, wires);
    let outputs = G::outputs(callee);
    let handle = |(output, pieces): (&String, &bool)| {
        let port = Port::new(&call, output);
        match pieces {
            true => Handle::Pieces(port),
            false => Handle::One { port, each },
        }
    };
    let mut handles: Vec<Handle> = outputs.iter().zip(pieces).map(handle).collect();
    Ok(match handles.len() {
        0 => Handle::Nothing,
        1 => handles.remove(0),
        _ => Handle::Named(outputs.into_iter().zip(handles).collect()),
    })
}

fn is_mapped(handle: &Handle) -> bool {
    match handle {
        Handle::One { each, .. } => *each,
        Handle::List(items) => items.iter().any(is_mapped),
        Handle::Nothing | Handle::Input(_) | Handle::Pieces(_) => false,
        Handle::Collected(_) | Handle::Named(_) => false,
    }
}

fn source(handle: Handle) -> Result<Source, Refusal> {
    Ok(match handle {
        Handle::Input(name) => Source::One(Ref::Input(name)),
        Handle::One { port, each: false } => Source::One(Ref::Port(port)),
        Handle::One { port, each: true } => Source::Each(Ref::Port(port)),
        // Wired as it is; that it gives pieces is for the graph to say.
        Handle::Pieces(port) => Source::One(Ref::Port(port)),
        Handle::Collected(port) => Source::Collect(Ref::Port(port)),
        Handle::List(items) => {
            let entry = |item| match source(item)? {
                Source::One(of) => Ok(Entry::One(of)),
                Source::Each(of) => Ok(Entry::Each(of)),
                other => Err(format!("{other:?} in a list")),
            };
            Source::List(items.into_iter().map(entry).collect::<Result<_, Refusal>>()?)
        }
        Handle::Nothing | Handle::Named(_) => return Err("it is not one value".to_owned()),
    })
}
