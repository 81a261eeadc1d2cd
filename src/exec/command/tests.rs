//! Real processes: `sh` and what it can do to us.

use std::fs;
use std::path::Path;
use std::time::Duration;

use expect_test::{Expect, expect};

use super::CommandExecutor;
use crate::defs::{CommandLine, OutputDef, WordPiece};
use crate::exec::testing::{StepBuilder, TestStep, csv, only, part};
use crate::exec::{Content, Control, Executor, Failure, Lifeline, Outcome, Produced};

fn run(step: &TestStep) -> Outcome {
    CommandExecutor::new(Lifeline::new()).run(step, &Control::new())
}

fn output(outcome: &Outcome) -> String {
    match outcome.result.clone().map(only) {
        Ok(Produced::File(path)) => fs::read_to_string(path).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// What a shell line leaves at `$output`, or why it failed.
#[track_caller]
fn check(builder: StepBuilder, expected: &Expect) {
    let step = builder.build();
    let outcome = run(&step);
    let root = step.root().to_str().unwrap();
    expected.assert_eq(&match &outcome.result {
        Ok(_) => output(&outcome).replace(root, "ROOT"),
        Err(failure) => failure.to_string().replace(root, "ROOT"),
    });
}

#[test]
fn the_environment_says_where_everything_is() {
    let shown = "env | sed 's,LIFELINE=[0-9]*[.],LIFELINE=N,' | grep -v '^_\\|^SHLVL\\|^OLDPWD'";
    let builder = StepBuilder::shell(&format!("{shown} | sort > \"$output\""))
        .partition("2014-07-01")
        .env("GIORNATA_OUTER", "hidden")
        .edit(|step| step.window_rfc3339 = Some(("S".into(), "E".into())))
        .edit(|step| drop(step.config.insert("n".into(), 3.into())))
        .input("raw/a-b", vec![csv("k", "x\n1\n")]);
    check(
        builder,
        &expect![[r#"
            GIORNATA_ASSET=mart/it
            GIORNATA_ATTEMPT=1
            GIORNATA_CONFIG={"n":3}
            GIORNATA_INPUT_RAW_A_B=ROOT/staging/mart%2Fit@2014-07-01.1.raw%2Fa-b@k.csv
            GIORNATA_LIFELINE=N
            GIORNATA_METADATA=ROOT/staging/mart%2Fit@2014-07-01.1.metadata.jsonl
            GIORNATA_OUTPUT_RESULT=ROOT/staging/mart%2Fit@2014-07-01.1.out.txt
            GIORNATA_PARTITION=2014-07-01
            GIORNATA_PARTITION_END=E
            GIORNATA_PARTITION_START=S
            GIORNATA_ROOT=ROOT
            GIORNATA_RUN=7
            PATH=/usr/local/bin:/usr/bin:/bin
            PWD=ROOT
            output=ROOT/staging/mart%2Fit@2014-07-01.1.out.txt
            raw_a_b=ROOT/staging/mart%2Fit@2014-07-01.1.raw%2Fa-b@k.csv
        "#]],
    );
}

#[test]
fn an_input_is_a_file_or_a_directory() {
    let single =
        StepBuilder::shell("cat \"$raw\" > \"$output\"").input("raw", vec![csv("", "a\n")]);
    check(single, &expect![["a\n"]]);
    let parts = vec![csv("x/1", "1\n"), csv("..", "2\n")];
    let many = StepBuilder::shell("cd \"$raw\"; head * > \"$output\"").input("raw", parts);
    check(
        many,
        &expect![[r#"
            ==> %2E..csv <==
            2

            ==> x%2F1.csv <==
            1
        "#]],
    );
}

#[test]
fn an_absent_input_is_a_path_without_a_file() {
    let line = "test -n \"$raw\" && test ! -e \"$raw\" && echo absent > \"$output\"";
    let builder = StepBuilder::shell(line).input("raw", vec![]);
    check(builder.edit(|step| step.inputs[0].single = true), &expect![["absent\n"]]);
    let builder = StepBuilder::shell("ls \"$raw\" > \"$output\"").input("raw", vec![]);
    check(builder, &expect![[""]]);
}

#[test]
fn files_are_read_in_their_place() {
    let builder = StepBuilder::shell("echo $file $blob > \"$output\"; cat $blob >> \"$output\"");
    let step = builder.build();
    let path = step.root().join("their.csv");
    fs::write(&path, "theirs\n").unwrap();
    let builder = StepBuilder::shell("echo $file > \"$output\"; cat $blob >> \"$output\"")
        .input("file", vec![part("", "theirs\n", Content::File(path.clone()))])
        .input("blob", vec![part("", "theirs\n", Content::Blob(path))]);
    check(builder, &expect![["ROOT/their.csv\ntheirs\n"]]);
}

#[test]
fn nothing_is_left_in_staging_but_the_output() {
    let step = StepBuilder::shell("echo > \"$output\"; echo {} > $GIORNATA_METADATA")
        .partition("left")
        .input("raw", vec![csv("1", "1\n"), csv("2", "2\n")])
        .build();
    let outcome = run(&step);
    assert_eq!(outcome.metadata, [serde_json::json!({})]);
    let names = fs::read_dir(&step.paths.staging).unwrap();
    let names: Vec<String> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(names, ["mart%2Fit@left.1.out.txt"]);
}

#[test]
fn an_inherited_variable_is_not_hidden() {
    let step = StepBuilder::shell("echo $HOME $GIORNATA_INPUT_HOME > \"$output\"")
        .env("HOME", "/somewhere/me")
        .input("HOME", vec![csv("", "x\n")])
        .build();
    let outcome = run(&step);
    assert!(output(&outcome).starts_with("/somewhere/me /"));
    assert!(outcome.warnings[0].contains("GIORNATA_INPUT_HOME"), "{:?}", outcome.warnings);
}

#[test]
fn words_of_a_direct_line_are_expanded() {
    let text = |text: &str| WordPiece::Text(text.to_owned());
    let variable = |name: &str| WordPiece::Variable(name.to_owned());
    let line = |name: &str| {
        let destination = vec![text("of="), variable("output")];
        let source = vec![text("if="), variable(name)];
        CommandLine::Direct(vec![vec![text("dd")], source, destination, vec![text("status=none")]])
    };
    let raw = || vec![csv("", "a b\n")];
    check(StepBuilder::command(line("raw")).input("raw", raw()), &expect![["a b\n"]]);
    check(
        StepBuilder::command(line("rwa")).input("raw", raw()),
        &expect!["`$rwa` in the command line is unknown; did you mean `$raw`?"],
    );
}

#[test]
fn a_script_needs_no_permission() {
    let step = StepBuilder::shell("").build();
    fs::write(step.root().join("s.sh"), "echo \"$0\" > \"$output\"").unwrap();
    let script = |interpreter: &str| {
        let interpreter = interpreter.split(' ').map(str::to_owned).collect();
        StepBuilder::command(CommandLine::Script { interpreter, path: "s.sh".into() })
    };
    check(script("sh"), &expect![["ROOT/s.sh\n"]]);
    check(script("/usr/bin/env sh"), &expect![["ROOT/s.sh\n"]]);
    check(
        script("no-such-program"),
        &expect![
            "cannot start `no-such-program`: no program of this name is in $PATH; install it or give its path"
        ],
    );
    check(
        StepBuilder::command(CommandLine::Direct(vec![vec![WordPiece::Text("./s.sh".into())]])),
        &expect![
            "cannot start `./s.sh`: the file is not executable; `chmod +x` it or name its interpreter"
        ],
    );
}

#[test]
fn failures_say_what_happened() {
    check(StepBuilder::shell("exit 3"), &expect!["exit status 3"]);
    check(StepBuilder::shell("kill -9 $$"), &expect!["killed by signal 9"]);
    check(StepBuilder::shell("true"), &expect!["wrote no output at $output"]);
    check(
        StepBuilder::shell("mkdir \"$output\""),
        &expect!["left a directory at $output, which must be a file"],
    );
    check(
        StepBuilder::shell("true").output(OutputDef::Directory),
        &expect!["wrote no output at $output_dir"],
    );
    assert!(Failure::Exit { status: 75 }.is_transient());
    assert!(!Failure::Exit { status: 1 }.is_transient());
}

#[test]
fn a_link_as_output_is_the_file_it_leads_to() {
    let step = StepBuilder::shell("echo x > target; ln -s \"$PWD/target\" \"$output\"").build();
    let outcome = run(&step);
    assert_eq!(output(&outcome), "x\n");
    let Ok(Produced::File(path)) = outcome.result.map(only) else { panic!() };
    assert!(fs::symlink_metadata(path).unwrap().is_file());
}

#[test]
fn a_directory_is_handed_over() {
    let step =
        StepBuilder::shell("echo 1 > \"$output_dir/a\"").output(OutputDef::Directory).build();
    let Ok(Produced::Directory(path)) = run(&step).result.map(only) else { panic!() };
    assert_eq!(fs::read_to_string(path.join("a")).unwrap(), "1\n");
}

fn is_alive(pid_file: &Path) -> bool {
    let pid = fs::read_to_string(pid_file).unwrap();
    // A killed process is a zombie until somebody reaps it.
    let status = fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    status.is_ok_and(|status| !status.contains(") Z "))
}

/// Looks again and again, for at most half a minute.
#[track_caller]
fn eventually(condition: impl Fn() -> bool) {
    let control = Control::new();
    assert!((0..3000).any(|_| condition() || control.wait(Duration::from_millis(10))));
}

#[test]
fn a_time_out_stops_the_whole_group() {
    let step = StepBuilder::shell("sleep 600 & echo $! > to.pid; wait")
        .timeout(Duration::from_millis(300))
        .build();
    let outcome = run(&step);
    assert_eq!(outcome.result.unwrap_err().to_string(), "timed out after 300ms");
    eventually(|| !is_alive(&step.root().join("to.pid")));
}

#[test]
fn children_do_not_outlive_their_leader() {
    let step = StepBuilder::shell("sleep 600 & echo $! > bg.pid; echo > \"$output\"").build();
    let outcome = run(&step);
    assert!(outcome.result.is_ok());
    // The child held the log's pipe, and did not make us wait for its end.
    assert!(outcome.duration < Duration::from_secs(60));
    eventually(|| !is_alive(&step.root().join("bg.pid")));
}

#[test]
fn a_grandchild_of_another_session_does_not_hold_us() {
    let line = "setsid sleep 20 & echo said; echo > \"$output\"";
    let outcome = run(&StepBuilder::shell(line).build());
    assert!(outcome.result.is_ok());
    assert_eq!(outcome.log.unwrap().tail, "said");
    assert!(outcome.duration < Duration::from_secs(15), "{:?}", outcome.duration);
}

#[test]
fn cancelling_wakes_the_wait() {
    let control = Control::with_log(Box::new(|_, _| ()));
    let step = StepBuilder::shell("echo $$ > cancel.pid; sleep 600").build();
    let pid = step.root().join("cancel.pid");
    let outcome = std::thread::scope(|scope| {
        let running =
            scope.spawn(|| CommandExecutor::new(Lifeline::new()).run(&step, &control).result);
        eventually(|| fs::read_to_string(&pid).is_ok_and(|text| text.ends_with('\n')));
        control.cancel();
        running.join().unwrap()
    });
    assert_eq!(outcome, Err(Failure::Cancelled));
    eventually(|| !is_alive(&pid));
}

#[test]
fn who_ignores_the_term_signal_is_killed() {
    let line = "trap '' TERM; echo $$ > trap.pid; while :; do sleep 0.05; done";
    let step = StepBuilder::shell(line).timeout(Duration::from_millis(200)).build();
    let outcome = run(&step);
    assert!(matches!(outcome.result, Err(Failure::TimedOut { .. })));
    eventually(|| !is_alive(&step.root().join("trap.pid")));
}

#[test]
fn the_log_has_both_streams() {
    let step = StepBuilder::shell("echo out; echo err >&2; exit 1")
        .edit(|step| step.paths.log = step.paths.root.join("both/it.log"))
        .build();
    let log = run(&step).log.unwrap();
    assert_eq!(log.bytes, 8);
    let text = fs::read_to_string(&log.path).unwrap();
    assert!(text.contains("out\n") && text.contains("err\n"), "{text}");
    assert_eq!(log.tail, text.trim_end());
}

#[test]
fn a_silent_step_makes_no_log() {
    let step = StepBuilder::shell("exit 1")
        .edit(|step| step.paths.log = step.paths.root.join("silent.log"))
        .build();
    assert_eq!(run(&step).log, None);
    assert!(!step.paths.log.exists());
}

#[test]
fn a_flood_is_cut_in_its_middle() {
    let line = "echo first; yes 0123456789 | head -c 50000000; echo; echo last; exit 1";
    let step = StepBuilder::shell(line)
        .log_max(100_000)
        .edit(|step| step.paths.log = step.paths.root.join("flood.log"))
        .build();
    let log = run(&step).log.unwrap();
    let text = fs::read_to_string(&log.path).unwrap();
    assert!(text.len() < 100_200, "{}", text.len());
    assert!(text.starts_with("first\n") && text.ends_with("last\n"));
    assert!(text.contains("bytes are left out here"));
    assert_eq!(log.bytes, 50_000_012);
    assert_eq!(log.bytes - log.dropped, 100_000);
    assert!(log.tail.ends_with("0123\nlast") || log.tail.ends_with("\nlast"), "{}", log.tail);
}

#[test]
fn a_second_attempt_is_logged_after_the_first() {
    let edit = |attempt| {
        StepBuilder::shell("echo said; exit 1")
            .edit(|step| step.paths.log = step.paths.root.join("again.log"))
            .edit(|step| step.attempt = attempt)
            .build()
    };
    run(&edit(1));
    let log = run(&edit(2)).log.unwrap();
    let text = fs::read_to_string(log.path).unwrap();
    assert_eq!(text, "said\n[giornata: attempt 2]\nsaid\n");
}
