//! Graphs as text, and the flows or the mistakes that they give.

use std::fmt::Write;
use std::sync::Arc;

use expect_test::{Expect, expect};

use super::*;
use crate::defs::{Body, Emits, FunctionBody, FunctionSlot, Item, Least, Slot, Takes, Wiring};

/// `add(a: int, xs: *int, after: -) -> result: int, x?, y*: string, z*?`
fn op(text: &str) -> Arc<Op> {
    let (head, outputs) = text.split_once(" -> ").unwrap_or((text, "result"));
    let head = head.strip_suffix(')').unwrap_or(head);
    let (name, inputs) = head.split_once('(').unwrap_or((head, ""));
    let body = FunctionBody { version: "1".to_owned(), slot: FunctionSlot::Op(0) };
    let mut op = Op::new(name, origin(), Body::Function(body));
    let declared = |text: &str| -> Vec<(String, String)> {
        let parts = text.split(", ").filter(|part| !part.is_empty());
        let split = |part: &str| {
            let (name, kind) = part.split_once(": ").unwrap_or((part, "any"));
            (name.to_owned(), kind.to_owned())
        };
        parts.map(split).collect()
    };
    let input = |(name, kind): (String, String)| {
        let (takes, kind) = match kind.strip_prefix('*') {
            Some(kind) => (Takes::Many, kind),
            None if kind == "-" => (Takes::Nothing, "any"),
            None => (Takes::One, kind.as_str()),
        };
        InputDecl { name: name.as_str().into(), takes, kind: TypeRef::parse(kind).unwrap() }
    };
    op.inputs = declared(inputs).into_iter().map(input).collect();
    let output = |(name, kind): (String, String)| {
        let emits = match name.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_') {
            "" => Emits::Required,
            "?" => Emits::Optional,
            "*" => Emits::Pieces(Least::None),
            "*?" => Emits::Pieces(Least::Skip),
            other => panic!("{other}"),
        };
        let name = name.trim_end_matches(['?', '*']).into();
        OutputDecl { name, emits, kind: TypeRef::parse(&kind).unwrap(), ..OutputDecl::result() }
    };
    op.outputs = declared(outputs).into_iter().map(output).collect();
    Arc::new(op)
}

fn origin() -> Origin {
    Origin { file: "jobs.yaml".into(), line: 1 }
}

/// `a`, `a.x`, `$input`
fn of(text: &str) -> Ref {
    match (text.strip_prefix('$'), text.split_once('.')) {
        (Some(input), _) => Ref::Input(input.to_owned()),
        (None, Some((call, output))) => Ref::Port(Port::new(call, output)),
        (None, None) => Ref::Port(Port::only(text)),
    }
}

/// `a`, `each a`, `collect a`, `[a, each b]`, `= 3`
fn source(text: &str) -> Source {
    if let Some(items) = text.strip_prefix('[') {
        let items = items.trim_end_matches(']').split(", ").filter(|item| !item.is_empty());
        let entry = |item: &str| match item.strip_prefix("each ") {
            Some(item) => Entry::Each(of(item)),
            None => Entry::One(of(item)),
        };
        return Source::List(items.map(entry).collect());
    }
    match text.split_once(' ') {
        Some(("each", text)) => Source::Each(of(text)),
        Some(("collect", text)) => Source::Collect(of(text)),
        Some(("=", text)) => Source::Value(serde_json::from_str(text).unwrap()),
        Some(other) => panic!("{other:?}"),
        None => Source::One(of(text)),
    }
}

/// `name: input = source; input = source; after x`
fn call(callee: impl Into<Callee>, text: &str) -> Call {
    let (name, wires) = text.split_once(": ").unwrap_or((text, ""));
    let parts: Vec<&str> = wires.split("; ").filter(|part| !part.is_empty()).collect();
    let after = parts.iter().filter_map(|part| part.strip_prefix("after "));
    let wire = |part: &&str| {
        let (input, text) = part.split_once(" = ").unwrap();
        (input.to_owned(), source(text))
    };
    Call {
        name: name.to_owned(),
        callee: callee.into(),
        wires: parts.iter().filter(|part| !part.starts_with("after ")).map(wire).collect(),
        after: after.map(str::to_owned).collect(),
        hooks: Hooks::default(),
        origin: origin(),
    }
}

impl From<&Arc<Op>> for Callee {
    fn from(op: &Arc<Op>) -> Callee {
        Callee::Op(op.clone())
    }
}

