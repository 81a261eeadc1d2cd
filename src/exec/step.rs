//! A step as plain data: everything that one execution needs, and everything it leaves behind.
//!
//! Nothing here ties a step to this process, so that the same value can be handed to another machine.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Failure, Resources, Secrets};
use crate::base::{AssetKey, Digest, PartitionKey, RunId};
use crate::defs::{Asset, ColumnType, Severity, TableFormat};
use crate::io::{BlobSource, Encoded};

/// One partition of one asset, to be made once.
#[derive(Clone)]
pub struct Step {
    pub asset: Arc<Asset>,
    pub partition: PartitionKey,
    /// Start and end of a time partition as SQL compares them: `$start`, `$end`.
    pub window: Option<(String, String)>,
    /// The same in RFC 3339, for commands.
    pub window_rfc3339: Option<(String, String)>,
    /// In declared order.
    pub inputs: Vec<Input>,
    /// The values of the asset's configuration for this run.
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
    pub timeout: Option<Duration>,
}

// Never the environment: it holds secrets.
impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step")
            .field("asset", &self.asset.key)
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

/// What a step reads of one upstream asset.
#[derive(Debug, Clone)]
pub struct Input {
    pub name: AssetKey,
    /// As a variable, or as a table.
    pub variable: String,
    /// One file, not a directory of them: decided by the kind of mapping, never by the count.
    pub single: bool,
    /// In canonical order.
    pub parts: Vec<Part>,
}

/// One partition of an input.
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
    /// A regular file in the staging directory; it is the receiver's to move away.
    File(PathBuf),
    /// A directory in the staging directory; it is the receiver's to move away.
    Directory(PathBuf),
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckResult {
    pub name: String,
    pub severity: Severity,
    /// What is wrong; `None` if it passed.
    pub found: Option<String>,
}

/// How one execution went.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub result: Result<Produced, Failure>,
    /// `None` if nothing was written to the log.
    pub log: Option<LogInfo>,
    pub duration: Duration,
    /// What the step reported about its result.
    pub metadata: Vec<serde_json::Value>,
    /// What the checks found, in declared order; empty where nothing was made.
    pub checks: Vec<CheckResult>,
    /// Sentences for the user that do not make the step fail.
    pub warnings: Vec<String>,
    /// The attempt that ended thus, counted from 1.
    pub attempt: u32,
}

impl Outcome {
    /// What is known before a step starts; its result is yet to be set.
    pub(super) fn new(step: &Step) -> Outcome {
        Outcome {
            result: Err(Failure::Cancelled),
            log: None,
            duration: Duration::ZERO,
            metadata: Vec::new(),
            checks: Vec::new(),
            warnings: Vec::new(),
            attempt: step.attempt,
        }
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
        self.metadata.iter_mut().for_each(|value| secrets.mask_json(value));
        let found = self.checks.iter_mut().filter_map(|check| check.found.as_mut());
        for text in self.warnings.iter_mut().chain(found) {
            if let Cow::Owned(masked) = secrets.mask(text) {
                *text = masked;
            }
        }
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
