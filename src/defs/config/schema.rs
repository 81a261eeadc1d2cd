//! The schema of a configuration: which values there may be, and which of them must be given.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

/// Which values are accepted at one place.
///
/// Built by the functions below or read from its declared spelling by [`Schema::parse`].
///
/// ```
/// use giornata::defs::config::{Env, Field, Schema};
/// use serde_json::json;
///
/// let schema = Schema::shape([
///     ("name", Field::from(Schema::text())),
///     ("lr", Field::from(Schema::float()).default(0.01)),
/// ]);
/// let config = schema.validate(&json!({"name": "Alice"}), Env::Keep)?;
/// assert_eq!(config.value, json!({"name": "Alice", "lr": 0.01}));
/// # Ok::<(), giornata::defs::config::ConfigErrors>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum Schema {
    /// Every value, also null.
    Any,
    Scalar(Scalar),
    /// Null, or what the schema inside accepts.
    Nullable(Box<Schema>),
    Array(Box<Schema>),
    /// Names that the user chooses, each with a value of one schema.
    Map(MapSchema),
    /// These fields and no others.
    Shape(Fields),
    /// These fields, and others as they come.
    Permissive(Fields),
    /// Exactly one of these fields.
    Selector(Fields),
    /// What one of the members accepts; the first that does, decides.
    Union(Vec<Schema>),
}

/// A single value: it may come from an environment variable, and it may be secret.
#[derive(Debug, Clone, PartialEq)]
pub struct Scalar {
    pub kind: ScalarKind,
    pub source: Source,
    pub secrecy: Secrecy,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ScalarKind {
    Bool,
    Int(Bounds<i64>),
    /// Accepts integers too, and normalizes them.
    Float(Bounds<f64>),
    Text,
    /// One of these.
    Enum(Vec<Value>),
}

/// The least and the greatest value, both included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds<T> {
    pub min: Option<T>,
    pub max: Option<T>,
}

impl<T> Bounds<T> {
    pub const NONE: Bounds<T> = Bounds { min: None, max: None };
}

/// Where a scalar may come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Literal,
    /// Also `{env: VARIABLE}`.
    LiteralOrEnv,
}

/// Whether a value may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrecy {
    Open,
    /// It appears in no message, and [`Config::withheld`](super::Config::withheld) names its place.
    Secret,
}

#[derive(Debug, Clone, PartialEq)]
pub struct MapSchema {
    /// What the text of each key must read as.
    pub key: ScalarKind,
    pub value: Box<Schema>,
}

/// Fields in declared order, each name once.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Fields {
    fields: Vec<(String, Field)>,
    by_name: BTreeMap<String, usize>,
}

/// A named place of a shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    pub schema: Schema,
    pub presence: Presence,
    pub description: Option<String>,
}

/// What happens if a field is not given.
#[derive(Debug, Clone, PartialEq)]
pub enum Presence {
    /// As the schema implies: null for a nullable one, the defaults of its fields for a shape or a
    /// selector of one field that needs nothing, an error for all others.
    BySchema,
    /// An error, whatever the schema implies.
    Required,
    /// The field is left out.
    Optional,
    /// This value, completed by the defaults within it. A shape that is given takes from it the fields
    /// that it does not give.
    Default(Value),
}

/// What stands for a field that is not given.
#[derive(Debug, PartialEq)]
pub(super) enum Absent<'a> {
    Missing,
    LeftOut,
    Filled(Cow<'a, Value>),
}

impl Schema {
    pub fn bool() -> Schema {
        Scalar::new(ScalarKind::Bool).into()
    }

    pub fn int() -> Schema {
        Scalar::new(ScalarKind::Int(Bounds::NONE)).into()
    }

    pub fn float() -> Schema {
        Scalar::new(ScalarKind::Float(Bounds::NONE)).into()
    }

    pub fn text() -> Schema {
        Scalar::new(ScalarKind::Text).into()
    }

    /// A text that no message shows.
    pub fn secret() -> Schema {
        Scalar { secrecy: Secrecy::Secret, ..Scalar::new(ScalarKind::Text) }.into()
    }

    pub fn one_of<V: Into<Value>>(values: impl IntoIterator<Item = V>) -> Schema {
        Scalar::new(ScalarKind::Enum(values.into_iter().map(Into::into).collect())).into()
    }

    pub fn nullable(self) -> Schema {
        Schema::Nullable(Box::new(self))
    }

    pub fn array(item: Schema) -> Schema {
        Schema::Array(Box::new(item))
    }

    /// A map whose keys are any texts.
    pub fn map(value: Schema) -> Schema {
        Schema::Map(MapSchema { key: ScalarKind::Text, value: Box::new(value) })
    }

