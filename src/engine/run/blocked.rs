//! What a run does not try: what lacks an input, what waits for a failure, and what reads either.

use std::collections::BTreeMap;

use super::{OnEvent, Run};
use crate::base::{AssetKey, PartitionIdx, PartitionSet};
use crate::engine::asks::{self, Sifted};
use crate::engine::event::{RunEvent, Summary};
use crate::engine::open::Engine;
use crate::engine::schedule::{Fallout, Place, Schedule};
use crate::engine::target::Target;
use crate::plan::{Plan, ReasonCode};
use crate::store::Fate;

impl Run {
    /// Gives up what waits for what it asked for, where that failed; returns what may not ask again.
    pub(super) fn sift(
        &mut self,
        engine: &Engine,
        plan: &Plan,
        summary: &mut Summary,
        events: OnEvent<'_>,
    ) -> BTreeMap<AssetKey, PartitionSet> {
        let Sifted { blocked, undecided } = asks::sift(engine, plan, &self.given_up);
        self.tell_blocked(engine, blocked, summary, events);
        undecided
    }

    pub(super) fn report_blocked(
        &mut self,
        engine: &Engine,
        plan: &Plan,
        summary: &mut Summary,
        events: OnEvent<'_>,
    ) {
        for part in &plan.assets {
            let known = self.blocked.entry(part.asset.clone()).or_default();
            let parts = &part.blocked - &*known;
            *known |= &parts;
            // A source that has no data is the reason, not a thing that could have been made.
            if !parts.is_empty() && !engine.planner.def(&part.asset).is_source() {
                summary.blocked += parts.len();
                self.became.note(&part.asset, Fate::Blocked, &parts);
                let (asset, reason) = (part.asset.clone(), ReasonCode::MissingInput);
                events(engine, RunEvent::Blocked { asset, parts, reason });
            }
        }
    }

    /// An input lost its value since the plan was made.
    pub(super) fn give_up(
        &mut self,
        engine: &Engine,
        schedule: &mut Schedule,
        place: Place,
        part: PartitionIdx,
        summary: &mut Summary,
        events: OnEvent<'_>,
    ) {
        let parts = PartitionSet::from_iter([part]);
        let asset = schedule.asset(place).clone();
        summary.blocked += 1;
        self.became.note(&asset, Fate::Blocked, &parts);
        let reason = ReasonCode::MissingInput;
        events(engine, RunEvent::Blocked { asset, parts: parts.clone(), reason });
        self.fail(engine, schedule, place, &parts, summary, events);
    }

    /// Has a step that asked for more run again, when that is there.
    pub(in crate::engine) fn wait_for_asked(&mut self, target: &Target) {
        self.asking.wait(target);
        if let Some(forced) = self.forced.get_mut(&target.asset) {
            forced.remove(target.part);
        }
    }

    /// Takes what was given up before out of the schedule, and what reads it. Of that is told what is new:
    /// in a backfill what reads a failure may be the business of a later run.
    pub(super) fn leave_given_up(
        &mut self,
        engine: &Engine,
        plan: &Plan,
        schedule: &mut Schedule,
        summary: &mut Summary,
        events: OnEvent<'_>,
    ) {
        for (place, part) in plan.assets.iter().enumerate() {
            if let Some(given_up) = self.given_up.get(&part.asset) {
                let Fallout { mut blocked, undecided: _ } = schedule.give_up(place, given_up);
                for (asset, parts) in &mut blocked {
                    if let Some(told) = self.given_up.get(asset) {
                        *parts -= told;
                    }
                }
                blocked.retain(|(_, parts)| !parts.is_empty());
                self.tell_blocked(engine, blocked, summary, events);
            }
        }
    }

    /// Says that what reads a failure is not tried.
    fn tell_blocked(
        &mut self,
        engine: &Engine,
        blocked: impl IntoIterator<Item = (AssetKey, PartitionSet)>,
        summary: &mut Summary,
        events: OnEvent<'_>,
    ) {
        for (asset, parts) in blocked {
            summary.blocked += parts.len();
            *self.given_up.entry(asset.clone()).or_default() |= &parts;
            self.became.note(&asset, Fate::Blocked, &parts);
            let reason = ReasonCode::UpstreamFailed;
            events(engine, RunEvent::Blocked { asset, parts, reason });
        }
    }

    /// Takes a failure's consumers out of the schedule and says so.
    pub(in crate::engine) fn fail(
        &mut self,
        engine: &Engine,
        schedule: &mut Schedule,
        place: Place,
        parts: &PartitionSet,
        summary: &mut Summary,
        events: OnEvent<'_>,
    ) {
        let blocked = self.take_out(schedule, place, parts);
        self.tell_blocked(engine, blocked, summary, events);
    }

    /// Takes what cannot be made out of the schedule, with its consumers, and returns these.
    pub(in crate::engine) fn take_out(
        &mut self,
        schedule: &mut Schedule,
        place: Place,
        parts: &PartitionSet,
    ) -> Vec<(AssetKey, PartitionSet)> {
        *self.given_up.entry(schedule.asset(place).clone()).or_default() |= parts;
        let Fallout { blocked, undecided } = schedule.fail(place, parts);
        self.asking.again |= !undecided.is_empty();
        for (asset, parts) in &blocked {
            *self.given_up.entry(asset.clone()).or_default() |= parts;
        }
        blocked
    }

    /// What still waits for pieces when nothing runs any more waits in vain: their maker failed.
    pub(super) fn give_up_held(
        &mut self,
        engine: &Engine,
        summary: &mut Summary,
        events: OnEvent<'_>,
    ) {
        for (asset, parts) in std::mem::take(&mut self.held) {
            if !parts.is_empty() && !engine.planner.def(&asset).is_source() {
                summary.blocked += parts.len();
                self.became.note(&asset, Fate::Blocked, &parts);
                let reason = ReasonCode::UpstreamFailed;
                events(engine, RunEvent::Blocked { asset, parts, reason });
            }
        }
    }
}
