//! Assets of a program that a graph of ops makes: what runs, what makes them stale, what is told.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use giornata::api::{
    BoxError, Error, Handle, Io, Json, Parts, Project, Resource, Table, graph, op, resource,
};
use serde_json::json;

type Ran = Arc<Mutex<Vec<String>>>;

fn ran(ran: &Ran) -> String {
    let mut ran = std::mem::take(&mut *ran.lock().unwrap());
    ran.sort();
    ran.join(" ")
}

/// Letters by region, each made of a file and a salutation, and how long all of them are.
fn letters(root: &Path, version: &str, noted: &Ran) -> (Project, Handle<String>, Handle<u64>) {
    let note = |name: &'static str| {
        let noted = noted.clone();
        move |partition: &str| noted.lock().unwrap().push(format!("{name}@{partition}"))
    };
    let (splits, lowers, joins) = (note("split"), note("lower"), note("join"));
    let words = op("words").version("1").input::<String>("text").pieces::<String>();
    let words = words.run(move |ctx, text| {
        splits(ctx.partition().as_str());
        Ok(text.split(' ').enumerate().map(|(at, it)| (at.to_string(), it.to_owned())).collect())
    });
    let lower = op("lower").version(version).input::<String>("word").run(move |ctx, word| {
        lowers(ctx.partition().as_str());
        ctx.log().info(format!("lower {word}"));
        Ok(word.to_lowercase())
    });
    let join = op("join").version("1").list::<String>("words").input::<String>("greeting");
    let join = join.run(move |ctx, words, greeting| {
        joins(ctx.partition().as_str());
        Ok(format!("{greeting} {}", words.join(" ")))
    });
    let letter = graph("letter").input::<String>("text").input::<String>("greeting");
    let letter = letter.define(|g, text, greeting| {
        let words = words.call(g, text).map(|word| lower.call(g, word));
        join.call(g, words.collect(), greeting)
    });
    let mut project = Project::new("letters", root);
    project.jobs(1);
    let texts = project.source("texts").files_as::<String>("{region}.txt");
    let greeting = project.source("greeting").files_as::<String>("greeting.md");
    let letter = project.asset("letter").each(&texts).input(&texts).input(&greeting).graph(&letter);
    let length =
        project.asset("length").version("1").inputs(&letter).compute(
            |_, letters: Parts<String>| Ok(letters.values().map(|it| it.len() as u64).sum()),
        );
    (project, letter, length)
}

#[test]
fn a_graph_makes_each_partition_and_is_stale_when_any_of_its_ops_is() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    write("eu.txt", "Hello EU");
    write("us.txt", "Hi");
    write("greeting.md", "dear:");
    let noted = Ran::default();
    let (mut project, letter, length) = letters(dir.path(), "1", &noted);
    assert_eq!(project.get(&length, ()).unwrap(), 22);
    assert_eq!(project.get(&letter, "eu").unwrap(), "dear: hello eu");
    assert_eq!(ran(&noted), "join@eu join@us lower@eu lower@eu lower@us split@eu split@us");
    let log = fs::read_to_string(dir.path().join(".giornata/logs/1/letter@eu.log")).unwrap();
    assert!(log.contains("[giornata: step words]") && log.contains("INFO lower EU"), "{log}");

    // A new process, and nothing to do.
    drop(project);
    let (mut project, letter, length) = letters(dir.path(), "1", &noted);
    assert_eq!(project.get(&length, ()).unwrap(), 22);
    assert_eq!(ran(&noted), "");
    // One partition differs, and what is made of it is what it was: nothing else runs.
    write("us.txt", "HI");
    assert_eq!(project.materialize(&length, "all").unwrap().ran.len(), 1);
    assert_eq!(ran(&noted), "join@us lower@us split@us");
    // Another version of one op.
    drop(project);
    let (mut project, letter_again, _) = letters(dir.path(), "2", &noted);
    let why = project.why(&letter_again, "eu").unwrap();
    assert!(format!("{why:?}").contains("`lower.version` in the graph"), "{why:?}");
    assert_eq!(project.get_range(&letter_again, "all").unwrap().len(), 2);
    assert_eq!(ran(&noted).matches("lower").count(), 3);
    let _ = letter;
}

