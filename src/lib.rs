//! giornata: an asset-centric incremental build system for data pipelines.

pub mod base;
pub mod defs;
pub mod exec;
pub mod io;
