//! The text in which users name partitions: `2024-01..2024-03`, `a,b`, `latest`, `region=eu,date=2024-01..`.
//!
//! Here is the grammar alone; what the words mean in a domain is decided in `select`.

use std::ops::Range;

use super::mapping_text::{parse_quoted, quote};
use super::{Domain, select};
use crate::base::PartitionSet;

/// A parsed partition expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionExpr {
    text: String,
    items: Vec<Item>,
}

/// A reserved word of an expression whose value only the caller knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PartitionWord {
    Missing,
    Failed,
    Stale,
}

/// Why a text names no partitions; `at` is a byte range of the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PartitionTextError {
    pub message: String,
    pub at: Range<usize>,
    pub help: Option<String>,
    /// It was read, as a window of time, and no partition starts in that.
    pub is_nothing: bool,
}

/// What stands between two commas: `a`, `date=a`, or `date=a|region=b`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    /// As written, without the blanks around it.
    pub(super) raw: String,
    pub(super) at: Range<usize>,
    /// More than one only where `|` joins them.
    pub(super) terms: Vec<Term>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Term {
    /// The dimension it names, as in `date=`.
    pub(super) dimension: Option<String>,
    pub(super) at: Range<usize>,
    pub(super) body: Body,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Body {
    One(Atom),
    /// Both ends included; an open end is that of the domain.
    Between(Option<Atom>, Option<Atom>),
    /// Keys that begin and end like this.
    Wild(String, String),
    Last(u32),
    All,
    Word(PartitionWord),
}

/// A key, or an unquoted text for a span of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Atom {
    pub(super) text: String,
    pub(super) quoted: bool,
    pub(super) at: Range<usize>,
}

impl PartitionExpr {
    pub fn parse(text: &str) -> Result<PartitionExpr, PartitionTextError> {
        let mut items = Vec::new();
        for at in split(text, 0..text.len(), ',')? {
            let at = trim(text, at);
            if at.is_empty() {
                continue;
            }
            let mut terms = Vec::new();
            for term in split(text, at.clone(), '|')? {
                terms.push(Term::parse(text, trim(text, term))?);
            }
            items.push(Item { raw: text[at.clone()].to_owned(), at, terms });
        }
        Ok(PartitionExpr { text: text.to_owned(), items })
    }

    /// Whether it names partitions by the state in which they are.
    pub fn asks_for_states(&self) -> bool {
        let terms = self.items.iter().flat_map(|item| &item.terms);
        terms.into_iter().any(|term| matches!(term.body, Body::Word(_)))
    }

    /// The text that was parsed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The partitions of `domain` that the expression names. `word` answers `missing`, `failed` and
    /// `stale`. A key that does not exist, and a range backwards, are errors.
    pub fn select(
        &self,
        domain: &Domain,
        word: &dyn Fn(PartitionWord) -> PartitionSet,
    ) -> Result<PartitionSet, PartitionTextError> {
        select::select(&self.items, domain, word)
    }
}

impl PartitionTextError {
    pub(super) fn new(message: impl Into<String>, at: Range<usize>) -> PartitionTextError {
        PartitionTextError { message: message.into(), at, help: None, is_nothing: false }
    }

    pub(super) fn help(mut self, help: Option<String>) -> PartitionTextError {
        self.help = help;
        self
    }
}

impl Term {
    fn parse(text: &str, at: Range<usize>) -> Result<Term, PartitionTextError> {
        let (dimension, rest) = match dimension(&text[at.clone()]) {
            Some((name, length)) => (Some(name), trim(text, at.start + length..at.end)),
            None => (None, at.clone()),
        };
        Ok(Term { dimension, at, body: Body::parse(text, rest)? })
    }
}

impl Body {
    fn parse(text: &str, at: Range<usize>) -> Result<Body, PartitionTextError> {
        let written = &text[at.clone()];
        if let Some(inner) = written.strip_prefix('[') {
            if !inner.ends_with(']') {
                return Err(PartitionTextError::new("a `[` that no `]` closes", at));
            }
            let inside = at.start + 1..at.end - 1;
            let Some(dots) = find(text, inside.clone(), "...") else {
                let message = "a range in brackets has two ends, as in `[a...b]`";
                return Err(PartitionTextError::new(message, at));
            };
            let left = Atom::parse_end(text, inside.start..dots)?;
            return Ok(Body::Between(left, Atom::parse_end(text, dots + 3..inside.end)?));
        }
        for dots in ["...", ".."] {
            if let Some(place) = find(text, at.clone(), dots) {
                let left = Atom::parse_end(text, at.start..place)?;
                return Ok(Body::Between(left, Atom::parse_end(text, place + dots.len()..at.end)?));
            }
        }
        Body::word(text, at)
    }

