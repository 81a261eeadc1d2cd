//! `giornata list`: what is declared, from the files alone.

use std::collections::BTreeSet;

use clap::Args;

use super::error::CliError;
use super::json::{Definition, Document, ListDocument};
use super::session::Session;
use super::table::{self, Align};
use super::targets::{Spec, without_partitions};
use super::{Done, text};
use crate::defs::Asset;
use crate::engine::Access;

/// List assets and sources
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Which ones; all if not given.
    #[arg(value_name = "SELECTION")]
    selection: Vec<String>,
    /// Only of this kind: `source`, `sql`, `command` or a kind that is declared.
    #[arg(long)]
    kind: Option<String>,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ListArgs, session: Session<'_>) -> Result<Done, CliError> {
    let mut workspace = session.workspace()?;
    let specs = Spec::parse_or_all(&args.selection)?;
    without_partitions(&specs)?;
    let no_assets = workspace.project.assets.is_empty() && args.selection.is_empty();
    let sets = if no_assets {
        Vec::new()
    } else if specs.iter().any(|spec| spec.selection.asks_for_status()) {
        workspace.open(&specs, Access::Read, &[])?.1
    } else {
        workspace.select(&specs, None)?
    };
    workspace.mention_broken();
    let keys: BTreeSet<_> = sets.into_iter().flatten().collect();
    let is_kind = |asset: &&Asset| match &args.kind {
        Some(kind) => text::body(&asset.body) == kind || asset.kinds.contains(kind),
        None => true,
    };
    let assets: Vec<&Asset> =
        keys.iter().map(|key| &*workspace.project.assets[key]).filter(is_kind).collect();
    let output = if args.json {
        Document::text(ListDocument { assets: assets.into_iter().map(Definition::new).collect() })
    } else {
        render(&assets)
    };
    workspace.term.print(&output);
    Ok(Done::Fine)
}

fn render(assets: &[&Asset]) -> String {
    let row = |asset: &&Asset| {
        vec![
            asset.key.to_string(),
            text::body(&asset.body).to_owned(),
            text::partitions(asset),
            asset.description.clone().unwrap_or_default(),
        ]
    };
    let columns = [
        ("ASSET", Align::Left),
        ("KIND", Align::Left),
        ("PARTITIONS", Align::Left),
        ("", Align::Left),
    ];
    table::render(&columns, assets.iter().map(row).collect())
}
