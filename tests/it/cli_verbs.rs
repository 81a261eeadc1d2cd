//! The verbs that make, draw, describe and hand on, with the real binary.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

const YAML: &str = "\
sources:
  raw: {files: 'in/{name}.txt'}
assets:
  each_one:
    deps: [raw]
    partitions: each(raw)
    run: cp \"$raw\" \"$output\"
    output: x.txt
  all_of_them: {deps: [each_one], run: ls \"$each_one\" > \"$output\", output: names.txt}
  tree: {run: 'mkdir -p \"$output_dir\" && echo x > \"$output_dir/x\"', output_dir: true}
";

fn project() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("giornata.toml", "name = \"verbs\"\n");
    write("assets/all.yaml", YAML);
    write("in/one.txt", "1\n");
    write("in/two words $(x).txt", "2\n");
    dir
}

#[track_caller]
fn check(root: &Path, args: &[&str], code: i32, out: &str, err: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_giornata"));
    let output = command.args(args).current_dir(root).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{args:?}\n{stdout}\n{stderr}");
    assert!(stdout.contains(out), "{args:?}: no `{out}` on stdout\n{stdout}");
    assert!(stderr.contains(err), "{args:?}: no `{err}` on stderr\n{stderr}");
    output
}

#[test]
fn new_assets_are_accepted_and_can_be_made() {
    let dir = project();
    let root = dir.path();
    for name in ["mart/one.sql", "two.sh", "mart/three.yaml"] {
        check(root, &["new", name], 0, &format!("made `assets/{name}`"), "");
    }
    check(root, &["new", "four.py"], 0, "which declares `four`", "");
    check(root, &["check", "--strict"], 0, "no errors: 8 assets", "");
    check(root, &["m", "mart/one", "two", "mart/three"], 0, "ran 3", "");
    check(root, &["cat", "mart/one"], 0, "one\n1\n", "");
    check(root, &["cat", "mart/three"], 0, "hello\n", "");
}

#[test]
fn new_overwrites_nothing_and_knows_what_a_name_is() {
    let dir = project();
    let root = dir.path();
    check(root, &["new", "tree.sql"], 2, "", "`tree` is declared already, in `assets/all.yaml:");
    fs::write(root.join("assets/notes.sh"), "no header\n").unwrap();
    check(root, &["new", "notes.sh"], 2, "", "`assets/notes.sh` is there already");
    assert_eq!(fs::read_to_string(root.join("assets/notes.sh")).unwrap(), "no header\n");
    check(root, &["new", "../x.sql"], 2, "", "`../x` cannot be a name");
    check(root, &["new", "x"], 2, "", "hint: end it with .sql");
    assert!(!root.join("x.sql").exists());
}

#[test]
fn the_graph_has_every_format_and_is_the_same_each_time() {
    let dir = project();
    let root = dir.path();
    check(root, &["graph"], 0, "raw  (source)\n└─ each_one  (command)\n   └─ all_of_them", "");
    check(root, &["graph", "--json"], 0, "\"schema\": 1", "");
    check(root, &["graph", "tree+", "--format", "dot"], 0, "\"tree\" [shape=box", "");
    check(root, &["graph", "nothing"], 2, "", "nothing");
    check(root, &["graph", "raw@x"], 2, "", "whole assets");
    for format in ["text", "dot", "mermaid", "json", "svg"] {
        let one = check(root, &["graph", "--format", format], 0, "each_one", "").stdout;
        assert_eq!(one, check(root, &["graph", "--format", format], 0, "", "").stdout);
    }
    assert!(!root.join(".giornata").exists(), "looking leaves nothing behind");
}

#[test]
fn schemas_are_json_and_are_written_where_files_look_for_them() {
    let dir = project();
    let root = dir.path();
    for which in ["project", "assets"] {
        let printed = check(root, &["schema", which], 0, "draft-07", "").stdout;
        check(root, &["schema", "--write"], 0, &format!(".giornata/schema/{which}.json"), "");
        assert_eq!(fs::read(root.join(format!(".giornata/schema/{which}.json"))).unwrap(), printed);
        serde_json::from_slice::<serde_json::Value>(&printed).unwrap();
    }
    check(root, &["schema"], 2, "", "required");
    // A directory with schemas and without a store is a project that was never run.
    check(root, &["status"], 0, "missing", "");
    check(root, &["init", "new one"], 0, "made a project", "");
    let named = fs::read_to_string(root.join("new one/assets/sources.yaml")).unwrap();
    let path = named.lines().next().unwrap().split_once("$schema=").unwrap().1;
    assert!(root.join("new one/assets").join(path).is_file(), "{path}");
}

