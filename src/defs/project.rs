//! The project as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;

use super::{Asset, Job, PartitionsDef, ResourceDef, Schedule, Sensor, TypeDef};
use crate::base::{AssetKey, JobName};
pub use crate::base::{Durability, NetworkDisk};

/// A validated project: everything in it refers to what exists, and its graph has no cycle.
///
/// What a broken file declares is not here; its names are in `broken`, so that a command whose
/// targets need them can say why it cannot go on.
#[derive(Debug, Clone, PartialEq)]
pub struct Project {
    pub name: String,
    pub timezone: Tz,
    /// Assets and sources share one name space.
    pub assets: BTreeMap<AssetKey, Arc<Asset>>,
    pub jobs: BTreeMap<JobName, Arc<Job>>,
    pub sensors: BTreeMap<JobName, Arc<Sensor>>,
    pub schedules: BTreeMap<JobName, Arc<Schedule>>,
    /// Partition sets that `giornata.toml` names, for `partitions = "name"`.
    pub partition_sets: BTreeMap<String, PartitionsDef>,
    /// Types of the user's, by the name that a declaration of an input or an output says.
    pub types: BTreeMap<String, TypeDef>,
    /// Those of kinds that are built in, by name.
    pub resources: BTreeMap<String, Arc<ResourceDef>>,
    /// How many steps of each pool may run at once.
    pub pools: BTreeMap<Arc<str>, u32>,
    /// Declared with an error, or downstream of such.
    pub broken: BTreeSet<AssetKey>,
    pub settings: Settings,
}

/// How the store and the engine of this project behave; nothing here makes anything stale.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How many steps run at once; `None`: as many as there are cores.
    pub jobs: Option<usize>,
    /// How many steps run at once in all processes of the project; `None`: no limit but theirs.
    pub max_steps: Option<usize>,
    /// Outputs of at most this many bytes live inside the database; at most 16 KiB.
    pub inline_max_bytes: u64,
    pub durability: Durability,
    pub network_disk: NetworkDisk,
    /// A step's log is cut at this many bytes: its head and its tail are kept.
    pub log_max_bytes: u64,
    pub keep: Keep,
}

/// What `gc` keeps that nothing current needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// How many former results of each partition can come back without running; `None`: all.
    pub results: Option<u32>,
    /// Former results as old as that go; `None`: none do because of their age.
    pub results_for: Option<Duration>,
    /// The oldest former results go until all results have at most so many bytes; `None`: none do.
    pub bytes: Option<u64>,
    pub runs: KeepRuns,
}

/// Which runs are remembered that made nothing current.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepRuns {
    /// Those that began since then.
    For(Duration),
    /// So many of the last.
    Last(u64),
}

impl Default for Keep {
    fn default() -> Keep {
        let month = Duration::from_secs(30 * 24 * 3600);
        Keep { results: None, results_for: None, bytes: None, runs: KeepRuns::For(month) }
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            jobs: None,
            max_steps: None,
            inline_max_bytes: 4096,
            durability: Durability::Batch,
            network_disk: NetworkDisk::Refuse,
            log_max_bytes: 64 << 20,
            keep: Keep::default(),
        }
    }
}

impl Project {
    /// A project in which nothing is declared.
    pub fn empty() -> Project {
        Project {
            name: String::new(),
            timezone: Tz::UTC,
            assets: BTreeMap::new(),
            jobs: BTreeMap::new(),
            sensors: BTreeMap::new(),
            schedules: BTreeMap::new(),
            partition_sets: BTreeMap::new(),
            types: BTreeMap::new(),
            resources: BTreeMap::new(),
            pools: BTreeMap::new(),
            broken: BTreeSet::new(),
            settings: Settings::default(),
        }
    }

    /// Every asset after all that it reads; among equals by name.
    pub fn topological(&self) -> Vec<AssetKey> {
        let mut order = Vec::with_capacity(self.assets.len());
        let mut seen = BTreeSet::new();
        for root in self.assets.keys() {
            // A stack of its own: a chain of assets may be longer than the thread's stack is deep.
            let mut stack = vec![(root, false)];
            while let Some((key, upstream_done)) = stack.pop() {
                if upstream_done {
                    order.push(key.clone());
                } else if seen.insert(key)
                    && let Some(asset) = self.assets.get(key)
                {
                    stack.push((key, true));
                    let upstream = asset.deps.iter().rev().map(|dep| &dep.upstream);
                    stack.extend(upstream.filter(|up| *up != key).map(|up| (up, false)));
                }
            }
        }
        order
    }
}
