//! What a configuration lacks, added; and what is too much in it, removed.
//!
//! Both take what to do from the errors of a validation, until it finds no more of that kind.

use serde_json::{Map, Value};

use super::error::{ConfigError, ConfigErrorKind};
use super::path::{Path, Segment};
use super::schema::{ScalarKind, Schema};

/// A configuration with what was missing.
#[derive(Debug, Clone, PartialEq)]
pub struct Scaffolded {
    pub value: Value,
    /// The fields that were added. Their values are there to be replaced.
    pub added: Vec<Path>,
}

/// A configuration without what its schema does not define.
#[derive(Debug, Clone, PartialEq)]
pub struct Pruned {
    pub value: Value,
    pub removed: Vec<Path>,
}

impl Schema {
    /// The least value of this schema: what must be given, with values to be replaced.
    ///
    /// ```
    /// use giornata::defs::config::Schema;
    /// use serde_json::json;
    ///
    /// let schema = Schema::parse(&json!({"name": "string", "n": {"type": "int", "min": 3}, "note": "string?"}))?;
    /// assert_eq!(schema.scaffold(), json!({"name": "...", "n": 3}));
    /// # Ok::<(), giornata::defs::config::SchemaErrors>(())
    /// ```
    pub fn scaffold(&self) -> Value {
        match self {
            Schema::Any => "AnyType".into(),
            Schema::Scalar(scalar) => scalar.kind.scaffold(),
            Schema::Nullable(_) => Value::Null,
            Schema::Array(_) => Value::Array(Vec::new()),
            Schema::Map(_) => Value::Object(Map::new()),
            Schema::Shape(fields) | Schema::Permissive(fields) => {
                let required = fields.iter().filter(|(_, field)| field.is_required());
                required.map(|(name, field)| (name.to_owned(), field.schema.scaffold())).collect()
            }
            Schema::Selector(_) => "<selector>".into(),
            Schema::Union(members) => members.first().map_or(Value::Null, Schema::scaffold),
        }
    }

    /// Adds what is missing in `value` and changes nothing else. Null stands for nothing given yet.
    ///
    /// ```
    /// use giornata::defs::config::Schema;
    /// use serde_json::json;
    ///
    /// let schema = Schema::parse(&json!({"name": "string", "opt": {"lr": "float"}}))?;
    /// let scaffolded = schema.scaffold_missing(&json!({"name": "Alice", "opt": {}}));
    /// assert_eq!(scaffolded.value, json!({"name": "Alice", "opt": {"lr": 0.0}}));
    /// assert_eq!(scaffolded.added[0].to_string(), "opt.lr");
    /// # Ok::<(), giornata::defs::config::SchemaErrors>(())
    /// ```
    pub fn scaffold_missing(&self, value: &Value) -> Scaffolded {
        let nothing = value.is_null() && self.fields().is_some();
        let mut value = if nothing { Value::Object(Map::new()) } else { value.clone() };
        let mut added = Vec::new();
        // What is added can make a member of a union the nearest that lacks something else.
        loop {
            let before = added.len();
            for error in self.errors(&value) {
                if let ConfigErrorKind::Missing { example, .. } = error.kind
                    && insert(&mut value, &error.path, example)
                {
                    added.push(error.path);
                }
            }
            if added.len() == before {
                return Scaffolded { value, added };
            }
        }
    }

    /// Removes the fields of `value` that are not defined, and says which.
    ///
    /// ```
    /// use giornata::defs::config::Schema;
    /// use serde_json::json;
    ///
    /// let schema = Schema::parse(&json!({"name": "string", "opt": {"lr": "float"}}))?;
    /// let pruned = schema.prune(&json!({"name": "Alice", "old": 1, "opt": {"lr": 0.1, "beta": 2}}));
    /// assert_eq!(pruned.value, json!({"name": "Alice", "opt": {"lr": 0.1}}));
    /// let removed: Vec<String> = pruned.removed.iter().map(ToString::to_string).collect();
    /// assert_eq!(removed, ["old", "opt.beta"]);
    /// # Ok::<(), giornata::defs::config::SchemaErrors>(())
    /// ```
    pub fn prune(&self, value: &Value) -> Pruned {
        let mut value = value.clone();
        let mut removed = Vec::new();
        loop {
            let before = removed.len();
            for path in self.errors(&value).into_iter().flat_map(too_much) {
                if remove(&mut value, &path) {
                    removed.push(path);
                }
            }
            if removed.len() == before {
                return Pruned { value, removed };
            }
        }
    }
}

impl ScalarKind {
    /// The least value, moved into the bounds.
    fn scaffold(&self) -> Value {
        match self {
            ScalarKind::Bool => true.into(),
            ScalarKind::Int(bounds) => {
                let least = bounds.min.map_or(0, |min| min.max(0));
                bounds.max.map_or(least, |max| max.min(least)).into()
            }
            ScalarKind::Float(bounds) => {
                let least = bounds.min.map_or(0.0, |min| min.max(0.0));
                bounds.max.map_or(least, |max| max.min(least)).into()
            }
            ScalarKind::Text => "...".into(),
            ScalarKind::Enum(values) => values.first().cloned().unwrap_or_default(),
        }
    }
}

/// The fields that an error says are too much.
fn too_much(error: ConfigError) -> Vec<Path> {
    match error.kind {
        ConfigErrorKind::Undefined { .. } => vec![error.path],
        ConfigErrorKind::Selector { given, fields } => {
            let undefined = given.iter().filter(|name| !fields.contains(name));
            undefined.map(|name| error.path.field(name)).collect()
        }
        ConfigErrorKind::Mismatch { .. }
        | ConfigErrorKind::OutOfRange { .. }
        | ConfigErrorKind::NotInEnum { .. }
        | ConfigErrorKind::Missing { .. }
        | ConfigErrorKind::VariableNotSet { .. }
        | ConfigErrorKind::VariableMismatch { .. } => Vec::new(),
    }
}

/// Puts a value where none is. Mappings on the way that are null, or that only a default has, are made.
fn insert(root: &mut Value, path: &Path, value: Value) -> bool {
    let mut place = root;
    for segment in &path.0 {
        if place.is_null() {
            *place = Value::Object(Map::new());
        }
        place = match (segment, place) {
            (Segment::Field(name) | Segment::Entry(name), Value::Object(map)) => {
                map.entry(name.clone()).or_insert(Value::Null)
            }
            (Segment::Item(index), Value::Array(items)) => match items.get_mut(*index) {
                Some(item) => item,
                None => return false,
            },
            (Segment::Field(_) | Segment::Entry(_) | Segment::Item(_) | Segment::Key(_), _) => {
                return false;
            }
        };
    }
    *place = value;
    true
}

fn remove(root: &mut Value, path: &Path) -> bool {
    let Some((Segment::Field(name), parents)) = path.0.split_last() else { return false };
    let parent = Path(parents.to_vec());
    let Some(Value::Object(map)) = parent.get_mut(root) else { return false };
    map.shift_remove(name).is_some()
}
