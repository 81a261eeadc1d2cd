//! The only clock that moves, and the one that `--now` stops.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};

use crate::base::Clock;

/// The time of the machine.
pub(super) struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where time comes in")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

/// Reads the value of `--now`; without a zone it is UTC.
pub(super) fn parse(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    let forms = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"];
    let time = forms.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    let day = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0);
    match time.or_else(day) {
        Some(time) => Ok(time.and_utc()),
        None => Err("a time is written as `2016-01-31` or `2016-01-31T03:00:00Z`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_a_minute_and_an_instant_are_read() {
        for (text, expect) in [
            ("2016-01-31", "2016-01-31T00:00:00+00:00"),
            ("2016-01-31 03:00", "2016-01-31T03:00:00+00:00"),
            ("2016-01-31T03:00:00+01:00", "2016-01-31T02:00:00+00:00"),
        ] {
            assert_eq!(parse(text).unwrap().to_rfc3339(), expect);
        }
        assert!(parse("yesterday").is_err());
    }
}
