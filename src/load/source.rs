//! Reads one source: the pattern of its files, and how they or their rows fall into partitions.

use std::collections::BTreeMap;
use std::time::Duration;

use super::asset::{DESCRIBE_KEYS, Draft, Fields, unreadable};
use super::command::inside;
use super::diagnostic::Place;
use super::form::{Form, Key, key};
use super::node::{Sink, Table, Value};
use super::partitions::{self, Sets};
use super::policy;
use crate::base::AssetKey;
use crate::defs::source::is_date_format;
use crate::defs::{Body, ColumnType, DynamicDef, PartitionsDef, PathPattern, SourceDef, SplitBy};

/// Keys of a source, beside those that describe it.
static KEYS: &[Key] = &[
    key("files", "A path or pattern: `data/{date:%Y-%m-%d}.csv`, `inbox/{name}.csv`.", &Form::Text),
    key("dir", "A directory, taken as one value.", &Form::Text),
    key("observe", "A command that prints the version of the data.", &Form::Text),
    key(
        "split_by",
        "The column whose values are partitions: `date`, `date:%d/%m/%Y`.",
        &Form::Text,
    ),
    key("ttl", "How long an answer of `observe` holds: `10m`.", &Form::Duration),
    key("timeout", "How long the command of `observe` may take.", &Form::Duration),
    key("columns", "Types of columns, where the text does not tell.", &COLUMNS),
    key("partitions", "The partitions that there should be.", &partitions::PARTITIONS),
];
static COLUMNS: Form = Form::Map(&Form::Word(COLUMN_TYPES));
const COLUMN_TYPES: &[&str] = &["text", "integer", "real"];
/// Everything that can stand in a source.
pub(super) static SOURCE: Form = Form::Named("source", &Form::Table(&[KEYS, DESCRIBE_KEYS]));

/// How long a command may take that prints a version, where nothing else is said.
const TIMEOUT: Duration = Duration::from_secs(60);
/// What only one kind of source has, and which.
const OWN_KEYS: &[(&str, &[&str])] = &[
    ("split_by", &["files"]),
    ("columns", &["files", "dir"]),
    ("partitions", &["files"]),
    ("ttl", &["observe"]),
    ("timeout", &["observe"]),
];

pub(super) fn read(
    key: &AssetKey,
    place: Place,
    table: Table<'_>,
    sets: &Sets,
    sink: &mut Sink,
) -> Draft {
    let mut draft = unreadable(key.clone(), place);
    let ((), sound) = sink.about(key, |sink| {
        let known = table.allow(&[KEYS, DESCRIBE_KEYS], &format!("source `{key}`"), sink);
        read_fields(&mut draft, table, sets, sink);
        let has_place = ["files", "dir", "observe"].iter().any(|it| table.get(it).is_some());
        if known && !has_place {
            let message = format!("source `{key}` does not say where its data is");
            sink.push(draft.place.error(message).label("no `files` here"));
        }
    });
    draft.sound = sound;
    draft
}

