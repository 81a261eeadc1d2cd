//! Words and numbers as users read them.

use std::ffi::OsString;
use std::time::Duration;

use chrono_tz::Tz;

use crate::base::{AssetKey, PartitionKey, PartitionSet};
use crate::defs::partition::{Cadence, TimeWindowDef};
use crate::defs::{
    Asset, Body, CommandLine, Domain, DynamicDef, Emits, Flow, Item, OutputDef, PartitionsDef,
    Slot, SourceDef, Wiring, Word, WordPiece,
};

/// More ranges than these are counted, not listed, unless `-v` is given.
const RANGES_MAX: usize = 4;

/// `asset@partition`, or the asset alone if it has no partitions.
pub(super) fn address(asset: &AssetKey, partition: &PartitionKey) -> String {
    if partition.is_unpartitioned() { asset.to_string() } else { format!("{asset}@{partition}") }
}

/// `1 step`, `2 steps`.
pub(super) fn count(n: u64, word: &str) -> String {
    if n == 1 { format!("1 {word}") } else { format!("{n} {word}s") }
}

/// `12 ms`, `1.2 s`, `2 min 5 s`.
pub(super) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..=59 => format!("{:.1} s", duration.as_secs_f64()),
        60..=3599 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// `412 B`, `4.1 kB`, `2.0 MB`.
pub(super) fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 1000.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

/// How much of a list is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    Short,
    Full,
}

impl Length {
    pub fn of(is_verbose: bool) -> Length {
        if is_verbose { Length::Full } else { Length::Short }
    }
}

/// A set as ranges. The one partition of an asset without partitions has no text.
pub(super) fn ranges(domain: &Domain, set: &PartitionSet, length: Length) -> String {
    if domain.def().is_unpartitioned() {
        return String::new();
    }
    let most = match length {
        Length::Short => RANGES_MAX,
        Length::Full => usize::MAX,
    };
    let (items, more) = domain.render_first(set, most);
    let text = items.join(", ");
    if more == 0 { text } else { format!("{text}, and {more} more") }
}

