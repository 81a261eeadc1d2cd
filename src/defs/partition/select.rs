//! Decides which partitions of a domain a parsed expression names, and writes sets back as text.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};

use super::calendar::Calendar;
use super::domain::Shape;
use super::text::{Atom, Body, Item, PartitionTextError, PartitionWord, Term, key_text};
use super::time_text::{self, LocalSpan};
use super::{Domain, zone};
use crate::base::{PartitionIdx, PartitionSet, ranges};

type Answer<'a> = dyn Fn(PartitionWord) -> PartitionSet + 'a;

pub(super) fn select(
    items: &[Item],
    domain: &Domain,
    word: &Answer<'_>,
) -> Result<PartitionSet, PartitionTextError> {
    match domain.shape() {
        Shape::Multi(_) => select_multi(items, domain, word),
        Shape::One | Shape::Time(_) | Shape::Keys { .. } | Shape::Broken => {
            let mut found = PartitionSet::new();
            for item in items {
                found |= select_item(item, domain, word)?;
            }
            Ok(found)
        }
    }
}

/// An item in a domain of one dimension.
fn select_item(
    item: &Item,
    domain: &Domain,
    word: &Answer<'_>,
) -> Result<PartitionSet, PartitionTextError> {
    let [term] = item.terms.as_slice() else { return raw_key(item, domain) };
    match &term.dimension {
        // A key may look like `date=2024-01-01`: composite keys from file names do.
        Some(_) => raw_key(item, domain),
        None => select_body(&term.body, &term.at, domain, word),
    }
}

fn raw_key(item: &Item, domain: &Domain) -> Result<PartitionSet, PartitionTextError> {
    if let Some(index) = domain.index(&item.raw) {
        return Ok([index].into_iter().collect());
    }
    if let [Term { dimension: Some(name), .. }] = item.terms.as_slice() {
        let message = format!("`{name}=` names a dimension, but these partitions have none");
        return Err(PartitionTextError::new(message, item.at.clone()).help(range_help(domain)));
    }
    Err(unknown(&item.raw, item.at.clone(), domain))
}

fn select_body(
    body: &Body,
    at: &std::ops::Range<usize>,
    domain: &Domain,
    word: &Answer<'_>,
) -> Result<PartitionSet, PartitionTextError> {
    match body {
        Body::One(atom) => select_one(atom, domain),
        Body::Between(from, to) => select_between(from.as_ref(), to.as_ref(), at, domain),
        Body::Wild(before, after) => Ok(select_wild(before, after, domain)),
        Body::Last(count) => Ok(domain.last(*count)),
        Body::All => Ok(domain.all().clone()),
        Body::Word(which) => Ok(word(*which) & domain.all()),
    }
}

fn select_wild(before: &str, after: &str, domain: &Domain) -> PartitionSet {
    let matches = |index: &PartitionIdx| {
        domain.key(*index).is_some_and(|key| {
            let rest = key.as_str().strip_prefix(before);
            rest.is_some_and(|rest| rest.ends_with(after))
        })
    };
    domain.all().iter().filter(matches).collect()
}

fn select_one(atom: &Atom, domain: &Domain) -> Result<PartitionSet, PartitionTextError> {
    if let Some(index) = domain.index(&atom.text) {
        return Ok([index].into_iter().collect());
    }
    let span = if atom.quoted { None } else { time_text::parse(&atom.text) };
    let is_time = span.is_some();
    let found = match (domain.shape(), span) {
        (Shape::Time(calendar), Some(span)) => {
            starting_in(calendar, domain, Some(instants(calendar, &span)))
        }
        (Shape::Keys { .. }, Some(_)) => with_prefix(domain, &atom.text),
        (Shape::One | Shape::Time(_) | Shape::Keys { .. } | Shape::Multi(_) | Shape::Broken, _) => {
            PartitionSet::new()
        }
    };
    if found.is_empty() {
        let is_nothing = is_time && matches!(domain.shape(), Shape::Time(_));
        return Err(PartitionTextError {
            is_nothing,
            ..unknown(&atom.text, atom.at.clone(), domain)
        });
    }
    Ok(found)
}

