//! Whole projects, as texts, and what is said about them.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::{Diagnostic, Loaded, Severity, find_root, project, project_from};
use crate::defs::{Asset, Body, CommandLine, MappingDef, Missing, PartitionsDef, WordPiece};

const TOML: (&str, &str) = ("giornata.toml", "name = \"t\"\n");

/// Loads the files and compares diagnostics, what is broken, and the sound assets.
#[track_caller]
fn check(files: &[(&str, &str)], expect: Expect) {
    let mut all = vec![TOML];
    all.retain(|_| files.iter().all(|(path, _)| *path != "giornata.toml"));
    all.extend(files);
    let loaded = project_from(&all).unwrap();
    expect.assert_eq(&render(&loaded));
}

/// One YAML file.
#[track_caller]
fn check_yaml(text: &str, expect: Expect) {
    check(&[("assets/a.yaml", text)], expect);
}

fn render(loaded: &Loaded) -> String {
    let mut out = String::new();
    for diagnostic in &loaded.diagnostics {
        out += &render_diagnostic(diagnostic);
    }
    for asset in loaded.project.assets.values() {
        out += &render_asset(asset);
    }
    if !loaded.project.broken.is_empty() {
        writeln!(out, "broken: {:?}", loaded.project.broken).unwrap();
    }
    out
}

fn render_diagnostic(diagnostic: &Diagnostic) -> String {
    let Diagnostic { severity, file, text, span, message, label, help, related, disables } =
        diagnostic;
    let severity = match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let (line, column) = diagnostic.position();
    let excerpt = |span: &std::ops::Range<usize>| text[span.clone()].replace('\n', "⏎");
    let mut out = format!("{severity}: {message}\n  {}:{line}:{column}", file.display());
    writeln!(out, " [{}] {label}", excerpt(span)).unwrap();
    for (span, label) in related {
        writeln!(out, "  also [{}] {label}", excerpt(span)).unwrap();
    }
    if let Some(help) = help {
        writeln!(out, "  help: {help}").unwrap();
    }
    if !disables.is_empty() {
        writeln!(out, "  disables {disables:?}").unwrap();
    }
    out
}

fn render_asset(asset: &Asset) -> String {
    let mut out = format!("{} ({}:{})", asset.key, asset.origin.file.display(), asset.origin.line);
    match &asset.body {
        Body::Source(source) => write!(out, " source {source:?}").unwrap(),
        Body::Sql(sql) => write!(out, " sql@{} {:?}", sql.first_line, sql.text).unwrap(),
        Body::Function(_) => out += " function",
        Body::Command(command) => match &command.line {
            CommandLine::Shell(line) => write!(out, " sh {line:?}").unwrap(),
            CommandLine::Script { interpreter, path } => {
                write!(out, " script {interpreter:?} {}", path.display()).unwrap();
            }
            CommandLine::Direct(words) => {
                for word in words {
                    out += " ";
                    for piece in word {
                        match piece {
                            WordPiece::Text(text) => out += text,
                            WordPiece::Variable(name) => write!(out, "<{name}>").unwrap(),
                        }
                    }
                }
                if !command.named_files.is_empty() {
                    write!(out, " files {:?}", command.named_files).unwrap();
                }
            }
        },
    }
    out += "\n";
    if asset.partitions != PartitionsDef::Unpartitioned {
        writeln!(out, "  partitions {}", asset.partitions.spec()).unwrap();
    }
    for dep in &asset.deps {
        write!(out, "  reads {}", dep.upstream).unwrap();
        if dep.mapping != MappingDef::Default {
            write!(out, " by {:?}", dep.mapping).unwrap();
        }
        out += if dep.missing == Missing::Allow { " (may be missing)\n" } else { "\n" };
    }
    out
}

