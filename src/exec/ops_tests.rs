//! Steps of jobs: several outputs, pieces, many values, types, attempts, functions and secrets.

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use expect_test::{Expect, expect};

use super::testing::{StepBuilder, TestStep, part};
use super::{
    Content, Control, Emitted, Executor, Failure, Functions, Lifeline, NoFunctions, Outcome, Part,
    Produced, Retrying, Step, Told, Worker,
};
use crate::defs::{Emits, Least, OutputDecl, OutputDef, Predicate, Retries, TypeDef, TypeRef};

fn run_with(functions: Arc<dyn Functions>, step: &TestStep) -> Outcome {
    Retrying::new(Worker::new(Lifeline::new(), functions)).run(step, &Control::new())
}

fn output(name: &str, emits: Emits, kind: &str) -> OutputDecl {
    let kind = TypeRef::parse(kind).unwrap();
    OutputDecl { name: name.into(), emits, kind, ..OutputDecl::result() }
}

fn pieces(file: &str) -> OutputDecl {
    let form = OutputDef::File { name: file.to_owned() };
    OutputDecl { form, ..output("parts", Emits::Pieces(Least::None), "any") }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap().trim_end().to_owned()
}

/// What was made, as `output[piece]=text`, or why not.
#[track_caller]
fn check(builder: StepBuilder, expected: &Expect) {
    check_with(Arc::new(NoFunctions), builder, expected);
}

#[track_caller]
fn check_with(functions: Arc<dyn Functions>, builder: StepBuilder, expected: &Expect) {
    let step = builder.build();
    let outcome = run_with(functions, &step);
    let made = |Emitted { output, piece, what }: Emitted| {
        let name = &step.def.outputs[output as usize].name;
        let piece = piece.map(|piece| format!("[{piece}]")).unwrap_or_default();
        let value = match what {
            Produced::File(path) => text(&fs::read(path).unwrap()),
            Produced::Bytes { bytes, .. } => text(&bytes),
            Produced::Table { encoded, .. } => text(&encoded.bytes),
            Produced::Directory(path) => format!("a directory {}", path.display()),
        };
        format!("{name}{piece}={value}")
    };
    let root = step.root().to_str().unwrap();
    let said = match outcome.result {
        Ok(emitted) => emitted.into_iter().map(made).collect::<Vec<_>>().join(" "),
        Err(failure) => failure.to_string(),
    };
    expected.assert_eq(&said.replace(root, "ROOT"));
}

fn json(key: &str, value: &str) -> Part {
    let content = Content::Inline(value.as_bytes().into());
    Part { extension: "json".to_owned(), format: None, ..part(key, value, content) }
}

#[test]
fn each_output_has_a_place_and_an_optional_one_may_stay_empty() {
    let both = [output("left", Emits::Required, "any"), output("right", Emits::Optional, "any")];
    let line = "echo 1 > $GIORNATA_OUTPUT_LEFT; echo 2 > $GIORNATA_OUTPUT_RIGHT";
    check(StepBuilder::shell(line).op(None, &both), &expect!["left=1 right=2"]);
    let line = "echo 1 > $GIORNATA_OUTPUT_LEFT";
    check(StepBuilder::shell(line).op(None, &both), &expect!["left=1"]);
    let line = "echo 2 > $GIORNATA_OUTPUT_RIGHT";
    check(
        StepBuilder::shell(line).op(None, &both),
        &expect!["wrote no output at $GIORNATA_OUTPUT_LEFT"],
    );
    check(StepBuilder::shell("true").op(None, &[]), &expect![""]);
}

#[test]
fn each_file_of_a_directory_is_a_piece() {
    let line = "cd $output_dir; echo 1 > b.csv; echo 2 > a.csv";
    check(
        StepBuilder::shell(line).op(None, &[pieces("{piece}.csv")]),
        &expect!["parts[a]=2 parts[b]=1"],
    );
    check(StepBuilder::shell("true").op(None, &[pieces("{piece}.csv")]), &expect![""]);
    check(
        StepBuilder::shell("echo > $output_dir/a.txt").op(None, &[pieces("{piece}.csv")]),
        &expect!["left `a.txt` in $output_dir, where files are named `{piece}.csv`"],
    );
    check(
        StepBuilder::shell("echo > $output_dir/a-b.csv").op(None, &[pieces("{piece}.csv")]),
        &expect![
            "emitted a piece of `parts` under the key `a-b`; a key is letters, digits and `_`"
        ],
    );
    check(
        StepBuilder::shell("cd $output_dir; echo > a.x; echo > a.y").op(None, &[pieces("result")]),
        &expect!["emitted the piece `a` of `parts` twice"],
    );
}

