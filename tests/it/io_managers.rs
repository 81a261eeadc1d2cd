//! Results where IO managers keep them: put once, put right, removed with what they are of.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use giornata::api::{
    BoxError, Error, FailureKind, Form, Io, Launch, Parts, Project, Provider, Raw, Resource, Setup,
    State, StepState, Stored, Table, TableMode, job, op,
};
use giornata::base::{Digest, PartitionKey};
use giornata::defs::io::TableDef;
use giornata::io::{
    IoError, IoManager, Kept, MemoryIo, Place, TablesIo, Value, Versions, Warehouse,
};
use giornata::testing::Harness;

const MART: &str = "\
resources:
  warehouse: {type: sqlite, path: data/warehouse.db}
io:
  mart: {type: table, on: warehouse, table: 'mart_{asset}'}
sources:
  orders: {files: 'in/{region}.csv'}
assets:
  sold: {partitions: each(orders), io: mart, sql: 'SELECT id, amount FROM orders ORDER BY id'}
  total: {sql: SELECT sum(amount) AS total FROM sold}
";

fn mart(yaml: &str) -> Harness {
    Harness::files(&[
        ("giornata.toml", "name = \"shop\"\n"),
        ("assets/all.yaml", yaml),
        ("in/eu.csv", "id,amount\n1,2\n2,3\n"),
        ("in/us.csv", "id,amount\n3,4\n"),
    ])
}

fn warehouse(root: &Path) -> Warehouse {
    Warehouse::open(&root.join("data/warehouse.db")).unwrap()
}

/// Rows as text, each value after the other.
#[track_caller]
fn rows(root: &Path, sql: &str) -> Vec<String> {
    let rows = warehouse(root).query(sql, &[]).unwrap_or_else(|error| panic!("{error:?}")).rows;
    let text = |value: Value| match value {
        Value::Null => "-".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => format!("{number:?}"),
        Value::Text(text) => text,
        Value::Blob(_) => "blob".to_owned(),
    };
    rows.into_iter().map(|row| row.into_iter().map(text).collect::<Vec<_>>().join(" ")).collect()
}

const SOLD: &str = "SELECT id, amount, _partition FROM mart_sold ORDER BY id";

#[test]
fn partitions_are_put_apart_and_a_null_run_writes_nothing() {
    let mut harness = mart(MART);
    harness.materialize("total").ran("sold@eu, sold@us, total");
    assert_eq!(rows(harness.root(), SOLD), ["1 2 eu", "2 3 eu", "3 4 us"]);
    let file = harness.root().join("data/warehouse.db");
    let bytes = fs::read(&file).unwrap();
    harness.reopen();
    harness.materialize("total").ran("");
    assert_eq!(fs::read(&file).unwrap(), bytes);
    assert!(harness.materialize("total").report.is_idle());

    // One partition differs: the rows of the other keep their numbers.
    harness.write("in/us.csv", "id,amount\n3,5\n4,1\n");
    let eu = "SELECT rowid, id FROM mart_sold WHERE _partition = 'eu'";
    let untouched = rows(harness.root(), eu);
    harness.materialize("total").ran("sold@us, total");
    assert_eq!(rows(harness.root(), SOLD), ["1 2 eu", "2 3 eu", "3 5 us", "4 1 us"]);
    assert_eq!(rows(harness.root(), eu), untouched);

    // Back to what it was: restored from the store, and put.
    harness.write("in/us.csv", "id,amount\n3,4\n");
    harness.materialize("total").ran("").restored("sold@us, total");
    assert_eq!(rows(harness.root(), SOLD), ["1 2 eu", "2 3 eu", "3 4 us"]);
}

