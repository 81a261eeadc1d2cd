//! Sensors, schedules and their ticks as JSON documents.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::super::ticks::State;
use crate::base::RunRequest;
use crate::defs::{Schedule, Sensor};
use crate::engine::Preview;
use crate::sensor::Evaluation;
use crate::store::TickRow;

#[derive(Serialize)]
pub(in crate::cli) struct SchedulesDocument<'a> {
    pub schedules: Vec<ScheduleEntry<'a>>,
}

#[derive(Serialize)]
pub(in crate::cli) struct ScheduleEntry<'a> {
    schedule: &'a str,
    on: bool,
    by_hand: bool,
    cron: Vec<&'a str>,
    timezone: &'static str,
    catchup: String,
    next: Option<String>,
    last: Option<TickEntry>,
    description: Option<&'a str>,
}

impl<'a> ScheduleEntry<'a> {
    pub fn new(
        def: &'a Schedule,
        state: &State,
        next: Option<DateTime<Utc>>,
        last: Option<&TickRow>,
    ) -> ScheduleEntry<'a> {
        ScheduleEntry {
            schedule: def.name.as_str(),
            on: state.is_on,
            by_hand: state.by_hand,
            cron: def.cron.iter().map(|rule| rule.text()).collect(),
            timezone: def.timezone.name(),
            catchup: def.catchup.to_string(),
            next: next.map(text),
            last: last.map(TickEntry::new),
            description: def.description.as_deref(),
        }
    }
}

#[derive(Serialize)]
pub(in crate::cli) struct SensorsDocument<'a> {
    pub sensors: Vec<SensorEntry<'a>>,
}

#[derive(Serialize)]
pub(in crate::cli) struct SensorEntry<'a> {
    sensor: &'a str,
    on: bool,
    by_hand: bool,
    looks_at: String,
    last: Option<TickEntry>,
    description: Option<&'a str>,
}

impl<'a> SensorEntry<'a> {
    pub fn new(
        def: &'a Sensor,
        state: &State,
        looks_at: String,
        last: Option<&TickRow>,
    ) -> SensorEntry<'a> {
        SensorEntry {
            sensor: def.name.as_str(),
            on: state.is_on,
            by_hand: state.by_hand,
            looks_at,
            last: last.map(TickEntry::new),
            description: def.description.as_deref(),
        }
    }
}

#[derive(Serialize)]
pub(in crate::cli) struct SensorPreviewDocument<'a> {
    reason: &'a str,
    requests: &'a [RunRequest],
    faults: &'a [String],
}

impl<'a> SensorPreviewDocument<'a> {
    pub fn new(evaluation: &'a Evaluation) -> SensorPreviewDocument<'a> {
        let Evaluation { requests, reason, faults } = evaluation;
        SensorPreviewDocument { reason, requests, faults }
    }
}

#[derive(Serialize)]
pub(in crate::cli) struct CursorDocument<'a> {
    pub cursor: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<usize>,
}

#[derive(Serialize)]
pub(in crate::cli) struct TicksDocument {
    ticks: Vec<TickEntry>,
}

impl TicksDocument {
    pub fn new(ticks: &[TickRow]) -> TicksDocument {
        TicksDocument { ticks: ticks.iter().map(TickEntry::new).collect() }
    }
}

#[derive(Serialize)]
pub(in crate::cli) struct TickEntry {
    tick: Option<String>,
    evaluated: Option<String>,
    duration_ms: u64,
    outcome: &'static str,
    reason: String,
    asked: u64,
    known: u64,
    runs: Vec<u64>,
}

impl TickEntry {
    pub fn new(tick: &TickRow) -> TickEntry {
        let time = |ms: i64| DateTime::from_timestamp_millis(ms).map(text);
        TickEntry {
            tick: time(tick.due_ms),
            evaluated: time(tick.started_ms),
            duration_ms: tick.duration_ms,
            outcome: tick.outcome.as_str(),
            reason: tick.reason.clone(),
            asked: tick.asked,
            known: tick.known,
            runs: tick.runs.iter().map(|run| run.0).collect(),
        }
    }
}

#[derive(Serialize)]
pub(in crate::cli) struct PreviewsDocument<'a> {
    ticks: Vec<PreviewEntry<'a>>,
}

#[derive(Serialize)]
struct PreviewEntry<'a> {
    tick: String,
    outcome: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
    request: Option<&'a RunRequest>,
}

impl<'a> PreviewsDocument<'a> {
    pub fn new(previews: &'a [Preview]) -> PreviewsDocument<'a> {
        let entry = |preview: &'a Preview| PreviewEntry {
            tick: text(preview.at),
            outcome: preview.outcome.as_str(),
            reason: &preview.reason,
            request: preview.request.as_ref(),
        };
        PreviewsDocument { ticks: previews.iter().map(entry).collect() }
    }
}

fn text(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
