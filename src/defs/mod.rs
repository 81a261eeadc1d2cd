//! What the user declared, validated: a project of assets and sources, with their partitions.
//!
//! Values of this module are facts about declarations. They do no I/O, know no store, and are not
//! the form in which anything is written on a wire.

pub mod asset;
pub mod check;
pub mod config;
pub mod partition;
pub mod project;
pub mod selection;
pub mod source;

pub use asset::{
    Asset, Backoff, Body, CommandBody, CommandLine, Dep, FunctionBody, Missing, Origin, OutputDef,
    Policy, Retries, SqlBody, TableFormat, Word, WordPiece,
};
pub use check::{Check, Comparison, Severity, Test};
pub use partition::{Domain, DynamicDef, KeyTable, Mapping, MappingDef, PartitionsDef};
pub use project::{Durability, NetworkDisk, Project, Settings};
pub use selection::{Selection, SelectionError, SelectionErrorKind};
pub use source::{ColumnType, PathPattern, PatternPiece, SourceDef, SplitBy};
