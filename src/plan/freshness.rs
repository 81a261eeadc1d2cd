//! Decides which partitions of one asset are fresh, and what the others need.
//!
//! A *bit* of the asset's row says: the result accounts for every input change up to
//! `verified_rev`. Revisions may only keep a bit; a bit is set by equality of content keys, by a
//! restore or by a run. So a partition is a *suspect* if its bit is missing, if the row was made under
//! another shape, or if an input changed, came or went since. A suspect waits while anything upstream is
//! not settled; then its content key decides: it equals the recorded one (cut off), a trace has it
//! (restore), or the step must run.
//!
//! *Settled* means fresh through the whole cone, or made so without running. What is failed, blocked,
//! missing or itself waiting is not settled.

mod asks;
mod keys;
mod reasons;

use std::cell::{LazyCell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

pub use self::keys::{InputView, KeyMaker};
use self::reasons::Reasons;
use super::db::{self, AssetInput, Db, Edge, StepVersion, World};
use super::manifest;
use super::reason::ReasonCode;
use super::records::{Records, Trace};
use crate::base::{AssetKey, AssetRow, Column, Digest, Flags, Mark, PartitionIdx, PartitionSet};
use crate::defs::{Asset, Domain, DynamicDef, PartitionsDef};

/// A result that is right but has to be recorded as such.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verify {
    pub part: PartitionIdx,
    pub key: Digest,
}

/// A result that a trace has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restore {
    pub part: PartitionIdx,
    pub key: Digest,
    pub trace: Trace,
}

/// The state of every partition of an asset. The sets are disjoint and together are the domain.
#[derive(Debug, Clone, PartialEq)]
pub struct Freshness {
    pub asset: AssetKey,
    pub domain: Domain,
    /// Nothing to do, the bit of the row stands.
    pub kept: PartitionSet,
    /// Fresh, but the record has to be moved up.
    pub verify: Vec<Verify>,
    /// To be restored without running.
    pub restore: Vec<Restore>,
    /// To be run: all upstream is settled and no trace has the result.
    pub run: PartitionSet,
    /// Decided when upstream is settled. Those that have a result may turn out to be fresh.
    pub pending: PartitionSet,
    /// An input that the mapping names has no data and cannot be made.
    pub blocked: PartitionSet,
    /// Of `blocked`: a source that it comes from could not be looked at. Whether it has data is not
    /// known, so it cannot count as missing.
    pub faulted: PartitionSet,
    /// What counts besides content keys.
    pub terms: Terms,
    /// Which partitions there are is not known before the asset that makes them is settled.
    pub growing: bool,
    /// Of `run`: something that they asked for is not settled, and other steps than those which asked.
    pub asks_anew: PartitionSet,
    /// Of `pending`: all that waits only for what it asked for, and will ask for again.
    pub awaits_asked: PartitionSet,

    /// Of `run`: the last attempt, under the very same content key, failed.
    pub failed: PartitionSet,
    /// Of `pending`: something upstream failed.
    pub upstream_failed: PartitionSet,
    /// Of all but `kept` and `verify`: there is no earlier result.
    pub without_result: PartitionSet,
    /// Why what is in `restore` and `run` is not fresh.
    pub reasons: Vec<(ReasonCode, PartitionSet)>,

    /// Bits of the row that no change has reached, whatever the state of upstream.
    standing: PartitionSet,
    verify_set: PartitionSet,
    restore_set: PartitionSet,
    /// Of `restore_set`: the version will differ from the recorded one.
    shifted: PartitionSet,
}

/// What counts besides content keys: results that have to be made anew, traces that are too old.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Terms {
    /// Results that are too old, or of an earlier invocation where each has to make its own.
    pub due: PartitionSet,
    pub traces: Traces,
}

/// Which traces count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Traces {
    #[default]
    All,
    /// Those made after this moment, in milliseconds since 1970.
    After(i64),
    None,
}

