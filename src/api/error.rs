//! What can go wrong with a project in code: with its declarations, and with a query.

use std::path::PathBuf;

use super::job::JobMistake;
use super::report::Report;
use super::value::BoxError;
use crate::base::{InvalidName, PartitionKey};
use crate::defs::SelectionError;
use crate::defs::config::{ConfigErrors, SettingError};
use crate::defs::partition::{MappingError, PartitionTextError, PartitionsError};

/// Why a query has no answer.
///
/// ```
/// use giornata::api::{Error, Project};
/// # let dir = tempfile::tempdir()?;
/// let mut project = Project::new("letters", dir.path());
/// let letter = project.asset("letter").keys(["a", "b"]).compute(|ctx| {
///     let key = ctx.partition().to_string();
///     if key == "b" { Err("no ink left".into()) } else { Ok(key) }
/// });
/// let error = project.get(&letter, "b").unwrap_err();
/// assert_eq!(error.to_string(), "make `letter@b`: `letter@b` failed: no ink left");
/// let error = project.get(&letter, "c").unwrap_err();
/// assert_eq!(error.to_string(), "`letter` has no partition `c`; it has a..b");
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing can be asked before all of these are mended.
    #[error("declare the project `{project}`: {}", lines(.mistakes))]
    Declarations { project: String, mistakes: Vec<DeclarationError> },
    #[error("`{asset}` is a handle of another project")]
    Foreign { asset: String },
    #[error("use `{}` as the root of the project", path.display())]
    Root {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("there is no `giornata.toml` in `{}` or above", path.display())]
    NoFiles { path: PathBuf },
    #[error("read the project's files")]
    Files(#[from] crate::load::Error),
    /// Some file has a mistake that concerns this asset; the others can be asked for.
    #[error("`{asset}` cannot be used: {}", lines(.reasons))]
    Broken { asset: String, reasons: Vec<String> },
    #[error("`{asset}` has no partition `{partition}`; it has {existing}")]
    UnknownPartition { asset: String, partition: PartitionKey, existing: String },
    #[error("`{asset}` has partitions, so name one; it has {existing}")]
    Partitioned { asset: String, existing: String },
    #[error("`{asset}` has no partitions; ask for `()`")]
    Unpartitioned { asset: String },
    #[error("`{text}` names no partitions of `{asset}`: {problem}")]
    Partitions { asset: String, text: String, problem: PartitionTextError },
    /// A function failed, or an input is missing; the report says what was made nevertheless.
    #[error("make `{target}`: {}", .report.reason())]
    Failed { target: String, report: Box<Report> },
    #[error("`{asset}` has no data for {partition}")]
    NoData { asset: String, partition: String },
    #[error("read `{target}`")]
    Value {
        target: String,
        #[source]
        source: BoxError,
    },
    /// A job cannot be used before all of these are mended.
    #[error("declare the job `{job}`: {}", lines(.mistakes))]
    Job { job: String, mistakes: Vec<JobMistake> },
    #[error("configure the job `{job}`:\n{errors}")]
    Config { job: String, errors: ConfigErrors },
    #[error("the job `{job}` has no preset `{preset}`{}", presets(.known))]
    Preset { job: String, preset: String, known: Vec<String> },
    #[error("configure the job `{job}`")]
    Setting {
        job: String,
        #[source]
        error: SettingError,
    },
    #[error("`{text}` selects no ops of the job `{job}`: {error}")]
    Ops { job: String, text: String, error: Box<SelectionError> },
    #[error("`{step}` of the job `{job}` reads `{reads}`, which is not selected; select `+{step}`")]
    Unselected { job: String, step: String, reads: String },
    #[error("`{step}` of the job `{job}` has no value at `{output}`: {reason}")]
    NoValue { job: String, step: String, output: String, reason: String },
    #[error(
        "a launch of the job `{job}` on the store cannot replace resources; the project can, with `replace`"
    )]
    Replaced { job: String },
    #[error(
        "a launch of the job `{job}` on the store has the root of the project; leave `root` out"
    )]
    RootOnStore { job: String },
    #[error("two jobs are named `{job}`: at {}:{line} again", .file)]
    JobTwice { job: String, file: String, line: u32 },
    #[error(transparent)]
    Engine(#[from] crate::engine::Error),
}

