//! Writes down what happened: results, restores, failures, each in a transaction with all that names it.

use std::collections::{BTreeMap, HashMap};

use super::Error;
use super::asks::{self, Waits};
use super::attempts::End;
use super::event::{RunEvent, Summary};
use super::ledger::Batch;
use super::open::Engine;
use super::run::{OnEvent, Run, partition_of};
use super::schedule::{Place, Schedule};
use super::target::{Settled, Target, Tracing};
use super::work::Stored;
use crate::base::{
    AskedRow, AssetKey, CheckFact, Digest, Fact, FailureRow, Flags, MatRow, PartitionIdx,
    PartitionSet, Rev, StepId,
};
use crate::defs::Severity;
use crate::exec::{CheckResult, Failure, Outcome};
use crate::plan::PlanAsset;
use crate::store::{Fate, NewTrace, Outcome as Ended, Traced};

/// The key of a result that no key stands for.
const NO_KEY: Digest = Digest::from_bytes([0; 32]);

/// One result of a step that came back, with what was true when it was started.
pub(super) struct Landed {
    pub target: Target,
    pub result: Result<Stored, Failure>,
    pub outcome: Outcome,
    pub snapshot: Rev,
    /// Something that it reads changed while it ran.
    pub raced: bool,
    /// By upstream asset what it asked for, where it may ask.
    pub asked: Vec<(AssetKey, AskedRow)>,
}

/// A partition whose step could not be started, because its inputs could not be had.
pub(super) struct Unstarted<'a> {
    pub place: Place,
    pub part: PartitionIdx,
    pub key: Digest,
    pub reason: &'a str,
}

/// Records what came back, and claims what takes its place, in one transaction; says whether anything
/// failed.
pub(super) fn results(
    engine: &mut Engine,
    run: &mut Run,
    schedule: &mut Schedule,
    landed: Vec<Landed>,
    summary: &mut Summary,
    events: OnEvent<'_>,
) -> Result<bool, Error> {
    let landed: Vec<Landed> =
        landed.into_iter().map(|landed| as_asked(engine, run, landed)).collect();
    // A blob is safe on disk before a row names it.
    engine.cas.sync()?;
    let known = engine.ledger.rev();
    let steps = intern_steps(engine, landed.iter().map(|landed| &landed.target.asset))?;
    let had_failed: Vec<bool> = landed
        .iter()
        .map(|Landed { target, .. }| engine.ledger.failed(&target.asset).contains(target.part))
        .collect();
    note_fates(run, &landed);
    let now_ms = engine.clock.now().timestamp_millis();
    let is_due = run.became.is_due(now_ms);
    let (changed, claims) = engine.ledger.write(|batch| {
        if is_due {
            run.became.write(batch.tx(), run.id)?;
        }
        let mut changed = Vec::with_capacity(landed.len());
        for (landed, had_failed) in landed.iter().zip(had_failed) {
            changed.push(one(batch, engine, run, landed, known, &steps)?);
            // If others have written meanwhile, memory does not know of what failed in their hands.
            let may_have_failed = had_failed || batch.tx().rev() != known;
            if may_have_failed && landed.result.is_ok() {
                batch.clear_failure(&landed.target.asset, landed.target.part)?;
            }
        }
        Ok::<_, Error>((changed, run.claim_all(engine, batch, known)?))
    })?;
    if is_due {
        run.became.written(now_ms);
    }
    // If others have written meanwhile, the ledger knows it now, and the next look will say so.
    run.depart(engine, claims, events)?;
    tell(engine, run, schedule, landed.into_iter().zip(changed), summary, events)
}

