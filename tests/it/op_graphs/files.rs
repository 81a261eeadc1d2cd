//! The same table as files: each case is a job of `sh` ops in one project, run by the real binary.
//!
//! What a command cannot do is left out by rule: see [`is_writable`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::rc::Rc;

use giornata::defs::{Entry, Ref, Source};
use serde_json::{Map, Value, json};

use super::notation::{self, Make};
use super::{by_value, cases, sorted, table, type_of};
use crate::bench::Bench;

/// A graph as text: the calls as lines of YAML.
struct Written {
    inputs: Vec<String>,
    calls: Vec<(String, String)>,
    /// Graphs that it calls, by name.
    within: BTreeMap<String, String>,
}

/// What is called: `use: NAME` or `graph: NAME`.
#[derive(Clone)]
struct Callee {
    how: &'static str,
    name: String,
    /// The name that its calls have.
    call: String,
    inputs: Vec<String>,
    outputs: Vec<String>,
    within: Rc<BTreeMap<String, String>>,
}

impl Make for Written {
    type Callee = Callee;

    fn new(_: &str) -> Written {
        Written { inputs: Vec::new(), calls: Vec::new(), within: BTreeMap::new() }
    }

    fn input(&mut self, name: &str) {
        self.inputs.push(name.to_owned());
    }

    fn call(
        &mut self,
        name: Option<&str>,
        callee: &Callee,
        wires: Vec<(String, Source)>,
    ) -> String {
        let wanted = name.unwrap_or(&callee.call);
        let is_free = |name: &String| self.calls.iter().all(|(taken, _)| taken != name);
        let numbered = (2..).map(|n| format!("{wanted}_{n}"));
        let name = [wanted.to_owned()].into_iter().chain(numbered).find(is_free).unwrap();
        let wires: Vec<String> =
            wires.iter().map(|(input, source)| format!("{input}: {}", wire(source))).collect();
        let wires = wires.join(", ");
        let text = format!("{{{}: {}, in: {{{wires}}}}}", callee.how, callee.name);
        self.calls.push((name.clone(), text));
        self.within.extend((*callee.within).clone());
        name
    }

    fn into_callee(self, name: &str, results: Vec<(String, Ref)>) -> Callee {
        let outputs = results.iter().map(|(name, _)| name.clone()).collect();
        let results: Vec<String> =
            results.iter().map(|(name, of)| format!("{name}: {of}")).collect();
        let text = format!(
            "{{takes: [{}], ops: {{{}}}, results: {{{}}}}}",
            self.inputs.join(", "),
            self.ops(),
            results.join(", ")
        );
        let mut within = self.within;
        within.insert(name.to_owned(), text);
        Callee {
            how: "graph",
            name: name.to_owned(),
            call: name.to_owned(),
            inputs: self.inputs,
            outputs,
            within: Rc::new(within),
        }
    }

    fn inputs(callee: &Callee) -> Vec<String> {
        callee.inputs.clone()
    }

    fn outputs(callee: &Callee) -> Vec<String> {
        callee.outputs.clone()
    }
}

impl Written {
    fn ops(&self) -> String {
        let calls: Vec<String> =
            self.calls.iter().map(|(name, call)| format!("{name}: {call}")).collect();
        calls.join(", ")
    }
}

