//! Opening a project, and looking at the world around it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rayon::prelude::*;

use super::Error;
use super::exported::Exported;
use super::ledger::Ledger;
use super::observe::{self, Answer, Answers, Eyes, Files, Known, Look, Made, Memory};
use crate::base::{AssetKey, Clock, Digest, Mark, OutputKind, PartitionKey, RunId};
use crate::cas::Cas;
use crate::cas::stat::{FsClock, SLACK_UNKNOWN_NS, Slack, StatEntry};
use crate::defs::{Asset, Body, PartitionsDef, Project, Settings, SourceDef, StepDef, TypeDef};
use crate::exec::{Functions, Lifeline, Pool, Slots};
use crate::io::SplitFile;
use crate::plan::{Planner, Records};
use crate::store::{self, OpenOptions, Store};

/// How often a look is repeated when other processes keep writing meanwhile.
const LOOKS_MAX: u32 = 8;

/// Whether the store is going to be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Create the store if there is none.
    Write,
    /// Look only: what is observed stays in memory where there is no store or it cannot be written.
    Read,
}

/// A configured value that is replaced for one invocation: of one asset, or of every asset that has it.
pub type SetValue = (Option<AssetKey>, String, serde_json::Value);

/// What an engine is told about the world outside the project's files.
pub struct Options {
    /// Absolute.
    pub root: PathBuf,
    pub access: Access,
    pub clock: Arc<dyn Clock>,
    /// What commands inherit, `.env` included.
    pub env: Vec<(OsString, OsString)>,
    pub set: Vec<SetValue>,
    pub functions: Arc<dyn Functions>,
}

/// What came of a look beside records.
struct Looked {
    warnings: Vec<String>,
    /// Why sources could not be read.
    faults: BTreeMap<AssetKey, String>,
}

/// Which commands of sources are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asking {
    /// Those whose last answer does not hold any more.
    Due,
    All,
}

/// One open project.
pub struct Engine {
    pub(super) project: Project,
    pub(super) root: PathBuf,
    /// `.giornata`
    pub(super) dir: PathBuf,
    pub(super) access: Access,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) env: Arc<Vec<(OsString, OsString)>>,
    pub(super) functions: Arc<dyn Functions>,
    pub(super) cas: Arc<Cas>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) planner: Planner,
    pub(super) fs_clock: FsClock,
    pub(super) slack: Slack,
    pub(super) stats: HashMap<PathBuf, StatEntry>,
    /// The files of sources as of the last look.
    pub(super) sources: HashMap<AssetKey, Arc<Files>>,
    /// What is remembered of sources.
    pub(super) memories: HashMap<AssetKey, Arc<Memory>>,
    /// Split files by source and the digest of the whole: two sources may split one file otherwise.
    pub(super) splits: Mutex<HashMap<(AssetKey, Digest), Arc<SplitFile>>>,
    /// What is remembered of exported files, of assets that were looked at.
    pub(super) exported: HashMap<AssetKey, Exported>,
    /// Tells what this store has put into a database; known once it was asked for.
    pub(super) io_owner: Option<String>,
    /// Resources of the run that goes on.
    pub(super) pool: Pool,
    pub(super) files_hashed: u64,
    /// Warnings that a look has returned.
    pub(super) told: BTreeSet<String>,
    /// Contents that were hashed since the engine was opened, and are what they should be.
    pub(super) verified: HashSet<Digest>,
    /// Assets as steps, as far as they were asked for.
    pub(super) step_defs: Mutex<HashMap<AssetKey, Arc<StepDef>>>,
    /// What was left to be closed when the engine was opened.
    closed: Closed,
    /// Types of the user's.
    pub(super) types: Arc<BTreeMap<String, TypeDef>>,
    /// Files that are being written, as far as is known: they are not read now.
    pub(super) busy: Arc<Busy>,
}

/// Files that are being written, by absolute path.
pub type Busy = Mutex<HashSet<PathBuf>>;

