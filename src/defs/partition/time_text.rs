//! Text for a span of local time, of any precision: `2014`, `2014-07`, `2014-07-04`, `2014-07-04-13:30`.

use chrono::{Months, NaiveDate, NaiveDateTime, TimeDelta};

/// A span of local time, the end excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LocalSpan {
    pub(super) start: NaiveDateTime,
    pub(super) end: NaiveDateTime,
}

/// `None`: the text is not in one of the forms.
pub(super) fn parse(text: &str) -> Option<LocalSpan> {
    let (date, time) = match text.char_indices().nth(10) {
        None => (text, None),
        Some((at, '-' | 'T' | ' ')) => (&text[..at], Some(&text[at + 1..])),
        Some(_) => return None,
    };
    let mut numbers = date.split('-');
    let year = number(numbers.next()?, 4)?;
    let month = numbers.next().map(|text| number(text, 2));
    let day = numbers.next().map(|text| number(text, 2));
    if numbers.next().is_some() || (time.is_some() && day.is_none()) {
        return None;
    }
    let first =
        |month: u32, day: u32| NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day);
    let (start, end) = match (month, day) {
        (None, _) => (first(1, 1)?, first(1, 1)?.checked_add_months(Months::new(12))?),
        (Some(month), None) => {
            (first(month?, 1)?, first(month?, 1)?.checked_add_months(Months::new(1))?)
        }
        (Some(month), Some(day)) => (first(month?, day?)?, first(month?, day?)?.succ_opt()?),
    };
    match time {
        None => {
            Some(LocalSpan { start: start.and_hms_opt(0, 0, 0)?, end: end.and_hms_opt(0, 0, 0)? })
        }
        Some(time) => within_day(start, time),
    }
}

fn within_day(date: NaiveDate, time: &str) -> Option<LocalSpan> {
    let mut numbers = time.split(':');
    let hour = number(numbers.next()?, 2)?;
    let minute = numbers.next().map(|text| number(text, 2));
    let second = numbers.next().map(|text| number(text, 2));
    if numbers.next().is_some() {
        return None;
    }
    let (minute, second, length) = match (minute, second) {
        (None, _) => (0, 0, 3600),
        (Some(minute), None) => (minute?, 0, 60),
        (Some(minute), Some(second)) => (minute?, second?, 1),
    };
    let start = date.and_hms_opt(hour, minute, second)?;
    Some(LocalSpan { start, end: start.checked_add_signed(TimeDelta::try_seconds(length)?)? })
}

fn number(text: &str, digits: usize) -> Option<u32> {
    let is_number = text.len() == digits && text.bytes().all(|b| b.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, start: &str, end: &str) {
        let span = parse(text).unwrap();
        let show = |at: NaiveDateTime| at.format("%Y-%m-%d %H:%M:%S").to_string();
        assert_eq!((show(span.start).as_str(), show(span.end).as_str()), (start, end));
    }

    #[test]
    fn text_of_any_precision_is_its_window() {
        check("2014", "2014-01-01 00:00:00", "2015-01-01 00:00:00");
        check("2014-12", "2014-12-01 00:00:00", "2015-01-01 00:00:00");
        check("2014-02-28", "2014-02-28 00:00:00", "2014-03-01 00:00:00");
        check("2014-07-04-13", "2014-07-04 13:00:00", "2014-07-04 14:00:00");
        check("2014-07-04T23:59", "2014-07-04 23:59:00", "2014-07-05 00:00:00");
        check("2014-07-04 13:30:05", "2014-07-04 13:30:05", "2014-07-04 13:30:06");
    }

    #[test]
    fn other_texts_are_not_times() {
        for text in [
            "",
            "14",
            "20140",
            "2014-7",
            "2014-13",
            "2014-02-30",
            "2014-07-04-",
            "eu",
            "2014-07-04-25",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
