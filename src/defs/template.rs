//! Values of a job for one of its partitions: what stands in braces becomes the key of the partition, a
//! bound of its window, or the key of a dimension.
//!
//! | written | stands for |
//! |---|---|
//! | `{partition}` | the key |
//! | `{start}`, `{end}` | the bounds of the window, as `2020-01-01T00:00:00+00:00` |
//! | `{start:%Y-%m-%d}` | a bound in chrono's `strftime` form |
//! | `{region}` | the key of the dimension `region` |
//! | `{{`, `}}` | a brace |
//!
//! Bounds are told in the time zone of the partitions. The end is the start of the next window.

use std::collections::BTreeMap;

use chrono::DateTime;
use chrono_tz::Tz;
use serde_json::{Map, Value};

use super::PartitionsDef;
use super::config::{Path, Schema, Segment};
use super::partition::Domain;
use super::source::is_date_format;
use crate::base::PartitionIdx;

/// A partition as templates see it.
#[derive(Debug, Clone, PartialEq)]
pub struct At {
    words: BTreeMap<String, String>,
    window: Option<[DateTime<Tz>; 2]>,
}

/// Why a text in a template is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("`{text}` has a brace that has no other; a brace itself is written `{{{{` or `}}}}`")]
    Brace { text: String },
    #[error("a partition has no `{{{name}}}`; it has {known}")]
    Unknown { name: String, known: String },
    #[error("`{format}` is no form of a date; one is `%Y-%m-%d`")]
    Format { format: String },
    #[error("`{{{name}:{format}}}` has a form, and only `start` and `end` have one")]
    NoTime { name: String, format: String },
}

#[derive(Debug, PartialEq)]
enum Piece {
    Text(String),
    Word { name: String, format: Option<String> },
}

const PARTITION: &str = "partition";
const BOUNDS: [&str; 2] = ["start", "end"];

impl At {
    /// A partition of a domain; `None` if the domain has no such.
    ///
    /// ```
    /// use giornata::defs::config::Schema;
    /// use giornata::defs::template::{At, fill};
    /// use giornata::defs::{Domain, PartitionsDef};
    /// use serde_json::json;
    /// use std::collections::BTreeMap;
    /// use std::sync::Arc;
    ///
    /// let def = PartitionsDef::Static(vec![giornata::base::PartitionKey::new("eu")]);
    /// let domain = Domain::resolve(Arc::new(def), Default::default(), &BTreeMap::new());
    /// let at = At::of(&domain, 0).unwrap();
    /// let values = fill(&json!({"file": "{partition}.csv"}), &at, domain.def(), &Schema::Any);
    /// assert_eq!(values, Ok(json!({"file": "eu.csv"})));
    /// ```
    pub fn of(domain: &Domain, index: PartitionIdx) -> Option<At> {
        let dimensions = domain.dimensions(index).into_iter();
        let mut words: BTreeMap<String, String> =
            dimensions.map(|(name, key)| (name, key.to_string())).collect();
        words.insert(PARTITION.to_owned(), domain.key(index)?.to_string());
        let zone = timezone(domain.def()).unwrap_or(Tz::UTC);
        let window = domain.window(index);
        let window =
            window.map(|window| [window.start, window.end].map(|at| at.with_timezone(&zone)));
        Some(At { words, window })
    }

    fn write(&self, name: &str, format: Option<&str>) -> Option<String> {
        let bound = BOUNDS.iter().position(|bound| *bound == name);
        let time = bound.and_then(|bound| self.window.map(|window| window[bound]));
        match (time, format) {
            (Some(time), Some(format)) => Some(time.format(format).to_string()),
            (_, Some(_)) => None,
            (time, None) => {
                self.words.get(name).cloned().or_else(|| time.map(|time| time.to_rfc3339()))
            }
        }
    }
}

/// The time zone of the windows that it has.
fn timezone(def: &PartitionsDef) -> Option<Tz> {
    match def {
        PartitionsDef::TimeWindow(window) => Some(window.timezone),
        PartitionsDef::Multi(dimensions) => dimensions.values().find_map(timezone),
        PartitionsDef::Unpartitioned | PartitionsDef::Static(_) | PartitionsDef::Dynamic(_) => None,
    }
}

