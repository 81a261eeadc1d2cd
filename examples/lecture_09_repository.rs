//! A repository: assets and jobs under one name, with every command of the command line.
//!
//! `cargo run --example lecture_09_repository -- list` names them, `-- m --all` makes the assets.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use giornata::api::{BoxError, Project, job, op};

fn my_repository(root: &Path) -> Project {
    let mut project = Project::new("my_repository", root);
    let asset1 = project.asset("asset1").compute(|_| Ok("1".to_owned()));
    let asset2 =
        project.asset("asset2").input(&asset1).compute(|_, asset1| Ok(format!("{asset1} 2")));
    project.asset("asset3").input(&asset2).compute(|_, asset2| Ok(format!("{asset2} 3")));
    let do_something = op("do_something").run(|_| Ok(()));
    project.job(job("job3").define(|g| {
        do_something.call(g);
    }));
    project
}

pub fn run(out: &mut dyn Write) -> Result<(), BoxError> {
    let repository = my_repository(Path::new(".")).resolve(Path::new("."))?.project;
    let assets: Vec<&str> = repository.assets.keys().map(|key| key.as_str()).collect();
    let jobs: Vec<&str> = repository.jobs.keys().map(|name| name.as_str()).collect();
    writeln!(out, "{}: assets {}; jobs {}", repository.name, assets.join(", "), jobs.join(", "))?;
    Ok(())
}

fn main() -> ExitCode {
    giornata::cli::main_with(my_repository(Path::new(".")))
}
