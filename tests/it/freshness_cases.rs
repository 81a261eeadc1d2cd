//! Single ways in which something stale could be called fresh, or run again.

use giornata::plan::Reach;

use super::freshness_rig::{Shelf, all, asset, daily, files_of, fixed, key, some, source};

#[test]
fn an_earlier_last_file_is_another_input() {
    // A user would have seen the report of the newest file go on showing a file that was deleted.
    let mut shelf = Shelf::new(false);
    shelf.write("data/s/a.csv", "1");
    shelf.write("data/s/b.csv", "2");
    let unpartitioned = || giornata::defs::PartitionsDef::Unpartitioned;
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
    let engine = process.engine.as_mut().unwrap();
    let control = giornata::exec::Control::new();
    engine.materialize(&request, &Default::default(), &control, &mut |_, _| {}).unwrap();
    assert!(!shelf.refreshed(&mut process).planner().freshness(&key("u")).fresh().contains(0));
    shelf.settle(&mut process);
    shelf.write("data/s/a.csv", "1");
    shelf.settle(&mut process);
}

#[test]
fn the_order_of_inputs_counts_as_it_is_given() {
    // The key covers the order of the inputs; bits that ignore it would call both orders fresh.
    let mut shelf = Shelf::new(false);
    let unpartitioned = || giornata::defs::PartitionsDef::Unpartitioned;
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
    shelf.settle(&mut process);
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
