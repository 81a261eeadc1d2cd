//! The declared spelling of a schema, as it stands in YAML or TOML, read to a [`Schema`]: or all that
//! is wrong with it.

use serde_json::{Map, Value};

use super::error::{ConfigErrorKind, describe, list_of};
use super::path::{Path, Segment};
use super::schema::{
    Bounds, Field, Fields, MapSchema, Presence, Scalar, ScalarKind, Schema, Secrecy,
};
use super::validate::Env;
use crate::base::similar;

/// The words of single types. A type that a text names may have a `?` after it.
const TYPES: [&str; 6] = ["any", "bool", "float", "int", "string", "text"];

/// The keys that make a mapping one of these types rather than a shape.
const FORMS: [&str; 9] =
    ["type", "enum", "array", "map", "nullable", "selector", "permissive", "shape", "union"];

const OPTIONS: [&str; 7] = ["default", "optional", "description", "min", "max", "secret", "key"];

/// Deeper ones are a mistake, and a value is walked as deep as its schema.
const DEPTH_MAX: usize = 64;

/// One thing that is wrong with a declared schema.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}{kind}", if path.is_root() { String::new() } else { format!("`{path}`: ") })]
pub struct SchemaError {
    /// Where in the declaration.
    pub path: Path,
    pub kind: SchemaErrorKind,
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SchemaErrorKind {
    #[error("there is no type `{name}`; {help}")]
    UnknownType { name: String, help: String },
    #[error("{got} is no type; {help}")]
    NoType { got: String, help: String },
    #[error(
        "`{first}` and `{second}` both say the type; keep one, or if these are fields, write `{{shape: {{..}}}}`"
    )]
    TwoTypes { first: String, second: String },
    #[error("there is no such option of `{form}`; {help}")]
    UnknownOption { form: String, help: String },
    #[error("must be {expected}, not {got}")]
    BadOption { expected: String, got: String },
    #[error("does not go with `{schema}`; it is for {only}")]
    WrongOption { schema: String, only: &'static str },
    #[error("is for fields only; an item, a member or the whole config is always given")]
    NoField,
    #[error("has nothing in it; {help}")]
    Empty { help: &'static str },
    #[error("`{name}` is there twice; remove one")]
    Twice { name: String },
    #[error("no number is {range}; exchange `min` and `max`")]
    NoRange { range: String },
    /// A default that its own schema does not accept.
    #[error("{0}")]
    Default(ConfigErrorKind),
    #[error("a secret would stand in the file; write `default: {{env: VARIABLE}}`")]
    SecretDefault,
    #[error(
        "the config itself is a mapping of fields and not `{schema}`; if `{form}` is a field, write `{{shape: {{..}}}}`"
    )]
    NoFields { schema: String, form: String },
    #[error("is deeper than {DEPTH_MAX} levels; use `any`")]
    TooDeep,
}

/// Everything that is wrong with a declared schema, in its order; never empty.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct SchemaErrors(pub Vec<SchemaError>);

impl Schema {
    /// Reads a schema in its declared spelling, which the description of [this module](super) has.
    pub fn parse(declared: &Value) -> Result<Schema, SchemaErrors> {
        let mut reader = Reader { path: Path::default(), errors: Vec::new() };
        let schema = reader.schema(declared);
        reader.finish(schema)
    }

    /// Reads the `config` of a job: a schema that has fields. Null declares none.
    ///
    /// ```
    /// use giornata::defs::config::Schema;
    /// use serde_json::json;
    ///
    /// assert!(Schema::parse_root(&json!({"name": "string"})).is_ok());
    /// assert_eq!(
    ///     Schema::parse_root(&json!({"type": "string"})).unwrap_err().to_string(),
    ///     "the config itself is a mapping of fields and not `string`; if `type` is a field, write `{shape: {..}}`"
    /// );
    /// ```
    pub fn parse_root(declared: &Value) -> Result<Schema, SchemaErrors> {
        if declared.is_null() {
            return Ok(Schema::shape([]));
        }
        let schema = Schema::parse(declared)?;
        if schema.fields().is_some() {
            return Ok(schema);
        }
        let form = declared.as_object().and_then(form_of).unwrap_or("type").to_owned();
        let kind = SchemaErrorKind::NoFields { schema: schema.to_string(), form };
        Err(SchemaErrors(vec![SchemaError { path: Path::default(), kind }]))
    }
}