fn wire(source: &Source) -> String {
    match source {
        Source::One(of) => of.to_string(),
        Source::Each(of) => format!("{{each: {of}}}"),
        Source::Collect(of) => format!("{{collect: {of}}}"),
        Source::Value(value) => format!("{{value: {value}}}"),
        Source::List(entries) => {
            let entry = |entry: &Entry| match entry {
                Entry::One(of) => of.to_string(),
                Entry::Each(of) => format!("{{each: {of}}}"),
            };
            format!("[{}]", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
    }
}

/// The outputs of an op with how they are declared.
fn outputs(declared: &Value) -> Map<String, Value> {
    let outs = declared.get("outs").and_then(Value::as_object).cloned();
    outs.unwrap_or_else(|| json!({"result": {}}).as_object().unwrap().clone())
}

/// Whether a command can do what the op of a case does: a file is there once or not at all, under a
/// declared name.
fn is_writable(case: &Value) -> bool {
    case["ops"].as_object().unwrap().values().all(|op| {
        let outputs = outputs(op);
        let pairs = |key: &str| op["does"][key].as_array().cloned().unwrap_or_default();
        let mut seen = BTreeSet::new();
        let is_new = |pair: &Value| seen.insert(pair[0].to_string());
        let once = pairs("emit").iter().chain(&pairs("pieces")).all(is_new);
        let known = pairs("emit").iter().all(|pair| {
            let output = outputs.get(pair[0].as_str().unwrap());
            output.is_some_and(|output| output["dynamic"] != json!(true))
        });
        let files = pairs("pieces").iter().all(|pair| {
            let key = pair[0].as_str().unwrap();
            !key.is_empty() && !key.contains('/')
        });
        once && known && files
    })
}

/// How a list reaches a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lists {
    /// `{many: int}`: a file for each value.
    Files,
    /// `list(int)`: one file of JSON.
    Json,
}

/// The declaration of an op, with the script that does what the table says.
fn op(name: &str, declared: &Value, script: &str, lists: Lists) -> (Callee, Vec<bool>, String) {
    let ins = declared["ins"].as_object().cloned().unwrap_or_default();
    let takes = ins.iter().map(|(input, kind)| match kind.as_str().unwrap() {
        "nothing" => format!("{input}: nothing"),
        "list_int" if lists == Lists::Files => format!("{input}: {{many: int}}"),
        kind => format!("{input}: {}", type_of(kind)),
    });
    let outputs = outputs(declared);
    let outs = outputs.iter().map(|(output, how)| {
        let mut keys = vec![format!("type: {}", type_of(how["type"].as_str().unwrap_or("any")))];
        keys.extend((how["optional"] == json!(true)).then(|| "optional: true".to_owned()));
        keys.extend((how["dynamic"] == json!(true)).then(|| "files: \"{piece}.json\"".to_owned()));
        if how["dynamic"] != json!(true) {
            keys.push(format!("file: {output}.json"));
        }
        format!("{output}: {{{}}}", keys.join(", "))
    });
    let does = &declared["does"];
    let asked = does["with"] == json!("retry_requested");
    let asked = if asked { does["max_retries"].as_u64().unwrap_or(1) } else { 0 };
    let max = declared["retry_policy"].as_u64().unwrap_or(0).max(asked);
    let text = format!(
        "{{run: sh {script}, takes: {{{}}}, outputs: {{{}}}, retries: {{max: {max}, fatal: 9}}}}",
        takes.collect::<Vec<_>>().join(", "),
        outs.collect::<Vec<_>>().join(", "),
    );
    let callee = Callee {
        how: "use",
        name: name.to_owned(),
        call: String::new(),
        inputs: ins.keys().cloned().collect(),
        outputs: outputs.keys().cloned().collect(),
        within: Rc::default(),
    };
    let pieces = outputs.values().map(|how| how["dynamic"] == json!(true)).collect();
    (callee, pieces, text)
}

/// What the op does, as the table's body: fail, give pieces or outputs, or add up.
fn script(case: usize, name: &str, declared: &Value) -> String {
    let does = &declared["does"];
    let outputs = outputs(declared);
    let path = |output: &str| format!("\"$GIORNATA_OUTPUT_{}\"", output.to_uppercase());
    let first = outputs.keys().next().unwrap();
    let mut text = String::from(
        "set -e\n\
         number() { case \"$1\" in true) echo 1;; ''|*[!0-9-]*) echo 0;; *) echo \"$1\";; esac; }\n\
         values=\"values/$GIORNATA_JOB/$GIORNATA_STEP${GIORNATA_PIECE:+[$GIORNATA_PIECE]}\"\n",
    );
    let plus = declared["plus"].as_i64().unwrap_or(0);
    writeln!(text, "total={plus}").unwrap();
    let ins = declared["ins"].as_object().cloned().unwrap_or_default();
    for (input, kind) in ins.iter().filter(|(_, kind)| **kind != json!("nothing")) {
        let variable = format!("$GIORNATA_INPUT_{}", input.to_uppercase());
        if *kind == json!("list_int") {
            // One value that is a list, or one file for each of several.
            writeln!(text, "if [ -d \"{variable}\" ]; then").unwrap();
            writeln!(text, "for f in $(cat \"{variable}_LIST\"); do total=$((total + $(number \"$(cat \"$f\")\"))); done").unwrap();
            writeln!(text, "else for n in $(tr -d '[]' < \"{variable}\" | tr ',' ' '); do total=$((total + n)); done; fi").unwrap();
        } else {
            writeln!(
                text,
                "{input}=$(cat \"{variable}\"); total=$((total + $(number \"${input}\")))"
            )
            .unwrap();
        }
    }
    // One count for the op, whatever its steps and pieces: the runs are one step after the other.
    if let Some(times) = does["fail_times"].as_u64() {
        let status = if does["with"] == json!("failure_no_retry") { 9 } else { 1 };
        let count = format!("counts/{case}.{name}");
        writeln!(text, "n=$(cat {count} 2>/dev/null || echo 0)").unwrap();
        writeln!(
            text,
            "if [ \"$n\" -lt {times} ]; then echo $((n + 1)) > {count}; exit {status}; fi"
        )
        .unwrap();
    }
    let scalars =
        || ins.iter().filter(|(_, kind)| !matches!(kind.as_str(), Some("nothing" | "list_int")));
    if let Some(value) = does.get("fail_on_value") {
        for (input, _) in scalars() {
            writeln!(text, "if [ \"${input}\" = '{value}' ]; then exit 1; fi").unwrap();
        }
    }
    if let Some(pieces) = does["pieces"].as_array() {
        for piece in pieces {
            let key = piece[0].as_str().unwrap();
            writeln!(text, "echo '{}' > {}/'{key}.json'", piece[1], path(first)).unwrap();
        }
    } else if let Some(emitted) = does["emit"].as_array() {
        for emitted in emitted {
            let output = path(emitted[0].as_str().unwrap());
            writeln!(text, "echo '{}' > {output}", emitted[1]).unwrap();
        }
    } else {
        if let Some(value) = does.get("emit_if_not") {
            for (input, _) in scalars() {
                writeln!(text, "if [ \"${input}\" = '{value}' ]; then exit 0; fi").unwrap();
            }
        }
        let value =
            does.get("return").map_or("\"$total\"".to_owned(), |value| format!("'{value}'"));
        writeln!(text, "echo {value} > {}", path(first)).unwrap();
    }
    if outputs.contains_key("result") {
        let result = path("result");
        writeln!(text, "if [ -e {result} ]; then mkdir -p \"values/$GIORNATA_JOB\"; cp -r {result} \"$values\"; fi").unwrap();
    }
    text
}

/// Writes the file of a case; says why not, if its graph cannot even be written.
fn write(bench: &Bench, number: usize, case: &Value, lists: Lists) -> Result<(), String> {
    let mut ops = HashMap::new();
    let mut file = String::from("ops:\n");
    for (name, declared) in case["ops"].as_object().unwrap() {
        let path = format!("scripts/{number}-{name}.sh");
        bench.write(&path, &script(number, name, declared));
        let known = format!("c{number}_{name}");
        let (callee, pieces, text) = op(&known, declared, &path, lists);
        writeln!(file, "  {known}: {text}").unwrap();
        ops.insert(name.clone(), (Callee { call: name.clone(), ..callee }, pieces));
    }
    let graph: Written = notation::graph(case["graph"].as_str().unwrap(), ops)?;
    let mut text = format!("jobs:\n  case_{number}: {{ops: {{{}}}}}\n", graph.ops());
    if !graph.within.is_empty() {
        text += "graphs:\n";
        for (name, graph) in &graph.within {
            writeln!(text, "  {name}: {graph}").unwrap();
        }
        // Names of graphs are those of the whole project.
        for name in graph.within.keys() {
            text = text.replace(&format!("graph: {name},"), &format!("graph: c{number}_{name},"));
            text = text.replace(&format!("\n  {name}: "), &format!("\n  c{number}_{name}: "));
        }
    }
    bench.write(&format!("assets/case_{number}.yaml"), &(file + &text));
    Ok(())
}

/// How a job went, by its events.
#[derive(Default)]
struct Ran {
    success: bool,
    steps: Map<String, Value>,
    emitted: Map<String, Value>,
    retries: Map<String, Value>,
}

fn ran(out: &str) -> Ran {
    let mut ran = Ran::default();
    for line in out.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let step = || event["step"].as_str().unwrap().to_owned();
        let state = match event["event"].as_str().unwrap() {
            "step-succeeded" => "success",
            "step-failed" => "failure",
            "step-skipped" => "skipped",
            "finished" => {
                ran.success = event["success"] == json!(true);
                continue;
            }
            _ => continue,
        };
        ran.steps.insert(step(), json!(state));
        let attempts = event["attempts"].as_u64().unwrap_or(1);
        if attempts > 1 {
            ran.retries.insert(step(), json!(attempts - 1));
        }
        if let Some(emitted) = event["emitted"].as_array().filter(|it| !it.is_empty()) {
            ran.emitted.insert(step(), in_order(&json!(emitted)));
        }
    }
    ran
}

