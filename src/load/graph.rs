//! Joins what the files declare: looks up every name, checks mappings, finds circles, and decides
//! what is left when something is broken.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::asset::{Draft, Read, unreadable};
use super::deps::DepDraft;
use super::diagnostic::{Diagnostic, Place, did_you_mean};
use super::node::Sink;
use super::{command, exports, makes};
use crate::base::AssetKey;
use crate::defs::{Asset, Body, Dep, DynamicDef, MappingDef, Missing, PartitionsDef, SourceDef};

/// What is sound, and what is not.
pub(super) struct Resolved {
    pub assets: BTreeMap<AssetKey, Arc<Asset>>,
    pub broken: BTreeSet<AssetKey>,
}

/// `lost` are names that files which cannot be read probably declare.
pub(super) fn resolve(drafts: Vec<Draft>, lost: BTreeSet<AssetKey>, sink: &mut Sink) -> Resolved {
    let mut drafts = drafts;
    let pieces: Vec<Draft> = drafts.iter().filter_map(pieces).collect();
    drafts.extend(pieces);
    let mut graph = Graph { drafts: by_name(drafts, sink), lost, needs: BTreeMap::new() };
    graph.resolve_each(sink);
    graph.resolve_deps(sink);
    graph.find_circles(sink);
    for key in exports::check(&graph.drafts, &graph.needs, sink) {
        graph.drafts.entry(key).and_modify(|draft| draft.sound = false);
    }
    makes::settle(&mut graph.drafts, sink);
    graph.finish(sink)
}

/// What an asset makes many of is a source beside it, of which each piece is a partition.
fn pieces(maker: &Draft) -> Option<Draft> {
    let (pattern, place) = maker.pieces.clone()?;
    let of = &maker.asset.key;
    let mut draft = unreadable(of.each(), place.clone());
    draft.sound = maker.sound;
    draft.asset.description = Some(format!("The pieces that `{of}` makes"));
    draft.asset.group.clone_from(&maker.asset.group);
    draft.asset.tags.clone_from(&maker.asset.tags);
    draft.asset.owners.clone_from(&maker.asset.owners);
    draft.asset.partitions = PartitionsDef::Dynamic(DynamicDef::Pieces(of.clone()));
    draft.asset.body = Body::Source(SourceDef::Pieces { of: of.clone(), pattern });
    draft.deps = vec![DepDraft {
        upstream: of.clone(),
        mapping: MappingDef::All,
        mapping_place: place.clone(),
        missing: Missing::Error,
        place,
    }];
    Some(draft)
}

fn by_name(drafts: Vec<Draft>, sink: &mut Sink) -> BTreeMap<AssetKey, Draft> {
    let mut named: BTreeMap<AssetKey, Draft> = BTreeMap::new();
    for draft in drafts {
        let key = draft.asset.key.clone();
        let Some(first) = named.get_mut(&key) else {
            named.insert(key, draft);
            continue;
        };
        first.sound = false;
        let mut diagnostic =
            draft.place.error(format!("`{key}` is declared twice")).label("declared again");
        if first.place.path() == draft.place.path() {
            diagnostic = diagnostic.related(first.place.span.clone(), "first declared here");
        } else {
            let at = format!("{}:{}", first.place.path().display(), first.place.line());
            diagnostic = diagnostic.help(format!(
                "it is first declared at {at}; assets and sources share their names"
            ));
        }
        sink.about(&key, |sink| sink.push(diagnostic));
    }
    named
}

struct Graph {
    drafts: BTreeMap<AssetKey, Draft>,
    lost: BTreeSet<AssetKey>,
    /// What each cannot do without: upstream, and what its partitions follow.
    needs: BTreeMap<AssetKey, BTreeSet<AssetKey>>,
}

impl Graph {
    fn report(&mut self, key: &AssetKey, diagnostic: Diagnostic, sink: &mut Sink) {
        if diagnostic.is_error()
            && let Some(draft) = self.drafts.get_mut(key)
        {
            draft.sound = false;
        }
        sink.about(key, |sink| sink.push(diagnostic));
    }