#[test]
fn what_a_crash_left_undone_is_done_by_the_next_run() {
    let mut harness = mart(MART);
    harness.materialize("sold@all").ran("sold@eu, sold@us");
    // Recorded in the store, and the process died before the transaction of the warehouse.
    let undo = "DELETE FROM mart_sold WHERE _partition = 'us';
        DELETE FROM _giornata WHERE partition = 'us'";
    warehouse(harness.root()).execute(undo).unwrap();
    harness.reopen();
    harness.materialize("sold@all").ran("");
    assert_eq!(rows(harness.root(), SOLD), ["1 2 eu", "2 3 eu", "3 4 us"]);
    // An older state of the warehouse: a copy that was put back.
    let older = "UPDATE mart_sold SET amount = 0 WHERE _partition = 'eu';
        UPDATE _giornata SET version = hex(zeroblob(32)) WHERE partition = 'eu'";
    warehouse(harness.root()).execute(older).unwrap();
    harness.materialize("sold@all").ran("");
    assert_eq!(rows(harness.root(), SOLD), ["1 2 eu", "2 3 eu", "3 4 us"]);
    // Somebody dropped the table.
    warehouse(harness.root()).execute("DROP TABLE mart_sold").unwrap();
    harness.materialize("sold@all").ran("");
    assert_eq!(rows(harness.root(), SOLD), ["1 2 eu", "2 3 eu", "3 4 us"]);
    // The whole database is gone.
    fs::remove_file(harness.root().join("data/warehouse.db")).unwrap();
    harness.materialize("sold@all").ran("");
    assert_eq!(rows(harness.root(), SOLD), ["1 2 eu", "2 3 eu", "3 4 us"]);
}

#[test]
fn what_is_removed_renamed_or_put_elsewhere_goes() {
    let mut harness = mart(MART);
    harness.materialize("total").ran("sold@eu, sold@us, total");
    harness.remove("in/us.csv");
    harness.materialize("total").ran("total");
    assert_eq!(rows(harness.root(), SOLD), ["1 2 eu", "2 3 eu"]);
    // Another template of names.
    harness.write("assets/all.yaml", MART.replace("mart_{asset}", "{asset}_mart"));
    harness.materialize("sold@all").ran("");
    assert_eq!(rows(harness.root(), "SELECT id FROM sold_mart ORDER BY id"), ["1", "2"]);
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
    assert_eq!(rows(harness.root(), tables), ["_giornata", "sold_mart"]);
    // Another name: what the old one put is removed, also where the new one is not put.
    let renamed = MART.replace("sold", "bought").replace("io: mart, sql", "io: none, sql");
    harness.write("assets/all.yaml", &renamed);
    harness.materialize("total").ran("bought@eu, total");
    assert_eq!(rows(harness.root(), tables), ["_giornata", "sold_mart"]);
    harness.write("assets/all.yaml", MART.replace("sold", "bought"));
    harness.materialize("bought@all").ran("");
    assert_eq!(rows(harness.root(), tables), ["_giornata", "mart_bought"]);
}

#[test]
fn an_asset_that_cannot_be_read_at_the_moment_keeps_its_rows() {
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        fs::create_dir_all(dir.path().join(path).parent().unwrap()).unwrap();
        fs::write(dir.path().join(path), text).unwrap();
    };
    write("giornata.toml", "name = \"shop\"\n");
    write(
        "assets/all.yaml",
        &MART.replace("  total: {sql: SELECT sum(amount) AS total FROM sold}\n", ""),
    );
    write("assets/more.yaml", "assets: {extra: {io: mart, sql: SELECT 1 AS n}}");
    write("in/eu.csv", "id,amount\n1,2\n");
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_giornata"));
        command.args(args).current_dir(dir.path()).stdin(Stdio::null()).output().unwrap()
    };
    assert!(run(&["m", "--all"]).status.success());
    let tables = "SELECT asset FROM _giornata ORDER BY asset";
    assert_eq!(rows(dir.path(), tables), ["extra", "sold"]);
    write("assets/more.yaml", "assets: {extra: {io: mart, sql: SELECT 1 AS n, colour: red}}");
    assert!(run(&["m", "sold"]).status.success());
    assert_eq!(rows(dir.path(), tables), ["extra", "sold"]);
    write("assets/more.yaml", "assets: {}");
    assert!(run(&["m", "sold"]).status.success());
    assert_eq!(rows(dir.path(), tables), ["sold"]);
    // `wipe` takes back what it forgets.
    assert!(run(&["wipe", "sold", "--yes"]).status.success());
    assert_eq!(rows(dir.path(), tables), [""; 0]);
}

#[test]
fn what_cannot_be_put_is_a_failure_and_is_put_later() {
    let mut harness = mart(MART);
    let root = harness.root().to_owned();
    fs::create_dir(root.join("data")).unwrap();
    // A table of somebody else's is in the way.
    warehouse(&root).execute("CREATE TABLE mart_sold (id INTEGER)").unwrap();
    let ran = harness.materialize("sold@all");
    ran.ran_despite_failures("sold@eu, sold@us");
    assert!(!ran.report.is_success());
    let warning = &ran.report.warnings[0];
    assert!(warning.contains("table `mart_sold` is there already"), "{warning}");
    assert!(!harness.materialize("sold@all").report.is_success());
    warehouse(&root).execute("DROP TABLE mart_sold").unwrap();
    harness.materialize("sold@all").ran("");
    assert_eq!(rows(&root, SOLD), ["1 2 eu", "2 3 eu", "3 4 us"]);
}

