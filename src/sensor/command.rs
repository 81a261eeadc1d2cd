//! What the command of a sensor asks for: JSON objects, one on a line of what it prints.
//!
//! | a line | means |
//! |---|---|
//! | `{"job": "process", "config": {..}, "partition": "..", "run_key": "..", "tags": {..}}` | a run of a job |
//! | `{"select": "+model", "partition": "latest"}` | assets are brought up to date |
//! | `{"run_key": "..", "config": {..}}` | what the sensor itself starts, with this |
//! | `{"cursor": ".."}` | what it is to find in `$GIORNATA_CURSOR` the next time |
//! | `{"skip": ".."}` | why there is nothing to do |

use serde_json::{Map, Value};

use super::Evaluation;
use crate::base::{RunRequest, Wanted};
use crate::defs::{Sensor, Starts};

/// What a line may say.
const KEYS: [&str; 9] =
    ["job", "select", "config", "partition", "run_key", "tags", "as_of", "cursor", "skip"];

/// What the lines ask for, and the new cursor if they say one. A line that is wrong is an error: then
/// nothing of it counts.
pub fn requests(sensor: &Sensor, lines: &str) -> Result<(Evaluation, Option<String>), String> {
    let (mut evaluation, mut cursor) = (Evaluation::default(), None);
    let mut reasons: Vec<String> = Vec::new();
    let lines = lines.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty());
    for (at, line) in lines {
        let wrong = |why: String| format!("line {} of what it printed: {why}", at + 1);
        let Ok(Value::Object(mut line)) = serde_json::from_str::<Value>(line) else {
            return Err(wrong("it is no JSON object".to_owned()));
        };
        if let Some(unknown) = line.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(wrong(format!(
                "there is no key `{unknown}`; known are {}",
                KEYS.join(", ")
            )));
        }
        let text = |value: Value, key: &str| match value {
            Value::String(text) => Ok(text),
            _ => Err(wrong(format!("`{key}` must be a text"))),
        };
        let is_word = line.contains_key("cursor") || line.contains_key("skip");
        if let Some(value) = line.shift_remove("cursor") {
            cursor = Some(text(value, "cursor")?);
        }
        if let Some(value) = line.shift_remove("skip") {
            reasons.push(text(value, "skip")?);
        }
        // What is left of a line is about a run; a line that never said anything else is about one, too.
        if !line.is_empty() || !is_word {
            evaluation.requests.push(request(sensor, line).map_err(wrong)?);
        }
    }
    evaluation.reason = match reasons.is_empty() {
        false => reasons.join("; "),
        true if evaluation.requests.is_empty() => "it asked for nothing".to_owned(),
        true => "its command asked".to_owned(),
    };
    Ok((evaluation, cursor))
}

fn request(sensor: &Sensor, line: Map<String, Value>) -> Result<RunRequest, String> {
    let mut line = line;
    if !line.contains_key("job") && !line.contains_key("select") {
        match &sensor.starts {
            Starts::Job { job, config, partition } => {
                line.insert("job".to_owned(), job.as_str().into());
                if !config.is_null() && !line.contains_key("config") {
                    line.insert("config".to_owned(), config.clone());
                }
                or_declared(&mut line, partition.as_ref());
            }
            Starts::Assets { select, partition } => {
                line.insert("select".to_owned(), select.as_str().into());
                or_declared(&mut line, partition.as_ref());
            }
            Starts::Told => return Err("it has neither `job` nor `select`".to_owned()),
        }
    }
    let mut request: RunRequest =
        serde_json::from_value(Value::Object(line)).map_err(|error| error.to_string())?;
    if let Wanted::Assets { select, .. } = &request.what {
        crate::defs::Selection::parse(select).map_err(|error| error.to_string())?;
    }
    for (name, value) in &sensor.tags {
        request.tags.entry(name.clone()).or_insert_with(|| value.clone());
    }
    Ok(request)
}

fn or_declared(line: &mut Map<String, Value>, partition: Option<&String>) {
    if let (Some(partition), false) = (partition, line.contains_key("partition")) {
        line.insert("partition".to_owned(), partition.as_str().into());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::JobName;
    use crate::defs::{Origin, Trigger};
    use proptest::prelude::*;

    fn sensor(starts: Starts) -> Sensor {
        Sensor {
            name: JobName::parse("ask").unwrap(),
            origin: Origin { file: "a.yaml".into(), line: 1 },
            on: Trigger::Command { line: "./ask".to_owned() },
            starts,
            run_key: None,
            tags: [("team".to_owned(), "a".to_owned())].into(),
            interval: Duration::ZERO,
            timeout: Duration::ZERO,
            is_on: true,
            description: None,
        }
    }

    fn check(starts: Starts, lines: &str, expected: &str) {
        let found = match requests(&sensor(starts), lines) {
            Err(error) => error,
            Ok((evaluation, cursor)) => {
                let requests = serde_json::to_string(&evaluation.requests).unwrap();
                format!("{requests} {} {}", evaluation.reason, cursor.unwrap_or_default())
            }
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn lines_are_requests_reasons_and_a_cursor() {
        check(
            Starts::Told,
            "{\"job\": \"a\", \"run_key\": \"k\"}\n\n{\"cursor\": \"7\"}\n",
            r#"[{"run_key":"k","job":"a","tags":{"team":"a"}}] its command asked 7"#,
        );
        check(Starts::Told, r#"{"skip": "too early"}"#, "[] too early ");
        check(Starts::Told, "", "[] it asked for nothing ");
        let job = Starts::Job {
            job: JobName::parse("process").unwrap(),
            config: serde_json::json!({"x": 1}),
            partition: Some("latest".to_owned()),
        };
        check(
            job,
            r#"{"run_key": "k", "tags": {"team": "b"}}"#,
            r#"[{"run_key":"k","job":"process","config":{"x":1},"partition":"latest","tags":{"team":"b"}}] its command asked "#,
        );
    }

    #[test]
    fn a_line_that_is_wrong_is_told() {
        check(Starts::Told, "{}", "line 1 of what it printed: it has neither `job` nor `select`");
        check(Starts::Told, "\nhello", "line 2 of what it printed: it is no JSON object");
        check(
            Starts::Told,
            r#"{"jbo": "a"}"#,
            "line 1 of what it printed: there is no key `jbo`; known are job, select, config, partition, run_key, tags, as_of, cursor, skip",
        );
        check(
            Starts::Told,
            r#"{"cursor": 7}"#,
            "line 1 of what it printed: `cursor` must be a text",
        );
        assert!(requests(&sensor(Starts::Told), r#"{"select": "("}"#).is_err());
    }

    proptest! {
        #[test]
        fn junk_is_refused_and_not_stumbled_over(text in "(\\{|\\}|\"job\"|\"a\"|:|,|\n|\\PC){0,20}") {
            let _ = requests(&sensor(Starts::Told), &text);
        }
    }
}
