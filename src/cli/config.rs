//! `giornata config`: what the configuration of a job lacks, has too much of, or has wrong.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::Done;
use super::error::CliError;
use super::job::find;
use super::run_ops::at_any_partition;
use super::session::{Session, Workspace};
use super::values;
use crate::defs::Job;
use crate::defs::config::{Config, ConfigErrors, Env, Layers, Path as Place, Setting};
use crate::engine::{Access, variable};

/// Check, complete or clean the configuration of a job
#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Say everything that is wrong with it
    Check(JobArgs),
    /// Write it with what is missing, to be filled in
    Scaffold(JobArgs),
    /// Write it without what is not defined
    Prune(JobArgs),
}

#[derive(Debug, Args)]
struct JobArgs {
    /// Which job; `giornata list` names them.
    #[arg(value_name = "JOB")]
    job: Option<String>,
    #[command(flatten)]
    given: Given,
    /// Of a job with partitions: for which one; the last one that there is, if not given.
    #[arg(short, long, value_name = "EXPR")]
    partition: Option<String>,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

// Values that a launch gives. (A doc comment here would become the help of the verb.)
#[derive(Debug, Args)]
pub(super) struct Given {
    /// A set of values that the job declares.
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// Values from a TOML, YAML or JSON file; later files go before earlier ones.
    #[arg(long, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// One value: `lr=0.1`, `model.depth=3`, `token.env=TOKEN`.
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// As of a run or a backfill that is taken up: where they come from, and what they are.
    #[arg(skip)]
    recorded: Vec<(String, Value)>,
}

impl Given {
    pub fn new(preset: Option<String>, config: Vec<PathBuf>, set: Vec<String>) -> Given {
        Given { preset, config, set, recorded: Vec::new() }
    }

    /// What a run says that it was launched with.
    pub fn launched(config: Value) -> Given {
        let recorded = vec![("the run that is retried".to_owned(), config)];
        Given { recorded, ..Given::new(None, Vec::new(), Vec::new()) }
    }

    /// Everything in a form that can be kept: files by what they hold now.
    pub fn to_record(&self) -> Result<Value, CliError> {
        let mut layers = self.recorded.clone();
        for path in &self.config {
            layers.push((format!("`{}`", path.display()), values::read_file(path)?));
        }
        Ok(serde_json::json!({"preset": self.preset, "layers": layers, "set": self.set}))
    }

