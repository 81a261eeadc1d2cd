//! The loop that makes a project fresh, and the only writer of the store.
//!
//! An [`Engine`] is one open project: its declarations, its records, its content store. It observes
//! sources, asks the planner, runs what is ready, records each result in one transaction, and asks
//! again. Everything that the command line and the Rust API do goes through it.

mod error;
mod event;
mod listing;
mod open;
mod report;
mod schedule;

pub use error::Error;
pub use event::{RunEvent, Summary};
pub use open::{Access, Depth, Engine, Options};
pub use report::{AssetStatus, Problem, ResultInfo, RunOptions, State, Value};
