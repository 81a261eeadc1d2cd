//! Judges declarations: from what the builders collected to definitions, or all mistakes at once.
//!
//! A circle cannot be declared: an input is a handle, which exists only once what it names is declared.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};
use std::sync::Arc;

use chrono::DateTime;
use chrono_tz::Tz;

use super::compute::{Call, Calls, Verdict};
use super::declare::{Count, Draft, DraftBody, DraftCheck, DraftDep};
use super::error::{DeclarationError, Mistake};
use super::partitions::parse_zone;
use super::resource::{Providers, Replaced};
use super::system;
use crate::base::AssetKey;
use crate::defs::source::is_date_format;
use crate::defs::{
    Asset, Body, Check, ColumnType, Dep, Domain, DynamicDef, FunctionBody, FunctionSlot, Mapping,
    OutputDef, PartitionsDef, PathPattern, Policy, Project, Retries, Settings, SharedStep,
    SourceDef, SplitBy, Test,
};

/// What a project in code says as a whole.
pub(super) struct Whole<'a> {
    pub(super) id: u64,
    pub(super) name: &'a str,
    pub(super) timezone: &'a str,
    pub(super) drafts: &'a [Draft],
    pub(super) settings: Settings,
    pub(super) replaced: &'a Replaced,
}

/// Definitions with their functions.
pub(super) fn resolve(whole: &Whole<'_>) -> Result<(Project, Calls), Vec<DeclarationError>> {
    let mut judge = Judge::new(whole);
    for draft in whole.drafts {
        judge.draft(draft);
    }
    if !judge.mistakes.is_empty() {
        return Err(judge.mistakes);
    }
    let project = Project {
        name: whole.name.to_owned(),
        timezone: judge.zone,
        assets: judge.assets,
        settings: whole.settings.clone(),
        ..Project::empty()
    };
    let Judge { calls, checks, mut resources, .. } = judge;
    for (name, provider) in &mut resources {
        if let Some(other) = whole.replaced.get(name) {
            *provider = other.clone();
        }
    }
    Ok((project, Calls { calls, checks, resources }))
}

struct Judge<'a> {
    whole: &'a Whole<'a>,
    zone: Tz,
    names: BTreeSet<&'a str>,
    /// What is exported to each path.
    exports: BTreeMap<&'a str, &'a str>,
    /// Of each draft, in their order; `None` where it cannot be said.
    partitions: Vec<Option<PartitionsDef>>,
    assets: BTreeMap<AssetKey, Arc<Asset>>,
    calls: BTreeMap<AssetKey, Call>,
    checks: BTreeMap<(AssetKey, String), Verdict>,
    resources: Providers,
    mistakes: Vec<DeclarationError>,
}

