//! The first hour of a new user, with the real binary on the project that `init` writes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

/// A clock before which all partitions of the example exist.
const NOW: &str = "2026-01-01T00:00:00Z";

struct Hour {
    _dir: TempDir,
    root: PathBuf,
}

/// How a command ended and what it said.
#[derive(Debug)]
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    #[track_caller]
    fn fine(self) -> Said {
        assert_eq!(self.code, 0, "{self:#?}");
        self
    }

    #[track_caller]
    fn says(self, text: &str) -> Said {
        assert!(self.out.contains(text) || self.err.contains(text), "no `{text}` in {self:#?}");
        self
    }

    #[track_caller]
    fn says_not(self, text: &str) -> Said {
        assert!(!self.out.contains(text) && !self.err.contains(text), "`{text}` in {self:#?}");
        self
    }
}

impl Hour {
    /// Item 1: `init` with example data.
    fn begin() -> Hour {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("first");
        let hour = Hour { root: dir.path().to_path_buf(), _dir: dir };
        hour.run(&["init", "first"]).fine().says("giornata materialize --all");
        Hour { root, ..hour }
    }

    fn made() -> Hour {
        let hour = Hour::begin();
        hour.run(&["m", "--all"]).fine().says("ran 2968");
        hour
    }

    fn run(&self, args: &[&str]) -> Said {
        let output: Output = Command::new(env!("CARGO_BIN_EXE_giornata"))
            .args(["--now", NOW, "--no-progress"])
            .args(args)
            .current_dir(&self.root)
            .env("NO_COLOR", "1")
            .output()
            .unwrap();
        Said {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn edit(&self, file: &str, from: &str, to: &str) {
        let path = self.root.join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} has no {from}");
        fs::write(path, text.replacen(from, to, 1)).unwrap();
    }

    /// The steps that a run started, by its events.
    fn steps(&self, args: &[&str]) -> Vec<String> {
        let mut all = vec!["m", "--jsonl"];
        all.extend(args);
        let said = self.run(&all).fine();
        let events = said.out.lines().map(|line| serde_json::from_str(line).unwrap());
        let started = events.filter(|event: &serde_json::Value| event["event"] == "step-started");
        let name = |event: serde_json::Value| {
            let text = |field: &str| event[field].as_str().unwrap().to_owned();
            format!("{}@{}", text("asset"), text("partition"))
        };
        let mut steps: Vec<String> = started.map(name).collect();
        steps.sort();
        steps
    }
}

const CSV: &str = "assets/data/seattle-weather.csv";
const ROW: &str = "2014/07/04,0.0,";

/// The day, its month, its year, and the seven weeks that hold it.
const CHAIN: [&str; 10] = [
    "daily_weather@2014-07-04",
    "monthly_climate@2014-07",
    "weekly_trend@2014-07-04",
    "weekly_trend@2014-07-05",
    "weekly_trend@2014-07-06",
    "weekly_trend@2014-07-07",
    "weekly_trend@2014-07-08",
    "weekly_trend@2014-07-09",
    "weekly_trend@2014-07-10",
    "yearly_report@2014",
];

#[test]
fn the_first_run_makes_everything_and_the_second_nothing() {
    let hour = Hour::begin();
    hour.run(&["init"]).says("already").says("nothing was written");
    hour.run(&["check"]).fine().says("no errors");
    hour.run(&["status", "--check"]).says("1461").says("MISSING");
    hour.run(&["m", "--all"]).fine().says("ran 2968").says("0 failed");
    hour.run(&["m", "--all"]).fine().says("everything up to date");
    hour.run(&["status", "--check"]).fine();
    hour.run(&["cat", "monthly_climate@2014-07"]).fine().says("2014-07,31,20.7");
    let page = fs::read_to_string(hour.root.join("out/reports/2014.html")).unwrap();
    assert!(page.contains("Seattle in 2014"), "{page}");
    hour.run(&["doctor", "--deep"]).fine().says("sound");
}

#[test]
fn one_changed_row_concerns_its_own_chain() {
    let hour = Hour::made();
    hour.edit(CSV, ROW, "2014/07/04,9.9,");
    let status = hour.run(&["status", "--json"]).fine();
    let status: serde_json::Value = serde_json::from_str(&status.out).unwrap();
    let daily = status["assets"].as_array().unwrap().iter();
    let daily = daily.clone().find(|entry| entry["asset"] == "daily_weather").unwrap();
    assert_eq!(daily["counts"]["stale"], 1, "{daily}");
    assert_eq!(daily["ranges"]["stale"], serde_json::json!(["2014-07-04"]));
    assert_eq!(hour.run(&["status", "--check"]).code, 1);
    hour.run(&["why", "monthly_climate@2014-07"])
        .fine()
        .says("daily_weather@2014-07-04")
        .says("input-changed")
        .says("raw_weather@2014-07-04");
    hour.run(&["plan"]).fine().says("1 step to run, up to 9 more");
    assert_eq!(hour.steps(&["--all"]), CHAIN);
    hour.run(&["m", "--all"]).fine().says("everything up to date");
}

#[test]
fn a_comment_in_a_header_makes_nothing_stale() {
    let hour = Hour::made();
    hour.edit("assets/daily_weather.sql", "-- ///\n\n", "-- # by hand\n-- ///\n\n");
    hour.run(&["m", "--all"]).fine().says("everything up to date");
}

#[test]
fn where_the_output_stays_equal_nothing_downstream_runs() {
    let hour = Hour::made();
    hour.edit(
        "assets/daily_weather.sql",
        "round((temp_max + temp_min) / 2, 2)",
        "round((temp_min + temp_max) / 2, 2)",
    );
    let steps = hour.steps(&["--all"]);
    assert_eq!(steps.len(), 1461, "{:?}", &steps[..3]);
    assert!(steps.iter().all(|step| step.starts_with("daily_weather@")));
    hour.run(&["m", "--all"]).fine().says("everything up to date");
}

#[test]
fn a_file_that_is_dropped_is_summarized_once_the_sensor_is_on() {
    let hour = Hour::begin();
    let drop = |name: &str, rows: &str| {
        let header = "date,precipitation,temp_max,temp_min,wind,weather";
        fs::create_dir_all(hour.root.join("inbox")).unwrap();
        fs::write(hour.root.join("inbox").join(name), format!("{header}\n{rows}\n")).unwrap();
    };
    drop("tacoma.csv", "2016/01/01,1.5,10.0,2.0,3.1,rain");
    hour.run(&["watch", "--once"]).fine().says_not("run 1");
    hour.run(&["sensors", "on", "arrivals"]).fine().says("sensor `arrivals` is on");
    hour.run(&["watch", "--once"]).fine().says("  ran station@tacoma").says("sensor arrivals");
    hour.run(&["cat", "station@tacoma"]).fine().says("tacoma,1,6.0,1.5");
    drop("renton.csv", "2016/01/01,0.0,8.0,2.0,3.1,sun");
    hour.run(&["watch", "--once"]).fine().says("  ran station@renton").says_not("station@tacoma");
    hour.run(&["schedules", "list"]).fine().says("nightly   off    0 3 * * *");
}

#[test]
fn a_misspelt_key_has_its_place_and_a_hint() {
    let hour = Hour::begin();
    hour.edit("assets/monthly_climate.sql", "partitions = {", "partitons = {");
    let said = hour.run(&["check"]).says("assets/monthly_climate.sql:3").says("partitions");
    assert_eq!(said.code, 2);
    // What does not need the broken file goes on.
    hour.run(&["m", "weekly_trend@2014-07-04"]).fine().says("ran 8").says("giornata check");
    let said = hour.run(&["m", "yearly_report"]).says("assets/monthly_climate.sql:3");
    assert_eq!(said.code, 2);
    let said = hour.run(&["m", "--all"]).says("assets/monthly_climate.sql:3");
    assert_eq!(said.code, 2);
}

#[test]
fn reverted_code_is_restored_without_running() {
    let hour = Hour::made();
    let file = "assets/daily_weather.sql";
    hour.edit(file, "/ 2, 2)", "/ 2, 1)");
    hour.run(&["m", "--all"]).fine().says("ran ").says_not("everything up to date");
    hour.edit(file, "/ 2, 1)", "/ 2, 2)");
    assert_eq!(hour.steps(&["--all"]), Vec::<String>::new());
    hour.run(&["m", "--all"]).fine().says("everything up to date");
    hour.run(&["cat", "monthly_climate@2014-07"]).fine().says("2014-07,31,20.7");
}