#[test]
fn a_failed_op_is_the_failure_of_the_asset() {
    let dir = tempfile::tempdir().unwrap();
    let hooked = Ran::default();
    let hook = hooked.clone();
    let one = op("one").run(|_| Ok(1_i64));
    let fails = op("fails").input::<i64>("n");
    let fails = fails.on_failure(move |told| {
        hook.lock().unwrap().push(told.step().to_owned());
        Ok(())
    });
    let fails = fails.run(|_, n| -> Result<i64, BoxError> { Err(format!("{n} is odd").into()) });
    let panics = op("panics").run(|_| -> Result<i64, BoxError> { panic!("no ink") });
    let failing = graph("failing").define(|g| fails.call(g, one.call(g)));
    let panicking = graph("panicking").define(|g| panics.call(g));
    let mut project = Project::new("p", dir.path());
    let a = project.asset("a").graph(&failing);
    let b = project.asset("b").graph(&panicking);
    let error = project.get(&a, ()).unwrap_err().to_string();
    assert!(error.starts_with("make `a`: `a` failed: ") && error.ends_with("1 is odd"), "{error}");
    assert!(error.contains("`fails`"), "{error}");
    assert_eq!(ran(&hooked), "fails");
    let error = project.get(&b, ()).unwrap_err().to_string();
    assert!(error.contains("backed_api.rs") && error.ends_with("no ink"), "{error}");
}

#[test]
fn ops_of_an_asset_have_values_resources_and_tables() {
    let dir = tempfile::tempdir().unwrap();
    let factor = resource("factor", |setup| Ok(setup.env("FACTOR_OF_TEST")?.parse::<i64>()?));
    let uses = factor.clone();
    let schema = json!({"by": {"type": "int", "default": 2}});
    let scale = op("scale").uses(&factor).config(schema).input::<Table>("rows");
    let scale = scale.run(move |ctx, mut rows| {
        let by = ctx.setting::<i64>("by")? * ctx.resource(&uses)?;
        for row in &mut rows.rows {
            row[0] = (row[0].as_real().ok_or("no number")? as i64 * by).into();
        }
        Ok(rows)
    });
    let scaled = graph("scaled").input::<Table>("rows").define(|g, rows| scale.call(g, rows));
    fs::write(dir.path().join("a.csv"), "n\n1\n").unwrap();
    fs::write(dir.path().join("b.csv"), "n\n2\n").unwrap();
    let mut project = Project::new("p", dir.path());
    project.env("FACTOR_OF_TEST", "10");
    // Several files that are one table.
    let files = project.source("files").files("*.csv");
    let out = Io::files("out");
    let twice = project.asset("twice").input(&files).check("rows = 2").io(&out).graph(&scaled);
    let thrice = project.asset("thrice").input(&files).values(json!({"scale": {"by": 3}}));
    let thrice = thrice.graph(&scaled);
    assert_eq!(project.get(&twice, ()).unwrap().rows, [[20.into()], [40.into()]]);
    assert_eq!(project.get(&thrice, ()).unwrap().rows, [[30.into()], [60.into()]]);
    assert_eq!(fs::read_to_string(dir.path().join("out/twice.csv")).unwrap(), "n\n20\n40\n");
}

#[test]
fn what_is_wrong_with_a_graph_is_told_of_the_asset() {
    let set = op("set").config(json!({"by": "int"})).run(|ctx| ctx.setting::<i64>("by"));
    let set = graph("set").define(|g| set.call(g));
    let load = op("load").pieces::<i64>().run(|_| Ok(vec![]));
    let many = graph("many").define(|g| {
        let mut one = None;
        load.call(g).map(|it| {
            one = Some(it);
            it
        });
        one.unwrap()
    });
    let twice = op("twice").input::<i64>("n").input::<i64>("n").run(|_, a, b| Ok(a + b));
    let one = op("one").run(|_| Ok(1_i64));
    let wrong = graph("wrong").define(|g| {
        let n = one.call(g);
        twice.call(g, n, n)
    });
    let put = op("put").io(&Io::memory()).run(|_| Ok(1_i64));
    let put = graph("put").define(|g| put.call(g));
    let other = Resource::directory("d", "other");
    let uses = op("uses").uses(&other).run(|_| Ok(1_i64));
    let uses = graph("uses").define(|g| uses.call(g));
    let fine = graph("fine").define(|g| one.call(g));
    let mut project = Project::new("p", ".");
    project.asset("a").uses(&Resource::directory("d", "d")).compute(|_| Ok(Json(1)));
    project.asset("missing").graph(&set);
    project.asset("unknown").values(json!({"set": {"by": 1, "bye": 2}})).graph(&set);
    project.asset("pieces").graph(&many);
    project.asset("wrong").graph(&wrong);
    project.asset("put").graph(&put);
    project.asset("clash").graph(&uses);
    project.asset("own").version("1").retries(2).graph(&fine);
    project.asset("values").values(json!({"a": 1})).compute(|_| Ok(1_i64));
    let Err(Error::Declarations { mistakes, .. }) = project.resolve(Path::new("")) else {
        panic!("all but one are wrong")
    };
    let told: String =
        mistakes.iter().map(|it| format!("{}: {}\n", it.asset, it.mistake)).collect();
    for expected in [
        "missing: its graph is not right: `set` is missing",
        "unknown: its graph is not right: `set.bye` is not defined",
        "pieces: its graph is not right: its result has pieces; an op can collect them",
        "`twice`: the input `n` is declared twice",
        "put: its graph is not right: `io` of an op is for jobs; say it of the asset",
        "clash: it uses a resource named `d`, and another one has this name; rename one",
        "own: its graph is not right: `retries` is that of its ops",
        "own: its graph is not right: `version` is that of its ops",
        "values: it says `values`, and only the ops of a graph have such",
    ] {
        assert!(told.contains(expected), "no `{expected}` in\n{told}");
    }
    assert!(mistakes.iter().all(|it| it.file.ends_with("backed_api.rs")), "{told}");
}

