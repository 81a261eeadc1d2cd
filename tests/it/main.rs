//! The one integration binary: a test file that is not listed here is found by `tidy`.

mod freshness;
mod tidy;
