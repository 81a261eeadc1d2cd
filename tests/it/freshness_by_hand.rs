//! What is said of results by hand, with what must be true right after it, in every process.

use std::collections::BTreeSet;

use giornata::base::{AssetKey, Clock, PartitionIdx};
use giornata::defs::Keep;
use giornata::engine::{Access, Engine, Error, Gc, GcMode, Made, Targets};
use giornata::plan::Freshness;

use super::freshness_oracle::{aging, given_now, id, value};
use super::freshness_rig::{Accepted, Process, Shelf};

impl Shelf {
    /// What was accepted is fresh, whatever it reads.
    pub fn accept(&mut self, process: &mut Process, targets: &Targets) {
        let engine = self.refreshed(process);
        let done = engine.accept(targets, "by hand").unwrap().done;
        let engine = process.engine.as_ref().unwrap();
        for (asset, part) in each(&done) {
            self.say(engine, asset, part);
        }
        let fresh = |state: &Freshness, part| state.fresh().contains(part);
        self.everywhere(process, &done, "accepted", fresh);
    }

    /// Records that the recorded value is that of what a step would be given now.
    fn say(&mut self, engine: &Engine, asset: &AssetKey, part: PartitionIdx) {
        let given = given_now(self, engine, asset, part).expect("its inputs are there");
        let (id, value) = (id(engine, asset, part), value(engine, asset, part));
        self.invalidated.lock().unwrap().remove(&id);
        let now = self.clock.now().timestamp_millis();
        self.accepted.insert(Accepted { id, given, value }, now);
    }

    /// What was invalidated is fresh to nobody, and nothing brings it back.
    pub fn invalidate(&mut self, process: &mut Process, targets: &Targets) {
        let engine = self.refreshed(process);
        let done = engine.invalidate(targets, "by hand").unwrap().done;
        let ids: BTreeSet<String> =
            each(&done).map(|(asset, part)| id(engine, asset, part)).collect();
        self.forget_some(&ids);
        self.invalidated.lock().unwrap().extend(ids);
        let stale = |state: &Freshness, part| {
            !state.fresh().contains(part) && !state.restore_set().contains(part)
        };
        self.everywhere(process, &done, "invalidated", stale);
    }

    /// What was wiped has no result, and nothing brings it back.
    pub fn wipe(&mut self, process: &mut Process, targets: &Targets) {
        let engine = self.refreshed(process);
        let done = engine.wipe(targets).unwrap().done;
        let ids: BTreeSet<String> =
            each(targets).map(|(asset, part)| id(engine, asset, part)).collect();
        self.forget_some(&ids);
        self.invalidated.lock().unwrap().retain(|id| !ids.contains(id));
        let gone = |state: &Freshness, part| {
            state.without_result.contains(part) && !state.restore_set().contains(part)
        };
        self.everywhere(process, &done, "wiped", gone);
    }

    /// Nothing is known any more of what was computed for some partitions.
    fn forget_some(&mut self, ids: &BTreeSet<String>) {
        let concerned = |given: &String| {
            let mut words = given.split(' ');
            let (asset, part) = (words.next().unwrap(), words.nth(1).unwrap());
            ids.contains(&format!("{asset}@{part}"))
        };
        self.known.retain(|given| !concerned(given));
        self.young.retain(|given, _| !concerned(given));
    }

    /// What was made elsewhere is fresh.
    pub fn report(
        &mut self,
        process: &mut Process,
        asset: &AssetKey,
        part: PartitionIdx,
        text: &str,
    ) {
        self.write("reported", text);
        let made = Made { version: None, path: Some(self.path("reported")) };
        let engine = self.refreshed(process);
        match engine.report(asset, part, &made) {
            Ok(()) => {}
            Err(Error::Refused { .. }) => return,
            Err(error) => panic!("{error}"),
        }
        let engine = process.engine.as_ref().unwrap();
        self.say(engine, asset, part);
        let done = Targets::from([(asset.clone(), [part].into_iter().collect())]);
        let fresh = |state: &Freshness, part| state.fresh().contains(part);
        self.everywhere(process, &done, "reported", fresh);
    }

    /// Nothing changes but what can be restored, and so what reads that.
    pub fn gc(&mut self, process: &mut Process, keep: Option<u32>) {
        let status = |engine: &Engine| {
            let assets = engine.project().assets.keys();
            let fresh = |asset| engine.planner().freshness(asset).fresh();
            assets.map(fresh).collect::<Vec<_>>()
        };
        let engine = self.refreshed(process);
        let before = status(engine);
        let can_come_back = engine.project().assets.keys().any(|asset| {
            let state = engine.planner().freshness(asset);
            !state.restore_set().is_empty()
        });
        // What is younger than a day stays, by the clock of the disk.
        let now = self.clock.move_far();
        process
            .engine
            .as_mut()
            .unwrap()
            .gc(Gc { keep: Keep { results: keep, ..Keep::default() }, mode: GcMode::Remove })
            .unwrap();
        self.clock.move_back(now);
        let after = status(self.refreshed(process));
        assert!(keep.is_some() && can_come_back || after == before, "{before:?} {after:?}");
        if keep.is_some() {
            self.forget();
        }
    }

    fn everywhere(
        &self,
        process: &mut Process,
        done: &Targets,
        what: &str,
        is: impl Fn(&Freshness, PartitionIdx) -> bool,
    ) {
        let mut cold = self.open(&process.project, Access::Read);
        let assets: Vec<AssetKey> = process.project.assets.keys().cloned().collect();
        cold.refresh(&assets).unwrap();
        let hot = process.engine.as_ref().unwrap();
        let aging = aging(&process.project);
        for (asset, part) in each(done) {
            if !hot.planner().domain(asset).all().contains(part) {
                continue;
            }
            let id = id(hot, asset, part);
            assert!(is(hot.planner().freshness(asset), part), "{what}, hot: {id}");
            if !aging.contains(asset) {
                assert!(is(cold.planner().freshness(asset), part), "{what}, cold: {id}");
            }
        }
    }
}

fn each(targets: &Targets) -> impl Iterator<Item = (&AssetKey, PartitionIdx)> {
    targets.iter().flat_map(|(asset, parts)| parts.iter().map(move |part| (asset, part)))
}