#[test]
fn a_default_holds_for_what_it_fits() {
    let yaml = "\
resources: {warehouse: {type: sqlite, path: data/warehouse.db}}
io:
  default: {type: table, on: warehouse}
  files: {type: file, path: out, format: jsonl}
  store: {type: file}
assets:
  rows: {sql: SELECT 1 AS n}
  text: {run: 'echo hello > $output', output: t.txt}
  kept: {io: store, sql: SELECT 1 AS n}
  seen: {io: files, sql: 'SELECT 1 AS n, NULL AS m'}
  said: {io: files, run: 'echo hello > $output', output: t.txt}
";
    let mut harness = mart(yaml);
    for asset in ["rows", "text", "kept", "seen", "said"] {
        harness.materialize(asset).ran(asset);
    }
    assert_eq!(rows(harness.root(), "SELECT asset FROM _giornata"), ["rows"]);
    let root = harness.root().to_owned();
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    assert_eq!(read("out/seen.jsonl"), "{\"n\":1,\"m\":null}\n");
    assert_eq!(read("out/said.txt"), "hello\n");
    // What is gone or was changed is put again.
    harness.write("out/said.txt", "goodbye, all of you\n");
    harness.remove("out/seen.jsonl");
    harness.materialize("said").ran("");
    harness.materialize("seen").ran("");
    assert_eq!(read("out/said.txt"), "hello\n");
    assert_eq!(read("out/seen.jsonl"), "{\"n\":1,\"m\":null}\n");
    // The others are looked at too: what has another name now goes.
    harness.write("assets/all.yaml", yaml.replace("  said:", "  told:"));
    harness.materialize("told").ran("told");
    assert_eq!(read("out/told.txt"), "hello\n");
    assert!(!harness.root().join("out/said.txt").exists());
}

#[test]
fn declarations_are_judged() {
    let check = |yaml: &str, texts: &[&str]| {
        let loaded =
            giornata::load::project_from(&[("giornata.toml", ""), ("assets/all.yaml", yaml)]);
        let told: Vec<String> = loaded
            .unwrap()
            .diagnostics
            .iter()
            .map(|it| {
                format!("{} ({}) {}", it.message, it.label, it.help.clone().unwrap_or_default())
            })
            .collect();
        let told = told.join("\n");
        for text in texts {
            assert!(told.contains(text), "no `{text}` in\n{told}");
        }
        assert_eq!(told.lines().count(), texts.len(), "{told}");
    };
    let base = "resources: {w: {type: sqlite, path: w.db}, d: {type: directory, path: d}}\n";
    check(
        &format!(
            "{base}io: {{a: {{type: table, on: v}}, b: {{type: table, on: d}}, c: {{type: table}}, none: {{type: file}}}}\n"
        ),
        &[
            "there is no resource `v`",
            "`b` puts tables into `d`, which is a `directory`",
            "`c` does not say in which database",
            "no IO manager can be named `none`",
        ],
    );
    check(
        &format!(
            "{base}io: {{a: {{type: table, on: w, mode: merge}}, b: {{type: table, on: w, key: [x]}}, c: {{type: table, on: w, path: x}}, d: {{type: table, on: w, table: '{{x}}'}}}}\n"
        ),
        &[
            "`mode: merge` must say what tells rows apart",
            "`key` is for `mode: merge` only",
            "`path` has no meaning for tables",
            "`table` knows `{asset}` only",
        ],
    );
    check(
        &format!(
            "{base}io: {{mart: {{type: table, on: w, table: one}}, out: {{type: file, path: assets}}, up: {{type: file, path: ../x}}}}\n\
             assets:\n  a: {{io: mart, sql: SELECT 1}}\n  b: {{io: mart, sql: SELECT 1}}\n  \
             c: {{io: mrt, sql: SELECT 1}}\n  d: {{io: mart, run: echo}}\n  e: {{io: out, sql: SELECT 1}}\n"
        ),
        &[
            "`a` and `b` are put into one table",
            "there is no IO manager `mrt` (no manager has this name) did you mean `mart`?",
            "a database takes tables, and this asset makes none",
            "would overwrite `assets/all.yaml`",
            "`path` must be a directory inside the project",
        ],
    );
    check(
        "io: {out: {type: file, path: in}}\nsources: {raw: {files: 'in/*.csv'}}\n\
         assets: {a: {io: out, sql: SELECT * FROM raw}}\n",
        &["would be read as its own input"],
    );
}