/// Keys that begin with a date, in a set of files for example.
fn with_prefix(domain: &Domain, prefix: &str) -> PartitionSet {
    let begins = |index: &PartitionIdx| {
        let key = domain.key(*index);
        key.is_some_and(|key| is_prefix(prefix, key.as_str()))
    };
    domain.all().iter().filter(begins).collect()
}

fn is_prefix(prefix: &str, key: &str) -> bool {
    let rest = key.strip_prefix(prefix);
    rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
}

fn select_between(
    from: Option<&Atom>,
    to: Option<&Atom>,
    at: &std::ops::Range<usize>,
    domain: &Domain,
) -> Result<PartitionSet, PartitionTextError> {
    let found = match domain.shape() {
        Shape::Time(calendar) => {
            let begin = from.map(|atom| end_of_range(atom, calendar, domain)).transpose()?;
            let end = to.map(|atom| end_of_range(atom, calendar, domain)).transpose()?;
            if let (Some(begin), Some(end)) = (begin, end)
                && begin.0 >= end.1
            {
                return Err(backwards(from, to, at));
            }
            let begin = begin.map_or(DateTime::<Utc>::MIN_UTC, |span| span.0);
            let end = end.map_or(DateTime::<Utc>::MAX_UTC, |span| span.1);
            starting_in(calendar, domain, Some((begin, end)))
        }
        Shape::One | Shape::Keys { .. } | Shape::Broken | Shape::Multi(_) => {
            let ordered = domain.ordered();
            let begin = from.map(|atom| place(atom, &ordered, domain)).transpose()?;
            let end = to.map(|atom| place(atom, &ordered, domain)).transpose()?;
            let begin = begin.map_or(0, |places| places.0);
            let end = end.map_or(ordered.len(), |places| places.1);
            if begin >= end && from.is_some() && to.is_some() {
                return Err(backwards(from, to, at));
            }
            ordered.get(begin..end).unwrap_or_default().iter().copied().collect()
        }
    };
    if found.is_empty() && !domain.is_empty() {
        let message = "no partition is in this range".to_owned();
        let error = PartitionTextError::new(message, at.clone()).help(range_help(domain));
        let is_nothing = matches!(domain.shape(), Shape::Time(_));
        return Err(PartitionTextError { is_nothing, ..error });
    }
    Ok(found)
}

fn backwards(
    from: Option<&Atom>,
    to: Option<&Atom>,
    at: &std::ops::Range<usize>,
) -> PartitionTextError {
    let text = |atom: Option<&Atom>| atom.map_or(String::new(), |atom| atom.text.clone());
    let (from, to) = (text(from), text(to));
    let message = format!("the range is backwards: `{from}` comes after `{to}`");
    let help = format!("write `{}..{}`", key_text(&to), key_text(&from));
    PartitionTextError::new(message, at.clone()).help(Some(help))
}

/// The span of an end of a range: of the window with this key, or of a text for a time.
fn end_of_range(
    atom: &Atom,
    calendar: &Calendar,
    domain: &Domain,
) -> Result<(DateTime<Utc>, DateTime<Utc>), PartitionTextError> {
    let number = calendar.parse_key(&atom.text).filter(|number| {
        // A key in quotes is that partition; a text for a time may lie outside of the domain.
        !atom.quoted
            || PartitionIdx::try_from(*number).is_ok_and(|index| domain.all().contains(index))
    });
    if let Some(start) = number.and_then(|number| calendar.start(number)) {
        // Only the window's start counts, so that a range ends with it.
        return Ok((start, start + chrono::TimeDelta::try_seconds(1).unwrap_or_default()));
    }
    let span = if atom.quoted { None } else { time_text::parse(&atom.text) };
    let span = span.ok_or_else(|| unknown(&atom.text, atom.at.clone(), domain))?;
    Ok(instants(calendar, &span))
}

/// The places before and after a key in the order of a domain of keys.
fn place(
    atom: &Atom,
    ordered: &[PartitionIdx],
    domain: &Domain,
) -> Result<(usize, usize), PartitionTextError> {
    let exact = domain.index(&atom.text);
    if let Some(place) = ordered.iter().position(|index| Some(*index) == exact) {
        return Ok((place, place + 1));
    }
    let is_dynamic = matches!(domain.shape(), Shape::Keys { declared: None, .. });
    if atom.quoted || !is_dynamic || time_text::parse(&atom.text).is_none() {
        return Err(unknown(&atom.text, atom.at.clone(), domain));
    }
    // Keys that are dates are in the order of time.
    let key = |index: &PartitionIdx| domain.key(*index).map(|key| key.to_string());
    let before = |index: &PartitionIdx| key(index).is_some_and(|key| *key < *atom.text);
    let within = |index: &PartitionIdx| {
        key(index).is_some_and(|key| *key < *atom.text || key.starts_with(&atom.text))
    };
    Ok((ordered.partition_point(before), ordered.partition_point(within)))
}

