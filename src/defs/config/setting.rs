//! `a.b=c`, one value given on the command line: where it goes, and which value its text is.

use std::fmt;

use serde_json::{Map, Value};

use super::path::Path;
use super::schema::{Schema, Source};
use super::validate::ENV;

/// A place and the text that was given for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The names on the way, none of them empty; there is at least one.
    pub names: Vec<String>,
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    #[error("read `{text}`: there is no `=`; write `name=value`")]
    NoValue { text: String },
    #[error("read the name `{text}`: a part of it is empty; write `a.b=value`")]
    EmptyName { text: String },
    #[error("read the name `{text}`: quotes must be around whole parts, as in `a.\"b.c\"=value`")]
    Quotes { text: String },
}

/// For messages: without the text, which may be secret.
impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.names.iter().fold(Path::default(), |path, name| path.field(name));
        write!(f, "`--set {path}`")
    }
}

impl Setting {
    /// Names are separated by dots; one with a dot or `=` in it stands in double quotes.
    ///
    /// ```
    /// use giornata::defs::config::Setting;
    /// let setting = Setting::parse(r#"opt."a.b"=x=y"#)?;
    /// assert_eq!(setting.names, ["opt", "a.b"]);
    /// assert_eq!(setting.text, "x=y");
    /// # Ok::<(), giornata::defs::config::SettingError>(())
    /// ```
    pub fn parse(text: &str) -> Result<Setting, SettingError> {
        let mut quoted = false;
        let split = text.char_indices().find(|(_, c)| {
            quoted ^= *c == '"';
            *c == '=' && !quoted
        });
        let Some((at, _)) = split else {
            // Whatever this is, it is not worth more of the screen.
            let text = text.chars().take(20).collect();
            return Err(SettingError::NoValue { text });
        };
        let names = names(&text[..at])?;
        Ok(Setting { names, text: text[at + 1..].to_owned() })
    }
}

fn names(text: &str) -> Result<Vec<String>, SettingError> {
    let mut quoted = false;
    let parts = text.split(|c| {
        quoted ^= c == '"';
        c == '.' && !quoted
    });
    let name = |part: &str| {
        let inner = part.strip_prefix('"').and_then(|part| part.strip_suffix('"'));
        let name = inner.unwrap_or(part);
        if name.contains('"') {
            return Err(SettingError::Quotes { text: text.to_owned() });
        }
        if name.is_empty() {
            return Err(SettingError::EmptyName { text: text.to_owned() });
        }
        Ok(name.to_owned())
    };
    parts.map(|part| name(part.trim())).collect()
}

impl Schema {
    /// The configuration that has only this setting: a layer to be merged over others.
    ///
    /// Its text is read as the schema at its place asks: a text stays a text, numbers and `true` are
    /// what they look like only where they are expected; `null` is null for a nullable value; a list is
    /// `a,b` or JSON, a mapping JSON. A text that does not read is left as it is, for the validation to
    /// say what was expected. `name.env=VARIABLE` refers to a variable.
    ///
    /// ```
    /// use giornata::defs::config::{Schema, Setting};
    /// use serde_json::json;
    ///
    /// let schema = Schema::parse(&json!({"id": "string", "n": "int", "xs": ["float"]}))?;
    /// let set = |text: &str| Setting::parse(text).map(|setting| schema.setting(&setting));
    /// assert_eq!(set("id=007")?, json!({"id": "007"}));
    /// assert_eq!(set("n=007")?, json!({"n": 7}));
    /// assert_eq!(set("xs=1,2.5")?, json!({"xs": [1.0, 2.5]}));
    /// assert_eq!(set("n.env=COUNT")?, json!({"n": {"env": "COUNT"}}));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn setting(&self, setting: &Setting) -> Value {
        let value = self.interpret(setting.names.iter().map(String::as_str), &setting.text);
        setting
            .names
            .iter()
            .rev()
            .fold(value, |value, name| Value::Object(Map::from_iter([(name.clone(), value)])))
    }

    /// The value that a text stands for at a place, read as its schema asks.
    pub(crate) fn interpret<'a>(&self, names: impl Iterator<Item = &'a str>, text: &str) -> Value {
        let any_text = Schema::text();
        names.fold(self, |schema, name| schema.inner(name, &any_text)).read(text)
    }

    /// What is under a name.
    fn inner<'a>(&'a self, name: &str, text: &'a Schema) -> &'a Schema {
        match self {
            Schema::Scalar(scalar) if scalar.source == Source::LiteralOrEnv && name == ENV => text,
            Schema::Any | Schema::Scalar(_) | Schema::Array(_) => &Schema::Any,
            Schema::Nullable(inner) => inner.inner(name, text),
            Schema::Map(map) => &map.value,
            Schema::Shape(fields) | Schema::Permissive(fields) | Schema::Selector(fields) => {
                fields.get(name).map_or(&Schema::Any, |field| &field.schema)
            }
            Schema::Union(members) => {
                let inner = members.iter().map(|member| member.inner(name, text));
                inner.into_iter().find(|inner| **inner != Schema::Any).unwrap_or(&Schema::Any)
            }
        }
    }

    /// The value that a text stands for here.
    fn read(&self, text: &str) -> Value {
        let json = || serde_json::from_str::<Value>(text).ok();
        let read = match self {
            Schema::Any => json(),
            Schema::Scalar(scalar) => return scalar.kind.interpret(text),
            Schema::Nullable(_) if text.trim() == "null" => Some(Value::Null),
            Schema::Nullable(inner) => return inner.read(text),
            Schema::Array(item) => {
                json().filter(Value::is_array).or_else(|| Some(list(item, text)))
            }
            Schema::Map(_) | Schema::Shape(_) | Schema::Permissive(_) | Schema::Selector(_) => {
                json().filter(Value::is_object)
            }
            Schema::Union(members) => {
                let mut values = members.iter().map(|member| (member, member.read(text)));
                values
                    .find(|(member, value)| member.errors(value).is_empty())
                    .map(|(_, value)| value)
            }
        };
        read.unwrap_or_else(|| text.into())
    }
}

