//! Reads the files one after the other and gathers what they declare.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;

use super::asset::{self, Code, Context, Draft, Fields};
use super::declared::Declared;
use super::diagnostic::{Diagnostic, Place, SourceText, did_you_mean};
use super::files::{Tree, Walked};
use super::form::{Form, Key, key};
use super::header::{self, HEAD_BYTES};
use super::library::Drafts;
use super::manifest::{self, Manifest};
use super::node::{Kind, Sink, Table, Value, repeated_below, repeated_keys};
use super::{
    Error, Loaded, PROJECT_FILE, backed, calls, graph, io, job, makes, op, resource, script,
    sensor, source, toml, types, yaml,
};
use crate::base::AssetKey;
use crate::defs::Project;

/// What a file of definitions may declare.
static KINDS: &[Key] = &[
    key("sources", "Data from outside: observed, never computed.", &SOURCES),
    key("assets", "Data that steps make.", &ASSETS),
    key("jobs", "Ops, or selections of assets, that are launched together.", &job::JOBS),
    key("ops", "Steps that yield no asset, for jobs and graphs to use.", &op::OPS),
    key("graphs", "Ops wired together, for jobs and graphs to use.", &calls::GRAPHS),
    key("types", "Types of what ops hand to each other.", &types::TYPES),
    key("pools", "How many steps of a pool may run at once.", &POOLS),
    key("resources", "What steps share: databases, directories, services.", &resource::RESOURCES),
    key("io", "Where results are also put: files, tables.", &io::IO),
    key("sensors", "What starts runs by itself while it is watched.", &sensor::SENSORS),
];
/// Kinds of definitions that later versions read.
static LATER: &[Key] = &[key("schedules", "Not read yet.", &Form::Any)];
/// How long it has to be quiet, where nothing else is said.
const SETTLE: Duration = Duration::from_millis(50);
static POOLS: Form = Form::Optional(&types::POOLS);
static SOURCES: Form = Form::Optional(&Form::Map(&source::SOURCE));
static ASSETS: Form = Form::Optional(&Form::Map(&asset::ASSET));
/// Everything that can stand in a YAML file.
pub(super) static DEFINITIONS: Form = Form::Optional(&Form::Hiding(&[KINDS, LATER]));

/// The YAML reader recurses, and a file nested as deep as is allowed needs more stack than a test or
/// a worker thread has: about 5 MB measured in a debug build. Memory is taken only as it is used.
const STACK_BYTES: usize = 64 << 20;

