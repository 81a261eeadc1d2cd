//! How an asset or a source is declared to be partitioned, in code.
//!
//! Builders take texts and never fail; what is wrong with them is said when the project is first used.

use chrono::NaiveDateTime;
use chrono_tz::Tz;

use super::error::Mistake;
use super::handle::{Handle, Reference};
use crate::base::time::parse_date;
use crate::base::{AssetKey, PartitionKey};
use crate::defs::partition::{Cadence, TimeWindowDef};
use crate::defs::{DynamicDef, PartitionsDef};

/// A set of partitions: windows of time, keys, or those of a source. It is declared with texts, and what is
/// wrong with them is told when the project is first used; see [`Mistake`](super::Mistake).
///
/// A window is a partition once it has ended (Dagster's rule): today is none yet. Starts and ends are local
/// times, written `2014-07-04`, `2014-07`, `2014` or `2014-07-04T13:00`; the day, month and year that are left
/// out are the first.
///
/// ```
/// use giornata::api::{Partitions, Project};
/// # let dir = tempfile::tempdir()?;
/// let mut project = Project::new("reports", dir.path());
/// let years = Partitions::cron("0 0 1 1 *", "2012-01-01", "%Y").until("2016-01-01");
/// let report = project
///     .asset("report")
///     .partitions(years)
///     .compute(|ctx| Ok(format!("the year {}", ctx.partition())));
/// assert_eq!(project.get(&report, "2014")?, "the year 2014");
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Partitions {
    kind: Kind,
    until: Option<String>,
    timezone: Option<String>,
    format: Option<String>,
    end_offset: i32,
}

#[derive(Debug, Clone)]
enum Kind {
    Windows { cadence: Cadence, start: String },
    Keys(Vec<PartitionKey>),
    Source(Reference),
    Def(PartitionsDef),
}

impl Partitions {
    /// One partition without a name: what an asset has that says nothing.
    ///
    /// ```
    /// use giornata::api::{Partitions, Project};
    /// # let dir = tempfile::tempdir()?;
    /// let mut project = Project::new("letters", dir.path());
    /// let letter = project.asset("letter").partitions(Partitions::none()).compute(|_| Ok(1_i64));
    /// assert_eq!(project.get(&letter, ())?, 1);
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn none() -> Partitions {
        Partitions::of(Kind::Def(PartitionsDef::Unpartitioned))
    }

    /// Hours from `start` on; keys are `2014-07-04-13:00`, the hour's local start. An hour that a change of
    /// clocks repeats has two keys, the second with its offset at the end.
    ///
    /// ```
    /// use giornata::api::{Partitions, Project};
    /// # let dir = tempfile::tempdir()?;
    /// let mut project = Project::new("hours", dir.path());
    /// let hours = Partitions::hourly("2014-07-04T13:00").until("2014-07-04T16:00");
    /// let hour = project.asset("hour").partitions(hours).compute(|_| Ok(()));
    /// let keys: Vec<String> =
    ///     project.get_range(&hour, "all")?.keys().map(ToString::to_string).collect();
    /// assert_eq!(keys, ["2014-07-04-13:00", "2014-07-04-14:00", "2014-07-04-15:00"]);
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn hourly(start: &str) -> Partitions {
        Partitions::windows(Cadence::Hourly { minute: 0 }, start)
    }