/// Pieces come in the order of the names of their files.
fn in_order(names: &Value) -> Value {
    let mut names: Vec<String> = serde_json::from_value(names.clone()).unwrap();
    names.sort();
    json!(names)
}

/// What the steps that went well have left, of mapped ones and of pieces by key, unless one of them failed
/// or there are none.
fn values(dir: &Path, ran: &Ran) -> Value {
    let read = |path: &Path| -> Value {
        serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
    };
    let mut values: Map<String, Value> = Map::new();
    let mut failed = BTreeSet::new();
    for (step, state) in &ran.steps {
        let (path, key) = match step.split_once('[') {
            Some((path, key)) => (path, Some(key.trim_end_matches(']'))),
            None => (step.as_str(), None),
        };
        let file = dir.join(step);
        if state == "failure" {
            failed.insert(path.to_owned());
        } else if file.is_dir() {
            let pieces: Map<String, Value> = fs::read_dir(&file)
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), read(&path)))
                .collect();
            if !pieces.is_empty() {
                values.insert(path.to_owned(), pieces.into());
            }
        } else if file.exists() && state == "success" {
            match key {
                Some(key) => {
                    let pieces = values.entry(path).or_insert_with(|| json!({}));
                    pieces[key] = read(&file);
                }
                None => {
                    values.insert(path.to_owned(), read(&file));
                }
            }
        }
    }
    values.retain(|path, _| !failed.contains(path));
    values.into()
}

