//! What a query did: which partitions ran, and which did not have to; and the states of an asset.

use std::collections::BTreeMap;
use std::fmt;

use crate::base::{AssetKey, PartitionKey, PartitionSet};
use crate::engine::{Engine, RunEvent, State, Summary};
use crate::plan::ReasonCode;

/// One partition of one asset: `daily@2014-07-04`, or `report` for an asset without partitions.
///
/// ```
/// use giornata::api::{AssetKey, PartitionKey, PartitionRef};
/// let asset = AssetKey::parse("daily")?;
/// let day = PartitionRef { asset: asset.clone(), partition: PartitionKey::new("2014-07-04") };
/// assert_eq!(day.to_string(), "daily@2014-07-04");
/// let all = PartitionRef { asset, partition: PartitionKey::unpartitioned() };
/// assert_eq!(all.to_string(), "daily");
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PartitionRef {
    /// The name of the asset.
    pub asset: AssetKey,
    /// The key; that of the one partition there is for an asset without partitions.
    pub partition: PartitionKey,
}

impl fmt::Display for PartitionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.partition.is_unpartitioned() {
            write!(f, "{}", self.asset)
        } else {
            write!(f, "{}@{}", self.asset, self.partition)
        }
    }
}

/// A step that failed.
///
/// ```
/// use giornata::api::{Error, Project};
/// # let dir = tempfile::tempdir()?;
/// let mut project = Project::new("letters", dir.path());
/// let letter = project
///     .asset("letter")
///     .keys(["a", "b"])
///     .compute(|ctx| match ctx.partition().as_str() {
///         "b" => Err("no ink".into()),
///         key => Ok(key.to_owned()),
///     });
/// let Err(Error::Failed { report, .. }) = project.materialize(&letter, "all") else { panic!() };
/// assert_eq!(report.failed[0].what.to_string(), "letter@b");
/// assert_eq!(report.failed[0].reason, "no ink");
/// assert_eq!(report.ran[0].to_string(), "letter@a");
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedStep {
    /// What it was to make.
    pub what: PartitionRef,
    /// What the function said, or why its result could not be kept.
    pub reason: String,
}

/// Partitions that could not be tried.
///
/// ```
/// use giornata::api::{Error, Project};
/// # let dir = tempfile::tempdir()?;
/// let mut project = Project::new("letters", dir.path());
/// let draft = project.source("draft").files_as::<String>("draft.md");
/// let letter = project.asset("letter").input(&draft).compute(|_, draft| Ok(draft));
/// let Err(Error::Failed { report, .. }) = project.materialize(&letter, "all") else { panic!() };
/// assert_eq!(report.blocked[0].asset.as_str(), "letter");
/// assert_eq!(report.blocked[0].code.as_str(), "missing-input");
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// The name of the asset.
    pub asset: AssetKey,
    /// The keys of its partitions that could not be tried.
    pub partitions: Vec<PartitionKey>,
    /// The kind of reason that they have in common.
    pub code: ReasonCode,
    /// Of the first of them, in a sentence.
    pub reason: String,
}

/// What was done to bring something up to date: which partitions ran, and why others did not have to.
///
/// ```
/// use giornata::api::Project;
/// # let dir = tempfile::tempdir()?;
/// let mut project = Project::new("letters", dir.path());
/// let letter = project
///     .asset("letter")
///     .keys(["a", "b"])
///     .compute(|ctx| Ok(ctx.partition().to_string()));
/// let report = project.materialize(&letter, "all")?;
/// assert_eq!((report.summary.ran, report.is_idle()), (2, false));
/// assert!(report.is_success() && report.reason().is_empty());
/// assert!(project.materialize(&letter, "all")?.is_idle());
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// How many partitions there were of each kind.
    pub summary: Summary,
    /// Ran and succeeded, in the order in which they were recorded.
    pub ran: Vec<PartitionRef>,
    /// Right as they were, because what they read turned out not to have changed.
    pub cut_off: Vec<PartitionRef>,
    /// Brought back from earlier results.
    pub restored: Vec<PartitionRef>,
    /// Failed after their last attempt; their last good results stay.
    pub failed: Vec<FailedStep>,
    /// Not tried, because something that they read failed or is missing.
    pub blocked: Vec<Blocked>,
    /// What should be looked at, though nothing failed by it, such as files that belong to no partition.
    pub warnings: Vec<String>,
}

impl Report {
    /// Whether nothing had to be done; see the example of [`Report`].
    pub fn is_idle(&self) -> bool {
        self.summary.is_idle()
    }

    /// Whether everything that was wanted is fresh now; see the example of [`Report`].
    pub fn is_success(&self) -> bool {
        self.summary.is_success()
    }

    /// Why it did not succeed, in one line, the first failure and how many more; empty if it did. See the
    /// example of [`Report`].
    pub fn reason(&self) -> String {
        let failed =
            self.failed.iter().map(|step| format!("`{}` failed: {}", step.what, step.reason));
        let missing =
            self.blocked.iter().filter(|blocked| blocked.code != ReasonCode::UpstreamFailed);
        let blocked = missing.map(|blocked| {
            let first = blocked.partitions.first().cloned();
            let partition = first.unwrap_or_else(PartitionKey::unpartitioned);
            let what = PartitionRef { asset: blocked.asset.clone(), partition };
            format!("`{what}` is blocked: {}", blocked.reason)
        });
        let all: Vec<String> = failed.chain(blocked).collect();
        match all.as_slice() {
            [] if self.summary.cancelled > 0 => "it was cancelled".to_owned(),
            [first, _, .., _] => format!("{first} (and {} more)", all.len() - 1),
            few => few.join("; "),
        }
    }

