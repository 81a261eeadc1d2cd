//! Decides whether a value fits a schema, and gives it complete: with defaults and variables filled in.
//!
//! One walk finds everything that is wrong; what is missing (for a scaffold) and what is too much (for
//! pruning) is taken from its errors, so that the three cannot disagree.

use serde_json::{Map, Number, Value};

use super::error::{ConfigError, ConfigErrorKind, ConfigErrors, describe, describe_secret, texts};
use super::path::{Path, Segment};
use super::schema::{Absent, Fields, MapSchema, Presence, Scalar, ScalarKind, Secrecy, Source};
use super::{Bounds, Schema};
use crate::base::similar;

/// What becomes of `{env: VARIABLE}`.
#[derive(Clone, Copy)]
pub enum Env<'a> {
    /// It stays as it is: for checks where there is no environment, and for records.
    Keep,
    /// The value of the variable, if it is set.
    Resolve(&'a dyn Fn(&str) -> Option<String>),
}

/// A configuration that fits its schema.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// With defaults filled in, integers where a float is declared made floats, and variables resolved.
    pub value: Value,
    /// Which parts of `value` came from the environment or are secret, in the order of the schema.
    pub withheld: Vec<Withheld>,
}

/// A scalar that must not be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withheld {
    pub path: Path,
    /// The environment variable that it came from.
    pub variable: Option<String>,
}

impl Withheld {
    /// Whether it is in the field of this name.
    pub fn is_of(&self, field: &str) -> bool {
        matches!(self.path.0.first(), Some(Segment::Field(first)) if first == field)
    }
}

impl Config {
    /// The value for people and for records: what came from the environment is `{env: VARIABLE}` again, and
    /// other secrets are `***`.
    pub fn masked(&self) -> Value {
        let mut value = self.value.clone();
        for withheld in &self.withheld {
            let Some(place) = withheld.path.get_mut(&mut value) else { continue };
            *place = match &withheld.variable {
                Some(variable) => reference(variable),
                None => "***".into(),
            };
        }
        value
    }
}

/// `{env: VARIABLE}`.
pub(super) fn reference(variable: &str) -> Value {
    Value::Object(Map::from_iter([(ENV.to_owned(), variable.into())]))
}

pub(super) const ENV: &str = "env";

impl Schema {
    /// The value completed, or everything that is wrong with it.
    ///
    /// ```
    /// use giornata::defs::config::{Env, Schema};
    /// use serde_json::json;
    ///
    /// let schema = Schema::parse(&json!({"token": {"type": "string", "secret": true}, "n": {"type": "int", "min": 1}}))?;
    /// let env = |name: &str| (name == "TOKEN").then(|| "s3cret".to_owned());
    /// let config = schema.validate(&json!({"token": {"env": "TOKEN"}, "n": 3}), Env::Resolve(&env))?;
    /// assert_eq!(config.value, json!({"token": "s3cret", "n": 3}));
    /// assert_eq!(config.masked(), json!({"token": {"env": "TOKEN"}, "n": 3}));
    ///
    /// let errors = schema.validate(&json!({"tken": "x", "n": 0}), Env::Keep).unwrap_err();
    /// assert_eq!(errors.to_string(), "\
    /// `tken` is not defined; did you mean `token`?
    /// `token` is missing; it must be `string`, such as `\"...\"`
    /// `n` must be a number of at least 1, not `0`");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn validate(&self, value: &Value, env: Env<'_>) -> Result<Config, ConfigErrors> {
        let mut walk =
            Walk { env, path: Path::default(), errors: Vec::new(), withheld: Vec::new() };
        let value = walk.value(self, value);
        match walk.errors.as_slice() {
            [] => Ok(Config { value, withheld: walk.withheld }),
            [..] => Err(ConfigErrors(walk.errors)),
        }
    }

    /// Everything that is wrong with `value`, as far as that can be said without an environment.
    pub(super) fn errors(&self, value: &Value) -> Vec<ConfigError> {
        self.validate(value, Env::Keep).map_or_else(|errors| errors.0, |_| Vec::new())
    }
}

struct Walk<'a> {
    env: Env<'a>,
    path: Path,
    errors: Vec<ConfigError>,
    withheld: Vec<Withheld>,
}

