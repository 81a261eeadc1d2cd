//! What sensors, schedules and automation ask for, and what is recorded of their ticks.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{JobName, RunId};

/// What starts runs by itself: a declared sensor or schedule, or the automation of an asset.
///
/// ```
/// use giornata::base::{Instigator, InstigatorKind, JobName};
/// let inbox = Instigator::new(InstigatorKind::Sensor, &JobName::parse("inbox")?);
/// assert_eq!(inbox.to_string(), "sensor inbox");
/// # Ok::<(), giornata::base::InvalidName>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instigator {
    pub kind: InstigatorKind,
    pub name: Arc<str>,
}

/// The kinds of what starts runs by itself; names are unique within a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstigatorKind {
    Sensor,
    Schedule,
    /// Of an asset, by whose name it goes.
    Automation,
}

impl InstigatorKind {
    pub const ALL: [InstigatorKind; 3] =
        [InstigatorKind::Sensor, InstigatorKind::Schedule, InstigatorKind::Automation];

    pub fn as_str(self) -> &'static str {
        match self {
            InstigatorKind::Sensor => "sensor",
            InstigatorKind::Schedule => "schedule",
            InstigatorKind::Automation => "automation",
        }
    }
}

impl Instigator {
    pub fn new(kind: InstigatorKind, name: &JobName) -> Instigator {
        Instigator { kind, name: name.as_str().into() }
    }
}

impl fmt::Display for Instigator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.name)
    }
}

/// A run that a tick asks for; as JSON it is what the store keeps, and what the command of a sensor
/// prints, one on a line.
///
/// ```
/// use giornata::base::{RunRequest, Wanted};
/// let line = r#"{"run_key": "a.csv:1", "job": "process", "config": {"file": "a.csv"}}"#;
/// let request: RunRequest = serde_json::from_str(line)?;
/// assert_eq!(request.run_key.as_deref(), Some("a.csv:1"));
/// assert!(matches!(request.what, Wanted::Job { job, .. } if job.as_str() == "process"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRequest {
    /// At most one run for each key of one sensor or schedule, ever; without one each request is a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_key: Option<String>,
    #[serde(flatten)]
    pub what: Wanted,
    /// Labels of the run.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Words such as `latest` are about this moment; `None`: about that in which it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<DateTime<Utc>>,
    /// With the partition `latest`: so many before it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub back: u32,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What a run is to be about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Wanted {
    Job {
        job: JobName,
        /// Over the job's own values; null: none.
        #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
        config: serde_json::Value,
        /// A key, or an expression where the job selects assets.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        partition: Option<String>,
    },
    /// Assets are brought up to date.
    Assets {
        select: String,
        /// An expression as after `-p`; `None`: all partitions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        partition: Option<String>,
    },
}

/// A run as a sensor on runs sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenRun {
    pub id: RunId,
    /// `running`, or how it ended.
    pub state: String,
    pub job: Option<String>,
    pub partition: Option<String>,
    /// That sensor has asked for it.
    pub is_own: bool,
}

/// How a tick ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TickOutcome {
    /// It asked for runs, or for such as were asked for before.
    Requested,
    /// It had no reason to; which, is said.
    Skipped,
    Failed,
}

impl TickOutcome {
    pub const ALL: [TickOutcome; 3] =
        [TickOutcome::Requested, TickOutcome::Skipped, TickOutcome::Failed];

    pub fn as_str(self) -> &'static str {
        match self {
            TickOutcome::Requested => "requested",
            TickOutcome::Skipped => "skipped",
            TickOutcome::Failed => "failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_it_is_written() {
        let lines = [
            r#"{"job":"process","partition":"2024-01-01","tags":{"team":"a"}}"#,
            r#"{"run_key":"k","select":"+model","partition":"latest"}"#,
            r#"{"select":"*"}"#,
            r#"{"select":"*","partition":"latest","as_of":"2024-03-10T07:00:00Z","back":1}"#,
        ];
        for line in lines {
            let request: RunRequest = serde_json::from_str(line).unwrap();
            assert_eq!(serde_json::to_string(&request).unwrap(), line);
        }
        for wrong in [r#"{}"#, r#"{"job":"a//b"}"#, r#"{"partition":"x"}"#] {
            assert!(serde_json::from_str::<RunRequest>(wrong).is_err(), "{wrong}");
        }
    }
}
