//! Decides what several layers of configuration are together: the later one wins, mappings merge deeply.
//!
//! Lists and scalars are replaced as a whole. The schema takes part, because in a selector another choice
//! replaces the earlier one, where a plain merge would give two.

use serde_json::{Map, Value};

use super::path::Path;
use super::schema::{Fields, Schema};

/// Where configuration comes from, the weakest first: a preset, files, `--set`. The defaults of the
/// schema are below all of them; [`Schema::validate`] fills them in.
///
/// ```
/// use giornata::defs::config::{Env, Layers, Schema, Setting};
/// use serde_json::json;
///
/// let schema = Schema::parse(&json!({"lr": {"type": "float", "default": 0.01}, "opt": {"name": "string", "beta": "float"}}))?;
/// let setting = Setting::parse("opt.beta=high")?;
/// let mut layers = Layers::default();
/// layers.push("`fast.yaml`", json!({"opt": {"name": "adam", "beta": 0.9}}));
/// layers.push(setting.to_string(), schema.setting(&setting));
/// let value = layers.merge(&schema);
/// assert_eq!(value, json!({"opt": {"name": "adam", "beta": "high"}}));
///
/// let errors = schema.validate(&value, Env::Keep).unwrap_err();
/// assert_eq!(errors.to_string(), "`opt.beta` must be `float`, not the text `high`");
/// assert_eq!(layers.origin(&errors.0[0].path), Some("`--set opt.beta`"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Layers(Vec<(String, Value)>);

impl Layers {
    /// Puts a layer on top of the others. `name` is for messages and must hold no secret.
    pub fn push(&mut self, name: impl Into<String>, value: Value) {
        self.0.push((name.into(), value));
    }

    /// What the layers are together. Null, which an empty file is, counts as a layer without content.
    pub fn merge(&self, schema: &Schema) -> Value {
        let given = self.0.iter().map(|(_, value)| value).filter(|value| !value.is_null());
        given.fold(Value::Object(Map::new()), |base, over| schema.merge(&base, over))
    }

    /// The name of the topmost layer that says something at this place.
    pub fn origin(&self, path: &Path) -> Option<&str> {
        let says = |(_, value): &&(String, Value)| path.get(value).is_some();
        self.0.iter().rev().find(says).map(|(name, _)| name.as_str())
    }
}

impl Schema {
    /// `over` laid over `base`; neither needs to be valid.
    pub fn merge(&self, base: &Value, over: &Value) -> Value {
        let (Value::Object(below), Value::Object(above)) = (base, over) else {
            return over.clone();
        };
        match self {
            // A reference to a variable, or what is wrong here anyway.
            Schema::Scalar(_) | Schema::Array(_) => over.clone(),
            Schema::Any => merge_maps(below, above, |_| &Schema::Any),
            Schema::Nullable(inner) => inner.merge(base, over),
            Schema::Map(map) => merge_maps(below, above, |_| &map.value),
            Schema::Shape(fields) | Schema::Permissive(fields) => {
                merge_maps(below, above, |name| schema_of(fields, name))
            }
            Schema::Selector(fields) => {
                let same = above.keys().all(|name| below.contains_key(name));
                if same {
                    merge_maps(below, above, |name| schema_of(fields, name))
                } else {
                    over.clone()
                }
            }
            Schema::Union(members) => {
                let member = |value| nearest(members, value);
                match (member(base), member(over)) {
                    (Some(below), Some(above)) if std::ptr::eq(below, above) => {
                        below.merge(base, over)
                    }
                    _ => over.clone(),
                }
            }
        }
    }
}

