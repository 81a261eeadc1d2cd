//! Judges declarations: from what the builders collected to definitions, or all mistakes at once.
//!
//! A circle cannot be declared: an input is a handle, which exists only once what it names is declared.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use chrono::DateTime;
use chrono_tz::Tz;

use super::backed::{Backed, Backing};
use super::compute::{Callable, Calls, Verdict};
use super::declare::{Count, Draft, DraftBody, DraftCheck, DraftDep};
use super::error::{DeclarationError, Error, Mistake};
use super::handle::Reference;
use super::io::Io;
use super::job::{Job, Table as OpTable};
use super::partitions::{Partitions, parse_zone};
use super::project::{Files, Program};
use super::resource::{Providers, Replaced, Used};
use super::system;
use crate::base::{AssetKey, Clock, similar};
use crate::defs::source::is_date_format;
use crate::defs::{
    self, Asset, Body, Check, ColumnType, Dep, Domain, DynamicDef, FunctionBody, FunctionSlot,
    Mapping, MappingDef, Origin, OutputDef, PartitionsDef, PathPattern, Policy, Project, Retries,
    Settings, SharedStep, SourceDef, SplitBy, Test,
};
use crate::io::IoManager;
use crate::load::{self, Declared};

/// What a project in code says as a whole.
pub(super) struct Whole<'a> {
    pub(super) id: u64,
    pub(super) name: &'a str,
    pub(super) timezone: Option<&'a str>,
    pub(super) drafts: &'a [Draft],
    pub(super) jobs: &'a [(Job, Origin)],
    pub(super) settings: Settings,
    pub(super) replaced: &'a Replaced,
    pub(super) env: &'a BTreeMap<String, String>,
    pub(super) clock: Option<&'a Arc<dyn Clock>>,
}

impl Whole<'_> {
    /// Definitions with their functions.
    pub(super) fn alone(&self, root: PathBuf) -> Result<Program, Error> {
        let mut judge = Judge::new(self);
        match self.timezone.map_or(Ok(Tz::UTC), parse_zone) {
            Ok(zone) => judge.zone = zone,
            Err(mistake) => judge.of_project(mistake),
        }
        self.drafts.iter().for_each(|draft| judge.draft(draft));
        judge.refuse_existing(&BTreeSet::new());
        let assets = std::mem::take(&mut judge.assets).into_iter();
        let project = Project {
            name: self.name.to_owned(),
            timezone: judge.zone,
            assets: assets.map(|it| (it.asset.key.clone(), Arc::new(it.asset))).collect(),
            settings: self.settings.clone(),
            ..Project::empty()
        };
        self.finish(judge, project, root, None)
    }

    /// The same together with what files declare.
    pub(super) fn with_files(&self, root: PathBuf) -> Result<Program, Error> {
        let mut judge = Judge::new(self);
        if self.timezone.is_some() {
            judge.of_project(Mistake::ZoneOfFiles);
        }
        let loaded = load::project_with(&root, |zone| {
            judge.zone = zone;
            self.drafts.iter().for_each(|draft| judge.draft(draft));
            std::mem::take(&mut judge.assets)
        })?;
        let load::Loaded { mut project, diagnostics, files, conditions, assets_dir } = loaded;
        let known: BTreeSet<&str> =
            project.assets.keys().chain(&project.broken).map(AssetKey::as_str).collect();
        judge.refuse_existing(&known);
        judge.count_existing(&project);
        project.settings.jobs = self.settings.jobs.or(project.settings.jobs);
        self.finish(
            judge,
            project,
            root,
            Some(Files { diagnostics, read: files, conditions, assets_dir }),
        )
    }

    /// Adds the jobs and gathers the functions, unless there are mistakes.
    fn finish(
        &self,
        mut judge: Judge<'_>,
        mut project: Project,
        root: PathBuf,
        files: Option<Files>,
    ) -> Result<Program, Error> {
        let mut jobs = Vec::with_capacity(self.jobs.len());
        for (job, place) in self.jobs {
            judge.resources_of(job, place);
            jobs.push(judge.job(job, place));
        }
        judge.refuse_resources_of_files(&project);
        let Judge { calls, checks, mut resources, ios, ops, mistakes, .. } = judge;
        if !mistakes.is_empty() {
            return Err(Error::Declarations { project: self.name.to_owned(), mistakes });
        }
        resources.extend(self.replaced.each());
        let mut calls = Calls { calls, checks, resources, ios, ops, ..Calls::default() };
        for ((job, place), def) in self.jobs.iter().zip(jobs) {
            let def = calls.take_job(job, def?);
            if project.jobs.insert(def.name.clone(), def).is_some() {
                let (job, file) = (job.name().to_owned(), place.file.display().to_string());
                return Err(Error::JobTwice { job, file, line: place.line });
            }
        }
        let (env, clock) = (self.env.clone(), self.clock.cloned());
        Ok(Program { project, functions: Arc::new(calls), root, files, env, clock })
    }
}

