//! giornata: an asset-centric incremental build system for data pipelines.

pub mod base;
pub mod cas;
pub mod defs;
pub mod store;
