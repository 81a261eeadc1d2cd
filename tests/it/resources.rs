//! What steps share during a run: found before any step, handed to commands and SQL, torn down, and secret.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use giornata::api::{
    BoxError, Error, FailureKind, Launch, Mistake, Parts, Project, Provider, Resource, Setup,
    Table, job, op, resource,
};
use giornata::io::Warehouse;
use giornata::testing::Harness;
use tempfile::TempDir;

const SECRET: &str = "hunter22-and-more";

const YAML: &str = r#"
resources:
  shop: {type: sqlite, path: data/shop.db}
  scratch: {type: directory, path: data/scratch}
  api: {type: http, url: "https://example.org", headers: {Authorization: {env: TOKEN}, X-Team: a}}
assets:
  total:
    resources: [shop]
    sql: SELECT sum(amount) AS total FROM shop.orders
  noted:
    resources: [scratch, api]
    run: |
      echo x > "$GIORNATA_RESOURCE_SCRATCH/note"
      printf '%s' "$GIORNATA_RESOURCE_API" | wc -c > "$output"
"#;

fn project(yaml: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("assets")).unwrap();
    fs::write(dir.path().join("giornata.toml"), "name = \"shop\"\n").unwrap();
    fs::write(dir.path().join("assets/all.yaml"), yaml).unwrap();
    dir
}

fn giornata(root: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_giornata"));
    command.args(args).current_dir(root).stdin(Stdio::null()).env_remove("TOKEN");
    command.output().unwrap()
}

#[track_caller]
fn check(root: &Path, args: &[&str], code: i32) -> (String, String) {
    let output = giornata(root, args);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{args:?}\n{stdout}\n{stderr}");
    (stdout, stderr)
}

#[test]
fn sql_and_commands_find_what_they_use() {
    let dir = project(YAML);
    let root = dir.path();
    let shop = Warehouse::open(&root.join("data/shop.db")).unwrap();
    shop.execute("CREATE TABLE orders (amount REAL); INSERT INTO orders VALUES (2), (3.5)")
        .unwrap();
    fs::write(root.join(".env"), format!("TOKEN={SECRET}\n")).unwrap();
    check(root, &["m", "--all"], 0);
    assert_eq!(check(root, &["cat", "total"], 0).0, "total\n5.5\n");
    let json = format!(
        r#"{{"url":"https://example.org","headers":{{"Authorization":"{SECRET}","X-Team":"a"}}}}"#
    );
    assert_eq!(check(root, &["cat", "noted"], 0).0.trim(), json.len().to_string());
    assert_eq!(fs::read_to_string(root.join("data/scratch/note")).unwrap(), "x\n");
    // What a resource holds decides no key.
    shop.execute("INSERT INTO orders VALUES (10)").unwrap();
    assert!(check(root, &["m", "--all"], 0).0.contains("up to date"));
}

#[test]
fn sql_can_only_read_a_database_and_only_one_that_it_names() {
    let dir = project(
        "resources:\n  shop: {type: sqlite, path: shop.db}\n  other: {type: sqlite, path: other.db}\n\
         assets:\n  ok: {resources: [shop], sql: SELECT n FROM Shop.t ORDER BY n}\n  \
         writes: {resources: [shop], sql: 'INSERT INTO shop.t VALUES (2); SELECT n FROM shop.t'}\n  \
         makes: {resources: [shop], sql: 'CREATE TABLE shop.u (x); SELECT n FROM shop.t'}\n  \
         drops: {resources: [shop], sql: 'DROP TABLE shop.t; SELECT 1 AS n'}\n",
    );
    let root = dir.path();
    for name in ["shop", "other"] {
        let database = Warehouse::open(&root.join(format!("{name}.db"))).unwrap();
        database.execute("CREATE TABLE t (n INTEGER); INSERT INTO t VALUES (1)").unwrap();
    }
    check(root, &["m", "ok"], 0);
    for name in ["writes", "makes", "drops"] {
        let (_, stderr) = check(root, &["m", name], 1);
        assert!(stderr.contains("resource `shop` can only be read here"), "{name}: {stderr}");
    }
    assert_eq!(check(root, &["cat", "ok"], 0).0, "n\n1\n");
    fs::write(
        root.join("assets/more.yaml"),
        "assets: {reads: {resources: [shop], sql: SELECT n FROM other.t}}\n",
    )
    .unwrap();
    let (_, stderr) = check(root, &["check"], 2);
    assert!(stderr.contains("asset `reads` reads `other.t`, which does not exist"), "{stderr}");
}