struct Judge<'a> {
    whole: &'a Whole<'a>,
    zone: Tz,
    names: BTreeSet<&'a str>,
    /// What is exported to each path.
    exports: BTreeMap<&'a str, &'a str>,
    /// Of each draft, in their order; `None` where it cannot be said, or is said in files.
    partitions: Vec<Option<PartitionsDef>>,
    assets: Vec<Declared>,
    calls: BTreeMap<AssetKey, Callable>,
    checks: BTreeMap<(AssetKey, String), Verdict>,
    resources: Providers,
    ios: BTreeMap<AssetKey, Arc<dyn IoManager>>,
    /// Functions of the ops of graphs that make assets.
    ops: OpTable,
    mistakes: Vec<DeclarationError>,
}

/// How the value of an asset comes to be.
#[derive(Default)]
struct Made {
    body: Option<Body>,
    config: BTreeMap<String, serde_json::Value>,
}

impl<'a> Judge<'a> {
    fn new(whole: &'a Whole<'a>) -> Judge<'a> {
        Judge {
            whole,
            zone: Tz::UTC,
            names: BTreeSet::new(),
            exports: BTreeMap::new(),
            partitions: Vec::new(),
            assets: Vec::new(),
            calls: BTreeMap::new(),
            checks: BTreeMap::new(),
            resources: Providers::new(),
            ios: BTreeMap::new(),
            ops: OpTable::default(),
            mistakes: Vec::new(),
        }
    }

    /// Notes a mistake that no one declaration has.
    fn of_project(&mut self, mistake: Mistake) {
        let (asset, file) = (String::new(), String::new());
        self.mistakes.push(DeclarationError { asset, file, line: 0, mistake });
    }

    /// Handles of what `known`, the names that files declare, does not have.
    fn refuse_existing(&mut self, known: &BTreeSet<&str>) {
        for draft in self.whole.drafts.iter().filter(|draft| draft.is_existing()) {
            if !known.contains(&*draft.name) {
                let similar = similar(&draft.name, known.iter().copied()).map(str::to_owned);
                self.mistake(draft, Mistake::NotExisting { similar });
            }
        }
    }

    /// Functions that take one partition of what files declare, or whose partitions files declare, and
    /// would get several.
    fn count_existing(&mut self, project: &Project) {
        for draft in self.whole.drafts.iter().filter(|draft| !draft.is_existing()) {
            for dep in draft.deps.iter().filter(|dep| dep.count == Count::One) {
                let own = project.assets.get(&*draft.name);
                let there = project.assets.get(&*dep.upstream.name);
                // What is missing is broken, and that is told where it is.
                let (Some(own), Some(there)) = (own, there) else { continue };
                // Where the mapping itself is wrong, the files' diagnostics say so.
                if let Ok(false) = is_single(dep, &there.partitions, &own.partitions) {
                    let upstream = dep.upstream.name.to_string();
                    self.mistake(draft, Mistake::Several { upstream });
                }
            }
        }
    }

    /// The value, or `None` and a mistake.
    fn sound<T>(&mut self, draft: &Draft, result: Result<T, impl Into<Mistake>>) -> Option<T> {
        result.map_err(|mistake| self.mistake(draft, mistake.into())).ok()
    }

    fn mistake(&mut self, draft: &Draft, mistake: Mistake) {
        self.mistake_at(&draft.name, &draft.origin, mistake);
    }

    fn mistake_at(&mut self, name: &str, origin: &Origin, mistake: Mistake) {
        let (asset, file) = (name.to_owned(), origin.file.display().to_string());
        self.mistakes.push(DeclarationError { asset, file, line: origin.line, mistake });
    }

    /// Notes what a job uses.
    fn resources_of(&mut self, job: &Job, place: &Origin) {
        for used in job.table().used() {
            if let Err(mistake) = self.use_one(&used) {
                self.mistake_at(job.name(), place, mistake);
            }
        }
    }

    /// What the program uses under a name that files give to something else.
    fn refuse_resources_of_files(&mut self, project: &Project) {
        let taken = |used: &Used| {
            let def = project.resources.get(&*used.name)?;
            let (resource, file) = (def.name.clone(), def.origin.file.display().to_string());
            Some(Mistake::ResourceOfFiles { resource, file, line: def.origin.line })
        };
        for draft in self.whole.drafts {
            for mistake in draft.resources.iter().filter_map(taken) {
                self.mistake(draft, mistake);
            }
        }
        for (job, place) in self.whole.jobs {
            for mistake in job.table().used().filter_map(|used| taken(&used)) {
                self.mistake_at(job.name(), place, mistake);
            }
        }
    }

    /// One name stands for one resource within a run, whatever uses it.
    fn use_one(&mut self, used: &Used) -> Result<(), Mistake> {
        let known = self.resources.entry(used.name.clone()).or_insert(used.provider.clone());
        match used.is(known) {
            true => Ok(()),
            false => Err(Mistake::ResourceTwice { resource: used.name.to_string() }),
        }
    }

    fn draft(&mut self, draft: &'a Draft) {
        let key = self.sound(draft, AssetKey::parse(&draft.name));
        if draft.is_existing() {
            self.partitions.push(None);
            return;
        }
        if !self.names.insert(&draft.name) {
            self.mistake(draft, Mistake::Twice);
        }
        let Made { body, config } = self.body(draft);
        let partitions = key.as_ref().and_then(|key| {
            let partitions = self.partitions(draft, key, body.as_ref());
            self.sound(draft, partitions)
        });
        self.partitions.push(partitions.clone());
        let deps = self.deps(draft, partitions.as_ref());
        let mut checks = Vec::new();
        for declared in &draft.checks {
            checks.extend(self.check(draft, key.as_ref(), declared));
        }
        for used in &draft.resources {
            let used = self.use_one(used);
            self.sound(draft, used);
        }
        let exported = export(draft, partitions.as_ref());
        self.sound(draft, exported);
        if let Some(path) = &draft.export
            && let Some(other) = self.exports.insert(path, &draft.name)
        {
            let (path, other) = (path.clone(), other.to_owned());
            self.mistake(draft, Mistake::SamePlace { path, other });
        }
        let batch = batch(draft, partitions.as_ref());
        let batch = self.sound(draft, batch).flatten();
        for name in &draft.strangers {
            self.mistake(draft, Mistake::Stranger { name: name.clone() });
        }
        let (Some(key), Some(body), Some(partitions)) = (key, body, partitions) else { return };
        if let DraftBody::Function { call, .. } = &draft.body {
            self.calls.insert(key.clone(), call.clone());
        }
        let ready = draft.io.as_ref().and_then(Io::ready);
        self.ios.extend(ready.map(|io| (key.clone(), io.clone())));
        let follows = self.follows_existing(draft).into_iter().collect();
        let shared = draft.shared.as_ref().map(|names| Arc::new(shared_step(names)));
        let mut asset =
            Asset { config, ..asset(draft, key, body, partitions, deps, checks, shared) };
        asset.policy.batch = batch;
        self.assets.push(Declared { asset, follows });
    }

    fn check(
        &mut self,
        draft: &Draft,
        key: Option<&AssetKey>,
        declared: &DraftCheck,
    ) -> Option<Check> {
        let (name, severity) = (declared.name.clone(), declared.severity);
        match &declared.verdict {
            None => {
                let check = self.sound(draft, Check::parse(&name))?;
                Some(Check { severity, ..check })
            }
            Some(verdict) => {
                if let Some(key) = key {
                    self.checks.insert((key.clone(), name.clone()), verdict.clone());
                }
                Some(Check { test: Test::Function(name.clone()), name, severity })
            }
        }
    }

    /// What makes it; nothing where that has a mistake.
    fn body(&mut self, draft: &Draft) -> Made {
        if !draft.values.is_null() && !matches!(draft.body, DraftBody::Graph(_)) {
            self.mistake(draft, Mistake::Values);
        }
        let body = match &draft.body {
            DraftBody::Source { pattern, split_by, columns } => {
                source(pattern, split_by.as_deref(), columns).map(Body::Source)
            }
            DraftBody::Existing => return Made::default(),
            DraftBody::Graph(backing) => {
                return self.backed(draft, backing);
            }
            DraftBody::Function { .. } => match &draft.version {
                Some(version) => Ok(Body::Function(FunctionBody {
                    version: version.clone(),
                    slot: FunctionSlot::Asset,
                })),
                None => system::executable()
                    .map(|digest| {
                        Body::Function(FunctionBody {
                            version: digest.to_owned(),
                            slot: FunctionSlot::Asset,
                        })
                    })
                    .map_err(|reason| Mistake::Executable { reason }),
            },
        };
        Made { body: self.sound(draft, body), ..Made::default() }
    }

    fn backed(&mut self, draft: &Draft, backing: &Backing) -> Made {
        match backing.judge(draft) {
            Ok(Backed { body, config, table }) => {
                for used in table.used() {
                    let used = self.use_one(&used);
                    self.sound(draft, used);
                }
                self.ops.take_functions(&table);
                Made { body: Some(Body::Graph(body)), config }
            }
            Err(reasons) => {
                for reason in reasons {
                    self.mistake(draft, Mistake::Graph { reason });
                }
                Made::default()
            }
        }
    }

    fn partitions(
        &self,
        draft: &Draft,
        key: &AssetKey,
        body: Option<&Body>,
    ) -> Result<PartitionsDef, Mistake> {
        let by_data = match body {
            Some(Body::Source(SourceDef::Files { pattern, split_by, .. })) => {
                split_by.is_some() || pattern.captures().next().is_some()
            }
            Some(Body::Source(
                SourceDef::Dir { .. } | SourceDef::Observe { .. } | SourceDef::Pieces { .. },
            ))
            | Some(Body::Sql(_) | Body::Command(_) | Body::Function(_) | Body::Graph(_))
            | None => false,
        };
        let is_source = matches!(body, Some(Body::Source(_)));
        let Some(declared) = &draft.partitions else {
            return Ok(match by_data {
                true => PartitionsDef::Dynamic(DynamicDef::Source(key.clone())),
                false => PartitionsDef::Unpartitioned,
            });
        };
        let followed = self.followed(declared)?;
        let def = declared.def(self.zone, followed.as_ref())?;
        if is_source && !by_data && !def.is_unpartitioned() {
            return Err(Mistake::Unsplit);
        }
        Ok(def)
    }

    /// The partitions that declared ones follow, if they follow any.
    fn followed(&self, declared: &Partitions) -> Result<Option<PartitionsDef>, Mistake> {
        Ok(match declared.followed() {
            None => None,
            // It stands for whatever the files say of it.
            Some(source) if self.is_existing(source) => {
                Some(PartitionsDef::Dynamic(DynamicDef::Source(AssetKey::parse(&source.name)?)))
            }
            Some(source) if source.project == self.whole.id => {
                // A mistake there is told there.
                let there = self.partitions.get(source.index).and_then(Option::as_ref);
                let mistake = || Mistake::Follows { followed: source.name.to_string() };
                Some(there.ok_or_else(mistake)?.clone())
            }
            Some(source) => return Err(Mistake::Foreign { upstream: source.name.to_string() }),
        })
    }

    /// A job as the project has it: its days begin where those of the project do.
    fn job(&mut self, job: &Job, place: &Origin) -> Result<Arc<defs::Job>, Error> {
        let def = job.definition()?;
        let Some(declared) = job.partitions() else { return Ok(def.clone()) };
        let partitions = self.followed(declared);
        match partitions.and_then(|followed| declared.def(self.zone, followed.as_ref())) {
            Ok(partitions) => Ok(Arc::new(defs::Job { partitions, ..defs::Job::clone(def) })),
            Err(mistake) => {
                self.mistake_at(job.name(), place, mistake);
                Ok(def.clone())
            }
        }
    }

    /// What files declare and it follows.
    fn follows_existing(&self, draft: &Draft) -> Option<AssetKey> {
        let followed = draft.partitions.as_ref()?.followed()?;
        let existing = self.is_existing(followed).then(|| AssetKey::parse(&followed.name));
        existing.and_then(Result::ok)
    }

    fn is_existing(&self, reference: &Reference) -> bool {
        reference.project == self.whole.id
            && self.whole.drafts.get(reference.index).is_some_and(Draft::is_existing)
    }

    fn deps(&mut self, draft: &Draft, own: Option<&PartitionsDef>) -> Vec<Dep> {
        let mut deps: Vec<Dep> = Vec::new();
        for dep in &draft.deps {
            let name = &dep.upstream.name;
            let twice = deps.iter().any(|known| known.upstream.as_str() == &**name);
            let checked = match twice {
                true => Err(Mistake::ReadTwice { upstream: name.to_string() }),
                false => self.dep(draft, dep, own),
            };
            deps.extend(self.sound(draft, checked).flatten());
        }
        deps
    }

    /// `None`: upstream has a mistake of its own, which is told there.
    fn dep(
        &self,
        draft: &Draft,
        dep: &DraftDep,
        own: Option<&PartitionsDef>,
    ) -> Result<Option<Dep>, Mistake> {
        let upstream = || dep.upstream.name.to_string();
        if dep.upstream.project != self.whole.id {
            return Err(Mistake::Foreign { upstream: upstream() });
        }
        let key = AssetKey::parse(&dep.upstream.name).ok();
        let (mapping, missing) = (dep.mapping.clone(), dep.missing);
        let declared = key.map(|upstream| Dep { upstream, mapping, missing });
        // The files' graph judges it.
        if self.is_existing(&dep.upstream) || self.follows_existing(draft).is_some() {
            return Ok(declared);
        }
        let there = self.partitions.get(dep.upstream.index).and_then(Option::as_ref);
        let (Some(own), Some(there)) = (own, there) else { return Ok(None) };
        let fault = |reason| Mistake::Mapping { upstream: upstream(), reason };
        dep.mapping.validate(there, own).map_err(fault)?;
        match dep.count {
            Count::One if !is_single(dep, there, own).map_err(fault)? => {
                return Err(Mistake::Several { upstream: upstream() });
            }
            Count::One | Count::Several => {}
        }
        Ok(declared)
    }
}

