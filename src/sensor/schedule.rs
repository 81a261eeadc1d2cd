//! What a schedule asks for: which ticks are due, which of them were missed, and the request of one.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use crate::base::{RunRequest, Wanted};
use crate::defs::template::TemplateError;
use crate::defs::{Catchup, Schedule, TickPartition};

/// A tick that is older than this when it is looked at was missed: nobody was there for it.
pub const GRACE: TimeDelta = TimeDelta::try_seconds(60).expect("it is small");

/// So many ticks are looked at in one go; the rest follows at once.
const TICKS_MAX: usize = 500;

/// Ticks are computed for so long at a time: of `* * * * *` that are ten thousand.
const STRETCH: TimeDelta = TimeDelta::try_days(7).expect("it is small");

/// Ticks are whole seconds.
const SECOND: TimeDelta = TimeDelta::try_seconds(1).expect("it is small");

/// What is to become of ticks that are due.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Due {
    /// They are before all that are asked for.
    pub missed: Option<Missed>,
    /// Each asks for a run; in ascending order.
    pub asked: Vec<DateTime<Utc>>,
    /// There are more to ask for, after the last of these.
    pub is_cut: bool,
}

/// Ticks that are left out, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missed {
    pub first: DateTime<Utc>,
    pub last: DateTime<Utc>,
    pub count: u64,
}

/// What is to become of the ticks after `handled` up to `now`.
///
/// One that is at most [`GRACE`] late is always asked for. Of those that were missed, `catchup` says how many
/// of the newest are: with `last` there is one run after an absence, that of the newest tick.
///
/// See the example of [`request`].
pub fn due(schedule: &Schedule, handled: DateTime<Utc>, now: DateTime<Utc>) -> Due {
    let mut due = Due::default();
    let Some(from) = asked_from(schedule, handled, now) else { return due };
    let mut at = handled;
    while at < now {
        let end = at.checked_add_signed(STRETCH).map_or(now, |end| end.min(now));
        for tick in schedule.between(at, end).into_iter().filter(|tick| *tick > at) {
            if tick < from {
                let missed = Missed { first: tick, last: tick, count: 0 };
                let missed = due.missed.get_or_insert(missed);
                (missed.last, missed.count) = (tick, missed.count + 1);
            } else if due.asked.len() == TICKS_MAX {
                due.is_cut = true;
                return due;
            } else {
                due.asked.push(tick);
            }
        }
        at = end;
    }
    due
}

/// The first moment of which ticks are asked for; `None` if no tick is due.
fn asked_from(
    schedule: &Schedule,
    handled: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let newest = schedule.up_to(now).filter(|tick| *tick > handled)?;
    let in_time = now - GRACE;
    let count = match schedule.catchup {
        Catchup::All => return Some(handled),
        Catchup::None => return Some(in_time),
        Catchup::Last(count) => count,
    };
    let mut from = newest;
    for _ in 1..count {
        let before = schedule.up_to(from - SECOND);
        match before.filter(|tick| *tick > handled) {
            Some(tick) => from = tick,
            None => break,
        }
    }
    Some(from.min(in_time))
}

/// The request of a tick. Its run key is the time of the tick, so that a tick has one run whatever happens.
///
/// ```
/// use giornata::base::{JobName, Wanted};
/// use giornata::defs::{Catchup, Origin, Schedule, Starts, TickPartition, partition::CronRule};
/// use giornata::sensor::schedule::{due, request};
/// use serde_json::json;
///
/// let schedule = Schedule {
///     name: JobName::parse("nightly")?,
///     origin: Origin { file: "assets/a.yaml".into(), line: 1 },
///     cron: vec![CronRule::parse("0 3 * * *")?],
///     timezone: chrono_tz::Europe::Berlin,
///     starts: Starts::Job {
///         job: JobName::parse("report")?,
///         config: json!({"day": "{tick:%Y-%m-%d}"}),
///         partition: None,
///     },
///     partition: TickPartition::AsSaid,
///     catchup: Catchup::Last(1),
///     tags: Default::default(),
///     is_on: true,
///     description: None,
/// };
/// // A laptop that slept from Monday to Friday.
/// let due = due(&schedule, "2024-03-04T12:00:00Z".parse()?, "2024-03-08T12:00:00Z".parse()?);
/// assert_eq!(due.missed.map(|missed| missed.count), Some(3));
/// let request = request(&schedule, due.asked[0])?;
/// assert_eq!(request.run_key.as_deref(), Some("2024-03-08T02:00:00Z"));
/// assert!(matches!(request.what, Wanted::Job { config, .. } if config["day"] == "2024-03-08"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn request(schedule: &Schedule, tick: DateTime<Utc>) -> Result<RunRequest, String> {
    let word = |name: &str, form: Option<&str>| word(schedule.timezone, tick, name, form);
    let wrong = |error: TemplateError| error.to_string();
    let what = super::wanted(&schedule.starts, &word).map_err(wrong)?;
    let mut what = what.ok_or_else(|| format!("schedule `{}` starts nothing", schedule.name))?;
    let (as_of, back) = match schedule.partition {
        TickPartition::AsSaid => (Some(tick), 0),
        TickPartition::Latest { back } => {
            match &mut what {
                Wanted::Job { partition, .. } | Wanted::Assets { partition, .. } => {
                    *partition = Some("latest".to_owned());
                }
            }
            (Some(tick), back)
        }
    };
    let tags = super::labels(&schedule.tags, &word).map_err(wrong)?;
    Ok(RunRequest { run_key: Some(key(tick)), what, tags, as_of, back })
}

