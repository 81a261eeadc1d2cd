//! `giornata show`: one asset as declared, its partitions by state, and the result of one of them; or
//! one job.

use std::collections::{BTreeMap, BTreeSet};

use chrono::SecondsFormat;
use clap::Args;

use super::error::CliError;
use super::json::{
    Definition, Document, JobDocument, ResultEntry, SeriesDocument, SeriesPoint, ShowDocument,
    StatusEntry,
};
use super::session::{Session, Workspace};
use super::table::{self, Align};
use super::targets::{Spec, one_partition, only, some_partitions};
use super::text::{self, Length};
use super::{Done, job};
use crate::base::{AssetKey, PartitionIdx, PartitionSet};
use crate::defs::{Asset, Body, Check, Job, Missing, Severity, Work};
use crate::engine::{Access, AssetStatus, Engine, ResultInfo, ResultMark, State};

/// Show an asset, the result of one of its partitions, or a job
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// `ASSET` or `ASSET@PARTITION`, or the name of a job.
    #[arg(value_name = "ASSET[@PARTITION]|JOB", required_unless_present = "job")]
    asset: Option<String>,
    /// This job, even if an asset has the name as well.
    #[arg(long, value_name = "JOB", conflicts_with_all = ["asset", "meta"])]
    job: Option<String>,
    /// One value of the metadata over all partitions: `rows`, or what the step reports.
    #[arg(long, value_name = "NAME")]
    meta: Option<String>,
    /// How many seconds it took to make each partition, over all partitions.
    #[arg(long, conflicts_with_all = ["meta", "job"])]
    times: bool,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ShowArgs, session: Session<'_>) -> Result<Done, CliError> {
    let mut workspace = session.workspace()?;
    if let Some(job) = job::named(&mut workspace, args.job.as_deref(), args.asset.as_slice())? {
        return show_job(&mut workspace, &job, args.json);
    }
    let spec = [Spec::parse(args.asset.as_deref().unwrap_or_default())?];
    let (engine, sets) = workspace.open(&spec, Access::Read, &[])?;
    let key = only(&spec[0], &sets[0])?;
    if let Some(name) = &args.meta {
        let chosen = some_partitions(&engine, &key, spec[0].partitions.as_ref())?;
        let series = series(&engine, &key, name, &chosen)?;
        let output = if args.json { Document::text(series) } else { render_series(series) };
        workspace.term.print(&output);
        return Ok(Done::Fine);
    }
    if args.times {
        let chosen = some_partitions(&engine, &key, spec[0].partitions.as_ref())?;
        let series = times(&engine, &key, &chosen)?;
        let output = if args.json { Document::text(series) } else { render_series(series) };
        workspace.term.print(&output);
        return Ok(Done::Fine);
    }
    let part = one_partition(&engine, &key, spec[0].partitions.as_ref())?;
    let asset = &engine.project().assets[&key];
    let status = engine.status(&key)?;
    let domain = engine.planner().domain(&key);
    let result = part.map(|part| engine.result(&key, part)).transpose()?;
    if args.json {
        let document = ShowDocument {
            definition: Definition::new(asset),
            status: StatusEntry::new(domain, &status),
            read_by: readers(&engine, &key),
            partition: part.and_then(|part| domain.key(part)).map(|key| key.to_string()),
            result: result.as_ref().map(ResultEntry::new),
        };
        workspace.term.print(&Document::text(document));
        return Ok(Done::Fine);
    }
    let length = Length::of(workspace.term.is_verbose);
    let mut lines = definition(asset);
    let names: Vec<String> = readers(&engine, &key).iter().map(AssetKey::to_string).collect();
    if !names.is_empty() {
        lines.push(("read by", names.join(", ")));
    }
    match (part, result) {
        (Some(part), Some(result)) => lines.extend(partition(&engine, &status, part, &result)),
        (_, _) => {
            for state in State::ALL {
                if let Some(set) = status.sets.get(&state).filter(|set| !set.is_empty()) {
                    let ranges = text::ranges(domain, set, length);
                    lines.push((state.as_str(), format!("{}: {ranges}", set.len())));
                }
            }
        }
    }
    workspace.term.print(&render(asset, &lines));
    Ok(Done::Fine)
}

