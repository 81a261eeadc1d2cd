//! What `--json` and `--jsonl` write: types of this module alone, so that nothing within can change
//! them by accident. A document says `"schema": 1`.

mod backfill;
mod job;
mod job_event;
mod runs;
mod ticks;
mod watch;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value};

use super::text;
use crate::base::{AssetKey, CheckFact, JobName, PartitionSet};
use crate::defs::{Asset, Domain};
use crate::engine::{
    Amount, AssetStatus, Collected, Engine, Observed, Problem, ResultInfo, ResultMark, RunEvent,
    State, Summary,
};
use crate::load::{Diagnostic, Severity};
use crate::plan::{Cause, Plan, PlanAsset, ReasonCode, Why};

pub(super) use backfill::{
    BackfillDocument, BackfillPlanDocument, BackfillsDocument, JobBackfillDocument,
    JobBackfillPlanDocument, backfill_ended_line, backfill_line,
};
pub(super) use job::{JobDocument, JobEntry, JobPlanDocument};
pub(super) use job_event::job_event_line;
pub(super) use runs::{RunDocument, RunEntry, RunsDocument};
pub(super) use ticks::{
    CursorDocument, PreviewsDocument, ScheduleEntry, SchedulesDocument, SensorEntry,
    SensorPreviewDocument, SensorsDocument, TicksDocument,
};
pub(super) use watch::heard_line;

/// The version of every document here.
const SCHEMA: u32 = 1;

/// A document: the version, and what `content` has.
#[derive(Serialize)]
pub(super) struct Document<T> {
    schema: u32,
    #[serde(flatten)]
    content: T,
}

impl<T: Serialize> Document<T> {
    pub fn text(content: T) -> String {
        let document = Document { schema: SCHEMA, content };
        serde_json::to_string_pretty(&document).expect("the keys are text") + "\n"
    }
}

/// Some partitions.
#[derive(Serialize)]
pub(super) struct Parts {
    count: u64,
    ranges: Vec<String>,
}

impl Parts {
    pub fn new(domain: &Domain, set: &PartitionSet) -> Parts {
        Parts { count: set.len(), ranges: domain.render(set) }
    }

    fn some(domain: &Domain, set: &PartitionSet) -> Option<Parts> {
        (!set.is_empty()).then(|| Parts::new(domain, set))
    }
}

#[derive(Serialize)]
pub(super) struct CheckDocument<'a> {
    pub assets: usize,
    pub jobs: usize,
    pub files: usize,
    pub errors: usize,
    pub warnings: usize,
    pub diagnostics: Vec<DiagnosticEntry<'a>>,
}

#[derive(Serialize)]
pub(super) struct DiagnosticEntry<'a> {
    severity: &'static str,
    file: &'a Path,
    line: u32,
    column: u32,
    message: &'a str,
    label: &'a str,
    help: Option<&'a str>,
    disables: &'a [AssetKey],
    stops: &'a [JobName],
}

impl<'a> DiagnosticEntry<'a> {
    pub fn new(diagnostic: &'a Diagnostic) -> DiagnosticEntry<'a> {
        let (line, column) = diagnostic.position();
        DiagnosticEntry {
            severity: match diagnostic.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            file: &diagnostic.file,
            line,
            column,
            message: &diagnostic.message,
            label: &diagnostic.label,
            help: diagnostic.help.as_deref(),
            disables: &diagnostic.disables,
            stops: &diagnostic.stops,
        }
    }
}

#[derive(Serialize)]
pub(super) struct ListDocument<'a> {
    pub assets: Vec<Definition<'a>>,
    pub jobs: Vec<JobEntry<'a>>,
}

