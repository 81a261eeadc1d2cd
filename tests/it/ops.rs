//! Runs what `cargo bench --bench ops` times, with few ops: each runs once, and the values are right.

#[path = "../../benches/ops/scenario.rs"]
mod scenario;

use giornata::api::{Job, StepState};

const FEW: usize = 20;

#[track_caller]
fn check(job: &Job, ops: usize, last: &str, value: i64) {
    let result = job.execute_in_process().unwrap();
    assert!(result.is_success());
    assert_eq!(result.ran().len(), ops);
    assert!(result.steps().all(|(_, state)| state == StepState::Success));
    assert_eq!(result.value::<i64>(last).unwrap(), value);
}

#[test]
fn the_benched_jobs_run_each_op_once() {
    check(&scenario::chain(FEW), 20, "add_one_19", 20);
    check(&scenario::fan(FEW), 20, "sum", 2 * 18);
    check(&scenario::map(FEW), 20, "sum", 2 * 18);
}

#[test]
fn the_benched_jobs_run_each_op_once_on_the_store() {
    for (name, job) in
        [("chain", scenario::chain(FEW)), ("fan", scenario::fan(FEW)), ("map", scenario::map(FEW))]
    {
        let mut stored = scenario::stored(job);
        let report = stored.run(name);
        assert_eq!((report.ran.len(), report.summary.succeeded), (FEW, FEW as u64), "{name}");
        assert!(report.is_success() && report.warnings.is_empty(), "{report:?}");
    }
}

#[test]
fn a_job_of_ten_thousand_ops_runs_each_once() {
    check(&scenario::chain(scenario::OPS), 10_000, "add_one_9999", 10_000);
    check(&scenario::fan(scenario::OPS), 10_000, "sum", 2 * 9_998);
    check(&scenario::map(scenario::OPS), 10_000, "sum", 2 * 9_998);
}
