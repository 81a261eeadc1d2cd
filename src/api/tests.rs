//! Tests of the API as a whole: what runs, what is said about mistakes, what survives.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use expect_test::{Expect, expect};
use tempfile::TempDir;

use super::*;
use crate::base::FixedClock;

/// A project of days and months that counts how often its functions are called.
struct World {
    dir: TempDir,
    calls: Arc<AtomicU32>,
    project: Project,
    rain: Handle<Table>,
    daily: Handle<Table>,
    monthly: Handle<Json<(u32, f64)>>,
}

const RAIN: &str = "date,mm\n2014-07-01,1\n2014-07-02,2.5\n2014-07-03,0\n";

fn write(dir: &Path, name: &str, text: &str) {
    std::fs::write(dir.join(name), text).unwrap();
}

fn declare(root: &Path, version: &str) -> (Project, Arc<AtomicU32>, Handles) {
    let mut project = Project::new("weather", root);
    project.clock(Arc::new(FixedClock("2026-01-01T00:00:00Z".parse().unwrap())));
    let calls = Arc::new(AtomicU32::new(0));
    let count = |calls: &Arc<AtomicU32>| {
        let calls = calls.clone();
        move || calls.fetch_add(1, Ordering::Relaxed)
    };
    let rain = project.source("rain").split_by("date").files("rain.csv");
    let called = count(&calls);
    let daily = project
        .asset("daily")
        .daily("2014-07-01")
        .until("2014-08-01")
        .input(&rain)
        .version(version)
        .compute(move |_, mut rain: Table| {
            called();
            for row in &mut rain.rows {
                let mm = row[1].as_real().ok_or("no figure")?;
                row[1] = mm.round().into();
            }
            Ok(rain)
        });
    let called = count(&calls);
    let monthly = project
        .asset("monthly")
        .monthly("2014-07")
        .until("2014-08")
        .input_existing(&daily, Mapping::Default)
        .version("1")
        .compute(move |_, days: Parts<Table>| {
            called();
            let mm = days.values().filter_map(|day| day.cell(0, "mm")?.as_real());
            Ok(Json((u32::try_from(days.len())?, mm.sum())))
        });
    (project, calls, (rain, daily, monthly))
}

type Handles = (Handle<Table>, Handle<Table>, Handle<Json<(u32, f64)>>);

impl World {
    fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "rain.csv", RAIN);
        let (project, calls, (rain, daily, monthly)) = declare(dir.path(), "1");
        World { dir, calls, project, rain, daily, monthly }
    }

    fn calls(&self) -> u32 {
        self.calls.swap(0, Ordering::Relaxed)
    }

    fn month(&mut self) -> (u32, f64) {
        self.project.get(&self.monthly, "2014-07").unwrap().0
    }
}

#[test]
fn a_second_get_runs_nothing() {
    let mut world = World::new();
    assert_eq!(world.month(), (3, 4.0));
    assert_eq!(world.calls(), 4);
    assert_eq!(world.month(), (3, 4.0));
    assert_eq!(world.calls(), 0);
}

#[test]
fn a_program_that_is_started_again_runs_nothing() {
    let mut world = World::new();
    world.month();
    let (mut project, calls, (_, _, monthly)) = declare(world.dir.path(), "1");
    assert_eq!(project.get(&monthly, "2014-07").unwrap().0, (3, 4.0));
    assert_eq!(calls.load(Ordering::Relaxed), 0);
}

#[test]
fn a_changed_row_runs_its_day_and_is_cut_off_where_nothing_changed() {
    let mut world = World::new();
    world.month();
    world.calls();
    write(world.dir.path(), "rain.csv", &RAIN.replace(",2.5", ",3.4"));
    assert_eq!(world.month(), (3, 4.0));
    assert_eq!(world.calls(), 1, "the day is still 3 when it is rounded");
    write(world.dir.path(), "rain.csv", &RAIN.replace(",2.5", ",8"));
    assert_eq!(world.month(), (3, 9.0));
    assert_eq!(world.calls(), 2);
    write(world.dir.path(), "rain.csv", RAIN);
    assert_eq!(world.month(), (3, 4.0));
    assert_eq!(world.calls(), 0, "what was there before is restored");
}

