//! What can go wrong with a project as a whole, as opposed to one of its steps.

use std::path::PathBuf;

use crate::base::{AssetKey, BackfillId, PartitionKey};
use crate::store::BackfillState;

/// Why the engine could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The content of a source is not what its declaration says.
    #[error("observe source `{asset}`: {problem}")]
    Unreadable { asset: AssetKey, problem: String },
    #[error("observe source `{asset}`: {problem}")]
    Source { asset: AssetKey, problem: String },
    #[error("read `{}`", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("write `{}`", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("remove `{}`", path.display())]
    Remove {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("look at `{}`", path.display())]
    Look {
        path: PathBuf,
        #[source]
        source: crate::cas::Error,
    },
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    #[error(transparent)]
    Cas(#[from] crate::cas::Error),
    #[error("other processes keep changing the records of this project; try again")]
    Restless,
    #[error("a worker thread died; this is a fault of giornata")]
    WorkerDied,
    #[error("no asset has a configured value `{name}`; `giornata show ASSET` lists them")]
    UnknownConfig { name: String },
    #[error("`{asset}` has no result{}; `giornata materialize` makes it", of(partition))]
    NoResult { asset: AssetKey, partition: PartitionKey },
    #[error("`{asset}` has a version{} and no content that could be read", of(partition))]
    NoContent { asset: AssetKey, partition: PartitionKey },
    #[error("the content {} of a result of `{asset}` is gone from the store or damaged; `giornata doctor --deep` takes note of it, `giornata materialize {asset}` makes it again", digest.short())]
    Lost { asset: AssetKey, digest: crate::base::Digest },
    #[error("`{asset}` is not an asset of this project")]
    UnknownAsset { asset: String },
    #[error("a result of `{asset}` cannot be taken: {why}")]
    Refused { asset: AssetKey, why: super::upkeep::Refusal },
    #[error("a result of `{asset}` cannot be taken: {problem}")]
    Report { asset: AssetKey, problem: String },
    #[error("nothing is said of the result of `{asset}`; give a version, a path or both")]
    NothingReported { asset: AssetKey },
    #[error("`{asset}` cannot have these partitions: {problem}")]
    Domain { asset: AssetKey, problem: String },
    #[error("`{asset}` has no such partitions now that its pieces are made: {problem}")]
    NotMade { asset: AssetKey, problem: String },
    #[error("the partitions of `{asset}` cannot be changed by hand: {problem}")]
    Keys { asset: AssetKey, problem: String },
    #[error("nothing was removed: which contents the directory {} needs cannot be read; `giornata doctor` takes note of damage", digest.short())]
    UnknownUse {
        digest: crate::base::Digest,
        #[source]
        source: std::io::Error,
    },
    #[error("there is no job `{job}`{}", hint(similar))]
    UnknownJob { job: String, similar: Option<String> },
    #[error("the job `{job}` is a selection of assets, which is materialized")]
    JobOfAssets { job: String },
    #[error("`{text}` selects no ops of the job `{job}`: {error}")]
    Ops { job: String, text: String, error: Box<crate::defs::SelectionError> },
    #[error("the files of the op `{op}` cannot be found: {problem}")]
    OpFiles { op: String, problem: String },
    #[error(
        "the digest of this program, which stands for the version of its functions, cannot be had: {reason}"
    )]
    Executable { reason: String },
    /// Nothing was started; `problems` are all that are known.
    #[error("the job `{job}` cannot start: {}", problems.join("; "))]
    Launch { job: String, problems: Vec<String> },
    /// An IO manager of an asset.
    #[error("look at where `{what}` is put")]
    Manager {
        what: String,
        #[source]
        source: crate::io::IoError,
    },
    /// Each problem is a sentence.
    #[error("{}", problems.join("\n"))]
    Resources { problems: Vec<String> },
    #[error("there is no backfill {backfill}{}", if *is_run { "; that is the number of a run" } else { "" })]
    UnknownBackfill { backfill: BackfillId, is_run: bool },
    #[error("what backfill {backfill} was asked for cannot be read")]
    UnreadableBackfill {
        backfill: BackfillId,
        #[source]
        source: serde_json::Error,
    },
    #[error(
        "backfill {backfill} cannot be taken up: {}",
        if *is_broken { format!("`{asset}` cannot be used, because of an error in its definition") }
        else if *is_there { format!("the partitions of `{asset}` are declared otherwise now") }
        else { format!("there is no asset `{asset}` any more") }
    )]
    BackfillRenumbered { backfill: BackfillId, asset: AssetKey, is_there: bool, is_broken: bool },
    #[error(
        "backfill {backfill} cannot be taken up: the partitions of job `{job}` are declared otherwise now"
    )]
    JobRenumbered { backfill: BackfillId, job: String },
    #[error("backfill {backfill} {}", taken(*state))]
    BackfillState { backfill: BackfillId, state: BackfillState },
    #[error("nothing of backfill {backfill} has failed")]
    NothingFailed { backfill: BackfillId },
    #[error("there is no run {run}{}", newest(last))]
    UnknownRun { run: crate::base::RunId, last: Option<crate::base::RunId> },
    #[error("the store cannot be written to, so nothing can be run")]
    ReadOnly,
}

/// Why a backfill in this state cannot be taken up.
fn taken(state: BackfillState) -> &'static str {
    match state {
        BackfillState::Running => "still goes on",
        BackfillState::Success => "has succeeded, so that nothing is left",
        BackfillState::Paused
        | BackfillState::Failure
        | BackfillState::Cancelled
        | BackfillState::Interrupted => "was taken up by another process",
    }
}

fn newest(last: &Option<crate::base::RunId>) -> String {
    match last {
        Some(last) => format!(": the newest is {last}; old ones go with `giornata gc`"),
        None => ": there has been none".to_owned(),
    }
}

fn hint(similar: &Option<String>) -> String {
    similar.as_ref().map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

fn of(partition: &PartitionKey) -> String {
    if partition.is_unpartitioned() { String::new() } else { format!(" for `{partition}`") }
}
