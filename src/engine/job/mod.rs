//! Runs of jobs of ops on the store: everything that is chosen runs, in the order of the flow.
//!
//! What steps hand to each other lies in one temporary place, inside the database where it is small. It
//! goes when the run has succeeded, and else stays for a retry until that succeeds or `gc` takes it. A run
//! of a job changes no record of an asset, so it never raises the revision of the store.

mod course;
mod event;
mod graphs;
mod keep;
mod keys;
mod launch;
mod put;
mod run;
mod value;

pub(super) use course::Memos;
pub use event::{JobEvent, JobSummary};
pub(super) use graphs::Graphs;
pub(super) use keep::{Place, keep};
pub use launch::{Launch, partition_of};
pub(super) use put::put;
pub(super) use value::Value;

use super::Error;
use super::open::Engine;
use super::report::RunOptions;
use crate::defs::{Domain, Job};
use crate::exec::Control;

impl Engine {
    /// The partitions of a job that exist now; those of sources as of the last look at them.
    pub fn job_domain(&self, job: &Job) -> Result<Domain, Error> {
        launch::domain(self, job)
    }

    /// The paths of the steps that a launch would run, in their order; one that is mapped over pieces
    /// counts once. What is wrong with the launch is told as [`Engine::run_job`] tells it.
    pub fn plan_job(&self, launch: &Launch) -> Result<Vec<String>, Error> {
        launch::steps(self, launch)
    }

    /// Runs a job of ops. `events` hears what happens, in order, on this thread.
    ///
    /// Everything that can be known to be wrong is told before anything starts, all at once, and leaves no
    /// run. That steps fail is no error: the summary tells.
    pub fn run_job(
        &mut self,
        launch: &Launch,
        options: &RunOptions,
        control: &Control,
        events: &mut dyn FnMut(&Engine, JobEvent),
    ) -> Result<JobSummary, Error> {
        self.writable()?;
        let ran = self.carry_out_job(launch, options, control, events);
        // Where it failed midway they are still there.
        for message in self.pool.tear_down() {
            events(self, JobEvent::Warning { message });
        }
        ran
    }

    fn carry_out_job(
        &mut self,
        launch: &Launch,
        options: &RunOptions,
        control: &Control,
        events: &mut dyn FnMut(&Engine, JobEvent),
    ) -> Result<JobSummary, Error> {
        let prepared = launch::prepare(self, launch)?;
        let mut run = run::Run::begin(self, prepared, launch, options, control)?;
        run.drive(self, events)?;
        run.finish(self, events)
    }
}
