//! Tests of the store: what a transaction leaves behind, seen as a whole.

use std::path::{Path, PathBuf};

use expect_test::{Expect, expect};
use rusqlite::params;

use super::snapshot::Snapshot;
use super::*;
use crate::base::{
    AskedRow, AssetRow, CheckFact, Fact, FailureRow, Flags, Instigator, InstigatorKind, JobName,
    MatRow, Note, Output, OutputKind, PartitionKey, PartitionSet, Rev, RunId, RunRequest, StepId,
    StepParts, TickOutcome, Usage, Wanted,
};
use crate::cas::stat::{Slack, StatEntry, StatKey};

pub(super) fn key(name: &str) -> AssetKey {
    AssetKey::parse(name).unwrap()
}

pub(super) fn digest(text: &str) -> Digest {
    Digest::of_blob(text.as_bytes())
}

pub(super) fn set(parts: impl IntoIterator<Item = u32>) -> PartitionSet {
    parts.into_iter().collect()
}

pub(super) fn output(text: &str) -> Output {
    Output { kind: OutputKind::File, digest: digest(text), size: text.len() as u64, schema: None }
}

/// A result with this content, made from inputs of this name.
pub(super) fn mat(part: u32, from: &str, content: &str) -> MatRow {
    MatRow {
        part,
        changed_at: Rev(0),
        verified_at: Rev(0),
        step: None,
        key: digest(from),
        version: digest(content),
        output: Some(output(content)),
        run: Some(RunId(1)),
        flags: Flags::default(),
        made_ms: 7,
    }
}

fn open(dir: &Path) -> Store {
    Store::open(dir, Durability::Batch).unwrap()
}

/// Opens a new store, lets `f` work on it, and compares the whole state, also as read after a reopen.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "`expect!` makes a value")]
fn check(f: impl FnOnce(&mut Store), expect: Expect) {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    f(&mut store);
    let text = Snapshot::render(&store).unwrap();
    expect.assert_eq(&text);
    drop(store);
    assert_eq!(Snapshot::render(&open(dir.path())).unwrap(), text, "after a reopen");
    let read_only = Store::open_copy(dir.path()).unwrap();
    assert_eq!(Snapshot::render(&read_only).unwrap(), text, "as a reader");
}

/// Records what a key has led to, of the partition that is named like its number.
fn trace(
    tx: &mut Tx<'_>,
    key: &str,
    asset: &AssetKey,
    part: PartitionIdx,
    content: &str,
) -> Traced {
    let partition = &PartitionKey::new(part.to_string());
    let (output, version) = (&output(content), &digest(content));
    tx.put_trace(&digest(key), &NewTrace { asset, part, partition, output, version, made_ms: 7 })
        .unwrap()
}

