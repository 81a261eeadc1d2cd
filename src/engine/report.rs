//! What the engine tells about assets and results: states, values, paths.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Error;
use super::export::export_path;
use super::open::Engine;
use super::run::partition_of;
use super::workers::Hands;
use crate::base::{
    AssetKey, CheckFact, Fact, Flags, Output, OutputKind, PartitionIdx, PartitionSet, RunId,
};
use crate::cas::State as BlobCheck;
use crate::cas::stat::StatEntry;
use crate::defs::partition::{PartitionExpr, PartitionTextError};
use crate::defs::{Body, CommandLine, OutputDef, SourceDef, TableFormat};
use crate::exec::{Content, Part, Step};
use crate::io::names::file_name;
use crate::plan::{Plan, ReasonCode, Records, Request, Why};
use crate::store::{LaunchInfo, Owner};

/// The states in which a partition can be, in the order in which they win: each partition is in one.
///
/// ```
/// use giornata::engine::State;
/// assert!(State::Failed < State::Stale);
/// let names: Vec<&str> = State::ALL.into_iter().map(State::as_str).collect();
/// assert_eq!(names[4..7], ["stale", "maybe_stale", "fresh"]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// A run is making it.
    Running,
    /// The last attempt to make it failed.
    Failed,
    /// It cannot be made, because something that it reads failed or is missing.
    Blocked,
    /// There is no result of it.
    Missing,
    /// What decides it has changed since it was made.
    Stale,
    /// Something that it reads is stale; whether it will change is known when that has been made.
    MaybeStale,
    /// What decides it is what it was when it was made.
    Fresh,
    /// A record of a partition that no longer exists.
    Orphaned,
}

impl State {
    /// All of them, in that order; see the example of [`State`].
    pub const ALL: [State; 8] = [
        State::Running,
        State::Failed,
        State::Blocked,
        State::Missing,
        State::Stale,
        State::MaybeStale,
        State::Fresh,
        State::Orphaned,
    ];

    /// `maybe_stale` and so on, as in JSON; see the example of [`State`].
    pub fn as_str(self) -> &'static str {
        match self {
            State::Running => "running",
            State::Failed => "failed",
            State::Blocked => "blocked",
            State::Missing => "missing",
            State::Stale => "stale",
            State::MaybeStale => "maybe_stale",
            State::Fresh => "fresh",
            State::Orphaned => "orphaned",
        }
    }
}

/// The partitions of an asset by state; every state is there, the empty ones too.
#[derive(Debug, Clone, PartialEq)]
pub struct AssetStatus {
    pub asset: AssetKey,
    pub sets: BTreeMap<State, PartitionSet>,
    /// Why the stale ones are stale.
    pub reasons: Vec<(ReasonCode, PartitionSet)>,
    /// Two runs from the same inputs gave different results.
    pub nondeterministic: PartitionSet,
    /// The current result was taken though a check of it failed, as an error.
    pub checks_failed: PartitionSet,
    /// The same, as a warning.
    pub checks_warned: PartitionSet,
}

/// How a run is to go.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// Steps at once; `None`: as the project says, else as many as there are cores.
    pub jobs: Option<usize>,
    /// Who carries the steps out.
    pub hands: Hands,
    /// Start nothing more after the first failure.
    pub fail_fast: bool,
    /// What the user typed, for the record.
    pub command: String,
    pub launch: LaunchInfo,
    pub order: RunOrder,
    /// Not tried, and nothing that reads it: it failed, or waited for a failure, in an earlier run of the same
    /// backfill.
    pub given_up: BTreeMap<AssetKey, PartitionSet>,
    /// Not run whatever their state, although targets are: earlier runs of the same backfill have done that.
    pub spared: BTreeMap<AssetKey, PartitionSet>,
    pub among: Among,
}

/// Which of the partitions that are ready goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunOrder {
    /// What holds up the longest path of assets.
    #[default]
    Critical,
    /// By the start of its window, the first one.
    Oldest,
    /// By the start of its window, the last one.
    Newest,
}

/// Whether other runs go on in the same process that this one could wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Among {
    /// It may have been called from a step of another, so it waits for none of them.
    #[default]
    Callers,
    /// They go on beside it, and it waits for what they make.
    Peers,
}

/// A recorded result.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultInfo {
    pub output: Option<Output>,
    /// The run that made or restored it.
    pub run: Option<RunId>,
    /// The run that made it, if that is still known: another one than `run` where it was restored.
    pub made_by: Option<RunId>,
    /// When it was made.
    pub made_at: Option<DateTime<Utc>>,
    pub duration_ms: Option<u64>,
    /// Of the failed attempt, else of the one that made the result.
    pub log: Option<PathBuf>,
    /// Why the last attempt failed, if it did.
    pub failure: Option<String>,
    pub failed_at: Option<DateTime<Utc>>,
    pub marks: Vec<ResultMark>,
    /// What the checks found; of the last attempt, if that failed.
    pub checks: Vec<CheckFact>,
    /// What the step reported.
    pub metadata: serde_json::Map<String, serde_json::Value>,
}

