//! Holds the house together: who may name whom, and what every file has.
//!
//! The table in [`LAYERS`] is the one of ARCHITECTURE.md. The rules are functions of text, so that the
//! tests at the end can show each of them failing.

use std::fs;
use std::path::{Path, PathBuf};

mod examples;
mod names;

use names::{Name, names, tokens};

/// A module uses itself and modules with a lower number. A module that is not written yet may stand here.
const LAYERS: &[(u8, &[&str])] = &[
    (0, &["base"]),
    (1, &["defs", "cas"]),
    (2, &["load", "store", "plan", "io"]),
    (3, &["exec", "watch", "sensor"]),
    (4, &["engine"]),
    (5, &["api", "server"]),
    (6, &["cli", "testing"]),
];

/// The only modules, or files by the beginning of their path, that name a foreign crate.
const OWNERS: &[(&str, &[&str])] = &[
    ("rusqlite", &["store", "io/warehouse", "exec/sql"]),
    ("rusqlite_migration", &["store"]),
    ("ureq", &["io/http"]),
    ("salsa", &["plan"]),
    ("notify", &["watch"]),
    ("axum", &["server"]),
    ("tokio", &["server"]),
    ("clap", &["cli"]),
    ("indicatif", &["cli"]),
    ("comfy_table", &["cli"]),
    ("anstream", &["cli"]),
    ("annotate_snippets", &["cli"]),
];

/// The only module that starts processes.
const PROCESS_OWNER: &str = "exec";

/// Longer files have more than one subject.
const LINES_MAX: usize = 800;

fn row(module: &str) -> Option<u8> {
    LAYERS.iter().find(|(_, modules)| modules.contains(&module)).map(|(row, _)| *row)
}

/// The module path of a file below `src`: `defs/asset.rs` is `["defs", "asset"]`, `lib.rs` is empty.
fn module_path(file: &str) -> Vec<&str> {
    let mut path: Vec<&str> = file.trim_end_matches(".rs").split('/').collect();
    if path.last() == Some(&"mod") || matches!(file, "lib.rs" | "main.rs") {
        path.pop();
    }
    path
}

/// What is wrong with one file, given by its path below `src`.
fn check_source(file: &str, text: &str) -> Vec<String> {
    let path = module_path(file);
    let own = path.first().copied();
    let mut faults = Vec::new();
    if let Some(module) = own.filter(|module| row(module).is_none()) {
        faults.push(format!("{file}: module `{module}` has no row in LAYERS"));
    }
    for name in names(&tokens(text)) {
        let fault = match from_root(&path, &name) {
            Some(rest) => layer_fault(own, rest, &name),
            None => owner_fault(file, own, &name),
        };
        faults.extend(fault.map(|fault| format!("{file}: `{}` {fault}", name.segments.join("::"))));
    }
    faults
}

/// The segments after the crate's root, if the name goes through it.
fn from_root<'a, 'b>(path: &[&str], name: &'b Name<'a>) -> Option<&'b [&'a str]> {
    let supers = name.segments.iter().take_while(|segment| **segment == "super").count();
    match name.segments[0] {
        "crate" | "giornata" if name.segments.len() > 1 => Some(&name.segments[1..]),
        "super" if supers == path.len() + name.inline_depth => Some(&name.segments[supers..]),
        _ => None,
    }
}

fn layer_fault(own: Option<&str>, rest: &[&str], name: &Name<'_>) -> Option<String> {
    // The root of the crate may name everything.
    let own = own?;
    let target = *rest.first()?;
    match (row(own), row(target)) {
        (_, Some(_)) if own == target => None,
        (Some(low), Some(high)) if high >= low => {
            Some(format!("goes up: `{target}` is in row {high}, `{own}` in row {low}"))
        }
        (_, Some(_)) => None,
        (_, None) if name.calls_macro => None,
        (_, None) => {
            Some("names the crate's root: name the module, so that its layer shows".to_owned())
        }
    }
}

fn owner_fault(file: &str, own: Option<&str>, name: &Name<'_>) -> Option<String> {
    let segments = &name.segments[..];
    if let ["std", "process", "Command" | "*", ..] | ["process", "Command", ..] = segments {
        return (own != Some(PROCESS_OWNER)).then(|| format!("belongs to `{PROCESS_OWNER}`"));
    }
    let (_, owners) = OWNERS.iter().find(|(krate, _)| *krate == segments[0])?;
    let is_owner =
        |owner: &str| Some(owner) == own || owner.contains('/') && file.starts_with(owner);
    let names_crate = segments.len() > 1 || name.follows_use;
    let allowed = !names_crate || owners.iter().any(|owner| is_owner(owner));
    (!allowed).then(|| format!("belongs to `{}`", owners.join("`, `")))
}

