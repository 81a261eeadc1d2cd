//! Tests of the store: any sequence of transactions does what a naive model in memory does.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::tests::{digest, key, mat, output, set};
use super::*;
use crate::base::{AssetRow, FailureRow, Flags, MatRow, PartitionKey, PartitionSet, Rev, RunId};

const ASSETS: u8 = 3;
const PARTS: u32 = 6;

#[derive(Debug, Clone)]
enum Op {
    Put { asset: u8, part: u32, from: u8, content: u8 },
    Remove { asset: u8, parts: Vec<u32> },
    Invalidate { asset: u8, parts: Vec<u32> },
    Fail { asset: u8, part: u32 },
    Mend { asset: u8, part: u32 },
    Set { asset: u8, fresh: Vec<u32>, seen: Vec<Vec<u32>>, verified: u32 },
    Fresh { asset: u8, add: Vec<u32>, clear: Vec<u32> },
    Trace { asset: u8, from: u8, content: u8 },
    Keys { add: Vec<u8>, remove: Vec<u8> },
    Blob { content: u8 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Commit,
    RollBack,
    CommitAndReopen,
}

/// What the store should say, kept in the plainest way.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    rev: u32,
    changed: bool,
    assets: BTreeMap<u8, AssetRow>,
    mats: BTreeMap<(u8, u32), MatRow>,
    log: BTreeMap<(u8, u32, u32), Digest>,
    failures: BTreeMap<(u8, u32), FailureRow>,
    traces: BTreeMap<u8, (u8, u8)>,
    keys: Vec<u8>,
    present: PartitionSet,
    blobs: PartitionSet,
}

fn name(asset: u8) -> AssetKey {
    key(&format!("a{asset}"))
}

fn text(prefix: &str, number: u8) -> String {
    format!("{prefix}{number}")
}

fn failure(part: u32) -> FailureRow {
    FailureRow { part, key: digest("k"), run: RunId(u64::from(part)), reason: "r".to_owned() }
}

fn keys(numbers: &[u8]) -> Vec<PartitionKey> {
    numbers.iter().map(|n| PartitionKey::new(text("key", *n))).collect()
}

impl Model {
    fn asset(&mut self, asset: u8) -> &mut AssetRow {
        self.assets.entry(asset).or_default()
    }

    fn record(&mut self, asset: u8, mut row: MatRow) {
        let removed = |row: &MatRow| row.flags.has(Flags::REMOVED);
        let before = self.mats.get(&(asset, row.part));
        let same = before.is_some_and(|before| {
            removed(before) == removed(&row) && before.version == row.version
        });
        self.changed = true;
        row.changed_at = match before {
            Some(before) if same => before.changed_at,
            Some(_) | None => Rev(self.rev + 1),
        };
        if !same {
            self.log.insert((asset, row.part, self.rev + 1), row.version);
            self.asset(asset).max_changed = Rev(self.rev + 1);
        }
        self.asset(asset);
        self.mats.insert((asset, row.part), row);
    }

    fn remove(&mut self, asset: u8, parts: &[u32]) {
        let none = Digest::from_bytes([0; 32]);
        self.asset(asset);
        for part in &set(parts.iter().copied()) {
            let there = self.mats.get(&(asset, part));
            if there.is_some_and(|row| !row.flags.has(Flags::REMOVED)) {
                let tombstone = MatRow {
                    key: none,
                    version: none,
                    output: None,
                    run: None,
                    flags: Flags::REMOVED,
                    verified_at: Rev(self.rev + 1),
                    ..mat(part, "", "")
                };
                self.record(asset, tombstone);
            }
        }
    }