#[test]
fn results_are_exported_to_paths_of_their_own() {
    let dir = project();
    let root = dir.path();
    let to = "out/{asset}/{partition}.txt";
    check(root, &["export", "each_one", "--to", to], 2, "", "no result in 2 partitions");
    check(root, &["m", "--all"], 0, "ran 4", "");
    let said = check(root, &["export", "each_one", "all_of_them", "--to", to], 0, "", "wrote 3");
    let paths = String::from_utf8(said.stdout).unwrap();
    assert!(paths.contains("out/all_of_them/all.txt\nout/each_one/one.txt\n"), "{paths}");
    assert!(paths.lines().all(|path| root.join(path).is_file()), "{paths}");
    assert_eq!(fs::read_to_string(root.join("out/each_one/one.txt")).unwrap(), "1\n");

    fs::create_dir(root.join("below")).unwrap();
    let below = root.join("below");
    let one = ["export", "each_one", "-p", "one", "--to", "../x.txt", "--json"];
    check(&below, &one, 0, "\"path\": \"../x.txt\"", "");
    assert!(root.join("x.txt").is_file());
    fs::write(root.join("in/one.txt"), "new\n").unwrap();
    check(
        root,
        &["export", "each_one@one", "--to", "x.txt"],
        0,
        "x.txt",
        "1 partition of `each_one` not fresh: one",
    );

    check(root, &["export", "tree", "--to", "made"], 0, "made", "");
    assert_eq!(fs::read_to_string(root.join("made/x")).unwrap(), "x\n");
    check(root, &["export", "tree", "--to", "made"], 2, "", "`made` is a directory");
    check(root, &["export", "tree", "--to", "in"], 2, "", "hint: nothing was written");
    assert!(root.join("in/one.txt").is_file());
}

#[test]
fn exports_that_would_meet_are_refused() {
    let dir = project();
    let root = dir.path();
    check(root, &["m", "--all"], 0, "", "");
    check(root, &["export", "each_one", "--to", "x"], 2, "", "put `{partition}` into `x`");
    let two = ["export", "each_one@one", "all_of_them", "--to", "x"];
    check(root, &two, 2, "", "put `{asset}` into `x`");
    check(root, &["export", "tree", "--to", "{date}"], 2, "", "`--to` knows");
    check(root, &["export", "raw", "--to", "x"], 2, "", "`giornata path raw` says where");
    assert!(!root.join("x").exists());
}

#[test]
fn pages_and_scripts_are_printed() {
    let dir = project();
    let root = dir.path();
    check(root, &["man"], 0, ".TH giornata 1", "");
    check(root, &["man", "why"], 0, ".TH giornata-why 1", "");
    check(root, &["man", "wy"], 2, "", "there is no verb `wy`");
    check(root, &["man", "--to", "man1"], 0, "pages to `man1`", "");
    assert!(root.join("man1/giornata-materialize.1").is_file());
    assert!(!root.join("man1/giornata-__complete.1").exists());
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        check(root, &["completions", shell], 0, "giornata", "");
    }
}

/// The script as bash runs it, a line typed so far, and what bash would put in its place.
#[test]
fn bash_completes_names_of_assets_and_partitions() {
    let dir = project();
    let root = dir.path();
    let script = check(root, &["completions", "bash"], 0, "complete", "").stdout;
    fs::write(root.join("complete.bash"), script).unwrap();
    let complete = |line: &str| -> Vec<String> {
        let program = env!("CARGO_BIN_EXE_giornata");
        let lines = format!(
            "source ./complete.bash; COMP_WORDBREAKS=$' \\t\\n\"\\'@><=;|&(:'; \
             COMP_LINE=$1; COMP_POINT=${{#1}}; COMP_WORDS=('{program}'); _giornata; \
             printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        let mut bash = Command::new("bash");
        bash.args(["-c", &lines, "bash", line]).current_dir(root).stdin(Stdio::null());
        let output = bash.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    };
    assert_eq!(complete("giornata materialize each"), ["each_one"]);
    assert_eq!(complete("giornata why each_one@o"), ["one"]);
    assert_eq!(complete("giornata m each_one -p o"), ["one"]);
    assert_eq!(complete("giornata comp"), ["completions"]);
    assert_eq!(complete("giornata -C /nowhere sta"), ["status"]);
    let hostile = complete("giornata m each_one -p ");
    let plain = |key: &str| key.replace('\\', "");
    let found = hostile.iter().find(|key| plain(key).contains("two words"));
    let found = found.unwrap_or_else(|| panic!("{hostile:?}"));
    assert!(found.contains("\\$\\(x\\)") && found.contains("\\ words"), "{found}");
    assert!(!root.join(".giornata").exists(), "looking leaves nothing behind");
}
