//! Random flows: whatever the order in which steps end, the states are those of a naive evaluation.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::base::JobName;
use crate::defs::{
    Body, Call, Callee, Emits, Entry, FunctionBody, FunctionSlot, Graph, Hooks, InputDecl, Item,
    Least, Op, Origin, OutputDecl, Port, Ref, Source, Takes, Wiring,
};

/// Numbers that follow from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

fn flow(dice: &mut Dice) -> Arc<Flow> {
    let mut calls: Vec<Call> = Vec::new();
    // Of each call, the call of the pieces over which it is mapped, itself if it makes them.
    let mut scopes: Vec<Option<usize>> = Vec::new();
    for at in 0..2 + dice.below(10) as usize {
        let mut scope = None;
        let mut inputs = Vec::new();
        let mut wires = Vec::new();
        for input in 0..if at == 0 { 0 } else { dice.below(3) } {
            let name = format!("i{input}");
            let up = dice.below(at as u64) as usize;
            let port = Ref::Port(Port::new(&format!("c{up}"), "result"));
            let source = match scopes[up] {
                None => Source::One(port),
                Some(of) if dice.one_in(2) && (scope.is_none() || scope == Some(of)) => {
                    scope = Some(of);
                    Source::Each(port)
                }
                Some(_) => Source::Collect(port),
            };
            let source = match source {
                Source::One(of) if dice.one_in(3) => {
                    let mut entries = vec![Entry::One(of)];
                    let other = dice.below(at as u64) as usize;
                    if scopes[other].is_none() {
                        let port = Port::new(&format!("c{other}"), "result");
                        entries.push(Entry::One(Ref::Port(port)));
                    }
                    Source::List(entries)
                }
                source => source,
            };
            let takes = match source {
                Source::List(_) | Source::Collect(_) => Takes::Many,
                Source::One(_) | Source::Each(_) | Source::Value(_) => Takes::One,
            };
            inputs.push(InputDecl { takes, ..InputDecl::one(&name) });
            wires.push((name, source));
        }
        let after = if at > 0 && dice.one_in(6) {
            vec![format!("c{}", dice.below(at as u64))]
        } else {
            Vec::new()
        };
        let emits = match dice.below(6) {
            0 | 1 => Emits::Optional,
            2 if scope.is_none() => Emits::Pieces(Least::None),
            3 if scope.is_none() => Emits::Pieces(Least::Skip),
            _ => Emits::Required,
        };
        let origin = Origin { file: "random".into(), line: 1 };
        let body = FunctionBody { version: String::new(), slot: FunctionSlot::Op(0) };
        let mut op = Op::new("op", origin.clone(), Body::Function(body));
        op.inputs = inputs.into();
        op.outputs = [OutputDecl { emits, ..OutputDecl::result() }].into();
        scopes.push(if emits.is_pieces() { Some(at) } else { scope });
        let callee = Callee::Op(Arc::new(op));
        let name = format!("c{at}");
        calls.push(Call { name, callee, wires, after, hooks: Hooks::default(), origin });
    }
    let graph = Graph { name: "random".to_owned(), calls, ..Graph::default() };
    Arc::new(graph.compile(&JobName::parse("random").unwrap()).unwrap())
}

/// What an instance does if it runs.
fn behaviour(seed: u64, flow: &Flow, step: u32, piece: Option<&str>) -> Option<Vec<Made<u64>>> {
    let mut hash = seed ^ u64::from(step).wrapping_mul(0x1234_5678_9abc_def1);
    for byte in piece.unwrap_or_default().bytes() {
        hash = hash.wrapping_mul(31).wrapping_add(u64::from(byte));
    }
    let mut dice = Dice(hash);
    if dice.one_in(6) {
        return None;
    }
    let value = dice.below(1000);
    Some(match flow.steps[step as usize].op.outputs[0].emits {
        Emits::Required => vec![(0, None, value)],
        Emits::Optional if dice.one_in(2) => Vec::new(),
        Emits::Optional => vec![(0, None, value)],
        Emits::Pieces(_) => {
            (0..dice.below(4)).map(|n| (0, Some(format!("p{n}").into()), value + n)).collect()
        }
    })
}

type Name = (u32, Option<String>);
type World = BTreeMap<Name, (StepState, Vec<u64>)>;

