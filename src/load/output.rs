//! Decides what a step leaves behind (`output`, `output_dir`, `format`), where it is also put
//! (`export`), and what is checked about it (`checks`).

use super::asset::{Context, Fields};
use super::check;
use super::command::inside;
use super::diagnostic::Place;
use super::node::{Sink, Value};
use crate::base::AssetKey;
use crate::defs::{Check, OutputDef, PartitionsDef, PathPattern, TableFormat};

/// In which forms a table is kept.
#[cfg(not(feature = "parquet"))]
pub(super) const FORMATS: &[&str] = &["csv", "jsonl"];
#[cfg(feature = "parquet")]
pub(super) const FORMATS: &[&str] = &["csv", "jsonl", "parquet"];

/// What makes the result, as far as its form depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Maker {
    Sql,
    Command,
}

pub(super) fn read(
    fields: &Fields<'_>,
    key: &AssetKey,
    maker: Maker,
    sink: &mut Sink,
) -> OutputDef {
    let [output, directory, format, pieces] =
        fields.first_of(["output", "output_dir", "format", "outputs"]);
    if let Some(value) = pieces {
        let others = [("output", output), ("output_dir", directory), ("format", format)];
        if let Some((name, _)) = others.into_iter().find(|(_, other)| other.is_some()) {
            let message = format!("`outputs` and `{name}` exclude each other");
            sink.push(value.place().error(message).label("many files, or one result"));
        }
        if maker == Maker::Sql {
            let help = "a command makes files: `run: ... --out \"$output_dir\"`";
            let message = "a SQL asset makes a table, no files of its own";
            sink.push(value.place().error(message).help(help));
        }
        return OutputDef::Pieces;
    }
    let file = output.and_then(|value| file_name(value, sink));
    let is_directory = directory.and_then(|value| value.boolean("output_dir", sink)) == Some(true);
    let format = format.and_then(|value| table_format(value, sink));
    match maker {
        Maker::Sql => {
            let wrong = if is_directory { directory } else { output };
            if let Some(value) = wrong.filter(|_| is_directory || file.is_some()) {
                sink.push(
                    value
                        .place()
                        .error("a SQL asset makes a table, no file of its own")
                        .help("`format: csv` or `format: jsonl` says how it is kept, `export` where it is also put"),
                );
            }
            OutputDef::Table(format.unwrap_or(TableFormat::Csv))
        }
        Maker::Command if is_directory => {
            if let Some(value) = output {
                let message = "`output` and `output_dir` exclude each other";
                sink.push(value.place().error(message).label("a step makes a file or a directory"));
            }
            OutputDef::Directory
        }
        Maker::Command => match (format, file) {
            (Some(format), _) => OutputDef::Table(format),
            (None, Some(name)) => OutputDef::File { name },
            (None, None) => {
                let name = key.as_str().rsplit('/').next().unwrap_or_default().to_owned();
                OutputDef::File { name }
            }
        },
    }
}

/// Reads `outputs`: the pattern of the files that one execution makes, each a partition.
pub(super) fn pieces(
    fields: &Fields<'_>,
    partitions: &PartitionsDef,
    sink: &mut Sink,
) -> Option<(PathPattern, Place)> {
    let [_, _, _, value] = fields.first_of(["output", "output_dir", "format", "outputs"]);
    let value = value?;
    let text = value.text("outputs", sink)?;
    let place = value.place();
    let example = "for example `outputs: \"{piece}.csv\"`";
    let pattern = match PathPattern::parse(text) {
        Ok(pattern) => pattern,
        Err(error) => {
            sink.push(place.error(error.to_string()).label("no pattern").help(example));
            return None;
        }
    };
    let (message, label) = if pattern.captures().next().is_none() {
        ("`outputs` does not say what tells one piece from another", "no capture in braces")
    } else if text.starts_with('/') || inside(text).is_none() {
        ("`outputs` must stay inside of the directory that the step makes", "leads outside")
    } else if *partitions != PartitionsDef::Unpartitioned {
        ("an asset with `outputs` has no `partitions`: its pieces are partitions", "pieces here")
    } else {
        return Some((pattern, place));
    };
    sink.push(place.error(message).label(label).help(example));
    None
}

