//! Mappings between time windows: which windows overlap a window, moved or not.
//!
//! A downstream window names a span of time; it reads the upstream windows that overlap the span. Both
//! ends of the span move forward from window to window, so the downstream windows that read a given
//! time are neighbours, and both directions work on runs of neighbours.

use chrono::{DateTime, Months, NaiveDateTime, Utc};

use super::calendar::Calendar;
use super::zone;
use super::{Domain, MappingError, WindowOffset, WindowUnit};
use crate::base::{PartitionIdx, PartitionKey, PartitionSet, ranges};

/// The span that a downstream window reads.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Overlap {
    from: Shift,
    to: Shift,
    certainty: Certainty,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shift {
    Windows(i64),
    Seconds(i64),
    Days(i64),
    Months(i64),
}

/// What is known of all spans, from the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Certainty {
    /// Spans of neighbours touch or overlap, and none is empty.
    Gapless,
    /// Ends of spans move forward, but there may be time between them, or a span may be empty.
    Forward,
    /// A repeated hour, moved by months, goes back.
    Unknown,
}

type Span = (DateTime<Utc>, DateTime<Utc>);

impl Overlap {
    pub(super) fn plain() -> Overlap {
        let stay = Shift::Windows(0);
        Overlap { from: stay, to: stay, certainty: Certainty::Gapless }
    }

    pub(super) fn new(
        from: WindowOffset,
        to: WindowOffset,
        downstream: &Calendar,
    ) -> Result<Overlap, MappingError> {
        let shifts = (Shift::new(from, downstream), Shift::new(to, downstream));
        let ordered = match shifts {
            (Shift::Windows(a), Shift::Windows(b))
            | (Shift::Seconds(a), Shift::Seconds(b))
            | (Shift::Days(a), Shift::Days(b))
            | (Shift::Months(a), Shift::Months(b)) => Some(a <= b),
            (Shift::Windows(_) | Shift::Seconds(_) | Shift::Days(_) | Shift::Months(_), _) => None,
        };
        if ordered == Some(false) {
            return Err(MappingError::EmptyWindow { from, to });
        }
        let around = from.count <= 0 && to.count >= 0;
        // Where windows are left out, those before neighbours are not always neighbours.
        let is_whole = downstream.excluded().is_empty();
        let by_months = [shifts.0, shifts.1].iter().any(|s| matches!(s, Shift::Months(_)));
        let certainty = if by_months && downstream.repeats() {
            Certainty::Unknown
        } else if around || (ordered.is_some() && is_whole && !(by_months && downstream.is_even()))
        {
            Certainty::Gapless
        } else {
            Certainty::Forward
        };
        Ok(Overlap { from: shifts.0, to: shifts.1, certainty })
    }

    fn is_plain(&self) -> bool {
        *self == Overlap::plain()
    }

    /// True if the span is that of one window, itself or another one.
    pub(super) fn is_one_window(&self) -> bool {
        matches!((self.from, self.to), (Shift::Windows(a), Shift::Windows(b)) if a == b)
    }

    pub(super) fn upstream_of(
        &self,
        up: &Domain,
        down: &Domain,
        set: &PartitionSet,
    ) -> PartitionSet {
        let mut found = PartitionSet::new();
        let (Some(up_calendar), Some(down_calendar)) = (up.calendar(), down.calendar()) else {
            return found;
        };
        let mut add = |span: Option<Span>| {
            if let Some((low, high)) = span.and_then(|span| numbers(up_calendar, span)) {
                found.insert_range(low..=high);
            }
        };
        if self.certainty == Certainty::Gapless {
            for (first, last) in runs(down, set) {
                let begin = self.span(down_calendar, first).map(|span| span.0);
                let end = self.span(down_calendar, last).map(|span| span.1);
                add(begin.zip(end));
            }
        } else {
            set.iter().for_each(|index| add(self.span(down_calendar, i64::from(index))));
        }
        found & up.all()
    }

