//! Files that are not what they seem: broken, huge, deep, circular, or no text at all.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::{TOML, check, check_yaml, render};
use crate::load::{find_root, project, project_from};

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
            error: job `x`: there is no asset `y`
              assets/a.yaml:1:20 [y] nothing has this name
              help: `giornata list` names all assets
              stops [x]
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

fn dump(nodes: usize, repeat: usize) -> String {
    let mut text = String::from(".a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..nodes {
        let refs = vec![format!("*a{}", level - 1); repeat].join(", ");
        text += &format!(".a{level}: &a{level} [{refs}]\n");
    }
    text
}

#[test]
fn bombs_are_refused() {
    check_yaml(
        &dump(10, 10),
        expect![[r#"
        error: this file expands to more than definitions need
          assets/a.yaml:6:11 [*a4] too much from here on
          help: at most 100000 aliases, 500000 values, 64 MB and 127 levels are read
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

#[test]
fn a_long_chain_and_a_long_circle_load() {
    let link = |at: usize, next: usize| format!("  a{at}: {{run: x, deps: [a{next}]}}\n");
    let chain: String = (0..5000).map(|at| link(at, at + 1)).collect();
    let open = format!("assets:\n{chain}  a5000: {{run: x}}\n");
    let loaded = project_from(&[TOML, ("assets/a.yaml", &open)]).unwrap();
    assert_eq!(loaded.diagnostics, []);
    assert_eq!(loaded.project.topological()[0].as_str(), "a5000");
    let closed = format!("assets:\n{chain}{}", link(5000, 4900));
    let loaded = project_from(&[TOML, ("assets/a.yaml", &closed)]).unwrap();
    assert_eq!(loaded.diagnostics.len(), 1);
    assert_eq!(loaded.diagnostics[0].disables.len(), 5001);
}

/// Words of the declarations, so that junk gets past the first look.
const WORDS: &str = "(assets|sources|jobs|ops|graphs|types|a|b|run|sql|deps|in|use|each|takes|outputs|select|files|partitions|daily|start|2024-01-01|each\\(a\\)|export|config|\
    output|\\{partition\\}|true|1|x\\.csv|&a|\\*a|<<|[:,\\[\\]{}'\"|>=.#-]|: |\n|\n  |\n    |\t|é|\\PC){0,60}";

/// Calls of a few names that may or may not be there.
fn call() -> impl Strategy<Value = String> {
    let name = "[a-d]";
    let of = "[a-dx](\\.(left|right|result))?";
    let wire = prop_oneof![
        of.prop_map(|of: String| of),
        of.prop_map(|of: String| format!("{{each: {of}}}")),
        of.prop_map(|of: String| format!("{{collect: {of}}}")),
        (of, of).prop_map(|(a, b)| format!("[{a}, {{each: {b}}}]")),
        Just("{value: 3}".to_owned()),
    ];
    let what = prop_oneof![
        Just("run: x"),
        Just("run: x, outputs: '{piece}'"),
        Just("run: x, outputs: [left, right]"),
        Just("run: x, takes: {v: {many: int}}, output: string"),
        Just("use: e"),
        Just("use: f"),
        Just("graph: g"),
        Just("graph: h"),
    ];
    let wires = prop::collection::vec(("[vw]", wire), 0..2);
    (what, wires, prop::option::of(name)).prop_map(|(what, wires, after)| {
        let wires: Vec<String> = wires.iter().map(|(to, from)| format!("{to}: {from}")).collect();
        let after = after.map(|name| format!(", after: {name}")).unwrap_or_default();
        format!("{{{what}, in: {{{}}}{after}}}", wires.join(", "))
    })
}

fn calls() -> impl Strategy<Value = String> {
    prop::collection::btree_map("[a-d]", call(), 1..4).prop_map(|calls| {
        let calls: Vec<String> =
            calls.iter().map(|(name, call)| format!("{name}: {call}")).collect();
        format!("{{{}}}", calls.join(", "))
    })
}

proptest! {
    /// A job is there, or an error stops it.
    #[test]
    fn a_job_of_any_ops_is_sound_or_says_why_not(j in calls(), g in calls(), h in calls()) {
        let text = format!(
            "ops: {{e: {{run: x, takes: {{v: int}}, output: int}}}}\n\
             graphs: {{g: {{takes: [v, x], ops: {g}, results: a}}, h: {{ops: {h}, results: {{left: a}}}}}}\n\
             jobs: {{j: {{ops: {j}}}}}\n"
        );
        let loaded = project_from(&[TOML, ("assets/a.yaml", &text)]).unwrap();
        let stopped = loaded.diagnostics.iter().any(|it| it.stops.iter().any(|it| it.as_str() == "j"));
        prop_assert_eq!(loaded.project.jobs.contains_key("j"), !stopped, "{}", text);
    }

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

#[test]
fn graphs_that_double_at_each_level_end_soon() {
    let mut text = "graphs:\n  g0: {ops: {a: {run: x}}}\n".to_owned();
    for level in 1..40 {
        let below = level - 1;
        text +=
            &format!("  g{level}: {{ops: {{a: {{graph: g{below}}}, b: {{graph: g{below}}}}}}}\n");
    }
    let loaded = project_from(&[TOML, ("assets/a.yaml", &text)]).unwrap();
    let first = loaded.diagnostics.iter().find(|it| it.is_error()).unwrap();
    assert!(first.message.contains("this would be 131072 steps"), "{}", first.message);
}
