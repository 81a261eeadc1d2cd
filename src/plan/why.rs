//! Explains the state of one partition: what differs, old and new, to the root causes.
//!
//! The text comes from the values that were compared: parts of steps, and versions of inputs as of the
//! revision at which the result was made.

use std::collections::HashSet;

use super::planner::Planner;
use super::reason::{ReasonCode, step_changes};
use super::{Edge, Freshness};
use crate::base::{AssetKey, Flags, Mark, PartitionIdx, PartitionKey, PartitionSet};
use crate::defs::{Domain, Missing};

/// How many causes of one kind are explained in full.
const LISTED_MAX: usize = 5;

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
        Explainer { planner: self, seen: HashSet::new() }.explain(asset, part)
    }
}

struct Explainer<'a> {
    planner: &'a Planner,
    /// A cause that several paths lead to is told once.
    seen: HashSet<(AssetKey, PartitionIdx)>,
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
        if !self.seen.insert((asset.clone(), part)) {
            return why;
        }
        if state.kept.contains(part) || state.verify_set().contains(part) {
            why.proof = self.proof(asset, state, part);
            return why;
        }
        if planner.def(asset).is_source() {
            why.causes.push(match planner.fault(asset) {
                Some(fault) => Cause::new(ReasonCode::SourceFailed, &**fault),
                None => Cause::new(ReasonCode::MissingInput, "the source has no data for it"),
            });
            return why;
        }
        let mark = planner.records().mark(asset, part);
        match &mark {
            None => why.causes.push(Cause::new(ReasonCode::Missing, "there is no result yet")),
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
            Some(("deps", name)) => format!("input `{name}`"),
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
        if let Some(mark) = mark {
            self.changed_causes(edge, &(&mapped & &fresh), mark, causes);
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
                let listed = set.iter().take(LISTED_MAX);
                cause.upstream = listed.map(|q| self.explain(&edge.upstream, q)).collect();
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

    /// Inputs whose version is another than when the result was made.
    fn changed_causes(
        &mut self,
        edge: &Edge,
        settled: &PartitionSet,
        mark: &Mark,
        causes: &mut Vec<Cause>,
    ) {
        let planner = self.planner;
        let column = planner.records().marks(&edge.upstream, settled);
        let is_source = planner.def(&edge.upstream).is_source();
        let code = if is_source { ReasonCode::InputChanged } else { ReasonCode::UpstreamChanged };
        let newer: Vec<Mark> = settled
            .iter()
            .filter_map(|q| column.get(q))
            .filter(|input| input.changed_at > mark.verified_at)
            .collect();
        let count = newer.len();
        let mut listed = 0;
        for input in newer {
            let old = planner.records().version_at(&edge.upstream, input.part, mark.verified_at);
            if old == Some(input.version) {
                continue;
            }
            listed += 1;
            if listed > LISTED_MAX {
                let text = format!("{} more of `{}`", count - LISTED_MAX, edge.upstream);
                causes.push(Cause { count: (count - LISTED_MAX) as u64, ..Cause::new(code, text) });
                return;
            }
            let key = planner.domain(&edge.upstream).key(input.part);
            let key = key.unwrap_or_else(PartitionKey::unpartitioned);
            let (code, what) = match old {
                Some(_) => (code, "has another content"),
                None => (ReasonCode::InputsMoved, "is new"),
            };
            let mut cause =
                Cause::new(code, format!("{} {what}", place(&edge.upstream, key.as_str())));
            cause.old = old.map(|digest| digest.short());
            cause.new = Some(input.version.short());
            causes.push(cause);
        }
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
