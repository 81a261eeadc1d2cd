//! An op: a function as a step, whose output has the type that the function gives.

use std::io::Write;

use giornata::api::{BoxError, job, op};

pub fn run(out: &mut dyn Write) -> Result<(), BoxError> {
    let return_annotation_op = op("return_annotation_op").run(|_| Ok(5_i64));

    let one_op = job("one_op").define(|g| {
        return_annotation_op.call(g);
    });
    let result = one_op.execute_in_process()?;
    writeln!(out, "return_annotation_op: {}", result.value::<i64>("return_annotation_op")?)?;
    Ok(())
}

fn main() -> Result<(), BoxError> {
    run(&mut std::io::stdout().lock())
}