impl Terms {
    fn of(db: &dyn Db, asset: AssetInput, domain: &Domain) -> Terms {
        let def = asset.def(db);
        let records = db.records();
        if def.policy.volatile {
            let due = &records.column(&def.key).with_value() & domain.all();
            return Terms { due: due - &**asset.renewed(db), traces: Traces::None };
        }
        let Some(ttl) = def.policy.ttl else { return Terms::default() };
        let ttl = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
        let oldest = World::get(db).now(db).timestamp_millis().saturating_sub(ttl);
        let due = records.made_before(&def.key, oldest.saturating_add(1));
        Terms { due: &due & domain.all(), traces: Traces::After(oldest) }
    }

    /// Why what is due is.
    fn reason(&self) -> ReasonCode {
        match self.traces {
            Traces::None => ReasonCode::Volatile,
            Traces::All | Traces::After(_) => ReasonCode::Expired,
        }
    }

    fn take(&self, trace: &Trace) -> bool {
        match self.traces {
            Traces::All => true,
            Traces::After(ms) => trace.made_ms > ms,
            Traces::None => false,
        }
    }
}

impl Freshness {
    /// What is known not to be there: consumers that allow it do without.
    pub fn absent(&self) -> PartitionSet {
        &self.blocked - &self.faulted
    }

    /// Partitions shown as fresh.
    pub fn fresh(&self) -> PartitionSet {
        &self.kept | &self.verify_set
    }

    /// The bits that the row is to have as of the revision that was asked about. They are local: a
    /// partition whose upstream is stale keeps its bit until what it reads has changed.
    pub fn bits(&self) -> PartitionSet {
        &self.standing | &self.verify_set
    }

    /// Partitions on which consumers cannot count even when verified and restored ones are recorded.
    fn unsettled(&self) -> PartitionSet {
        &(&self.run | &self.pending) | &self.blocked
    }

    /// Those of which [`Freshness::version`] gives one, but for what goes away in this very moment.
    fn with_version(&self) -> PartitionSet {
        &(&self.kept | &self.verify_set) | &self.restore_set
    }

    pub fn verify_set(&self) -> &PartitionSet {
        &self.verify_set
    }

    pub fn restore_set(&self) -> &PartitionSet {
        &self.restore_set
    }

    /// The version that consumers will see: recorded, or about to be restored. What is blocked has none,
    /// though an older result of it may still be recorded.
    pub fn version(&self, column: &Column, part: PartitionIdx) -> Option<Digest> {
        if self.blocked.contains(part) {
            return None;
        }
        if self.restore_set.contains(part) {
            let at = self.restore.binary_search_by_key(&part, |restore| restore.part).ok()?;
            return Some(self.restore[at].trace.version);
        }
        value(column, part)
    }

    /// Has `part` wait for what it reads.
    fn wait(&mut self, part: PartitionIdx, mark: Option<&Mark>) {
        self.pending.insert(part);
        if mark.is_none() {
            self.without_result.insert(part);
        }
    }

    fn add_restore(&mut self, restore: Restore, mark: Option<&Mark>) {
        if mark.is_none_or(|mark| mark.version != restore.trace.version) {
            self.shifted.insert(restore.part);
        }
        self.restore_set.insert(restore.part);
        self.restore.push(restore);
    }

    fn new(asset: AssetKey, domain: Domain) -> Freshness {
        Freshness {
            asset,
            domain,
            kept: PartitionSet::new(),
            verify: Vec::new(),
            restore: Vec::new(),
            run: PartitionSet::new(),
            pending: PartitionSet::new(),
            blocked: PartitionSet::new(),
            faulted: PartitionSet::new(),
            terms: Terms::default(),
            growing: false,
            asks_anew: PartitionSet::new(),
            awaits_asked: PartitionSet::new(),
            failed: PartitionSet::new(),
            upstream_failed: PartitionSet::new(),
            without_result: PartitionSet::new(),
            reasons: Vec::new(),
            standing: PartitionSet::new(),
            verify_set: PartitionSet::new(),
            restore_set: PartitionSet::new(),
            shifted: PartitionSet::new(),
        }
    }
}

fn value(column: &Column, part: PartitionIdx) -> Option<Digest> {
    column.get(part).filter(Mark::has_value).map(|mark| mark.version)
}

