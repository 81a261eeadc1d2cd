//! A schema with a given number of fields, half of them in nested shapes, and configurations for it.

use giornata::defs::config::Schema;
use serde_json::{Map, Value, json};

pub const FIELDS: usize = 1_000;

pub struct Scenario {
    pub declared: Value,
    pub schema: Schema,
    /// Gives every field.
    pub right: Value,
    /// Gives every field a value of another type.
    pub wrong: Value,
    /// Has one letter too many in every name.
    pub misspelt: Value,
}

impl Scenario {
    /// `fields` is divisible by ten: of each ten, five are in a shape of their own.
    pub fn new(fields: usize) -> Scenario {
        let groups = fields / 10;
        let declared = per_group(groups, |name| {
            json!({
                format!("{name}_text"): {"type": "string", "default": "x"},
                format!("{name}_lr"): {"type": "float", "default": 0.01, "min": 0},
                format!("{name}_n"): {"type": "int", "default": 1},
                format!("{name}_on"): {"type": "bool", "default": true},
                format!("{name}_kind"): {"enum": ["fast", "full"], "default": "fast"},
                format!("{name}_more"): {
                    "a": {"type": "string", "default": "x"}, "b": {"type": "float", "default": 1},
                    "c": "int?", "d": {"type": ["int"], "default": []}, "e": {"type": {"map": "int"}, "default": {}},
                },
            })
        });
        let right = per_group(groups, |name| {
            json!({
                format!("{name}_text"): "some words", format!("{name}_lr"): 0.5, format!("{name}_n"): 7,
                format!("{name}_on"): false, format!("{name}_kind"): "full",
                format!("{name}_more"): {"a": "y", "b": 2.5, "c": 3, "d": [1, 2, 3], "e": {"k": 1}},
            })
        });
        let wrong = per_group(groups, |name| {
            json!({
                format!("{name}_text"): 1, format!("{name}_lr"): -0.5, format!("{name}_n"): "7",
                format!("{name}_on"): "no", format!("{name}_kind"): "fulll",
                format!("{name}_more"): {"a": [], "b": {}, "c": 3.5, "d": ["x"], "e": {"k": null}},
            })
        });
        let misspelt = |value: &Value| -> Value {
            let entries = value.as_object().into_iter().flatten();
            entries.map(|(name, value)| (format!("{name}s"), value.clone())).collect()
        };
        let schema = Schema::parse(&declared).expect("the declaration is sound");
        Scenario { schema, misspelt: misspelt(&right), declared, right, wrong }
    }
}

fn per_group(groups: usize, fields: impl Fn(&str) -> Value) -> Value {
    let mut all = Map::new();
    for group in 0..groups {
        if let Value::Object(fields) = fields(&format!("group{group:03}")) {
            all.extend(fields);
        }
    }
    Value::Object(all)
}
