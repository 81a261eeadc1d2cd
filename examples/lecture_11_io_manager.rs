//! A job whose values go from op to op through an IO manager: files in a directory.

use std::io::Write;

use giornata::api::{BoxError, Io, Launch, job, op};

pub fn run(out: &mut dyn Write) -> Result<(), BoxError> {
    let dir = tempfile::tempdir()?;
    let op_1 = op("op_1").run(|_| Ok(1_i64));
    let op_2 = op("op_2").input::<i64>("a").run(|_, a| Ok(a + 1));

    let my_job = job("my_job").io(&Io::files("out")).define(|g| {
        op_2.call(g, op_1.call(g));
    });
    let result = my_job.execute(&Launch::new().root(dir.path()))?;
    for file in ["op_1+result.json", "op_2+result.json"] {
        let text = std::fs::read_to_string(dir.path().join("out/my_job").join(file))?;
        writeln!(out, "{file}: {text}")?;
    }
    writeln!(out, "op_2: {}", result.value::<i64>("op_2")?)?;
    Ok(())
}

fn main() -> Result<(), BoxError> {
    run(&mut std::io::stdout().lock())
}