fn read_fields(draft: &mut Draft, table: Table<'_>, sets: &Sets, sink: &mut Sink) {
    let kinds: Vec<&str> =
        ["files", "dir", "observe"].into_iter().filter(|it| table.get(it).is_some()).collect();
    if let [first, second, ..] = kinds.as_slice() {
        let value = table.get(second).expect("it was just found");
        let message = format!("a source has either `{first}` or `{second}`");
        sink.push(value.place().error(message).label("one too many"));
        return;
    }
    for (name, of) in OWN_KEYS {
        if let (Some(value), Some(kind)) = (table.get(name), kinds.first())
            && !of.contains(kind)
        {
            let message = format!("`{name}` goes with `{}`, not with `{kind}`", of.join("` or `"));
            sink.push(value.place().error(message).label("means nothing here"));
        }
    }
    super::asset::describe(&mut draft.asset, &Fields { own: table, defaults: Vec::new() }, sink);
    let split_by = table.get("split_by").and_then(|value| split_by(value, sink));
    let columns = table.get("columns").map(|value| columns(value, sink)).unwrap_or_default();
    if let Some(path) = table.get("dir").and_then(|value| directory(value, sink)) {
        draft.asset.body = Body::Source(SourceDef::Dir { path, columns });
        return;
    }
    if let Some(command) = table.get("observe").and_then(|value| value.text("observe", sink)) {
        let command = command.to_owned();
        let ttl = table.get("ttl").and_then(|value| policy::duration(value, "ttl", sink));
        let timeout =
            table.get("timeout").and_then(|value| policy::duration(value, "timeout", sink));
        let timeout = timeout.unwrap_or(TIMEOUT);
        draft.asset.body = Body::Source(SourceDef::Observe { command, ttl, timeout });
        return;
    }
    let Some(files) = table.get("files") else { return };
    let Some(pattern) = path_pattern(files, "files", sink) else { return };
    if let Some(value) = table.get("split_by")
        && !pattern.is_literal()
    {
        sink.push(
            value
                .place()
                .error("`split_by` splits the rows of one file, and `files` may match several")
                .related(files.node.span.clone(), "captures or globs"),
        );
    }
    let partitioned = split_by.is_some() || pattern.captures().next().is_some();
    match table.get("partitions") {
        None if partitioned => {
            let own = DynamicDef::Source(draft.asset.key.clone());
            draft.asset.partitions = PartitionsDef::Dynamic(own);
        }
        None => {}
        Some(value) => {
            if let Some(read) = partitions::read(value, sets, sink) {
                (draft.asset.partitions, draft.each) = (read.def, read.each);
            }
            if !partitioned && table.get("split_by").is_none() {
                sink.push(
                    value
                        .place()
                        .error("nothing says which data belongs to which partition")
                        .label("`files` has no capture, and there is no `split_by`")
                        .help(
                            "for example `files: \"data/{date:%Y-%m-%d}.csv\"` or `split_by: date`",
                        ),
                );
            }
        }
    }
    draft.asset.body = Body::Source(SourceDef::Files { pattern, split_by, columns });
}

fn directory(value: Value<'_>, sink: &mut Sink) -> Option<String> {
    let text = value.text("dir", sink)?;
    let relative = text.trim_start_matches("./").trim_end_matches('/');
    if relative.is_empty() || (!text.starts_with('/') && inside(relative).is_none()) {
        let message = "`dir` must be a directory inside the project, or an absolute path";
        sink.push(value.place().error(message).label("not a place inside"));
        return None;
    }
    if relative.contains(['*', '{', '?', '[']) {
        let help = "a pattern of files goes with `files`";
        let message = "`dir` names one directory, without captures and globs";
        sink.push(value.place().error(message).label("a pattern").help(help));
        return None;
    }
    Some(relative.to_owned())
}

/// A pattern of paths inside the project, or of absolute ones.
pub(super) fn path_pattern(value: Value<'_>, what: &str, sink: &mut Sink) -> Option<PathPattern> {
    let text = value.text(what, sink)?;
    let relative = text.trim_start_matches("./");
    if !text.starts_with('/') && inside(relative).is_none() {
        sink.push(
            value
                .place()
                .error(format!("`{what}` must stay inside the project, or be an absolute path"))
                .label("leads outside"),
        );
        return None;
    }
    match PathPattern::parse(relative) {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            let mut place = value.place();
            // The place of the mistake itself, where the file has the pattern as it is.
            let file = place.file.text.get(place.span.clone()).unwrap_or_default();
            if let Some(at) = file.find(relative) {
                let start = place.span.start + at;
                place.span = start + error.at.start..start + error.at.end;
            }
            let message = format!("`{text}` is no path pattern: {}", error.reason);
            sink.push(place.error(message).label("in this pattern"));
            None
        }
    }
}

fn split_by(value: Value<'_>, sink: &mut Sink) -> Option<SplitBy> {
    let text = value.text("split_by", sink)?;
    // A column may have a colon in its name; a format begins with a field.
    let (column, format) = match text.find(":%") {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let mistake = if column.is_empty() {
        Some("`split_by` needs the name of a column".to_owned())
    } else {
        format
            .filter(|format| !is_date_format(format))
            .map(|format| format!("`{format}` does not say how a date is written"))
    };
    if let Some(message) = mistake {
        sink.push(value.place().error(message).help("for example `date` or `\"date:%d/%m/%Y\"`"));
        return None;
    }
    Some(SplitBy { column: column.to_owned(), format: format.map(str::to_owned) })
}

fn columns(value: Value<'_>, sink: &mut Sink) -> BTreeMap<String, ColumnType> {
    let entries = value.table("columns", sink).into_iter().flat_map(Table::iter);
    entries
        .filter_map(|(entry, value)| {
            let column_type = match value.word("columns", COLUMN_TYPES, sink)? {
                "integer" => ColumnType::Integer,
                "real" => ColumnType::Real,
                _ => ColumnType::Text,
            };
            Some((entry.key.clone(), column_type))
        })
        .collect()
}
