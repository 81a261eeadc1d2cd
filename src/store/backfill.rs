//! Backfills: what was asked for as one unit, how it goes, and what another process wants of it.
//!
//! What its runs have done is recorded with these. A backfill is carried out by an owner, as a run is; if that
//! has died, the backfill is interrupted, whatever its row says.

use std::collections::BTreeMap;

use rusqlite::{Row, params};

use super::error::undecodable;
use super::history::fate_at;
use super::read::{key_at, run_at, set_at};
use super::runs::run_state_at;
use super::write::serialize;
use super::{Error, Fates, RunState, Store, Tx, Wish, owner};
use crate::base::{AssetKey, BackfillId, PartitionIdx, PartitionKey, PartitionSet, RunId};

/// Stands for the partitions of a job in `backfill_target`: numbers of assets begin with 1.
const OF_JOB: i64 = 0;

/// A backfill that begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NewBackfill<'a> {
    pub created_ms: i64,
    /// The id of the [`super::Owner`] that carries it out.
    pub owner: &'a str,
    /// As the user would type it again.
    pub command: &'a str,
    /// What was asked for, and how, in a form of the engine's.
    pub spec: &'a serde_json::Value,
    pub tags: &'a BTreeMap<String, String>,
    pub targets: &'a BackfillTargets,
}

/// What a backfill is about: partitions of assets, or of a job of ops.
#[derive(Debug, Clone, PartialEq)]
pub enum BackfillTargets {
    Assets(BTreeMap<AssetKey, PartitionSet>),
    Job(PartitionSet),
}

/// A recorded backfill.
#[derive(Debug, Clone, PartialEq)]
pub struct Backfill {
    pub id: BackfillId,
    pub created_ms: i64,
    /// `None`: it goes on, or nobody knows when it was interrupted.
    pub finished_ms: Option<i64>,
    /// Interrupted, if its owner has died without saying anything.
    pub state: BackfillState,
    pub wish: Option<Wish>,
    pub command: String,
    pub spec: serde_json::Value,
    pub tags: BTreeMap<String, String>,
}

/// One of the runs that carry out a backfill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackfillRun {
    pub id: RunId,
    pub state: RunState,
    pub owner: String,
    /// Of the job, if it is one of ops.
    pub partition: Option<PartitionKey>,
}

/// What has become of a backfill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BackfillState {
    Running,
    /// What ran was finished and the rest was left, because that was asked for.
    Paused,
    Success,
    Failure,
    Cancelled,
    /// Its process died.
    Interrupted,
}

impl BackfillState {
    pub const ALL: [BackfillState; 6] = [
        BackfillState::Running,
        BackfillState::Paused,
        BackfillState::Success,
        BackfillState::Failure,
        BackfillState::Cancelled,
        BackfillState::Interrupted,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            BackfillState::Running => "running",
            BackfillState::Paused => "paused",
            BackfillState::Success => "success",
            BackfillState::Failure => "failure",
            BackfillState::Cancelled => "cancelled",
            BackfillState::Interrupted => "interrupted",
        }
    }

    /// The state that a wish leads to.
    fn of(wish: Wish) -> BackfillState {
        match wish {
            Wish::Cancel => BackfillState::Cancelled,
            Wish::Pause => BackfillState::Paused,
        }
    }
}

/// What came of a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Whoever carries it out will heed it.
    Heard,
    /// Nobody carries it out, so that it has this state now.
    Done,
    /// It is in this state, in which there is nothing to wish for.
    Refused(BackfillState),
}

impl Store {
    /// The backfill of a number.
    pub fn backfill(&self, id: BackfillId) -> Result<Option<Backfill>, Error> {
        let found = self.ask(|sql| {
            sql.maybe(
                "SELECT id, created_ms, finished_ms, state, wish, command, spec, tags, owner
                 FROM backfill WHERE id = ?1",
                [id.0 as i64],
                backfill_at,
            )
        })?;
        Ok(found.map(|found| self.as_it_is(found)))
    }

