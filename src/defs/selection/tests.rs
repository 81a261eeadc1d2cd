//! The grammar case by case, Dagster's table, and junk.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::defs::{
    Asset, Body, CommandBody, CommandLine, Dep, MappingDef, Missing, Origin, OutputDef,
    PartitionsDef, PathPattern, Policy, SourceDef,
};

fn key(name: &str) -> AssetKey {
    AssetKey::parse(name).unwrap()
}

fn source_body() -> Body {
    let pattern = PathPattern { text: "x.csv".into(), pieces: Vec::new() };
    Body::Source(SourceDef::Files { pattern, split_by: None, columns: BTreeMap::new() })
}

fn command_body() -> Body {
    let line = CommandLine::Shell("true".into());
    Body::Command(CommandBody { line, code: None, named_files: Vec::new() })
}

fn asset(name: &str, deps: &[&str]) -> Asset {
    let dep = |name: &&str| Dep {
        upstream: key(name),
        mapping: MappingDef::Identity,
        missing: Missing::Error,
    };
    Asset {
        key: key(name),
        origin: Origin { file: PathBuf::from(format!("assets/{name}.sh")), line: 1 },
        partitions: PartitionsDef::Unpartitioned,
        body: if deps.is_empty() { source_body() } else { command_body() },
        deps: deps.iter().map(dep).collect(),
        output: OutputDef::None,
        shared: None,
        export: None,
        io: None,
        config: BTreeMap::new(),
        env: BTreeSet::new(),
        resources: BTreeMap::new(),
        inputs: Vec::new(),
        version: None,
        checks: Vec::new(),
        policy: Policy::default(),
        automation: None,
        description: None,
        group: None,
        owners: Vec::new(),
        tags: BTreeMap::new(),
        kinds: BTreeSet::new(),
    }
}

fn project(assets: Vec<Asset>) -> Project {
    Project {
        assets: assets.into_iter().map(|a| (a.key.clone(), Arc::new(a))).collect(),
        broken: BTreeSet::from([key("bad")]),
        ..Project::empty()
    }
}

/// raw -> clean -> mart/sum -> report; other -> report.
fn example() -> Project {
    let mut sum = asset("mart/sum", &["clean"]);
    sum.tags = BTreeMap::from([("tier".into(), "gold".into()), ("mart".into(), String::new())]);
    sum.kinds = BTreeSet::from(["sql".into()]);
    let report = asset("report", &["mart/sum", "other"]);
    project(vec![asset("raw", &[]), asset("clean", &["raw"]), sum, report, asset("other", &[])])
}

fn select(project: &Project, text: &str) -> Result<BTreeSet<AssetKey>, SelectionError> {
    let stale = |state: &str| match state {
        "stale" => BTreeSet::from([key("clean")]),
        _ => BTreeSet::new(),
    };
    Selection::parse(text)?.select(project, &stale)
}

#[track_caller]
fn check(text: &str, expect: Expect) {
    let actual = match select(&example(), text) {
        Ok(keys) => keys.iter().map(AssetKey::as_str).collect::<Vec<_>>().join(" "),
        Err(error) => {
            let help = error.help.unwrap_or_default();
            format!("{}..{} {} | {help}", error.span.start, error.span.end, error.message)
        }
    };
    expect.assert_eq(&actual);
}

#[test]
fn dbt_and_dagster_are_one_grammar() {
    check("report", expect!["report"]);
    check("+mart/sum", expect!["clean mart/sum raw"]);
    check("1+report", expect!["mart/sum other report"]);
    check("clean+1", expect!["clean mart/sum"]);
    check("1+clean+", expect!["clean mart/sum raw report"]);
    check("+report,clean+", expect!["clean mart/sum report"]);
    check("raw, +raw other", expect!["other raw"]);
    check("raw +clean", expect!["clean raw"]);
    check("raw+ other", expect!["clean mart/sum other raw report"]);
    check("+ raw", expect!["raw"]);
    check("tag:mart or key:\"raw\"", expect!["mart/sum raw"]);
    check("path:assets/mart", expect!["mart/sum"]);
    check("path:*.sh and not is:source", expect!["clean mart/sum report"]);
    check("status:stale", expect!["clean"]);
    check("*a*", expect!["clean mart/sum raw"]);
    check(
        "key:roots roots(*)",
        expect!["4..9 there is no asset `roots` | `giornata list` names all assets"],
    );
}

#[test]
fn errors_say_where_and_what_to_do() {
    check("", expect!["0..0 an asset is missing here | `*` selects everything"]);
    check("raw and", expect!["7..7 an asset is missing here | `*` selects everything"]);
    check("raww+", expect!["0..4 there is no asset `raww` | did you mean `raw`?"]);
    check("bad", expect!["0..3 `bad` cannot be used, because of an error in its definition | "]);
    check("tga:x", expect!["0..3 there is no attribute `tga:` | did you mean `tag:`?"]);
    check("raw + other", expect!["4..5 this `+` belongs to neither side | write `a+ b` or `a +b`"]);
    check("(raw", expect!["0..1 this `(` is not closed | "]);
    check("raw)", expect!["3..4 this `)` closes nothing | "]);
    check(
        "raw(clean)",
        expect!["3..4 a space is missing here | a space means `or`, a comma `and`"],
    );
    check(
        "tag:a@b",
        expect!["5..6 `@` cannot stand here | a value with such characters is written in quotes"],
    );
    check("owner:a:b", expect!["7..8 a second `:` | a value with `:` in it is written in quotes"]);
    check("status:stael", expect!["7..12 there is no state `stael` | did you mean `stale`?"]);
    check("tag:tier", expect!["0..8 the selection is empty | there is `tag:tier=gold`"]);
    check("kind:sql and raw", expect!["0..16 the selection is empty | "]);
    check("\"raw", expect!["0..4 the quote is not closed | "]);
}

