//! Events of `watch --jsonl`, one a line: those of the watching, and those of runs with the number of the
//! run that they are of.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::Parts;
use crate::base::AssetKey;
use crate::engine::{End, Engine, Heard, Observed, WatchEvent, What};

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Line<'a> {
    Watching {
        directories: usize,
        polled: usize,
        sources: usize,
        automated: usize,
        sensors: usize,
        schedules: usize,
    },
    Observed {
        asset: &'a AssetKey,
        #[serde(skip_serializing_if = "Option::is_none")]
        added: Option<Parts>,
        #[serde(skip_serializing_if = "Option::is_none")]
        changed: Option<Parts>,
        #[serde(skip_serializing_if = "Option::is_none")]
        removed: Option<Parts>,
    },
    Reloaded {
        changed: &'a [AssetKey],
        added: &'a [AssetKey],
        removed: &'a [AssetKey],
        variables: &'a [String],
    },
    Broken {
        problems: &'a str,
    },
    Ticked {
        of: String,
        outcome: &'a str,
        reason: &'a str,
        asked: u64,
        known: u64,
    },
    Begun {
        watch_run: u64,
        #[serde(flatten)]
        what: About<'a>,
        why: &'a [String],
    },
    Ended {
        watch_run: u64,
        #[serde(flatten)]
        what: About<'a>,
        success: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        duration_ms: Option<u64>,
        counts: BTreeMap<String, u64>,
    },
    Warning {
        message: &'a str,
    },
    Stopping {
        runs: usize,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum About<'a> {
    Assets(BTreeMap<&'a AssetKey, Parts>),
    Request { of: String, text: &'a str },
}

/// One line of `watch --jsonl`.
pub(in crate::cli) fn heard_line(engine: &Engine, heard: &Heard) -> String {
    match heard {
        Heard::Watch(event) => {
            serde_json::to_string(&line(engine, event)).expect("the keys are text") + "\n"
        }
        Heard::Run(run, event) => of_run(*run, &super::event_line(engine, event)),
        Heard::Job(run, event) => of_run(*run, &super::job_event_line(event)),
    }
}

fn of_run(run: u64, line: &str) -> String {
    let mut value: Value = serde_json::from_str(line).expect("it was just written");
    if let Some(fields) = value.as_object_mut() {
        fields.insert("watch_run".to_owned(), run.into());
    }
    value.to_string() + "\n"
}

fn line<'a>(engine: &Engine, event: &'a WatchEvent) -> Line<'a> {
    match event {
        WatchEvent::Watching { directories, polled, sources, automated, sensors, schedules } => {
            Line::Watching {
                directories: *directories,
                polled: *polled,
                sources: *sources,
                automated: *automated,
                sensors: *sensors,
                schedules: *schedules,
            }
        }
        WatchEvent::Observed(Observed { asset, added, changed, removed, .. }) => {
            let domain = engine.planner().domain(asset);
            Line::Observed {
                asset,
                added: Parts::some(domain, added),
                changed: Parts::some(domain, changed),
                removed: Parts::some(domain, removed),
            }
        }
        WatchEvent::Reloaded { changed, added, removed, variables } => {
            Line::Reloaded { changed, added, removed, variables }
        }
        WatchEvent::Broken { problems } => Line::Broken { problems },
        WatchEvent::Ticked { of, outcome, reason, asked, known } => Line::Ticked {
            of: of.to_string(),
            outcome: outcome.as_str(),
            reason,
            asked: *asked,
            known: *known,
        },
        WatchEvent::Begun { run, what, why } => {
            Line::Begun { watch_run: *run, what: about(engine, what), why }
        }
        WatchEvent::Ended { run, what, end } => ended(engine, *run, what, end),
        WatchEvent::Warning { message } => Line::Warning { message },
        WatchEvent::Stopping { runs } => Line::Stopping { runs: *runs },
    }
}

fn ended<'a>(engine: &Engine, watch_run: u64, what: &'a What, end: &'a End) -> Line<'a> {
    let (error, took, counts) = match end {
        End::Assets { summary, took } => (None, Some(took), summary.counts()),
        End::Job { summary, took } => (None, Some(took), summary.counts()),
        End::Error(problem) => (Some(problem.as_str()), None, BTreeMap::new()),
    };
    let duration_ms = took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    let (what, success) = (about(engine, what), end.is_success());
    Line::Ended { watch_run, what, success, error, duration_ms, counts }
}

fn about<'a>(engine: &Engine, what: &'a What) -> About<'a> {
    match what {
        What::Assets(targets) => {
            let one = |(key, set): (&'a AssetKey, &crate::base::PartitionSet)| {
                (key, Parts::new(engine.planner().domain(key), set))
            };
            About::Assets(targets.iter().map(one).collect())
        }
        What::Request { of, text } => About::Request { of: of.to_string(), text },
    }
}
