//! What is brought up to date by itself: decided from the states of all partitions, as of now.
//!
//! Nothing is counted and nothing is remembered of events: what is not fresh, is not being made and has
//! not failed under the same key is asked for. So an update that comes while its consumer runs makes that
//! suspect when it ends, and it is asked for then.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::super::Error;
use super::super::open::Engine;
use crate::base::{AssetKey, Instigator, InstigatorKind, PartitionSet};
use crate::defs::partition::CronRule;
use crate::defs::{Condition, Term};
use crate::plan::{Freshness, ReasonCode, Request};
use crate::sensor::{States, named};

/// Partitions by asset.
pub type Sets = BTreeMap<AssetKey, PartitionSet>;

/// Which assets are looked after.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// These as if each said `eager`, and what they read with them.
    Eager(BTreeSet<AssetKey>),
    /// Those that say so, as they say.
    AsDeclared,
}

/// What is to be asked for.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Asked {
    pub targets: Sets,
    /// Why, for people: `orders: input-changed`.
    pub why: Vec<String>,
    /// Assets of which a tick is dealt with as soon as this is.
    pub ticked: BTreeSet<AssetKey>,
}

impl Rule {
    /// The condition of an asset, if it is looked after.
    pub fn condition(&self, engine: &Engine, asset: &AssetKey) -> Option<Condition> {
        let def = &engine.project.assets[asset];
        if def.is_source() {
            return None;
        }
        match self {
            Rule::Eager(chosen) => chosen.contains(asset).then(Condition::eager),
            Rule::AsDeclared => def.automation.clone().filter(|it| !it.is_never()),
        }
    }

    /// The assets that are looked after.
    pub fn assets(&self, engine: &Engine) -> Vec<AssetKey> {
        let all = engine.project.assets.keys();
        all.filter(|key| self.condition(engine, key).is_some()).cloned().collect()
    }

    /// Whether what the assets read is made with them.
    fn reaches_upstream(&self) -> bool {
        match self {
            Rule::Eager(_) => true,
            Rule::AsDeclared => false,
        }
    }

    pub fn request(&self, targets: Sets) -> Request {
        let reach = match self {
            Rule::Eager(_) => crate::plan::Reach::Upstream,
            Rule::AsDeclared => crate::plan::Reach::Only,
        };
        Request { targets, chosen: BTreeMap::new(), reach, force: false }
    }
}

/// What a condition can ask about the partitions of an asset.
struct View<'a> {
    engine: &'a Engine,
    state: &'a Freshness,
    running: PartitionSet,
    upstream_missing: PartitionSet,
    upstream_stale: PartitionSet,
    handled: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
}

impl States for View<'_> {
    fn all(&self) -> PartitionSet {
        self.state.domain.all().clone()
    }

    fn of(&self, term: &Term) -> PartitionSet {
        let state = self.state;
        match term {
            Term::Never | Term::Cron(..) => PartitionSet::new(),
            Term::Missing => state.without_result.clone(),
            Term::Stale => open(state) - &state.without_result,
            Term::Failed => state.failed.clone(),
            Term::Running => self.running.clone(),
            Term::Last(count) => last(self.engine, state, *count),
            Term::UpstreamMissing => &self.upstream_missing | &state.blocked,
            Term::UpstreamStale => &self.upstream_stale | &state.blocked,
            Term::CodeChanged => {
                let changed = |(code, _): &&(ReasonCode, PartitionSet)| {
                    matches!(code, ReasonCode::CodeChanged)
                };
                let sets = state.reasons.iter().filter(changed).map(|(_, set)| set);
                sets.fold(PartitionSet::new(), |all, set| all | set)
            }
        }
    }

    fn has_ticked(&self, rule: &CronRule, zone: Tz) -> bool {
        let tick = rule.up_to(zone, self.now);
        tick.zip(self.handled).is_some_and(|(tick, handled)| tick > handled)
    }
}

/// The last existing partitions: in time, else in the order in which they are numbered.
fn last(engine: &Engine, state: &Freshness, count: u32) -> PartitionSet {
    let word = if count == 1 { "latest".to_owned() } else { format!("last({count})") };
    if state.domain.def().is_unpartitioned() {
        return state.domain.all().clone();
    }
    let expr = crate::defs::partition::PartitionExpr::parse(&word);
    let found = expr.ok().and_then(|expr| engine.planner.select(&state.asset, &expr).ok());
    found.unwrap_or_default()
}

/// What is not fresh, or is to be recorded as such.
fn open(state: &Freshness) -> PartitionSet {
    let mut open = &state.run | &state.pending;
    open |= state.verify_set();
    open |= state.restore_set();
    open
}

impl Engine {
    /// The partitions that `rule` asks for now, from the states of all of them; `busy` are being made, and are
    /// not asked for.
    pub fn asked_by(
        &self,
        rule: &Rule,
        busy: &BTreeMap<AssetKey, PartitionSet>,
    ) -> Result<BTreeMap<AssetKey, PartitionSet>, Error> {
        Ok(self.automate(rule, busy)?.targets)
    }

