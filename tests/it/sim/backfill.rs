//! Backfills in a simulation: begun over any partitions, in any pieces and order, paused and cancelled by the
//! other process, taken up by either, and tried again where they failed.

use std::collections::{BTreeMap, BTreeSet};

use giornata::base::{AssetKey, BackfillId, PartitionSet};
use giornata::engine::{
    BackfillReport, BackfillSpec, Engine, Error, Progress, Rest, RunEvent, RunOrder, Underway,
};
use giornata::exec::Control;
use giornata::plan::{Reach, Request};
use giornata::store::{BackfillState, Told, Wish};
use proptest::prelude::*;

use crate::freshness_rig::{Aging, Done, Process, Shelf, key};
use crate::freshness_wide::{Rig, chosen, name};

/// What is asked for.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) process: usize,
    nodes: Vec<usize>,
    parts: u8,
    force: bool,
    chunk: Option<u64>,
    order: RunOrder,
    reach: Reach,
    stop: Option<Stop>,
}

/// The other process wants it to end when so many events have been heard.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stop {
    wish: Wish,
    after: usize,
    /// It is taken up again at once, by the other process or by the same.
    by_other: bool,
}

/// Somebody takes up the last one that can be.
#[derive(Debug, Clone, Copy)]
pub(super) struct TakeUp {
    process: usize,
    rest: Rest,
}

pub(super) fn asked() -> impl Strategy<Value = Asked> {
    let wish = prop_oneof![Just(Wish::Pause), Just(Wish::Cancel)];
    let stop = (wish, 0usize..10, any::<bool>());
    let stop = stop.prop_map(|(wish, after, by_other)| Stop { wish, after, by_other });
    let orders =
        prop_oneof![Just(RunOrder::Critical), Just(RunOrder::Oldest), Just(RunOrder::Newest)];
    let reach = prop_oneof![
        4 => Just(Reach::Upstream),
        1 => Just(Reach::Only),
        1 => Just(Reach::UpstreamAndDownstream),
    ];
    let how = (any::<bool>(), proptest::option::of(1u64..4), orders, reach);
    let nodes = proptest::collection::vec(0usize..8, 1..3);
    (0usize..2, nodes, any::<u8>(), how, proptest::option::of(stop)).prop_map(
        |(process, nodes, parts, (force, chunk, order, reach), stop)| Asked {
            process,
            nodes,
            parts,
            force,
            chunk,
            order,
            reach,
            stop,
        },
    )
}

pub(super) fn take_ups() -> impl Strategy<Value = TakeUp> {
    let rest = prop_oneof![Just(Rest::Left), Just(Rest::Failed)];
    (0usize..2, rest).prop_map(|(process, rest)| TakeUp { process, rest })
}

impl Rig {
    /// A backfill from its beginning until it ends or is stopped; what is stopped is taken up again.
    pub(super) fn backfill(&mut self, asked: &Asked) {
        let Some(underway) = self.begin(asked) else { return };
        let (id, force) = (underway.id, asked.force);
        let first = self.carry_out(asked.process, underway, force, asked.stop);
        self.judge(asked.process, id);
        let Some(stop) = asked.stop else { return };
        let process = if stop.by_other { 1 - asked.process } else { asked.process };
        let Some(underway) = self.taken_up(process, id, Rest::Left) else { return };
        let second = self.carry_out(process, underway, force, None);
        self.judge(process, id);
        let bodies = &self.shelf.bodies;
        let counts = |done: &Done| -> BTreeSet<String> {
            let own =
                done.ran.iter().filter(|ran| !bodies.fails(ran) && ran.aging != Aging::AtOnce);
            own.map(|ran| ran.given.clone()).collect()
        };
        let (first, second) = (counts(&first), counts(&second));
        let twice: Vec<&String> = first.intersection(&second).collect();
        assert!(twice.is_empty(), "made again when it was taken up: {twice:?}");
    }

    /// The same, up to wherever it dies.
    pub(super) fn backfill_unwatched(&mut self, asked: &Asked) {
        let Some(underway) = self.begin(asked) else { return };
        let (shelf, process) = (&self.shelf, &mut self.processes[asked.process]);
        carry(shelf, process, underway, &mut |_, _| {});
        shelf.take_ran();
    }

    /// Takes up the last backfill that has not succeeded.
    pub(super) fn take_up(&mut self, TakeUp { process, rest }: TakeUp) {
        let engine = self.shelf.refreshed(&mut self.processes[process]);
        let open = engine.backfills(usize::MAX).unwrap().into_iter();
        let Some(found) = open.into_iter().find(|it| it.state != BackfillState::Success) else {
            return;
        };
        let Some(underway) = self.taken_up(process, found.id, rest) else { return };
        let force = underway.spec.force;
        self.carry_out(process, underway, force, None);
        self.judge(process, found.id);
    }

