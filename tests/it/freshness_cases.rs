//! Single ways in which something stale could be called fresh, or run again.

use std::collections::BTreeMap;

use giornata::defs::PartitionsDef;
use giornata::engine::{Access, Engine, RunEvent, State, Value};
use giornata::plan::{Reach, Request};

use super::freshness_rig::{
    Shelf, all, asset, daily, files_of, fixed, key, observed, some, source, split,
};

#[test]
fn an_earlier_last_file_is_another_input() {
    // A user would have seen the report of the newest file go on showing a file that was deleted.
    let mut shelf = Shelf::new(false);
    shelf.write("data/s/a.csv", "1");
    shelf.write("data/s/b.csv", "2");
    let unpartitioned = || PartitionsDef::Unpartitioned;
    let mut process = shelf.process(vec![
        source("s", "data/s/{key}.csv", files_of("s")),
        asset("newest", unpartitioned(), 1, &[("s", "last(1)")]),
    ]);
    assert_eq!(shelf.settle(&mut process).names(), ["newest@"]);
    shelf.remove("data/s/b.csv");
    assert_eq!(shelf.settle(&mut process).names(), ["newest@"]);
    shelf.write("data/s/b.csv", "2");
    assert_eq!(shelf.settle(&mut process).names(), [""; 0]);
}

#[test]
fn what_is_allowed_to_be_missing_and_goes_is_no_input_any_more() {
    // A user would have seen a sum go on containing the day whose file was deleted.
    let mut shelf = Shelf::new(false);
    for day in ["2020-01-01", "2020-01-02", "2020-01-03"] {
        shelf.write(&format!("data/s/{day}.csv"), day);
    }
    let mut process = shelf.process(vec![
        source("s", "data/s/{key}.csv", files_of("s")),
        asset("u", daily(0, Some(3)), 1, &[("s", "")]),
        asset("c", daily(0, Some(3)), 1, &[("u?", "window(-2d, 0d)")]),
        asset("d", daily(0, Some(3)), 1, &[("c", "")]),
    ]);
    shelf.settle(&mut process);
    shelf.remove("data/s/2020-01-01.csv");
    shelf.settle(&mut process);
    shelf.write("data/s/2020-01-01.csv", "2020-01-01");
    assert_eq!(shelf.settle(&mut process).names(), [""; 0]);
}

#[test]
fn a_file_that_is_early_is_seen_when_its_day_is_there() {
    // A user would have seen a day blocked for ever, because its file came before the day was over.
    let mut shelf = Shelf::new(false);
    shelf.clock.set(2);
    for day in ["2020-01-01", "2020-01-02", "2020-01-03"] {
        shelf.write(&format!("data/s/{day}.csv"), day);
    }
    let mut process = shelf.process(vec![
        source("s", "data/s/{date}.csv", daily(0, None)),
        asset("u", daily(0, None), 1, &[("s", "")]),
        asset("c", daily(0, None), 1, &[("u?", "window(-1d, 1d)")]),
    ]);
    assert_eq!(shelf.settle(&mut process).ran.len(), 4);
    shelf.clock.set(3);
    let done = shelf.settle(&mut process);
    assert_eq!(done.names(), ["c@2020-01-02", "c@2020-01-03", "u@2020-01-03"]);
    shelf.clock.set(1);
    shelf.settle(&mut process);
    shelf.clock.set(3);
    assert_eq!(shelf.settle(&mut process).names(), [""; 0]);
}

#[test]
fn a_step_that_rewrites_its_input_is_not_fresh() {
    let mut shelf = Shelf::new(false);
    shelf.write("data/s/a.csv", "1");
    let mut process = shelf.process(vec![
        source("s", "data/s/{key}.csv", files_of("s")),
        asset("u", fixed(&["a"]), 1, &[("s", "")]),
    ]);
    let path = shelf.path("data/s/a.csv");
    shelf.before("u@a", move |_| std::fs::write(path, "2").unwrap());
    let request = all(shelf.refreshed(&mut process), false);
    shelf.race(&mut process, &request);
    assert!(!shelf.refreshed(&mut process).planner().freshness(&key("u")).fresh().contains(0));
    shelf.settle(&mut process);
    shelf.write("data/s/a.csv", "1");
    shelf.settle(&mut process);
}

