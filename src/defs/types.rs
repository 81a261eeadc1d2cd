//! Types of what steps hand to each other: built in, or a built-in one with a predicate of the user's.
//!
//! A type says what is checked at a step's inputs and outputs. It takes no part in how a value is kept.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::FunctionSlot;

/// What an input takes, or an output gives.
///
/// ```
/// use giornata::defs::TypeRef;
/// use serde_json::json;
/// let type_ref = TypeRef::parse("list(int)")?;
/// assert!(type_ref.admits(&json!([1, 2])));
/// assert!(!type_ref.admits(&json!([1, "x"])));
/// assert_eq!(type_ref.to_string(), "list(int)");
/// assert_eq!(TypeRef::parse("even")?, TypeRef::Named("even".into()));
/// # Ok::<(), giornata::defs::InvalidType>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TypeRef {
    /// Everything.
    #[default]
    Any,
    Builtin(Builtin),
    /// A type of the user's.
    Named(Arc<str>),
}

/// The types that need no declaration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Builtin {
    Int,
    /// An integer as well.
    Float,
    Bool,
    String,
    Null,
    List(Box<TypeRef>),
    /// Names and values of one type.
    Map(Box<TypeRef>),
    /// Rows.
    Table,
    Bytes,
}

/// A type of the user's: what it is built on, and what must be true of a value beyond that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeDef {
    pub name: Arc<str>,
    pub of: TypeRef,
    pub that: Predicate,
}

/// How a type of the user's tells its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Predicate {
    /// SQL over `$value`.
    Sql(String),
    Function(FunctionSlot),
}

/// A text that is no type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no type; there are `any`, `int`, `float`, `bool`, `string`, `null`, `table`, `bytes`, `list(T)`, `map(T)` and the names under `types:`"
)]
pub struct InvalidType {
    pub text: String,
}

impl TypeRef {
    pub const INT: TypeRef = TypeRef::Builtin(Builtin::Int);

    /// Reads `int`, `list(int)` or the name of a type of the user's.
    pub fn parse(text: &str) -> Result<TypeRef, InvalidType> {
        let invalid = || InvalidType { text: text.to_owned() };
        let text = text.trim();
        let within = |word: &str| text.strip_prefix(word)?.strip_suffix(')');
        let inner = |inner: &str| TypeRef::parse(inner).map(Box::new).map_err(|_| invalid());
        if let Some(item) = within("list(") {
            return Ok(TypeRef::Builtin(Builtin::List(inner(item)?)));
        }
        if let Some(value) = within("map(") {
            return Ok(TypeRef::Builtin(Builtin::Map(inner(value)?)));
        }
        Ok(TypeRef::Builtin(match text {
            "any" => return Ok(TypeRef::Any),
            "int" => Builtin::Int,
            "float" => Builtin::Float,
            "bool" => Builtin::Bool,
            "string" | "text" => Builtin::String,
            "null" => Builtin::Null,
            "table" => Builtin::Table,
            "bytes" => Builtin::Bytes,
            "list" => Builtin::List(Box::default()),
            "map" => Builtin::Map(Box::default()),
            name if is_name(name) => return Ok(TypeRef::Named(name.into())),
            _ => return Err(invalid()),
        }))
    }

    /// Whether a value is of the type as far as that can be said without the user's predicates: a named
    /// type admits everything, and rows and bytes have no such form.
    pub fn admits(&self, value: &Value) -> bool {
        let builtin = match self {
            TypeRef::Any | TypeRef::Named(_) => return true,
            TypeRef::Builtin(builtin) => builtin,
        };
        match builtin {
            Builtin::Int => value.is_i64() || value.is_u64(),
            Builtin::Float => value.is_number(),
            Builtin::Bool => value.is_boolean(),
            Builtin::String => value.is_string(),
            Builtin::Null => value.is_null(),
            Builtin::List(item) => {
                value.as_array().is_some_and(|items| items.iter().all(|it| item.admits(it)))
            }
            Builtin::Map(of) => {
                value.as_object().is_some_and(|fields| fields.values().all(|it| of.admits(it)))
            }
            Builtin::Table | Builtin::Bytes => false,
        }
    }

    /// The type of the items, if this is one of lists; `Any` may be one.
    pub fn item(&self) -> Option<&TypeRef> {
        match self {
            TypeRef::Any => Some(self),
            TypeRef::Builtin(Builtin::List(item)) => Some(item),
            TypeRef::Named(_) | TypeRef::Builtin(_) => None,
        }
    }

    /// Whether some value of this type may be one of `to`: what is false here can never be right. Of a
    /// type of the user's only its name is known here.
    pub fn may_fit(&self, to: &TypeRef) -> bool {
        let (from, to) = match (self, to) {
            (TypeRef::Builtin(from), TypeRef::Builtin(to)) => (from, to),
            (TypeRef::Any | TypeRef::Named(_), _) | (_, TypeRef::Any | TypeRef::Named(_)) => {
                return true;
            }
        };
        match (from, to) {
            (Builtin::Int, Builtin::Float) => true,
            (Builtin::List(from), Builtin::List(to)) | (Builtin::Map(from), Builtin::Map(to)) => {
                from.may_fit(to)
            }
            (from, to) => from == to,
        }
    }
}

fn is_name(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && text.bytes().all(word)
}

impl fmt::Display for TypeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TypeRef::Any => f.pad("any"),
            TypeRef::Named(name) => f.pad(name),
            TypeRef::Builtin(builtin) => builtin.fmt(f),
        }
    }
}

impl fmt::Display for Builtin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Builtin::Int => f.pad("int"),
            Builtin::Float => f.pad("float"),
            Builtin::Bool => f.pad("bool"),
            Builtin::String => f.pad("string"),
            Builtin::Null => f.pad("null"),
            Builtin::List(item) => write!(f, "list({item})"),
            Builtin::Map(value) => write!(f, "map({value})"),
            Builtin::Table => f.pad("table"),
            Builtin::Bytes => f.pad("bytes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(text: &str, right: &[Value], wrong: &[Value]) {
        let type_ref = TypeRef::parse(text).unwrap();
        assert_eq!(type_ref.to_string(), text);
        assert!(right.iter().all(|value| type_ref.admits(value)), "{text} refuses one");
        assert!(!wrong.iter().any(|value| type_ref.admits(value)), "{text} takes one");
    }

    #[test]
    fn values_are_told_apart() {
        check("any", &[json!(null), json!(1)], &[]);
        check("int", &[json!(1), json!(u64::MAX)], &[json!(1.0), json!("1"), json!(true)]);
        check("float", &[json!(1), json!(1.5)], &[json!("1.5")]);
        check("string", &[json!("")], &[json!(null)]);
        check("null", &[json!(null)], &[json!(0)]);
        check("list(list(int))", &[json!([]), json!([[1]])], &[json!([1])]);
        check("map(bool)", &[json!({"a": true})], &[json!({"a": 1}), json!([])]);
        check("table", &[], &[json!([])]);
    }

    #[test]
    fn what_is_no_type_is_refused() {
        for text in ["", "list(", "list(int", "int)", "list(3)", "a b", "list()"] {
            assert!(TypeRef::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_can_never_fit_is_known() {
        let fits = |from, to| {
            let [from, to] = [from, to].map(|text| TypeRef::parse(text).unwrap());
            from.may_fit(&to)
        };
        assert!(fits("int", "float") && fits("list(any)", "list(int)") && fits("even", "string"));
        assert!(
            !fits("int", "string") && !fits("float", "int") && !fits("list(int)", "list(bool)")
        );
    }
}
