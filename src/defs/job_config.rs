//! The configuration of a job of ops: its own fields, and those of each op under the name of its step.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::config::{Field, Schema};
use super::{Flow, FlowStep};

/// What does not fit between the configuration of a job and the ops of its flow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobConfigMistake {
    #[error("`{name}` is both a step and a field of the job's configuration; rename one")]
    Name { name: String },
    #[error("`{path}`: it reads `{field}`, which the job's configuration does not have")]
    Reads { path: String, field: String },
}

/// The fields below one name: those of an op, or of the ops of a graph.
#[derive(Default)]
struct Tree<'a> {
    own: Option<&'a Schema>,
    below: BTreeMap<&'a str, Tree<'a>>,
}

impl Tree<'_> {
    fn schema(&self) -> Schema {
        match self.own {
            Some(schema) => schema.clone(),
            None => Schema::shape(self.fields()),
        }
    }

    fn fields(&self) -> Vec<(&str, Field)> {
        self.below.iter().map(|(name, tree)| (*name, Field::from(tree.schema()))).collect()
    }
}

/// What a launch of a job can give: the job's own fields, and those of its steps.
///
/// ```
/// use giornata::defs::config::Schema;
/// use giornata::defs::{Flow, job_schema};
/// let own = Schema::shape([]);
/// assert_eq!(job_schema(&own, &Flow::default()), Ok(own));
/// ```
pub fn job_schema(own: &Schema, flow: &Flow) -> Result<Schema, Vec<JobConfigMistake>> {
    let fields = own.fields();
    let is_own = |name: &str| fields.is_some_and(|fields| fields.get(name).is_some());
    let mut mistakes = Vec::new();
    let mut tree = Tree::default();
    for step in &flow.steps {
        for field in step.op.reads.iter().filter(|field| !is_own(field)) {
            let (path, field) = (step.path.to_string(), field.clone());
            mistakes.push(JobConfigMistake::Reads { path, field });
        }
        if has_fields(&step.op.config) {
            let mut at = &mut tree;
            for name in step.path.split('.') {
                at = at.below.entry(name).or_default();
            }
            at.own = Some(&step.op.config);
        }
    }
    let clashes = tree.below.keys().filter(|name| is_own(name));
    mistakes.extend(clashes.map(|name| JobConfigMistake::Name { name: (*name).to_owned() }));
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    if tree.below.is_empty() {
        return Ok(own.clone());
    }
    let own = fields.into_iter().flat_map(|fields| fields.iter());
    let own = own.map(|(name, field)| (name, field.clone()));
    Ok(Schema::shape(own.chain(tree.fields())))
}

/// What can be configured of an asset that a graph makes: the fields of its ops, and what they read that would
/// be fields of a job, if one called them. The ops do not say of what kind those are.
pub fn graph_schema(flow: &Flow) -> Result<Schema, Vec<JobConfigMistake>> {
    let names: BTreeSet<&str> =
        flow.steps.iter().flat_map(|step| &step.op.reads).map(String::as_str).collect();
    let read =
        Schema::shape(names.into_iter().map(|name| (name, Field::from(Schema::Any).required())));
    job_schema(&read, flow)
}

fn has_fields(schema: &Schema) -> bool {
    schema.fields().is_some_and(|fields| !fields.is_empty())
}

/// What a step may read of a complete configuration: the op's own values, null if it has no fields,
/// and those of the job's that it names.
pub fn step_config(step: &FlowStep, config: &Value) -> (Value, Value) {
    let own = match has_fields(&step.op.config) {
        true => step.path.split('.').try_fold(config, |value, name| value.get(name)),
        false => None,
    };
    let read = step.op.reads.iter();
    let read = read.filter_map(|name| Some((name.clone(), config.get(name)?.clone())));
    (own.cloned().unwrap_or_default(), Value::Object(read.collect::<Map<_, _>>()))
}
