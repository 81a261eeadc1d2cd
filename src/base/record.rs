//! Records of what happened, as the store keeps them and the planner reads them.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Digest, DigestBuilder, PartitionIdx, PartitionKey, PartitionSet, RunId};

/// The number of a committed change of the store. Freshness is decided by comparing revisions and
/// contents, never clocks.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Rev(pub u32);

impl fmt::Display for Rev {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What an execution took of the machine; `None` where that is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Of all its processes, or of its thread.
    pub cpu_ms: Option<u64>,
    /// The most memory that one of its processes had at once.
    pub peak_kib: Option<u64>,
}

impl Usage {
    /// The share of one of so many that were made by the same execution: all had the memory.
    #[must_use]
    pub fn share(self, of: usize) -> Usage {
        let of = u64::try_from(of).unwrap_or(u64::MAX).max(1);
        Usage { cpu_ms: self.cpu_ms.map(|cpu| cpu / of), ..self }
    }

    /// Of two executions, one after the other.
    #[must_use]
    pub fn and(self, other: Usage) -> Usage {
        let sum = |a: u64, b: Option<u64>| a.saturating_add(b.unwrap_or(0));
        Usage {
            cpu_ms: self.cpu_ms.map(|cpu| sum(cpu, other.cpu_ms)).or(other.cpu_ms),
            peak_kib: self.peak_kib.max(other.peak_kib),
        }
    }
}

/// The row of a [`StepParts`] in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepId(pub i64);

/// Everything but inputs and partition that decides what a step makes: a name for each part
/// (`code`, `config.threshold`, `env.REGION`, `deps.raw_weather` ...) and its value as `why` shows it.
///
/// The digest and the text of `why` come from this one value.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepParts(pub BTreeMap<String, String>);

impl StepParts {
    pub fn digest(&self) -> Digest {
        self.digest_with(|_, value| value)
    }

    /// The digest with other values: `value` is given each name with its value.
    pub fn digest_with<'a>(&'a self, value: impl Fn(&str, &'a str) -> &'a str) -> Digest {
        let mut builder: DigestBuilder = Digest::builder("giornata 2026 step");
        builder.number(self.0.len() as u64);
        for (name, text) in &self.0 {
            builder.part(name).part(value(name, text));
        }
        builder.finish()
    }
}

/// What the store knows of one asset as a whole. An asset that was never recorded has the default row.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AssetRow {
    /// Everything up to this revision is accounted for in `fresh`.
    pub verified_rev: Rev,
    /// The newest `changed_at` of the asset's partitions.
    pub max_changed: Rev,
    /// Digest of all that is the same for each partition (step, wiring, domains) as of `verified_rev`.
    pub shape: Option<Digest>,
    /// Partitions whose result accounts for every input change up to `verified_rev`. For a source:
    /// the partitions that exist.
    pub fresh: PartitionSet,
    /// Partitions whose last attempt failed.
    pub failed: PartitionSet,
    /// Which partitions of each upstream existed as of `verified_rev`, in the order of the deps; where
    /// inputs may be missing, without those that could not be had.
    pub seen: Vec<PartitionSet>,
}

/// Marks of a [`MatRow`]; several can be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(pub u32);

impl Flags {
    /// There is no longer a value: a source's file or row is gone, or the result was wiped.
    pub const REMOVED: Flags = Flags(1);
    /// Stale whatever its key says: invalidated by hand.
    pub const INVALIDATED: Flags = Flags(2);
    /// An input changed while the step ran, so the result may mix two states of it.
    pub const RACED: Flags = Flags(4);
    /// Accepted as fresh by hand: the key says what it was accepted for, not what made it.
    pub const ACCEPTED: Flags = Flags(8);
    /// Two runs with one key gave different results.
    pub const NONDETERMINISTIC: Flags = Flags(16);
    /// Beside `REMOVED`: its content was found to be gone from the store.
    pub const LOST: Flags = Flags(32);

    pub fn has(self, flag: Flags) -> bool {
        self.0 & flag.0 != 0
    }

    #[must_use]
    pub fn without(self, flag: Flags) -> Flags {
        Flags(self.0 & !flag.0)
    }

    #[must_use]
    pub fn with(self, flag: Flags) -> Flags {
        Flags(self.0 | flag.0)
    }
}

/// The current result of one partition of an asset, or the last observation of one of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatRow {
    pub part: PartitionIdx,
    /// When the version last differed from the one before.
    pub changed_at: Rev,
    /// As of when the result was last known to correspond to its inputs.
    pub verified_at: Rev,
    /// `None` for a source.
    pub step: Option<StepId>,
    /// The content key: the digest of everything that decided the result. A source has its version here.
    pub key: Digest,
    /// What downstream compares: the digest of the content (and of its column types, for a table).
    pub version: Digest,
    pub output: Option<Output>,
    pub run: Option<RunId>,
    pub flags: Flags,
    /// When the attempt that made it began, in milliseconds since 1970; of a source: when it was seen.
    pub made_ms: i64,
}

/// What one partition asked for of one upstream asset while it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedRow {
    pub part: PartitionIdx,
    /// The content key over everything else.
    pub base: Digest,
    /// In which version it got each; `None`: it was not there yet.
    pub keys: Vec<(PartitionKey, Option<Digest>)>,
}

/// What somebody said who marked a result by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// May be empty.
    pub reason: String,
    pub made_ms: i64,
}

/// What kind of thing a result is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputKind {
    /// Rows in one of the tabular formats; `schema` says the columns.
    Table,
    /// The bytes of one file.
    File,
    /// A directory, stored as a tree object.
    Tree,
}

/// Where a result is: content under a digest in the store.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Output {
    pub kind: OutputKind,
    pub digest: Digest,
    pub size: u64,
    /// How the bytes are to be read: column names and types of a table in the text form of the IO
    /// manager that wrote it; the name of a file. It counts as content, since a consumer sees it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
}

impl Output {
    /// The version that downstream compares.
    pub fn version(&self) -> Digest {
        match &self.schema {
            None => self.digest,
            Some(schema) => {
                Digest::builder("giornata 2026 version").digest(&self.digest).part(schema).finish()
            }
        }
    }
}

/// What is known of a result beside its content.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    pub part: PartitionIdx,
    /// The content key of the result, or of the attempt that gave none.
    pub key: Digest,
    pub run: RunId,
    /// In milliseconds since 1970.
    pub made_ms: i64,
    /// In declared order.
    pub checks: Vec<CheckFact>,
    /// What the step reported; the number of `rows` of a table among it.
    pub metadata: serde_json::Map<String, serde_json::Value>,
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckFact {
    pub name: String,
    /// `warn`, `error` or `blocking`.
    pub severity: String,
    /// What is wrong; absent if it passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
}

/// The last failed attempt of a partition whose `failed` bit is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureRow {
    pub part: PartitionIdx,
    pub key: Digest,
    pub run: RunId,
    /// One sentence: `exit status 3`, `timed out after 10m`, `wrote no output` ...
    pub reason: String,
}