    fn begin(&mut self, asked: &Asked) -> Option<Underway> {
        let names: BTreeSet<AssetKey> = (asked.nodes.iter())
            .map(|node| key(&name(&self.world, node % self.world.nodes.len())))
            .collect();
        let engine = self.shelf.refreshed(&mut self.processes[asked.process]);
        let targets: BTreeMap<AssetKey, PartitionSet> = names
            .into_iter()
            .filter_map(|name| Some((name.clone(), chosen(engine, &name, asked.parts)?)))
            .collect();
        if targets.is_empty() {
            return None;
        }
        let (reach, force) = (asked.reach, asked.force);
        let request = Request { targets, chosen: BTreeMap::new(), reach, force };
        let plan = engine.plan(&request).unwrap();
        let targets = engine.backfill_targets(&request, &plan);
        let (chunk, order) = (asked.chunk, asked.order);
        let spec = BackfillSpec { chunk, order, force, ..BackfillSpec::new(reach) };
        let (chosen, tags) = (BTreeMap::new(), BTreeMap::new());
        Some(engine.begin_backfill(spec, targets, chosen, tags, "backfill").unwrap())
    }

    /// `None`: there is nothing to take up, or its partitions are others by now.
    fn taken_up(&mut self, process: usize, id: BackfillId, rest: Rest) -> Option<Underway> {
        let engine = self.shelf.refreshed(&mut self.processes[process]);
        match engine.take_up_backfill(id, rest) {
            Ok(underway) => Some(underway),
            Err(
                Error::BackfillRenumbered { .. }
                | Error::NothingFailed { .. }
                | Error::BackfillState { .. },
            ) => None,
            Err(error) => panic!("{id:?}: {error}"),
        }
    }

    fn carry_out(
        &mut self,
        process: usize,
        underway: Underway,
        force: bool,
        stop: Option<Stop>,
    ) -> Done {
        let id = underway.id;
        let (first, second) = self.processes.split_at_mut(1);
        let (this, other) = match process {
            0 => (&mut first[0], &mut second[0]),
            _ => (&mut second[0], &mut first[0]),
        };
        self.shelf.bodies.ran.lock().unwrap().clear();
        self.shelf.live();
        let (shelf, mut left) = (&self.shelf, stop.map(|stop| (stop.wish, stop.after)));
        carry(shelf, this, underway, &mut |_, _| match left {
            Some((wish, 0)) => {
                left = None;
                let told = shelf.refreshed(other).wish_of_backfill(id, wish).unwrap();
                assert_eq!(told, Told::Heard, "it is under way");
            }
            Some((wish, more)) => left = Some((wish, more - 1)),
            None => {}
        });
        let ran = std::mem::take(&mut *self.shelf.bodies.ran.lock().unwrap());
        self.shelf.account(&self.processes[process].project, ran, force)
    }

    /// What is recorded of a backfill that has ended agrees with itself.
    fn judge(&mut self, process: usize, id: BackfillId) {
        let engine = self.shelf.refreshed(&mut self.processes[process]);
        let report: BackfillReport = engine.backfill_report(id).unwrap();
        let count = |progress: Progress| report.counts[&progress];
        let counts: Vec<u64> = Progress::ALL.into_iter().map(count).collect();
        let state = report.backfill.state;
        self.shelf.trace.say(&format!("{id:?} {state:?} {counts:?}"));
        assert_eq!(report.backfill.wish, None, "it was heeded");
        assert_eq!(count(Progress::Running), 0);
        match state {
            BackfillState::Success => assert_eq!(counts[1..], [0; 4], "{report:?}"),
            BackfillState::Failure => {
                // Left is what is not there any more.
                let open = [Progress::Failed, Progress::Blocked, Progress::Left];
                assert!(!report.everything(&open).is_empty(), "{report:?}");
            }
            BackfillState::Paused | BackfillState::Cancelled | BackfillState::Interrupted => {}
            BackfillState::Running => panic!("nobody carries it out: {report:?}"),
        }
        for asset in &report.assets {
            let mut seen = PartitionSet::new();
            for set in asset.sets.values() {
                assert!(seen.is_disjoint(set), "in two states: {asset:?}");
                seen |= set;
            }
        }
    }
}

fn carry(
    shelf: &Shelf,
    process: &mut Process,
    underway: Underway,
    listen: &mut dyn FnMut(&Engine, &RunEvent),
) {
    let engine = process.engine.as_mut().unwrap();
    let mut heard = |engine: &Engine, event: RunEvent| {
        shelf.trace.hear(engine, &event);
        listen(engine, &event);
    };
    let options = shelf.trace.options();
    engine.carry_out_backfill(underway, &options, &Control::new(), &mut heard).unwrap();
}