    fn need(&mut self, key: &AssetKey, upstream: &AssetKey) {
        self.needs.entry(key.clone()).or_default().insert(upstream.clone());
    }

    /// Puts into each definition what its `each(NAME)` stands for.
    fn resolve_each(&mut self, sink: &mut Sink) {
        let keys: Vec<AssetKey> = self.drafts.keys().cloned().collect();
        for key in &keys {
            for (name, place) in self.drafts[key].each.clone() {
                match self.each(key, &name) {
                    Ok(def) => {
                        self.need(key, &name);
                        let draft = self.drafts.get_mut(key).expect("keys are of the drafts");
                        replace(&mut draft.asset.partitions, &name, &def);
                    }
                    Err(_) if self.lost.contains(&name) => self.need(key, &name),
                    Err((message, help)) => {
                        let diagnostic = place.error(message).label("in `each`").help_if(help);
                        self.report(key, diagnostic, sink);
                    }
                }
            }
        }
    }

    fn each(
        &self,
        key: &AssetKey,
        name: &AssetKey,
    ) -> Result<PartitionsDef, (String, Option<String>)> {
        let Some(target) = self.drafts.get(name) else {
            let names = self.drafts.keys().map(AssetKey::as_str);
            let help = did_you_mean(name.as_str(), names);
            return Err((format!("`{key}` follows `{name}`, which does not exist"), help));
        };
        if !target.sound {
            return Ok(PartitionsDef::Unpartitioned);
        }
        if target.pieces.is_some() {
            return Ok(PartitionsDef::Dynamic(DynamicDef::Pieces(name.clone())));
        }
        if !target.asset.is_source() {
            let help = "`outputs: \"{piece}.csv\"` says that its files are pieces";
            return Err((format!("asset `{name}` makes no pieces"), Some(help.to_owned())));
        }
        match &target.asset.partitions {
            PartitionsDef::Unpartitioned => {
                let help = "a capture in `files` makes a partition of each file".to_owned();
                Err((format!("source `{name}` has no partitions"), Some(help)))
            }
            def if target.each.is_empty() => Ok(def.clone()),
            _ => {
                let message = format!("source `{name}` itself follows another definition");
                Err((message, None))
            }
        }
    }

    fn resolve_deps(&mut self, sink: &mut Sink) {
        let names = Names::new(self.drafts.keys());
        let keys: Vec<AssetKey> = self.drafts.keys().cloned().collect();
        for key in &keys {
            let draft = &self.drafts[key];
            let declared = draft.deps.clone();
            let wanted = match draft.reads.clone() {
                None if !draft.says_deps => self.named(key, followed(draft, declared), sink),
                None => self.named(key, declared, sink),
                Some(reads) => self.read(key, reads, declared, &names, sink),
            };
            self.collisions(key, &wanted, sink);
            self.undeclared(key, &wanted, &names, sink);
            let mut deps = Vec::new();
            for dep in wanted {
                self.need(key, &dep.upstream);
                let dep = DepDraft { upstream: self.pieces_or_all(key, &dep.upstream), ..dep };
                self.check_mapping(key, &dep, sink);
                let DepDraft { upstream, mapping, missing, .. } = dep;
                deps.push(Dep { upstream, mapping, missing });
            }
            // Commands and statements find their inputs by name, so that the order in which they are
            // written decides nothing and must not be part of a key.
            deps.sort_by(|a, b| a.upstream.cmp(&b.upstream));
            self.drafts.get_mut(key).expect("keys are of the drafts").asset.deps = deps;
        }
    }

    /// Whoever follows the pieces of an asset reads its piece, and SQL reads the rows of pieces; others
    /// read all pieces as the directory that they are.
    fn pieces_or_all(&self, key: &AssetKey, upstream: &AssetKey) -> AssetKey {
        let (draft, maker) = (&self.drafts[key], &self.drafts[upstream]);
        let follows = draft.each.iter().any(|(name, _)| name == upstream);
        let reads_rows = matches!(draft.asset.body, Body::Sql(_));
        if maker.pieces.is_some() && (follows || reads_rows) {
            upstream.each()
        } else {
            upstream.clone()
        }
    }

