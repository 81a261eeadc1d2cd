//! An asset: what it reads, how it is made, how it is partitioned, where its result goes.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{
    Check, Condition, Flow, FlowStep, IoDef, MappingDef, PartitionsDef, Retries, Slot, SourceDef,
};
use crate::base::{AssetKey, Digest};

/// One declared asset or source.
#[derive(Debug, Clone, PartialEq)]
pub struct Asset {
    pub key: AssetKey,
    pub origin: Origin,
    pub partitions: PartitionsDef,
    pub body: Body,
    /// In declared order, each upstream once. A source has none, except that pieces follow their maker.
    pub deps: Vec<Dep>,
    pub output: OutputDef,
    /// The step that makes it together with others; `None`: it has a step of its own.
    pub shared: Option<Arc<SharedStep>>,
    /// A path of the user's where results are also put, with `{partition}` in it if partitioned.
    pub export: Option<String>,
    /// Where results are also put, by an IO manager.
    pub io: Option<IoDef>,
    /// Values the step may read; all of them count for staleness.
    pub config: BTreeMap<String, serde_json::Value>,
    /// Names of environment variables that count for staleness.
    pub env: BTreeSet<String>,
    /// Names of resources that it uses, each with the version that counts for staleness, if it has one.
    pub resources: BTreeMap<String, Option<String>>,
    /// Globs of further project files that count for staleness, relative to the project's root.
    pub inputs: Vec<String>,
    /// Replaces the digest of the code, if the user wants to say when the code has changed.
    pub version: Option<String>,
    pub checks: Vec<Check>,
    pub policy: Policy,
    /// When it is brought up to date by itself, while somebody watches.
    pub automation: Option<Condition>,
    pub description: Option<String>,
    pub group: Option<String>,
    pub owners: Vec<String>,
    pub tags: BTreeMap<String, String>,
    pub kinds: BTreeSet<String>,
}

impl Asset {
    pub fn is_source(&self) -> bool {
        matches!(self.body, Body::Source(_))
    }

    /// The asset whose pieces this is.
    pub fn pieces_of(&self) -> Option<&AssetKey> {
        match &self.body {
            Body::Source(SourceDef::Pieces { of, .. }) => Some(of),
            Body::Source(
                SourceDef::Files { .. } | SourceDef::Dir { .. } | SourceDef::Observe { .. },
            )
            | Body::Sql(_)
            | Body::Command(_)
            | Body::Function(_)
            | Body::Graph(_) => None,
        }
    }

    /// The other assets that its step makes.
    pub fn made_with(&self) -> impl Iterator<Item = &AssetKey> {
        let makes = self.shared.iter().flat_map(|shared| &shared.makes);
        makes.filter(|key| **key != self.key)
    }

    /// The name by which a step finds it: as a variable, or as a table.
    pub fn variable(&self) -> String {
        self.pieces_of().unwrap_or(&self.key).variable()
    }
}

/// A step that makes several assets, any of them without the others. They have the same partitions and read
/// the same. What one of them is must not depend on which others are asked for: nothing of this counts for
/// staleness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedStep {
    /// For messages and listings.
    pub name: String,
    /// In declared order; each once.
    pub makes: Vec<AssetKey>,
}

/// Where a definition stands: for messages only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Relative to the project's root.
    pub file: PathBuf,
    /// Counted from 1.
    pub line: u32,
}

/// How the value of an asset comes to be.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// Observed, never computed.
    Source(SourceDef),
    Sql(SqlBody),
    Command(CommandBody),
    /// A function of the program that declares the project.
    Function(FunctionBody),
    /// Ops, carried out as one step.
    Graph(GraphBody),
}

/// Statements for the embedded SQLite; the last one yields the rows of the result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlBody {
    /// Without the header.
    pub text: String,
    /// Line of the file on which `text` begins, counted from 1.
    pub first_line: u32,
}

