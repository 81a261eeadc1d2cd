//! The lecture's project of files: every job of it does what the lecture shows, and what `docs/lecture.md`
//! quotes is there.

use std::fs;
use std::path::Path;

use super::bench::Bench;

fn lecture() -> Bench {
    let bench = Bench::new("");
    fs::remove_dir_all(bench.path("assets")).unwrap();
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/lecture");
    copy(&project, bench.dir.path());
    bench
}

/// What is declared there, without what a reader's own runs have left.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        if path.is_dir() && !name.to_string_lossy().starts_with('.') {
            copy(&path, &to.join(name));
        } else if path.is_file() && path.extension().is_none_or(|extension| extension != "db") {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

/// The log of a step of the last run.
fn log(bench: &Bench, step: &str) -> String {
    let runs = fs::read_dir(bench.path(".giornata/logs")).unwrap();
    let runs = runs.filter_map(|run| run.unwrap().file_name().to_str()?.parse::<u64>().ok());
    let run = runs.max().unwrap();
    fs::read_to_string(bench.path(&format!(".giornata/logs/{run}/{step}.log"))).unwrap()
}

#[test]
fn the_files_of_the_lecture_are_sound_and_are_the_repository() {
    let bench = lecture();
    bench.run(&["check", "--strict"]).ends(0).says("4 assets and 15 jobs");
    let list = bench.run(&["list"]).ends(0).says("asset3");
    list.says("do_stuff_partitioned           1 step                  daily from 2020-01-01");
}

#[test]
fn templates_ops_types_and_outputs() {
    let bench = lecture();
    bench.run(&["run", "templates"]).ends(0).says("ran 2; 0 failed");
    assert_eq!(log(&bench, "test2"), "test2 project\n");
    let show = bench.run(&["show", "templates", "--json"]).ends(0).out;
    let show: serde_json::Value = serde_json::from_str(&show).unwrap();
    assert_eq!(show["steps"][1]["retries"], 2);
    bench.run(&["run", "one_op"]).ends(0).says("ran 1; 0 failed");
    bench.run(&["run", "typed"]).ends(0).says("ran 2; 0 failed");
    assert_eq!(log(&bench, "my_typed_input_op"), "got 4\n");
    let wrong = bench.run(&["run", "typed", "--set", "number=3"]).ends(1);
    wrong.says("input `abc` of `my_typed_input_op`: expected MyDagsterType, got 3");
    bench.run(&["run", "multiple"]).ends(0);
    assert_eq!(log(&bench, "repeat"), "foofoofoofoofoo\n");
}

#[test]
fn graphs_branches_and_pieces() {
    let bench = lecture();
    bench.run(&["run", "simple"]).ends(0).says("ran 5; 0 failed");
    assert_eq!(log(&bench, "show"), "the sum is 4\n");
    let branching = bench.run(&["run", "branching"]).ends(0).says("ran 2, 1 skipped; 0 failed");
    branching.says("`branching.branching_op` did not give `branch_");
    bench.run(&["run", "dynamic_graph"]).ends(0).says("ran 5; 0 failed");
    assert_eq!(log(&bench, "merge_and_analyze"), "the sum of 3 pieces is 21\n");
}

#[test]
fn configuration_of_ops_jobs_and_runs() {
    let bench = lecture();
    bench.run(&["run", "context"]).ends(2).says("`context_op` is missing");
    bench.run(&["run", "context", "--set", "context_op.name=Ada"]).ends(0);
    assert_eq!(log(&bench, "context_op"), "My name is Ada\n");
    bench.run(&["run", "do_it_all_with_default_config"]).ends(0);
    assert_eq!(log(&bench, "do_something"), "config_param: stuff\n");
    bench.run(&["run", "do_it_all_with_default_config", "--preset", "other"]).ends(0);
    assert_eq!(log(&bench, "do_something"), "config_param: other\n");
    let scaffold = bench.run(&["config", "scaffold", "job_using_config"]).ends(0);
    assert_eq!(scaffold.out, "op_using_config:\n  person_name: \"...\"\n");
    let given = "op_using_config: {person_name: Alice, age: 3}\n";
    bench.write("launch.yaml", given);
    let check = ["config", "check", "job_using_config", "--config", "launch.yaml"];
    bench.run(&check).ends(2).says("`op_using_config.age` is not defined");
    let prune = ["config", "prune", "job_using_config", "--config", "launch.yaml"];
    let pruned = bench.run(&prune).ends(0).out;
    bench.write("launch.yaml", &pruned);
    bench.run(&["run", "job_using_config", "--config", "launch.yaml"]).ends(0);
    assert_eq!(log(&bench, "op_using_config"), "hello, Alice\n");
}

#[test]
fn assets_partitions_and_resources() {
    let bench = lecture();
    bench.run(&["run", "asset_job"]).ends(0).says("ran 2 ");
    bench.run(&["materialize", "asset3"]).ends(0).says("ran 1 ");
    bench.run(&["cat", "asset3"]).ends(0).says("2");
    bench.run(&["run", "do_stuff_partitioned", "-p", "2020-01-05"]).ends(0);
    assert_eq!(log(&bench, "process_data_for_date"), "processing data for 2020-01-05\n");
    let date = "process_data_for_date.date=2020-02-03";
    bench.run(&["run", "do_stuff", "--set", date]).ends(0);
    assert_eq!(log(&bench, "process_data_for_date"), "processing data for 2020-02-03\n");
    bench.run(&["materialize", "table_0"]).ends(0).says("ran 1 ");
    bench.run(&["run", "table_1"]).ends(0).says("ran 2; 0 failed");
    assert_eq!(log(&bench, "show"), "cereal,calories\noats,389\nrye,338\n");
    bench.run(&["run", "fetch_cereals"]).ends(2).says("`CEREALS_TOKEN`, which is not set");
    bench.write(".env", "CEREALS_TOKEN=crunchy\n");
    bench.run(&["run", "fetch_cereals"]).ends(0).says_not("crunchy");
    assert!(log(&bench, "fetch_new_cereals").contains("\"Authorization\":\"***\""));
}

#[test]
fn the_clock_and_a_file_start_jobs() {
    let bench = lecture();
    bench.run(&["schedules", "list"]).ends(0).says("job1_schedule  off");
    let tick = ["schedules", "tick", "job1_schedule", "--at", "2024-03-01T08:00:00Z"];
    bench.run(&tick).ends(0).says("requested 1 run");
    bench.run(&["watch", "--once"]).ends(0).says("asset_job because schedule job1_schedule");
    bench.run(&["cat", "asset2"]).ends(0).says("2");
    bench.run(&["materialize", "table_0"]).ends(0);
    bench.write("inbox/new.csv", "1");
    bench.run(&["sensors", "on", "job2_sensor"]).ends(0);
    bench.run(&["watch", "--once"]).ends(0).says("table_1 because sensor job2_sensor");
    assert_eq!(log(&bench, "show"), "cereal,calories\noats,389\nrye,338\n");
}

/// A fenced block behind a line that ends in `FILE:` says what is in that file, whatever its indentation.
#[test]
fn what_the_table_of_terms_quotes_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/lecture.md")).unwrap();
    let trimmed = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
    let mut lines = page.lines();
    let mut quoted = 0;
    while let Some(line) = lines.next() {
        let Some(file) = line.strip_suffix("`:").and_then(|line| line.rsplit('`').next()) else {
            continue;
        };
        let text = fs::read_to_string(root.join(file)).unwrap();
        let block = lines.by_ref().skip_while(|line| !line.starts_with("```")).skip(1);
        let block: Vec<&str> = block.take_while(|line| !line.starts_with("```")).collect();
        let block = trimmed(&block.join("\n"));
        assert!(trimmed(&text).contains(&block), "{file} has no\n{block}");
        quoted += 1;
    }
    assert!(quoted > 20, "{quoted}");
}
