//! What a sensor on runs asks for: a request for each run that has ended as it waits for.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Evaluation;
use crate::base::{JobName, RunRequest, SeenRun};
use crate::defs::{RunsDef, Sensor, template};

/// What such a sensor knows of the runs that it has dealt with; JSON in the store. Runs end in another order than
/// they begin in, so those that went on are remembered by their numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RunsCursor {
    /// Runs from this number on are not known.
    pub next: u64,
    /// Runs before it that had not ended.
    pub open: BTreeSet<u64>,
}

/// The requests for what has ended since; `runs` are those that are open and those from `next` on.
pub fn requests(
    sensor: &Sensor,
    def: &RunsDef,
    cursor: &RunsCursor,
    runs: &[SeenRun],
) -> (Evaluation, RunsCursor) {
    let last = runs.iter().map(|run| run.id.0 + 1).max().unwrap_or(0);
    let open = runs.iter().filter(|run| run.state == "running").map(|run| run.id.0).collect();
    let after = RunsCursor { next: last.max(cursor.next), open };
    let mut evaluation = Evaluation::default();
    for run in runs.iter().filter(|run| is_meant(def, run)) {
        match request(sensor, run) {
            Ok(request) => evaluation.requests.push(request),
            Err(fault) => evaluation.faults.push(fault),
        }
    }
    let meant: Vec<String> = runs.iter().filter(|run| is_meant(def, run)).map(told).collect();
    evaluation.reason = match meant.as_slice() {
        [many @ .., last] if many.len() >= 3 => format!("{} runs, up to {last}", meant.len()),
        few => few.join(", "),
    };
    (evaluation, after)
}

fn told(run: &SeenRun) -> String {
    match &run.job {
        Some(job) => format!("run {} of {job}: {}", run.id, run.state),
        None => format!("run {}: {}", run.id, run.state),
    }
}

fn is_meant(def: &RunsDef, run: &SeenRun) -> bool {
    let is_of = |job: &JobName| run.job.as_deref() == Some(job.as_str());
    let is_of_jobs = match def.jobs.is_empty() {
        true => !run.is_own,
        false => def.jobs.iter().any(is_of),
    };
    def.states.contains(&run.state) && is_of_jobs
}

fn request(sensor: &Sensor, run: &SeenRun) -> Result<RunRequest, String> {
    let id = run.id.to_string();
    let word = |name: &str, _: Option<&str>| match name {
        "run" => Some(id.clone()),
        "state" => Some(run.state.clone()),
        "job" => Some(run.job.clone().unwrap_or_default()),
        "partition" => Some(run.partition.clone().unwrap_or_default()),
        _ => None,
    };
    let wrong = |error: template::TemplateError| error.to_string();
    let what = super::wanted(&sensor.starts, &word).map_err(wrong)?;
    let what = what.ok_or_else(|| format!("sensor `{}` starts nothing", sensor.name))?;
    let run_key = match &sensor.run_key {
        Some(text) => template::write(text, &word).map_err(wrong)?,
        None => id.clone(),
    };
    let tags = super::labels(&sensor.tags, &word).map_err(wrong)?;
    Ok(RunRequest { run_key: Some(run_key), what, tags, as_of: None, back: 0 })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::base::RunId;
    use crate::defs::{Origin, Starts, Trigger};
    use proptest::prelude::*;

    fn sensor(jobs: &[&str]) -> (Sensor, RunsDef) {
        let jobs = jobs.iter().map(|name| JobName::parse(name).unwrap()).collect();
        let def = RunsDef { states: ["failure".to_owned()].into(), jobs };
        let sensor = Sensor {
            name: JobName::parse("alarm").unwrap(),
            origin: Origin { file: "a.yaml".into(), line: 1 },
            on: Trigger::Runs(def.clone()),
            starts: Starts::Job {
                job: JobName::parse("ring").unwrap(),
                config: serde_json::json!({"why": "{run} {job} {state}"}),
                partition: None,
            },
            run_key: None,
            tags: BTreeMap::new(),
            interval: Duration::ZERO,
            timeout: Duration::ZERO,
            is_on: true,
            description: None,
        };
        (sensor, def)
    }

    fn run(id: u64, state: &str, job: Option<&str>) -> SeenRun {
        let job = job.map(str::to_owned);
        SeenRun { id: RunId(id), state: state.to_owned(), job, partition: None, is_own: id == 9 }
    }

    #[test]
    fn what_a_sensor_has_asked_for_itself_counts_where_its_job_is_named() {
        let runs = [run(8, "failure", Some("a")), run(9, "failure", Some("ring"))];
        for (jobs, expected) in [(&[][..], &["8"][..]), (&["ring"], &["9"])] {
            let (sensor, def) = sensor(jobs);
            let (evaluation, _) = requests(&sensor, &def, &RunsCursor::default(), &runs);
            let keys: Vec<_> =
                evaluation.requests.iter().filter_map(|it| it.run_key.as_deref()).collect();
            assert_eq!(keys, expected);
        }
    }

    proptest! {
        /// Runs begin in the order of their numbers and end in any: each failure is asked for once.
        #[test]
        fn each_end_is_seen_once(ends in proptest::collection::vec(0..6_u64, 8), looks in 1..6_u64) {
            let (sensor, def) = sensor(&[]);
            let (mut cursor, mut keys) = (RunsCursor::default(), Vec::new());
            for now in (0..12).filter(|now| now % looks == 0).chain([99]) {
                let begun = (0..8_u64).filter(|id| *id <= now);
                let state = |id: u64| if id + ends[id as usize] <= now { "failure" } else { "running" };
                let all: Vec<SeenRun> = begun.map(|id| run(id, state(id), None)).collect();
                let seen: Vec<SeenRun> = all
                    .into_iter()
                    .filter(|run| run.id.0 >= cursor.next || cursor.open.contains(&run.id.0))
                    .collect();
                let (evaluation, after) = requests(&sensor, &def, &cursor, &seen);
                cursor = after;
                keys.extend(evaluation.requests.into_iter().filter_map(|request| request.run_key));
            }
            keys.sort();
            prop_assert_eq!(keys, (0..8).map(|id: u64| id.to_string()).collect::<Vec<_>>());
        }
    }
}
