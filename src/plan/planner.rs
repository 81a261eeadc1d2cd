//! The planner: the one handle on the salsa database.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};
use salsa::{Durability, Setter};

use super::db::{self, AssetInput, Edge, PlanDb, StepVersion, TableInput, World};
use super::freshness::{self, Freshness, InputView, Judgement, KeyMaker};
use super::manifest;
use super::records::{Records, Trace};
use super::request::{Plan, Request};
use crate::base::{AssetKey, AssetRow, Digest, Mark, PartitionIdx, PartitionSet};
use crate::defs::partition::{PartitionExpr, PartitionTextError, PartitionWord};
use crate::defs::{Asset, Domain, KeyTable, MappingDef, Project};

/// Holds the declarations and answers what is fresh and what to do.
///
/// A setter changes the database only where the value differs, so that nothing is computed again
/// for a value that was set to what it was.
pub struct Planner {
    db: PlanDb,
    records: Arc<dyn Records>,
    world: World,
    assets: Arc<BTreeMap<AssetKey, AssetInput>>,
    tables: Arc<BTreeMap<String, TableInput>>,
    order: Vec<AssetKey>,
    /// Assets that are the pieces of others.
    pieces: BTreeSet<AssetKey>,
    /// Volatile partitions that were made since their asset was touched.
    renewed: BTreeMap<AssetKey, PartitionSet>,
    executed: Arc<AtomicU64>,
    /// Assets whose freshness was asked for since the last change.
    warm: RefCell<BTreeSet<AssetKey>>,
}

/// What the key of a partition was made of when its step was started, where the step may ask for more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Askable {
    /// The digest of each input, in the order of the deps.
    inputs: Vec<Digest>,
    /// By dep along which it may ask: what it is given of that, with the versions.
    given: BTreeMap<usize, BTreeMap<PartitionIdx, Digest>>,
}

impl Askable {
    /// The deps along which it may ask.
    pub fn deps(&self) -> impl Iterator<Item = usize> {
        self.given.keys().copied()
    }

    /// The version in which it is given something, if it is given that.
    pub fn version(&self, dep: usize, part: PartitionIdx) -> Option<Digest> {
        self.given.get(&dep)?.get(&part).copied()
    }
}

/// What is to be done about one partition whose upstream is settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The result is right: record that it was looked at.
    Verify {
        key: Digest,
    },
    /// A trace has the result.
    Restore {
        key: Digest,
        trace: Trace,
    },
    Run {
        key: Digest,
    },
    /// An input lost its value since the plan was made.
    Lost,
}

impl Planner {
    pub fn new(records: Arc<dyn Records>, now: DateTime<Utc>) -> Planner {
        let executed = Arc::new(AtomicU64::new(0));
        let db = PlanDb::new(records.clone(), executed.clone());
        let (assets, tables) = (Arc::default(), Arc::default());
        let tables_now = Arc::clone(&tables);
        let world = World::builder(Arc::clone(&assets), tables_now, Arc::default(), now)
            .assets_durability(Durability::MEDIUM)
            .tables_durability(Durability::MEDIUM)
            .env_durability(Durability::MEDIUM)
            .new(&db);
        let (order, pieces, renewed) = (Vec::new(), BTreeSet::new(), BTreeMap::new());
        Planner {
            db,
            records,
            world,
            assets,
            tables,
            order,
            pieces,
            renewed,
            executed,
            warm: RefCell::default(),
        }
    }

    /// Takes over the declarations: one input per definition, set only where it differs.
    pub fn set_project(&mut self, project: &Project) {
        let mut assets = BTreeMap::new();
        for (key, def) in &project.assets {
            let input = match self.assets.get(key).copied() {
                Some(input) => {
                    if input.def(&self.db) != def {
                        let setter = input.set_def(self.db_mut());
                        setter.with_durability(Durability::MEDIUM).to(def.clone());
                    }
                    input
                }
                None => {
                    let files = Arc::default();
                    // What is declared seldom moves, so that what follows from it alone need not be
                    // verified whenever records have moved.
                    AssetInput::builder(def.clone(), files, 0, Arc::default(), None)
                        .def_durability(Durability::MEDIUM)
                        .files_durability(Durability::MEDIUM)
                        .new(&self.db)
                }
            };
            assets.insert(key.clone(), input);
        }
        if *self.assets != assets {
            let assets = Arc::new(assets);
            self.assets = Arc::clone(&assets);
            self.world.set_assets(self.db_mut()).to(assets);
        }
        self.order = project.topological();
        let pieces = project.assets.values().filter(|asset| asset.pieces_of().is_some());
        self.pieces = pieces.map(|asset| asset.key.clone()).collect();
    }

