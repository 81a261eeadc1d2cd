//! From a recorded request to a run: what it is about, and everything because of which it cannot be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::super::job::Launch;
use super::super::open::{Engine, SetValue};
use crate::base::{AssetKey, JobName, PartitionKey, PartitionSet, RunId, Wanted, error_text};
use crate::defs::config::{Config, Env};
use crate::defs::partition::{PartitionExpr, PartitionTextError};
use crate::defs::template::At;
use crate::defs::{Domain, Job, Selection, Work};
use crate::plan::{Reach, Request};
use crate::store::{LaunchInfo, Queued, RunState};

/// A run that can begin.
pub(super) enum Ready {
    Assets { request: Request, launch: LaunchInfo },
    Job(Launch),
}

/// Which partitions are meant, and of which moment.
#[derive(Clone, Copy)]
struct Which<'a> {
    text: &'a str,
    as_of: Option<DateTime<Utc>>,
    back: u32,
}

impl<'a> Which<'a> {
    fn of(text: &'a str, queued: &Queued) -> Which<'a> {
        let (as_of, back) = (queued.request.as_of, queued.request.back);
        Which { text, as_of, back }
    }
}

/// Configured values of assets that a request replaces: they have to be there before the engine is open.
pub(super) fn settings(engine: &Engine, wanted: &Wanted) -> Result<Vec<SetValue>, String> {
    let Wanted::Job { job, config, .. } = wanted else { return Ok(Vec::new()) };
    let job = find(engine, job)?;
    let Work::Select(selection) = &job.work else { return Ok(Vec::new()) };
    let config = configured(engine, &job, config)?;
    let assets = select(engine, selection)?;
    let read = job.readable(&engine.project, &assets);
    let mut settings = Vec::new();
    for (name, value) in config.value.as_object().into_iter().flatten() {
        if !read.contains(name) {
            continue;
        }
        if config.withheld.iter().any(|it| it.is_of(name)) {
            return Err(format!(
                "`{name}` is secret or comes from the environment, and a configured value of an asset is \
                 recorded in the clear; name the variable under `env` of the assets that need it"
            ));
        }
        settings.push((None, name.clone(), value.clone()));
    }
    Ok(settings)
}

/// Looks at what requests need, and says what is to be run; several are about the same assets.
pub(super) fn prepare(engine: &mut Engine, group: &[Queued]) -> Result<Ready, String> {
    let queued = group.first().ok_or("nothing is requested")?;
    let tags = &queued.request.tags;
    match &queued.request.what {
        Wanted::Assets { select: text, .. } => {
            let selection = Selection::parse(text).map_err(|error| error.to_string())?;
            let launch = LaunchInfo {
                tags: tags.clone(),
                request: Some(queued.id),
                ..LaunchInfo::default()
            };
            let mut partitions = Vec::new();
            for queued in group {
                if let Wanted::Assets { partition, .. } = &queued.request.what {
                    partitions.push(partition.as_deref().map(|text| Which::of(text, queued)));
                }
            }
            let request = assets(engine, &selection, &partitions)?;
            Ok(Ready::Assets { request, launch })
        }
        Wanted::Job { job, config, partition } => {
            let job = find(engine, job)?;
            match &job.work {
                Work::Select(selection) => {
                    let config = configured(engine, &job, config)?;
                    let launch = LaunchInfo {
                        job: Some(job.name.to_string()),
                        tags: merged(&job.tags, tags),
                        config: config.masked(),
                        request: Some(queued.id),
                        ..LaunchInfo::default()
                    };
                    let which = partition.as_deref().map(|text| Which::of(text, queued));
                    let request = assets(engine, selection, &[which])?;
                    Ok(Ready::Assets { request, launch })
                }
                Work::Flow(_) => {
                    let which = partition.as_deref().map(|text| Which::of(text, queued));
                    let (job, partition) = at_partition(engine, &job, which)?;
                    Ok(Ready::Job(Launch {
                        config: configured(engine, &job, config)?,
                        job: job.name.clone(),
                        partition,
                        ops: None,
                        retry_of: retried(engine, queued.run)?,
                        tags: tags.clone(),
                        request: Some(queued.id),
                        backfill: None,
                    }))
                }
            }
        }
    }
}

fn merged(
    declared: &BTreeMap<String, String>,
    given: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut tags = declared.clone();
    tags.extend(given.clone());
    tags
}

/// The run that was interrupted, if it can be gone on with.
fn retried(engine: &Engine, run: Option<RunId>) -> Result<Option<RunId>, String> {
    let Some(run) = run else { return Ok(None) };
    let found = engine.ledger.ask(|store| store.run(run)).map_err(|error| error_text(&error))?;
    let open = |state: RunState| matches!(state, RunState::Interrupted | RunState::Cancelled);
    Ok(found.filter(|run| open(run.state)).map(|run| run.id))
}

fn find(engine: &Engine, name: &JobName) -> Result<Arc<Job>, String> {
    let job = engine.project.jobs.get(name).cloned();
    job.ok_or_else(|| format!("there is no sound job `{name}`"))
}

fn select(engine: &Engine, selection: &Selection) -> Result<BTreeSet<AssetKey>, String> {
    let found = selection.select(&engine.project, &|_| BTreeSet::new());
    found.map_err(|error| format!("`{}`: {error}", selection.as_str()))
}

fn configured(engine: &Engine, job: &Job, given: &serde_json::Value) -> Result<Config, String> {
    let mut layers = job.layers(None).unwrap_or_default();
    if !given.is_null() {
        layers.push("the request".to_owned(), given.clone());
    }
    let env = engine.env.clone();
    let variable = |name: &str| {
        let found = env.iter().rev().find(|(key, _)| key == name);
        found.map(|(_, value)| value.to_string_lossy().into_owned())
    };
    job.configure(&layers, Env::Resolve(&variable)).map_err(|errors| {
        let lines: Vec<String> = errors.0.iter().map(ToString::to_string).collect();
        format!("the configuration of job `{}` is not right: {}", job.name, lines.join("; "))
    })
}

/// The assets of a selection, sources aside, with the partitions that a text names.
fn assets(
    engine: &mut Engine,
    selection: &Selection,
    partitions: &[Option<Which<'_>>],
) -> Result<Request, String> {
    let mut chosen = select(engine, selection)?;
    let is_source = |key: &AssetKey| engine.project.assets[key].is_source();
    if !chosen.iter().all(is_source) {
        chosen.retain(|key| !engine.project.assets[key].is_source());
    }
    let looked: Vec<AssetKey> = chosen.iter().cloned().collect();
    engine.refresh(&looked).map_err(|error| error_text(&error))?;
    let mut targets = BTreeMap::new();
    for key in chosen {
        let domain = engine.planner.domain(&key);
        // An asset that has none goes with any.
        let mut set = PartitionSet::new();
        if domain.def().is_unpartitioned() || partitions.iter().any(Option::is_none) {
            set = domain.all().clone();
        } else {
            for which in partitions.iter().flatten() {
                set |= named(engine, &key, *which)?;
            }
        }
        targets.insert(key, set);
    }
    if let (true, Some(Some(which))) =
        (targets.values().all(PartitionSet::is_empty), partitions.first())
    {
        let text = which.text;
        return Err(format!("`{text}` names no partition of `{}`", selection.as_str()));
    }
    Ok(Request { targets, chosen: BTreeMap::new(), reach: Reach::Upstream, force: false })
}

/// What a text names: the partition with this very key, else what it says as an expression, of those that
/// exist and existed at the moment that is meant.
fn named(engine: &mut Engine, key: &AssetKey, which: Which<'_>) -> Result<PartitionSet, String> {
    if let Some(part) = engine.planner.domain(key).index(which.text) {
        return Ok([part].into_iter().collect());
    }
    let wrong = |error: PartitionTextError| format!("`{key}`: {error}");
    let expr = PartitionExpr::parse(which.text).map_err(wrong)?;
    let now = engine.planner.now();
    engine.planner.set_now(which.as_of.unwrap_or(now));
    let set = match which.back {
        0 => engine.planner.select(key, &expr).map_err(wrong),
        back => Ok(engine.planner.domain(key).back_from_last(back)),
    };
    engine.planner.set_now(now);
    Ok(set? & engine.planner.domain(key).all())
}

fn at_partition(
    engine: &mut Engine,
    job: &Arc<Job>,
    partition: Option<Which<'_>>,
) -> Result<(Arc<Job>, Option<PartitionKey>), String> {
    let name = &job.name;
    let which = match (job.partitions.is_unpartitioned(), partition) {
        (true, None) => return Ok((job.clone(), None)),
        (true, Some(_)) => return Err(format!("job `{name}` has no partitions")),
        (false, None) => return Err(format!("job `{name}` runs for one partition at a time")),
        (false, Some(which)) => which,
    };
    let sources: Vec<AssetKey> = job.partitions.sources().into_iter().collect();
    engine.refresh(&sources).map_err(|error| error_text(&error))?;
    let domain = engine.job_domain(job).map_err(|error| error_text(&error))?;
    let index = match domain.index(which.text) {
        Some(index) => index,
        None => one_of(engine, job, &domain, which)
            .map_err(|problem| format!("job `{name}`: {problem}"))?,
    };
    let Some(at) = At::of(&domain, index) else { return Ok((job.clone(), None)) };
    let job = job.at(&at).map_err(|mistakes| {
        let lines: Vec<String> =
            mistakes.iter().map(|(path, error)| format!("`{path}`: {error}")).collect();
        format!("the values of job `{name}` cannot be filled in: {}", lines.join("; "))
    })?;
    Ok((Arc::new(job), domain.key(index)))
}

fn one_of(engine: &Engine, job: &Job, now: &Domain, which: Which<'_>) -> Result<u32, String> {
    let wrong = |error: PartitionTextError| error.to_string();
    let domain = match which.as_of {
        None => now.clone(),
        Some(at) => engine.job_domain_at(job, at).map_err(|error| error_text(&error))?,
    };
    let expr = PartitionExpr::parse(which.text).map_err(wrong)?;
    let set = match which.back {
        0 => expr.select(&domain, &|_| PartitionSet::new()).map_err(wrong)?,
        back => domain.back_from_last(back),
    };
    let first = set.min().filter(|_| set.len() == 1);
    let (text, count) = (which.text, set.len());
    first.ok_or_else(|| format!("`{text}` names {count} partitions, and a run is for one"))
}
