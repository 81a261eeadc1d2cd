//! The one integration binary: a test file that is not listed here is found by `tidy`.

mod cli_arguments;
mod docs;
mod first_hour;
mod freshness;
mod tidy;
mod weather;