    /// The last backfills, the newest first.
    pub fn backfills(&self, limit: usize) -> Result<Vec<Backfill>, Error> {
        let found = self.ask(|sql| {
            sql.all(
                "SELECT id, created_ms, finished_ms, state, wish, command, spec, tags, owner
                 FROM backfill ORDER BY id DESC LIMIT ?1",
                [i64::try_from(limit).unwrap_or(i64::MAX)],
                backfill_at,
            )
        })?;
        Ok(found.into_iter().map(|found| self.as_it_is(found)).collect())
    }

    fn as_it_is(&self, (backfill, owner): (Backfill, String)) -> Backfill {
        let is_dead = || !owner::is_alive(&self.path, &owner);
        match backfill.state {
            BackfillState::Running if is_dead() => {
                Backfill { state: BackfillState::Interrupted, ..backfill }
            }
            BackfillState::Running
            | BackfillState::Paused
            | BackfillState::Success
            | BackfillState::Failure
            | BackfillState::Cancelled
            | BackfillState::Interrupted => backfill,
        }
    }

    /// What a backfill is about.
    pub fn backfill_targets(&self, id: BackfillId) -> Result<BackfillTargets, Error> {
        self.ask(|sql| {
            let of_job = sql.maybe(
                "SELECT data FROM backfill_target WHERE backfill = ?1 AND asset = ?2",
                params![id.0 as i64, OF_JOB],
                |row| set_at(row, 0),
            )?;
            if let Some(set) = of_job {
                return Ok(BackfillTargets::Job(set));
            }
            let targets = sql.all(
                "SELECT name, data FROM backfill_target JOIN asset ON asset.id = backfill_target.asset
                 WHERE backfill = ?1",
                [id.0 as i64],
                |row| Ok((key_at(row, 0)?, set_at(row, 1)?)),
            )?;
            Ok(BackfillTargets::Assets(targets.into_iter().collect()))
        })
    }

    /// Closes backfills whose owners have died; returns which. One statement if there are none.
    pub fn close_backfills(&mut self) -> Result<Vec<BackfillId>, Error> {
        let running = |sql: &Store| {
            sql.all("SELECT id, owner FROM backfill WHERE state = 'running'", [], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
            })
        };
        let mut dead = self.ask(running)?;
        dead.retain(|(_, owner)| !owner::is_alive(&self.path, owner));
        if dead.is_empty() {
            return Ok(Vec::new());
        }
        let tx = self.begin()?;
        for (id, owner) in &dead {
            tx.ask(|sql| {
                sql.exec(
                    "UPDATE backfill SET state = 'interrupted', wish = NULL
                     WHERE id = ?1 AND state = 'running' AND owner = ?2",
                    params![id, owner],
                )
            })?;
        }
        tx.commit()?;
        Ok(dead.into_iter().map(|(id, _)| BackfillId(id as u64)).collect())
    }
}

impl Store {
    /// The runs of a backfill, in the order in which they began.
    pub fn runs_of_backfill(&self, id: BackfillId) -> Result<Vec<BackfillRun>, Error> {
        self.ask(|sql| {
            sql.all(
                "SELECT id, state, owner, partition FROM run WHERE backfill = ?1 ORDER BY id",
                [id.0 as i64],
                backfill_run_at,
            )
        })
    }

    /// What each of the runs of a backfill is about, in one statement however many they are.
    pub fn targets_of_backfill_runs(
        &self,
        id: BackfillId,
    ) -> Result<BTreeMap<RunId, Vec<(AssetKey, PartitionSet)>>, Error> {
        let mut by_run: BTreeMap<RunId, Vec<(AssetKey, PartitionSet)>> = BTreeMap::new();
        let rows = self.ask(|sql| {
            sql.all(
                "SELECT run, name, data FROM run JOIN run_target ON run_target.run = run.id
                   JOIN asset ON asset.id = run_target.asset WHERE run.backfill = ?1",
                [id.0 as i64],
                |row| Ok((run_id_at(row, 0)?, key_at(row, 1)?, set_at(row, 2)?)),
            )
        })?;
        for (run, asset, set) in rows {
            by_run.entry(run).or_default().push((asset, set));
        }
        Ok(by_run)
    }