/// Something in each table: also the content of the stored fixture.
pub(super) fn tell_a_story(store: &mut Store) {
    let (raw, daily) = (key("raw"), key("mart/daily"));
    let mut tx = store.begin().unwrap();
    tx.put_mat(&raw, &mat(0, "csv", "a")).unwrap();
    tx.put_blob(&digest("a"), 1).unwrap();
    tx.add_keys("files raw", &["x", "y"].map(PartitionKey::new)).unwrap();
    tx.commit().unwrap();

    let run = NewRun {
        started_ms: 1_000,
        owner: "o1",
        command: "materialize mart/daily",
        targets: &[(daily.clone(), set([0, 1, 2, 7]))],
        launch: &LaunchInfo::default(),
    };
    let run = store.begin_run(&run).unwrap();
    for part in [0, 1] {
        let attempt = NewAttempt { run, asset: &daily, part, attempt: 1, started_ms: 1_001 };
        store.start_attempt(&attempt).unwrap();
    }
    let step = StepParts([("code".to_owned(), "SELECT 1".to_owned())].into());
    let step = store.intern_step(&daily, &step).unwrap();
    let mut tx = store.begin().unwrap();
    let row = MatRow { step: Some(step), verified_at: tx.rev(), ..mat(0, "k1", "out") };
    tx.put_mat(&daily, &row).unwrap();
    tx.put_blob_small(&digest("out"), b"out").unwrap();
    trace(&mut tx, "k1", &daily, 0, "out");
    let check =
        CheckFact { name: "rows > 0".into(), severity: "warn".into(), found: Some("got 0".into()) };
    let metadata = [("rows".to_owned(), 0.into())].into_iter().collect();
    let key_of = digest("k1");
    let fact = Fact { part: 0, key: key_of, run, made_ms: 9, checks: vec![check], metadata };
    tx.put_fact(&daily, &fact).unwrap();
    let asked = vec![(PartitionKey::new("x"), Some(digest("a"))), (PartitionKey::new("y"), None)];
    let asked = AskedRow { part: 0, base: digest("base"), keys: asked };
    tx.put_asked(&daily, &AssetKey::parse("raw").unwrap(), &asked).unwrap();
    let note = Note { reason: "by hand".to_owned(), made_ms: 8 };
    tx.put_notes(&daily, &set([0]), &note).unwrap();
    let end = AttemptEnd {
        duration_ms: 9,
        outcome: Outcome::Success,
        detail: "",
        log: None,
        usage: Usage::default(),
        size_bytes: None,
    };
    tx.finish_attempt(run, &daily, 0, 1, &end).unwrap();
    let value = |content| OpOutput {
        output: "parts".into(),
        piece: Some("p1".into()),
        value: output("op"),
        extension: "json".to_owned(),
        content,
    };
    let values = [
        value(OpContent::Inline(b"3".as_slice().into())),
        value(OpContent::File("runs/1/kept/0.json".to_owned())),
    ];
    tx.start_op(run, "load", &digest("op key"), 1_002).unwrap();
    let (state, log) = (OpState::Success, Some("logs/1/load.log"));
    let (usage, metadata) = (Usage::default(), &serde_json::Map::new());
    let end = OpEnd { state, attempts: 2, duration_ms: 4, detail: "", log, usage, metadata };
    tx.finish_op(run, "load", &end, &values).unwrap();
    tx.skip_op(run, "compute[p1]", 1_003).unwrap();
    tx.commit().unwrap();

    let inbox = Instigator::new(InstigatorKind::Sensor, &JobName::parse("inbox").unwrap());
    let what = Wanted::Assets { select: "+mart/daily".to_owned(), partition: None };
    let run_key = Some("a.csv:1".to_owned());
    let request = RunRequest { run_key, what, tags: Default::default() };
    let entry = StatEntry { stat: StatKey::default(), digest: digest("a.csv"), taken_ns: 3 };
    let tick = NewTick {
        of: &inbox,
        version: 0,
        cursor: None,
        due_ms: 1_010,
        started_ms: 1_011,
        duration_ms: 1,
        outcome: TickOutcome::Requested,
        reason: "1 new file",
        requests: &[request.clone(), request],
        seen: &[SensorFile { path: "inbox/a.csv".into(), entry }],
        gone: &[],
    };
    let mut tx = store.begin().unwrap();
    let recorded = tx.record_tick(&tick).unwrap().unwrap();
    assert!(tx.start_request(recorded.queued[0], "o1").unwrap());
    tx.end_request(recorded.queued[0], RequestState::Success, Some(run), "").unwrap();
    tx.commit().unwrap();

    let mut tx = store.begin().unwrap();
    let failure =
        FailureRow { part: 1, key: digest("k2"), run, reason: "exit status 3".to_owned() };
    tx.put_failure(&daily, &failure).unwrap();
    let end = AttemptEnd {
        duration_ms: 5,
        outcome: Outcome::Failure,
        detail: "exit status 3",
        log: Some("logs/1/a.log"),
        usage: Usage::default(),
        size_bytes: None,
    };
    tx.finish_attempt(run, &daily, 1, 1, &end).unwrap();
    let row = AssetRow {
        verified_rev: Rev(3),
        shape: Some(digest("shape")),
        fresh: set([0]),
        seen: vec![set([0, 1]), set([])],
        ..AssetRow::default()
    };
    tx.set_asset(&daily, &row).unwrap();
    tx.remove_keys("files raw", &[PartitionKey::new("x")]).unwrap();
    let stat = StatKey { dev: 1, ino: u64::MAX, size: 3, mtime_ns: 4, ctime_ns: 5, mode: 6 };
    let entry = StatEntry { stat, digest: digest("a"), taken_ns: i64::MIN };
    tx.put_stats(&[(PathBuf::from("data/x.csv"), entry)]).unwrap();
    tx.commit().unwrap();
    let counts = [("failed".to_owned(), 1), ("ran".to_owned(), 1)].into();
    store.finish_run(run, RunState::Failure, 2_000, &counts).unwrap();
}

