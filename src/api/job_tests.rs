//! Jobs run in this process: what fails, what is told about it, and what runs nevertheless.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use expect_test::{Expect, expect};
use serde_json::json;

use super::*;

#[track_caller]
fn check(result: &JobResult, expect: Expect) {
    let mut out = String::new();
    for (name, state) in result.steps() {
        out += &format!("{name} {state}");
        if let Some(failure) = result.failure(&name) {
            out += &format!(" {:?}: {}", failure.kind, failure.text);
        }
        match result.attempts(&name) {
            Some(1) | None => {}
            Some(attempts) => out += &format!(" ({attempts} attempts)"),
        }
        out.push('\n');
    }
    result.warnings().iter().for_each(|warning| out += &format!("warning: {warning}\n"));
    expect.assert_eq(&out);
}

#[test]
fn a_panic_fails_its_step_with_message_and_place_and_nothing_else() {
    let empty: Vec<i64> = Vec::new();
    let first = op("first").run(move |_| Ok(empty[0]));
    let reads = op("reads").input::<i64>("n").run(|_, n| Ok(n));
    let apart = op("apart").run(|_| Ok(1_i64));
    let j = job("j").define(|g| {
        let n = first.call(g);
        reads.call(g, n);
        apart.call(g);
    });
    let result = j.execute_in_process().unwrap();
    let failure = result.failure("first").unwrap();
    assert_eq!(failure.kind, FailureKind::Panic);
    assert!(failure.text.starts_with("panicked at src/api/job_tests.rs:"), "{}", failure.text);
    assert!(failure.text.ends_with("index out of bounds: the len is 0 but the index is 0"));
    assert_eq!(result.state("reads"), Some(StepState::Blocked));
    assert_eq!(result.state("apart"), Some(StepState::Success));
}