    /// What became of the partitions of each of the runs of a backfill, as [`Store::fates`] says of one.
    pub fn fates_of_backfill(&self, id: BackfillId) -> Result<BTreeMap<RunId, Fates>, Error> {
        let mut by_run: BTreeMap<RunId, Fates> = BTreeMap::new();
        let rows = self.ask(|sql| {
            sql.all(
                "SELECT run, name, outcome, data FROM run JOIN run_set ON run_set.run = run.id
                   JOIN asset ON asset.id = run_set.asset WHERE run.backfill = ?1",
                [id.0 as i64],
                |row| Ok((run_id_at(row, 0)?, fate_at(row, 1)?)),
            )
        })?;
        for (run, (of, set)) in rows {
            by_run.entry(run).or_default().insert(of, set);
        }
        Ok(by_run)
    }

    /// The newest run of each partition of a job, in the order in which they began.
    pub fn newest_job_runs(&self, job: &str) -> Result<Vec<BackfillRun>, Error> {
        self.ask(|sql| {
            sql.all(
                "SELECT id, state, owner, partition FROM run WHERE id IN
                   (SELECT max(id) FROM run WHERE job = ?1 GROUP BY partition) ORDER BY id",
                [job],
                backfill_run_at,
            )
        })
    }

    /// What took how many milliseconds when it was last made, of partitions of an asset up to one: of the last
    /// `limit` of them at the most.
    pub fn durations(
        &self,
        asset: &AssetKey,
        up_to: PartitionIdx,
        limit: u32,
    ) -> Result<Vec<u64>, Error> {
        self.ask(|sql| {
            let Some(asset) = sql.asset_id(asset)? else { return Ok(Vec::new()) };
            // Failures are passed over, but not without an end.
            let durations = sql.all(
                "SELECT duration_ms FROM
                     (SELECT duration_ms, outcome FROM attempt WHERE asset = ?1 AND part <= ?2
                      ORDER BY part DESC, run DESC, attempt DESC LIMIT ?3)
                 WHERE outcome = 'success' AND duration_ms IS NOT NULL",
                params![asset, up_to, limit],
                |row| row.get::<_, i64>(0),
            )?;
            Ok(durations.into_iter().map(|ms| ms as u64).collect())
        })
    }

    /// The partitions of an asset that an owner has claimed: those that it is making.
    pub fn claimed(&self, asset: &AssetKey, owner: &str) -> Result<PartitionSet, Error> {
        self.ask(|sql| {
            let Some(asset) = sql.asset_id(asset)? else { return Ok(PartitionSet::new()) };
            let query = "SELECT part FROM claim WHERE asset = ?1 AND owner = ?2";
            let parts =
                sql.all(query, params![asset, owner], |row| row.get::<_, PartitionIdx>(0))?;
            Ok(parts.into_iter().collect())
        })
    }
}

