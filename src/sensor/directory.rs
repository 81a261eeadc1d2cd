//! What a directory sensor asks for: a request for each file that came, changed or went.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Evaluation;
use crate::base::{Digest, RunRequest};
use crate::cas::stat::StatEntry;
use crate::defs::template::{self, TemplateError};
use crate::defs::{DirectoryDef, FileEvent, Sensor};

/// What a run is the same by, where nothing else is said.
const RUN_KEY: &str = "{path}:{hash}";

/// A file as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFile {
    /// As the pattern writes it; one that is no UTF-8 has no text.
    pub path: PathBuf,
    /// What the captures of the pattern stand for.
    pub captures: BTreeMap<String, String>,
    pub entry: StatEntry,
}

/// A file to which something has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    pub event: FileEvent,
    pub path: PathBuf,
    pub captures: BTreeMap<String, String>,
    /// Of the content; of a file that is gone, the last that is known.
    pub digest: Digest,
    pub size_bytes: u64,
}

/// What has happened between two states: files by path, as they were known and as they are found. Where
/// the content is the same nothing has.
pub fn changes(
    known: &BTreeMap<PathBuf, StatEntry>,
    found: &BTreeMap<PathBuf, FoundFile>,
) -> Vec<FileChange> {
    let change = |event, path: &Path, captures: &BTreeMap<String, String>, entry: &StatEntry| {
        let (digest, size_bytes) = (entry.digest, entry.stat.size);
        FileChange { event, path: path.to_owned(), captures: captures.clone(), digest, size_bytes }
    };
    let mut changes = Vec::new();
    for (path, file) in found {
        let event = match known.get(path) {
            None => FileEvent::New,
            Some(known) if known.digest != file.entry.digest => FileEvent::Changed,
            Some(_) => continue,
        };
        changes.push(change(event, path, &file.captures, &file.entry));
    }
    for (path, entry) in known.iter().filter(|(path, _)| !found.contains_key(*path)) {
        changes.push(change(FileEvent::Removed, path, &BTreeMap::new(), entry));
    }
    changes
}

/// The requests of a sensor for what has happened.
///
/// A name that is no UTF-8 cannot be handed to a run, and is told as a fault.
pub fn requests(sensor: &Sensor, def: &DirectoryDef, changes: &[FileChange]) -> Evaluation {
    let mut evaluation = Evaluation::default();
    let mut counts: BTreeMap<FileEvent, u64> = BTreeMap::new();
    for change in changes.iter().filter(|change| def.events.contains(&change.event)) {
        *counts.entry(change.event).or_default() += 1;
        match request(sensor, change) {
            Ok(request) => evaluation.requests.push(request),
            Err(fault) => evaluation.faults.push(fault),
        }
    }
    let part = |(event, count): (FileEvent, u64)| {
        let files = if count == 1 { "file" } else { "files" };
        format!("{count} {} {files}", event.as_str())
    };
    evaluation.reason = counts.into_iter().map(part).collect::<Vec<_>>().join(", ");
    evaluation
}

fn request(sensor: &Sensor, change: &FileChange) -> Result<RunRequest, String> {
    let shown = change.path.display();
    let Some(path) = change.path.to_str() else {
        return Err(format!("the name of `{shown}` is not UTF-8, so that no run can be told it"));
    };
    let word = |name: &str, _: Option<&str>| word(change, path, name);
    let wrong = |error: TemplateError| format!("`{shown}`: {error}");
    let what = super::wanted(&sensor.starts, &word).map_err(wrong)?;
    let what = what.ok_or_else(|| format!("sensor `{}` starts nothing", sensor.name))?;
    let write = |text: &str| template::write(text, &word).map_err(wrong);
    let run_key = match (change.event, &sensor.run_key) {
        (_, Some(key)) => Some(write(key)?),
        (FileEvent::New | FileEvent::Changed, None) => Some(write(RUN_KEY)?),
        // A file may go, come and go again as it was.
        (FileEvent::Removed, None) => None,
    };
    let tags = super::labels(&sensor.tags, &word).map_err(wrong)?;
    Ok(RunRequest { run_key, what, tags, as_of: None, back: 0 })
}

