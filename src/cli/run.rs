//! `giornata run`: launches a job with its configuration.

use std::collections::BTreeMap;

use clap::Args;

use super::Done;
use super::config::{Given, configured};
use super::error::CliError;
use super::job::find;
use super::materialize::{HowArgs, carry_out};
use super::plan;
use super::run_ops;
use super::session::{Session, Workspace};
use super::targets::{Expression, Spec, requested};
use super::values;
use crate::defs::config::Config;
use crate::defs::{Job, Selection, Work};
use crate::engine::{Access, LaunchInfo, SetValue};
use crate::plan::{Reach, Request};

/// Launch a job with its configuration
///
/// A job that selects assets brings them up to date. The ops of a job that is made of such all run; what
/// they hand to each other is gone afterwards, unless one of them fails: then `--retry` takes it over.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// Which job; `giornata list` names them.
    #[arg(value_name = "JOB")]
    pub job: Option<String>,
    #[command(flatten)]
    pub given: Given,
    /// Which partitions: `2014-07`, `2014-01..2014-03`, `latest`, `missing`; all if not given. Of a job of
    /// ops, which one.
    #[arg(short, long, value_name = "EXPR")]
    pub partition: Option<String>,
    /// Of a job of ops: only these: `fit`, `+fit`, `2+fit`, `load+ or check`.
    #[arg(long, value_name = "OPS")]
    pub op_select: Option<String>,
    /// Of a job of ops: take over what this run of it has made, and run the rest.
    #[arg(long, value_name = "RUN")]
    pub retry: Option<u64>,
    /// Run what it selects whatever its state.
    #[arg(long)]
    pub force: bool,
    /// Say what would be done, and do nothing.
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// With `--dry-run`: write one JSON document.
    #[arg(long, requires = "dry_run", conflicts_with = "jsonl")]
    pub json: bool,
    #[command(flatten)]
    pub how: HowArgs,
    /// Label the run.
    #[arg(long, value_name = "NAME=VALUE", value_parser = values::tag)]
    pub tag: Vec<(String, String)>,
}

pub(super) fn run(args: &RunArgs, session: Session<'_>) -> Result<Done, CliError> {
    let mut workspace = session.workspace()?;
    let job = find(&mut workspace, args.job.as_deref())?;
    let selection = match &job.work {
        Work::Flow(flow) => return run_ops::run(args, &mut workspace, &job, flow),
        Work::Select(selection) => selection,
    };
    if args.op_select.is_some() || args.retry.is_some() {
        let error = CliError::user(format!("job `{}` selects assets, and has no ops", job.name));
        return Err(error.hint("what is fresh does not run again, so that nothing need be retried"));
    }
    let config = configured(&workspace, &job, &args.given)?;
    let settings = settings(&workspace, &job, selection, &config)?;
    let specs = [Spec::of(selection.clone())];
    let partition = args.partition.as_ref().map(|text| Expression::parse(text, 0)).transpose()?;
    let access = if args.dry_run { Access::Read } else { Access::Write };
    let (mut engine, sets) = workspace.open(&specs, access, &settings)?;
    let wanted = requested(&engine, &specs, &sets, partition.as_ref())?;
    let (reach, force) = (Reach::Upstream, args.force);
    let request = Request { targets: wanted.targets, chosen: wanted.chosen, reach, force };
    if args.dry_run {
        plan::show(&mut workspace, &engine.plan(&request)?, args.json);
        return Ok(Done::Fine);
    }
    let mut tags: BTreeMap<String, String> = job.tags.clone();
    tags.extend(args.tag.iter().cloned());
    let launch = LaunchInfo {
        job: Some(job.name.to_string()),
        tags,
        config: config.masked(),
        ..LaunchInfo::default()
    };
    carry_out(&mut workspace, &mut engine, &request, &args.how, launch)
}

/// The configured values of assets that the configuration of a job replaces.
pub(super) fn settings(
    workspace: &Workspace<'_>,
    job: &Job,
    selection: &Selection,
    config: &Config,
) -> Result<Vec<SetValue>, CliError> {
    let assets = selection.select(&workspace.project, &|_| Default::default());
    let assets = assets.map_err(|error| CliError::selection(error, selection.as_str()))?;
    let read = job.readable(&workspace.project, &assets);
    let mut settings = Vec::new();
    for (name, value) in config.value.as_object().into_iter().flatten() {
        if !read.contains(name) {
            continue;
        }
        let withheld = config.withheld.iter().any(|it| it.is_of(name));
        if withheld {
            let message = format!(
                "`{name}` is secret or comes from the environment, and a configured value of an \
                 asset is recorded in the clear"
            );
            let hint = format!("name the variable under `env` of the assets that need `{name}`");
            return Err(CliError::user(message).hint(hint));
        }
        settings.push((None, name.clone(), value.clone()));
    }
    Ok(settings)
}