/// What is different in other definitions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Redefined {
    pub changed: Vec<AssetKey>,
    pub added: Vec<AssetKey>,
    pub removed: Vec<AssetKey>,
    /// Names of variables of the environment that are other than before.
    pub variables: Vec<String>,
}

/// How much work an engine has done since it was opened: what promises of speed are tested by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Work {
    /// Statements of SQL that the store executed.
    pub statements: u64,
    /// Files of sources and steps that were read in order to know their digest.
    pub files_hashed: u64,
    /// Queries of the planner that were computed, as opposed to those whose memo was good.
    pub queries: u64,
}

/// What processes that have died left behind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Closed {
    pub runs: Vec<RunId>,
    /// How many of their steps had not ended.
    pub steps: usize,
}

impl Engine {
    /// Opens the store beside the project and takes over the declarations. Closes runs whose process
    /// has died.
    pub fn open(mut project: Project, options: Options) -> Result<Engine, Error> {
        let Options { root, access, clock, env, set, functions } = options;
        replace_values(&mut project, &set)?;
        let dir = root.join(".giornata");
        let store = open_store(&dir, access, &project)?;
        let cas = Arc::new(Cas::open(&dir, project.settings.durability)?);
        let ledger = Arc::new(Ledger::new(store, cas.clone())?);
        let records: Arc<dyn Records> = ledger.clone();
        let mut engine = Engine {
            planner: Planner::new(records, clock.now()),
            fs_clock: FsClock::open(&dir),
            slack: Slack { dev: 0, ns: SLACK_UNKNOWN_NS },
            stats: ledger.ask(Store::stats)?,
            types: Arc::new(project.types.clone()),
            project,
            root,
            dir,
            access,
            clock,
            env: Arc::new(env),
            functions,
            cas,
            ledger,
            sources: HashMap::new(),
            memories: HashMap::new(),
            splits: Mutex::default(),
            exported: HashMap::new(),
            io_owner: None,
            pool: Pool::default(),
            files_hashed: 0,
            told: BTreeSet::new(),
            verified: HashSet::new(),
            step_defs: Mutex::default(),
            closed: Closed::default(),
            busy: Arc::default(),
        };
        engine.prepare()?;
        Ok(engine)
    }

    fn prepare(&mut self) -> Result<(), Error> {
        match self.access {
            Access::Write => {
                self.recover()?;
                super::doctor::check_after_power_cut(self)?;
            }
            Access::Read => {}
        }
        self.slack = match self.ledger.ask(Store::stat_slack)? {
            Some(slack) => slack,
            None => {
                let slack = self.fs_clock.probe();
                self.ledger.write(|batch| batch.tx().set_stat_slack(slack))?;
                slack
            }
        };
        self.take_over()
    }

    /// Closes runs whose processes have died, and removes what they left.
    pub(super) fn recover(&mut self) -> Result<(), Error> {
        let recovered = self.ledger.store_mut(store::recover)?;
        let places = recovered.runs.iter().map(|run| store::place_dir(&self.dir, *run));
        let staging = places.map(|place| place.join("staging"));
        for dir in recovered.staging.into_iter().chain(staging) {
            // What cannot be removed now is tried again at the next recovery of leftovers.
            let _ = std::fs::remove_dir_all(dir);
        }
        crate::exec::sweep_leftovers(&recovered.runs, &self.root);
        self.closed = Closed { runs: recovered.runs, steps: recovered.attempts };
        self.ledger.store_mut(Store::close_backfills)?;
        Ok(())
    }

    /// Makes the planner follow the definitions.
    fn take_over(&mut self) -> Result<(), Error> {
        self.number_static_keys()?;
        self.planner.set_project(&self.project);
        self.planner.set_env(self.env_digests()?);
        self.load_tables()?;
        self.claim_index_spaces(|_| true)
    }