/// Computes the state of every partition of `asset`; the body of the query
/// [`db::freshness`](super::db::freshness).
pub fn compute(db: &dyn Db, asset: AssetInput) -> Freshness {
    let def = asset.def(db);
    let domain = db::domain(db, asset);
    // The records of the asset are read below: this is the dependency on them.
    let _epoch = asset.epoch(db);
    let row = db.records().row(&def.key);
    if def.is_source() {
        return source(db, asset, domain, &row);
    }
    let edges = db::edges(db, asset);
    let (own, others): (Vec<_>, Vec<_>) =
        edges.iter().enumerate().partition(|(_, edge)| edge.input == asset);
    let upstream: Vec<Upstream> =
        others.into_iter().map(|(place, edge)| Upstream::new(db, place, edge)).collect();
    let view = View { db, asset, def, domain, row: &row, edges, own: &own, upstream: &upstream };
    let mut fresh = Freshness::new(def.key.clone(), domain.clone());

    let same_shape = row.shape == Some(db::shape(db, asset));
    fresh.terms = Terms::of(db, asset, domain);
    fresh.growing = is_growing(db, &def.partitions);
    let mut suspects = view.suspects(same_shape);
    suspects |= &fresh.terms.due;
    view.wait(&mut fresh, &suspects);
    suspects |= &fresh.asks_anew;
    suspects |= view.suspects_of_itself(same_shape, &fresh.absent());
    fresh.standing = domain.all() - &suspects;
    suspects -= &fresh.pending;
    suspects -= &fresh.blocked;
    // What waits or is blocked was no suspect, or is none any more.
    fresh.kept = fresh.standing.clone();
    fresh.kept -= &fresh.pending;
    fresh.kept -= &fresh.blocked;
    view.find_without_result(&mut fresh, same_shape);
    if !suspects.is_empty() {
        view.decide(&mut fresh, &suspects, db::step(db, asset));
    }
    fresh
}

fn source(db: &dyn Db, asset: AssetInput, domain: &Domain, row: &AssetRow) -> Freshness {
    let mut fresh = Freshness::new(asset.def(db).key.clone(), domain.clone());
    fresh.kept = domain.all() & &row.fresh;
    fresh.without_result = domain.all() - &row.fresh;
    if asset.fault(db).is_some() {
        fresh.faulted = domain.all().clone();
        fresh.kept.clear();
    }
    fresh.blocked = &fresh.without_result | &fresh.faulted;
    if let Some(of) = asset.def(db).pieces_of() {
        let maker = World::get(db).assets(db)[of];
        follow(db, asset, maker, row, &mut fresh);
    }
    fresh
}

/// Whether the pieces that a set of keys follows are yet to be made.
fn is_growing(db: &dyn Db, partitions: &PartitionsDef) -> bool {
    match partitions {
        PartitionsDef::Dynamic(DynamicDef::Pieces(maker)) => {
            let pieces = World::get(db).assets(db).get(&maker.each());
            pieces.is_some_and(|pieces| db::freshness(db, *pieces).growing)
        }
        PartitionsDef::Multi(dimensions) => {
            dimensions.values().any(|dimension| is_growing(db, dimension))
        }
        PartitionsDef::Unpartitioned
        | PartitionsDef::TimeWindow(_)
        | PartitionsDef::Static(_)
        | PartitionsDef::Dynamic(DynamicDef::Source(_) | DynamicDef::Named(_)) => false,
    }
}

/// What another asset makes is known once that is settled and has been looked at since.
fn follow(
    db: &dyn Db,
    pieces: AssetInput,
    maker: AssetInput,
    row: &AssetRow,
    fresh: &mut Freshness,
) {
    const WHOLE: PartitionIdx = 0;
    let state = db::freshness(db, maker);
    // Its version is read below: this is the dependency on it.
    let _epoch = maker.epoch(db);
    let version = db.records().mark(&state.asset, WHOLE).map(|mark| mark.version);
    let shape = version.map(|version| manifest::pieces_shape(pieces.def(db), &version));
    if state.blocked.contains(WHOLE) {
        fresh.blocked = fresh.domain.all().clone();
        fresh.kept.clear();
    } else if !state.fresh().contains(WHOLE) || row.shape != shape {
        fresh.growing = true;
        fresh.pending = fresh.domain.all().clone();
        fresh.kept.clear();
        fresh.blocked.clear();
    }
    if state.failed.contains(WHOLE) || state.upstream_failed.contains(WHOLE) {
        fresh.upstream_failed = fresh.domain.all().clone();
    }
    if state.faulted.contains(WHOLE) {
        fresh.faulted = fresh.domain.all().clone();
    }
}