    /// Further project files of an asset, with their content.
    pub fn set_files(&mut self, asset: &AssetKey, files: Vec<(String, Digest)>) {
        let input = self.assets[asset];
        if **input.files(&self.db) != files {
            input.set_files(self.db_mut()).to(Arc::new(files));
        }
    }

    /// What `set_files` said of an asset.
    pub fn files(&self, asset: &AssetKey) -> &[(String, Digest)] {
        self.input(asset).files(&self.db)
    }

    /// The keys of a dynamic or static set.
    pub fn set_table(&mut self, name: &str, table: Arc<KeyTable>) {
        match self.tables.get(name) {
            Some(input) => {
                if **input.table(&self.db) != *table {
                    input.set_table(self.db_mut()).to(table);
                }
            }
            None => {
                let input = TableInput::new(&self.db, table);
                let mut tables = (*self.tables).clone();
                tables.insert(name.to_owned(), input);
                let tables = Arc::new(tables);
                self.tables = Arc::clone(&tables);
                self.world.set_tables(self.db_mut()).to(tables);
            }
        }
    }

    /// The keyed digests of declared environment variables.
    pub fn set_env(&mut self, env: BTreeMap<String, Digest>) {
        if **self.world.env(&self.db) != env {
            self.world.set_env(self.db_mut()).to(Arc::new(env));
        }
    }

    pub fn set_now(&mut self, now: DateTime<Utc>) {
        if self.world.now(&self.db) != now {
            self.world.set_now(self.db_mut()).to(now);
        }
    }

    /// Says that the records of an asset have moved.
    pub fn touch(&mut self, asset: &AssetKey) {
        if let Some(input) = self.assets.get(asset).copied() {
            let epoch = input.epoch(&self.db) + 1;
            input.set_epoch(self.db_mut()).to(epoch);
            if let Some(renewed) = self.renewed.remove(asset) {
                let all = &renewed | &**input.renewed(&self.db);
                input.set_renewed(self.db_mut()).to(Arc::new(all));
            }
        }
    }

    /// Volatile assets are made once more from here on.
    pub fn begin_invocation(&mut self) {
        self.renewed.clear();
        for input in Arc::clone(&self.assets).values() {
            if !input.renewed(&self.db).is_empty() {
                input.set_renewed(self.db_mut()).to(Arc::default());
            }
        }
    }

    /// Says that a partition of a volatile asset was made in this invocation. It counts from the next
    /// [`Planner::touch`] on.
    pub fn renewed(&mut self, asset: &AssetKey, part: PartitionIdx) {
        self.renewed.entry(asset.clone()).or_default().insert(part);
    }

    /// Says that a source cannot be looked at, and why; `None` if it can.
    pub fn set_fault(&mut self, source: &AssetKey, fault: Option<Arc<str>>) {
        let input = self.assets[source];
        if *input.fault(&self.db) != fault {
            input.set_fault(self.db_mut()).to(fault);
        }
    }

    /// Why a source could not be looked at.
    pub fn fault(&self, source: &AssetKey) -> Option<&Arc<str>> {
        self.input(source).fault(&self.db).as_ref()
    }

    /// The moment at which everything is judged.
    pub fn now(&self) -> DateTime<Utc> {
        self.world.now(&self.db)
    }

    /// Every asset, upstream first.
    pub fn order(&self) -> &[AssetKey] {
        &self.order
    }