    /// Takes in one event of a run, for a program that drives the engine itself.
    ///
    /// ```
    /// use giornata::api::{Project, Report};
    /// use giornata::engine::{Engine, RunOptions};
    /// use giornata::exec::Control;
    /// # use giornata::engine::{Access, Options};
    /// # use giornata::plan::{Reach, Request};
    /// # let dir = tempfile::tempdir()?;
    /// # let mut project = Project::new("letters", dir.path());
    /// # project.asset("letter").compute(|_| Ok("Dear all".to_owned()));
    /// # let giornata::api::Program { project, functions, root, .. } = project.resolve(dir.path())?;
    /// # let clock = std::sync::Arc::new(giornata::base::FixedClock("2026-01-01T00:00:00Z".parse()?));
    /// # let (env, set, access) = (vec![], vec![], Access::Write);
    /// # let options = Options { root, access, functions, clock, env, set };
    /// # let mut engine = Engine::open(project, options)?;
    /// # let letter = giornata::api::AssetKey::parse("letter")?;
    /// # let parts = engine.planner().domain(&letter).all().clone();
    /// # let (targets, chosen) = ([(letter, parts)].into(), Default::default());
    /// # let request = Request { targets, chosen, reach: Reach::Upstream, force: false };
    /// let mut report = Report::default();
    /// let hear = &mut |engine: &Engine, event| report.hear(engine, event);
    /// engine.materialize(&request, &RunOptions::default(), &Control::new(), hear)?;
    /// assert_eq!(report.ran[0].to_string(), "letter");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn hear(&mut self, engine: &Engine, event: RunEvent) {
        match event {
            RunEvent::StepSucceeded { asset, partition, .. } => {
                self.ran.push(PartitionRef { asset, partition });
            }
            RunEvent::StepFailed { asset, partition, reason, .. } => {
                self.failed.push(FailedStep { what: PartitionRef { asset, partition }, reason });
            }
            RunEvent::CutOff { asset, parts } => self.cut_off.extend(refs(engine, &asset, &parts)),
            RunEvent::Restored { asset, parts } => {
                self.restored.extend(refs(engine, &asset, &parts));
            }
            RunEvent::Blocked { asset, parts, reason } => {
                let partitions = refs(engine, &asset, &parts).map(|it| it.partition).collect();
                let text = blocked_text(engine, &asset, &parts, reason);
                self.blocked.push(Blocked { asset, partitions, code: reason, reason: text });
            }
            RunEvent::Warning { message } => self.warnings.push(message),
            RunEvent::CheckFailed { asset, partition, name, found, .. } => {
                let at = if partition.is_unpartitioned() {
                    String::new()
                } else {
                    format!("@{partition}")
                };
                self.warnings.push(format!("check `{name}` of `{asset}{at}` failed: {found}"));
            }
            RunEvent::Finished { summary } => self.summary = summary,
            RunEvent::Started { .. } | RunEvent::StepStarted { .. } | RunEvent::Exported { .. } => {
            }
        }
    }
}

fn refs<'a>(
    engine: &'a Engine,
    asset: &'a AssetKey,
    parts: &'a PartitionSet,
) -> impl Iterator<Item = PartitionRef> + 'a {
    let domain = engine.planner().domain(asset);
    parts.iter().map(|part| PartitionRef {
        asset: asset.clone(),
        partition: domain.key(part).unwrap_or_else(PartitionKey::unpartitioned),
    })
}

/// What is missing, as `why` says it.
fn blocked_text(
    engine: &Engine,
    asset: &AssetKey,
    parts: &PartitionSet,
    code: ReasonCode,
) -> String {
    let why = parts.min().and_then(|part| engine.why(asset, part).ok());
    let causes = why.map(|why| why.causes).unwrap_or_default();
    let cause = causes.iter().find(|cause| cause.code == code).or(causes.first());
    cause.map_or_else(|| code.as_str().to_owned(), |cause| cause.text.clone())
}

/// The partitions of an asset by state, as of when it was asked for.
///
/// ```
/// use giornata::api::{Project, State};
/// # let dir = tempfile::tempdir()?;
/// let mut project = Project::new("letters", dir.path());
/// let letter = project
///     .asset("letter")
///     .keys(["a", "b", "c"])
///     .compute(|ctx| Ok(ctx.partition().to_string()));
/// project.get(&letter, "b")?;
/// let status = project.status(&letter)?;
/// assert_eq!(status.count(State::Fresh), 1);
/// assert_eq!(status.partitions(State::Missing), ["a", "c"]);
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The name of the asset.
    pub asset: AssetKey,
    states: BTreeMap<State, (u64, Vec<String>)>,
}

impl Status {
    pub(super) fn of(engine: &Engine, asset: &AssetKey) -> Result<Status, crate::engine::Error> {
        let status = engine.status(asset)?;
        let domain = engine.planner().domain(asset);
        let render =
            |(state, set): (State, PartitionSet)| (state, (set.len(), domain.render(&set)));
        let states = status.sets.into_iter().map(render).collect();
        Ok(Status { asset: status.asset, states })
    }

    /// How many partitions are in a state; see the example of [`Status`].
    pub fn count(&self, state: State) -> u64 {
        self.states.get(&state).map_or(0, |(count, _)| *count)
    }

    /// Which partitions are in a state, as keys and ranges, `2014-07-01..2014-07-03`; none if nothing is. See
    /// the example of [`Status`].
    pub fn partitions(&self, state: State) -> &[String] {
        self.states.get(&state).map_or(&[], |(_, partitions)| partitions)
    }
}
