//! Which runs are asked for, and what became of the partitions of a run, as sets that outlive its attempts.

use std::collections::BTreeMap;

use rusqlite::{Row, params};

use super::error::undecodable;
use super::read::{key_at, run_at, run_number, set_at};
use super::runs::{Counts, RUN_COLUMNS, run_row_at};
use super::write::serialize;
use super::{Error, Outcome, Run, RunState, Store, Tx};
use crate::base::{AssetKey, PartitionIdx, PartitionSet, RunId};

/// What became of a partition in a run. What was fresh from the start is not recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    Success,
    Failed,
    /// Not tried, because of a failure upstream or because an input is missing.
    Blocked,
    /// Left undone, or stopped, because the run was cancelled.
    Cancelled,
    /// Being made when the process died.
    Interrupted,
    /// Brought back from the store.
    Restored,
    /// Right as it was, since what it reads has not changed.
    CutOff,
}

impl Fate {
    /// In the order in which they are shown.
    pub const ALL: [Fate; 7] = [
        Fate::Success,
        Fate::Restored,
        Fate::CutOff,
        Fate::Failed,
        Fate::Blocked,
        Fate::Interrupted,
        Fate::Cancelled,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Fate::Success => "success",
            Fate::Failed => "failed",
            Fate::Blocked => "blocked",
            Fate::Cancelled => "cancelled",
            Fate::Interrupted => "interrupted",
            Fate::Restored => "restored",
            Fate::CutOff => "cut_off",
        }
    }

    /// Whether the partition has its result now.
    pub fn is_good(self) -> bool {
        match self {
            Fate::Success | Fate::Restored | Fate::CutOff => true,
            Fate::Failed | Fate::Blocked | Fate::Cancelled | Fate::Interrupted => false,
        }
    }
}

/// The partitions of a run by what became of them: each is in one set of its asset at the most.
pub type Fates = BTreeMap<(AssetKey, Fate), PartitionSet>;

/// Which runs are meant: those of which all that is given is true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RunQuery<'a> {
    /// Any, if there are none.
    pub states: &'a [RunState],
    pub since_ms: Option<i64>,
    /// It targets this asset, or did something about it.
    pub asset: Option<&'a AssetKey>,
    pub job: Option<&'a str>,
    pub tag: Option<(&'a str, &'a str)>,
    /// The newest ones, at most so many; `None`: all.
    pub limit: Option<usize>,
}

impl Store {
    /// Runs, the newest first.
    pub fn runs(&self, query: &RunQuery<'_>) -> Result<Vec<Run>, Error> {
        let RunQuery { states, since_ms, asset, job, tag, limit } = query;
        let states: String = states.iter().map(|state| format!(",{},", state.as_str())).collect();
        let (name, value) = tag.unzip();
        self.ask(|sql| {
            let asset = match asset {
                None => None,
                Some(asset) => match sql.asset_id(asset)? {
                    None => return Ok(Vec::new()),
                    id => id,
                },
            };
            sql.all(
                concat!(
                    "SELECT ",
                    RUN_COLUMNS!(),
                    " FROM run WHERE (?1 = '' OR instr(?1, ',' || state || ',') > 0)
                   AND (?2 IS NULL OR started_ms >= ?2)
                   AND (?3 IS NULL OR EXISTS (SELECT 1 FROM run_target WHERE run = id AND asset = ?3)
                     OR EXISTS (SELECT 1 FROM run_set WHERE run = id AND asset = ?3))
                   AND (?4 IS NULL OR job = ?4)
                   AND (?5 IS NULL OR EXISTS
                     (SELECT 1 FROM json_each(tags) WHERE key = ?5 AND value = ?6))
                 ORDER BY id DESC LIMIT ?7"
                ),
                params![
                    states,
                    since_ms,
                    asset,
                    job,
                    name,
                    value,
                    limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX))
                ],
                run_row_at,
            )
        })
    }

    /// What became of the partitions of a run: all of it once the run has ended, else as of about a
    /// second ago.
    pub fn fates(&self, run: RunId) -> Result<Fates, Error> {
        self.ask(|sql| sql.fates_of(run))
    }

    /// The runs that retry a run, in order.
    pub fn retries_of(&self, run: RunId) -> Result<Vec<RunId>, Error> {
        self.ask(|sql| {
            let query = "SELECT id FROM run WHERE parent = ?1 ORDER BY id";
            let runs = sql.all(query, [run_number(run)], |row| run_at(row, 0))?;
            Ok(runs.into_iter().flatten().collect())
        })
    }

    fn fates_of(&self, run: RunId) -> rusqlite::Result<Fates> {
        let rows = self.all(
            "SELECT name, outcome, data FROM run_set JOIN asset ON asset.id = run_set.asset
             WHERE run = ?1",
            [run_number(run)],
            |row| fate_at(row, 0),
        )?;
        Ok(rows.into_iter().collect())
    }
}

