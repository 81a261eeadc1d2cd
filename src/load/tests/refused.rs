//! Mistakes in declarations that can be read.

use expect_test::expect;

use super::{check, check_yaml};

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
            error: `rows` is no check: there are `rows = 1`, `not_null(column)`, `unique(column, ..)`, `accepted(column, value, ..)`, `between(column, low, high)` and `fresh(column, 2d)`
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
            f (assets/a.yaml:14) x
            f/each (assets/a.yaml:14) source Pieces { of: f, pattern: PathPattern { text: "{piece}.csv", pieces: [Capture { name: "piece", format: None }, Literal(".csv")] } }
              partitions pieces:f
              reads f by All
            u (assets/a.yaml:5) source Dir { path: "x", columns: {} }
            broken: {a, b, c, d, e, g, h, i, j, k, l, s, t, v, w}
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
              disables [c]
            error: asset `d` cannot read `a` in this way
              assets/a.yaml:6:64 [a] the same keys are never on both sides; say which partitions are read: `all`, `last(1)`, or pairs of keys
              disables [d]
            a (assets/a.yaml:3) x
              partitions static ["p", "q"]
            e (assets/a.yaml:7) x
              partitions static ["s"]
              reads a by Static([("p", "s"), ("q", "s")])
            broken: {b, c, d}
        "#]],
    );
}

/// A mistake in one of the assets of a step, or in what reads them, is told once, and says all that is lost.
#[test]
fn a_step_of_several_assets_is_broken_as_a_whole() {
    check_yaml(
        r#"
assets:
  both:
    run: ./both.sh
    deps: [nothing]
    ttl: soon
    makes: {a: {output: x/y}, b: }
  reads_b: {deps: [b], run: x}
  twice: {run: x, makes: [c, reads_b]}
  sql: {sql: SELECT 1, makes: [d]}
  none: {run: x, makes: {e: {run: y, chekcs: [1]}}}
"#,
        expect![[r#"
            error: asset `a` reads `nothing`, which does not exist
              assets/a.yaml:5:12 [nothing] no asset has this name
              disables [a, b, reads_b]
            error: `ttl` must be a duration, not `soon`
              assets/a.yaml:6:10 [soon] expected a number and a unit
              help: for example `30s`, `10m` or `1h 30m`
              disables [a, b, reads_b]
            error: `output` must be the name of a file, not `x/y`
              assets/a.yaml:7:25 [x/y] a name without `/`
              help: results live in the store; `export: PATH` also puts them at a path of yours
              disables [a, b, reads_b]
            error: `reads_b` is declared twice
              assets/a.yaml:9:30 [reads_b] declared again
              also [reads_b] first declared here
              disables [c, reads_b]
            error: a SQL asset makes one table
              assets/a.yaml:10:31 [[] several assets
              help: a command makes several: `run: ./both.sh`, `makes: [left, right]`
              disables [d, sql]
            error: asset `e` has no key `run`
              assets/a.yaml:11:30 [run] unknown key
              help: known keys: description, group, owners, tags, kinds, output, output_dir, format, export, checks
              disables [e, none]
            error: asset `e` has no key `chekcs`
              assets/a.yaml:11:38 [chekcs] unknown key
              help: did you mean `checks`?
              disables [e, none]
            broken: {a, b, c, d, e, reads_b}
        "#]],
    );
}
