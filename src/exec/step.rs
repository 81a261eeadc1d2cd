//! A step as plain data: everything that one execution needs, and everything it leaves behind.
//!
//! Nothing here ties a step to this process, so that the same value can be handed to another machine.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Failure, Resources, Secrets};
use crate::base::{AssetKey, Digest, JobName, PartitionKey, RunId, StepName, Usage};
use crate::defs::{ColumnType, Op, OutputDecl, OutputDef, Severity, StepDef, TableFormat, TypeDef};
use crate::io::{BlobSource, Encoded};

/// One execution of a declared step.
#[derive(Clone)]
pub struct Step {
    pub def: Arc<StepDef>,
    pub of: Of,
    /// Of the asset, or of the job; empty without partitions.
    pub partition: PartitionKey,
    /// Start and end of a time partition as SQL compares them: `$start`, `$end`.
    pub window: Option<(String, String)>,
    /// The same in RFC 3339, for commands.
    pub window_rfc3339: Option<(String, String)>,
    /// In declared order.
    pub inputs: Vec<Input>,
    /// The configured values that it may read.
    pub config: BTreeMap<String, serde_json::Value>,
    pub run: RunId,
    /// When it was prepared.
    pub now: DateTime<Utc>,
    /// Counted from 1.
    pub attempt: u32,
    pub paths: StepPaths,
    /// The environment that a command inherits, `.env` included.
    pub env: Arc<Vec<(OsString, OsString)>>,
    /// Those that the step uses.
    pub resources: Resources,
    /// What must not be written down.
    pub secrets: Arc<Secrets>,
    /// A log is cut at this many bytes: its head and its tail are kept.
    pub log_max_bytes: u64,
    /// Types of the user's by their names.
    pub types: Arc<BTreeMap<String, TypeDef>>,
}

/// Of what a step is one.
#[derive(Debug, Clone)]
pub enum Of {
    Asset(AssetKey),
    /// Several assets, each of which is the output at its place.
    Assets(Arc<[Member]>),
    /// Several partitions of one asset, each as if it had an execution of its own.
    Batch(Arc<[Step]>),
    Job(Arc<InJob>),
}

/// One of the assets that a step makes.
#[derive(Debug, Clone)]
pub struct Member {
    pub key: AssetKey,
    /// It is asked for. What is made of others is not taken.
    pub is_wanted: bool,
    /// As if it had a step of its own: what is checked of it.
    pub def: Arc<StepDef>,
}

/// The place of a step in a job.
#[derive(Debug, Clone)]
pub struct InJob {
    pub job: JobName,
    /// The asset whose result the steps make together; then the job has its name.
    pub asset: Option<AssetKey>,
    /// Names of the calls on the way to it, joined by `.`.
    pub path: Arc<str>,
    pub op: Arc<Op>,
    /// For which piece it runs, if it is mapped over pieces.
    pub piece: Option<Arc<str>>,
    /// The op's own configuration; null if it has none.
    pub own: Arc<serde_json::Value>,
    /// What it reads of the job's configuration.
    pub read: Arc<serde_json::Value>,
}

impl InJob {
    /// The path, and the piece: `compute[p1]`.
    pub fn name(&self) -> String {
        match &self.piece {
            Some(piece) => format!("{}[{piece}]", self.path),
            None => self.path.to_string(),
        }
    }
}

impl Step {
    /// With the piece for which it runs: `nightly/compute[p1]`.
    pub fn name(&self) -> StepName {
        match &self.of {
            Of::Asset(_) | Of::Assets(_) | Of::Batch(_) => self.def.name.clone(),
            Of::Job(at) => match &at.piece {
                Some(piece) => self.def.name.instance(piece),
                None => self.def.name.clone(),
            },
        }
    }

    /// As messages about it name it: an asset, or the path and the piece within the job.
    pub fn shown(&self) -> String {
        match &self.of {
            Of::Asset(key) => key.to_string(),
            Of::Assets(_) | Of::Batch(_) => self.def.name.to_string(),
            Of::Job(at) => at.name(),
        }
    }

    /// One execution for all of `lots`, which are partitions of one asset; `None` if there are none.
    pub fn batch(lots: Vec<Step>) -> Option<Step> {
        let first = lots.first()?;
        let input = |input: &Input| Input { parts: Vec::new(), ..input.clone() };
        let inputs = first.inputs.iter().map(input).collect();
        let mut paths = first.paths.clone();
        if lots.len() > 1 {
            // No partition has a log of this name.
            let stem = paths.log.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            paths.log.set_file_name(format!("{stem}+{}.log", lots.len() - 1));
        }
        let partition = PartitionKey::unpartitioned();
        let (window, window_rfc3339) = (None, None);
        let step = Step { partition, window, window_rfc3339, inputs, paths, ..first.clone() };
        Some(Step { of: Of::Batch(lots.into()), ..step })
    }