    /// What `rule` asks for now. `busy`: what runs go on about.
    pub(super) fn automate(&self, rule: &Rule, busy: &Sets) -> Result<Asked, Error> {
        let now = self.clock.now();
        let mut asked = Asked::default();
        // Of each asset: what runs are about, with what depends on it; what is neither fresh nor asked for;
        // what is not there and not asked for.
        let (mut waits, mut unsettled, mut absent) = (Sets::new(), Sets::new(), Sets::new());
        for key in self.planner.order() {
            let state = self.planner.freshness(key);
            let above = |of: &Sets| self.image(key, of);
            let waiting = &above(&waits) | busy.get(key).unwrap_or(&PartitionSet::new());
            let open = open(state);
            let mut ask = PartitionSet::new();
            if let Some(condition) = rule.condition(self, key) {
                let handled = self.handled(key, &condition, now)?;
                let view = View {
                    engine: self,
                    state,
                    running: self.running(key)?,
                    upstream_missing: above(&absent),
                    upstream_stale: above(&unsettled),
                    handled,
                    now,
                };
                ask = named(&condition, &view) & &open;
                ask -= &(&state.failed | &state.upstream_failed);
                ask -= &state.blocked;
                if !rule.reaches_upstream() {
                    ask -= &view.upstream_stale;
                }
                let is_held = !ask.is_disjoint(&waiting);
                ask -= &waiting;
                let ticks = condition.crons();
                if !is_held && ticks.iter().any(|(rule, zone)| view.has_ticked(rule, *zone)) {
                    asked.ticked.insert(key.clone());
                }
            }
            let left = &open - &ask;
            let mut lacks = &state.without_result - &ask;
            if rule.reaches_upstream() {
                // What is not there is made with what reads it, if it can be.
                lacks &= &(&state.failed | &state.upstream_failed) | &state.blocked;
            }
            insert(&mut absent, key, &lacks);
            insert(&mut unsettled, key, &left);
            insert(&mut waits, key, &waiting);
            if !ask.is_empty() {
                asked.why.push(format!("{key}: {}", reasons(state, &ask)));
                asked.targets.insert(key.clone(), ask);
            }
        }
        self.ledger.check()?;
        Ok(asked)
    }

    /// What of an asset reads any of these.
    fn image(&self, key: &AssetKey, of: &Sets) -> PartitionSet {
        let all = self.planner.domain(key).all();
        let mut image = PartitionSet::new();
        for edge in self.planner.edges(key).iter().filter(|edge| edge.upstream != *key) {
            if let Some(set) = of.get(&edge.upstream) {
                image |= edge.mapping.downstream_of(set) & all;
            }
        }
        image
    }

    /// Up to when the ticks of an automation were dealt with; those of before it was declared are.
    fn handled(
        &self,
        key: &AssetKey,
        condition: &Condition,
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, Error> {
        if condition.crons().is_empty() {
            return Ok(None);
        }
        let of = automation_of(key);
        let row = self.ledger.ask(|store| store.instigator(&of))?;
        match row.handled_ms {
            Some(ms) => Ok(DateTime::from_timestamp_millis(ms)),
            None => {
                self.set_handled([key], now)?;
                Ok(Some(now))
            }
        }
    }

    /// Records that the ticks of automations were dealt with up to a time.
    pub(super) fn set_handled<'a>(
        &self,
        assets: impl IntoIterator<Item = &'a AssetKey>,
        at: DateTime<Utc>,
    ) -> Result<(), Error> {
        let ms = at.timestamp_millis();
        self.ledger.write(|batch| {
            for key in assets {
                batch.tx().set_handled(&automation_of(key), ms)?;
            }
            Ok::<_, Error>(())
        })
    }

    /// When the first of the cron expressions of automations ticks next.
    pub(super) fn next_automation(&self, rule: &Rule) -> Option<DateTime<Utc>> {
        let now = self.clock.now();
        let conditions = self.project.assets.keys().filter_map(|key| rule.condition(self, key));
        let next = |condition: Condition| {
            let ticks =
                condition.crons().into_iter().filter_map(|(rule, zone)| rule.after(zone, now));
            ticks.min()
        };
        conditions.filter_map(next).min()
    }
}

fn automation_of(key: &AssetKey) -> Instigator {
    Instigator { kind: InstigatorKind::Automation, name: key.as_str().into() }
}

fn insert(sets: &mut Sets, key: &AssetKey, set: &PartitionSet) {
    if !set.is_empty() {
        sets.insert(key.clone(), set.clone());
    }
}

/// Why partitions are not fresh, each code once.
fn reasons(state: &Freshness, parts: &PartitionSet) -> String {
    let mut codes: Vec<&str> = Vec::new();
    let mut tell = |code: ReasonCode, set: &PartitionSet| {
        if !set.is_disjoint(parts) && !codes.contains(&code.as_str()) {
            codes.push(code.as_str());
        }
    };
    for (code, set) in &state.reasons {
        tell(*code, set);
    }
    tell(ReasonCode::Missing, &state.without_result);
    tell(ReasonCode::UpstreamStale, &(&state.pending - &state.without_result));
    if codes.is_empty() {
        codes.push("to be verified");
    }
    codes.join(", ")
}