/// Existing windows whose start lies in a span.
fn starting_in(
    calendar: &Calendar,
    domain: &Domain,
    span: Option<(DateTime<Utc>, DateTime<Utc>)>,
) -> PartitionSet {
    let (Some((begin, end)), Some(low), Some(high)) =
        (span, domain.all().min(), domain.all().max())
    else {
        return PartitionSet::new();
    };
    // The domain's own ends first: a calendar goes only so far.
    let start = |index: PartitionIdx| calendar.start(i64::from(index));
    let low = match start(low) {
        Some(first) if first >= begin => Some(low),
        Some(_) | None => {
            calendar.first_from(begin).and_then(|number| PartitionIdx::try_from(number).ok())
        }
    };
    let high = match start(high) {
        Some(last) if last < end => Some(high),
        Some(_) | None => zone::instant(end.timestamp() - 1)
            .and_then(|before| calendar.at(before))
            .and_then(|number| PartitionIdx::try_from(number).ok()),
    };
    let mut found = PartitionSet::new();
    if let (Some(low), Some(high)) = (low, high)
        && low <= high
    {
        found.insert_range(low..=high);
    }
    found & domain.all()
}

fn instants(calendar: &Calendar, span: &LocalSpan) -> (DateTime<Utc>, DateTime<Utc>) {
    let first = |local| zone::meaning(calendar.tz(), local).first();
    (first(span.start), first(span.end))
}

fn unknown(text: &str, at: std::ops::Range<usize>, domain: &Domain) -> PartitionTextError {
    let message = match domain.problem() {
        Some(problem) => format!("there are no partitions: {problem}"),
        None => format!("there is no partition `{text}`"),
    };
    let near = nearest(text, domain).map(|key| format!("did you mean `{}`?", key_text(&key)));
    let range = range_help(domain);
    let help: Vec<String> = near.into_iter().chain(range).collect();
    let help = (!help.is_empty()).then(|| help.join(" "));
    PartitionTextError::new(message, at).help(help)
}

/// A key that someone who wrote `text` may have meant. Windows are not guessed: their range says more.
fn nearest(text: &str, domain: &Domain) -> Option<String> {
    match domain.shape() {
        Shape::Keys { table, .. } => {
            let keys = domain.all().iter().filter_map(|index| table.key(index));
            let score = |key: &str| strsim::damerau_levenshtein(text, key);
            let near = keys.take(10_000).map(|key| (score(key.as_str()), key)).min()?;
            // Of a very short text something must be left.
            let length = text.chars().count();
            (near.0 < length && near.0 * 3 <= length.max(3)).then(|| near.1.to_string())
        }
        Shape::One | Shape::Time(_) | Shape::Multi(_) | Shape::Broken => None,
    }
}

pub(super) fn range_help(domain: &Domain) -> Option<String> {
    let ordered = match domain.shape() {
        Shape::One => return Some("there is one result, without partitions".to_owned()),
        Shape::Time(_) => domain.all().min().into_iter().chain(domain.all().max()).collect(),
        Shape::Keys { .. } | Shape::Multi(_) => domain.ordered(),
        Shape::Broken => return None,
    };
    let key = |index: Option<&PartitionIdx>| domain.key(*index?).map(|key| key_text(key.as_str()));
    match (key(ordered.first()), key(ordered.last()), domain.len()) {
        (Some(first), Some(last), count) if count > 1 => {
            Some(format!("the {count} partitions go from `{first}` to `{last}`"))
        }
        (Some(only), _, _) => Some(format!("the only partition is `{only}`")),
        (None, _, _) => Some("no partition exists yet".to_owned()),
    }
}

