//! Cron expressions in local time: on which days, at which minutes of the day.
//!
//! Times of the day are the same on each matching day, so they are computed once, and croner is asked
//! about days only. Clock changes are resolved here: an expression with `*` for the hour ticks in each
//! hour that passes; any other expression ticks once for each of its local times.

use chrono::{DateTime, Datelike, Days, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use croner::parser::{CronParser, Seconds, Year};
use croner::{Cron, Weekday};

use super::zone::{self, Meaning};

/// No expression that ever matches waits longer: 29 February around 2100 is the worst but for
/// "29 February on a Monday", which takes 40 years.
const SEARCH_DAYS: u32 = 366 * 41;

/// A parsed cron expression of five fields.
#[derive(Debug, Clone)]
pub struct CronRule {
    text: String,
    cron: Cron,
    /// In ascending order.
    minutes: Vec<u16>,
    every_hour: bool,
}

impl PartialEq for CronRule {
    fn eq(&self, other: &CronRule) -> bool {
        self.text == other.text
    }
}

impl CronRule {
    /// Reads five fields or one of `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.
    pub fn parse(text: &str) -> Result<CronRule, String> {
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .sloppy_ranges(true)
            .build();
        let cron = parser.parse(&unwrap_ranges(text)).map_err(|error| error.to_string())?;
        let pattern = &cron.pattern;
        let hours: Vec<u16> =
            (0..24).filter(|h| pattern.hour_match(u32::from(*h)).unwrap_or(false)).collect();
        let matches = |m: &u16| pattern.minute_match(u32::from(*m)).unwrap_or(false);
        let minutes: Vec<u16> = hours
            .iter()
            .flat_map(|hour| (0..60).filter(matches).map(move |minute| hour * 60 + minute))
            .collect();
        let every_hour = hours.len() == 24;
        Ok(CronRule { text: text.to_owned(), cron, minutes, every_hour })
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// True if the hour field is `*`, so that both passes through a repeated hour tick.
    pub(super) fn every_hour(&self) -> bool {
        self.every_hour
    }

    /// The first tick after `at`.
    pub fn after(&self, tz: Tz, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut date = zone::local(tz, at).date().pred_opt()?;
        for _ in 0..SEARCH_DAYS {
            if self.day_matches(date) {
                let ticks = self.ticks_of(tz, date);
                if let Some(tick) = ticks.get(ticks.partition_point(|tick| *tick <= at)) {
                    return Some(*tick);
                }
            }
            date = date.succ_opt()?;
        }
        None
    }

    /// The last tick at or before `at`.
    pub fn up_to(&self, tz: Tz, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut date = zone::local(tz, at).date().checked_add_days(Days::new(1))?;
        for _ in 0..SEARCH_DAYS {
            if self.day_matches(date) {
                let ticks = self.ticks_of(tz, date);
                let count = ticks.partition_point(|tick| *tick <= at);
                if let Some(tick) = count.checked_sub(1).and_then(|place| ticks.get(place)) {
                    return Some(*tick);
                }
            }
            date = date.pred_opt()?;
        }
        None
    }

    /// Every tick from `from` to `to`, both included, in ascending order.
    pub fn between(&self, tz: Tz, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<DateTime<Utc>> {
        let mut ticks: Vec<DateTime<Utc>> = Vec::new();
        let mut date = zone::local(tz, from).date().pred_opt();
        let last = zone::local(tz, to).date().succ_opt();
        while let Some(day) = date
            && last.is_none_or(|last| day <= last)
        {
            if self.day_matches(day) {
                let of_day = self.ticks_of(tz, day);
                let begin = ticks.last().map_or(from, |last| *last);
                let is_new =
                    |tick: &DateTime<Utc>| *tick > begin || (ticks.is_empty() && *tick == begin);
                let skip = of_day.iter().position(is_new).unwrap_or(of_day.len());
                let count = of_day.partition_point(|tick| *tick <= to);
                ticks.extend(of_day.get(skip..count).unwrap_or(&[]));
            }
            date = day.succ_opt();
        }
        ticks
    }

    fn day_matches(&self, date: NaiveDate) -> bool {
        let pattern = &self.cron.pattern;
        let weekday = match date.weekday() {
            chrono::Weekday::Mon => Weekday::Monday,
            chrono::Weekday::Tue => Weekday::Tuesday,
            chrono::Weekday::Wed => Weekday::Wednesday,
            chrono::Weekday::Thu => Weekday::Thursday,
            chrono::Weekday::Fri => Weekday::Friday,
            chrono::Weekday::Sat => Weekday::Saturday,
            chrono::Weekday::Sun => Weekday::Sunday,
        };
        pattern.month_match(date.month()).unwrap_or(false)
            && pattern.day_match(date.year(), date.month(), date.day(), weekday).unwrap_or(false)
    }

    /// Ticks of a matching day, ascending, each once.
    fn ticks_of(&self, tz: Tz, date: NaiveDate) -> Vec<DateTime<Utc>> {
        let Some(midnight) = date.and_hms_opt(0, 0, 0) else { return Vec::new() };
        let Some(next) = zone::instant(midnight.and_utc().timestamp() + 86_400) else {
            return Vec::new();
        };
        let local = |minute: u16| zone::shift(midnight, i64::from(minute) * 60);
        // A change of offset can matter to this date up to a day before or after it in UTC.
        let day = TimeDelta::try_hours(15).unwrap_or_default();
        let offset = zone::offset(tz, midnight.and_utc() - day);
        if offset == zone::offset(tz, next + day)
            && offset == zone::offset(tz, midnight.and_utc() + day)
        {
            let at = |minute: &u16| zone::shift(local(*minute), -offset).and_utc();
            return self.minutes.iter().map(at).collect();
        }
        let mut ticks: Vec<DateTime<Utc>> = Vec::with_capacity(self.minutes.len());
        for minute in &self.minutes {
            match (zone::meaning(tz, local(*minute)), self.every_hour) {
                (Meaning::Once(at), _) => ticks.push(at),
                (Meaning::Twice(first, second), true) => ticks.extend([first, second]),
                (Meaning::Twice(_, second), false) => ticks.push(second),
                (Meaning::Skipped(_), true) => {}
                (Meaning::Skipped(end), false) => ticks.push(end),
            }
        }
        ticks.sort_unstable();
        ticks.dedup();
        ticks
    }
}

/// Writes a range that passes the end of its field, such as `22-2` hours, as two.
fn unwrap_ranges(text: &str) -> String {
    let limits = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)];
    let range = |part: &str, (low, high): (u32, u32)| {
        let ends = part.split_once('-').map(|(a, b)| (a.parse::<u32>(), b.parse::<u32>()));
        match ends {
            Some((Ok(a), Ok(b))) if a > b && a <= high => format!("{a}-{high},{low}-{b}"),
            Some(_) | None => part.to_owned(),
        }
    };
    let fields: Vec<&str> = text.split_whitespace().collect();
    if fields.len() != limits.len() {
        return text.to_owned();
    }
    let field = |(field, limit): (&&str, (u32, u32))| {
        field.split(',').map(|part| range(part, limit)).collect::<Vec<_>>().join(",")
    };
    fields.iter().zip(limits).map(field).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_may_pass_the_end_of_its_field() {
        let rule = CronRule::parse("0 22-1 * * *").unwrap();
        assert_eq!(rule.minutes, [0, 60, 22 * 60, 23 * 60]);
    }

    #[test]
    fn five_fields_or_a_name_are_an_expression() {
        for text in ["", "x", "* * * *", "* * * * * *", "60 * * * *", "@reboot", "0 0 * * 1#6"] {
            assert!(CronRule::parse(text).is_err(), "{text}");
        }
        for text in ["*/5 * * * *", "@daily", "0 0 L * *", "0 9 * * MON-FRI"] {
            assert!(CronRule::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn ticks_between_are_those_found_one_by_one() {
        let tz: Tz = "America/New_York".parse().unwrap();
        let from: DateTime<Utc> = "2024-03-01T00:00:00Z".parse().unwrap();
        let to: DateTime<Utc> = "2024-11-30T00:00:00Z".parse().unwrap();
        for text in ["*/20 * * * *", "30 1,2 * * *", "0 */2 * * *", "0 0 * * *"] {
            let rule = CronRule::parse(text).unwrap();
            let mut at = from - TimeDelta::try_seconds(1).unwrap();
            for tick in rule.between(tz, from, to) {
                assert_eq!(rule.after(tz, at), Some(tick), "{text}");
                assert_eq!(rule.up_to(tz, tick), Some(tick), "{text}");
                at = tick;
            }
            assert!(rule.after(tz, at).unwrap() > to, "{text}");
        }
    }
}
