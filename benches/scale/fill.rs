//! Writes what a run leaves in the store, without running: a million steps would take too long.
//!
//! Only the steps are left out. Keys, steps and shapes are the planner's, rows are written through the
//! store's own transactions; `bench_smoke` compares the result with that of a run, row by row.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use giornata::base::{
    AskedRow, AssetKey, AssetRow, Column, Digest, Durability, FailureRow, Flags, Mark, MatRow,
    Note, Output, OutputKind, PartitionIdx, PartitionSet, Rev, RunId, StepId, StepParts, Usage,
};
use giornata::engine::Summary;
use giornata::plan::{Planner, Records, Trace};
use giornata::store::{
    AttemptEnd, Fate, LaunchInfo, NewAttempt, NewRun, NewTrace, Outcome, Owner, RunState, Store,
    staging_dir,
};

use super::grid::{Grid, key};

/// Results in one transaction. A run has fewer, which only makes more revisions.
const CHUNK: usize = 10_000;

/// Leaves the store as a run that made everything that can be made.
pub fn fill(grid: &Grid) {
    drop(grid.engine());
    let dir = grid.root.join(".giornata");
    let mut store = Store::open(&dir, Durability::Batch).expect("the store opens");
    let mut filler = Filler::new(grid, &mut store);
    for asset in 0..grid.assets {
        filler.asset(&mut store, asset);
    }
    filler.finish(&mut store);
    std::fs::create_dir_all(dir.join("staging")).expect("the directory can be made");
    assert!(!staging_dir(&dir, filler.run).exists(), "a finished run leaves nothing there");
}

struct Filler<'a> {
    grid: &'a Grid,
    planner: Planner,
    records: Arc<Memory>,
    run: RunId,
    owner: Owner,
    traces: Vec<(Digest, AssetKey, PartitionIdx, Output)>,
    started_ms: i64,
}