#[test]
fn a_story_leaves_its_traces() {
    check(
        tell_a_story,
        expect![[r#"
            asked asset=mart/daily part=0 upstream="raw" base=de8f3fcf keys="[[\"x\",\"17762fddd969a453925d65717ac3eea21320b66b54342fde15128d6caf21215f\"],[\"y\",null]]"
            asset id=1 name="raw" verified_rev=0 max_changed=1
            asset id=2 name="mart/daily" verified_rev=3 max_changed=2 shape=44ee1679
            asset_set asset=mart/daily kind="failed" data={1}
            asset_set asset=mart/daily kind="fresh" data={0}
            asset_set asset=mart/daily kind="seen.0" data={0..1}
            asset_set asset=mart/daily kind="seen.1" data={}
            attempt asset=mart/daily part=0 run=1 attempt=1 started_ms=1001 duration_ms=9 outcome="success" detail=""
            attempt asset=mart/daily part=1 run=1 attempt=1 started_ms=1001 duration_ms=5 outcome="failure" detail="exit status 3" log="logs/1/a.log"
            blob digest=17762fdd size=1 created_rev=1 state="sound"
            blob_small digest=5443af0c data="out"
            fact asset=mart/daily part=0 key=ffb43327 run=1 made_ms=9 failed=0 warned=1 checks="[{\"name\":\"rows > 0\",\"severity\":\"warn\",\"found\":\"got 0\"}]" metadata="{\"rows\":0}"
            failure asset=mart/daily part=1 key=8c381c8e run=1 reason="exit status 3"
            instigator kind="sensor" name="inbox" version=1 handled_ms=1010
            key_table name="files raw" idx=0 key="x" present=0 added_rev=1 removed_rev=3
            key_table name="files raw" idx=1 key="y" present=1 added_rev=1
            mat asset=raw part=0 changed_at=1 verified_at=0 key=62b5715e version=17762fdd output=-1944230779988835396 run=1 flags=0 made_ms=7
            mat asset=mart/daily part=0 changed_at=2 verified_at=1 step=1 key=ffb43327 version=5443af0c output=-7097369335445904863 run=1 flags=0 made_ms=7
            mat_log asset=raw part=0 rev=1 version=17762fdd run=1
            mat_log asset=mart/daily part=0 rev=2 version=5443af0c run=1
            meta key="last_synced_rev" value=3
            meta key="rev" value=3
            note asset=mart/daily part=0 reason="by hand" made_ms=8
            op_output run=1 step="load" place=0 output="parts" piece="p1" kind="file" digest=cd4784bf size=2 extension="json" data="3"
            op_output run=1 step="load" place=1 output="parts" piece="p1" kind="file" digest=cd4784bf size=2 extension="json" file="runs/1/kept/0.json"
            op_step run=1 step="compute[p1]" key=none state="skipped" attempts=0 started_ms=1003 emitted=0 detail="" metadata="{}"
            op_step run=1 step="load" key=fafc21aa state="success" attempts=2 started_ms=1002 duration_ms=4 emitted=2 detail="" log="logs/1/load.log" metadata="{}"
            output id=-7097369335445904863 kind="file" digest=5443af0c size=3
            output id=-1944230779988835396 kind="file" digest=17762fdd size=1
            request id=1 tick=1 kind="sensor" name="inbox" data="{\"run_key\":\"a.csv:1\",\"select\":\"+mart/daily\"}" state="success" attempts=0 run=1 detail=""
            run id=1 started_ms=1000 finished_ms=2000 state="failure" owner="o1" command="materialize mart/daily" counts="{\"failed\":1,\"ran\":1}" tags="{}" config="{}"
            run_key kind="sensor" name="inbox" key="a.csv:1" tick=1
            run_target run=1 asset=mart/daily data={0..2,7}
            sensor_file name="inbox" path="inbox/a.csv" dev=0 ino=0 size=0 mtime_ns=0 ctime_ns=0 mode=0 digest=2db09236 taken_ns=3
            stat path="data/x.csv" dev=1 ino=-1 size=3 mtime_ns=4 ctime_ns=5 mode=6 digest=17762fdd taken_ns=-9223372036854775808
            step_version id=1 asset=mart/daily digest=863a2faf parts="{\"code\":\"SELECT 1\"}"
            tick id=1 kind="sensor" name="inbox" due_ms=1010 started_ms=1011 duration_ms=1 outcome="requested" reason="1 new file" asked=2 known=1
            trace key=ffb43327 asset=mart/daily part=0 output=-7097369335445904863 version=5443af0c created_rev=2 made_ms=7 partition="0"
        "#]],
    );
}

#[test]
fn a_version_changes_only_if_it_differs() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let a = key("a");
    let mut put = |row: MatRow| {
        let mut tx = store.begin().unwrap();
        let changed_at = tx.put_mat(&a, &row).unwrap();
        (changed_at.0, tx.commit().unwrap().0)
    };
    assert_eq!(put(mat(3, "k1", "v1")), (1, 1));
    assert_eq!(put(mat(3, "k2", "v1")), (1, 2), "cut off");
    assert_eq!(put(mat(3, "k3", "v2")), (3, 3));
    assert_eq!(put(mat(3, "k1", "v1")), (4, 4), "reverted");
    let row = store.row(&a, 3).unwrap().unwrap();
    assert_eq!((row.changed_at, row.key), (Rev(4), digest("k1")));
    assert_eq!(store.changed_since(&a, Rev(3)).unwrap(), set([3]));
    assert_eq!(store.changed_since(&a, Rev(4)).unwrap(), set([]));
    let version = |rev| store.changed_versions(&a, 3, Rev(rev)).unwrap();
    assert_eq!(version(0), None);
    assert_eq!(version(2), Some(digest("v1")));
    assert_eq!(version(3), Some(digest("v2")));
    assert_eq!(version(9), Some(digest("v1")));
}

#[test]
fn a_tombstone_differs_from_everything_and_stays_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let a = key("a");
    let mut tx = store.begin().unwrap();
    tx.put_mat(&a, &mat(1, "k", "v")).unwrap();
    tx.put_mat(&a, &mat(2, "k", "v")).unwrap();
    tx.commit().unwrap();
    let mut tx = store.begin().unwrap();
    assert_eq!(tx.remove_mat(&a, &set([0, 1])).unwrap(), set([1]));
    tx.commit().unwrap();
    let tombstone = store.row(&a, 1).unwrap().unwrap();
    assert!(tombstone.flags.has(Flags::REMOVED) && tombstone.output.is_none());
    assert_eq!(store.asset(&a).unwrap().max_changed, Rev(2));

    let mut tx = store.begin().unwrap();
    assert_eq!(tx.remove_mat(&a, &set([1])).unwrap(), set([]));
    assert_eq!(tx.commit().unwrap(), Rev(2), "nothing was changed");
    let mut tx = store.begin().unwrap();
    assert_eq!(tx.put_mat(&a, &mat(1, "k", "v")).unwrap(), Rev(3), "it is back");
    tx.commit().unwrap();
}