/// Counts and tells what was recorded, and has the schedule go on from it; says whether anything failed. Each
/// result comes with whether it is another than before.
fn tell(
    engine: &mut Engine,
    run: &mut Run,
    schedule: &mut Schedule,
    landed: impl Iterator<Item = (Landed, bool)>,
    summary: &mut Summary,
    events: OnEvent<'_>,
) -> Result<bool, Error> {
    let mut any_failed = false;
    for (landed, changed) in landed {
        if let Ok(Stored { output, small: Some(bytes), .. }) = &landed.result {
            engine.ledger.keep_small(output.digest, bytes);
        }
        if let Ok(Stored { blobs, .. }) = &landed.result {
            engine.verified.extend(blobs.iter().map(|(digest, _)| *digest));
        }
        for warning in &landed.outcome.warnings {
            // A step may say the same of each partition.
            if run.told.insert(warning.clone()) {
                events(engine, RunEvent::Warning { message: warning.clone() });
            }
        }
        let parts = PartitionSet::from_iter([landed.target.part]);
        let place = landed.target.place;
        match &landed.result {
            Ok(_) => {
                summary.ran += 1;
                summary.unchanged += u64::from(!changed);
                schedule.done(place, &parts);
                run.outdated |= engine.makes_pieces(&landed.target.asset);
                if landed.target.tracing == Tracing::Never {
                    engine.planner.renewed(&landed.target.asset, landed.target.part);
                }
                succeeded(engine, &landed, changed, events);
                summary.checks_failed += tell_checks(engine, &landed, events);
                engine.export_results(&landed.target.asset, &parts, summary, events)?;
            }
            Err(Failure::Asks) => {
                run.wait_for_asked(&landed.target);
                engine.planner.touch(&landed.target.asset);
            }
            Err(Failure::Cancelled) => {
                summary.cancelled += 1;
                run.take_out(schedule, place, &parts);
            }
            Err(failure) => {
                any_failed = true;
                summary.failed += 1;
                failed(engine, &landed, &reason(failure, &landed.outcome), events);
                run.fail(engine, schedule, place, &parts, summary, events);
            }
        }
    }
    Ok(any_failed)
}

/// Remembers what has become of partitions, for the sets of the run.
fn note_fates(run: &mut Run, landed: &[Landed]) {
    for Landed { target, result, .. } in landed {
        let fate = match result {
            Ok(_) => Fate::Success,
            Err(Failure::Cancelled) => Fate::Cancelled,
            // It runs again.
            Err(Failure::Asks) => continue,
            Err(_) => Fate::Failed,
        };
        run.became.note(&target.asset, fate, &PartitionSet::from_iter([target.part]));
    }
}

/// Keys a result by what its step read; lists what a step that asked for more is to be given, or makes it
/// a failure if that is of no use.
fn as_asked(engine: &Engine, run: &Run, mut landed: Landed) -> Landed {
    let target = &mut landed.target;
    let asks = &landed.outcome.asked;
    match &landed.result {
        Ok(_) => {
            if let Some(askable) = &target.askable {
                let read = asks::read(engine, target, askable, asks);
                let planner = &engine.planner;
                target.key = planner.key_as_asked(&target.asset, target.part, askable, &read);
                landed.asked = asks::rows(engine, target, askable, read);
            }
        }
        Err(Failure::Asks) => match asks::waits(engine, target, asks, &run.asking) {
            Waits::For(wanted) => landed.asked = wanted,
            Waits::InVain(reason) => landed.result = Err(Failure::Function(reason)),
        },
        Err(_) => {}
    }
    landed
}

