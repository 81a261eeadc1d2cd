//! Recorded tables of what an established orchestrator does, translated into our definitions.
//!
//! `GIORNATA_CONFORMANCE_DIR` names another folder with larger tables of the same form. Where a case
//! is marked as contradicting itself or differs from the rules stated here, ours is written beside.

mod cron;
mod keys;
mod mappings;
mod selection;

use std::path::PathBuf;

use chrono::{DateTime, NaiveDateTime, Utc};
use serde_json::Value;

use super::{Cadence, PartitionsDef, TimeWindowDef};

/// The table of this name.
fn read(name: &str) -> Value {
    #[expect(clippy::disallowed_methods, reason = "the tests' caller says where the tables are")]
    let folder = std::env::var_os("GIORNATA_CONFORMANCE_DIR").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| {
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/conformance"))
    });
    let text = std::fs::read_to_string(folder.join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn cases(table: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let cases = table["cases"].as_array().unwrap();
    cases.iter().map(|case| (case["id"].as_str().unwrap(), case))
}

fn instant(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap().parse().unwrap()
}

fn instants(value: &Value) -> Vec<DateTime<Utc>> {
    value.as_array().unwrap().iter().map(instant).collect()
}

fn strings(value: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    value.as_array().map(|values| values.iter().map(text).collect()).unwrap_or_default()
}

/// Our definition of a `def` of time windows.
fn time_window(def: &Value) -> TimeWindowDef {
    let number = |name: &str| u32::try_from(def[name].as_u64().unwrap_or(0)).unwrap();
    let (hour, minute) = (number("hour_offset"), number("minute_offset"));
    let kind = def["kind"].as_str().unwrap();
    let cadence = match kind {
        "hourly" => Cadence::Hourly { minute },
        "daily" => Cadence::Daily { hour, minute },
        "weekly" => Cadence::Weekly { day: number("day_offset"), hour, minute },
        "monthly" => Cadence::Monthly { day: number("day_offset").max(1), hour, minute },
        "cron" => Cadence::Cron(def["cron"].as_str().unwrap().to_owned()),
        other => panic!("no kind {other}"),
    };
    let default = if kind == "hourly" { "%Y-%m-%d-%H:%M" } else { "%Y-%m-%d" };
    let format = def["fmt"].as_str().unwrap_or(default).to_owned();
    let local = |value: &Value| local_time(value.as_str().unwrap(), &format);
    let mut window = TimeWindowDef {
        cadence,
        start: local(&def["start"]),
        end: def.get("end").filter(|end| !end.is_null()).map(local),
        timezone: def["timezone"].as_str().unwrap_or("UTC").parse().unwrap(),
        format: format.clone(),
        end_offset: i32::try_from(def["end_offset"].as_i64().unwrap_or(0)).unwrap(),
        exclusions: Vec::new(),
    };
    window.exclusions = exclusions(def, &window);
    window
}

/// Crons among the exclusions become the local times of their ticks.
fn exclusions(def: &Value, window: &TimeWindowDef) -> Vec<NaiveDateTime> {
    let mut found = Vec::new();
    for text in strings(&def["exclusions"]) {
        if let Some(local) = text.strip_prefix("dt:") {
            found.push(local_time(&format!("@{local}"), ""));
            continue;
        }
        let rule = super::CronRule::parse(&text).unwrap();
        let tz = window.timezone;
        let from = super::zone::resolve(tz, window.start);
        let to = from + chrono::TimeDelta::try_days(1000).unwrap();
        found.extend(rule.between(tz, from, to).iter().map(|at| super::zone::local(tz, *at)));
    }
    found
}

fn local_time(text: &str, format: &str) -> NaiveDateTime {
    if let Some(iso) = text.strip_prefix('@') {
        let forms = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S"];
        let parsed = forms.iter().find_map(|form| NaiveDateTime::parse_from_str(iso, form).ok());
        return parsed.unwrap_or_else(|| panic!("no local time: {text}"));
    }
    if format == "%Y" {
        return local_time(&format!("@{text}-01-01T00:00"), "");
    }
    let month = || chrono::NaiveDate::parse_from_str(&format!("{text} 1"), &format!("{format} %d"));
    let date = chrono::NaiveDate::parse_from_str(text, format).or_else(|_| month());
    NaiveDateTime::parse_from_str(text, format)
        .or_else(|_| date.map(|date| date.and_hms_opt(0, 0, 0).unwrap()))
        .unwrap_or_else(|_| panic!("{text} is not in the form {format}"))
}

fn partitions(def: &Value) -> PartitionsDef {
    PartitionsDef::TimeWindow(time_window(def))
}