/// Each function gives the completed value; where it reports an error the value is of no use.
impl Walk<'_> {
    fn value(&mut self, schema: &Schema, value: &Value) -> Value {
        match schema {
            Schema::Any => value.clone(),
            Schema::Scalar(scalar) => self.scalar(scalar, value),
            Schema::Nullable(_) if value.is_null() => Value::Null,
            Schema::Nullable(inner) => self.value(inner, value),
            Schema::Array(item) => self.array(schema, item, value),
            Schema::Map(map) => self.map(schema, map, value),
            Schema::Shape(fields) | Schema::Permissive(fields) => self.shape(schema, fields, value),
            Schema::Selector(fields) => self.selector(schema, fields, value),
            Schema::Union(members) => self.union(schema, members, value),
        }
    }

    fn within(&mut self, segment: Segment, walk: impl FnOnce(&mut Self) -> Value) -> Value {
        self.path.0.push(segment);
        let value = walk(self);
        self.path.0.pop();
        value
    }

    fn fail(&mut self, kind: ConfigErrorKind) -> Value {
        self.errors.push(ConfigError { path: self.path.clone(), kind });
        Value::Null
    }

    fn fail_field(&mut self, name: &str, kind: ConfigErrorKind) {
        self.errors.push(ConfigError { path: self.path.field(name), kind });
    }

    fn mismatch(&mut self, schema: &Schema, value: &Value) -> Value {
        let secret = schema.holds_secret();
        let got = if secret { describe_secret(value) } else { describe(value) };
        self.fail(ConfigErrorKind::Mismatch { expected: schema.to_string(), got, help: None })
    }

    fn array(&mut self, schema: &Schema, item: &Schema, value: &Value) -> Value {
        let Some(items) = value.as_array() else { return self.mismatch(schema, value) };
        let each =
            |(index, value)| self.within(Segment::Item(index), |walk| walk.value(item, value));
        items.iter().enumerate().map(each).collect()
    }

    fn map(&mut self, schema: &Schema, map: &MapSchema, value: &Value) -> Value {
        let Some(entries) = value.as_object() else { return self.mismatch(schema, value) };
        for key in entries.keys() {
            if let Err(kind) = check_key(&map.key, key) {
                self.within(Segment::Key(key.clone()), |walk| walk.fail(kind));
            }
        }
        let mut complete = Map::new();
        for (key, value) in entries {
            let segment = Segment::Entry(key.clone());
            let value = self.within(segment, |walk| walk.value(&map.value, value));
            complete.insert(key.clone(), value);
        }
        Value::Object(complete)
    }

    fn shape(&mut self, schema: &Schema, fields: &Fields, value: &Value) -> Value {
        let Some(given) = value.as_object() else { return self.mismatch(schema, value) };
        let open = matches!(schema, Schema::Permissive(_));
        if !open {
            self.undefined(fields, given);
        }
        let missing: Vec<(&str, &Schema)> = fields
            .iter()
            .filter(|(name, field)| !given.contains_key(*name) && field.is_required())
            .map(|(name, field)| (name, &field.schema))
            .collect();
        for (name, schema) in missing {
            let (expected, example) = (schema.to_string(), schema.scaffold());
            self.fail_field(name, ConfigErrorKind::Missing { expected, example });
        }
        let mut complete = Map::new();
        for (name, field) in fields.iter() {
            if let Some(value) = self.field(name, field, given.get(name)) {
                complete.insert(name.to_owned(), value);
            }
        }
        if open {
            let others = given.iter().filter(|(name, _)| fields.get(name).is_none());
            complete.extend(others.map(|(name, value)| (name.clone(), value.clone())));
        }
        Value::Object(complete)
    }

    /// The value of a field, given or not; nothing where it is left out or missing.
    fn field(&mut self, name: &str, field: &super::Field, given: Option<&Value>) -> Option<Value> {
        let schema = &field.schema;
        let segment = Segment::Field(name.to_owned());
        let value = match (given, &field.presence) {
            (Some(given), Presence::Default(default))
                if given.is_object() && default.is_object() =>
            {
                let filled = schema.fill(default, given);
                self.within(segment, |walk| walk.value(schema, &filled))
            }
            (Some(given), _) => self.within(segment, |walk| walk.value(schema, given)),
            (None, _) => match field.absent() {
                Absent::Filled(value) => self.within(segment, |walk| walk.value(schema, &value)),
                Absent::LeftOut | Absent::Missing => return None,
            },
        };
        Some(value)
    }

    fn undefined(&mut self, fields: &Fields, given: &Map<String, Value>) {
        // What is meant is a field that is not there yet. Each pair costs a microsecond, and a document
        // of some other kind has only undefined fields: a few suggestions say that as well.
        const SUGGESTIONS_MAX: usize = 10;
        let undefined = given.keys().filter(|name| fields.get(name).is_none());
        for (count, name) in undefined.enumerate() {
            let similar = (count < SUGGESTIONS_MAX)
                .then(|| similar(name, fields.names().filter(|field| !given.contains_key(*field))));
            let kind = undefined_kind(fields.names(), similar.flatten());
            self.fail_field(name, kind);
        }
    }

    fn selector(&mut self, schema: &Schema, fields: &Fields, value: &Value) -> Value {
        let Some(given) = value.as_object() else { return self.mismatch(schema, value) };
        let mut entries = given.iter();
        let (name, value) = match (entries.next(), entries.next()) {
            (Some(entry), None) => entry,
            (None, _) => return self.empty_selector(fields),
            (Some(_), Some(_)) => return self.not_one(fields, given),
        };
        let Some(field) = fields.get(name) else {
            let kind = undefined_kind(fields.names(), similar(name, fields.names()));
            self.fail_field(name, kind);
            return Value::Null;
        };
        // `storage: {file: }` selects `file` with what it has by default.
        let empty = Value::Object(Map::new());
        let fills = value.is_null() && field.schema.fields().is_some();
        let value = self.field(name, field, Some(if fills { &empty } else { value }));
        Value::Object(value.map(|value| (name.clone(), value)).into_iter().collect())
    }

    /// Nothing is selected: well if there is one field and it needs nothing.
    fn empty_selector(&mut self, fields: &Fields) -> Value {
        let mut all = fields.iter();
        let (Some((name, field)), None) = (all.next(), all.next()) else {
            return self.not_one(fields, &Map::new());
        };
        let value = match field.absent() {
            Absent::Missing => return self.not_one(fields, &Map::new()),
            // Selected with what it is by itself, if it is anything.
            Absent::LeftOut => match field.schema.implied() {
                Some(value) => self.field(name, field, Some(&value)),
                None => None,
            },
            Absent::Filled(_) => self.field(name, field, None),
        };
        Value::Object(value.map(|value| (name.to_owned(), value)).into_iter().collect())
    }

    fn not_one(&mut self, fields: &Fields, given: &Map<String, Value>) -> Value {
        self.fail(ConfigErrorKind::Selector {
            given: given.keys().cloned().collect(),
            fields: fields.names().map(str::to_owned).collect(),
        })
    }

    /// The first member that fits; else the errors of the member that comes nearest.
    fn union(&mut self, schema: &Schema, members: &[Schema], value: &Value) -> Value {
        let mut nearest: Option<(bool, Vec<ConfigError>)> = None;
        for member in members {
            let (env, path) = (self.env, self.path.clone());
            let mut walk = Walk { env, path, errors: Vec::new(), withheld: Vec::new() };
            let complete = walk.value(member, value);
            if walk.errors.is_empty() {
                self.withheld.append(&mut walk.withheld);
                return complete;
            }
            let other = !member.takes_kind_of(value) || self.says_other_type(&walk.errors);
            let rank = (other, walk.errors.len());
            if nearest.as_ref().is_none_or(|(other, errors)| rank < (*other, errors.len())) {
                nearest = Some((other, walk.errors));
            }
        }
        match nearest {
            Some((false, mut errors)) => {
                self.errors.append(&mut errors);
                Value::Null
            }
            Some((true, _)) | None => self.mismatch(schema, value),
        }
    }

    /// Whether the errors say no more than that the value here is of another type.
    fn says_other_type(&self, errors: &[ConfigError]) -> bool {
        let here = |error: &ConfigError| error.path == self.path;
        errors.iter().all(|e| here(e) && matches!(e.kind, ConfigErrorKind::Mismatch { .. }))
    }
}

