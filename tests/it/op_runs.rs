//! Jobs of ops on the store, with real processes: what runs, what is recorded, what a retry takes over,
//! and what is left behind.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use giornata::base::{FixedClock, JobName, RunId};
use giornata::defs::config::{Config, Env, Schema};
use giornata::defs::{
    Body, Call, Callee, CommandBody, CommandLine, Emits, Entry, Flow, Graph, HookDef, Hooks,
    InputDecl, Job, Least, Op, Origin, OutputDecl, OutputDef, PartitionsDef, Port, Project, Ref,
    Retries, Selection, Source, Takes, TypeRef, Work,
};
use giornata::engine::{
    Access, Engine, Error, Gc, GcMode, JobEvent, JobSummary, Launch, Options, RunOptions,
};
use giornata::exec::{Control, NoFunctions};
use giornata::store::{OpState, RunState, Store};

/// A call of an op that is a line of shell.
struct Line {
    call: Call,
    op: Op,
}

fn origin() -> Origin {
    Origin { file: "jobs.yaml".into(), line: 1 }
}

fn shell(name: &str, line: &str) -> Line {
    let line = CommandLine::Shell(line.to_owned());
    let body = Body::Command(CommandBody { line, code: None, named_files: Vec::new() });
    let mut op = Op::new(name, origin(), body);
    op.outputs = [OutputDecl {
        form: OutputDef::File { name: "result.json".to_owned() },
        ..OutputDecl::result()
    }]
    .into();
    let call = Call {
        name: name.to_owned(),
        callee: Callee::Op(Arc::new(op.clone())),
        wires: Vec::new(),
        after: Vec::new(),
        hooks: Hooks::default(),
        origin: origin(),
    };
    Line { call, op }
}

fn port(text: &str) -> Ref {
    Ref::Port(match text.split_once('.') {
        Some((call, output)) => Port::new(call, output),
        None => Port::only(text),
    })
}

impl Line {
    fn takes(mut self, input: &str, takes: Takes, source: Source) -> Line {
        let decl = InputDecl { takes, ..InputDecl::one(input) };
        self.op.inputs = self.op.inputs.iter().cloned().chain([decl]).collect();
        self.call.wires.push((input.to_owned(), source));
        self
    }

    fn reads(self, input: &str, from: &str) -> Line {
        self.takes(input, Takes::One, Source::One(port(from)))
    }

    fn each(self, input: &str, from: &str) -> Line {
        self.takes(input, Takes::One, Source::Each(port(from)))
    }

    fn collects(self, input: &str, from: &str) -> Line {
        self.takes(input, Takes::Many, Source::Collect(port(from)))
    }

    fn list(self, input: &str, from: &[&str]) -> Line {
        let entries = from.iter().map(|from| Entry::One(port(from))).collect();
        self.takes(input, Takes::Many, Source::List(entries))
    }

    fn gives(mut self, outputs: &[(&str, Emits)]) -> Line {
        let output = |(name, emits): &(&str, Emits)| OutputDecl {
            name: (*name).into(),
            emits: *emits,
            ..OutputDecl::result()
        };
        self.op.outputs = outputs.iter().map(output).collect();
        self
    }

    fn pieces(mut self) -> Line {
        self.op.outputs = [OutputDecl {
            emits: Emits::Pieces(Least::None),
            form: OutputDef::File { name: "{piece}.json".to_owned() },
            ..OutputDecl::result()
        }]
        .into();
        self
    }

    fn op(mut self, edit: impl FnOnce(&mut Op)) -> Line {
        edit(&mut self.op);
        self
    }

    fn call(mut self) -> Call {
        self.call.callee = Callee::Op(Arc::new(self.op));
        self.call
    }
}

fn flow(lines: Vec<Line>) -> Flow {
    let calls = lines.into_iter().map(Line::call).collect();
    let graph = Graph { name: "job".to_owned(), calls, ..Graph::default() };
    graph.compile(&JobName::parse("job").unwrap()).unwrap()
}

fn job(lines: Vec<Line>) -> Job {
    Job {
        name: JobName::parse("job").unwrap(),
        origin: origin(),
        work: Work::Flow(Arc::new(flow(lines))),
        config: Schema::shape([]),
        values: serde_json::Value::Null,
        presets: BTreeMap::new(),
        partitions: PartitionsDef::Unpartitioned,
        tags: BTreeMap::new(),
        hooks: Hooks::default(),
        description: None,
    }
}

/// A directory with a store, in which one job after the other is run.
struct Shop {
    dir: tempfile::TempDir,
    env: Vec<(String, String)>,
}

/// How a run went.
struct Ran {
    summary: JobSummary,
    /// One word an event: `+load`, `-load`, `~load`, `?load`, `!load`, `=load`.
    events: Vec<String>,
}

fn launch() -> Launch {
    Launch {
        job: JobName::parse("job").unwrap(),
        partition: None,
        config: Config { value: serde_json::json!({}), withheld: Vec::new() },
        ops: None,
        retry_of: None,
        tags: BTreeMap::new(),
    }
}

fn retry(run: u64) -> Launch {
    Launch { retry_of: Some(RunId(run)), ..launch() }
}

fn told(event: &JobEvent) -> Option<String> {
    Some(match event {
        JobEvent::StepSucceeded { step, .. } => format!("+{step}"),
        JobEvent::StepFailed { step, reason, .. } => format!("-{step}: {reason}"),
        JobEvent::StepSkipped { step } => format!("~{step}"),
        JobEvent::StepBlocked { step } => format!("?{step}"),
        JobEvent::StepReused { step, .. } => format!("={step}"),
        JobEvent::HookFailed { step, reason } => format!("!{step}: {reason}"),
        JobEvent::Warning { message } => format!("warning: {message}"),
        JobEvent::Started { .. } | JobEvent::StepStarted { .. } | JobEvent::Finished { .. } => {
            return None;
        }
    })
}

