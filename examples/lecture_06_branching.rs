//! Branching: an output that is not given skips what reads it.

use std::io::Write;

use giornata::api::{BoxError, job, op};

pub fn run(out: &mut dyn Write) -> Result<(), BoxError> {
    for num in [0, 1] {
        let branching_op = op("branching_op")
            .optional::<i64>("branch_1")
            .optional::<i64>("branch_2")
            .run(move |_| Ok(if num == 0 { (Some(1), None) } else { (None, Some(2)) }));
        let branch_1_op = op("branch_1_op").input::<i64>("input").run(|_, _| Ok(()));
        let branch_2_op = op("branch_2_op").input::<i64>("input").run(|_, _| Ok(()));

        let branching = job("branching").define(|g| {
            let (branch_1, branch_2) = branching_op.call(g);
            branch_1_op.call(g, branch_1);
            branch_2_op.call(g, branch_2);
        });
        for (step, state) in branching.execute_in_process()?.steps() {
            writeln!(out, "{num}: {step} {state}")?;
        }
    }
    Ok(())
}

fn main() -> Result<(), BoxError> {
    run(&mut std::io::stdout().lock())
}
