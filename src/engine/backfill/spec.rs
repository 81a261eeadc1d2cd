//! What a backfill was asked for, in the form in which it is recorded: enough to carry out what is left of
//! it in another process.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::AssetKey;
use crate::engine::open::SetValue;
use crate::engine::report::RunOrder;
use crate::plan::Reach;

/// How a backfill goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackfillSpec {
    /// The job of which it is, if it is of one.
    #[serde(default)]
    pub job: Option<String>,
    /// Of the job, without secrets.
    #[serde(default)]
    pub config: serde_json::Value,
    /// Steps at once; `None`: as the project says.
    #[serde(default)]
    pub jobs: Option<usize>,
    #[serde(default)]
    pub fail_fast: bool,
    #[serde(default)]
    pub order: RunOrder,
    /// A run makes at most so many partitions of each target.
    #[serde(default)]
    pub chunk: Option<u64>,
    pub reach: Reach,
    /// Targets run whatever their state.
    #[serde(default)]
    pub force: bool,
    /// Configured values that are replaced.
    #[serde(default)]
    pub set: Vec<SetValue>,
    /// Of a job of ops: only these.
    #[serde(default)]
    pub ops: Option<String>,
    /// Of a job of ops: the values that it was given, in a form of the caller's.
    #[serde(default)]
    pub given: serde_json::Value,
    /// Of a job of ops: what the numbers of its partitions meant.
    #[serde(default)]
    pub job_space: Option<String>,
    /// What the numbers of partitions meant, by asset.
    #[serde(default)]
    pub spaces: BTreeMap<AssetKey, String>,
}

impl BackfillSpec {
    /// One run of assets in the usual order, of what is not fresh.
    pub fn new(reach: Reach) -> BackfillSpec {
        BackfillSpec {
            job: None,
            config: serde_json::Value::Null,
            jobs: None,
            fail_fast: false,
            order: RunOrder::default(),
            chunk: None,
            reach,
            force: false,
            set: Vec::new(),
            ops: None,
            given: serde_json::Value::Null,
            job_space: None,
            spaces: BTreeMap::new(),
        }
    }
}