impl From<&Arc<Graph>> for Callee {
    fn from(graph: &Arc<Graph>) -> Callee {
        Callee::Graph(graph.clone())
    }
}

fn graph(inputs: &[&str], calls: Vec<Call>, results: &[(&str, &str)]) -> Arc<Graph> {
    Arc::new(Graph {
        name: "g".to_owned(),
        inputs: inputs.iter().map(|name| InputDecl::one(name)).collect(),
        calls,
        results: results.iter().map(|(name, text)| ((*name).to_owned(), of(text))).collect(),
    })
}

#[track_caller]
fn check(calls: Vec<Call>, expect: Expect) {
    check_graph(&graph(&[], calls, &[]), expect);
}

#[track_caller]
fn check_graph(graph: &Graph, expect: Expect) {
    let mut out = String::new();
    match graph.compile(&JobName::parse("job").unwrap()) {
        Err(mistakes) => mistakes.iter().for_each(|mistake| writeln!(out, "{mistake}").unwrap()),
        Ok(flow) => {
            for (place, step) in flow.steps.iter().enumerate() {
                assert_eq!(step.def.name.as_str(), format!("job/{}", step.path));
                assert!(step.reads().all(|slot| (slot.step as usize) < place));
                write!(out, "{}", step.path).unwrap();
                for (input, wiring) in step.def.inputs.iter().zip(&step.wires) {
                    write!(out, " {}={}", input.name, wired(&flow, wiring)).unwrap();
                }
                for after in &step.after {
                    write!(out, " after {}", flow.steps[*after as usize].path).unwrap();
                }
                if let Some(scope) = step.scope {
                    write!(out, " over {}", slot(&flow, scope)).unwrap();
                }
                out.push('\n');
            }
            for (name, wiring) in &flow.results {
                writeln!(out, "gives {name}={}", wired(&flow, wiring)).unwrap();
            }
        }
    }
    expect.assert_eq(&out);
}

fn slot(flow: &Flow, slot: Slot) -> String {
    format!("{}.{}", flow.steps[slot.step as usize].path, flow.output(slot).name)
}

fn wired(flow: &Flow, wiring: &Wiring) -> String {
    match wiring {
        Wiring::One(of) => slot(flow, *of),
        Wiring::Each(of) => format!("each({})", slot(flow, *of)),
        Wiring::Collect(of) => format!("collect({})", slot(flow, *of)),
        Wiring::Input(at) => format!("${}", flow.inputs[*at as usize].name),
        Wiring::Value(value) => value.to_string(),
        Wiring::List(items) => {
            let item = |item: &Item| match item {
                Item::One(of) => slot(flow, *of),
                Item::Each(of) => format!("each({})", slot(flow, *of)),
                Item::Input(at) => format!("${}", flow.inputs[*at as usize].name),
                Item::Value(value) => value.to_string(),
            };
            format!("[{}]", items.iter().map(item).collect::<Vec<_>>().join(","))
        }
    }
}

