//! Explains the state of one partition: what differs, old and new, to the root causes.
//!
//! The text comes from the values that were compared: parts of steps, and versions of inputs as of the
//! revision at which the result was made.

use std::collections::HashSet;

use super::planner::Planner;
use super::reason::{ReasonCode, changed_code, step_changes};
use super::{Edge, Freshness};
use crate::base::{AssetKey, Flags, Mark, PartitionIdx, PartitionKey, PartitionSet, StepParts};
use crate::defs::{Domain, Missing};

/// How many causes of one kind are explained in full.
const LISTED_MAX: usize = 5;

/// How many assets one after the other are explained. A call stack is not deeper than that for sure.
const DEPTH_MAX: usize = 100;

/// The state of one partition with its causes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    pub asset: AssetKey,
    pub partition: PartitionKey,
    /// `fresh`, `stale`, `missing`, `maybe_stale`, `blocked`, `failed`.
    pub state: &'static str,
    pub causes: Vec<Cause>,
    /// For a fresh one: what proves it.
    pub proof: Vec<String>,
}

/// One cause, with its own causes if it lies further upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    pub code: ReasonCode,
    /// One sentence without the code.
    pub text: String,
    pub old: Option<String>,
    pub new: Option<String>,
    /// How many partitions this stands for; their list is cut at five.
    pub count: u64,
    /// Upstream partitions that are the cause, each explained.
    pub upstream: Vec<Why>,
}

impl Cause {
    fn new(code: ReasonCode, text: impl Into<String>) -> Cause {
        let (old, new, upstream) = (None, None, Vec::new());
        Cause { code, text: text.into(), old, new, count: 1, upstream }
    }
}

impl Planner {
    /// Explains one partition.
    pub fn why(&self, asset: &AssetKey, part: PartitionIdx) -> Why {
        Explainer { planner: self, seen: HashSet::new(), depth: 0 }.explain(asset, part)
    }
}

impl Planner {
    /// Explains one partition; if it is fresh, by everything that was compared.
    pub fn why_not(&self, asset: &AssetKey, part: PartitionIdx) -> Why {
        let mut why = self.why(asset, part);
        let state = self.freshness(asset);
        let is_fresh = state.kept.contains(part) || state.verify_set().contains(part);
        if is_fresh && !self.def(asset).is_source() {
            let explainer = Explainer { planner: self, seen: HashSet::new(), depth: 0 };
            why.proof.extend(explainer.compared(asset, part));
        }
        why
    }
}

/// What is known of an edge as it was when a result was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wiring {
    /// It was not there.
    New,
    /// It was there, and so were all others and no more.
    Same,
    /// It was there, among others.
    Other,
}

struct Explainer<'a> {
    planner: &'a Planner,
    /// A cause that several paths lead to is told once.
    seen: HashSet<(AssetKey, PartitionIdx)>,
    depth: usize,
}

