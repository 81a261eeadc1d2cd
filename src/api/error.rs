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
    /// A [`Handle`](super::Handle) was given to another project than the one that declared it.
    #[error("`{asset}` is a handle of another project")]
    Foreign { asset: String },
    /// The root is no directory that can be used.
    #[error("use `{}` as the root of the project", path.display())]
    Root {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// [`Project::with_files`](super::Project::with_files) looks for a project of files, and there is none.
    #[error("there is no `giornata.toml` in `{}` or above", path.display())]
    NoFiles { path: PathBuf },
    /// The project's files cannot be read at all; what is wrong within one is [`Broken`](Error::Broken).
    #[error("read the project's files")]
    Files(#[from] crate::load::Error),
    /// Some file has a mistake that concerns this asset; the others can be asked for.
    #[error("`{asset}` cannot be used: {}", lines(.reasons))]
    Broken { asset: String, reasons: Vec<String> },
    /// The asset has partitions, and not this one; `existing` are its keys and ranges, the first few.
    #[error("`{asset}` has no partition `{partition}`; it has {existing}")]
    UnknownPartition { asset: String, partition: PartitionKey, existing: String },
    /// `()` was asked for, of an asset with partitions.
    #[error("`{asset}` has partitions, so name one; it has {existing}")]
    Partitioned { asset: String, existing: String },
    /// A key was asked for, of an asset without partitions.
    #[error("`{asset}` has no partitions; ask for `()`")]
    Unpartitioned { asset: String },
    /// An expression such as `2014-07` cannot be read, or names what does not exist.
    #[error("`{text}` names no partitions of `{asset}`: {problem}")]
    Partitions { asset: String, text: String, problem: PartitionTextError },
    /// A function failed, or an input is missing; the report says what was made nevertheless.
    #[error("make `{target}`: {}", .report.reason())]
    Failed { target: String, report: Box<Report> },
    /// A source has no file or row for it, or the asset made nothing.
    #[error("`{asset}` has no data for {partition}")]
    NoData { asset: String, partition: String },
    /// What is kept could not be read as the type of the handle.
    #[error("read `{target}`")]
    Value {
        target: String,
        #[source]
        source: BoxError,
    },
    /// A job cannot be used before all of these are mended.
    #[error("declare the job `{job}`: {}", lines(.mistakes))]
    Job { job: String, mistakes: Vec<JobMistake> },
    /// The values do not fit the schema; all that is wrong, each with its path and what is expected.
    #[error("configure the job `{job}`:\n{errors}")]
    Config { job: String, errors: ConfigErrors },
    /// [`Launch::preset`](super::Launch::preset) names none of the job's; `known` are those that it has.
    #[error("the job `{job}` has no preset `{preset}`{}", presets(.known))]
    Preset { job: String, preset: String, known: Vec<String> },
    /// [`Launch::set`](super::Launch::set) was given a text that is no `PATH=VALUE`.
    #[error("configure the job `{job}`")]
    Setting {
        job: String,
        #[source]
        error: SettingError,
    },
    /// [`Launch::ops`](super::Launch::ops) was given a text that is no selection, or that selects nothing.
    #[error("`{text}` selects no ops of the job `{job}`: {error}")]
    Ops { job: String, text: String, error: Box<SelectionError> },
    /// A chosen step reads one that was not chosen.
    #[error("`{step}` of the job `{job}` reads `{reads}`, which is not selected; select `+{step}`")]
    Unselected { job: String, step: String, reads: String },
    /// A [`JobResult`](super::JobResult) was asked for a value that it does not have.
    #[error("`{step}` of the job `{job}` has no value at `{output}`: {reason}")]
    NoValue { job: String, step: String, output: String, reason: String },
    /// [`Launch::with`](super::Launch::with) is for runs in process.
    #[error(
        "a launch of the job `{job}` on the store cannot replace resources; the project can, with `replace`"
    )]
    Replaced { job: String },
    /// [`Launch::root`](super::Launch::root) is for runs in process.
    #[error(
        "a launch of the job `{job}` on the store has the root of the project; leave `root` out"
    )]
    RootOnStore { job: String },
    /// Two jobs of the project have one name; the place is that of the second.
    #[error("two jobs are named `{job}`: at {}:{line} again", .file)]
    JobTwice { job: String, file: String, line: u32 },
    /// The store or the engine failed, or what a run needs of its surroundings is missing.
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
    /// The source file of the program, as the compiler was given it; empty for the project itself.
    pub file: String,
    /// Counted from 1; 0 for the project itself.
    pub line: u32,
    /// What is wrong.
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
    /// It has characters that names do not have.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// Another asset or source of the project has this name.
    #[error("the name is declared twice; assets and sources share their names")]
    Twice,
    /// The partitions make no sense: a key twice, a bad cron expression, an end before the start, and such.
    #[error(transparent)]
    Partitions(#[from] PartitionsError),
    /// It says of keys what is said of windows.
    #[error(
        "`until`, `timezone`, `format` and `end_offset` are for windows of time; say which first"
    )]
    NoWindows,
    /// A start or an end cannot be read.
    #[error("`{text}` is no date or time; write `2014-07-04`, `2014-07` or `2014-07-04T13:00`")]
    Time { text: String },
    /// There is no time zone of this name.
    #[error("`{name}` is no time zone; write one as `Europe/Berlin`")]
    Zone { name: String },
    /// [`Project::timezone`](super::Project::timezone) was called of a project with files.
    #[error("the time zone of a project of files is `timezone` in its `giornata.toml`")]
    ZoneOfFiles,
    /// [`Project::existing`](super::Project::existing) names what no file declares.
    #[error("no file declares it{}", .similar.as_ref().map(|it| format!("; did you mean `{it}`?")).unwrap_or_default())]
    NotExisting { similar: Option<String> },
    /// [`Partitions::each`](super::Partitions::each) names a source without partitions.
    #[error("it follows the partitions of `{followed}`, which has only one")]
    FollowsOne { followed: String },
    /// [`Partitions::each`](super::Partitions::each) names a source whose declaration must be mended first.
    #[error("it follows the partitions of `{followed}`, whose declaration has a mistake")]
    Follows { followed: String },
    /// Two inputs name the same asset.
    #[error("it reads `{upstream}` twice; declare one input, wide enough for both")]
    ReadTwice { upstream: String },
    /// An input is a handle of another project.
    #[error("`{upstream}` is a handle of another project")]
    Foreign { upstream: String },
    /// The mapping does not fit the partitions of the two.
    #[error("it cannot read `{upstream}` in this way: {reason}")]
    Mapping { upstream: String, reason: MappingError },
    /// [`Asset::input`](super::Asset::input) takes one partition, and the mapping gives several.
    #[error(
        "a partition reads several of `{upstream}`; declare the input with `inputs` and take `Parts`"
    )]
    Several { upstream: String },
    /// The pattern of [`Source::files`](super::Source::files) cannot be read.
    #[error("{reason}")]
    Files { reason: String },
    /// A source has partitions, and its files or rows cannot be told apart.
    #[error(
        "nothing says which data belongs to which partition; `files` needs a capture as in `{{date}}.csv`, or `split_by` a column"
    )]
    Unsplit,
    /// [`Source::split_by`](super::Source::split_by) stands beside a pattern of several files.
    #[error("`split_by` splits the rows of one file, and `files` may match several")]
    SplitSeveral,
    /// The text of [`Source::split_by`](super::Source::split_by) cannot be read.
    #[error("`{text}` cannot be split by: name a column, as in `date` or `date:%d/%m/%Y`")]
    SplitBy { text: String },
    /// The path of [`Asset::export`](super::Asset::export) cannot be written to.
    #[error("`{path}` is no path for exports: {reason}")]
    Export { path: String, reason: &'static str },
    /// Two assets are exported to one path.
    #[error("`{path}` is where `{other}` is exported to; `{{asset}}` stands for the name")]
    SamePlace { path: String, other: String },
    /// What is declared by [`Asset::compute_batch`](super::Asset::compute_batch) cannot be computed so.
    #[error("its partitions cannot be computed several at once: {reason}")]
    Batch { reason: &'static str },
    /// [`Asset::member`](super::Asset::member) names an asset that is not made.
    #[error("its step makes no `{name}`")]
    Stranger { name: String },
    /// Two resources of the program have one name.
    #[error("it uses a resource named `{resource}`, and another one has this name; rename one")]
    ResourceTwice { resource: String },
    /// A resource of the program has the name of one of the files.
    #[error(
        "it uses a resource named `{resource}`, and {file}:{line} declares another one; rename one"
    )]
    ResourceOfFiles { resource: String, file: String, line: u32 },
    /// The graph that makes it does not hold.
    #[error("its graph is not right: {reason}")]
    Graph { reason: String },
    /// Values of ops are said, and no ops make it.
    #[error("it says `values`, and only the ops of a graph have such")]
    Values,
    /// The text of a check cannot be read.
    #[error(transparent)]
    Check(#[from] crate::defs::check::InvalidCheck),
    /// The program cannot read its own file, whose digest is the version of its functions.
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