/// Something that is special about a recorded result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ResultMark {
    Invalidated,
    Accepted,
    Nondeterministic,
}

fn marks(flags: Flags) -> Vec<ResultMark> {
    let all = [
        (Flags::INVALIDATED, ResultMark::Invalidated),
        (Flags::ACCEPTED, ResultMark::Accepted),
        (Flags::NONDETERMINISTIC, ResultMark::Nondeterministic),
    ];
    all.into_iter().filter(|(flag, _)| flags.has(*flag)).map(|(_, mark)| mark).collect()
}

/// The value of a partition.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// The bytes of a table file and how to read them.
    Table {
        bytes: Vec<u8>,
        format: TableFormat,
        schema: Option<String>,
    },
    /// One file: small ones by their bytes.
    File(PathBuf),
    Bytes(Vec<u8>),
    Directory(PathBuf),
}

/// Something that is wrong with the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub what: String,
    /// What to do about it.
    pub help: String,
}

impl Among {
    pub(super) fn owner(self, dir: &Path) -> Result<Owner, Error> {
        Ok(match self {
            Among::Callers => Owner::acquire(dir)?,
            Among::Peers => Owner::acquire_apart(dir)?,
        })
    }
}

impl Engine {
    /// Answers all that `ask` asks, of the planner too, from one state of the store: quicker than one by one.
    pub fn in_one_read<T>(&self, ask: impl FnOnce() -> T) -> T {
        self.ledger.in_one_read(ask)
    }

    pub fn plan(&self, request: &Request) -> Result<Plan, Error> {
        let plan = self.in_one_read(|| self.planner.plan(request));
        self.ledger.check()?;
        Ok(plan)
    }

    /// The state of every partition of an asset, as of the last `refresh`.
    pub fn status(&self, asset: &AssetKey) -> Result<AssetStatus, Error> {
        let state = self.planner.freshness(asset);
        let running = self.running(asset)?;
        let mut left = state.domain.all() - &running;
        let mut take = |set: PartitionSet| {
            let set = set & &left;
            left -= &set;
            set
        };
        let blocked = &state.blocked | &state.upstream_failed;
        let sets = BTreeMap::from([
            (State::Failed, take(state.failed.clone())),
            (State::Blocked, take(blocked)),
            (State::Missing, take(state.without_result.clone())),
            (State::Stale, take(&state.run | state.restore_set())),
            (State::MaybeStale, take(state.pending.clone())),
            (State::Fresh, take(state.fresh())),
            (State::Orphaned, self.orphans(asset)),
            (State::Running, running),
        ]);
        self.ledger.check()?;
        let nondeterministic = self.ledger.ask(|store| store.nondeterministic(asset))?;
        let (mut checks_failed, mut checks_warned) = (PartitionSet::new(), PartitionSet::new());
        for (part, failed, warned) in self.ledger.ask(|store| store.failed_checks(asset))? {
            if failed > 0 {
                checks_failed.insert(part);
            }
            if warned > 0 {
                checks_warned.insert(part);
            }
        }
        let (asset, reasons) = (asset.clone(), state.reasons.clone());
        Ok(AssetStatus { asset, sets, reasons, nondeterministic, checks_failed, checks_warned })
    }

    /// Partitions that some live run is making right now.
    pub(super) fn running(&self, asset: &AssetKey) -> Result<PartitionSet, Error> {
        Ok(self.ledger.ask(|store| store.running_attempts(asset))?)
    }

    fn orphans(&self, asset: &AssetKey) -> PartitionSet {
        self.ledger.strangers(asset, self.planner.domain(asset).all())
    }

    /// The partitions that `expr` names, with `missing`, `failed` and `stale` answered.
    pub fn select(
        &self,
        asset: &AssetKey,
        expr: &PartitionExpr,
    ) -> Result<PartitionSet, PartitionTextError> {
        let mut set = self.planner.select(asset, expr)?;
        set.optimize();
        Ok(set)
    }

    /// Why a partition is in the state in which it is, to the root causes.
    pub fn why(&self, asset: &AssetKey, part: PartitionIdx) -> Result<Why, Error> {
        let why = self.planner.why(asset, part);
        self.ledger.check()?;
        Ok(why)
    }