#[test]
fn an_input_that_changes_to_and_fro_under_a_forced_step_is_not_fresh() {
    // A user would have seen a forced result, made from the state between, called fresh.
    let mut shelf = Shelf::new(false);
    shelf.write("data/s/a.csv", "one");
    let mut process = shelf.process(vec![
        source("s", "data/s/{key}.csv", files_of("s")),
        asset("u", fixed(&["a"]), 1, &[("s", "")]),
    ]);
    shelf.settle(&mut process);
    let path = shelf.path("data/s/a.csv");
    let back = path.clone();
    shelf.before("u@a", move |_| std::fs::write(path, "another").unwrap());
    shelf.after("u@a", move |_| std::fs::write(back, "one").unwrap());
    let request = all(shelf.refreshed(&mut process), true);
    shelf.race(&mut process, &request);
    shelf.settle(&mut process);
}

#[test]
fn a_file_outside_of_the_project_is_watched_while_a_step_runs() {
    // A user would have seen the result of the new file called that of the old one, for ever.
    let mut shelf = Shelf::new(false);
    let outside = tempfile::tempdir().unwrap();
    let file = outside.path().join("a.csv");
    std::fs::write(&file, "one").unwrap();
    let pattern = format!("{}/{{key}}.csv", outside.path().display());
    let mut process = shelf.process(vec![
        source("s", &pattern, files_of("s")),
        asset("u", fixed(&["a"]), 1, &[("s", "")]),
    ]);
    let path = file.clone();
    shelf.before("u@a", move |_| std::fs::write(path, "another").unwrap());
    let request = all(shelf.refreshed(&mut process), false);
    shelf.race(&mut process, &request);
    shelf.settle(&mut process);
    std::fs::write(&file, "one").unwrap();
    shelf.settle(&mut process);
}

#[test]
fn a_split_file_that_another_process_saw_first_is_read_anew() {
    // A user would have seen the rows of the old file recorded as the result of the new one.
    let mut shelf = Shelf::new(false);
    shelf.write("rows.csv", "day,n\na,1\nb,1\n");
    let assets = || {
        vec![
            split("s", "rows.csv", files_of("s")),
            asset("u", fixed(&["a", "b"]), 1, &[("s", "")]),
            asset("v", fixed(&["a", "b"]), 1, &[("s?", "")]),
        ]
    };
    let (mut first, mut second) = (shelf.process(assets()), shelf.process(assets()));
    let request = some(shelf.refreshed(&mut first), "v", &["a", "b"], Reach::Upstream, false);
    shelf.make(&mut first, &request);
    let request = all(shelf.refreshed(&mut first), false);
    shelf.write("rows.csv", "day,n\na,2\nb,1\n");
    shelf.refreshed(&mut second);
    shelf.make(&mut first, &request);
    shelf.check(&mut first, &request);
}

#[test]
fn a_file_that_another_process_saw_first_is_read() {
    // A user would have seen a step without an input that its key has.
    let mut shelf = Shelf::new(false);
    shelf.write("data/s/a.csv", "1");
    let assets = || {
        vec![
            source("s", "data/s/{key}.csv", files_of("s")),
            asset("u", fixed(&["a", "b"]), 1, &[("s?", "all")]),
        ]
    };
    let (mut first, mut second) = (shelf.process(assets()), shelf.process(assets()));
    let request = all(shelf.refreshed(&mut first), false);
    shelf.write("data/s/b.csv", "2");
    shelf.refreshed(&mut second);
    shelf.make(&mut first, &request);
    shelf.check(&mut first, &request);
}