#[test]
fn a_new_version_runs_the_asset_again() {
    let mut world = World::new();
    world.month();
    let (mut project, calls, (_, _, monthly)) = declare(world.dir.path(), "2");
    project.get(&monthly, "2014-07").unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 3, "the days, which give what they gave");
}

#[test]
fn without_a_version_the_program_itself_is_the_version() {
    let dir = tempfile::tempdir().unwrap();
    let mut project = Project::new("p", dir.path());
    project.asset("a").compute(|_| Ok(String::new()));
    let definitions = project.resolve(Path::new(".")).unwrap().project;
    let crate::defs::Body::Function(body) = &definitions.assets["a"].body else { panic!() };
    assert_eq!(body.version, system::executable().unwrap());
    assert_eq!(body.version.len(), 64);
}

#[test]
fn a_range_and_a_source_can_be_asked_for() {
    let mut world = World::new();
    let days = world.project.get_range(&world.daily, "2014-07-01..2014-07-02").unwrap();
    let keys: Vec<String> = days.keys().map(ToString::to_string).collect();
    assert_eq!(keys, ["2014-07-01", "2014-07-02"]);
    let raw = world.project.get(&world.rain, "2014-07-02").unwrap();
    assert_eq!(raw.cell(0, "mm"), Some(&Cell::Real(2.5)));
}

#[test]
fn every_kind_of_value_comes_back_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let mut project = Project::new("values", dir.path());
    let long = "ü".repeat(10_000);
    let expect = long.clone();
    let text = project.asset("text").compute(move |_| Ok(long.clone()));
    let bytes = project.asset("bytes").compute(|_| Ok(vec![0u8, 255, 10]));
    let json = project
        .asset("json")
        .input(&text)
        .input(&bytes)
        .compute(|_, text, bytes| Ok(Json(vec![Some(text.len()), Some(bytes.len()), None])));
    assert_eq!(project.get(&json, ()).unwrap().0, [Some(20_000), Some(3), None]);
    assert_eq!(project.get(&text, ()).unwrap(), expect);
    assert_eq!(project.get(&bytes, ()).unwrap(), [0, 255, 10]);
}

#[test]
fn partitions_of_one_asset_do_not_write_to_one_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut project = Project::new("many", dir.path());
    project.jobs(8);
    let keys: Vec<String> = (0..200).map(|n| format!("k{n}")).collect();
    let many = project
        .asset("many")
        .keys(keys)
        .compute(|ctx| Ok(format!("{} {}", ctx.partition(), "x".repeat(5_000))));
    let values = project.get_range(&many, "all").unwrap();
    assert_eq!(values.len(), 200);
    assert!(values.iter().all(|(key, value)| value.starts_with(&format!("{key} "))));
}