impl Tx<'_> {
    /// Records a backfill and what it is about.
    pub fn begin_backfill(&mut self, new: &NewBackfill<'_>) -> Result<BackfillId, Error> {
        let NewBackfill { created_ms, owner, command, spec, tags, targets } = new;
        let tags = serde_json::to_string(tags).expect("a map of texts can be written");
        let id = self.ask(|sql| {
            sql.exec(
                "INSERT INTO backfill (created_ms, state, owner, command, spec, tags)
                 VALUES (?1, 'running', ?2, ?3, ?4, ?5)",
                params![created_ms, owner, command, spec.to_string(), tags],
            )?;
            Ok(sql.conn.last_insert_rowid())
        })?;
        let rows: Vec<(i64, &PartitionSet)> = match targets {
            BackfillTargets::Job(set) => vec![(OF_JOB, set)],
            BackfillTargets::Assets(sets) => {
                let row = |(asset, set)| Ok((self.ensure_asset(asset)?, set));
                sets.iter().map(row).collect::<Result<_, Error>>()?
            }
        };
        for (asset, set) in rows {
            self.ask(|sql| {
                sql.exec(
                    "INSERT INTO backfill_target (backfill, asset, data) VALUES (?1, ?2, ?3)",
                    params![id, asset, serialize(set.clone())],
                )
            })?;
        }
        Ok(BackfillId(id as u64))
    }

    /// Has `owner` carry out what is left of a backfill; the state in which it is, if it goes on or has
    /// succeeded.
    pub fn take_up_backfill(
        &mut self,
        id: BackfillId,
        owner: &str,
    ) -> Result<Result<(), BackfillState>, Error> {
        let Some(found) = self.backfill(id)? else { return Ok(Err(BackfillState::Success)) };
        match found.state {
            BackfillState::Running | BackfillState::Success => return Ok(Err(found.state)),
            BackfillState::Paused
            | BackfillState::Failure
            | BackfillState::Cancelled
            | BackfillState::Interrupted => {}
        }
        self.ask(|sql| {
            sql.exec(
                "UPDATE backfill SET state = 'running', owner = ?2, wish = NULL, finished_ms = NULL
                 WHERE id = ?1",
                params![id.0 as i64, owner],
            )
        })?;
        Ok(Ok(()))
    }

    /// Records how a backfill went that `owner` carries out.
    pub fn end_backfill(
        &mut self,
        id: BackfillId,
        owner: &str,
        state: BackfillState,
        finished_ms: i64,
    ) -> Result<(), Error> {
        self.ask(|sql| {
            sql.exec(
                "UPDATE backfill SET state = ?3, finished_ms = ?4, wish = NULL
                 WHERE id = ?1 AND owner = ?2 AND state = 'running'",
                params![id.0 as i64, owner, state.as_str(), finished_ms],
            )
        })?;
        Ok(())
    }

    /// Tells whoever carries out a backfill what is wanted of it, and of its run; if nobody does, the backfill
    /// is in that state at once. `None`: there is no such backfill.
    pub fn wish_of_backfill(
        &mut self,
        id: BackfillId,
        wish: Wish,
        now_ms: i64,
    ) -> Result<Option<Told>, Error> {
        let Some(found) = self.backfill(id)? else { return Ok(None) };
        match (found.state, wish) {
            (BackfillState::Running, _) => {
                self.ask(|sql| {
                    let (id, wish) = (id.0 as i64, wish.as_str());
                    sql.exec(
                        "UPDATE backfill SET wish = CASE WHEN wish = 'cancel' THEN wish ELSE ?2 END
                         WHERE id = ?1",
                        params![id, wish],
                    )?;
                    sql.exec(
                        "UPDATE run SET wish = CASE WHEN wish = 'cancel' THEN wish ELSE ?2 END
                         WHERE backfill = ?1 AND state = 'running'",
                        params![id, wish],
                    )
                })?;
                Ok(Some(Told::Heard))
            }
            (BackfillState::Interrupted, _) | (BackfillState::Paused, Wish::Cancel) => {
                self.ask(|sql| {
                    sql.exec(
                        "UPDATE backfill SET state = ?2, wish = NULL,
                             finished_ms = coalesce(finished_ms, ?3) WHERE id = ?1",
                        params![id.0 as i64, BackfillState::of(wish).as_str(), now_ms],
                    )
                })?;
                Ok(Some(Told::Done))
            }
            (
                BackfillState::Paused
                | BackfillState::Success
                | BackfillState::Failure
                | BackfillState::Cancelled,
                _,
            ) => Ok(Some(Told::Refused(found.state))),
        }
    }
}

