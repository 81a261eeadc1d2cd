//! Jobs of ops on the store, with real processes: what runs, what is recorded, what a retry takes over,
//! and what is left behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use giornata::base::{Durability, FixedClock, RunId};
use giornata::defs::config::{Config, Env, Schema};
use giornata::defs::{
    Body, CommandBody, CommandLine, Emits, HookDef, InputDecl, Memo, Op, OutputDecl, OutputDef,
    Retries, Selection, TypeRef,
};
use giornata::engine::{Engine, Error, Gc, GcMode, JobEvent, Launch, RunOptions};
use giornata::exec::Control;
use giornata::store::{OpState, RunQuery, RunState, Store};

use super::op_shop::{Line, Shop, job, launch, open_at, retry, shell};

#[test]
fn nothing_more_starts_after_the_first_failure_if_that_is_asked_for() {
    let shop = Shop::new();
    let lines = vec![
        shell("bad", "exit 1"),
        shell("one", "echo 1 > $output"),
        shell("two", "cp $n $output").reads("n", "one"),
    ];
    let mut engine = shop.open(job(lines));
    let options = RunOptions { jobs: Some(1), fail_fast: true, ..RunOptions::default() };
    let summary = engine.run_job(&launch(), &options, &Control::new(), &mut |_, _| {}).unwrap();
    assert_eq!((summary.failed, summary.succeeded, summary.cancelled), (1, 0, 2));
    assert_eq!(shop.store().run(summary.run).unwrap().unwrap().state, RunState::Failure);
}

#[test]
fn values_go_from_step_to_step_and_nothing_is_left() {
    let shop = Shop::new();
    let long = "printf '%040d' 7 > $output";
    let ran = shop.run(
        vec![
            shell("one", "echo 1 > $output"),
            shell("long", long),
            shell("both", "cat $a $b > \"$GIORNATA_ROOT/both\"; cp $a $output")
                .reads("a", "one")
                .reads("b", "long"),
            shell(
                "all",
                "cat $(cat $GIORNATA_INPUT_XS_LIST) >> \"$GIORNATA_ROOT/both\"; echo > $output",
            )
            .list("xs", &["both", "long"]),
        ],
        &launch(),
    );
    assert_eq!(ran.events, ["+all", "+both", "+long", "+one"]);
    assert!(ran.summary.is_success() && ran.summary.kept.is_none());
    let seven = format!("{:040}", 7);
    assert_eq!(shop.read("both"), format!("1\n{seven}1\n{seven}"));
    assert_eq!(shop.places(), [""; 0]);
    let store = shop.store();
    let run = store.run(ran.summary.run).unwrap().unwrap();
    assert_eq!((run.state, run.launch.job.as_deref()), (RunState::Success, Some("job")));
    let steps = store.op_steps(run.id).unwrap();
    assert!(steps.iter().all(|step| step.state == OpState::Success && step.attempts == 1));
    assert_eq!(steps.len(), 4);
    assert_eq!(store.op_outputs(run.id, "one").unwrap(), []);
    assert_eq!(store.integrity().unwrap(), []);
}

#[test]
fn what_was_not_emitted_skips_what_reads_it() {
    let shop = Shop::new();
    let both = [("left", Emits::Optional), ("right", Emits::Optional)];
    let ran = shop.run(
        vec![
            shell("pick", "echo 1 > $GIORNATA_OUTPUT_LEFT").gives(&both),
            shell("left", "cp $x $output").reads("x", "pick.left"),
            shell("right", "cp $x $output").reads("x", "pick.right"),
            shell("join", "cat $xs/* > \"$GIORNATA_ROOT/join\"; echo > $output")
                .list("xs", &["left", "right"]),
            shell("after", "echo > $output").reads("x", "right"),
        ],
        &launch(),
    );
    assert_eq!(ran.events, ["+join", "+left", "+pick", "~after", "~right"]);
    assert_eq!((ran.summary.skipped, ran.summary.is_success()), (2, true));
    assert_eq!(shop.read("join"), "1\n");
    let steps = shop.store().op_steps(ran.summary.run).unwrap();
    let right = steps.iter().find(|step| step.step == "right").unwrap();
    assert_eq!(right.state, OpState::Skipped);
}