#[test]
fn traces_are_told_by_their_partition_and_not_by_its_number() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let a = key("a");
    let mut tx = store.begin().unwrap();
    let partition = &PartitionKey::new("y");
    let (output, version) = (&output("moved"), &digest("moved"));
    // Of `y` when that was the fourth partition; by now the fourth is `4`, and `y` is the sixth.
    let moved = NewTrace { asset: &a, part: 4, partition, output, version, made_ms: 7 };
    tx.put_trace(&digest("moved"), &moved).unwrap();
    trace(&mut tx, "here", &a, 4, "here");
    tx.ask(|sql| {
        sql.exec(
            "INSERT INTO trace SELECT ?1, asset, part, output, version, created_rev, made_ms, NULL
             FROM trace WHERE key = ?2",
            params![digest("old").as_bytes(), digest("here").as_bytes()],
        )
    })
    .unwrap();
    let is_there = |tx: &Tx<'_>, name: &str| tx.trace(&digest(name)).unwrap().is_some();
    tx.forget_traces(&a, &[(4, PartitionKey::new("4"))].into()).unwrap();
    assert!(is_there(&tx, "moved") && !is_there(&tx, "here"));
    assert!(!is_there(&tx, "old"), "an older format knew the number only");
    tx.forget_traces(&a, &[(6, PartitionKey::new("y"))].into()).unwrap();
    assert!(!is_there(&tx, "moved"));
}