/// What is declared of an asset.
#[derive(Serialize)]
pub(super) struct Definition<'a> {
    asset: &'a AssetKey,
    kind: &'static str,
    kinds: Vec<&'a String>,
    description: Option<&'a String>,
    group: Option<&'a String>,
    owners: &'a [String],
    tags: &'a BTreeMap<String, String>,
    partitions: String,
    file: &'a Path,
    line: u32,
    deps: Vec<Dependency<'a>>,
    /// Other assets that the same step makes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    made_with: Vec<&'a AssetKey>,
    /// How many partitions one step makes at the most.
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<NonZeroU32>,
    output: String,
    export: Option<&'a String>,
    config: &'a BTreeMap<String, Value>,
}

#[derive(Serialize)]
pub(super) struct Dependency<'a> {
    asset: &'a AssetKey,
    mapping: String,
}

impl<'a> Definition<'a> {
    pub fn new(asset: &'a Asset) -> Definition<'a> {
        let dep = |dep: &'a crate::defs::Dep| Dependency {
            asset: &dep.upstream,
            mapping: dep.mapping.to_string(),
        };
        Definition {
            asset: &asset.key,
            kind: text::body(&asset.body),
            kinds: asset.kinds.iter().collect(),
            description: asset.description.as_ref(),
            group: asset.group.as_ref(),
            owners: &asset.owners,
            tags: &asset.tags,
            partitions: text::partitions(asset),
            file: &asset.origin.file,
            line: asset.origin.line,
            deps: asset.deps.iter().map(dep).collect(),
            made_with: asset.made_with().collect(),
            batch: asset.policy.batch,
            output: text::output(&asset.output),
            export: asset.export.as_ref(),
            config: &asset.config,
        }
    }
}

#[derive(Serialize)]
pub(super) struct StatusDocument {
    pub assets: Vec<StatusEntry>,
}

/// Counts of all states, the empty ones too; ranges of those that need attention.
#[derive(Serialize)]
pub(super) struct StatusEntry {
    asset: AssetKey,
    counts: Map<String, Value>,
    ranges: Map<String, Value>,
    /// Of which two runs from the same inputs gave different results.
    #[serde(skip_serializing_if = "Option::is_none")]
    nondeterministic: Option<Parts>,
    /// Whose result was taken though checks of it failed: as errors, or as warnings.
    #[serde(skip_serializing_if = "Option::is_none")]
    checks_failed: Option<Parts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checks_warned: Option<Parts>,
}

impl StatusEntry {
    pub fn new(domain: &Domain, status: &AssetStatus) -> StatusEntry {
        let mut counts = Map::new();
        let mut ranges = Map::new();
        for state in State::ALL {
            let set = status.sets.get(&state);
            let count = set.map_or(0, PartitionSet::len);
            counts.insert(state.as_str().to_owned(), count.into());
            if let Some(set) = set.filter(|set| !set.is_empty() && state != State::Fresh) {
                ranges.insert(state.as_str().to_owned(), domain.render(set).into());
            }
        }
        let nondeterministic = Parts::some(domain, &status.nondeterministic);
        let checks_failed = Parts::some(domain, &status.checks_failed);
        let checks_warned = Parts::some(domain, &status.checks_warned);
        let asset = status.asset.clone();
        StatusEntry { asset, counts, ranges, nondeterministic, checks_failed, checks_warned }
    }
}

#[derive(Serialize)]
pub(super) struct ShowDocument<'a> {
    pub definition: Definition<'a>,
    pub status: StatusEntry,
    pub read_by: Vec<AssetKey>,
    pub partition: Option<String>,
    pub result: Option<ResultEntry>,
}

/// One value of the metadata over partitions.
#[derive(Serialize)]
pub(super) struct SeriesDocument {
    pub asset: AssetKey,
    pub name: String,
    pub points: Vec<SeriesPoint>,
}

#[derive(Serialize)]
pub(super) struct SeriesPoint {
    pub partition: String,
    pub value: Value,
}