/// A process to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandBody {
    pub line: CommandLine,
    /// Digest of the script without its header; `None` for a `run:` line, which is its own code.
    pub code: Option<Digest>,
    /// Project files that the command line names; they count for staleness. Relative to the root.
    pub named_files: Vec<PathBuf>,
}

/// How a process is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandLine {
    /// A `run:` line without shell syntax: words in which we expand our own `$name`s.
    Direct(Vec<Word>),
    /// A `run:` line with shell syntax, for `sh -c`.
    Shell(String),
    /// A script file by its interpreter (shebang, else extension); `path` is relative to the root.
    Script { interpreter: Vec<String>, path: PathBuf },
}

/// One word of a direct command line: literal pieces and variables, joined without spaces.
pub type Word = Vec<WordPiece>;

/// A piece of a [`Word`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WordPiece {
    Text(String),
    /// `$name` or `${name}` of ours.
    Variable(String),
}

/// A flow of which the one result is that of the asset.
#[derive(Debug, Clone, PartialEq)]
pub struct GraphBody {
    pub flow: Arc<Flow>,
    /// Of each input of the flow, the variable of the upstream asset that it is.
    pub inputs: Vec<String>,
    /// The output that is the result: of a step that runs once, and not one of pieces.
    pub result: Slot,
    /// The results of the other assets that the same step makes.
    pub others: Vec<Slot>,
}

impl GraphBody {
    /// The steps that count for the result: all but those that only other results need.
    pub fn counting(&self) -> impl Iterator<Item = &FlowStep> {
        let left_out = self.flow.needed_for_others(&[self.result], &self.others);
        let steps = (0..).zip(&self.flow.steps);
        steps.filter(move |(at, _)| !left_out.contains(at)).map(|(_, step)| step)
    }
}

/// The function itself lives with the program; this names it and says its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionBody {
    /// The digest of the executable, or the version its author gave.
    pub version: String,
    pub slot: FunctionSlot,
}

/// Where the program that declares the project has a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FunctionSlot {
    /// With the asset of the body, by its name.
    Asset,
    /// At this place among the functions of its ops.
    Op(u32),
}

/// One edge of the graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dep {
    pub upstream: AssetKey,
    pub mapping: MappingDef,
    pub missing: Missing,
}

/// What to do about partitions that the mapping names but that have no data upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The step is blocked, with that reason.
    Error,
    /// The step gets those that exist.
    Allow,
}

/// What a step leaves behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputDef {
    /// Rows, through the IO manager of a tabular format.
    Table(TableFormat),
    /// One file; `name` gives its ending when it is shown or exported.
    File { name: String },
    /// A directory.
    Directory,
    /// A directory of which each file is a piece; there may be none.
    Pieces,
    /// Nothing: a source.
    None,
}

/// Formats of tables.
///
/// ```
/// use giornata::defs::TableFormat;
/// assert_eq!(TableFormat::Csv.extension(), "csv");
/// assert_eq!(TableFormat::JsonLines.extension(), "jsonl");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TableFormat {
    /// Comma-separated values with a header line.
    Csv,
    /// A JSON object on each line.
    JsonLines,
    #[cfg(feature = "parquet")]
    Parquet,
}

impl TableFormat {
    /// The ending of a file in this format, without the dot; see the example of [`TableFormat`].
    pub fn extension(self) -> &'static str {
        match self {
            TableFormat::Csv => "csv",
            TableFormat::JsonLines => "jsonl",
            #[cfg(feature = "parquet")]
            TableFormat::Parquet => "parquet",
        }
    }
}

/// How a step is run and when its result ages; nothing here is part of the step's digest.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Policy {
    pub retries: Retries,
    pub timeout: Option<Duration>,
    /// At most so many steps of one pool run at once as the project says.
    pub pool: Option<Arc<str>>,
    /// One step makes up to so many partitions.
    pub batch: Option<NonZeroU32>,
    /// A result older than this is looked at again.
    pub ttl: Option<Duration>,
    /// Run at every invocation, cut off by content.
    pub volatile: bool,
}
