//! A tree of values with their places: what YAML and TOML both become before they mean anything.
//!
//! Both spellings have the same keys, so there is one reader for both, and it can report every
//! problem of a file at once instead of the first. A [`Value`] knows its file, because a default
//! comes from another file than the asset that it is for.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use serde_json::Number;

use super::diagnostic::{Diagnostic, Place, SourceText, did_you_mean};
use super::form::Key;
use crate::base::AssetKey;

/// A value at a place of a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub kind: Kind,
    pub span: Range<usize>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    /// An unquoted date or time of TOML. In YAML these are texts.
    Date(String),
    List(Vec<Node>),
    Table(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub key: String,
    pub key_span: Range<usize>,
    pub value: Node,
}

impl Kind {
    fn name(&self) -> &'static str {
        match self {
            Kind::Null => "nothing",
            Kind::Bool(_) => "a boolean",
            Kind::Number(_) => "a number",
            Kind::Text(_) => "a text",
            Kind::Date(_) => "a date",
            Kind::List(_) => "a list",
            Kind::Table(_) => "a table",
        }
    }
}

/// Collects diagnostics, and marks each error with the asset that is being read.
#[derive(Debug, Default)]
pub(super) struct Sink {
    pub diagnostics: Vec<Diagnostic>,
    about: Option<AssetKey>,
    errors: usize,
    /// Files that may declare something and could not be read: their errors, and what is known of their
    /// texts.
    unread: Vec<(usize, Option<String>)>,
}

impl Sink {
    pub fn push(&mut self, mut diagnostic: Diagnostic) {
        if diagnostic.is_error() {
            self.errors += 1;
            if let Some(key) = &self.about
                && !diagnostic.disables.contains(key)
            {
                diagnostic.disables.push(key.clone());
            }
        }
        self.diagnostics.push(diagnostic);
    }

    /// Reports why a file of definitions could not be read; `text` is what stands in it, if that is known.
    pub fn unread(&mut self, diagnostic: Diagnostic, text: Option<String>) {
        self.unread.push((self.diagnostics.len(), text));
        self.push(diagnostic);
    }

    /// The errors of files that could not be read and may declare `name`: where there are any, that it is
    /// declared nowhere need not be said.
    pub fn hiding(&self, name: &str) -> Faults {
        let may_declare = |text: &Option<String>| match text {
            Some(text) => names(text, name),
            None => true,
        };
        self.unread.iter().filter(|(_, text)| may_declare(text)).map(|(at, _)| *at).collect()
    }

    /// How many errors there were so far.
    pub fn errors(&self) -> usize {
        self.errors
    }

    /// Runs `read`; errors that it reports disable `key`. The second result says whether there were none.
    pub fn about<T>(&mut self, key: &AssetKey, read: impl FnOnce(&mut Sink) -> T) -> (T, bool) {
        let outer = self.about.replace(key.clone());
        let before = self.errors;
        let value = read(self);
        self.about = outer;
        (value, self.errors == before)
    }

    /// Says of what was noted that an asset cannot be used because of it.
    pub fn disable(&mut self, faults: &Faults, asset: &AssetKey) {
        for at in faults {
            self.diagnostics[*at].disables.push(asset.clone());
        }
    }

    /// Runs `read` and notes the errors that it reports.
    pub fn noting<T>(&mut self, faults: &mut Faults, read: impl FnOnce(&mut Sink) -> T) -> T {
        let before = self.diagnostics.len();
        let value = read(self);
        let errors = (before..self.diagnostics.len()).filter(|at| self.diagnostics[*at].is_error());
        faults.extend(errors);
        value
    }
}

/// Whether `name` stands in a text as a word of its own.
fn names(text: &str, name: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    !name.is_empty()
        && text.match_indices(name).any(|(at, _)| {
            !text[..at].ends_with(part) && !text[at + name.len()..].starts_with(part)
        })
}

/// Errors of one definition, by their places among all diagnostics: whatever uses the definition has
/// them too.
pub(super) type Faults = BTreeSet<usize>;