    /// Days from `start` on; keys are `2014-07-04`.
    ///
    /// ```
    /// use giornata::api::{Partitions, Project};
    /// # let dir = tempfile::tempdir()?;
    /// let mut project = Project::new("days", dir.path());
    /// let days = Partitions::daily("2014-07-04").until("2014-07-07");
    /// let day = project.asset("day").partitions(days).compute(|ctx| Ok(ctx.partition().to_string()));
    /// assert_eq!(project.get_range(&day, "latest")?.get("2014-07-06").unwrap(), "2014-07-06");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn daily(start: &str) -> Partitions {
        Partitions::windows(Cadence::Daily { hour: 0, minute: 0 }, start)
    }

    /// Weeks from the first Sunday at or after `start` on; keys are the Sunday on which they begin,
    /// `2014-07-06`. For weeks that begin on another day use [`cron`](Partitions::cron).
    ///
    /// ```
    /// use giornata::api::{Partitions, Project};
    /// # let dir = tempfile::tempdir()?;
    /// let mut project = Project::new("weeks", dir.path());
    /// let weeks = Partitions::weekly("2014-07-06").until("2014-07-20");
    /// let week = project.asset("week").partitions(weeks).compute(|_| Ok(()));
    /// assert_eq!(project.get_range(&week, "2014-07-06..2014-07-13")?.len(), 2);
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn weekly(start: &str) -> Partitions {
        Partitions::windows(Cadence::Weekly { day: 0, hour: 0, minute: 0 }, start)
    }

    /// Months from `start` on; keys are `2014-07` (Dagster's are `2014-07-01`; `format("%Y-%m-%d")` makes them
    /// so).
    ///
    /// ```
    /// use giornata::api::{Partitions, Project};
    /// # let dir = tempfile::tempdir()?;
    /// let mut project = Project::new("months", dir.path());
    /// let months = Partitions::monthly("2014-01").until("2015-01").format("%b %Y");
    /// let month = project.asset("month").partitions(months).compute(|ctx| Ok(ctx.partition().to_string()));
    /// assert_eq!(project.get(&month, "Feb 2014")?, "Feb 2014");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn monthly(start: &str) -> Partitions {
        Partitions::windows(Cadence::Monthly { day: 1, hour: 0, minute: 0 }, start)
    }

    /// Windows that begin when a cron expression of five fields says and end at its next tick; `format` is how
    /// their start makes a key. The format must tell the windows apart. See the example of [`Partitions`].
    pub fn cron(expression: &str, start: &str, format: &str) -> Partitions {
        Partitions::windows(Cadence::Cron(expression.to_owned()), start).format(format)
    }

    /// Exactly these keys, in this order. Any characters are allowed, but no key is empty and none comes
    /// twice. Dagster's static partitions.
    ///
    /// ```
    /// use giornata::api::{Partitions, Project};
    /// # let dir = tempfile::tempdir()?;
    /// let mut project = Project::new("shop", dir.path());
    /// let regions = Partitions::keys(["eu", "us"]);
    /// let region = project.asset("region").partitions(regions).compute(|ctx| Ok(ctx.partition().to_string()));
    /// assert_eq!(project.get(&region, "us")?, "us");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn keys<K: Into<String>>(keys: impl IntoIterator<Item = K>) -> Partitions {
        let keys = keys.into_iter().map(|key| PartitionKey::new(key.into()));
        Partitions::of(Kind::Keys(keys.collect()))
    }

    /// The partitions of a source: one for each of its files, or of the keys of its rows. A source without
    /// partitions is a mistake ([`Mistake::FollowsOne`](super::Mistake::FollowsOne)).
    ///
    /// ```
    /// use giornata::api::{Partitions, Project};
    /// # let dir = tempfile::tempdir()?;
    /// # std::fs::write(dir.path().join("a.txt"), "four")?;
    /// let mut project = Project::new("texts", dir.path());
    /// let text = project.source("text").files_as::<String>("{name}.txt");
    /// let length = project
    ///     .asset("length")
    ///     .partitions(Partitions::each(&text))
    ///     .input(&text)
    ///     .compute(|_, text| Ok(text.len() as u64));
    /// assert_eq!(project.get(&length, "a")?, 4);
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn each<V>(source: &Handle<V>) -> Partitions {
        Partitions::of(Kind::Source(source.place.clone()))
    }

    /// No window begins at or after `end`. Without it, windows appear as time passes. Of windows only; else it
    /// is a mistake ([`Mistake::NoWindows`](super::Mistake::NoWindows)). See the example of [`Partitions`].
    pub fn until(mut self, end: &str) -> Partitions {
        self.until = Some(end.to_owned());
        self
    }

    /// Windows begin at midnight of this zone (`Europe/Berlin`) instead of the project's; a day on which the
    /// clocks change has 23 or 25 hours.
    ///
    /// ```
    /// use giornata::api::{Partitions, Project};
    /// # let dir = tempfile::tempdir()?;
    /// let mut project = Project::new("days", dir.path());
    /// let days = Partitions::daily("2014-03-29").timezone("Europe/Berlin");
    /// let hours = project.asset("hours").partitions(days).compute(|ctx| {
    ///     let window = ctx.window().ok_or("a day is a span of time")?;
    ///     Ok((window.end - window.start).num_hours())
    /// });
    /// assert_eq!(project.get(&hours, "2014-03-30")?, 23);
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn timezone(mut self, zone: &str) -> Partitions {
        self.timezone = Some(zone.to_owned());
        self
    }

    /// How the local start of a window makes a key, in `strftime` form. See the example of
    /// [`Partitions::monthly`].
    pub fn format(mut self, format: &str) -> Partitions {
        self.format = Some(format.to_owned());
        self
    }

    /// How many windows beyond the last complete one exist: with 1, today is a partition; with -1, yesterday is
    /// none yet.
    ///
    /// ```
    /// use giornata::api::{Partitions, Project};
    /// use giornata::base::FixedClock;
    /// # let dir = tempfile::tempdir()?;
    /// let mut project = Project::new("days", dir.path());
    /// project.clock(std::sync::Arc::new(FixedClock("2014-07-03T12:00:00Z".parse()?)));
    /// let days = Partitions::daily("2014-07-01").end_offset(1);
    /// let day = project.asset("day").partitions(days).compute(|ctx| Ok(ctx.partition().to_string()));
    /// assert_eq!(project.get(&day, "2014-07-03")?, "2014-07-03");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn end_offset(mut self, windows: i32) -> Partitions {
        self.end_offset = windows;
        self
    }

    fn windows(cadence: Cadence, start: &str) -> Partitions {
        Partitions::of(Kind::Windows { cadence, start: start.to_owned() })
    }

    fn of(kind: Kind) -> Partitions {
        Partitions { kind, until: None, timezone: None, format: None, end_offset: 0 }
    }

    /// The source whose partitions these are.
    pub(super) fn followed(&self) -> Option<&Reference> {
        match &self.kind {
            Kind::Source(source) => Some(source),
            Kind::Windows { .. } | Kind::Keys(_) | Kind::Def(_) => None,
        }
    }

    /// As they are for a job on its own: what follows a source has the partitions that the source says.
    pub(super) fn def_of_job(&self) -> Result<PartitionsDef, Mistake> {
        let source = self.followed().map(|source| AssetKey::parse(&source.name)).transpose()?;
        let followed = source.map(|key| PartitionsDef::Dynamic(DynamicDef::Source(key)));
        self.def(Tz::UTC, followed.as_ref())
    }

    /// The definition; `followed` is that of the source that is followed.
    pub(super) fn def(
        &self,
        zone: Tz,
        followed: Option<&PartitionsDef>,
    ) -> Result<PartitionsDef, Mistake> {
        let def = match &self.kind {
            Kind::Windows { cadence, start } => {
                PartitionsDef::TimeWindow(self.time_windows(zone, cadence, start)?)
            }
            Kind::Keys(keys) => PartitionsDef::Static(keys.clone()),
            Kind::Def(def) => def.clone(),
            Kind::Source(source) => {
                let unpartitioned = || Mistake::FollowsOne { followed: source.name.to_string() };
                followed.filter(|def| !def.is_unpartitioned()).cloned().ok_or_else(unpartitioned)?
            }
        };
        let windows = matches!(self.kind, Kind::Windows { .. });
        let told = self.until.is_some() || self.timezone.is_some() || self.format.is_some();
        if !windows && (told || self.end_offset != 0) {
            return Err(Mistake::NoWindows);
        }
        def.validate()?;
        Ok(def)
    }

    fn time_windows(
        &self,
        zone: Tz,
        cadence: &Cadence,
        start: &str,
    ) -> Result<TimeWindowDef, Mistake> {
        let default = TimeWindowDef::default_format(cadence).map(str::to_owned);
        let timezone = match &self.timezone {
            Some(name) => parse_zone(name)?,
            None => zone,
        };
        Ok(TimeWindowDef {
            cadence: cadence.clone(),
            start: parse_time(start)?,
            end: self.until.as_deref().map(parse_time).transpose()?,
            timezone,
            // Only a cron has no default, and its constructor asks for one.
            format: self.format.clone().or(default).unwrap_or_default(),
            end_offset: self.end_offset,
            exclusions: Vec::new(),
        })
    }
}

impl From<PartitionsDef> for Partitions {
    fn from(def: PartitionsDef) -> Partitions {
        Partitions::of(Kind::Def(def))
    }
}

pub(super) fn parse_zone(name: &str) -> Result<Tz, Mistake> {
    name.parse().map_err(|_| Mistake::Zone { name: name.to_owned() })
}

fn parse_time(text: &str) -> Result<NaiveDateTime, Mistake> {
    let forms = ["%Y-%m-%d", "%Y-%m", "%Y", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"];
    let read = forms.iter().find_map(|form| parse_date(text, form));
    read.ok_or_else(|| Mistake::Time { text: text.to_owned() })
}