/// The entry of [`Fates`] in three columns, from `at` on: name, outcome, set.
pub(super) fn fate_at(
    row: &Row<'_>,
    at: usize,
) -> rusqlite::Result<((AssetKey, Fate), PartitionSet)> {
    let outcome = row.get_ref(at + 1)?.as_str()?;
    let known = Fate::ALL.into_iter().find(|fate| fate.as_str() == outcome);
    let fate = known.ok_or_else(|| undecodable("outcome in a run"))?;
    Ok(((key_at(row, at)?, fate), set_at(row, at + 2)?))
}

impl Tx<'_> {
    /// Replaces what is recorded of the partitions of an asset that met this fate in a run.
    pub fn put_fate(
        &mut self,
        run: RunId,
        asset: &AssetKey,
        fate: Fate,
        parts: &PartitionSet,
    ) -> Result<(), Error> {
        let id = self.ensure_asset(asset)?;
        self.ask(|sql| {
            if parts.is_empty() {
                return sql.exec(
                    "DELETE FROM run_set WHERE run = ?1 AND asset = ?2 AND outcome = ?3",
                    params![run_number(run), id, fate.as_str()],
                );
            }
            sql.exec(
                "INSERT OR REPLACE INTO run_set (run, asset, outcome, data) VALUES (?1, ?2, ?3, ?4)",
                params![run_number(run), id, fate.as_str(), serialize(parts.clone())],
            )
        })?;
        Ok(())
    }

    /// Completes what is recorded of a run whose process has died by its attempts, which say what ended
    /// after the sets were written last. Returns the numbers of the whole.
    pub(super) fn complete_fates(&mut self, run: RunId) -> Result<Counts, Error> {
        let mut fates = self.ask(|sql| sql.fates_of(run))?;
        let mut known: BTreeMap<AssetKey, PartitionSet> = BTreeMap::new();
        for ((asset, _), parts) in &fates {
            *known.entry(asset.clone()).or_default() |= parts;
        }
        let names: BTreeMap<i64, AssetKey> = self.ask(|sql| {
            let rows = sql
                .all("SELECT id, name FROM asset", [], |row| Ok((row.get(0)?, key_at(row, 1)?)))?;
            Ok(rows.into_iter().collect())
        })?;
        let unknown = self.ask(|sql| sql.attempted(run, &names, &known))?;
        for (asset, part) in unknown {
            let outcome = self.ask(|sql| sql.last_outcome(run, &asset, part))?;
            let fate = match outcome {
                Some(Outcome::Success) => Fate::Success,
                Some(Outcome::Failure) => Fate::Failed,
                Some(Outcome::Cancelled) => Fate::Cancelled,
                Some(Outcome::Interrupted | Outcome::Running) => Fate::Interrupted,
                None => continue,
            };
            fates.entry((asset, fate)).or_default().insert(part);
        }
        let mut counts = Counts::new();
        for ((asset, fate), parts) in &fates {
            self.put_fate(run, asset, *fate, parts)?;
            let name = match fate {
                Fate::Success => "ran",
                Fate::Failed
                | Fate::Blocked
                | Fate::Cancelled
                | Fate::Interrupted
                | Fate::Restored
                | Fate::CutOff => fate.as_str(),
            };
            *counts.entry(name.to_owned()).or_default() += parts.len();
        }
        Ok(counts)
    }
}

