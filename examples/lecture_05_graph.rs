//! A graph: ops wired to each other. An edge of another type does not compile.

use std::io::Write;

use giornata::api::{BoxError, graph, job, op};

pub fn run(out: &mut dyn Write) -> Result<(), BoxError> {
    let return_one = op("return_one").run(|_| Ok(1_i64));
    let add_one = op("add_one").input::<i64>("number").run(|_, number| Ok(number + 1));
    let adder = op("adder").input::<i64>("a").input::<i64>("b").run(|_, a, b| Ok(a + b));

    let inputs_and_outputs = graph("inputs_and_outputs").define(|g| {
        let value = return_one.call(g);
        let a = add_one.call(g, value);
        let b = add_one.call(g, value);
        adder.call(g, a, b)
    });

    let simple = job("simple").define(|g| {
        inputs_and_outputs.call(g);
    });
    let result = simple.execute_in_process()?;
    writeln!(out, "ran: {}", result.ran().join(", "))?;
    writeln!(out, "adder: {}", result.value::<i64>("inputs_and_outputs.adder")?)?;
    Ok(())
}

fn main() -> Result<(), BoxError> {
    run(&mut std::io::stdout().lock())
}
