//! Reads the range of a backfill, by each asset in its own partitions.

use std::collections::{BTreeMap, BTreeSet};

use super::super::error::CliError;
use super::super::targets::{Expression, Spec, Wanted, requested};
use super::StartArgs;
use crate::base::{AssetKey, PartitionSet};
use crate::defs::partition::PartitionExpr;
use crate::engine::Engine;

/// The expression that stands for `--from` and `--to`, if either is given.
pub(super) fn range(args: &StartArgs) -> Result<Option<String>, CliError> {
    let (from, to) = (args.from.as_deref(), args.to.as_deref());
    if from.is_none() && to.is_none() {
        return Ok(None);
    }
    for (name, text) in [("--from", from), ("--to", to)] {
        let is_plain =
            |text: &str| !text.trim().is_empty() && !text.contains(['.', ',', '[', '*', '|', '=']);
        if let Some(text) = text.filter(|text| !is_plain(text) && !text.starts_with('"')) {
            let error = CliError::user(format!("`{name} {text}` is not one moment"));
            return Err(error.hint("write `2024-01-31`, or `-p` with a whole expression"));
        }
    }
    Ok(Some(format!("{}..{}", from.unwrap_or_default(), to.unwrap_or_default())))
}

/// What is meant by a range: in each asset the partitions that start in it. An asset without partitions counts as
/// one, and an asset of which none starts in it counts for nothing, unless that is so for all.
pub(super) fn read(
    engine: &Engine,
    specs: &[Spec],
    sets: &[BTreeSet<AssetKey>],
    partition: Option<&Expression>,
    states: &[PartitionExpr],
) -> Result<Wanted, CliError> {
    let mut wanted = Wanted { targets: BTreeMap::new(), chosen: BTreeMap::new() };
    let mut nothing: Option<CliError> = None;
    let mut found = false;
    for (spec, set) in specs.iter().zip(sets) {
        let is_source = |key: &AssetKey| engine.project().assets[key].is_source();
        let only_sources = set.iter().all(is_source);
        for key in set.iter().filter(|key| only_sources || !is_source(key)) {
            let expression = spec.partitions.as_ref().or(partition);
            let is_one = engine.planner().domain(key).def().is_unpartitioned();
            let expression = expression.filter(|_| !is_one);
            match one(engine, spec, key, expression) {
                Ok(one) => {
                    found |= one.targets.values().any(|set| !set.is_empty());
                    for (key, set) in one.targets {
                        *wanted.targets.entry(key).or_default() |= set;
                    }
                    wanted.chosen.extend(one.chosen);
                }
                Err((error, true)) => nothing = nothing.or(Some(error)),
                Err((error, false)) => return Err(error),
            }
        }
    }
    match nothing {
        Some(error) if !found => return Err(error),
        Some(_) | None => {}
    }
    if !states.is_empty() {
        // What there is when others have run is in none of these states.
        wanted.chosen.clear();
        for (key, target) in &mut wanted.targets {
            let mut narrow = PartitionSet::new();
            for state in states {
                let found = engine.select(key, state);
                narrow |= found.map_err(|error| CliError::user(format!("`{key}`: {error}")))?;
            }
            *target &= narrow;
        }
    }
    Ok(wanted)
}

/// The partitions of one asset; with an error whether it only says that there are none in the range.
fn one(
    engine: &Engine,
    spec: &Spec,
    key: &AssetKey,
    expression: Option<&Expression>,
) -> Result<Wanted, (CliError, bool)> {
    if let Some(expression) = expression
        && expression.names_nothing(engine, key)
    {
        let error = expression.select(engine, key).map(|_| ()).expect_err("it names nothing");
        return Err((error, true));
    }
    let alone = [BTreeSet::from([key.clone()])];
    let plain = [Spec::of(spec.selection.clone())];
    requested(engine, &plain, &alone, expression).map_err(|error| (error, false))
}