    /// Dependencies that are declared by name.
    fn named(&mut self, key: &AssetKey, deps: Vec<DepDraft>, sink: &mut Sink) -> Vec<DepDraft> {
        let mut known = Vec::new();
        for dep in deps {
            if self.drafts.contains_key(&dep.upstream) {
                known.push(dep);
            } else if self.lost.contains(&dep.upstream) {
                self.need(key, &dep.upstream);
            } else {
                let diagnostic = self.unknown(key, dep.upstream.as_str(), &dep.place);
                self.report(key, diagnostic, sink);
            }
        }
        known
    }

    fn unknown(&self, key: &AssetKey, name: &str, place: &Place) -> Diagnostic {
        let names = self.drafts.keys().map(AssetKey::as_str);
        place
            .error(format!("asset `{key}` reads `{name}`, which does not exist"))
            .label("no asset has this name")
            .help_if(did_you_mean(name, names))
    }

    /// Dependencies that SQL statements make; `declared` says their mappings only.
    fn read(
        &mut self,
        key: &AssetKey,
        reads: Vec<Read>,
        declared: Vec<DepDraft>,
        names: &Names,
        sink: &mut Sink,
    ) -> Vec<DepDraft> {
        let mut deps: Vec<DepDraft> = Vec::new();
        for read in reads {
            match names.find(&read.name).as_slice() {
                [upstream] => {
                    if deps.iter().any(|dep| dep.upstream == *upstream) {
                        continue;
                    }
                    let own = declared.iter().find(|dep| dep.upstream == *upstream);
                    deps.push(DepDraft {
                        upstream: upstream.clone(),
                        mapping: own.map_or(MappingDef::Default, |dep| dep.mapping.clone()),
                        mapping_place: own.map_or(&read.place, |dep| &dep.mapping_place).clone(),
                        missing: own.map_or(Missing::Error, |dep| dep.missing),
                        place: read.place,
                    });
                }
                [] => self.unknown_table(key, &read, names, sink),
                several => {
                    let quoted: Vec<String> =
                        several.iter().map(|name| format!("\"{name}\"")).collect();
                    let diagnostic = read
                        .place
                        .error(format!("`{}` can mean several assets", read.name))
                        .label("ambiguous")
                        .help(format!("write {} in quotes", quoted.join(" or ")));
                    self.report(key, diagnostic, sink);
                }
            }
        }
        for dep in declared {
            if deps.iter().all(|it| it.upstream != dep.upstream) {
                let message = format!("no statement of `{key}` reads `{}`", dep.upstream);
                let help =
                    "`deps` of a SQL asset says mappings only; the names come from the statement";
                let diagnostic = dep.place.error(message).label("not read").help(help);
                self.report(key, diagnostic, sink);
            }
        }
        deps
    }

    fn unknown_table(&mut self, key: &AssetKey, read: &Read, names: &Names, sink: &mut Sink) {
        let lost = self
            .lost
            .iter()
            .find(|it| it.variable().eq_ignore_ascii_case(&read.name) || it.as_str() == read.name);
        if let Some(lost) = lost.cloned() {
            return self.need(key, &lost);
        }
        let mut diagnostic = self.unknown(key, &read.name, &read.place);
        if diagnostic.help.is_none() {
            let spelt = names.by_variable.keys().map(String::as_str);
            diagnostic.help = did_you_mean(&read.name.replace('.', "_"), spelt);
        }
        self.report(key, diagnostic, sink);
    }

