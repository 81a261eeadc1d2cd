//! `partition_keys.json`: keys, windows and look-ups.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::{cases, instant, partitions, read};
use crate::defs::partition::zone::{self, Meaning};
use crate::defs::partition::{Domain, PartitionsDef};

/// Cases where ours differs, and why. All carry a mark of their own in the table.
const DIFFERENT: &[(&str, &str)] = &[
    (
        "hourly-lordhowe-fall",
        "hours begin at the declared minute of local time, after a change by 30 minutes too; the \
         window in which the clock changes lasts an hour and a half",
    ),
    ("daily-havana-2024-fall", "a local time that occurs twice is its second one at every hour"),
    ("cron-leap-day", "the windows are those of the table's `iterated_windows`"),
    ("hourly-utc", "`2024-03-09-00:30` is no key of windows that begin at minute 0"),
];

/// A time that clocks skip names nothing: the window at the end of the gap has a key of its own.
fn is_skipped(key: &str, domain: &Domain) -> bool {
    let PartitionsDef::TimeWindow(def) = domain.def() else { return false };
    let local = chrono::NaiveDateTime::parse_from_str(key, &def.format);
    local.is_ok_and(|local| matches!(zone::meaning(def.timezone, local), Meaning::Skipped(_)))
}

fn windows_of(domain: &Domain) -> Vec<(String, String, String)> {
    let text = |at: chrono::DateTime<chrono::Utc>| at.format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let window = |index: u32| {
        let window = domain.window(index).unwrap();
        (domain.key(index).unwrap().to_string(), text(window.start), text(window.end))
    };
    domain.ordered().into_iter().map(window).collect()
}

fn failures(case: &Value) -> Vec<String> {
    let def = Arc::new(partitions(&case["def"]));
    let domain = Domain::resolve(def, instant(&case["now"]), &BTreeMap::new());
    let ours = windows_of(&domain);
    let expect = &case["expect"];
    let mut failures = Vec::new();
    if expect["count"].as_u64().is_some_and(|count| count != ours.len() as u64) {
        failures.push(format!("{} windows, not {}", ours.len(), expect["count"]));
    }
    let listed = expect["windows"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (ours, theirs) in ours.iter().zip(listed) {
        let theirs: (String, String, String) = serde_json::from_value(theirs.clone()).unwrap();
        if *ours != theirs {
            failures.push(format!("{ours:?}, not {theirs:?}"));
        }
    }
    for (key, exists) in expect["has_key"].as_object().into_iter().flatten() {
        if is_skipped(key, &domain) {
            continue;
        }
        if domain.index(key).is_some() != exists.as_bool().unwrap() {
            failures.push(format!("key {key} exists: not {exists}"));
        }
    }
    for (key, _, _) in &ours {
        let index = domain.index(key).unwrap_or_else(|| panic!("{key} is not read back"));
        assert_eq!(domain.key(index).unwrap().as_str(), key);
    }
    failures
}

#[test]
fn conformance_partition_keys() {
    let table = read("partition_keys.json");
    let mut wrong = Vec::new();
    for (id, case) in cases(&table) {
        let failures = failures(case);
        let marked = case.get("dagster_quirk").is_some() || case.get("dagster_anomaly").is_some();
        let expected = marked || DIFFERENT.iter().any(|(name, _)| *name == id);
        if !failures.is_empty() && !expected {
            wrong.push(format!("{id}: {failures:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
