//! The one integration binary: a test file that is not listed here is found by `tidy`.

mod examples;
mod freshness;
mod tidy;