    /// Assets that are the pieces of others.
    pub fn pieces(&self) -> &BTreeSet<AssetKey> {
        &self.pieces
    }

    pub fn def(&self, asset: &AssetKey) -> &Arc<Asset> {
        self.input(asset).def(&self.db)
    }

    pub fn domain(&self, asset: &AssetKey) -> &Domain {
        db::domain(&self.db, self.input(asset))
    }

    pub fn edges(&self, asset: &AssetKey) -> &Arc<Vec<Edge>> {
        db::edges(&self.db, self.input(asset))
    }

    pub fn step(&self, asset: &AssetKey) -> &Arc<StepVersion> {
        db::step(&self.db, self.input(asset))
    }

    pub fn shape(&self, asset: &AssetKey) -> Digest {
        db::shape(&self.db, self.input(asset))
    }

    /// The state of each partition of an asset.
    pub fn freshness(&self, asset: &AssetKey) -> &Arc<Freshness> {
        self.warm(asset);
        db::freshness(&self.db, self.input(asset))
    }

    /// The upstream partitions that a step of the asset may be given now, in the order of its deps.
    pub fn readable(&self, asset: &AssetKey) -> Vec<PartitionSet> {
        let readable = |edge: &Edge| edge.readable(self.freshness(&edge.upstream));
        self.edges(asset).iter().map(readable).collect()
    }

    /// The partitions of an asset that read something which can be read now and could not be when `row`
    /// was written, or the reverse.
    pub fn reads_another(&self, asset: &AssetKey, row: &AssetRow) -> PartitionSet {
        let mut parts = PartitionSet::new();
        for (place, edge) in self.edges(asset).iter().enumerate() {
            let moved = edge.came_or_went(row.seen.get(place), self.freshness(&edge.upstream));
            match (moved.is_empty(), edge.mapping.is_constant()) {
                (true, _) => {}
                (false, true) => return self.domain(asset).all().clone(),
                (false, false) => parts |= edge.mapping.downstream_of(&moved),
            }
        }
        parts
    }

    /// The partitions of `asset` that an expression names now.
    pub fn select(
        &self,
        asset: &AssetKey,
        expr: &PartitionExpr,
    ) -> Result<PartitionSet, PartitionTextError> {
        let word = |word: PartitionWord| {
            let state = self.freshness(asset);
            match word {
                PartitionWord::Missing => state.without_result.clone(),
                PartitionWord::Failed => state.failed.clone(),
                PartitionWord::Stale => {
                    let stale = &(&state.run | state.restore_set()) | &state.pending;
                    stale - &state.without_result
                }
            }
        };
        expr.select(self.domain(asset), &word)
    }

    /// What a request needs done.
    pub fn plan(&self, request: &Request) -> Plan {
        super::request::plan(self, request)
    }

    /// Judges one partition by the records of this moment; its upstream must be settled.
    pub fn decide(&self, asset: &AssetKey, part: PartitionIdx) -> Decision {
        let Some(key) = self.recorded_key(asset, part) else {
            return Decision::Lost;
        };
        let mark = self.records.mark(asset, part);
        let terms = &db::freshness(&self.db, self.input(asset)).terms;
        match freshness::judge(&*self.records, terms, mark.as_ref(), key) {
            Judgement::Verify => Decision::Verify { key },
            Judgement::Restore(trace) => Decision::Restore { key, trace },
            Judgement::Run => Decision::Run { key },
        }
    }

    /// The content key over the versions that are recorded now.
    pub fn recorded_key(&self, asset: &AssetKey, part: PartitionIdx) -> Option<Digest> {
        self.with_keys(asset, part, |keys| keys.content_key(part))
    }

