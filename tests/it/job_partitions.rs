//! Jobs of a program that run for one partition at a time: in process and on the store.

use std::path::Path;
use std::sync::{Arc, Mutex};

use giornata::api::{
    Error, Job, JobMistakeKind, Launch, Mistake, Partitions, Project, StepState, job, op,
};
use giornata::base::FixedClock;
use serde_json::json;

type Told = Arc<Mutex<Vec<String>>>;

/// A job of one step, which tells what it sees of its partition.
fn telling(partitions: impl Into<Partitions>, told: &Told) -> Job {
    let told = told.clone();
    let tell = op("tell").config(json!({"text": "string"})).run(move |ctx| {
        let dates = ctx.dates().map(|(start, end)| format!("{start}..{end}"));
        let window =
            ctx.window().map(|it| format!("{}..{}", it.start.to_rfc3339(), it.end.to_rfc3339()));
        let text: String = ctx.setting("text")?;
        told.lock().unwrap().push(format!(
            "{} {} {} {text}",
            ctx.partition(),
            dates.unwrap_or_default(),
            window.unwrap_or_default()
        ));
        Ok(())
    });
    job("tells")
        .partitions(partitions)
        .values(json!({"tell": {"text": "of {partition}"}}))
        .preset("other", json!({"tell": {"text": "other {partition}"}}))
        .define(|g| {
            tell.call(g);
        })
}

fn project(root: &Path, job: Job) -> Project {
    let mut project = Project::new("p", root);
    project.clock(Arc::new(FixedClock("2020-07-03T12:00:00Z".parse().unwrap())));
    project.job(job);
    project
}

#[track_caller]
fn taken(told: &Told) -> String {
    let mut told = std::mem::take(&mut *told.lock().unwrap());
    assert_eq!(told.len(), 1, "{told:?}");
    told.remove(0)
}

#[test]
fn partition_window_and_values_reach_the_step() {
    let told = Told::default();
    let days = || telling(Partitions::daily("2020-01-01").until("2021-01-01"), &told);
    let fourth = Launch::new().partition("2020-01-04");
    assert!(days().execute(&fourth).unwrap().is_success());
    let expected = "2020-01-04 2020-01-04..2020-01-05 \
                    2020-01-04T00:00:00+00:00..2020-01-05T00:00:00+00:00 of 2020-01-04";
    assert_eq!(taken(&told), expected);
    let dir = tempfile::tempdir().unwrap();
    let mut project = project(dir.path(), days());
    assert!(project.run("tells", &fourth).unwrap().is_success());
    assert_eq!(taken(&told), expected);
    assert!(project.run("tells", &fourth.clone().preset("other")).unwrap().is_success());
    assert!(taken(&told).ends_with(" other 2020-01-04"));
    // What the launch says goes before what the partition says, and is no template.
    let set = fourth.set("tell.text={partition}");
    assert!(project.run("tells", &set).unwrap().is_success());
    assert!(taken(&told).ends_with(" {partition}"));
}

#[test]
fn days_begin_where_those_of_the_project_do() {
    let told = Told::default();
    let dir = tempfile::tempdir().unwrap();
    let mut project = project(dir.path(), telling(Partitions::daily("2020-01-01"), &told));
    project.timezone("Europe/Berlin");
    let summer = Launch::new().partition("2020-07-01");
    assert!(project.run("tells", &summer).unwrap().is_success());
    assert_eq!(
        taken(&told),
        "2020-07-01 2020-07-01..2020-07-02 \
         2020-06-30T22:00:00+00:00..2020-07-01T22:00:00+00:00 of 2020-07-01"
    );
    // The clock of the project says which days are over.
    let error = project.run("tells", &Launch::new().partition("2020-07-03")).unwrap_err();
    assert!(error.to_string().ends_with("`tells` has no partition `2020-07-03`"), "{error}");
}

#[test]
fn keys_are_partitions_too_and_those_of_a_source() {
    let told = Told::default();
    let regions = || telling(Partitions::keys(["us", "eu"]), &told);
    let eu = Launch::new().partition("eu");
    assert!(regions().execute(&eu).unwrap().is_success());
    assert_eq!(taken(&told), "eu   of eu");
    let dir = tempfile::tempdir().unwrap();
    assert!(project(dir.path(), regions()).run("tells", &eu).unwrap().is_success());
    assert_eq!(taken(&told), "eu   of eu");

    std::fs::write(dir.path().join("a.csv"), "n\n1\n").unwrap();
    let mut project = Project::new("p", dir.path());
    let files = project.source("files").files("{name}.csv");
    let each = telling(Partitions::each(&files), &told);
    let error = each.execute(&Launch::new().partition("a")).unwrap_err().to_string();
    assert!(error.ends_with("only a run on the store knows the partitions of `files`"), "{error}");
    project.job(each);
    assert!(project.run("tells", &Launch::new().partition("a")).unwrap().is_success());
    assert_eq!(taken(&told), "a   of a");
    // A file that comes later is looked for.
    assert!(project.run("tells", &Launch::new().partition("b")).is_err());
    std::fs::write(dir.path().join("b.csv"), "n\n2\n").unwrap();
    assert!(project.run("tells", &Launch::new().partition("b")).unwrap().is_success());
    assert_eq!(taken(&told), "b   of b");
}