#[test]
fn the_first_trace_of_a_key_stays() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let (a, k) = (key("a"), digest("k"));
    let mut tx = store.begin().unwrap();
    let put = |tx: &mut Tx<'_>, content: &str| trace(tx, "k", &a, 4, content);
    assert_eq!(put(&mut tx, "one"), Traced::New);
    assert_eq!(put(&mut tx, "one"), Traced::Same);
    let first = Trace {
        asset: a.clone(),
        part: 4,
        output: output("one"),
        version: digest("one"),
        made_ms: 7,
    };
    assert_eq!(put(&mut tx, "two"), Traced::Differs(first.clone()));
    assert_eq!(tx.trace(&k).unwrap(), Some(first));
    let (output_two, version) = (output("two"), digest("two"));
    let partition = &PartitionKey::new("4");
    let (asset, output) = (&a, &output_two);
    let other = NewTrace { asset, part: 4, partition, output, version: &version, made_ms: 8 };
    tx.replace_trace(&k, &other).unwrap();
    assert_eq!(tx.trace(&k).unwrap().unwrap().output, output_two);
    tx.remove_trace(&k).unwrap();
    assert_eq!(tx.trace(&k).unwrap(), None);
}

#[test]
fn what_is_not_committed_never_happened() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let mut tx = store.begin().unwrap();
    tx.put_mat(&key("lost"), &mat(0, "k", "v")).unwrap();
    drop(tx);
    let mut tx = store.begin().unwrap();
    // It gets the number that `lost` had, which must not be remembered.
    tx.put_mat(&key("kept"), &mat(0, "k", "v")).unwrap();
    assert_eq!(tx.commit().unwrap(), Rev(1));
    assert_eq!(store.row(&key("lost"), 0).unwrap(), None);
    assert_eq!(store.assets().unwrap().len(), 1);
}

#[test]
fn keys_keep_their_indexes() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let keys = |texts: &[&str]| texts.iter().map(|t| PartitionKey::new(*t)).collect::<Vec<_>>();
    let mut tx = store.begin().unwrap();
    assert_eq!(tx.add_keys("t", &keys(&["b", "a", "b"])).unwrap(), [0, 1, 0]);
    assert_eq!(tx.add_keys("other", &keys(&["a"])).unwrap(), [0]);
    assert_eq!(tx.remove_keys("t", &keys(&["b", "none"])).unwrap(), set([0]));
    assert_eq!(tx.add_keys("t", &keys(&["c"])).unwrap(), [2]);
    assert_eq!(tx.key_rows("t").unwrap(), (keys(&["b", "a", "c"]), set([1, 2])));
    assert_eq!(tx.add_keys("t", &keys(&["b"])).unwrap(), [0]);
    tx.commit().unwrap();
    assert_eq!(store.key_rows("t").unwrap().1, set([0, 1, 2]));
    assert_eq!(store.key_rows("none").unwrap(), (vec![], set([])));
}