#[test]
fn a_whole_project_loads() {
    check(
        &[
            (
                "giornata.toml",
                r#"
name = "weather"
timezone = "Europe/Berlin"
exclude = ["assets/data"]

[partitions.monthly]
start = 2012-01-01
end = 2016-01-01

[partitions.regions]
static = ["eu", "us"]

[config]
threshold = 0.5

[[defaults]]
path = "mart/**"
group = "mart"
tags = ["mart"]
export = "out/{asset}/{partition}.csv"
"#,
            ),
            (
                "assets/sources.yaml",
                r#"
.daily: &daily {partitions: {daily: {start: 2012-01-01, end: 2016-01-01}}}
sources:
  raw_weather: {files: assets/data/seattle-weather.csv, split_by: date}
  raw_orders:  {<<: *daily, files: "data/orders/{date:%Y-%m-%d}.csv", columns: {zip: text}}
  inbox:       {files: "data/inbox/{name}.csv"}
  calendar:    {files: ./data/holidays.csv}
assets:
  report:
    run: python scripts/report.py --in "$daily_weather" --out "$output"
    inputs: ["templates/**"]
    deps: {daily_weather: {map: "window(-6d, 0d)", missing: allow}}
    partitions: monthly
    output: report.html
    retries: {max: 3, delay: 30s, backoff: exponential}
    timeout: 10m
  scored: {partitions: each(inbox), run: cat "$inbox" | sort > "$output", deps: [inbox], config: [threshold]}
"#,
            ),
            (
                "assets/daily_weather.sql",
                r#"-- what it was like
-- /// asset
-- partitions = { daily = { start = "2012-01-01", end = "2016-01-01" } }
-- checks = ["rows = 1", "not_null(date)"]
-- ///

SELECT date FROM raw_weather WHERE date = $partition
"#,
            ),
            (
                "assets/mart/monthly.sql",
                "-- /// asset\n-- partitions = \"monthly\"\n-- ///\nselect * from daily_weather",
            ),
            (
                "assets/clean.sh",
                "#!/bin/sh -e\n# /// asset\n# deps = [\"raw_orders\"]\n# ///\ncat \"$raw_orders\" > \"$output\"\n",
            ),
            (
                "assets/f.py",
                "# /// script\n# dependencies = []\n# [tool.giornata]\n# deps = [\"mart/monthly\"]\n# ///\n",
            ),
            ("assets/plain.py", "# /// script\n# dependencies = []\n# ///\n"),
            ("assets/data/x.yaml", "::: no"),
            ("scripts/report.py", "print()"),
        ],
        expect![[r#"
            calendar (assets/sources.yaml:7) source Files { pattern: PathPattern { text: "data/holidays.csv", pieces: [Literal("data/holidays.csv")] }, split_by: None, columns: {} }
            clean (assets/clean.sh:2) script ["/bin/sh", "-e"] assets/clean.sh
              reads raw_orders
            daily_weather (assets/daily_weather.sql:2) sql@7 "SELECT date FROM raw_weather WHERE date = $partition"
              partitions daily hour=0 minute=0 zone=Europe/Berlin start=2012-01-01T00:00:00 end=2016-01-01T00:00:00 format="%Y-%m-%d" end_offset=0
              reads raw_weather
            f (assets/f.py:1) script ["python3"] assets/f.py
              reads mart/monthly
            inbox (assets/sources.yaml:6) source Files { pattern: PathPattern { text: "data/inbox/{name}.csv", pieces: [Literal("data/inbox/"), Capture { name: "name", format: None }, Literal(".csv")] }, split_by: None, columns: {} }
              partitions source:inbox
            mart/monthly (assets/mart/monthly.sql:1) sql@4 "select * from daily_weather"
              partitions monthly day=1 hour=0 minute=0 zone=Europe/Berlin start=2012-01-01T00:00:00 end=2016-01-01T00:00:00 format="%Y-%m" end_offset=0
              reads daily_weather
            raw_orders (assets/sources.yaml:5) source Files { pattern: PathPattern { text: "data/orders/{date:%Y-%m-%d}.csv", pieces: [Literal("data/orders/"), Capture { name: "date", format: Some("%Y-%m-%d") }, Literal(".csv")] }, split_by: None, columns: {"zip": Text} }
              partitions daily hour=0 minute=0 zone=Europe/Berlin start=2012-01-01T00:00:00 end=2016-01-01T00:00:00 format="%Y-%m-%d" end_offset=0
            raw_weather (assets/sources.yaml:4) source Files { pattern: PathPattern { text: "assets/data/seattle-weather.csv", pieces: [Literal("assets/data/seattle-weather.csv")] }, split_by: Some(SplitBy { column: "date", format: None }), columns: {} }
              partitions source:raw_weather
            report (assets/sources.yaml:9) python scripts/report.py --in <daily_weather> --out <output> files ["scripts/report.py"]
              partitions monthly day=1 hour=0 minute=0 zone=Europe/Berlin start=2012-01-01T00:00:00 end=2016-01-01T00:00:00 format="%Y-%m" end_offset=0
              reads daily_weather by Window { from: WindowOffset { count: -6, unit: Days }, to: WindowOffset { count: 0, unit: Days } } (may be missing)
            scored (assets/sources.yaml:17) sh "cat \"$inbox\" | sort > \"$output\""
              partitions source:inbox
              reads inbox
        "#]],
    );
}

#[test]
fn misspelt_keys_at_each_level() {
    check(
        &[
            (
                "giornata.toml",
                r#"
nam = "x"
[settings]
job = 1
durability = "fats"
inline_max = "1MB"
[[defaults]]
path = "**"
gruop = "x"
[partitions.weekly]
start = "2024-01-01"
dya = 1
"#,
            ),
            (
                "assets/a.yaml",
                r#"
source: {}
sources:
  s: {file: x.csv, partitions: {dayly: {}}}
assets:
  a:
    rum: x
    retries: {maxi: 3}
    deps: {s: {mapp: all}}
    partitions: {daily: {strat: 2024-01-01}}
"#,
            ),
            ("assets/b.sql", "-- /// asset\n-- partition = \"x\"\n-- ///\nselect 1"),
        ],
        expect![[r#"
            error: a file of definitions has no key `source`
              assets/a.yaml:2:1 [source] unknown key
              help: did you mean `sources`?
            error: source `s` has no key `file`
              assets/a.yaml:4:7 [file] unknown key
              help: did you mean `files`?
              disables [a, s]
            error: asset `a` has no key `rum`
              assets/a.yaml:7:5 [rum] unknown key
              help: did you mean `run`?
              disables [a]
            error: `retries` has no key `maxi`
              assets/a.yaml:8:15 [maxi] unknown key
              help: did you mean `max`?
              disables [a]
            error: the dependency `s` has no key `mapp`
              assets/a.yaml:9:16 [mapp] unknown key
              help: did you mean `map`?
              disables [a]
            error: `daily` has no key `strat`
              assets/a.yaml:10:26 [strat] unknown key
              help: did you mean `start`?
              disables [a]
            error: asset `b` has no key `partition`
              assets/b.sql:2:4 [partition] unknown key
              help: did you mean `partitions`?
              disables [b]
            error: giornata.toml has no key `nam`
              giornata.toml:2:1 [nam] unknown key
              help: did you mean `name`?
              disables [a, b, s]
            error: `settings` has no key `job`
              giornata.toml:4:1 [job] unknown key
              help: did you mean `jobs`?
              disables [a, b, s]
            error: `durability` cannot be `fats`
              giornata.toml:5:14 ["fats"] unknown word
              help: did you mean `fast`?
              disables [a, b, s]
            error: `inline_max` can be at most 16384 bytes
              giornata.toml:6:14 ["1MB"] too large
              disables [a, b, s]
            error: `defaults` has no key `gruop`
              giornata.toml:9:1 [gruop] unknown key
              help: did you mean `group`?
              disables [a, b, s]
            error: `weekly` has no key `dya`
              giornata.toml:12:1 [dya] unknown key
              help: did you mean `day`?
              disables [a, b, s]
            broken: {a, b, s}
        "#]],
    );
}

#[test]
fn unknown_names() {
    check(
        &[
            (
                "assets/a.yaml",
                r#"
sources:
  raw_orders: {files: orders.csv}
assets:
  orders: {run: x, deps: [raw_order]}
  later: {run: x, deps: [orders]}
  sets: {run: x, partitions: monthly}
  each: {run: x, partitions: each(raw_orders)}
  conf: {run: x, config: [no]}
"#,
            ),
            (
                "assets/b.sql",
                "-- /// asset\n-- deps = { later = \"all\" }\n-- ///\nselect *\nfrom raw_orderz",
            ),
        ],
        expect![[r#"
            error: asset `orders` reads `raw_order`, which does not exist
              assets/a.yaml:5:27 [raw_order] no asset has this name
              help: did you mean `raw_orders`?
              disables [later, orders]
            error: there is no partition set `monthly`
              assets/a.yaml:7:30 [monthly] giornata.toml declares no set of this name
              help: give it a start: `{monthly: {start: 2024-01-01}}`, or declare `[partitions.monthly]` in giornata.toml
              disables [sets]
            error: source `raw_orders` has no partitions
              assets/a.yaml:8:30 [each(raw_orders)] in `each`
              help: a capture in `files` makes a partition of each file
              disables [each]
            error: the project has no config value `no`
              assets/a.yaml:9:27 [no] not under `[config]` of giornata.toml
              help: declare `no = ..` under `[config]`
              disables [conf]
            error: no statement of `b` reads `later`
              assets/b.sql:2:13 [later] not read
              help: `deps` of a SQL asset says mappings only; the names come from the statement
              disables [b]
            error: asset `b` reads `raw_orderz`, which does not exist
              assets/b.sql:5:6 [raw_orderz] no asset has this name
              help: did you mean `raw_orders`?
              disables [b]
            raw_orders (assets/a.yaml:3) source Files { pattern: PathPattern { text: "orders.csv", pieces: [Literal("orders.csv")] }, split_by: None, columns: {} }
            broken: {b, conf, each, later, orders, sets}
        "#]],
    );
}

#[test]
fn circles_are_drawn() {
    check(
        &[
            (
                "assets/a.yaml",
                "assets:\n  a: {run: x, deps: [b]}\n  b: {run: x, deps: [c]}\n  d: {run: x, deps: [a]}\n  e: {run: x, deps: [e]}\n  f: {run: x, partitions: {daily: {start: 2024-01-01}}, deps: {f: \"window(-1d, -1d)\"}}\n",
            ),
            ("assets/c.sql", "-- /// asset\n-- ///\nselect * from a"),
        ],
        expect![[r#"
            error: assets read each other in a circle: a -> b -> c -> a
              assets/a.yaml:2:22 [b] `a` reads `b`
              help: one of these must not read the next:
              a
              └─ reads b
                 └─ reads c
                    └─ reads a
              disables [a, b, c, d]
            error: asset `e` reads itself
              assets/a.yaml:5:22 [e] its own result
              help: only earlier partitions of its own can be read, such as `window(-1d, -1d)`
              disables [e]
            f (assets/a.yaml:6) x
              partitions daily hour=0 minute=0 zone=UTC start=2024-01-01T00:00:00 format="%Y-%m-%d" end_offset=0
              reads f by Window { from: WindowOffset { count: -1, unit: Days }, to: WindowOffset { count: -1, unit: Days } }
            broken: {a, b, c, d, e}
        "#]],
    );
}

#[test]
fn broken_yaml_is_said_once() {
    check(
        &[
            ("assets/bad.yaml", "assets:\n  a: {run: x\n  b: {run: y}\n"),
            ("assets/c.sql", "-- /// asset\n-- ///\nselect * from a, b"),
            ("assets/d.yaml", "assets: {d: {run: x}, e: {run: y, deps: [c]}}"),
        ],
        expect![[r#"
            error: this is not YAML
              assets/bad.yaml:3:4 [:] while parsing a flow mapping, did not find expected ',' or '}'
              disables [a, b, c, e]
            d (assets/d.yaml:1) x
            broken: {a, b, c, e}
        "#]],
    );
    check_yaml(
        "a: 1\n\tb: 2\n",
        expect![[r#"
        error: this is not YAML
          assets/a.yaml:1:4 [1] while scanning a plain scalar, found a tab
    "#]],
    );
    check_yaml(
        "assets: *none\n",
        expect![[r#"
        error: this is not YAML
          assets/a.yaml:1:9 [*] alias references unknown anchor
    "#]],
    );
    check_yaml(
        "a: &a [*a]\n",
        expect![[r#"
        error: this is not YAML
          assets/a.yaml:1:8 [*a] recursive references require weak recursion types
    "#]],
    );
    check_yaml(
        "- a\n",
        expect![[r#"
        error: this file is no table
          assets/a.yaml:1:1 [] 
          help: a file of definitions begins with `sources:` or `assets:`
    "#]],
    );
    check_yaml("", expect![[""]]);
    check_yaml("# nothing\n", expect![[""]]);
    check_yaml(
        "jobs: {x: {select: y}}\nassets:\n",
        expect![[r#"
        warning: `jobs` is not supported yet by this version
          assets/a.yaml:1:1 [jobs] left out
    "#]],
    );
}

#[test]
fn repeated_keys_are_errors() {
    check_yaml(
        "assets:\n  a: {run: x, run: y}\n  b: {run: x}\n  b: {run: y}\nassets: {}\n",
        expect![[r#"
            error: the key `run` is there twice
              assets/a.yaml:2:15 [run] again here
              also [run] first here
              disables [a]
            error: `b` is declared twice
              assets/a.yaml:4:3 [b] declared again
              also [b] first declared here
              disables [b]
            error: the key `assets` is there twice
              assets/a.yaml:5:1 [assets] again here
              also [assets] first here
            broken: {a, b}
        "#]],
    );
}

#[test]
fn headers_that_are_no_toml() {
    check(
        &[
            ("assets/a.sql", "-- é\n-- /// asset\n-- deps = [\n-- x y\n-- ///\nselect 1"),
            ("assets/b.sh", "# /// asset\n# output = 'x'\necho\n# ///\n"),
            ("assets/c.sql", "-- /// asset\n-- ///\nselect * from a"),
            ("assets/d.sql", "select 1;\n-- /// asset\n-- ///\nselect 2"),
            ("assets/e.sql", "-- /// asset\n-- ///\n"),
            ("assets/f.xyz", "# /// asset\n# run = 'x'\n# ///\n"),
            ("assets/g h.sh", "# /// asset\n# ///\n"),
            ("assets/i.sh", "# /// asset\n# ///\n"),
            ("assets/i.py", "# /// asset\n# ///\n"),
        ],
        expect![[r#"
            error: this is not TOML
              assets/a.sql:4:4 [x y] string values must be quoted, expected literal string
              disables [a, c]
            error: this is not TOML
              assets/a.sql:4:7 [] unclosed array, expected `]`
              disables [a, c]
            error: this header has no end
              assets/b.sh:1:1 [# /// asset] opened here
              also [echo] no line of the header
              help: close it with a line `# ///`
              disables [b]
            error: the header must come before the SQL
              assets/d.sql:1:1 [select 1;] before the header
              also [-- /// asset] the header
              disables [d]
            error: there is no SQL after the header
              assets/e.sql:1:1 [-- /// asset] this header
              disables [e]
            error: nothing says which program runs this script
              assets/f.xyz:1:1 [# /// asset] no `#!` line, and an unknown extension
              help: begin the file with a line such as `#!/usr/bin/env python3`
              disables [f]
            error: `g h` cannot be a name: a name is segments of letters, digits, `_` and `-`, joined by `/`
              assets/g h.sh:1:1 [# /// asset] no name
            error: `i` is declared twice
              assets/i.sh:1:1 [# /// asset] declared again
              help: it is first declared at assets/i.py:1; assets and sources share their names
              disables [i]
            broken: {a, b, c, d, e, f, i}
        "#]],
    );
}

#[test]
fn exports_that_meet_inputs() {
    check_yaml(
        r#"
sources:
  raw: {files: "data/{name}.csv"}
assets:
  a: {run: x, deps: [raw], export: data/a.csv}
  b: {run: x, export: "data/b.csv"}
  c: {run: x, export: "out/{partition}.csv"}
  d: {run: x, deps: [raw], partitions: each(raw), export: out/d.csv}
  e: {run: x, export: out/e.csv}
  f: {run: x, export: ./out/e.csv}
  g: {run: x, export: ../e.csv}
  h: {run: x, export: templates/x, inputs: ["templates/*"]}
"#,
        expect![[r#"
            error: the export of `a` would be read as its own input
              assets/a.yaml:5:36 [data/a.csv] `data/a.csv` falls under the source `raw`
              help: export to a path that no source and no `inputs` match
              disables [a]
            warning: the export of `b` is read as if it came from outside
              assets/a.yaml:6:23 ["data/b.csv"] `data/b.csv` falls under the source `raw`
              help: read `b` itself instead, so that it is made first
            error: `export` names `{partition}`, but the asset has no partitions
              assets/a.yaml:7:23 ["out/{partition}.csv"] no partitions
              disables [c]
            error: the `export` of a partitioned asset must contain `{partition}`
              assets/a.yaml:8:59 [out/d.csv] every partition would have this path
              disables [d]
            error: `e` and `f` are exported to one path
              assets/a.yaml:10:23 [./out/e.csv] also here
              disables [f]
            error: `export` must stay inside the project, or be an absolute path
              assets/a.yaml:11:23 [../e.csv] leads outside
              disables [g]
            error: the export of `h` would be read as its own input
              assets/a.yaml:12:23 [templates/x] `templates/x` falls under the `inputs` of `h`
              help: export to a path that no source and no `inputs` match
              disables [h]
            b (assets/a.yaml:6) x
            e (assets/a.yaml:9) x
            raw (assets/a.yaml:3) source Files { pattern: PathPattern { text: "data/{name}.csv", pieces: [Literal("data/"), Capture { name: "name", format: None }, Literal(".csv")] }, split_by: None, columns: {} }
              partitions source:raw
            broken: {a, c, d, f, g, h}
        "#]],
    );
}

#[test]
fn values_of_the_wrong_kind() {
    check_yaml(
        r#"
sources:
  s: {files: "a/{b", split_by: "x:%Q"}
  t: {files: "../x"}
  u: {dir: x}
  v: {files: "{a}.csv", split_by: date}
  w: {files: x.csv, partitions: {daily: {start: 2024-01-01}}, columns: {a: str}}
assets:
  a: {run: [x], volatile: yes, timeout: 10, retries: -1, owners: x, description: 1}
  b: {sql: "select * from nope", run: x}
  c: {run: "x 'y"}
  d: {description: x}
  e: {run: x, output: a/b, output_dir: true, checks: [rows], env: ["a=b"], inputs: ["../x", "[a"]}
  f: {run: x, outputs: "{piece}.csv"}
  g: {sql: select 1, output: x.csv, version: 1.10}
  h: {run: x, partitions: {daily: {start: 2024-13-01}, weekly: {}}}
  i: {run: x, partitions: {cron: {start: 2024-01-01, cron: "0 0 1 1 *"}}}
  j: {run: x, partitions: {daily: {start: 2024-02-01, end: 2024-01-01, timezone: Europe/Berlim}}}
  k: {run: x, partitions: [a, a]}
  l: x
"#,
        expect![[r#"
            error: `a/{b` is no path pattern: nothing closes this `{`
              assets/a.yaml:3:17 [{] in this pattern
              disables [s]
            error: `%Q` does not say how a date is written
              assets/a.yaml:3:32 ["x:%Q"] 
              help: for example `date` or `"date:%d/%m/%Y"`
              disables [s]
            error: `files` must stay inside the project, or be an absolute path
              assets/a.yaml:4:14 ["../x"] leads outside
              disables [t]
            error: `dir` is not supported yet by this version
              assets/a.yaml:5:12 [x] only `files` so far
              disables [u]
            error: `split_by` splits the rows of one file, and `files` may match several
              assets/a.yaml:6:35 [date] 
              also ["{a}.csv"] captures or globs
              disables [v]
            error: nothing says which data belongs to which partition
              assets/a.yaml:7:33 [{] `files` has no capture, and there is no `split_by`
              help: for example `files: "data/{date:%Y-%m-%d}.csv"` or `split_by: date`
              disables [w]
            error: `columns` cannot be `str`
              assets/a.yaml:7:76 [str] unknown word
              help: known are `text`, `integer` and `real`
              disables [w]
            error: `run` must be a text, not a list
              assets/a.yaml:9:12 [[] expected a text
              disables [a]
            error: `volatile` must be `true` or `false`, not a text
              assets/a.yaml:9:27 [yes] expected `true` or `false`
              disables [a]
            error: `timeout` must be a duration, not `10`
              assets/a.yaml:9:41 [10] expected a number and a unit
              help: for example `30s`, `10m` or `1h 30m`
              disables [a]
            error: `retries` must be a whole number from 0 to 1000
              assets/a.yaml:9:54 [-1] expected a whole number from 0 to 1000
              disables [a]
            error: `owners` must be a list, not a text
              assets/a.yaml:9:66 [x] expected a list
              disables [a]
            error: `description` must be a text, not a number
              assets/a.yaml:9:82 [1] expected a text
              disables [a]
            error: `run` and `sql` exclude each other
              assets/a.yaml:10:12 ["select * from nope"] second
              disables [b]
            error: `run`: nothing closes this quote
              assets/a.yaml:11:12 ["x 'y"] a quote is open at the end
              disables [c]
            error: asset `d` does not say how it is made
              assets/a.yaml:12:3 [d] neither `run` nor `sql`
              disables [d]
            error: `output` and `output_dir` exclude each other
              assets/a.yaml:13:23 [a/b] a step makes a file or a directory
              disables [e]
            error: `output` must be the name of a file, not `a/b`
              assets/a.yaml:13:23 [a/b] a name without `/`
              help: results live in the store; `export: PATH` also puts them at a path of yours
              disables [e]
            error: checks look at rows, and this asset makes no table
              assets/a.yaml:13:54 [[] 
              help: `format: csv` says that a command writes rows
              disables [e]
            error: `rows` is no check: there are `rows = 1`, `not_null(column)` and `unique(column)`
              assets/a.yaml:13:55 [rows] unknown check
              disables [e]
            error: `a=b` cannot name an environment variable
              assets/a.yaml:13:68 ["a=b"] no name of a variable
              disables [e]
            error: `../x` must stay inside the project
              assets/a.yaml:13:85 ["../x"] in `inputs`
              disables [e]
            error: `[a` is no glob: unclosed character class; missing ']'
              assets/a.yaml:13:93 ["[a"] in `inputs`
              disables [e]
            error: `outputs` is not supported yet by this version
              assets/a.yaml:14:24 ["{piece}.csv"] 
              help: one result a partition: `output: name.csv`, or a directory: `output_dir: true`
              disables [f]
            error: a SQL asset makes a table, no file of its own
              assets/a.yaml:15:30 [x.csv] 
              help: `format: csv` or `format: jsonl` says how it is kept, `export` where it is also put
              disables [g]
            error: `partitions` has two kinds
              assets/a.yaml:16:56 [weekly] second
              help: several dimensions are written `{multi: {date: {daily: {..}}, region: [..]}}`
              disables [h]
            error: `cron` needs a format
              assets/a.yaml:17:34 [{] no `format` here
              help: for example `format: "%Y-%m-%d"`
              disables [i]
            error: there is no time zone `Europe/Berlim`
              assets/a.yaml:18:82 [Europe/Berlim] unknown time zone
              help: did you mean `Europe/Berlin`?
              disables [j]
            error: the key `a` is there twice
              assets/a.yaml:19:31 [a] 
              disables [k]
            error: `l` must be a table, not a text
              assets/a.yaml:20:6 [x] expected a table
              disables [l]
            broken: {a, b, c, d, e, f, g, h, i, j, k, l, s, t, u, v, w}
        "#]],
    );
}

#[test]
fn merges_keep_places() {
    check_yaml(
        r#"
.a: &a {group: 1, run: x}
.b: &b {owner: [me], group: ok}
assets:
  one: {<<: [*a, *b]}
  two: {<<: *a}
  three: {<<: [*b, *a], owners: []}
"#,
        expect![[r#"
            error: `group` must be a text, not a number
              assets/a.yaml:2:16 [1] expected a text
              disables [one, two]
            error: asset `one` has no key `owner`
              assets/a.yaml:3:9 [owner] unknown key
              help: did you mean `owners`?
              disables [one, three]
            broken: {one, three, two}
        "#]],
    );
}

#[test]
fn names_that_become_one_variable() {
    check(
        &[
            (
                "assets/a.yaml",
                "assets:\n  a/b: {run: x}\n  a-b: {run: x}\n  c: {run: x, deps: [a/b, a-b]}\n",
            ),
            ("assets/d.sql", "-- /// asset\n-- ///\nselect * from a_b"),
            ("assets/e.sql", "-- /// asset\n-- ///\nselect * from \"a/b\" join c"),
        ],
        expect![[r#"
            error: `a/b` and `a-b` would both be `a_b`
              assets/a.yaml:4:27 [a-b] second of this name
              also [a/b] first of this name
              help: in variables and tables `/` and `-` become `_`; rename one
              disables [c, e]
            error: `a_b` can mean several assets
              assets/d.sql:3:15 [a_b] ambiguous
              help: write "a-b" or "a/b" in quotes
              disables [d]
            a-b (assets/a.yaml:3) x
            a/b (assets/a.yaml:2) x
            broken: {c, d, e}
        "#]],
    );
}

#[test]
fn params_keep_their_types() {
    let text = "assets:\n  a: {run: x, version: 1.10, config: {a: 1, b: 1.5, c: no, d: true, e: '1', f: 007, g: null, h: [1, {i: 2024-01-01}]}}\n";
    let loaded = project_from(&[TOML, ("assets/a.yaml", text)]).unwrap();
    let asset = &loaded.project.assets["a"];
    expect![[
        r#"{"a":1,"b":1.5,"c":"no","d":true,"e":"1","f":"007","g":null,"h":[1,{"i":"2024-01-01"}]}"#
    ]]
    .assert_eq(&serde_json::to_string(&asset.config).unwrap());
    assert_eq!(asset.version.as_deref(), Some("1.10"));
}

#[test]
fn what_holds_for_all_disables_all() {
    check(
        &[
            ("giornata.toml", "timezone = \"Europe/Berlim\"\n[sources]\ns = { files = \"x\" }\n"),
            ("assets/a.yaml", "assets: {a: {run: x}}"),
        ],
        expect![[r#"
            error: there is no time zone `Europe/Berlim`
              giornata.toml:1:12 ["Europe/Berlim"] unknown time zone
              help: did you mean `Europe/Berlin`?
              disables [a, s]
            broken: {a, s}
        "#]],
    );
    check(
        &[
            ("giornata.toml", "name = \n[assets.b]\nrun = \"y\"\n"),
            ("assets/a.yaml", "assets: {a: {run: x}}"),
        ],
        expect![[r#"
            error: this is not TOML
              giornata.toml:1:8 [] string values must be quoted, expected literal string
              disables [a, b]
            broken: {a, b}
        "#]],
    );
    check(
        &[
            ("giornata.toml", "[partitions.weekly]\nstart = 2024-01-01\ndya = 1\n"),
            ("assets/a.yaml", "assets: {a: {run: x}, b: {run: x, partitions: weekly}}"),
        ],
        expect![[r#"
            error: the partition set `weekly` has an error
              assets/a.yaml:1:47 [weekly] declared in giornata.toml
              disables [b]
            error: `weekly` has no key `dya`
              giornata.toml:3:1 [dya] unknown key
              help: did you mean `day`?
            a (assets/a.yaml:1) x
            broken: {b}
        "#]],
    );
}

#[test]
fn mappings_must_make_sense() {
    check_yaml(
        r#"
assets:
  a: {run: x, partitions: [p, q]}
  b: {run: x, partitions: {daily: {start: 2024-01-01}}, deps: {a: "window(-6d, 0d)"}}
  c: {run: x, deps: {a: "windw(1)"}}
  d: {run: x, partitions: {daily: {start: 2024-01-01}}, deps: [a]}
  e: {run: x, partitions: [s], deps: {a: {map: {p: s, q: s}}}}
"#,
        expect![[r#"
            error: asset `b` cannot read `a` in this way
              assets/a.yaml:4:67 ["window(-6d, 0d)"] `window(-6d, 0d)` needs time windows on both sides
              disables [b]
            error: `windw(1)` is not a mapping; mappings are `identity`, `time`, `all`, `last(7)`, `window(-6d, 0d)` and `dimension(name)`
              assets/a.yaml:5:25 ["windw(1)"] no mapping
              help: mappings: `identity`, `time`, `all`, `last(3)`, `window(-6d, 0d)`, `dimension(name)`
              disables [c]
            a (assets/a.yaml:3) x
              partitions static ["p", "q"]
            d (assets/a.yaml:6) x
              partitions daily hour=0 minute=0 zone=UTC start=2024-01-01T00:00:00 format="%Y-%m-%d" end_offset=0
              reads a
            e (assets/a.yaml:7) x
              partitions static ["s"]
              reads a by Static([("p", "s"), ("q", "s")])
            broken: {b, c}
        "#]],
    );
}

fn dump(nodes: usize, repeat: usize) -> String {
    let mut text = String::from(".a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..nodes {
        let refs = vec![format!("*a{}", level - 1); repeat].join(", ");
        text += &format!(".a{level}: &a{level} [{refs}]\n");
    }
    text
}

#[test]
fn code_inside_yaml_and_toml() {
    check(
        &[
            (
                "giornata.toml",
                "[assets.t]\nsql = \"\"\"\nselect *\nfrom nope\"\"\"\n[sources.\"s/a\"]\nfiles = 'x'\n",
            ),
            (
                "assets/a.yaml",
                r#"
assets:
  a:
    sql: |
      select * -- nope2
      from nope2, s_a
  b: {sql: select * from S_A}
  c:
    run: |
      cat $b | wc $s_a
    deps: [s/a]
"#,
            ),
        ],
        expect![[""]],
    );
}

#[test]
fn bombs_are_refused() {
    check_yaml(
        &dump(10, 10),
        expect![[r#"
        error: this is not YAML
          assets/a.yaml:6:46 [*a4] budget breached: RecordedAnchorEvents { recorded_anchor_events: 1000001 }
    "#]],
    );
}

#[test]
fn many_aliases_are_allowed() {
    let text = format!(".a: &a {{b: c}}\n.b: [{}]\n", vec!["*a"; 100_000].join(", "));
    check_yaml(&text, expect![[""]]);
    let text = format!(".a: &a c\n.b: [{}]\n", vec!["*a"; 100_001].join(", "));
    let loaded = project_from(&[TOML, ("assets/a.yaml", &text)]).unwrap();
    assert_eq!(loaded.diagnostics.len(), 1);
}

#[test]
fn big_texts_and_deep_nesting_are_refused() {
    let text = format!(".a: &a {}\n.b: [{}]\n", "x".repeat(1 << 20), vec!["*a"; 63].join(", "));
    let loaded = project_from(&[TOML, ("assets/a.yaml", &text)]).unwrap();
    assert_eq!(loaded.diagnostics[0].message, "this file expands to more than definitions need");
    for depth in [126, 127, 128, 100_000] {
        // One level is the root.
        let text = format!(".a: {}{}\n", "[".repeat(depth), "]".repeat(depth));
        let loaded = project_from(&[TOML, ("assets/a.yaml", &text)]).unwrap();
        assert_eq!(loaded.diagnostics.is_empty(), depth < 127, "{depth}");
        let text: String =
            (0..depth.min(500)).map(|at| format!("{}a:\n", " ".repeat(at))).collect();
        let loaded = project_from(&[TOML, ("assets/a.yaml", &text)]).unwrap();
        assert!(!loaded.diagnostics.is_empty(), "{depth}");
    }
    let text = format!("a = {}{}\n", "[".repeat(100_000), "]".repeat(100_000));
    assert!(!project_from(&[("giornata.toml", &text)]).unwrap().diagnostics.is_empty());
}

struct Dir(tempfile::TempDir);

impl Dir {
    fn new() -> Dir {
        let dir = Dir(tempfile::tempdir().unwrap());
        dir.write("giornata.toml", "name = \"t\"\n");
        dir
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    #[track_caller]
    fn check(&self, expect: Expect) {
        expect.assert_eq(&render(&project(self.0.path()).unwrap()));
    }
}

#[test]
fn odd_things_on_disk() {
    let dir = Dir::new();
    dir.write("assets/x.yaml/inner.sql", "-- /// asset\n-- ///\nselect 1");
    dir.write("assets/.hidden/a.yaml", "::: no");
    dir.write("assets/junk.bin", vec![0xff; 1 << 20]);
    dir.write("assets/junk.txt", "lorem ipsum\n".repeat(100_000));
    dir.write("assets/empty.sql", "");
    dir.write("assets/empty.yaml", "");
    dir.write("assets/bad.sql", b"-- /// asset\n-- ///\nselect '\xff'\n");
    dir.write("assets/bad.yaml", b"assets:\n  lost: {run: \xff}\n");
    dir.write("assets/uses.sql", "-- /// asset\n-- ///\nselect * from bad join lost");
    dir.write("elsewhere/linked.sql", "-- /// asset\n-- ///\nselect 1");
    symlink(dir.path("assets"), dir.path("assets/loop")).unwrap();
    symlink(dir.path("elsewhere"), dir.path("assets/more")).unwrap();
    symlink("nowhere", dir.path("assets/dangling")).unwrap();
    dir.check(expect![[r#"
        error: this file is not UTF-8 (first bad byte at offset 28)
          assets/bad.sql:3:9 [�] no UTF-8 from here on
          disables [bad, uses]
        error: this file is not UTF-8 (first bad byte at offset 22)
          assets/bad.yaml:2:15 [�] no UTF-8 from here on
          disables [lost, uses]
        warning: `assets/dangling` cannot be read: No such file or directory (os error 2)
          assets/dangling:1:1 [] 
        warning: `assets/loop` cannot be read: this link leads back into itself
          assets/loop:1:1 [] 
        error: `x.yaml/inner` cannot be a name: a name is segments of letters, digits, `_` and `-`, joined by `/`
          assets/x.yaml/inner.sql:1:1 [-- /// asset] no name
        more/linked (assets/more/linked.sql:1) sql@3 "select 1"
        broken: {bad, lost, uses}
    "#]]);
}

#[test]
fn without_a_project_file_there_is_no_project() {
    let dir = tempfile::tempdir().unwrap();
    assert!(project(dir.path()).is_err());
    let dir = Dir::new();
    dir.write("a/b/c", "");
    assert_eq!(find_root(&dir.path("a/b")), Some(dir.path("")).map(|it| it.components().collect()));
    assert_eq!(find_root(Path::new("/nowhere/at/all")), None);
    dir.write("giornata.toml", b"name = \"\xff\"");
    dir.check(expect![[r#"
        error: this file is not UTF-8 (first bad byte at offset 8)
          giornata.toml:1:9 [�] no UTF-8 from here on
    "#]]);
}

#[test]
fn the_digest_of_a_script_leaves_out_its_header() {
    let digest = |text: &str| {
        let loaded = project_from(&[TOML, ("assets/a.py", text)]).unwrap();
        assert_eq!(loaded.diagnostics, []);
        match &loaded.project.assets["a"].body {
            Body::Command(command) => command.code.unwrap(),
            body => panic!("{body:?}"),
        }
    };
    let plain = digest("# /// asset\n# ///\nprint()\n");
    assert_eq!(plain, digest("# /// asset\n# # why\n#   timeout = '3m'\n# ///\nprint()\n"));
    assert_ne!(plain, digest("# /// asset\n# ///\nprint(1)\n"));
    let script = |rest: &str, own: &str| {
        digest(&format!("# /// script\n# {rest}\n# [tool.giornata]\n# {own}\n# ///\nprint()\n"))
    };
    assert_eq!(script("dependencies = []", ""), script("dependencies=[ ] # none", "ttl = '1h'"));
    assert_ne!(script("dependencies = []", ""), script("dependencies = ['pandas']", ""));
}

#[test]
fn a_thousand_files_load() {
    let dir = Dir::new();
    dir.write("assets/sources.yaml", "sources: {raw: {files: raw.csv}}");
    for at in 0..1000 {
        let text =
            format!("-- /// asset\n-- group = \"g\"\n-- ///\nselect * from raw where id = {at}\n");
        dir.write(&format!("assets/d{}/a{at}.sql", at % 10), text);
    }
    let loaded = project(dir.0.path()).unwrap();
    assert_eq!((loaded.diagnostics.len(), loaded.project.assets.len()), (0, 1001));
    assert_eq!(loaded.project.topological()[0].as_str(), "raw");
    assert_eq!(loaded.files.len(), 1002);
}

/// Words of the declarations, so that junk gets past the first look.
const WORDS: &str = "(assets|sources|a|b|run|sql|deps|files|partitions|daily|start|2024-01-01|each\\(a\\)|export|config|\
    output|\\{partition\\}|true|1|x\\.csv|&a|\\*a|<<|[:,\\[\\]{}'\"|>=.#-]|: |\n|\n  |\n    |\t|é|\\PC){0,60}";

proptest! {
    #[test]
    fn never_panics_on_junk(text in WORDS) {
        let header = format!("-- /// asset\n-- {}\n-- ///\n{text}", text.replace('\n', "\n-- "));
        let files = [
            ("giornata.toml", text.as_str()),
            ("assets/a.yaml", &text),
            ("assets/c.sql", &header),
        ];
        let loaded = project_from(&files).unwrap();
        for diagnostic in loaded.diagnostics {
            prop_assert!(diagnostic.text.get(diagnostic.span.clone()).is_some());
            diagnostic.position();
        }
    }
}