fn rain(rows: &[(i64, &str)]) -> Table {
    let mut table = Table::with_columns(["id", "text"]);
    table.rows = rows.iter().map(|(id, text)| vec![(*id).into(), (*text).into()]).collect();
    table
}

fn place(partition: &str) -> Place {
    Place::of("a", PartitionKey::new(partition))
}

fn put(tables: &TablesIo, partition: &str, rows: &[(i64, &str)], version: &str) {
    let version = Digest::of_blob(version.as_bytes());
    tables.store(&place(partition), &Kept::Table(rain(rows)), &version).unwrap();
}

#[test]
fn appended_rows_stay_and_merged_rows_move() {
    let dir = tempfile::tempdir().unwrap();
    let warehouse = Arc::new(Warehouse::open(&dir.path().join("data/warehouse.db")).unwrap());
    let tables = |table: &str, mode| {
        let def = TableDef { on: "w".to_owned(), table: table.to_owned(), mode };
        TablesIo::new(warehouse.clone(), def, "")
    };
    let log = tables("log", TableMode::Append);
    put(&log, "x", &[(1, "a")], "1");
    put(&log, "x", &[(1, "b")], "2");
    put(&log, "x", &[(1, "b")], "2");
    // A version that was there before is there already.
    put(&log, "x", &[(1, "a")], "1");
    assert_eq!(
        rows(dir.path(), "SELECT id, text, _partition FROM log ORDER BY rowid"),
        ["1 a x", "1 b x"]
    );
    assert_eq!(log.load(&place("x")).unwrap(), Some(Kept::Table(rain(&[(1, "a")]))));

    // The same asset in another table: nothing is left in the first.
    let merged = tables("merged", TableMode::Merge { key: vec!["id".to_owned()] });
    put(&merged, "x", &[(1, "a"), (2, "b")], "1");
    put(&merged, "y", &[(2, "c"), (3, "d")], "1");
    let all = "SELECT id, text, _partition FROM merged ORDER BY id";
    assert_eq!(rows(dir.path(), all), ["1 a x", "2 c y", "3 d y"]);
    put(&merged, "y", &[(3, "d")], "2");
    assert_eq!(rows(dir.path(), all), ["1 a x", "3 d y"]);
    let names = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
    assert_eq!(rows(dir.path(), names), ["_giornata", "merged"]);
    let error = tables("merged", TableMode::Merge { key: vec!["nr".to_owned()] });
    let error = error.store(&place("x"), &Kept::Table(rain(&[(1, "z")])), &Digest::of_blob(b"3"));
    assert!(error.unwrap_err().to_string().contains("there is no column `nr`"));
    assert_eq!(rows(dir.path(), all), ["1 a x", "3 d y"]);

    // Another mode for the same table.
    let replaced = tables("merged", TableMode::ReplacePartition);
    assert_eq!(replaced.versions("a", "").unwrap().len(), 0);
    put(&replaced, "x", &[(3, "e")], "1");
    assert_eq!(rows(dir.path(), all), ["3 d y", "3 e x"]);
    // Another thing may not come into it.
    let other = Place::of("b", PartitionKey::unpartitioned());
    let error =
        replaced.store(&other, &Kept::Table(rain(&[])), &Digest::of_blob(b"1")).unwrap_err();
    assert!(error.to_string().contains("table `merged` holds `a`"), "{error}");
}

