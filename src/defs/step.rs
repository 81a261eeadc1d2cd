//! A step as it is declared: what it takes and gives, how it is run. Assets and ops compile to it.
//!
//! Everything here is plain data, so that a step can be carried out by any worker. A function is named by
//! its place in the program's table, never held.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::{Asset, Body, Check, Origin, OutputDef, Retries, SharedStep, TypeRef};
use crate::base::StepName;

/// One step: of a flow, or the one that makes an asset.
#[derive(Debug, Clone, PartialEq)]
pub struct StepDef {
    pub name: StepName,
    pub origin: Origin,
    pub body: Body,
    /// In declared order; each name once. Those of an asset follow from its edges, and are not here.
    pub inputs: Arc<[InputDecl]>,
    /// In declared order; each name once.
    pub outputs: Arc<[OutputDecl]>,
    pub checks: Vec<Check>,
    pub retries: Retries,
    pub timeout: Option<Duration>,
    /// At most so many steps of one pool run at once as the project says.
    pub pool: Option<Arc<str>>,
    /// Names of resources that it uses.
    pub resources: BTreeSet<String>,
    /// Names of environment variables that count.
    pub env: BTreeSet<String>,
}

/// A named input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputDecl {
    pub name: Arc<str>,
    pub takes: Takes,
    /// Of the value; of each value, if it takes many.
    pub kind: TypeRef,
}

/// How many values an input takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Takes {
    /// One value. It may be a list made of several steps' values, if its type is one of lists.
    One,
    /// One of each of several steps, or one of each piece.
    Many,
    /// No value: only the order counts.
    Nothing,
}

/// A named output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputDecl {
    pub name: Arc<str>,
    pub emits: Emits,
    pub form: OutputDef,
    /// Of the value; of each piece, if it gives pieces.
    pub kind: TypeRef,
}

/// How often a step gives a value at an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Emits {
    /// Once; the step fails where it does not.
    Required,
    /// Once or not at all; what reads it is skipped where there is none.
    Optional,
    /// Any number of times, each time under a key of its own.
    Pieces(Least),
}

/// What no pieces mean to the step that collects them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Least {
    /// It gets an empty list.
    None,
    /// It is skipped.
    Skip,
}

impl StepDef {
    /// The step that makes the partitions of an asset.
    pub fn of_asset(asset: &Asset) -> StepDef {
        StepDef {
            name: StepName::from(&asset.key),
            origin: asset.origin.clone(),
            body: asset.body.clone(),
            inputs: [].into(),
            outputs: [OutputDecl { form: asset.output.clone(), ..OutputDecl::result() }].into(),
            checks: asset.checks.clone(),
            retries: asset.policy.retries.clone(),
            timeout: asset.policy.timeout,
            pool: asset.policy.pool.clone(),
            resources: BTreeSet::new(),
            env: asset.env.clone(),
        }
    }
}

impl StepDef {
    /// The step that makes `asset` together with others: each is an output that may be left out, in this
    /// order. Checks are those of each asset alone.
    pub fn of_shared<'a>(
        shared: &SharedStep,
        asset: &Asset,
        makes: impl Iterator<Item = &'a Asset>,
    ) -> StepDef {
        let output = |asset: &Asset| OutputDecl {
            name: Arc::from(&asset.key),
            emits: Emits::Optional,
            form: asset.output.clone(),
            kind: TypeRef::Any,
        };
        StepDef {
            name: StepName::shared(&shared.name),
            outputs: makes.map(output).collect(),
            checks: Vec::new(),
            ..StepDef::of_asset(asset)
        }
    }
}

impl InputDecl {
    /// An input of one value of any type.
    pub fn one(name: &str) -> InputDecl {
        InputDecl { name: name.into(), takes: Takes::One, kind: TypeRef::Any }
    }
}

impl OutputDecl {
    /// The name of an only output.
    pub const RESULT: &str = "result";

    /// The only output of an op that declares none.
    pub fn result() -> OutputDecl {
        OutputDecl {
            name: OutputDecl::RESULT.into(),
            emits: Emits::Required,
            form: OutputDef::File { name: "result".to_owned() },
            kind: TypeRef::Any,
        }
    }
}

impl Emits {
    pub fn is_pieces(self) -> bool {
        match self {
            Emits::Pieces(_) => true,
            Emits::Required | Emits::Optional => false,
        }
    }
}
