//! Random worlds of assets that ask while they run: after each request, what was asked for is what an
//! empty store would have made, whatever was asked for before.

use std::collections::BTreeMap;

use giornata::base::PartitionSet;
use giornata::defs::{Asset, PartitionsDef};
use giornata::plan::{Reach, Request};
use proptest::prelude::*;

use super::freshness_rig::{
    Process, Shelf, asset, daily, day_key, files_of, fixed, key, project, source,
};

const DAYS: u32 = 4;
const KEYS: [&str; 3] = ["a", "b", "c"];

/// The upstream assets and sources that can be asked, by name.
const ASKED: [&str; 5] = ["s0", "s1", "day", "each", "keys"];

#[derive(Debug, Clone)]
struct Asker {
    /// Which of [`ASKED`], and what it reads anyway.
    asks: Vec<usize>,
    reads: usize,
    is_daily: bool,
    code: u8,
}

#[derive(Debug, Clone)]
enum Edit {
    File(usize, u32, Option<u8>),
    Code(usize, u8),
    Asks(usize, usize),
    Fail(usize, bool),
    Keys(bool),
    Reopen(usize),
    Die(usize, usize),
    Gc(usize),
    Make { process: usize, asker: usize, parts: u8, downstream: bool, force: bool },
    MakeAll(usize),
}

struct Rig {
    shelf: Shelf,
    askers: Vec<Asker>,
    codes: [u8; 3],
    has_all_keys: bool,
    processes: Vec<Process>,
    is_vague: bool,
}

fn file(source: usize, part: u32) -> String {
    match source % 2 {
        0 => format!("data/s0/{}.csv", day_key(part)),
        _ => format!("data/s1/{}.csv", KEYS[part as usize % 3]),
    }
}

impl Rig {
    fn new(askers: Vec<Asker>) -> Rig {
        let shelf = Shelf::new(true);
        (0..2).for_each(|source| (0..DAYS).for_each(|part| shelf.write(&file(source, part), "0")));
        let (codes, has_all_keys) = ([0; 3], true);
        let mut rig =
            Rig { shelf, askers, codes, has_all_keys, processes: Vec::new(), is_vague: false };
        rig.processes = (0..2).map(|_| rig.process()).collect();
        rig
    }