#[test]
fn forced_steps_run_though_another_process_writes() {
    // A user would have seen `--force` end well without having run everything, or anything.
    let mut shelf = Shelf::new(false);
    shelf.write("data/s/a.csv", "1");
    let assets = || {
        vec![
            source("s", "data/s/{key}.csv", files_of("s")),
            source("t", "data/t/{key}.csv", files_of("t")),
            asset("u", fixed(&["a", "b", "c", "d", "e", "f"]), 1, &[("s", "all")]),
        ]
    };
    let (mut first, mut second) = (shelf.process(assets()), shelf.process(assets()));
    shelf.settle(&mut first);
    let request = all(shelf.refreshed(&mut first), true);
    shelf.write("data/s/b.csv", "1");
    shelf.refreshed(&mut second);
    shelf.remove("data/s/b.csv");
    shelf.refreshed(&mut second);
    assert_eq!(shelf.make(&mut first, &request).ran.len(), 6);
    // And none of them twice.
    let request = all(shelf.refreshed(&mut first), true);
    let (mut engine, mut started) = (first.engine.take().unwrap(), 0);
    let mut listen = |_: &Engine, event: RunEvent| {
        if matches!(event, RunEvent::StepStarted { .. }) {
            started += 1;
            if started == 2 {
                shelf.write("data/t/b.csv", "1");
                shelf.refreshed(&mut second);
            }
        }
    };
    let control = giornata::exec::Control::new();
    engine.materialize(&request, &Default::default(), &control, &mut listen).unwrap();
    assert_eq!(started, 6);
}

#[test]
fn a_failure_is_that_of_its_inputs() {
    let mut shelf = Shelf::new(false);
    shelf.write("data/s/a.csv", "1");
    let mut process = shelf.process(vec![
        source("s", "data/s/{key}.csv", files_of("s")),
        asset("u", fixed(&["a"]), 1, &[("s", "")]),
    ]);
    shelf.bodies.failing.lock().unwrap().insert("u".to_owned());
    shelf.make_all(&mut process);
    let failed = |engine: &mut Engine| engine.planner().freshness(&key("u")).failed.len();
    assert_eq!(failed(shelf.refreshed(&mut process)), 1);
    shelf.write("data/s/a.csv", "2");
    assert_eq!(failed(shelf.refreshed(&mut process)), 0);
}

#[test]
fn fewer_last_files_are_another_input() {
    let mut shelf = Shelf::new(false);
    shelf.write("data/s/a.csv", "1");
    shelf.write("data/s/b.csv", "2");
    let mut process = shelf.process(vec![
        source("s", "data/s/{key}.csv", files_of("s")),
        asset("newest", PartitionsDef::Unpartitioned, 1, &[("s", "last(2)")]),
    ]);
    shelf.settle(&mut process);
    shelf.remove("data/s/b.csv");
    assert_eq!(shelf.settle(&mut process).names(), ["newest@"]);
}

#[test]
fn the_order_of_inputs_counts_as_it_is_given() {
    // The key covers the order of the inputs; bits that ignore it would call both orders fresh.
    let mut shelf = Shelf::new(false);
    let unpartitioned = || PartitionsDef::Unpartitioned;
    let assets = |deps: &[(&str, &str)]| {
        vec![
            asset("a", unpartitioned(), 1, &[]),
            asset("b", unpartitioned(), 1, &[]),
            asset("c", unpartitioned(), 1, deps),
        ]
    };
    let mut process = shelf.process(assets(&[("a", ""), ("b", "")]));
    shelf.settle(&mut process);
    let mut process = shelf.process(assets(&[("b", ""), ("a", "")]));
    assert_eq!(shelf.settle(&mut process).names(), ["c@"]);
}

