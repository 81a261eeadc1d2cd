//! Explains the state of one partition: what differs, old and new, to the root causes.

use crate::base::{AssetKey, PartitionKey};
use crate::plan::ReasonCode;

/// The state of one partition with its causes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    pub asset: AssetKey,
    pub partition: PartitionKey,
    /// `fresh`, `stale`, `missing`, `maybe_stale`, `blocked`, `failed`.
    pub state: &'static str,
    pub causes: Vec<Cause>,
    /// For a fresh one: what proves it.
    pub proof: Vec<String>,
}

/// One cause, with its own causes if it lies further upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    pub code: ReasonCode,
    /// One sentence without the code.
    pub text: String,
    pub old: Option<String>,
    pub new: Option<String>,
    /// How many partitions this stands for; their list is cut at five.
    pub count: u64,
    /// Upstream partitions that are the cause, each explained.
    pub upstream: Vec<Why>,
}