#[test]
fn what_is_missing_is_found_before_any_step_and_leaves_no_run() {
    let dir = project(
        "resources:\n  a: {type: http, url: {env: URL_OF_A}, headers: {K: {env: KEY_OF_A}}}\n  \
         b: {type: directory, path: {env: PATH_OF_B}}\n  c: {type: sqlite, path: giornata.toml}\n  \
         unused: {type: http, url: {env: NOBODY}}\n\
         assets:\n  first: {run: 'touch ran; echo 1 > \"$output\"'}\n  \
         last: {deps: [first], resources: [a, b, c], run: 'cat \"$first\" > \"$output\"'}\n",
    );
    let root = dir.path();
    let (stdout, stderr) = check(root, &["m", "last"], 2);
    for variable in ["URL_OF_A", "KEY_OF_A", "PATH_OF_B"] {
        assert!(stderr.contains(&format!("`{variable}`, which is not set")), "{stdout}\n{stderr}");
    }
    assert!(stderr.contains("resource `c`: open the database"), "{stderr}");
    assert!(!stderr.contains("NOBODY"), "{stderr}");
    assert!(!root.join("ran").exists() && !root.join(".giornata/logs").exists());
    // What uses none of them can be made, by the first run that there is.
    check(root, &["m", "first", "--jsonl"], 0);
    fs::write(
        root.join("assets/all.yaml"),
        "assets: {first: {run: 'echo x; echo 1 > \"$output\"'}}",
    )
    .unwrap();
    check(root, &["m", "first"], 0);
    assert!(root.join(".giornata/logs/2/first.log").exists());
}

#[test]
fn names_are_looked_up_when_files_are_loaded() {
    let dir = project(
        "resources:\n  warehouse: {type: sqlite, path: a.db}\n  Warehouse: {type: sqlite, path: b.db}\n  \
         main: {type: sqlite, path: c.db}\n  d: {type: sqlite, pth: d.db}\n  e: {type: ftp}\n  f: {path: x}\n\
         assets:\n  one: {resources: [warehose], run: echo}\n  two: {resources: [d], run: echo}\n  \
         three: {run: 'echo > $output'}\n",
    );
    let (_, stderr) = check(dir.path(), &["check"], 2);
    for text in [
        "there is no resource `warehose`",
        "did you mean `warehouse`?",
        "`warehouse` and `Warehouse` would both be `$GIORNATA_RESOURCE_WAREHOUSE`",
        "`main` cannot name a resource",
        "resource `d` has no key `pth`",
        "resource `f` does not say what it is",
        "ftp",
    ] {
        assert!(stderr.contains(text), "no `{text}` in\n{stderr}");
    }
    // A broken resource disables what uses it, and nothing else.
    check(dir.path(), &["m", "two"], 2);
    check(dir.path(), &["m", "three"], 0);
}

#[test]
fn a_version_counts_for_what_uses_it() {
    let yaml = |version: &str| {
        format!(
            "resources: {{shop: {{type: directory, path: d{version}}}}}\n\
             assets: {{a: {{resources: [shop], run: 'echo 1 > $output'}}, b: {{run: 'echo 2 > $output'}}}}\n"
        )
    };
    let mut harness = Harness::files(&[("giornata.toml", ""), ("assets/all.yaml", &yaml(""))]);
    harness.materialize("a").ran("a");
    harness.materialize("b").ran("b");
    harness.write("assets/all.yaml", yaml(", version: 1"));
    harness.materialize("a").ran("a");
    harness.materialize("b").ran("");
    harness.write("assets/all.yaml", yaml("/elsewhere, version: 1"));
    harness.materialize("a").ran("");
    harness.write("assets/all.yaml", yaml(", version: 2"));
    harness.materialize("a").ran("a");
}