fn form_of(map: &Map<String, Value>) -> Option<&'static str> {
    FORMS.into_iter().find(|form| map.contains_key(*form))
}

struct Reader {
    path: Path,
    errors: Vec<SchemaError>,
}

/// Where something is wrong it is reported, and the value given stands in for it.
impl Reader {
    fn finish(self, schema: Schema) -> Result<Schema, SchemaErrors> {
        match self.errors.as_slice() {
            [] => Ok(schema),
            [..] => Err(SchemaErrors(self.errors)),
        }
    }

    fn fail(&mut self, kind: SchemaErrorKind) {
        self.errors.push(SchemaError { path: self.path.clone(), kind });
    }

    fn fail_at(&mut self, name: &str, kind: SchemaErrorKind) {
        self.errors.push(SchemaError { path: self.path.field(name), kind });
    }

    fn at<T>(&mut self, segment: Segment, read: impl FnOnce(&mut Self) -> T) -> T {
        self.path.0.push(segment);
        let value = read(self);
        self.path.0.pop();
        value
    }

    fn under<T>(&mut self, name: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        self.at(Segment::Field(name.to_owned()), read)
    }

    /// A type at a place that is not a field.
    fn schema(&mut self, declared: &Value) -> Schema {
        let field = self.field(declared);
        if let Some(map) = declared.as_object().filter(|map| form_of(map).is_some()) {
            for option in ["default", "optional"].into_iter().filter(|o| map.contains_key(*o)) {
                self.fail_at(option, SchemaErrorKind::NoField);
            }
        }
        field.schema
    }

    fn field(&mut self, declared: &Value) -> Field {
        if self.path.0.len() > DEPTH_MAX {
            self.fail(SchemaErrorKind::TooDeep);
            return Schema::Any.into();
        }
        let schema = match declared {
            Value::String(name) => self.named(name),
            Value::Array(items) => self.list(items),
            Value::Object(map) => match form_of(map) {
                Some(form) => return self.form(form, map),
                None => Schema::Shape(self.fields(map)),
            },
            Value::Null | Value::Bool(_) | Value::Number(_) => {
                let of = match declared {
                    Value::Bool(_) => "bool",
                    Value::Number(number) if number.is_f64() => "float",
                    Value::Number(_) => "int",
                    Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => "any",
                };
                let help = format!("write `{{type: {of}, default: {declared}}}` for a default");
                self.fail(SchemaErrorKind::NoType { got: describe(declared), help });
                Schema::Any
            }
        };
        schema.into()
    }

    fn named(&mut self, text: &str) -> Schema {
        match text.trim().strip_suffix('?') {
            Some(name) => self.single(name).nullable(),
            None => self.single(text.trim()),
        }
    }

    fn single(&mut self, name: &str) -> Schema {
        match name {
            "any" => Schema::Any,
            "bool" => Schema::bool(),
            "int" => Schema::int(),
            "float" => Schema::float(),
            "string" | "text" => Schema::text(),
            _ => {
                let help = type_help(name);
                self.fail(SchemaErrorKind::UnknownType { name: name.to_owned(), help });
                Schema::Any
            }
        }
    }

    /// `[int]`.
    fn list(&mut self, items: &[Value]) -> Schema {
        if let [item] = items {
            return Schema::array(self.at(Segment::Item(0), |reader| reader.schema(item)));
        }
        let got = format!("a list of {}", items.len());
        let help = "write `[string]` for a list of texts, `{enum: [..]}` for a choice".to_owned();
        self.fail(SchemaErrorKind::NoType { got, help });
        Schema::Any
    }

    fn fields(&mut self, map: &Map<String, Value>) -> Fields {
        Fields::new(
            map.iter().map(|(name, value)| {
                (name.clone(), self.under(name, |reader| reader.field(value)))
            }),
        )
    }

    /// The fields under a form that has some.
    fn fields_of(&mut self, value: &Value) -> Fields {
        match value.as_object() {
            Some(map) => self.fields(map),
            None => {
                self.bad("a mapping of fields", value);
                Fields::default()
            }
        }
    }

    fn bad(&mut self, expected: &str, value: &Value) {
        let (expected, got) = (expected.to_owned(), describe(value));
        self.fail(SchemaErrorKind::BadOption { expected, got });
    }