/// What is wrong with the form of a Rust file anywhere in the repository.
fn check_form(file: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if !text.starts_with("//! ") {
        faults.push(format!("{file}: the first line is not `//! ` and what the file decides"));
    }
    let lines = text.lines().count();
    if lines > LINES_MAX {
        faults.push(format!("{file}: {lines} lines, and {LINES_MAX} are the most"));
    }
    faults
}

/// Finds paths of somebody's machine and marks of an unfinished merge.
fn check_words(file: &str, text: &str) -> Vec<String> {
    let machine = ["/home/", "/Users/", "/root/", "/tmp/"];
    let merge = ["<<<<<<< ", ">>>>>>> "];
    let mut faults = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let starts_path = |at: usize| {
            !line[..at].ends_with(|c: char| c.is_alphanumeric() || "./}_-*$~".contains(c))
        };
        let path =
            machine.iter().find(|word| line.match_indices(**word).any(|(at, _)| starts_path(at)));
        if let Some(word) = path.or_else(|| merge.iter().find(|word| line.starts_with(**word))) {
            faults.push(format!("{file}:{}: `{word}` must not appear", number + 1));
        }
    }
    faults
}

/// Files that no parent declares with `mod name;`: they would never be compiled, or never run.
fn check_declared(root: &str, files: &[(String, String)]) -> Vec<String> {
    let declares = |parent: &str, name: &str| {
        let text = files.iter().find(|(file, _)| file == parent).map(|(_, text)| tokens(text));
        text.is_some_and(|tokens| tokens.windows(3).any(|three| three == ["mod", name, ";"]))
    };
    let undeclared = |file: &&str| {
        let path = module_path(file);
        let Some((name, parents)) = path.split_last() else { return false };
        let parent = parents.join("/");
        match parents {
            [] => *file != root && !declares(root, name),
            [..] => {
                !declares(&format!("{parent}/mod.rs"), name)
                    && !declares(&format!("{parent}.rs"), name)
            }
        }
    };
    let files = files.iter().map(|(file, _)| file.as_str());
    files
        .filter(undeclared)
        .map(|file| format!("{file}: no parent declares it with `mod`"))
        .collect()
}

fn check_architecture(architecture: &str, modules: &[&str]) -> Vec<String> {
    let missing = modules.iter().filter(|module| !architecture.contains(&format!("`{module}`")));
    missing.map(|module| format!("ARCHITECTURE.md does not name `{module}`")).collect()
}

/// What a release relies on: one minimum version of Rust, and a place for what has changed.
fn check_release(cargo: &str, toolchain: &str, changelog: &str) -> Vec<String> {
    let value = |text: &str, key: &str| {
        let line =
            text.lines().find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix('='));
        line.map(|value| value.trim().trim_matches('"').to_owned()).unwrap_or_default()
    };
    let (minimum, channel) = (value(cargo, "rust-version"), value(toolchain, "channel"));
    let mut faults = Vec::new();
    if minimum.is_empty() || !(channel.clone() + ".").starts_with(&(minimum.clone() + ".")) {
        faults.push(format!(
            "Cargo.toml says rust-version `{minimum}`, rust-toolchain.toml `{channel}`"
        ));
    }
    if changelog.lines().find(|line| line.starts_with("## ")) != Some("## [Unreleased]") {
        faults.push("the first section of CHANGELOG.md is not `## [Unreleased]`".to_owned());
    }
    faults
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path))
        .unwrap_or_else(|error| panic!("read {path}: {error}"))
}

/// All text files below `folder` with their paths relative to it; none if there is no such folder.
fn files_below(folder: &str) -> Vec<(String, String)> {
    let top = repository().join(folder);
    let (mut folders, mut files) = (vec![top.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path: PathBuf = entry.expect("a folder of the repository can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                let relative = path.strip_prefix(&top).expect("it was found below");
                files.push((relative.to_string_lossy().into_owned(), text));
            }
        }
    }
    files.sort();
    files
}

fn rust_files_below(folder: &str) -> Vec<(String, String)> {
    let mut files = files_below(folder);
    files.retain(|(file, _)| file.ends_with(".rs"));
    files
}

#[track_caller]
fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn modules_use_only_lower_layers_and_crates_that_they_own() {
    let files = rust_files_below("src");
    assert_none(
        &files.iter().flat_map(|(file, text)| check_source(file, text)).collect::<Vec<_>>(),
    );
}

#[test]
fn every_rust_file_says_what_it_decides_and_stays_short() {
    for folder in ["src", "tests", "examples", "benches"] {
        let files = rust_files_below(folder);
        assert_none(
            &files.iter().flat_map(|(file, text)| check_form(file, text)).collect::<Vec<_>>(),
        );
    }
}