impl Explainer<'_> {
    fn explain(&mut self, asset: &AssetKey, part: PartitionIdx) -> Why {
        let planner = self.planner;
        let state = planner.freshness(asset);
        let partition = state.domain.key(part).unwrap_or_else(PartitionKey::unpartitioned);
        let mut why = Why {
            asset: asset.clone(),
            partition,
            state: state_of(state, part),
            causes: Vec::new(),
            proof: Vec::new(),
        };
        if self.depth == DEPTH_MAX || !self.seen.insert((asset.clone(), part)) {
            return why;
        }
        if state.kept.contains(part) || state.verify_set().contains(part) {
            why.proof = self.proof(asset, state, part);
            return why;
        }
        let def = planner.def(asset);
        if def.is_source() && def.pieces_of().is_none() {
            why.causes.push(match planner.fault(asset) {
                Some(fault) => Cause::new(ReasonCode::SourceFailed, &**fault),
                None => Cause::new(ReasonCode::MissingInput, "the source has no data for it"),
            });
            return why;
        }
        let mark = planner.records().mark(asset, part);
        match &mark {
            None => {
                let only = PartitionSet::from_iter([part]);
                let mark = planner.records().marks(asset, &only).get(part);
                why.causes.push(match mark.is_some_and(|mark| mark.flags.has(Flags::LOST)) {
                    true => {
                        Cause::new(ReasonCode::BlobMissing, "its content is gone from the store")
                    }
                    false => Cause::new(ReasonCode::Missing, "there is no result yet"),
                });
            }
            Some(mark) => {
                self.flag_causes(asset, mark, &mut why.causes);
                self.due_causes(asset, state, part, &mut why.causes);
                self.step_causes(asset, mark, &mut why.causes);
            }
        }
        for edge in planner.edges(asset).iter() {
            self.edge_causes(state, edge, part, mark.as_ref(), &mut why.causes);
        }
        if state.failed.contains(part)
            && let Some(failure) = planner.records().failure(asset, part)
        {
            let text =
                format!("the last attempt, in run {}, failed: {}", failure.run, failure.reason);
            why.causes.insert(0, Cause::new(ReasonCode::Failed, text));
        }
        if why.causes.is_empty() {
            let text = "the mapping gives other input partitions than before";
            why.causes.push(Cause::new(ReasonCode::InputsMoved, text));
        }
        if state.restore_set().contains(part) {
            why.proof.push("the store has the result: it will be restored, not run".to_owned());
        }
        why
    }

    /// A sentence about a mark by hand, with what was said then.
    fn by_hand(&self, asset: &AssetKey, part: PartitionIdx, text: &str) -> String {
        match self.planner.records().note(asset, part).filter(|note| !note.reason.is_empty()) {
            Some(note) => format!("{text}: {}", note.reason),
            None => text.to_owned(),
        }
    }

    /// The result is too old, or of an earlier invocation.
    fn due_causes(
        &self,
        asset: &AssetKey,
        state: &Freshness,
        part: PartitionIdx,
        causes: &mut Vec<Cause>,
    ) {
        if !state.terms.due.contains(part) {
            return;
        }
        let policy = &self.planner.def(asset).policy;
        let Some(ttl) = policy.ttl.filter(|_| !policy.volatile) else {
            let text = "it is made anew in every invocation";
            causes.push(Cause::new(ReasonCode::Volatile, text));
            return;
        };
        let now = self.planner.now().timestamp_millis();
        let made = self.planner.records().made_at(asset, part).unwrap_or(now);
        let age = u64::try_from(now.saturating_sub(made)).unwrap_or(0) / 1000;
        let age = humantime::format_duration(std::time::Duration::from_secs(age));
        let ttl = humantime::format_duration(ttl);
        let text = format!("it was made {age} ago, and its ttl is {ttl}");
        causes.push(Cause::new(ReasonCode::Expired, text));
    }

    fn flag_causes(&self, asset: &AssetKey, mark: &Mark, causes: &mut Vec<Cause>) {
        if mark.flags.has(Flags::INVALIDATED) {
            let text = self.by_hand(asset, mark.part, "it was marked as stale by hand");
            causes.push(Cause::new(ReasonCode::Invalidated, text));
        }
        if mark.flags.has(Flags::RACED) {
            let text = "an input changed while the step ran";
            causes.push(Cause::new(ReasonCode::InputChangedDuringRun, text));
        }
    }

    fn step_causes(&self, asset: &AssetKey, mark: &Mark, causes: &mut Vec<Cause>) {
        let old = mark.step.and_then(|step| self.planner.records().step_parts(step));
        let Some(old) = old else { return };
        for change in step_changes(&old, &self.planner.step(asset).parts) {
            let mut cause = Cause::new(change.code, self.part_text(asset, &change.part));
            cause.old = change.old.map(|value| shown(&value));
            cause.new = change.new.map(|value| shown(&value));
            causes.push(cause);
        }
    }

    /// What a part of a step is called.
    fn part_text(&self, asset: &AssetKey, part: &str) -> String {
        let file = self.planner.def(asset).origin.file.display();
        match part.split_once('.') {
            Some(("file", path)) => format!("file `{path}`"),
            Some(("config", name)) => format!("config value `{name}`"),
            Some(("env", name)) => format!("environment variable `{name}` (digest)"),
            Some(("resource", name)) => format!("version of the resource `{name}`"),
            Some(("deps", name)) => format!("input `{name}`"),
            Some(("op", what)) => format!("`{what}` in the graph"),
            Some(("graph", input)) => format!("input `{input}` of the graph"),
            Some(_) | None => match part {
                "code" => format!("code in `{file}`"),
                "run" => format!("command line in `{file}`"),
                other => format!("{other} in `{file}`"),
            },
        }
    }

    fn edge_causes(
        &mut self,
        state: &Freshness,
        edge: &Edge,
        part: PartitionIdx,
        mark: Option<&Mark>,
        causes: &mut Vec<Cause>,
    ) {
        let planner = self.planner;
        let upstream = planner.freshness(&edge.upstream);
        let mapped = edge.mapping.upstream_of_one(part);
        let fresh = upstream.fresh();
        match edge.missing {
            Missing::Error => self.absent_causes(edge, part, causes),
            Missing::Allow => {}
        }
        let wiring = mark.map_or(Wiring::Other, |mark| self.wiring(state, edge, mark));
        if let Some(mark) = mark.filter(|_| wiring != Wiring::New) {
            let settled = &fresh | upstream.restore_set();
            self.changed_causes(state, edge, &(&mapped & &settled), mark, causes);
            self.removed_causes(state, edge, mark, wiring, causes);
        }
        let mut unsettled = &mapped - &fresh;
        if edge.missing == Missing::Allow {
            unsettled -= &upstream.absent();
        }
        if unsettled.is_empty() || !(state.pending.contains(part) || state.blocked.contains(part)) {
            return;
        }
        let failed = &unsettled & &(&upstream.failed | &upstream.upstream_failed);
        let blocked = &unsettled & &upstream.blocked;
        let rest = &(&unsettled - &failed) - &blocked;
        for (code, set, verb) in [
            (ReasonCode::UpstreamFailed, failed, "failed"),
            (ReasonCode::MissingInput, blocked, "cannot be had"),
            (ReasonCode::UpstreamStale, rest, "made or checked first"),
        ] {
            if !set.is_empty() {
                let names = names(&upstream.domain, &set);
                let text = match code {
                    ReasonCode::UpstreamStale => {
                        format!("{} has to be {verb}", place(&edge.upstream, &names))
                    }
                    _ => format!("{} {verb}", place(&edge.upstream, &names)),
                };
                let mut cause = Cause { count: set.len(), ..Cause::new(code, text) };
                let first =
                    if edge.upstream == state.asset { first(edge, state, set) } else { set };
                self.depth += 1;
                let listed = first.iter().take(LISTED_MAX);
                cause.upstream = listed.map(|q| self.explain(&edge.upstream, q)).collect();
                self.depth -= 1;
                causes.push(cause);
            }
        }
    }

    fn absent_causes(&self, edge: &Edge, part: PartitionIdx, causes: &mut Vec<Cause>) {
        let absent = edge.mapping.absent(part);
        if let Some(first) = absent.first() {
            let more = match absent.len() - 1 {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let text = format!("`{}` has no partition `{first}`{more}", edge.upstream);
            let count = absent.len() as u64;
            causes.push(Cause { count, ..Cause::new(ReasonCode::MissingInput, text) });
        }
    }

    /// What decides the result of a fresh partition: the parts of its step, and its inputs.
    fn compared(&self, asset: &AssetKey, part: PartitionIdx) -> Vec<String> {
        let planner = self.planner;
        let mut lines = Vec::new();
        for (name, value) in &planner.step(asset).parts.0 {
            // Which program and which asset it is has no place to point at.
            if name != "engine" && name != "asset" {
                lines.push(format!("{} is still `{}`", self.part_text(asset, name), shown(value)));
            }
        }
        for edge in planner.edges(asset).iter() {
            let domain = planner.domain(&edge.upstream);
            let mapped = edge.mapping.upstream_of_one(part);
            let column = planner.records().marks(&edge.upstream, &mapped);
            for input in mapped.iter().take(LISTED_MAX).filter_map(|q| column.get(q)) {
                let key = domain.key(input.part).unwrap_or_else(PartitionKey::unpartitioned);
                let (place, version) = (place(&edge.upstream, key.as_str()), input.version.short());
                let since = input.changed_at;
                lines.push(format!("{place} is still {version}, since revision {since}"));
            }
            match mapped.len().saturating_sub(LISTED_MAX as u64) {
                0 => {}
                more => {
                    lines.push(format!("{more} more of `{}` are what they were", edge.upstream));
                }
            }
            if mapped.is_empty() {
                lines.push(format!("it still reads no partition of `{}`", edge.upstream));
            }
        }
        if let Some(ttl) = planner.def(asset).policy.ttl
            && let Some(made_ms) = planner.records().made_at(asset, part)
        {
            let age_ms = planner.now().timestamp_millis() - made_ms;
            let left_ms = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX) - age_ms;
            lines.push(format!("it is good for another {} s (ttl)", left_ms.max(0) / 1000));
        }
        lines
    }

    /// How what a step read when it made a result compares with what it reads now.
    fn wiring(&self, state: &Freshness, edge: &Edge, mark: &Mark) -> Wiring {
        let old = mark.step.and_then(|step| self.planner.records().step_parts(step));
        let Some(old) = old else { return Wiring::Other };
        let deps = |parts: &StepParts| -> Vec<String> {
            parts.0.keys().filter(|name| name.starts_with("deps.")).cloned().collect()
        };
        let (old, new) = (deps(&old), deps(&self.planner.step(&state.asset).parts));
        if !old.contains(&format!("deps.{}", edge.upstream)) {
            Wiring::New
        } else if old == new {
            Wiring::Same
        } else {
            Wiring::Other
        }
    }

    /// Inputs whose version is another than when the result was made.
    fn changed_causes(
        &mut self,
        state: &Freshness,
        edge: &Edge,
        settled: &PartitionSet,
        mark: &Mark,
        causes: &mut Vec<Cause>,
    ) {
        let planner = self.planner;
        let column = planner.records().marks(&edge.upstream, settled);
        let upstream = planner.freshness(&edge.upstream);
        let code = changed_code(planner.def(&state.asset), planner.def(&edge.upstream));
        let newer = |part: &PartitionIdx| {
            let input = column.get(*part);
            upstream.restore_set().contains(*part)
                || input.is_some_and(|input| input.changed_at > mark.verified_at)
        };
        let before = |part| planner.records().version_at(&edge.upstream, part, mark.verified_at);
        let (mut listed, mut more) = (0, 0);
        for part in settled.iter().filter(newer) {
            if listed == LISTED_MAX {
                more += 1;
                continue;
            }
            let (old, new) = (before(part), upstream.version(&column, part));
            if old == new {
                continue;
            }
            listed += 1;
            let (code, what) = match old {
                Some(_) => (code, "has another content"),
                None => (ReasonCode::InputAdded, "is new"),
            };
            let mut cause = Cause::new(code, format!("{} {what}", self.named(edge, part)));
            cause.old = old.map(|digest| digest.short());
            cause.new = new.map(|digest| digest.short());
            causes.push(cause);
        }
        if more > 0 {
            let text = format!("{more} more of `{}`", edge.upstream);
            causes.push(Cause { count: more, ..Cause::new(code, text) });
        }
    }

    /// Inputs that the result was made of and that are not there any more.
    fn removed_causes(
        &self,
        state: &Freshness,
        edge: &Edge,
        mark: &Mark,
        wiring: Wiring,
        causes: &mut Vec<Cause>,
    ) {
        let (planner, records) = (self.planner, self.planner.records());
        let readable = edge.readable(planner.freshness(&edge.upstream));
        let mut gone = records.changed_since(&edge.upstream, mark.verified_at) - &readable;
        let place = planner.edges(&state.asset).iter().position(|it| it.upstream == edge.upstream);
        let row = records.row(&state.asset);
        if let Some(seen) = place.and_then(|place| row.seen.get(place))
            && wiring == Wiring::Same
        {
            gone |= seen - &readable;
        }
        let read_it = |part: &PartitionIdx| {
            let reads = || edge.mapping.downstream_of(&PartitionSet::from_iter([*part]));
            edge.mapping.is_constant() || reads().contains(mark.part)
        };
        let before = |part| records.version_at(&edge.upstream, part, mark.verified_at);
        let was_there = |part: PartitionIdx| Some((part, before(part)?));
        let removed: Vec<_> = gone.iter().filter(read_it).filter_map(was_there).collect();
        for (part, old) in removed.iter().take(LISTED_MAX) {
            let text = format!("{} is gone", self.named(edge, *part));
            let old = Some(old.short());
            causes.push(Cause { old, ..Cause::new(ReasonCode::InputRemoved, text) });
        }
        let more = removed.len().saturating_sub(LISTED_MAX);
        if more > 0 {
            let text = format!("{more} more of `{}` are gone", edge.upstream);
            let cause = Cause::new(ReasonCode::InputRemoved, text);
            causes.push(Cause { count: more as u64, ..cause });
        }
    }

    /// The name of an upstream partition, existing or not.
    fn named(&self, edge: &Edge, part: PartitionIdx) -> String {
        let key = self.planner.domain(&edge.upstream).key(part);
        place(&edge.upstream, key.unwrap_or_else(PartitionKey::unpartitioned).as_str())
    }

    fn proof(&self, asset: &AssetKey, state: &Freshness, part: PartitionIdx) -> Vec<String> {
        let records = self.planner.records();
        let row = records.row(asset);
        let mut proof = Vec::new();
        if self.planner.def(asset).is_source() {
            let version = records.mark(asset, part).map(|mark| mark.version.short());
            proof.push(format!("observed, version {}", version.unwrap_or_default()));
            return proof;
        }
        if state.kept.contains(part) {
            proof.push(format!("no input has changed since revision {}", row.verified_rev));
        } else {
            proof.push("its content key is what it was made with".to_owned());
        }
        if let Some(mark) = records.mark(asset, part) {
            proof.push(format!(
                "content key {}, version {}",
                mark.key.short(),
                mark.version.short()
            ));
            if mark.flags.has(Flags::ACCEPTED) {
                proof.push(self.by_hand(asset, part, "accepted as fresh by hand"));
            }
            if mark.flags.has(Flags::NONDETERMINISTIC) {
                proof.push("another run with the same content key gave another result".to_owned());
            }
        }
        proof
    }
}