/// A line of somebody's output without what would steer a terminal: sequences are left out, other
/// control characters are shown as escapes.
pub(super) fn harmless(line: &str) -> String {
    let plain = anstream::adapter::strip_str(line).to_string();
    let mut shown = String::with_capacity(plain.len());
    for c in plain.trim_end_matches('\r').chars() {
        if c.is_control() && c != '\t' {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// How an asset is made: `sql`, `command`, `function`, `source`.
pub(super) fn body(body: &Body) -> &'static str {
    match body {
        Body::Source(_) => "source",
        Body::Sql(_) => "sql",
        Body::Command(_) => "command",
        Body::Function(_) => "function",
        Body::Graph(_) => "graph of ops",
    }
}

/// What a result is.
pub(super) fn output(output: &OutputDef) -> String {
    match output {
        OutputDef::Table(format) => format!("a table ({})", format.extension()),
        OutputDef::File { name } => format!("a file (`{name}`)"),
        OutputDef::Directory => "a directory".to_owned(),
        OutputDef::Pieces => "a directory of pieces".to_owned(),
        OutputDef::None => "nothing".to_owned(),
    }
}

/// Where a source's data is.
pub(super) fn source(source: &SourceDef) -> String {
    match source {
        SourceDef::Files { pattern, split_by: None, .. } => format!("`{}`", pattern.text),
        SourceDef::Files { pattern, split_by: Some(split), .. } => {
            format!("rows of `{}` by column `{}`", pattern.text, split.column)
        }
        SourceDef::Dir { path, .. } => format!("the directory `{path}`"),
        SourceDef::Observe { command, .. } => format!("what `{command}` prints"),
        SourceDef::Pieces { of, pattern } => format!("`{}` of what `{of}` makes", pattern.text),
    }
}

/// How an asset is partitioned, in a few words.
pub(super) fn partitions(asset: &Asset) -> String {
    match (&asset.body, &asset.partitions) {
        (Body::Source(source), PartitionsDef::Dynamic(DynamicDef::Source(key)))
            if *key == asset.key =>
        {
            match source {
                SourceDef::Files { split_by: Some(split), .. } => {
                    format!("the values of column `{}`", split.column)
                }
                SourceDef::Files { split_by: None, .. } => "one for each file".to_owned(),
                SourceDef::Dir { .. } | SourceDef::Observe { .. } => "one".to_owned(),
                SourceDef::Pieces { .. } => "one for each file".to_owned(),
            }
        }
        (_, def) => keys(def),
    }
}

/// What a definition of partitions says, in a few words.
pub(super) fn keys(def: &PartitionsDef) -> String {
    match def {
        PartitionsDef::Unpartitioned => "one".to_owned(),
        PartitionsDef::TimeWindow(def) => windows(def),
        PartitionsDef::Static(keys) => {
            let names: Vec<&str> = keys.iter().take(RANGES_MAX).map(PartitionKey::as_str).collect();
            let more = if keys.len() > RANGES_MAX { ", ..." } else { "" };
            format!("{}: {}{more}", count(keys.len() as u64, "key"), names.join(", "))
        }
        PartitionsDef::Dynamic(DynamicDef::Source(key)) => format!("the keys of `{key}`"),
        PartitionsDef::Dynamic(DynamicDef::Pieces(key)) => format!("the pieces of `{key}`"),
        PartitionsDef::Dynamic(DynamicDef::Named(name)) => format!("the set `{name}`"),
        PartitionsDef::Multi(dimensions) => {
            let of = dimensions.iter().map(|(name, def)| format!("{name}: {}", keys(def)));
            of.collect::<Vec<_>>().join("; ")
        }
    }
}

fn windows(def: &TimeWindowDef) -> String {
    let cadence = match &def.cadence {
        Cadence::Hourly { .. } => "hourly".to_owned(),
        Cadence::Daily { .. } => "daily".to_owned(),
        Cadence::Weekly { .. } => "weekly".to_owned(),
        Cadence::Monthly { .. } => "monthly".to_owned(),
        Cadence::Cron(expression) => format!("cron `{expression}`"),
    };
    let mut text = format!("{cadence} from {}", def.start.format(&def.format));
    if let Some(end) = def.end {
        text += &format!(" to before {}", end.format(&def.format));
    }
    if def.timezone != Tz::UTC {
        text += &format!(" ({})", def.timezone.name());
    }
    text
}

/// A command line as one would write it.
pub(super) fn command(line: &CommandLine) -> String {
    let piece = |piece: &WordPiece| match piece {
        WordPiece::Text(text) => text.clone(),
        WordPiece::Variable(name) => format!("${name}"),
    };
    match line {
        CommandLine::Shell(text) => text.clone(),
        CommandLine::Direct(words) => {
            let word = |word: &Word| word.iter().map(piece).collect::<String>();
            words.iter().map(word).collect::<Vec<_>>().join(" ")
        }
        CommandLine::Script { path, .. } => path.display().to_string(),
    }
}

/// What is wired into an input: `a`, `a.x`, `each a`, `collect a`, `[a, b]`, a value.
pub(super) fn wiring(flow: &Flow, wiring: &Wiring) -> String {
    let list = |items: Vec<String>| format!("[{}]", items.join(", "));
    match wiring {
        Wiring::One(slot) => port(flow, *slot),
        Wiring::Each(slot) => format!("each {}", port(flow, *slot)),
        Wiring::Collect(slot) => format!("collect {}", port(flow, *slot)),
        Wiring::List(items) => list(items.iter().map(|item| entry(flow, item)).collect()),
        Wiring::Input(at) => flow.inputs[*at as usize].name.to_string(),
        Wiring::Value(value) => value.to_string(),
    }
}

fn entry(flow: &Flow, item: &Item) -> String {
    match item {
        Item::One(slot) => port(flow, *slot),
        Item::Each(slot) => format!("each {}", port(flow, *slot)),
        Item::Input(at) => flow.inputs[*at as usize].name.to_string(),
        Item::Value(value) => value.to_string(),
    }
}

/// An output of a step: the step alone, if it has no other.
fn port(flow: &Flow, slot: Slot) -> String {
    let step = &flow.steps[slot.step as usize];
    match &*step.op.outputs {
        [_] => step.path.to_string(),
        _ => format!("{}.{}", step.path, flow.output(slot).name),
    }
}

/// How often an output is given.
pub(super) fn emits(emits: Emits) -> &'static str {
    match emits {
        Emits::Required => "required",
        Emits::Optional => "optional",
        Emits::Pieces(_) => "pieces",
    }
}

/// The command line as it was typed, for the record of a run.
pub(super) fn command_line(args: &[OsString]) -> String {
    let words = args.iter().skip(1).map(|arg| arg.to_string_lossy().into_owned());
    shell_words::join(std::iter::once("giornata".to_owned()).chain(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_step_printed_cannot_steer_the_terminal() {
        assert_eq!(harmless("\x1b[31mred\x1b[0m, tab\there\r"), "red, tab\there");
        assert_eq!(harmless("\x1b]0;title\x07a\rb\0\u{9b}c"), "a\\rb\\u{9b}c");
    }

    #[test]
    fn durations_and_sizes_have_one_unit_that_fits() {
        assert_eq!(duration(Duration::from_micros(12_300)), "12 ms");
        assert_eq!(duration(Duration::from_millis(1_240)), "1.2 s");
        assert_eq!(duration(Duration::from_secs(125)), "2 min 5 s");
        assert_eq!(duration(Duration::from_secs(7260)), "2 h 1 min");
        assert_eq!(
            [size(0), size(999), size(4100), size(2_000_000)],
            ["0 B", "999 B", "4.1 kB", "2.0 MB"]
        );
    }
}
