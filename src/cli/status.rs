//! `giornata status`: how many partitions of each asset are in which state, and which need attention.

use std::collections::BTreeSet;

use clap::Args;

use super::Done;
use super::error::CliError;
use super::json::{Document, StatusDocument, StatusEntry};
use super::session::Session;
use super::table::{self, Align};
use super::targets::{Spec, without_partitions};
use super::text::{self, Length};
use crate::base::PartitionSet;
use crate::defs::Domain;
use crate::engine::{Access, AssetStatus, State};

/// Say what is fresh, stale, missing or failed
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Which assets; all if not given.
    #[arg(value_name = "SELECTION")]
    selection: Vec<String>,
    /// Exit with status 1 unless everything is fresh.
    #[arg(long)]
    check: bool,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &StatusArgs, session: Session<'_>) -> Result<Done, CliError> {
    let mut workspace = session.workspace()?;
    let specs = Spec::parse_or_all(&args.selection)?;
    without_partitions(&specs)?;
    let (engine, sets) = workspace.open(&specs, Access::Read, &[])?;
    let keys: BTreeSet<_> = sets.into_iter().flatten().collect();
    // Upstream first, as things are made.
    let order = engine.planner().order().iter().filter(|key| keys.contains(*key));
    let status = |key| Ok((engine.planner().domain(key), engine.status(key)?));
    let assets: Result<Vec<(&Domain, AssetStatus)>, CliError> =
        engine.in_one_read(|| order.map(status).collect());
    let assets = assets?;
    let output = if args.json {
        let entry = |(domain, status): &(&Domain, AssetStatus)| StatusEntry::new(domain, status);
        Document::text(StatusDocument { assets: assets.iter().map(entry).collect() })
    } else {
        render(&assets, Length::of(workspace.term.is_verbose))
    };
    workspace.term.print(&output);
    let is_stale = |(_, status): &(&Domain, AssetStatus)| needs_attention(status);
    let has_errors = workspace.diagnostics.iter().any(crate::load::Diagnostic::is_error);
    let failed =
        args.check && (assets.iter().any(is_stale) || args.selection.is_empty() && has_errors);
    Ok(if failed { Done::Failed } else { Done::Fine })
}

fn count(status: &AssetStatus, state: State) -> u64 {
    status.sets.get(&state).map_or(0, PartitionSet::len)
}

fn needs_attention(status: &AssetStatus) -> bool {
    let settled = [State::Fresh, State::Orphaned];
    !status.checks_failed.is_empty()
        || State::ALL.iter().any(|state| !settled.contains(state) && count(status, *state) > 0)
}

/// A table of counts; columns that nothing is in are left out, except the common ones.
fn render(assets: &[(&Domain, AssetStatus)], length: Length) -> String {
    let always = [State::Fresh, State::Stale, State::Missing, State::Failed];
    let columns = [
        State::Fresh,
        State::Stale,
        State::MaybeStale,
        State::Missing,
        State::Failed,
        State::Blocked,
        State::Running,
        State::Orphaned,
    ];
    let is_shown =
        |state: &State| always.contains(state) || assets.iter().any(|(_, s)| count(s, *state) > 0);
    let columns: Vec<State> = columns.into_iter().filter(is_shown).collect();
    let names: Vec<String> = columns.iter().map(|state| state.as_str().to_uppercase()).collect();
    let mut heading = vec![("ASSET", Align::Left)];
    heading.extend(names.iter().map(|name| (name.as_str(), Align::Right)));
    let row = |(_, status): &(&Domain, AssetStatus)| {
        let mut row = vec![status.asset.to_string()];
        row.extend(columns.iter().map(|state| count(status, *state).to_string()));
        row
    };
    let mut text = table::render(&heading, assets.iter().map(row).collect());
    text += &attention(assets, length);
    text
}

/// Which partitions the counts are about.
fn attention(assets: &[(&Domain, AssetStatus)], length: Length) -> String {
    let mut rows = Vec::new();
    for (domain, status) in assets {
        for (state, set) in &status.sets {
            if *state != State::Fresh && !set.is_empty() {
                let ranges = text::ranges(domain, set, length);
                rows.push(vec![status.asset.to_string(), state.as_str().to_owned(), ranges]);
            }
        }
        let checks =
            [("check failed", &status.checks_failed), ("check warned", &status.checks_warned)];
        for (name, set) in checks.into_iter().filter(|(_, set)| !set.is_empty()) {
            let ranges = text::ranges(domain, set, length);
            rows.push(vec![status.asset.to_string(), name.to_owned(), ranges]);
        }
    }
    if rows.is_empty() {
        return String::new();
    }
    let columns = [("ASSET", Align::Left), ("STATE", Align::Left), ("PARTITIONS", Align::Left)];
    format!("\n{}", table::render(&columns, rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::AssetKey;
    use crate::defs::PartitionsDef;
    use expect_test::expect;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    #[test]
    fn counts_come_first_and_then_what_needs_attention() {
        let keys = ["eu", "us", "jp"].map(crate::base::PartitionKey::new).to_vec();
        let def = Arc::new(PartitionsDef::Static(keys));
        let domain = Domain::resolve(def, chrono::DateTime::UNIX_EPOCH, &BTreeMap::new());
        let set = |keys: &[&str]| keys.iter().filter_map(|key| domain.index(key)).collect();
        let status = AssetStatus {
            asset: AssetKey::parse("sales").unwrap(),
            sets: BTreeMap::from([
                (State::Fresh, set(&["eu"])),
                (State::Stale, set(&["us"])),
                (State::Missing, set(&["jp"])),
            ]),
            reasons: Vec::new(),
            nondeterministic: PartitionSet::new(),
            checks_failed: PartitionSet::new(),
            checks_warned: PartitionSet::new(),
        };
        assert!(needs_attention(&status));
        let text = render(&[(&domain, status)], Length::Short);
        expect![[r#"
            ASSET  FRESH  STALE  MISSING  FAILED
            sales      1      1        1       0

            ASSET  STATE    PARTITIONS
            sales  missing  jp
            sales  stale    us
        "#]]
        .assert_eq(&text);
    }
}
