//! `cron_ticks.json`: ticks across clock changes, and which expressions are valid.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{cases, instant, instants, read, strings};
use crate::defs::partition::CronRule;

fn rules(case: &Value) -> Vec<CronRule> {
    let texts = match case["cron"].as_str() {
        Some(text) => vec![text.to_owned()],
        None => strings(&case["cron"]),
    };
    texts.iter().map(|text| CronRule::parse(text).unwrap()).collect()
}

fn ticks(case: &Value) -> Vec<DateTime<Utc>> {
    let tz: chrono_tz::Tz = case["timezone"].as_str().unwrap().parse().unwrap();
    let rules = rules(case);
    let second = chrono::TimeDelta::try_seconds(1).unwrap();
    let count = usize::try_from(case["n"].as_u64().unwrap()).unwrap();
    let back = case["direction"].as_str() == Some("reverse");
    let mut at = instant(&case["start"]);
    let mut ticks = Vec::new();
    while ticks.len() < count {
        let next = match back {
            true => rules.iter().filter_map(|rule| rule.up_to(tz, at)).max().unwrap(),
            false => rules.iter().filter_map(|rule| rule.after(tz, at - second)).min().unwrap(),
        };
        ticks.push(next);
        at = if back { next - second } else { next + second };
    }
    ticks
}

#[test]
fn conformance_cron_ticks() {
    let table = read("cron_ticks.json");
    let mut wrong = Vec::new();
    for (id, case) in cases(&table) {
        let valid = case["valid"].as_bool().unwrap();
        if case.get("n").is_none() {
            let ours = case["cron"].as_str().is_some_and(|text| CronRule::parse(text).is_ok());
            if ours != valid {
                wrong.push(format!("{id}: we say {ours}"));
            }
            continue;
        }
        // Where the table's source contradicts its own rules, a model of the rules stands beside.
        let expected = case.get("differs_from_model").unwrap_or(&case["expect"]);
        let ours = ticks(case);
        if ours != instants(expected) {
            wrong.push(format!("{id}: {ours:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
