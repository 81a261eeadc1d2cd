//! A job that runs for one day at a time, and whose configuration follows from the day.

use std::io::Write;

use giornata::api::{BoxError, Launch, Partitions, job, op};
use serde_json::json;

pub fn run(out: &mut dyn Write) -> Result<(), BoxError> {
    let process_data_for_date =
        op("process_data_for_date").config(json!({"date": "string"})).run(|ctx| {
            let date: String = ctx.setting("date")?;
            ctx.log().info(format!("processing data for {date}"));
            Ok(())
        });

    let do_stuff_partitioned = job("do_stuff_partitioned")
        .partitions(Partitions::daily("2020-01-01"))
        .values(json!({"process_data_for_date": {"date": "{start:%Y-%m-%d}"}}))
        .define(|g| {
            process_data_for_date.call(g);
        });
    let do_stuff = job("do_stuff").define(|g| {
        process_data_for_date.call(g);
    });

    let mut results = Vec::new();
    // Runs for the past.
    for day in ["2020-01-05", "2020-01-06"] {
        results.push(do_stuff_partitioned.execute(&Launch::new().partition(day))?);
    }
    // Without partitions whoever launches it says the date.
    results.push(do_stuff.execute(&Launch::new().set("process_data_for_date.date=2020-01-07"))?);
    for line in results.iter().flat_map(|result| result.log()) {
        writeln!(out, "{}: {}", line.step, line.text)?;
    }
    Ok(())
}

fn main() -> Result<(), BoxError> {
    run(&mut std::io::stdout().lock())
}
