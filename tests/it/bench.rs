//! A small project of shell commands and the real binary on it; tests assert which steps ran.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// A project in a directory of its own, and a clock.
pub struct Bench {
    pub dir: TempDir,
    now: String,
}

/// How a command ended and what it said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    #[track_caller]
    pub fn ends(self, code: i32) -> Said {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    #[track_caller]
    pub fn says(self, text: &str) -> Said {
        assert!(self.out.contains(text) || self.err.contains(text), "no `{text}` in {self:#?}");
        self
    }

    #[track_caller]
    pub fn says_not(self, text: &str) -> Said {
        assert!(!self.out.contains(text) && !self.err.contains(text), "`{text}` in {self:#?}");
        self
    }
}

impl Bench {
    pub fn new(definitions: &str) -> Bench {
        let bench =
            Bench { dir: tempfile::tempdir().unwrap(), now: "2026-01-01T00:00:00Z".to_owned() };
        bench.write("giornata.toml", "name = \"bench\"\n");
        bench.write("assets/all.yaml", definitions);
        bench
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    pub fn write(&self, path: &str, content: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub fn edit(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.path("assets/all.yaml")).unwrap();
        assert!(text.contains(from), "no {from}");
        self.write("assets/all.yaml", &text.replacen(from, to, 1));
    }

    pub fn at(&mut self, now: &str) {
        self.now = now.to_owned();
    }

    pub fn run(&self, args: &[&str]) -> Said {
        let output = Command::new(env!("CARGO_BIN_EXE_giornata"))
            .args(["--now", &self.now, "--no-progress"])
            .args(args)
            .current_dir(self.dir.path())
            .env("NO_COLOR", "1")
            .output()
            .unwrap();
        Said {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The steps that a run of everything started, in alphabetical order.
    #[track_caller]
    pub fn steps(&self) -> Vec<String> {
        let said = self.run(&["m", "--all", "--jsonl"]);
        let mut steps = Vec::new();
        for line in said.out.lines() {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            if event["event"] == "step-started" {
                let text = |field: &str| event[field].as_str().unwrap().to_owned();
                steps.push(format!("{}@{}", text("asset"), text("partition")));
            }
        }
        steps.sort();
        steps
    }

    pub fn why(&self, address: &str) -> Said {
        self.run(&["why", address]).ends(0)
    }
}
