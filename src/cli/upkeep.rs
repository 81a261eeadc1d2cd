//! What `accept`, `invalidate` and `wipe` have in common: whom they are about, and what they say.

use std::collections::BTreeMap;

use super::Done;
use super::error::CliError;
use super::session::{Session, Workspace};
use super::targets::{Expression, Spec};
use super::text::{self, Length};
use crate::base::AssetKey;
use crate::engine::{Access, Engine, State, Targets, Upkeep};

/// A project with the partitions that a verb is about.
pub(super) struct Chosen<'t> {
    pub workspace: Workspace<'t>,
    pub engine: Engine,
    pub targets: Targets,
}

/// Which partitions of an asset are meant where none are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unnamed {
    Existing,
    /// Also records of those that no longer exist.
    Recorded,
}

/// Opens the project. Sources are meant only if nothing else is.
pub(super) fn choose<'t>(
    selection: &[String],
    partition: Option<&str>,
    unnamed: Unnamed,
    session: Session<'t>,
) -> Result<Chosen<'t>, CliError> {
    let specs = Spec::parse_all(selection)?;
    let partition = partition.map(|text| Expression::parse(text, 0)).transpose()?;
    if partition.is_some() && specs.iter().any(|spec| spec.partitions.is_some()) {
        return Err(CliError::user("partitions are named twice: after `@` and by `--partition`"));
    }
    let mut workspace = session.workspace()?;
    let (engine, sets) = workspace.open(&specs, Access::Write, &[])?;
    let mut targets = BTreeMap::new();
    for (spec, set) in specs.iter().zip(&sets) {
        let is_source = |key: &AssetKey| engine.project().assets[key].is_source();
        let only_sources = set.iter().all(is_source);
        for key in set.iter().filter(|key| only_sources || !is_source(key)) {
            let parts = match spec.partitions.as_ref().or(partition.as_ref()) {
                Some(expression) => expression.select(&engine, key)?,
                None => everything(&engine, key, unnamed)?,
            };
            *targets.entry(key.clone()).or_insert_with(crate::base::PartitionSet::new) |= parts;
        }
    }
    Ok(Chosen { workspace, engine, targets })
}

fn everything(
    engine: &Engine,
    key: &AssetKey,
    unnamed: Unnamed,
) -> Result<crate::base::PartitionSet, CliError> {
    let mut all = engine.planner().domain(key).all().clone();
    if unnamed == Unnamed::Recorded {
        all |= engine.status(key)?.sets.remove(&State::Orphaned).unwrap_or_default();
    }
    Ok(all)
}

/// Says what was done and what was not. `verb` is as in "accepted"; `nothing` is said where there was
/// nothing to do.
pub(super) fn tell(
    workspace: &mut Workspace<'_>,
    engine: &Engine,
    upkeep: &Upkeep,
    verb: &str,
    nothing: &str,
) -> Done {
    let length = Length::of(workspace.term.is_verbose);
    let mut said = String::new();
    for (asset, parts) in &upkeep.done {
        said += &format!("{verb} {}\n", place(engine, asset, parts, length));
    }
    if upkeep.done.is_empty() {
        said += &format!("{nothing}\n");
    }
    workspace.term.print(&said);
    for refused in &upkeep.refused {
        let place = place(engine, &refused.asset, &refused.parts, length);
        workspace.term.warning(&format!("{place}: {}", refused.why));
    }
    if upkeep.refused.is_empty() { Done::Fine } else { Done::Failed }
}

fn place(
    engine: &Engine,
    asset: &AssetKey,
    parts: &crate::base::PartitionSet,
    length: Length,
) -> String {
    let ranges = text::ranges(engine.planner().domain(asset), parts, length);
    if ranges.is_empty() { format!("`{asset}`") } else { format!("`{asset}@{ranges}`") }
}