#[test]
fn a_partition_that_there_is_not_is_told_before_anything_runs() {
    let told = Told::default();
    let dir = tempfile::tempdir().unwrap();
    let days = || telling(Partitions::daily("2020-01-01").until("2020-02-01"), &told);
    let one = op("one").run(|_| Ok(1_i64));
    let plain = || {
        job("tells").define(|g| {
            one.call(g);
        })
    };
    for (declare, launch, expect) in [
        (
            &days as &dyn Fn() -> Job,
            Launch::new(),
            "`tells` runs for one partition at a time; say which",
        ),
        (&days, Launch::new().partition("2020-02-01"), "`tells` has no partition `2020-02-01`"),
        (
            &plain,
            Launch::new().partition("a"),
            "`tells` has no partitions, so there is no `a` of it",
        ),
    ] {
        let in_process = declare().execute(&launch).unwrap_err().to_string();
        let on_store =
            project(dir.path(), declare()).run("tells", &launch).unwrap_err().to_string();
        assert_eq!(in_process, format!("the job `tells` cannot start: {expect}"));
        assert_eq!(on_store, in_process);
    }
    assert!(told.lock().unwrap().is_empty());
    assert!(!dir.path().join(".giornata/logs").exists());
}

#[test]
fn mistakes_in_partitions_and_templates_are_told_of_the_job() {
    let one = op("one").config(json!({"a": "string?"})).run(|_| Ok(1_i64));
    let wrong = job("wrong")
        .partitions(Partitions::keys(["a"]))
        .values(json!({"one": {"a": "{start:%Y}"}}))
        .preset("p", json!({"one": {"a": "{"}}))
        .define(|g| {
            one.call(g);
        });
    let Err(Error::Job { mistakes, .. }) = wrong.execute(&Launch::new().partition("a")) else {
        panic!("two templates are wrong")
    };
    let told: Vec<String> = mistakes.iter().map(|mistake| mistake.kind.to_string()).collect();
    assert_eq!(
        told,
        [
            "its value `one.a` is not right: a partition has no `{start}`; it has `{partition}`",
            "its value `one.a` is not right: `{` has a brace that has no other; a brace itself is \
             written `{{` or `}}`"
        ]
    );
    let when = job("when").partitions(Partitions::daily("4 July")).define(|_| ());
    let Err(Error::Job { mistakes, .. }) = when.execute_in_process() else { panic!("no date") };
    let time = Mistake::Time { text: "4 July".to_owned() };
    assert_eq!(mistakes[0].kind, JobMistakeKind::Partitions(time));
    // A handle of another project.
    let mut elsewhere = Project::new("elsewhere", ".");
    let files = elsewhere.source("files").files("{name}.csv");
    let mut project = Project::new("p", ".");
    project.job(job("each").partitions(Partitions::each(&files)).define(|_| ()));
    let Err(Error::Declarations { mistakes, .. }) = project.resolve(Path::new("")) else {
        panic!("a stranger")
    };
    assert_eq!(
        mistakes[0].to_string().split(": ").last(),
        Some("`files` is a handle of another project")
    );
}

#[test]
fn a_retry_takes_what_was_made_of_the_same_partition() {
    let dir = tempfile::tempdir().unwrap();
    let flag = dir.path().join("go");
    let load = op("load").version("1").run(|ctx| Ok(ctx.partition().to_string()));
    let tell =
        op("tell").version("1").input::<String>("day").run(move |_, day| match flag.exists() {
            true => Ok(day),
            false => Err("not yet".into()),
        });
    let days = job("days").partitions(Partitions::daily("2020-01-01")).define(|g| {
        tell.call(g, load.call(g));
    });
    let mut project = project(dir.path(), days);
    let first = project.run("days", &Launch::new().partition("2020-01-04")).unwrap();
    assert_eq!(first.failed[0].reason, "not yet");
    std::fs::write(dir.path().join("go"), "").unwrap();
    let same = Launch::new().partition("2020-01-04").retry(first.summary.run);
    let same = project.run("days", &same).unwrap();
    assert_eq!((same.ran, same.reused), (vec!["tell".to_owned()], vec!["load".to_owned()]));
}

#[test]
fn a_step_may_do_without_a_partition() {
    let one = op("one").run(|ctx| Ok(ctx.partition().is_unpartitioned() && ctx.window().is_none()));
    let plain = job("plain").define(|g| {
        one.call(g);
    });
    let result = plain.execute_in_process().unwrap();
    assert_eq!(result.state("one"), Some(StepState::Success));
    assert!(result.value::<bool>("one").unwrap());
}
