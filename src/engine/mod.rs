//! The loop that makes a project fresh, and the only writer of the store.
//!
//! An [`Engine`] is one open project: its declarations, its records, its content store. It observes
//! sources, asks the planner, runs what is ready, records each result in one transaction, and asks
//! again. Everything that the command line and the Rust API do goes through it.

mod again;
mod asks;
mod attempts;
mod backfill;
mod blobs;
mod code;
mod doctor;
mod error;
mod event;
mod export;
mod exported;
mod fates;
pub mod flow;
mod gc;
mod history;
mod job;
mod join;
mod keys;
mod ledger;
mod listing;
mod managed;
mod observe;
mod open;
mod record;
mod report;
mod resource;
mod run;
mod schedule;
mod settle;
mod target;
mod upkeep;
mod watch;
mod wish;
mod work;
mod workers;

pub use crate::store::{
    Attempt, Backfill, BackfillRun, BackfillState, Fate, Fates, LaunchInfo, OpState, OpStep, Run,
    RunQuery, RunState, Told, Wish,
};
pub use backfill::{
    BackfillAsset, BackfillReport, BackfillSpec, BackfillSummary, Estimate, JobBackfillReport,
    JobUnderway, Progress, Rest, Underway,
};
pub use doctor::Depth;
pub use error::Error;
pub use event::{RunEvent, Summary};
pub use export::export_path;
pub use gc::{Amount, Collected, Gc, GcMode};
pub use history::{Attempts, Cancel, RunReport, StepLog};
pub use job::{JobEvent, JobSummary, Launch, partition_of};
pub use keys::KeyChange;
pub use open::{Access, Closed, Engine, Options, SetValue, Work};
pub use report::{
    Among, AssetStatus, Problem, ResultInfo, ResultMark, RunOptions, RunOrder, State, Value,
};
pub use resource::variable;
pub use upkeep::{Made, Observed, Refusal, Refused, Targets, Upkeep};
pub use watch::{
    Defined, End, Hear, Heard, OnStop, Rule, Stop, Until, WatchEvent, Watched, Watching, What,
};
pub use work::{error_text, spans};
pub use workers::Hands;