    fn edit_keys(&mut self, add: &[u8], remove: &[u8]) {
        for key in add {
            let place = self.keys.iter().position(|known| known == key);
            let place = place.unwrap_or_else(|| {
                self.keys.push(*key);
                self.keys.len() - 1
            });
            self.changed |= self.present.insert(place as u32);
        }
        for key in remove {
            if let Some(place) = self.keys.iter().position(|known| known == key) {
                self.changed |= self.present.remove(place as u32);
            }
        }
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Put { asset, part, from, content } => {
                self.record(*asset, mat(*part, &text("k", *from), &text("v", *content)));
            }
            Op::Remove { asset, parts } => self.remove(*asset, parts),
            Op::Invalidate { asset, parts } => {
                self.asset(*asset);
                for part in parts {
                    if let Some(row) = self.mats.get_mut(&(*asset, *part)) {
                        row.flags = row.flags.with(Flags::INVALIDATED);
                        self.changed = true;
                    }
                }
            }
            Op::Fail { asset, part } => {
                self.asset(*asset).failed.insert(*part);
                self.failures.insert((*asset, *part), failure(*part));
                self.changed = true;
            }
            Op::Mend { asset, part } => {
                if self.failures.remove(&(*asset, *part)).is_some() {
                    self.asset(*asset).failed.remove(*part);
                    self.changed = true;
                }
            }
            Op::Set { asset, fresh, seen, verified } => {
                let before = self.asset(*asset).clone();
                let row = self.asset(*asset);
                row.fresh = set(fresh.iter().copied());
                row.seen = seen.iter().map(|parts| set(parts.iter().copied())).collect();
                row.verified_rev = Rev(*verified);
                self.changed |= before != self.assets[asset];
            }
            Op::Fresh { asset, add, clear } => {
                let before = self.asset(*asset).fresh.clone();
                let row = self.asset(*asset);
                row.fresh |= set(add.iter().copied());
                let between = row.fresh.clone();
                row.fresh -= set(clear.iter().copied());
                self.changed |= before != between || between != self.assets[asset].fresh;
            }
            Op::Trace { asset, from, content } => {
                self.asset(*asset);
                if !self.traces.contains_key(from) {
                    self.traces.insert(*from, (*asset, *content));
                    self.changed = true;
                }
            }
            Op::Keys { add, remove } => self.edit_keys(add, remove),
            Op::Blob { content } => self.changed |= self.blobs.insert(u32::from(*content)),
        }
    }

    fn commit(&mut self) {
        self.rev += u32::from(self.changed);
        self.changed = false;
    }
}

fn apply(tx: &mut Tx<'_>, op: &Op) -> Result<(), Error> {
    let parts = |parts: &[u32]| set(parts.iter().copied());
    match op {
        Op::Put { asset, part, from, content } => {
            let row = mat(*part, &text("k", *from), &text("v", *content));
            tx.put_mat(&name(*asset), &row).map(|_| ())
        }
        Op::Remove { asset, parts: which } => {
            tx.remove_mat(&name(*asset), &parts(which)).map(|_| ())
        }
        Op::Invalidate { asset, parts: which } => {
            tx.add_flags(&name(*asset), &parts(which), Flags::INVALIDATED).map(|_| ())
        }
        Op::Fail { asset, part } => tx.put_failure(&name(*asset), &failure(*part)),
        Op::Mend { asset, part } => tx.clear_failure(&name(*asset), *part),
        Op::Set { asset, fresh, seen, verified } => {
            let row = AssetRow {
                verified_rev: Rev(*verified),
                fresh: parts(fresh),
                seen: seen.iter().map(|set| parts(set)).collect(),
                ..AssetRow::default()
            };
            tx.set_asset(&name(*asset), &row)
        }
        Op::Fresh { asset, add, clear } => {
            tx.add_fresh(&name(*asset), &parts(add))?;
            tx.clear_fresh(&name(*asset), &parts(clear))
        }
        Op::Trace { asset, from, content } => {
            let content = text("v", *content);
            let key = digest(&text("k", *from));
            let (output, version) = (output(&content), digest(&content));
            let (asset, partition) = (&name(*asset), &PartitionKey::unpartitioned());
            let (output, version) = (&output, &version);
            let trace = NewTrace { asset, part: 0, partition, output, version, made_ms: 7 };
            tx.put_trace(&key, &trace).map(|_| ())
        }
        Op::Keys { add, remove } => {
            tx.add_keys("t", &keys(add))?;
            tx.remove_keys("t", &keys(remove)).map(|_| ())
        }
        Op::Blob { content } => {
            let content = text("v", *content);
            tx.put_blob_small(&digest(&content), content.as_bytes())
        }
    }
}

