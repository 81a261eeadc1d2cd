//! `giornata why`: the reasons for a state, old and new, to the root causes.

use clap::Args;

use super::Done;
use super::error::CliError;
use super::json::{Document, ReasonEntry, StatusEntry, WhyEntry, WhyGroups};
use super::session::Session;
use super::targets::{Spec, one_partition, only};
use super::text::{self, Length};
use crate::defs::Domain;
use crate::engine::{Access, AssetStatus, State};
use crate::plan::{Cause, ReasonCode, Why};

/// Explain why a partition is in the state in which it is
///
/// Without a partition: the reasons of all partitions of the asset, in groups.
#[derive(Debug, Args)]
pub(super) struct WhyArgs {
    /// `ASSET` or `ASSET@PARTITION`.
    #[arg(value_name = "ASSET[@PARTITION]")]
    asset: String,
    /// Explain why it is not stale: everything that was compared.
    #[arg(long)]
    not: bool,
    /// How many levels of upstream causes to tell.
    #[arg(long, value_name = "N", default_value_t = u32::MAX, hide_default_value = true)]
    depth: u32,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &WhyArgs, session: Session<'_>) -> Result<Done, CliError> {
    let mut workspace = session.workspace()?;
    let spec = [Spec::parse(&args.asset)?];
    let (engine, sets) = workspace.open(&spec, Access::Read, &[])?;
    let key = only(&spec[0], &sets[0])?;
    let part = one_partition(&engine, &key, spec[0].partitions.as_ref())?;
    let output = match part {
        Some(part) => {
            let why =
                if args.not { engine.why_not(&key, part)? } else { engine.why(&key, part)? };
            if args.json {
                Document::text(WhyEntry::new(&why, args.depth))
            } else {
                render(&why, args.depth)
            }
        }
        None if args.not => {
            let error = CliError::user(format!("`{key}` has many partitions, and one is needed"));
            return Err(error.hint(format!("`giornata why --not {key}@PARTITION` names it")));
        }
        None => {
            let mut status = engine.status(&key)?;
            let pending = engine.planner().freshness(&key).pending.clone();
            if !pending.is_empty() {
                status.reasons.push((ReasonCode::UpstreamStale, pending));
            }
            let domain = engine.planner().domain(&key);
            if args.json {
                Document::text(WhyGroups {
                    status: StatusEntry::new(domain, &status),
                    reasons: ReasonEntry::all(domain, &status.reasons, None),
                })
            } else {
                groups(domain, &status, Length::of(workspace.term.is_verbose))
            }
        }
    };
    workspace.term.print(&output);
    Ok(Done::Fine)
}

/// One line a state, one a reason, and how to ask further.
fn groups(domain: &Domain, status: &AssetStatus, length: Length) -> String {
    let asset = &status.asset;
    let mut text = format!("`{asset}`\n");
    for state in State::ALL {
        if let Some(set) = status.sets.get(&state).filter(|set| !set.is_empty()) {
            let ranges = text::ranges(domain, set, length);
            text += &format!("  {} {}: {ranges}\n", set.len(), state.as_str());
        }
    }
    if status.reasons.is_empty() {
        return text;
    }
    text += "\nbecause of\n";
    for (code, set) in &status.reasons {
        let ranges = text::ranges(domain, set, length);
        text += &format!("  {code} ({}): {ranges}\n", set.len());
    }
    let first = status.reasons.iter().find_map(|(_, set)| domain.key(set.min()?));
    if let Some(key) = first {
        text += &format!("\n`giornata why {}` tells more\n", text::address(asset, &key));
    }
    text
}

/// A tree: causes below what they explain.
fn render(why: &Why, depth: u32) -> String {
    let mut text = heading(why);
    text.push('\n');
    for line in &why.proof {
        text += &format!("  {line}\n");
    }
    causes(&mut text, why, "", depth);
    text
}

fn heading(why: &Why) -> String {
    let state = why.state.replace('_', " ");
    format!("`{}` is {state}", text::address(&why.asset, &why.partition))
}