#[test]
fn the_order_of_equal_inputs_counts() {
    let mut shelf = Shelf::new(false);
    shelf.write("one.csv", "1");
    shelf.write("two.csv", "1");
    let assets = |deps: &[(&str, &str)]| {
        vec![
            source("a", "one.csv", PartitionsDef::Unpartitioned),
            source("b", "two.csv", PartitionsDef::Unpartitioned),
            asset("c", PartitionsDef::Unpartitioned, 1, deps),
        ]
    };
    let mut process = shelf.process(assets(&[("a", ""), ("b", "")]));
    assert_eq!(shelf.make_all(&mut process).names(), ["c@"]);
    let mut process = shelf.process(assets(&[("b", ""), ("a", "")]));
    assert_eq!(shelf.make_all(&mut process).names(), ["c@"]);
}

#[test]
fn what_a_dead_process_made_of_another_definition_is_not_fresh() {
    // A user would have seen the result of an edit that was taken back, after a crash.
    let mut shelf = Shelf::new(false);
    let assets = |code| vec![asset("u", fixed(&["a", "b", "c"]), code, &[])];
    let mut process = shelf.process(assets(1));
    shelf.settle(&mut process);
    let mut process = shelf.process(assets(2));
    let request = all(shelf.refreshed(&mut process), false);
    shelf.die(&mut process, &request, 1);
    let mut process = shelf.process(assets(1));
    shelf.refreshed(&mut process);
    let state = process.engine.as_ref().unwrap().planner().freshness(&key("u")).clone();
    assert!(state.fresh().len() < 3, "what the dead process has made is not fresh");
    shelf.settle(&mut process);
}

#[test]
fn what_a_dead_process_made_without_an_input_is_not_fresh_with_it() {
    // A user would have seen a sum go on lacking a day whose file was away while a process was killed.
    let mut shelf = Shelf::new(false);
    shelf.write("data/s/2020-01-01.csv", "1");
    let mut process = shelf.process(vec![
        source("s", "data/s/{key}.csv", files_of("s")),
        asset("u", daily(0, Some(1)), 1, &[("s", "")]),
        asset("c", daily(0, Some(1)), 1, &[("u?", "")]),
        asset("d", daily(0, Some(1)), 1, &[("c", "")]),
    ]);
    shelf.settle(&mut process);
    shelf.remove("data/s/2020-01-01.csv");
    let request = all(shelf.refreshed(&mut process), false);
    shelf.die(&mut process, &request, 1);
    shelf.write("data/s/2020-01-01.csv", "1");
    shelf.settle(&mut process);
}

#[test]
fn the_day_after_is_stale_when_only_the_day_before_is_made() {
    // A user would have seen a running total that skipped a correction.
    let mut shelf = Shelf::new(false);
    for day in ["2020-01-01", "2020-01-02", "2020-01-03"] {
        shelf.write(&format!("data/s/{day}.csv"), day);
    }
    let mut process = shelf.process(vec![
        source("s", "data/s/{key}.csv", files_of("s")),
        asset("u", daily(0, Some(3)), 1, &[("s", ""), ("u?", "window(-1d, -1d)")]),
    ]);
    shelf.settle(&mut process);
    shelf.write("data/s/2020-01-01.csv", "corrected");
    let request = some(shelf.refreshed(&mut process), "u", &["2020-01-01"], Reach::Upstream, false);
    assert_eq!(shelf.make(&mut process, &request).names(), ["u@2020-01-01"]);
    assert_eq!(shelf.settle(&mut process).names(), ["u@2020-01-02", "u@2020-01-03"]);
    // Taken back, all three can be restored, and until then none is fresh.
    shelf.write("data/s/2020-01-01.csv", "2020-01-01");
    let state = shelf.refreshed(&mut process).planner().freshness(&key("u")).clone();
    assert_eq!((state.fresh().len(), state.restore_set().len()), (0, 3));
    assert_eq!(shelf.settle(&mut process).names(), [""; 0]);
}