fn one(
    batch: &mut Batch<'_>,
    engine: &Engine,
    run: &Run,
    landed: &Landed,
    known: Rev,
    steps: &HashMap<AssetKey, StepId>,
) -> Result<bool, Error> {
    let Landed { target, result, outcome, .. } = landed;
    let Target { asset, part, key, .. } = target;
    let mut changed = false;
    for (upstream, row) in &landed.asked {
        batch.put_asked(asset, upstream, row.clone())?;
    }
    let (ended, detail) = match result {
        Ok(stored) => {
            changed = put_result(batch, run, landed, stored, steps[asset], known)?;
            let key = if landed.raced { &NO_KEY } else { key };
            put_fact(batch, run, landed, *key)?;
            // No bit may stay for what was made from an older state: others have written since, or
            // an input has changed, and may be what it was before anybody looks again.
            if landed.raced || batch.tx().rev() != known {
                batch.clear_fresh(asset, &PartitionSet::from_iter([*part]))?;
            }
            (Ended::Success, String::new())
        }
        Err(Failure::Cancelled) => (Ended::Cancelled, String::new()),
        Err(Failure::Asks) => {
            asks::unsettle(batch, asset, *part)?;
            (Ended::Cancelled, Failure::Asks.to_string())
        }
        Err(failure) => {
            let reason = reason(failure, outcome);
            put_fact(batch, run, landed, *key)?;
            let (key, run) = (*key, run.id);
            let failure = FailureRow { part: *part, key, run, reason: reason.clone() };
            batch.put_failure(asset, failure)?;
            (Ended::Failure, reason)
        }
    };
    let size_bytes = result.as_ref().ok().map(|stored| stored.output.size);
    let end = End { run: run.id, outcome: ended, detail: &detail, size_bytes };
    super::attempts::end(batch.tx(), &engine.root, target, outcome, &end)?;
    batch.tx().release(asset, *part, run.owner())?;
    Ok(changed)
}

fn put_result(
    batch: &mut Batch<'_>,
    run: &Run,
    landed: &Landed,
    stored: &Stored,
    step: StepId,
    known: Rev,
) -> Result<bool, Error> {
    let Target { asset, part, tracing, .. } = &landed.target;
    let version = stored.output.version();
    if let Some(bytes) = &stored.small {
        batch.tx().put_blob_small(&stored.output.digest, bytes)?;
    }
    for (digest, size) in &stored.blobs {
        batch.tx().put_blob(digest, *size)?;
    }
    let mut flags = Flags::default();
    let mut key = landed.target.key;
    if landed.raced {
        flags = flags.with(Flags::RACED);
        key = NO_KEY;
    } else if put_trace(batch, &landed.target, stored)? == Repeated::Differs {
        flags = flags.with(Flags::NONDETERMINISTIC);
    }
    // Marked as stale by another process while the step ran: it is still to be made anew.
    if batch.tx().rev() != known && *tracing != Tracing::Replace {
        let row = batch.tx().row(asset, *part)?;
        if row.is_some_and(|row| row.flags.has(Flags::INVALIDATED)) {
            flags = flags.with(Flags::INVALIDATED);
        }
    }
    let row = MatRow {
        part: *part,
        changed_at: Rev(0),
        verified_at: landed.snapshot,
        step: Some(step),
        key,
        version,
        output: Some(stored.output.clone()),
        run: Some(run.id),
        flags,
        made_ms: landed.target.started_ms,
    };
    Ok(batch.put(asset, row)?)
}

/// Remembers what the checks found and what the step reported.
fn put_fact(
    batch: &mut Batch<'_>,
    run: &Run,
    landed: &Landed,
    key: Digest,
) -> Result<(), crate::store::Error> {
    let outcome = &landed.outcome;
    let check = |result: &CheckResult| CheckFact {
        name: result.name.clone(),
        severity: result.severity.as_str().to_owned(),
        found: result.found.clone(),
    };
    let checks: Vec<CheckFact> = outcome.checks.iter().map(check).collect();
    let metadata = outcome.reported();
    if checks.is_empty() && metadata.is_empty() {
        return Ok(());
    }
    let Target { asset, part, started_ms, .. } = &landed.target;
    let (part, made_ms, run) = (*part, *started_ms, run.id);
    batch.tx().put_fact(asset, &Fact { part, key, run, made_ms, checks, metadata })
}

/// Says which checks of a result that was taken failed; returns how many of them are errors.
fn tell_checks(engine: &Engine, landed: &Landed, events: OnEvent<'_>) -> u64 {
    let Target { asset, partition, .. } = &landed.target;
    let mut errors = 0;
    for CheckResult { name, severity, found } in &landed.outcome.checks {
        let Some(found) = found else { continue };
        errors += u64::from(*severity != Severity::Warn);
        let (asset, partition) = (asset.clone(), partition.clone());
        let (name, severity, found) = (name.clone(), *severity, found.clone());
        events(engine, RunEvent::CheckFailed { asset, partition, name, severity, found });
    }
    errors
}