    /// Two upstream names that become one variable (or one table).
    fn collisions(&mut self, key: &AssetKey, deps: &[DepDraft], sink: &mut Sink) {
        // A function gets its inputs as they are declared.
        if matches!(self.drafts[key].asset.body, Body::Function(_)) {
            return;
        }
        // SQL does not tell upper from lower case.
        let is_sql = matches!(self.drafts[key].asset.body, Body::Sql(_));
        let mut seen: BTreeMap<String, &DepDraft> = BTreeMap::new();
        for dep in deps {
            let variable = dep.upstream.variable();
            let name = if is_sql { variable.to_ascii_lowercase() } else { variable.clone() };
            let Some(first) = seen.get(&name) else {
                seen.insert(name, dep);
                continue;
            };
            let message =
                format!("`{}` and `{}` would both be `{variable}`", first.upstream, dep.upstream);
            let mut diagnostic = dep.place.error(message).label("second of this name");
            if first.place.path() == dep.place.path() {
                diagnostic = diagnostic.related(first.place.span.clone(), "first of this name");
            }
            let diagnostic =
                diagnostic.help("in variables and tables `/` and `-` become `_`; rename one");
            self.report(key, diagnostic, sink);
        }
    }

    /// Variables of a `run` line that are named like an asset which is no dependency: they would
    /// be empty when the line runs.
    fn undeclared(&mut self, key: &AssetKey, deps: &[DepDraft], names: &Names, sink: &mut Sink) {
        let draft = &self.drafts[key];
        let (Body::Command(command), Some(place)) = (&draft.asset.body, draft.run.clone()) else {
            return;
        };
        let declared: BTreeSet<String> = deps.iter().map(|dep| dep.upstream.variable()).collect();
        let complaints: Vec<Diagnostic> = command::variables(&command.line)
            .into_iter()
            .filter(|variable| !declared.contains(*variable))
            .filter_map(|variable| names.by_variable.get(variable)?.first())
            .map(|upstream| {
                let message = format!("`run` of `{key}` uses `${}`", upstream.variable());
                let complaint = place.warning(message).label("this variable is not set");
                complaint.help(format!("`deps` must name `{upstream}`"))
            })
            .collect();
        for complaint in complaints {
            self.report(key, complaint, sink);
        }
    }

    fn check_mapping(&mut self, key: &AssetKey, dep: &DepDraft, sink: &mut Sink) {
        let (downstream, upstream) = (&self.drafts[key], &self.drafts[&dep.upstream]);
        if *key == dep.upstream {
            let in_the_past = matches!(&dep.mapping, MappingDef::Window { to, .. } if to.count < 0);
            if !in_the_past {
                let diagnostic = dep
                    .place
                    .error(format!("asset `{key}` reads itself"))
                    .label("its own result")
                    .help("only earlier partitions of its own can be read, such as `window(-1d, -1d)`");
                return self.report(key, diagnostic, sink);
            }
        }
        // What is broken is reported where it is broken.
        if !downstream.sound || !upstream.sound {
            return;
        }
        let checked =
            dep.mapping.validate(&upstream.asset.partitions, &downstream.asset.partitions);
        if let Err(reason) = checked {
            let message = format!("asset `{key}` cannot read `{}` in this way", dep.upstream);
            let diagnostic = dep.mapping_place.error(message).label(reason.to_string());
            self.report(key, diagnostic, sink);
        }
    }

    /// Reports circles: one for each group of assets, and not the assets that only depend on it.
    fn find_circles(&mut self, sink: &mut Sink) {
        let mut edges: BTreeMap<AssetKey, BTreeSet<AssetKey>> = self
            .needs
            .iter()
            .map(|(key, needs)| {
                let needs = needs.iter().filter(|it| *it != key && self.drafts.contains_key(*it));
                (key.clone(), needs.cloned().collect())
            })
            .collect();
        loop {
            trim(&mut edges);
            let Some(start) = edges.keys().next().cloned() else { return };
            let circle = walk(&edges, start);
            edges.retain(|key, _| !circle.contains(key));
            self.report_circle(&circle, sink);
        }
    }