/// Whether a refusal is one of the rules in which files differ from the table, as jobs in code do.
fn is_deviation(said: &str, expected: &Value) -> bool {
    let classes = expected["error_class"].as_object();
    let has_clash = classes
        .is_some_and(|classes| classes.values().any(|class| class == "DagsterTypeCheckDidNotPass"));
    said.contains("nothing is wired into its input")
        || said.contains("gives pieces and is itself mapped")
        || (has_clash && (said.contains("can never fit") || said.contains("takes many values")))
}

fn compare(bench: &Bench, number: usize, case: &Value) -> Vec<String> {
    let expected = &case["expect"];
    let is_wrong = ["definition_error", "error"].iter().any(|key| expected.get(key).is_some());
    let job = format!("case_{number}");
    let said = bench.run(&["run", &job, "--jsonl", "-j", "1"]);
    match (said.code, is_wrong) {
        (2, true) => return Vec::new(),
        (2, false) if is_deviation(&said.err, expected) => return Vec::new(),
        (0 | 1, false) => {}
        (_, _) => return vec![format!("expected {expected}, got {said:?}")],
    }
    if by_value(case).is_some() {
        return Vec::new();
    }
    let ran = ran(&said.out);
    let mut differences = Vec::new();
    let mut same = |what: &str, theirs: &Value, ours: Value| {
        if sorted(theirs) != sorted(&ours) {
            differences.push(format!("{what}: expected {theirs}, got {ours}"));
        }
    };
    let is_success = |step: &str| ran.steps.get(step).is_some_and(|state| state == "success");
    let theirs = |what: &str| expected.get(what).cloned();
    if let Some(success) = theirs("success") {
        same("success", &success, json!(ran.success));
    }
    if let Some(steps) = theirs("steps") {
        same("steps", &steps, ran.steps.clone().into());
    }
    if let Some(retries) = theirs("retries") {
        same("retries", &retries, ran.retries.clone().into());
    }
    if let Some(emitted) = expected.get("emitted").and_then(Value::as_object) {
        // An event of a step that failed does not say what it gave before.
        let good = emitted.iter().filter(|(step, _)| is_success(step));
        let good = good.map(|(step, names)| (step.clone(), in_order(names)));
        let theirs = Value::from(good.collect::<Map<_, _>>());
        same("emitted", &theirs, ran.emitted.clone().into());
    }
    if let Some(theirs) = theirs("values") {
        same("values", &theirs, values(&bench.path(&format!("values/{job}")), &ran));
    }
    differences
}

#[test]
fn conformance_op_graphs_in_files() {
    let bench = Bench::new("");
    bench.write("counts/.keep", "");
    let tables =
        [(table("op_graphs.json"), Lists::Files), (table("op_graphs_more.json"), Lists::Json)];
    let mut wrong = Vec::new();
    let mut written = Vec::new();
    let (mut left_out, mut number) = (Vec::new(), 0);
    let all = tables.iter().flat_map(|(table, lists)| cases(table).map(move |it| (it, *lists)));
    for ((id, case), lists) in all {
        number += 1;
        if case.get("op_selection").is_some() {
            continue;
        }
        if !is_writable(case) {
            left_out.push(id.to_owned());
            continue;
        }
        match write(&bench, number, case, lists) {
            Ok(()) => written.push((number, id, case)),
            Err(_) if case["expect"].get("definition_error").is_some() => {}
            Err(refusal) => wrong.push(format!("{id}: refused: {refusal}")),
        }
    }
    for (number, id, case) in &written {
        let differences = compare(&bench, *number, case);
        wrong.extend(differences.into_iter().map(|it| format!("{id} (case_{number}): {it}")));
    }
    let count = written.len();
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 3 * left_out.len(), "too many are left out: {left_out:?}");
}
