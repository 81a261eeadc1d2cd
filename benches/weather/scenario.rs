//! The weather project in a directory of its own, for the bench and for the test of its counts.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use giornata::base::FixedClock;
use giornata::engine::{Access, Engine, Options, RunOptions, Summary, Work};
use giornata::exec::{Control, NoFunctions};
use giornata::load;
use giornata::plan::{Reach, Request};

/// A copy of the repository's own project.
pub struct Weather {
    dir: tempfile::TempDir,
}

impl Weather {
    pub fn new() -> Weather {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        std::fs::copy(root.join("giornata.toml"), dir.path().join("giornata.toml"))
            .expect("the project file can be copied");
        copy(&root.join("assets"), &dir.path().join("assets"));
        Weather { dir }
    }

    /// Makes everything fresh as a process of its own would: opens the project and the store anew.
    pub fn materialize(&self) -> (Summary, Work) {
        let loaded = load::project(self.dir.path()).expect("the project loads");
        assert!(loaded.diagnostics.is_empty(), "{:?}", loaded.diagnostics);
        let options = Options {
            root: self.dir.path().to_owned(),
            access: Access::Write,
            clock: Arc::new(FixedClock("2026-01-01T00:00:00Z".parse().expect("a time"))),
            env: std::env::vars_os().collect(),
            set: Vec::new(),
            functions: Arc::new(NoFunctions),
        };
        let mut engine = Engine::open(loaded.project, options).expect("the store opens");
        let targets: Vec<_> = engine.planner().order().to_vec();
        engine.refresh(&targets).expect("the sources can be read");
        let planner = engine.planner();
        let targets = targets.into_iter().filter(|key| !planner.def(key).is_source());
        let targets = targets.map(|key| (key.clone(), planner.domain(&key).all().clone()));
        let request = Request {
            targets: targets.collect(),
            chosen: Default::default(),
            reach: Reach::Upstream,
            force: false,
        };
        let summary = engine
            .materialize(&request, &RunOptions::default(), &Control::new(), &mut |_, _| {})
            .expect("the run can be carried out");
        (summary, engine.work())
    }

    fn csv(&self) -> PathBuf {
        self.dir.path().join("assets/data/seattle-weather.csv")
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.csv()).expect("the data can be read")
    }

    /// The row of a day.
    pub fn row(&self, date: &str) -> String {
        let text = self.text();
        text.lines().find(|line| line.starts_with(date)).expect("the day is there").to_owned()
    }

    /// Gives a day another row.
    pub fn set_row(&self, date: &str, values: &str) {
        let text = self.text().replace(&self.row(date), &format!("{date},{values}"));
        std::fs::write(self.csv(), text).expect("the data can be written");
    }

    /// Puts all rows in their place again, in a file that was written anew.
    pub fn rewrite(&self) {
        std::fs::write(self.csv(), self.text()).expect("the data can be written");
    }

    fn sql(&self, asset: &str) -> PathBuf {
        self.dir.path().join(format!("assets/{asset}.sql"))
    }

    /// Replaces a piece of an asset's file; gives what the file was.
    pub fn edit_sql(&self, asset: &str, from: &str, to: &str) -> String {
        let old = std::fs::read_to_string(self.sql(asset)).expect("the asset can be read");
        assert!(old.contains(from), "{asset} has {from:?}");
        self.write_sql(asset, &old.replacen(from, to, 1));
        old
    }

    pub fn write_sql(&self, asset: &str, text: &str) {
        std::fs::write(self.sql(asset), text).expect("the asset can be written");
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("the directory can be made");
    for entry in std::fs::read_dir(from).expect("the directory can be read") {
        let path = entry.expect("the directory can be read").path();
        let target = to.join(path.file_name().expect("an entry has a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).expect("the file can be copied");
        }
    }
}