/// The values for one partition, or everything that is wrong with their templates.
///
/// A text with something in braces is read as the schema at its place asks: `{start:%Y}` is a number
/// where one is expected.
pub fn fill(
    values: &Value,
    at: &At,
    def: &PartitionsDef,
    schema: &Schema,
) -> Result<Value, Vec<(Path, TemplateError)>> {
    let wrong = mistakes(values, def);
    if !wrong.is_empty() {
        return Err(wrong);
    }
    Ok(filled(values, at, schema, Some(Vec::new())))
}

/// `names` lead to the value, as long as no list is on the way.
fn filled(value: &Value, at: &At, schema: &Schema, names: Option<Vec<&str>>) -> Value {
    match value {
        Value::String(text) => match parse(text) {
            Ok(pieces) => {
                let written = |piece: &Piece| match piece {
                    Piece::Text(text) => text.clone(),
                    Piece::Word { name, format } => {
                        at.write(name, format.as_deref()).unwrap_or_default()
                    }
                };
                let text: String = pieces.iter().map(written).collect();
                match names.filter(|_| has_words(&pieces)) {
                    Some(names) => schema.interpret(names.into_iter(), &text),
                    None => text.into(),
                }
            }
            Err(_) => value.clone(),
        },
        Value::Array(items) => items.iter().map(|item| filled(item, at, schema, None)).collect(),
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| {
                let names = names
                    .as_ref()
                    .map(|names| names.iter().copied().chain([name.as_str()]).collect::<Vec<_>>());
                (name.clone(), filled(value, at, schema, names))
            };
            Value::Object(fields.iter().map(field).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// Everything that is wrong with the templates in values for these partitions.
pub fn mistakes(values: &Value, def: &PartitionsDef) -> Vec<(Path, TemplateError)> {
    let mut known: Vec<&str> = match def {
        PartitionsDef::Multi(dimensions) => dimensions.keys().map(String::as_str).collect(),
        PartitionsDef::Unpartitioned
        | PartitionsDef::TimeWindow(_)
        | PartitionsDef::Static(_)
        | PartitionsDef::Dynamic(_) => Vec::new(),
    };
    known.push(PARTITION);
    let has_time = timezone(def).is_some();
    if has_time {
        known.extend(BOUNDS);
    }
    let mut found = Vec::new();
    texts(values, &Path::default(), &mut |path, text| {
        let pieces = match parse(text) {
            Ok(pieces) => pieces,
            Err(error) => return found.push((path.clone(), error)),
        };
        for piece in pieces {
            let Piece::Word { name, format } = piece else { continue };
            let is_time = has_time && BOUNDS.contains(&name.as_str());
            let error = match format {
                _ if !known.contains(&name.as_str()) => {
                    let known: Vec<String> = known.iter().map(|it| format!("`{{{it}}}`")).collect();
                    TemplateError::Unknown { name, known: known.join(", ") }
                }
                Some(format) if !is_time => TemplateError::NoTime { name, format },
                Some(format) if !is_date_format(&format) => TemplateError::Format { format },
                Some(_) | None => continue,
            };
            found.push((path.clone(), error));
        }
    });
    found
}

fn texts(value: &Value, path: &Path, found: &mut dyn FnMut(&Path, &str)) {
    match value {
        Value::String(text) => found(path, text),
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                texts(item, &path.then(Segment::Item(at)), found);
            }
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| texts(value, &path.field(name), found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The values without the fields in which something depends on the partition.
pub fn without(values: &Value) -> Value {
    let Value::Object(fields) = values else { return values.clone() };
    let mut kept = Map::new();
    for (name, value) in fields {
        let is_fixed = |value: &Value| {
            let mut fixed = true;
            texts(value, &Path::default(), &mut |_, text| {
                fixed &= parse(text).is_ok_and(|pieces| !has_words(&pieces));
            });
            fixed
        };
        match value {
            Value::Object(_) => {
                kept.insert(name.clone(), without(value));
            }
            value if is_fixed(value) => {
                kept.insert(name.clone(), value.clone());
            }
            _ => {}
        }
    }
    Value::Object(kept)
}

/// The words in a text, with their forms.
///
/// ```
/// use giornata::defs::template::words;
/// let found = words("{dir}/{tick:%Y}, {{as it is}}")?;
/// assert_eq!(found, [("dir".to_owned(), None), ("tick".to_owned(), Some("%Y".to_owned()))]);
/// assert!(words("{dir").is_err());
/// # Ok::<(), giornata::defs::template::TemplateError>(())
/// ```
pub fn words(text: &str) -> Result<Vec<(String, Option<String>)>, TemplateError> {
    let word = |piece| match piece {
        Piece::Word { name, format } => Some((name, format)),
        Piece::Text(_) => None,
    };
    Ok(parse(text)?.into_iter().filter_map(word).collect())
}

/// A text with its words replaced by what `word` says of their name and form; those of which it says
/// nothing are errors.
///
/// ```
/// use giornata::defs::template::write;
/// let word = |name: &str, _: Option<&str>| (name == "n").then(|| "1".to_owned());
/// assert_eq!(write("a{n}", &word)?, "a1");
/// assert!(write("a{m}", &word).is_err());
/// # Ok::<(), giornata::defs::template::TemplateError>(())
/// ```
pub fn write(
    text: &str,
    word: &dyn Fn(&str, Option<&str>) -> Option<String>,
) -> Result<String, TemplateError> {
    let mut written = String::new();
    for piece in parse(text)? {
        match piece {
            Piece::Text(text) => written += &text,
            Piece::Word { name, format } => match word(&name, format.as_deref()) {
                Some(text) => written += &text,
                None => {
                    let known = "other words".to_owned();
                    return Err(TemplateError::Unknown { name, known });
                }
            },
        }
    }
    Ok(written)
}

/// As [`write()`], of every text in a value.
pub fn write_all(
    value: &Value,
    word: &dyn Fn(&str, Option<&str>) -> Option<String>,
) -> Result<Value, TemplateError> {
    Ok(match value {
        Value::String(text) => Value::String(write(text, word)?),
        Value::Array(items) => {
            let items = items.iter().map(|item| write_all(item, word));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| {
                Ok::<_, TemplateError>((name.clone(), write_all(value, word)?))
            };
            Value::Object(fields.iter().map(field).collect::<Result<_, _>>()?)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    })
}

fn has_words(pieces: &[Piece]) -> bool {
    pieces.iter().any(|piece| matches!(piece, Piece::Word { .. }))
}

fn parse(text: &str) -> Result<Vec<Piece>, TemplateError> {
    let brace = || TemplateError::Brace { text: text.to_owned() };
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        plain += &rest[..at];
        let from = &rest[at..];
        if from.starts_with("{{") || from.starts_with("}}") {
            plain += &from[..1];
            rest = &from[2..];
            continue;
        }
        let inside = from.strip_prefix('{').ok_or_else(brace)?;
        let end = inside.find(['{', '}']).filter(|end| inside[*end..].starts_with('}'));
        let (word, after) = inside.split_at(end.ok_or_else(brace)?);
        if !plain.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
        }
        let (name, format) = match word.split_once(':') {
            Some((name, format)) => (name, Some(format.to_owned())),
            None => (word, None),
        };
        pieces.push(Piece::Word { name: name.trim().to_owned(), format });
        rest = &after[1..];
    }
    plain += rest;
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::{NaiveDate, TimeZone, Utc};
    use serde_json::json;

    use super::*;
    use crate::base::PartitionKey;
    use crate::defs::partition::{Cadence, TimeWindowDef};

    fn daily(timezone: Tz) -> PartitionsDef {
        let start = NaiveDate::from_ymd_opt(2024, 3, 1).unwrap().and_hms_opt(0, 0, 0).unwrap();
        let cadence = Cadence::Daily { hour: 0, minute: 0 };
        let format = "%Y-%m-%d".to_owned();
        let (end, end_offset, exclusions) = (None, 0, Vec::new());
        let def = TimeWindowDef { cadence, start, end, timezone, format, end_offset, exclusions };
        PartitionsDef::TimeWindow(def)
    }

    fn keys(keys: &[&str]) -> PartitionsDef {
        PartitionsDef::Static(keys.iter().map(|key| PartitionKey::new(*key)).collect())
    }

    #[track_caller]
    fn check(def: &PartitionsDef, key: &str, values: Value, expect: Value) {
        let now = Utc.with_ymd_and_hms(2025, 1, 1, 0, 0, 0).unwrap();
        let domain = Domain::resolve(Arc::new(def.clone()), now, &BTreeMap::new());
        let at = At::of(&domain, domain.index(key).unwrap()).unwrap();
        let schema = json!({"year": "int", "n": {"m": "float"}, "xs": ["string"], "v": "any"});
        let schema = Schema::parse_root(&schema).unwrap();
        assert_eq!(fill(&values, &at, def, &schema), Ok(expect));
    }

    #[test]
    fn a_window_is_told_in_the_time_zone_of_the_partitions() {
        let values = json!({"v": "{partition}: {start:%d.%m.%Y} to {end:%H:%M}", "s": "{start}"});
        let utc = json!({"v": "2024-03-31: 31.03.2024 to 00:00", "s": "2024-03-31T00:00:00+00:00"});
        check(&daily(Tz::UTC), "2024-03-31", values.clone(), utc);
        let berlin =
            json!({"v": "2024-03-31: 31.03.2024 to 00:00", "s": "2024-03-31T00:00:00+01:00"});
        check(&daily(Tz::Europe__Berlin), "2024-03-31", values, berlin);
    }

    #[test]
    fn a_text_is_read_as_its_place_asks() {
        let values = json!({
            "year": "{start:%Y}", "n": {"m": "{start:%m}"}, "xs": ["{start:%Y}", "{{x}}"], "v": "7",
        });
        let filled = json!({"year": 2024, "n": {"m": 3.0}, "xs": ["2024", "{x}"], "v": "7"});
        check(&daily(Tz::UTC), "2024-03-02", values, filled);
    }

    #[test]
    fn dimensions_have_their_names() {
        let dimensions = [("day", daily(Tz::UTC)), ("region", keys(&["eu", "u|s"]))];
        let dimensions = dimensions.map(|(name, def)| (name.to_owned(), def));
        let def = PartitionsDef::Multi(dimensions.into());
        let values = json!({"v": "{region} on {day}, {start:%a}"});
        let now = Utc.with_ymd_and_hms(2025, 1, 1, 0, 0, 0).unwrap();
        let domain = Domain::resolve(Arc::new(def.clone()), now, &BTreeMap::new());
        let second = domain.ordered()[1];
        let at = At::of(&domain, second).unwrap();
        let filled = fill(&values, &at, &def, &Schema::Any).unwrap();
        assert_eq!(filled, json!({"v": "u|s on 2024-03-01, Fri"}));
    }

    #[test]
    fn what_a_partition_says_is_no_template() {
        check(
            &keys(&["{start}", "a"]),
            "{start}",
            json!({"v": "{partition}"}),
            json!({"v": "{start}"}),
        );
    }

    #[test]
    fn what_depends_on_the_partition_can_be_left_out() {
        let values =
            json!({"a": "{partition}", "b": "{{x}}", "c": {"d": "{start}", "e": 1}, "f": ["{x}"]});
        assert_eq!(without(&values), json!({"b": "{{x}}", "c": {"e": 1}}));
    }

    #[test]
    fn mistakes_are_all_told_with_their_places() {
        let values = json!({
            "a": "{start}", "b": ["x", "{x"], "c": "x}", "d": {"e": "{partition:%Y}"}, "f": "{}",
        });
        let found = mistakes(&values, &keys(&["a"]));
        let found: Vec<String> =
            found.iter().map(|(path, error)| format!("{path}: {error}")).collect();
        assert_eq!(
            found,
            [
                "a: a partition has no `{start}`; it has `{partition}`",
                "b[1]: `{x` has a brace that has no other; a brace itself is written `{{` or `}}`",
                "c: `x}` has a brace that has no other; a brace itself is written `{{` or `}}`",
                "d.e: `{partition:%Y}` has a form, and only `start` and `end` have one",
                "f: a partition has no `{}`; it has `{partition}`",
            ]
        );
        assert_eq!(mistakes(&json!({"a": "{end:%j}", "b": 3}), &daily(Tz::UTC)), []);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "([{}:%]|start|partition|%Y|[a-zé]){0,12}") {
            for def in [daily(Tz::UTC), keys(&["a"])] {
                let now = Utc.with_ymd_and_hms(2025, 1, 1, 0, 0, 0).unwrap();
                let domain = Domain::resolve(Arc::new(def.clone()), now, &BTreeMap::new());
                let at = At::of(&domain, domain.ordered()[0]).unwrap();
                let values = json!({"a": text});
                let filled = fill(&values, &at, &def, &Schema::Any);
                assert_eq!(filled.is_ok(), mistakes(&values, &def).is_empty());
            }
        }
    }
}