    /// As `why`; of a fresh partition everything that was compared.
    pub fn why_not(&self, asset: &AssetKey, part: PartitionIdx) -> Result<Why, Error> {
        let why = self.planner.why_not(asset, part);
        self.ledger.check()?;
        Ok(why)
    }

    /// What is known of the current results of an asset beside their content, by partition.
    pub fn facts(&self, asset: &AssetKey) -> Result<Vec<Fact>, Error> {
        Ok(self.ledger.ask(|store| store.facts(asset))?)
    }

    /// The recorded result of a partition, with the run and the time that produced it.
    pub fn result(&self, asset: &AssetKey, part: PartitionIdx) -> Result<ResultInfo, Error> {
        let output = self.ledger.output(asset, part)?;
        let row = self.ledger.ask(|store| store.row(asset, part))?;
        let run = row.as_ref().and_then(|row| row.run).filter(|_| output.is_some());
        let failure = self.ledger.failure(asset, part);
        let key = failure.as_ref().map(|it| it.key).or(row.as_ref().map(|row| row.key));
        let failure = failure.map(|failure| failure.reason);
        self.ledger.check()?;
        let fact = match key {
            Some(key) => self.ledger.ask(|store| store.fact(asset, part, &key))?,
            None => None,
        };
        let (checks, metadata) = fact.map(|it| (it.checks, it.metadata)).unwrap_or_default();
        let last = self.ledger.ask(|store| store.last_attempt(asset, part))?;
        let failed = last.filter(|_| failure.is_some());
        let made = match run {
            Some(run) => self.ledger.ask(|store| store.attempt_of(run, asset, part))?,
            None => None,
        };
        let time = |ms: i64| DateTime::from_timestamp_millis(ms);
        let made_ms = row.as_ref().map(|row| row.made_ms);
        let made = match (made, made_ms, run) {
            // Restored: by the moment at which its attempt began.
            (None, Some(made_ms), Some(_)) => {
                self.ledger.ask(|store| store.attempt_at(asset, part, made_ms))?
            }
            (made, _, _) => made,
        };
        let marks = row.as_ref().map(|row| marks(row.flags)).unwrap_or_default();
        Ok(ResultInfo {
            output,
            run,
            made_by: made.as_ref().map(|made| made.run),
            made_at: made_ms.and_then(time),
            marks,
            checks,
            metadata,
            duration_ms: made.as_ref().and_then(|made| made.duration_ms),
            failed_at: failed.as_ref().and_then(|attempt| time(attempt.started_ms)),
            log: failed.or(made).and_then(|attempt| attempt.log).map(PathBuf::from),
            failure,
        })
    }

    /// How long it took to make each partition of an asset the last time, in milliseconds; those of which
    /// that is known.
    pub fn durations(&self, asset: &AssetKey) -> Result<Vec<(PartitionIdx, u64)>, Error> {
        Ok(self.ledger.ask(|store| store.last_durations(asset))?)
    }

    /// The value of a recorded result or of a source's partition. A file that does not fit in the
    /// database is given by its path.
    pub fn value(&self, asset: &AssetKey, part: PartitionIdx) -> Result<Value, Error> {
        let def = &self.project.assets[asset];
        let key = partition_of(self, asset, part);
        let mut parts = self.parts_of(def, part, &key)?;
        if let (Body::Source(SourceDef::Dir { path, .. }), false) = (&def.body, parts.is_empty()) {
            return Ok(Value::Directory(self.root.join(path)));
        }
        if parts.len() > 1 {
            // A source of several files: the directory in which they all are.
            return Ok(Value::Directory(self.root.clone()));
        }
        let part =
            parts.pop().ok_or_else(|| Error::NoResult { asset: asset.clone(), partition: key })?;
        self.part_value(asset, part)
    }

    /// The value of a partition as a step that reads it is given it: one part, several for a source of
    /// several files, none if there is no data.
    pub fn parts(&self, asset: &AssetKey, part: PartitionIdx) -> Result<Vec<Part>, Error> {
        let key = partition_of(self, asset, part);
        self.parts_of(&self.project.assets[asset], part, &key)
    }

    fn part_value(&self, asset: &AssetKey, part: Part) -> Result<Value, Error> {
        let Part { content, format, schema, content_digest, .. } = part;
        if let Content::Blob(_) = &content
            && !matches!(self.cas.verify(&content_digest)?, BlobCheck::Sound { .. })
        {
            return Err(Error::Lost { asset: asset.clone(), digest: content_digest });
        }
        let read =
            |path: PathBuf| std::fs::read(&path).map_err(|source| Error::Io { path, source });
        Ok(match (content, format) {
            (Content::Inline(bytes), Some(format)) => {
                Value::Table { bytes: bytes.to_vec(), format, schema }
            }
            (Content::Inline(bytes), None) => Value::Bytes(bytes.to_vec()),
            (Content::Blob(path) | Content::File(path), Some(format)) => {
                Value::Table { bytes: read(path)?, format, schema }
            }
            (Content::Blob(path) | Content::File(path), None) => Value::File(path),
            (Content::Tree { digest, .. }, _) => {
                let to = self.dir.join("view").join(digest.to_string());
                if !to.exists() {
                    let output = Output { kind: OutputKind::Tree, digest, size: 0, schema: None };
                    self.write_tree(&output, &to)?;
                }
                Value::Directory(to)
            }
        })
    }

