//! The Rust API: declare sources and assets in code, and ask for their values.
//!
//! A [`Project`] is declared with builders; each declaration gives a [`Handle`] that carries the type
//! of the value, so an edge between a function and an input of another type does not compile.
//! [`Project::get`] is then a memoized query: what is fresh is loaded, what is not is computed, stored
//! and returned. Everything runs through the engine, as on the command line; nothing here decides what
//! is stale.
//!
//! ```
//! use giornata::api::{Parts, Project, Table};
//!
//! # let dir = tempfile::tempdir()?;
//! # std::fs::write(dir.path().join("rain.csv"), "date,mm\n2014-07-04,0.5\n2014-07-05,2.5\n")?;
//! let mut project = Project::new("weather", dir.path());
//! let rain = project.source("rain").split_by("date").files("rain.csv");
//! let daily = project
//!     .asset("daily")
//!     .daily("2014-07-04")
//!     .until("2014-07-06")
//!     .input(&rain)
//!     .compute(|_, rain: Table| Ok(rain));
//! let total = project.asset("total").inputs(&daily).compute(|_, days: Parts<Table>| {
//!     let mm: f64 = days.values().filter_map(|day| day.cell(0, "mm")?.as_real()).sum();
//!     Ok(format!("{mm} mm in {} days", days.len()))
//! });
//!
//! assert_eq!(project.get(&total, ())?, "3 mm in 2 days");
//! # Ok::<(), giornata::api::BoxError>(())
//! ```
//!
//! What does not fit does not compile: `rain` is a table, and this function wants a text.
//!
//! ```compile_fail,E0631
//! # use giornata::api::{Project, Table};
//! # let mut project = Project::new("weather", ".");
//! let rain = project.source("rain").files("rain.csv");
//! let daily = project.asset("daily").input(&rain).compute(|_, rain: String| Ok(rain));
//! ```
//!
//! Nor does one value where the declaration says several:
//!
//! ```compile_fail,E0631
//! # use giornata::api::{Project, Table};
//! # let mut project = Project::new("weather", ".");
//! let rain = project.source("rain").files("rain.csv");
//! let daily = project.asset("daily").inputs(&rain).compute(|_, rain: Table| Ok(rain));
//! ```

//!
//! # Jobs
//!
//! An [`op()`] is a step that keeps nothing; a [`job()`] wires ops together and runs them when it is told to,
//! in this process or, as part of a project, on its store. Edges are typed in the same way.
//!
//! ```
//! use giornata::api::{job, op};
//!
//! let read = op("read").run(|_| Ok("2 3 5".to_owned()));
//! let sum = op("sum").input::<String>("text").run(|_, text| {
//!     let numbers: Result<Vec<i64>, _> = text.split(' ').map(str::parse).collect();
//!     Ok(numbers?.iter().sum::<i64>())
//! });
//! let add = job("add").define(|g| { sum.call(g, read.call(g)); });
//! assert_eq!(add.execute_in_process()?.value::<i64>("sum")?, 10);
//! # Ok::<(), giornata::api::BoxError>(())
//! ```
//!
//! # Where to find what
//!
//! | to do what | by Dagster's name | here |
//! |---|---|---|
//! | name data and compute it | asset, multi-asset, source asset | [`Project::asset`], [`Project::assets`], [`Project::source`] |
//! | divide it by time or by key | partitions definition, partition mapping | [`Partitions`], [`Mapping`] |
//! | judge it | asset check | [`Asset::check`], [`Severity`] |
//! | ask for it, bring it up to date | materialize | [`Project::get`], [`Project::materialize`], [`Report`] |
//! | see what is stale, and why | stale status | [`Project::status`], [`Project::why`] |
//! | make steps and wire them | op, graph, job | [`op()`], [`graph()`], [`job()`] |
//! | leave a branch out, run a step for each piece | optional output, `DynamicOut` | [`OpBuilder::optional`], [`OpBuilder::pieces`] |
//! | check values | `DagsterType` | [`Kind`] |
//! | run a job for a day, or a region | partitioned job and config | [`JobBuilder::partitions`], [`Launch::partition`] |
//! | configure a run | `config_schema`, run config | [`OpBuilder::config`], [`JobBuilder::config`], [`Launch`] |
//! | share a connection | resource | [`resource()`], [`Resource`], [`Provider`] |
//! | put results elsewhere | IO manager | [`Io`] |
//! | try again, give up, be told | `RetryPolicy`, `Failure`, hook | [`Retries`], [`Again`], [`Fatal`], [`Hook`] |
//! | run it in a test | `execute_in_process` | [`Job::execute_in_process`], [`testing`](crate::testing) |
//! | build graphs from data | | [`raw`] |

mod backed;
mod batch;
mod body;
mod compute;
mod datum;
mod declare;
pub(crate) mod environment;
mod error;
mod graph;
mod handle;
mod hook;
mod inline;
mod io;
mod job;
mod job_partition;
mod job_run;
mod kind;
mod launch;
mod log;
mod managed;
mod op;
mod op_context;
mod partitions;
mod ports;
mod project;
pub mod raw;
mod report;
mod resolve;
mod resource;
mod result;
mod stored;
mod system;
mod together;
mod value;

#[cfg(test)]
mod job_tests;
#[cfg(test)]
mod store_tests;
#[cfg(test)]
mod tests;

pub use backed::Backs;
pub use body::{FailureKind, StepFailure};
pub use compute::{Append, Context, Wire};
pub use datum::Data;
pub use declare::{Asset, Sole, Source};
pub use error::{DeclarationError, Error, Mistake};
pub use graph::{Collected, Edge, Feeds, Graph, GraphBuilder, Pieces, Results, SubGraph, graph};
pub use handle::{Handle, IntoPartition, Parts};
pub use hook::{Again, Fatal, Hook};
pub use io::Io;
pub use job::{Job, JobBuilder, JobMistake, JobMistakeKind, job};
pub use job_run::{FailedOp, JobReport};
pub use kind::Kind;
pub use launch::Launch;
pub use log::{Level, LogLine, Logger};
pub use op::{Op, OpBuilder, op};
pub use op_context::OpContext;
pub use partitions::Partitions;
pub use ports::{
    After, Alone, Further, Longer, Many, Maybe, One, Output, Outputs, Param, Pieced, Plain,
    Undeclared,
};
pub use project::{Files, Program, Project};
pub use report::{Blocked, FailedStep, PartitionRef, Report, Status};
pub use resource::{Given, Provider, Resource, resource};
pub use result::JobResult;
pub use together::{Member, Members, Several, Wanted};
pub use value::{BoxError, Form, Json, Raw, Stored, Value};

pub use crate::base::{AssetKey, PartitionKey, TimeWindow};
pub use crate::defs::{
    Backoff, ColumnType, Jitter, MappingDef as Mapping, Retries, Severity, TableFormat, TableMode,
};
pub use crate::engine::flow::StepState;
pub use crate::engine::{State, Summary};
pub use crate::exec::{Http, Setup};
pub use crate::io::http::{HttpError, Reply, Request};
pub use crate::io::{Table, Value as Cell, Warehouse};
