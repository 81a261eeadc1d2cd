//! Sets up the resources that a run needs before its first step starts, and tears them down at its end.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::sync::Arc;

use super::Error;
use super::event::RunEvent;
use super::open::Engine;
use super::run::OnEvent;
use crate::defs::Asset;
use crate::exec::{Provide, Resources, provider_of};
use crate::plan::Plan;

/// The value of a variable of an environment; of several the last one.
pub fn variable(env: &[(OsString, OsString)], name: &str) -> Option<String> {
    let (_, value) = env.iter().rev().find(|(key, _)| key == name)?;
    value.clone().into_string().ok()
}

impl Engine {
    /// Sets up the resources of all steps that may run, and those in which results are put. Fails with
    /// everything that is wrong with any of them; what was set up is torn down by
    /// [`Engine::close_resources`].
    pub(super) fn open_planned_resources(&mut self, plan: &Plan) -> Result<(), Error> {
        let mut names = BTreeSet::new();
        for part in &plan.assets {
            let asset = &self.project.assets[&part.asset];
            names.extend(Engine::resource_of_io(asset).map(str::to_owned));
            if part.may_run() > 0 {
                names.extend(asset.resources.keys().cloned());
            }
        }
        self.open_resources(names.iter().map(String::as_str))
    }

    /// Sets up those that are not, in the order of `names`.
    pub(super) fn open_resources<'n>(
        &mut self,
        names: impl IntoIterator<Item = &'n str>,
    ) -> Result<(), Error> {
        let env = Arc::clone(&self.env);
        let variable = |name: &str| variable(&env, name);
        let mut problems = Vec::new();
        for name in names {
            match self.provider(name) {
                None => problems.push(format!("there is no resource `{name}`")),
                Some(provider) => {
                    let opened = self.pool.set_up(name, &provider, &self.root, &variable);
                    problems.extend(opened.err());
                }
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(Error::Resources { problems }) }
    }

    /// A program may put another value in the place of what files declare.
    fn provider(&self, name: &str) -> Option<Arc<dyn Provide>> {
        let declared = || self.project.resources.get(name).map(|def| provider_of(def));
        self.functions.resource(name).or_else(declared)
    }

    /// The value of a variable of the environment that commands inherit.
    pub fn variable(&self, name: &str) -> Option<String> {
        variable(&self.env, name)
    }

    /// Those that a step of `asset` uses; they are set up if they were not.
    pub(super) fn resources_of(&mut self, asset: &Asset) -> Result<Resources, Error> {
        self.open_resources(asset.resources.keys().map(String::as_str))?;
        Ok(self.pool.chosen(asset.resources.keys().map(String::as_str)))
    }

    /// Tears down all that are set up, the last one first. That one of them cannot be torn down is a
    /// warning.
    pub(super) fn close_resources(&mut self, events: OnEvent<'_>) {
        for message in self.pool.tear_down() {
            events(self, RunEvent::Warning { message });
        }
    }
}
