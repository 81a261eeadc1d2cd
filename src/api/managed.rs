//! IO managers of jobs on the store: values are kept by the store, and put where `io` says beside that.
//!
//! The store stays the truth: a step reads what it has, unless an input says a manager of its own, which
//! then reads what was put. A value is put before its step is recorded, so what is recorded was put.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::io::StepIo;
use super::job::{Job, Table};
use crate::defs::{self, Flow, FlowStep, Item, Memo, Slot, Wiring, Work};
use crate::exec::{Failure, InJob, Input, Step};
use crate::io::{Place, Warehouse};

/// The jobs of a program that say `io`, by name.
#[derive(Default)]
pub(super) struct Managed(BTreeMap<String, OfJob>);

struct OfJob {
    table: Arc<Table>,
    flow: Arc<Flow>,
    /// The place of each step in the flow.
    places: HashMap<Arc<str>, u32>,
}

/// The managers of one step that runs, and where what it reads was put.
pub(super) struct Open<'a> {
    of: &'a OfJob,
    step: &'a FlowStep,
    pub(super) io: StepIo,
}

impl Managed {
    /// Takes a job over; gives its definition as it runs on the store.
    pub(super) fn take(&mut self, job: &Job, def: Arc<defs::Job>) -> Arc<defs::Job> {
        let table = job.table();
        let Work::Flow(flow) = &def.work else { return def };
        if !table.has_io() {
            return def;
        }
        let mut flow = Flow::clone(flow);
        for step in &mut flow.steps {
            let named = table.used_by(step).map(str::to_owned).collect::<Vec<_>>();
            Arc::make_mut(&mut step.def).resources.extend(named);
            // What another run has made is put nowhere.
            if table.puts(step) && step.op.memo != Memo::Never {
                Arc::make_mut(&mut step.op).memo = Memo::Never;
            }
        }
        let flow = Arc::new(flow);
        let places = flow.steps.iter().zip(0..).map(|(step, at)| (step.path.clone(), at)).collect();
        let of = OfJob { table: table.clone(), flow: flow.clone(), places };
        self.0.insert(job.name().to_owned(), of);
        Arc::new(defs::Job { work: Work::Flow(flow), ..defs::Job::clone(&def) })
    }

    /// The managers of a step, if its job has any.
    pub(super) fn open(&self, step: &Step, at: &InJob) -> Result<Option<Open<'_>>, Failure> {
        let of = self.0.get(at.job.as_str()).filter(|_| at.asset.is_none());
        let Some((of, place)) = of.and_then(|of| Some((of, *of.places.get(&at.path)?))) else {
            return Ok(None);
        };
        let flow_step = &of.flow.steps[place as usize];
        let find = |name: &str| step.resources.shared::<Warehouse>(name);
        let io = StepIo::open(flow_step, &of.table, &step.partition, &step.paths.root, &find);
        let io = io.map_err(Failure::Function)?;
        Ok(Some(Open { of, step: flow_step, io }))
    }
}

impl Open<'_> {
    /// Where the values of an input were put, in the order of what the step was `given` there; `piece` is that
    /// of the step.
    pub(super) fn places(
        &self,
        input: usize,
        piece: Option<&str>,
        given: Option<&Input>,
    ) -> Result<Vec<Place>, String> {
        let (parts, present) = match given {
            Some(given) => (given.parts.as_slice(), given.items.as_slice()),
            None => Default::default(),
        };
        let name = &self.step.def.inputs[input].name;
        match &self.step.wires[input] {
            Wiring::One(slot) => Ok(vec![self.place(name, *slot, None)?]),
            Wiring::Each(slot) => Ok(vec![self.place(name, *slot, piece)?]),
            Wiring::Collect(slot) => {
                parts.iter().map(|part| self.place(name, *slot, Some(part.key.as_str()))).collect()
            }
            Wiring::List(items) => {
                let place = |at: &u32| match &items[*at as usize] {
                    Item::One(slot) => self.place(name, *slot, None),
                    Item::Each(slot) => self.place(name, *slot, piece),
                    Item::Input(_) | Item::Value(_) => Err(StepIo::not_put(name)),
                };
                present.iter().map(place).collect()
            }
            Wiring::Input(_) | Wiring::Value(_) => Err(StepIo::not_put(name)),
        }
    }

    fn place(&self, input: &str, slot: Slot, piece: Option<&str>) -> Result<Place, String> {
        let from = &self.of.flow.steps[slot.step as usize];
        let output = &from.def.outputs[slot.output as usize].name;
        match self.of.table.output_io(from, output) {
            Some(_) => Ok(self.io.place(from.def.name.as_str(), output, piece)),
            None => Err(StepIo::not_put(input)),
        }
    }
}