/// One dependency on another asset, with what is known of that.
struct Upstream<'a> {
    place: usize,
    edge: &'a Edge,
    state: &'a Freshness,
    row: Arc<AssetRow>,
}

impl<'a> Upstream<'a> {
    fn new(db: &'a dyn Db, place: usize, edge: &'a Edge) -> Upstream<'a> {
        // Its records are read for versions: this is the dependency on them.
        let _epoch = edge.input.epoch(db);
        Upstream {
            place,
            edge,
            state: db::freshness(db, edge.input),
            row: db.records().row(&edge.upstream),
        }
    }

    fn must_exist(&self) -> bool {
        self.edge.must_exist()
    }

    /// Whether a consumer reads all partitions there are, and that is not known yet.
    fn waits_for_keys(&self) -> bool {
        self.edge.waits_for_keys(self.state)
    }

    /// Upstream partitions for which a consumer has to wait.
    fn unsettled(&self) -> PartitionSet {
        let unsettled = self.state.unsettled();
        if self.must_exist() { unsettled } else { unsettled - &self.state.absent() }
    }
}

struct View<'a> {
    db: &'a dyn Db,
    asset: AssetInput,
    def: &'a Asset,
    domain: &'a Domain,
    row: &'a AssetRow,
    edges: &'a [Edge],
    /// Edges of the asset to itself: to earlier partitions, in their places.
    own: &'a [(usize, &'a Edge)],
    upstream: &'a [Upstream<'a>],
}

