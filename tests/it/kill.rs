//! The real program killed at whatever moment: what it had recorded stays, what it had recorded is not made
//! again, and the next open leaves nothing of it, neither a process nor a temporary file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use giornata::base::{AssetKey, FixedClock};
use giornata::engine::{Access, Depth, Engine, Error, Options, State, Value};
use giornata::exec::{Control, NoFunctions};
use giornata::load;
use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};

/// Of each kind of output one that is small, one that is not, a directory, and what is exported.
const ASSETS: &str = r#"
sources:
  numbers: {files: "in/{name}.txt"}
assets:
  small: {partitions: each(numbers), deps: [numbers], run: sh step.sh 1, output: o.txt}
  large:
    partitions: each(numbers)
    deps: [numbers]
    run: sh step.sh 2000
    output: o.txt
    export: "out/{partition}.txt"
  tree: {deps: [small], run: sh tree.sh, output_dir: true, export: out/tree}
  total: {deps: [large, tree], run: sh total.sh, output: o.txt}
"#;

/// Says that it runs, then makes as many lines as it is told.
const STEP: &str = r#"
echo "$GIORNATA_ASSET@$GIORNATA_PARTITION" >> ran.txt
n=$(cat "$numbers")
seq "$n" $((n + $1)) > "$output"
"#;