proptest! {
    #[test]
    fn no_text_panics(text in "[a-z0-9+:,()*\"'= <>/é@-]{0,40}|(\\(|not |\\+){0,300}|.{0,20}") {
        if let Err(error) = select(&example(), &text) {
            prop_assert!(text.get(error.span.clone()).is_some(), "{:?}", error.span);
        }
    }
}

#[derive(Deserialize)]
struct Conformance {
    graph: Vec<GraphAsset>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct GraphAsset {
    key: String,
    deps: Vec<String>,
    group: String,
    tags: BTreeMap<String, String>,
    owners: Vec<String>,
    kinds: Vec<String>,
    external: bool,
}

#[derive(Deserialize)]
struct Case {
    expr: String,
    grammar: String,
    expect: Option<Vec<String>>,
    expect_with_external: Option<Vec<String>>,
    expect_error: Option<String>,
}

/// Where our answer differs from the recorded one on purpose. Sources are assets like others here, so
/// they are left out of the comparison, and a text that Dagster's grammar refuses and reads in an older
/// way is judged by `deviation` alone.
fn deviation(expr: &str) -> Option<(&'static str, Result<&'static str, ()>)> {
    Some(match expr {
        "roots(+key:features)" => ("a source is a root of what reads it", Ok("events raw/users")),
        "++features" => ("the older form with several `+`; write `2+features`", Err(())),
        "2+features" => (
            "a bare name is a name, as in dbt",
            Ok("customer_ltv features sessions stg_events stg_orders stg_users"),
        ),
        "raw/users+" => (
            "`a+` is everything downstream, as in dbt",
            Ok("customer_ltv features model raw/users report sessions stg_users"),
        ),
        "stg_users+2" => {
            ("a bare name is a name, as in dbt", Ok("customer_ltv features sessions stg_users"))
        }
        "*stg_users" => ("`*` stands for characters of a name, as after `key:`", Ok("stg_users")),
        "tag:tier=gold or features" => {
            ("a bare name is a name, as in dbt", Ok("customer_ltv daily_revenue features sessions"))
        }
        "tag:=gold" => ("a tag has a name", Err(())),
        // Dagster's lexer has these as reserved words everywhere; here they are names like others,
        // which nothing in this graph has.
        "key:status" | "key:job" => ("no word is reserved after `key:`", Err(())),
        _ => return None,
    })
}

#[expect(clippy::disallowed_methods, reason = "whole tables can be run against a build")]
fn conformance_folder() -> PathBuf {
    match std::env::var_os("GIORNATA_CONFORMANCE_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/conformance"),
    }
}

fn conformance_asset(asset_def: &GraphAsset) -> Asset {
    let deps: Vec<&str> = asset_def.deps.iter().map(String::as_str).collect();
    let mut asset = asset(&asset_def.key, &deps);
    asset.body = if asset_def.external { source_body() } else { command_body() };
    asset.group = Some(asset_def.group.clone());
    asset.tags = asset_def.tags.clone();
    asset.owners = asset_def.owners.clone();
    asset.kinds = asset_def.kinds.iter().cloned().collect();
    asset
}

/// What is wrong with our answer to a case, if something is.
fn conformance_fault(project: &Project, case: &Case) -> Option<String> {
    let ours = select(project, &case.expr).map(|keys| {
        let own = keys.into_iter().filter(|key| !project.assets[key].is_source());
        own.map(String::from).collect::<BTreeSet<_>>()
    });
    let recorded = case.expect_with_external.as_ref().or(case.expect.as_ref());
    let expect: Result<BTreeSet<String>, ()> = match (deviation(&case.expr), recorded) {
        (Some((_, Ok(names))), _) => Ok(names.split(' ').map(str::to_owned).collect()),
        (Some((_, Err(()))), _) => Err(()),
        // Dagster's own grammar is the one we share; an older form is no promise.
        (None, _) if case.expect_error.is_some() => Err(()),
        (None, _) if case.grammar != "ok" => return None,
        (None, names) => {
            let names = names.into_iter().flatten();
            Ok(names.filter(|name| !project.assets[name.as_str()].is_source()).cloned().collect())
        }
    };
    let right = match (&ours, &expect) {
        (Ok(ours), Ok(expect)) => ours == expect,
        (Err(error), Ok(expect)) => {
            // Nothing selected is an error here.
            let nothing = [SelectionErrorKind::Empty, SelectionErrorKind::Unknown];
            expect.is_empty() && nothing.contains(&error.kind)
        }
        (Ok(_), Err(())) => is_dbt(&case.expr) || is_address(&case.expr),
        (Err(_), Err(())) => true,
    };
    (!right).then(|| format!("{:?}: {ours:?} instead of {expect:?}", case.expr))
}

/// Texts that Dagster refuses may mean something by dbt's part of the grammar: a bare name, a space.
fn is_dbt(expr: &str) -> bool {
    !expr.contains(':') || expr.contains([' ', ','])
}

/// An owner is mostly an address, which is no reason for quotes.
fn is_address(expr: &str) -> bool {
    expr.split_once("owner:").is_some_and(|(_, owner)| owner.contains('@'))
}

#[test]
fn conformance_asset_selection() {
    let file = conformance_folder().join("asset_selection.json");
    let text = std::fs::read_to_string(&file).unwrap();
    let table: Conformance = serde_json::from_str(&text).unwrap();
    let project = project(table.graph.iter().map(conformance_asset).collect());
    let faults: Vec<String> =
        table.cases.iter().filter_map(|case| conformance_fault(&project, case)).collect();
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), table.cases.len(), faults.join("\n"));
}