fn file_name(value: Value<'_>, sink: &mut Sink) -> Option<String> {
    let name = value.text("output", sink)?;
    if !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0']) {
        return Some(name.to_owned());
    }
    sink.push(
        value
            .place()
            .error(format!("`output` must be the name of a file, not `{name}`"))
            .label("a name without `/`")
            .help("results live in the store; `export: PATH` also puts them at a path of yours"),
    );
    None
}

/// Whether there are rows to look at.
pub(super) fn may_be_table(output: &OutputDef) -> bool {
    match output {
        OutputDef::Table(_) => true,
        OutputDef::File { name } => is_table(name),
        OutputDef::Directory | OutputDef::Pieces | OutputDef::None => false,
    }
}

/// The endings of files whose rows can be read.
pub(super) fn is_table(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let known = [".csv", ".jsonl", ".ndjson"].iter().any(|ending| name.ends_with(ending));
    known || cfg!(feature = "parquet") && name.ends_with(".parquet")
}

/// Reads the form in which a table is kept.
pub(super) fn table_format(value: Value<'_>, sink: &mut Sink) -> Option<TableFormat> {
    Some(match value.word("format", FORMATS, sink)? {
        "jsonl" => TableFormat::JsonLines,
        #[cfg(feature = "parquet")]
        "parquet" => TableFormat::Parquet,
        _ => TableFormat::Csv,
    })
}

/// Reads `export`, with `{asset}` put in: a default for many assets needs it.
pub(super) fn export(
    fields: &Fields<'_>,
    key: &AssetKey,
    partitions: &PartitionsDef,
    sink: &mut Sink,
) -> Option<(String, Place)> {
    let value = fields.get("export")?;
    let text = value.text("export", sink)?;
    let place = value.place();
    let partitioned = *partitions != PartitionsDef::Unpartitioned;
    let path = text.replace("{asset}", key.as_str());
    let rest = path.replace("{partition}", "");
    let mistake = if rest.contains(['{', '}']) {
        Some(("`export` knows `{partition}` and `{asset}` only", "something else in braces"))
    } else if partitioned && !path.contains("{partition}") {
        Some((
            "the `export` of a partitioned asset must contain `{partition}`",
            "every partition would have this path",
        ))
    } else if !partitioned && path.contains("{partition}") {
        Some(("`export` names `{partition}`, but the asset has no partitions", "no partitions"))
    } else if text.is_empty() || (!text.starts_with('/') && inside(&path).is_none()) {
        Some(("`export` must stay inside the project, or be an absolute path", "leads outside"))
    } else {
        None
    };
    if let Some((message, label)) = mistake {
        sink.push(place.error(message).label(label));
        return None;
    }
    Some((path, place))
}

pub(super) fn checks(
    fields: &Fields<'_>,
    output: &OutputDef,
    context: &Context<'_>,
    sink: &mut Sink,
) -> Vec<Check> {
    let Some(value) = fields.get("checks") else { return Vec::new() };
    let Some(list) = value.list("checks", sink) else { return Vec::new() };
    let mut checks: Vec<Check> = Vec::new();
    for value in list {
        let Some(check) = check::read(value, context, sink) else { continue };
        if checks.iter().any(|other| other.name == check.name) {
            let message = format!("the check `{}` is there twice", check.name);
            sink.push(value.place().error(message).label("second").help("`name` tells them apart"));
        } else {
            checks.push(check);
        }
    }
    let needs_rows = checks.iter().any(|check| check.test.needs_rows());
    if needs_rows && !may_be_table(output) && fields.own("checks").is_some() {
        sink.push(
            value
                .place()
                .error("checks look at rows, and this asset makes no table")
                .help("`format: csv` says that a command writes rows"),
        );
    }
    checks
}
