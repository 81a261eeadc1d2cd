//! Recorded tables of what an established orchestrator does with graphs of ops, run as ours.
//!
//! `GIORNATA_CONFORMANCE_DIR` names another folder with larger tables of the same form. A case is
//! translated by rule only: its graph by [`notation`], its ops by [`op_of`].

mod files;
mod notation;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use giornata::api::raw::{self, Arguments, Callees, Emit, Op, SubGraph};
use giornata::api::{
    Again, BoxError, Error, FailureKind, Fatal, Job, JobMistakeKind, JobResult, OpContext, Retries,
    StepState, job,
};
use giornata::defs::{Emits, GraphMistakeKind, Least, Ref, Selection, Source, Work};
use serde_json::{Map, Value, json};

/// Where ours differs, and why; each is told from the case by its rule alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deviation {
    /// `true` is no integer, as everywhere in our configurations; in Python it is one.
    BoolIsNoInt,
    /// An integer is accepted where a float is wanted, as everywhere in our configurations.
    IntIsAFloat,
    /// That declared types can never fit is said before anything runs.
    ClashIsSaidFirst,
    /// An input into which nothing is wired is a mistake of the graph; there it is asked for in the
    /// configuration of the run.
    InputIsWired,
    /// Pieces of pieces are a mistake of the graph even where nobody collects them.
    NestedPieces,
}

fn table(name: &str) -> Value {
    let own = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/conformance"));
    #[expect(clippy::disallowed_methods, reason = "the tests' caller says where the tables are")]
    let folder = std::env::var_os("GIORNATA_CONFORMANCE_DIR").map(PathBuf::from);
    let path = folder.map(|folder| folder.join(name)).filter(|path| path.exists());
    let text = std::fs::read_to_string(path.unwrap_or_else(|| own.join(name))).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn cases(table: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let cases = table["cases"].as_array().unwrap();
    cases.iter().map(|case| (case["id"].as_str().unwrap(), case))
}

/// Runs the cases of a table without or with a selection, and says how each differs.
fn check(name: &str, selections: Selections) {
    let table = table(name);
    let mut wrong = Vec::new();
    let mut count = 0;
    for (id, case) in cases(&table) {
        let has_selection = case.get("op_selection").is_some();
        let differences = match selections {
            Selections::Without if !has_selection => compare_run(case),
            Selections::With if has_selection => compare_selection(case),
            Selections::Without | Selections::With => continue,
        };
        count += 1;
        wrong.extend(differences.into_iter().map(|it| format!("{id}: {it}")));
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}

#[derive(Clone, Copy)]
enum Selections {
    Without,
    With,
}

#[test]
fn conformance_op_graphs() {
    check("op_graphs.json", Selections::Without);
}

#[test]
fn conformance_op_selection() {
    check("op_graphs.json", Selections::With);
}

#[test]
fn conformance_op_graphs_more() {
    check("op_graphs_more.json", Selections::Without);
}

/// The types of the table in our spelling.
fn type_of(name: &str) -> &str {
    match name {
        "list_int" => "list(int)",
        "str" => "string",
        other => other,
    }
}

/// The op of a case, with which of its outputs give pieces.
fn op_of(name: &str, declared: &Value) -> (Op, Vec<bool>) {
    let mut builder = raw::op(name);
    for (input, kind) in declared["ins"].as_object().into_iter().flatten() {
        builder = match kind.as_str().unwrap() {
            "nothing" => builder.after(input),
            kind => builder.input(input, type_of(kind)),
        };
    }
    let single = json!({"result": {}});
    let outputs = declared.get("outs").filter(|outs| !outs.is_null()).unwrap_or(&single);
    let mut pieces = Vec::new();
    let mut names = Vec::new();
    for (output, how) in outputs.as_object().unwrap() {
        let is = |name: &str| how[name].as_bool().unwrap_or(false);
        let emits = match (is("dynamic"), is("optional")) {
            (false, false) => Emits::Required,
            (false, true) => Emits::Optional,
            (true, false) => Emits::Pieces(Least::None),
            (true, true) => Emits::Pieces(Least::Skip),
        };
        builder = builder.output(output, emits, type_of(how["type"].as_str().unwrap_or("any")));
        pieces.push(is("dynamic"));
        names.push(output.clone());
    }
    if let Some(max) = declared["retry_policy"].as_u64() {
        builder = builder.retries(Retries::times(u32::try_from(max).unwrap()));
    }
    let body = Body {
        plus: declared["plus"].as_i64().unwrap_or(0),
        does: declared["does"].clone(),
        first: names[0].clone(),
        // One for the op, whatever its steps and pieces.
        failed: Arc::new(AtomicU64::new(0)),
    };
    (builder.run(move |context, args, to| body.run(context, args, to)), pieces)
}

/// What a table's op does.
struct Body {
    plus: i64,
    does: Value,
    /// The first output.
    first: String,
    failed: Arc<AtomicU64>,
}

impl Body {
    fn run(&self, _: &OpContext<'_>, args: &Arguments, to: &mut Emit<'_>) -> Result<(), BoxError> {
        let does = &self.does;
        let mut total = self.plus;
        for (_, value) in args.iter() {
            total += match value {
                Value::Array(items) => items
                    .iter()
                    .map(|item| number(item).ok_or("no number"))
                    .sum::<Result<i64, _>>()?,
                value => number(value).unwrap_or(0),
            };
        }
        if does["fail_times"].as_u64().unwrap_or(0) > self.failed.load(Ordering::Relaxed) {
            self.failed.fetch_add(1, Ordering::Relaxed);
            return Err(match does["with"].as_str() {
                Some("retry_requested") => {
                    let max = does["max_retries"].as_u64().unwrap_or(1);
                    Again::new("boom").max(u32::try_from(max).unwrap()).into()
                }
                Some("failure_no_retry") => Fatal::new("x").into(),
                Some(_) | None => "boom".into(),
            });
        }
        let is_among = |wanted: &Value| args.iter().any(|(_, value)| value == wanted);
        if does.get("fail_on_value").is_some_and(is_among) {
            return Err("v".into());
        }
        if let Some(pieces) = does["pieces"].as_array() {
            for piece in pieces {
                to.piece(&self.first, piece[0].as_str().unwrap(), piece[1].clone())?;
            }
            return Ok(());
        }
        if let Some(emitted) = does["emit"].as_array() {
            for emitted in emitted {
                to.give(emitted[0].as_str().unwrap(), emitted[1].clone())?;
            }
            return Ok(());
        }
        if does.get("emit_if_not").is_some_and(is_among) {
            return Ok(());
        }
        let value = does.get("return").cloned().unwrap_or_else(|| json!(total));
        Ok(to.give(&self.first, value)?)
    }
}

/// Booleans count, as in the notation's language.
fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_bool().map(i64::from))
}