    /// Replaces the definitions; what is recorded stays. The settings of the store stay as they were.
    pub fn redefine(
        &mut self,
        project: Project,
        functions: Arc<dyn Functions>,
        env: Vec<(OsString, OsString)>,
    ) -> Result<Redefined, Error> {
        let (before, after) = (&self.project.assets, &project.assets);
        let mut redefined = Redefined::default();
        for (key, asset) in after {
            match before.get(key) {
                None => redefined.added.push(key.clone()),
                Some(known) if known != asset => redefined.changed.push(key.clone()),
                Some(_) => {}
            }
        }
        redefined.variables = other_variables(&self.env, &env);
        self.env = Arc::new(env);
        redefined.removed =
            before.keys().filter(|key| !after.contains_key(*key)).cloned().collect();
        self.types = Arc::new(project.types.clone());
        (self.project, self.functions) = (project, functions);
        self.step_defs.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
        for key in redefined.changed.iter().chain(&redefined.removed) {
            self.sources.remove(key);
            self.exported.remove(key);
        }
        self.take_over()?;
        Ok(redefined)
    }

    /// How much work was done so far.
    pub fn work(&self) -> Work {
        Work {
            statements: self.ledger.ask(Store::statements),
            files_hashed: self.files_hashed,
            queries: self.planner.executed(),
        }
    }

    /// Runs that were closed when this engine was opened, since their processes had died.
    pub fn closed(&self) -> &Closed {
        &self.closed
    }

    /// Limits that hold for all processes of the project.
    pub(super) fn slots(&self) -> Slots {
        Slots::new(&self.dir, self.project.settings.max_steps, &self.project.pools)
    }

    pub fn project(&self) -> &Project {
        &self.project
    }

    /// Domains, edges, freshness: as of the last `refresh`.
    pub fn planner(&self) -> &Planner {
        &self.planner
    }

    /// Looks at the sources that `targets` depend on, and at further files that their steps name.
    /// Returns warnings.
    pub fn refresh(&mut self, targets: &[AssetKey]) -> Result<Vec<String>, Error> {
        self.planner.set_now(self.clock.now());
        self.look(targets, Asking::Due)
    }

    pub(super) fn look(
        &mut self,
        targets: &[AssetKey],
        asking: Asking,
    ) -> Result<Vec<String>, Error> {
        let assets: Vec<Arc<Asset>> = self
            .upstream_cone(targets)
            .iter()
            .map(|key| self.project.assets[key].clone())
            .collect();
        self.remember(&assets)?;
        let mut answers = self.ask(&assets, asking);
        for _ in 0..LOOKS_MAX {
            if self.ledger.is_behind()? {
                self.catch_up()?;
                // The other process may have been told something newer.
                self.remember(&assets)?;
                answers = self.ask(&assets, asking);
            }
            self.remember(&assets)?;
            let made = self.made(&assets)?;
            let blobs = super::blobs::Source::new(self.cas.clone(), self.ledger.clone());
            let busy = self.busy.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
            let eyes = Eyes {
                made: &made,
                blobs: &blobs,
                root: &self.root,
                stats: &self.stats,
                memories: &self.memories,
                taken_ns: self.fs_clock.now_ns(),
                slack: self.slack,
                answers: &answers,
                busy: &busy,
            };
            let look = observe::look(&eyes, &assets)?;
            if let Some(Looked { mut warnings, faults }) = self.take_in(look)? {
                warnings.extend(self.take_faults(&assets, &answers, &faults));
                self.told.extend(warnings.iter().cloned());
                // New keys of one dimension may move the indexes of the whole.
                let is_multi = |asset: &Asset| matches!(asset.partitions, PartitionsDef::Multi(_));
                self.claim_index_spaces(is_multi)?;
                for asset in assets.iter().filter(|asset| is_multi(asset)) {
                    if let Some(problem) = self.planner.domain(&asset.key).problem() {
                        let (asset, problem) = (asset.key.clone(), problem.to_owned());
                        return Err(Error::Domain { asset, problem });
                    }
                }
                return Ok(warnings);
            }
        }
        Err(Error::Restless)
    }