/// Whether a key has led to this result before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeated {
    No,
    Same,
    Differs,
}

/// Records what the key has led to, as the step's kind and the user's wish have it.
fn put_trace(
    batch: &mut Batch<'_>,
    target: &Target,
    stored: &Stored,
) -> Result<Repeated, crate::store::Error> {
    let Target { asset, part, partition, key, started_ms, .. } = target;
    let (output, version) = (&stored.output, &stored.output.version());
    let (part, made_ms) = (*part, *started_ms);
    let trace = NewTrace { asset, part, partition, output, version, made_ms };
    let tx = batch.tx();
    match target.tracing {
        Tracing::Never => return Ok(Repeated::No),
        Tracing::Refresh => {
            tx.replace_trace(key, &trace)?;
            return Ok(Repeated::No);
        }
        Tracing::Keep | Tracing::Replace => {}
    }
    match tx.put_trace(key, &trace)? {
        // Of what was marked as stale by hand there is no trace, but the result itself.
        Traced::New if target.tracing == Tracing::Replace => {
            let before = tx.row(asset, part)?;
            let differs = |row: &MatRow| row.key == *key && row.version != *version;
            Ok(if before.as_ref().is_some_and(differs) { Repeated::Differs } else { Repeated::No })
        }
        Traced::New => Ok(Repeated::No),
        Traced::Same => Ok(Repeated::Same),
        Traced::Differs(_) => {
            if target.tracing == Tracing::Replace {
                tx.replace_trace(key, &trace)?;
            }
            Ok(Repeated::Differs)
        }
    }
}

fn intern_steps<'a>(
    engine: &Engine,
    assets: impl Iterator<Item = &'a AssetKey>,
) -> Result<HashMap<AssetKey, StepId>, Error> {
    let mut steps = HashMap::new();
    for asset in assets {
        if !steps.contains_key(asset) {
            let parts = &engine.planner.step(asset).parts;
            let step = engine.ledger.step_id(asset, parts)?;
            steps.insert(asset.clone(), step);
        }
    }
    Ok(steps)
}

/// The sentence of a failure, and how often it was tried.
fn reason(failure: &Failure, outcome: &Outcome) -> String {
    match outcome.attempt {
        0 | 1 => failure.to_string(),
        attempts => format!("{failure} (the last of {attempts} attempts)"),
    }
}

fn succeeded(engine: &Engine, landed: &Landed, changed: bool, events: OnEvent<'_>) {
    let Target { asset, partition, reasons, .. } = &landed.target;
    events(
        engine,
        RunEvent::StepSucceeded {
            asset: asset.clone(),
            partition: partition.clone(),
            duration: landed.outcome.duration,
            changed,
            reasons: reasons.clone(),
        },
    );
    if landed.raced {
        let at = if partition.is_unpartitioned() { String::new() } else { format!("@{partition}") };
        let message = format!("an input of {asset}{at} changed while it ran; its result is stale");
        events(engine, RunEvent::Warning { message });
    }
}

fn failed(engine: &Engine, landed: &Landed, reason: &str, events: OnEvent<'_>) {
    let (Target { asset, partition, .. }, outcome) = (&landed.target, &landed.outcome);
    let (log, log_tail) = match &outcome.log {
        Some(log) => (Some(log.path.clone()), log.tail.clone()),
        None => (None, String::new()),
    };
    events(
        engine,
        RunEvent::StepFailed {
            asset: asset.clone(),
            partition: partition.clone(),
            duration: outcome.duration,
            reason: reason.to_owned(),
            log,
            log_tail,
        },
    );
}

