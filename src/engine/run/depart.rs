//! Claims steps that are ready to go, and hands them to the workers.

use std::sync::Arc;

use super::super::Error;
use super::super::event::RunEvent;
use super::super::job::Memos;
use super::super::ledger::Batch;
use super::super::open::Engine;
use super::super::target::Target;
use super::super::workers::{Keep, Order};
use super::{Drive, Flight, Launch, OnEvent, Run};
use crate::base::Rev;
use crate::defs::Body;
use crate::exec::{Of, Step};
use crate::store::NewAttempt;

/// By launch, for each of its targets the owner of what others are making; `None` if memory does not hold the
/// newest state.
pub(in crate::engine) struct Claims(Option<Vec<Vec<Option<String>>>>);

impl Run {
    /// Claims what is ready to go, says in the store that it has started, and hands it to the workers.
    /// What somebody else has claimed is left to them.
    pub(super) fn launch(&mut self, engine: &Engine, events: OnEvent<'_>) -> Result<Drive, Error> {
        if self.launches.is_empty() {
            return Ok(Drive::Finished);
        }
        let known = engine.ledger.rev();
        let claims = engine.ledger.write(|batch| self.claim_all(engine, batch, known))?;
        self.depart(engine, claims, events)
    }

    /// Claims what is ready to go, if memory holds the newest state: `known`.
    pub(in crate::engine) fn claim_all(
        &self,
        engine: &Engine,
        batch: &mut Batch<'_>,
        known: Rev,
    ) -> Result<Claims, Error> {
        if batch.tx().rev() != known {
            return Ok(Claims(None));
        }
        let started_ms = engine.clock.now().timestamp_millis();
        let claim = |launch: &Launch| match &launch.step.of {
            // Each goes without the others.
            Of::Batch(_) => {
                let mut owners = Vec::with_capacity(launch.flight.targets.len());
                for target in &launch.flight.targets {
                    owners.push(self.claim(batch, std::slice::from_ref(target), started_ms)?);
                }
                Ok(owners)
            }
            Of::Asset(_) | Of::Assets(_) | Of::Job(_) => {
                let owner = self.claim(batch, &launch.flight.targets, started_ms)?;
                Ok::<_, Error>(vec![owner; launch.flight.targets.len()])
            }
        };
        Ok(Claims(Some(self.launches.iter().map(claim).collect::<Result<_, _>>()?)))
    }

    /// Hands what was claimed to the workers.
    pub(in crate::engine) fn depart(
        &mut self,
        engine: &Engine,
        claims: Claims,
        events: OnEvent<'_>,
    ) -> Result<Drive, Error> {
        let launches = std::mem::take(&mut self.launches);
        let Claims(Some(owners)) = claims else { return Ok(Drive::Overtaken) };
        for (launch, owners) in launches.into_iter().zip(owners) {
            self.awaited.extend(owners.iter().flatten().cloned());
            if let Some(Launch { flight, step }) = without_others(launch, &owners) {
                self.send(engine, flight, step, events)?;
            }
        }
        self.graphs.advance(engine, &mut self.workers, &mut self.flights_started)?;
        Ok(Drive::Finished)
    }

    /// Claims all of these targets or none; gives the owner of one that somebody else is making.
    fn claim(
        &self,
        batch: &mut Batch<'_>,
        targets: &[Target],
        started_ms: i64,
    ) -> Result<Option<String>, Error> {
        for (i, target) in targets.iter().enumerate() {
            if let Some(other) = batch.tx().claim(&target.asset, target.part, self.owner.id())? {
                for claimed in &targets[..i] {
                    batch.tx().release(&claimed.asset, claimed.part, self.owner.id())?;
                }
                return Ok(Some(other));
            }
        }
        for Target { asset, part, .. } in targets {
            let attempt = NewAttempt { run: self.id, asset, part: *part, attempt: 1, started_ms };
            batch.tx().start_attempt(&attempt)?;
        }
        Ok(None)
    }

    fn send(
        &mut self,
        engine: &Engine,
        flight: Flight,
        step: Step,
        events: OnEvent<'_>,
    ) -> Result<(), Error> {
        for target in &flight.targets {
            let (asset, partition) = (target.asset.clone(), target.partition.clone());
            events(engine, RunEvent::StepStarted { asset, partition, attempt: 1 });
            if target.forced {
                self.forced.entry(target.asset.clone()).or_default().insert(target.part);
            }
        }
        self.flights_started += 1;
        let (number, makes) = (self.flights_started, flight.targets.len());
        let is_forced = flight.targets.iter().any(|target| target.forced);
        self.flights.insert(number, flight);
        let step = Arc::new(step);
        if let Body::Graph(_) = &step.def.body {
            let memos = if is_forced { Memos::Renew } else { Memos::Take };
            return self.graphs.begin(engine, &mut self.workers, number, step, memos);
        }
        self.workers.send(Order::Step { number, step, keep: Keep::Results(makes) })
    }
}

/// What is left of a step without the targets that have an owner; `None` if that is nothing.
fn without_others(launch: Launch, owners: &[Option<String>]) -> Option<Launch> {
    if owners.iter().all(Option::is_none) {
        return Some(launch);
    }
    let Launch { flight, step } = launch;
    // What makes several assets has claimed all of them or none.
    let Of::Batch(lots) = &step.of else { return None };
    let is_own = |at: usize| owners.get(at).is_some_and(Option::is_none);
    let own = lots.iter().enumerate().filter(|(at, _)| is_own(*at));
    let step = Step::batch(own.map(|(_, lot)| lot.clone()).collect())?;
    let targets = flight.targets.into_iter().enumerate().filter(|(at, _)| is_own(*at));
    let targets = targets.map(|(_, target)| target).collect();
    Some(Launch { flight: Flight { targets, ..flight }, step })
}
