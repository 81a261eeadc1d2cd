//! The configuration of an op: a schema, values that are judged before anything runs, and the log.

use std::io::Write;

use giornata::api::{BoxError, Launch, job, op};
use serde_json::json;

pub fn run(out: &mut dyn Write) -> Result<(), BoxError> {
    let context_op = op("context_op").config(json!({"name": "string"})).run(|ctx| {
        let name: String = ctx.setting("name")?;
        ctx.log().info(format!("My name is {name}"));
        Ok(())
    });

    let context = job("context").define(|g| {
        context_op.call(g);
    });
    let result = context.execute(&Launch::new().config(json!({"context_op": {"name": "Ada"}})))?;
    for line in result.log() {
        writeln!(out, "{}: {}", line.step, line.text)?;
    }
    if let Err(error) = context.execute(&Launch::new().config(json!({"context_op": {"name": 3}}))) {
        writeln!(out, "{error}")?;
    }
    Ok(())
}

fn main() -> Result<(), BoxError> {
    run(&mut std::io::stdout().lock())
}
