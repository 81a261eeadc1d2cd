//! A project of many assets over the files of one source, with a partition that fails in each asset.
//!
//! Every asset has a partition for each file. The first asset reads the source, asset n reads the
//! assets n/2 and n/3, so that everything depends on the first; each step copies what it reads.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use giornata::base::{AssetKey, FixedClock, PartitionSet};
use giornata::engine::{Access, Engine, Options, RunOptions, Summary};
use giornata::exec::{Control, NoFunctions};
use giornata::load;
use giornata::plan::{Reach, Request};

/// The project in its directory.
pub struct Grid {
    pub root: PathBuf,
    pub assets: u32,
    pub partitions: u32,
    pub kind: Kind,
}

/// What is special about its assets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Partition n of asset n fails.
    Failing,
    /// Every result is exported to a file, and none fails.
    Exported,
}

impl Grid {
    /// Writes the declarations and the files of the source.
    pub fn write(root: &Path, assets: u32, partitions: u32, kind: Kind) -> Grid {
        for dir in ["assets", "raw"] {
            std::fs::create_dir_all(root.join(dir)).expect("a directory can be made");
        }
        let grid = Grid { root: root.to_owned(), assets, partitions, kind };
        grid.put("giornata.toml", "name = \"scale\"\n");
        grid.put("assets/sources.yaml", "sources:\n  raw: {files: \"raw/{name}.csv\"}\n");
        for asset in 0..assets {
            grid.declare(asset, "");
        }
        for part in 0..partitions {
            grid.put(&source_file(part), &format!("{part}\n"));
        }
        grid
    }

    /// Declares an asset; `more` is code that does nothing.
    pub fn declare(&self, asset: u32, more: &str) {
        let deps: Vec<String> = match upstream(asset).as_slice() {
            [] => vec!["raw".to_owned()],
            upstream => upstream.iter().map(|asset| name(*asset)).collect(),
        };
        let (own, first, deps) = (name(asset), &deps[0], deps.join(", "));
        let bad = partition(asset % self.partitions);
        let (guard, export) = match self.kind {
            Kind::Failing => (format!("test $GIORNATA_PARTITION != {bad} && "), String::new()),
            Kind::Exported => (String::new(), format!("    export: out/{own}/{{partition}}.txt\n")),
        };
        let text = format!(
            "assets:\n  {own}:\n    partitions: each(raw)\n    deps: [{deps}]\n    \
             run: {guard}cat ${first} > $output{more}\n    output: value.txt\n{export}"
        );
        self.put(&format!("assets/{own}.yaml"), &text);
    }

    /// Writes a file of the project.
    pub fn put(&self, path: &str, text: &str) {
        std::fs::write(self.root.join(path), text).expect("the project can be written");
    }

    /// Opens the project as a process of its own would.
    pub fn engine(&self) -> Engine {
        let mut engine = open(&self.root);
        self.refresh(&mut engine);
        engine
    }

    pub fn refresh(&self, engine: &mut Engine) {
        let everything = engine.planner().order().to_vec();
        let warnings = engine.refresh(&everything).expect("the sources can be read");
        assert!(warnings.is_empty(), "{warnings:?}");
    }

    /// The partitions of an asset that can be made: no failing one of this or an upstream asset.
    pub fn sound(&self, asset: u32) -> PartitionSet {
        let mut sound: PartitionSet = (0..self.partitions).collect();
        let (mut cone, mut place) = (vec![asset], 0);
        while self.kind == Kind::Failing
            && let Some(next) = cone.get(place).copied()
        {
            sound.remove(next % self.partitions);
            cone.extend(
                upstream(next).into_iter().filter(|up| !cone.contains(up)).collect::<Vec<_>>(),
            );
            place += 1;
        }
        sound.optimize();
        sound
    }

    /// Wants everything that can be made.
    pub fn request(&self) -> Request {
        let targets = (0..self.assets).map(|asset| (key(asset), self.sound(asset))).collect();
        Request { targets, reach: Reach::Upstream, force: false, chosen: BTreeMap::new() }
    }

    /// Wants everything, what fails again too.
    pub fn request_all(&self) -> Request {
        let mut all: PartitionSet = (0..self.partitions).collect();
        all.optimize();
        Request {
            targets: (0..self.assets).map(|asset| (key(asset), all.clone())).collect(),
            ..self.request()
        }
    }

    pub fn materialize(&self, engine: &mut Engine, request: &Request) -> Summary {
        let options = RunOptions { jobs: Some(2), ..RunOptions::default() };
        let summary = engine.materialize(request, &options, &Control::new(), &mut |_, _| {});
        summary.expect("the run can be carried out")
    }
}

/// Opens a project as a process of its own would, without a look at its sources.
pub fn open(root: &Path) -> Engine {
    let loaded = load::project(root).expect("the project loads");
    assert!(loaded.diagnostics.is_empty(), "{:?}", loaded.diagnostics);
    let options = Options {
        root: root.to_owned(),
        access: Access::Write,
        clock: Arc::new(FixedClock("2026-01-01T00:00:00Z".parse().expect("a time"))),
        env: std::env::vars_os().collect(),
        set: Vec::new(),
        functions: Arc::new(NoFunctions),
    };
    Engine::open(loaded.project, options).expect("the store opens")
}

/// What asset n reads; the first one reads the source.
pub fn upstream(asset: u32) -> Vec<u32> {
    let mut upstream = if asset == 0 { vec![] } else { vec![asset / 2, asset / 3] };
    upstream.dedup();
    upstream
}

pub fn name(asset: u32) -> String {
    format!("a{asset:04}")
}

pub fn key(asset: u32) -> AssetKey {
    AssetKey::parse(&name(asset)).expect("the name is one of an asset")
}

/// The key of a partition, in the order of the indexes.
pub fn partition(part: u32) -> String {
    format!("p{part:06}")
}

pub fn source_file(part: u32) -> String {
    format!("raw/{}.csv", partition(part))
}