    /// What `to_record` gave.
    pub fn of_record(record: &Value) -> Result<Given, CliError> {
        #[derive(serde::Deserialize, Default)]
        #[serde(default)]
        struct Record {
            preset: Option<String>,
            layers: Vec<(String, Value)>,
            set: Vec<String>,
        }
        let record: Record = match record {
            Value::Null => Record::default(),
            record => serde_json::from_value(record.clone()).map_err(CliError::internal)?,
        };
        let Record { preset, layers: recorded, set } = record;
        Ok(Given { preset, config: Vec::new(), set, recorded })
    }
}

pub(super) fn run(args: &ConfigArgs, session: Session<'_>) -> Result<Done, CliError> {
    let (Verb::Check(job_args) | Verb::Scaffold(job_args) | Verb::Prune(job_args)) = &args.verb;
    let mut workspace = session.workspace()?;
    let job = find(&mut workspace, job_args.job.as_deref())?;
    let job = for_partition(&mut workspace, job, job_args.partition.as_deref())?;
    let layers = layers(&job, &job_args.given)?;
    let value = layers.merge(&job.config);
    let (value, told) = match &args.verb {
        Verb::Check(_) => {
            let config = configured(&workspace, &job, &job_args.given)?;
            (config.masked(), Vec::new())
        }
        Verb::Scaffold(_) => {
            let done = job.config.scaffold_missing(&value);
            (done.value, tell("added", &done.added))
        }
        Verb::Prune(_) => {
            let done = job.config.prune(&value);
            (done.value, tell("removed", &done.removed))
        }
    };
    for line in told {
        workspace.term.tell(&line);
    }
    workspace.term.print(&written(&value, job_args.json));
    Ok(Done::Fine)
}

/// The job with its values as they are for a partition.
fn for_partition(
    workspace: &mut Workspace<'_>,
    job: Arc<Job>,
    partition: Option<&str>,
) -> Result<Arc<Job>, CliError> {
    if job.partitions.is_unpartitioned() && partition.is_none() {
        return Ok(job);
    }
    let (mut engine, _) = workspace.open(&[], Access::Read, &[])?;
    let (job, key) = at_any_partition(partition, workspace, &mut engine, &job)?;
    if let (None, Some(key)) = (partition, key) {
        workspace.term.tell(&format!("the values are those of the partition `{key}`\n"));
    }
    Ok(job)
}

fn tell(verb: &str, places: &[Place]) -> Vec<String> {
    match places {
        [] => vec![format!("nothing was {verb}\n")],
        places => places.iter().map(|place| format!("{verb} `{place}`\n")).collect(),
    }
}

/// As YAML that can be edited and given back; JSON is YAML too.
fn written(value: &Value, json: bool) -> String {
    if json {
        return serde_json::to_string_pretty(value).expect("a value can be written") + "\n";
    }
    let mut text = String::new();
    write_fields(value, 0, &mut text);
    if text.is_empty() { "{}\n".to_owned() } else { text }
}

/// Nested mappings by indentation, everything else in the flow form, which is JSON.
fn write_fields(value: &Value, depth: usize, text: &mut String) {
    for (name, value) in value.as_object().into_iter().flatten() {
        let plain = !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
            && !name.starts_with(|c: char| c.is_ascii_digit() || c == '-')
            && !["null", "true", "false", "yes", "no", "on", "off", "y", "n"]
                .contains(&name.to_ascii_lowercase().as_str());
        let name = if plain { name.clone() } else { Value::from(name.as_str()).to_string() };
        let indent = "  ".repeat(depth);
        match value {
            Value::Object(map) if !map.is_empty() => {
                *text += &format!("{indent}{name}:\n");
                write_fields(value, depth + 1, text);
            }
            value => *text += &format!("{indent}{name}: {value}\n"),
        }
    }
}

fn layers(job: &Job, given: &Given) -> Result<Layers, CliError> {
    let mut layers = job.layers(given.preset.as_deref()).map_err(|known| {
        let preset = given.preset.as_deref().unwrap_or_default();
        let error = CliError::user(format!("job `{}` has no preset `{preset}`", job.name));
        match known.is_empty() {
            true => error.hint("it declares none: `presets: {NAME: {..}}`"),
            false => error.hint(format!("there are `{}`", known.join("`, `"))),
        }
    })?;
    for (name, value) in &given.recorded {
        layers.push(name.clone(), value.clone());
    }
    for path in &given.config {
        layers.push(format!("`{}`", path.display()), values::read_file(path)?);
    }
    for text in &given.set {
        let setting =
            Setting::parse(text).map_err(|error| CliError::user(format!("cannot {error}")))?;
        layers.push(setting.to_string(), job.config.setting(&setting));
    }
    Ok(layers)
}

/// The complete configuration of a launch, variables resolved; or everything that is wrong with it.
pub(super) fn configured(
    workspace: &Workspace<'_>,
    job: &Job,
    given: &Given,
) -> Result<Config, CliError> {
    configured_in(&workspace.environment().0, job, given)
}

/// As [`configured`], with the environment of the project.
pub(super) fn configured_in(
    env: &[(OsString, OsString)],
    job: &Job,
    given: &Given,
) -> Result<Config, CliError> {
    let layers = layers(job, given)?;
    let variable = |name: &str| variable(env, name);
    let config = job.configure(&layers, Env::Resolve(&variable));
    config.map_err(|errors| refused(job, &layers, &errors))
}

fn refused(job: &Job, layers: &Layers, errors: &ConfigErrors) -> CliError {
    let lines = errors.0.iter().map(|error| match layers.origin(&error.path) {
        Some(origin) => format!("  {error} ({origin})"),
        None => format!("  {error}"),
    });
    let lines = lines.collect::<Vec<_>>().join("\n");
    let name = &job.name;
    let error = CliError::user(format!("the configuration of job `{name}` is not right:\n{lines}"));
    error.hint(format!("`giornata config scaffold {name}` writes what is missing"))
}