/// Records the failure of a step whose inputs could not be had.
pub(super) fn unstarted(
    engine: &mut Engine,
    run: &mut Run,
    schedule: &mut Schedule,
    failure: Unstarted<'_>,
    summary: &mut Summary,
    events: OnEvent<'_>,
) -> Result<(), Error> {
    let Unstarted { place, part, key, reason } = failure;
    let asset = schedule.asset(place).clone();
    let reason = reason.to_owned();
    let row = FailureRow { part, key, run: run.id, reason: reason.clone() };
    engine.ledger.write(|batch| batch.put_failure(&asset, row))?;
    summary.failed += 1;
    run.became.note(&asset, Fate::Failed, &PartitionSet::from_iter([part]));
    let partition = partition_of(engine, &asset, part);
    let (duration, log, log_tail) = (std::time::Duration::ZERO, None, String::new());
    let event = RunEvent::StepFailed { asset, partition, duration, reason, log, log_tail };
    events(engine, event);
    run.fail(engine, schedule, place, &PartitionSet::from_iter([part]), summary, events);
    Ok(())
}

/// Records what needs no run: what was cut off needs no record of its own (its bit is set when the
/// run settles), what is restored becomes the current result.
pub(super) fn settle(
    engine: &mut Engine,
    run: &mut Run,
    parts: &HashMap<AssetKey, &PlanAsset>,
    schedule: &mut Schedule,
    settled: Settled,
    summary: &mut Summary,
    events: OnEvent<'_>,
) -> Result<(), Error> {
    let Settled { verified, restored, .. } = settled;
    let snapshot = engine.ledger.rev();
    let names: Vec<AssetKey> =
        restored.iter().map(|(place, ..)| schedule.asset(*place).clone()).collect();
    let steps = intern_steps(engine, names.iter())?;
    let failed: Vec<(AssetKey, PartitionIdx)> = verified
        .iter()
        .flat_map(|(place, set)| {
            let asset = schedule.asset(*place).clone();
            let failed = set & &engine.ledger.failed(&asset);
            failed.iter().map(move |part| (asset.clone(), part)).collect::<Vec<_>>()
        })
        .collect();
    if !restored.is_empty() || !failed.is_empty() {
        engine.ledger.write(|batch| {
            for (asset, part) in &failed {
                batch.clear_failure(asset, *part)?;
            }
            for ((_, part, key, trace), asset) in restored.iter().zip(&names) {
                let row = MatRow {
                    part: *part,
                    changed_at: Rev(0),
                    verified_at: snapshot,
                    step: Some(steps[asset]),
                    key: *key,
                    version: trace.version,
                    output: Some(trace.output.clone()),
                    run: Some(run.id),
                    flags: Flags::default(),
                    made_ms: trace.made_ms,
                };
                batch.put(asset, row)?;
                batch.clear_failure(asset, *part)?;
                if batch.tx().rev() != snapshot {
                    batch.clear_fresh(asset, &PartitionSet::from_iter([*part]))?;
                }
            }
            Ok::<_, Error>(())
        })?;
    }
    for (place, set) in verified {
        let asset = schedule.asset(place).clone();
        let cut_off = &set & &parts[&asset].pending;
        summary.cut_off += cut_off.len();
        schedule.done(place, &set);
        // As of the plan: what was not known then is known now.
        run.outdated |=
            engine.makes_pieces(&asset) && engine.planner.freshness(&asset.each()).growing;
        run.became.note(&asset, Fate::CutOff, &cut_off);
        if !cut_off.is_empty() {
            events(engine, RunEvent::CutOff { asset, parts: cut_off });
        }
    }
    let mut by_place: BTreeMap<Place, PartitionSet> = BTreeMap::new();
    for (place, part, ..) in restored {
        by_place.entry(place).or_default().insert(part);
    }
    for (place, set) in by_place {
        let asset = schedule.asset(place).clone();
        summary.restored += set.len();
        run.became.note(&asset, Fate::Restored, &set);
        schedule.done(place, &set);
        run.outdated |= engine.makes_pieces(&asset);
        events(engine, RunEvent::Restored { asset: asset.clone(), parts: set.clone() });
        engine.export_results(&asset, &set, summary, events)?;
    }
    Ok(())
}
