//! A project that is watched in a thread: what happens comes as lines, for which tests wait.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use giornata::base::{AssetKey, Clock, PartitionSet};
use giornata::engine::{
    Access, Defined, Engine, Error, Heard, JobEvent, OnStop, Options, Rule, RunEvent, RunOptions,
    Stop, Until, WatchEvent, Watched, Watching, What,
};
use giornata::exec::NoFunctions;
use giornata::load;
use giornata::watch::Settings;

/// No test waits so long unless it fails.
const LONG: Duration = Duration::from_secs(120);

/// A clock that tests set.
#[derive(Clone)]
pub struct Hands(Arc<Mutex<chrono::DateTime<chrono::Utc>>>);

impl Hands {
    pub fn at(text: &str) -> Hands {
        Hands(Arc::new(Mutex::new(text.parse().unwrap())))
    }

    pub fn set(&self, text: &str) {
        *self.0.lock().unwrap() = text.parse().unwrap();
    }
}

impl Clock for Hands {
    fn now(&self) -> chrono::DateTime<chrono::Utc> {
        *self.0.lock().unwrap()
    }
}

pub struct Rig {
    pub dir: tempfile::TempDir,
    pub hands: Hands,
    pub settings: Settings,
    watcher: Option<(Stop, JoinHandle<Result<Watched, Error>>)>,
    lines: Receiver<String>,
    teller: Sender<String>,
    /// Runs that have begun and not ended.
    open: i64,
}

impl Rig {
    pub fn new(definitions: &str) -> Rig {
        let dir = tempfile::tempdir().unwrap();
        let (teller, lines) = channel();
        let hands = Hands::at("2024-03-01T12:00:00Z");
        let settings = Settings {
            settle: Duration::from_millis(10),
            // However slow the machine is.
            writing: LONG,
            ..Settings::default()
        };
        let rig = Rig { dir, hands, settings, watcher: None, lines, teller, open: 0 };
        rig.write("giornata.toml", "name = \"watched\"\n");
        rig.write("assets/a.yaml", definitions);
        rig
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Watches until it is stopped; the lines before it looked for the first time are those of the start.
    pub fn start(&mut self, rule: Option<&[&str]>) {
        let engine = open(self.dir.path(), &self.hands);
        let rule = match rule {
            None => Rule::AsDeclared,
            Some(keys) => {
                Rule::Eager(keys.iter().map(|key| AssetKey::parse(key).unwrap()).collect())
            }
        };
        let stop = Stop::default();
        let (asked, teller, root) = (stop.clone(), self.teller.clone(), self.path(""));
        let settings = self.settings.clone();
        let work = move || {
            let teller = Mutex::new(teller);
            watch(engine, &root, rule, Until::Stopped, settings, asked, &|engine, heard| {
                if let Some(line) = line(engine, &heard) {
                    // The test may be over.
                    let _ = teller.lock().unwrap().send(line);
                }
            })
        };
        self.watcher = Some((stop, std::thread::spawn(work)));
        self.hear("watching");
    }

    /// Watches until there is nothing more to do; gives the lines.
    pub fn once(&mut self, rule: Rule) -> (Watched, Vec<String>) {
        let engine = open(self.dir.path(), &self.hands);
        let lines = Mutex::new(Vec::new());
        let hear = |engine: &Engine, heard| lines.lock().unwrap().extend(line(engine, &heard));
        let settings = self.settings.clone();
        let watched =
            watch(engine, &self.path(""), rule, Until::Idle, settings, Stop::default(), &hear);
        (watched.unwrap(), lines.into_inner().unwrap())
    }

    /// Waits for a line that begins like this; gives those that came before it, and itself.
    #[track_caller]
    pub fn hear(&mut self, beginning: &str) -> Vec<String> {
        self.until(beginning, |line, _| line.starts_with(beginning))
    }

    /// Waits until a line like this came and no run goes on.
    #[track_caller]
    pub fn settle(&mut self, beginning: &str) -> Vec<String> {
        let mut came = false;
        self.until(beginning, |line, open| {
            came |= line.starts_with(beginning);
            came && open == 0
        })
    }

    #[track_caller]
    fn until(&mut self, what: &str, mut is_enough: impl FnMut(&str, i64) -> bool) -> Vec<String> {
        let mut heard = Vec::new();
        loop {
            let line = match self.lines.recv_timeout(LONG) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("`{what}` did not come; what came: {heard:#?}")
                }
            };
            self.open += i64::from(line.starts_with("begun"));
            self.open -= i64::from(line.starts_with("ended"));
            heard.push(line);
            if is_enough(heard.last().unwrap(), self.open) {
                return heard;
            }
        }
    }

    /// Stops the watching; gives what it says of itself.
    pub fn stop(&mut self, how: OnStop) -> Watched {
        let (stop, thread) = self.watcher.take().expect("it is watched");
        stop.ask(how);
        thread.join().unwrap().unwrap()
    }

    pub fn engine(&self) -> Engine {
        open(self.dir.path(), &self.hands)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.watcher.take() {
            stop.ask(OnStop::Cancel);
            // A test that fails has its own message.
            let _ = thread.join();
        }
    }
}