/// A node together with the file that it stands in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value<'a> {
    pub file: &'a Arc<SourceText>,
    pub node: &'a Node,
}

/// The entries of a table together with the file that they stand in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table<'a> {
    pub file: &'a Arc<SourceText>,
    pub span: &'a Range<usize>,
    pub entries: &'a [Entry],
}

impl<'a> Value<'a> {
    pub fn place(self) -> Place {
        Place { file: Arc::clone(self.file), span: self.node.span.clone() }
    }

    fn wrong(self, what: &str, expected: &str, sink: &mut Sink) {
        let found = self.node.kind.name();
        sink.push(
            self.place()
                .error(format!("`{what}` must be {expected}, not {found}"))
                .label(format!("expected {expected}")),
        );
    }

    pub fn table(self, what: &str, sink: &mut Sink) -> Option<Table<'a>> {
        if let Kind::Table(entries) = &self.node.kind {
            return Some(Table { file: self.file, span: &self.node.span, entries });
        }
        self.wrong(what, "a table", sink);
        None
    }

    pub fn as_table(self) -> Option<Table<'a>> {
        let Kind::Table(entries) = &self.node.kind else { return None };
        Some(Table { file: self.file, span: &self.node.span, entries })
    }

    pub fn as_list(self) -> Option<impl Iterator<Item = Value<'a>>> {
        let Kind::List(items) = &self.node.kind else { return None };
        Some(items.iter().map(move |node| Value { file: self.file, node }))
    }

    pub fn as_text(self) -> Option<&'a str> {
        let Kind::Text(text) = &self.node.kind else { return None };
        Some(text)
    }

    pub fn list(self, what: &str, sink: &mut Sink) -> Option<Vec<Value<'a>>> {
        let items = self.as_list().map(Iterator::collect);
        if items.is_none() {
            self.wrong(what, "a list", sink);
        }
        items
    }

    pub fn text(self, what: &str, sink: &mut Sink) -> Option<&'a str> {
        let text = self.as_text();
        if text.is_none() {
            self.wrong(what, "a text", sink);
        }
        text
    }

    /// A text, or a number or date as it is written: `version: 1.10` is `1.10`.
    pub fn written(self, what: &str, sink: &mut Sink) -> Option<String> {
        match &self.node.kind {
            Kind::Text(text) | Kind::Date(text) => Some(text.clone()),
            Kind::Number(number) => {
                let written = self.file.text.get(self.node.span.clone()).unwrap_or_default().trim();
                Some(if written.is_empty() { number.to_string() } else { written.to_owned() })
            }
            Kind::Null | Kind::Bool(_) | Kind::List(_) | Kind::Table(_) => {
                self.wrong(what, "a text or a number", sink);
                None
            }
        }
    }

    pub fn texts(self, what: &str, sink: &mut Sink) -> Vec<(String, Place)> {
        let items = self.list(what, sink).unwrap_or_default();
        let read = |item: Value<'_>, sink: &mut Sink| {
            item.text(what, sink).map(|text| (text.to_owned(), item.place()))
        };
        items.into_iter().filter_map(|item| read(item, sink)).collect()
    }

    pub fn boolean(self, what: &str, sink: &mut Sink) -> Option<bool> {
        if let Kind::Bool(value) = self.node.kind {
            return Some(value);
        }
        self.wrong(what, "`true` or `false`", sink);
        None
    }

    /// A whole number within `range`.
    pub fn integer(self, what: &str, range: Range<i64>, sink: &mut Sink) -> Option<i64> {
        let number = match &self.node.kind {
            Kind::Number(number) => number.as_i64(),
            _ => None,
        };
        match number {
            Some(number) if range.contains(&number) => Some(number),
            _ => {
                let (low, high) = (range.start, range.end - 1);
                let expected = if range.end == i64::MAX {
                    format!("a whole number of at least {low}")
                } else {
                    format!("a whole number from {low} to {high}")
                };
                sink.push(
                    self.place()
                        .error(format!("`{what}` must be {expected}"))
                        .label(format!("expected {expected}")),
                );
                None
            }
        }
    }

    /// The value for a step to read, with the types that it was written in.
    pub fn json(self) -> serde_json::Value {
        json(self.node)
    }

    /// One of a fixed set of words.
    pub fn word(self, what: &str, words: &[&'static str], sink: &mut Sink) -> Option<&'static str> {
        let text = self.text(what, sink)?;
        let found = words.iter().find(|word| **word == text).copied();
        if found.is_none() {
            let known = format!("known are {}", list_of(words));
            sink.push(
                self.place()
                    .error(format!("`{what}` cannot be `{text}`"))
                    .label("unknown word")
                    .help(did_you_mean(text, words.iter().copied()).unwrap_or(known)),
            );
        }
        found
    }
}

pub(super) fn json(node: &Node) -> serde_json::Value {
    match &node.kind {
        Kind::Null => serde_json::Value::Null,
        Kind::Bool(value) => (*value).into(),
        Kind::Number(number) => number.clone().into(),
        Kind::Text(text) | Kind::Date(text) => text.clone().into(),
        Kind::List(items) => items.iter().map(json).collect(),
        Kind::Table(entries) => {
            entries.iter().map(|entry| (entry.key.clone(), json(&entry.value))).collect()
        }
    }
}

impl<'a> Table<'a> {
    pub fn get(self, key: &str) -> Option<Value<'a>> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        Some(Value { file: self.file, node: &entry.value })
    }

    pub fn place(self) -> Place {
        Place { file: Arc::clone(self.file), span: self.span.clone() }
    }

    pub fn key_place(self, entry: &Entry) -> Place {
        Place { file: Arc::clone(self.file), span: entry.key_span.clone() }
    }

    pub fn iter(self) -> impl Iterator<Item = (&'a Entry, Value<'a>)> {
        self.entries.iter().map(move |entry| (entry, Value { file: self.file, node: &entry.value }))
    }

    /// Reports every key that is in none of the tables `known`; `owner` says whose keys these are.
    ///
    /// Gives whether there was none: a key that is missed may be one that is misspelt.
    pub fn allow(self, known: &[&'static [Key]], owner: &str, sink: &mut Sink) -> bool {
        let known: Vec<&str> = known.iter().copied().flatten().map(|key| key.name).collect();
        let mut all_known = true;
        for entry in self.entries {
            if known.contains(&entry.key.as_str()) {
                continue;
            }
            all_known = false;
            let help = did_you_mean(&entry.key, known.iter().copied())
                .unwrap_or_else(|| format!("known keys: {}", known.join(", ")));
            sink.push(
                self.key_place(entry)
                    .error(format!("{owner} has no key `{}`", entry.key))
                    .label("unknown key")
                    .help(help),
            );
        }
        all_known
    }
}

/// Reports keys that stand in one table twice.
pub(super) fn repeated_keys(entries: &[Entry], file: &Arc<SourceText>, sink: &mut Sink) {
    let mut seen = BTreeMap::new();
    for entry in entries {
        let Some(first) = seen.insert(entry.key.as_str(), entry) else { continue };
        let place = Place { file: Arc::clone(file), span: entry.key_span.clone() };
        sink.push(
            place
                .error(format!("the key `{}` is there twice", entry.key))
                .label("again here")
                .related(first.key_span.clone(), "first here"),
        );
    }
}

/// Reports keys that stand in one table twice, however deep the table is.
pub(super) fn repeated_below(value: Value<'_>, sink: &mut Sink) {
    let mut open: Vec<&Node> = vec![value.node];
    while let Some(node) = open.pop() {
        match &node.kind {
            Kind::Table(entries) => {
                repeated_keys(entries, value.file, sink);
                open.extend(entries.iter().map(|entry| &entry.value));
            }
            Kind::List(items) => open.extend(items),
            Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) | Kind::Date(_) => {}
        }
    }
}

/// `` `a`, `b` and `c` ``.
pub(super) fn list_of<T: std::fmt::Display>(words: &[T]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}
