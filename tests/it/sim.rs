//! A deterministic simulation: from a number come a project of all kinds of partitions, two processes, and
//! what happens to them: edits, failures, crashes at any write, cancelled runs, backfills that are paused and
//! taken up, one process between any two statements of the other.
//!
//! Whenever it is quiet, contents are what a full rebuild would give, nothing has run whose key had a
//! result, `doctor` finds nothing, and no run, claim or temporary file is left. The same number tells the same story.

mod backfill;
mod crash;
mod disk;
mod trace;

use std::fs;
use std::path::Path;

use giornata::base::Durability;
use giornata::engine::Depth;
use giornata::store::{Backfill, BackfillState, Store};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

pub use trace::Trace;

use super::freshness_rig::all;
use super::freshness_wide::{Edit, Rig, World, cases_of, lines, themes};
use backfill::{Asked, TakeUp, asked, take_ups};
use crash::Image;
pub use crash::copy_dir;

/// Something that happens in a simulation.
#[derive(Debug, Clone)]
enum Act {
    Edit(Edit),
    /// Everybody is content with everything, and the store is sound.
    Quiet(usize),
    /// A process dies at its n-th write.
    Crash {
        at: u32,
        image: Image,
        during: During,
    },
    /// A run is cancelled when so many events have been heard.
    Cancel {
        process: usize,
        after: usize,
    },
    /// Before the n-th write of one process rows change, and the other one makes everything.
    Weave {
        process: usize,
        at: u32,
        rows: Vec<(u32, u8)>,
    },
    Backfill(Asked),
    TakeUp(TakeUp),
}

/// What a process is at when it dies.
#[derive(Debug, Clone)]
enum During {
    Make(usize),
    Backfill(Asked),
    Open(usize),
    Gc(usize),
}

fn acts() -> impl Strategy<Value = (World, Vec<Act>)> {
    themes().prop_flat_map(cases_of).prop_flat_map(|(world, edits)| {
        let count = edits.len();
        let own = proptest::collection::vec(proptest::option::weighted(0.4, own_acts()), count);
        (Just(world), Just(edits), own).prop_map(|(world, edits, own)| {
            let pairs = edits.into_iter().zip(own);
            let acts = pairs.flat_map(|(edit, own)| match (edit, own) {
                (edit, None) => vec![Act::Edit(edit)],
                (edit, Some(own)) => vec![Act::Edit(edit), own],
            });
            (world, acts.collect())
        })
    })
}

fn own_acts() -> impl Strategy<Value = Act> {
    let process = || 0usize..2;
    let images = prop_oneof![Just(Image::Kept), Just(Image::Lost)];
    let during = prop_oneof![
        6 => process().prop_map(During::Make),
        3 => asked().prop_map(During::Backfill),
        1 => process().prop_map(During::Open),
        1 => process().prop_map(During::Gc),
    ];
    prop_oneof![
        4 => (0u32..60, images, during)
            .prop_map(|(at, image, during)| Act::Crash { at, image, during }),
        2 => (process(), 0usize..12).prop_map(|(process, after)| Act::Cancel { process, after }),
        2 => (process(), 0u32..80, lines())
            .prop_map(|(process, at, rows)| Act::Weave { process, at, rows }),
        2 => process().prop_map(Act::Quiet),
        4 => asked().prop_map(Act::Backfill),
        2 => take_ups().prop_map(Act::TakeUp),
    ]
}

/// One story, from its number; gives what was heard.
fn simulate(seed: u64) -> Vec<String> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(ProptestConfig::default(), rng);
    let story = (acts(), any::<bool>()).new_tree(&mut runner).unwrap();
    let ((world, acts), coarse) = story.current();
    let mut rig = Rig::new(world, coarse);
    rig.shelf.trace = Trace::of(seed, variable("SIM_SEED").is_some());
    let last = [Act::Quiet(0), Act::Quiet(1), Act::Edit(Edit::Reopen(0)), Act::Quiet(0)];
    rig.shelf.trace.say(&format!("{:?}", rig.world));
    for act in acts.iter().chain(&last) {
        rig.shelf.trace.say(&format!("{act:?}"));
        rig.act(act);
    }
    rig.end();
    rig.shelf.trace.take_lines()
}