    fn report_circle(&mut self, circle: &[AssetKey], sink: &mut Sink) {
        let first = &circle[0];
        let draft = &self.drafts[first];
        let next = circle.get(1).unwrap_or(first);
        let place = draft
            .reads
            .iter()
            .flatten()
            .find(|read| read.name == next.as_str() || read.name == next.variable())
            .map(|read| &read.place)
            .or_else(|| draft.deps.iter().find(|dep| dep.upstream == *next).map(|dep| &dep.place))
            .unwrap_or(&draft.place);
        let mut arrows: Vec<&str> = circle.iter().chain([first]).map(AssetKey::as_str).collect();
        if arrows.len() > 12 {
            // Both ends are enough to see where to cut a long one.
            arrows.splice(6..arrows.len() - 5, ["..."]);
        }
        let mut diagnostic = place
            .error(format!("assets read each other in a circle: {}", arrows.join(" -> ")))
            .label(format!("`{first}` reads `{next}`"))
            .help(picture(&arrows));
        diagnostic.disables = circle.to_vec();
        for key in &circle[1..] {
            if let Some(draft) = self.drafts.get_mut(key) {
                draft.sound = false;
            }
        }
        let first = first.clone();
        self.report(&first, diagnostic, sink);
    }

    /// Takes away what is broken and what needs it.
    fn finish(self, sink: &mut Sink) -> Resolved {
        let unsound = self.drafts.iter().filter(|(_, draft)| !draft.sound).map(|(key, _)| key);
        let seeds: BTreeSet<AssetKey> = unsound.chain(&self.lost).cloned().collect();
        let downstream = downstream(&self.needs);
        let broken = closure(&seeds, &downstream);
        for diagnostic in &mut sink.diagnostics {
            let seeds = diagnostic.disables.iter().cloned().collect();
            diagnostic.disables = closure(&seeds, &downstream).into_iter().collect();
        }
        let assets = self
            .drafts
            .into_iter()
            .filter(|(key, _)| !broken.contains(key))
            .map(|(key, draft)| (key, Arc::new(draft.asset)))
            .collect();
        Resolved { assets, broken }
    }
}

/// Which assets need each one.
pub(super) fn downstream(
    needs: &BTreeMap<AssetKey, BTreeSet<AssetKey>>,
) -> BTreeMap<AssetKey, Vec<AssetKey>> {
    let mut downstream: BTreeMap<AssetKey, Vec<AssetKey>> = BTreeMap::new();
    for (key, needs) in needs {
        for need in needs {
            downstream.entry(need.clone()).or_default().push(key.clone());
        }
    }
    downstream
}

/// `seeds` and everything that follows from them.
pub(super) fn closure(
    seeds: &BTreeSet<AssetKey>,
    edges: &BTreeMap<AssetKey, Vec<AssetKey>>,
) -> BTreeSet<AssetKey> {
    let mut found = seeds.clone();
    let mut open: Vec<AssetKey> = seeds.iter().cloned().collect();
    while let Some(key) = open.pop() {
        for next in edges.get(&key).into_iter().flatten() {
            if found.insert(next.clone()) {
                open.push(next.clone());
            }
        }
    }
    found
}

/// Takes away, again and again, what needs nothing and what nothing needs: circles are left.
fn trim(edges: &mut BTreeMap<AssetKey, BTreeSet<AssetKey>>) {
    let up = edges.iter().map(|(key, needs)| (key.clone(), needs.iter().cloned().collect()));
    keep(edges, &tangled(&up.collect()));
    keep(edges, &tangled(&downstream(edges)));
}

fn keep(edges: &mut BTreeMap<AssetKey, BTreeSet<AssetKey>>, wanted: &BTreeSet<AssetKey>) {
    edges.retain(|key, _| wanted.contains(key));
    edges.values_mut().for_each(|needs| needs.retain(|need| wanted.contains(need)));
}

