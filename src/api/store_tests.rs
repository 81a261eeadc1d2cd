//! Jobs of a program on its store: the same functions, with values that are kept and read again.

use std::sync::{Arc, Mutex};

use expect_test::expect;
use serde_json::json;

use super::*;
use crate::store::Store;

fn project(dir: &tempfile::TempDir, jobs: impl IntoIterator<Item = Job>) -> Project {
    let mut project = Project::new("p", dir.path());
    project.jobs(2);
    jobs.into_iter().for_each(|job| {
        project.job(job);
    });
    project
}

#[test]
fn values_of_all_forms_go_through_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let table = op("table").run(|_| {
        let mut table = Table::with_columns(["n"]);
        table.rows.push(vec![3_i64.into()]);
        Ok(table)
    });
    let text = op("text").run(|_| Ok("x".repeat(100_000)));
    let load = op("load").pieces::<i64>().run(|_| Ok(vec![("b".into(), 2), ("a".into(), 1)]));
    let double = op("double").input::<i64>("n").run(|ctx, n| match ctx.piece() {
        Some(_) => Ok(2 * n),
        None => Err("it is mapped".into()),
    });
    let seen = Arc::new(Mutex::new(String::new()));
    let see = seen.clone();
    let all = op("all").input::<Table>("table").input::<String>("text").list::<i64>("numbers").run(
        move |_, table, text, numbers| {
            let cell = table.cell(0, "n").and_then(|cell| cell.as_real());
            *see.lock().unwrap() = format!("{cell:?} {} {numbers:?}", text.len());
            Ok(())
        },
    );
    let j = job("j").define(|g| {
        let (table, text) = (table.call(g), text.call(g));
        let doubled = load.call(g).map(|n| double.call(g, n));
        all.call(g, table, text, doubled.collect());
    });
    let report = project(&dir, [j]).run("j", &Launch::new()).unwrap();
    assert!(report.is_success(), "{report:?}");
    assert_eq!(*seen.lock().unwrap(), "Some(3.0) 100000 [4, 2]");
    let places = std::fs::read_dir(dir.path().join(".giornata/runs")).unwrap();
    assert_eq!(places.count(), 0);
}

#[test]
fn what_fails_is_told_as_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let even = Kind::<i64>::new("Even", |n| n % 2 == 0);
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = told.clone();
    let three = op("three").run(|_| Ok(3_i64));
    let takes = op("takes").input_that("n", &even).run(|_, n| Ok(n));
    let panics = op("panics").run(|ctx| -> Result<i64, BoxError> {
        ctx.log().info("looking for ink");
        panic!("no ink")
    });
    let fatal = op("fatal")
        .retries(Retries::times(3))
        .run(|_| -> Result<i64, BoxError> { Err(Fatal::new("not ours").into()) });
    let again = op("again").run(|ctx| {
        ctx.log().warn(format!("attempt {}", ctx.attempt()));
        match ctx.attempt() {
            3 => Ok(1_i64),
            _ => Err(Again::new("not yet").max(5).into()),
        }
    });
    let keys = op("keys").pieces::<i64>().run(|_| Ok(vec![("a-b".to_owned(), 1)]));
    let j = job("j")
        .on_failure(move |hook| {
            let kind = hook.failure().map(|failure| failure.kind);
            tell.lock().unwrap().push((hook.step().to_owned(), kind));
            Err("hooks fail too".into())
        })
        .define(|g| {
            takes.call(g, three.call(g));
            panics.call(g);
            fatal.call(g);
            again.call(g);
            keys.call(g);
        });
    let mut report = project(&dir, [j]).run("j", &Launch::new()).unwrap();
    report.failed.sort_by(|a, b| a.step.cmp(&b.step));
    let mut text = String::new();
    for FailedOp { step, attempts, reason } in &report.failed {
        let reason = reason.replace(char::is_numeric, "0");
        text += &format!("{step} ({attempts}): {reason}\n");
    }
    expect![[r#"
        fatal (1): not ours
        keys (1): emitted a piece of `result` under the key `a-b`; a key is letters, digits and `_`
        panics (1): panicked at src/api/store_tests.rs:00:0: no ink
        takes (1): input `n` of `takes`: expected Even, got 0
    "#]]
    .assert_eq(&text);
    let mut told = told.lock().unwrap().clone();
    told.sort_by(|a, b| a.0.cmp(&b.0));
    let kinds: Vec<_> = told.into_iter().map(|(_, kind)| kind.unwrap()).collect();
    use FailureKind::{Fatal as F, Panic, PieceKey, Type};
    assert_eq!(kinds, [F, PieceKey, Panic, Type]);
    assert_eq!(report.warnings.len(), 4);
    assert_eq!(report.warnings[0].split(": ").nth(1), Some("hooks fail too"));
    let log = |step: &str| {
        std::fs::read_to_string(dir.path().join(format!(".giornata/logs/1/{step}.log"))).unwrap()
    };
    // What was said before a panic.
    assert!(log("panics").starts_with("INFO looking for ink\n"), "{}", log("panics"));
    assert_eq!(
        log("again"),
        "WARN attempt 1\n[giornata: attempt 2]\nWARN attempt 2\n[giornata: attempt 3]\nWARN attempt 3\n"
    );
}

#[test]
fn a_memo_is_kept_for_other_jobs_and_a_secret_for_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let ran = Arc::new(Mutex::new(0));
    let count = ran.clone();
    let slow = op("slow").memo().reads(["token"]).run(move |ctx| {
        *count.lock().unwrap() += 1;
        ctx.log().info(ctx.setting::<String>("token")?);
        Ok(1_i64)
    });
    let config = json!({"token": {"type": "string", "secret": true}});
    let declare = |name: &str| {
        job(name).config(config.clone()).define(|g| {
            slow.call(g);
        })
    };
    let mut project = project(&dir, [declare("first"), declare("second")]);
    let launch = Launch::new().set("token.env=TOKEN").env("TOKEN", "hunter2-and-more");
    assert_eq!(project.run("first", &launch).unwrap().ran, ["slow"]);
    let second = project.run("second", &launch).unwrap();
    assert_eq!((second.reused, *ran.lock().unwrap()), (vec!["slow".to_owned()], 1));
    let other = launch.env("TOKEN", "another secret");
    assert_eq!(project.run("first", &other).unwrap().ran, ["slow"]);
    let log = |run: u32| {
        std::fs::read_to_string(dir.path().join(format!(".giornata/logs/{run}/slow.log"))).unwrap()
    };
    assert_eq!((log(1), log(3)), ("INFO ***\n".to_owned(), "INFO ***\n".to_owned()));
    drop(project);
    let store = Store::open(&dir.path().join(".giornata"), crate::base::Durability::Batch).unwrap();
    let snapshot = crate::store::snapshot::Snapshot::render(&store).unwrap();
    assert!(!snapshot.contains("hunter2") && !snapshot.contains("another secret"), "{snapshot}");
}

#[test]
fn a_job_that_is_not_there_or_there_twice_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let declare = |name: &str| {
        let one = op("one").run(|_| Ok(1_i64));
        job(name).define(|g| {
            one.call(g);
        })
    };
    let error = project(&dir, [declare("nightly")]).run("nightli", &Launch::new()).unwrap_err();
    assert_eq!(error.to_string(), "there is no job `nightli`; did you mean `nightly`?");
    let twice = [declare("nightly"), declare("nightly")];
    let error = project(&dir, twice).run("nightly", &Launch::new()).unwrap_err().to_string();
    assert!(
        error.starts_with("two jobs are named `nightly`: at src/api/store_tests.rs:"),
        "{error}"
    );
}