impl Schema {
    /// Which member of a union a value is for, before its details are looked at.
    pub(super) fn takes_kind_of(&self, value: &Value) -> bool {
        match self {
            Schema::Any => true,
            Schema::Scalar(scalar) => match value {
                Value::Null | Value::Array(_) => false,
                Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
                Value::Object(given) => {
                    scalar.source == Source::LiteralOrEnv && given.contains_key(ENV)
                }
            },
            Schema::Nullable(inner) => value.is_null() || inner.takes_kind_of(value),
            Schema::Array(_) => value.is_array(),
            Schema::Map(_) | Schema::Shape(_) | Schema::Permissive(_) | Schema::Selector(_) => {
                value.is_object()
            }
            Schema::Union(members) => members.iter().any(|member| member.takes_kind_of(value)),
        }
    }
}

/// Scalars, and where they come from.
impl Walk<'_> {
    fn scalar(&mut self, scalar: &Scalar, value: &Value) -> Value {
        if let (Source::LiteralOrEnv, Value::Object(reference)) = (scalar.source, value) {
            return self.variable(scalar, reference);
        }
        let secret = scalar.secrecy == Secrecy::Secret;
        match scalar.kind.check(value) {
            Ok(value) => {
                if secret {
                    self.withhold(None);
                }
                value
            }
            Err(fault) => {
                let got = if secret { describe_secret(value) } else { describe(value) };
                let kind = fault_kind(&scalar.kind, value, fault, got);
                self.fail(if secret { without_suggestion(kind) } else { kind })
            }
        }
    }

    fn withhold(&mut self, variable: Option<String>) {
        self.withheld.push(Withheld { path: self.path.clone(), variable });
    }

    /// The value of the variable that `{env: VARIABLE}` names.
    fn variable(&mut self, scalar: &Scalar, given: &Map<String, Value>) -> Value {
        let Some((name, value)) = given.iter().next().filter(|_| given.len() == 1) else {
            let given = given.keys().cloned().collect();
            return self.fail(ConfigErrorKind::Selector { given, fields: vec![ENV.to_owned()] });
        };
        if name != ENV {
            let kind = undefined_kind([ENV].into_iter(), None);
            self.fail_field(name, kind);
            return Value::Null;
        }
        let Some(variable) = value.as_str() else {
            let expected = ScalarKind::Text.to_string();
            let kind = ConfigErrorKind::Mismatch { expected, got: describe(value), help: None };
            return self.within(Segment::Field(ENV.to_owned()), |walk| walk.fail(kind));
        };
        let variable = variable.to_owned();
        let lookup = match self.env {
            Env::Resolve(lookup) => lookup,
            Env::Keep => {
                self.withhold(Some(variable));
                return Value::Object(given.clone());
            }
        };
        let Some(text) = lookup(&variable) else {
            return self.fail(ConfigErrorKind::VariableNotSet { variable });
        };
        match scalar.kind.read(&text) {
            Some(value) => {
                self.withhold(Some(variable));
                value
            }
            None => {
                let expected = scalar.kind.to_string();
                self.fail(ConfigErrorKind::VariableMismatch { variable, expected })
            }
        }
    }
}