impl Rig {
    fn act(&mut self, act: &Act) {
        match act {
            Act::Edit(edit) => self.apply(edit),
            Act::Quiet(process) => self.quiet(*process),
            Act::Crash { at, image, during } => self.crash(*at, *image, during),
            Act::Backfill(asked) => self.backfill(asked),
            Act::TakeUp(take_up) => self.take_up(*take_up),
            Act::Cancel { process, after } => {
                let process = &mut self.processes[*process];
                let request = all(self.shelf.refreshed(process), false);
                self.shelf.make_until(process, &request, *after);
            }
            Act::Weave { process, at, rows } => self.weave(*process, *at, rows),
        }
    }

    fn quiet(&mut self, process: usize) {
        let process = &mut self.processes[process];
        self.shelf.settle(process);
        let engine = self.shelf.refreshed(process);
        assert_eq!(engine.doctor(Depth::Contents).unwrap(), [], "doctor");
    }

    /// Nothing is left of any process but what is recorded.
    fn end(&mut self) {
        self.processes.iter_mut().for_each(|process| process.engine = None);
        self.shelf.refreshed(&mut self.processes[0]);
        self.processes[0].engine = None;
        for name in ["tmp", "staging", "owners"] {
            let left = files(&self.shelf.path(".giornata").join(name));
            assert_eq!(left, [""; 0], "left in {name}");
        }
        let store = Store::open(&self.shelf.path(".giornata"), Durability::Fast).unwrap();
        assert_eq!(store.running().unwrap(), []);
        let running = |it: &Backfill| it.state == BackfillState::Running;
        assert!(!store.backfills(usize::MAX).unwrap().iter().any(running));
    }
}

/// The names in a directory, if there is one.
fn files(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[expect(clippy::disallowed_methods, reason = "the person who runs the test says how long")]
fn variable(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("`{name}` is no number: {value}")))
}

/// Runs a story, and says how to repeat it if it fails.
#[expect(clippy::print_stderr, reason = "whoever reads of the failure wants to repeat it")]
fn tell(seed: u64) -> Vec<String> {
    let told = std::panic::catch_unwind(|| simulate(seed));
    told.unwrap_or_else(|panic| {
        eprintln!("repeat it: SIM_SEED={seed} cargo test --test it sim::");
        std::panic::resume_unwind(panic)
    })
}

/// A share of the stories, so that several run at once.
fn tell_share(share: u64) {
    let count = match (variable("SIM_SEED"), variable("SLOW")) {
        (Some(seed), _) => return drop((share == 0).then(|| tell(seed))),
        (None, Some(_)) => 5_000,
        (None, None) => 200,
    };
    for seed in (0..count).filter(|seed| seed % SHARES == share) {
        tell(seed);
    }
}

const SHARES: u64 = 4;

#[test]
fn contents_are_those_of_a_full_rebuild() {
    tell_share(0);
}

#[test]
fn contents_are_those_of_a_full_rebuild_2() {
    tell_share(1);
}

#[test]
fn contents_are_those_of_a_full_rebuild_3() {
    tell_share(2);
}

#[test]
fn contents_are_those_of_a_full_rebuild_4() {
    tell_share(3);
}

#[test]
fn the_same_number_tells_the_same_story() {
    for seed in (0..5_000).step_by(619) {
        let (first, second) = (tell(seed), tell(seed));
        let differs = first.iter().zip(&second).position(|(a, b)| a != b);
        let context = |at: usize| first[at.saturating_sub(8)..at].join("\n");
        let before = differs.map(context).unwrap_or_default();
        assert_eq!(first, second, "seed {seed}, after\n{before}");
    }
}