#[test]
fn types_of_the_program_are_checked_at_inputs_and_outputs() {
    let even = Kind::<i64>::new("Even", |n| n % 2 == 0);
    let short = Kind::<String>::new("Short", |text| text.len() < 100);
    let three = op("three").gives_that(&even).run(|_| Ok(3_i64));
    let numbers = op("numbers").output_that("even", &even).output::<i64>("any").run(|_| Ok((4, 5)));
    let sum = op("sum").list_that("all", &even).run(|_, all| Ok(all.iter().sum::<i64>()));
    let long = op("long").gives_that(&short).run(|_| Ok("ab".repeat(100)));
    let j = job("j").define(|g| {
        three.call(g);
        let (even, any) = numbers.call(g);
        sum.call(g, [even, any]);
        long.call(g);
    });
    check(
        &j.execute_in_process().unwrap(),
        expect![[r#"
            three failed Type: output `result` of `three`: expected Even, got 3
            numbers success
            sum failed Type: input `all` of `sum`: expected Even, got 5
            long failed Type: output `result` of `long`: expected Short, got abababababababababababababababababababababababababababababababababababababababab...
        "#]],
    );
}

#[test]
fn attempts_follow_the_policy_and_what_functions_ask_for() {
    let fails = |name: &str, max: u32| {
        let retries = Retries { delay: Duration::from_nanos(1), ..Retries::times(max) };
        op(name).retries(retries).run(|_| -> Result<i64, _> { Err("no".into()) })
    };
    let again = op("again").run(|_| -> Result<i64, _> { Err(Again::new("later").max(3).into()) });
    let fatal = op("fatal").retries(Retries::times(5)).run(|ctx| -> Result<i64, _> {
        if ctx.attempt() == 2 { Err(Fatal::new("enough").into()) } else { Err("no".into()) }
    });
    let slow = op("slow").timeout(Duration::ZERO).run(|ctx| Ok(ctx.is_cancelled()));
    let pieces = op("pieces")
        .retries(Retries::times(5))
        .pieces::<i64>()
        .run(|_| Ok(vec![("a".to_owned(), 1), ("a b".to_owned(), 2)]));
    let j = job("j").define(|g| {
        fails("never", 0).call(g);
        fails("twice", 2).call(g);
        again.call(g);
        fatal.call(g);
        slow.call(g);
        pieces.call(g);
    });
    check(
        &j.execute_in_process().unwrap(),
        expect![[r#"
            never failed Function: no
            twice failed Function: no (3 attempts)
            again failed Function: later (4 attempts)
            fatal failed Fatal: enough (2 attempts)
            slow failed TimedOut: timed out after 0s
            pieces failed PieceKey: emitted a piece of `result` under the key `a b`; a key is letters, digits and `_`
        "#]],
    );
}

#[test]
fn hooks_are_called_once_for_each_step_and_piece_that_ran() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = |what: &'static str| {
        let told = told.clone();
        move |hook: &Hook<'_>| {
            let piece = hook.piece().unwrap_or("-").to_owned();
            told.lock().unwrap().push(format!(
                "{what} {} {piece} {}",
                hook.step(),
                hook.attempts()
            ));
            Ok(())
        }
    };
    let load =
        op("load").pieces::<i64>().run(|_| Ok(vec![("a".to_owned(), 1), ("b".to_owned(), 2)]));
    let odd = op("odd")
        .input::<i64>("n")
        .retries(Retries::times(1))
        .on_failure(tell("op"))
        .run(|_, n| if n % 2 == 0 { Err("even".into()) } else { Ok(n) });
    let sum = op("sum").list::<i64>("all").run(|_, all| Ok(all.len() as u64));
    let j = job("j")
        .on_success(tell("fine"))
        .on_failure(tell("job"))
        .on_failure(|_| Err("no paper".into()))
        .on_failure(|hook| panic!("for {}", hook.step()))
        .define(|g| sum_of(g, &load, &odd, &sum));
    let result = j.execute_in_process().unwrap();
    assert_eq!(
        *told.lock().unwrap(),
        ["fine load - 1", "fine odd a 1", "op odd b 2", "job odd b 2"]
    );
    assert_eq!(result.state("sum"), Some(StepState::Blocked));
    assert_eq!(result.warnings()[0], "a hook of `odd` failed: no paper");
    assert!(result.warnings()[1].contains("src/api/job_tests.rs"), "{:?}", result.warnings());
}

fn sum_of(
    g: &Graph,
    load: &Op<(), Alone<Pieced<i64>>>,
    odd: &Op<(One<i64>,), Alone<Plain<i64>>>,
    sum: &Op<(Many<i64>,), Alone<Plain<u64>>>,
) {
    let all = load.call(g).map(|n| odd.call(g, n)).collect();
    sum.call(g, all);
}

#[test]
fn configurations_are_judged_as_a_whole_before_anything_runs() {
    let ran = Arc::new(Mutex::new(0));
    let count = ran.clone();
    let fit = op("fit")
        .config(json!({"lr": {"type": "float", "min": 0}, "name": "string"}))
        .reads(["depth"])
        .run(move |ctx| {
            *count.lock().unwrap() += 1;
            Ok(format!(
                "{} {} {}",
                ctx.setting::<f64>("lr")?,
                ctx.setting::<u32>("depth")?,
                ctx.setting::<u32>("width").unwrap_err()
            ))
        });
    let inner = graph("inner").define(|g| fit.call(g));
    let j = job("j")
        .config(json!({"depth": {"type": "int", "default": 3}, "width": "int?"}))
        .define(|g| {
            inner.call(g);
        });
    let wrong = j.execute(&Launch::new().config(json!({"inner": {"fit": {"lr": -1, "nam": "x"}}})));
    expect![[r#"
        configure the job `j`:
        `inner.fit.nam` is not defined; did you mean `name`?
        `inner.fit.name` is missing; it must be `string`, such as `"..."`
        `inner.fit.lr` must be a number of at least 0, not `-1`"#]]
    .assert_eq(&wrong.unwrap_err().to_string());
    assert_eq!(*ran.lock().unwrap(), 0);
    let right =
        Launch::new().config(json!({"inner": {"fit": {"lr": 1, "name": "x"}}})).set("depth=4");
    let result = j.execute(&right).unwrap();
    expect![[r#"1 4 `fit` reads the setting `width`, which is not there; declare it with `config` or `reads`"#]]
        .assert_eq(&result.value::<String>("inner.fit").unwrap());
}

#[test]
fn mistakes_of_a_declaration_come_back_all_at_once() {
    let one = op("one").run(|_| Ok(1_i64));
    let twice = op("twice").input::<i64>("n").input::<i64>("n").run(|_, a, b| Ok(a + b));
    let schema = op("schema").config(json!({"a": "strng"})).reads(["b"]).run(|_| Ok(()));
    let j = job("a b").define(|g| {
        let n = one.call(g);
        twice.call(g, n, n);
        schema.call(g);
    });
    let Err(Error::Job { mistakes, .. }) = j.execute_in_process() else { panic!() };
    let kinds: Vec<String> =
        mistakes.iter().map(|it| format!("{}: {}", it.path, it.kind)).collect();
    expect![[r#"
        twice: the input `n` is declared twice
        schema: its configuration is not right: `a`: there is no type `strng`; did you mean `string`?
        a b: `a b` cannot be a name: a name is segments of letters, digits, `_` and `-`, joined by `/`
        twice: its input `n` is wired twice"#]]
    .assert_eq(&kinds.join("\n"));
}

#[test]
fn a_value_is_read_as_the_type_that_is_asked_for() {
    let number = op("number").run(|_| Ok(3_i64));
    let j = job("j").define(|g| {
        number.call(g);
    });
    let result = j.execute_in_process().unwrap();
    assert_eq!(result.value::<f64>("number").unwrap(), 3.0);
    assert_eq!(result.value::<serde_json::Value>("number").unwrap(), json!(3));
    let error = result.value::<bool>("number").unwrap_err().to_string();
    assert!(error.starts_with("`number` of the job `j` has no value at `result`: "), "{error}");
    let error = result.value::<i64>("nmber").unwrap_err().to_string();
    assert!(error.ends_with("there is no such step"), "{error}");
}