/// Loads a project, on a thread with a stack of known size.
pub(super) fn load(
    tree: &(dyn Tree + Sync),
    declare: impl FnOnce(Tz) -> Vec<Declared> + Send,
) -> Result<Loaded, Error> {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || load_here(tree, declare))
            .map_err(Error::Thread)?
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn load_here(tree: &dyn Tree, declare: impl FnOnce(Tz) -> Vec<Declared>) -> Result<Loaded, Error> {
    let path = PathBuf::from(PROJECT_FILE);
    let bytes = tree.read(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
    let mut sink = Sink::default();
    let text = text(&path, bytes).unwrap_or_else(|diagnostic| {
        sink.push(*diagnostic);
        SourceText::new(path, "")
    });
    let (root, problems) = toml::parse(&text.text, &text, &|offset| offset);
    problems.into_iter().for_each(|problem| sink.push(problem));
    let unreadable = sink.errors() > 0;
    let manifest = manifest::read(Value { file: &text, node: &root }, &mut sink)
        .expect("the root of a TOML text is a table");
    let mut loader = Loader {
        tree,
        manifest: &manifest,
        sink,
        drafts: Vec::new(),
        jobs: Vec::new(),
        sensors: Vec::new(),
        library: Drafts::default(),
        resources: resource::Declared::default(),
        io: io::Declared::default(),
        lost: BTreeSet::new(),
        files: vec![PathBuf::from(PROJECT_FILE)],
    };
    loader.tables(manifest.sources, manifest.assets);
    if let Some(pools) = manifest.pools {
        loader.library.words.read_pools(pools, &mut loader.sink);
    }
    loader.walk();
    let Loader {
        mut sink,
        mut drafts,
        mut jobs,
        sensors,
        library,
        resources,
        mut io,
        lost,
        files,
        ..
    } = loader;
    if unreadable || manifest.doubtful {
        distrust(&mut drafts, &mut jobs, &mut sink);
    }
    resources.link(&mut drafts, &mut sink);
    io.find_databases(&resources, &mut sink);
    let mut library = library.resolve(&resources, &io, &mut sink);
    library.words.link(&mut drafts, &mut sink);
    backed::link(&mut drafts, &library, &resources, &mut sink);
    io.link(&mut drafts, &mut sink);
    drafts.extend(declare(manifest.sets.timezone).into_iter().map(Declared::draft));
    let resolved = graph::resolve(drafts, lost, &mut sink);
    let mut project = Project {
        name: manifest.name.clone().unwrap_or_else(|| tree.name()),
        timezone: manifest.sets.timezone,
        assets: resolved.assets,
        partition_sets: manifest.sets.named.clone(),
        broken: resolved.broken,
        settings: manifest.settings.clone(),
        ..Project::empty()
    };
    project.jobs = job::resolve(jobs, &project, &library, &mut sink);
    let conditions = std::mem::take(&mut library.words.conditions);
    project.sensors = sensor::resolve(sensors, &project, &mut sink);
    (project.types, project.pools) = library.words.finish();
    project.resources = resources.defs;
    let assets_dir = manifest.assets_dir.clone();
    Ok(Loaded { project, diagnostics: sorted(sink.diagnostics), files, conditions, assets_dir })
}

/// With defaults, exclusions or the time zone unknown, what an asset or a job is to be is unknown as well.
fn distrust(drafts: &mut [Draft], jobs: &mut [job::Draft], sink: &mut Sink) {
    let keys: Vec<AssetKey> = drafts.iter().map(|draft| draft.asset.key.clone()).collect();
    drafts.iter_mut().for_each(|draft| draft.sound = false);
    let diagnostics = sink.diagnostics.iter_mut().enumerate();
    let of_project = |it: &Diagnostic| it.file == Path::new(PROJECT_FILE) && it.is_error();
    for (at, diagnostic) in diagnostics.filter(|(_, it)| of_project(it)) {
        if diagnostic.disables.is_empty() {
            diagnostic.disables.clone_from(&keys);
        }
        jobs.iter_mut().for_each(|job| job.distrust(at));
    }
}

/// By place; the same complaint about one default or one template for many assets becomes one.
fn sorted(mut diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
    diagnostics.sort_by(|a, b| {
        let key = |it: &Diagnostic| (it.span.start, it.span.end);
        (&a.file, key(a), &a.message).cmp(&(&b.file, key(b), &b.message))
    });
    diagnostics.dedup_by(|next, first| {
        let same_place = next.file == first.file && next.span == first.span;
        let same_words = if first.label.is_empty() {
            next.message == first.message
        } else {
            next.label == first.label && next.help == first.help
        };
        if same_place && same_words {
            let all: BTreeSet<AssetKey> =
                first.disables.drain(..).chain(next.disables.drain(..)).collect();
            first.disables = all.into_iter().collect();
            let stops = first.stops.drain(..).chain(next.stops.drain(..));
            let stops: BTreeSet<_> = stops.collect();
            first.stops = stops.into_iter().collect();
        }
        same_place && same_words
    });
    diagnostics
}

/// The bytes of a file as text; a file that is none is shown up to the first bad byte.
fn text(path: &Path, bytes: Vec<u8>) -> Result<Arc<SourceText>, Box<Diagnostic>> {
    let path = path.to_path_buf();
    match String::from_utf8(bytes) {
        Ok(text) => Ok(SourceText::new(path, text)),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let bytes = error.as_bytes();
            let end =
                bytes[at..].iter().position(|&b| b == b'\n').map_or(bytes.len(), |it| at + it);
            let text: Arc<str> = String::from_utf8_lossy(&bytes[..end]).into();
            let file = SourceText::new(path, text);
            let span = at..at + char::REPLACEMENT_CHARACTER.len_utf8();
            let message = format!("this file is not UTF-8 (first bad byte at offset {at})");
            Err(Box::new(Place { file, span }.error(message).label("no UTF-8 from here on")))
        }
    }
}

struct Loader<'a> {
    tree: &'a dyn Tree,
    manifest: &'a Manifest<'a>,
    sink: Sink,
    drafts: Vec<Draft>,
    jobs: Vec<job::Draft>,
    sensors: Vec<sensor::Draft>,
    library: Drafts,
    resources: resource::Declared,
    io: io::Declared,
    lost: BTreeSet<AssetKey>,
    files: Vec<PathBuf>,
}