#[test]
fn the_name_and_the_span_of_a_window_count() {
    // A user would have seen days of one time zone, or under other names, taken for those of another.
    let mut shelf = Shelf::new(false);
    let days = |format: &str, zone: chrono_tz::Tz| {
        let mut days = daily(0, Some(2));
        let PartitionsDef::TimeWindow(def) = &mut days else { unreachable!() };
        (def.format, def.timezone) = (format.to_owned(), zone);
        vec![asset("u", days, 1, &[])]
    };
    let (utc, berlin) = (chrono_tz::Tz::UTC, chrono_tz::Tz::Europe__Berlin);
    let mut process = shelf.process(days("%Y-%m-%d", utc));
    assert_eq!(shelf.settle(&mut process).ran.len(), 2);
    let mut process = shelf.process(days("%d.%m.%Y", utc));
    assert_eq!(shelf.settle(&mut process).ran.len(), 2);
    let mut process = shelf.process(days("%Y-%m-%d", berlin));
    assert_eq!(shelf.settle(&mut process).ran.len(), 2);
}

#[test]
fn a_day_that_may_lack_the_day_before_does_without() {
    let mut shelf = Shelf::new(false);
    for day in ["2020-01-01", "2020-01-02", "2020-01-03"] {
        shelf.write(&format!("data/s/{day}.csv"), day);
    }
    let mut process = shelf.process(vec![
        source("s", "data/s/{key}.csv", files_of("s")),
        asset("u", daily(0, Some(4)), 1, &[("s", ""), ("u?", "window(-1d, -1d)")]),
    ]);
    shelf.settle(&mut process);
    shelf.remove("data/s/2020-01-02.csv");
    shelf.settle(&mut process);
    shelf.write("data/s/2020-01-02.csv", "x");
    shelf.settle(&mut process);
}

#[test]
fn two_definitions_take_turns() {
    let mut shelf = Shelf::new(false);
    shelf.write("data/s/a.csv", "1");
    let assets = |code| {
        vec![
            source("s", "data/s/{key}.csv", files_of("s")),
            asset("u", fixed(&["a"]), code, &[("s", "")]),
            asset("v", fixed(&["a"]), 1, &[("u", "")]),
        ]
    };
    let (mut first, mut second) = (shelf.process(assets(1)), shelf.process(assets(2)));
    for _ in 0..3 {
        shelf.settle(&mut first);
        shelf.settle(&mut second);
    }
    shelf.write("data/s/a.csv", "2");
    let request = some(shelf.refreshed(&mut first), "u", &["a"], Reach::Upstream, false);
    shelf.make(&mut first, &request);
    shelf.settle(&mut second);
    shelf.settle(&mut first);
}

#[test]
fn a_step_reads_one_state_though_another_process_writes() {
    // A user would have seen the result of one definition recorded as that of another, for ever.
    let mut shelf = Shelf::new(false);
    let keys = || fixed(&["a", "b", "c"]);
    let assets = |u, c| vec![asset("u", keys(), u, &[]), asset("c", keys(), c, &[("u", "")])];
    let mut old = shelf.process(assets(1, 1));
    shelf.settle(&mut old);
    drop(old);
    let (mut first, mut second) = (shelf.process(assets(1, 2)), shelf.process(assets(2, 2)));
    let request = all(shelf.refreshed(&mut first), false);
    let mut engine = first.engine.take().unwrap();
    let (control, mut once) = (giornata::exec::Control::new(), true);
    let mut listen = |_: &Engine, event: RunEvent| {
        if matches!(event, RunEvent::StepStarted { .. }) && std::mem::take(&mut once) {
            let request = all(shelf.refreshed(&mut second), false);
            shelf.race(&mut second, &request);
        }
    };
    engine.materialize(&request, &Default::default(), &control, &mut listen).unwrap();
    first.engine = Some(engine);
    shelf.check(&mut first, &request);
    let request = all(shelf.refreshed(&mut second), false);
    shelf.race(&mut second, &request);
    shelf.check(&mut second, &request);
    let request = all(shelf.refreshed(&mut first), false);
    shelf.race(&mut first, &request);
    shelf.check(&mut first, &request);
}

