//! An op that uses a resource, and a test that puts another one in its place.

use std::io::Write;

use giornata::api::{BoxError, Launch, Resource, Warehouse, job, op};

const CREATE_TABLE_1_QUERY: &str = "CREATE TABLE table_1 AS SELECT * FROM table_0";

pub fn run(out: &mut dyn Write) -> Result<(), BoxError> {
    let dir = tempfile::tempdir()?;
    let own = Warehouse::open(&dir.path().join("database.db"))?;
    own.execute("CREATE TABLE table_0 (n INTEGER); INSERT INTO table_0 VALUES (1), (2)")?;

    let database = Resource::sqlite("database", "database.db");
    let uses = database.clone();
    let op_requires_resources = op("op_requires_resources").uses(&database).run(move |ctx| {
        ctx.resource(&uses)?.execute(CREATE_TABLE_1_QUERY)?;
        Ok(())
    });
    let my_job = job("my_job").define(|g| {
        op_requires_resources.call(g);
    });
    my_job.execute(&Launch::new().root(dir.path()))?;
    writeln!(out, "rows of table_1: {}", own.query("SELECT * FROM table_1", &[])?.rows.len())?;

    let empty = Warehouse::open(&dir.path().join("empty.db"))?;
    let result = my_job.execute(&Launch::new().with(&database, empty))?;
    let failure = result.failure("op_requires_resources").ok_or("there is no table_0")?;
    // After the database that it is about.
    let reason = failure.text.split(": ").nth(2).unwrap_or_default();
    writeln!(out, "not in the other database: {reason}")?;
    Ok(())
}

fn main() -> Result<(), BoxError> {
    run(&mut std::io::stdout().lock())
}
