//! Words and numbers as users read them.

use std::ffi::OsString;
use std::time::Duration;

use chrono_tz::Tz;

use crate::base::{AssetKey, PartitionKey, PartitionSet};
use crate::defs::partition::{Cadence, TimeWindowDef};
use crate::defs::{Asset, Body, Domain, DynamicDef, OutputDef, PartitionsDef, SourceDef};

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
    let mut items = domain.render(set);
    let more = match length {
        Length::Short if items.len() > RANGES_MAX => items.split_off(RANGES_MAX).len(),
        Length::Short | Length::Full => 0,
    };
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

fn keys(def: &PartitionsDef) -> String {
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