impl Store {
    /// What a run has attempted beside what is `known`: read from the index alone.
    fn attempted(
        &self,
        run: RunId,
        names: &BTreeMap<i64, AssetKey>,
        known: &BTreeMap<AssetKey, PartitionSet>,
    ) -> rusqlite::Result<Vec<(AssetKey, PartitionIdx)>> {
        let known: BTreeMap<i64, &PartitionSet> =
            names.iter().filter_map(|(id, name)| Some((*id, known.get(name)?))).collect();
        let mut found = Vec::new();
        let mut rows = self.stmt("SELECT asset, part FROM attempt WHERE run = ?1")?;
        let mut rows = rows.query([run_number(run)])?;
        while let Some(row) = rows.next()? {
            let (asset, part): (i64, PartitionIdx) = (row.get(0)?, row.get(1)?);
            if known.get(&asset).is_none_or(|known| !known.contains(part))
                && let Some(name) = names.get(&asset)
            {
                found.push((name.clone(), part));
            }
        }
        Ok(found)
    }

    fn last_outcome(
        &self,
        run: RunId,
        asset: &AssetKey,
        part: PartitionIdx,
    ) -> rusqlite::Result<Option<Outcome>> {
        let Some(id) = self.asset_id(asset)? else { return Ok(None) };
        self.maybe(
            "SELECT outcome FROM attempt WHERE asset = ?1 AND part = ?2 AND run = ?3
             ORDER BY attempt DESC LIMIT 1",
            params![id, part, run_number(run)],
            |row| super::runs::outcome_at(row, 0),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{key, set};
    use super::super::{AttemptEnd, LaunchInfo, NewAttempt, NewRun, Owner, recover};
    use super::*;
    use crate::base::{Durability, Usage};

    fn begin(store: &mut Store, owner: &str, launch: &LaunchInfo, about: &str) -> RunId {
        let targets = &[(key(about), set([0, 1]))];
        let new = NewRun { started_ms: 1_000, owner, command: "c", targets, launch };
        store.begin_run(&new).unwrap()
    }

    fn open() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Durability::Batch).unwrap();
        (dir, store)
    }