#[test]
fn a_program_puts_assets_where_its_own_manager_says() {
    #[derive(Clone, Default)]
    struct Counting(Arc<MemoryIo>, Arc<Mutex<u32>>);

    impl IoManager for Counting {
        fn store(&self, at: &Place, value: &Kept, version: &Digest) -> Result<(), IoError> {
            *self.1.lock().unwrap() += 1;
            self.0.store(at, value, version)
        }
        fn load(&self, at: &Place) -> Result<Option<Kept>, IoError> {
            self.0.load(at)
        }
        fn remove(&self, at: &Place) -> Result<(), IoError> {
            self.0.remove(at)
        }
        fn versions(&self, name: &str, output: &str) -> Result<Versions, IoError> {
            self.0.versions(name, output)
        }
    }

    let dir = tempfile::tempdir().unwrap();
    let counting = Counting::default();
    let mut project = Project::new("letters", dir.path());
    let letter = project
        .asset("letter")
        .keys(["a", "b"])
        .io(&Io::of(counting.clone()))
        .compute(|ctx| Ok(format!("dear {}", ctx.partition())));
    let all =
        project.asset("all").inputs(&letter).compute(|_, all: Parts<String>| Ok(all.len() as i64));
    assert_eq!(project.get(&all, ()).unwrap(), 2);
    let kept = counting.load(&Place::of("letter", PartitionKey::new("b"))).unwrap();
    assert_eq!(kept, Some(Kept::Bytes { bytes: b"dear b".to_vec(), extension: "txt".into() }));
    project.get_range(&letter, "all").unwrap();
    assert_eq!(*counting.1.lock().unwrap(), 2);
    counting.remove(&Place::of("letter", PartitionKey::new("a"))).unwrap();
    project.get_range(&letter, "all").unwrap();
    assert_eq!(*counting.1.lock().unwrap(), 3);
}

/// Whose disk catches fire as soon as something is put on it, or where everything is looked at.
struct Burning {
    at_look: bool,
}

impl IoManager for Burning {
    fn store(&self, at: &Place, _: &Kept, _: &Digest) -> Result<(), IoError> {
        panic!("no disk for `{at}`")
    }
    fn load(&self, _: &Place) -> Result<Option<Kept>, IoError> {
        Ok(None)
    }
    fn remove(&self, _: &Place) -> Result<(), IoError> {
        Ok(())
    }
    fn versions(&self, name: &str, _: &str) -> Result<Versions, IoError> {
        if self.at_look { panic!("no versions of `{name}`") } else { Ok(Versions::new()) }
    }
}

#[test]
fn a_panic_of_a_manager_fails_what_is_put_and_nothing_else() {
    let burning = Io::of(Burning { at_look: false });
    let made = op("made").io(&burning).run(|_| Ok(1_i64));
    let apart = op("apart").run(|_| Ok(2_i64));
    let reads = op("reads").input::<i64>("n").run(|_, n| Ok(n));
    let whole = job("whole").define(|g| {
        reads.call(g, made.call(g));
        apart.call(g);
    });
    let result = whole.execute_in_process().unwrap();
    let failure = result.failure("made").unwrap();
    assert_eq!(failure.kind, FailureKind::Panic);
    assert!(failure.text.contains("tests/it/io_managers.rs"), "{}", failure.text);
    assert!(failure.text.ends_with("no disk for `whole/made.result`"), "{}", failure.text);
    assert_eq!(result.state("reads"), Some(StepState::Blocked));
    assert_eq!(result.value::<i64>("apart").unwrap(), 2);

    let dir = tempfile::tempdir().unwrap();
    let mut project = Project::new("p", dir.path());
    let burnt = project.asset("burnt").io(&burning).compute(|_| Ok(3_i64));
    let Err(Error::Failed { report, .. }) = project.materialize(&burnt, "all") else {
        panic!("it is not put")
    };
    let told = &report.warnings[0];
    assert!(told.starts_with("failed to put `burnt` where `io` says: panicked at"), "{told}");
    assert!(told.ends_with("no disk for `burnt`"), "{told}");
    // It is recorded all the same.
    assert_eq!(project.status(&burnt).unwrap().partitions(State::Fresh).len(), 1);

    let mut project = Project::new("p", dir.path());
    let lost = project.asset("lost").io(&Io::of(Burning { at_look: true })).compute(|_| Ok(3_i64));
    let error = project.get(&lost, ()).unwrap_err();
    assert!(error_chain(&error).ends_with("no versions of `lost`"), "{}", error_chain(&error));
}

fn error_chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", error_chain(source)),
        None => error.to_string(),
    }
}

/// A value that cannot be written down.
#[derive(Clone)]
struct Unspeakable;

impl giornata::api::Value for Unspeakable {
    const FORM: Form = Form::File { extension: "txt" };

    fn store(&self) -> Result<Stored, BoxError> {
        panic!("words fail")
    }

    fn load(_: &Raw<'_>) -> Result<Unspeakable, BoxError> {
        Ok(Unspeakable)
    }
}