/// One piece for each number in `pieces`; the step of each fails while its file `fail-N` is there.
fn dynamic() -> Vec<Line> {
    vec![
        shell("load", "for n in $(cat pieces); do echo $n > $output_dir/p$n.json; done").pieces(),
        shell(
            "compute",
            "n=$(cat $x); echo $n >> ran; test ! -e fail-$n && echo $((n * 2)) > $output",
        )
        .each("x", "load"),
        shell("polish", "cp $x $output").each("x", "compute"),
        shell("merge", "cat $xs/*.json | tr '\\n' ' ' > merged; ls $xs >> merged; echo > $output")
            .collects("xs", "polish"),
    ]
}

#[test]
fn a_step_runs_for_each_piece_and_none_of_no_pieces() {
    let shop = Shop::new();
    fs::write(shop.path("pieces"), "3 1 2").unwrap();
    let ran = shop.run(dynamic(), &launch());
    assert_eq!(
        ran.events,
        [
            "+compute[p1]",
            "+compute[p2]",
            "+compute[p3]",
            "+load",
            "+merge",
            "+polish[p1]",
            "+polish[p2]",
            "+polish[p3]"
        ]
    );
    assert_eq!(shop.read("merged"), "2 4 6 p1.json\np2.json\np3.json\n");
    fs::write(shop.path("pieces"), "").unwrap();
    let ran = shop.run(dynamic(), &launch());
    assert_eq!(ran.events, ["+load", "+merge"]);
    assert_eq!(shop.read("merged"), "");
}

#[test]
fn a_retry_runs_what_failed_and_what_reads_it() {
    let shop = Shop::new();
    fs::write(shop.path("pieces"), "1 2 3").unwrap();
    fs::write(shop.path("fail-2"), "").unwrap();
    let ran = shop.run(dynamic(), &launch());
    assert_eq!(
        ran.events,
        [
            "+compute[p1]",
            "+compute[p3]",
            "+load",
            "+polish[p1]",
            "+polish[p3]",
            "-compute[p2]: exit status 1",
            "?merge",
            "?polish[p2]"
        ]
    );
    let summary = &ran.summary;
    assert_eq!((summary.failed, summary.blocked, summary.is_success()), (1, 2, false));
    assert_eq!(summary.kept.as_deref(), Some(&*shop.path(".giornata/runs/1")));
    assert_eq!(shop.places(), ["1"]);
    // It fails once more, and takes over what was made before.
    let again = shop.run(dynamic(), &retry(1));
    assert_eq!((again.summary.reused, again.summary.failed), (5, 1));
    fs::remove_file(shop.path("fail-2")).unwrap();
    let last = shop.run(dynamic(), &retry(2));
    assert_eq!(
        last.events,
        [
            "+compute[p2]",
            "+merge",
            "+polish[p2]",
            "=compute[p1]",
            "=compute[p3]",
            "=load",
            "=polish[p1]",
            "=polish[p3]"
        ]
    );
    assert_eq!(shop.read("ran").lines().filter(|n| *n == "2").count(), 3);
    assert_eq!(shop.read("ran").lines().count(), 5, "1 and 3 ran once");
    // The places of all three are gone, and what they were is still recorded.
    assert_eq!(shop.places(), [""; 0]);
    let store = shop.store();
    assert_eq!(store.run(RunId(3)).unwrap().unwrap().launch.parent, Some(RunId(2)));
    assert_eq!(store.ancestors(RunId(3)).unwrap(), [RunId(2), RunId(1)]);
    assert_eq!(store.op_files().unwrap(), []);
    let problem = shop.try_run(job(dynamic()), &retry(3)).err().unwrap().to_string();
    assert!(problem.contains("run 3 has succeeded"), "{problem}");
}

#[test]
fn a_retry_takes_only_what_was_made_of_the_same() {
    let shop = Shop::new();
    let lines = |one: &str| {
        vec![
            shell("one", &format!("echo one >> ran; echo {one} > $output")),
            shell("two", "echo two >> ran; cp $n $output").reads("n", "one"),
            shell("three", "echo three >> ran; cp $n $output").reads("n", "two"),
            shell("bad", "test -e good && cp $n $output").reads("n", "three"),
        ]
    };
    shop.run(lines("1"), &launch());
    // Another text that gives the same: what reads it is taken over.
    let ran = shop.run(lines("$((0 + 1))"), &retry(1));
    assert_eq!(ran.events[..4], ["+one", "-bad: exit status 1", "=three", "=two"]);
    fs::write(shop.path("good"), "").unwrap();
    let ran = shop.run(lines("2"), &retry(2));
    assert_eq!(ran.events, ["+bad", "+one", "+three", "+two"]);
}