/// What is made of a number by a graph: the ops `left` and `right` need `number`, and `right` needs `slow`.
fn both(
    root: &Path,
    noted: &Ran,
    left_version: &str,
) -> (Project, Handle<String>, Handle<i64>, Handle<String>) {
    let note = |name: &'static str| {
        let noted = noted.clone();
        move || noted.lock().unwrap().push(name.to_owned())
    };
    let (lefts, slows, rights, sides) = (note("left"), note("slow"), note("right"), note("side"));
    let left = op("left").version(left_version).input::<String>("text").run(move |_, text| {
        lefts();
        Ok(text.trim().to_uppercase())
    });
    let slow = op("slow").version("1").memo().input::<String>("text").run(move |_, text| {
        slows();
        Ok(text.trim().parse::<i64>().unwrap_or(-1))
    });
    let right = op("right").version("1").input::<i64>("n").run(move |_, n| {
        rights();
        if n < 0 { Err(format!("{n} is too small").into()) } else { Ok(n * 2) }
    });
    let side = op("side").version("1").input::<i64>("n").run(move |_, _| {
        sides();
        Ok(())
    });
    let pair = graph("pair").input::<String>("text").define(|g, text| {
        let n = slow.call(g, text);
        side.call(g, n);
        (left.call(g, text), right.call(g, n))
    });
    let mut project = Project::new("both", root);
    project.jobs(1);
    let text = project.source("text").files_as::<String>("text.txt");
    let (left, right) = project.assets(["left", "right"]).input(&text).graph(&pair);
    let both = project.asset("both").version("1").input(&left).input(&right);
    let both = both.compute(|_, left: String, right: i64| Ok(format!("{left} {right}")));
    (project, left, right, both)
}

#[test]
fn a_graph_makes_several_assets_and_only_what_they_need() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("text.txt"), "21\n").unwrap();
    let noted = Ran::default();
    let (mut project, left, right, _) = both(dir.path(), &noted, "1");
    assert_eq!(project.get(&left, ()).unwrap(), "21");
    assert_eq!(ran(&noted), "left");
    assert_eq!(project.get(&right, ()).unwrap(), 42);
    assert_eq!(ran(&noted), "right side slow", "what leads to nothing runs with what it reads");
    assert_eq!(project.get(&left, ()).unwrap(), "21");
    assert_eq!(ran(&noted), "");

    // A change of what only one of them needs is a change of that one.
    drop(project);
    let (mut project, left, right, both) = both(dir.path(), &noted, "2");
    assert_eq!(project.get(&right, ()).unwrap(), 42);
    assert_eq!(ran(&noted), "");
    let why = format!("{:?}", project.why(&left, ()).unwrap());
    assert!(why.contains("`left.version` in the graph"), "{why}");
    assert_eq!(project.get(&left, ()).unwrap(), "21");
    assert_eq!(ran(&noted), "left");

    // A step fails: whoever does not need it is made, in the same call.
    fs::write(dir.path().join("text.txt"), "fig\n").unwrap();
    let Err(Error::Failed { report, .. }) = project.materialize(&both, "all") else {
        panic!("`right` fails")
    };
    assert_eq!(report.ran.len(), 1, "{report:?}");
    let told: Vec<String> = report.failed.iter().map(|it| format!("{it:?}")).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("right") && told[0].contains("-1 is too small"), "{told:?}");
    assert_eq!(project.get(&left, ()).unwrap(), "FIG");
    assert_eq!(ran(&noted), "left right side slow");
    // The memo has what the failed run had made.
    assert!(project.get(&right, ()).unwrap_err().to_string().ends_with("-1 is too small"));
    assert_eq!(ran(&noted), "right side");
}