    /// A path at which the value can be read: of the export, the source file, or a copy under
    /// `.giornata/view/` with a readable name.
    pub fn path(&self, asset: &AssetKey, part: PartitionIdx) -> Result<PathBuf, Error> {
        let def = &self.project.assets[asset];
        let key = partition_of(self, asset, part);
        if let Some(template) = &def.export
            && self.ledger.output(asset, part)?.is_some()
        {
            let path = self.root.join(export_path(template, &key));
            if path.exists() {
                return Ok(path);
            }
        }
        if let Body::Source(SourceDef::Files { .. }) = &def.body
            && let Some(files) = self.sources.get(asset)
            && let Some([file]) = files.get().by_part.get(&part).map(Vec::as_slice)
        {
            return Ok(self.root.join(&file.path));
        }
        self.view(asset, part, &key)
    }

    fn view(
        &self,
        asset: &AssetKey,
        part: PartitionIdx,
        key: &crate::base::PartitionKey,
    ) -> Result<PathBuf, Error> {
        let def = &self.project.assets[asset];
        let name = if key.is_unpartitioned() { "all".into() } else { file_name(key.as_str()) };
        let extension = match &def.output {
            OutputDef::Table(format) => format!(".{}", format.extension()),
            OutputDef::File { name } => match super::observe::extension(name) {
                "" => String::new(),
                extension => format!(".{extension}"),
            },
            OutputDef::Directory | OutputDef::Pieces => String::new(),
            OutputDef::None => ".csv".to_owned(),
        };
        let to = self.dir.join("view").join(asset.as_str()).join(format!("{name}{extension}"));
        match (self.ledger.output(asset, part)?, self.value(asset, part)?) {
            (Some(output), _) if output.kind == OutputKind::Tree => {
                self.write_tree(&output, &to)?;
            }
            (Some(output), _) => self.write_file(&output, &to)?,
            (None, Value::Table { bytes, .. } | Value::Bytes(bytes)) => {
                let io = |source| Error::Io { path: to.clone(), source };
                if let Some(dir) = to.parent() {
                    std::fs::create_dir_all(dir).map_err(io)?;
                }
                std::fs::write(&to, bytes).map_err(io)?;
            }
            (None, Value::File(path) | Value::Directory(path)) => return Ok(path),
        }
        Ok(to)
    }

    /// Whether the script of an asset is no longer the one that was loaded.
    pub(super) fn has_other_script(&self, asset: &AssetKey) -> bool {
        let Body::Command(command) = &self.planner.def(asset).body else { return false };
        let (CommandLine::Script { path, .. }, Some(code)) = (&command.line, command.code) else {
            return false;
        };
        let text = std::fs::read_to_string(self.root.join(path)).ok();
        text.and_then(|text| crate::load::code_digest(path, &text)) != Some(code)
    }

    /// The files that a step reads in their place, as they were when they were looked at.
    pub(super) fn guards(&self, asset: &AssetKey, step: &Step) -> Vec<(PathBuf, StatEntry)> {
        let mut guards = Vec::new();
        for input in &step.inputs {
            let Some(files) = self.sources.get(&*input.name) else { continue };
            let upstream = &self.project.assets[&*input.name];
            if let Body::Source(SourceDef::Dir { .. }) = &upstream.body {
                let all = files.all_entries().map(|(path, entry)| (self.root.join(path), entry));
                guards.extend(all);
                continue;
            }
            for part in &input.parts {
                if let Content::File(path) = &part.content {
                    // A file outside of the project goes by its whole path.
                    let name = path.strip_prefix(&self.root).unwrap_or(path).to_str();
                    let entry = name.and_then(|name| files.entry(name));
                    guards.extend(entry.map(|entry| (path.clone(), entry)));
                }
            }
        }
        let named = self.planner.files(asset).iter().map(|(path, _)| path.clone());
        for path in named.chain(super::code::script(self.planner.def(asset))) {
            if let Some(entry) = self.stats.get(Path::new(&path)) {
                guards.push((self.root.join(&path), *entry));
            }
        }
        guards
    }
}