/// Whether a partition never reads more than one: a matter of the definitions, not of what exists.
fn is_single(
    dep: &DraftDep,
    upstream: &PartitionsDef,
    own: &PartitionsDef,
) -> Result<bool, defs::partition::MappingError> {
    let resolve = |def: &PartitionsDef| {
        Domain::resolve(Arc::new(def.clone()), DateTime::UNIX_EPOCH, &BTreeMap::new())
    };
    Ok(Mapping::new(&dep.mapping, &resolve(upstream), &resolve(own))?.is_single())
}

fn source(
    pattern: &str,
    split_by: Option<&str>,
    columns: &BTreeMap<String, ColumnType>,
) -> Result<SourceDef, Mistake> {
    let relative = pattern.trim_start_matches("./");
    if leads_outside(relative) {
        let reason = format!("`{pattern}` leads outside of the project; give an absolute path");
        return Err(Mistake::Files { reason });
    }
    let pattern = PathPattern::parse(relative)
        .map_err(|error| Mistake::Files { reason: error.to_string() })?;
    let split_by = split_by.map(split).transpose()?;
    if split_by.is_some() && !pattern.is_literal() {
        return Err(Mistake::SplitSeveral);
    }
    Ok(SourceDef::Files { pattern, split_by, columns: columns.clone() })
}