/// Asks the store everything, and compares with the model.
fn compare(store: &Store, model: &Model) -> Result<(), Error> {
    assert_eq!(store.rev()?, Rev(model.rev));
    let assets: BTreeMap<_, _> = store.assets()?.into_iter().collect();
    let expected: BTreeMap<_, _> =
        model.assets.iter().map(|(asset, row)| (name(*asset), row.clone())).collect();
    assert_eq!(assets, expected);
    for asset in 0..ASSETS {
        let key = name(asset);
        let rows: Vec<_> = (0..PARTS).filter_map(|part| model.mats.get(&(asset, part))).collect();
        let found = store.rows_in(&key, &set(0..PARTS))?;
        assert_eq!(found.iter().collect::<Vec<_>>(), rows);
        let column = store.column(&key)?;
        let versions: Vec<_> = column.iter().map(|mark| mark.version).collect();
        assert_eq!(versions, rows.iter().map(|row| row.version).collect::<Vec<_>>());
        for rev in 0..=model.rev {
            let changed: PartitionSet =
                rows.iter().filter(|row| row.changed_at > Rev(rev)).map(|row| row.part).collect();
            assert_eq!(store.changed_since(&key, Rev(rev))?, changed);
            for part in 0..PARTS {
                let version = model.log.range((asset, part, 0)..=(asset, part, rev)).last();
                let found = store.changed_versions(&key, part, Rev(rev))?;
                assert_eq!(found, version.map(|(_, version)| *version));
            }
        }
        let failures: Vec<_> =
            (0..PARTS).filter_map(|part| model.failures.get(&(asset, part)).cloned()).collect();
        assert_eq!(store.failures(&key)?, failures);
    }
    for from in 0..4 {
        let found = store.trace(&digest(&text("k", from)))?;
        let found = found.map(|trace| (trace.asset, trace.output, trace.version));
        let expected = model.traces.get(&from).map(|(asset, content)| {
            let content = text("v", *content);
            (name(*asset), output(&content), digest(&content))
        });
        assert_eq!(found, expected);
    }
    assert_eq!(store.key_rows("t")?, (keys(&model.keys), model.present.clone()));
    for content in 0..4_u8 {
        let there = store.blob_small(&digest(&text("v", content)))?.is_some();
        assert_eq!(there, model.blobs.contains(u32::from(content)));
    }
    Ok(())
}

fn parts() -> impl Strategy<Value = Vec<u32>> {
    proptest::collection::vec(0..PARTS, 0..4)
}

fn op() -> impl Strategy<Value = Op> {
    let (asset, part, small) = (0..ASSETS, 0..PARTS, 0..4_u8);
    prop_oneof![
        4 => (asset.clone(), part.clone(), small.clone(), small.clone())
            .prop_map(|(asset, part, from, content)| Op::Put { asset, part, from, content }),
        1 => (asset.clone(), parts()).prop_map(|(asset, parts)| Op::Remove { asset, parts }),
        1 => (asset.clone(), parts()).prop_map(|(asset, parts)| Op::Invalidate { asset, parts }),
        1 => (asset.clone(), part.clone()).prop_map(|(asset, part)| Op::Fail { asset, part }),
        1 => (asset.clone(), part).prop_map(|(asset, part)| Op::Mend { asset, part }),
        1 => (asset.clone(), parts(), proptest::collection::vec(parts(), 0..3), 0..20_u32)
            .prop_map(|(asset, fresh, seen, verified)| Op::Set { asset, fresh, seen, verified }),
        1 => (asset.clone(), parts(), parts())
            .prop_map(|(asset, add, clear)| Op::Fresh { asset, add, clear }),
        1 => (asset, small.clone(), small.clone())
            .prop_map(|(asset, from, content)| Op::Trace { asset, from, content }),
        1 => (
            proptest::collection::vec(0..5_u8, 0..4),
            proptest::collection::vec(0..5_u8, 0..3)
        )
            .prop_map(|(add, remove)| Op::Keys { add, remove }),
        1 => small.prop_map(|content| Op::Blob { content }),
    ]
}

fn then() -> impl Strategy<Value = Then> {
    prop_oneof![
        4 => Just(Then::Commit),
        1 => Just(Then::RollBack),
        1 => Just(Then::CommitAndReopen),
    ]
}

fn run(transactions: &[(Vec<Op>, Then)]) -> Result<(), Error> {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), Durability::Batch)?;
    let mut model = Model::default();
    for (ops, then) in transactions {
        let before = model.clone();
        let mut tx = store.begin()?;
        for op in ops {
            apply(&mut tx, op)?;
            model.apply(op);
        }
        match then {
            Then::RollBack => {
                drop(tx);
                model = before;
            }
            Then::Commit | Then::CommitAndReopen => {
                tx.commit()?;
                model.commit();
            }
        }
        if *then == Then::CommitAndReopen {
            drop(store);
            store = Store::open(dir.path(), Durability::Batch)?;
        }
        compare(&store, &model)?;
    }
    assert_eq!(store.integrity()?.into_iter().filter(is_serious).collect::<Vec<_>>(), []);
    Ok(())
}

/// The model records results without their content.
fn is_serious(problem: &Problem) -> bool {
    !matches!(problem, Problem::MissingContent { .. })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_store_does_what_the_model_does(
        transactions in proptest::collection::vec((proptest::collection::vec(op(), 0..6), then()), 1..12)
    ) {
        run(&transactions).unwrap();
    }
}
