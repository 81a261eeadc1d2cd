//! Tells apart what a step of several assets made: each has a result, checks and a report of its own.
//!
//! An asset that was asked for and not made is a failure of that asset alone; one that was made and not asked
//! for is not taken, and that is said.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::command::outputs::variable;
use super::{Earlier, Emitted, Failure, Member, Of, Outcome, Produced, Step};
use crate::base::AssetKey;
use crate::defs::Body;

/// The key of a reported line that says of which asset it is.
pub const ASSET: &str = "asset";

/// Makes one outcome of each asset that was asked for. `absent` says why one was not made, where that is
/// known; `check` judges what was made of one.
pub(super) fn tell_apart(
    step: &Step,
    members: &[Member],
    mut outcome: Outcome,
    mut absent: BTreeMap<u32, Failure>,
    mut check: impl FnMut(&Step, &mut Outcome),
) -> Outcome {
    let Ok(made) = &mut outcome.result else { return outcome };
    let mut made = std::mem::take(made);
    let reported = std::mem::take(&mut outcome.metadata);
    for (place, member) in (0..).zip(members) {
        let found = made.iter().position(|emitted| emitted.output == place);
        let found = found.map(|at| made.swap_remove(at));
        if !member.is_wanted {
            if let Some(Emitted { what, .. }) = found {
                remove(&what);
                outcome.warnings.push(not_asked_for(step, member));
            }
            continue;
        }
        let mut why = || absent.remove(&place).unwrap_or_else(|| missing(step, &member.key));
        let mut own = Outcome {
            result: found.map(|emitted| vec![emitted]).ok_or_else(&mut why),
            log: outcome.log.clone(),
            duration: outcome.duration,
            usage: outcome.usage,
            metadata: reported.iter().filter_map(|line| line_of(line, member, members)).collect(),
            ..Outcome::not_run(step)
        };
        check(&step_of(step, member), &mut own);
        outcome.members.push(own);
    }
    outcome
}

/// The same execution as that of one asset alone.
fn step_of(step: &Step, member: &Member) -> Step {
    Step { def: Arc::clone(&member.def), of: Of::Asset(member.key.clone()), ..step.clone() }
}

fn missing(step: &Step, asset: &AssetKey) -> Failure {
    match &step.def.body {
        Body::Function(_) => {
            Failure::Function(format!("gave no value of `{asset}`, which was asked for"))
        }
        Body::Graph(_) => Failure::Function(format!("gave no result for `{asset}`")),
        Body::Command(_) | Body::Sql(_) | Body::Source(_) => {
            Failure::NoOutput { variable: variable(asset.as_str()) }
        }
    }
}

fn not_asked_for(step: &Step, member: &Member) -> String {
    let (name, key) = (step.shown(), &member.key);
    format!("`{name}` also made `{key}`, which was not asked for: that is left out")
}

/// What is not taken is in nobody's way.
fn remove(what: &Produced) {
    // The staging directory goes with the run in any case.
    let _ = match what {
        Produced::File(path) => fs::remove_file(path),
        Produced::Directory(path) => fs::remove_dir_all(path),
        Produced::Table { .. } | Produced::Bytes { .. } => Ok(()),
    };
}

/// A reported line as it is kept with one asset: `{"asset": "left", ..}` is that asset's, and a line that names
/// none is everybody's.
fn line_of(line: &Value, member: &Member, members: &[Member]) -> Option<Value> {
    let named = line.get(ASSET).and_then(Value::as_str);
    match named.filter(|named| members.iter().any(|it| it.key.as_str() == *named)) {
        None => Some(line.clone()),
        Some(named) if named == member.key.as_str() => {
            let mut line = line.clone();
            line.as_object_mut()?.remove(ASSET);
            Some(line)
        }
        Some(_) => None,
    }
}

/// Those of the assets or partitions that have failed, for the attempt of this number.
pub(super) fn of_failed(step: &Step, outcome: &Outcome, attempt: u32) -> Of {
    let mut ended = outcome.members.iter();
    let mut has_failed = || ended.next().is_none_or(|own| own.result.is_err());
    match &step.of {
        Of::Asset(_) | Of::Job(_) => step.of.clone(),
        Of::Assets(members) => {
            let again = |member: &Member| {
                let is_wanted = member.is_wanted && has_failed();
                Member { is_wanted, ..member.clone() }
            };
            Of::Assets(members.iter().map(again).collect())
        }
        Of::Batch(lots) => {
            let failed = lots.iter().filter(|_| has_failed());
            let again = |lot: &Step| Step { attempt, ..lot.clone() };
            Of::Batch(failed.map(again).collect())
        }
    }
}

