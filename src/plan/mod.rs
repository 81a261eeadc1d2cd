//! Decides what is stale, and what to do about it: pure functions of declarations and records.
//!
//! A [`Planner`] holds the declarations as salsa inputs and is given the records as a
//! [`Records`] object. [`Planner::freshness`] tells the state of each partition of an asset,
//! [`Planner::plan`] restricts it to a request, [`Planner::decide`] judges one partition in the
//! middle of a run, [`Planner::why`] explains. Nothing here reads a disk, a clock or the environment.

mod db;
mod freshness;
mod manifest;
mod planner;
mod reason;
mod records;
mod request;
mod why;

pub use db::{Edge, StepVersion};
pub use freshness::{Freshness, Judgement, Restore, Terms, Traces, Verify};
pub use manifest::{Given, code_parts, key_order, pieces_shape};
pub use planner::{Askable, Decision, Planner};
pub use reason::{PartChange, ReasonCode};
pub use records::{Records, Trace};
pub use request::{Chosen, Plan, PlanAsset, Reach, Request};
pub use why::{Cause, Why};
