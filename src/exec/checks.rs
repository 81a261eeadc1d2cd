//! Checks that a table must pass before it is recorded.

use super::Failure;
use crate::defs::Check;
use crate::io::Table;

/// Evaluates `checks` in order; the first that fails is the failure.
pub(super) fn verify(checks: &[Check], table: &Table) -> Result<(), Failure> {
    todo!()
}
