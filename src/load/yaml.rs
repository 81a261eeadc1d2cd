//! YAML text to [`Node`]s, with anchors and merges resolved and with limits on what they expand to.
//!
//! A value that comes from an anchor has the place of its definition, where it can be mended.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use serde_saphyr::{DefaultMessageFormatter, Location, MessageFormatter, Options, Spanned};

use super::diagnostic::{Diagnostic, Place, SourceText};
use super::node::{Entry, Kind, Node};

/// Nesting from this level on is refused.
const DEPTH_LIMIT: usize = 128;
/// How often anchors may be named in one file.
const ALIASES_MAX: usize = 100_000;
/// How many values a file may hold, anchors expanded: with their text it stays well below 64 MB.
const NODES_MAX: usize = 500_000;
/// Bytes of text from which on a file is refused, anchors expanded.
const EXPANDED_LIMIT: usize = 64 << 20;

/// The root of a YAML file (`Null` for an empty one), or why there is none.
pub(super) fn parse(file: &Arc<SourceText>) -> Result<Node, Box<Diagnostic>> {
    let place = |span| Place { file: Arc::clone(file), span };
    if file.text.len() >= EXPANDED_LIMIT {
        return Err(Box::new(place(0..0).error("this file is too large to hold definitions")));
    }
    let root: Result<Tree, _> = serde_saphyr::from_str_with_options(&file.text, options());
    match root {
        Ok(Tree(node)) => Ok(node),
        // An empty text has no value at all, which is fine for a file of definitions.
        Err(serde_saphyr::Error::Eof { .. }) => Ok(Node { kind: Kind::Null, span: 0..0 }),
        Err(error) => Err(Box::new(diagnostic(&error, &file.text, place))),
    }
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEPTH_LIMIT - 1,
            max_aliases: ALIASES_MAX,
            max_anchors: ALIASES_MAX,
            max_merge_keys: ALIASES_MAX,
            max_nodes: NODES_MAX,
            max_events: 2 * NODES_MAX,
            max_recorded_anchor_events: NODES_MAX / 2,
            max_total_scalar_bytes: EXPANDED_LIMIT - 1,
            enforce_alias_anchor_ratio: false,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 2 * NODES_MAX,
            max_replay_stack_depth: DEPTH_LIMIT,
        },
        duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::PassThrough,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        with_snippet: false,
    }
}

fn diagnostic(
    error: &serde_saphyr::Error,
    text: &str,
    place: impl Fn(Range<usize>) -> Place,
) -> Diagnostic {
    let span = error.location().map_or(0..0, |location| error_bytes(text, location));
    if is_limit(error) {
        return place(span)
            .error("this file expands to more than definitions need")
            .label("too much from here on")
            .help(format!(
                "at most {ALIASES_MAX} aliases, {NODES_MAX} values, {} MB and {} levels are read",
                EXPANDED_LIMIT >> 20,
                DEPTH_LIMIT - 1
            ));
    }
    let said = DefaultMessageFormatter.format_message(error);
    place(span).error("this is not YAML").label(said.lines().next().unwrap_or_default())
}

/// Whether a limit was passed. Of an error within an alias only its text is left.
fn is_limit(error: &serde_saphyr::Error) -> bool {
    use serde_saphyr::Error;
    match error.without_snippet() {
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => true,
        other => other.to_string().contains("budget breached"),
    }
}

/// The place of an error; the scanner knows line and column only.
fn error_bytes(text: &str, location: Location) -> Range<usize> {
    if location.span().byte_offset().is_some() {
        return bytes(location);
    }
    let number = |value: u64| usize::try_from(value).unwrap_or(usize::MAX).saturating_sub(1);
    let before: usize =
        text.split_inclusive('\n').take(number(location.line())).map(str::len).sum();
    let line = text[before..].lines().next().unwrap_or_default();
    let column: usize = line.chars().take(number(location.column())).map(char::len_utf8).sum();
    let at = before + column;
    at..at + text[at..].chars().next().filter(|c| *c != '\n').map_or(0, char::len_utf8)
}

fn bytes(location: Location) -> Range<usize> {
    let span = location.span();
    let number = |value: Option<u64>| value.and_then(|value| usize::try_from(value).ok());
    let start = number(span.byte_offset()).unwrap_or(0);
    start..start + number(span.byte_len()).unwrap_or(0)
}

/// [`Node`] as something to deserialize.
struct Tree(Node);

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Tree, D::Error> {
        let value = Spanned::<Content>::deserialize(deserializer)?;
        Ok(Tree(Node { kind: value.value.0, span: bytes(value.defined) }))
    }
}

struct Content(Kind);

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Content, D::Error> {
        deserializer.deserialize_any(ContentVisitor).map(Content)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Kind, E> {
        Ok(Kind::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Kind, E> {
        Ok(Kind::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Kind, E> {
        Ok(Kind::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Kind, E> {
        let number = Number::from_f64(value);
        number.map(Kind::Number).ok_or_else(|| E::custom("this number is not finite"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Kind, E> {
        Ok(Kind::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Kind, E> {
        Ok(Kind::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Kind, A::Error> {
        let mut nodes = Vec::new();
        while let Some(Tree(node)) = items.next_element()? {
            nodes.push(node);
        }
        Ok(Kind::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kind, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let key_span = bytes(key.defined);
            let Tree(value) = map.next_value()?;
            entries.push(Entry { key: key.value, key_span, value });
        }
        Ok(Kind::Table(entries))
    }
}
