//! What the user declared, validated: a project of assets and sources, with their partitions.
//!
//! Values of this module are facts about declarations. They do no I/O, know no store, and are not
//! the form in which anything is written on a wire.

pub mod asset;
pub mod automation;
pub mod check;
pub mod config;
pub mod emit;
pub mod flow;
pub mod graph;
pub mod io;
pub mod job;
pub mod job_config;
pub mod op;
pub mod partition;
pub mod project;
pub mod resource;
pub mod retry;
pub mod schedule;
pub mod selection;
pub mod sensor;
pub mod source;
pub mod step;
pub mod template;
pub mod types;

pub use asset::{
    Asset, Body, CommandBody, CommandLine, Dep, FunctionBody, FunctionSlot, GraphBody, Missing,
    Origin, OutputDef, Policy, SharedStep, SqlBody, TableFormat, Word, WordPiece,
};
pub use automation::{Condition, InvalidCondition, Term};
pub use check::{Check, Comparison, Severity, Test};
pub use emit::{EmissionError, Emissions};
pub use flow::{Flow, FlowStep, Item, Slot, Wiring};
pub use graph::{
    Call, Callee, Entry, Graph, GraphMistake, GraphMistakeKind, MistakeAt, Port, Ref, Source,
};
pub use io::{IoDef, TableDef, TableMode};
pub use job::{Job, Work};
pub use job_config::{JobConfigMistake, graph_schema, job_schema, step_config};
pub use op::{HookDef, Hooks, Memo, Op};
pub use partition::{Domain, DynamicDef, KeyTable, Mapping, MappingDef, PartitionsDef};
pub use project::{Durability, Keep, KeepRuns, NetworkDisk, Project, Settings};
pub use resource::{ResourceDef, ResourceKind};
pub use retry::{Backoff, Jitter, Retries};
pub use schedule::{Catchup, Schedule, TickPartition};
pub use selection::{Selection, SelectionError, SelectionErrorKind};
pub use sensor::{
    AssetsDef, DirectoryDef, FileEvent, Needs, Ready, RunsDef, Sensor, Starts, Trigger,
};
pub use source::{ColumnType, PathPattern, PatternPiece, SourceDef, SplitBy};
pub use step::{Emits, InputDecl, Least, OutputDecl, StepDef, Takes};
pub use types::{Builtin, InvalidType, Predicate, TypeDef, TypeRef};