#[test]
fn many_new_keys_of_one_dimension_move_no_result_to_another() {
    // A user would have seen the result of one file under the name of another.
    let mut shelf = Shelf::new(true);
    let dimensions = || {
        let kind = ("a".to_owned(), fixed(&["a", "c"]));
        PartitionsDef::Multi([kind, ("file".to_owned(), files_of("s"))].into())
    };
    let assets = || {
        vec![
            source("s", "data/s/{key}.csv", files_of("s")),
            asset("u", dimensions(), 1, &[("s", "dimension(file)")]),
            asset("v", dimensions(), 1, &[("u", "")]),
        ]
    };
    let mut process = shelf.process(assets());
    for i in 0..60 {
        shelf.write(&format!("data/s/{i:02}.csv"), "1");
        if [7, 23, 59].contains(&i) {
            let mut request = all(shelf.refreshed(&mut process), false);
            request.targets.remove(&key("v"));
            shelf.make(&mut process, &request);
            shelf.settle(&mut process);
            process = shelf.process(assets());
            shelf.settle(&mut process);
        }
    }
}

#[test]
fn what_has_other_numbers_is_planned_to_be_restored() {
    // A user would have been told that all of it is missing and has to run.
    let mut shelf = Shelf::new(true);
    for name in ["a", "b"] {
        shelf.write(&format!("data/s/{name}.csv"), "1");
    }
    let assets = |partitions| {
        vec![
            source("s", "data/s/{key}.csv", files_of("s")),
            asset("u", partitions, 1, &[("s", "all")]),
        ]
    };
    let mut process = shelf.process(assets(fixed(&["a", "b"])));
    assert_eq!(shelf.make_all(&mut process).names(), ["u@a", "u@b"]);
    let mut process = shelf.process(assets(files_of("s")));
    let state = shelf.refreshed(&mut process).planner().freshness(&key("u")).clone();
    assert_eq!((state.restore_set().len(), state.run.len()), (2, 0));
    assert_eq!(shelf.make_all(&mut process).names(), [""; 0]);
}

#[test]
fn the_names_of_several_files_count_as_steps_see_them() {
    // A user would have seen a listing of file names go on naming a file that was renamed.
    let mut shelf = Shelf::new(false);
    shelf.write("data/s/a.csv", "1");
    shelf.write("data/s/b.csv", "2");
    let mut process = shelf.process(vec![
        source("s", "data/s/*.csv", PartitionsDef::Unpartitioned),
        asset("u", PartitionsDef::Unpartitioned, 1, &[("s", "")]),
    ]);
    assert_eq!(shelf.make_all(&mut process).names(), ["u@"]);
    std::fs::rename(shelf.path("data/s/b.csv"), shelf.path("data/s/c.csv")).unwrap();
    assert_eq!(shelf.make_all(&mut process).names(), ["u@"]);
    assert_eq!(shelf.make_all(&mut process).names(), [""; 0]);
}