    pub(super) fn downstream_of(
        &self,
        up: &Domain,
        down: &Domain,
        set: &PartitionSet,
    ) -> PartitionSet {
        let mut found = PartitionSet::new();
        let (Some(up_calendar), Some(down_calendar)) = (up.calendar(), down.calendar()) else {
            return found;
        };
        for (first, last) in runs(up, set) {
            let (Some(begin), Some(end)) = (up_calendar.start(first), up_calendar.end(last)) else {
                continue;
            };
            let range = match self.certainty {
                _ if self.is_plain() => numbers(down_calendar, (begin, end)),
                Certainty::Gapless | Certainty::Forward => {
                    self.search(down_calendar, down.all(), (begin, end))
                }
                Certainty::Unknown => down.all().min().zip(down.all().max()),
            };
            let Some((low, high)) = range else { continue };
            if self.certainty == Certainty::Gapless {
                found.insert_range(low..=high);
            } else {
                let reads = |index: &PartitionIdx| {
                    self.span(down_calendar, i64::from(*index))
                        .is_some_and(|span| span.0 < span.1 && span.0 < end && begin < span.1)
                };
                found.extend(down.all().range(low..=high).filter(reads));
            }
        }
        found & down.all()
    }

    /// Keys of windows in the span that do not exist upstream, though the upstream calendar has them.
    pub(super) fn absent(
        &self,
        up: &Domain,
        down: &Domain,
        index: PartitionIdx,
    ) -> Vec<PartitionKey> {
        let mut keys = Vec::new();
        let (Some(up), Some(down), all) = (up.calendar(), down.calendar(), up.all()) else {
            return keys;
        };
        let Some((begin, end)) = self.span(down, i64::from(index)) else { return keys };
        for number in up.within(begin, end) {
            let exists = PartitionIdx::try_from(number).is_ok_and(|index| all.contains(index));
            if !exists && !up.is_excluded(number) {
                keys.extend(up.key(number).map(PartitionKey::new));
            }
        }
        keys
    }

    /// The first and the last of `all` whose spans overlap a time; ends of spans move forward.
    fn search(&self, down: &Calendar, all: &PartitionSet, time: Span) -> Option<(u32, u32)> {
        let span = |rank: i64| {
            let index = all.select(u32::try_from(rank).ok()?)?;
            self.span(down, i64::from(index))
        };
        let count = i64::try_from(all.len()).ok()?;
        let low = zone::bisect(-1, count, |rank| span(rank).is_some_and(|s| s.1 <= time.0));
        let high = zone::bisect(-1, count, |rank| span(rank).is_some_and(|s| s.0 < time.1)) - 1;
        let index = |rank: i64| all.select(u32::try_from(rank).ok()?);
        (low <= high).then(|| index(low).zip(index(high))).flatten()
    }

    fn span(&self, down: &Calendar, number: i64) -> Option<Span> {
        down.start(number)?;
        Some((self.from.begin(down, number)?, self.to.end(down, number)?))
    }
}

impl Shift {
    fn new(offset: WindowOffset, downstream: &Calendar) -> Shift {
        let count = i64::from(offset.count);
        if count == 0 || downstream.unit() == Some(offset.unit) {
            return Shift::Windows(count);
        }
        // Local days are not in order in a repeated hour; there a day is 24 hours.
        let days = |days: i64| match downstream.repeats() {
            true => Shift::Seconds(days * 86_400),
            false => Shift::Days(days),
        };
        match offset.unit {
            WindowUnit::Windows => Shift::Windows(count),
            WindowUnit::Hours => Shift::Seconds(count * 3600),
            WindowUnit::Days => days(count),
            WindowUnit::Weeks => days(count * 7),
            WindowUnit::Months => Shift::Months(count),
            WindowUnit::Years => Shift::Months(count * 12),
        }
    }

    fn begin(self, down: &Calendar, number: i64) -> Option<DateTime<Utc>> {
        match self {
            Shift::Windows(count) => down.start(down.step(number, count)?),
            Shift::Seconds(_) | Shift::Days(_) | Shift::Months(_) => self.moved(down, number),
        }
    }