    pub fn shape<'a>(fields: impl IntoIterator<Item = (&'a str, Field)>) -> Schema {
        Schema::Shape(Fields::new(fields))
    }

    pub fn permissive<'a>(fields: impl IntoIterator<Item = (&'a str, Field)>) -> Schema {
        Schema::Permissive(Fields::new(fields))
    }

    pub fn selector<'a>(fields: impl IntoIterator<Item = (&'a str, Field)>) -> Schema {
        Schema::Selector(Fields::new(fields))
    }

    /// What a field of this schema is if it is not given, where nothing is declared about that.
    pub(super) fn implied(&self) -> Option<Value> {
        match self {
            Schema::Nullable(_) => Some(Value::Null),
            Schema::Shape(fields) | Schema::Permissive(fields) => {
                fields.needs_nothing().then(|| Value::Object(Map::new()))
            }
            Schema::Selector(fields) => {
                let one = fields.len() == 1 && fields.needs_nothing();
                one.then(|| Value::Object(Map::new()))
            }
            Schema::Any
            | Schema::Scalar(_)
            | Schema::Array(_)
            | Schema::Map(_)
            | Schema::Union(_) => None,
        }
    }

    /// The fields of a shape, permissive or not, or of a selector.
    pub fn fields(&self) -> Option<&Fields> {
        match self {
            Schema::Shape(fields) | Schema::Permissive(fields) | Schema::Selector(fields) => {
                Some(fields)
            }
            Schema::Any
            | Schema::Scalar(_)
            | Schema::Nullable(_)
            | Schema::Array(_)
            | Schema::Map(_)
            | Schema::Union(_) => None,
        }
    }

    /// Whether a value of this schema may have a secret in it.
    pub fn holds_secret(&self) -> bool {
        match self {
            Schema::Any => false,
            Schema::Scalar(scalar) => scalar.secrecy == Secrecy::Secret,
            Schema::Nullable(inner) | Schema::Array(inner) => inner.holds_secret(),
            Schema::Map(map) => map.value.holds_secret(),
            Schema::Shape(fields) | Schema::Permissive(fields) | Schema::Selector(fields) => {
                fields.iter().any(|(_, field)| field.schema.holds_secret())
            }
            Schema::Union(members) => members.iter().any(Schema::holds_secret),
        }
    }
}

impl Scalar {
    /// One that may come from the environment, and may be shown.
    pub fn new(kind: ScalarKind) -> Scalar {
        Scalar { kind, source: Source::LiteralOrEnv, secrecy: Secrecy::Open }
    }
}

impl From<Scalar> for Schema {
    fn from(scalar: Scalar) -> Schema {
        Schema::Scalar(scalar)
    }
}

impl Fields {
    /// Of two fields with one name the later one counts, at the place of the first.
    pub fn new<N: Into<String>>(fields: impl IntoIterator<Item = (N, Field)>) -> Fields {
        let mut this = Fields::default();
        for (name, field) in fields {
            this.insert(name.into(), field);
        }
        this
    }

    fn insert(&mut self, name: String, field: Field) {
        if let Some(at) = self.by_name.get(&name) {
            self.fields[*at].1 = field;
            return;
        }
        self.by_name.insert(name.clone(), self.fields.len());
        self.fields.push((name, field));
    }

    pub fn get(&self, name: &str) -> Option<&Field> {
        self.by_name.get(name).map(|at| &self.fields[*at].1)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Field)> {
        self.fields.iter().map(|(name, field)| (name.as_str(), field))
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(name, _)| name.as_str())
    }

    pub fn len(&self) -> usize {
        self.fields.len()
    }

    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    fn needs_nothing(&self) -> bool {
        self.iter().all(|(_, field)| !field.is_required())
    }
}

impl From<Schema> for Field {
    fn from(schema: Schema) -> Field {
        Field { schema, presence: Presence::BySchema, description: None }
    }
}

impl From<Scalar> for Field {
    fn from(scalar: Scalar) -> Field {
        Schema::from(scalar).into()
    }
}

impl Field {
    #[must_use]
    pub fn default(self, value: impl Into<Value>) -> Field {
        Field { presence: Presence::Default(value.into()), ..self }
    }

    #[must_use]
    pub fn optional(self) -> Field {
        Field { presence: Presence::Optional, ..self }
    }

    #[must_use]
    pub fn required(self) -> Field {
        Field { presence: Presence::Required, ..self }
    }

    #[must_use]
    pub fn describe(self, text: impl Into<String>) -> Field {
        Field { description: Some(text.into()), ..self }
    }

