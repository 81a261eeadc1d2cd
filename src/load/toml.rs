//! TOML text to [`Node`]s: `giornata.toml`, and the headers of scripts.
//!
//! What can be read of a broken text is still given, so that a slip in one table does not hide
//! what the other tables declare.

use std::ops::Range;
use std::sync::Arc;

use serde_json::Number;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Diagnostic, Place, SourceText};
use super::node::{Entry, Kind, Node};

/// A TOML text within a file. `at` maps its offsets to the file's.
pub(super) fn parse(
    text: &str,
    file: &Arc<SourceText>,
    at: &dyn Fn(usize) -> usize,
) -> (Node, Vec<Diagnostic>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut problems: Vec<Diagnostic> = errors
        .iter()
        .map(|error| {
            let span = error.span().unwrap_or(0..0);
            let place = Place { file: Arc::clone(file), span: at(span.start)..at(span.end) };
            let message = error.message().lines().next().unwrap_or_default().to_owned();
            place.error("this is not TOML").label(message)
        })
        .collect();
    let mut reader = Reader { file, at, problems: &mut problems };
    let span = table.span();
    let node = Node { kind: reader.table(table.get_ref()), span: at(span.start)..at(span.end) };
    (node, problems)
}

struct Reader<'a> {
    file: &'a Arc<SourceText>,
    at: &'a dyn Fn(usize) -> usize,
    problems: &'a mut Vec<Diagnostic>,
}

impl Reader<'_> {
    fn span(&self, span: Range<usize>) -> Range<usize> {
        (self.at)(span.start)..(self.at)(span.end)
    }

    fn node(&mut self, value: &Spanned<DeValue<'_>>) -> Node {
        let span = self.span(value.span());
        let kind = match value.get_ref() {
            DeValue::String(text) => Kind::Text(text.to_string()),
            DeValue::Integer(integer) => {
                let number = i64::from_str_radix(integer.as_str(), integer.radix());
                self.number(number.ok().map(Number::from), &span)
            }
            DeValue::Float(float) => {
                let number = float.as_str().parse::<f64>().ok().and_then(Number::from_f64);
                self.number(number, &span)
            }
            DeValue::Boolean(value) => Kind::Bool(*value),
            DeValue::Datetime(date) => Kind::Date(date.to_string()),
            DeValue::Array(items) => Kind::List(items.iter().map(|item| self.node(item)).collect()),
            DeValue::Table(table) => self.table(table),
        };
        Node { kind, span }
    }

    fn number(&mut self, number: Option<Number>, span: &Range<usize>) -> Kind {
        number.map(Kind::Number).unwrap_or_else(|| {
            let place = Place { file: Arc::clone(self.file), span: span.clone() };
            self.problems.push(
                place
                    .error("this number cannot be represented")
                    .label("too large, or not a finite number"),
            );
            Kind::Null
        })
    }

    fn table(&mut self, table: &DeTable<'_>) -> Kind {
        let mut entries: Vec<Entry> = table
            .iter()
            .map(|(key, value)| Entry {
                key: key.get_ref().to_string(),
                key_span: self.span(key.span()),
                value: self.node(value),
            })
            .collect();
        // The parser sorts by key; messages and defaults go by the order of the file.
        entries.sort_by_key(|entry| entry.key_span.start);
        Kind::Table(entries)
    }
}