    /// The executions in the place of which it is: itself, or those of its partitions.
    pub fn lots(&self) -> &[Step] {
        match &self.of {
            Of::Batch(lots) => lots,
            Of::Asset(_) | Of::Assets(_) | Of::Job(_) => std::slice::from_ref(self),
        }
    }

    /// Its only output, if it has one.
    pub fn only_output(&self) -> Option<&OutputDecl> {
        match &*self.def.outputs {
            [output] => Some(output),
            [] | [_, _, ..] => None,
        }
    }
}

// Never the environment: it holds secrets.
impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step")
            .field("name", &self.name())
            .field("partition", &self.partition)
            .field("run", &self.run)
            .field("attempt", &self.attempt)
            .field("inputs", &self.inputs)
            .finish_non_exhaustive()
    }
}

/// Where a step may read and write; absolute.
#[derive(Debug, Clone)]
pub struct StepPaths {
    /// The project's root, the working directory of commands.
    pub root: PathBuf,
    /// The directory of the run for files in the making; it exists, and other steps use it too.
    pub staging: PathBuf,
    /// The log file, made with the first byte that is logged.
    pub log: PathBuf,
}

/// What a step reads at one input: of an asset, an upstream asset.
#[derive(Debug, Clone)]
pub struct Input {
    pub name: Arc<str>,
    /// As a variable, or as a table.
    pub variable: String,
    /// One file, not a directory of them: decided by the kind of mapping, never by the count.
    pub single: bool,
    /// In canonical order.
    pub parts: Vec<Part>,
    /// Of a list that an op is given: the place in it of each part, for what was not emitted is left out.
    pub items: Vec<u32>,
}

/// One value of an input: a partition, or one of many values.
#[derive(Debug, Clone)]
pub struct Part {
    pub key: PartitionKey,
    pub version: Digest,
    /// Of the bytes alone; what is read must have it.
    pub content_digest: Digest,
    pub content: Content,
    /// Of the file's name, without the dot; may be empty.
    pub extension: String,
    /// `None` if it is not a table.
    pub format: Option<TableFormat>,
    pub schema: Option<String>,
    /// Declared types of columns.
    pub columns: Arc<BTreeMap<String, ColumnType>>,
}

/// Where the bytes of a part are.
#[derive(Clone)]
pub enum Content {
    Inline(Arc<[u8]>),
    /// A file of the store, read-only.
    Blob(PathBuf),
    /// The user's own file in its place; it may change at any moment.
    File(PathBuf),
    /// A directory of the store.
    Tree {
        digest: Digest,
        blobs: Arc<dyn BlobSource>,
    },
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Content::Inline(bytes) => write!(f, "Inline({} bytes)", bytes.len()),
            Content::Blob(path) => f.debug_tuple("Blob").field(path).finish(),
            Content::File(path) => f.debug_tuple("File").field(path).finish(),
            Content::Tree { digest, .. } => f.debug_tuple("Tree").field(digest).finish(),
        }
    }
}

/// What a step made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Produced {
    Table {
        encoded: Encoded,
        format: TableFormat,
        rows: u64,
    },
    /// What a file would hold; `extension` is that of its name, without the dot.
    Bytes {
        bytes: Vec<u8>,
        extension: String,
    },
    /// A regular file in the staging directory; it is the receiver's to move away.
    File(PathBuf),
    /// A directory in the staging directory; it is the receiver's to move away.
    Directory(PathBuf),
}

/// One thing that a step made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emitted {
    /// The place of the output among those of the step.
    pub output: u32,
    /// The key of the piece, if the output gives pieces.
    pub piece: Option<Arc<str>>,
    pub what: Produced,
}

impl Emitted {
    /// What a step with one output gives.
    pub fn only(what: Produced) -> Emitted {
        Emitted { output: 0, piece: None, what }
    }