#[test]
fn a_secret_is_nowhere_below_the_store_and_in_no_output() {
    let dir = project(
        r#"
resources:
  api: {type: http, url: "https://example.org", headers: {Authorization: {env: TOKEN}}}
assets:
  tells:
    resources: [api]
    run: |
      key=${GIORNATA_RESOURCE_API#*Authorization\":\"}
      key=${key%%\"*}
      echo "the key is $key and $GIORNATA_RESOURCE_API"
      i=0; while [ $i -lt 400 ]; do printf '%s' "$key" >&2; i=$((i+1)); done
      echo "{\"used\": \"$key\", \"$key\": 1}" >> "$GIORNATA_METADATA"
      echo "no json $key" >> "$GIORNATA_METADATA"
      echo 1 > "$output"
  judged:
    resources: [api]
    run: echo 1 > "$output"
    checks:
      - {run: 'echo "$GIORNATA_RESOURCE_API"; exit 1', name: sane, severity: warn}
  fails:
    resources: [api]
    run: 'echo "$GIORNATA_RESOURCE_API" >&2; exit 3'
  starts_nothing:
    resources: [api]
    run: $GIORNATA_RESOURCE_API
"#,
    );
    let root = dir.path();
    fs::write(root.join(".env"), format!("TOKEN={SECRET}\n")).unwrap();
    let mut told = String::new();
    for args in [
        &["m", "--all", "--jsonl"][..],
        &["m", "--all", "--force"],
        &["status", "--json"],
        &["show", "tells"],
        &["show", "tells", "--meta", "used"],
        &["why", "fails"],
        &["list", "--json"],
        &["check"],
    ] {
        let output = giornata(root, args);
        told += &String::from_utf8_lossy(&output.stdout);
        told += &String::from_utf8_lossy(&output.stderr);
    }
    assert!(told.contains("***"), "{told}");
    assert!(!told.contains(SECRET), "{told}");
    let log = fs::read_to_string(root.join(".giornata/logs/1/tells.log")).unwrap();
    assert!(log.contains("the key is *** and {\"url\""), "{log}");
    assert!(log.contains(&"***".repeat(400)), "{log}");
    let mut files = 0;
    let mut open = vec![root.join(".giornata")];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        files += 1;
        let bytes = fs::read(&path).unwrap();
        let found = bytes.windows(SECRET.len()).any(|bytes| bytes == SECRET.as_bytes());
        assert!(!found, "the secret is in {}", path.display());
    }
    assert!(files > 3);
}

/// Notes when it is set up and torn down.
struct Noting(&'static str, Notes);

type Notes = Arc<Mutex<Vec<String>>>;

impl Provider for Noting {
    type Value = &'static str;

    fn setup(&self, _: &Setup<'_>) -> Result<&'static str, BoxError> {
        self.1.lock().unwrap().push(format!("up {}", self.0));
        Ok(self.0)
    }

    fn teardown(&self, value: &'static str) -> Result<(), BoxError> {
        self.1.lock().unwrap().push(format!("down {value}"));
        Ok(())
    }
}

fn noting(name: &'static str, notes: &Notes) -> Resource<&'static str> {
    Resource::of(name, Noting(name, notes.clone()))
}

#[test]
fn a_run_of_assets_shares_a_resource_and_tears_it_down_however_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let notes = Notes::default();
    let (a, b) = (noting("a", &notes), noting("b", &notes));
    let mut project = Project::new("shop", dir.path());
    let uses = (a.clone(), b.clone());
    let part = project.asset("part").keys(["x", "y", "bad", "panics"]).uses(&b).uses(&a).compute(
        move |ctx| {
            let found = format!("{} {}", ctx.resource(&uses.0)?, ctx.resource(&uses.1)?);
            match ctx.partition().as_str() {
                "bad" => Err("no".into()),
                "panics" => panic!("no power"),
                _ => Ok(found),
            }
        },
    );
    let all =
        project.asset("all").inputs(&part).compute(|_, all: Parts<String>| Ok(all.len() as i64));
    let error = project.materialize(&all, "all").unwrap_err().to_string();
    assert!(error.contains("no power"), "{error}");
    assert_eq!(*notes.lock().unwrap(), ["up a", "up b", "down b", "down a"]);
    notes.lock().unwrap().clear();
    // Nothing to run: nothing to set up.
    assert_eq!(project.get(&part, "x").unwrap(), "a b");
    assert!(notes.lock().unwrap().is_empty());
    // Not declared, not found.
    let stolen = project.asset("stolen").compute(move |ctx| Ok(ctx.resource(&a)?.to_string()));
    let error = project.get(&stolen, ()).unwrap_err().to_string();
    assert!(error.contains("the resource `a` is not among those that it uses"), "{error}");
}

#[test]
fn a_job_tears_down_after_a_failure_and_finds_everything_before_its_first_step() {
    let notes = Notes::default();
    let (a, z) = (noting("a", &notes), noting("z", &notes));
    let ran = Arc::new(Mutex::new(0));
    let (uses, counts) = (z.clone(), ran.clone());
    let broken = resource("broken", |setup| -> Result<i64, BoxError> {
        Ok(setup.env("NOT_SET_ANYWHERE")?.parse()?)
    });
    let late = resource("late", |_| -> Result<i64, BoxError> { Err("no route".into()) });
    let first = op("first").uses(&a).uses(&z).run(move |ctx| {
        *counts.lock().unwrap() += 1;
        Err::<i64, _>(format!("{} is out", ctx.resource(&uses)?).into())
    });
    let panics = op("panics").uses(&a).run(|_| -> Result<i64, BoxError> { panic!("no power") });
    let second = op("second").uses(&late).uses(&broken).input::<i64>("n").run(|_, n| Ok(n));
    let whole = job("whole").define(|g| {
        second.call(g, first.call(g));
    });
    let error = whole.execute_in_process().unwrap_err().to_string();
    assert!(
        error.contains("`NOT_SET_ANYWHERE` is not set") && error.contains("no route"),
        "{error}"
    );
    assert_eq!(*ran.lock().unwrap(), 0);
    assert_eq!(*notes.lock().unwrap(), ["up a", "up z", "down z", "down a"]);
    notes.lock().unwrap().clear();

    // What is not selected needs nothing.
    let result = whole.execute(&Launch::new().ops("first")).unwrap();
    assert_eq!(result.failure("first").unwrap().text, "z is out");
    assert_eq!(*notes.lock().unwrap(), ["up a", "up z", "down z", "down a"]);
    notes.lock().unwrap().clear();

    let result = job("j")
        .define(|g| {
            panics.call(g);
        })
        .execute_in_process()
        .unwrap();
    assert_eq!(result.failure("panics").unwrap().kind, FailureKind::Panic);
    assert_eq!(*notes.lock().unwrap(), ["up a", "down a"]);
    notes.lock().unwrap().clear();

    // A mock is neither set up nor torn down.
    let mocked = Launch::new().with(&z, "mock").with(&late, 1).with(&broken, 2);
    let result = whole.execute(&mocked).unwrap();
    assert_eq!(result.failure("first").unwrap().text, "mock is out");
    assert_eq!(*notes.lock().unwrap(), ["up a", "down a"]);
}

#[test]
fn two_resources_of_one_name_are_a_mistake() {
    let (one, two) = (Resource::directory("d", "a"), Resource::directory("d", "b"));
    let first = op("first").uses(&one).run(|_| Ok(()));
    let second = op("second").uses(&two).run(|_| Ok(()));
    let both = job("both").define(|g| {
        first.call(g);
        second.call(g);
    });
    let error = both.execute_in_process().unwrap_err().to_string();
    assert!(error.contains("two resources that its steps use are named `d`"), "{error}");
    let mut project = Project::new("p", ".");
    project.asset("a").uses(&one).compute(|_| Ok(()));
    project.asset("b").uses(&two).compute(|_| Ok(()));
    let error = project.resolve(Path::new("")).err().unwrap().to_string();
    assert!(error.contains("`b`: it uses a resource named `d`"), "{error}");

    // Between an asset and a job, or two jobs, even if another value takes the place of both.
    let alone = |name: &str, with: &Resource<PathBuf>| {
        let only = op("only").uses(with).run(|_| Ok(()));
        job(name).define(|g| {
            only.call(g);
        })
    };
    let mut project = Project::new("p", ".");
    project.replace(&one, "mock".into());
    project.asset("a").uses(&one).compute(|_| Ok(()));
    project.job(alone("same", &one)).job(alone("first", &two)).job(alone("second", &two));
    let Err(Error::Declarations { mistakes, .. }) = project.resolve(Path::new("")) else {
        panic!("two of three jobs are wrong")
    };
    let names: Vec<&str> = mistakes.iter().map(|mistake| mistake.asset.as_str()).collect();
    assert_eq!(names, ["first", "second"]);
    assert!(mistakes[0].file.ends_with("resources.rs") && mistakes[0].line > 0, "{mistakes:?}");
    assert_eq!(mistakes[0].mistake, Mistake::ResourceTwice { resource: "d".to_owned() });
    let mut project = Project::new("p", ".");
    project.job(alone("first", &one)).job(alone("second", &two));
    let error = project.resolve(Path::new("")).err().unwrap().to_string();
    assert!(error.contains("`second`: it uses a resource named `d`"), "{error}");
}

#[test]
fn a_program_replaces_what_files_declare_and_shadows_nothing() {
    let dir = project(
        "resources: {shop: {type: sqlite, path: {env: NOT_SET_ANYWHERE}}}\n\
         assets: {total: {resources: [shop], sql: SELECT sum(n) AS n FROM shop.t}}\n",
    );
    let shop = Resource::sqlite("shop", "other.db");
    let total = |program: &mut Project| {
        let total = program.existing::<Table>("total");
        program.get(&total, ()).map(|table| table.rows)
    };
    let mut program = Project::with_files(dir.path());
    let error = total(&mut program).unwrap_err().to_string();
    assert!(error.contains("`NOT_SET_ANYWHERE`, which is not set"), "{error}");
    // In a test it is another database.
    let mock = Warehouse::open(&dir.path().join("mock.db")).unwrap();
    mock.execute("CREATE TABLE t (n INTEGER); INSERT INTO t VALUES (1), (2)").unwrap();
    program.replace(&shop, mock);
    assert_eq!(total(&mut program).unwrap(), [[3.into()]]);

    let mut program = Project::with_files(dir.path());
    program.asset("own").uses(&shop).compute(|_| Ok(()));
    let uses = op("uses").uses(&shop).run(|_| Ok(()));
    program.job(job("nightly").define(|g| {
        uses.call(g);
    }));
    let Err(Error::Declarations { mistakes, .. }) = program.resolve(Path::new("")) else {
        panic!("the name is taken")
    };
    let told: Vec<String> =
        mistakes.iter().map(|it| format!("{}: {}", it.asset, it.mistake)).collect();
    let declared =
        "it uses a resource named `shop`, and assets/all.yaml:1 declares another one; rename one";
    assert_eq!(told, [format!("own: {declared}"), format!("nightly: {declared}")]);
}

#[test]
fn secrets_of_a_job_are_in_no_line_of_its_log() {
    let key = resource("key", |setup| setup.env("KEY_OF_JOB"));
    let uses = key.clone();
    let tells = op("tells").uses(&key).on_failure(|hook| {
        Err(format!("hook: {}", hook.failure().map(|it| it.text.clone()).unwrap_or_default())
            .into())
    });
    let tells = tells.run(move |ctx| {
        let key = ctx.resource(&uses)?;
        ctx.log().warn(format!("with {key}"));
        Err::<(), _>(format!("refused {key}").into())
    });
    let job = job("j").define(|g| {
        tells.call(g);
    });
    let result = job.execute(&Launch::new().env("KEY_OF_JOB", SECRET)).unwrap();
    assert_eq!(result.log()[0].text, "with ***");
    assert_eq!(result.failure("tells").unwrap().text, "refused ***");
    assert_eq!(result.warnings(), ["a hook of `tells` failed: hook: refused ***"]);
}
