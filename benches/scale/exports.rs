//! Exported files that are all in place, beside ninja's look at the same graph of the same files.

use std::fmt::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::board::{Board, ROUNDS, ms};
use super::grid::{Grid, Kind, name, partition, source_file, upstream};
use super::process::{interleaved, is_there, median, time};
use super::{GIORNATA, Wanted, fill};

const PARTITIONS: u32 = 10_000;

pub fn measure(wanted: &Wanted, board: &mut Board) {
    one(wanted, board, "100k", 10, ROUNDS);
    if wanted.large {
        one(wanted, board, "1M", 100, 5);
    }
}

fn one(wanted: &Wanted, board: &mut Board, size: &str, assets: u32, rounds: usize) {
    let grid = made(wanted, assets, PARTITIONS);
    let ours = || {
        let took = time(&grid.root, &[GIORNATA, "materialize", "--all", "-y"]);
        assert_eq!(took.code, 0, "there is nothing to do");
        took
    };
    if !is_there("ninja") {
        let took = median(&interleaved(rounds, &mut [&mut &ours])[0]);
        board.tell(&format!("{size} exported files in place"), ms(took.wall), "ms");
        board.skip(&format!("{size} exported files beside ninja"), "there is no `ninja`");
        return;
    }
    let root = ninja_project(wanted, &grid);
    let took = interleaved(rounds, &mut [&mut &ours, &mut || time(&root, &["ninja"])]);
    let (ours, ninja) = (median(&took[0]), median(&took[1]));
    board.tell(&format!("{size} exported files in place"), ms(ours.wall), "ms");
    board.tell("   its memory", ours.peak_mb, "MB");
    board.tell("   ninja on the same graph", ms(ninja.wall), "ms");
    let ratio = ours.wall.as_secs_f64() / ninja.wall.as_secs_f64();
    board.at_most(&format!("{size} exported files: time beside ninja"), ratio, 0.5, "");
}

/// A project without failures whose results are all exported.
pub fn made(wanted: &Wanted, assets: u32, partitions: u32) -> Grid {
    let kind = Kind::Exported;
    let root = wanted.project(&format!("exports-{assets}-{partitions}"), |root| {
        let grid = Grid::write(root, assets, partitions, kind);
        fill::fill(&grid);
        // What is missing of the exports is put in place by the run, and remembered.
        let summary = grid.materialize(&mut grid.engine(), &grid.request_all());
        assert!(summary.is_success(), "{summary:?}");
        assert!(root.join(exported(assets - 1, partitions - 1)).exists());
    });
    Grid { root, assets, partitions, kind }
}

fn exported(asset: u32, part: u32) -> String {
    format!("out/{}/{}.txt", name(asset), partition(part))
}

/// The same files with the same contents and dependencies, in a state in which ninja has nothing to do.
fn ninja_project(wanted: &Wanted, grid: &Grid) -> PathBuf {
    let root = wanted.project(&format!("ninja-{}-{}", grid.assets, grid.partitions), |root| {
        std::fs::create_dir_all(root.join("raw")).expect("a directory can be made");
        for part in 0..grid.partitions {
            std::fs::write(root.join(source_file(part)), format!("{part}\n")).expect("a file");
        }
        let mut rules = "rule copy\n  command = cat $first > $out\n".to_owned();
        let mut log = "# ninja log v5\n".to_owned();
        for asset in 0..grid.assets {
            let dir = root.join("out").join(name(asset));
            std::fs::create_dir_all(&dir).expect("a directory can be made");
            for part in 0..grid.partitions {
                add_edge(root, asset, part, &mut rules, &mut log);
            }
        }
        std::fs::write(root.join("build.ninja"), rules).expect("the rules can be written");
        std::fs::write(root.join(".ninja_log"), log).expect("the log can be written");
    });
    let said = Command::new("ninja").current_dir(&root).output().expect("ninja runs").stdout;
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("no work to do"), "ninja has to find everything done, and says {said}");
    root
}

fn add_edge(root: &Path, asset: u32, part: u32, rules: &mut String, log: &mut String) {
    let out = exported(asset, part);
    std::fs::write(root.join(&out), format!("{part}\n")).expect("a file can be written");
    let inputs = match upstream(asset).as_slice() {
        [] => vec![source_file(part)],
        upstream => upstream.iter().map(|asset| exported(*asset, part)).collect(),
    };
    let first = &inputs[0];
    writeln!(rules, "build {out}: copy {}\n  first = {first}", inputs.join(" ")).expect("memory");
    let stat = std::fs::metadata(root.join(&out)).expect("it was just written");
    let stamp = stat.mtime() * 1_000_000_000 + stat.mtime_nsec();
    let hash = command_hash(format!("cat {first} > {out}").as_bytes());
    writeln!(log, "0\t1\t{stamp}\t{out}\t{hash:x}").expect("memory");
}

/// How ninja hashes a command in its log: MurmurHash64A.
fn command_hash(text: &[u8]) -> u64 {
    const M: u64 = 0xc6a4_a793_5bd1_e995;
    let mut hash = 0xdeca_fbad_deca_fbad_u64 ^ (text.len() as u64).wrapping_mul(M);
    let mut words = text.chunks_exact(8);
    for word in &mut words {
        let mut k = u64::from_le_bytes(word.try_into().expect("eight bytes")).wrapping_mul(M);
        k = (k ^ (k >> 47)).wrapping_mul(M);
        hash = (hash ^ k).wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        let bytes = rest.iter().rev().fold(0, |word: u64, byte| word << 8 | u64::from(*byte));
        hash = (hash ^ bytes).wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 47)).wrapping_mul(M);
    hash ^ (hash >> 47)
}
