//! Values of jobs where `io` says, in runs on the store: put beside it, read from there, and not lost.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use giornata::api::{
    BoxError, Io, Job, JobReport, Json, Launch, Project, Resource, Table, TableMode, job, op,
};
use giornata::base::{Digest, PartitionKey};
use giornata::io::{IoError, IoManager, Kept, MemoryIo, Place, Versions, Warehouse};

fn project(root: &Path, jobs: impl IntoIterator<Item = Job>) -> Project {
    let mut project = Project::new("p", root);
    jobs.into_iter().for_each(|job| {
        project.job(job);
    });
    project
}

#[track_caller]
fn run(project: &mut Project, job: &str) -> JobReport {
    let report = project.run(job, &Launch::new()).unwrap();
    assert!(report.is_success(), "{report:?}");
    report
}

fn rain(rows: &[i64]) -> Table {
    let mut table = Table::with_columns(["mm"]);
    table.rows.extend(rows.iter().map(|mm| vec![(*mm).into()]));
    table
}

/// Puts values where another manager does, and marks whatever it reads.
struct Marking(Arc<MemoryIo>);

impl IoManager for Marking {
    fn store(&self, at: &Place, value: &Kept, version: &Digest) -> Result<(), IoError> {
        self.0.store(at, value, version)
    }
    fn load(&self, at: &Place) -> Result<Option<Kept>, IoError> {
        Ok(self.0.load(at)?.map(|kept| match kept {
            Kept::Bytes { mut bytes, extension } => {
                bytes.extend(b"!");
                Kept::Bytes { bytes, extension }
            }
            table @ Kept::Table(_) => table,
        }))
    }
    fn remove(&self, at: &Place) -> Result<(), IoError> {
        self.0.remove(at)
    }
    fn versions(&self, name: &str, output: &str) -> Result<Versions, IoError> {
        self.0.versions(name, output)
    }
}

#[test]
fn a_run_on_the_store_puts_what_a_run_in_process_puts() {
    let dir = tempfile::tempdir().unwrap();
    let pieces =
        op("pieces").pieces::<i64>().run(|_| Ok(vec![("a".to_owned(), 1), ("b".to_owned(), 2)]));
    let double = op("double").input::<i64>("n").run(|_, n| Ok(2 * n));
    let database = Resource::sqlite("database", "data/warehouse.db");
    let tables = Io::tables(&database, TableMode::ReplacePartition);
    let made = op("made").output_io("result", &tables).list::<i64>("all");
    let made = made.run(|_, all| Ok(rain(&all)));
    let count = op("count").input::<Table>("rows").input_io("rows", &tables);
    let count = count.run(|_, rows: Table| Ok(rows.rows.len() as i64));
    let whole = job("whole").io(&Io::files("out")).define(|g| {
        let doubled = pieces.call(g).map(|n| double.call(g, n));
        count.call(g, made.call(g, doubled.collect()));
    });
    run(&mut project(dir.path(), [whole]), "whole");
    let read = |path: &str| fs::read_to_string(dir.path().join("out/whole").join(path)).unwrap();
    assert_eq!(read("pieces+result@a.json"), "1");
    assert_eq!(read("double+result@b.json"), "4");
    assert_eq!(read("count+result.json"), "2");
    let warehouse = Warehouse::open(&dir.path().join("data/warehouse.db")).unwrap();
    let rows = warehouse.query("SELECT mm FROM whole_made_result ORDER BY mm", &[]).unwrap();
    assert_eq!(rows.rows, [[2.into()], [4.into()]]);
}

#[test]
fn an_input_is_read_by_its_own_manager_from_where_it_was_put() {
    let dir = tempfile::tempdir().unwrap();
    let memory = Arc::new(MemoryIo::default());
    let (puts, reads) = (Io::of(Marking(memory.clone())), Io::of(Marking(memory)));
    let words = op("words")
        .pieces::<String>()
        .io(&puts)
        .run(|_| Ok(["b", "a"].map(|word| (word.to_owned(), word.to_owned())).into()));
    let shout = op("shout").input::<String>("word").input_io("word", &reads).io(&puts);
    let shout = shout.run(|_, word| Ok(word.to_uppercase()));
    let one = op("one").io(&puts).run(|_| Ok("one".to_owned()));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let see = seen.clone();
    let join = op("join").list::<String>("all").list::<String>("few").input::<String>("one");
    let join = join.input_io("all", &reads).input_io("few", &reads);
    let join = join.run(move |_, all, few, one| {
        see.lock().unwrap().extend([all, few, vec![one]].concat());
        Ok(())
    });
    let whole = job("whole").define(|g| {
        let all = words.call(g).map(|word| shout.call(g, word)).collect();
        let one = one.call(g);
        join.call(g, all, [one, one], one);
    });
    let plain = op("plain").run(|_| Ok("plain".to_owned()));
    let none = job("none").define(|g| {
        shout.call(g, plain.call(g));
    });
    let mut project = project(dir.path(), [whole, none]);
    run(&mut project, "whole");
    // Each is read by the manager once for each reading; what says nothing is read from the store.
    assert_eq!(*seen.lock().unwrap(), ["B!!", "A!!", "one!", "one!", "one"]);
    let report = project.run("none", &Launch::new()).unwrap();
    assert!(report.failed[0].reason.contains("nothing has put it anywhere"), "{report:?}");
}