fn split(text: &str) -> Result<SplitBy, Mistake> {
    // A column may have a colon in its name; a format begins with a field.
    let (column, format) = match text.find(":%") {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    if column.is_empty() || format.is_some_and(|format| !is_date_format(format)) {
        return Err(Mistake::SplitBy { text: text.to_owned() });
    }
    Ok(SplitBy { column: column.to_owned(), format: format.map(str::to_owned) })
}

fn leads_outside(path: &str) -> bool {
    Path::new(path).components().any(|component| component == Component::ParentDir)
}

fn export(draft: &Draft, partitions: Option<&PartitionsDef>) -> Result<(), Mistake> {
    let (Some(path), Some(partitions)) = (&draft.export, partitions) else { return Ok(()) };
    let wrong = |reason| Err(Mistake::Export { path: path.clone(), reason });
    match (path.contains("{partition}"), partitions.is_unpartitioned()) {
        _ if path.is_empty() || path.starts_with('/') || leads_outside(path) => {
            wrong("it must lie below the project's root")
        }
        (false, false) => wrong("without `{partition}` in it all partitions would go to one place"),
        (true, true) => wrong("there is no partition to put for `{partition}`"),
        (true, false) | (false, true) => Ok(()),
    }
}

/// How many partitions one call computes, if it computes several.
fn batch(draft: &Draft, partitions: Option<&PartitionsDef>) -> Result<Option<NonZeroU32>, Mistake> {
    let DraftBody::Function { call: Callable::Batch { max, .. }, .. } = &draft.body else {
        return Ok(None);
    };
    let asks = |dep: &DraftDep| dep.mapping == MappingDef::Asked;
    let reason = match NonZeroU32::new(*max) {
        None => "a call computes at least one",
        Some(_) if partitions.is_some_and(PartitionsDef::is_unpartitioned) => "it has only one",
        Some(_) if draft.deps.iter().any(asks) => "it says `may_read`, so it may run twice",
        Some(max) => return Ok(Some(max)),
    };
    Err(Mistake::Batch { reason })
}

/// A name that is none is told with the asset of that name.
fn shared_step(names: &[Arc<str>]) -> SharedStep {
    let makes = names.iter().filter_map(|name| AssetKey::parse(name).ok()).collect();
    SharedStep { name: names.join("+"), makes }
}

fn asset(
    draft: &Draft,
    key: AssetKey,
    body: Body,
    partitions: PartitionsDef,
    deps: Vec<Dep>,
    checks: Vec<Check>,
    shared: Option<Arc<SharedStep>>,
) -> Asset {
    let output = match &draft.body {
        DraftBody::Source { .. } | DraftBody::Existing => OutputDef::None,
        DraftBody::Function { form, .. } => form.output(&draft.name),
        DraftBody::Graph(backing) => backing.form.output(&draft.name),
    };
    let mut resources: BTreeMap<String, Option<String>> =
        draft.resources.iter().map(|used| (used.name.to_string(), None)).collect();
    if let Body::Graph(graph) = &body {
        let used = graph.counting().flat_map(|step| &step.op.resources);
        resources.extend(used.map(|name| (name.clone(), None)));
    }
    let retries = Retries { max: draft.retries, ..Retries::default() };
    Asset {
        key,
        origin: draft.origin.clone(),
        partitions,
        body,
        deps,
        output,
        shared,
        export: draft.export.clone(),
        io: draft.io.as_ref().map(Io::def),
        config: BTreeMap::new(),
        env: BTreeSet::new(),
        resources,
        inputs: Vec::new(),
        version: draft.version.clone(),
        checks,
        policy: Policy { retries, ..Policy::default() },
        automation: None,
        description: draft.description.clone(),
        group: None,
        owners: Vec::new(),
        tags: BTreeMap::new(),
        kinds: BTreeSet::from(["rust".to_owned()]),
    }
}
