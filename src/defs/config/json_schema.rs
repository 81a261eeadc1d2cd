//! A schema as JSON Schema (draft 2020-12): for editors and for a form.
//!
//! What it accepts is at least what [`Schema::validate`] accepts. It is looser in one point: JSON Schema
//! counts `3.0` as an integer.

use serde_json::{Map, Value, json};

use super::schema::{Bounds, Field, Fields, Presence, ScalarKind, Schema, Secrecy, Source};

impl Schema {
    /// ```
    /// use giornata::defs::config::Schema;
    /// use serde_json::json;
    ///
    /// let schema = Schema::parse(&json!({"xs": {"type": ["bool"], "default": [], "description": "Which."}}))?;
    /// assert_eq!(schema.json_schema()["properties"]["xs"]["description"], "Which.");
    /// # Ok::<(), giornata::defs::config::SchemaErrors>(())
    /// ```
    pub fn json_schema(&self) -> Value {
        match self {
            Schema::Any => json!({}),
            Schema::Scalar(scalar) => {
                let literal = match scalar.secrecy {
                    Secrecy::Open => scalar.kind.json_schema(),
                    Secrecy::Secret => with(scalar.kind.json_schema(), "writeOnly", true),
                };
                match scalar.source {
                    Source::Literal => literal,
                    Source::LiteralOrEnv => json!({"anyOf": [literal, env()]}),
                }
            }
            Schema::Nullable(inner) => json!({"anyOf": [inner.json_schema(), {"type": "null"}]}),
            Schema::Array(item) => json!({"type": "array", "items": item.json_schema()}),
            Schema::Map(map) => {
                let value = map.value.json_schema();
                let names = match &map.key {
                    ScalarKind::Enum(values) => {
                        let names = super::error::texts(values);
                        json!({"type": "object", "propertyNames": {"enum": names}})
                    }
                    ScalarKind::Bool
                    | ScalarKind::Int(_)
                    | ScalarKind::Float(_)
                    | ScalarKind::Text => json!({"type": "object"}),
                };
                with(names, "additionalProperties", value)
            }
            Schema::Shape(fields) => with(shape(fields), "additionalProperties", false),
            Schema::Permissive(fields) => shape(fields),
            Schema::Selector(fields) => selector(self, fields),
            Schema::Union(members) => {
                json!({"anyOf": members.iter().map(Schema::json_schema).collect::<Vec<_>>()})
            }
        }
    }
}

fn with(mut schema: Value, key: &str, value: impl Into<Value>) -> Value {
    if let Value::Object(map) = &mut schema {
        map.insert(key.to_owned(), value.into());
    }
    schema
}

fn env() -> Value {
    json!({
        "type": "object",
        "description": "The value of an environment variable.",
        "properties": {"env": {"type": "string"}},
        "required": ["env"],
        "additionalProperties": false,
    })
}

fn properties(fields: &Fields) -> Map<String, Value> {
    let read = |(name, field): (&str, &Field)| (name.to_owned(), property(field));
    fields.iter().map(read).collect()
}

fn property(field: &Field) -> Value {
    let mut schema = field.schema.json_schema();
    if let Some(text) = &field.description {
        schema = with(schema, "description", text.as_str());
    }
    match &field.presence {
        // A shape takes from the default what it does not give, so none of its fields needs to be there.
        Presence::Default(default) if default.is_object() => {
            with(relaxed(schema), "default", default.clone())
        }
        Presence::Default(default) => with(schema, "default", default.clone()),
        Presence::BySchema | Presence::Required | Presence::Optional => schema,
    }
}

fn shape(fields: &Fields) -> Value {
    let required: Vec<&str> =
        fields.iter().filter(|(_, field)| field.is_required()).map(|(name, _)| name).collect();
    json!({"type": "object", "properties": properties(fields), "required": required})
}

/// Without `required` at any depth.
fn relaxed(schema: Value) -> Value {
    match schema {
        Value::Object(map) => {
            let kept =
                map.into_iter().filter(|(key, value)| !(key == "required" && value.is_array()));
            kept.map(|(key, value)| (key, relaxed(value))).collect()
        }
        Value::Array(items) => items.into_iter().map(relaxed).collect(),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => other,
    }
}

fn selector(schema: &Schema, fields: &Fields) -> Value {
    let mut properties = properties(fields);
    for (name, _) in fields.iter().filter(|(_, field)| field.schema.fields().is_some()) {
        // A name alone selects what is there by default.
        if let Some(property) = properties.get_mut(name) {
            *property = json!({"anyOf": [property.take(), {"type": "null"}]});
        }
    }
    let least = u8::from(Field::from(schema.clone()).is_required());
    json!({
        "type": "object",
        "properties": properties,
        "minProperties": least,
        "maxProperties": 1,
        "additionalProperties": false,
    })
}

impl ScalarKind {
    fn json_schema(&self) -> Value {
        match self {
            ScalarKind::Bool => json!({"type": "boolean"}),
            ScalarKind::Text => json!({"type": "string"}),
            ScalarKind::Int(bounds) => bounded("integer", bounds),
            ScalarKind::Float(bounds) => bounded("number", bounds),
            ScalarKind::Enum(values) => json!({"enum": values}),
        }
    }
}

fn bounded<T: Copy + Into<Value>>(kind: &str, bounds: &Bounds<T>) -> Value {
    let schema = json!({"type": kind});
    let schema = bounds.min.into_iter().fold(schema, |schema, min| with(schema, "minimum", min));
    bounds.max.into_iter().fold(schema, |schema, max| with(schema, "maximum", max))
}