#[test]
fn a_list_of_which_something_was_not_emitted_is_read_by_a_manager() {
    let dir = tempfile::tempdir().unwrap();
    let memory = Io::memory();
    let pick = op("pick").optional::<i64>("left").optional::<i64>("right").io(&memory);
    let pick = pick.run(|_| Ok((None, Some(2))));
    let three = op("three").io(&memory).run(|_| Ok(3_i64));
    let sum = op("sum").list::<i64>("all").input_io("all", &memory).run(|_, all| Ok(Json(all)));
    let j = job("j").define(|g| {
        let (left, right) = pick.call(g);
        sum.call(g, [left, right, three.call(g)]);
    });
    assert_eq!(j.execute_in_process().unwrap().value::<Json<Vec<i64>>>("sum").unwrap().0, [2, 3]);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let see = seen.clone();
    let sum = op("sum").list::<i64>("all").input_io("all", &memory).run(move |_, all| {
        see.lock().unwrap().extend(all);
        Ok(())
    });
    let j = job("j").define(|g| {
        let (left, right) = pick.call(g);
        sum.call(g, [left, right, three.call(g)]);
    });
    let report = project(dir.path(), [j]).run("j", &Launch::new()).unwrap();
    assert!(report.is_success(), "{report:?}");
    assert_eq!(*seen.lock().unwrap(), [2, 3]);
}

/// Refuses one place as long as it is told to.
struct Refusing(Arc<MemoryIo>, Arc<Mutex<Option<&'static str>>>);

impl IoManager for Refusing {
    fn store(&self, at: &Place, value: &Kept, version: &Digest) -> Result<(), IoError> {
        let refused = *self.1.lock().unwrap();
        match refused {
            Some("panic") => panic!("no disk"),
            Some(place) if place == at.name => Err("no room".into()),
            Some(_) | None => self.0.store(at, value, version),
        }
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

#[test]
fn what_cannot_be_put_fails_its_step_and_a_retry_puts_it() {
    let dir = tempfile::tempdir().unwrap();
    let (memory, refuses) = (Arc::new(MemoryIo::default()), Arc::new(Mutex::new(Some("j/add"))));
    let io = Io::of(Refusing(memory.clone(), refuses.clone()));
    let one = op("one").version("1").run(|_| Ok(1_i64));
    let add = op("add").version("1").input::<i64>("n").run(|_, n| Ok(n + 1));
    let j = job("j").io(&io).define(|g| {
        add.call(g, one.call(g));
    });
    let mut project = project(dir.path(), [j]);
    let first = project.run("j", &Launch::new()).unwrap();
    assert_eq!(first.failed[0].reason, "put `j/add.result`: no room");
    *refuses.lock().unwrap() = Some("panic");
    let retry = |run| Launch::new().retry(run);
    let second = project.run("j", &retry(first.summary.run)).unwrap();
    assert!(second.failed[0].reason.ends_with("no disk"), "{second:?}");
    *refuses.lock().unwrap() = None;
    let third = project.run("j", &retry(second.summary.run)).unwrap();
    assert_eq!((third.ran, third.reused), (vec!["add".to_owned()], vec!["one".to_owned()]));
    let at = |step: &str| Place {
        name: format!("j/{step}"),
        output: "result".to_owned(),
        partition: PartitionKey::unpartitioned(),
    };
    let kept = |text: &str| {
        Some(Kept::Bytes { bytes: text.as_bytes().to_vec(), extension: "json".into() })
    };
    assert_eq!(memory.load(&at("one")).unwrap(), kept("1"), "put by the run that was retried");
    assert_eq!(memory.load(&at("add")).unwrap(), kept("2"));
}

#[test]
fn what_is_put_is_made_by_its_own_run_even_with_a_memo() {
    let dir = tempfile::tempdir().unwrap();
    let ran = Arc::new(Mutex::new(0));
    let count = ran.clone();
    let slow = op("slow").version("1").memo().run(move |_| -> Result<i64, BoxError> {
        *count.lock().unwrap() += 1;
        Ok(5)
    });
    let declare = |name: &str, io: Option<Io>| {
        let builder = job(name);
        let builder = match &io {
            Some(io) => builder.io(io),
            None => builder,
        };
        builder.define(|g| {
            slow.call(g);
        })
    };
    let put = declare("put", Some(Io::files("out")));
    let mut project = project(dir.path(), [declare("first", None), declare("second", None), put]);
    run(&mut project, "first");
    assert_eq!(run(&mut project, "second").reused, ["slow"]);
    assert_eq!(run(&mut project, "put").ran, ["slow"]);
    assert_eq!(*ran.lock().unwrap(), 2);
    assert_eq!(fs::read_to_string(dir.path().join("out/put/slow+result.json")).unwrap(), "5");
}