/// An op or a graph in this process.
#[derive(Clone)]
pub enum Here {
    Op(Op),
    Graph(SubGraph),
}

impl notation::Make for raw::Graph {
    type Callee = Here;

    fn new(name: &str) -> raw::Graph {
        raw::Graph::new(name)
    }

    fn input(&mut self, name: &str) {
        raw::Graph::input(self, name);
    }

    fn call(&mut self, name: Option<&str>, callee: &Here, wires: Vec<(String, Source)>) -> String {
        let wires = wires.iter().map(|(input, source)| (input.as_str(), source.clone()));
        match (callee, name) {
            (Here::Op(op), None) => raw::Graph::call(self, op, wires),
            (Here::Op(op), Some(name)) => self.call_as(name, op, wires),
            (Here::Graph(graph), None) => raw::Graph::call(self, graph, wires),
            (Here::Graph(graph), Some(name)) => self.call_as(name, graph, wires),
        }
    }

    fn into_callee(self, name: &str, results: Vec<(String, Ref)>) -> Here {
        Here::Graph(raw::Graph::into_callee(self, name, results))
    }

    fn inputs(callee: &Here) -> Vec<String> {
        match callee {
            Here::Op(op) => op.inputs(),
            Here::Graph(graph) => graph.inputs(),
        }
    }

    fn outputs(callee: &Here) -> Vec<String> {
        match callee {
            Here::Op(op) => op.outputs(),
            Here::Graph(graph) => graph.outputs(),
        }
    }
}

/// The job of a case, or why its graph cannot even be written.
fn job_of(case: &Value) -> Result<Job, String> {
    let ops = case["ops"].as_object().unwrap();
    let op = |(name, declared): (&String, &Value)| {
        let (op, pieces) = op_of(name, declared);
        (name.clone(), (Here::Op(op), pieces))
    };
    let ops: HashMap<String, _> = ops.iter().map(op).collect();
    let graph: raw::Graph = notation::graph(case["graph"].as_str().unwrap(), ops)?;
    Ok(graph.into_job(job("j_")))
}