    fn form(&mut self, form: &'static str, map: &Map<String, Value>) -> Field {
        let sound = self.errors.len();
        self.options(form, map);
        let value = map.get(form).unwrap_or(&Value::Null);
        let mut schema = self.under(form, |reader| reader.form_schema(form, value));
        if let Some(key) = map.get("key") {
            self.key(key, &mut schema);
        }
        if map.contains_key("min") || map.contains_key("max") {
            self.bounds(map.get("min"), map.get("max"), &mut schema);
        }
        if let Some(secret) = map.get("secret") {
            self.secret(secret, &mut schema);
        }
        let mut field = Field::from(schema);
        field.description = map.get("description").and_then(|text| self.text("description", text));
        if let Some(optional) = map.get("optional") {
            field.presence = match self.truth("optional", optional) {
                Some(true) => Presence::Optional,
                Some(false) => Presence::Required,
                None => Presence::BySchema,
            };
        }
        if let Some(default) = map.get("default") {
            // A default cannot be judged by a schema that is not what its author meant.
            if self.errors.len() == sound {
                self.default(&field.schema, default);
            }
            field.presence = Presence::Default(default.clone());
        }
        field
    }

    fn form_schema(&mut self, form: &str, value: &Value) -> Schema {
        match form {
            "enum" => self.choice(value),
            "array" => Schema::array(self.schema(value)),
            "map" => Schema::map(self.schema(value)),
            "nullable" => self.schema(value).nullable(),
            "shape" => Schema::Shape(self.fields_of(value)),
            "permissive" => Schema::Permissive(self.fields_of(value)),
            "selector" => {
                let fields = self.fields_of(value);
                if fields.is_empty() && value.is_object() {
                    self.fail(SchemaErrorKind::Empty { help: "name what can be selected" });
                }
                Schema::Selector(fields)
            }
            "union" => self.members(value),
            // "type"
            _ => self.schema(value),
        }
    }

    fn choice(&mut self, value: &Value) -> Schema {
        let Some(values) = value.as_array() else {
            self.bad("a list of values", value);
            return Schema::Any;
        };
        if values.is_empty() {
            self.fail(SchemaErrorKind::Empty { help: "list the values" });
        }
        for (at, value) in values.iter().enumerate() {
            if value.is_array() || value.is_object() || value.is_null() {
                self.at(Segment::Item(at), |reader| {
                    reader.bad("a text, a number or a bool", value);
                });
            }
            if values[..at].contains(value) {
                let name = super::schema::scalar_text(value);
                self.fail(SchemaErrorKind::Twice { name });
            }
        }
        Scalar::new(ScalarKind::Enum(values.clone())).into()
    }

    fn members(&mut self, value: &Value) -> Schema {
        let Some(members) = value.as_array() else {
            self.bad("a list of types", value);
            return Schema::Any;
        };
        if members.is_empty() {
            self.fail(SchemaErrorKind::Empty { help: "list the types" });
        }
        let members = members.iter().enumerate();
        let read = |(at, member)| self.at(Segment::Item(at), |reader| reader.schema(member));
        Schema::Union(members.map(read).collect())
    }
}

/// The options beside a form.
impl Reader {
    fn options(&mut self, form: &'static str, map: &Map<String, Value>) {
        for name in map.keys().filter(|name| *name != form) {
            if FORMS.contains(&name.as_str()) {
                let (first, second) = (form.to_owned(), name.clone());
                self.fail(SchemaErrorKind::TwoTypes { first, second });
            } else if !OPTIONS.contains(&name.as_str()) {
                let known: Vec<String> = OPTIONS.iter().map(ToString::to_string).collect();
                let help = match similar(name, OPTIONS) {
                    Some(similar) => format!("did you mean `{similar}`?"),
                    None => format!(
                        "known are {}; if `{form}` is a field, write `{{shape: {{..}}}}`",
                        list_of(&known, "and")
                    ),
                };
                let form = form.to_owned();
                self.fail_at(name, SchemaErrorKind::UnknownOption { form, help });
            }
        }
    }

    fn text(&mut self, option: &str, value: &Value) -> Option<String> {
        let text = value.as_str().map(str::to_owned);
        if text.is_none() {
            self.under(option, |reader| reader.bad("a text", value));
        }
        text
    }

    fn truth(&mut self, option: &str, value: &Value) -> Option<bool> {
        if value.as_bool().is_none() {
            self.under(option, |reader| reader.bad("`true` or `false`", value));
        }
        value.as_bool()
    }

    fn wrong(&mut self, option: &str, schema: &Schema, only: &'static str) {
        let schema = schema.to_string();
        self.fail_at(option, SchemaErrorKind::WrongOption { schema, only });
    }