/// The run key of a tick.
pub fn key(tick: DateTime<Utc>) -> String {
    tick.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A time as people read it: `2024-03-10 03:00 CET`.
pub fn told(zone: Tz, at: DateTime<Utc>) -> String {
    at.with_timezone(&zone).format("%Y-%m-%d %H:%M %Z").to_string()
}

fn word(zone: Tz, tick: DateTime<Utc>, name: &str, form: Option<&str>) -> Option<String> {
    if name != "tick" {
        return None;
    }
    let at = tick.with_timezone(&zone);
    Some(match form {
        Some(form) => at.format(form).to_string(),
        None => at.to_rfc3339(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::JobName;
    use crate::defs::partition::CronRule;
    use crate::defs::{Origin, Starts};
    use proptest::prelude::*;

    fn schedule(cron: &[&str], zone: Tz, catchup: Catchup) -> Schedule {
        Schedule {
            name: JobName::parse("clock").unwrap(),
            origin: Origin { file: "a.yaml".into(), line: 1 },
            cron: cron.iter().map(|text| CronRule::parse(text).unwrap()).collect(),
            timezone: zone,
            starts: Starts::Job {
                job: JobName::parse("note").unwrap(),
                config: serde_json::Value::Null,
                partition: None,
            },
            partition: TickPartition::AsSaid,
            catchup,
            tags: [("day".to_owned(), "{tick:%A}".to_owned())].into(),
            is_on: true,
            description: None,
        }
    }

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_710_000_000 / 86_400 * 86_400 + minute * 60, 0).unwrap()
    }

    #[test]
    fn words_are_told_in_the_zone_of_the_schedule() {
        let schedule = schedule(&["@daily"], chrono_tz::America::New_York, Catchup::All);
        let request = request(&schedule, "2024-03-11T04:00:00Z".parse().unwrap()).unwrap();
        assert_eq!(request.tags["day"], "Monday");
        assert_eq!(request.run_key.as_deref(), Some("2024-03-11T04:00:00Z"));
    }

    #[test]
    fn much_at_once_is_cut_and_nothing_of_it_is_lost() {
        let schedule = schedule(&["* * * * *"], Tz::UTC, Catchup::All);
        let (mut handled, mut asked) = (at(0), Vec::new());
        loop {
            let due = due(&schedule, handled, at(1_234));
            assert!(due.missed.is_none() && due.asked.len() <= TICKS_MAX);
            handled = *due.asked.last().unwrap();
            asked.extend(due.asked);
            if !due.is_cut {
                break;
            }
        }
        assert_eq!(asked, (1..=1_234).map(at).collect::<Vec<_>>());
    }

    fn policy() -> impl Strategy<Value = Catchup> {
        prop_oneof![Just(Catchup::All), Just(Catchup::None), (1_u32..5).prop_map(Catchup::Last),]
    }

    proptest! {
        /// Each tick is asked for or left out, as one would say who goes through them one by one.
        #[test]
        fn every_tick_is_asked_for_or_left_out(
            policy in policy(), from in 0_i64..5_000, length in 0_i64..3_000, seconds in 0_i64..120,
        ) {
            let schedule = schedule(&["*/7 1-20 * * *", "*/30 * * * *"], Tz::UTC, policy);
            let (handled, now) = (at(from), at(from + length) + TimeDelta::try_seconds(seconds).unwrap());
            let is_tick = |minute: &i64| {
                let (hour, minute) = (minute / 60 % 24, minute % 60);
                minute % 30 == 0 || (minute % 7 == 0 && (1..=20).contains(&hour))
            };
            let ticks: Vec<i64> = (from + 1..=from + length + seconds / 60).filter(is_tick).collect();
            let late = |tick: i64| (from + length - tick) * 60 + seconds;
            let is_asked = |place: usize| match policy {
                Catchup::All => true,
                Catchup::None => late(ticks[place]) <= 60,
                Catchup::Last(count) => {
                    late(ticks[place]) <= 60 || ticks.len() - place <= count as usize
                }
            };
            let asked: Vec<_> =
                (0..ticks.len()).filter(|at| is_asked(*at)).map(|place| at(ticks[place])).collect();
            let due = due(&schedule, handled, now);
            let left_out = due.missed.map_or(0, |missed| missed.count);
            prop_assert_eq!(left_out as usize, ticks.len() - asked.len());
            prop_assert_eq!(due.asked, &asked[..asked.len().min(TICKS_MAX)]);
        }
    }
}