    fn word(text: &str, at: Range<usize>) -> Result<Body, PartitionTextError> {
        let written = &text[at.clone()];
        if written.starts_with('"') {
            return Ok(Body::One(Atom::parse(text, at)?));
        }
        if let Some((before, after)) = written.split_once('*') {
            if after.contains('*') {
                return Err(PartitionTextError::new("more than one `*`", at));
            }
            return Ok(Body::Wild(before.to_owned(), after.to_owned()));
        }
        let count = written.strip_prefix("last(").and_then(|rest| rest.strip_suffix(')'));
        match (written, count) {
            ("all", _) => Ok(Body::All),
            ("latest" | "last", _) => Ok(Body::Last(1)),
            ("missing", _) => Ok(Body::Word(PartitionWord::Missing)),
            ("failed", _) => Ok(Body::Word(PartitionWord::Failed)),
            ("stale", _) => Ok(Body::Word(PartitionWord::Stale)),
            (_, Some(count)) => count.trim().parse().map(Body::Last).map_err(|_| {
                PartitionTextError::new("`last(…)` needs a number, as in `last(7)`", at)
            }),
            (_, None) => Ok(Body::One(Atom::parse(text, at)?)),
        }
    }
}

impl Atom {
    fn parse(text: &str, at: Range<usize>) -> Result<Atom, PartitionTextError> {
        let written = &text[at.clone()];
        if !written.starts_with('"') {
            return Ok(Atom { text: written.to_owned(), quoted: false, at });
        }
        match parse_quoted(written) {
            Some((unquoted, "")) => Ok(Atom { text: unquoted, quoted: true, at }),
            Some((_, rest)) => {
                let message = "a comma is expected after a key in quotes";
                Err(PartitionTextError::new(message, at.end - rest.len()..at.end))
            }
            None => Err(PartitionTextError::new("a `\"` that no other one closes", at)),
        }
    }

    fn parse_end(text: &str, at: Range<usize>) -> Result<Option<Atom>, PartitionTextError> {
        let at = trim(text, at);
        if at.is_empty() {
            return Ok(None);
        }
        let atom = Atom::parse(text, at)?;
        if !atom.quoted && atom.text.contains('*') {
            return Err(PartitionTextError::new("a range ends at keys, not at a `*`", atom.at));
        }
        Ok(Some(atom))
    }
}

/// A key as it stands in an expression: in quotes if it would mean something else without.
pub(super) fn key_text(key: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_:/@-+.".contains(c);
    let reserved = ["all", "latest", "last", "missing", "failed", "stale"];
    let is_plain = !key.is_empty()
        && key.chars().all(plain)
        && !key.contains("..")
        && !key.starts_with('.')
        && !key.ends_with('.')
        && !reserved.contains(&key);
    if is_plain { key.to_owned() } else { quote(key) }
}

/// The name of a dimension, if the text begins with one and `=`, and how long that is.
pub(super) fn dimension(text: &str) -> Option<(String, usize)> {
    if text.starts_with('"') {
        let (name, rest) = parse_quoted(text)?;
        return rest.starts_with('=').then(|| (name, text.len() - rest.len() + 1));
    }
    let place = text.find('=')?;
    let (name, _) = text.split_at(place);
    let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let name = name.trim_end();
    (!name.is_empty() && name.chars().all(is_name)).then(|| (name.to_owned(), place + 1))
}

/// Splits at a character outside of quotes.
pub(super) fn split(
    text: &str,
    at: Range<usize>,
    separator: char,
) -> Result<Vec<Range<usize>>, PartitionTextError> {
    let mut parts = Vec::new();
    let mut begin = at.start;
    let mut quote_at = None;
    let mut escaped = false;
    for (place, c) in text[at.clone()].char_indices() {
        let place = at.start + place;
        match (c, quote_at) {
            (_, Some(_)) if escaped => escaped = false,
            ('\\', Some(_)) => escaped = true,
            ('"', Some(_)) => quote_at = None,
            ('"', None) if opens_quote(&text[begin..place]) => quote_at = Some(place),
            (c, None) if c == separator => {
                parts.push(begin..place);
                begin = place + c.len_utf8();
            }
            (_, Some(_) | None) => {}
        }
    }
    if let Some(place) = quote_at {
        return Err(PartitionTextError::new("a `\"` that no other one closes", place..at.end));
    }
    parts.push(begin..at.end);
    Ok(parts)
}

/// A quote opens where a key could begin; inside of a bare key it is a character like others.
fn opens_quote(before: &str) -> bool {
    let before = before.trim_end();
    before.is_empty() || before.ends_with(['.', '[', '=', '|'])
}

/// Where dots first stand outside of quotes.
fn find(text: &str, at: Range<usize>, dots: &str) -> Option<usize> {
    let mut begin = at.start;
    loop {
        let rest = &text[begin..at.end];
        let blanks = rest.len() - rest.trim_start().len();
        if rest[blanks..].starts_with('"') {
            let (_, after) = parse_quoted(&rest[blanks..])?;
            begin = at.end - after.len();
            continue;
        }
        // The left end is bare or was skipped just now, so dots come before any other quote.
        return rest.find(dots).map(|place| begin + place);
    }
}

fn trim(text: &str, at: Range<usize>) -> Range<usize> {
    let written = &text[at.clone()];
    let begin = at.start + (written.len() - written.trim_start().len());
    begin..begin + written.trim().len()
}