/// Why a value is none of a scalar kind.
enum Fault {
    Type,
    Range(String),
}

impl ScalarKind {
    fn check(&self, value: &Value) -> Result<Value, Fault> {
        match (self, value) {
            (ScalarKind::Bool, Value::Bool(_)) | (ScalarKind::Text, Value::String(_)) => {
                Ok(value.clone())
            }
            (ScalarKind::Int(bounds), Value::Number(number)) => {
                let int = number.as_i64().ok_or(Fault::Type)?;
                within(bounds, int).map(|()| value.clone())
            }
            (ScalarKind::Float(bounds), Value::Number(number)) => {
                let float = number.as_f64().ok_or(Fault::Type)?;
                within(bounds, float)?;
                Number::from_f64(float).map(Value::Number).ok_or(Fault::Type)
            }
            (ScalarKind::Enum(values), _) if values.contains(value) => Ok(value.clone()),
            (
                ScalarKind::Bool
                | ScalarKind::Text
                | ScalarKind::Int(_)
                | ScalarKind::Float(_)
                | ScalarKind::Enum(_),
                _,
            ) => Err(Fault::Type),
        }
    }

    /// The value that a text from outside stands for: a variable, a key of a map, an argument.
    pub(super) fn read(&self, text: &str) -> Option<Value> {
        let value = match self {
            ScalarKind::Text => Value::from(text),
            ScalarKind::Int(_) => text.trim().parse::<i64>().ok()?.into(),
            ScalarKind::Float(_) => text.trim().parse::<f64>().ok()?.into(),
            ScalarKind::Bool => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => true.into(),
                "false" | "no" | "off" | "0" => false.into(),
                _ => return None,
            },
            ScalarKind::Enum(values) => {
                values.iter().find(|value| super::schema::scalar_text(value) == text)?.clone()
            }
        };
        self.check(&value).ok()
    }

    /// As [`ScalarKind::read`], but a number out of its range is a number still, and what does not read is
    /// a text: the validation can then say what is wrong.
    pub(super) fn interpret(&self, text: &str) -> Value {
        let unbounded = match self {
            ScalarKind::Int(_) => ScalarKind::Int(Bounds::NONE),
            ScalarKind::Float(_) => ScalarKind::Float(Bounds::NONE),
            ScalarKind::Bool | ScalarKind::Text | ScalarKind::Enum(_) => self.clone(),
        };
        unbounded.read(text).unwrap_or_else(|| text.into())
    }
}