impl<'a> Filler<'a> {
    fn new(grid: &'a Grid, store: &mut Store) -> Filler<'a> {
        let project = giornata::load::project(&grid.root).expect("the project loads").project;
        let records = Arc::new(Memory::default());
        let now = "2026-01-01T00:00:00Z".parse().expect("a time");
        let mut planner = Planner::new(records.clone(), now);
        planner.set_project(&project);
        let raw = AssetKey::parse("raw").expect("a name");
        for table in project.assets[&raw].partitions.key_tables() {
            planner.set_table(&table, store.key_table(&table).expect("the keys can be read"));
        }
        let column = store.column(&raw).expect("the source can be read");
        records.put(raw.clone(), store.asset(&raw).expect("the source can be read"), column);
        planner.touch(&raw);
        let owner = Owner::acquire(&grid.root.join(".giornata")).expect("a lock can be had");
        let request = grid.request();
        let targets: Vec<_> = request.targets.into_iter().collect();
        let started_ms = now.timestamp_millis();
        let launch = &LaunchInfo::default();
        let new = NewRun { started_ms, owner: owner.id(), command: "", targets: &targets, launch };
        let run = store.begin_run(&new).expect("the run can be recorded");
        Filler { grid, planner, records, run, owner, traces: Vec::new(), started_ms }
    }

    fn asset(&mut self, store: &mut Store, number: u32) {
        let asset = key(number);
        let parts: Vec<PartitionIdx> = self.grid.sound(number).iter().collect();
        let step = store.intern_step(&asset, &self.planner.step(&asset).parts);
        let step = step.expect("the step can be recorded");
        let mut column = Column::default();
        for chunk in parts.chunks(CHUNK) {
            self.chunk(store, &asset, step, chunk, &mut column);
        }
        let row = AssetRow {
            verified_rev: store.rev().expect("the store can be read"),
            max_changed: store.rev().expect("the store can be read"),
            shape: Some(self.planner.shape(&asset)),
            fresh: parts.into_iter().collect(),
            failed: PartitionSet::new(),
            seen: self.planner.readable(&asset),
        };
        let mut tx = store.begin().expect("the store can be written");
        tx.set_asset(&asset, &row)
            .and_then(|()| tx.put_fate(self.run, &asset, Fate::Success, &row.fresh))
            .expect("the row can be written");
        tx.commit().expect("the store can be written");
        self.records.put(asset.clone(), row, column);
        self.planner.touch(&asset);
    }

    fn chunk(
        &mut self,
        store: &mut Store,
        asset: &AssetKey,
        step: StepId,
        parts: &[PartitionIdx],
        column: &mut Column,
    ) {
        let mut tx = store.begin().expect("the store can be written");
        let (verified_at, changed_at) = (tx.rev(), tx.next_rev());
        for part in parts.iter().copied() {
            let bytes = format!("{part}\n");
            let output = output(&bytes);
            let version = output.version();
            let content = self.planner.recorded_key(asset, part).expect("all inputs are there");
            let (run, started_ms) = (self.run, self.started_ms);
            let attempt = NewAttempt { run, asset, part, attempt: 1, started_ms };
            let (step, key, flags) = (Some(step), content, Flags::default());
            let mark = Mark { part, changed_at, verified_at, step, key, version, flags };
            let row = MatRow {
                part,
                changed_at,
                verified_at,
                step,
                key,
                version,
                output: Some(output.clone()),
                run: Some(run),
                flags,
                made_ms: started_ms,
            };
            let end = AttemptEnd {
                duration_ms: 1,
                outcome: Outcome::Success,
                detail: "",
                log: None,
                usage: Usage { cpu_ms: Some(1), peak_kib: None },
                size_bytes: Some(output.size),
            };
            tx.put_blob_small(&output.digest, bytes.as_bytes())
                .and_then(|()| tx.start_attempt(&attempt))
                .and_then(|()| tx.put_mat(asset, &row))
                .and_then(|_| tx.finish_attempt(run, asset, part, 1, &end))
                .expect("the result can be written");
            column.push(mark);
            self.traces.push((content, asset.clone(), part, output));
        }
        tx.commit().expect("the store can be written");
    }

    /// Traces come last, in the order of their keys: ten million in any other order take hours.
    fn finish(&mut self, store: &mut Store) {
        self.traces.sort_unstable_by_key(|(key, ..)| *key);
        for chunk in self.traces.chunks(CHUNK) {
            let mut tx = store.begin().expect("the store can be written");
            for (key, asset, part, output) in chunk {
                let partition = &self.planner.domain(asset).key(*part).expect("it is one of these");
                let (part, version, made_ms) = (*part, &output.version(), self.started_ms);
                let trace = NewTrace { asset, part, partition, output, version, made_ms };
                tx.put_trace(key, &trace).expect("the trace can be written");
            }
            tx.commit().expect("the store can be written");
        }
        let ran = self.traces.len() as u64;
        let counts = Summary { ran, ..Summary::default() }.counts();
        store
            .finish_run(self.run, RunState::Success, self.started_ms, &counts)
            .expect("the run can be recorded");
        let _alive_until_here = &self.owner;
    }
}

/// What a step makes: its input, under the name that the asset declares.
fn output(bytes: &str) -> Output {
    Output {
        kind: OutputKind::File,
        digest: Digest::of_blob(bytes.as_bytes()),
        size: bytes.len() as u64,
        schema: Some("value.txt".to_owned()),
    }
}

/// The records that a run has in memory.
#[derive(Default)]
struct Memory(Mutex<HashMap<AssetKey, Known>>);

type Known = (Arc<AssetRow>, Arc<Column>);

impl Memory {
    fn put(&self, asset: AssetKey, row: AssetRow, column: Column) {
        let mut known = self.0.lock().expect("nobody panics with the lock");
        known.insert(asset, (Arc::new(row), Arc::new(column)));
    }

    fn get(&self, asset: &AssetKey) -> Known {
        self.0.lock().expect("nobody panics with the lock").get(asset).cloned().unwrap_or_default()
    }
}

impl Records for Memory {
    fn row(&self, asset: &AssetKey) -> Arc<AssetRow> {
        self.get(asset).0
    }

    fn changed_since(&self, asset: &AssetKey, rev: Rev) -> PartitionSet {
        self.get(asset).1.changed_since(rev)
    }

    fn column(&self, asset: &AssetKey) -> Arc<Column> {
        self.get(asset).1
    }

    fn trace(&self, _key: &Digest) -> Option<Trace> {
        None
    }

    fn step_parts(&self, _step: StepId) -> Option<Arc<StepParts>> {
        None
    }

    fn version_at(&self, _asset: &AssetKey, _part: PartitionIdx, _rev: Rev) -> Option<Digest> {
        None
    }

    fn failure(&self, _asset: &AssetKey, _part: PartitionIdx) -> Option<FailureRow> {
        None
    }

    fn asked(
        &self,
        _asset: &AssetKey,
        _upstream: &AssetKey,
    ) -> Arc<BTreeMap<PartitionIdx, AskedRow>> {
        Arc::default()
    }

    fn made_before(&self, _asset: &AssetKey, _ms: i64) -> PartitionSet {
        PartitionSet::new()
    }

    fn made_at(&self, _asset: &AssetKey, _part: PartitionIdx) -> Option<i64> {
        None
    }

    fn note(&self, _asset: &AssetKey, _part: PartitionIdx) -> Option<Note> {
        None
    }
}