fn causes(text: &mut String, why: &Why, indent: &str, depth: u32) {
    for (at, cause) in why.causes.iter().enumerate() {
        let is_last = at + 1 == why.causes.len();
        let (branch, beam) = if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let below = format!("{indent}{beam}");
        *text += &format!("{indent}{branch}{}\n", sentence(cause));
        values(text, cause, &below);
        let Some(depth) = depth.checked_sub(1) else { continue };
        for (at, upstream) in cause.upstream.iter().enumerate() {
            let is_last = at + 1 == cause.upstream.len();
            let (branch, beam) = if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            *text += &format!("{below}{branch}{}\n", heading(upstream));
            causes(text, upstream, &format!("{below}{beam}"), depth);
        }
        let told = cause.upstream.len() as u64;
        if told > 0 && cause.count > told {
            *text += &format!("{below}   and {} more\n", cause.count - told);
        }
    }
}

fn sentence(cause: &Cause) -> String {
    if cause.text.is_empty() {
        cause.code.to_string()
    } else {
        format!("{}: {}", cause.code, cause.text)
    }
}

/// Short values on one line; of long ones, such as the text of a statement, the lines that differ.
fn values(text: &mut String, cause: &Cause, indent: &str) {
    let is_short = |value: &Option<String>| {
        value.as_ref().is_none_or(|value| !value.contains('\n') && value.chars().count() <= 80)
    };
    if cause.old.is_none() && cause.new.is_none() {
        return;
    }
    if is_short(&cause.old) && is_short(&cause.new) {
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
        *text += &format!("{indent}   {} → {}\n", shown(&cause.old), shown(&cause.new));
        return;
    }
    let lines = |value: &Option<String>| -> Vec<String> {
        value.as_deref().unwrap_or("").lines().map(str::to_owned).collect()
    };
    let (old, new) = (lines(&cause.old), lines(&cause.new));
    let same = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let ends = old[same..].iter().rev().zip(new[same..].iter().rev());
    let tail = ends.take_while(|(a, b)| a == b).count();
    for line in &old[same..old.len() - tail] {
        *text += &format!("{indent}   - {line}\n");
    }
    for line in &new[same..new.len() - tail] {
        *text += &format!("{indent}   + {line}\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{AssetKey, PartitionKey};
    use expect_test::{Expect, expect};

    fn why(asset: &str, part: &str, causes: Vec<Cause>) -> Why {
        let asset = AssetKey::parse(asset).unwrap();
        Why { asset, partition: PartitionKey::new(part), state: "stale", causes, proof: Vec::new() }
    }

    fn cause(code: ReasonCode, text: &str, values: Option<(&str, &str)>) -> Cause {
        Cause {
            code,
            text: text.to_owned(),
            old: values.map(|(old, _)| old.to_owned()),
            new: values.map(|(_, new)| new.to_owned()),
            count: 1,
            upstream: Vec::new(),
        }
    }

    #[track_caller]
    fn check(why: &Why, depth: u32, expect: Expect) {
        expect.assert_eq(&render(why, depth));
    }

    fn chain() -> Why {
        let raw = why(
            "raw",
            "2014-07-04",
            vec![cause(ReasonCode::InputChanged, "rows differ", Some(("aa", "ab")))],
        );
        let mut upstream = cause(ReasonCode::UpstreamStale, "`raw` is not fresh", None);
        upstream.count = 7;
        upstream.upstream = vec![raw];
        let code = cause(
            ReasonCode::CodeChanged,
            "the SQL differs",
            Some(("SELECT 1\nFROM a", "SELECT 2\nFROM a")),
        );
        why("daily", "2014-07-04", vec![code, upstream])
    }

    #[test]
    fn causes_are_told_to_the_root() {
        check(
            &chain(),
            u32::MAX,
            expect![[r#"
            `daily@2014-07-04` is stale
            ├─ code-changed: the SQL differs
            │     - SELECT 1
            │     + SELECT 2
            └─ upstream-stale: `raw` is not fresh
               └─ `raw@2014-07-04` is stale
                  └─ input-changed: rows differ
                        aa → ab
                  and 6 more
        "#]],
        );
    }

    #[test]
    fn depth_cuts_the_tree() {
        check(
            &chain(),
            0,
            expect![[r#"
            `daily@2014-07-04` is stale
            ├─ code-changed: the SQL differs
            │     - SELECT 1
            │     + SELECT 2
            └─ upstream-stale: `raw` is not fresh
        "#]],
        );
    }
}
