//! The projects of the bench of backfills, of any size: days that a command or a function makes, and the same
//! commands for make.

use std::fmt::Write;
use std::path::Path;

use chrono::{Days, NaiveDate};

/// As many as the backfill has that everybody talks of.
pub const DAYS: u64 = 1_516;

fn day(number: u64) -> String {
    let first = NaiveDate::from_ymd_opt(2015, 1, 1).expect("the first of January exists");
    let day = first.checked_add_days(Days::new(number)).expect("the calendar goes on");
    day.format("%Y-%m-%d").to_string()
}

/// A project of so many days, each a small file that a command writes.
pub fn commands(dir: &Path, days: u64) {
    let end = day(days);
    let definition = format!(
        "assets:\n  day:\n    partitions: {{daily: {{start: 2015-01-01, end: {end}}}}}\n    \
         run: echo \"$GIORNATA_PARTITION\" > \"$output\"\n    output: day.txt\n"
    );
    std::fs::create_dir_all(dir.join("assets")).expect("the directory can be made");
    std::fs::write(dir.join("giornata.toml"), "name = \"days\"\n").expect("it can be written");
    std::fs::write(dir.join("assets/day.yaml"), definition).expect("it can be written");
}

/// The same commands for make.
pub fn makefile(dir: &Path, days: u64) {
    std::fs::create_dir_all(dir.join("out")).expect("the directory can be made");
    let mut text = "all:".to_owned();
    for number in 0..days {
        let _ = write!(text, " out/{}", day(number));
    }
    text += "\nout/%:\n\t@echo \"$*\" > \"$@\"\n";
    std::fs::write(dir.join("Makefile"), text).expect("it can be written");
}

/// A project of so many hours, none of which is made.
pub fn hours(dir: &Path, hours: u64) {
    let end = day(hours.div_ceil(24));
    let definition = format!(
        "assets:\n  hour:\n    partitions: {{hourly: {{start: \"2015-01-01T00:00:00\", end: \"{end}T00:00:00\"}}}}\n    \
         run: echo \"$GIORNATA_PARTITION\" > \"$output\"\n    output: hour.txt\n"
    );
    std::fs::create_dir_all(dir.join("assets")).expect("the directory can be made");
    std::fs::write(dir.join("giornata.toml"), "name = \"hours\"\n").expect("it can be written");
    std::fs::write(dir.join("assets/hour.yaml"), definition).expect("it can be written");
}

/// The bytes of a closed store beyond logs and what stands for outputs.
pub fn store_size(dir: &Path, outputs: u64) -> u64 {
    fn size(path: &Path) -> u64 {
        let Ok(entries) = std::fs::read_dir(path) else { return 0 };
        let of = |entry: std::fs::DirEntry| match entry.metadata() {
            Ok(data) if data.is_dir() => size(&entry.path()),
            Ok(data) => data.len(),
            Err(_) => 0,
        };
        entries.flatten().map(of).sum()
    }
    let store = dir.join(".giornata");
    size(&store).saturating_sub(size(&store.join("logs")) + outputs)
}
