//! Opening a project.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use super::{AssetStatus, Error, Problem, ResultInfo, RunEvent, RunOptions, Summary, Value};
use crate::base::{AssetKey, Clock, PartitionIdx, PartitionSet};
use crate::defs::Project;
use crate::defs::partition::{PartitionExpr, PartitionTextError};
use crate::exec::{Control, Functions};
use crate::plan::{Plan, Planner, Request, Why};

/// Whether the store is going to be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Create the store if there is none.
    Write,
    /// Look only: what is observed stays in memory where there is no store or it cannot be written.
    Read,
}

/// What an engine is told about the world outside the project's files.
pub struct Options {
    /// Absolute.
    pub root: PathBuf,
    pub access: Access,
    pub clock: Arc<dyn Clock>,
    /// What commands inherit, `.env` included.
    pub env: Vec<(OsString, OsString)>,
    /// Values that replace configured ones: (asset, or `None` for every asset that has the name; name; value).
    pub set: Vec<(Option<AssetKey>, String, serde_json::Value)>,
    pub functions: Arc<dyn Functions>,
}

/// One open project.
pub struct Engine {}

impl Engine {
    pub fn open(project: Project, options: Options) -> Result<Engine, Error> {
        todo!()
    }

    pub fn project(&self) -> &Project {
        todo!()
    }

    /// Domains, edges, freshness: as of the last `refresh`.
    pub fn planner(&self) -> &Planner {
        todo!()
    }

    /// Looks at the sources that `targets` depend on, and at further files that their steps name.
    /// Returns warnings.
    pub fn refresh(&mut self, targets: &[AssetKey]) -> Result<Vec<String>, Error> {
        todo!()
    }

    /// The partitions that `expr` names, with `missing`, `failed` and `stale` answered.
    pub fn select(
        &self,
        asset: &AssetKey,
        expr: &PartitionExpr,
    ) -> Result<PartitionSet, PartitionTextError> {
        todo!()
    }

    pub fn status(&self, asset: &AssetKey) -> AssetStatus {
        todo!()
    }

    pub fn plan(&self, request: &Request) -> Plan {
        todo!()
    }

    /// Makes what `request` wants fresh. `events` hears what happens, in order, on this thread.
    pub fn materialize(
        &mut self,
        request: &Request,
        options: &RunOptions,
        control: &Control,
        events: &mut dyn FnMut(&Engine, RunEvent),
    ) -> Result<Summary, Error> {
        todo!()
    }

    /// Why a partition is in the state in which it is, to the root causes.
    pub fn why(&self, asset: &AssetKey, part: PartitionIdx) -> Why {
        todo!()
    }

    /// The recorded result of a partition, with the run and the time that produced it.
    pub fn result(&self, asset: &AssetKey, part: PartitionIdx) -> Result<ResultInfo, Error> {
        todo!()
    }

    /// The value of a recorded result or of a source's partition.
    pub fn value(&self, asset: &AssetKey, part: PartitionIdx) -> Result<Value, Error> {
        todo!()
    }

    /// A path at which the value can be read: of the export, the source file, or a copy under
    /// `.giornata/view/` with a readable name.
    pub fn path(&self, asset: &AssetKey, part: PartitionIdx) -> Result<PathBuf, Error> {
        todo!()
    }

    /// Everything that is wrong with the store; `deep` also hashes every blob again.
    pub fn doctor(&self, deep: Depth) -> Vec<Problem> {
        todo!()
    }
}

/// How thoroughly `doctor` looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    Records,
    /// Also hashes every blob again.
    Contents,
}