#[test]
fn steps_that_are_not_selected_are_taken_from_the_run_that_is_retried() {
    let shop = Shop::new();
    let lines = || {
        vec![
            shell("one", "echo 1 > $output"),
            shell("two", "test -e good && cp $n $output").reads("n", "one"),
            shell("other", "echo other >> ran; echo > $output"),
        ]
    };
    let select = |text: &str, launch: Launch| Launch {
        ops: Some(Selection::parse(text).unwrap()),
        ..launch
    };
    let ran = shop.run(lines(), &select("+two", launch()));
    assert_eq!(ran.events, ["+one", "-two: exit status 1"]);
    let error = shop.try_run(job(lines()), &select("two", launch())).err().unwrap();
    assert_eq!(
        error.to_string(),
        "the job `job` cannot start: `two` reads `one`, which is not selected; select `+two`, or retry a \
         run in which `one` has succeeded"
    );
    fs::write(shop.path("good"), "").unwrap();
    let ran = shop.run(lines(), &select("two", retry(1)));
    assert_eq!(ran.events, ["+two"]);
    assert_eq!(shop.read("ran"), "");
    assert_eq!(
        shop.store().runs(&RunQuery::default()).unwrap().len(),
        2,
        "what could not start left no run"
    );
}

#[test]
fn a_pool_has_no_more_steps_at_once_than_it_may() {
    let shop = Shop::new();
    // Each says how many are there with it; a directory is made by one process only. The first two wait
    // for each other (a pipe opens when both of its ends do), and the first is there until it has counted.
    let line = "mkdir -p in; touch in/$GIORNATA_STEP; \
                if mkdir first; then cat come; ls in | wc -l >> most; echo > counted; \
                elif mkdir second; then echo > come; cat counted; ls in | wc -l >> most; \
                else ls in | wc -l >> most; fi 2> errors; \
                rm in/$GIORNATA_STEP; echo > $output";
    for pipe in ["come", "counted"] {
        assert!(Command::new("mkfifo").arg(shop.path(pipe)).status().unwrap().success());
    }
    let timeout = Some(Duration::from_secs(60));
    let step = |n: usize| {
        shell(&format!("s{n}"), line).op(|op| {
            op.pool = Some("two".into());
            op.timeout = timeout;
        })
    };
    let ran = shop.run((0..12).map(step).collect(), &launch());
    assert_eq!(ran.summary.succeeded, 12);
    let most = shop.read("most").lines().map(|line| line.trim().parse().unwrap()).max();
    assert_eq!(most, Some(2));
}

#[test]
fn everything_that_is_missing_is_told_before_anything_starts() {
    let shop = Shop::new();
    let mut broken = job(vec![
        shell("one", "touch started; echo 1 > $output").op(|op| op.pool = Some("poll".into())),
        shell("two", "true").op(|op| op.resources = ["warehouse".to_owned()].into()),
        shell("three", "true").op(|op| {
            let word = |text: &str| vec![giornata::defs::WordPiece::Text(text.to_owned())];
            let line = CommandLine::Direct(vec![word("no-such-program"), word("x")]);
            op.body = Body::Command(CommandBody { line, code: None, named_files: Vec::new() });
        }),
    ]);
    broken.config =
        Schema::parse_root(&serde_json::json!({"token": {"type": "string", "secret": true}}))
            .unwrap();
    let given = serde_json::json!({"token": {"env": "TOKEN"}});
    let config = broken.config.validate(&given, Env::Keep).unwrap();
    let error = shop.try_run(broken, &Launch { config, ..launch() }).err().unwrap();
    let Error::Launch { problems, .. } = error else { panic!("{error}") };
    assert_eq!(
        problems,
        [
            "`token` needs the environment variable `TOKEN`, which is not set",
            "`one` is of the pool `poll`, which is not declared",
            "cannot start `no-such-program`: no program of this name is in $PATH; install it or give its \
             path",
            "there is no resource `warehouse`",
        ]
    );
    assert_eq!(
        (shop.store().runs(&RunQuery::default()).unwrap().len(), shop.read("started")),
        (0, String::new())
    );
    assert_eq!(shop.places(), [""; 0]);
}