fn open(root: &Path, hands: &Hands) -> Engine {
    let loaded = load::project(root).unwrap();
    assert!(loaded.diagnostics.iter().all(|it| !it.is_error()), "{:#?}", loaded.diagnostics);
    let options = Options {
        root: root.canonicalize().unwrap(),
        access: Access::Write,
        clock: Arc::new(hands.clone()),
        env: std::env::vars_os().collect(),
        set: Vec::new(),
        functions: Arc::new(NoFunctions),
    };
    Engine::open(loaded.project, options).unwrap()
}

fn watch(
    engine: Engine,
    root: &Path,
    rule: Rule,
    until: Until,
    settings: Settings,
    stop: Stop,
    hear: &(dyn Fn(&Engine, Heard) + Sync),
) -> Result<Watched, Error> {
    let root = root.to_owned();
    let mut define = || {
        let loaded = load::project(&root).map_err(|error| error.to_string())?;
        let errors: Vec<_> = loaded.diagnostics.iter().filter(|it| it.is_error()).collect();
        match errors.first() {
            None => Ok(Defined { project: loaded.project, functions: Arc::new(NoFunctions) }),
            Some(error) => Err(error.message.clone()),
        }
    };
    engine.watch(Watching {
        settings,
        rule,
        until,
        runs: 3,
        rescan: Duration::from_secs(3600),
        options: RunOptions { command: "watch".to_owned(), ..RunOptions::default() },
        stop,
        assets_dir: Some("assets".into()),
        define: &mut define,
        hear,
    })
}

fn line(engine: &Engine, heard: &Heard) -> Option<String> {
    let parts = |asset: &AssetKey, set: &PartitionSet| {
        let domain = engine.planner().domain(asset);
        set.iter()
            .filter_map(|part| domain.key(part))
            .map(|key| key.to_string())
            .collect::<Vec<_>>()
    };
    Some(match heard {
        Heard::Watch(WatchEvent::Watching { .. }) => "watching".to_owned(),
        Heard::Watch(WatchEvent::Observed(seen)) => {
            let set = |word, set: &PartitionSet| {
                (!set.is_empty()).then(|| format!("{word} {}", parts(&seen.asset, set).join(" ")))
            };
            // Keys of what is gone are not known any more.
            let gone = (!seen.removed.is_empty()).then(|| format!("{} gone", seen.removed.len()));
            let news = [set("new", &seen.added), set("changed", &seen.changed), gone];
            let news: Vec<String> = news.into_iter().flatten().collect();
            format!("observed {}: {}", seen.asset, news.join(", "))
        }
        Heard::Watch(WatchEvent::Reloaded { changed, added, removed }) => {
            format!("reloaded {changed:?} {added:?} {removed:?}")
        }
        Heard::Watch(WatchEvent::Broken { problems }) => format!("broken: {problems}"),
        Heard::Watch(WatchEvent::Ticked { of, outcome, reason, asked, known }) => {
            format!("ticked {of}: {} {asked} {known} ({reason})", outcome.as_str())
        }
        Heard::Watch(WatchEvent::Begun { what, .. }) => match what {
            What::Assets(targets) => {
                let keys: Vec<&str> = targets.keys().map(AssetKey::as_str).collect();
                format!("begun {}", keys.join(" "))
            }
            What::Request { of, text } => format!("begun {of}: {text}"),
        },
        Heard::Watch(WatchEvent::Ended { end, .. }) => match end {
            giornata::engine::End::Error(problem) => format!("ended with {problem}"),
            end => format!("ended {}", if end.is_success() { "well" } else { "badly" }),
        },
        Heard::Watch(WatchEvent::Warning { message }) => format!("warning: {message}"),
        Heard::Watch(WatchEvent::Stopping { .. }) => "stopping".to_owned(),
        Heard::Run(_, RunEvent::StepStarted { asset, partition, .. }) => {
            format!("started {asset}@{partition}")
        }
        Heard::Run(_, RunEvent::StepSucceeded { asset, partition, .. }) => {
            format!("ran {asset}@{partition}")
        }
        Heard::Run(_, RunEvent::StepFailed { asset, partition, .. }) => {
            format!("failed {asset}@{partition}")
        }
        Heard::Run(..) => return None,
        Heard::Job(_, JobEvent::StepSucceeded { step, .. }) => format!("did {step}"),
        Heard::Job(_, JobEvent::StepFailed { step, .. }) => format!("failed {step}"),
        Heard::Job(..) => return None,
    })
}

/// What ran, in order of its name.
pub fn ran(lines: &[String]) -> BTreeSet<&str> {
    lines.iter().filter_map(|line| line.strip_prefix("ran ")).collect()
}