/// Items of several dimensions: those of one dimension unite, the dimensions then intersect.
fn select_multi(
    items: &[Item],
    domain: &Domain,
    word: &Answer<'_>,
) -> Result<PartitionSet, PartitionTextError> {
    let mut whole: Option<PartitionSet> = None;
    let mut groups: BTreeMap<String, PartitionSet> = BTreeMap::new();
    let mut current: Option<String> = None;
    for item in items {
        let [term] = item.terms.as_slice() else {
            let mut found = domain.all().clone();
            for term in &item.terms {
                found &= select_term(term, None, domain, word)?.1;
            }
            *whole.get_or_insert_default() |= found;
            continue;
        };
        current = term.dimension.clone().or(current);
        let (group, found) = select_term(term, current.as_deref(), domain, word)?;
        *groups.entry(group).or_default() |= found;
    }
    let both = groups.into_values().reduce(|a, b| a & b);
    Ok(whole.unwrap_or_default() | both.unwrap_or_default())
}

/// The dimension that a term is about, and all partitions whose key there is named.
fn select_term(
    term: &Term,
    current: Option<&str>,
    domain: &Domain,
    word: &Answer<'_>,
) -> Result<(String, PartitionSet), PartitionTextError> {
    let Shape::Multi(multi) = domain.shape() else {
        return Ok((String::new(), PartitionSet::new()));
    };
    if let Body::Word(which) = &term.body {
        return Ok((String::new(), word(*which) & domain.all()));
    }
    let name = term.dimension.as_deref().or(current);
    let dimension = match name {
        Some(name) => multi.dimension(name).ok_or_else(|| {
            let names = multi.names().join("`, `");
            let message = format!("there is no dimension `{name}`");
            PartitionTextError::new(message, term.at.clone())
                .help(Some(format!("the dimensions are `{names}`")))
        })?,
        None => match &term.body {
            Body::All => return Ok(("all".to_owned(), domain.all().clone())),
            Body::Last(_) => multi.major(),
            Body::One(_) | Body::Between(..) | Body::Wild(..) | Body::Word(_) => {
                let fits = |dimension: &&super::multi::Dimension| {
                    select_body(&term.body, &term.at, &dimension.domain, word)
                        .is_ok_and(|found| !found.is_empty())
                };
                let mut fitting = multi.dimensions().iter().filter(fits);
                match (fitting.next(), fitting.next()) {
                    (Some(dimension), None) => dimension,
                    (_, _) => {
                        let names = multi.names().join("=…`, `");
                        let message = "it is not said which dimension this is about".to_owned();
                        return Err(PartitionTextError::new(message, term.at.clone())
                            .help(Some(format!("begin with `{names}=…`"))));
                    }
                }
            }
        },
    };
    let of_dimension = select_body(&term.body, &term.at, &dimension.domain, word)?;
    let found = multi.with(&dimension.name, &of_dimension, domain.all());
    Ok((dimension.name.clone(), found))
}

/// Canonical text of a set; each item selects its part of the set.
pub(super) fn render(domain: &Domain, set: &PartitionSet) -> Vec<String> {
    render_first(domain, set, usize::MAX).0
}

/// The first items of the canonical text of a set, and how many more there are.
pub(super) fn render_first(
    domain: &Domain,
    set: &PartitionSet,
    most: usize,
) -> (Vec<String>, usize) {
    match domain.shape() {
        Shape::Multi(multi) => {
            let mut items = multi.render(set);
            let more = items.split_off(items.len().min(most)).len();
            (items, more)
        }
        Shape::One | Shape::Time(_) | Shape::Keys { .. } | Shape::Broken => {
            let runs = neighbours(domain, set);
            let (shown, mut more) = (runs.len().min(most), runs.len().saturating_sub(most));
            let mut items: Vec<String> =
                runs[..shown].iter().filter_map(|run| render_run(domain, run)).collect();
            // What does not exist any more has a name, but no place among the others.
            let gone = set - domain.all();
            for key in gone.iter().filter_map(|index| domain.key(index)) {
                match items.len() < most {
                    true => items.push(key_text(key.as_str())),
                    false => more += 1,
                }
            }
            (items, more)
        }
    }
}