fn run_id_at(row: &Row<'_>, at: usize) -> rusqlite::Result<RunId> {
    run_at(row, at)?.ok_or_else(|| undecodable("number of a run"))
}

fn backfill_run_at(row: &Row<'_>) -> rusqlite::Result<BackfillRun> {
    Ok(BackfillRun {
        id: run_id_at(row, 0)?,
        state: run_state_at(row, 1)?,
        owner: row.get(2)?,
        partition: row.get::<_, Option<String>>(3)?.map(PartitionKey::new),
    })
}

fn backfill_at(row: &Row<'_>) -> rusqlite::Result<(Backfill, String)> {
    let state = row.get_ref(3)?.as_str()?;
    let known = BackfillState::ALL.into_iter().find(|known| known.as_str() == state);
    let wrong = |_| undecodable("what a backfill is about");
    let backfill = Backfill {
        id: BackfillId(row.get::<_, i64>(0)? as u64),
        created_ms: row.get(1)?,
        finished_ms: row.get(2)?,
        state: known.ok_or_else(|| undecodable("state of a backfill"))?,
        wish: row.get::<_, Option<String>>(4)?.map(|text| Wish::parse(&text)).transpose()?,
        command: row.get(5)?,
        spec: serde_json::from_str(row.get_ref(6)?.as_str()?).map_err(wrong)?,
        tags: serde_json::from_str(row.get_ref(7)?.as_str()?).map_err(wrong)?,
    };
    Ok((backfill, row.get(8)?))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{key, set};
    use super::super::{LaunchInfo, NewRun, Owner};
    use super::*;
    use crate::base::Durability;

    fn open() -> (tempfile::TempDir, Store, Owner) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Durability::Batch).unwrap();
        let owner = Owner::acquire(dir.path()).unwrap();
        (dir, store, owner)
    }

    fn begin(store: &mut Store, owner: &Owner, targets: BackfillTargets) -> BackfillId {
        let spec = serde_json::json!({"force": true});
        let tags = [("why".to_owned(), "test".to_owned())].into();
        let new = NewBackfill {
            created_ms: 1_000,
            owner: owner.id(),
            command: "backfill daily -p all",
            spec: &spec,
            tags: &tags,
            targets: &targets,
        };
        let mut tx = store.begin().unwrap();
        let id = tx.begin_backfill(&new).unwrap();
        tx.commit().unwrap();
        id
    }

    fn days() -> BackfillTargets {
        BackfillTargets::Assets([(key("daily"), set([1, 2, 3])), (key("raw"), set([2]))].into())
    }

    fn state(store: &Store, id: BackfillId) -> BackfillState {
        store.backfill(id).unwrap().unwrap().state
    }

    fn told(store: &mut Store, id: BackfillId, wish: Wish) -> Option<Told> {
        let mut tx = store.begin().unwrap();
        let told = tx.wish_of_backfill(id, wish, 2_000).unwrap();
        tx.commit().unwrap();
        told
    }

    #[test]
    fn what_is_recorded_is_read_again() {
        let (_dir, mut store, owner) = open();
        let id = begin(&mut store, &owner, days());
        let job = begin(&mut store, &owner, BackfillTargets::Job(set([7, 9])));
        assert_eq!(store.backfill_targets(id).unwrap(), days());
        assert_eq!(store.backfill_targets(job).unwrap(), BackfillTargets::Job(set([7, 9])));
        let found = store.backfills(10).unwrap();
        assert_eq!(found.iter().map(|it| it.id).collect::<Vec<_>>(), [job, id]);
        assert_eq!(found[1].spec, serde_json::json!({"force": true}));
        assert_eq!(found[1].tags["why"], "test");
        assert_eq!(store.backfill(BackfillId(9)).unwrap(), None);
    }

    #[test]
    fn a_run_that_begins_knows_what_is_wanted_of_its_backfill() {
        let (_dir, mut store, owner) = open();
        let id = begin(&mut store, &owner, days());
        let launch = LaunchInfo { backfill: Some(id), ..LaunchInfo::default() };
        let new =
            NewRun { started_ms: 1, owner: owner.id(), command: "", targets: &[], launch: &launch };
        let before = store.begin_run(&new).unwrap();
        assert_eq!(store.wish(before).unwrap(), None);
        assert_eq!(told(&mut store, id, Wish::Pause), Some(Told::Heard));
        let after = store.begin_run(&new).unwrap();
        assert_eq!(store.wish(before).unwrap(), Some(Wish::Pause));
        assert_eq!(store.wish(after).unwrap(), Some(Wish::Pause));
        assert_eq!(told(&mut store, id, Wish::Cancel), Some(Told::Heard));
        assert_eq!(told(&mut store, id, Wish::Pause), Some(Told::Heard), "a cancel stays");
        assert_eq!(store.backfill(id).unwrap().unwrap().wish, Some(Wish::Cancel));
        assert_eq!(store.wish(after).unwrap(), Some(Wish::Cancel));
    }

    #[test]
    fn a_backfill_whose_owner_has_died_is_interrupted_and_can_be_taken_up() {
        let (dir, mut store, owner) = open();
        let id = begin(&mut store, &owner, days());
        let other = Owner::acquire(dir.path()).unwrap();
        let take_up = |store: &mut Store| {
            let mut tx = store.begin().unwrap();
            let taken = tx.take_up_backfill(id, other.id()).unwrap();
            tx.commit().unwrap();
            taken
        };
        assert_eq!(take_up(&mut store), Err(BackfillState::Running));
        assert_eq!(store.close_backfills().unwrap(), []);
        drop(owner);
        assert_eq!(state(&store, id), BackfillState::Interrupted, "before anybody has closed it");
        assert_eq!(store.close_backfills().unwrap(), [id]);
        let before = store.statements();
        assert_eq!(store.close_backfills().unwrap(), []);
        assert_eq!(store.statements() - before, 1);
        assert_eq!(take_up(&mut store), Ok(()));
        assert_eq!(state(&store, id), BackfillState::Running);
    }

    #[test]
    fn only_its_owner_ends_a_backfill_and_only_once() {
        let (_dir, mut store, owner) = open();
        let id = begin(&mut store, &owner, days());
        let end = |store: &mut Store, owner: &str, state| {
            let mut tx = store.begin().unwrap();
            tx.end_backfill(id, owner, state, 3_000).unwrap();
            tx.commit().unwrap();
        };
        end(&mut store, "somebody", BackfillState::Failure);
        assert_eq!(state(&store, id), BackfillState::Running);
        end(&mut store, owner.id(), BackfillState::Success);
        end(&mut store, owner.id(), BackfillState::Failure);
        assert_eq!(state(&store, id), BackfillState::Success);
        for wish in [Wish::Cancel, Wish::Pause] {
            let refused = Some(Told::Refused(BackfillState::Success));
            assert_eq!(told(&mut store, id, wish), refused);
        }
        assert_eq!(told(&mut store, BackfillId(77), Wish::Cancel), None);
    }

    #[test]
    fn what_is_paused_can_be_cancelled_without_a_process() {
        let (_dir, mut store, owner) = open();
        let id = begin(&mut store, &owner, days());
        let mut tx = store.begin().unwrap();
        tx.end_backfill(id, owner.id(), BackfillState::Paused, 3_000).unwrap();
        tx.commit().unwrap();
        let refused = Some(Told::Refused(BackfillState::Paused));
        assert_eq!(told(&mut store, id, Wish::Pause), refused);
        assert_eq!(told(&mut store, id, Wish::Cancel), Some(Told::Done));
        assert_eq!(state(&store, id), BackfillState::Cancelled);
    }
}
