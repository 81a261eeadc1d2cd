//! How a job is launched: with which values, for which partition, and which of its ops.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value as Json;

use super::error::Error;
use super::handle::IntoPartition;
use super::resource::{Replaced, Resource};
use crate::base::{PartitionKey, RunId};
use crate::defs::config::{Config, Env, Layers, Setting};
use crate::defs::{self, SelectionError};
use crate::exec::Provide;

/// How a job is launched: values, and which of its ops.
///
/// ```
/// use giornata::api::{Launch, job, op};
/// use serde_json::json;
/// let fit = op("fit").config(json!({"lr": "float"})).run(|ctx| ctx.setting::<f64>("lr"));
/// let model = job("model").define(|g| { fit.call(g); });
/// let launch = Launch::new().config(json!({"fit": {"lr": 1}})).set("fit.lr=0.5");
/// assert_eq!(model.execute(&launch)?.value::<f64>("fit")?, 0.5);
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Launch {
    preset: Option<String>,
    config: Vec<Json>,
    set: Vec<String>,
    ops: Option<String>,
    env: BTreeMap<String, String>,
    root: Option<PathBuf>,
    replaced: Replaced,
    retry_of: Option<RunId>,
    partition: Option<PartitionKey>,
}

impl Launch {
    /// With the job's own values, and all ops; see the example of [`Launch`].
    pub fn new() -> Launch {
        Launch::default()
    }

    /// Values, over those of the job and of the preset, and over those of earlier calls; what they do not name
    /// stays. See the example of [`Launch`].
    #[must_use]
    pub fn config(mut self, values: Json) -> Launch {
        self.config.push(values);
        self
    }

    /// For which partition it runs, of a job that has such; see the example of
    /// [`JobBuilder::partitions`](super::JobBuilder::partitions).
    #[must_use]
    pub fn partition(mut self, partition: impl IntoPartition) -> Launch {
        self.partition = Some(partition.into_partition()).filter(|key| !key.is_unpartitioned());
        self
    }

    /// One value, over all others: `fit.lr=0.5`, a path and a value of the type that the schema says. See the
    /// example of [`Launch`].
    #[must_use]
    pub fn set(mut self, setting: &str) -> Launch {
        self.set.push(setting.to_owned());
        self
    }

    /// The values of a named set of the job's; fails ([`Error::Preset`]) if it has none of this name. See the
    /// example of [`JobBuilder::config`](super::JobBuilder::config).
    #[must_use]
    pub fn preset(mut self, name: &str) -> Launch {
        self.preset = Some(name.to_owned());
        self
    }

    /// The value of an environment variable, instead of what the process has. In a run on the store it
    /// reaches the configuration and nothing else: resources and commands have the environment of the
    /// project ([`Project::env`](super::Project::env)). See the example of [`resource`](super::resource()).
    #[must_use]
    pub fn env(mut self, variable: &str, value: &str) -> Launch {
        self.env.insert(variable.to_owned(), value.to_owned());
        self
    }

    /// Where paths of resources begin; without this, in the working directory. A run on the store has the
    /// root of the project, and refuses another one. See the example of [`Provider`](super::Provider).
    #[must_use]
    pub fn root(mut self, root: impl Into<PathBuf>) -> Launch {
        self.root = Some(root.into());
        self
    }

    /// A value in the place of a resource, which is then neither set up nor torn down: for tests. A run on the
    /// store refuses it; there it is [`Project::replace`](super::Project::replace). See the example of
    /// [`resource`](super::resource()).
    #[must_use]
    pub fn with<R: Send + Sync + 'static>(mut self, resource: &Resource<R>, value: R) -> Launch {
        self.replaced.put(resource, value);
        self
    }

    /// On the store: what the steps of a run that did not succeed have made of the same is taken over, Dagster's
    /// re-execution from failure. See the example of [`Project::run`](super::Project::run).
    #[must_use]
    pub fn retry(mut self, run: RunId) -> Launch {
        self.retry_of = Some(run);
        self
    }

    /// Where paths of resources begin, if it says so.
    pub(super) fn place(&self) -> Option<&Path> {
        self.root.as_deref()
    }

    /// What takes the place of a resource.
    pub(super) fn replaced(&self, name: &str) -> Option<&Arc<dyn Provide>> {
        self.replaced.get(name)
    }

    pub(super) fn part(&self) -> Option<&PartitionKey> {
        self.partition.as_ref()
    }

    pub(super) fn retry_of(&self) -> Option<RunId> {
        self.retry_of
    }

    /// The values of a job; `around` has the variables that the launch does not say itself.
    pub(super) fn configure(
        &self,
        def: &defs::Job,
        around: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Config, Error> {
        let job = || def.name.to_string();
        let mut layers: Layers = def.layers(self.preset.as_deref()).map_err(|known| {
            let preset = self.preset.clone().unwrap_or_default();
            let known = known.into_iter().map(str::to_owned).collect();
            Error::Preset { job: job(), preset, known }
        })?;
        for values in &self.config {
            layers.push("the launch", values.clone());
        }
        for text in &self.set {
            let setting = Setting::parse(text);
            let setting = setting.map_err(|error| Error::Setting { job: job(), error })?;
            layers.push(setting.to_string(), def.config.setting(&setting));
        }
        let variable = |name: &str| self.variable(name, around);
        def.configure(&layers, Env::Resolve(&variable))
            .map_err(|errors| Error::Config { job: job(), errors })
    }

    pub(super) fn selection(&self) -> Option<&str> {
        self.ops.as_deref()
    }

    pub(super) fn no_ops(&self, job: &str, error: SelectionError) -> Error {
        let text = self.ops.clone().unwrap_or_default();
        Error::Ops { job: job.to_owned(), text, error: Box::new(error) }
    }

    /// The resources of the store's engine, and its root, are not a launch's.
    pub(super) fn refuse_on_store(&self, job: &str) -> Result<(), Error> {
        let job = || job.to_owned();
        match &self.root {
            Some(_) => Err(Error::RootOnStore { job: job() }),
            None if !self.replaced.is_empty() => Err(Error::Replaced { job: job() }),
            None => Ok(()),
        }
    }

    /// A variable of its own, or else one of what is around.
    pub(super) fn variable(
        &self,
        name: &str,
        around: impl FnOnce(&str) -> Option<String>,
    ) -> Option<String> {
        self.env.get(name).cloned().or_else(|| around(name))
    }

    /// Only these ops: `fit`, `+fit`, `load or fit+`. What they read must be among them.
    ///
    /// ```
    /// use giornata::api::{Launch, StepState, job, op};
    /// let one = op("one").run(|_| Ok(1_i64));
    /// let add = op("add").input::<i64>("n").run(|_, n| Ok(n + 1));
    /// let other = op("other").run(|_| Ok(()));
    /// let j = job("j").define(|g| { add.call(g, one.call(g)); other.call(g); });
    /// let result = j.execute(&Launch::new().ops("+add"))?;
    /// assert_eq!(result.state("add"), Some(StepState::Success));
    /// assert_eq!(result.state("other"), None);
    /// let error = j.execute(&Launch::new().ops("add")).unwrap_err();
    /// assert_eq!(error.to_string(), "`add` of the job `j` reads `one`, which is not selected; select `+add`");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    #[must_use]
    pub fn ops(mut self, selection: &str) -> Launch {
        self.ops = Some(selection.to_owned());
        self
    }
}
