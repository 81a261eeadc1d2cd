//! Ten thousand commands that do nothing, beside make.
//!
//! What a round has made is put aside and removed at the very end: for a minute after a file was removed,
//! ext4 does not use its place again and looks at all such places for every new file, under a lock of the directory.
//! After ten thousand that takes longer than a command, whoever runs it.

use std::path::Path;

use nix::sys::resource::{UsageWho, getrusage};

use super::board::{Board, ms};
use super::grid::open;
use super::process::{Took, interleaved, is_there, median, micros, time};
use super::steps::{run, write};
use super::{GIORNATA, Wanted};

const COMMANDS: u32 = 10_000;
const ROUNDS: usize = 3;
/// Where things are put that are not looked at any more.
const ASIDE: &str = "aside";

pub fn measure(wanted: &Wanted, board: &mut Board) {
    let root = wanted.project("commands", |root| {
        write(root, COMMANDS);
        write_make(root, COMMANDS);
    });
    let ours = || {
        forget(&root);
        let took = time(&root, &[GIORNATA, "materialize", "--all", "-y", "-j2"]);
        assert_eq!(took.code, 0, "the commands succeed");
        took
    };
    if is_there("make") {
        let took = interleaved(ROUNDS, &mut [&mut &ours, &mut || make(&root)]);
        let (ours, make) = (median(&took[0]), median(&took[1]));
        board.at_most("10k commands", ours.wall.as_secs_f64(), 15.0, "s");
        board.tell("   `make -j2` on the same commands", make.wall.as_secs_f64(), "s");
        let ratio = ours.wall.as_secs_f64() / make.wall.as_secs_f64();
        board.at_most("10k commands: time beside make", ratio, 1.0, "");
    } else {
        let took = median(&interleaved(ROUNDS, &mut [&mut &ours])[0]);
        board.at_most("10k commands", took.wall.as_secs_f64(), 15.0, "s");
        board.skip("10k commands beside make", "there is no `make`");
    }
    forget(&root);
    let before = own_micros();
    let summary = run(&mut open(&root));
    let each = (own_micros() - before) as f64 / f64::from(COMMANDS);
    assert_eq!(summary.ran, u64::from(COMMANDS));
    board.at_most("engine's own CPU for a command", each, 250.0, "µs");
    board.tell("   of which a look at a project without work", ms(idle(&root).wall), "ms");
    let _ = std::fs::remove_dir_all(root.join(ASIDE));
}

fn write_make(root: &Path, commands: u32) {
    let mut text = String::from("all:");
    for number in 0..commands {
        text += &format!(" made/n{number}.txt");
    }
    text += "\nmade/%.txt:\n\t@: > \"$@\"\n";
    std::fs::write(root.join("Makefile"), text).expect("the rules can be written");
}

fn make(root: &Path) -> Took {
    put_aside(root, "made");
    std::fs::create_dir(root.join("made")).expect("a directory can be made");
    time(root, &["make", "-s", "-j2"])
}

fn forget(root: &Path) {
    put_aside(root, ".giornata");
}

/// Moves a directory to where nobody looks, if it is there.
fn put_aside(root: &Path, name: &str) {
    let aside = root.join(ASIDE);
    std::fs::create_dir_all(&aside).expect("a directory can be made");
    let free = (0..).map(|n| aside.join(format!("{n}"))).find(|path| !path.exists());
    let _ = std::fs::rename(root.join(name), free.expect("there are enough numbers"));
}

fn idle(root: &Path) -> Took {
    time(root, &[GIORNATA, "materialize", "--all", "-y", "-j2"])
}

/// What this process has used by itself, without what it has started.
fn own_micros() -> u64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("the system keeps account");
    micros(usage.user_time()) + micros(usage.system_time())
}