    /// What they may ask for depends on nothing that changes, so that the same function may ask for what
    /// is not there any more.
    fn asks() -> BTreeMap<&'static str, Vec<String>> {
        let days = || (0..DAYS + 1).map(day_key).collect();
        let keys = || KEYS.iter().map(|key| (*key).to_owned()).collect();
        BTreeMap::from([
            ("s0", days()),
            ("s1", keys()),
            ("day", days()),
            ("each", days()),
            ("keys", keys()),
        ])
    }

    fn assets(&self) -> Vec<Asset> {
        let keys = if self.has_all_keys { &KEYS[..] } else { &KEYS[1..] };
        let mut assets = vec![
            source("s0", "data/s0/{key}.csv", files_of("s0")),
            source("s1", "data/s1/{key}.csv", files_of("s1")),
            asset("day", daily(0, Some(DAYS)), self.codes[0], &[("s0?", "")]),
            asset("each", files_of("s0"), self.codes[1], &[("s0", "")]),
            asset("keys", fixed(keys), self.codes[2], &[("s1", "")]),
        ];
        for (i, asker) in self.askers.iter().enumerate() {
            let own =
                if asker.is_daily { daily(0, Some(DAYS)) } else { PartitionsDef::Unpartitioned };
            let reads = ["s0?", "s1?", "day"][asker.reads % 3];
            let mapping = if asker.is_daily && reads != "s1?" { "" } else { "all" };
            let mut deps = vec![(reads.to_owned(), mapping)];
            for pick in &asker.asks {
                let mut names: Vec<String> = ASKED.iter().map(|name| (*name).to_owned()).collect();
                names.extend((0..i).map(|before| format!("ask{before}")));
                let name = format!("{}?", names[pick % names.len()]);
                if deps
                    .iter()
                    .all(|(known, _)| known.trim_end_matches('?') != name.trim_end_matches('?'))
                {
                    deps.push((name, "asked"));
                }
            }
            let deps: Vec<(&str, &str)> =
                deps.iter().map(|(name, text)| (&**name, *text)).collect();
            let mut made = asset(&format!("ask{i}"), own, asker.code, &deps);
            let mut asks: BTreeMap<String, Vec<String>> =
                Rig::asks().into_iter().map(|(name, keys)| (name.to_owned(), keys)).collect();
            for (before, other) in self.askers[..i].iter().enumerate() {
                let keys = if other.is_daily {
                    (0..DAYS).map(day_key).collect()
                } else {
                    vec![String::new()]
                };
                asks.insert(format!("ask{before}"), keys);
            }
            made.config.insert("asks".to_owned(), serde_json::json!(asks));
            assets.push(made);
        }
        assets
    }

    fn process(&self) -> Process {
        let mut process = Process { project: project(self.assets()), engine: None };
        self.shelf.refreshed(&mut process);
        process
    }

    fn apply(&mut self, edit: &Edit) {
        let count = self.askers.len();
        match *edit {
            Edit::File(source, part, Some(content)) => {
                self.shelf.write(&file(source, part), &content.to_string());
            }
            Edit::File(source, part, None) => {
                drop(std::fs::remove_file(self.shelf.path(&file(source, part))));
            }
            Edit::Code(i, code) if i < 3 => self.codes[i] = code,
            Edit::Code(i, code) => self.askers[i % count].code = code,
            Edit::Asks(i, pick) => self.askers[i % count].asks[0] = pick,
            Edit::Fail(i, fails) => {
                // What asks does not fail by itself: whether it has to run for a result that was made
                // before is left open.
                let name = ["day", "each", "keys"][i % 3].to_owned();
                let mut failing = self.shelf.bodies.failing.lock().unwrap();
                match fails && !self.is_vague {
                    true => failing.insert(name),
                    false => failing.remove(&name),
                };
            }
            Edit::Keys(all) => self.has_all_keys = all,
            Edit::Reopen(process) => self.processes[process] = self.process(),
            Edit::Die(process, after) => {
                self.is_vague = true;
                self.shelf.bodies.failing.lock().unwrap().clear();
                let process = &mut self.processes[process];
                let request = super::freshness_rig::all(self.shelf.refreshed(process), false);
                self.shelf.die(process, &request, after);
            }
            Edit::Gc(process) => self.shelf.gc(&mut self.processes[process], None),
            Edit::Make { process, asker, parts, downstream, force } => {
                let process = &mut self.processes[process];
                let target = key(&format!("ask{}", asker % count));
                let engine = self.shelf.refreshed(process);
                let all = engine.planner().domain(&target).all().clone();
                let chosen: PartitionSet =
                    all.iter().filter(|part| parts & (1 << (part % 8)) != 0).collect();
                let reach = if downstream { Reach::UpstreamAndDownstream } else { Reach::Upstream };
                let targets = BTreeMap::from([(target, chosen)]);
                let request = Request { targets, chosen: Default::default(), reach, force };
                self.shelf.make(process, &request);
                self.shelf.check(process, &request);
            }
            Edit::MakeAll(process) => drop(self.shelf.settle(&mut self.processes[process])),
        }
    }
}

fn askers() -> impl Strategy<Value = Vec<Asker>> {
    let asks = proptest::collection::vec(0usize..16, 1..3);
    let asker = (asks, 0usize..3, any::<bool>(), 0u8..3)
        .prop_map(|(asks, reads, is_daily, code)| Asker { asks, reads, is_daily, code });
    proptest::collection::vec(asker, 1..4)
}

fn edits() -> impl Strategy<Value = Edit> {
    prop_oneof![
        6 => (0usize..2, 0..DAYS, proptest::option::weighted(0.8, 0u8..3))
            .prop_map(|(source, part, content)| Edit::File(source, part, content)),
        2 => (0usize..6, 0u8..3).prop_map(|(i, code)| Edit::Code(i, code)),
        1 => (0usize..4, 0usize..16).prop_map(|(i, pick)| Edit::Asks(i, pick)),
        2 => (0usize..3, any::<bool>()).prop_map(|(i, fails)| Edit::Fail(i, fails)),
        1 => any::<bool>().prop_map(Edit::Keys),
        3 => (0usize..2).prop_map(Edit::Reopen),
        1 => (0usize..2, 0usize..5).prop_map(|(process, after)| Edit::Die(process, after)),
        1 => (0usize..2).prop_map(Edit::Gc),
        6 => (0usize..2, 0usize..4, any::<u8>(), any::<bool>(), proptest::bool::weighted(0.2))
            .prop_map(|(process, asker, parts, downstream, force)| Edit::Make {
                process, asker, parts, downstream, force
            }),
        3 => (0usize..2).prop_map(Edit::MakeAll),
    ]
}

#[expect(clippy::disallowed_methods, reason = "the person who runs the test says how long")]
fn cases() -> u32 {
    if std::env::var_os("SLOW").is_some() { 5_000 } else { 100 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_asked_for_is_as_fresh_as_in_an_empty_store(
        askers in askers(),
        edits in proptest::collection::vec(edits(), 1..20),
    ) {
        let mut rig = Rig::new(askers);
        for edit in &edits {
            rig.apply(edit);
        }
        rig.apply(&Edit::MakeAll(0));
    }
}