#[test]
fn hooks_come_after_each_step_that_ran() {
    let shop = Shop::new();
    let hook = |line: &str| HookDef::Run(CommandLine::Shell(line.to_owned()));
    let mut job = job(vec![
        shell("one", "echo 1 > $output"),
        shell("bad", "echo said; exit 3").op(|op| op.retries = Retries::times(1)),
        shell("after", "cp $x $output").reads("x", "bad"),
    ]);
    job.hooks.success = vec![hook("echo good $GIORNATA_STEP $GIORNATA_RUN >> told")];
    job.hooks.failure = vec![
        hook("echo bad $GIORNATA_STEP $GIORNATA_REASON $GIORNATA_ATTEMPT >> told"),
        hook("exit 9"),
    ];
    let ran = shop.try_run(job, &launch()).unwrap();
    assert_eq!(ran.events, ["!bad: exit status 9", "+one", "-bad: exit status 3", "?after"]);
    assert_eq!(ran.summary.hooks_failed, 1);
    let mut told: Vec<String> = shop.read("told").lines().map(str::to_owned).collect();
    told.sort();
    assert_eq!(told, ["bad bad exit status 3 2", "good one 1"]);
    assert_eq!(
        shop.read(".giornata/logs/1/bad.log"),
        "said\n[giornata: attempt 2]\nsaid\n",
        "a hook writes no line of it"
    );
}

#[test]
fn a_secret_is_in_no_file_of_the_store() {
    let shop = Shop::new();
    let mut job = job(vec![
        shell("one", "echo $GIORNATA_CONFIG; echo $GIORNATA_CONFIG >&2; exit 1")
            .op(|op| op.reads = ["token".to_owned()].into()),
    ]);
    job.config = Schema::parse_root(&serde_json::json!({"token": "string"})).unwrap();
    let env = |name: &str| (name == "TOKEN").then(|| "hunter2-and-more".to_owned());
    let given = serde_json::json!({"token": {"env": "TOKEN"}});
    let config = job.config.validate(&given, Env::Resolve(&env)).unwrap();
    shop.try_run(job, &Launch { config, ..launch() }).unwrap();
    assert_eq!(shop.read(".giornata/logs/1/one.log"), "{\"token\":\"***\"}\n{\"token\":\"***\"}\n");
    let run = shop.store().run(RunId(1)).unwrap().unwrap();
    assert_eq!(run.launch.config, serde_json::json!({"token": {"env": "TOKEN"}}));
    let mut dirs = vec![shop.path(".giornata")];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            assert!(!bytes.windows(7).any(|window| window == b"hunter2"), "{}", path.display());
        }
    }
}

#[test]
fn a_step_that_is_given_the_wrong_type_fails_by_itself() {
    let shop = Shop::new();
    let int = |name: &str| InputDecl { kind: TypeRef::INT, ..InputDecl::one(name) };
    let ran = shop.run(
        vec![
            shell("word", "echo '\"x\"' > $output"),
            shell("number", "cp $n $output")
                .reads("n", "word")
                .op(|op| op.inputs = [int("n")].into()),
            shell("other", "cp $n $output").reads("n", "word"),
        ],
        &launch(),
    );
    assert_eq!(
        ran.events,
        ["+other", "+word", "-number: input `n` of `number`: expected int, got \"x\""]
    );
}

#[test]
fn a_cancelled_run_leaves_what_it_has_for_a_retry() {
    let shop = Shop::new();
    let lines = || {
        vec![
            shell("one", "echo 1 > $output"),
            shell("endless", "test -e stop && exec cp $n $output; while :; do sleep 1; done")
                .reads("n", "one"),
            shell("after", "cp $n $output").reads("n", "endless"),
        ]
    };
    let mut engine = shop.open(job(lines()));
    let control = Control::new();
    let options = RunOptions { jobs: Some(2), ..RunOptions::default() };
    let cancel = &mut |_: &Engine, event: JobEvent| {
        if let JobEvent::StepStarted { step } = event
            && step == "endless"
        {
            control.cancel();
        }
    };
    let summary = engine.run_job(&launch(), &options, &control, cancel).unwrap();
    assert_eq!((summary.succeeded, summary.cancelled, summary.is_success()), (1, 2, false));
    let store = shop.store();
    assert_eq!(store.run(summary.run).unwrap().unwrap().state, RunState::Cancelled);
    drop((engine, store));
    fs::write(shop.path("stop"), "").unwrap();
    assert_eq!(shop.run(lines(), &retry(1)).events, ["+after", "+endless", "=one"]);
}