#[test]
fn many_keys_and_scattered_rows_in_one_call() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let keys: Vec<_> = (0..300_000).map(|i| PartitionKey::new(format!("file-{i}"))).collect();
    let mut tx = store.begin().unwrap();
    let indexes = tx.add_keys("files", &keys).unwrap();
    assert_eq!(indexes.last(), Some(&299_999));
    let a = key("a");
    for part in (0..2_000).step_by(2) {
        tx.put_mat(&a, &mat(part, "k", "v")).unwrap();
    }
    tx.commit().unwrap();
    let odd_and_some = set((1..2_000).step_by(2)) | set([0, 4, 1_998]);
    let before = store.statements();
    let rows = store.rows_in(&a, &odd_and_some).unwrap();
    assert_eq!(rows.iter().map(|row| row.part).collect::<Vec<_>>(), [0, 4, 1_998]);
    assert_eq!(store.statements() - before, 1, "one scan, since there are too many ranges");
    let column = store.column(&a).unwrap();
    assert_eq!(column.len(), 1_000);
    assert_eq!(column.get(1_998).unwrap().version, digest("v"));
    let outputs: i64 =
        store.conn.query_row("SELECT count(*) FROM output", [], |row| row.get(0)).unwrap();
    assert_eq!(outputs, 1, "equal outputs have one row");
}

#[test]
fn statements_are_few() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let a = key("a");
    let mut commit = |part: u32| {
        let before = store.statements();
        let mut tx = store.begin().unwrap();
        let text = format!("v{part}");
        tx.put_mat(&a, &mat(part, &text, &text)).unwrap();
        tx.put_blob_small(&digest(&text), text.as_bytes()).unwrap();
        trace(&mut tx, &text, &a, part, &text);
        tx.clear_failure(&a, part).unwrap();
        tx.commit().unwrap();
        store.statements() - before
    };
    commit(0);
    assert_eq!(commit(1), 12, "a small result");
    for part in 2..20 {
        commit(part);
    }
    let before = store.statements();
    store.assets().unwrap();
    assert_eq!(store.statements() - before, 2);
    store.column(&a).unwrap();
    assert_eq!(store.statements() - before, 3);
}

#[test]
fn a_reader_sees_one_state_and_a_second_writer_the_last() {
    let dir = tempfile::tempdir().unwrap();
    let (mut one, mut two) = (open(dir.path()), open(dir.path()));
    let a = key("a");
    let seen = two.data_version().unwrap();
    let mut tx = one.begin().unwrap();
    tx.put_mat(&a, &mat(0, "k", "v")).unwrap();
    assert_eq!(two.rev().unwrap(), Rev(0), "not yet");
    tx.commit().unwrap();
    assert_ne!(two.data_version().unwrap(), seen);
    two.read(|two| {
        assert_eq!(two.rev()?, Rev(1));
        let mut tx = one.begin()?;
        tx.put_mat(&a, &mat(0, "k", "w"))?;
        tx.commit()?;
        assert_eq!(two.rev()?, Rev(1), "still the state of the first question");
        assert_eq!(two.row(&a, 0)?.unwrap().version, digest("v"));
        Ok::<_, Error>(())
    })
    .unwrap();
    let tx = two.begin().unwrap();
    assert_eq!(tx.rev(), Rev(2));
    assert_eq!(tx.row(&a, 0).unwrap().unwrap().version, digest("w"));
    drop(tx);
    // Both write in turns: no commit is lost, and revisions are not given twice.
    for round in 0..10_u32 {
        for (store, part) in [(&mut one, 1), (&mut two, 2)] {
            let mut tx = store.begin().unwrap();
            tx.put_mat(&a, &mat(part, "k", &round.to_string())).unwrap();
            tx.add_fresh(&a, &set([part * 100 + round])).unwrap();
            tx.commit().unwrap();
        }
    }
    assert_eq!(one.rev().unwrap(), Rev(22));
    assert_eq!(one.asset(&a).unwrap().fresh, set((100..110).chain(200..210)));
}

