//! `giornata observe`: looks at sources now, and says what has changed.

use clap::Args;

use super::Done;
use super::error::CliError;
use super::json::{Document, ObserveDocument, ObserveEntry};
use super::session::Session;
use super::targets::{Spec, without_partitions};
use super::text::{self, Length};
use crate::base::PartitionSet;
use crate::engine::{Access, Engine, Observed};

/// Look at sources now, and say what has changed since the last look
///
/// Commands that print versions are asked whatever their `ttl`. Every other command that needs a source
/// looks at it as well.
#[derive(Debug, Args)]
pub(super) struct ObserveArgs {
    /// Which sources; all if not given. Of other assets: the sources that they read.
    #[arg(value_name = "SELECTION")]
    selection: Vec<String>,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ObserveArgs, session: Session<'_>) -> Result<Done, CliError> {
    let mut workspace = session.workspace()?;
    let specs = Spec::parse_or_all(&args.selection)?;
    without_partitions(&specs)?;
    let sets = workspace.select(&specs, None)?;
    workspace.mention_broken();
    let mut engine = workspace.engine(Access::Write, &[])?;
    let mut wanted: std::collections::BTreeSet<_> = sets.into_iter().flatten().collect();
    for key in engine.planner().order().iter().rev() {
        if wanted.contains(key) {
            wanted.extend(engine.project().assets[key].deps.iter().map(|d| d.upstream.clone()));
        }
    }
    let sources: Vec<_> =
        wanted.into_iter().filter(|key| engine.project().assets[key].is_source()).collect();
    let (observed, warnings) = engine.observe(&sources)?;
    for warning in warnings {
        workspace.term.warning(&warning);
    }
    let failed = observed.iter().any(|observed| observed.fault.is_some());
    let output = if args.json {
        let entry = |observed| ObserveEntry::new(&engine, observed);
        Document::text(ObserveDocument { sources: observed.iter().map(entry).collect() })
    } else {
        let length = Length::of(workspace.term.is_verbose);
        observed.iter().map(|observed| render(&engine, observed, length)).collect()
    };
    workspace.term.print(&output);
    Ok(if failed { Done::Failed } else { Done::Fine })
}

fn render(engine: &Engine, observed: &Observed, length: Length) -> String {
    let Observed { asset, present, added, changed, removed, fault } = observed;
    let domain = engine.planner().domain(asset);
    let part = |word: &str, set: &PartitionSet| {
        let ranges = text::ranges(domain, set, length);
        match (set.is_empty(), ranges.is_empty()) {
            (true, _) => None,
            (false, true) => Some(word.to_owned()),
            (false, false) => Some(format!("{} {word}: {ranges}", set.len())),
        }
    };
    let news = [part("new", added), part("changed", changed), part("gone", removed)];
    let news: Vec<String> = news.into_iter().flatten().collect();
    let text = match (fault, news.is_empty()) {
        (Some(_), _) => "not observed".to_owned(),
        (None, false) => news.join("; "),
        (None, true) if present.is_empty() => "no data".to_owned(),
        (None, true) => "unchanged".to_owned(),
    };
    format!("{asset}: {text}\n")
}
