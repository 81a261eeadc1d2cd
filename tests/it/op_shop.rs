//! A directory with a store in which jobs are run whose ops are lines of shell.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use giornata::base::{Durability, FixedClock, JobName, RunId};
use giornata::defs::config::{Config, Schema};
use giornata::defs::{
    Body, Call, Callee, CommandBody, CommandLine, Emits, Entry, Flow, Graph, Hooks, InputDecl, Job,
    Least, Op, Origin, OutputDecl, OutputDef, PartitionsDef, Port, Project, Ref, Source, Takes,
    Work,
};
use giornata::engine::{Access, Engine, Error, JobEvent, JobSummary, Launch, Options, RunOptions};
use giornata::exec::{Control, NoFunctions};
use giornata::store::Store;

/// A call of an op that is a line of shell.
pub struct Line {
    call: Call,
    op: Op,
}

fn origin() -> Origin {
    Origin { file: "jobs.yaml".into(), line: 1 }
}

pub fn shell(name: &str, line: &str) -> Line {
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
    pub fn takes(mut self, input: &str, takes: Takes, source: Source) -> Line {
        let decl = InputDecl { takes, ..InputDecl::one(input) };
        self.op.inputs = self.op.inputs.iter().cloned().chain([decl]).collect();
        self.call.wires.push((input.to_owned(), source));
        self
    }

    pub fn reads(self, input: &str, from: &str) -> Line {
        self.takes(input, Takes::One, Source::One(port(from)))
    }

    pub fn each(self, input: &str, from: &str) -> Line {
        self.takes(input, Takes::One, Source::Each(port(from)))
    }

    pub fn collects(self, input: &str, from: &str) -> Line {
        self.takes(input, Takes::Many, Source::Collect(port(from)))
    }

    pub fn list(self, input: &str, from: &[&str]) -> Line {
        let entries = from.iter().map(|from| Entry::One(port(from))).collect();
        self.takes(input, Takes::Many, Source::List(entries))
    }

    pub fn gives(mut self, outputs: &[(&str, Emits)]) -> Line {
        let output = |(name, emits): &(&str, Emits)| OutputDecl {
            name: (*name).into(),
            emits: *emits,
            ..OutputDecl::result()
        };
        self.op.outputs = outputs.iter().map(output).collect();
        self
    }

    pub fn pieces(mut self) -> Line {
        self.op.outputs = [OutputDecl {
            emits: Emits::Pieces(Least::None),
            form: OutputDef::File { name: "{piece}.json".to_owned() },
            ..OutputDecl::result()
        }]
        .into();
        self
    }

    pub fn op(mut self, edit: impl FnOnce(&mut Op)) -> Line {
        edit(&mut self.op);
        self
    }

    fn call(mut self) -> Call {
        self.call.callee = Callee::Op(Arc::new(self.op));
        self.call
    }
}

pub fn flow(lines: Vec<Line>) -> Flow {
    let calls = lines.into_iter().map(Line::call).collect();
    let graph = Graph { name: "job".to_owned(), calls, ..Graph::default() };
    graph.compile(&JobName::parse("job").unwrap()).unwrap()
}

pub fn job(lines: Vec<Line>) -> Job {
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
pub struct Shop {
    pub dir: tempfile::TempDir,
    pub env: Vec<(String, String)>,
}

/// How a run went.
pub struct Ran {
    pub summary: JobSummary,
    /// One word an event: `+load`, `-load`, `~load`, `?load`, `!load`, `=load`.
    pub events: Vec<String>,
}

pub fn launch() -> Launch {
    Launch {
        job: JobName::parse("job").unwrap(),
        partition: None,
        config: Config { value: serde_json::json!({}), withheld: Vec::new() },
        ops: None,
        retry_of: None,
        request: None,
        tags: BTreeMap::new(),
        backfill: None,
    }
}

pub fn retry(run: u64) -> Launch {
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
    pub fn new() -> Shop {
        Shop { dir: tempfile::tempdir().unwrap(), env: Vec::new() }
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    pub fn project(&self, job: Job) -> Project {
        let mut project = Project::empty();
        project.settings.inline_max_bytes = 16;
        project.pools = [("two".into(), 2)].into();
        project.jobs = [(job.name.clone(), Arc::new(job))].into();
        project
    }

    pub fn open(&self, job: Job) -> Engine {
        open(self.dir.path(), self.project(job), &self.env)
    }

    pub fn try_run(&self, job: Job, launch: &Launch) -> Result<Ran, Error> {
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
    pub fn run(&self, lines: Vec<Line>, launch: &Launch) -> Ran {
        self.try_run(job(lines), launch).unwrap()
    }

    pub fn store(&self) -> Store {
        Store::open(&self.path(".giornata"), Durability::Batch).unwrap()
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_default()
    }

    /// The places of runs that are there.
    pub fn places(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path(".giornata/runs")).into_iter().flatten();
        let name = |entry: std::io::Result<fs::DirEntry>| {
            entry.unwrap().file_name().into_string().unwrap()
        };
        let mut names: Vec<String> = entries.map(name).collect();
        names.sort();
        names
    }
}

pub fn open(root: &Path, project: Project, env: &[(String, String)]) -> Engine {
    open_at(root, project, env, FixedClock("2026-01-01T00:00:00Z".parse().unwrap()))
}

pub fn open_at(
    root: &Path,
    project: Project,
    env: &[(String, String)],
    clock: FixedClock,
) -> Engine {
    let path = ("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into());
    let env = env.iter().map(|(name, value)| (name.into(), value.into())).chain([path]);
    let options = Options {
        root: root.to_owned(),
        access: Access::Write,
        clock: Arc::new(clock),
        env: env.collect(),
        set: Vec::new(),
        functions: Arc::new(NoFunctions),
    };
    Engine::open(project, options).unwrap()
}