/// A mistake in one declaration, with its place in the program.
///
/// ```
/// use giornata::api::{Error, Project};
/// # let dir = tempfile::tempdir()?;
/// let mut project = Project::new("weather", dir.path());
/// let daily = project.asset("daily").daily("4 July").compute(|_| Ok(String::new()));
/// let Err(Error::Declarations { mistakes, .. }) = project.get(&daily, "2014-07-04") else { panic!() };
/// assert_eq!(mistakes[0].asset, "daily");
/// assert!(mistakes[0].to_string().contains("`4 July` is no date or time"));
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}`{asset}`: {mistake}", place(.file, *.line))]
pub struct DeclarationError {
    /// The name of the asset or of the job that was declared; empty for the project itself.
    pub asset: String,
    pub file: String,
    /// Counted from 1; 0 for the project itself.
    pub line: u32,
    pub mistake: Mistake,
}

/// What is wrong with a declaration.
///
/// ```
/// use giornata::api::{Error, Mistake, Project};
/// let mut project = Project::new("days", ".");
/// let day = project.asset("day").daily("2014-01-01").compute(|_| Ok(String::new()));
/// // One month, but many days: this wants `inputs`.
/// project.asset("month").monthly("2014-01").input(&day).compute(|_, day| Ok(day));
/// let resolved = project.resolve(std::path::Path::new("."));
/// let Err(Error::Declarations { mistakes, .. }) = resolved else { panic!() };
/// assert_eq!(mistakes[0].mistake, Mistake::Several { upstream: "day".to_owned() });
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    #[error(transparent)]
    Name(#[from] InvalidName),
    #[error("the name is declared twice; assets and sources share their names")]
    Twice,
    #[error(transparent)]
    Partitions(#[from] PartitionsError),
    #[error(
        "`until`, `timezone`, `format` and `end_offset` are for windows of time; say which first"
    )]
    NoWindows,
    #[error("`{text}` is no date or time; write `2014-07-04`, `2014-07` or `2014-07-04T13:00`")]
    Time { text: String },
    #[error("`{name}` is no time zone; write one as `Europe/Berlin`")]
    Zone { name: String },
    #[error("the time zone of a project of files is `timezone` in its `giornata.toml`")]
    ZoneOfFiles,
    #[error("no file declares it{}", .similar.as_ref().map(|it| format!("; did you mean `{it}`?")).unwrap_or_default())]
    NotExisting { similar: Option<String> },
    #[error("it follows the partitions of `{followed}`, which has only one")]
    FollowsOne { followed: String },
    #[error("it follows the partitions of `{followed}`, whose declaration has a mistake")]
    Follows { followed: String },
    #[error("it reads `{upstream}` twice; declare one input, wide enough for both")]
    ReadTwice { upstream: String },
    #[error("`{upstream}` is a handle of another project")]
    Foreign { upstream: String },
    #[error("it cannot read `{upstream}` in this way: {reason}")]
    Mapping { upstream: String, reason: MappingError },
    #[error(
        "a partition reads several of `{upstream}`; declare the input with `inputs` and take `Parts`"
    )]
    Several { upstream: String },
    #[error("{reason}")]
    Files { reason: String },
    #[error(
        "nothing says which data belongs to which partition; `files` needs a capture as in `{{date}}.csv`, or `split_by` a column"
    )]
    Unsplit,
    #[error("`split_by` splits the rows of one file, and `files` may match several")]
    SplitSeveral,
    #[error("`{text}` cannot be split by: name a column, as in `date` or `date:%d/%m/%Y`")]
    SplitBy { text: String },
    #[error("`{path}` is no path for exports: {reason}")]
    Export { path: String, reason: &'static str },
    #[error("`{path}` is where `{other}` is exported to; `{{asset}}` stands for the name")]
    SamePlace { path: String, other: String },
    #[error("its step makes no `{name}`")]
    Stranger { name: String },
    #[error("it uses a resource named `{resource}`, and another one has this name; rename one")]
    ResourceTwice { resource: String },
    #[error(
        "it uses a resource named `{resource}`, and {file}:{line} declares another one; rename one"
    )]
    ResourceOfFiles { resource: String, file: String, line: u32 },
    #[error("its graph is not right: {reason}")]
    Graph { reason: String },
    #[error("it says `values`, and only the ops of a graph have such")]
    Values,
    #[error(transparent)]
    Check(#[from] crate::defs::check::InvalidCheck),
    #[error(
        "cannot read the program itself to say its version ({reason}); give one with `version`"
    )]
    Executable { reason: String },
}

fn place(file: &str, line: u32) -> String {
    if line == 0 { String::new() } else { format!("{file}:{line}: ") }
}

fn presets(known: &[String]) -> String {
    match known {
        [] => "; it has none".to_owned(),
        known => format!("; it has `{}`", known.join("`, `")),
    }
}

fn lines(mistakes: &[impl std::fmt::Display]) -> String {
    match mistakes {
        [one] => one.to_string(),
        several => several.iter().map(|mistake| format!("\n- {mistake}")).collect(),
    }
}
