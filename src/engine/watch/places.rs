//! Where the files are that count: of definitions, of sources, of steps.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::super::listing;
use super::super::open::Engine;
use super::automation::Rule;
use crate::base::AssetKey;
use crate::cas::stat::StatKey;
use crate::defs::{Asset, Body, SourceDef};
use crate::load::PROJECT_FILE;
use crate::watch::{Batch, Root};

/// Variables for commands, beside those of the process.
const ENVIRONMENT_FILE: &str = ".env";

/// What is watched, and for the sake of which asset.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Of the files of definitions; beside them the files of the project itself.
    definitions: Vec<Root>,
    project_files: Vec<(PathBuf, Option<StatKey>)>,
    sources: BTreeMap<AssetKey, Root>,
    /// Directories of files that steps name, with the assets of these.
    files: BTreeMap<Root, BTreeSet<AssetKey>>,
    /// Commands of sources are asked again when everything is looked at.
    asked: BTreeSet<AssetKey>,
    /// Which files steps name is known only when they were looked at.
    steps: BTreeSet<AssetKey>,
}

impl Places {
    pub fn of(engine: &Engine, rule: &Rule, assets_dir: Option<&Path>, before: Places) -> Places {
        let mut places = Places::default();
        if let Some(dir) = assets_dir {
            places.definitions.push(Root { dir: engine.root.join(dir), depth: usize::MAX });
            places.definitions.push(Root { dir: engine.root.clone(), depth: 1 });
            // What it was when it was read last, not what it is now.
            places.project_files = before.project_files;
            if places.project_files.is_empty() {
                let files = [PROJECT_FILE, ENVIRONMENT_FILE].map(|name| engine.root.join(name));
                places.project_files.extend(files.map(|file| {
                    let stat = state(&file);
                    (file, stat)
                }));
            }
        }
        let all = || engine.project.assets.keys().cloned().collect();
        let cone: BTreeSet<AssetKey> = match rule {
            Rule::Eager(chosen) => {
                engine.upstream_cone(&chosen.iter().cloned().collect::<Vec<_>>())
            }
            Rule::AsDeclared => all(),
        };
        for key in &cone {
            let asset = &engine.project.assets[key];
            match place(engine, asset) {
                Place::At(root) => {
                    places.sources.insert(key.clone(), root);
                }
                Place::Asked => {
                    places.asked.insert(key.clone());
                }
                Place::Step => {
                    places.steps.insert(key.clone());
                    for root in step_files(engine, asset) {
                        places.files.entry(root).or_default().insert(key.clone());
                    }
                }
                Place::Nowhere => {}
            }
        }
        places
    }

    pub fn roots(&self) -> Vec<Root> {
        let definitions = self.definitions.iter();
        definitions.chain(self.sources.values()).chain(self.files.keys()).cloned().collect()
    }

    pub fn sources(&self) -> usize {
        self.sources.len() + self.asked.len()
    }

    /// Whether definitions may be others. Of what lies at the root only one file says something.
    pub fn concern_definitions(&mut self, batch: &Batch) -> bool {
        let Some(first) = self.definitions.first() else { return false };
        let mut moved = false;
        for (file, known) in &mut self.project_files {
            let now = state(file);
            moved |= *known != now;
            *known = now;
        }
        moved || batch.concerns(&first.dir, first.depth)
    }

    /// The assets that have to be looked at.
    pub fn concerned(&self, batch: &Batch) -> BTreeSet<AssetKey> {
        let mut found = BTreeSet::new();
        if batch.is_empty() {
            return found;
        }
        if batch.all {
            found.extend(self.asked.iter().chain(&self.steps).cloned());
        }
        let sources = self.sources.iter();
        found.extend(
            sources
                .filter(|(_, root)| batch.concerns(&root.dir, root.depth))
                .map(|(key, _)| key.clone()),
        );
        for (root, assets) in &self.files {
            if batch.concerns(&root.dir, root.depth) {
                found.extend(assets.iter().cloned());
            }
        }
        found
    }
}

fn state(file: &Path) -> Option<StatKey> {
    file.metadata().ok().map(|metadata| StatKey::of(&metadata))
}

enum Place {
    At(Root),
    /// A command tells.
    Asked,
    Step,
    /// It follows from records.
    Nowhere,
}

fn place(engine: &Engine, asset: &Asset) -> Place {
    match &asset.body {
        Body::Source(SourceDef::Files { pattern, .. }) => {
            let (dir, depth) = listing::place(pattern, &asset.partitions);
            Place::At(Root { dir: joined(&engine.root, &dir), depth })
        }
        Body::Source(SourceDef::Dir { path, .. }) => {
            Place::At(Root { dir: joined(&engine.root, path), depth: usize::MAX })
        }
        Body::Source(SourceDef::Observe { .. }) => Place::Asked,
        Body::Source(SourceDef::Pieces { .. }) => Place::Nowhere,
        Body::Sql(_) | Body::Command(_) | Body::Function(_) | Body::Graph(_) => Place::Step,
    }
}

/// A path below the root, without a `.` or a slash at its end.
pub(super) fn joined(root: &Path, path: &str) -> PathBuf {
    root.join(path).components().collect()
}

/// Where the further files of a step are: those that it names now, and those that its globs may find.
fn step_files(engine: &Engine, asset: &Asset) -> BTreeSet<Root> {
    let mut roots = BTreeSet::new();
    let named = engine.planner.files(&asset.key).iter().map(|(path, _)| path.as_str());
    let script = super::super::code::script(asset);
    for path in named.chain(script.as_deref()) {
        if let Some(dir) = joined(&engine.root, path).parent() {
            roots.insert(Root { dir: dir.to_owned(), depth: 1 });
        }
    }
    for glob in &asset.inputs {
        let literal = glob.split(['*', '?', '[', '{']).next().unwrap_or("");
        let dir = literal.rfind('/').map_or("", |slash| &literal[..slash]);
        let depth = if glob.contains("**") { usize::MAX } else { glob.matches('/').count() + 1 };
        roots.insert(Root { dir: joined(&engine.root, dir), depth });
    }
    roots
}