/// Where the chains of earlier partitions of the asset itself begin that `set` waits for: what lies
/// between is explained by that, however long it is.
fn first(edge: &Edge, state: &Freshness, set: PartitionSet) -> PartitionSet {
    let unsettled = state.domain.all() - &state.fresh();
    let (mut chain, mut front) = (set.clone(), set);
    while !front.is_empty() {
        front = &(edge.mapping.upstream_of(&front) & &unsettled) - &chain;
        chain |= &front;
    }
    let later = edge.mapping.downstream_of(&chain);
    chain - later
}

/// The first ranges of a set; nothing where there are no partitions.
fn names(domain: &Domain, set: &PartitionSet) -> String {
    if domain.def().is_unpartitioned() {
        return String::new();
    }
    let mut ranges = domain.render(set);
    let more = ranges.len().saturating_sub(LISTED_MAX);
    ranges.truncate(LISTED_MAX);
    let names = ranges.join(", ");
    if more == 0 { names } else { format!("{names}, and {more} more") }
}

fn place(asset: &AssetKey, partitions: &str) -> String {
    if partitions.is_empty() { format!("`{asset}`") } else { format!("`{asset}@{partitions}`") }
}

/// A digest by its first digits, any other value whole.
fn shown(value: &str) -> String {
    let digest = value.len() == 64 && value.bytes().all(|b| b.is_ascii_hexdigit());
    if digest { value[..8].to_owned() } else { value.to_owned() }
}

fn state_of(state: &Freshness, part: PartitionIdx) -> &'static str {
    if state.kept.contains(part) || state.verify_set().contains(part) {
        "fresh"
    } else if state.failed.contains(part) {
        "failed"
    } else if state.blocked.contains(part) || state.upstream_failed.contains(part) {
        "blocked"
    } else if state.without_result.contains(part) {
        "missing"
    } else if state.pending.contains(part) {
        "maybe_stale"
    } else {
        "stale"
    }
}
