//! A disk that is full for the real program: whatever file it writes may grow to so many bytes and no more, from
//! the first open on. It says so or is killed for it, and with room again everything is made.

use std::process::{Command, Output, Stdio};

use super::*;

/// Values of all sizes, a directory, logs, an export.
const YAML: &str = r#"
assets:
  small: {run: 'echo 1 > "$output"', output: o.txt}
  large: {run: 'seq 1 4000 > "$output"', output: o.txt, export: out/large.txt}
  dir: {run: 'mkdir "$output_dir/sub"; seq 1 3000 > "$output_dir/sub/a"', output_dir: true}
  loud: {deps: [small], run: 'seq 1 2000; cat "$small" > "$output"', output: o.txt}
"#;

/// Runs it with files of at most `blocks` times 512 bytes. `trap`: whether too large a write is an error, or
/// the end of the process.
fn limited(root: &Path, blocks: u32, trap: bool, arguments: &str) -> Output {
    let binary = env!("CARGO_BIN_EXE_giornata");
    let trap = if trap { "trap '' XFSZ; " } else { "" };
    let line = format!("{trap}ulimit -c 0; ulimit -f {blocks}; exec {binary} {arguments}");
    let mut command = Command::new("sh");
    command.args(["-c", &line]).current_dir(root).stdin(Stdio::null());
    command.output().unwrap()
}

#[test]
fn with_files_that_cannot_grow_nothing_is_half_recorded() {
    let mut failed = 0;
    for trap in [true, false] {
        for blocks in [0, 1, 8, 16, 40, 64, 100, 160, 200, 260, 400] {
            let dir = tempfile::tempdir().unwrap();
            let root = dir.path();
            fs::create_dir(root.join("assets")).unwrap();
            fs::write(root.join("giornata.toml"), "").unwrap();
            fs::write(root.join("assets/all.yaml"), YAML).unwrap();
            let first = limited(root, blocks, trap, "m --all");
            let said = String::from_utf8_lossy(&first.stderr).into_owned();
            if !first.status.success() {
                failed += 1;
                let is_said = ["too large", "full", "disk"].iter().any(|word| said.contains(word));
                assert!(!trap || is_said, "{blocks}: {said}");
                assert!(!said.contains("panicked"), "{blocks}: {said}");
            }
            // What reads alone does not make it worse.
            limited(root, blocks, trap, "status");
            check(root, "m --all", 0, if first.status.success() { "up to date" } else { "" });
            check(root, "status --check", 0, "");
            check(root, "doctor --deep", 0, "the store is sound");
            check(root, "cat large", 0, "4000");
            assert!(fs::read_to_string(root.join("out/large.txt")).unwrap().ends_with("4000\n"));
            let staging = fs::read_dir(root.join(".giornata/staging"));
            assert_eq!(staging.map_or(0, Iterator::count), 0, "{blocks}");
        }
    }
    assert!(failed > 10, "{failed}");
}