impl View<'_> {
    /// Partitions whose bit does not say that they are fresh.
    fn suspects(&self, same_shape: bool) -> PartitionSet {
        let all = self.domain.all();
        if !same_shape {
            return all.clone();
        }
        let mut suspects = all - &self.row.fresh;
        for up in self.upstream {
            let mut moved = up.edge.came_or_went(self.row.seen.get(up.place), up.state);
            if up.edge.mapping.is_constant() && !moved.is_empty() {
                // Everyone reads the same, and it is not the same any more. The mapping could not tell:
                // what has gone is none of the last ones now.
                return all.clone();
            }
            if up.row.max_changed > self.row.verified_rev {
                moved |= self.db.records().changed_since(&up.edge.upstream, self.row.verified_rev);
            }
            moved |= &up.state.shifted;
            if !moved.is_empty() {
                suspects |= up.edge.mapping.downstream_of(&moved) & all;
            }
        }
        for (_, edge) in self.own {
            let moved = self.db.records().changed_since(&self.def.key, self.row.verified_rev);
            suspects |= edge.mapping.downstream_of(&moved) & all;
        }
        suspects
    }

    /// Partitions that read earlier ones of which some may be missing, and are now, or no longer are.
    fn suspects_of_itself(&self, same_shape: bool, absent: &PartitionSet) -> PartitionSet {
        let mut suspects = PartitionSet::new();
        for (place, edge) in self.own.iter().filter(|(_, edge)| same_shape && !edge.must_exist()) {
            let readable = self.domain.all() - absent;
            let moved = match self.row.seen.get(*place) {
                Some(seen) => seen ^ readable,
                None => readable,
            };
            suspects |= edge.mapping.downstream_of(&moved) & self.domain.all();
        }
        suspects
    }

    /// Finds what waits for upstream, and what waits in vain.
    fn wait(&self, fresh: &mut Freshness, suspects: &PartitionSet) {
        let all = self.domain.all();
        let image = |up: &Upstream, set: &PartitionSet| {
            if set.is_empty() {
                PartitionSet::new()
            } else {
                up.edge.mapping.downstream_of(set) & all
            }
        };
        let (asked, declared): (Vec<_>, Vec<_>) =
            self.upstream.iter().partition(|up| up.edge.mapping.as_asked().is_some());
        for up in declared {
            fresh.pending |= image(up, &up.unsettled());
            if up.waits_for_keys() {
                fresh.pending |= all;
            }
            fresh.upstream_failed |= image(up, &(&up.state.failed | &up.state.upstream_failed));
            fresh.faulted |= image(up, &up.state.faulted);
            if up.must_exist() {
                fresh.blocked |= image(up, &up.state.blocked);
            }
        }
        let mut waiting = PartitionSet::new();
        asked.iter().for_each(|up| waiting |= image(up, &up.unsettled()));
        let anew = &(&waiting - &fresh.pending) - &(&fresh.blocked | &fresh.faulted);
        fresh.asks_anew = self.asks_anew(&anew);
        fresh.awaits_asked = anew - &fresh.asks_anew;
        for up in asked {
            let image = |set: &PartitionSet| image(up, set) - &fresh.asks_anew;
            fresh.pending |= image(&up.unsettled());
            fresh.upstream_failed |= image(&(&up.state.failed | &up.state.upstream_failed));
            fresh.faulted |= image(&up.state.faulted);
        }
        let candidates = &(suspects | &fresh.pending) - &fresh.blocked;
        for up in self.upstream.iter().filter(|up| up.must_exist()) {
            fresh.blocked |= up.edge.mapping.lacking(&candidates);
        }
        self.spread(&mut fresh.faulted, |_| true);
        fresh.blocked |= &fresh.faulted;
        self.spread(&mut fresh.blocked, Edge::must_exist);
        fresh.pending -= &fresh.blocked;
        self.spread(&mut fresh.pending, |_| true);
        fresh.pending -= &fresh.blocked;
        fresh.upstream_failed &= &fresh.pending;
    }

    /// Adds to `set` what reads it along those edges of the asset to itself that `counts` takes.
    fn spread(&self, set: &mut PartitionSet, counts: impl Fn(&Edge) -> bool) {
        for (_, edge) in self.own.iter().filter(|(_, edge)| counts(edge)) {
            edge.mapping.spread(set, self.domain.all());
        }
    }

    fn find_without_result(&self, fresh: &mut Freshness, same_shape: bool) {
        let mut unknown = &fresh.pending | &fresh.blocked;
        if same_shape {
            unknown -= &self.row.fresh;
        }
        if !unknown.is_empty() {
            let marks = self.db.records().marks(&self.def.key, &unknown);
            let is_there =
                |part: &PartitionIdx| marks.get(*part).is_some_and(|mark| mark.has_value());
            fresh.without_result = unknown.iter().filter(|part| !is_there(part)).collect();
        }
    }

    /// Suspects that have to run whatever their content keys are, because nothing was ever recorded of them.
    /// Where millions are missing, computing keys would take seconds and tell nothing.
    fn never_made(&self, fresh: &Freshness, suspects: &PartitionSet) -> PartitionSet {
        if !self.own.is_empty() {
            // They wait for one another, so that it counts which of them run.
            return PartitionSet::new();
        }
        // Whether an attempt that failed was under the very same key is to be told.
        let mut never = &(suspects - &self.row.failed) - &fresh.asks_anew;
        if never.is_empty() {
            return never;
        }
        never -= self.db.records().ever_made(&self.def.key, &never);
        for up in self.upstream.iter().filter(|up| up.must_exist()) {
            let lacks = up.edge.mapping.upstream_of(&never) - up.state.with_version();
            if lacks.is_empty() {
                continue;
            }
            if up.edge.mapping.is_constant() {
                return PartitionSet::new();
            }
            never -= up.edge.mapping.downstream_of(&lacks);
        }
        never
    }

    /// Decides about suspects whose upstream is settled.
    fn decide(&self, fresh: &mut Freshness, suspects: &PartitionSet, step: &StepVersion) {
        let never = self.never_made(fresh, suspects);
        let mut reasons = Reasons::new(self.db.records(), step);
        if never.is_empty() {
            self.decide_by_keys(fresh, suspects, step, &mut reasons);
        } else {
            fresh.kept -= &never;
            fresh.run |= &never;
            fresh.without_result |= &never;
            reasons.add_all(ReasonCode::Missing, &never);
            self.decide_by_keys(fresh, &(suspects - never), step, &mut reasons);
        }
        fresh.reasons = reasons.finish();
    }

    /// Decides by content keys, earlier partitions first.
    fn decide_by_keys(
        &self,
        fresh: &mut Freshness,
        suspects: &PartitionSet,
        step: &StepVersion,
        reasons: &mut Reasons<'_>,
    ) {
        if suspects.is_empty() {
            return;
        }
        let (own, columns) = self.columns(suspects);
        let restored: RefCell<BTreeMap<PartitionIdx, Digest>> = RefCell::default();
        let blocked = fresh.blocked.clone();
        let version = |place: usize, part: PartitionIdx| match self
            .upstream
            .iter()
            .find(|up| up.place == place)
        {
            Some(up) => up.state.version(&columns[place], part),
            None if blocked.contains(part) => None,
            None => restored.borrow().get(&part).copied().or_else(|| value(&own, part)),
        };
        let domains = self.edges.iter().map(|edge| (edge, db::domain(self.db, edge.input)));
        let inputs: Vec<InputView> =
            domains.map(|(edge, domain)| InputView { edge, domain }).collect();
        let mut keys = KeyMaker::new(step.digest, self.domain, &inputs, &version);
        // Mostly nobody asks, and it takes several passes over all partitions.
        let absent = fresh.absent();
        let lacking = LazyCell::new(|| self.lacking(&absent));
        let mut queue = suspects.clone();
        while let Some(part) = queue.min() {
            queue.remove(part);
            fresh.kept.remove(part);
            let mark = own.get(part).filter(Mark::has_value);
            if self.waits_for_itself(fresh, part) {
                fresh.wait(part, mark.as_ref());
                self.requeue(fresh, &mut queue, part);
                continue;
            }
            let anew = fresh.asks_anew.contains(part);
            let key = if anew { None } else { keys.content_key(part) };
            if key.is_none() && !anew {
                // A version is missing although upstream is settled: it went away in this moment.
                fresh.wait(part, mark.as_ref());
                continue;
            }
            match self.judge(fresh, part, mark.as_ref(), key) {
                Judgement::Verify => continue,
                Judgement::Restore(trace) => {
                    restored.borrow_mut().insert(part, trace.version);
                }
                Judgement::Run => {}
            }
            self.requeue(fresh, &mut queue, part);
            let Some(mark) = mark else {
                let lost = own.get(part).is_some_and(|mark| mark.flags.has(Flags::LOST));
                fresh.without_result.insert(part);
                let code = if lost { ReasonCode::BlobMissing } else { ReasonCode::Missing };
                reasons.add(code, part);
                continue;
            };
            let due = fresh.terms.due.contains(part).then(|| fresh.terms.reason());
            let inputs = |add: &mut dyn FnMut(ReasonCode)| {
                self.input_reasons(fresh, &columns, &lacking, &mark, add);
            };
            reasons.compare(&mark, due, inputs);
        }
    }

    /// The records that decide about suspects: the asset's own, and those of each edge.
    fn columns(&self, suspects: &PartitionSet) -> (Arc<Column>, Vec<Arc<Column>>) {
        let records = self.db.records();
        // What earlier ones decide may reach any of these: all of them are looked up with what they read.
        let mut reached = suspects.clone();
        self.spread(&mut reached, |_| true);
        let mut known = reached.clone();
        for (_, edge) in self.own {
            known |= edge.mapping.upstream_of(&reached);
        }
        let own = records.marks(&self.def.key, &known);
        let column = |edge: &Edge| {
            if edge.upstream == self.def.key {
                return own.clone();
            }
            records.marks(&edge.upstream, &edge.mapping.upstream_of(&reached))
        };
        let columns = self.edges.iter().map(column).collect();
        (own, columns)
    }

    /// Decides about one partition whose upstream is settled. `key` is `None` where it has to ask anew.
    fn judge(
        &self,
        fresh: &mut Freshness,
        part: PartitionIdx,
        mark: Option<&Mark>,
        key: Option<Digest>,
    ) -> Judgement {
        let Some(key) = key else {
            fresh.run.insert(part);
            return Judgement::Run;
        };
        let judgement = judge(self.db.records(), &fresh.terms, mark, key);
        match &judgement {
            Judgement::Verify => {
                fresh.verify_set.insert(part);
                fresh.verify.push(Verify { part, key });
            }
            Judgement::Restore(trace) => {
                fresh.add_restore(Restore { part, key, trace: trace.clone() }, mark);
            }
            Judgement::Run => {
                fresh.run.insert(part);
                if self.has_failed(part, key) {
                    fresh.failed.insert(part);
                }
            }
        }
        judgement
    }

    /// True if an earlier partition of the asset itself, which `part` reads, is not settled.
    fn waits_for_itself(&self, fresh: &Freshness, part: PartitionIdx) -> bool {
        self.own.iter().any(|(_, edge)| {
            let mapped = edge.mapping.upstream_of_one(part);
            let waits = |set: &PartitionSet| !set.is_disjoint(&mapped);
            let in_vain = edge.must_exist() && waits(&fresh.blocked);
            waits(&fresh.run) || waits(&fresh.pending) || in_vain
        })
    }

    /// Later partitions that read `part` have to be looked at, whatever their bits say.
    fn requeue(&self, fresh: &Freshness, queue: &mut PartitionSet, part: PartitionIdx) {
        for (_, edge) in self.own {
            let later = edge.mapping.downstream_of(&PartitionSet::from_iter([part]));
            *queue |= &(&later & &fresh.kept);
        }
    }

    fn has_failed(&self, part: PartitionIdx, key: Digest) -> bool {
        self.row.failed.contains(part)
            && self.db.records().failure(&self.def.key, part).is_some_and(|f| f.key == key)
    }

    /// By edge: what read a partition that is not there any more.
    fn lacking(&self, absent: &PartitionSet) -> Vec<PartitionSet> {
        let lacking = |(place, edge): (usize, &Edge)| {
            let readable = match self.upstream.iter().find(|up| up.place == place) {
                Some(up) => edge.readable(up.state),
                None => self.domain.all() - absent,
            };
            let Some(seen) = self.row.seen.get(place) else { return PartitionSet::new() };
            let gone = seen - readable;
            match (gone.is_empty(), edge.mapping.is_constant()) {
                (true, _) => gone,
                // The mapping cannot tell: what has gone is none of those that it gives now.
                (false, true) => self.domain.all().clone(),
                (false, false) => edge.mapping.downstream_of(&gone),
            }
        };
        self.edges.iter().enumerate().map(lacking).collect()
    }

    fn input_reasons(
        &self,
        fresh: &Freshness,
        columns: &[Arc<Column>],
        lacking: &[PartitionSet],
        mark: &Mark,
        reasons: &mut dyn FnMut(ReasonCode),
    ) {
        for (place, edge) in self.edges.iter().enumerate() {
            let up = self.upstream.iter().find(|up| up.place == place);
            let shifted = up.map_or(&fresh.shifted, |up| &up.state.shifted);
            let newer = |part: &PartitionIdx| {
                let input = columns[place].get(*part);
                shifted.contains(*part)
                    || input.is_some_and(|input| input.changed_at > mark.verified_at)
            };
            let (mut changed, mut added) = (false, false);
            for part in edge.mapping.upstream_of_one(mark.part).iter().filter(newer) {
                let is_new = self.row.seen.get(place).is_some_and(|seen| !seen.contains(part));
                (changed, added) = (changed || !is_new, added || is_new);
                if changed && added {
                    break;
                }
            }
            if changed {
                reasons(super::reason::changed_code(self.def, edge.input.def(self.db)));
            }
            if added {
                reasons(ReasonCode::InputAdded);
            }
            if lacking[place].contains(mark.part) {
                reasons(ReasonCode::InputRemoved);
            }
        }
    }
}

/// What a content key says about a partition whose upstream is settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    Verify,
    Restore(Trace),
    Run,
}

/// Compares the content key with what is recorded.
pub fn judge(records: &dyn Records, terms: &Terms, mark: Option<&Mark>, key: Digest) -> Judgement {
    if let Some(mark) = mark {
        // By hand: neither the record nor a trace counts.
        if mark.flags.has(Flags::INVALIDATED) {
            return Judgement::Run;
        }
        let is_due = terms.due.contains(mark.part);
        if mark.key == key && !mark.flags.has(Flags::RACED) && !is_due {
            return Judgement::Verify;
        }
    }
    match records.trace(&key).filter(|trace| terms.take(trace)) {
        Some(trace) => Judgement::Restore(trace),
        None => Judgement::Run,
    }
}