/// Every instance in the order of the flow, by the words of the module's description.
fn naive(seed: u64, flow: &Flow) -> World {
    let mut world = World::new();
    let mut pieces: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for (at, step) in (0..).zip(&flow.steps) {
        let keys: Vec<Option<String>> = match step.scope {
            None => vec![None],
            Some(scope) => pieces[&scope.step].iter().cloned().map(Some).collect(),
        };
        for key in keys {
            let (mut skip, mut block) = (false, false);
            let mut judge = |states: Vec<(StepState, bool)>, single: bool| {
                let failed = |state| matches!(state, StepState::Failed | StepState::Blocked);
                if states.iter().any(|(state, _)| failed(*state)) {
                    block = true;
                } else if !states.iter().any(|(_, emitted)| *emitted)
                    && (single || !states.is_empty())
                {
                    skip = true;
                }
            };
            let near = |up: u32| -> (StepState, bool) {
                let scoped = flow.steps[up as usize].scope.is_some();
                let (state, made) = &world[&(up, key.clone().filter(|_| scoped))];
                (*state, *state == StepState::Success && !made.is_empty())
            };
            let far = |up: u32| -> Vec<(StepState, bool)> {
                let all = world.range((up, None)..(up + 1, None));
                all.map(|(_, (state, made))| (*state, !made.is_empty())).collect()
            };
            for wiring in &step.wires {
                match wiring {
                    Wiring::One(slot) => judge(vec![near(slot.step)], true),
                    Wiring::Each(slot) if Some(*slot) == step.scope => {}
                    Wiring::Each(slot) => judge(vec![near(slot.step)], true),
                    Wiring::List(items) => {
                        judge(
                            items.iter().filter_map(Item::slot).map(|s| near(s.step)).collect(),
                            false,
                        );
                    }
                    Wiring::Collect(slot) => {
                        let source = flow.steps[slot.step as usize].scope.unwrap_or(*slot);
                        let (state, _) = near_source(&world, source.step);
                        let none = pieces[&source.step].is_empty();
                        let least = flow.output(source).emits;
                        if state != StepState::Success {
                            judge(vec![(state, false)], true);
                        } else if none && least == Emits::Pieces(Least::Skip) {
                            judge(vec![(StepState::Skipped, false)], true);
                        } else if source != *slot {
                            judge(far(slot.step), false);
                        }
                    }
                    Wiring::Input(_) | Wiring::Value(_) => {}
                }
            }
            for up in &step.after {
                let done = |(state, _): (StepState, bool)| (state, state == StepState::Success);
                match flow.steps[*up as usize].scope {
                    Some(scope) if step.scope != Some(scope) => {
                        let source = near_source(&world, scope.step);
                        judge(vec![done(source)], true);
                        judge(far(*up).into_iter().map(done).collect(), false);
                    }
                    Some(_) | None => judge(vec![done(near(*up))], true),
                }
            }
            let ended = match (skip, block) {
                (true, _) => (StepState::Skipped, Vec::new()),
                (false, true) => (StepState::Blocked, Vec::new()),
                (false, false) => match behaviour(seed, flow, at, key.as_deref()) {
                    None => (StepState::Failed, Vec::new()),
                    Some(made) => {
                        let keys = made.iter().filter_map(|(_, key, _)| key.as_deref());
                        pieces.insert(at, keys.map(str::to_owned).collect());
                        let values = made.into_iter().map(|(_, _, value)| value);
                        (StepState::Success, values.collect())
                    }
                },
            };
            world.insert((at, key), ended);
        }
        pieces.entry(at).or_default();
    }
    world
}

fn near_source(world: &World, step: u32) -> (StepState, bool) {
    (world[&(step, None)].0, true)
}

/// Runs a flow with several instances at once, which end in an order of the dice's.
fn world(seed: u64, dice: &mut Dice, flow: &Arc<Flow>) -> World {
    let all = (0..u32::try_from(flow.steps.len()).unwrap()).collect();
    let mut progress = Progress::new(flow.clone(), &all, Known::new());
    let mut running = Vec::new();
    loop {
        match progress.next(&|_| true) {
            Some(id) if dice.one_in(3) || running.is_empty() => running.push(id),
            Some(id) => {
                running.push(id);
                continue;
            }
            None if running.is_empty() => break,
            None => {}
        }
        let id = running.swap_remove(dice.below(running.len() as u64) as usize);
        let inputs = progress.inputs(id).len();
        assert_eq!(inputs, progress.declared(id).wires.len());
        let made = behaviour(seed, flow, progress.step(id), progress.piece(id));
        match made {
            None => progress.ended(id, Vec::new(), Ended::Failed),
            Some(made) => progress.ended(id, made, Ended::Success),
        };
    }
    let ended = |id: InstanceId| {
        let made = progress.made(id, 0).into_iter().map(|(_, value)| *value).collect();
        let key = (progress.step(id), progress.piece(id).map(str::to_owned));
        (key, (progress.state(id), made))
    };
    progress.instances().map(ended).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_order_of_ends_gives_the_same_states(seed: u64, order: u64) {
        let flow = flow(&mut Dice(seed));
        prop_assert_eq!(world(seed, &mut Dice(order), &flow), naive(seed, &flow));
    }
}