#[test]
fn runs_are_listed_from_the_newest() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let a = key("a");
    for started_ms in [10, 20] {
        let new = NewRun {
            started_ms,
            owner: "o",
            command: "c",
            targets: &[],
            launch: &LaunchInfo::default(),
        };
        let run = store.begin_run(&new).unwrap();
        for attempt in [1, 2] {
            let new = NewAttempt { run, asset: &a, part: 5, attempt, started_ms };
            store.start_attempt(&new).unwrap();
        }
    }
    let ids = |query: RunQuery<'_>| -> Vec<u64> {
        store.runs(&query).unwrap().into_iter().map(|run| run.id.0).collect()
    };
    assert_eq!(ids(RunQuery::default()), [2, 1]);
    assert_eq!(ids(RunQuery { limit: Some(1), ..RunQuery::default() }), [2]);
    let last = store.last_attempt(&a, 5).unwrap().unwrap();
    assert_eq!((last.run, last.attempt, last.outcome), (RunId(2), 2, Outcome::Running));
    assert_eq!(store.last_attempt(&a, 6).unwrap(), None);
    assert_eq!(store.attempts(RunId(1)).unwrap().len(), 2);
    assert_eq!(store.rev().unwrap(), Rev(0), "history is no change of records");
}

#[test]
fn the_runs_of_the_dead_are_closed() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let a = key("a");
    let begin = |store: &mut Store, owner: &str, part: u32| {
        let new = NewRun {
            started_ms: 1,
            owner,
            command: "c",
            targets: &[],
            launch: &LaunchInfo::default(),
        };
        let run = store.begin_run(&new).unwrap();
        let mut tx = store.begin().unwrap();
        tx.start_attempt(&NewAttempt { run, asset: &a, part, attempt: 1, started_ms: 1 }).unwrap();
        tx.claim(&a, part, owner).unwrap();
        tx.commit().unwrap();
        run
    };
    let (alive, ended) = (Owner::acquire(dir.path()).unwrap(), Owner::acquire(dir.path()).unwrap());
    let kept = begin(&mut store, alive.id(), 0);
    let left = begin(&mut store, ended.id(), 1);
    assert_eq!(recover(&mut store).unwrap(), Recovered::default());
    drop(ended);
    // As after a kill: the file is there, its lock is free.
    std::fs::write(dir.path().join("owners/killed.lock"), "").unwrap();
    let killed = begin(&mut store, "killed", 2);
    let recovered = recover(&mut store).unwrap();
    assert_eq!(recovered.runs, [left, killed]);
    assert_eq!(recovered.attempts, 2);
    assert_eq!(recovered.staging, [left, killed].map(|run| staging_dir(dir.path(), run)));
    assert_eq!(store.run(left).unwrap().unwrap().state, RunState::Interrupted);
    assert_eq!(store.run(kept).unwrap().unwrap().state, RunState::Running);
    assert_eq!(store.attempts(killed).unwrap()[0].outcome, Outcome::Interrupted);
    assert!(!dir.path().join("owners/killed.lock").exists());
    let before = store.statements();
    assert_eq!(recover(&mut store).unwrap(), Recovered::default());
    assert_eq!(store.statements() - before, 1, "with nothing to do, nothing is written");
}