/// First and last of each run of existing partitions that follow each other.
fn neighbours(domain: &Domain, set: &PartitionSet) -> Vec<(PartitionIdx, PartitionIdx)> {
    let all = domain.all();
    let chosen = set & all;
    match domain.shape() {
        Shape::Time(_) => {
            let follows = |a: PartitionIdx, b: PartitionIdx| all.range_cardinality(a + 1..b) == 0;
            runs_of(ranges(&chosen).map(RangeInclusive::into_inner), follows)
        }
        Shape::Keys { table, declared: None } if chosen.len() * 16 < all.len() => {
            let by_key = table.by_key();
            let mut places: Vec<usize> = chosen.iter().filter_map(|i| table.place(i)).collect();
            places.sort_unstable();
            let exists = |index: &PartitionIdx| all.contains(*index);
            let follows = |a: usize, b: usize| !by_key[a + 1..b].iter().any(exists);
            let runs = runs_of(places.into_iter().map(|place| (place, place)), follows).into_iter();
            runs.map(|(first, last)| (by_key[first], by_key[last])).collect()
        }
        Shape::One | Shape::Keys { .. } | Shape::Multi(_) | Shape::Broken => {
            every_neighbour(domain, &chosen)
        }
    }
}

/// Joins pieces that follow each other, each from its first member to its last.
fn runs_of<T: Copy>(
    pieces: impl Iterator<Item = (T, T)>,
    follows: impl Fn(T, T) -> bool,
) -> Vec<(T, T)> {
    let mut runs: Vec<(T, T)> = Vec::new();
    for (first, last) in pieces {
        match runs.last_mut() {
            Some(run) if follows(run.1, first) => run.1 = last,
            Some(_) | None => runs.push((first, last)),
        }
    }
    runs
}

/// As `neighbours`, by a walk over the whole domain.
fn every_neighbour(domain: &Domain, set: &PartitionSet) -> Vec<(PartitionIdx, PartitionIdx)> {
    let mut runs: Vec<(PartitionIdx, PartitionIdx)> = Vec::new();
    let mut open = false;
    let mut visit = |index: PartitionIdx| {
        let chosen = set.contains(index);
        match runs.last_mut() {
            Some(run) if open && chosen => run.1 = index,
            Some(_) | None if chosen => runs.push((index, index)),
            Some(_) | None => {}
        }
        open = chosen;
    };
    domain.ordered().into_iter().for_each(&mut visit);
    runs
}