#[test]
fn a_panic_of_a_value_that_is_put_fails_its_step() {
    let made = op("made").run(|_| Ok(Unspeakable));
    let j = job("j").io(&Io::memory()).define(|g| {
        made.call(g);
    });
    let result = j.execute_in_process().unwrap();
    let failure = result.failure("made").unwrap();
    assert_eq!(failure.kind, FailureKind::Panic);
    assert!(failure.text.ends_with("words fail"), "{}", failure.text);
}

#[test]
fn a_job_hands_values_on_through_managers() {
    let dir = tempfile::tempdir().unwrap();
    let launch = || Launch::new().root(dir.path());
    let pieces =
        op("pieces").pieces::<i64>().run(|_| Ok(vec![("a".to_owned(), 1), ("b".to_owned(), 2)]));
    let double = op("double").input::<i64>("n").run(|_, n| Ok(2 * n));
    let sum = op("sum").list::<i64>("all").run(|_, all| Ok(all.iter().sum::<i64>()));
    let whole = job("whole").io(&Io::files("out")).define(|g| {
        let doubled = pieces.call(g).map(|n| double.call(g, n));
        sum.call(g, doubled.collect());
    });
    let result = whole.execute(&launch()).unwrap();
    assert_eq!(result.value::<i64>("sum").unwrap(), 6);
    assert_eq!(result.value::<i64>("double[b]").unwrap(), 4);
    let read = |path: &str| fs::read_to_string(dir.path().join("out/whole").join(path)).unwrap();
    assert_eq!(read("pieces+result@a.json"), "1");
    assert_eq!(read("double+result@b.json"), "4");
    assert_eq!(read("sum+result.json"), "6");

    // An output has one of its own, and an input is read from elsewhere.
    let database = Resource::sqlite("database", "data/warehouse.db");
    let tables = Io::tables(&database, TableMode::ReplacePartition);
    let made = op("made").output_io("result", &tables).run(|_| Ok(rain(&[(1, "a"), (2, "b")])));
    let count = op("count")
        .input::<Table>("rows")
        .input_io("rows", &tables)
        .run(|_, rows: Table| Ok(rows.rows.len() as i64));
    let both = job("both").define(|g| {
        count.call(g, made.call(g));
    });
    assert_eq!(both.execute(&launch()).unwrap().value::<i64>("count").unwrap(), 2);
    assert_eq!(rows(dir.path(), "SELECT id, text FROM both_made_result"), ["1 a", "2 b"]);

    // A number is no table, and what is not put cannot be read from there.
    let number = op("number").io(&tables).run(|_| Ok(1_i64));
    let result = job("j")
        .define(|g| {
            number.call(g);
        })
        .execute(&launch())
        .unwrap();
    let text = &result.failure("number").unwrap().text;
    assert!(text.contains("put `j/number.result`") && text.contains("is no table"), "{text}");
    let plain = op("plain").run(|_| Ok(rain(&[])));
    let result = job("j")
        .define(|g| {
            count.call(g, plain.call(g));
        })
        .execute(&launch())
        .unwrap();
    let text = &result.failure("count").unwrap().text;
    assert!(text.contains("nothing has put it anywhere"), "{text}");
    let wrong = op("wrong").output_io("reslt", &tables).run(|_| Ok(1_i64));
    let error = job("j")
        .define(|g| {
            wrong.call(g);
        })
        .execute_in_process()
        .unwrap_err()
        .to_string();
    assert!(error.contains("there is no output `reslt`"), "{error}");
}

/// A database that its provider wants back at the end of the run.
struct Lent(Arc<Mutex<u32>>);

impl Provider for Lent {
    type Value = Warehouse;

    fn setup(&self, setup: &Setup<'_>) -> Result<Warehouse, BoxError> {
        Ok(Warehouse::open(&setup.path("data/warehouse.db"))?)
    }

    fn teardown(&self, _: Warehouse) -> Result<(), BoxError> {
        *self.0.lock().unwrap() += 1;
        Ok(())
    }
}