    #[test]
    fn runs_are_found_by_all_that_is_known_of_them() {
        let (_dir, mut store) = open();
        let odd = "a\"b'; DROP TABLE run";
        let launch = LaunchInfo {
            job: Some("nightly".into()),
            tags: [(odd.to_owned(), "x".to_owned())].into(),
            ..LaunchInfo::default()
        };
        let one = begin(&mut store, "o", &LaunchInfo::default(), "a");
        let two = begin(&mut store, "o", &launch, "b");
        store.finish_run(one, RunState::Failure, 2_000, &Counts::new()).unwrap();
        let mut tx = store.begin().unwrap();
        tx.put_fate(two, &key("c"), Fate::Restored, &set([5])).unwrap();
        tx.commit().unwrap();
        let found = |query: &RunQuery<'_>| -> Vec<RunId> {
            store.runs(query).unwrap().into_iter().map(|run| run.id).collect()
        };
        let all = RunQuery::default();
        assert_eq!(found(&all), [two, one]);
        assert_eq!(found(&RunQuery { states: &[RunState::Failure], ..all }), [one]);
        assert_eq!(found(&RunQuery { since_ms: Some(1_001), ..all }), []);
        assert_eq!(found(&RunQuery { asset: Some(&key("a")), ..all }), [one]);
        assert_eq!(found(&RunQuery { asset: Some(&key("c")), ..all }), [two], "restored upstream");
        assert_eq!(found(&RunQuery { asset: Some(&key("nobody")), ..all }), []);
        assert_eq!(found(&RunQuery { job: Some("nightly"), ..all }), [two]);
        assert_eq!(found(&RunQuery { tag: Some((odd, "x")), ..all }), [two]);
        assert_eq!(found(&RunQuery { tag: Some((odd, "y")), ..all }), []);
        assert_eq!(found(&RunQuery { limit: Some(1), ..all }), [two]);
    }

    #[test]
    fn an_end_is_never_taken_back() {
        let (_dir, mut store) = open();
        for state in
            [RunState::Success, RunState::Failure, RunState::Cancelled, RunState::Interrupted]
        {
            let run = begin(&mut store, "o", &LaunchInfo::default(), "a");
            store.finish_run(run, state, 2_000, &Counts::new()).unwrap();
            let ended = store.run(run).unwrap();
            for later in [RunState::Success, RunState::Running, RunState::Cancelled] {
                store.finish_run(run, later, 3_000, &[("ran".to_owned(), 9)].into()).unwrap();
            }
            // Its owner is not there either, but it has nothing left to close.
            recover(&mut store).unwrap();
            assert_eq!(store.run(run).unwrap(), ended);
        }
    }

    #[test]
    fn a_run_whose_process_died_has_all_that_its_attempts_say() {
        let (dir, mut store) = open();
        let owner = Owner::acquire(dir.path()).unwrap();
        let run = begin(&mut store, owner.id(), &LaunchInfo::default(), "a");
        let a = key("a");
        let mut tx = store.begin().unwrap();
        // Written a while ago: what ended since is known by its attempts alone.
        tx.put_fate(run, &a, Fate::Success, &set([0])).unwrap();
        tx.put_fate(run, &a, Fate::CutOff, &set([9])).unwrap();
        for part in 0..5 {
            tx.start_attempt(&NewAttempt { run, asset: &a, part, attempt: 1, started_ms: 1 })
                .unwrap();
            tx.claim(&a, part, owner.id()).unwrap();
        }
        for (part, outcome) in [(0, Outcome::Success), (1, Outcome::Success), (2, Outcome::Failure)]
        {
            let end = AttemptEnd {
                duration_ms: 7,
                outcome,
                detail: "",
                log: None,
                usage: Usage { cpu_ms: Some(3), peak_kib: Some(u64::MAX) },
                size_bytes: Some(11),
            };
            tx.finish_attempt(run, &a, part, 1, &end).unwrap();
            tx.release(&a, part, owner.id()).unwrap();
        }
        tx.commit().unwrap();
        drop(owner);
        // Another process has taken over one of its claims before anybody closed its run.
        let other = Owner::acquire(dir.path()).unwrap();
        let mut tx = store.begin().unwrap();
        assert_eq!(tx.claim(&a, 4, other.id()).unwrap(), None);
        tx.commit().unwrap();
        assert_eq!(recover(&mut store).unwrap().attempts, 1, "the other one was ended before");
        let of = |fate| (a.clone(), fate);
        let expected = [
            (of(Fate::Success), set([0, 1])),
            (of(Fate::Failed), set([2])),
            (of(Fate::Interrupted), set([3, 4])),
            (of(Fate::CutOff), set([9])),
        ];
        assert_eq!(store.fates(run).unwrap(), expected.into());
        let counts = [("ran", 2), ("failed", 1), ("interrupted", 2), ("cut_off", 1)];
        let counts = counts.map(|(name, count)| (name.to_owned(), count)).into();
        assert_eq!(store.run(run).unwrap().unwrap().counts, counts);
        let attempts = store.attempts(run).unwrap();
        let of_three: Vec<_> = attempts.iter().filter(|it| it.part == 3).collect();
        assert_eq!(of_three[0].outcome, Outcome::Interrupted);
        let first = &attempts[0];
        let most = Some(i64::MAX as u64);
        assert_eq!(
            first.usage,
            Usage { cpu_ms: Some(3), peak_kib: most },
            "as far as it can be written"
        );
        assert_eq!((first.size_bytes, first.duration_ms), (Some(11), Some(7)));
    }

    #[test]
    fn a_fate_that_nobody_has_any_more_has_no_row() {
        let (_dir, mut store) = open();
        let run = begin(&mut store, "o", &LaunchInfo::default(), "a");
        let mut tx = store.begin().unwrap();
        tx.put_fate(run, &key("a"), Fate::Blocked, &set([1])).unwrap();
        tx.put_fate(run, &key("a"), Fate::Blocked, &set([])).unwrap();
        tx.commit().unwrap();
        assert_eq!(store.fates(run).unwrap(), Fates::new());
    }
}