fn render_run(domain: &Domain, (first, last): &(PartitionIdx, PartitionIdx)) -> Option<String> {
    let text = |index: &PartitionIdx| domain.key(*index).map(|key| key_text(key.as_str()));
    if first == last {
        return text(first);
    }
    Some(format!("{}..{}", text(first)?, text(last)?))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::super::{Cadence, PartitionExpr, PartitionsDef, TimeWindowDef};
    use super::*;
    use crate::base::PartitionKey;

    const NOW: &str = "2024-03-11T00:30:00Z";

    fn window(cadence: Cadence) -> PartitionsDef {
        let format = TimeWindowDef::default_format(&cadence).unwrap().to_owned();
        PartitionsDef::TimeWindow(TimeWindowDef {
            cadence,
            start: "2023-12-01T00:00:00".parse().unwrap(),
            end: None,
            timezone: "America/New_York".parse().unwrap(),
            format,
            end_offset: 0,
            exclusions: Vec::new(),
        })
    }

    fn fixed(keys: &[&str]) -> PartitionsDef {
        PartitionsDef::Static(keys.iter().map(|key| PartitionKey::new(*key)).collect())
    }

    fn domain(kind: &str) -> Domain {
        let daily = || window(Cadence::Daily { hour: 0, minute: 0 });
        let def = match kind {
            "hourly" => window(Cadence::Hourly { minute: 0 }),
            "daily" => daily(),
            "monthly" => window(Cadence::Monthly { day: 1, hour: 0, minute: 0 }),
            "static" => fixed(&["eu", "us", "all", "ap south", "50%", "a,b"]),
            "multi" => {
                let dimensions = [("date", daily()), ("region", fixed(&["eu", "us", "ap"]))];
                let dimensions = dimensions.map(|(name, def)| (name.to_owned(), def));
                PartitionsDef::Multi(dimensions.into_iter().collect())
            }
            _ => PartitionsDef::Unpartitioned,
        };
        Domain::resolve(Arc::new(def), NOW.parse().unwrap(), &BTreeMap::new())
    }

    fn run(domain: &Domain, text: &str) -> Result<PartitionSet, PartitionTextError> {
        let first = |_| domain.all().iter().take(1).collect();
        PartitionExpr::parse(text)?.select(domain, &first)
    }

    /// What a text selects, in canonical text.
    #[track_caller]
    fn check(kind: &str, text: &str, expected: &str) {
        let domain = domain(kind);
        let set = run(&domain, text).unwrap();
        assert_eq!(domain.render(&set).join(","), expected, "{text}");
    }

    #[track_caller]
    fn check_error(kind: &str, text: &str, message: &str, at: &str, help: Option<&str>) {
        let error = run(&domain(kind), text).unwrap_err();
        let place = text.get(error.at.clone());
        assert_eq!((&*error.message, place, error.help.as_deref()), (message, Some(at), help));
    }

    #[test]
    fn text_of_any_precision_selects_its_window() {
        check("daily", "2024", "2024-01-01..2024-03-09");
        check("daily", "2024-02", "2024-02-01..2024-02-29");
        check("daily", "2024-01..2024-02", "2024-01-01..2024-02-29");
        check("daily", "2024-03-05..", "2024-03-05..2024-03-09");
        check("daily", "..2023", "2023-12-01..2023-12-31");
        check("daily", "[2024-01-30...2024-02-01]", "2024-01-30..2024-02-01");
        check("daily", "2024-01-01,2024-01-02 , 2024-01-05", "2024-01-01..2024-01-02,2024-01-05");
        check("monthly", "2023-12..2024-01-15", "2023-12..2024-01");
        check("monthly", "2024", "2024-01..2024-02");
        check("hourly", "2024-03-10-01..2024-03-10-03", "2024-03-10-01:00..2024-03-10-03:00");
        check("hourly", "2024-03-10-03:00", "2024-03-10-03:00");
    }

    #[test]
    fn words_and_wildcards_select() {
        check("daily", "latest", "2024-03-09");
        check("daily", "last(3)", "2024-03-07..2024-03-09");
        check("daily", "all", "2023-12-01..2024-03-09");
        check("daily", "missing", "2023-12-01");
        check("daily", "2024-*-09", "2024-01-09,2024-02-09,2024-03-09");
        check("static", "latest", "\"a,b\"");
        check("static", "\"all\"", "\"all\"");
        check("static", "u*", "us");
        check("static", "us..50%", "us..\"50%\"");
        check("static", "all", "eu..\"a,b\"");
        check("static", "", "");
        check("none", "all", "\"\"");
    }

    #[test]
    fn dimensions_intersect_and_their_items_unite() {
        let march = "date=2024-03-01..2024-03-09";
        check("multi", "region=eu,us,date=2024-03..", &format!("{march}|region=eu..us"));
        check("multi", "date=2024-03-02|region=ap", "date=2024-03-02|region=ap");
        check("multi", "latest", "date=2024-03-09|region=eu..ap");
        check("multi", "2024-03", &format!("{march}|region=eu..ap"));
        check("multi", "us,2024-03-02", "date=2024-03-02|region=us");
        check("multi", "region=ap,missing", "date=2023-12-01|region=ap");
        check_error(
            "multi",
            "city=eu",
            "there is no dimension `city`",
            "city=eu",
            Some("the dimensions are `date`, `region`"),
        );
    }

    #[test]
    fn errors_say_what_there_is() {
        let range = "the 100 partitions go from `2023-12-01` to `2024-03-09`";
        check_error("daily", "2024-01,2022", "there is no partition `2022`", "2022", Some(range));
        check_error("daily", "junk", "there is no partition `junk`", "junk", Some(range));
        check_error(
            "daily",
            "2024-02..2024-01",
            "the range is backwards: `2024-02` comes after `2024-01`",
            "2024-02..2024-01",
            Some("write `2024-01..2024-02`"),
        );
        check_error(
            "daily",
            "2019..2020",
            "no partition is in this range",
            "2019..2020",
            Some(range),
        );
        check_error(
            "static",
            "eu, uss",
            "there is no partition `uss`",
            "uss",
            Some("did you mean `us`? the 6 partitions go from `eu` to `\"a,b\"`"),
        );
        check_error("daily", "a*b*", "more than one `*`", "a*b*", None);
        check_error("daily", "\"2024", "a `\"` that no other one closes", "\"2024", None);
    }
}