    fn key(&mut self, declared: &Value, schema: &mut Schema) {
        let read = self.under("key", |reader| reader.schema(declared));
        match (read, schema) {
            (Schema::Scalar(scalar), Schema::Map(map)) => map.key = scalar.kind,
            (_, Schema::Map(MapSchema { .. })) => {
                self.under("key", |reader| reader.bad("the type of a single value", declared));
            }
            (_, schema) => self.wrong("key", schema, "maps"),
        }
    }

    fn secret(&mut self, value: &Value, schema: &mut Schema) {
        let secrecy = match self.truth("secret", value) {
            Some(true) => Secrecy::Secret,
            Some(false) | None => Secrecy::Open,
        };
        match scalar_of(schema) {
            Some(scalar) => scalar.secrecy = secrecy,
            None => self.wrong("secret", schema, "single values"),
        }
    }

    fn bounds(&mut self, min: Option<&Value>, max: Option<&Value>, schema: &mut Schema) {
        let read = match scalar_of(schema).map(|scalar| &mut scalar.kind) {
            Some(ScalarKind::Int(bounds)) => {
                bounds.min = self.number("min", "a whole number", min, Value::as_i64);
                bounds.max = self.number("max", "a whole number", max, Value::as_i64);
                range_fault(bounds)
            }
            Some(ScalarKind::Float(bounds)) => {
                bounds.min = self.number("min", "a number", min, Value::as_f64);
                bounds.max = self.number("max", "a number", max, Value::as_f64);
                range_fault(bounds)
            }
            Some(ScalarKind::Bool | ScalarKind::Text | ScalarKind::Enum(_)) | None => {
                let option = if min.is_some() { "min" } else { "max" };
                self.wrong(option, schema, "`int` and `float`");
                None
            }
        };
        if let Some(range) = read {
            self.fail(SchemaErrorKind::NoRange { range });
        }
    }

    fn number<T>(
        &mut self,
        option: &str,
        expected: &str,
        value: Option<&Value>,
        read: fn(&Value) -> Option<T>,
    ) -> Option<T> {
        let value = value?;
        let number = read(value);
        if number.is_none() {
            self.under(option, |reader| reader.bad(expected, value));
        }
        number
    }

    fn default(&mut self, schema: &Schema, default: &Value) {
        match schema.validate(default, Env::Keep) {
            Ok(config) => {
                if config.withheld.iter().any(|withheld| withheld.variable.is_none()) {
                    self.fail_at("default", SchemaErrorKind::SecretDefault);
                }
            }
            Err(errors) => {
                for error in errors.0 {
                    let path = self.path.field("default").join(&error.path);
                    self.errors
                        .push(SchemaError { path, kind: SchemaErrorKind::Default(error.kind) });
                }
            }
        }
    }
}

fn range_fault<T: PartialOrd + std::fmt::Display>(bounds: &Bounds<T>) -> Option<String> {
    let crossed = bounds.min.as_ref().zip(bounds.max.as_ref()).is_some_and(|(min, max)| min > max);
    crossed.then(|| bounds.to_string())
}

/// The single type that options are about, null allowed or not.
fn scalar_of(schema: &mut Schema) -> Option<&mut Scalar> {
    match schema {
        Schema::Scalar(scalar) => Some(scalar),
        Schema::Nullable(inner) => scalar_of(inner),
        Schema::Any
        | Schema::Array(_)
        | Schema::Map(_)
        | Schema::Shape(_)
        | Schema::Permissive(_)
        | Schema::Selector(_)
        | Schema::Union(_) => None,
    }
}

/// What was probably meant by a word that names no type.
fn type_help(name: &str) -> String {
    let meant = match name.to_ascii_lowercase().as_str() {
        "str" | "path" | "date" | "datetime" => Some("string"),
        "integer" | "i64" | "long" => Some("int"),
        "number" | "double" | "real" | "f64" => Some("float"),
        "boolean" => Some("bool"),
        "list" | "array" => Some("[string]"),
        "dict" | "map" | "object" | "mapping" => Some("{map: string}"),
        "null" | "none" => Some("any"),
        "secret" | "password" => Some("{type: string, secret: true}"),
        lower => similar(lower, TYPES),
    };
    match meant {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => {
            let known: Vec<String> = TYPES.iter().map(ToString::to_string).collect();
            format!("known are {}", list_of(&known, "and"))
        }
    }
}
