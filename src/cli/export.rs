//! `giornata export`: current results at paths of the user's, many at once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;

use super::Done;
use super::error::CliError;
use super::json::{Document, ExportDocument, ExportEntry};
use super::session::{Session, Workspace};
use super::targets::{Expression, Spec, requested};
use super::text::{self, Length};
use crate::base::{AssetKey, PartitionIdx, PartitionSet};
use crate::engine::{self, Access, Engine, State};

/// Write results to paths of your own
///
/// `--to "out/{asset}/{partition}.csv"` writes each result to a path of its own. Files that are there
/// are replaced, each whole or not at all; a directory is not. Nothing is made: what is stale is
/// written as it is, with a warning.
#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// Which assets, each with `@EXPR` if only some partitions are meant.
    #[arg(value_name = "SELECTION", required = true)]
    selection: Vec<String>,
    /// Which partitions, of assets that say none themselves.
    #[arg(short, long, value_name = "EXPR")]
    partition: Option<String>,
    /// The path, with `{asset}` and `{partition}`, relative to where you are.
    #[arg(long, value_name = "PATH")]
    to: String,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

/// A result and where it goes.
struct Item {
    asset: AssetKey,
    part: PartitionIdx,
    partition: String,
    path: PathBuf,
}

pub(super) fn run(args: &ExportArgs, session: Session<'_>) -> Result<Done, CliError> {
    check_template(&args.to)?;
    let directory = session.directory()?;
    let mut workspace = session.workspace()?;
    let specs = Spec::parse_all(&args.selection)?;
    let partition = args.partition.as_deref().map(|text| Expression::parse(text, 0)).transpose()?;
    let (engine, sets) = workspace.open(&specs, Access::Read, &[])?;
    let targets = requested(&engine, &specs, &sets, partition.as_ref())?.targets;
    if let Some(source) = targets.keys().find(|key| engine.project().assets[*key].is_source()) {
        let error = CliError::user(format!("`{source}` is a source: its data is there already"));
        return Err(error.hint(format!("`giornata path {source}` says where")));
    }
    let (items, lacking) = items(&engine, &targets, &args.to)?;
    check_paths(&items, &directory, &args.to)?;
    for item in &items {
        engine.export_to(&item.asset, item.part, &directory.join(&item.path))?;
    }
    warn(&mut workspace, &engine, &targets, &lacking)?;
    let output = if args.json {
        let entry = |item: &Item| ExportEntry {
            asset: item.asset.clone(),
            partition: item.partition.clone(),
            path: item.path.display().to_string(),
        };
        Document::text(ExportDocument { exported: items.iter().map(entry).collect() })
    } else {
        items.iter().map(|item| format!("{}\n", item.path.display())).collect()
    };
    workspace.term.print(&output);
    workspace.term.flush();
    workspace.term.talk(&format!("wrote {}\n", text::count(items.len() as u64, "result")));
    Ok(Done::Fine)
}

fn check_template(template: &str) -> Result<(), CliError> {
    let rest = template.replace("{asset}", "").replace("{partition}", "");
    if rest.contains(['{', '}']) {
        let error = CliError::user(format!("`{template}` has something else in braces"));
        return Err(error.hint("`--to` knows `{asset}` and `{partition}`"));
    }
    if template.is_empty() {
        return Err(CliError::user("`--to` needs a path"));
    }
    Ok(())
}

/// The results that there are, and the partitions that have none.
fn items(
    engine: &Engine,
    targets: &BTreeMap<AssetKey, PartitionSet>,
    template: &str,
) -> Result<(Vec<Item>, BTreeMap<AssetKey, PartitionSet>), CliError> {
    let (mut items, mut lacking) = (Vec::new(), BTreeMap::<AssetKey, PartitionSet>::new());
    for (asset, wanted) in targets {
        let domain = engine.planner().domain(asset);
        for part in domain.ordered().into_iter().filter(|part| wanted.contains(*part)) {
            let Some(partition) = domain.key(part) else { continue };
            if engine.result(asset, part)?.output.is_none() {
                lacking.entry(asset.clone()).or_default().insert(part);
                continue;
            }
            let path =
                engine::export_path(&template.replace("{asset}", asset.as_str()), &partition);
            items.push(Item { asset: asset.clone(), part, partition: partition.to_string(), path });
        }
    }
    if let (true, Some((asset, parts))) = (items.is_empty(), lacking.iter().next()) {
        let count = text::count(lacking.values().map(PartitionSet::len).sum(), "partition");
        let part = parts.min().and_then(|part| engine.planner().domain(asset).key(part));
        let address = part.map_or_else(|| asset.to_string(), |part| text::address(asset, &part));
        let error = CliError::user(format!("there is no result in {count}"));
        return Err(error.hint(format!("`giornata why {address}` says what it lacks")));
    }
    if items.is_empty() {
        return Err(CliError::user("the selection has no partitions"));
    }
    Ok((items, lacking))
}

/// Each result needs a path of its own, and no directory is replaced: nobody can know what is in it.
fn check_paths(items: &[Item], directory: &Path, template: &str) -> Result<(), CliError> {
    let mut seen: BTreeMap<&Path, &Item> = BTreeMap::new();
    for item in items {
        let Some(first) = seen.insert(&item.path, item) else { continue };
        let missing = if first.asset == item.asset { "{partition}" } else { "{asset}" };
        let path = item.path.display();
        let error = CliError::user(format!("several results would be written to `{path}`"));
        return Err(error.hint(format!("put `{missing}` into `{template}`")));
    }
    match items.iter().find(|item| directory.join(&item.path).is_dir()) {
        Some(item) => {
            let error = CliError::user(format!("`{}` is a directory", item.path.display()));
            Err(error.hint("nothing was written; name a path that is free"))
        }
        None => Ok(()),
    }
}

fn warn(
    workspace: &mut Workspace<'_>,
    engine: &Engine,
    targets: &BTreeMap<AssetKey, PartitionSet>,
    lacking: &BTreeMap<AssetKey, PartitionSet>,
) -> Result<(), CliError> {
    let none = PartitionSet::new();
    for (asset, wanted) in targets {
        let lacking = lacking.get(asset).unwrap_or(&none);
        let status = engine.status(asset)?;
        let fresh = status.sets.get(&State::Fresh).unwrap_or(&none);
        let stale = &(wanted - fresh) - lacking;
        for (set, what) in [(&stale, "not fresh"), (lacking, "without a result")] {
            if set.is_empty() {
                continue;
            }
            let length = Length::of(workspace.term.is_verbose);
            let ranges = text::ranges(engine.planner().domain(asset), set, length);
            let ranges = if ranges.is_empty() { ranges } else { format!(": {ranges}") };
            let parts = text::count(set.len(), "partition");
            workspace.term.warning(&format!("{parts} of `{asset}` {what}{ranges}"));
        }
    }
    Ok(())
}
