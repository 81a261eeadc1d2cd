//! Points and spans of time, and the clock as a parameter.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};

/// A span of time, start included and end excluded.
///
/// ```
/// use giornata::base::TimeWindow;
/// let window = |start: &str, end: &str| -> Result<TimeWindow, Box<dyn std::error::Error>> {
///     Ok(TimeWindow { start: start.parse()?, end: end.parse()? })
/// };
/// let day = window("2014-07-04T00:00:00Z", "2014-07-05T00:00:00Z")?;
/// assert!(day.overlaps(&window("2014-07-04T23:00:00Z", "2014-07-05T01:00:00Z")?));
/// assert!(!day.overlaps(&window("2014-07-05T00:00:00Z", "2014-07-06T00:00:00Z")?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TimeWindow {
    /// The first moment that is in it.
    pub start: DateTime<Utc>,
    /// The first moment after it.
    pub end: DateTime<Utc>,
}

impl TimeWindow {
    /// Whether there is a moment in both; see the example of [`TimeWindow`].
    pub fn overlaps(&self, other: &TimeWindow) -> bool {
        self.start < other.end && other.start < self.end
    }
}

/// Says what time it is. Only the outermost layer owns a clock that moves; everything else is told.
///
/// ```
/// use giornata::base::{Clock, FixedClock};
/// let noon = FixedClock("2014-07-04T12:00:00Z".parse()?);
/// assert_eq!(noon.now().to_rfc3339(), "2014-07-04T12:00:00+00:00");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Clock: Send + Sync {
    /// The time in UTC; see the example of [`Clock`].
    fn now(&self) -> DateTime<Utc>;
}

/// A clock that stands still: for tests, and for `--now`. See the example of [`Clock`].
#[derive(Debug, Clone, Copy)]
pub struct FixedClock(pub DateTime<Utc>);

impl Clock for FixedClock {
    fn now(&self) -> DateTime<Utc> {
        self.0
    }
}

/// Reads a date or time that a file name or a cell writes in chrono's `strftime` form; what the form
/// leaves out is the first there is: month 1, day 1, midnight.
///
/// ```
/// use giornata::base::time::parse_date;
/// assert_eq!(parse_date("2014/07/04", "%Y/%m/%d").unwrap().to_string(), "2014-07-04 00:00:00");
/// assert_eq!(parse_date("2014", "%Y").unwrap().to_string(), "2014-01-01 00:00:00");
/// assert_eq!(parse_date("July", "%Y-%m"), None);
/// ```
pub fn parse_date(text: &str, format: &str) -> Option<NaiveDateTime> {
    if let Ok(time) = NaiveDateTime::parse_from_str(text, format) {
        return Some(time);
    }
    let date = |text: &str, format: &str| {
        NaiveDate::parse_from_str(text, format).ok().and_then(|date| date.and_hms_opt(0, 0, 0))
    };
    date(text, format)
        .or_else(|| date(&format!("{text} 1"), &format!("{format} %d")))
        .or_else(|| date(&format!("{text} 1 1"), &format!("{format} %m %d")))
}
