//! An op: a step that yields no asset, to be called in graphs any number of times.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::config::Schema;
use super::{
    Body, CommandLine, FunctionSlot, InputDecl, IoDef, Origin, OutputDecl, Retries, StepDef,
};
use crate::base::StepName;

/// One declared op.
#[derive(Debug, Clone, PartialEq)]
pub struct Op {
    pub name: String,
    pub origin: Origin,
    pub body: Body,
    /// In declared order; each name once.
    pub inputs: Arc<[InputDecl]>,
    /// In declared order; each name once.
    pub outputs: Arc<[OutputDecl]>,
    /// What can be configured of the op itself.
    pub config: Schema,
    /// Which fields of the job's configuration it reads.
    pub reads: BTreeSet<String>,
    pub memo: Memo,
    /// Where what it gives is also put, by an IO manager.
    pub io: Option<IoDef>,
    /// Replaces the digest of the code, if the user wants to say when the code has changed.
    pub version: Option<String>,
    pub hooks: Hooks,
    pub retries: Retries,
    pub timeout: Option<Duration>,
    pub pool: Option<Arc<str>>,
    pub resources: BTreeSet<String>,
    /// Names of environment variables that count.
    pub env: BTreeSet<String>,
    /// Globs of project files that count, relative to the project's root.
    pub files: Vec<String>,
    pub description: Option<String>,
}

/// Whether an op runs whenever its job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Memo {
    #[default]
    Never,
    /// A result that was made of the same is taken instead.
    ByContent,
}

/// What is done after a step has ended, once for each piece, after the last attempt; never for a step
/// that was skipped or blocked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hooks {
    pub success: Vec<HookDef>,
    pub failure: Vec<HookDef>,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookDef {
    Run(CommandLine),
    Function(FunctionSlot),
}

impl Op {
    /// An op without inputs, with one output, `result`.
    pub fn new(name: &str, origin: Origin, body: Body) -> Op {
        Op {
            name: name.to_owned(),
            origin,
            body,
            inputs: [].into(),
            outputs: [OutputDecl::result()].into(),
            config: Schema::shape([]),
            reads: BTreeSet::new(),
            io: None,
            memo: Memo::Never,
            version: None,
            hooks: Hooks::default(),
            retries: Retries::default(),
            timeout: None,
            pool: None,
            resources: BTreeSet::new(),
            env: BTreeSet::new(),
            files: Vec::new(),
            description: None,
        }
    }

    /// The step that a call of it is.
    pub fn step(&self, name: StepName) -> StepDef {
        StepDef {
            name,
            origin: self.origin.clone(),
            body: self.body.clone(),
            inputs: self.inputs.clone(),
            outputs: self.outputs.clone(),
            checks: Vec::new(),
            retries: self.retries.clone(),
            timeout: self.timeout,
            pool: self.pool.clone(),
            resources: self.resources.clone(),
            env: self.env.clone(),
        }
    }
}

impl Hooks {
    pub fn is_empty(&self) -> bool {
        self.success.is_empty() && self.failure.is_empty()
    }

    /// These, and then others.
    pub fn and(&self, others: &Hooks) -> Hooks {
        let joined = |a: &[HookDef], b: &[HookDef]| a.iter().chain(b).cloned().collect();
        Hooks {
            success: joined(&self.success, &others.success),
            failure: joined(&self.failure, &others.failure),
        }
    }
}