impl<'a> Judge<'a> {
    fn new(whole: &'a Whole<'a>) -> Judge<'a> {
        let mut mistakes = Vec::new();
        let zone = parse_zone(whole.timezone).unwrap_or_else(|mistake| {
            let (asset, file) = (String::new(), String::new());
            mistakes.push(DeclarationError { asset, file, line: 0, mistake });
            Tz::UTC
        });
        Judge {
            whole,
            zone,
            names: BTreeSet::new(),
            exports: BTreeMap::new(),
            partitions: Vec::new(),
            assets: BTreeMap::new(),
            calls: BTreeMap::new(),
            checks: BTreeMap::new(),
            resources: Providers::new(),
            mistakes,
        }
    }

    /// The value, or `None` and a mistake.
    fn sound<T>(&mut self, draft: &Draft, result: Result<T, impl Into<Mistake>>) -> Option<T> {
        result.map_err(|mistake| self.mistake(draft, mistake.into())).ok()
    }

    fn mistake(&mut self, draft: &Draft, mistake: Mistake) {
        self.mistakes.push(DeclarationError {
            asset: draft.name.to_string(),
            file: draft.origin.file.display().to_string(),
            line: draft.origin.line,
            mistake,
        });
    }

    fn draft(&mut self, draft: &'a Draft) {
        let key = self.sound(draft, AssetKey::parse(&draft.name));
        if !self.names.insert(&draft.name) {
            self.mistake(draft, Mistake::Twice);
        }
        let body = self.body(draft);
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
            let known = self.resources.entry(used.name.clone()).or_insert(used.provider.clone());
            if !used.is(known) {
                let resource = used.name.to_string();
                self.mistake(draft, Mistake::ResourceTwice { resource });
            }
        }
        let exported = export(draft, partitions.as_ref());
        self.sound(draft, exported);
        if let Some(path) = &draft.export
            && let Some(other) = self.exports.insert(path, &draft.name)
        {
            let (path, other) = (path.clone(), other.to_owned());
            self.mistake(draft, Mistake::SamePlace { path, other });
        }
        for name in &draft.strangers {
            self.mistake(draft, Mistake::Stranger { name: name.clone() });
        }
        let (Some(key), Some(body), Some(partitions)) = (key, body, partitions) else { return };
        if let DraftBody::Function { call, .. } = &draft.body {
            self.calls.insert(key.clone(), call.clone());
        }
        let shared = draft.shared.as_ref().map(|names| Arc::new(shared_step(names)));
        let asset = asset(draft, key.clone(), body, partitions, deps, checks, shared);
        self.assets.insert(key, Arc::new(asset));
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

    fn body(&mut self, draft: &Draft) -> Option<Body> {
        let body = match &draft.body {
            DraftBody::Source { pattern, split_by, columns } => {
                source(pattern, split_by.as_deref(), columns).map(Body::Source)
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
        self.sound(draft, body)
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
        let followed = match declared.followed() {
            None => None,
            Some(source) if source.project == self.whole.id => {
                // A mistake there is told there.
                let there = self.partitions.get(source.index).and_then(Option::as_ref);
                Some(there.ok_or_else(|| Mistake::Follows { followed: source.name.to_string() })?)
            }
            Some(source) => return Err(Mistake::Foreign { upstream: source.name.to_string() }),
        };
        let def = declared.def(self.zone, followed)?;
        if is_source && !by_data && !def.is_unpartitioned() {
            return Err(Mistake::Unsplit);
        }
        Ok(def)
    }

    fn deps(&mut self, draft: &Draft, own: Option<&PartitionsDef>) -> Vec<Dep> {
        let mut deps: Vec<Dep> = Vec::new();
        for dep in &draft.deps {
            let name = &dep.upstream.name;
            let twice = deps.iter().any(|known| known.upstream.as_str() == &**name);
            let checked = match twice {
                true => Err(Mistake::ReadTwice { upstream: name.to_string() }),
                false => self.dep(dep, own),
            };
            deps.extend(self.sound(draft, checked).flatten());
        }
        deps
    }

    /// `None`: upstream has a mistake of its own, which is told there.
    fn dep(&self, dep: &DraftDep, own: Option<&PartitionsDef>) -> Result<Option<Dep>, Mistake> {
        let upstream = || dep.upstream.name.to_string();
        if dep.upstream.project != self.whole.id {
            return Err(Mistake::Foreign { upstream: upstream() });
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
        let key = AssetKey::parse(&dep.upstream.name);
        let (mapping, missing) = (dep.mapping.clone(), dep.missing);
        Ok(key.ok().map(|upstream| Dep { upstream, mapping, missing }))
    }
}

/// Whether a partition never reads more than one: a matter of the definitions, not of what exists.
fn is_single(
    dep: &DraftDep,
    upstream: &PartitionsDef,
    own: &PartitionsDef,
) -> Result<bool, crate::defs::partition::MappingError> {
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
        DraftBody::Source { .. } => OutputDef::None,
        DraftBody::Function { form, .. } => form.output(&draft.name),
    };
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
        config: BTreeMap::new(),
        env: BTreeSet::new(),
        resources: draft.resources.iter().map(|used| (used.name.to_string(), None)).collect(),
        inputs: Vec::new(),
        version: draft.version.clone(),
        checks,
        policy: Policy { retries, ..Policy::default() },
        description: draft.description.clone(),
        group: None,
        owners: Vec::new(),
        tags: BTreeMap::new(),
        kinds: BTreeSet::from(["rust".to_owned()]),
    }
}
