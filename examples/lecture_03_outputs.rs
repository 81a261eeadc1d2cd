//! Several outputs: the function gives a tuple, and each output has a name and a type.

use std::io::Write;

use giornata::api::{BoxError, job, op};

pub fn run(out: &mut dyn Write) -> Result<(), BoxError> {
    let my_multiple_output_annotation_op = op("my_multiple_output_annotation_op")
        .output::<i64>("int_output")
        .output::<String>("str_output")
        .run(|_| Ok((5, "foo".to_owned())));
    let repeat = op("repeat")
        .input::<String>("text")
        .input::<i64>("times")
        .run(|_, text, times| Ok(text.repeat(times.try_into()?)));

    let multiple = job("multiple").define(|g| {
        let (times, text) = my_multiple_output_annotation_op.call(g);
        repeat.call(g, text, times);
    });
    let result = multiple.execute_in_process()?;
    writeln!(out, "emitted: {}", result.emitted("my_multiple_output_annotation_op").join(", "))?;
    writeln!(out, "repeat: {}", result.value::<String>("repeat")?)?;
    Ok(())
}

fn main() -> Result<(), BoxError> {
    run(&mut std::io::stdout().lock())
}
