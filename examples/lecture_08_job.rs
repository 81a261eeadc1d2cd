//! A job with a default configuration, run in this process.

use std::io::Write;

use giornata::api::{BoxError, Launch, job, op};
use serde_json::json;

pub fn run(out: &mut dyn Write) -> Result<(), BoxError> {
    let do_something = op("do_something").config(json!({"config_param": "string"})).run(|ctx| {
        let config_param: String = ctx.setting("config_param")?;
        ctx.log().info(format!("config_param: {config_param}"));
        Ok(())
    });

    let do_it_all_with_default_config = job("do_it_all_with_default_config")
        .values(json!({"do_something": {"config_param": "stuff"}}))
        .define(|g| {
            do_something.call(g);
        });
    let default = do_it_all_with_default_config.execute_in_process()?;
    let other = Launch::new().set("do_something.config_param=other");
    let other = do_it_all_with_default_config.execute(&other)?;
    for line in default.log().iter().chain(other.log()) {
        writeln!(out, "{}", line.text)?;
    }
    Ok(())
}

fn main() -> Result<(), BoxError> {
    run(&mut std::io::stdout().lock())
}