fn show_job(workspace: &mut Workspace<'_>, shown: &Job, json: bool) -> Result<Done, CliError> {
    let output = if json {
        Document::text(JobDocument::new(shown))
    } else {
        let assets = match &shown.work {
            Work::Select(selection) => {
                selection.select(&workspace.project, &|_| BTreeSet::new()).ok()
            }
            Work::Flow(_) => None,
        };
        job::render(shown, assets.map(|assets| assets.len()))
    };
    workspace.term.print(&output);
    Ok(Done::Fine)
}

/// How long it took to make each partition the last time, in the order of partitions.
fn times(
    engine: &Engine,
    key: &AssetKey,
    chosen: &PartitionSet,
) -> Result<SeriesDocument, CliError> {
    let seconds: BTreeMap<PartitionIdx, f64> =
        engine.durations(key)?.into_iter().map(|(part, ms)| (part, ms as f64 / 1000.0)).collect();
    let domain = engine.planner().domain(key);
    let point = |part: PartitionIdx| {
        let partition = domain.key(part).map(|key| key.to_string()).unwrap_or_default();
        Some(SeriesPoint { partition, value: (*seconds.get(&part)?).into() })
    };
    let parts = domain.ordered().into_iter().filter(|part| chosen.contains(*part));
    let points: Vec<SeriesPoint> = parts.filter_map(point).collect();
    if points.is_empty() {
        let error =
            CliError::user(format!("nothing of `{key}` was made in a run that is recorded"));
        return Err(error.hint("`giornata materialize` makes it"));
    }
    Ok(SeriesDocument { asset: key.clone(), name: "seconds".to_owned(), points })
}

/// One value of the metadata by partition, in the order of partitions.
fn series(
    engine: &Engine,
    key: &AssetKey,
    name: &str,
    chosen: &PartitionSet,
) -> Result<SeriesDocument, CliError> {
    let facts = engine.facts(key)?;
    let known: BTreeSet<&String> = facts.iter().flat_map(|fact| fact.metadata.keys()).collect();
    if !known.contains(&name.to_owned()) {
        let error = CliError::user(format!("no result of `{key}` has a value `{name}`"));
        let names: Vec<String> = known.into_iter().map(|name| format!("`{name}`")).collect();
        return Err(match names.is_empty() {
            true => error.hint("a step reports values as JSON lines in $GIORNATA_METADATA"),
            false => error.hint(format!("there are {}", names.join(", "))),
        });
    }
    let domain = engine.planner().domain(key);
    let values: BTreeMap<PartitionIdx, &serde_json::Value> =
        facts.iter().filter_map(|fact| Some((fact.part, fact.metadata.get(name)?))).collect();
    let point = |part: PartitionIdx| {
        let partition = domain.key(part).map(|key| key.to_string()).unwrap_or_default();
        Some(SeriesPoint { partition, value: (*values.get(&part)?).clone() })
    };
    let parts = domain.ordered().into_iter().filter(|part| chosen.contains(*part));
    Ok(SeriesDocument {
        asset: key.clone(),
        name: name.to_owned(),
        points: parts.filter_map(point).collect(),
    })
}

fn render_series(series: SeriesDocument) -> String {
    let heading = series.name.to_uppercase();
    let columns = [("PARTITION", Align::Left), (heading.as_str(), Align::Right)];
    let row = |point: SeriesPoint| vec![point.partition, plain(&point.value)];
    table::render(&columns, series.points.into_iter().map(row).collect())
}

fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn readers(engine: &Engine, key: &AssetKey) -> Vec<AssetKey> {
    let reads = |asset: &&std::sync::Arc<Asset>| asset.deps.iter().any(|dep| dep.upstream == *key);
    engine.project().assets.values().filter(reads).map(|asset| asset.key.clone()).collect()
}

