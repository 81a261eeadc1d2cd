//! The one integration binary: a test file that is not listed here is found by `tidy`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cli_arguments;
mod docs;
mod first_hour;
mod freshness;
mod freshness_cases;
mod freshness_rig;
mod tidy;
mod upkeep;
mod weather;