    /// The ending of the file's name, without the dot; `decl` is its output.
    pub fn extension<'a>(&'a self, decl: &'a OutputDecl) -> &'a str {
        let path = match (&self.what, &decl.form) {
            (Produced::Table { format, .. }, _) => return format.extension(),
            (Produced::Bytes { extension, .. }, _) => return extension,
            (Produced::Directory(_), _) => return "",
            (Produced::File(_), OutputDef::Table(format)) => return format.extension(),
            // The file that it is for now has a longer name; a piece has its own.
            (Produced::File(_), OutputDef::File { name }) if self.piece.is_none() => {
                Path::new(name.as_str())
            }
            (
                Produced::File(path),
                OutputDef::File { .. } | OutputDef::Directory | OutputDef::Pieces | OutputDef::None,
            ) => path,
        };
        path.extension().and_then(|extension| extension.to_str()).unwrap_or_default()
    }
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckResult {
    pub name: String,
    pub severity: Severity,
    /// What is wrong; `None` if it passed.
    pub found: Option<String>,
}

/// What a function asked for while it ran, beyond what it is given anyway: by the name of the input.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asks {
    /// It was given these.
    pub met: Vec<(Arc<str>, PartitionKey)>,
    /// It was not given these, so that it has to run again with them.
    pub unmet: Vec<(Arc<str>, PartitionKey)>,
}

/// An attempt that failed, after which there was another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Earlier {
    pub duration: Duration,
    /// When the next one began, after the first one did.
    pub next: Duration,
    pub usage: Usage,
    /// Why it failed, as one sentence.
    pub reason: String,
}

/// How one execution went.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// In the order of emission.
    pub result: Result<Vec<Emitted>, Failure>,
    /// `None` if nothing was written to the log.
    pub log: Option<LogInfo>,
    pub duration: Duration,
    /// What the step reported about its result.
    pub metadata: Vec<serde_json::Value>,
    /// What the checks found, in declared order; empty where nothing was made.
    pub checks: Vec<CheckResult>,
    pub asked: Asks,
    /// Sentences for the user that do not make the step fail.
    pub warnings: Vec<String>,
    /// The attempt that ended thus, counted from 1.
    pub attempt: u32,
    /// Of that attempt.
    pub usage: Usage,
    /// The attempts before it, in their order.
    pub earlier: Vec<Earlier>,
    /// Of a step that makes several assets or partitions and did not fail as a whole: how it went for each of
    /// those that were asked for, in their order. The result is empty then.
    pub members: Vec<Outcome>,
}

impl Outcome {
    /// What is known before a step starts; its result is yet to be set.
    pub fn not_run(step: &Step) -> Outcome {
        Outcome {
            result: Err(Failure::Cancelled),
            log: None,
            duration: Duration::ZERO,
            metadata: Vec::new(),
            checks: Vec::new(),
            asked: Asks::default(),
            warnings: Vec::new(),
            attempt: step.attempt,
            usage: Usage::default(),
            earlier: Vec::new(),
            members: Vec::new(),
        }
    }

    /// What the step reported, as one object.
    pub fn reported(&self) -> serde_json::Map<String, serde_json::Value> {
        let objects = self.metadata.iter().filter_map(|it| it.as_object());
        objects.flatten().map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// What all attempts took.
    pub fn whole_usage(&self) -> Usage {
        self.earlier.iter().fold(self.usage, |sum, earlier| sum.and(earlier.usage))
    }

    /// Why it failed: as a whole, or for some of the assets that it makes.
    pub(super) fn failures(&self) -> impl Iterator<Item = &Failure> {
        let members = self.members.iter().filter_map(|member| member.result.as_ref().err());
        self.result.as_ref().err().into_iter().chain(members)
    }

    /// What has failed is not tried again, because the run was cancelled.
    pub(super) fn cancel(&mut self) {
        if self.result.is_err() {
            self.result = Err(Failure::Cancelled);
        }
        self.members.iter_mut().for_each(Outcome::cancel);
    }

    /// Takes secrets out of everything that is recorded or told. The log has none.
    pub fn hide(&mut self, secrets: &Secrets) {
        if secrets.is_empty() {
            return;
        }
        if let Err(failure) = &self.result {
            let text = failure.to_string();
            if let Cow::Owned(text) = secrets.mask(&text) {
                let is_transient = failure.is_transient();
                self.result = Err(Failure::Masked { text, is_transient });
            }
        }
        for earlier in &mut self.earlier {
            if let Cow::Owned(masked) = secrets.mask(&earlier.reason) {
                earlier.reason = masked;
            }
        }
        self.metadata.iter_mut().for_each(|value| secrets.mask_json(value));
        let found = self.checks.iter_mut().filter_map(|check| check.found.as_mut());
        for text in self.warnings.iter_mut().chain(found) {
            if let Cow::Owned(masked) = secrets.mask(text) {
                *text = masked;
            }
        }
        self.members.iter_mut().for_each(|member| member.hide(secrets));
    }
}

/// The log of one execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogInfo {
    pub path: PathBuf,
    /// What was written by the step, more than the file has if it was cut.
    pub bytes: u64,
    /// How many of them were left out.
    pub dropped: u64,
    /// The last lines, for a message.
    pub tail: String,
}
