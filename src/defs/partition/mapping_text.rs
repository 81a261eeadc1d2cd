//! The text form of mappings: `all`, `window(-6d, 0d)`, `static("a" -> "x")`.

use std::fmt;

use super::{MappingDef, WindowOffset, WindowUnit};
use crate::base::PartitionKey;

impl MappingDef {
    /// Reads `all`, `identity`, `last(3)`, `window(-6d, 0d)`, `time`, `dimension(date)`; fails with a sentence
    /// that says what is wrong. See the example of [`MappingDef`].
    pub fn parse(text: &str) -> Result<MappingDef, String> {
        let text = text.trim();
        let (name, argument) = match text.split_once('(') {
            None => (text, None),
            Some((name, rest)) => {
                let argument = rest.strip_suffix(')').ok_or_else(|| {
                    format!("`{text}` has an opening parenthesis that nothing closes")
                })?;
                (name.trim_end(), Some(argument.trim()))
            }
        };
        match (name, argument) {
            ("default", None) => Ok(MappingDef::Default),
            ("identity", None) => Ok(MappingDef::Identity),
            ("time", None) => Ok(MappingDef::TimeOverlap),
            ("all", None) => Ok(MappingDef::All),
            ("last", None) => Ok(MappingDef::Last(1)),
            ("last", Some(count)) => match count.parse::<u32>() {
                Ok(count) if count > 0 => Ok(MappingDef::Last(count)),
                Ok(_) | Err(_) => {
                    Err(format!("`{text}` needs a number of partitions from 1 on, as in `last(7)`"))
                }
            },
            ("window", Some(offsets)) => parse_window(text, offsets),
            ("dimension", Some(name)) if !name.is_empty() => {
                Ok(MappingDef::Dimension(name.to_owned()))
            }
            ("static", Some(pairs)) => parse_pairs(text, pairs),
            (_, _) => Err(format!(
                "`{text}` is not a mapping; mappings are `identity`, `time`, `all`, `last(7)`, \
                 `window(-6d, 0d)` and `dimension(name)`"
            )),
        }
    }
}

fn parse_window(text: &str, offsets: &str) -> Result<MappingDef, String> {
    let error = || {
        format!(
            "`{text}` needs two distances, as in `window(-6d, 0d)`; the units are h, d, w, mo and \
             y, and a number without one counts windows"
        )
    };
    let (from, to) = offsets.split_once(',').ok_or_else(error)?;
    let from = parse_offset(from.trim()).ok_or_else(error)?;
    let to = parse_offset(to.trim()).ok_or_else(error)?;
    if from.unit == to.unit && from.count > to.count {
        return Err(format!("`{text}` ends before it begins"));
    }
    Ok(MappingDef::Window { from, to })
}

fn parse_offset(text: &str) -> Option<WindowOffset> {
    let digits = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (count, unit) = text.split_at(digits);
    let unit = match unit {
        "" => WindowUnit::Windows,
        "h" => WindowUnit::Hours,
        "d" => WindowUnit::Days,
        "w" => WindowUnit::Weeks,
        "m" | "mo" => WindowUnit::Months,
        "y" => WindowUnit::Years,
        _ => return None,
    };
    Some(WindowOffset { count: count.trim_end().parse().ok()?, unit })
}

fn parse_pairs(text: &str, pairs: &str) -> Result<MappingDef, String> {
    let error =
        || format!("`{text}` needs pairs of keys, as in `static(\"a\" -> \"x\", \"b\" -> \"x\")`");
    let mut found = Vec::new();
    let mut rest = pairs;
    while !rest.is_empty() {
        let (up, after) = parse_quoted(rest).ok_or_else(error)?;
        let after = after.trim_start().strip_prefix("->").ok_or_else(error)?;
        let (down, after) = parse_quoted(after.trim_start()).ok_or_else(error)?;
        found.push((PartitionKey::new(up), PartitionKey::new(down)));
        let after = after.trim_start();
        rest = match after.strip_prefix(',') {
            Some(more) => more.trim_start(),
            None if after.is_empty() => after,
            None => return Err(error()),
        };
    }
    Ok(MappingDef::Static(found))
}

/// Reads a text in double quotes; gives what follows it too.
pub(super) fn parse_quoted(text: &str) -> Option<(String, &str)> {
    let mut unquoted = String::new();
    let mut escaped = false;
    for (at, c) in text.strip_prefix('"')?.char_indices() {
        match (c, escaped) {
            ('\\', false) => escaped = true,
            ('"', false) => return Some((unquoted, &text[at + 2..])),
            (c, _) => {
                unquoted.push(c);
                escaped = false;
            }
        }
    }
    None
}

/// Puts a text in double quotes, as [`parse_quoted`] reads it.
pub(super) fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Canonical text, as `parse` reads it (`default` for the default; `asked`, which no text declares).
impl fmt::Display for MappingDef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MappingDef::Default => f.write_str("default"),
            MappingDef::Identity => f.write_str("identity"),
            MappingDef::TimeOverlap => f.write_str("time"),
            MappingDef::Window { from, to } => write!(f, "window({from}, {to})"),
            MappingDef::All => f.write_str("all"),
            MappingDef::Last(count) => write!(f, "last({count})"),
            MappingDef::Static(pairs) => {
                let pair = |(up, down): &(PartitionKey, PartitionKey)| {
                    format!("{} -> {}", quote(up.as_str()), quote(down.as_str()))
                };
                write!(f, "static({})", pairs.iter().map(pair).collect::<Vec<_>>().join(", "))
            }
            MappingDef::Dimension(name) => write!(f, "dimension({name})"),
            MappingDef::Asked => f.write_str("asked"),
        }
    }
}

impl fmt::Display for WindowOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            WindowUnit::Windows => "",
            WindowUnit::Hours => "h",
            WindowUnit::Days => "d",
            WindowUnit::Weeks => "w",
            WindowUnit::Months => "mo",
            WindowUnit::Years => "y",
        };
        write!(f, "{}{unit}", self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, canonical: &str) {
        let def = MappingDef::parse(text).unwrap();
        assert_eq!(def.to_string(), canonical);
        assert_eq!(MappingDef::parse(canonical), Ok(def));
    }

    #[test]
    fn mappings_are_read_and_written() {
        check("all", "all");
        check(" identity ", "identity");
        check("last(3)", "last(3)");
        check("last", "last(1)");
        check("window(-6d, 0d)", "window(-6d, 0d)");
        check("window(-1,+1)", "window(-1, 1)");
        check("window(-1m, 0y)", "window(-1mo, 0y)");
        check("time", "time");
        check("dimension( date )", "dimension(date)");
        check(
            r#"static("a"->"x", "say \"b\"" -> "\\",)"#,
            r#"static("a" -> "x", "say \"b\"" -> "\\")"#,
        );
        check("static()", "static()");
    }

    #[test]
    fn other_texts_are_errors() {
        let wrong = [
            "",
            "al",
            "all()",
            "last(0)",
            "last(x)",
            "window(-1)",
            "window(1d, 0d)",
            "window(1q, 2)",
            "window(-1d, 0d",
            "dimension()",
            "static(a -> b)",
            r#"static("a" -> "b" "c")"#,
            "window(99999999999, 0)",
        ];
        for text in wrong {
            assert!(MappingDef::parse(text).is_err(), "{text}");
        }
    }
}
