//! What is wrong with a configuration: a reason with its place, and one sentence about it.

use std::fmt;

use serde_json::Value;

use super::path::Path;
use super::schema::scalar_text;

/// One thing that is wrong at one place.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{} {kind}", place(path))]
pub struct ConfigError {
    /// Where; for a field that is missing or not defined, where it should be or is.
    pub path: Path,
    pub kind: ConfigErrorKind,
}

/// The reason of a [`ConfigError`]. Types are in the declared spelling; values are shown short, and
/// not at all if they are secret or come from the environment.
#[derive(Debug, Clone, PartialEq)]
pub enum ConfigErrorKind {
    Mismatch {
        expected: String,
        got: String,
        help: Option<String>,
    },
    /// A value of the right type that is too small or too large.
    OutOfRange {
        range: String,
        got: String,
    },
    /// Not one of the values of an enum.
    NotInEnum {
        known: Vec<String>,
        got: String,
        similar: Option<String>,
    },
    /// `example` is the least that would do.
    Missing {
        expected: String,
        example: Value,
    },
    /// A field that the schema has not; `known` are some of those it has.
    Undefined {
        known: Vec<String>,
        similar: Option<String>,
    },
    /// Not exactly one field of a selector.
    Selector {
        given: Vec<String>,
        fields: Vec<String>,
    },
    /// A reference to an environment variable that is not set.
    VariableNotSet {
        variable: String,
    },
    /// The value of an environment variable does not read as what is expected.
    VariableMismatch {
        variable: String,
        expected: String,
    },
}

impl ConfigErrorKind {
    /// The word for programs; it does not change.
    pub fn code(&self) -> &'static str {
        match self {
            ConfigErrorKind::Mismatch { .. } => "type-mismatch",
            ConfigErrorKind::OutOfRange { .. } => "out-of-range",
            ConfigErrorKind::NotInEnum { .. } => "not-in-enum",
            ConfigErrorKind::Missing { .. } => "missing-field",
            ConfigErrorKind::Undefined { .. } => "undefined-field",
            ConfigErrorKind::Selector { .. } => "selector",
            ConfigErrorKind::VariableNotSet { .. } => "variable-not-set",
            ConfigErrorKind::VariableMismatch { .. } => "variable-mismatch",
        }
    }
}

/// Everything that is wrong, in the order of the schema; never empty.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigErrors(pub Vec<ConfigError>);

/// What is wrong and what to do, to be read after the name of the place.
impl fmt::Display for ConfigErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigErrorKind::Mismatch { expected, got, help } => {
                write!(f, "must be `{expected}`, not {got}")?;
                help.iter().try_for_each(|help| write!(f, "; {help}"))
            }
            ConfigErrorKind::OutOfRange { range, got } => {
                write!(f, "must be a number {range}, not {got}")
            }
            ConfigErrorKind::NotInEnum { known, got, similar } => {
                write!(f, "cannot be {got}; {}", suggest(similar.as_ref(), known))
            }
            ConfigErrorKind::Missing { expected, example } => {
                write!(f, "is missing; it must be `{expected}`, such as `{example}`")
            }
            ConfigErrorKind::Undefined { known, .. } if known.is_empty() => {
                f.write_str("is not defined; remove it, there are no fields here")
            }
            ConfigErrorKind::Undefined { known, similar } => {
                write!(f, "is not defined; {}", suggest(similar.as_ref(), known))
            }
            ConfigErrorKind::Selector { given, fields } if given.is_empty() => {
                write!(f, "must have exactly one field and has none; {}", known(fields))
            }
            ConfigErrorKind::Selector { given, .. } => {
                let given = list_of(given, "and");
                write!(f, "must have exactly one field and has {given}; keep one")
            }
            ConfigErrorKind::VariableNotSet { variable } => write!(
                f,
                "is read from the environment variable `{variable}`, which is not set; set it or \
                 write a value"
            ),
            ConfigErrorKind::VariableMismatch { variable, expected } => write!(
                f,
                "is read from the environment variable `{variable}`, whose value is no \
                 `{expected}`; set it to one"
            ),
        }
    }
}

fn place(path: &Path) -> String {
    if path.is_root() { "the config".to_owned() } else { format!("`{path}`") }
}

fn suggest(similar: Option<&String>, names: &[String]) -> String {
    match similar {
        Some(similar) => format!("did you mean `{similar}`?"),
        None => known(names),
    }
}

fn known(names: &[String]) -> String {
    let verb = if names.len() == 1 { "is" } else { "are" };
    format!("known {verb} {}", list_of(names, "and"))
}

/// `` `a`, `b` and `c` ``, cut short where there are many.
pub(super) fn list_of(names: &[String], last_word: &str) -> String {
    const SHOWN: usize = 8;
    let quoted: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some(_) if names.len() > SHOWN => format!("{}, ..", quoted.join(", ")),
        Some((last, rest)) => format!("{} {last_word} {last}", rest.join(", ")),
    }
}

/// A value in a message: its kind, and itself where it is short.
pub(super) fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) | Value::Number(_) => format!("`{value}`"),
        Value::String(text) => format!("the text `{}`", cut(text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
    }
}

/// The kind of a value that no message may show.
pub(super) fn describe_secret(value: &Value) -> String {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "a bool",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    };
    kind.to_owned()
}

pub(super) fn texts(values: &[Value]) -> Vec<String> {
    values.iter().map(scalar_text).collect()
}

fn cut(text: &str) -> String {
    const CHARS: usize = 40;
    let one_line = |text: &str| text.replace(['\n', '\r', '\t'], " ");
    match text.char_indices().nth(CHARS) {
        Some((end, _)) => format!("{}..", one_line(&text[..end])),
        None => one_line(text),
    }
}
