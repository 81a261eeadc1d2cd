//! What the engine tells about assets, results and runs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::base::{AssetKey, Output, PartitionSet, RunId};
use crate::defs::TableFormat;
use crate::plan::ReasonCode;

/// The states in which a partition can be, in the order in which they win: each partition is in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Running,
    Failed,
    Blocked,
    Missing,
    Stale,
    MaybeStale,
    Fresh,
    /// A record of a partition that no longer exists.
    Orphaned,
}

/// The partitions of an asset by state; every state is there, the empty ones too.
#[derive(Debug, Clone, PartialEq)]
pub struct AssetStatus {
    pub asset: AssetKey,
    pub sets: BTreeMap<State, PartitionSet>,
    /// Why the stale ones are stale.
    pub reasons: Vec<(ReasonCode, PartitionSet)>,
}

/// How a run is to go.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// Steps at once; `None`: as the project says, else as many as there are cores.
    pub jobs: Option<usize>,
    /// Start nothing more after the first failure.
    pub fail_fast: bool,
    /// What the user typed, for the record.
    pub command: String,
    pub tags: BTreeMap<String, String>,
}

/// A recorded result.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultInfo {
    pub output: Option<Output>,
    pub run: Option<RunId>,
    pub made_at: Option<DateTime<Utc>>,
    pub duration_ms: Option<u64>,
    pub log: Option<PathBuf>,
    /// Why the last attempt failed, if it did.
    pub failure: Option<String>,
}

/// The value of a partition.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// The bytes of a table file and how to read them.
    Table {
        bytes: Vec<u8>,
        format: TableFormat,
        schema: Option<String>,
    },
    /// One file: small ones by their bytes.
    File(PathBuf),
    Bytes(Vec<u8>),
    Directory(PathBuf),
}

/// Something that is wrong with the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub what: String,
    /// What to do about it.
    pub help: String,
}