impl Loader<'_> {
    fn walk(&mut self) {
        let exclude = &self.manifest.exclude;
        for walked in self.tree.walk(&self.manifest.assets_dir, &|path| exclude.is_match(path)) {
            match walked {
                Walked::File(path) if is_yaml(&path) => self.yaml_file(&path),
                Walked::File(path) => self.script_file(&path),
                Walked::Unreadable(path, reason) => self.unreadable(&path, &reason),
            }
        }
    }

    fn unreadable(&mut self, path: &Path, reason: &str) {
        let file = SourceText::new(path, "");
        let message = format!("`{}` cannot be read: {reason}", path.display());
        let place = Place { file, span: 0..0 };
        // Whether anything else was meant as a definition nobody can say.
        if is_yaml(path) {
            self.sink.unread(place.error(message), None);
        } else {
            self.sink.push(place.warning(message));
        }
    }

    fn yaml_file(&mut self, path: &Path) {
        self.files.push(path.to_path_buf());
        let bytes = match self.tree.read(path) {
            Ok(bytes) => bytes,
            Err(error) => return self.unreadable(path, &error.to_string()),
        };
        let lossy = String::from_utf8_lossy(&bytes).into_owned();
        let probable = probable_names(&lossy);
        let read = text(path, bytes).and_then(|file| Ok((yaml::parse(&file)?, file)));
        match read {
            Ok((root, file)) => self.yaml(Value { file: &file, node: &root }),
            Err(mut diagnostic) => {
                diagnostic.disables = probable.clone();
                self.lost.extend(probable);
                self.sink.unread(*diagnostic, Some(lossy));
            }
        }
    }

    fn yaml(&mut self, root: Value<'_>) {
        if root.node.kind == Kind::Null {
            return;
        }
        let Some(table) = root.as_table() else {
            let help = "a file of definitions begins with `sources:` or `assets:`";
            self.sink.push(root.place().error("this file is no table").help(help));
            return;
        };
        repeated_keys(table.entries, root.file, &mut self.sink);
        for (entry, value) in table.iter() {
            match entry.key.as_str() {
                key if key.starts_with('.') => repeated_below(value, &mut self.sink),
                kind if KINDS.iter().any(|it| it.name == kind) => {
                    if value.node.kind != Kind::Null
                        && let Some(table) = value.table(kind, &mut self.sink)
                    {
                        self.kind(kind, table);
                    }
                }
                key if LATER.iter().any(|later| later.name == key) => {
                    let message = format!("`{key}` is not supported yet by this version");
                    self.sink.push(table.key_place(entry).warning(message).label("left out"));
                }
                key => {
                    let known = KINDS.iter().chain(LATER).map(|kind| kind.name);
                    let help = did_you_mean(key, known).unwrap_or_else(|| {
                        "known are `sources`, `assets`, `jobs`, `ops`, `graphs`, `types`, `pools`, `resources`, `io` and `sensors`; a key that begins with a dot is left out".to_owned()
                    });
                    let message = format!("a file of definitions has no key `{key}`");
                    let place = table.key_place(entry);
                    self.sink.push(place.error(message).label("unknown key").help(help));
                }
            }
        }
    }

    /// Reads the definitions of one kind.
    fn kind(&mut self, kind: &str, table: Table<'_>) {
        let tree = self.tree;
        let context = Context {
            sets: &self.manifest.sets,
            config: &self.manifest.config,
            is_file: &|path| tree.is_file(path),
            read: &|path| String::from_utf8(tree.read(path).ok()?).ok(),
        };
        match kind {
            "sources" => self.tables(Some(table), None),
            "assets" => self.tables(None, Some(table)),
            "ops" => self.library.read_ops(table, &context, &mut self.sink),
            "graphs" => self.library.read_graphs(table, &context, &mut self.sink),
            "types" => self.library.words.read_types(table, &mut self.sink),
            "pools" => self.library.words.read_pools(table, &mut self.sink),
            "io" => {
                for (entry, value) in table.iter() {
                    repeated_below(value, &mut self.sink);
                    self.io.read(&entry.key, table.key_place(entry), value, &mut self.sink);
                }
            }
            "resources" => {
                for (entry, value) in table.iter() {
                    repeated_below(value, &mut self.sink);
                    let place = table.key_place(entry);
                    self.resources.read(&entry.key, &place, value, &mut self.sink);
                }
            }
            "sensors" => {
                for (entry, value) in table.iter() {
                    let place = table.key_place(entry);
                    let read = sensor::read(&entry.key, place, value, SETTLE, &mut self.sink);
                    self.sensors.extend(read);
                }
            }
            "jobs" => {
                for (entry, value) in table.iter() {
                    let place = table.key_place(entry);
                    self.jobs.extend(job::read(&entry.key, place, value, &context, &mut self.sink));
                }
            }
            other => unreachable!("`{other}` is in the list of kinds and is read by nobody"),
        }
    }

    /// Reads the sources and the assets of two tables.
    fn tables(&mut self, sources: Option<Table<'_>>, assets: Option<Table<'_>>) {
        for (table, is_source) in [(sources, true), (assets, false)] {
            let Some(table) = table else { continue };
            for (entry, value) in table.iter() {
                let place = table.key_place(entry);
                let Some(key) = self.key(&entry.key, &place) else { continue };
                let (own, sound) = self.sink.about(&key, |sink| {
                    repeated_below(value, sink);
                    value.table(&entry.key, sink)
                });
                let drafts = match own {
                    None => vec![asset::unreadable(key, place)],
                    Some(own) if is_source => {
                        vec![source::read(&key, place, own, &self.manifest.sets, &mut self.sink)]
                    }
                    Some(own) => self.assets(&key, place, own, Code::Keys),
                };
                self.keep(drafts, sound);
            }
        }
    }

    fn key(&mut self, name: &str, place: &Place) -> Option<AssetKey> {
        match AssetKey::parse(name) {
            Ok(key) => Some(key),
            Err(error) => {
                self.sink.push(place.error(error.to_string()).label("no name"));
                None
            }
        }
    }

    fn keep(&mut self, drafts: Vec<Draft>, sound: bool) {
        self.drafts
            .extend(drafts.into_iter().map(|draft| Draft { sound: draft.sound && sound, ..draft }));
    }

    /// The asset of this name, or those that the step of this name makes.
    fn assets(&mut self, key: &AssetKey, place: Place, own: Table<'_>, code: Code) -> Vec<Draft> {
        let file = place.path().to_path_buf();
        let below = file.strip_prefix(&self.manifest.assets_dir).unwrap_or(&file);
        let defaults = |key: &AssetKey| -> Vec<Table<'_>> {
            let matching = self.manifest.defaults.iter().filter(|defaults| {
                [&*file, below, Path::new(key.as_str())].iter().any(|it| defaults.path.is_match(it))
            });
            matching.map(|defaults| defaults.table).collect()
        };
        let tree = self.tree;
        let context = Context {
            sets: &self.manifest.sets,
            config: &self.manifest.config,
            is_file: &|path| tree.is_file(path),
            read: &|path| String::from_utf8(tree.read(path).ok()?).ok(),
        };
        if let Some(makes) = own.get("makes") {
            return makes::read(key, own, makes, &code, &defaults, &context, &mut self.sink);
        }
        let fields = Fields { own, defaults: defaults(key) };
        vec![asset::read(key, place, &fields, code, &context, &mut self.sink)]
    }

    fn script_file(&mut self, path: &Path) {
        match self.tree.head(path, HEAD_BYTES) {
            Ok(head) if header::has_marker(&head) => {}
            Ok(_) => return,
            Err(error) => return self.unreadable(path, &error.to_string()),
        }
        let name = script::name(path, &self.manifest.assets_dir);
        let key = AssetKey::parse(&name);
        let bytes = match self.tree.read(path) {
            Ok(bytes) => bytes,
            Err(error) => return self.unreadable(path, &error.to_string()),
        };
        let file = match text(path, bytes) {
            Ok(file) => file,
            Err(mut diagnostic) => {
                self.files.push(path.to_path_buf());
                diagnostic.disables.extend(key.clone().ok());
                self.lost.extend(key.ok());
                self.sink.push(*diagnostic);
                return;
            }
        };
        let Some(script) = script::read(&file) else { return };
        self.files.push(path.to_path_buf());
        let Some(key) = self.key(&name, &script.marker) else { return };
        let own = Value { file: &file, node: &script.table }.as_table();
        let problems = script.problems;
        let ((), sound) =
            self.sink.about(&key, |sink| problems.into_iter().for_each(|it| sink.push(it)));
        let drafts = match own {
            Some(own) if sound => self.assets(&key, script.marker, own, script.code),
            // With half a header the rest would only be misunderstood.
            Some(_) | None => vec![asset::unreadable(key, script.marker)],
        };
        self.keep(drafts, sound);
    }
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

/// The names that a YAML file which cannot be parsed probably declares: keys one level below
/// `assets:` and `sources:`. Without them, whatever reads those would be reported as well.
fn probable_names(text: &str) -> Vec<AssetKey> {
    let mut names = Vec::new();
    let mut inside = false;
    let mut indent = None;
    for line in text.lines() {
        let content = line.trim_start();
        let depth = line.len() - content.len();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        if depth == 0 {
            inside = content.starts_with("assets:") || content.starts_with("sources:");
            indent = None;
        } else if inside && *indent.get_or_insert(depth) == depth {
            let name = content.split(':').next().unwrap_or_default().trim_matches(['"', '\'', ' ']);
            names.extend(AssetKey::parse(name));
        }
    }
    names
}