/// Joins an attempt for those that had failed with what was made of the others before. It began at `begun`
/// and took so long.
pub(super) fn join(
    before: Vec<Outcome>,
    (begun, took): (Duration, Duration),
    outcome: &mut Outcome,
) {
    if before.is_empty() {
        return;
    }
    // It may have failed as a whole, for all that it was asked for.
    let whole = std::mem::replace(&mut outcome.result, Ok(Vec::new())).err();
    let mut news = std::mem::take(&mut outcome.members).into_iter();
    let mut own = |before: Outcome| match (&before.result, &whole) {
        (Ok(_), _) => before,
        (Err(_), Some(failure)) => {
            let (result, log) = (Err(failure.clone()), outcome.log.clone());
            let own =
                Outcome { result, log, duration: took, attempt: outcome.attempt, ..before.clone() };
            after(before, begun, own)
        }
        (Err(_), None) => match news.next() {
            Some(own) => after(before, begun, own),
            None => before,
        },
    };
    outcome.members = before.into_iter().map(&mut own).collect();
}

/// An attempt that began at `begun`, with the failed one before it.
fn after(before: Outcome, begun: Duration, mut own: Outcome) -> Outcome {
    own.duration += before.duration;
    own.earlier = before.earlier;
    if let Err(failure) = &before.result {
        let (duration, usage) = (before.duration, before.usage);
        own.earlier.push(Earlier { duration, next: begun, usage, reason: failure.to_string() });
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::testing::{StepBuilder, emitted};

    /// The second attempt begins after two seconds and takes one.
    const AFTER: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(1));

    /// A step of the assets `a`, `b` and `c`, of which some are wanted.
    fn step(wanted: &str) -> Step {
        let member = |name: &str| Member {
            key: AssetKey::parse(name).unwrap(),
            is_wanted: wanted.contains(name),
            def: StepBuilder::function().build().def.clone(),
        };
        let of = Of::Assets(["a", "b", "c"].iter().map(|name| member(name)).collect());
        StepBuilder::shell("true").edit(|step| step.of = of).build().clone()
    }

    /// What became of those that were wanted; `made` names what was.
    fn run(step: &Step, made: &str) -> Outcome {
        let Of::Assets(members) = &step.of else { unreachable!() };
        let made = ["a", "b", "c"].iter().zip(0..).filter(|(name, _)| made.contains(**name));
        let made = made.map(|(_, output)| Emitted { output, ..emitted() }).collect();
        let line = |text: &str| serde_json::from_str(text).unwrap();
        let metadata = vec![line(r#"{"asset": "a", "n": 1}"#), line(r#"{"asset": "x", "m": 2}"#)];
        let outcome = Outcome { result: Ok(made), metadata, ..Outcome::not_run(step) };
        tell_apart(step, members, outcome, BTreeMap::new(), |own, _| {
            assert!(matches!(own.of, Of::Asset(_)));
        })
    }

    fn shown(outcome: &Outcome) -> String {
        let one = |own: &Outcome| match &own.result {
            Ok(made) => format!("{} {}", made[0].output, own.metadata.len()),
            Err(failure) => failure.to_string(),
        };
        outcome.members.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn each_has_what_was_made_of_it() {
        let outcome = run(&step("ac"), "abc");
        assert_eq!(shown(&outcome), "0 2, 2 1");
        assert_eq!(outcome.warnings.len(), 1, "{:?}", outcome.warnings);
        let outcome = run(&step("ab"), "a");
        assert_eq!(shown(&outcome), "0 2, wrote no output at $GIORNATA_OUTPUT_B");
    }

    #[test]
    fn another_attempt_is_for_what_failed() {
        let step = step("abc");
        let first = run(&step, "b");
        let again = Step { of: of_failed(&step, &first, 2), ..step.clone() };
        let Of::Assets(members) = &again.of else { unreachable!() };
        let wanted: Vec<bool> = members.iter().map(|member| member.is_wanted).collect();
        assert_eq!(wanted, [true, false, true]);
        let mut second = run(&again, "c");
        join(first.members.clone(), AFTER, &mut second);
        assert_eq!(shown(&second), "wrote no output at $GIORNATA_OUTPUT_A, 1 1, 2 1");
        let earlier: Vec<usize> = second.members.iter().map(|own| own.earlier.len()).collect();
        assert_eq!(earlier, [1, 0, 1], "each has the attempts at itself");
        let mut failed = Outcome::not_run(&again);
        join(first.members, AFTER, &mut failed);
        assert_eq!(shown(&failed), "cancelled, 1 1, cancelled");
    }
}
