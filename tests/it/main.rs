//! The one integration binary: a test file that is not listed here is found by `tidy`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod backed;
mod bench;
mod bench_smoke;
mod checks;
mod cli_arguments;
mod cli_verbs;
mod config;
mod conformance_staleness;
mod damage;
mod docs;
mod examples;
mod first_hour;
mod found;
mod freshness;
mod freshness_by_hand;
mod freshness_cases;
mod freshness_oracle;
mod freshness_rig;
mod freshness_wide;
mod job_files;
mod jobs;
mod makes;
mod op_graphs;
mod op_runs;
mod ops;
mod pieces;
mod processes;
mod resources;
mod staleness_table;
mod tidy;
mod told;
mod upkeep;
mod weather;
