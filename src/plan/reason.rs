//! Why a partition is not fresh: codes, and what two versions of a step differ in.

use serde::Serialize;

use crate::base::StepParts;
use crate::defs::{Asset, Body, SourceDef};

/// The kind of a reason. The text form is the one in JSON and in every listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReasonCode {
    /// There is no result yet.
    Missing,
    /// The SQL text, script, command line, interpreter, function or declared version differs.
    CodeChanged,
    /// A configuration value differs.
    ConfigChanged,
    /// A declared environment variable differs.
    EnvChanged,
    /// An upstream asset was added to what the step reads.
    InputsAdded,
    /// An upstream asset was removed from what the step reads.
    InputsRemoved,
    /// An upstream asset is read through another mapping.
    MappingChanged,
    /// The declared output or its checks differ.
    OutputChanged,
    /// A source has other content.
    InputChanged,
    /// The command of a source says another version.
    ObservedVersionChanged,
    /// An upstream asset has another result.
    UpstreamChanged,
    /// An earlier partition of the asset itself has another result.
    PreviousPartitionChanged,
    /// A partition is read that was not there before.
    InputAdded,
    /// A partition that was read is not there any more.
    InputRemoved,
    /// The mapping gives other partitions than before, for another reason than these.
    InputsMoved,
    /// Something upstream has to be made first.
    UpstreamStale,
    /// Something upstream failed.
    UpstreamFailed,
    /// An input that the mapping names has no data.
    MissingInput,
    /// The content of the result is gone from the store.
    BlobMissing,
    /// Not stale: an exported file was changed, and is put back.
    OutputModifiedOutside,
    /// An input changed while the step ran.
    InputChangedDuringRun,
    /// Marked as stale by hand.
    Invalidated,
    /// The result is older than its `ttl` allows.
    Expired,
    /// Made anew in every invocation.
    Volatile,
    /// The source could not be looked at.
    SourceFailed,
    /// Run whatever its state, because that was asked for.
    Forced,
    /// The last attempt failed.
    Failed,
    /// The engine itself computes in another way.
    EngineChanged,
}

impl ReasonCode {
    /// `code-changed` and so on.
    pub fn as_str(self) -> &'static str {
        match self {
            ReasonCode::Missing => "missing",
            ReasonCode::CodeChanged => "code-changed",
            ReasonCode::ConfigChanged => "config-changed",
            ReasonCode::EnvChanged => "env-changed",
            ReasonCode::InputsAdded => "inputs-added",
            ReasonCode::InputsRemoved => "inputs-removed",
            ReasonCode::MappingChanged => "mapping-changed",
            ReasonCode::OutputChanged => "output-changed",
            ReasonCode::InputChanged => "input-changed",
            ReasonCode::ObservedVersionChanged => "observed-version-changed",
            ReasonCode::UpstreamChanged => "upstream-changed",
            ReasonCode::PreviousPartitionChanged => "previous-partition-changed",
            ReasonCode::InputAdded => "input-added",
            ReasonCode::InputRemoved => "input-removed",
            ReasonCode::InputsMoved => "inputs-moved",
            ReasonCode::UpstreamStale => "upstream-stale",
            ReasonCode::UpstreamFailed => "upstream-failed",
            ReasonCode::MissingInput => "missing-input",
            ReasonCode::BlobMissing => "blob-missing",
            ReasonCode::OutputModifiedOutside => "output-modified-outside",
            ReasonCode::InputChangedDuringRun => "input-changed-during-run",
            ReasonCode::Invalidated => "invalidated",
            ReasonCode::Expired => "expired",
            ReasonCode::Volatile => "volatile",
            ReasonCode::SourceFailed => "source-failed",
            ReasonCode::Forced => "forced",
            ReasonCode::Failed => "failed",
            ReasonCode::EngineChanged => "engine-changed",
        }
    }
}

/// What it is called that an input of `asset` has another version.
pub fn changed_code(asset: &Asset, upstream: &Asset) -> ReasonCode {
    match &upstream.body {
        Body::Source(SourceDef::Observe { .. }) => ReasonCode::ObservedVersionChanged,
        Body::Source(SourceDef::Files { .. } | SourceDef::Dir { .. }) => ReasonCode::InputChanged,
        // Another asset makes them.
        Body::Source(SourceDef::Pieces { .. }) => ReasonCode::UpstreamChanged,
        Body::Sql(_) | Body::Command(_) | Body::Function(_) | Body::Graph(_)
            if upstream.key == asset.key =>
        {
            ReasonCode::PreviousPartitionChanged
        }
        Body::Sql(_) | Body::Command(_) | Body::Function(_) | Body::Graph(_) => {
            ReasonCode::UpstreamChanged
        }
    }
}

impl std::fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// One part in which two versions of a step differ; `None` where a version lacks the part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartChange {
    pub code: ReasonCode,
    /// `code`, `config.threshold`, `deps.raw_weather` ...
    pub part: String,
    pub old: Option<String>,
    pub new: Option<String>,
}

/// Everything in which `new` differs from `old`, by name of the part.
pub fn step_changes(old: &StepParts, new: &StepParts) -> Vec<PartChange> {
    let names: std::collections::BTreeSet<&String> = old.0.keys().chain(new.0.keys()).collect();
    let change = |name: &String| {
        let (before, after) = (old.0.get(name), new.0.get(name));
        (before != after).then(|| PartChange {
            code: part_code(name, before, after),
            part: name.clone(),
            old: before.cloned(),
            new: after.cloned(),
        })
    };
    names.into_iter().filter_map(change).collect()
}

/// The codes of [`step_changes`], each once.
pub fn step_codes(old: &StepParts, new: &StepParts) -> Vec<ReasonCode> {
    let mut codes: Vec<ReasonCode> = step_changes(old, new).iter().map(|c| c.code).collect();
    codes.sort();
    codes.dedup();
    codes
}

fn part_code(name: &str, old: Option<&String>, new: Option<&String>) -> ReasonCode {
    match (name.split('.').next().unwrap_or(name), old, new) {
        ("config" | "resource", _, _) => ReasonCode::ConfigChanged,
        ("env", _, _) => ReasonCode::EnvChanged,
        ("deps", None, _) => ReasonCode::InputsAdded,
        ("deps", _, None) => ReasonCode::InputsRemoved,
        ("deps", _, _) => ReasonCode::MappingChanged,
        ("output" | "checks", _, _) => ReasonCode::OutputChanged,
        ("engine", _, _) => ReasonCode::EngineChanged,
        (_, _, _) => ReasonCode::CodeChanged,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(list: &[(&str, &str)]) -> StepParts {
        StepParts(list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn names_what_two_steps_differ_in() {
        let old = parts(&[("code", "a"), ("config.x", "1"), ("deps.raw", "all")]);
        let new = parts(&[("code", "b"), ("config.x", "1"), ("deps.daily", "all")]);
        let codes = step_codes(&old, &new);
        use ReasonCode::{CodeChanged, InputsAdded, InputsRemoved};
        assert_eq!(codes, [CodeChanged, InputsAdded, InputsRemoved]);
        let changes = step_changes(&old, &new);
        assert_eq!((changes[0].old.as_deref(), changes[0].new.as_deref()), (Some("a"), Some("b")));
    }
}