/// A recorded result.
#[derive(Serialize)]
pub(super) struct ResultEntry {
    run: Option<u64>,
    made_by: Option<u64>,
    made_at: Option<String>,
    duration_ms: Option<u64>,
    size: Option<u64>,
    digest: Option<String>,
    log: Option<String>,
    failure: Option<String>,
    failed_at: Option<String>,
    marks: Vec<ResultMark>,
    checks: Vec<CheckFact>,
    metadata: Map<String, Value>,
}

impl ResultEntry {
    pub fn new(result: &ResultInfo) -> ResultEntry {
        ResultEntry {
            run: result.run.map(|run| run.0),
            made_by: result.made_by.map(|run| run.0),
            made_at: result.made_at.map(|at| at.to_rfc3339()),
            duration_ms: result.duration_ms,
            size: result.output.as_ref().map(|output| output.size),
            digest: result.output.as_ref().map(|output| output.digest.to_string()),
            log: result.log.as_ref().map(|path| path.display().to_string()),
            failure: result.failure.clone(),
            failed_at: result.failed_at.map(|at| at.to_rfc3339()),
            marks: result.marks.clone(),
            checks: result.checks.clone(),
            metadata: result.metadata.clone(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct ExportDocument {
    pub exported: Vec<ExportEntry>,
}

#[derive(Serialize)]
pub(super) struct ExportEntry {
    pub asset: AssetKey,
    pub partition: String,
    pub path: String,
}

/// One state of one partition with its causes.
#[derive(Serialize)]
pub(super) struct WhyEntry {
    asset: AssetKey,
    partition: String,
    state: &'static str,
    causes: Vec<CauseEntry>,
    proof: Vec<String>,
}

#[derive(Serialize)]
struct CauseEntry {
    code: &'static str,
    text: String,
    old: Option<String>,
    new: Option<String>,
    count: u64,
    upstream: Vec<WhyEntry>,
}

impl WhyEntry {
    /// `depth`: how many levels of upstream causes are told.
    pub fn new(why: &Why, depth: u32) -> WhyEntry {
        let cause = |cause: &Cause| CauseEntry {
            code: cause.code.as_str(),
            text: cause.text.clone(),
            old: cause.old.clone(),
            new: cause.new.clone(),
            count: cause.count,
            upstream: match depth.checked_sub(1) {
                Some(depth) => cause.upstream.iter().map(|w| WhyEntry::new(w, depth)).collect(),
                None => Vec::new(),
            },
        };
        WhyEntry {
            asset: why.asset.clone(),
            partition: why.partition.to_string(),
            state: why.state,
            causes: why.causes.iter().map(cause).collect(),
            proof: why.proof.clone(),
        }
    }
}

/// The reasons of an asset as a whole.
#[derive(Serialize)]
pub(super) struct WhyGroups {
    #[serde(flatten)]
    pub status: StatusEntry,
    pub reasons: Vec<ReasonEntry>,
}

#[derive(Serialize)]
pub(super) struct ReasonEntry {
    code: &'static str,
    #[serde(flatten)]
    parts: Parts,
}

impl ReasonEntry {
    pub fn all(
        domain: &Domain,
        reasons: &[(ReasonCode, PartitionSet)],
        within: Option<&PartitionSet>,
    ) -> Vec<ReasonEntry> {
        let narrowed = reasons.iter().map(|(code, set)| {
            let set = within.map_or_else(|| set.clone(), |within| set & within);
            (*code, set)
        });
        let entry = |(code, set): (ReasonCode, PartitionSet)| ReasonEntry {
            code: code.as_str(),
            parts: Parts::new(domain, &set),
        };
        narrowed.filter(|(_, set)| !set.is_empty()).map(entry).collect()
    }
}

#[derive(Serialize)]
pub(super) struct PlanDocument {
    certain: u64,
    possible: u64,
    restores: u64,
    /// They make pieces: the partitions that follow these are known when they have run.
    growing: Vec<AssetKey>,
    assets: Vec<PlanEntry>,
}

#[derive(Serialize)]
struct PlanEntry {
    asset: AssetKey,
    target: bool,
    wanted: u64,
    fresh: u64,
    run: Option<Parts>,
    forced: Option<Parts>,
    pending: Option<Parts>,
    restore: Option<Parts>,
    blocked: Option<Parts>,
    reasons: Vec<ReasonEntry>,
}

impl PlanDocument {
    pub fn new(plan: &Plan) -> PlanDocument {
        PlanDocument {
            certain: plan.certain(),
            possible: plan.possible(),
            restores: plan.restores(),
            growing: plan.growing().cloned().collect(),
            assets: plan.assets.iter().map(PlanEntry::new).collect(),
        }
    }
}

impl PlanEntry {
    fn new(asset: &PlanAsset) -> PlanEntry {
        let domain = &asset.state.domain;
        let open = &asset.open() | &asset.blocked;
        PlanEntry {
            asset: asset.asset.clone(),
            target: asset.is_target,
            wanted: asset.wanted.len(),
            fresh: (&asset.fresh | &asset.verify).len(),
            run: Parts::some(domain, &asset.run),
            forced: Parts::some(domain, &asset.forced),
            pending: Parts::some(domain, &asset.pending),
            restore: Parts::some(domain, &asset.restore),
            blocked: Parts::some(domain, &asset.blocked),
            reasons: ReasonEntry::all(domain, &asset.state.reasons, Some(&open)),
        }
    }
}

#[derive(Serialize)]
pub(super) struct PartitionsDocument {
    pub asset: AssetKey,
    pub partitions: Vec<PartitionEntry>,
}

#[derive(Serialize)]
pub(super) struct PartitionEntry {
    pub key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    pub state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<BTreeMap<AssetKey, Vec<String>>>,
}

#[derive(Serialize)]
pub(super) struct ObserveDocument {
    pub sources: Vec<ObserveEntry>,
}

/// What a look at a source has found.
#[derive(Serialize)]
pub(super) struct ObserveEntry {
    asset: AssetKey,
    present: Parts,
    added: Option<Parts>,
    changed: Option<Parts>,
    removed: Option<Parts>,
    fault: Option<String>,
}

impl ObserveEntry {
    pub fn new(engine: &Engine, observed: &Observed) -> ObserveEntry {
        let domain = engine.planner().domain(&observed.asset);
        ObserveEntry {
            asset: observed.asset.clone(),
            present: Parts::new(domain, &observed.present),
            added: Parts::some(domain, &observed.added),
            changed: Parts::some(domain, &observed.changed),
            removed: Parts::some(domain, &observed.removed),
            fault: observed.fault.clone(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct GcDocument {
    dry_run: bool,
    traces: u64,
    blobs: AmountEntry,
    small: AmountEntry,
    runs: u64,
    attempts: u64,
    shrunk_bytes: u64,
    logs: AmountEntry,
    staging: AmountEntry,
    view: AmountEntry,
}

#[derive(Serialize)]
struct AmountEntry {
    count: u64,
    bytes: u64,
}

impl GcDocument {
    pub fn new(collected: &Collected, dry_run: bool) -> GcDocument {
        let Collected { traces, blobs, small, runs, logs, staging, view, .. } = *collected;
        let entry = |amount: Amount| AmountEntry { count: amount.count, bytes: amount.bytes };
        GcDocument {
            dry_run,
            traces,
            blobs: entry(blobs),
            small: entry(small),
            runs,
            attempts: collected.attempts,
            shrunk_bytes: collected.shrunk_bytes,
            logs: entry(logs),
            staging: entry(staging),
            view: entry(view),
        }
    }
}

#[derive(Serialize)]
pub(super) struct DoctorDocument<'a> {
    pub problems: Vec<ProblemEntry<'a>>,
}

#[derive(Serialize)]
pub(super) struct ProblemEntry<'a> {
    what: &'a str,
    help: &'a str,
}

impl<'a> ProblemEntry<'a> {
    pub fn new(problem: &'a Problem) -> ProblemEntry<'a> {
        ProblemEntry { what: &problem.what, help: &problem.help }
    }
}

/// A line of `--jsonl`.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum EventLine {
    Started {
        run: Option<u64>,
        certain: u64,
        possible: u64,
        restores: u64,
        fresh: u64,
    },
    StepStarted {
        asset: AssetKey,
        partition: String,
        attempt: u32,
    },
    StepSucceeded {
        asset: AssetKey,
        partition: String,
        duration_ms: u64,
        changed: bool,
        reasons: Vec<ReasonCode>,
    },
    CheckFailed {
        asset: AssetKey,
        partition: String,
        name: String,
        severity: &'static str,
        found: String,
    },
    StepFailed {
        asset: AssetKey,
        partition: String,
        duration_ms: u64,
        reason: String,
        log: Option<String>,
        log_tail: String,
    },
    CutOff {
        asset: AssetKey,
        #[serde(flatten)]
        parts: Parts,
    },
    Restored {
        asset: AssetKey,
        #[serde(flatten)]
        parts: Parts,
    },
    Blocked {
        asset: AssetKey,
        #[serde(flatten)]
        parts: Parts,
        reason: ReasonCode,
    },
    Exported {
        asset: AssetKey,
        partition: String,
        path: String,
    },
    Warning {
        message: String,
    },
    Finished(SummaryLine),
}

#[derive(Serialize)]
struct SummaryLine {
    success: bool,
    ran: u64,
    unchanged: u64,
    failed: u64,
    restored: u64,
    cut_off: u64,
    blocked: u64,
    checks_failed: u64,
    fresh: u64,
    cancelled: u64,
}

/// The line of `--jsonl` for an event.
pub(super) fn event_line(engine: &Engine, event: &RunEvent) -> String {
    let parts =
        |asset: &AssetKey, set: &PartitionSet| Parts::new(engine.planner().domain(asset), set);
    line(event, &parts)
}

fn line(event: &RunEvent, parts: &dyn Fn(&AssetKey, &PartitionSet) -> Parts) -> String {
    let ms =
        |duration: &std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let line = match event {
        RunEvent::Started { run, certain, possible, restores, fresh, results: _ } => {
            EventLine::Started {
                run: run.map(|run| run.0),
                certain: *certain,
                possible: *possible,
                restores: *restores,
                fresh: *fresh,
            }
        }
        RunEvent::StepStarted { asset, partition, attempt } => EventLine::StepStarted {
            asset: asset.clone(),
            partition: partition.to_string(),
            attempt: *attempt,
        },
        RunEvent::StepSucceeded { asset, partition, duration, changed, reasons } => {
            EventLine::StepSucceeded {
                asset: asset.clone(),
                partition: partition.to_string(),
                duration_ms: ms(duration),
                changed: *changed,
                reasons: reasons.clone(),
            }
        }
        RunEvent::CheckFailed { asset, partition, name, severity, found } => {
            EventLine::CheckFailed {
                asset: asset.clone(),
                partition: partition.to_string(),
                name: name.clone(),
                severity: severity.as_str(),
                found: found.clone(),
            }
        }
        RunEvent::StepFailed { asset, partition, duration, reason, log, log_tail } => {
            EventLine::StepFailed {
                asset: asset.clone(),
                partition: partition.to_string(),
                duration_ms: ms(duration),
                reason: reason.clone(),
                log: log.as_ref().map(|path| path.display().to_string()),
                log_tail: log_tail.clone(),
            }
        }
        RunEvent::CutOff { asset, parts: set } => {
            EventLine::CutOff { asset: asset.clone(), parts: parts(asset, set) }
        }
        RunEvent::Restored { asset, parts: set } => {
            EventLine::Restored { asset: asset.clone(), parts: parts(asset, set) }
        }
        RunEvent::Blocked { asset, parts: set, reason } => {
            EventLine::Blocked { asset: asset.clone(), parts: parts(asset, set), reason: *reason }
        }
        RunEvent::Exported { asset, partition, path } => EventLine::Exported {
            asset: asset.clone(),
            partition: partition.to_string(),
            path: path.display().to_string(),
        },
        RunEvent::Warning { message } => EventLine::Warning { message: message.clone() },
        RunEvent::Finished { summary } => EventLine::Finished(SummaryLine::new(summary)),
    };
    serde_json::to_string(&line).expect("the keys are text") + "\n"
}

impl SummaryLine {
    fn new(summary: &Summary) -> SummaryLine {
        let Summary { ran, unchanged, failed, restored, .. } = *summary;
        let Summary { cut_off, blocked, checks_failed, fresh, cancelled, .. } = *summary;
        let success = summary.is_success();
        SummaryLine {
            success,
            ran,
            unchanged,
            failed,
            restored,
            cut_off,
            blocked,
            checks_failed,
            fresh,
            cancelled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{PartitionKey, RunId};
    use expect_test::expect;
    use std::time::Duration;

    #[test]
    fn events_keep_their_names() {
        let asset = AssetKey::parse("a").unwrap();
        let partition = PartitionKey::new("2014-07-04");
        let set: PartitionSet = [1, 2].into_iter().collect();
        let events = [
            RunEvent::Started {
                run: Some(RunId(3)),
                certain: 1,
                possible: 2,
                restores: 0,
                results: 3,
                fresh: 4,
            },
            RunEvent::StepStarted {
                asset: asset.clone(),
                partition: partition.clone(),
                attempt: 1,
            },
            RunEvent::StepSucceeded {
                asset: asset.clone(),
                partition: partition.clone(),
                duration: Duration::from_millis(5),
                changed: false,
                reasons: vec![ReasonCode::CodeChanged],
            },
            RunEvent::StepFailed {
                asset: asset.clone(),
                partition,
                duration: Duration::from_millis(5),
                reason: "exit status 3".into(),
                log: Some("x.log".into()),
                log_tail: "boo\n".into(),
            },
            RunEvent::CutOff { asset: asset.clone(), parts: set.clone() },
            RunEvent::Restored { asset: asset.clone(), parts: set.clone() },
            RunEvent::Blocked { asset, parts: set, reason: ReasonCode::UpstreamFailed },
            RunEvent::Warning { message: "w".into() },
            RunEvent::Finished { summary: Summary { ran: 1, ..Summary::default() } },
        ];
        let parts = |_: &AssetKey, set: &PartitionSet| Parts {
            count: set.len(),
            ranges: vec!["1..2".into()],
        };
        let text: String = events.iter().map(|event| line(event, &parts)).collect();
        expect![[r#"
            {"event":"started","run":3,"certain":1,"possible":2,"restores":0,"fresh":4}
            {"event":"step-started","asset":"a","partition":"2014-07-04","attempt":1}
            {"event":"step-succeeded","asset":"a","partition":"2014-07-04","duration_ms":5,"changed":false,"reasons":["code-changed"]}
            {"event":"step-failed","asset":"a","partition":"2014-07-04","duration_ms":5,"reason":"exit status 3","log":"x.log","log_tail":"boo\n"}
            {"event":"cut-off","asset":"a","count":2,"ranges":["1..2"]}
            {"event":"restored","asset":"a","count":2,"ranges":["1..2"]}
            {"event":"blocked","asset":"a","count":2,"ranges":["1..2"],"reason":"upstream-failed"}
            {"event":"warning","message":"w"}
            {"event":"finished","success":true,"ran":1,"unchanged":0,"failed":0,"restored":0,"cut_off":0,"blocked":0,"checks_failed":0,"fresh":0,"cancelled":0}
        "#]].assert_eq(&text);
    }
}