    /// What is recorded of the makers of those of `assets` that are pieces.
    fn made(&self, assets: &[Arc<Asset>]) -> Result<HashMap<AssetKey, Made>, Error> {
        let mut made = HashMap::new();
        for of in assets.iter().filter_map(|asset| asset.pieces_of()) {
            let mark = self.ledger.mark(of, 0);
            if let Some(Mark { version, .. }) = mark {
                let tree = self.ledger.output(of, 0)?;
                let tree = tree.filter(|it| it.kind == OutputKind::Tree).map(|it| it.digest);
                made.insert(of.clone(), Made { version, tree });
            }
        }
        Ok(made)
    }

    /// Asks the commands of sources for versions, all at once.
    fn ask(&self, assets: &[Arc<Asset>], asking: Asking) -> Answers {
        let now_ms = self.clock.now().timestamp_millis();
        let due = |asset: &Arc<Asset>, ttl: Option<Duration>| {
            let known = self.memories.get(&asset.key);
            let known = known.filter(|memory| memory.is_about(asset));
            match (asking, ttl, known.and_then(|memory| memory.answer.as_ref())) {
                (Asking::Due, Some(ttl), Some(answer)) => {
                    let age = u128::try_from(now_ms.saturating_sub(answer.at_ms)).unwrap_or(0);
                    age >= ttl.as_millis()
                }
                (Asking::All | Asking::Due, _, _) => true,
            }
        };
        let job = |asset: &Arc<Asset>| match &asset.body {
            Body::Source(SourceDef::Observe { command, ttl, timeout }) if due(asset, *ttl) => {
                // A time that nothing asks for would only make the record differ.
                let at_ms = if ttl.is_some() { now_ms } else { 0 };
                Some((asset.key.clone(), command.clone(), *timeout, at_ms))
            }
            Body::Source(_)
            | Body::Sql(_)
            | Body::Command(_)
            | Body::Function(_)
            | Body::Graph(_) => None,
        };
        let jobs: Vec<_> = assets.iter().filter_map(job).collect();
        let (root, env, lifeline) = (&self.root, &self.env, Lifeline::new());
        let ask = |(key, command, timeout, at_ms): (AssetKey, String, Duration, i64)| {
            let answer = crate::exec::probe(&command, root, env, timeout, &lifeline);
            let answer = answer.map(|version| Answer { version, at_ms });
            (key, answer.map_err(|fault| format!("`{command}` {fault}")))
        };
        jobs.into_par_iter().map(ask).collect()
    }

    /// What reads a source that could not be asked is blocked, and nothing else.
    fn take_faults(
        &mut self,
        assets: &[Arc<Asset>],
        answers: &Answers,
        faults: &BTreeMap<AssetKey, String>,
    ) -> Vec<String> {
        let mut warnings = Vec::new();
        for asset in assets.iter().filter(|asset| asset.is_source()) {
            let fault = answers.get(&asset.key).and_then(|answer| answer.as_ref().err());
            let fault = fault.or_else(|| faults.get(&asset.key));
            if let Some(fault) = fault {
                let key = &asset.key;
                warnings.push(format!("source `{key}` cannot be observed: {fault}"));
            }
            self.planner.set_fault(&asset.key, fault.map(|fault| Arc::from(fault.as_str())));
        }
        warnings
    }

    /// Everything that was recorded may have moved, and by a process with other definitions.
    pub(super) fn catch_up(&mut self) -> Result<(), Error> {
        self.reload()?;
        self.claim_index_spaces(|_| true)
    }

    fn reload(&mut self) -> Result<(), Error> {
        self.ledger.catch_up()?;
        self.stats = self.ledger.ask(Store::stats)?;
        self.memories.clear();
        self.exported.clear();
        for key in self.project.assets.keys() {
            self.planner.touch(key);
        }
        self.load_tables()
    }

    /// Fetches what was remembered of sources that were not looked at yet.
    fn remember(&mut self, assets: &[Arc<Asset>]) -> Result<(), Error> {
        for asset in assets.iter().filter(|asset| asset.is_source()) {
            if !self.memories.contains_key(&asset.key) {
                let bytes = self.ledger.ask(|store| store.memory(&asset.key))?;
                if let Some(memory) = bytes.and_then(|bytes| Memory::from_bytes(&bytes)) {
                    self.memories.insert(asset.key.clone(), Arc::new(memory));
                }
            }
        }
        Ok(())
    }