fn within<T: PartialOrd + std::fmt::Display>(bounds: &Bounds<T>, value: T) -> Result<(), Fault> {
    let low = bounds.min.as_ref().is_some_and(|min| value < *min);
    let high = bounds.max.as_ref().is_some_and(|max| value > *max);
    if low || high { Err(Fault::Range(bounds.to_string())) } else { Ok(()) }
}

fn check_key(kind: &ScalarKind, key: &str) -> Result<(), ConfigErrorKind> {
    if kind.read(key).is_some() {
        return Ok(());
    }
    let got = format!("the key `{key}`");
    Err(ConfigErrorKind::Mismatch { expected: kind.to_string(), got, help: None })
}

fn fault_kind(kind: &ScalarKind, value: &Value, fault: Fault, got: String) -> ConfigErrorKind {
    if let Fault::Range(range) = fault {
        return ConfigErrorKind::OutOfRange { range, got };
    }
    if let ScalarKind::Enum(values) = kind {
        let known = texts(values);
        let similar =
            value.as_str().and_then(|text| similar(text, known.iter().map(String::as_str)));
        let similar = similar.map(str::to_owned);
        return ConfigErrorKind::NotInEnum { known, got, similar };
    }
    let reads = value.as_str().is_some_and(|text| kind.read(text).is_some());
    let help = match kind {
        ScalarKind::Text if value.is_number() || value.is_boolean() => Some("write it in quotes"),
        ScalarKind::Bool | ScalarKind::Int(_) | ScalarKind::Float(_) if reads => {
            Some("write it without quotes")
        }
        ScalarKind::Bool
        | ScalarKind::Int(_)
        | ScalarKind::Float(_)
        | ScalarKind::Text
        | ScalarKind::Enum(_) => None,
    };
    let help = help.map(str::to_owned);
    ConfigErrorKind::Mismatch { expected: kind.to_string(), got, help }
}

/// A word similar to a secret tells much of it.
fn without_suggestion(kind: ConfigErrorKind) -> ConfigErrorKind {
    match kind {
        ConfigErrorKind::NotInEnum { known, got, .. } => {
            ConfigErrorKind::NotInEnum { known, got, similar: None }
        }
        other => other,
    }
}

fn undefined_kind<'a>(
    fields: impl Iterator<Item = &'a str>,
    similar: Option<&str>,
) -> ConfigErrorKind {
    // One more than a message shows, so that it can tell that there are more.
    let known = fields.take(9).map(str::to_owned).collect();
    ConfigErrorKind::Undefined { known, similar: similar.map(str::to_owned) }
}