#[test]
fn steps_come_after_what_they_read() {
    let (one, add) = (op("one"), op("add(a: int)"));
    check(
        vec![
            call(&add, "z: a = y.result"),
            call(&add, "y: a = x"),
            call(&one, "x"),
            call(&add, "w: a = = 3; after z"),
        ],
        expect![[r#"
            x
            y a=x.result
            z a=y.result
            w a=3 after z
        "#]],
    );
}

#[test]
fn graphs_are_flat_and_their_steps_have_paths() {
    let (one, add) = (op("one"), op("add(a: int) -> result: int"));
    let inner = graph(
        &["x"],
        vec![call(&add, "add: a = $x"), call(&add, "add_2: a = add")],
        &[("result", "add_2")],
    );
    let outer = graph(
        &["seed"],
        vec![
            call(&one, "one"),
            call(&inner, "inner: x = one"),
            call(&inner, "inner_2: x = inner; after one"),
            call(&add, "last: a = $seed"),
        ],
        &[("result", "inner_2"), ("same", "$seed")],
    );
    check_graph(
        &outer,
        expect![[r#"
            one
            inner.add a=one.result
            inner.add_2 a=inner.add.result
            inner_2.add a=inner.add_2.result after one
            inner_2.add_2 a=inner_2.add.result after one
            last a=$seed
            gives result=inner_2.add_2.result
            gives same=$seed
        "#]],
    );
}

#[test]
fn pieces_are_mapped_and_collected() {
    let (load, add, merge) = (op("load -> result*"), op("add(a: int)"), op("merge(xs: *int)"));
    let two = op("two(a: int, b: int)");
    check(
        vec![
            call(&load, "load"),
            call(&add, "other: a = = 1"),
            call(&add, "piece: a = each load"),
            call(&two, "both: a = each piece; b = other"),
            call(&merge, "near: xs = [each both, other]"),
            call(&merge, "merge: xs = collect both"),
            call(&merge, "all: xs = collect load"),
        ],
        expect![[r#"
            load
            other a=1
            piece a=each(load.result) over load.result
            both a=each(piece.result) b=other.result over load.result
            near xs=[each(both.result),other.result] over load.result
            merge xs=collect(both.result)
            all xs=collect(load.result)
        "#]],
    );
}

#[test]
fn a_graph_that_is_mapped_maps_what_depends_on_the_piece() {
    let (load, add, one) = (op("load -> result*"), op("add(a: int)"), op("one"));
    let inner = graph(
        &["x"],
        vec![call(&add, "first: a = $x"), call(&add, "second: a = first"), call(&one, "apart")],
        &[("result", "second")],
    );
    let outer = graph(
        &[],
        vec![call(&load, "load"), call(&inner, "inner: x = each load")],
        &[("all", "inner")],
    );
    check_graph(
        &outer,
        expect![[r#"
            load
            inner.first a=each(load.result) over load.result
            inner.second a=each(inner.first.result) over load.result
            inner.apart
            gives all=collect(inner.second.result)
        "#]],
    );
}

#[test]
fn wrong_names_are_all_reported_with_what_may_be_meant() {
    let (one, add) = (op("one"), op("add(number: int)"));
    let pick = op("pick -> left?, right?");
    check(
        vec![
            call(&one, "one"),
            call(&one, "one"),
            call(&one, "a b"),
            call(&pick, "pick"),
            call(&add, "b: number = oen"),
            call(&add, "c: number = pick.lift"),
            call(&add, "d: number = pick"),
            call(&add, "e: nunber = one"),
            call(&add, "f: number = one; number = one"),
            call(&add, "g: number = $x"),
            call(&add, "h: number = one; after onne"),
        ],
        expect![[r#"
            `one`: there are two calls of this name
            `a b`: the name `a b` cannot be used: it is letters, digits, `_` and `-`
            `b`: there is no `oen` in this graph; did you mean `one`?
            `c`: `pick` has no output `lift`; did you mean `left`?
            `d`: `pick` has the outputs `left`, `right`; say which, as in `pick.left`
            `e`: it has no input `nunber`; did you mean `number`?
            `e`: nothing is wired into its input `number`
            `f`: its input `number` is wired twice
            `g`: this graph has no input `x`
            `h`: there is no `onne` in this graph; did you mean `one`?
        "#]],
    );
}

#[test]
fn what_goes_wrong_with_pieces_is_reported() {
    let (load, add, two) = (op("load -> result*"), op("add(a: int)"), op("two(a: int, b: int)"));
    let split = op("split(a: int) -> result*");
    let inner = graph(&["x"], vec![call(&add, "piece: a = each $x")], &[]);
    check(
        vec![
            call(&load, "load"),
            call(&load, "load_2"),
            call(&add, "plain: a = = 1"),
            call(&add, "mapped: a = each load"),
            call(&add, "direct: a = load"),
            call(&add, "direct_2: a = mapped"),
            call(&add, "each: a = each plain"),
            call(&add, "all: a = collect plain"),
            call(&two, "two: a = each load; b = each load_2"),
            call(&split, "split: a = each mapped"),
            call(&inner, "inner: x = plain"),
            call(&add, "list: a = [mapped]"),
        ],
        expect![[r#"
            `direct`: `load` gives pieces; its input `a` needs one value: map it over each piece, or collect them
            `direct_2`: `mapped` gives pieces; its input `a` needs one value: map it over each piece, or collect them
            `each`: `plain` gives one value, no pieces, so there is nothing to map
            `all`: `plain` gives one value, no pieces, so there is nothing to collect
            `two`: it is mapped over the pieces of both `load.result` and `load_2.result`; collect one of them
            `split`: it gives pieces and is itself mapped over the pieces of `load.result`; collect those first
            `inner.piece`: `x` is one value within this graph; it is mapped or collected where the graph is called
        "#]],
    );
}

#[test]
fn a_circle_is_named() {
    let add = op("add(a: int)");
    check(
        vec![
            call(&add, "a: a = c"),
            call(&add, "b: a = a"),
            call(&add, "c: a = b"),
            call(&add, "d: a = c"),
        ],
        expect![[r#"
            `b`: these wait for each other: b, c, a
        "#]],
    );
    check(
        vec![call(&add, "a: a = a")],
        expect![[r#"
            `a`: these wait for each other: a
        "#]],
    );
}

#[test]
fn a_circle_hides_nothing_else() {
    let add = op("add(a: int)");
    check(
        vec![
            call(&add, "a: a = b"),
            call(&add, "b: a = a"),
            call(&add, "c: a = d"),
            call(&add, "d: a = c"),
            call(&add, "e: a = b; x = c"),
        ],
        expect![[r#"
            `b`: these wait for each other: b, a
            `d`: these wait for each other: d, c
            `e`: it has no input `x`
        "#]],
    );
}

#[test]
fn values_that_can_never_fit_are_reported() {
    let (text, number) = (op("text -> result: string"), op("number -> result: int"));
    let (add, sum, list) = (op("add(a: int)"), op("sum(xs: *int)"), op("list(xs: list(int))"));
    let (float, order) = (op("float(a: float)"), op("order(a: -)"));
    let inner = graph(&["x"], vec![call(&add, "deep: a = $x")], &[]);
    check(
        vec![
            call(&text, "text"),
            call(&number, "number"),
            call(&add, "a: a = text"),
            call(&add, "b: a = = \"3\""),
            call(&sum, "c: xs = [number, text]"),
            call(&sum, "d: xs = number"),
            call(&list, "e: xs = [text]"),
            call(&list, "f: xs = number"),
            call(&add, "g: a = [number]"),
            call(&inner, "h: x = text"),
            call(&float, "fine: a = number"),
            call(&order, "fine_2: a = [text, number]"),
            call(&list, "fine_3: xs = [number]"),
            call(&sum, "fine_4: xs = = [1]"),
        ],
        expect![[r#"
            `a`: its input `a` takes `int`, and `text` gives `string`
            `b`: its input `a` takes `int`, and `the value` gives `"3"`
            `c`: its input `xs` takes `int`, and `number` gives `string`
            `d`: its input `xs` takes many values, and `number` is one; write a list or collect
            `e`: its input `xs` takes `int`, and `text` gives `string`
            `f`: its input `xs` takes `list(int)`, and `number` gives `int`
            `g`: its input `a` takes one value of the type `int`, not a list of several
            `h.deep`: its input `a` takes `int`, and `x` gives `string`
        "#]],
    );
}

#[test]
fn a_mistake_in_a_graph_that_is_called_twice_is_told_once() {
    let add = op("add(a: int)");
    let inner = graph(&[], vec![call(&add, "add: a = nothing")], &[]);
    check(
        vec![call(&inner, "x"), call(&inner, "y")],
        expect![[r#"
            `x.add`: there is no `nothing` in this graph
        "#]],
    );
}

#[test]
fn ten_thousand_calls_in_a_row_need_no_stack() {
    let (one, add) = (op("one"), op("add(a: int)"));
    let mut calls = vec![call(&one, "c0")];
    calls.extend((1..10_000).map(|n| call(&add, &format!("c{n}: a = c{}", n - 1))));
    calls.reverse();
    let flow = graph(&[], calls, &[]).compile(&JobName::parse("long").unwrap()).unwrap();
    assert_eq!(flow.steps.len(), 10_000);
    let mut nested = graph(&[], vec![call(&one, "one")], &[]);
    for _ in 0..500 {
        nested = graph(&[], vec![call(&nested, "g")], &[]);
    }
    let mistakes = nested.compile(&JobName::parse("deep").unwrap()).unwrap_err();
    assert_eq!(mistakes[0].kind, GraphMistakeKind::TooDeep);
}

#[test]
fn steps_that_double_at_each_level_are_counted_and_not_made() {
    let mut twice = graph(&[], vec![call(&op("one"), "one")], &[]);
    for _ in 0..16 {
        twice = graph(&[], vec![call(&twice, "a"), call(&twice, "b")], &[]);
    }
    let job = JobName::parse("wide").unwrap();
    assert_eq!(twice.compile(&job).unwrap().steps.len(), 65_536);
    for _ in 0..60 {
        twice = graph(&[], vec![call(&twice, "a"), call(&twice, "b")], &[]);
    }
    let mistakes = twice.compile(&job).unwrap_err();
    assert_eq!(mistakes.len(), 1);
    assert_eq!(
        mistakes[0].to_string(),
        "`b`: this would be more steps than can be counted; a graph has 100000 steps at the most"
    );
}
