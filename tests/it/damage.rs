//! Content that is lost from the store is made again: by what reads it, and after `doctor` saw it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod full;
mod matrix;
mod power;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// `down` reads a file and a directory, both too large to live in the database.
const YAML: &str = r#"
assets:
  big: {run: 'seq 1 20000 > "$output"', output: o.txt}
  dir: {run: 'mkdir "$output_dir/sub"; seq 1 9000 > "$output_dir/sub/a"', output_dir: true}
  down: {deps: [big, dir], run: 'cat "$big" "$dir"/sub/a | wc -l > "$output"', output: n.txt}
"#;

fn project() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("assets")).unwrap();
    fs::write(dir.path().join("giornata.toml"), "").unwrap();
    fs::write(dir.path().join("assets/all.yaml"), YAML).unwrap();
    check(dir.path(), "m --all", 0, "ran 3");
    dir
}

/// Makes one digit of a small result another one. It lives in the database.
fn damage_small(root: &Path, value: &[u8; 6]) {
    let path = root.join(".giornata/giornata.db");
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(6).rposition(|window| window == value);
    bytes[at.expect("whoever closes the database last moves its log into it")] ^= 1;
    fs::write(&path, bytes).unwrap();
}

#[track_caller]
fn check(root: &Path, arguments: &str, code: i32, said: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_giornata"));
    command.args(arguments.split(' ')).current_dir(root).stdin(Stdio::null());
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert_eq!(output.status.code(), Some(code), "{arguments}\n{text}");
    assert!(text.contains(said), "{arguments}: no `{said}`\n{text}");
}

/// All blobs of at least so many bytes.
fn blobs(root: &Path, size: u64) -> Vec<std::path::PathBuf> {
    let shards = fs::read_dir(root.join(".giornata/blobs")).unwrap();
    let files = shards.flat_map(|shard| fs::read_dir(shard.unwrap().path()).unwrap());
    let paths = files.map(|file| file.unwrap().path());
    paths.filter(|path| path.metadata().unwrap().len() >= size).collect()
}

#[test]
fn what_reads_lost_content_has_it_made_again() {
    let dir = project();
    fs::remove_dir_all(dir.path().join(".giornata/blobs")).unwrap();
    check(dir.path(), "cat big", 2, "is gone from the store");
    let text = YAML.replace("wc -l", "wc -c");
    fs::write(dir.path().join("assets/all.yaml"), text).unwrap();
    check(dir.path(), "m down", 0, "ran 3");
    check(dir.path(), "m --all", 0, "everything up to date: 3 partitions");
    check(dir.path(), "doctor", 0, "the store is sound");
}

#[test]
fn what_doctor_finds_is_made_again() {
    let dir = project();
    let damage: [&dyn Fn(&Path); 3] = [
        &|root| fs::remove_dir_all(root.join(".giornata/blobs")).unwrap(),
        // Cut short: the file of `dir` too, so that no object of a tree is missing.
        &|root| {
            for path in blobs(root, 10_000) {
                fs::remove_file(&path).unwrap();
                fs::write(&path, "1\n").unwrap();
            }
        },
        // As long as it was: only hashing it can tell.
        &|root| {
            for path in blobs(root, 10_000) {
                let len = path.metadata().unwrap().len();
                fs::remove_file(&path).unwrap();
                fs::write(&path, vec![b'x'; usize::try_from(len).unwrap()]).unwrap();
            }
        },
    ];
    for damage in damage {
        damage(dir.path());
        check(dir.path(), "doctor --deep", 1, "in the content store\n  marked as missing: `");
        check(dir.path(), "status big", 0, "missing");
        check(dir.path(), "m --all", 0, "ran 2 (0 unchanged), 1 cut off");
        check(dir.path(), "doctor --deep", 0, "the store is sound");
    }
}

#[test]
fn what_is_damaged_inside_the_database_is_found_and_made_again() {
    let dir = project();
    let root = dir.path();
    check(root, "doctor --deep", 0, "");
    damage_small(root, b"29000\n");
    check(
        root,
        "doctor --deep",
        1,
        "in the database is damaged\n  marked as missing: `down`; the next",
    );
    check(root, "status down --check", 1, "down");
    check(root, "m down", 0, "ran 1");
    check(root, "cat down", 0, "29000");
    check(root, "doctor --deep", 0, "the store is sound");
}

/// Nobody has asked `doctor`: whoever reads the value notices.
#[test]
fn what_is_damaged_inside_the_database_is_noticed_where_it_is_read() {
    let dir = project();
    let root = dir.path();
    let reads =
        YAML.to_owned() + "  twice: {deps: [down], run: 'cat \"$down\" \"$down\" > \"$output\"'}\n";
    fs::write(root.join("assets/all.yaml"), &reads).unwrap();
    damage_small(root, b"29000\n");
    check(root, "cat down", 2, "is gone from the store");
    check(root, "m twice", 0, "ran 2");
    check(root, "cat twice", 0, "29000\n29000");
    check(root, "m --all", 0, "everything up to date: 4 partitions");
    // What was made before is not restored from a value that is damaged.
    damage_small(root, b"29000\n");
    fs::write(root.join("assets/all.yaml"), reads.replace("wc -l", "wc -c")).unwrap();
    check(root, "m twice", 0, "ran 2");
    fs::write(root.join("assets/all.yaml"), &reads).unwrap();
    check(root, "m down", 0, "ran 1");
    check(root, "cat down", 0, "29000");
    check(root, "doctor --deep", 0, "the store is sound");
}
