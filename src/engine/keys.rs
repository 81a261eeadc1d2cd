//! Adds and removes keys of sets that are kept by hand: `partitions: {dynamic: NAME}`.
//!
//! A removed key keeps its results and its index. They are orphaned, and fresh again when it comes back.

use std::collections::BTreeSet;

use super::Error;
use super::open::Engine;
use crate::base::{AssetKey, PartitionKey};
use crate::defs::{DynamicDef, PartitionsDef};

/// What is done with keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyChange {
    Add,
    Remove,
}

impl Engine {
    /// Adds keys to the set that the partitions of `asset` are, or removes them, for every asset that
    /// shares the set. Says which keys were not there, or were there already.
    pub fn change_keys(
        &mut self,
        asset: &AssetKey,
        change: KeyChange,
        keys: &[PartitionKey],
    ) -> Result<BTreeSet<PartitionKey>, Error> {
        self.writable()?;
        let table = self.set_by_hand(asset)?;
        let (known, present) = self.ledger.key_rows(&table)?;
        let is_there = |key: &PartitionKey| {
            let place = known.iter().position(|it| it == key);
            place.is_some_and(|place| present.contains(place as u32))
        };
        let wanted: BTreeSet<PartitionKey> = keys.iter().cloned().collect();
        let (there, new): (BTreeSet<_>, BTreeSet<_>) = wanted.into_iter().partition(is_there);
        let changed: Vec<PartitionKey> = match change {
            KeyChange::Add => keys.iter().filter(|key| new.contains(*key)).cloned().collect(),
            KeyChange::Remove => there.iter().cloned().collect(),
        };
        self.ledger.write(|batch| match change {
            KeyChange::Add => batch.tx().add_keys(&table, &changed).map(drop),
            KeyChange::Remove => batch.tx().remove_keys(&table, &changed).map(drop),
        })?;
        self.catch_up()?;
        Ok(match change {
            KeyChange::Add => there,
            KeyChange::Remove => new,
        })
    }

    fn set_by_hand(&self, asset: &AssetKey) -> Result<String, Error> {
        let fault =
            |problem: &str| Error::Keys { asset: asset.clone(), problem: problem.to_owned() };
        let by_hand = |def: &PartitionsDef| match def {
            PartitionsDef::Dynamic(def @ DynamicDef::Named(_)) => Some(def.table()),
            PartitionsDef::Dynamic(DynamicDef::Source(_) | DynamicDef::Pieces(_))
            | PartitionsDef::Unpartitioned
            | PartitionsDef::TimeWindow(_)
            | PartitionsDef::Static(_)
            | PartitionsDef::Multi(_) => None,
        };
        match &self.project.assets[asset].partitions {
            PartitionsDef::Multi(dimensions) => {
                let tables: BTreeSet<String> = dimensions.values().filter_map(by_hand).collect();
                let mut tables = tables.into_iter();
                match (tables.next(), tables.next()) {
                    (Some(table), None) => Ok(table),
                    (None, _) => Err(fault("no dimension is a set that is kept by hand")),
                    (Some(_), Some(_)) => {
                        Err(fault("several dimensions are sets that are kept by hand"))
                    }
                }
            }
            PartitionsDef::Dynamic(DynamicDef::Source(source)) => {
                let what = format!("they are the keys of the source `{source}`");
                Err(fault(&what))
            }
            PartitionsDef::Dynamic(DynamicDef::Pieces(maker)) => {
                Err(fault(&format!("they are the pieces that `{maker}` makes")))
            }
            PartitionsDef::Unpartitioned => Err(fault("it has no partitions")),
            def => by_hand(def).ok_or_else(|| fault("they are declared in a file; edit that")),
        }
    }
}