    /// What the key of a partition is made of, over the versions that are recorded now, if its step may
    /// ask for more while it runs.
    pub fn askable(&self, asset: &AssetKey, part: PartitionIdx) -> Option<Askable> {
        let deps = &self.def(asset).deps;
        let may_ask = |dep: &usize| deps[*dep].mapping == MappingDef::Asked;
        let asked: Vec<usize> = (0..deps.len()).filter(may_ask).collect();
        if asked.is_empty() {
            return None;
        }
        let inputs = self.with_keys(asset, part, |keys| keys.inputs(part))?;
        let edges = self.edges(asset);
        let given = |dep: usize| {
            let edge = &edges[dep];
            let parts = edge.mapping.upstream_of_one(part);
            let marks = self.records.marks(&edge.upstream, &parts);
            let version = |part: PartitionIdx| {
                let mark = marks.get(part).filter(Mark::has_value)?;
                self.is_usable(&edge.upstream, part).then_some((part, mark.version))
            };
            (dep, parts.iter().filter_map(version).collect())
        };
        Some(Askable { inputs, given: asked.into_iter().map(given).collect() })
    }

    /// The content key of a result whose step read, of what it may ask for, only `asked`, by dep.
    pub fn key_as_asked(
        &self,
        asset: &AssetKey,
        part: PartitionIdx,
        askable: &Askable,
        asked: &BTreeMap<usize, PartitionSet>,
    ) -> Digest {
        let mut inputs = askable.inputs.clone();
        for (dep, given) in &askable.given {
            let edge = &self.edges(asset)[*dep];
            let (name, domain) = (edge.upstream.as_str(), self.domain(&edge.upstream));
            let version = |part: PartitionIdx| given.get(&part).copied();
            let read = asked.get(dep).cloned().unwrap_or_default();
            let digest = manifest::input_digest(name, edge.given(), domain, &read, &version);
            inputs[*dep] = digest.expect("a step reads only what it was given");
        }
        manifest::content_key(&self.step(asset).digest, self.domain(asset), part, &inputs)
    }

    fn with_keys<T>(
        &self,
        asset: &AssetKey,
        part: PartitionIdx,
        use_keys: impl FnOnce(&mut KeyMaker<'_>) -> T,
    ) -> T {
        let edges = self.edges(asset);
        let marks =
            |edge: &Edge| self.records.marks(&edge.upstream, &edge.mapping.upstream_of_one(part));
        let columns: Vec<_> = edges.iter().map(marks).collect();
        let version = |dep: usize, part: PartitionIdx| {
            let mark = columns[dep].get(part).filter(Mark::has_value)?;
            self.is_usable(&edges[dep].upstream, part).then_some(mark.version)
        };
        let inputs: Vec<InputView> = edges
            .iter()
            .map(|edge| InputView { edge, domain: self.domain(&edge.upstream) })
            .collect();
        let step = self.step(asset).digest;
        use_keys(&mut KeyMaker::new(step, self.domain(asset), &inputs, &version))
    }

    /// Whether consumers may read the recorded result of a partition: not if something that it needs is
    /// missing, for then the result is of another time.
    pub fn is_usable(&self, asset: &AssetKey, part: PartitionIdx) -> bool {
        !db::freshness(&self.db, self.input(asset)).blocked.contains(part)
    }

    pub fn records(&self) -> &dyn Records {
        &*self.records
    }

    /// How many queries have run since the planner was made.
    pub fn executed(&self) -> u64 {
        self.executed.load(Ordering::Relaxed)
    }

    /// The database for a change, after which no answer is sure to stand.
    fn db_mut(&mut self) -> &mut PlanDb {
        self.warm.get_mut().clear();
        &mut self.db
    }

    fn input(&self, asset: &AssetKey) -> AssetInput {
        *self.assets.get(asset).expect("the caller names an asset of the project")
    }

    /// Computes upstream first, so that no chain of assets is as deep as the call stack.
    fn warm(&self, asset: &AssetKey) {
        let mut warm = self.warm.borrow_mut();
        let mut path = vec![(asset, false)];
        while let Some((asset, is_ready)) = path.pop() {
            if warm.contains(asset) {
                continue;
            }
            if is_ready {
                db::freshness(&self.db, self.input(asset));
                warm.insert(asset.clone());
                continue;
            }
            path.push((asset, true));
            let upstream = self.def(asset).deps.iter().map(|dep| &dep.upstream);
            path.extend(upstream.filter(|upstream| *upstream != asset).map(|it| (it, false)));
        }
    }
}