#[test]
fn a_step_of_a_job_knows_what_it_is() {
    let line = "env | grep '^GIORNATA_[JSPA]' | grep -v PARTITION | sort | tr '\\n' ' ' > $output";
    check(
        StepBuilder::shell(line).op(Some("p1"), &[OutputDecl::result()]),
        &expect![
            "result=GIORNATA_ATTEMPT=1 GIORNATA_JOB=nightly GIORNATA_PIECE=p1 GIORNATA_STEP=it"
        ],
    );
}

#[test]
fn many_values_are_a_directory_and_a_list_of_its_files() {
    let parts = vec![json("000001-b", "1"), json("000002-a", "2")];
    let line = "(cat $xs/*; cat $(cat $GIORNATA_INPUT_XS_LIST)) > $output";
    let builder = StepBuilder::shell(line).input("xs", parts);
    check(builder.op(None, &[OutputDecl::result()]), &expect!["result=1212"]);
    let line = "wc -l < $GIORNATA_INPUT_XS_LIST > $output";
    let builder = StepBuilder::shell(line).input("xs", vec![]);
    check(builder.op(None, &[OutputDecl::result()]), &expect!["result=0"]);
}

fn even() -> TypeDef {
    let that = Predicate::Sql("$value % 2 = 0".to_owned());
    TypeDef { name: "even".into(), of: TypeRef::INT, that }
}

#[track_caller]
fn check_type(kind: &str, value: &str, expected: &Expect) {
    let line = format!("printf '{value}' > $output");
    let builder = StepBuilder::shell(&line).op(None, &[output("n", Emits::Required, kind)]);
    let odd = TypeDef { that: Predicate::Sql("$valeu".to_owned()), ..even() };
    let types = [("even".to_owned(), even()), ("odd".to_owned(), odd)];
    check(builder.edit(|step| step.types = Arc::new(types.into())), expected);
}

#[test]
fn outputs_are_of_their_types() {
    check_type("int", "3\\n", &expect!["n=3"]);
    check_type("int", "3.5", &expect!["output `n` of `it`: expected int, got 3.5"]);
    check_type("int", "three", &expect!["output `n` of `it`: expected int, got the text `three`"]);
    check_type("string", "three", &expect!["n=three"]);
    check_type("string", "21", &expect!["n=21"]);
    check_type(
        "list(int)",
        "[1, \"x\"]",
        &expect!["output `n` of `it`: expected list(int), got [1,\"x\"]"],
    );
    check_type("even", "4", &expect!["n=4"]);
    check_type("even", "3", &expect!["output `n` of `it`: expected even, got 3"]);
    check_type("even", "x", &expect!["output `n` of `it`: expected even, got the text `x`"]);
    check_type("list(even)", "[2,4]", &expect!["n=[2,4]"]);
    check_type(
        "list(even)",
        "[2,3]",
        &expect!["output `n` of `it`: expected list(even), got [2,3]"],
    );
    check_type(
        "odd",
        "3",
        &expect!["the type `odd` cannot be asked: `$valeu` is unknown; did you mean `$value`?"],
    );
    check_type("table", "a,b", &expect!["output `n` of `it`: expected table, got the text `a,b`"]);
}

#[test]
fn inputs_are_of_their_types_before_anything_runs() {
    let given = |value: &str| {
        StepBuilder::shell("cp $n $output").op(Some("p1"), &[OutputDecl::result()]).typed(
            "n",
            "int",
            vec![json("", value)],
        )
    };
    check(given("3"), &expect!["result=3"]);
    check(given("\"x\""), &expect!["input `n` of `it[p1]`: expected int, got \"x\""]);
}

#[test]
fn attempts_are_counted_logged_apart_and_ended_by_what_is_fatal() {
    let flaky =
        "echo attempt $GIORNATA_ATTEMPT; [ $GIORNATA_ATTEMPT -gt 2 ] || exit 3; echo ok > $output";
    let retries =
        |fatal: &[i32]| Retries { fatal: fatal.iter().copied().collect(), ..Retries::times(2) };
    let step = |retries, log: &str| {
        let builder = StepBuilder::shell(flaky).retries(retries);
        builder
            .op(None, &[OutputDecl::result()])
            .edit(|step| step.paths.log.set_file_name(log))
            .build()
    };
    let good = step(retries(&[]), "attempts.log");
    let outcome = run_with(Arc::new(NoFunctions), &good);
    assert_eq!((outcome.attempt, outcome.result.is_ok()), (3, true));
    assert_eq!(
        fs::read_to_string(&good.paths.log).unwrap(),
        "attempt 1\n[giornata: attempt 2]\nattempt 2\n[giornata: attempt 3]\nattempt 3\n"
    );
    let outcome = run_with(Arc::new(NoFunctions), &step(retries(&[3]), "fatal.log"));
    assert_eq!((outcome.attempt, outcome.result), (1, Err(Failure::Exit { status: 3 })));
}

