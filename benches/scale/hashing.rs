//! Reading sources for the first time: one big file beside b3sum, and many small ones.

use std::fs::{File, FileTimes};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::SystemTime;

use super::board::{Board, ROUNDS, ms};
use super::process::{Took, interleaved, is_there, median, time};
use super::{GIORNATA, Wanted};

const BIG_BYTES: u64 = 2 << 30;
const SMALL_FILES: u32 = 100_000;

pub fn measure(wanted: &Wanted, board: &mut Board) {
    big(wanted, board);
    small(wanted, board);
}

fn big(wanted: &Wanted, board: &mut Board) {
    let root = wanted.project("big", |root| {
        declare(root, "big.bin");
        write_noise(&root.join("big.bin"), BIG_BYTES);
    });
    let ours = || {
        // Another time, so that it has to be read.
        let file = File::options().write(true).open(root.join("big.bin")).expect("the file opens");
        let times = FileTimes::new().set_modified(SystemTime::now());
        file.set_times(times).expect("the time can be set");
        observe(&root)
    };
    if !is_there("b3sum") {
        let took = median(&interleaved(5, &mut [&mut &ours])[0]);
        board.tell("2 GiB source, read", ms(took.wall), "ms");
        board.skip("2 GiB source beside b3sum", "there is no `b3sum`");
        return;
    }
    let theirs = || time(&root, &["b3sum", "big.bin"]);
    let took = interleaved(5, &mut [&mut &ours, &mut &theirs]);
    let (ours, theirs) = (median(&took[0]), median(&took[1]));
    let speed = |took: &Took| BIG_BYTES as f64 / 1e9 / took.wall.as_secs_f64();
    board.tell("2 GiB source, read", speed(&ours), "GB/s");
    board.tell("   b3sum", speed(&theirs), "GB/s");
    board.at_least("2 GiB source: speed beside b3sum", speed(&ours) / speed(&theirs), 0.9, "");
}

fn small(wanted: &Wanted, board: &mut Board) {
    let root = wanted.project("small", |root| {
        declare(root, "raw/{name}.csv");
        std::fs::create_dir_all(root.join("raw")).expect("a directory can be made");
        for number in 0..SMALL_FILES {
            let path = root.join(format!("raw/p{number:06}.csv"));
            std::fs::write(path, format!("{number}\n")).expect("a file can be written");
        }
    });
    let took = interleaved(
        ROUNDS,
        &mut [&mut || {
            let _ = std::fs::remove_dir_all(root.join(".giornata"));
            observe(&root)
        }],
    );
    let took = median(&took[0]);
    board.at_most(
        "100k small files, observed for the first time",
        took.wall.as_secs_f64(),
        0.6,
        "s",
    );
    board.tell("   its memory", took.peak_mb, "MB");
}

fn declare(root: &Path, pattern: &str) {
    std::fs::create_dir_all(root.join("assets")).expect("a directory can be made");
    let put = |path: &str, text: &str| {
        std::fs::write(root.join(path), text).expect("the project can be written");
    };
    put("giornata.toml", "name = \"hashing\"\n");
    put("assets/sources.yaml", &format!("sources:\n  raw: {{files: \"{pattern}\"}}\n"));
}

fn observe(root: &Path) -> Took {
    let took = time(root, &[GIORNATA, "observe", "raw"]);
    assert_eq!(took.code, 0, "the source can be observed");
    took
}

/// Bytes that no file system stores as a hole.
fn write_noise(path: &Path, bytes: u64) {
    let mut file = BufWriter::new(File::create(path).expect("a file can be made"));
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..bytes / 8 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        file.write_all(&state.to_le_bytes()).expect("the disk has room");
    }
    file.flush().expect("the disk has room");
}
