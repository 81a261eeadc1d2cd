//! A job: assets or ops under a name, to be run together, with a schema of what can be configured.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::config::{
    Config, ConfigError, ConfigErrorKind, ConfigErrors, Env, Layers, Path, Schema,
};
use super::template::{self, At, TemplateError};
use super::{Flow, Hooks, Origin, PartitionsDef, Project, Selection};
use crate::base::{AssetKey, JobName};

/// One declared job.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    pub name: JobName,
    pub origin: Origin,
    pub work: Work,
    /// What can be configured; it reaches the assets that have values of these names, and the ops that
    /// say that they read them. A flow's ops have further fields of their own under the step's path.
    pub config: Schema,
    /// Values that hold unless a launch gives others.
    pub values: Value,
    /// Further sets of values, by name.
    pub presets: BTreeMap<String, Value>,
    pub partitions: PartitionsDef,
    pub tags: BTreeMap<String, String>,
    /// Of every step of a flow, after those of the step itself.
    pub hooks: Hooks,
    pub description: Option<String>,
}

/// What a job runs.
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    /// Assets are brought up to date.
    Select(Selection),
    /// All steps run.
    Flow(Arc<Flow>),
}

impl Job {
    /// The job with its values and presets as they are for one of its partitions, or everything that is
    /// wrong with their templates.
    pub fn at(&self, at: &At) -> Result<Job, Vec<(Path, TemplateError)>> {
        let fill = |values: &Value| template::fill(values, at, &self.partitions, &self.config);
        let values = fill(&self.values)?;
        let mut presets = BTreeMap::new();
        for (name, values) in &self.presets {
            presets.insert(name.clone(), fill(values)?);
        }
        Ok(Job { values, presets, ..self.clone() })
    }

    /// The layers of a launch: the job's own values, then those of a preset.
    ///
    /// Fails with the names of the presets if there is none of that name.
    pub fn layers(&self, preset: Option<&str>) -> Result<Layers, Vec<&str>> {
        let mut layers = Layers::default();
        layers.push(format!("the values of `{}`", self.name), self.values.clone());
        if let Some(name) = preset {
            let Some(values) = self.presets.get(name) else {
                return Err(self.presets.keys().map(String::as_str).collect());
            };
            layers.push(format!("the preset `{name}`"), values.clone());
        }
        Ok(layers)
    }

    /// The complete configuration, or everything that is wrong with it.
    pub fn configure(&self, layers: &Layers, env: Env<'_>) -> Result<Config, ConfigErrors> {
        self.config.validate(&layers.merge(&self.config), env)
    }

    /// Names of values that the selected assets, and what they read, have.
    pub fn readable(&self, project: &Project, assets: &BTreeSet<AssetKey>) -> BTreeSet<String> {
        let mut cone = assets.clone();
        let mut open: Vec<AssetKey> = assets.iter().cloned().collect();
        while let Some(key) = open.pop() {
            let deps = project.assets.get(&key).into_iter().flat_map(|asset| &asset.deps);
            open.extend(deps.map(|dep| dep.upstream.clone()).filter(|it| cone.insert(it.clone())));
        }
        let assets = cone.iter().filter_map(|key| project.assets.get(key));
        assets.flat_map(|asset| asset.config.keys().cloned()).collect()
    }

    /// What is wrong with values of which some may still be missing.
    pub fn mistakes(&self, values: &Value) -> Vec<ConfigError> {
        let given = if values.is_null() { &Value::Object(Default::default()) } else { values };
        match self.config.validate(given, Env::Keep) {
            Ok(_) => Vec::new(),
            Err(ConfigErrors(errors)) => errors
                .into_iter()
                .filter(|error| !matches!(error.kind, ConfigErrorKind::Missing { .. }))
                .collect(),
        }
    }
}