    /// Whether it is an error not to give it.
    pub fn is_required(&self) -> bool {
        self.absent() == Absent::Missing
    }

    pub(super) fn absent(&self) -> Absent<'_> {
        match &self.presence {
            Presence::Required => Absent::Missing,
            Presence::Optional => Absent::LeftOut,
            Presence::Default(value) => Absent::Filled(Cow::Borrowed(value)),
            Presence::BySchema => match self.schema.implied() {
                Some(value) => Absent::Filled(Cow::Owned(value)),
                None => Absent::Missing,
            },
        }
    }
}

/// In the declared spelling, cut short where it is long: for messages.
impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(2, f)
    }
}

impl Schema {
    fn write(&self, depth: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Schema::Any => f.write_str("any"),
            Schema::Scalar(scalar) => write!(f, "{}", scalar.kind),
            Schema::Nullable(inner) => {
                inner.write(depth, f)?;
                f.write_str("?")
            }
            Schema::Array(item) => {
                f.write_str("[")?;
                item.write(depth, f)?;
                f.write_str("]")
            }
            Schema::Map(map) => {
                f.write_str("{map: ")?;
                map.value.write(depth, f)?;
                f.write_str("}")
            }
            Schema::Shape(fields) => fields.write("{", depth, f),
            Schema::Permissive(fields) => {
                fields.write("{permissive: {", depth, f)?;
                f.write_str("}")
            }
            Schema::Selector(fields) => {
                fields.write("{selector: {", depth, f)?;
                f.write_str("}")
            }
            Schema::Union(members) => {
                for (at, member) in members.iter().enumerate() {
                    f.write_str(if at > 0 { " or " } else { "" })?;
                    member.write(depth, f)?;
                }
                Ok(())
            }
        }
    }
}

impl Fields {
    fn write(&self, open: &str, depth: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 4;
        f.write_str(open)?;
        if depth == 0 && !self.is_empty() {
            return f.write_str("..}");
        }
        for (at, (name, field)) in self.iter().take(SHOWN).enumerate() {
            write!(f, "{}{name}: ", if at > 0 { ", " } else { "" })?;
            field.schema.write(depth.saturating_sub(1), f)?;
        }
        f.write_str(if self.len() > SHOWN { ", ..}" } else { "}" })
    }
}

impl fmt::Display for ScalarKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScalarKind::Bool => f.write_str("bool"),
            ScalarKind::Int(bounds) => write!(f, "int{}", after_space(bounds)),
            ScalarKind::Float(bounds) => write!(f, "float{}", after_space(bounds)),
            ScalarKind::Text => f.write_str("string"),
            ScalarKind::Enum(values) => {
                const SHOWN: usize = 8;
                let texts: Vec<String> = values.iter().take(SHOWN).map(scalar_text).collect();
                let more = if values.len() > SHOWN { ", .." } else { "" };
                write!(f, "one of {}{more}", texts.join(", "))
            }
        }
    }
}

fn after_space<T: fmt::Display>(bounds: &Bounds<T>) -> String {
    let text = bounds.to_string();
    if text.is_empty() { text } else { format!(" {text}") }
}

impl<T: fmt::Display> fmt::Display for Bounds<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.min, &self.max) {
            (None, None) => Ok(()),
            (Some(min), None) => write!(f, "of at least {min}"),
            (None, Some(max)) => write!(f, "of at most {max}"),
            (Some(min), Some(max)) => write!(f, "from {min} to {max}"),
        }
    }
}

/// A text without quotes, anything else as JSON.
pub(super) fn scalar_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_shows_as_it_is_declared() {
        let bounded = ScalarKind::Float(Bounds { min: Some(0.5), max: None });
        let schema = Schema::shape([
            ("a", Schema::array(Schema::int()).into()),
            ("b", Schema::map(Schema::text().nullable()).into()),
            ("c", Scalar::new(bounded).into()),
            (
                "d",
                Schema::permissive([("x", Schema::shape([("y", Schema::Any.into())]).into())])
                    .into(),
            ),
            ("e", Schema::bool().into()),
        ]);
        assert_eq!(
            schema.to_string(),
            "{a: [int], b: {map: string?}, c: float of at least 0.5, d: {permissive: {x: {..}}}, ..}"
        );
        assert_eq!(Schema::one_of(["fast", "full"]).to_string(), "one of fast, full");
    }

    #[test]
    fn the_later_of_two_equal_names_counts() {
        let fields = Fields::new([("a", Schema::int().into()), ("a", Schema::text().into())]);
        assert_eq!(fields.len(), 1);
        assert_eq!(fields.get("a"), Some(&Schema::text().into()));
    }
}