const TREE: &str = r#"
echo "tree@" >> ran.txt
mkdir "$output_dir/deep"
cat "$small"/* > "$output_dir/deep/all.txt"
seq 1 3000 > "$output_dir/long.txt"
"#;

const TOTAL: &str = r#"
echo "total@" >> ran.txt
cat "$large"/* "$tree/deep/all.txt" | cksum > "$output"
"#;

const PARTS: u32 = 12;

/// One project, and what is known of it.
struct Bench {
    dir: tempfile::TempDir,
    generation: u32,
    random: TestRng,
}

impl Bench {
    fn new(seed: u8) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("assets")).unwrap();
        let files = [
            ("giornata.toml", "name = \"killed\"\n"),
            ("assets/all.yaml", ASSETS),
            ("step.sh", STEP),
            ("tree.sh", TREE),
            ("total.sh", TOTAL),
        ];
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let random = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
        let mut bench = Bench { dir, generation: 0, random };
        bench.renew();
        bench
    }

    fn root(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap()
    }

    /// All sources are others.
    fn renew(&mut self) {
        self.generation += 1;
        fs::create_dir_all(self.root().join("in")).unwrap();
        for part in 0..PARTS {
            let path = self.root().join(format!("in/p{part}.txt"));
            fs::write(path, format!("{}\n", self.number(part))).unwrap();
        }
    }

    fn number(&self, part: u32) -> u32 {
        self.generation * 100 + part
    }

    fn draw(&mut self, bound: usize) -> usize {
        usize::try_from(self.random.next_u64() % bound as u64).unwrap()
    }

    fn start(&self) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_giornata"));
        command.arg("-C").arg(self.root()).args(["materialize", "--all", "-j", "3"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    fn ran(&self) -> Vec<String> {
        let text = fs::read_to_string(self.root().join("ran.txt")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn open(&self, access: Access) -> Engine {
        open(&self.root(), access).unwrap()
    }

    /// What is fresh as far as is recorded: `asset@partition`.
    fn fresh(&self) -> BTreeSet<String> {
        let engine = self.open(Access::Read);
        let assets = engine.project().assets.values().filter(|asset| !asset.is_source());
        let mut fresh = BTreeSet::new();
        for asset in assets {
            let status = engine.status(&asset.key).unwrap();
            let domain = engine.planner().domain(&asset.key);
            let parts = status.sets.get(&State::Fresh).into_iter().flatten();
            fresh.extend(parts.map(|part| format!("{}@{}", asset.key, domain.key(part).unwrap())));
        }
        fresh
    }

    /// Kills a run at some moment; false if it was over before.
    fn kill(&mut self) -> bool {
        let lines = self.ran().len();
        let wait_for = self.draw(2 * PARTS as usize + 4);
        let spins = self.draw(4_000);
        let mut child = self.start();
        let control = Control::new();
        // The evidence is a step that has begun, or that the run is over.
        while self.ran().len() < lines + wait_for && child.try_wait().unwrap().is_none() {
            control.wait(Duration::from_micros(300));
        }
        for _ in 0..spins {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code().is_none_or(|code| code == 0), "{said}");
        output.status.code().is_none()
    }

    /// What an open leaves: nothing of those who have died.
    fn check_swept(&self) {
        let mut engine = self.open(Access::Write);
        assert_eq!(engine.doctor(Depth::Records).unwrap(), []);
        drop(engine);
        let left = || {
            let of = |name: &str| names(&self.root().join(".giornata").join(name));
            ["tmp", "staging", "owners"].map(of).concat()
        };
        // A child that had not begun its program when its parent was killed holds the locks of that until
        // it does, so that the dead one looks alive for a moment.
        let swept = comes_true(|| {
            let is_swept = left().is_empty();
            if !is_swept {
                self.open(Access::Write);
            }
            is_swept
        });
        assert!(swept, "left after all: {:?}", left());
        let odd = |name: &&String| !name.starts_with('p') && *name != "tree";
        let out = names(&self.root().join("out"));
        assert_eq!(out.iter().filter(odd).collect::<Vec<_>>(), Vec::<&String>::new(), "in out/");
        // Who was killed is gone as soon as the system comes to it.
        let root = self.root();
        let gone = comes_true(|| processes_of(&root).is_empty());
        assert!(gone, "these still run: {:?}", processes_of(&root));
    }

    /// Every value is what the sources say.
    fn check_contents(&self) {
        let engine = self.open(Access::Read);
        let bytes = |asset: &str, part: u32| {
            let key = AssetKey::parse(asset).unwrap();
            let index = engine.planner().domain(&key).index(&format!("p{part}")).unwrap();
            match engine.value(&key, index).unwrap() {
                Value::File(path) => fs::read_to_string(path).unwrap(),
                Value::Bytes(bytes) => String::from_utf8(bytes).unwrap(),
                other => panic!("{other:?}"),
            }
        };
        let seq = |part: u32, count: u32| {
            let numbers = self.number(part)..=self.number(part) + count;
            numbers.map(|number| format!("{number}\n")).collect::<String>()
        };
        for part in 0..PARTS {
            assert_eq!(bytes("small", part), seq(part, 1));
            assert_eq!(bytes("large", part), seq(part, 2_000));
            let exported = self.root().join(format!("out/p{part}.txt"));
            assert_eq!(fs::read_to_string(exported).unwrap(), seq(part, 2_000));
        }
        let mut order: Vec<u32> = (0..PARTS).collect();
        order.sort_by_key(|part| format!("p{part}"));
        let all: String = order.iter().map(|part| seq(*part, 1)).collect();
        let exported = fs::read_to_string(self.root().join("out/tree/deep/all.txt")).unwrap();
        assert_eq!(exported, all);
    }
}

/// The project at `root` in this process, after a look at its sources.
pub fn open(root: &Path, access: Access) -> Result<Engine, Error> {
    let loaded = load::project(root).unwrap();
    let options = Options {
        root: root.to_owned(),
        access,
        clock: Arc::new(FixedClock("2026-01-01T00:00:00Z".parse().unwrap())),
        env: vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())],
        set: vec![],
        functions: Arc::new(NoFunctions),
    };
    let mut engine = Engine::open(loaded.project, options)?;
    let assets: Vec<AssetKey> = engine.project().assets.keys().cloned().collect();
    engine.refresh(&assets)?;
    Ok(engine)
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Processes that a run of the project at `root` has started, with their runs.
fn processes_of(root: &Path) -> BTreeMap<i32, String> {
    let mut found = BTreeMap::new();
    let ids = names(Path::new("/proc")).into_iter().filter_map(|name| name.parse::<i32>().ok());
    for id in ids {
        let environ = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        let variables: Vec<&[u8]> = environ.split(|byte| *byte == 0).collect();
        let is_ours = |variable: &&[u8]| {
            variable.strip_prefix(b"GIORNATA_ROOT=") == Some(root.as_os_str().as_encoded_bytes())
        };
        if let (true, Some(run)) = (
            variables.iter().any(is_ours),
            variables.iter().find_map(|variable| variable.strip_prefix(b"GIORNATA_RUN=")),
        ) {
            found.insert(id, String::from_utf8_lossy(run).into_owned());
        }
    }
    found
}

#[expect(clippy::disallowed_methods, reason = "the person who runs the test says how long")]
fn kills() -> usize {
    if std::env::var_os("SLOW").is_some() { 500 } else { 50 }
}

fn kill_and_resume(seed: u8) {
    let mut bench = Bench::new(seed);
    let mut killed = 0;
    while killed < kills() {
        let before = bench.fresh();
        let lines = bench.ran().len();
        killed += usize::from(bench.kill());
        let repeated: Vec<String> =
            bench.ran()[lines..].iter().filter(|id| before.contains(*id)).cloned().collect();
        assert_eq!(repeated, [""; 0], "made again though it was recorded; {killed} kills");
        let after = bench.fresh();
        assert!(before.is_subset(&after), "lost: {:?}", before.difference(&after));
        // Else the next run is the one that opens it, beside what may still be dying.
        if bench.draw(2) == 0 {
            bench.check_swept();
        }
        if after.len() == 2 * PARTS as usize + 2 {
            bench.renew();
        }
    }
    let output = bench.start().wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    bench.check_swept();
    bench.check_contents();
}

#[test]
fn nothing_is_lost_repeated_or_left_however_often_it_is_killed() {
    kill_and_resume(1);
}

#[test]
fn nothing_is_lost_repeated_or_left_by_other_kills() {
    kill_and_resume(2);
}

/// A project with one step that does not end by itself; `also` is what it does before.
fn endless(also: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("assets")).unwrap();
    fs::write(dir.path().join("giornata.toml"), "name = \"endless\"\n").unwrap();
    let asset = "assets:\n  endless: {run: sh step.sh, output: o.txt}\n";
    fs::write(dir.path().join("assets/all.yaml"), asset).unwrap();
    let step = format!("{also}\necho ready > ready.txt\nsleep 3600 & wait\n");
    fs::write(dir.path().join("step.sh"), step).unwrap();
    dir
}

/// Looks again and again, for as long as ten seconds.
fn comes_true(mut is_true: impl FnMut() -> bool) -> bool {
    let control = Control::new();
    (0..10_000).any(|_| is_true() || control.wait(Duration::from_millis(1)))
}

/// A run of an endless step that has begun.
fn started(root: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_giornata"));
    command.arg("-C").arg(root).args(["materialize", "--all"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().unwrap();
    assert!(comes_true(|| root.join("ready.txt").exists()), "the step has not begun");
    assert!(!processes_of(root).is_empty());
    child
}

fn kill(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_step_dies_with_the_process_that_runs_it() {
    // One leaves the group; the helper knows it by its environment.
    let dir = endless("setsid sleep 3600 &");
    let root = dir.path().canonicalize().unwrap();
    kill(&mut started(&root));
    // Nobody opens the project: the helper does it.
    assert!(comes_true(|| processes_of(&root).is_empty()), "{:?}", processes_of(&root));
}

#[test]
fn a_command_that_is_asked_for_a_version_dies_with_the_process_that_asks() {
    let dir = endless("");
    let observed = "sources: {outside: {observe: 'echo $$ > asked; exec sleep 600'}}\n";
    fs::write(dir.path().join("assets/outside.yaml"), observed).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_giornata"))
        .args(["-C", dir.path().to_str().unwrap(), "observe"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let asked = || fs::read_to_string(dir.path().join("asked")).unwrap_or_default();
    assert!(comes_true(|| asked().ends_with('\n')), "nothing was asked");
    kill(&mut child);
    let process = Path::new("/proc").join(asked().trim());
    assert!(comes_true(|| !process.exists()), "it lives on");
}

#[test]
fn what_escapes_the_helper_is_gone_at_the_next_open() {
    // One that has left the group, and with the helper killed, the group itself.
    let dir = endless("setsid sleep 3600 &");
    let root = dir.path().canonicalize().unwrap();
    let mut child = started(&root);
    let helper = helper_of(child.id());
    let helper = rustix::process::Pid::from_raw(helper).unwrap();
    rustix::process::kill_process(helper, rustix::process::Signal::KILL).unwrap();
    kill(&mut child);
    let left = processes_of(&root);
    assert!(left.len() >= 3, "the shell and both sleeping ones: {left:?}");
    let mut status = Command::new(env!("CARGO_BIN_EXE_giornata"));
    // Whoever looks only sweeps nothing; whoever writes does.
    let opened = status.arg("-C").arg(&root).args(["invalidate", "endless"]).output().unwrap();
    assert!(comes_true(|| processes_of(&root).is_empty()), "{:?} {opened:?}", processes_of(&root));
}

/// The process that sees to it that no step outlives the process `id`.
fn helper_of(id: u32) -> i32 {
    let processes =
        names(Path::new("/proc")).into_iter().filter_map(|name| name.parse::<i32>().ok());
    let is_helper = |child: &i32| {
        let read = |name: &str| fs::read(format!("/proc/{child}/{name}")).unwrap_or_default();
        let (line, status) = (read("cmdline"), read("status"));
        let parent = format!("\nPPid:\t{id}\n");
        String::from_utf8_lossy(&line).contains("giornata-lifeline")
            && String::from_utf8_lossy(&status).contains(&parent)
    };
    processes.into_iter().find(is_helper).expect("a command runs, so there is a helper")
}
