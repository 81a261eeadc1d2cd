//! A project of commands that do nothing.

use std::collections::BTreeMap;
use std::path::Path;

use giornata::base::AssetKey;
use giornata::engine::{Engine, RunOptions, Summary};
use giornata::exec::Control;
use giornata::plan::{Reach, Request};

/// An asset with a partition for each of `commands` days.
pub fn write(root: &Path, commands: u32) {
    std::fs::create_dir_all(root.join("assets")).expect("a directory can be made");
    let put = |path: &str, text: &str| {
        std::fs::write(root.join(path), text).expect("the project can be written");
    };
    put("giornata.toml", "name = \"commands\"\n");
    let start: chrono::NaiveDate = "1990-01-01".parse().expect("a day");
    let end = start + chrono::Days::new(commands.into());
    let text = format!(
        "assets:\n  nothing:\n    partitions: {{daily: {{start: {start}, end: {end}}}}}\n    \
         run: ': > \"$output\"'\n    output: nothing.txt\n"
    );
    put("assets/nothing.yaml", &text);
}

/// Runs everything in this process.
pub fn run(engine: &mut Engine) -> Summary {
    let request = request(engine, u32::MAX);
    materialize(engine, &request)
}

/// Wants the first `most` days.
pub fn request(engine: &Engine, most: u32) -> Request {
    let key = AssetKey::parse("nothing").expect("a name");
    let days = engine.planner().domain(&key).all().iter().take(most as usize).collect();
    Request {
        targets: [(key, days)].into(),
        reach: Reach::Upstream,
        force: false,
        chosen: BTreeMap::new(),
    }
}

/// Makes what is wanted in this process.
pub fn materialize(engine: &mut Engine, request: &Request) -> Summary {
    let options = RunOptions { jobs: Some(2), ..RunOptions::default() };
    let summary = engine.materialize(request, &options, &Control::new(), &mut |_, _| {});
    summary.expect("the run can be carried out")
}