#[test]
fn no_file_is_forgotten() {
    let mut source = rust_files_below("src");
    source.retain(|(file, _)| file != "main.rs");
    assert_none(&check_declared("lib.rs", &source));
    assert_none(&check_declared("main.rs", &rust_files_below("tests/it")));
}

#[test]
fn no_file_names_somebodys_machine() {
    let folders = ["src", "tests", "examples", "benches", "assets", "docs", "ui/src", ".ci"];
    let top = fs::read_dir(repository()).expect("the repository can be listed");
    let top = top.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let top = top.filter(|file| file.ends_with(".md") || file.ends_with(".toml"));
    let mut faults: Vec<String> = top.flat_map(|file| check_words(&file, &read(&file))).collect();
    for (file, text) in folders.into_iter().flat_map(files_below) {
        // This file lists the words.
        if file != "it/tidy.rs" {
            faults.extend(check_words(&file, &text));
        }
    }
    assert_none(&faults);
}

#[test]
fn architecture_names_every_module() {
    let files = rust_files_below("src");
    let mut modules: Vec<&str> =
        files.iter().filter_map(|(file, _)| module_path(file).first().copied()).collect();
    modules.dedup();
    assert_none(&check_architecture(&read("ARCHITECTURE.md"), &modules));
}

#[test]
fn every_public_item_of_the_api_is_shown_in_an_example() {
    let shown = |file: &(String, String)| examples::items(&format!("src/{}", file.0), &file.1);
    let source = rust_files_below("src");
    let is_api = |file: &str| file.starts_with("api/") || file.starts_with("testing");
    let (api, others): (Vec<_>, Vec<_>) = source.into_iter().partition(|(file, _)| is_api(file));
    let mut items: Vec<_> = api.iter().flat_map(shown).collect();
    assert!(items.len() > 200, "only {} items were found", items.len());
    for (module, name) in examples::taken_over(&read("src/api/mod.rs")) {
        let of_module = others.iter().filter(|(file, _)| file.starts_with(&module));
        let taken = examples::of_type(of_module.flat_map(shown).collect(), &name);
        assert!(!taken.is_empty(), "`{name}` of `{module}` was not found");
        items.extend(taken);
    }
    assert_none(&examples::check(&items));
}

#[test]
fn a_release_has_one_rust_version_and_a_changelog() {
    assert_none(&check_release(
        &read("Cargo.toml"),
        &read("rust-toolchain.toml"),
        &read("CHANGELOG.md"),
    ));
}

/// The rules themselves, on sources that break them.
mod rules {
    use super::*;

    #[track_caller]
    fn check(file: &str, text: &str, expect: &[&str]) {
        let faults = check_source(file, text);
        assert_eq!(faults.len(), expect.len(), "{faults:#?}");
        for (fault, expect) in faults.iter().zip(expect) {
            assert!(fault.contains(expect), "{fault} does not contain {expect}");
        }
    }

    #[test]
    fn lower_rows_and_the_own_module_are_allowed() {
        check("engine/run.rs", "use crate::{base::Rev, store::Store};\nuse super::Engine;", &[]);
        check("plan/mod.rs", "pub(crate) fn f(rev: crate::base::Rev) { crate::plan::g(rev) }", &[]);
        check("lib.rs", "pub use crate::cli::main;\npub mod cli;", &[]);
        check("main.rs", "fn main() { giornata::cli::main() }", &[]);
    }

    #[test]
    fn same_and_higher_rows_are_found_in_every_spelling() {
        check("base/key.rs", "use crate::defs::Asset;", &["`defs` is in row 1, `base` in row 0"]);
        check(
            "plan/mod.rs",
            "fn f() { crate::store::open() }",
            &["`store` is in row 2, `plan` in row 2"],
        );
        check("store/mod.rs", "use giornata::engine::Engine;", &["`engine` is in row 4"]);
        check(
            "io/csv.rs",
            "use crate::{\n    base::Rev,\n    exec::{Step, Spec as S},\n};",
            &["exec::Step", "exec::Spec"],
        );
        check("api.rs", "use super::{base, cli};", &["`cli` is in row 6"]);
        check("store/run.rs", "use super::super::engine::Engine;", &["goes up"]);
        check(
            "store/run.rs",
            "mod tests {\n    use super::super::super::engine::Engine;\n}",
            &["goes up"],
        );
        check(
            "watch/mod.rs",
            "#[cfg(test)]\nmod tests { use crate::sensor::Sensor; }",
            &["goes up"],
        );
        check("cas/mod.rs", "macro_rules! m { () => { $crate::load::x() } }", &["goes up"]);
    }