#[test]
fn after_a_power_cut_unsynced_blobs_are_looked_at_again() {
    let dir = tempfile::tempdir().unwrap();
    let reboot = |store: Store| {
        store.conn.execute("UPDATE meta SET value = 'x' WHERE key = 'boot_id'", []).unwrap();
    };
    let put = |store: &mut Store, text: &str| {
        let mut tx = store.begin().unwrap();
        tx.put_blob(&digest(text), 1).unwrap();
        tx.commit().unwrap();
    };
    let mut store = open(dir.path());
    put(&mut store, "synced");
    reboot(store);
    let store = open(dir.path());
    assert_eq!(store.unsynced_blobs().unwrap(), [], "all were synced before their rows");
    drop(store);
    let mut store = Store::open(dir.path(), Durability::Fast).unwrap();
    put(&mut store, "fast");
    assert_eq!(store.unsynced_blobs().unwrap(), [], "the machine still runs");
    drop(store);
    let mut store = open(dir.path());
    put(&mut store, "after");
    reboot(store);
    // Also the second process that opens it hears of them.
    for _ in 0..2 {
        let store = open(dir.path());
        let mut expected = [(digest("fast"), 1), (digest("after"), 1)];
        expected.sort();
        assert_eq!(store.unsynced_blobs().unwrap(), expected);
    }
    let mut store = open(dir.path());
    let mut tx = store.begin().unwrap();
    tx.mark_blob(&digest("fast"), BlobState::Corrupt).unwrap();
    tx.commit().unwrap();
    store.mark_synced().unwrap();
    assert_eq!(store.unsynced_blobs().unwrap(), []);
    assert_eq!(open(dir.path()).unsynced_blobs().unwrap(), []);
    let states: Vec<_> = store.blobs().unwrap().into_iter().map(|blob| blob.2).collect();
    assert_eq!(states.iter().filter(|state| **state == BlobState::Corrupt).count(), 1);
    put(&mut store, "fast");
    assert!(store.blobs().unwrap().iter().all(|blob| blob.2 == BlobState::Sound), "made anew");
    assert_eq!(store.last_synced_rev().unwrap(), store.rev().unwrap());
}

#[test]
fn the_stat_cache_and_the_slack_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    assert_eq!(store.stat_slack().unwrap(), None);
    let stat = StatKey {
        dev: u64::MAX,
        ino: 1 << 63,
        size: 9,
        mtime_ns: -5,
        ctime_ns: 7,
        mode: 0o100_644,
    };
    let entry = StatEntry { stat, digest: digest("x"), taken_ns: i64::MIN };
    let slack = Slack { dev: u64::MAX - 1, ns: 4_000_000 };
    let mut tx = store.begin().unwrap();
    tx.put_stats(&[(PathBuf::from("a"), entry), (PathBuf::from("b"), entry)]).unwrap();
    tx.remove_stats(&[PathBuf::from("b"), PathBuf::from("c")]).unwrap();
    tx.set_stat_slack(slack).unwrap();
    assert_eq!(tx.commit().unwrap(), Rev(0));
    let store = open(dir.path());
    assert_eq!(store.stats().unwrap(), [(PathBuf::from("a"), entry)].into());
    assert_eq!(store.stat_slack().unwrap(), Some(slack));
}

#[test]
fn the_description_of_a_step_is_kept_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let parts = StepParts([("code".to_owned(), "x".to_owned())].into());
    let step = store.intern_step(&key("a"), &parts).unwrap();
    assert_eq!(store.intern_step(&key("a"), &parts).unwrap(), step);
    assert_ne!(store.intern_step(&key("b"), &parts).unwrap(), step);
    assert_eq!(store.step_parts(step).unwrap(), Some(parts));
    assert_eq!(store.step_parts(StepId(99)).unwrap(), None);
}

#[test]
fn marks_are_found_however_the_partitions_lie() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), Durability::Batch).unwrap();
    let a = key("a");
    let mut tx = store.begin().unwrap();
    for part in (0..400).filter(|part| part % 7 != 3) {
        tx.put_mat(&a, &mat(part, "k", "v")).unwrap();
    }
    tx.commit().unwrap();
    let column = store.column(&a).unwrap();
    for step in [1, 2, 3, 50, 90, 101, 399] {
        for block in [1_u32, 2, 20] {
            let wanted: PartitionSet = (0..600).filter(|part| part % step < block).collect();
            let found = store.marks_in(&a, &wanted).unwrap();
            let expected: Vec<_> = column.iter().filter(|it| wanted.contains(it.part)).collect();
            assert_eq!(found, expected, "{block} of each {step}");
        }
    }
    assert_eq!(store.marks_in(&key("b"), &set([1, 3, 5, 7, 9])).unwrap(), []);
}