#[test]
fn several_files_are_one_table_or_parts() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "a.csv", "n\n1\n");
    write(dir.path(), "b.csv", "n\n2\n3\n");
    let mut project = Project::new("files", dir.path());
    let numbers = project.source("numbers").files("*.csv");
    let rows = project.asset("rows").input(&numbers).compute(|_, all| Ok(Json(all.rows.len())));
    let files = project.asset("files").inputs(&numbers).compute(|_, parts: Parts<Table>| {
        Ok(Json(parts.keys().map(ToString::to_string).collect::<Vec<_>>()))
    });
    assert_eq!(project.get(&rows, ()).unwrap().0, 3);
    assert_eq!(project.get(&files, ()).unwrap().0, ["a.csv", "b.csv"]);
    assert_eq!(project.get(&numbers, ()).unwrap().rows.len(), 3);
    write(dir.path(), "b.csv", "m\n2\n");
    let error = project.get(&rows, ()).unwrap_err().to_string();
    expect![[r#"make `rows`: `rows` failed: cannot read input `numbers`: `a.csv` and `b.csv` have different columns"#]]
        .assert_eq(&error);
}

#[track_caller]
fn check_error<T>(result: Result<T, Error>, expect: &Expect) {
    let error = result.err().expect("it has no answer");
    expect.assert_eq(&crate::engine::error_text(&error));
}

#[test]
fn errors_name_asset_partition_and_reason() {
    let mut world = World::new();
    let World { dir, project, rain, daily, monthly, .. } = &mut world;
    check_error(
        project.get(daily, "2014-08-01"),
        &expect![["`daily` has no partition `2014-08-01`; it has 2014-07-01..2014-07-31"]],
    );
    check_error(
        project.get(daily, ()),
        &expect![["`daily` has partitions, so name one; it has 2014-07-01..2014-07-31"]],
    );
    check_error(
        project.get(daily, "2014-07-09"),
        &expect![[
            "make `daily@2014-07-09`: `daily@2014-07-09` is blocked: `rain` has no partition `2014-07-09`"
        ]],
    );
    check_error(
        project.get_range(daily, "2014-07-09..2014-07-01"),
        &expect![
            "`2014-07-09..2014-07-01` names no partitions of `daily`: the range is backwards: `2014-07-09` comes after `2014-07-01`"
        ],
    );
    check_error(
        project.get(rain, "2014-07-09"),
        &expect![["`rain` has no partition `2014-07-09`; it has 2014-07-01..2014-07-03"]],
    );
    write(dir.path(), "rain.csv", &RAIN.replace(",2.5", ",wet"));
    check_error(
        project.get(monthly, "2014-07"),
        &expect![["make `monthly@2014-07`: `daily@2014-07-02` failed: no figure"]],
    );
    let mut other = Project::new("other", dir.path());
    check_error(
        other.get(daily, "2014-07-01"),
        &expect![["`daily` is a handle of another project"]],
    );
}

#[test]
fn a_failure_leaves_what_does_not_depend_on_it() {
    let mut world = World::new();
    write(world.dir.path(), "rain.csv", &RAIN.replace(",2.5", ",wet"));
    let Err(Error::Failed { report, .. }) =
        world.project.materialize(&world.daily, "2014-07-01..2014-07-03")
    else {
        panic!("a day has no figure")
    };
    assert_eq!((report.summary.ran, report.summary.failed), (2, 1));
    let status = world.project.status(&world.daily).unwrap();
    assert_eq!(status.partitions(State::Failed), ["2014-07-02"]);
    assert_eq!(status.count(State::Fresh), 2);
}

#[test]
fn a_panic_is_a_failure() {
    let dir = tempfile::tempdir().unwrap();
    let mut project = Project::new("p", dir.path());
    let bad = project.asset("bad").compute(|_| -> Result<String, BoxError> { panic!("ouch") });
    let text = crate::engine::error_text(&project.get(&bad, ()).unwrap_err());
    let place = format!("make `bad`: `bad` failed: panicked at {}:", file!());
    assert!(text.starts_with(&place) && text.ends_with(": ouch"), "{text}");
}

#[test]
fn a_declaration_after_a_query_counts() {
    let mut world = World::new();
    world.month();
    let twice = world.project.asset("twice").daily("2014-07-01").input(&world.daily).compute(
        |_, day: Table| Ok(Json(day.cell(0, "mm").and_then(Cell::as_real).map(|mm| mm * 2.0))),
    );
    assert_eq!(world.project.get(&twice, "2014-07-02").unwrap().0, Some(6.0));
}

/// Declares with `declare` and compares all mistakes, without their places.
#[track_caller]
fn check_mistakes(declare: impl FnOnce(&mut Project), expect: &Expect) {
    let mut project = Project::new("p", "nowhere");
    declare(&mut project);
    let Err(Error::Declarations { mistakes, .. }) = project.resolve(Path::new(".")) else {
        panic!("there is a mistake in it")
    };
    assert!(mistakes.iter().all(|it| it.file.ends_with("tests.rs") && it.line > 0));
    let lines = mistakes.iter().map(|it| format!("{}: {}\n", it.asset, it.mistake));
    expect.assert_eq(&lines.collect::<String>());
}

fn text(_: &Context<'_>) -> Result<String, BoxError> {
    Ok(String::new())
}

#[test]
fn all_mistakes_are_told_at_once() {
    check_mistakes(
        |project| {
            project.asset("a b").compute(text);
            project.asset("c").daily("yesterday").compute(text);
            project.asset("d").keys(["x", "x"]).compute(text);
            project.asset("e").compute(text);
            project.asset("e").until("2014").compute(text);
            project.asset("f").check("many rows").export("../out.txt").compute(text);
            project.asset("g").daily("2014").export("out.txt").compute(text);
            project.asset("h").partitions(Partitions::daily("2014").timezone("Mars")).compute(text);
        },
        &expect![[r#"
            a b: `a b` cannot be a name: a name is segments of letters, digits, `_` and `-`, joined by `/`
            c: `yesterday` is no date or time; write `2014-07-04`, `2014-07` or `2014-07-04T13:00`
            d: the key `x` is declared twice
            e: the name is declared twice; assets and sources share their names
            e: `until`, `timezone`, `format` and `end_offset` are for windows of time; say which first
            f: `many rows` is no check: there are `rows = 1`, `not_null(column)`, `unique(column, ..)`, `accepted(column, value, ..)`, `between(column, low, high)` and `fresh(column, 2d)`
            f: `../out.txt` is no path for exports: it must lie below the project's root
            g: `out.txt` is no path for exports: without `{partition}` in it all partitions would go to one place
            h: `Mars` is no time zone; write one as `Europe/Berlin`
        "#]],
    );
}

#[test]
fn sources_say_where_their_data_is() {
    check_mistakes(
        |project| {
            project.source("a").files("../a.csv");
            project.source("b").files("{x}{y}.csv");
            project.source("c").split_by("date").files("*.csv");
            project.source("d").split_by("date:%Q").files("d.csv");
            project.source("e").partitions(Partitions::daily("2014")).files("e.csv");
        },
        &expect![[r#"
            a: `../a.csv` leads outside of the project; give an absolute path
            b: `{x}{y}.csv` is no path pattern: between two captures there must be something that separates them
            c: `split_by` splits the rows of one file, and `files` may match several
            d: `date:%Q` cannot be split by: name a column, as in `date` or `date:%d/%m/%Y`
            e: nothing says which data belongs to which partition; `files` needs a capture as in `{date}.csv`, or `split_by` a column
        "#]],
    );
}

#[test]
fn inputs_must_fit() {
    let mut other = Project::new("other", "nowhere");
    let foreign = other.asset("foreign").compute(text);
    check_mistakes(
        |project| {
            let daily = project.asset("daily").daily("2014-01-01").compute(text);
            let keys = project.asset("keys").keys(["a"]).compute(text);
            let one = project.asset("one").compute(text);
            project.asset("a").monthly("2014-01").input(&daily).compute(|_, it| Ok(it));
            project.asset("b").input(&daily).input(&keys).compute(|_, it, _| Ok(it));
            project.asset("c").keys(["b"]).input(&keys).compute(|_, it| Ok(it));
            project
                .asset("d")
                .input(&one)
                .input_with(&one, Mapping::All)
                .compute(|_, it, _: Parts<String>| Ok(it));
            project.asset("e").input(&foreign).compute(|_, it| Ok(it));
            project.asset("f").each(&one).compute(text);
            project.asset("g").each(&foreign).compute(text);
            project
                .asset("h")
                .keys(["a"])
                .input_window(&daily, -1, 0)
                .compute(|_, it: Parts<String>| Ok(Json(it.len())));
        },
        &expect![[r#"
            a: a partition reads several of `daily`; declare the input with `inputs` and take `Parts`
            b: a partition reads several of `daily`; declare the input with `inputs` and take `Parts`
            b: a partition reads several of `keys`; declare the input with `inputs` and take `Parts`
            c: it cannot read `keys` in this way: the same keys are never on both sides; say which partitions are read: `all`, `last(1)`, or pairs of keys
            d: it reads `one` twice; declare one input, wide enough for both
            e: `foreign` is a handle of another project
            f: it follows the partitions of `one`, which has only one
            g: `foreign` is a handle of another project
            h: it cannot read `daily` in this way: `window(-1, 0)` needs time windows on both sides
        "#]],
    );
}

/// Words of a text by their length, made by one function that notes what it was asked for.
fn words(dir: &Path, version: &str, asked: &Arc<Mutex<Vec<String>>>) -> (Project, Words) {
    let mut project = Project::new("words", dir);
    let words = project.source("words").files_as::<String>("words.txt");
    let asked = asked.clone();
    let (short, long) = project
        .assets(["short", "long"])
        .input(&words)
        .version(version)
        .member("short", |short| short.description("At most three letters"))
        .compute(move |ctx, words| {
            let wanted = ["short", "long"].into_iter().filter(|name| ctx.is_wanted(name));
            asked.lock().unwrap().push(wanted.collect::<Vec<_>>().join(" "));
            let (short, long): (Vec<&str>, Vec<&str>) =
                words.split(' ').partition(|word| word.len() <= 3);
            // The one as a text, the other as another type, and only where it is wanted.
            let long = ctx.is_wanted("long").then_some(Json(long.len()));
            Ok((short.join(" "), long))
        });
    let both = project
        .asset("both")
        .input(&short)
        .input(&long)
        .compute(|_, short, long| Ok(format!("{short} and {}", long.0)));
    (project, (short, long, both))
}

type Words = (Handle<String>, Handle<Json<usize>>, Handle<String>);

#[test]
fn a_function_of_several_assets_is_asked_for_what_is_not_fresh() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "words.txt", "fig pear apple");
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (mut project, (_, long, both)) = words(dir.path(), "1", &asked);
    assert_eq!(project.get(&long, ()).unwrap().0, 2);
    assert_eq!(project.get(&both, ()).unwrap(), "fig and 2");
    assert_eq!(std::mem::take(&mut *asked.lock().unwrap()), ["long", "short"]);
    write(dir.path(), "words.txt", "fig pear apple quince");
    let (mut project, (_, _, both)) = words(dir.path(), "1", &asked);
    assert_eq!(project.get(&both, ()).unwrap(), "fig and 3");
    assert_eq!(std::mem::take(&mut *asked.lock().unwrap()), ["short long"]);
    write(dir.path(), "words.txt", "fig pear apple");
    assert_eq!(project.get(&both, ()).unwrap(), "fig and 2");
    let (mut project, (_, _, both)) = words(dir.path(), "2", &asked);
    assert_eq!(project.get(&both, ()).unwrap(), "fig and 2");
    assert_eq!(*asked.lock().unwrap(), ["short long"], "restored, and then another version");
}

#[test]
fn one_of_several_assets_may_fail_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut project = Project::new("p", dir.path());
    let (none, rows, text) = project
        .assets(["none", "rows", "text"])
        .member("rows", |rows| rows.check("rows > 0"))
        .compute(|_| Ok((None::<String>, Table::with_columns(["n"]), "hello".to_owned())));
    let all = project.asset("all").input(&none).input(&rows).input(&text);
    let all = all.compute(|_, _, _, text| Ok(text));
    let Err(Error::Failed { report, .. }) = project.materialize(&all, "all") else {
        panic!("two of them fail")
    };
    assert_eq!((report.summary.ran, report.summary.failed, report.summary.blocked), (1, 2, 1));
    let reasons: Vec<&str> = report.failed.iter().map(|failed| failed.reason.as_str()).collect();
    assert_eq!(
        reasons,
        ["gave no value of `none`, which was asked for", "check failed: `rows > 0` (got 0)"]
    );
    assert_eq!(project.get(&text, ()).unwrap(), "hello");
}

#[test]
fn several_assets_must_make_sense() {
    check_mistakes(
        |project| {
            let pair = |_: &Context<'_>| Ok((String::new(), String::new()));
            project.assets(["a", "a"]).compute(pair);
            project.assets(["b", "c d"]).member("e", |it| it).compute(pair);
            project.assets(["f", "g"]).export("out.txt").compute(pair);
            project.assets(["h", "i"]).export("out/{asset}.txt").compute(pair);
        },
        &expect![[r#"
            a: the name is declared twice; assets and sources share their names
            b: its step makes no `e`
            c d: `c d` cannot be a name: a name is segments of letters, digits, `_` and `-`, joined by `/`
            g: `out.txt` is where `f` is exported to; `{asset}` stands for the name
        "#]],
    );
}
