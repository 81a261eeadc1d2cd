//! `giornata run`: launches a job with its configuration.

use std::collections::BTreeMap;

use clap::Args;

use super::Done;
use super::config::{Given, configured};
use super::error::CliError;
use super::job::find;
use super::materialize::{HowArgs, carry_out};
use super::plan;
use super::session::{Session, Workspace};
use super::targets::{Expression, Spec, requested};
use super::values;
use crate::defs::config::Config;
use crate::defs::{Job, Selection, Work};
use crate::engine::{Access, LaunchInfo, SetValue};
use crate::plan::{Reach, Request};

/// Launch a job: bring what it selects up to date, with its configuration
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// Which job; `giornata list` names them.
    #[arg(value_name = "JOB")]
    job: Option<String>,
    #[command(flatten)]
    given: Given,
    /// Which partitions: `2014-07`, `2014-01..2014-03`, `latest`, `missing`; all if not given.
    #[arg(short, long, value_name = "EXPR")]
    partition: Option<String>,
    /// Run what it selects whatever its state.
    #[arg(long)]
    force: bool,
    /// Say what would be done, and do nothing.
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// With `--dry-run`: write one JSON document.
    #[arg(long, requires = "dry_run", conflicts_with = "jsonl")]
    json: bool,
    #[command(flatten)]
    how: HowArgs,
    /// Label the run.
    #[arg(long, value_name = "NAME=VALUE", value_parser = values::tag)]
    tag: Vec<(String, String)>,
}

pub(super) fn run(args: &RunArgs, session: Session<'_>) -> Result<Done, CliError> {
    let mut workspace = session.workspace()?;
    let job = find(&mut workspace, args.job.as_deref())?;
    let config = configured(&workspace, &job, &args.given)?;
    let settings = settings(&workspace, &job, &config)?;
    let selection = selected(&job)?;
    let specs = [Spec::of(selection.clone())];
    let partition = args.partition.as_ref().map(|text| Expression::parse(text, 0)).transpose()?;
    let access = if args.dry_run { Access::Read } else { Access::Write };
    let (mut engine, sets) = workspace.open(&specs, access, &settings)?;
    let wanted = requested(&engine, &specs, &sets, partition.as_ref())?;
    let (reach, force) = (Reach::Upstream, args.force);
    let request = Request { targets: wanted.targets, whole: wanted.whole, reach, force };
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

/// The assets of a job that has such.
fn selected(job: &Job) -> Result<&Selection, CliError> {
    match &job.work {
        Work::Select(selection) => Ok(selection),
        Work::Flow(_) => {
            let message = format!("job `{}` is made of ops, which `run` cannot launch", job.name);
            Err(CliError::user(message).hint("the program that declares it runs it in process"))
        }
    }
}

/// The configured values of assets that the configuration of a job replaces.
fn settings(
    workspace: &Workspace<'_>,
    job: &Job,
    config: &Config,
) -> Result<Vec<SetValue>, CliError> {
    let selection = selected(job)?;
    let assets = selection.select(&workspace.project, &|_| Default::default());
    let assets = assets.map_err(|error| CliError::selection(error, selection.as_str()))?;
    let read = job.readable(&workspace.project, &assets);
    let mut settings = Vec::new();
    for (name, value) in config.value.as_object().into_iter().flatten() {
        if !read.contains(name) {
            continue;
        }
        let withheld = config.withheld.iter().any(|it| it.path.to_string().starts_with(name));
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
