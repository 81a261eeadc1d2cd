//! Moves the rows of assets to the present: before the first commit of a run, and after its last.
//!
//! The opening settle writes the shape under which the run's results are made and which inputs there
//! are, and takes every fresh bit away that was made under another shape or reads what has come or gone,
//! before any result is recorded: a crash in the middle can then leave bits missing, never wrong. The closing settle asks the planner once more and records
//! which bits stand as of the revision that was asked about. Both write only if that revision is
//! still the newest.

use super::Error;
use super::open::Engine;
use crate::base::{AssetKey, AssetRow, PartitionSet};
use crate::plan::{Plan, Records};

/// How often the closing settle is tried again while other processes write. Giving up is sound: a
/// missing bit costs the computation of one key.
const TRIES_MAX: u32 = 4;

impl Engine {
    /// Says under which shape and of which inputs results are going to be made. False if another process
    /// has written meanwhile: the plan is then no longer the right one.
    pub(super) fn settle_opening(&mut self, plan: &Plan) -> Result<bool, Error> {
        let mut rows = Vec::new();
        for part in &plan.assets {
            if self.planner.def(&part.asset).is_source() || part.open().is_empty() {
                continue;
            }
            let row = self.ledger.row(&part.asset);
            let shape = Some(self.planner.shape(&part.asset));
            let seen = self.planner.readable(&part.asset);
            let (verified_rev, fresh) = match (row.shape == shape, row.seen == seen) {
                (true, true) => continue,
                // What is made of other inputs must not be taken for the result that had the bit, should
                // they all be as they were again.
                (true, false) => {
                    let moved = self.planner.reads_another(&part.asset, &row);
                    (row.verified_rev, &row.fresh - &moved)
                }
                (false, _) => (self.ledger.rev(), PartitionSet::new()),
            };
            let row = AssetRow { shape, verified_rev, fresh, seen, ..AssetRow::clone(&row) };
            rows.push((part.asset.clone(), row));
        }
        self.write_rows(&rows)
    }

    /// Records what is fresh now. Called when nothing of this engine runs any more.
    pub(super) fn settle_closing(&mut self, plan: &Plan) -> Result<(), Error> {
        for _ in 0..TRIES_MAX {
            if self.ledger.is_behind()? {
                self.catch_up()?;
            }
            let mut rows = Vec::new();
            for part in &plan.assets {
                if !self.planner.def(&part.asset).is_source()
                    && let Some(row) = self.settled_row(&part.asset)
                {
                    rows.push((part.asset.clone(), row));
                }
            }
            if self.write_rows(&rows)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The row as it should be; `None` if it is so already.
    fn settled_row(&self, asset: &AssetKey) -> Option<AssetRow> {
        let state = self.planner.freshness(asset);
        let known = self.ledger.row(asset);
        let upstream = self.planner.edges(asset);
        let moved = upstream
            .iter()
            .any(|edge| self.ledger.row(&edge.upstream).max_changed > known.verified_rev);
        let row = AssetRow {
            shape: Some(self.planner.shape(asset)),
            fresh: state.bits(),
            seen: self.planner.readable(asset),
            verified_rev: if moved { self.ledger.rev() } else { known.verified_rev },
            ..AssetRow::clone(&known)
        };
        // Without a bit there is nothing to account for.
        let idle = known.shape.is_none() && row.fresh.is_empty();
        (row != *known && !idle).then(|| AssetRow { verified_rev: self.ledger.rev(), ..row })
    }

    fn write_rows(&mut self, rows: &[(AssetKey, AssetRow)]) -> Result<bool, Error> {
        if rows.is_empty() {
            return Ok(!self.ledger.is_behind()?);
        }
        let written = self.ledger.write_if_current(|batch| {
            for (asset, row) in rows {
                batch.set_row(asset, row.clone())?;
            }
            Ok::<_, Error>(())
        })?;
        for (asset, _) in rows {
            self.planner.touch(asset);
        }
        Ok(written.is_some())
    }
}
