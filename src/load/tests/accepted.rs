//! What is read, and what it becomes.

use std::time::Duration;

use expect_test::expect;

use super::{TOML, check, check_yaml};
use crate::defs::{Backoff, Body, Durability};
use crate::load::project_from;

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
fn exports_that_would_overwrite_the_project() {
    check_yaml(
        r#"
assets:
  a: {run: x, output_dir: true, export: ./assets}
  b: {run: x, output: o, export: giornata.toml}
  c: {run: x, output: o, export: .giornata/giornata.db}
  d: {run: x, output: o, export: assets/a.yaml}
  e: {run: x, output: o, export: assets/data/e.csv}
"#,
        expect![[r#"
            error: the export of `a` would overwrite `assets/a.yaml`
              assets/a.yaml:3:41 [./assets] this path is not free
              help: export to a directory of its own, such as `out`
              disables [a]
            error: the export of `b` would overwrite `giornata.toml`
              assets/a.yaml:4:34 [giornata.toml] this path is not free
              help: export to a directory of its own, such as `out`
              disables [b]
            error: the export of `c` would overwrite `.giornata`
              assets/a.yaml:5:34 [.giornata/giornata.db] this path is not free
              help: export to a directory of its own, such as `out`
              disables [c]
            error: the export of `d` would overwrite `assets/a.yaml`
              assets/a.yaml:6:34 [assets/a.yaml] this path is not free
              help: export to a directory of its own, such as `out`
              disables [d]
            e (assets/a.yaml:7) x
            broken: {a, b, c, d}
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
  d:
    sql: |
      -- first
      select 1
  c:
    run: |
      cat $b | wc $s_a
    deps: [s/a]
"#,
            ),
        ],
        expect![[r#"
            error: asset `a` reads `nope2`, which does not exist
              assets/a.yaml:6:12 [nope2] no asset has this name
              disables [a]
            warning: `run` of `c` uses `$b`
              assets/a.yaml:14:7 [cat $b | wc $s_a] this variable is not set
              help: `deps` must name `b`
            error: asset `t` reads `nope`, which does not exist
              giornata.toml:4:6 [nope] no asset has this name
              disables [t]
            b (assets/a.yaml:7) sql@7 "select * from S_A"
              reads s/a
            c (assets/a.yaml:12) sh "cat $b | wc $s_a"
              reads s/a
            d (assets/a.yaml:8) sql@10 "-- first\nselect 1\n"
            s/a (giornata.toml:5) source Files { pattern: PathPattern { text: "x", pieces: [Literal("x")] }, split_by: None, columns: {} }
            broken: {a, t}
        "#]],
    );
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
    assert_eq!(
        script("dependencies = []", ""),
        script("dependencies=[ ] # none", "timeout = '1h'")
    );
    assert_ne!(script("dependencies = []", ""), script("dependencies = ['pandas']", ""));
}

#[test]
fn settings_and_defaults_arrive() {
    let toml = r#"
[settings]
jobs = 3
inline_max = "8KiB"
durability = "safe"
log_max = 1000
[[defaults]]
path = "**"
format = "jsonl"
retries = { max = 3, delay = "30s", backoff = "linear" }
env = ["A"]
[[defaults]]
path = "assets/mart/*.sql"
tags = ["mart"]
env = ["B"]
export = "out/{asset}.csv"
[assets.plain]
run = "x"
output = "x.html"
timeout = "1h 30m"
retries = 1
"#;
    let files = [
        ("giornata.toml", toml),
        ("assets/mart/a.sql", "-- /// asset\n-- tags = { level = 1 }\n-- ///\nselect 1"),
    ];
    let loaded = project_from(&files).unwrap();
    assert_eq!(loaded.diagnostics, []);
    let settings = &loaded.project.settings;
    assert_eq!((settings.jobs, settings.inline_max_bytes), (Some(3), 8192));
    assert_eq!((settings.durability, settings.log_max_bytes), (Durability::Safe, 1000));
    let asset = &loaded.project.assets["mart/a"];
    assert_eq!(asset.export.as_deref(), Some("out/mart/a.csv"));
    assert_eq!(asset.tags.get("level").map(String::as_str), Some("1"));
    assert!(asset.env.contains("B") && !asset.env.contains("A"));
    expect![["Table(JsonLines)"]].assert_eq(&format!("{:?}", asset.output));
    let retries = &asset.policy.retries;
    assert_eq!(
        (retries.max, retries.delay, retries.backoff),
        (3, Duration::from_secs(30), Backoff::Linear)
    );
    let plain = &loaded.project.assets["plain"];
    expect![[r#"File { name: "x.html" }"#]].assert_eq(&format!("{:?}", plain.output));
    assert_eq!(plain.policy.timeout, Some(Duration::from_secs(5400)));
    assert_eq!((plain.policy.retries.max, plain.export.as_deref()), (1, None));
}

#[test]
fn several_dimensions_and_cron_load() {
    check_yaml(
        r#"
assets:
  a: {run: x, partitions: {multi: {date: {daily: {start: 2024-01-01}}, region: [eu, us]}}}
  b: {run: x, partitions: {cron: {expression: "0 0 1 1 *", start: 2012-01-01, end: 2016-01-01, format: "%Y"}}}
  c: {run: x, partitions: {weekly: {start: 2024-01-01, day: monday, hour: 6, timezone: Asia/Tokyo}}}
  d: {run: x, partitions: {hourly: {start: "2024-01-01 06:00", minute: 15, end_offset: 1, exclusions: [2024-01-01T07:15]}}}
  e: {run: x, partitions: {dynamic: customers}, deps: {a: all}}
"#,
        expect![[r#"
            a (assets/a.yaml:3) x
              partitions {"date": daily hour=0 minute=0 zone=UTC start=2024-01-01T00:00:00 format="%Y-%m-%d" end_offset=0, "region": static ["eu", "us"]}
            b (assets/a.yaml:4) x
              partitions cron "0 0 1 1 *" zone=UTC start=2012-01-01T00:00:00 end=2016-01-01T00:00:00 format="%Y" end_offset=0
            c (assets/a.yaml:5) x
              partitions weekly day=1 hour=6 minute=0 zone=Asia/Tokyo start=2024-01-01T00:00:00 format="%Y-%m-%d" end_offset=0
            d (assets/a.yaml:6) x
              partitions hourly minute=15 zone=UTC start=2024-01-01T06:00:00 format="%Y-%m-%d-%H:%M" end_offset=1 without=2024-01-01T07:15:00
            e (assets/a.yaml:7) x
              partitions named:customers
              reads a by All
        "#]],
    );
}

/// What the step says holds for each of its assets, unless the asset says otherwise; of the keys that say
/// what is made only the nearest ones count.
#[test]
fn several_assets_of_one_step() {
    let toml = "name = \"t\"\n[[defaults]]\npath = \"mart/*\"\ntags = [\"mart\"]\nexport = \"out/{asset}\"\n";
    let yaml = r#"
sources: {raw: {files: raw.csv}}
assets:
  split:
    run: sh split.sh
    deps: [raw]
    format: csv
    export: "tables/{asset}.csv"
    checks: [rows > 0]
    makes:
      mart/good:
      bad: {output: bad.txt, checks: [], group: waste, export: bad.txt}
"#;
    check(
        &[("giornata.toml", toml), ("assets/a.yaml", yaml)],
        expect![[r#"
        bad (assets/a.yaml:12) sh split.sh
          made by split as File { name: "bad.txt" }: [mart/good, bad]
          reads raw
        mart/good (assets/a.yaml:11) sh split.sh
          made by split as Table(Csv): [mart/good, bad]
          reads raw
        raw (assets/a.yaml:2) source Files { pattern: PathPattern { text: "raw.csv", pieces: [Literal("raw.csv")] }, split_by: None, columns: {} }
    "#]],
    );
    let loaded = project_from(&[("giornata.toml", toml), ("assets/a.yaml", yaml)]).unwrap();
    let said: Vec<String> = ["mart/good", "bad"]
        .map(|name| &loaded.project.assets[name])
        .map(|it| format!("{:?} {:?} {} {:?}", it.export, it.group, it.checks.len(), it.tags))
        .to_vec();
    expect![[r#"
        Some("tables/mart/good.csv") Some("split") 1 {"mart": ""}
        Some("bad.txt") Some("waste") 0 {}"#]]
    .assert_eq(&said.join("\n"));
}

#[test]
fn a_script_that_makes_several() {
    let script = "#!/bin/sh\n# /// asset\n# makes = [\"a\", \"b\"]\n# ///\ntrue\n";
    check(
        &[("assets/both.sh", script)],
        expect![[r#"
        a (assets/both.sh:3) script ["/bin/sh"] assets/both.sh
          made by both as File { name: "a" }: [a, b]
        b (assets/both.sh:3) script ["/bin/sh"] assets/both.sh
          made by both as File { name: "b" }: [a, b]
    "#]],
    );
}