impl Schema {
    /// `given` with the fields of shapes that it does not give, from the default of its field.
    ///
    /// Only shapes: what is given for a map, whose names are the user's, is all there is to be in it.
    pub(super) fn fill(&self, default: &Value, given: &Value) -> Value {
        let (Value::Object(below), Value::Object(above)) = (default, given) else {
            return given.clone();
        };
        match self {
            Schema::Nullable(inner) => inner.fill(default, given),
            Schema::Shape(fields) | Schema::Permissive(fields) => {
                let mut filled = below.clone();
                for (name, given) in above {
                    let value = match (below.get(name), fields.get(name)) {
                        (Some(default), Some(field)) => field.schema.fill(default, given),
                        (Some(_) | None, _) => given.clone(),
                    };
                    filled.insert(name.clone(), value);
                }
                Value::Object(filled)
            }
            Schema::Any
            | Schema::Scalar(_)
            | Schema::Array(_)
            | Schema::Map(_)
            | Schema::Selector(_)
            | Schema::Union(_) => given.clone(),
        }
    }
}

fn schema_of<'a>(fields: &'a Fields, name: &str) -> &'a Schema {
    fields.get(name).map_or(&Schema::Any, |field| &field.schema)
}

fn merge_maps<'a>(
    below: &Map<String, Value>,
    above: &Map<String, Value>,
    schema: impl Fn(&str) -> &'a Schema,
) -> Value {
    let mut merged = below.clone();
    for (name, over) in above {
        let value = match below.get(name) {
            Some(base) => schema(name).merge(base, over),
            None => over.clone(),
        };
        merged.insert(name.clone(), value);
    }
    Value::Object(merged)
}

/// The member that a value, which may be a part only, is for.
fn nearest<'a>(members: &'a [Schema], value: &Value) -> Option<&'a Schema> {
    let taking = members.iter().filter(|member| member.takes_kind_of(value));
    taking.min_by_key(|member| {
        let missing = |error: &super::ConfigError| error.kind.code() == "missing-field";
        member.errors(value).iter().filter(|error| !missing(error)).count()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(schema: Value, layers: &[Value], expect: Value) {
        let schema = Schema::parse(&schema).unwrap();
        let mut all = Layers::default();
        layers.iter().for_each(|layer| all.push("", layer.clone()));
        assert_eq!(all.merge(&schema), expect);
    }

    #[test]
    fn mappings_merge_deeply_and_lists_are_replaced() {
        check(
            json!({"a": {"b": "int", "c": "int"}, "xs": ["int"], "m": {"map": "int"}, "v": "any"}),
            &[
                json!({"a": {"b": 1, "c": 1}, "xs": [1, 2], "m": {"x": 1}, "v": {"p": {"q": 1}}}),
                Value::Null,
                json!({"a": {"c": 2}, "xs": [3], "m": {"y": 2}, "v": {"p": {"r": 2}}, "extra": 1}),
            ],
            json!({"a": {"b": 1, "c": 2}, "xs": [3], "m": {"x": 1, "y": 2},
                "v": {"p": {"q": 1, "r": 2}}, "extra": 1}),
        );
    }

    #[test]
    fn another_choice_of_a_selector_replaces_the_earlier_one() {
        let schema = json!({"s": {"selector": {"file": {"path": "string"}, "s3": {"bucket": "string", "key": "string"}}}});
        let below = json!({"s": {"s3": {"bucket": "b", "key": "k"}}});
        check(
            schema.clone(),
            &[below.clone(), json!({"s": {"file": {"path": "p"}}})],
            json!({"s": {"file": {"path": "p"}}}),
        );
        check(
            schema,
            &[below, json!({"s": {"s3": {"key": "l"}}})],
            json!({"s": {"s3": {"bucket": "b", "key": "l"}}}),
        );
    }

    #[test]
    fn a_reference_replaces_a_reference_and_a_member_of_a_union_another() {
        check(
            json!({"t": "string"}),
            &[json!({"t": {"env": "A"}}), json!({"t": {"env": "B"}})],
            json!({"t": {"env": "B"}}),
        );
        let schema = json!({"u": {"union": [{"a": "int", "b": "int"}, {"c": "int"}]}});
        check(
            schema.clone(),
            &[json!({"u": {"a": 1, "b": 1}}), json!({"u": {"c": 1}})],
            json!({"u": {"c": 1}}),
        );
        check(
            schema,
            &[json!({"u": {"a": 1, "b": 1}}), json!({"u": {"b": 2}})],
            json!({"u": {"a": 1, "b": 2}}),
        );
    }
}
