//! The configuration of a job of ops: its own fields, and those of each op under the name of its step.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::job::JobMistakeKind;
use crate::defs::Flow;
use crate::defs::config::{Field, Schema};

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

/// What a launch of the job can give.
pub(super) fn schema(own: &Schema, flow: &Flow) -> Result<Schema, JobMistakeKind> {
    let mut tree = Tree::default();
    for step in &flow.steps {
        if let Some(field) = step
            .op
            .reads
            .iter()
            .find(|field| own.fields().is_none_or(|fields| fields.get(field).is_none()))
        {
            return Err(JobMistakeKind::Reads { field: field.clone() });
        }
        if has_fields(&step.op.config) {
            let mut at = &mut tree;
            for name in step.path.split('.') {
                at = at.below.entry(name).or_default();
            }
            at.own = Some(&step.op.config);
        }
    }
    let fields = own.fields();
    let taken = |name: &str| fields.is_some_and(|fields| fields.get(name).is_some());
    if let Some(name) = tree.below.keys().find(|name| taken(name)) {
        return Err(JobMistakeKind::ConfigName { name: (*name).to_owned() });
    }
    if tree.below.is_empty() {
        return Ok(own.clone());
    }
    let own = fields.into_iter().flat_map(|fields| fields.iter());
    let own = own.map(|(name, field)| (name, field.clone()));
    Ok(Schema::shape(own.chain(tree.fields())))
}

fn has_fields(schema: &Schema) -> bool {
    schema.fields().is_some_and(|fields| !fields.is_empty())
}

/// What each step may read, in the order of the flow.
pub(super) struct Settings {
    steps: Vec<(Value, Value)>,
}

impl Settings {
    pub(super) fn of(flow: &Flow, own: &Schema, config: &Value) -> Settings {
        let steps = flow.steps.iter().map(|step| {
            let of_op = match has_fields(&step.op.config) {
                true => step.path.split('.').try_fold(config, |value, name| value.get(name)),
                false => None,
            };
            let is_own =
                |name: &String| own.fields().is_some_and(|fields| fields.get(name).is_some());
            let read: Map<String, Value> = step
                .op
                .reads
                .iter()
                .filter(|name| is_own(name))
                .filter_map(|name| Some((name.clone(), config.get(name)?.clone())))
                .collect();
            (of_op.cloned().unwrap_or_default(), Value::Object(read))
        });
        Settings { steps: steps.collect() }
    }

    /// Of the op itself, and of the job.
    pub(super) fn step(&self, step: u32) -> (&Value, &Value) {
        let (own, read) = &self.steps[step as usize];
        (own, read)
    }
}