#[test]
fn a_database_in_which_tables_are_put_is_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let given_back = Arc::new(Mutex::new(0));
    let lent = Resource::of("lent", Lent(given_back.clone()));
    let tables = Io::tables(&lent, TableMode::ReplacePartition);
    let made = op("made").io(&tables).run(|_| Ok(rain(&[(1, "a")])));
    let whole = job("whole").define(|g| {
        made.call(g);
    });
    let result = whole.execute(&Launch::new().root(dir.path())).unwrap();
    assert_eq!(result.warnings(), [""; 0]);
    assert_eq!(*given_back.lock().unwrap(), 1);
    // Values can be read afterwards.
    assert_eq!(result.value::<Table>("made").unwrap().rows.len(), 1);

    // On the store, where something is to be removed from it, and something runs.
    let declare = |keys: &[&str], version: &str| {
        let mut project = Project::new("p", dir.path());
        let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        let rows = project.asset("rows").keys(keys).version(version).io(&tables);
        (rows.compute(|_| Ok(rain(&[(1, "a")]))), project)
    };
    let (rows_of, mut project) = declare(&["x", "y"], "1");
    let report = project.materialize(&rows_of, "all").unwrap();
    assert_eq!((report.warnings, *given_back.lock().unwrap()), (Vec::new(), 2));
    let (rows_of, mut project) = declare(&["x"], "2");
    let report = project.materialize(&rows_of, "all").unwrap();
    assert_eq!((report.warnings, *given_back.lock().unwrap()), (Vec::new(), 3));
    assert_eq!(rows(dir.path(), "SELECT _partition FROM rows"), ["x"]);
}

#[test]
fn two_projects_that_share_a_directory_leave_each_other_alone() {
    let shared = tempfile::tempdir().unwrap();
    let out = shared.path().display().to_string();
    let project = |asset: &str, keys: &str| {
        let yaml = format!(
            "io: {{files: {{type: file, path: '{out}'}}}}\n\
             assets: {{{asset}: {{partitions: [{keys}], io: files, sql: 'SELECT 1 AS n'}}}}\n"
        );
        Harness::files(&[("giornata.toml", "name = \"p\"\n"), ("assets/all.yaml", &yaml)])
    };
    let (mut one, mut other) = (project("rain", "a, b"), project("sun", "a"));
    let is_there = |name: &str| shared.path().join(name).exists();
    one.materialize("rain").ran("rain@a, rain@b");
    other.materialize("sun").ran("sun@a");
    assert!(is_there("rain@a.csv") && is_there("rain@b.csv") && is_there("sun@a.csv"));
    // The same name with other partitions is another project's, too.
    let mut third = project("rain", "c");
    third.materialize("rain").ran("rain@c");
    assert!(is_there("rain@a.csv") && is_there("rain@c.csv"));
}

#[test]
fn tables_whose_names_begin_alike_have_indexes_of_their_own() {
    let yaml = "resources: {w: {type: sqlite, path: w.db}}\n\
                io: {default: {type: table, on: w, table: '{asset}'}}\n\
                assets: {rain: {sql: SELECT 1 AS n}, rain/partition: {sql: SELECT 2 AS n}}\n";
    let mut harness =
        Harness::files(&[("giornata.toml", "name = \"p\"\n"), ("assets/all.yaml", yaml)]);
    for asset in ["rain/partition", "rain"] {
        let done = harness.materialize(asset);
        assert!(done.report.warnings.is_empty(), "{:?}", done.report.warnings);
        done.ran(asset);
    }
}

#[test]
fn one_place_may_have_two_names() {
    let yaml = "\
resources: {one: {type: sqlite, path: data/warehouse.db}, other: {type: sqlite, path: data/../data/warehouse.db}}
io:
  one: {type: table, on: one, table: '{asset}'}
  other: {type: table, on: other, table: '{asset}'}
  out: {type: file, path: out}
  dot: {type: file, path: ./out}
assets:
  rain: {io: one, sql: SELECT 1 AS n}
  sun: {io: other, sql: SELECT 2 AS n}
  day: {io: out, sql: SELECT 3 AS n}
  night: {io: dot, sql: SELECT 4 AS n}
";
    let mut harness = mart(yaml);
    for asset in ["rain", "sun", "day", "night"] {
        harness.materialize(asset).ran(asset);
    }
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
    assert_eq!(rows(harness.root(), tables), ["_giornata", "rain", "sun"]);
    assert!(harness.root().join("out/day.csv").exists());
    assert!(harness.root().join("out/night.csv").exists());
    // What is put under another name of the place goes with its asset nevertheless.
    harness.write("assets/all.yaml", yaml.replace("  sun: {io: other, sql: SELECT 2 AS n}\n", ""));
    harness.materialize("rain").ran("");
    assert_eq!(rows(harness.root(), tables), ["_giornata", "rain"]);
}
