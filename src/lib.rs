//! giornata: an asset-centric incremental build system for data pipelines.

pub mod api;
pub mod base;
pub mod cas;
pub mod defs;
pub mod engine;
pub mod exec;
pub mod io;
pub mod load;
pub mod plan;
pub mod store;
pub mod testing;