#[test]
fn what_an_earlier_run_made_is_not_carried_out_again() {
    let flow = (0..)
        .map(|seed| flow(&mut Dice(seed)))
        .find(|flow| flow.steps.len() > 3 && flow.steps.iter().any(|step| step.scope.is_some()));
    let flow = flow.unwrap();
    let all: BTreeSet<u32> = (0..u32::try_from(flow.steps.len()).unwrap()).collect();
    let made = |step: u32, piece: Option<&str>| -> Vec<Made<u64>> {
        match flow.steps[step as usize].op.outputs[0].emits {
            Emits::Pieces(_) => vec![(0, Some("p0".into()), 1), (0, Some("p1".into()), 2)],
            Emits::Required | Emits::Optional => vec![(0, None, piece.map_or(3, |_| 4))],
        }
    };
    let mut known = Known::new();
    let mut progress = Progress::new(flow.clone(), &all, Known::new());
    while let Some(id) = progress.next(&|_| true) {
        let made = made(progress.step(id), progress.piece(id));
        // Of the pieces, only one is known; all that is not mapped is.
        if progress.piece(id) != Some("p1") {
            let key = progress.piece(id).map(Arc::from);
            known.insert((progress.step(id), key), made.clone());
        }
        progress.ended(id, made, Ended::Success);
    }
    let first = progress;
    let mut progress = Progress::new(flow.clone(), &all, known);
    let mut ran = Vec::new();
    while let Some(id) = progress.next(&|_| true) {
        ran.push(progress.name(id));
        let made = made(progress.step(id), progress.piece(id));
        progress.ended(id, made, Ended::Success);
    }
    assert!(!ran.is_empty() && ran.iter().all(|name| name.ends_with("[p1]")), "{ran:?}");
    assert!(progress.instances().all(|id| progress.state(id) == StepState::Success));
    assert_eq!(progress.instances().count(), first.instances().count());
    // Nothing chosen: nothing runs.
    let mut progress: Progress<u64> = Progress::new(flow, &BTreeSet::new(), Known::new());
    assert_eq!(progress.next(&|_| true), None);
}

/// Steps that read nothing of each other, all in the pool `name`; every tenth in none.
fn pooled(steps: usize) -> Arc<Flow> {
    let origin = || Origin { file: "pooled".into(), line: 1 };
    let body = FunctionBody { version: String::new(), slot: FunctionSlot::Op(0) };
    let op = |pool: Option<Arc<str>>| {
        Arc::new(Op { pool, ..Op::new("op", origin(), Body::Function(body.clone())) })
    };
    let (free, narrow) = (op(None), op(Some("narrow".into())));
    let call = |at: usize| Call {
        name: format!("c{at}"),
        callee: Callee::Op(if at % 10 == 9 { free.clone() } else { narrow.clone() }),
        wires: Vec::new(),
        after: Vec::new(),
        hooks: Hooks::default(),
        origin: origin(),
    };
    let calls = (0..steps).map(call).collect();
    let graph = Graph { name: "pooled".to_owned(), calls, ..Graph::default() };
    Arc::new(graph.compile(&JobName::parse("pooled").unwrap()).unwrap())
}

/// What waits for a pool costs nothing: the pool is asked, not each of its steps.
#[test]
fn a_full_pool_is_not_searched() {
    const STEPS: usize = 10_000;
    let flow = pooled(STEPS);
    let all: BTreeSet<u32> = (0..u32::try_from(STEPS).unwrap()).collect();
    let mut progress: Progress<u64> = Progress::new(flow, &all, Known::new());
    let asked = std::cell::Cell::new(0);
    let mut in_pool = 0;
    let mut running = VecDeque::new();
    let mut order = Vec::new();
    loop {
        let has_room = |name: &str| {
            assert_eq!(name, "narrow");
            asked.set(asked.get() + 1);
            in_pool < 1
        };
        match progress.next(&has_room) {
            Some(id) => {
                in_pool += usize::from(progress.declared(id).def.pool.is_some());
                running.push_back(id);
                order.push(progress.step(id));
            }
            None => {
                let Some(id) = running.pop_front() else { break };
                in_pool -= usize::from(progress.declared(id).def.pool.is_some());
                progress.ended(id, vec![(0, None, 1)], Ended::Success);
            }
        }
        assert!(in_pool <= 1);
    }
    assert_eq!(order.len(), STEPS);
    // The first of those that may run goes first: one of the pool, then all that are in none.
    assert_eq!(order[..4], [0, 9, 19, 29]);
    let asked = asked.get();
    assert!(asked <= 2 * STEPS + 1, "the pool was asked {asked} times");
}
