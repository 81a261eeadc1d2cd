//! Decides what of the schedule is to be made, and prepares the steps that make it.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::Error;
use super::super::event::Summary;
use super::super::join::{self, Making, Verdict};
use super::super::open::Engine;
use super::super::record::{Unstarted, unstarted};
use super::super::schedule::Schedule;
use super::super::target::{Target, tracing};
use super::super::work;
use super::{Drive, Flight, Launch, OnEvent, Run, SETTLED_MAX};
use crate::base::AssetKey;
use crate::defs::Asset;
use crate::exec::Step;
use crate::plan::PlanAsset;

/// Where what is started is told.
struct Report<'a, 'e> {
    schedule: &'a mut Schedule,
    summary: &'a mut Summary,
    events: OnEvent<'e>,
}

/// One execution, or the part of a partition in one that makes several.
enum Lot {
    Ready(Box<Step>, Vec<Target>),
    /// What it reads cannot be had, and that is recorded.
    Failed,
    /// The rest has to be planned again.
    Overtaken,
}

impl Run {
    /// Decides about what is ready, and prepares steps as far as there is room for them.
    pub(super) fn prepare(
        &mut self,
        engine: &mut Engine,
        parts: &HashMap<AssetKey, &PlanAsset>,
        schedule: &mut Schedule,
        summary: &mut Summary,
        events: OnEvent<'_>,
    ) -> Result<Drive, Error> {
        // Twice as many as can run, so that no worker waits for the recording of results.
        while self.flights.len() + self.launches.len() < self.jobs * 2
            && self.settled.len() < SETTLED_MAX
            && !self.outdated
        {
            // A batch that may become full is begun only if a worker would have nothing to do.
            let is_idle = self.flights.len() + self.launches.len() < self.jobs;
            let next = if is_idle { schedule.next() } else { schedule.next_whole() };
            let Some((place, part)) = next else { break };
            let asset = schedule.asset(place).clone();
            let plan = parts[&asset];
            if plan.is_source {
                let ready = schedule.take_ready(place, part);
                if !super::super::again::follow(engine, &asset, place, &ready, schedule) {
                    self.launches.clear();
                    return Ok(Drive::Overtaken);
                }
                continue;
            }
            match join::judge(engine, plan, place, part, &mut self.settled) {
                Verdict::Settled => {}
                Verdict::Make(key) => {
                    let (first, settled) = (Making { place, part, key }, &mut self.settled);
                    let made = join::together(engine, parts, schedule, first, settled, SETTLED_MAX);
                    let mut report = Report {
                        schedule: &mut *schedule,
                        summary: &mut *summary,
                        events: &mut *events,
                    };
                    if self.start(engine, parts, &made, &mut report)? == Drive::Overtaken {
                        self.launches.clear();
                        return Ok(Drive::Overtaken);
                    }
                }
                Verdict::Lost => self.give_up(engine, schedule, place, part, summary, events),
            }
        }
        Ok(Drive::Finished)
    }

    /// Prepares one execution that makes all of `made`.
    fn start(
        &mut self,
        engine: &mut Engine,
        parts: &HashMap<AssetKey, &PlanAsset>,
        made: &[Making],
        report: &mut Report<'_, '_>,
    ) -> Result<Drive, Error> {
        let is_batch = made.first().is_some_and(|first| {
            let asset = report.schedule.asset(first.place);
            engine.planner.def(asset).policy.batch.is_some()
        });
        // Of a batch each partition has inputs of its own; several assets have the same.
        let size = if is_batch { 1 } else { made.len().max(1) };
        let (mut lots, mut targets) = (Vec::new(), Vec::with_capacity(made.len()));
        for made in made.chunks(size) {
            match self.lot(engine, parts, made, report)? {
                Lot::Ready(step, own) => {
                    lots.push(*step);
                    targets.extend(own);
                }
                Lot::Failed => {}
                Lot::Overtaken => return Ok(Drive::Overtaken),
            }
        }
        let step = if is_batch { Step::batch(lots) } else { lots.pop() };
        if let Some(step) = step {
            let snapshot = engine.ledger.rev();
            self.launches.push(Launch { flight: Flight { targets, snapshot }, step });
        }
        Ok(Drive::Finished)
    }

    /// Prepares what makes one partition, unless its inputs may be of two states: some of memory, some that
    /// another process has recorded since.
    fn lot(
        &mut self,
        engine: &mut Engine,
        parts: &HashMap<AssetKey, &PlanAsset>,
        made: &[Making],
        report: &mut Report<'_, '_>,
    ) -> Result<Lot, Error> {
        let Some(Making { part, .. }) = made.first().copied() else { return Ok(Lot::Failed) };
        let plans: Vec<&PlanAsset> =
            made.iter().map(|it| parts[report.schedule.asset(it.place)]).collect();
        let defs: Vec<Arc<Asset>> =
            plans.iter().map(|plan| engine.planner.def(&plan.asset).clone()).collect();
        let step = engine.step(&defs, part, self.id, &self.staging);
        // Two states show at the launch, which is for the newest one only; as an error they show now.
        if step.is_err() && engine.ledger.is_behind()? {
            return Ok(Lot::Overtaken);
        }
        let step = match step {
            Ok(step) => step,
            Err(Error::Lost { digest, .. }) => {
                // What another process has written meanwhile is a reason to plan anew as well.
                engine.mark_lost(digest)?;
                self.outdated = true;
                return Ok(Lot::Overtaken);
            }
            Err(error) => {
                // What it reads cannot be had: its own failure, not the run's.
                let reason = &work::error_text(&error);
                for Making { place, part, key } in made.iter().copied() {
                    let failure = Unstarted { place, part, key, reason };
                    let Report { schedule, summary, events } = &mut *report;
                    unstarted(engine, self, schedule, failure, summary, *events)?;
                }
                return Ok(Lot::Failed);
            }
        };
        if !engine.inputs_are_sound(&step)? {
            self.outdated = true;
            return Ok(Lot::Overtaken);
        }
        let targets = targets(engine, made, &plans, &step);
        Ok(Lot::Ready(Box::new(step), targets))
    }
}

/// What a step makes, with what is true now.
fn targets(engine: &Engine, made: &[Making], plans: &[&PlanAsset], step: &Step) -> Vec<Target> {
    let Some(first) = plans.first() else { return Vec::new() };
    let guards: Arc<[_]> = engine.guards(&first.asset, step).into();
    let started_ms = engine.clock.now().timestamp_millis();
    let target = |(making, plan): (&Making, &&PlanAsset)| {
        let Making { place, part, key } = *making;
        Target {
            place,
            asset: plan.asset.clone(),
            part,
            partition: step.partition.clone(),
            key,
            forced: plan.forced.contains(part),
            tracing: tracing(engine, plan, part),
            started_ms,
            reasons: plan.reasons(part),
            askable: engine.planner.askable(&plan.asset, part),
            guards: Arc::clone(&guards),
        }
    };
    made.iter().zip(plans).map(target).collect()
}
