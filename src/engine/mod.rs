//! The loop that makes a project fresh, and the only writer of the store.

mod event;
mod listing;
mod schedule;

pub use event::{RunEvent, Summary};