fn word(change: &FileChange, path: &str, name: &str) -> Option<String> {
    if let Some(value) = change.captures.get(name) {
        return Some(value.clone());
    }
    let part = |part: Option<&std::ffi::OsStr>| {
        part.and_then(|part| part.to_str()).unwrap_or_default().to_owned()
    };
    let full = Path::new(path);
    Some(match name {
        "path" => path.to_owned(),
        "name" => part(full.file_name()),
        "stem" => part(full.file_stem()),
        "ext" => part(full.extension()),
        "dir" => part(full.parent().map(Path::as_os_str)),
        "hash" => change.digest.to_string(),
        "size" => change.size_bytes.to_string(),
        "event" => change.event.as_str().to_owned(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::JobName;
    use crate::cas::stat::StatKey;
    use crate::defs::{Origin, PathPattern, Ready, Starts, Trigger};
    use proptest::prelude::*;

    fn entry(content: &str) -> StatEntry {
        let stat = StatKey { size: content.len() as u64, ..StatKey::default() };
        StatEntry { stat, digest: Digest::of_blob(content.as_bytes()), taken_ns: 0 }
    }

    fn found(path: &str, content: &str) -> (PathBuf, FoundFile) {
        let captures = BTreeMap::new();
        let file = FoundFile { path: path.into(), captures, entry: entry(content) };
        (path.into(), file)
    }

    fn sensor(events: &[FileEvent], run_key: Option<&str>) -> (Sensor, DirectoryDef) {
        let def = DirectoryDef {
            pattern: PathPattern::parse("in/*.csv").unwrap(),
            recursive: false,
            ignore: Vec::new(),
            settle: Duration::ZERO,
            ready: Ready::Closed,
            events: events.iter().copied().collect(),
        };
        let sensor = Sensor {
            name: JobName::parse("inbox").unwrap(),
            origin: Origin { file: "a.yaml".into(), line: 1 },
            on: Trigger::Directory(def.clone()),
            starts: Starts::Job {
                job: JobName::parse("process").unwrap(),
                config: serde_json::json!({"file": "{path}", "of": ["{stem}", "{event}"]}),
                partition: Some("{stem}".to_owned()),
            },
            run_key: run_key.map(str::to_owned),
            tags: [("from".to_owned(), "{dir}".to_owned())].into(),
            interval: Duration::ZERO,
            timeout: Duration::ZERO,
            is_on: true,
            description: None,
        };
        (sensor, def)
    }

    #[test]
    fn a_request_knows_its_file() {
        let (sensor, def) = sensor(&FileEvent::ALL, None);
        let changes = changes(&BTreeMap::new(), &[found("in/a.csv", "1")].into());
        let evaluation = requests(&sensor, &def, &changes);
        assert_eq!(evaluation.reason, "1 new file");
        let text = serde_json::to_string(&evaluation.requests[0]).unwrap();
        let hash = Digest::of_blob(b"1");
        let expected = format!(
            r#"{{"run_key":"in/a.csv:{hash}","job":"process","config":{{"file":"in/a.csv","of":["a","new"]}},"partition":"a","tags":{{"from":"in"}}}}"#
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn only_the_events_that_count_are_asked_for() {
        let known = [("in/a".into(), entry("1")), ("in/b".into(), entry("1"))].into();
        let now = [found("in/b", "2"), found("in/c", "1")].into();
        let changes = changes(&known, &now);
        for (events, reason) in [
            (&FileEvent::ALL[..], "1 new file, 1 changed file, 1 removed file"),
            (&[FileEvent::Removed], "1 removed file"),
        ] {
            let (sensor, def) = sensor(events, None);
            assert_eq!(requests(&sensor, &def, &changes).reason, reason);
        }
    }

    #[test]
    fn a_name_that_is_no_text_is_a_fault() {
        use std::os::unix::ffi::OsStrExt;
        let path = PathBuf::from(std::ffi::OsStr::from_bytes(b"in/\xff.csv"));
        let file = FoundFile { path: path.clone(), captures: BTreeMap::new(), entry: entry("1") };
        let (sensor, def) = sensor(&FileEvent::ALL, None);
        let changes = changes(&BTreeMap::new(), &[(path, file)].into());
        let evaluation = requests(&sensor, &def, &changes);
        assert!(evaluation.requests.is_empty());
        assert!(evaluation.faults[0].contains("is not UTF-8"), "{:?}", evaluation.faults);
    }

    fn files() -> impl Strategy<Value = BTreeMap<PathBuf, FoundFile>> {
        let file = (0..5_u8, 0..3_u8);
        proptest::collection::vec(file, 0..6).prop_map(|files| {
            files.into_iter().map(|(n, c)| found(&format!("in/{n}"), &c.to_string())).collect()
        })
    }

    proptest! {
        /// Whatever states lay between, who looks at the last one knows of each file of it.
        #[test]
        fn step_by_step_all_that_is_there_was_asked_for(states in proptest::collection::vec(files(), 1..5)) {
            let (sensor, def) = sensor(&[FileEvent::New, FileEvent::Changed], None);
            let mut known = BTreeMap::new();
            let mut keys = std::collections::BTreeSet::new();
            for state in &states {
                let evaluation = requests(&sensor, &def, &changes(&known, state));
                keys.extend(evaluation.requests.into_iter().filter_map(|request| request.run_key));
                known = state.iter().map(|(path, file)| (path.clone(), file.entry)).collect();
            }
            let last = states.last().unwrap();
            let at_once = requests(&sensor, &def, &changes(&BTreeMap::new(), last));
            for request in at_once.requests {
                prop_assert!(keys.contains(&request.run_key.unwrap()));
            }
        }
    }
}
