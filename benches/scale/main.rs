//! Measures what giornata promises of big projects, each figure beside its promise.
//!
//! `cargo bench --bench scale` measures everything; `-- null growth exports commands hashing history watch` only these
//! groups, `--large` also ten million partitions and a million exported files, `--in DIR` keeps projects
//! there for the next time.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a bench owns the clock and the terminal"
)]

mod board;
mod commands;
mod exports;
mod fill;
mod grid;
mod growth;
mod hashing;
mod history;
mod null;
mod past;
mod process;
mod steps;
mod watch;

use std::path::PathBuf;

use board::Board;

/// The program that is measured.
pub const GIORNATA: &str = env!("CARGO_BIN_EXE_giornata");

/// What was asked for.
pub struct Wanted {
    groups: Vec<String>,
    pub large: bool,
    keep: Option<PathBuf>,
    scratch: tempfile::TempDir,
}

impl Wanted {
    fn parse(words: Vec<String>) -> Wanted {
        let scratch = tempfile::tempdir().expect("a temporary directory can be made");
        let mut wanted = Wanted { groups: Vec::new(), large: false, keep: None, scratch };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                // What `cargo bench` says by itself.
                "--bench" => {}
                "--large" => wanted.large = true,
                "--in" => wanted.keep = words.next().map(PathBuf::from),
                group => wanted.groups.push(group.to_owned()),
            }
        }
        wanted
    }

    fn has(&self, group: &str) -> bool {
        self.groups.is_empty() || self.groups.iter().any(|wanted| wanted == group)
    }

    /// A directory for a project; says whether `make` has filled it, now or at an earlier time.
    pub fn project(&self, name: &str, make: impl FnOnce(&std::path::Path)) -> PathBuf {
        let dir = self.keep.as_deref().unwrap_or(self.scratch.path()).join(name);
        let done = dir.join(".made");
        if !done.exists() {
            let _ = std::fs::remove_dir_all(&dir);
            std::fs::create_dir_all(&dir).expect("a directory can be made");
            make(&dir);
            std::fs::write(done, "").expect("the directory can be written");
        }
        dir
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.first().is_some_and(|word| word == process::RUN_ONE) {
        return process::run_one(&words[1..]);
    }
    let wanted = Wanted::parse(words);
    let mut board = Board;
    if wanted.has("null") {
        null::measure(&wanted, &mut board);
    }
    if wanted.has("growth") {
        growth::measure(&wanted);
    }
    if wanted.has("exports") {
        exports::measure(&wanted, &mut board);
    }
    if wanted.has("commands") {
        commands::measure(&wanted, &mut board);
    }
    if wanted.has("hashing") {
        hashing::measure(&wanted, &mut board);
    }
    if wanted.has("history") {
        history::measure(&wanted, &mut board);
    }
    if wanted.has("watch") {
        watch::measure(&wanted, &mut board);
    }
}