    fn end(self, down: &Calendar, number: i64) -> Option<DateTime<Utc>> {
        match self {
            Shift::Windows(count) => down.end(down.step(number, count)?),
            // A month before 30 and 31 March ends February too: the moved window keeps its length.
            Shift::Months(months) if down.is_even() => {
                let start = local_start(down, number)?;
                let length = local_start(down, down.next(number)?)? - start;
                let end = add_months(start, months)?.checked_add_signed(length)?;
                Some(zone::resolve(down.tz(), end))
            }
            Shift::Seconds(_) | Shift::Days(_) | Shift::Months(_) => {
                self.moved(down, down.next(number)?)
            }
        }
    }

    /// The start of a window, moved.
    fn moved(self, down: &Calendar, number: i64) -> Option<DateTime<Utc>> {
        match self {
            Shift::Windows(count) => down.start(down.step(number, count)?),
            Shift::Seconds(seconds) => zone::instant(down.start(number)?.timestamp() + seconds),
            Shift::Days(days) => {
                let local = zone::shift(local_start(down, number)?, days * 86_400);
                Some(zone::resolve(down.tz(), local))
            }
            Shift::Months(months) => {
                Some(zone::resolve(down.tz(), add_months(local_start(down, number)?, months)?))
            }
        }
    }
}

fn local_start(calendar: &Calendar, number: i64) -> Option<NaiveDateTime> {
    match calendar.nominal(number) {
        Some(nominal) => Some(nominal),
        None => Some(zone::local(calendar.tz(), calendar.start(number)?)),
    }
}

fn add_months(local: NaiveDateTime, months: i64) -> Option<NaiveDateTime> {
    let count = Months::new(u32::try_from(months.abs()).ok()?);
    if months >= 0 { local.checked_add_months(count) } else { local.checked_sub_months(count) }
}

/// The windows that overlap a span, as indexes; those before index 0 do not exist.
fn numbers(calendar: &Calendar, (begin, end): Span) -> Option<(PartitionIdx, PartitionIdx)> {
    if begin >= end {
        return None;
    }
    let last = calendar.at(zone::instant(end.timestamp() - 1)?)?;
    let first = calendar.at(begin).unwrap_or(0).max(0);
    Some((PartitionIdx::try_from(first).ok()?, PartitionIdx::try_from(last).ok()?))
}

/// Runs of windows that follow each other in time without one missing.
fn runs(domain: &Domain, set: &PartitionSet) -> Vec<(i64, i64)> {
    let calendar = domain.calendar();
    let sparse = calendar.is_some_and(|calendar| !calendar.is_dense());
    let by_number = ranges(set).map(|range| (i64::from(*range.start()), i64::from(*range.end())));
    let mut runs: Vec<(i64, i64)> = Vec::new();
    if !sparse {
        runs.extend(by_number.filter_map(|run| real_ends(calendar?, run)));
        return runs;
    }
    let may_merge = calendar.is_some_and(|calendar| calendar.excluded().is_empty());
    let mut existing = domain.all().iter();
    for index in set {
        if let Some(run) = runs.last_mut()
            && may_merge
        {
            existing.advance_to(u32::try_from(run.1).map_or(index, |last| last.saturating_add(1)));
            let follows = domain.all().contains(u32::try_from(run.1).unwrap_or(0));
            if existing.next() == Some(index) && follows {
                run.1 = i64::from(index);
                continue;
            }
        }
        runs.push((i64::from(index), i64::from(index)));
    }
    runs
}

/// A run without the numbers at its ends that have no window.
fn real_ends(calendar: &Calendar, (first, last): (i64, i64)) -> Option<(i64, i64)> {
    let is_real = |number: i64| calendar.start(number).is_some();
    let first = if is_real(first) { first } else { calendar.next(first)? };
    let last = if is_real(last) { last } else { calendar.prev(last)? };
    (first <= last).then_some((first, last))
}