#[test]
fn secrets_are_in_no_log() {
    let step = StepBuilder::shell("printf hunt; printf 'er2 and hunters\\n'; echo > $output")
        .op(None, &[OutputDecl::result()])
        .edit(|step| Arc::make_mut(&mut step.secrets).add("hunter2"))
        .edit(|step| step.paths.log.set_file_name("secret.log"))
        .build();
    let outcome = run_with(Arc::new(NoFunctions), &step);
    assert_eq!(outcome.log.unwrap().tail, "*** and hunters");
    assert_eq!(fs::read_to_string(&step.paths.log).unwrap(), "*** and hunters\n");
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hear = heard.clone();
    let control = Control::with_log(Box::new(move |_, bytes| {
        hear.lock().unwrap().extend_from_slice(bytes);
    }));
    let mut worker = Worker::new(Lifeline::new(), Arc::new(NoFunctions));
    worker.run(&step, &control).result.unwrap();
    assert_eq!(String::from_utf8_lossy(&heard.lock().unwrap()), "*** and hunters\n");
}

/// A function that does what its op is called.
struct Does(fn(&Step, &mut Told<'_>) -> Result<Vec<Emitted>, Failure>);

impl Functions for Does {
    fn call(&self, step: &Step, told: &mut Told<'_>) -> Result<Vec<Emitted>, Failure> {
        (self.0)(step, told)
    }
}

fn number(text: &str) -> Result<Vec<Emitted>, Failure> {
    let bytes = text.as_bytes().to_vec();
    Ok(vec![Emitted::only(Produced::Bytes { bytes, extension: "json".to_owned() })])
}

fn function() -> StepBuilder {
    StepBuilder::function().op(None, &[output("n", Emits::Required, "int")])
}

#[test]
fn a_function_ends_where_its_step_does() {
    let does = |it| Arc::new(Does(it)) as Arc<dyn Functions>;
    check_with(does(|_, _| number("3")), function(), &expect!["n=3"]);
    check_with(
        does(|_, _| number("\"x\"")),
        function(),
        &expect!["output `n` of `it`: expected int, got \"x\""],
    );
    let step = function().build();
    let outcome = run_with(does(|_, _| panic!("no {}", "ink")), &step);
    let Err(Failure::Panic(panic)) = outcome.result else { panic!() };
    assert_eq!(panic.message, "no ink");
    assert!(panic.place.starts_with("src/exec/ops_tests.rs:"), "{}", panic.place);
}

#[test]
fn a_function_logs_asks_for_attempts_and_is_judged_by_the_clock_when_it_returns() {
    let does = |it| Arc::new(Does(it)) as Arc<dyn Functions>;
    let step = function().edit(|step| step.paths.log.set_file_name("function.log")).build();
    let again = does(|step, told| {
        told.log("INFO", "trying");
        match step.attempt {
            1 => Err(Failure::Again { reason: "not yet".to_owned(), max: 1, after: None }),
            _ => number("3"),
        }
    });
    let outcome = run_with(again, &step);
    assert_eq!((outcome.attempt, outcome.result.is_ok()), (2, true));
    let log = fs::read_to_string(&step.paths.log).unwrap();
    assert_eq!(log, "INFO trying\n[giornata: attempt 2]\nINFO trying\n");
    let fatal = does(|_, _| Err(Failure::Fatal("never".to_owned())));
    let builder = StepBuilder::function().retries(Retries::times(3));
    let step = builder.op(None, &[OutputDecl::result()]).build();
    assert_eq!(run_with(fatal, &step).attempt, 1);
    let late = does(|_, told| {
        while !told.is_cancelled() {
            std::hint::spin_loop();
        }
        number("3")
    });
    let builder = StepBuilder::function().timeout(Duration::from_millis(1));
    let step = builder.op(None, &[OutputDecl::result()]).build();
    let failure = run_with(late, &step).result.unwrap_err();
    assert_eq!(failure, Failure::TimedOut { after: Duration::from_millis(1) });
}