    /// Records what a look saw; `None` if another process has written meanwhile.
    fn take_in(&mut self, look: Look) -> Result<Option<Looked>, Error> {
        let Look { mut sources, stats, files, hashed, mut warnings, faults } = look;
        let mut faults: BTreeMap<AssetKey, String> = faults.into_iter().collect();
        for seen in &mut sources {
            seen.within(self.planner.domain(&seen.asset.key));
        }
        self.files_hashed += hashed;
        let changed: Vec<_> = sources
            .iter()
            .filter(|seen| self.ledger.row(&seen.asset.key).shape != Some(seen.shape))
            .collect();
        let news: Vec<_> = sources.iter().filter(|seen| seen.is_new).collect();
        let mut tables = Vec::new();
        if !changed.is_empty() || !news.is_empty() || !stats.is_empty() {
            let mut found = Vec::new();
            for seen in &changed {
                let key = &seen.asset.key;
                // What cannot be read is not known to be empty: what reads it is blocked, and its records
                // stay as they are.
                let versions = match seen.versions(&self.root) {
                    Ok(versions) => versions,
                    Err(Error::Unreadable { problem, .. }) => {
                        faults.insert(key.clone(), problem);
                        continue;
                    }
                    Err(error) => return Err(error),
                };
                let (row, column) = (self.ledger.row(key), self.ledger.column(key));
                let seen_ms = self.clock.now().timestamp_millis();
                found.push((seen, Known { seen_ms, row, column }, versions));
            }
            let written = self.ledger.write_if_current(|batch| {
                batch.tx().put_stats(&stats)?;
                for seen in &news {
                    batch.tx().put_memory(&seen.asset.key, &seen.memory.to_bytes())?;
                }
                let mut tables = Vec::new();
                for (seen, known, versions) in &found {
                    let domain = self.planner.domain(&seen.asset.key);
                    tables.extend(observe::record(batch, known, seen, domain, versions)?);
                }
                Ok::<_, Error>(tables)
            })?;
            let Some(written) = written else { return Ok(None) };
            tables = written;
        }
        self.stats.extend(stats);
        let moved: Vec<AssetKey> = changed.iter().map(|seen| seen.asset.key.clone()).collect();
        for (name, table) in tables {
            self.planner.set_table(&name, table);
        }
        for key in moved {
            self.planner.touch(&key);
        }
        for seen in sources {
            let key = seen.asset.key.clone();
            let domain = self.planner.domain(&key);
            let known = self.sources.get(&key);
            if known.is_none_or(|known| !known.is_of(&seen, domain)) {
                self.memories.insert(key.clone(), seen.memory.clone());
                let files = Files::new(seen, domain.clone());
                self.sources.insert(key.clone(), Arc::new(files));
            }
            warnings.extend(self.sources[&key].warnings());
        }
        for (key, files) in files {
            self.planner.set_files(&key, files);
        }
        Ok(Some(Looked { warnings, faults }))
    }

    /// The targets and all that they depend on.
    pub(super) fn upstream_cone(&self, targets: &[AssetKey]) -> BTreeSet<AssetKey> {
        let mut cone: BTreeSet<AssetKey> = targets.iter().cloned().collect();
        for key in self.planner.order().iter().rev() {
            if cone.contains(key) {
                cone.extend(self.project.assets[key].deps.iter().map(|dep| dep.upstream.clone()));
            }
        }
        cone
    }

    fn load_tables(&mut self) -> Result<(), Error> {
        let names: BTreeSet<String> =
            self.project.assets.values().flat_map(|asset| asset.partitions.key_tables()).collect();
        for name in names {
            self.planner.set_table(&name, self.ledger.key_table(&name)?);
        }
        Ok(())
    }

    /// Static keys get their indexes, once.
    fn number_static_keys(&self) -> Result<(), Error> {
        for asset in self.project.assets.values() {
            for (table, keys) in static_keys(&asset.partitions) {
                let (known, present) = self.ledger.key_rows(&table)?;
                if known.len() != keys.len() || present.len() != keys.len() as u64 {
                    self.ledger.write(|batch| batch.tx().add_keys(&table, &keys))?;
                }
            }
        }
        Ok(())
    }