type Line = (&'static str, String);

fn definition(asset: &Asset) -> Vec<Line> {
    let file = format!("{}:{}", asset.origin.file.display(), asset.origin.line);
    let mut lines = match &asset.body {
        Body::Source(source) => vec![("source", text::source(source))],
        Body::Sql(_) | Body::Command(_) | Body::Function(_) | Body::Graph(_) => {
            vec![
                ("made by", text::body(&asset.body).to_owned()),
                ("result", text::output(&asset.output)),
            ]
        }
    };
    lines.push(("declared in", file));
    lines.push(("partitions", text::partitions(asset)));
    for dep in &asset.deps {
        let missing = match dep.missing {
            Missing::Error => "",
            Missing::Allow => ", missing ones allowed",
        };
        lines.push(("reads", format!("{} ({}{missing})", dep.upstream, dep.mapping)));
    }
    let mut add = |name, values: Vec<String>| {
        if !values.is_empty() {
            lines.push((name, values.join(", ")));
        }
    };
    let with: Vec<String> = asset.made_with().map(AssetKey::to_string).collect();
    let step =
        asset.shared.iter().map(|shared| format!("{} (step `{}`)", with.join(", "), shared.name));
    add("made with", step.collect());
    let batch = asset.policy.batch.map(|batch| format!("up to {batch} partitions by one step"));
    add("batch", batch.into_iter().collect());
    add("inputs", asset.inputs.clone());
    add("config", asset.config.iter().map(|(name, value)| format!("{name} = {value}")).collect());
    add("environment", asset.env.iter().cloned().collect());
    add("checks", asset.checks.iter().map(check).collect());
    add("export", asset.export.iter().cloned().collect());
    add("group", asset.group.iter().cloned().collect());
    add("owners", asset.owners.clone());
    add("tags", asset.tags.iter().map(|(name, value)| format!("{name}={value}")).collect());
    lines
}

/// The test as it is written, and what happens where that is not the usual.
fn check(check: &Check) -> String {
    let name = &check.name;
    match check.severity {
        Severity::Blocking => name.clone(),
        Severity::Warn | Severity::Error => format!("{name} ({})", check.severity.as_str()),
    }
}

fn partition(
    engine: &Engine,
    status: &AssetStatus,
    part: PartitionIdx,
    result: &ResultInfo,
) -> Vec<Line> {
    let mut lines = Vec::new();
    let domain = engine.planner().domain(&status.asset);
    if let Some(key) = domain.key(part).filter(|key| !key.is_unpartitioned()) {
        lines.push(("partition", key.to_string()));
    }
    if let Some(window) = domain.window(part) {
        let time =
            |at: chrono::DateTime<chrono::Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
        lines.push(("window", format!("{} to {}", time(window.start), time(window.end))));
    }
    let state = status.sets.iter().find(|(_, set)| set.contains(part));
    lines.extend(state.map(|(state, _)| ("state", state.as_str().to_owned())));
    let time = |at: &chrono::DateTime<chrono::Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    lines.extend(result.failure.iter().map(|reason| ("failure", reason.clone())));
    lines.extend(result.failed_at.iter().map(|at| ("failed at", time(at))));
    if let Some(output) = &result.output {
        lines.push(("size", text::size(output.size)));
        lines.push(("digest", output.digest.to_string()));
    }
    let how = match result.made_by {
        made_by if made_by == result.run => String::new(),
        Some(made_by) => format!(" (restored; made by run {made_by})"),
        None => " (restored, or its attempt is not recorded any more)".to_owned(),
    };
    lines.extend(result.run.map(|run| ("run", format!("{run}{how}"))));
    lines.extend(result.made_at.iter().map(|at| ("made at", time(at))));
    let took = result.duration_ms.map(std::time::Duration::from_millis);
    lines.extend(took.map(|took| ("took", text::duration(took))));
    lines.extend(result.marks.iter().map(|mark| ("mark", mark_text(*mark).to_owned())));
    for check in &result.checks {
        let found = match (&check.found, check.severity.as_str()) {
            (None, _) => "passed".to_owned(),
            (Some(found), "warn") => format!("warned ({found})"),
            (Some(found), _) => format!("failed ({found})"),
        };
        lines.push(("check", format!("{}: {found}", check.name)));
    }
    for (name, value) in &result.metadata {
        lines.push(("metadata", format!("{name} = {value}")));
    }
    lines.extend(result.log.iter().map(|path| ("log", path.display().to_string())));
    lines
}

fn mark_text(mark: ResultMark) -> &'static str {
    match mark {
        ResultMark::Invalidated => "invalidated by hand",
        ResultMark::Accepted => "accepted as fresh by hand",
        ResultMark::Nondeterministic => {
            "not deterministic: another run from the same inputs gave another result"
        }
    }
}

fn render(asset: &Asset, lines: &[Line]) -> String {
    let mut text = format!("{}\n", asset.key);
    if let Some(description) = &asset.description {
        text += &format!("  {description}\n");
    }
    text.push('\n');
    for (name, value) in lines {
        text += format!("{name:<12} {value}").trim_end();
        text.push('\n');
    }
    text
}