impl Shop {
    fn new() -> Shop {
        Shop { dir: tempfile::tempdir().unwrap(), env: Vec::new() }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn project(&self, job: Job) -> Project {
        let mut project = Project::empty();
        project.settings.inline_max_bytes = 16;
        project.pools = [("two".into(), 2)].into();
        project.jobs = [(job.name.clone(), Arc::new(job))].into();
        project
    }

    fn open(&self, job: Job) -> Engine {
        open(self.dir.path(), self.project(job), &self.env)
    }

    fn try_run(&self, job: Job, launch: &Launch) -> Result<Ran, Error> {
        let mut engine = self.open(job);
        let mut events = Vec::new();
        let options = RunOptions { jobs: Some(3), ..RunOptions::default() };
        let rev = self.store().rev().unwrap();
        let summary = engine.run_job(launch, &options, &Control::new(), &mut |_, event| {
            events.extend(told(&event));
        })?;
        assert_eq!(self.store().rev().unwrap(), rev, "a run of ops changes no record");
        events.sort();
        Ok(Ran { summary, events })
    }

    #[track_caller]
    fn run(&self, lines: Vec<Line>, launch: &Launch) -> Ran {
        self.try_run(job(lines), launch).unwrap()
    }

    fn store(&self) -> Store {
        Store::open(&self.path(".giornata"), giornata::base::Durability::Batch).unwrap()
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_default()
    }

    /// The places of runs that are there.
    fn places(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path(".giornata/runs")).into_iter().flatten();
        let name = |entry: std::io::Result<fs::DirEntry>| {
            entry.unwrap().file_name().into_string().unwrap()
        };
        let mut names: Vec<String> = entries.map(name).collect();
        names.sort();
        names
    }
}

fn open(root: &Path, project: Project, env: &[(String, String)]) -> Engine {
    let path = ("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into());
    let env = env.iter().map(|(name, value)| (name.into(), value.into())).chain([path]);
    let options = Options {
        root: root.to_owned(),
        access: Access::Write,
        clock: Arc::new(FixedClock("2026-01-01T00:00:00Z".parse().unwrap())),
        env: env.collect(),
        set: Vec::new(),
        functions: Arc::new(NoFunctions),
    };
    Engine::open(project, options).unwrap()
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
    assert_eq!(shop.store().runs(9).unwrap().len(), 2, "what could not start left no run");
}

#[test]
fn a_pool_has_no_more_steps_at_once_than_it_may() {
    let shop = Shop::new();
    // Each says how many are there with it; a directory is made by one process only.
    let line = "mkdir -p in; touch in/$GIORNATA_STEP; ls in | wc -l >> most; sleep 0.02; \
                rm in/$GIORNATA_STEP; echo > $output";
    let step = |n: usize| shell(&format!("s{n}"), line).op(|op| op.pool = Some("two".into()));
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
    assert_eq!((shop.store().runs(9).unwrap().len(), shop.read("started")), (0, String::new()));
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

/// Runs in a process of its own, which its test kills.
#[test]
#[ignore = "started by another test"]
#[expect(clippy::disallowed_methods, reason = "how one test process tells another its directory")]
fn killed_child() {
    let root = PathBuf::from(std::env::var_os("GIORNATA_KILLED").unwrap());
    let shop = Shop::new();
    let mut engine = open(&root, shop.project(job(killed())), &[]);
    let options = RunOptions { jobs: Some(2), ..RunOptions::default() };
    engine.run_job(&launch(), &options, &Control::new(), &mut |_, _| {}).unwrap();
}

fn killed() -> Vec<Line> {
    vec![
        shell("one", "echo one >> ran; printf '%040d' 1 > $output"),
        shell("two", "echo $$ > pid; test -e stop && exec cp $n $output; sleep 600")
            .reads("n", "one"),
    ]
}

#[test]
fn a_killed_run_is_interrupted_and_leaks_nothing() {
    let shop = Shop::new();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "op_runs::killed_child", "--ignored"])
        .env("GIORNATA_KILLED", shop.dir.path())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let wait = Control::new();
    for _ in 0..6_000 {
        if !shop.read("pid").is_empty() {
            break;
        }
        wait.wait(std::time::Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let pid: i32 = shop.read("pid").trim().parse().unwrap();

    let engine = shop.open(job(killed()));
    let steps = shop.store().op_steps(RunId(1)).unwrap();
    let states: Vec<_> = steps.iter().map(|step| (step.step.as_str(), step.state)).collect();
    assert_eq!(states, [("one", OpState::Success), ("two", OpState::Interrupted)]);
    assert_eq!(shop.store().run(RunId(1)).unwrap().unwrap().state, RunState::Interrupted);
    let is_gone = || !Path::new(&format!("/proc/{pid}")).exists();
    for _ in 0..1_000 {
        if is_gone() {
            break;
        }
        wait.wait(std::time::Duration::from_millis(10));
    }
    assert!(is_gone(), "the process of a step outlived its run");
    drop(engine);

    // What it had made is there for a retry.
    assert_eq!(shop.places(), ["1"]);
    fs::write(shop.path("stop"), "").unwrap();
    let ran = shop.run(killed(), &retry(1));
    assert_eq!(ran.events, ["+two", "=one"]);
    assert_eq!((shop.read("ran").as_str(), shop.places()), ("one\n", vec![]));
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
    let gc = Gc { keep: None, mode: GcMode::Remove };
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
