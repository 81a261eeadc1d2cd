//! Sensors: what is looked at, and which runs that asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::{Origin, PathPattern, Selection};
use crate::base::{AssetKey, JobName};

/// One declared sensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Sensor {
    /// Of the form of a job's; sensors have a name space of their own.
    pub name: JobName,
    pub origin: Origin,
    pub on: Trigger,
    pub starts: Starts,
    /// Which runs are the same, as a [template](super::template); `None`: what the trigger says by itself.
    pub run_key: Option<String>,
    /// Labels of its runs; the values are templates.
    pub tags: BTreeMap<String, String>,
    /// It is not evaluated more often than this.
    pub interval: Duration,
    /// How long an evaluation may take.
    pub timeout: Duration,
    /// Whether it is on unless somebody has switched it.
    pub is_on: bool,
    pub description: Option<String>,
}

/// What a sensor looks at.
#[derive(Debug, Clone, PartialEq)]
pub enum Trigger {
    /// Files, one request for each that is new, has changed or has gone.
    Directory(DirectoryDef),
    /// Results of assets.
    Assets(AssetsDef),
    /// Ends of runs.
    Runs(RunsDef),
    /// What a command prints: a run request as JSON on each line.
    Command {
        /// For `sh -c`.
        line: String,
    },
}

/// What files a sensor looks at, and when they are ready.
#[derive(Debug, Clone, PartialEq)]
pub struct DirectoryDef {
    pub pattern: PathPattern,
    /// What the last part of the pattern names is also looked for in every directory below.
    pub recursive: bool,
    /// Globs of paths that are left out: of names, or of whole paths if there is a `/` in them.
    pub ignore: Vec<String>,
    /// A file is left alone until nothing has happened to it for so long.
    pub settle: Duration,
    pub ready: Ready,
    pub events: BTreeSet<FileEvent>,
}

/// When a file is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ready {
    /// When it was closed or renamed to its name, where events tell; else when it rests for `settle`.
    Closed,
    /// When it was renamed to its name; what was there before the watching began is whole.
    Renamed,
    /// When size and times have not changed for so long.
    Stable(Duration),
    /// When a file of this name lies in its directory, or it has the name of the file with this ending.
    Marker(String),
}

/// What happens to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileEvent {
    New,
    /// Its content is another.
    Changed,
    Removed,
}

impl FileEvent {
    pub const ALL: [FileEvent; 3] = [FileEvent::New, FileEvent::Changed, FileEvent::Removed];

    pub fn as_str(self) -> &'static str {
        match self {
            FileEvent::New => "new",
            FileEvent::Changed => "changed",
            FileEvent::Removed => "removed",
        }
    }
}

/// Which results a sensor waits for.
#[derive(Debug, Clone, PartialEq)]
pub struct AssetsDef {
    pub assets: BTreeSet<AssetKey>,
    pub needs: Needs,
}

/// Of several, how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    Any,
    All,
}

/// Which ends of runs a sensor waits for.
#[derive(Debug, Clone, PartialEq)]
pub struct RunsDef {
    /// `success`, `failure`, `cancelled`, `interrupted`.
    pub states: BTreeSet<String>,
    /// Of these jobs; none: of any run that the sensor did not ask for itself.
    pub jobs: BTreeSet<JobName>,
}

/// What a sensor or a schedule starts.
#[derive(Debug, Clone, PartialEq)]
pub enum Starts {
    Job {
        job: JobName,
        /// Over the job's own values; texts in it are templates.
        config: Value,
        /// A template of one partition.
        partition: Option<String>,
    },
    Assets {
        select: Selection,
        /// A template of an expression as after `-p`.
        partition: Option<String>,
    },
    /// What the lines of its command say.
    Told,
}