const KILLED: &str = r#"
jobs:
  slow:
    ops:
      one: {run: "echo one >> ran; printf '%09999d' 1 > $output"}
      two: {run: "echo $$ > pid; test -e stop && exec cp $n $output; sleep 600", in: {n: one}}
"#;

#[test]
fn a_killed_run_is_interrupted_and_leaks_nothing() {
    let bench = super::bench::Bench::new(KILLED);
    let read = |path: &str| fs::read_to_string(bench.path(path)).unwrap_or_default();
    let store = || Store::open(&bench.path(".giornata"), Durability::Batch).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_giornata"))
        .args(["run", "slow", "--no-progress"])
        .current_dir(bench.dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let wait = Control::new();
    for _ in 0..6_000 {
        if !read("pid").is_empty() {
            break;
        }
        wait.wait(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let pid: i32 = read("pid").trim().parse().unwrap();

    // The next command that writes finds a store that opens, and says what has become of the run.
    bench.run(&["gc"]).ends(0);
    assert_eq!(store().run(RunId(1)).unwrap().unwrap().state, RunState::Interrupted);
    let steps = store().op_steps(RunId(1)).unwrap();
    let states: Vec<_> = steps.iter().map(|step| (step.step.as_str(), step.state)).collect();
    assert_eq!(states, [("one", OpState::Success), ("two", OpState::Interrupted)]);
    let is_gone = || !Path::new(&format!("/proc/{pid}")).exists();
    for _ in 0..1_000 {
        if is_gone() {
            break;
        }
        wait.wait(Duration::from_millis(10));
    }
    assert!(is_gone(), "the process of a step outlived its run");

    // What it had made is there for a retry, and goes with it.
    assert!(bench.path(".giornata/runs/1").exists());
    bench.write("stop", "");
    bench.run(&["run", "slow", "--retry", "1"]).ends(0).says("ran 1");
    assert_eq!(read("ran"), "one\n");
    let places = fs::read_dir(bench.path(".giornata/runs")).unwrap();
    assert_eq!(places.count(), 0);
}

#[test]
fn gc_takes_the_places_of_failed_runs_when_they_are_old() {
    let shop = Shop::new();
    let lines = || {
        vec![shell("one", "printf '%040d' 1 > $output"), shell("bad", "exit 1").reads("n", "one")]
    };
    shop.run(lines(), &launch());
    shop.run(lines(), &retry(1));
    let mut engine = shop.open(job(lines()));
    let gc = Gc { keep: giornata::defs::Keep::default(), mode: GcMode::Remove };
    engine.gc(gc).unwrap();
    assert_eq!(shop.places(), ["1", "2"], "they are young");
    let long_ago = std::time::SystemTime::UNIX_EPOCH;
    let age = |run: &str| {
        for dir in ["", "/kept"] {
            let dir = fs::File::open(shop.path(&format!(".giornata/runs/{run}{dir}"))).unwrap();
            dir.set_modified(long_ago).unwrap();
        }
    };
    age("1");
    engine.gc(gc).unwrap();
    assert_eq!(shop.places(), ["1", "2"], "the second names what lies in the first");
    age("2");
    engine.gc(gc).unwrap();
    assert_eq!(shop.places(), [""; 0]);
    assert_eq!(shop.store().op_outputs(RunId(1), "one").unwrap(), []);
    assert_eq!(shop.store().integrity().unwrap(), []);
    // A retry makes everything anew.
    let ran = shop.run(lines(), &retry(2));
    assert_eq!(ran.events, ["+one", "-bad: exit status 1"]);
}

/// Two ops that say `memo`: one of a file and of a setting, and one that reads what that gives.
fn memoized() -> Vec<Line> {
    let memo = |op: &mut Op| op.memo = Memo::ByContent;
    let base = |op: &mut Op| {
        memo(op);
        op.files = vec!["base".to_owned()];
        op.reads = ["size".to_owned()].into();
    };
    let line = "echo load >> ran; printf '%040d' $(cat base) > $output";
    vec![
        shell("load", line).op(base),
        shell("tree", "echo tree >> ran; mkdir $output_dir/d; cp $n $output_dir/d/f")
            .reads("n", "load")
            .op(|op| {
                memo(op);
                op.outputs =
                    [OutputDecl { form: OutputDef::Directory, ..OutputDecl::result() }].into();
            }),
        shell("use", "cat $tree/d/f > used; echo > $output").reads("tree", "tree"),
    ]
}

fn sized(size: u32, other: u32) -> Launch {
    let value = serde_json::json!({"size": size, "other": other});
    Launch { config: Config { value, withheld: Vec::new() }, ..launch() }
}

#[test]
fn an_op_with_memo_runs_once_for_the_same() {
    let shop = Shop::new();
    let ran = |launch: &Launch| shop.run(memoized(), launch).events;
    let all = ["+load", "+tree", "+use"];
    fs::write(shop.path("base"), "7").unwrap();
    assert_eq!(ran(&sized(1, 1)), all);
    assert_eq!(ran(&sized(1, 1)), ["+use", "=load", "=tree"]);
    assert_eq!(ran(&sized(1, 2)), ["+use", "=load", "=tree"], "nobody reads `other`");
    assert_eq!(ran(&sized(2, 2)), ["+load", "+use", "=tree"], "`load` gives the same");
    fs::write(shop.path("base"), "8").unwrap();
    assert_eq!(ran(&sized(1, 1)), all);
    fs::write(shop.path("base"), "7").unwrap();
    assert_eq!(ran(&sized(1, 1)), ["+use", "=load", "=tree"], "what was made before comes back");
    assert_eq!(shop.read("used"), format!("{:040}", 7));
    assert_eq!(shop.read("ran"), "load\ntree\nload\nload\ntree\n");
    assert_eq!((shop.places(), shop.store().integrity().unwrap()), (vec![], vec![]));
}

#[test]
fn what_is_kept_for_other_runs_is_sound_and_goes_when_nobody_asks() {
    let shop = Shop::new();
    fs::write(shop.path("base"), "7").unwrap();
    shop.run(memoized(), &sized(1, 1));
    let memos = || -> Vec<PathBuf> {
        let entries = fs::read_dir(shop.path(".giornata/memo")).unwrap();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    };
    assert_eq!(memos().len(), 2);
    for path in memos().iter().map(|dir| dir.join("0.json")).filter(|path| path.exists()) {
        fs::remove_file(&path).unwrap();
        fs::write(&path, "damaged").unwrap();
    }
    let ran = shop.run(memoized(), &sized(1, 1));
    assert_eq!(ran.events, ["+load", "+use", "=tree"]);
    let ran = shop.run(memoized(), &sized(1, 1));
    assert_eq!(ran.events, ["+use", "=load", "=tree"], "the sound one has taken its place");

    let gc = Gc { keep: giornata::defs::Keep::default(), mode: GcMode::Remove };
    shop.open(job(memoized())).gc(gc).unwrap();
    assert!(memos().len() >= 2);
    let later = FixedClock("2026-03-01T00:00:00Z".parse().unwrap());
    let mut engine = open_at(shop.dir.path(), shop.project(job(memoized())), &shop.env, later);
    engine.gc(gc).unwrap();
    assert_eq!(shop.store().memos_before(i64::MAX).unwrap(), []);
    drop(engine);
    let ran = shop.run(memoized(), &sized(1, 1));
    assert_eq!(ran.events, ["+load", "+tree", "+use"]);
}

#[test]
fn doctor_says_which_values_are_gone() {
    let shop = Shop::new();
    let lines = || vec![shell("one", "printf '%040d' 1 > $output"), shell("bad", "exit 1")];
    shop.run(lines(), &launch());
    fs::remove_dir_all(shop.path(".giornata/runs/1/kept")).unwrap();
    let problems = shop.open(job(lines())).doctor(giornata::engine::Depth::Records).unwrap();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].what.starts_with("a value of `one` of run 1 is gone"), "{problems:?}");
    assert_eq!(shop.run(lines(), &retry(1)).events, ["+one", "-bad: exit status 1"]);
}