fn compare_run(case: &Value) -> Vec<String> {
    let expected = &case["expect"];
    let is_wrong = ["definition_error", "error"].iter().any(|key| expected.get(key).is_some());
    let result = match job_of(case).map(|job| job.execute_in_process()) {
        Err(_) | Ok(Err(_)) if is_wrong => return Vec::new(),
        Err(refusal) => return vec![format!("refused: {refusal}")],
        Ok(Err(error)) => {
            return match deviation_of(&error, expected) {
                Some(_) => Vec::new(),
                None => vec![format!("refused: {error}")],
            };
        }
        Ok(Ok(_)) if is_wrong => return vec![format!("no error; expected {expected}")],
        Ok(Ok(result)) => result,
    };
    if by_value(case).is_some() {
        return Vec::new();
    }
    let mut differences = Vec::new();
    let mut same = |what: &str, ours: Value| {
        if let Some(theirs) = expected.get(what)
            && sorted(theirs) != sorted(&ours)
        {
            differences.push(format!("{what}: expected {theirs}, got {ours}"));
        }
    };
    same("success", json!(result.is_success()));
    same("steps", states(&result));
    same("emitted", emitted(&result));
    same("values", values(&result));
    same("retries", retries(&result));
    for (step, class) in expected["error_class"].as_object().into_iter().flatten() {
        let failure = result.failure(step).map(|failure| failure.kind);
        if !failure.is_some_and(|kind| kinds(class.as_str().unwrap()).contains(&kind)) {
            differences.push(format!("`{step}`: expected {class}, got {failure:?}"));
        }
    }
    differences
}

/// An integer of a float's value is another value; nothing else is told by order or notation.
fn sorted(value: &Value) -> BTreeMap<String, Value> {
    match value {
        Value::Object(fields) => {
            let shown = fields.iter().filter(|(_, value)| !value.is_null());
            shown.map(|(name, value)| (name.clone(), json!(sorted_or(value)))).collect()
        }
        other => BTreeMap::from([(String::new(), other.clone())]),
    }
}

fn sorted_or(value: &Value) -> Value {
    match value {
        Value::Object(_) => json!(sorted(value)),
        other => other.clone(),
    }
}

fn states(result: &JobResult) -> Value {
    let mut steps = Map::new();
    for (name, state) in result.steps() {
        let text = match state {
            StepState::Success => "success",
            StepState::Failed => "failure",
            StepState::Skipped => "skipped",
            // It never ran, and nothing is said of it.
            StepState::Blocked => continue,
            StepState::Waiting | StepState::Ready | StepState::Running => {
                panic!("`{name}` is {state} at the end")
            }
        };
        steps.insert(name, json!(text));
    }
    steps.into()
}

fn emitted(result: &JobResult) -> Value {
    let emitted = result.steps().map(|(name, _)| (name.clone(), result.emitted(&name)));
    let some = emitted.filter(|(_, outputs)| !outputs.is_empty());
    some.map(|(name, outputs)| (name, json!(outputs))).collect::<Map<_, _>>().into()
}

/// Of mapped steps, the values by piece, unless one of the pieces failed or there are none.
fn values(result: &JobResult) -> Value {
    let mut values = Map::new();
    let mut failed = BTreeSet::new();
    for (name, state) in result.steps() {
        let path = name.split('[').next().unwrap().to_owned();
        if state == StepState::Failed {
            failed.insert(path);
        } else if name.contains('[') || result.value::<Value>(&name).is_err() {
            let pieces = result.pieces::<Value>(&path);
            let pieces: Map<String, Value> =
                pieces.into_iter().flatten().map(|(key, value)| (key.to_string(), value)).collect();
            if !pieces.is_empty() {
                values.insert(path, pieces.into());
            }
        } else if let Ok(value) = result.value::<Value>(&name) {
            values.insert(name, value);
        }
    }
    values.retain(|path, _| !failed.contains(path));
    values.into()
}

fn retries(result: &JobResult) -> Value {
    let retries = result.steps().filter_map(|(name, _)| {
        let retries = result.attempts(&name)? - 1;
        (retries > 0).then(|| (name, json!(retries)))
    });
    retries.collect::<Map<_, _>>().into()
}

/// Which of our failures are meant by a class of theirs.
fn kinds(class: &str) -> &'static [FailureKind] {
    match class {
        "DagsterExecutionStepExecutionError" => &[FailureKind::Function, FailureKind::Panic],
        "RetryRequested" | "RetryRequestedFromPolicy" => &[FailureKind::Function],
        "DagsterStepOutputNotFoundError" => &[FailureKind::Missing],
        "DagsterInvariantViolationError" => &[FailureKind::Emission],
        "DagsterTypeCheckDidNotPass" => &[FailureKind::Type],
        "DagsterInvalidDefinitionError" => &[FailureKind::PieceKey],
        "Failure" => &[FailureKind::Fatal, FailureKind::Function],
        other => panic!("no class {other}"),
    }
}

