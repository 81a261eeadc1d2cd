//! The one integration binary: a test file that is not listed here is found by `tidy`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bench_smoke;
mod cli_arguments;
mod cli_verbs;
mod damage;
mod docs;
mod examples;
mod first_hour;
mod freshness;
mod freshness_cases;
mod freshness_rig;
mod freshness_wide;
mod processes;
mod tidy;
mod told;
mod upkeep;
mod weather;