/// `a,b` or `[a, b]`.
fn list(item: &Schema, text: &str) -> Value {
    let text = text.trim();
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if inner.trim().is_empty() {
        return Value::Array(Vec::new());
    }
    inner.split(',').map(|part| item.read(part.trim())).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(schema: Value, text: &str, expect: Value) {
        let schema = Schema::parse(&schema).unwrap();
        assert_eq!(schema.setting(&Setting::parse(text).unwrap()), expect);
    }

    #[test]
    fn a_text_is_read_as_its_place_asks() {
        let schema = json!({
            "b": "bool", "s": "string?", "m": {"map": {"n": "int"}}, "xs": ["string"], "v": "any",
            "e": {"enum": [1, "one"]}, "u": {"union": ["int", "string"]}, "o": {"min": "int"},
        });
        check(schema.clone(), "b=yes", json!({"b": true}));
        check(schema.clone(), "b=maybe", json!({"b": "maybe"}));
        check(schema.clone(), "s=null", json!({"s": null}));
        check(schema.clone(), "s=true", json!({"s": "true"}));
        check(schema.clone(), "m.k.n=3", json!({"m": {"k": {"n": 3}}}));
        check(schema.clone(), r#"m={"k": {"n": 3}}"#, json!({"m": {"k": {"n": 3}}}));
        check(schema.clone(), "xs=", json!({"xs": []}));
        check(schema.clone(), "xs=[a, 1]", json!({"xs": ["a", "1"]}));
        check(schema.clone(), r#"xs=["a,b"]"#, json!({"xs": ["a,b"]}));
        check(schema.clone(), "v=[1]", json!({"v": [1]}));
        check(schema.clone(), "v=x y", json!({"v": "x y"}));
        check(schema.clone(), "e=1", json!({"e": 1}));
        check(schema.clone(), "u=7", json!({"u": 7}));
        check(schema.clone(), "u=seven", json!({"u": "seven"}));
        check(schema, "unknown.x=1", json!({"unknown": {"x": 1}}));
    }

    #[test]
    fn a_setting_that_does_not_parse_says_how_to_write_it() {
        let message = |text| Setting::parse(text).unwrap_err().to_string();
        assert_eq!(message("abc"), "read `abc`: there is no `=`; write `name=value`");
        assert_eq!(
            message("a..b=1"),
            "read the name `a..b`: a part of it is empty; write `a.b=value`"
        );
        assert!(message("a\"b=1").contains("there is no `=`"));
        assert!(message("a\"b\"=1").contains("quotes must be around whole parts"));
    }

    proptest::proptest! {
        #[test]
        fn no_setting_panics(text in ".{0,40}") {
            let _ = Setting::parse(&text).map(|setting| Schema::Any.setting(&setting));
        }
    }
}