/// Whether a graph that they run, and we refuse, is one of those that differ by a rule of ours.
fn deviation_of(error: &Error, expected: &Value) -> Option<Deviation> {
    let Error::Job { mistakes, .. } = error else { return None };
    let classes = expected["error_class"].as_object();
    let has_clash = classes
        .is_some_and(|classes| classes.values().any(|class| class == "DagsterTypeCheckDidNotPass"));
    let rule = |kind: &JobMistakeKind| match kind {
        JobMistakeKind::Graph(GraphMistakeKind::TypeClash { .. }) if has_clash => {
            Some(Deviation::ClashIsSaidFirst)
        }
        JobMistakeKind::Graph(GraphMistakeKind::NotWired { .. }) => Some(Deviation::InputIsWired),
        JobMistakeKind::Graph(GraphMistakeKind::NestedDynamic { .. }) => {
            Some(Deviation::NestedPieces)
        }
        _ => None,
    };
    let rules: Option<Vec<Deviation>> =
        mistakes.iter().map(|mistake| rule(&mistake.kind)).collect();
    rules?.first().copied()
}

/// Whether a case turns on a value whose type we judge in another way.
fn by_value(case: &Value) -> Option<Deviation> {
    let ops = case["ops"].as_object().unwrap();
    let takes = |kind: &str| {
        ops.values().any(|op| {
            let ins = op["ins"].as_object().into_iter().flatten().any(|(_, it)| it == kind);
            let outs = op["outs"].as_object().into_iter().flatten();
            ins || outs.into_iter().any(|(_, it)| it["type"] == kind)
        })
    };
    let given = ops.values().flat_map(|op| {
        let does = &op["does"];
        let emitted = does["emit"].as_array().into_iter().chain(does["pieces"].as_array());
        let emitted = emitted.flatten().map(|pair| &pair[1]);
        does.get("return").into_iter().chain(emitted)
    });
    let given: Vec<&Value> = given.collect();
    if (takes("int") || takes("list_int")) && given.iter().any(|value| value.is_boolean()) {
        return Some(Deviation::BoolIsNoInt);
    }
    let int_into_float = takes("float") && given.iter().any(|value| value.is_i64());
    int_into_float.then_some(Deviation::IntIsAFloat)
}

/// A clause of theirs in our grammar: `*a` is `+a`, `++a` is `2+a`.
fn clause(text: &str) -> Option<String> {
    if text == "*" {
        return Some("*".to_owned());
    }
    let is_mark = |c: char| matches!(c, '*' | '+');
    let name = text.trim_matches(is_mark);
    let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    if name.is_empty() || !name.chars().all(is_name) {
        return None;
    }
    let (up, down) = text.split_once(name)?;
    let layers = |marks: &str| match marks {
        "" => Some(None),
        "*" => Some(Some(u32::MAX)),
        marks if marks.chars().all(|c| c == '+') => Some(u32::try_from(marks.len()).ok()),
        _ => None,
    };
    let number = |layers: u32| if layers == u32::MAX { String::new() } else { layers.to_string() };
    let up = layers(up)?.map(|layers| format!("{}+", number(layers))).unwrap_or_default();
    let down = layers(down)?.map(|layers| format!("+{}", number(layers))).unwrap_or_default();
    Some(format!("{up}{name}{down}"))
}

fn compare_selection(case: &Value) -> Vec<String> {
    let expected = &case["expect"];
    let job = job_of(case).unwrap();
    let Work::Flow(flow) = &job.definition().unwrap().work else { unreachable!() };
    let text = case["op_selection"].as_str().unwrap();
    let clauses: Option<Vec<String>> = text.split(',').map(|text| clause(text.trim())).collect();
    let selection = clauses.ok_or("not of their grammar".to_owned()).and_then(|clauses| {
        Selection::parse(&clauses.join(" or ")).map_err(|error| error.to_string())
    });
    let chosen = selection
        .and_then(|selection| selection.select_steps(flow).map_err(|error| error.to_string()));
    match (chosen, expected.get("selected")) {
        (Err(_), None) => Vec::new(),
        (Err(error), Some(_)) => vec![format!("`{text}`: {error}")],
        (Ok(_), None) => vec![format!("`{text}` selects something; expected {expected}")],
        (Ok(steps), Some(theirs)) => {
            // Theirs are the nodes of the outermost graph.
            let outermost = |step: u32| {
                let path = &flow.steps[step as usize].path;
                path.split('.').next().unwrap().to_owned()
            };
            let ours: BTreeSet<String> = steps.into_iter().map(outermost).collect();
            let ours = json!(ours);
            if ours == *theirs {
                Vec::new()
            } else {
                vec![format!("`{text}`: {ours}, not {theirs}")]
            }
        }
    }
}

#[test]
fn what_deviates_is_told_by_rule() {
    let table = table("op_graphs_more.json");
    let found: BTreeMap<&str, Deviation> =
        cases(&table).filter_map(|(id, case)| Some((id, by_value(case)?))).collect();
    let expected = [
        ("extra: bool into int", Deviation::BoolIsNoInt),
        ("extra: float from int", Deviation::IntIsAFloat),
    ];
    assert_eq!(found, BTreeMap::from(expected));
}
