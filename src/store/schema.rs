//! The tables, as migrations from each format to the next. The format is the number of migrations.

use rusqlite_migration::{M, Migrations};

/// The newest format that this program knows.
pub const FORMAT: u32 = MIGRATIONS.len() as u32;

pub(super) fn migrations() -> Migrations<'static> {
    Migrations::from_slice(MIGRATIONS)
}

const MIGRATIONS: &[M<'static>] = &[
    M::up(FORMAT_1),
    M::up(FORMAT_2),
    M::up(FORMAT_3),
    M::up(FORMAT_4),
    M::up(FORMAT_5),
    M::up(FORMAT_6),
];

// Released formats do not change: a change is a new entry of MIGRATIONS.
const FORMAT_1: &str = r#"
CREATE TABLE meta (
    key TEXT NOT NULL PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO meta (key, value) VALUES ('rev', 0), ('last_synced_rev', 0);

CREATE TABLE asset (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    verified_rev INTEGER NOT NULL DEFAULT 0,
    max_changed INTEGER NOT NULL DEFAULT 0,
    shape BLOB
) STRICT;

CREATE TABLE index_space (
    asset TEXT NOT NULL PRIMARY KEY,
    space TEXT NOT NULL -- what the numbers of its partitions mean
) STRICT, WITHOUT ROWID;
-- Apart from `asset`, so that moving a revision does not rewrite bitmaps.
CREATE TABLE asset_set (
    asset INTEGER NOT NULL,
    kind TEXT NOT NULL, -- fresh, failed, seen.0, seen.1 ...
    data BLOB NOT NULL, -- a serialized roaring bitmap
    PRIMARY KEY (asset, kind)
) STRICT, WITHOUT ROWID;

-- Append-only: an index is never given to another key.
CREATE TABLE key_table (
    name TEXT NOT NULL,
    idx INTEGER NOT NULL,
    key TEXT NOT NULL,
    present INTEGER NOT NULL,
    added_rev INTEGER NOT NULL,
    removed_rev INTEGER,
    PRIMARY KEY (name, idx)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX key_table_key ON key_table (name, key);

CREATE TABLE step_version (
    id INTEGER PRIMARY KEY,
    asset INTEGER NOT NULL,
    digest BLOB NOT NULL,
    parts TEXT NOT NULL, -- JSON object
    UNIQUE (asset, digest)
) STRICT;

CREATE TABLE output (
    id INTEGER PRIMARY KEY, -- from the digest of the other columns
    kind TEXT NOT NULL,
    digest BLOB NOT NULL,
    size INTEGER NOT NULL,
    schema TEXT
) STRICT;

-- The current result of each partition of each asset.
CREATE TABLE mat (
    asset INTEGER NOT NULL,
    part INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    verified_at INTEGER NOT NULL,
    step INTEGER,
    key BLOB NOT NULL,
    version BLOB NOT NULL,
    output INTEGER,
    run INTEGER,
    flags INTEGER NOT NULL,
    PRIMARY KEY (asset, part)
) STRICT, WITHOUT ROWID;
CREATE INDEX mat_changed ON mat (asset, changed_at);

-- Every version that a partition has had.
CREATE TABLE mat_log (
    asset INTEGER NOT NULL,
    part INTEGER NOT NULL,
    rev INTEGER NOT NULL,
    version BLOB NOT NULL,
    run INTEGER,
    PRIMARY KEY (asset, part, rev)
) STRICT, WITHOUT ROWID;

-- Which result a key has led to.
CREATE TABLE trace (
    key BLOB NOT NULL PRIMARY KEY,
    asset INTEGER NOT NULL,
    part INTEGER NOT NULL,
    output INTEGER NOT NULL,
    version BLOB NOT NULL,
    created_rev INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE failure (
    asset INTEGER NOT NULL,
    part INTEGER NOT NULL,
    key BLOB NOT NULL,
    run INTEGER NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (asset, part)
) STRICT, WITHOUT ROWID;

CREATE TABLE blob_small (
    digest BLOB NOT NULL PRIMARY KEY,
    data BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE blob (
    digest BLOB NOT NULL PRIMARY KEY,
    size INTEGER NOT NULL,
    created_rev INTEGER NOT NULL,
    state TEXT NOT NULL -- sound, missing, corrupt
) STRICT, WITHOUT ROWID;

CREATE TABLE stat (
    path TEXT NOT NULL PRIMARY KEY,
    dev INTEGER NOT NULL,
    ino INTEGER NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    ctime_ns INTEGER NOT NULL,
    mode INTEGER NOT NULL,
    digest BLOB NOT NULL,
    taken_ns INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What the engine remembers of a source from look to look, in a form of its own.
CREATE TABLE memory (
    asset TEXT NOT NULL PRIMARY KEY,
    data BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE run (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    started_ms INTEGER NOT NULL,
    finished_ms INTEGER,
    state TEXT NOT NULL,
    owner TEXT NOT NULL,
    command TEXT NOT NULL,
    counts TEXT NOT NULL DEFAULT '{}' -- JSON object
) STRICT;
CREATE INDEX run_running ON run (id) WHERE state = 'running';

-- Who is making a partition. An owner is alive as long as its lock is held; see owner.rs.
CREATE TABLE claim (
    asset INTEGER NOT NULL,
    part INTEGER NOT NULL,
    owner TEXT NOT NULL,
    PRIMARY KEY (asset, part)
) STRICT, WITHOUT ROWID;

CREATE TABLE run_target (
    run INTEGER NOT NULL,
    asset INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (run, asset)
) STRICT, WITHOUT ROWID;

CREATE TABLE attempt (
    asset INTEGER NOT NULL,
    part INTEGER NOT NULL,
    run INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    started_ms INTEGER NOT NULL,
    duration_ms INTEGER,
    outcome TEXT NOT NULL,
    detail TEXT NOT NULL DEFAULT '',
    log TEXT,
    PRIMARY KEY (asset, part, run, attempt)
) STRICT, WITHOUT ROWID;
CREATE INDEX attempt_run ON attempt (run);
"#;

// What is not known of older results counts as long ago: then they are due rather than young.
const FORMAT_2: &str = r#"
ALTER TABLE mat ADD COLUMN made_ms INTEGER NOT NULL DEFAULT 0; -- when it was made or seen
UPDATE mat SET made_ms = coalesce(
    (SELECT max(started_ms) FROM attempt
     WHERE attempt.asset = mat.asset AND attempt.part = mat.part AND attempt.run = mat.run), 0);
-- Those that are flagged as not deterministic: few, if any.
CREATE INDEX mat_differing ON mat (asset) WHERE flags & 16 <> 0;

ALTER TABLE trace ADD COLUMN made_ms INTEGER NOT NULL DEFAULT 0; -- when its result was made

-- Why somebody marked a result by hand; it counts while the mark is on the result.
CREATE TABLE note (
    asset INTEGER NOT NULL,
    part INTEGER NOT NULL,
    reason TEXT NOT NULL,
    made_ms INTEGER NOT NULL,
    PRIMARY KEY (asset, part)
) STRICT, WITHOUT ROWID;
"#;

// What is known of results beside their content. It goes with the key, so that a result which is restored
// has what was said when it was made.
const FORMAT_3: &str = r#"
CREATE TABLE fact (
    asset INTEGER NOT NULL,
    part INTEGER NOT NULL,
    key BLOB NOT NULL,
    run INTEGER NOT NULL,
    made_ms INTEGER NOT NULL,
    failed INTEGER NOT NULL, -- how many checks failed that make a run fail
    warned INTEGER NOT NULL, -- how many that are told only
    checks TEXT NOT NULL, -- JSON array
    metadata TEXT NOT NULL, -- JSON object
    PRIMARY KEY (asset, part, key)
) STRICT, WITHOUT ROWID;
-- What a run was launched with: its job, if it has one; its labels; its configuration without secrets.
ALTER TABLE run ADD COLUMN job TEXT;
ALTER TABLE run ADD COLUMN tags TEXT NOT NULL DEFAULT '{}'; -- JSON object of texts
ALTER TABLE run ADD COLUMN config TEXT NOT NULL DEFAULT '{}'; -- JSON
CREATE INDEX fact_failed ON fact (asset) WHERE failed > 0 OR warned > 0;
"#;

// Runs of jobs of ops: what their steps hand to each other is kept until the run, or a retry of it, has
// succeeded. And what steps of assets asked for while they ran.
const FORMAT_4: &str = r#"
-- What `part` means is another by definition; NULL in traces of before.
ALTER TABLE trace ADD COLUMN partition TEXT;
ALTER TABLE run ADD COLUMN partition TEXT; -- of the job
ALTER TABLE run ADD COLUMN parent INTEGER; -- the run that this one retries

CREATE TABLE op_step (
    run INTEGER NOT NULL,
    step TEXT NOT NULL, -- the path within the job, with the piece: compute[p1]
    key BLOB NOT NULL, -- the digest of everything that decides what it gives
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    started_ms INTEGER NOT NULL,
    duration_ms INTEGER,
    emitted INTEGER NOT NULL DEFAULT 0, -- how many values; they go before this row does
    detail TEXT NOT NULL DEFAULT '',
    log TEXT,
    PRIMARY KEY (run, step)
) STRICT, WITHOUT ROWID;

CREATE TABLE op_output (
    run INTEGER NOT NULL,
    step TEXT NOT NULL,
    place INTEGER NOT NULL, -- in the order of emission
    output TEXT NOT NULL,
    piece TEXT,
    kind TEXT NOT NULL,
    digest BLOB NOT NULL,
    size INTEGER NOT NULL,
    schema TEXT, -- as of `output`
    extension TEXT NOT NULL, -- of the file's name
    data BLOB,
    file TEXT, -- relative to the directory of the store
    PRIMARY KEY (run, step, place)
) STRICT, WITHOUT ROWID;
-- What partitions asked for of others when they were made last: a hint for plans.
CREATE TABLE asked (
    asset INTEGER NOT NULL,
    part INTEGER NOT NULL,
    upstream TEXT NOT NULL,
    base BLOB NOT NULL, -- the content key over everything else
    keys TEXT NOT NULL, -- JSON array of [key, version or null]: the number of a key is another by definition
    PRIMARY KEY (asset, part, upstream)
) STRICT, WITHOUT ROWID;
"#;

// Backfills, and what runs leave behind when their attempts are forgotten.
const FORMAT_5: &str = r#"
-- A range of partitions as one unit, which several runs may carry out.
CREATE TABLE backfill (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    created_ms INTEGER NOT NULL,
    finished_ms INTEGER,
    state TEXT NOT NULL,
    owner TEXT NOT NULL, -- who carries it out, as of a run; also between two runs
    wish TEXT, -- what another process wants of it: cancel, pause
    command TEXT NOT NULL, -- as the user would type it again
    spec TEXT NOT NULL, -- JSON object: what was asked for, and how
    tags TEXT NOT NULL DEFAULT '{}' -- JSON object of texts
) STRICT;
CREATE INDEX backfill_running ON backfill (id) WHERE state = 'running';
CREATE TABLE backfill_target (
    backfill INTEGER NOT NULL,
    asset INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (backfill, asset)
) STRICT, WITHOUT ROWID;
ALTER TABLE run ADD COLUMN backfill INTEGER;
CREATE INDEX run_backfill ON run (backfill) WHERE backfill IS NOT NULL;
ALTER TABLE run ADD COLUMN wish TEXT; -- what another process wants of it: cancel, pause

-- What became of the partitions of a run, by outcome.
CREATE TABLE run_set (
    run INTEGER NOT NULL,
    asset INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    data BLOB NOT NULL, -- a serialized roaring bitmap
    PRIMARY KEY (run, asset, outcome)
) STRICT, WITHOUT ROWID;

-- Of the processes of an attempt, and of what it made; NULL where it is not known.
ALTER TABLE attempt ADD COLUMN cpu_ms INTEGER;
ALTER TABLE attempt ADD COLUMN peak_kib INTEGER;
ALTER TABLE attempt ADD COLUMN bytes INTEGER;
ALTER TABLE op_step ADD COLUMN cpu_ms INTEGER;
ALTER TABLE op_step ADD COLUMN peak_kib INTEGER;
ALTER TABLE op_step ADD COLUMN metadata TEXT NOT NULL DEFAULT '{}'; -- JSON object
"#;

// What starts runs by itself: what it has seen, what it asked for, and what became of that.
const FORMAT_6: &str = r#"
CREATE TABLE instigator (
    kind TEXT NOT NULL, -- sensor, schedule, automation
    name TEXT NOT NULL,
    state TEXT, -- on, off; NULL: as declared
    version INTEGER NOT NULL DEFAULT 0, -- counts what was recorded of it
    cursor TEXT,
    handled_ms INTEGER, -- the time up to which it was looked after
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

-- The files that a sensor has taken account of.
CREATE TABLE sensor_file (
    name TEXT NOT NULL,
    path BLOB NOT NULL, -- as bytes: not every name is a text
    dev INTEGER NOT NULL,
    ino INTEGER NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    ctime_ns INTEGER NOT NULL,
    mode INTEGER NOT NULL,
    digest BLOB NOT NULL,
    taken_ns INTEGER NOT NULL,
    PRIMARY KEY (name, path)
) STRICT, WITHOUT ROWID;

CREATE TABLE tick (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    due_ms INTEGER NOT NULL, -- of a schedule: the time that it is about
    started_ms INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT NOT NULL,
    asked INTEGER NOT NULL, -- for how many runs
    known INTEGER NOT NULL -- of which so many had been asked for before
) STRICT;
CREATE INDEX tick_of ON tick (kind, name, id);

-- A key is taken for ever.
CREATE TABLE run_key (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    key TEXT NOT NULL,
    tick INTEGER NOT NULL,
    PRIMARY KEY (kind, name, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE request (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tick INTEGER NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    data TEXT NOT NULL, -- JSON
    state TEXT NOT NULL, -- queued, started, success, failure, dropped
    owner TEXT, -- who has started it
    attempts INTEGER NOT NULL DEFAULT 0,
    run INTEGER,
    detail TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX request_open ON request (id) WHERE state IN ('queued', 'started');
CREATE INDEX request_tick ON request (tick);
ALTER TABLE run ADD COLUMN request INTEGER;
CREATE INDEX run_request ON run (request) WHERE request IS NOT NULL;

CREATE TABLE notification (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL, -- of the declaration
    key TEXT NOT NULL, -- what it is about: told once
    created_ms INTEGER NOT NULL,
    due_ms INTEGER NOT NULL, -- when it is tried next
    state TEXT NOT NULL, -- waiting, sent, given_up
    attempts INTEGER NOT NULL DEFAULT 0,
    body TEXT NOT NULL, -- JSON
    detail TEXT NOT NULL DEFAULT '',
    UNIQUE (name, key)
) STRICT;
CREATE INDEX notification_open ON notification (due_ms) WHERE state = 'waiting';
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_migrations_apply() {
        migrations().validate().unwrap();
    }
}