#[test]
fn a_script_that_is_edited_while_it_runs_has_no_lasting_result() {
    // A user would have seen what the edited script made restored when the edit was taken back.
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().to_owned();
    let script =
        |text: &str| format!("#!/bin/sh\n# /// asset\n# output = \"csv\"\n# ///\n{text}\n");
    std::fs::create_dir(root.join("assets")).unwrap();
    std::fs::write(root.join("giornata.toml"), "").unwrap();
    let path = root.join("assets/u.sh");
    std::fs::write(&path, script("printf 'n\\n1\\n' > \"$output\"")).unwrap();
    let make = |during: Option<&str>| {
        let loaded = giornata::load::project(&root).unwrap();
        assert_eq!(loaded.diagnostics, []);
        let mut engine = Shelf::new(false).open_at(&root, &loaded.project);
        engine.refresh(&[key("u")]).unwrap();
        if let Some(text) = during {
            std::fs::write(&path, script(text)).unwrap();
        }
        let (request, control) = (all(&engine, false), giornata::exec::Control::new());
        let mut quiet = |_: &Engine, _: RunEvent| {};
        engine.materialize(&request, &Default::default(), &control, &mut quiet).unwrap();
        match engine.value(&key("u"), 0).unwrap() {
            Value::Table { bytes, .. } | Value::Bytes(bytes) => String::from_utf8(bytes).unwrap(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(make(Some("printf 'n\\n2\\n' > \"$output\"")), "n\n2\n");
    std::fs::write(&path, script("printf 'n\\n1\\n' > \"$output\"")).unwrap();
    assert_eq!(make(None), "n\n1\n");
}

#[test]
fn the_order_in_which_inputs_are_named_in_a_file_decides_nothing() {
    // A user would have seen everything run again after a list of names was sorted.
    let project = |deps: &str| {
        format!(
            "assets:\n  a: {{run: 'echo 1 > \"$output\"', output: a.txt}}\n  \
             b: {{run: 'echo 2 > \"$output\"', output: b.txt}}\n  \
             c: {{run: 'cat \"$a\" \"$b\" > \"$output\"', output: c.txt, deps: {deps}}}\n"
        )
    };
    let mut harness = giornata::testing::Harness::files(&[
        ("giornata.toml", ""),
        ("assets/all.yaml", &project("[a, b]")),
    ]);
    harness.materialize("c").ran("a, b, c");
    harness.write("assets/all.yaml", project("[b, a]"));
    harness.materialize("c").ran("");
    harness.write("assets/all.yaml", project("{b: {missing: error}, a: default}"));
    harness.materialize("c").ran("");
}

#[test]
fn a_day_without_a_result_is_missing_though_it_waits_for_the_day_before() {
    // A user would have seen all days of a running total but the first called maybe stale, as if
    // they had been made.
    let shelf = Shelf::new(false);
    let sums = asset("sum", daily(0, Some(3)), 1, &[("sum?", "window(-1d, -1d)")]);
    let mut process = shelf.process(vec![sums]);
    let engine = shelf.refreshed(&mut process);
    let status = engine.status(&key("sum")).unwrap();
    assert_eq!(status.sets[&State::Missing].len(), 3);
    let why = engine.why(&key("sum"), engine.planner().domain(&key("sum")).all().max().unwrap());
    assert_eq!(why.unwrap().state, "missing");
}

#[test]
fn what_stands_between_forced_steps_is_made_too() {
    // A user would have seen `--force` end well and the last asset stale: what lies between was not
    // looked at again, though the first came out different.
    let mut shelf = Shelf::new(false);
    let unpartitioned = || PartitionsDef::Unpartitioned;
    let mut process = shelf.process(vec![
        asset("a", unpartitioned(), 3, &[]),
        asset("b", unpartitioned(), 1, &[("a", "")]),
        asset("c", unpartitioned(), 1, &[("b", "")]),
        asset("d", unpartitioned(), 1, &[("c", "")]),
        asset("e", unpartitioned(), 1, &[("a", "")]),
    ]);
    shelf.settle(&mut process);
    let mut request = all(shelf.refreshed(&mut process), true);
    request.targets.retain(|asset, _| ["a", "d"].contains(&asset.as_str()));
    // The same again: cut off between.
    assert_eq!(shelf.make(&mut process, &request).names(), ["a@", "d@"]);
    shelf.bodies.world.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(shelf.make(&mut process, &request).names(), ["a@", "b@", "c@", "d@"]);
    shelf.check(&mut process, &request);
}

#[test]
fn what_stands_between_forced_days_is_made_too() {
    let mut shelf = Shelf::new(false);
    let days = daily(0, Some(4));
    let mut process = shelf.process(vec![asset("a", days, 3, &[("a?", "window(-1d, -1d)")])]);
    shelf.settle(&mut process);
    shelf.bodies.world.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let days = ["2020-01-01", "2020-01-04"];
    let request = some(shelf.refreshed(&mut process), "a", &days, Reach::Upstream, true);
    assert_eq!(shelf.make(&mut process, &request).ran.len(), 4);
    shelf.check(&mut process, &request);
}

#[test]
fn a_chain_of_ten_thousand_days_is_planned_and_explained() {
    // A user would have seen `why` die of a stack that is not as deep as the chain is long.
    const DAYS: u32 = 10_000;
    let mut shelf = Shelf::new(false);
    shelf.clock.move_back(4_102_444_800);
    let sums = |code| {
        let mut days = daily(0, None);
        let PartitionsDef::TimeWindow(def) = &mut days else { unreachable!() };
        def.end = Some(def.start + chrono::Days::new(u64::from(DAYS)));
        vec![asset("sum", days, code, &[("sum?", "window(-1d, -1d)")])]
    };
    let mut process = shelf.process(sums(1));
    let engine = shelf.refreshed(&mut process);
    assert_eq!(engine.status(&key("sum")).unwrap().sets[&State::Missing].len(), 10_000);
    let last = engine.planner().domain(&key("sum")).all().max().unwrap();
    assert_eq!(engine.why(&key("sum"), last).unwrap().state, "missing");
    let request = Request {
        chosen: Default::default(),
        targets: BTreeMap::from([(key("sum"), [last].into_iter().collect())]),
        reach: Reach::Upstream,
        force: false,
    };
    assert_eq!(engine.plan(&request).unwrap().assets[0].may_run(), 10_000);
    let before = engine.work();
    let all = all(engine, false);
    assert_eq!(shelf.make(&mut process, &all).ran.len(), 10_000);
    let engine = shelf.refreshed(&mut process);
    // One decision a day, and no more than a few statements.
    let after = engine.work();
    assert!(after.statements - before.statements < u64::from(DAYS) * 40, "{before:?} {after:?}");
    let mut process = shelf.process(sums(2));
    let engine = shelf.refreshed(&mut process);
    assert_eq!(engine.why(&key("sum"), last).unwrap().state, "maybe_stale");
}

#[test]
fn a_day_whose_day_before_cannot_be_known_is_not_made_without_it() {
    // A user would have seen a running total begin anew while a source could not be asked.
    let mut shelf = Shelf::new(false);
    shelf.write("answer", "1\n");
    let mut process = shelf.process(vec![
        observed("s", "answer"),
        asset("u", daily(0, Some(2)), 1, &[("s", "all")]),
        asset("c", daily(0, Some(4)), 1, &[("u?", ""), ("c?", "window(-1d, -1d)")]),
    ]);
    assert_eq!(shelf.settle(&mut process).ran.len(), 6);
    shelf.remove("answer");
    assert_eq!(shelf.settle(&mut process).names(), [""; 0]);
    shelf.write("answer", "2\n");
    assert_eq!(shelf.settle(&mut process).ran.len(), 6);
}

#[test]
fn what_reads_a_day_that_is_looked_at_again_is_judged_by_all_its_inputs() {
    // A user would have seen days after a corrected one called maybe stale that were fresh; and
    // where an input may be missing, judged as if it were.
    let mut shelf = Shelf::new(false);
    for day in ["2020-01-01", "2020-01-02", "2020-01-03"] {
        shelf.write(&format!("data/s/{day}.csv"), day);
    }
    let mut process = shelf.process(vec![
        source("s", "data/s/{key}.csv", files_of("s")),
        asset("u", daily(0, Some(3)), 1, &[("s?", ""), ("u?", "window(-1d, -1d)")]),
    ]);
    shelf.settle(&mut process);
    let path = shelf.path("data/s/2020-01-01.csv");
    shelf.after("u@2020-01-01", move |_| {
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "2020-01-01").unwrap();
    });
    let request = some(shelf.refreshed(&mut process), "u", &["2020-01-01"], Reach::Only, true);
    shelf.race(&mut process, &request);
    let mut cold = shelf.open(&process.project, Access::Read);
    cold.refresh(&[key("u")]).unwrap();
    let status = cold.status(&key("u")).unwrap();
    assert_eq!((status.sets[&State::Stale].len(), status.sets[&State::Fresh].len()), (1, 2));
    assert_eq!(shelf.settle(&mut process).names(), [""; 0]);
}