    #[test]
    fn children_of_the_same_name_are_no_layer() {
        check("exec/mod.rs", "mod tests {\n    use super::sensor::Probe;\n}", &[]);
        check("defs/partition/mod.rs", "mod tests { use super::super::cli::X; }", &[]);
    }

    #[test]
    fn the_root_hides_no_layer() {
        check(
            "defs/asset.rs",
            "use crate::Engine;\nuse crate::*;",
            &["names the crate's root", "crate::*"],
        );
        check("defs/asset.rs", "crate::suite!(csv);", &[]);
    }

    #[test]
    fn a_module_without_a_row_is_found() {
        check("helpers/mod.rs", "", &["`helpers` has no row"]);
        check("engine/mod.rs", "use crate::helpers::x;", &["names the crate's root"]);
    }

    #[test]
    fn foreign_crates_have_owners() {
        check("store/mod.rs", "use rusqlite::Connection;", &[]);
        check("io/warehouse.rs", "use rusqlite::Connection;", &[]);
        check("exec/sql.rs", "use rusqlite::Connection;", &[]);
        check("exec/sql/bind.rs", "use rusqlite::Connection;", &[]);
        check(
            "exec/command.rs",
            "use rusqlite::Connection;",
            &["belongs to `store`, `io/warehouse`, `exec/sql`"],
        );
        check("engine/mod.rs", "#[salsa::tracked]\nfn f() {}", &["belongs to `plan`"]);
        check("sensor/mod.rs", "use notify;", &["belongs to `watch`"]);
        check("engine/mod.rs", "fn f(notify: N) { notify.all(); self.notify::<T>() }", &[]);
        check(
            "api/mod.rs",
            "use ::{tokio::spawn, axum::Router};",
            &["tokio::spawn", "axum::Router"],
        );
        check("load/mod.rs", "use annotate_snippets::Level;", &["belongs to `cli`"]);
    }

    #[test]
    fn processes_are_started_in_one_place() {
        check("exec/command.rs", "use std::process::{Command, Stdio};", &[]);
        check("cli/mod.rs", "use std::process::ExitCode;", &[]);
        check("cli/mod.rs", "use std::process::{Command, ExitCode};", &["belongs to `exec`"]);
        check("engine/mod.rs", "fn f() { process::Command::new(\"x\"); }", &["belongs to `exec`"]);
    }

    #[test]
    fn comments_and_literals_name_nothing() {
        let text = "//! See crate::cli.\n/* crate::cli::x */ fn f<'a>(c: &'a str) -> char {\n\
            g(\"crate::cli \\\" \", r#\"crate::cli::x \" \"#, b\"crate::cli::x\", '\"'); '\\'' }\nuse crate::cli::x;";
        check("base/mod.rs", text, &["`cli` is in row 6"]);
    }

    #[test]
    fn form_words_and_forgotten_files_are_found() {
        assert_eq!(check_form("a.rs", "// what\n").len(), 1);
        assert_eq!(check_form("a.rs", &format!("//! What.\n{}", "\n".repeat(LINES_MAX))).len(), 1);
        assert_eq!(check_form("a.rs", "//! What.\n"), Vec::<String>::new());
        assert_eq!(
            check_words("a", "see /home/me/x\nand `/tmp/y`"),
            ["a:1: `/home/` must not appear", "a:2: `/tmp/` must not appear"]
        );
        assert_eq!(check_words("a", "<<<<<<< ours").len(), 1);
        assert_eq!(check_words("a", "out/home/x ./tmp/y {dir}/tmp/ $T/tmp/").len(), 0);
        let files = [
            ("lib.rs", "pub mod a;"),
            ("a/mod.rs", "mod b;"),
            ("a/b.rs", ""),
            ("a/c.rs", ""),
            ("d.rs", ""),
        ];
        let files = files.map(|(file, text)| (file.to_owned(), text.to_owned()));
        assert_eq!(
            check_declared("lib.rs", &files),
            ["a/c.rs: no parent declares it with `mod`", "d.rs: no parent declares it with `mod`"]
        );
        assert_eq!(
            check_architecture("`base` and plan", &["base", "plan"]),
            ["ARCHITECTURE.md does not name `plan`"]
        );
    }

    #[test]
    fn release_rules_can_fail() {
        let changelog = "# Changelog\n\n## [Unreleased]\n";
        assert_eq!(
            check_release("rust-version = \"1.95\"", "channel = \"1.95.0\"", changelog).len(),
            0
        );
        assert_eq!(
            check_release("rust-version = \"1.9\"", "channel = \"1.95.0\"", changelog).len(),
            1
        );
        assert_eq!(
            check_release("rust-version = \"1.95\"", "channel = \"1.95.0\"", "## [0.1.0]").len(),
            1
        );
    }
}