/// What is in a circle or leads to one.
fn tangled(edges: &BTreeMap<AssetKey, Vec<AssetKey>>) -> BTreeSet<AssetKey> {
    let mut leads: BTreeMap<&AssetKey, usize> = BTreeMap::new();
    let mut sources: BTreeMap<&AssetKey, Vec<&AssetKey>> = BTreeMap::new();
    for (key, next) in edges {
        *leads.entry(key).or_default() += next.len();
        for next in next {
            leads.entry(next).or_default();
            sources.entry(next).or_default().push(key);
        }
    }
    let mut free: Vec<&AssetKey> =
        leads.iter().filter(|(_, count)| **count == 0).map(|(key, _)| *key).collect();
    while let Some(key) = free.pop() {
        leads.remove(key);
        for source in sources.get(key).into_iter().flatten() {
            let count = leads.get_mut(source).expect("whatever leads to it is still there");
            *count -= 1;
            if *count == 0 {
                free.push(source);
            }
        }
    }
    leads.into_keys().cloned().collect()
}

/// The circle that one meets when one follows the first need of each; every key has one.
fn walk(edges: &BTreeMap<AssetKey, BTreeSet<AssetKey>>, start: AssetKey) -> Vec<AssetKey> {
    let mut places = BTreeMap::from([(start.clone(), 0)]);
    let mut path = vec![start];
    loop {
        let last = &path[path.len() - 1];
        let Some(next) = edges.get(last).and_then(BTreeSet::first) else { return path };
        if let Some(&at) = places.get(next) {
            let mut circle = path.split_off(at);
            // It begins with the first name, so that one circle always reads the same.
            let first = (0..circle.len()).min_by_key(|at| &circle[*at]).unwrap_or(0);
            circle.rotate_left(first);
            return circle;
        }
        places.insert(next.clone(), path.len());
        path.push(next.clone());
    }
}

/// The circle as a small picture.
fn picture(names: &[&str]) -> String {
    let lines = names.iter().enumerate().map(|(depth, name)| match depth {
        0 => format!("  {name}"),
        _ => format!("  {}└─ reads {name}", "   ".repeat(depth - 1)),
    });
    format!("one of these must not read the next:\n{}", lines.collect::<Vec<_>>().join("\n"))
}

/// Puts `def` where `each(name)` stands.
pub(super) fn replace(partitions: &mut PartitionsDef, name: &AssetKey, def: &PartitionsDef) {
    match partitions {
        PartitionsDef::Dynamic(DynamicDef::Source(key)) if key == name => *partitions = def.clone(),
        PartitionsDef::Multi(dimensions) => {
            dimensions.values_mut().for_each(|dimension| replace(dimension, name, def));
        }
        PartitionsDef::Unpartitioned
        | PartitionsDef::TimeWindow(_)
        | PartitionsDef::Static(_)
        | PartitionsDef::Dynamic(_) => {}
    }
}

/// A command that follows the keys of another definition reads it, if it does not say what it reads.
fn followed(draft: &Draft, mut declared: Vec<DepDraft>) -> Vec<DepDraft> {
    for (upstream, place) in &draft.each {
        declared.push(DepDraft {
            upstream: upstream.clone(),
            mapping: MappingDef::Default,
            mapping_place: place.clone(),
            missing: Missing::Error,
            place: place.clone(),
        });
    }
    declared
}

/// How SQL may name an asset.
struct Names {
    exact: BTreeMap<String, AssetKey>,
    by_variable: BTreeMap<String, Vec<AssetKey>>,
}

impl Names {
    fn new<'a>(keys: impl Iterator<Item = &'a AssetKey>) -> Names {
        let mut names = Names { exact: BTreeMap::new(), by_variable: BTreeMap::new() };
        for key in keys {
            names.exact.insert(key.as_str().to_owned(), key.clone());
            // SQL does not tell upper from lower case.
            let variable = key.variable().to_ascii_lowercase();
            names.by_variable.entry(variable).or_default().push(key.clone());
        }
        names
    }

    fn find(&self, name: &str) -> Vec<AssetKey> {
        if let Some(key) = self.exact.get(name) {
            return vec![key.clone()];
        }
        self.by_variable.get(&name.to_ascii_lowercase()).cloned().unwrap_or_default()
    }
}
