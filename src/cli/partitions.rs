//! `giornata partitions`: the keys of an asset with their windows, states and what they read.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;
use clap::builder::PossibleValuesParser;

use super::Done;
use super::error::CliError;
use super::json::{Document, PartitionEntry, PartitionsDocument};
use super::session::{Session, Workspace, with_partitions};
use super::table::{self, Align};
use super::targets::{Spec, only, without_partitions};
use crate::base::{AssetKey, PartitionIdx, PartitionKey};
use crate::defs::Domain;
use crate::defs::selection::STATES;
use crate::engine::{Access, AssetStatus, Engine, KeyChange};

/// List the partitions of an asset with their states; add or remove keys of a set kept by hand
#[derive(Debug, Args)]
pub(super) struct PartitionsArgs {
    /// `ASSET`, or `ASSET@EXPR` for some of them.
    #[arg(value_name = "ASSET")]
    asset: String,
    /// Only those in this state.
    #[arg(long, value_parser = PossibleValuesParser::new(STATES))]
    state: Option<String>,
    /// Add a key to the set `{dynamic: NAME}` that its partitions are.
    #[arg(long, value_name = "KEY", conflicts_with_all = ["state", "upstream", "json"])]
    add: Vec<String>,
    /// Remove a key from that set; its results stay and are orphaned.
    #[arg(long, value_name = "KEY", conflicts_with_all = ["state", "upstream", "json"])]
    remove: Vec<String>,
    /// Also which upstream partitions each reads.
    #[arg(long)]
    upstream: bool,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &PartitionsArgs, session: Session<'_>) -> Result<Done, CliError> {
    let mut workspace = session.workspace()?;
    let spec = [Spec::parse(&args.asset)?];
    if !args.add.is_empty() || !args.remove.is_empty() {
        return change(args, &spec, &mut workspace);
    }
    let (mut engine, sets) = workspace.open(&spec, Access::Read, &[])?;
    let key = with_partitions(engine.project(), only(&spec[0], &sets[0])?);
    workspace.refresh(&mut engine, BTreeSet::from([key.clone()]))?;
    let domain = engine.planner().domain(&key);
    let chosen = match &spec[0].partitions {
        Some(expression) => expression.select(&engine, &key)?,
        None => domain.all().clone(),
    };
    let status = engine.status(&key)?;
    let mut partitions = Vec::new();
    for part in domain.ordered().into_iter().filter(|part| chosen.contains(*part)) {
        let entry = entry(&engine, domain, &status, part, args.upstream);
        if args.state.as_ref().is_none_or(|state| state == entry.state) {
            partitions.push(entry);
        }
    }
    let output = if args.json {
        Document::text(PartitionsDocument { asset: key, partitions })
    } else {
        render(partitions)
    };
    workspace.term.print(&output);
    Ok(Done::Fine)
}

/// Adds and removes keys, and says what was so already.
fn change(
    args: &PartitionsArgs,
    spec: &[Spec; 1],
    workspace: &mut Workspace<'_>,
) -> Result<Done, CliError> {
    without_partitions(spec)?;
    let (mut engine, sets) = workspace.open(spec, Access::Write, &[])?;
    let key = only(&spec[0], &sets[0])?;
    if args.add.iter().any(String::is_empty) {
        let error = CliError::user("an empty text is no partition key");
        return Err(error.hint("`--add KEY` wants the text that names the partition"));
    }
    let kinds = [
        (KeyChange::Add, &args.add, "added", "was there already"),
        (KeyChange::Remove, &args.remove, "removed", "was not there"),
    ];
    let mut text = String::new();
    for (change, names, done, idle) in kinds {
        if names.is_empty() {
            continue;
        }
        let keys: Vec<PartitionKey> =
            names.iter().map(|name| PartitionKey::new(name.as_str())).collect();
        let left = engine.change_keys(&key, change, &keys)?;
        for name in &keys {
            let what = if left.contains(name) { idle } else { done };
            text += &format!("`{name}` {what}\n");
        }
    }
    workspace.term.print(&text);
    Ok(Done::Fine)
}

fn entry(
    engine: &Engine,
    domain: &Domain,
    status: &AssetStatus,
    part: PartitionIdx,
    with_upstream: bool,
) -> PartitionEntry {
    let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let window = domain.window(part);
    let state = status.sets.iter().find(|(_, set)| set.contains(part));
    PartitionEntry {
        key: domain.key(part).map(|key| key.to_string()).unwrap_or_default(),
        start: window.map(|window| time(window.start)),
        end: window.map(|window| time(window.end)),
        state: state.map_or("missing", |(state, _)| state.as_str()),
        upstream: with_upstream.then(|| upstream(engine, &status.asset, part)),
    }
}

fn upstream(
    engine: &Engine,
    asset: &AssetKey,
    part: PartitionIdx,
) -> BTreeMap<AssetKey, Vec<String>> {
    let edges = engine.planner().edges(asset).iter();
    let reads = edges.map(|edge| {
        let set = edge.mapping.upstream_of_one(part);
        (edge.upstream.clone(), engine.planner().domain(&edge.upstream).render(&set))
    });
    reads.collect()
}

fn render(partitions: Vec<PartitionEntry>) -> String {
    let has_windows = partitions.iter().any(|entry| entry.start.is_some());
    let has_upstream = partitions.iter().any(|entry| entry.upstream.is_some());
    let mut columns = vec![("PARTITION", Align::Left)];
    if has_windows {
        columns.extend([("START", Align::Left), ("END", Align::Left)]);
    }
    columns.push(("STATE", Align::Left));
    if has_upstream {
        columns.push(("READS", Align::Left));
    }
    let row = |entry: PartitionEntry| {
        let mut row = vec![entry.key];
        if has_windows {
            row.extend([entry.start.unwrap_or_default(), entry.end.unwrap_or_default()]);
        }
        row.push(entry.state.to_owned());
        let reads = entry.upstream.into_iter().flatten();
        let reads = reads.map(|(asset, ranges)| match ranges.as_slice() {
            [] => format!("{asset}: nothing"),
            [one] if one.is_empty() => asset.to_string(),
            _ => format!("{asset}: {}", ranges.join(", ")),
        });
        if has_upstream {
            row.push(reads.collect::<Vec<_>>().join("; "));
        }
        row
    };
    table::render(&columns, partitions.into_iter().map(row).collect())
}