    /// Where the indexes of an asset's partitions mean something else than when its records were made,
    /// the records are forgotten. Traces stay, so that results are restored, not made again.
    fn claim_index_spaces(&mut self, counts: impl Fn(&Asset) -> bool) -> Result<(), Error> {
        let assets: Vec<&AssetKey> =
            self.project.assets.values().filter(|asset| counts(asset)).map(|it| &it.key).collect();
        if assets.is_empty() {
            return Ok(());
        }
        let spaces = self.ledger.ask(Store::index_spaces)?;
        let mut moved = Vec::new();
        for key in assets {
            let space = self.planner.domain(key).index_space();
            if spaces.get(key) != Some(&space) {
                moved.push((key, space));
            }
        }
        if moved.is_empty() {
            return Ok(());
        }
        self.ledger.write(|batch| {
            for (key, space) in &moved {
                batch.tx().set_index_space(key, space)?;
            }
            Ok::<_, Error>(())
        })?;
        self.reload()
    }

    /// Declared environment variables as keyed digests: a value is never stored, and nothing that is
    /// stored can be compared with a guess.
    fn env_digests(&self) -> Result<BTreeMap<String, Digest>, Error> {
        let names: BTreeSet<&String> =
            self.project.assets.values().flat_map(|asset| &asset.env).collect();
        if names.is_empty() {
            return Ok(BTreeMap::new());
        }
        let secret = &self.ledger.store_mut(Store::secret)?;
        let digest = |name: &String| {
            let (_, value) = self.env.iter().rev().find(|(key, _)| key == name.as_str())?;
            let mut builder = Digest::builder("giornata 2026 environment");
            builder.part(secret).part(name).part(value.as_encoded_bytes());
            Some((name.clone(), builder.finish()))
        };
        Ok(names.into_iter().filter_map(digest).collect())
    }
}

fn open_store(dir: &Path, access: Access, project: &Project) -> Result<Store, Error> {
    let Settings { durability, network_disk: network, .. } = project.settings;
    let options = OpenOptions { durability, network };
    match access {
        Access::Write => Ok(Store::open_with(dir, &options)?),
        Access::Read => Ok(Store::open_for_reading(dir, &options)?),
    }
}

fn static_keys(partitions: &PartitionsDef) -> Vec<(String, Vec<PartitionKey>)> {
    match partitions {
        PartitionsDef::Static(keys) => {
            partitions.key_tables().into_iter().map(|table| (table, keys.clone())).collect()
        }
        PartitionsDef::Multi(dimensions) => dimensions.values().flat_map(static_keys).collect(),
        PartitionsDef::Unpartitioned | PartitionsDef::TimeWindow(_) | PartitionsDef::Dynamic(_) => {
            Vec::new()
        }
    }
}

fn replace_values(project: &mut Project, set: &[SetValue]) -> Result<(), Error> {
    for (only, name, value) in set {
        let mut found = false;
        for (key, asset) in &mut project.assets {
            let meant = only.as_ref().is_none_or(|only| only == key);
            if meant && asset.config.contains_key(name) {
                found = true;
                Arc::make_mut(asset).config.insert(name.clone(), value.clone());
            }
        }
        if !found {
            return Err(Error::UnknownConfig { name: name.clone() });
        }
    }
    Ok(())
}
/// The names of variables of which the values differ.
fn other_variables(before: &[(OsString, OsString)], after: &[(OsString, OsString)]) -> Vec<String> {
    let map = |env: &[(OsString, OsString)]| env.iter().cloned().collect::<BTreeMap<_, _>>();
    let (before, after) = (map(before), map(after));
    let names: BTreeSet<&OsString> = before.keys().chain(after.keys()).collect();
    let differs = |name: &&OsString| before.get(*name) != after.get(*name);
    names.into_iter().filter(differs).map(|name| name.to_string_lossy().into_owned()).collect()
}
