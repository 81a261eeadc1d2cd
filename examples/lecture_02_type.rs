//! A type of the program's: a name and a predicate, checked where an op takes a value.

use std::io::Write;

use giornata::api::{BoxError, Kind, job, op};

pub fn run(out: &mut dyn Write) -> Result<(), BoxError> {
    let my_type = Kind::<i64>::new("MyType", |value| value % 2 == 0);
    let my_typed_input_op = op("my_typed_input_op").input_that("abc", &my_type).run(|_, _| Ok(()));

    for number in [4, 3] {
        let give = op("give").run(move |_| Ok(number));
        let typed = job("typed").define(|g| {
            let abc = give.call(g);
            my_typed_input_op.call(g, abc);
        });
        let result = typed.execute_in_process()?;
        match result.failure("my_typed_input_op") {
            None => writeln!(out, "{number} is a {}", my_type.name())?,
            Some(failure) => writeln!(out, "{failure}")?,
        }
    }
    Ok(())
}

fn main() -> Result<(), BoxError> {
    run(&mut std::io::stdout().lock())
}
