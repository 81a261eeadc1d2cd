//! A disk that takes nothing more from some write on: the run says so, nothing is half recorded, and when it
//! takes again everything is made.

use std::cell::Cell;
use std::io::ErrorKind;
use std::rc::Rc;

use giornata::base::fault::{self, Write};
use giornata::defs::PartitionsDef;
use giornata::engine::{Depth, Engine, RunEvent, error_text};
use giornata::exec::Control;

use super::Trace;
use crate::freshness_rig::{Process, Shelf, all, asset, daily, day_key, project, source};

/// Whether something is changed by it.
fn changes(write: Write<'_>) -> bool {
    let Write::Sql(sql) = write else { return true };
    let word = sql.split_whitespace().next().unwrap_or_default();
    ["INSERT", "UPDATE", "DELETE", "COMMIT"].contains(&word)
}

/// A disk that takes so many writes; says whether it has refused one.
fn full(
    taken: u32,
    refuses: ErrorKind,
) -> (impl FnMut(Write<'_>) -> std::io::Result<()>, Rc<Cell<bool>>) {
    let refused = Rc::new(Cell::new(false));
    let (mut left, seen) = (taken, refused.clone());
    let hook = move |write: Write<'_>| match left.checked_sub(u32::from(changes(write))) {
        Some(less) => {
            left = less;
            Ok(())
        }
        None => {
            seen.set(true);
            Err(refuses.into())
        }
    };
    (hook, refused)
}

/// Opens a store on a disk that takes so many writes: a new one, or one in which a process has died; false if it
/// took all.
fn open_on(taken: u32, is_new: bool, refuses: ErrorKind, says: &[&str]) -> bool {
    let mut shelf = Shelf::new(false);
    shelf.trace = Trace::of(u64::from(taken), false);
    let days = || daily(0, Some(2));
    (0..2).for_each(|day| shelf.write(&format!("data/{}.csv", day_key(day)), "1"));
    let assets = vec![source("s", "data/{key}.csv", days()), asset("a", days(), 0, &[("s", "")])];
    let mut process = Process { project: project(assets), engine: None };
    if !is_new {
        let request = all(shelf.refreshed(&mut process), false);
        shelf.die(&mut process, &request, 1);
    }
    let (hook, refused) = full(taken, refuses);
    let opened = fault::with(hook, || shelf.try_open(&process.project));
    match opened {
        Ok(_) if is_new => assert!(!refused.get(), "{taken}"),
        // What cannot be tidied up now is tidied up later.
        Ok(_) => {}
        Err(error) => {
            let said = error_text(&error);
            assert!(says.iter().any(|word| said.contains(word)), "{taken}: {said}");
        }
    }
    shelf.settle(&mut process);
    assert_eq!(shelf.refreshed(&mut process).doctor(Depth::Contents).unwrap(), [], "{taken}");
    refused.get()
}

/// Makes everything on a disk that takes so many writes; false if it took all.
fn make_on(taken: u32, refuses: ErrorKind, says: &[&str]) -> bool {
    let mut shelf = Shelf::new(false);
    shelf.trace = Trace::of(u64::from(taken), false);
    (0..2).for_each(|day| shelf.write(&format!("data/{}.csv", day_key(day)), "1"));
    let days = || daily(0, Some(2));
    let assets = vec![
        source("s", "data/{key}.csv", days()),
        asset("a", days(), 0, &[("s", "")]),
        asset("b", PartitionsDef::Unpartitioned, 0, &[("a", "all")]),
    ];
    let mut process = Process { project: project(assets), engine: None };
    // Values go into files.
    process.project.settings.inline_max_bytes = 4;
    let request = all(shelf.refreshed(&mut process), false);
    let options = shelf.trace.options();
    let (hook, refused) = full(taken, refuses);
    let mut said = String::new();
    let mut listen = |_: &Engine, event: RunEvent| {
        if let RunEvent::StepFailed { reason, .. } = event {
            said += &reason;
        }
    };
    let engine = process.engine.as_mut().unwrap();
    let run = || engine.materialize(&request, &options, &Control::new(), &mut listen);
    match fault::with(hook, run) {
        Ok(summary) => assert_eq!(summary.is_success(), !refused.get(), "{taken}: {summary:?}"),
        Err(error) => said += &error_text(&error),
    }
    shelf.take_ran();
    if refused.get() {
        assert!(says.iter().any(|word| said.contains(word)), "{taken}: {said}");
    }
    process.engine = None;
    shelf.settle(&mut process);
    let problems = shelf.refreshed(&mut process).doctor(Depth::Contents).unwrap();
    assert_eq!(problems, [], "{taken}");
    refused.get()
}

#[test]
fn a_full_disk_at_any_write_is_said_and_overcome() {
    let writes =
        (0..).take_while(|taken| make_on(*taken, ErrorKind::StorageFull, &["full", "space"]));
    assert!(writes.count() > 20);
}

#[test]
fn a_full_disk_at_any_write_of_an_open_is_said_and_overcome() {
    for is_new in [true, false] {
        let says = ["full", "space"];
        let refused = |taken: &u32| open_on(*taken, is_new, ErrorKind::StorageFull, &says);
        assert!((0..).take_while(refused).count() > 1, "{is_new}");
    }
}

#[test]
fn a_disk_that_is_read_only_at_any_write_is_said_and_overcome() {
    let says = ["read-only"];
    let writes = (0..).take_while(|taken| make_on(*taken, ErrorKind::ReadOnlyFilesystem, &says));
    assert!(writes.count() > 20);
}
