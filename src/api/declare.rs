//! Builders of sources and assets. They only collect; `resolve` judges what they collected.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::backed::Backing;
use super::compute::{Append, Callable, Verdict, Wire};
use super::handle::{Handle, Parts, Reference};
use super::io::Io;
use super::partitions::Partitions;
use super::project::Project;
use super::resource::{Resource, Used};
use super::value::{Form, Value};
use crate::defs::{ColumnType, MappingDef, Missing, Origin, Severity};
use crate::io::Table;

/// A source or an asset as it was declared, not yet judged.
#[derive(Clone)]
pub(super) struct Draft {
    pub(super) name: Arc<str>,
    pub(super) origin: Origin,
    pub(super) body: DraftBody,
    /// `None`: one, or what the files of a source say.
    pub(super) partitions: Option<Partitions>,
    pub(super) deps: Vec<DraftDep>,
    pub(super) version: Option<String>,
    pub(super) export: Option<String>,
    /// The names of all assets that its step makes, where these are several.
    pub(super) shared: Option<Arc<[Arc<str>]>>,
    /// What was said of assets of the step that it does not make.
    pub(super) strangers: Vec<String>,
    pub(super) checks: Vec<DraftCheck>,
    pub(super) io: Option<Io>,
    pub(super) resources: Vec<Used>,
    pub(super) retries: u32,
    /// Of the ops of its graph; null if it says none.
    pub(super) values: serde_json::Value,
    pub(super) description: Option<String>,
}

impl Draft {
    /// Whether files declare it.
    pub(super) fn is_existing(&self) -> bool {
        match self.body {
            DraftBody::Existing => true,
            DraftBody::Source { .. } | DraftBody::Function { .. } | DraftBody::Graph(_) => false,
        }
    }
}

/// A check of an asset: as text, or a function under a name.
#[derive(Clone)]
pub(super) struct DraftCheck {
    pub(super) name: String,
    pub(super) severity: Severity,
    pub(super) verdict: Option<Verdict>,
}

#[derive(Clone)]
pub(super) enum DraftBody {
    /// Files declare it.
    Existing,
    Source {
        pattern: String,
        split_by: Option<String>,
        columns: BTreeMap<String, ColumnType>,
    },
    Function {
        form: Form,
        call: Callable,
    },
    /// Ops make it.
    Graph(Backing),
}

#[derive(Clone)]
pub(super) struct DraftDep {
    pub(super) upstream: Reference,
    pub(super) mapping: MappingDef,
    pub(super) missing: Missing,
    pub(super) count: Count,
}

/// How many partitions of an input the function takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    One,
    Several,
}

/// A declaration that is being written.
pub(super) struct Open<'p> {
    pub(super) project: &'p mut Project,
    pub(super) draft: Draft,
}

impl<'p> Open<'p> {
    pub(super) fn new(project: &'p mut Project, name: &str, origin: Origin) -> Open<'p> {
        let (pattern, split_by, columns) = (String::new(), None, BTreeMap::new());
        let draft = Draft {
            name: name.into(),
            origin,
            body: DraftBody::Source { pattern, split_by, columns },
            partitions: None,
            deps: Vec::new(),
            version: None,
            export: None,
            shared: None,
            strangers: Vec::new(),
            checks: Vec::new(),
            io: None,
            resources: Vec::new(),
            retries: 0,
            values: serde_json::Value::Null,
            description: None,
        };
        Open { project, draft }
    }

    pub(super) fn finish_existing<V>(mut self) -> Handle<V> {
        self.draft.body = DraftBody::Existing;
        Handle::new(self.project.declare(self.draft))
    }

    pub(super) fn finish_backed<V>(mut self, backing: Backing) -> Handle<V> {
        self.draft.body = DraftBody::Graph(backing);
        Handle::new(self.project.declare(self.draft))
    }

    pub(super) fn finish_asset<V>(mut self, form: Form, call: Callable) -> Handle<V> {
        self.draft.body = DraftBody::Function { form, call };
        Handle::new(self.project.declare(self.draft))
    }
}

/// A source that is being declared: data from outside, observed and never computed. Dagster's source
/// asset.
///
/// What its files and rows are is looked at whenever something is asked for. A mistake in the declaration
/// is told when the project is first used; see [`Mistake`](super::Mistake).
///
/// ```
/// use giornata::api::{ColumnType, Project};
/// # let dir = tempfile::tempdir()?;
/// # std::fs::write(dir.path().join("rain.csv"), "date,station,mm\n2014/07/04,007,0.5\n")?;
/// let mut project = Project::new("weather", dir.path());
/// let rain = project
///     .source("rain")
///     .description("Readings of all stations, in mm")
///     .split_by("date:%Y/%m/%d")
///     .column("station", ColumnType::Text)
///     .files("rain.csv");
/// let day = project.get(&rain, "2014-07-04")?;
/// assert_eq!(day.cell(0, "station").and_then(|it| it.as_text()), Some("007"));
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
#[must_use = "a source is declared by `files`"]
pub struct Source<'p> {
    open: Open<'p>,
    partitions: Option<Partitions>,
    split_by: Option<String>,
    columns: BTreeMap<String, ColumnType>,
}

impl<'p> Source<'p> {
    pub(super) fn new(open: Open<'p>) -> Source<'p> {
        Source { open, partitions: None, split_by: None, columns: BTreeMap::new() }
    }

    /// The rows of the one file fall into partitions by this column: each value is a key, and a partition has
    /// the rows with it. `date:%Y/%m/%d` says how the column writes a date, where that is not how keys are
    /// written. See the example of [`Source`].
    pub fn split_by(mut self, column: &str) -> Source<'p> {
        self.split_by = Some(column.to_owned());
        self
    }

    /// The partitions that there should be. Without this, they are what the files or rows say; with it, one
    /// without a file has no data yet, and a file for none of them is a warning.
    ///
    /// ```
    /// use giornata::api::{Partitions, Project};
    /// # let dir = tempfile::tempdir()?;
    /// # std::fs::write(dir.path().join("a.txt"), "Dear all")?;
    /// let mut project = Project::new("letters", dir.path());
    /// let letter = project
    ///     .source("letter")
    ///     .partitions(Partitions::keys(["a", "b"]))
    ///     .files_as::<String>("{name}.txt");
    /// assert_eq!(project.get(&letter, "a")?, "Dear all");
    /// let error = project.get(&letter, "b").unwrap_err();
    /// assert_eq!(error.to_string(), "`letter` has no data for `b`");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn partitions(mut self, partitions: impl Into<Partitions>) -> Source<'p> {
        self.partitions = Some(partitions.into());
        self
    }

    /// The type of a column; in a column without one, each cell decides for itself (`007` is then 7). See the
    /// example of [`Source`].
    pub fn column(mut self, name: &str, kind: ColumnType) -> Source<'p> {
        self.columns.insert(name.to_owned(), kind);
        self
    }

    /// One sentence for listings; see the example of [`Source`].
    pub fn description(mut self, text: &str) -> Source<'p> {
        self.open.draft.description = Some(text.to_owned());
        self
    }

    /// Ends the declaration: tables in the files that match a path below the project's root, `data/rain.csv`,
    /// `data/*.csv`, or with captures that make the partition key, `data/{date:%Y-%m-%d}.csv`.
    ///
    /// ```
    /// use giornata::api::Project;
    /// # let dir = tempfile::tempdir()?;
    /// # std::fs::create_dir(dir.path().join("data"))?;
    /// # std::fs::write(dir.path().join("data/2014-07-04.csv"), "mm\n0.5\n1.5\n")?;
    /// let mut project = Project::new("weather", dir.path());
    /// let rain = project.source("rain").files("data/{date:%Y-%m-%d}.csv");
    /// assert_eq!(project.get(&rain, "2014-07-04")?.rows.len(), 2);
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn files(self, pattern: &str) -> Handle<Table> {
        self.files_as(pattern)
    }

    /// As [`Source::files`], for files that are not tables.
    ///
    /// ```
    /// use giornata::api::Project;
    /// # let dir = tempfile::tempdir()?;
    /// # std::fs::write(dir.path().join("a.md"), "Good morning")?;
    /// let mut project = Project::new("letters", dir.path());
    /// let letters = project.source("letters").files_as::<String>("{name}.md");
    /// assert_eq!(project.get(&letters, "a")?, "Good morning");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn files_as<V: Value>(self, pattern: &str) -> Handle<V> {
        let Source { mut open, partitions, split_by, columns } = self;
        open.draft.body = DraftBody::Source { pattern: pattern.to_owned(), split_by, columns };
        open.draft.partitions = partitions;
        Handle::new(open.project.declare(open.draft))
    }
}

/// An asset that is being declared; `W` is the list of its inputs so far, `K` whether its step makes
/// anything else. Ended by [`compute`](Asset::compute).
///
/// A mistake in the declaration is told when the project is first used, with all others; see
/// [`Mistake`](super::Mistake).
///
/// ```
/// use giornata::api::{Project, Table};
/// # let dir = tempfile::tempdir()?;
/// # std::fs::write(dir.path().join("rain.csv"), "date,mm\n2014-07-04,0.5\n")?;
/// let mut project = Project::new("weather", dir.path());
/// let rain = project.source("rain").split_by("date").files("rain.csv");
/// let daily = project
///     .asset("daily")
///     .description("One day as it was measured")
///     .daily("2014-07-04")
///     .until("2014-07-05")
///     .input(&rain)
///     .check("rows = 1")
///     .version("2")
///     .compute(|_, rain: Table| Ok(rain));
/// assert_eq!(project.get(&daily, "2014-07-04")?.rows.len(), 1);
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
#[must_use = "an asset is declared by `compute`"]
pub struct Asset<'p, W, K = Sole> {
    pub(super) open: Open<'p>,
    pub(super) wires: W,
    pub(super) kind: K,
}

/// Says of an [`Asset`] that its step makes nothing else: the `K` of what
/// [`Project::asset`](super::Project::asset) begins, in the place of [`Several`](super::Several).
///
/// ```
/// use giornata::api::{Asset, Handle, Project, Sole};
/// fn greet(asset: Asset<'_, (), Sole>) -> Handle<String> {
///     asset.compute(|_| Ok("hello".to_owned()))
/// }
/// # let dir = tempfile::tempdir()?;
/// let mut project = Project::new("greetings", dir.path());
/// let greeting = greet(project.asset("greeting"));
/// assert_eq!(project.get(&greeting, ())?, "hello");
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
pub struct Sole;

impl<'p, K> Asset<'p, (), K> {
    pub(super) fn new(open: Open<'p>, kind: K) -> Asset<'p, (), K> {
        Asset { open, wires: (), kind }
    }
}

/// Partitions.
impl<'p, W, K> Asset<'p, W, K> {
    /// A partition for each of these, made in ways that have no method here; see the example of
    /// [`Partitions`].
    pub fn partitions(mut self, partitions: impl Into<Partitions>) -> Asset<'p, W, K> {
        self.open.draft.partitions = Some(partitions.into());
        self
    }

    /// A partition for each hour from `start` on; see [`Partitions::hourly`].
    ///
    /// ```
    /// use giornata::api::Project;
    /// # let dir = tempfile::tempdir()?;
    /// let mut project = Project::new("hours", dir.path());
    /// let hour = project.asset("hour").hourly("2014-07-04").compute(|ctx| Ok(ctx.partition().to_string()));
    /// assert_eq!(project.get(&hour, "2014-07-04-13:00")?, "2014-07-04-13:00");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn hourly(self, start: &str) -> Asset<'p, W, K> {
        self.partitions(Partitions::hourly(start))
    }

    /// A partition for each day from `start` on; see [`Partitions::daily`] and the example of [`Asset`].
    pub fn daily(self, start: &str) -> Asset<'p, W, K> {
        self.partitions(Partitions::daily(start))
    }

    /// A partition for each week from `start` on; see [`Partitions::weekly`].
    ///
    /// ```
    /// use giornata::api::Project;
    /// # let dir = tempfile::tempdir()?;
    /// let mut project = Project::new("weeks", dir.path());
    /// let week = project.asset("week").weekly("2014-07-01").until("2014-07-20").compute(|ctx| {
    ///     let (start, end) = ctx.dates().ok_or("a week is a span of time")?;
    ///     Ok(format!("{start} to before {end}"))
    /// });
    /// // The first Sunday from the start on.
    /// assert_eq!(project.get(&week, "2014-07-06")?, "2014-07-06 to before 2014-07-13");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn weekly(self, start: &str) -> Asset<'p, W, K> {
        self.partitions(Partitions::weekly(start))
    }

    /// A partition for each month from `start` on; see [`Partitions::monthly`] and the example of
    /// [`Context`](super::Context).
    pub fn monthly(self, start: &str) -> Asset<'p, W, K> {
        self.partitions(Partitions::monthly(start))
    }

    /// A partition for each of these keys, in their order; see [`Partitions::keys`].
    ///
    /// ```
    /// use giornata::api::Project;
    /// # let dir = tempfile::tempdir()?;
    /// let mut project = Project::new("shop", dir.path());
    /// let region = project.asset("region").keys(["eu", "us"]).compute(|ctx| Ok(ctx.partition().to_string()));
    /// assert_eq!(project.get_range(&region, "all")?.values().cloned().collect::<String>(), "euus");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn keys<S: Into<String>>(self, keys: impl IntoIterator<Item = S>) -> Asset<'p, W, K> {
        self.partitions(Partitions::keys(keys))
    }

    /// The partitions of a source: one for each of its files, or of the keys of its rows. They come and go with
    /// them, which Dagster's dynamic partitions do only where code adds and removes them.
    ///
    /// ```
    /// use giornata::api::Project;
    /// # let dir = tempfile::tempdir()?;
    /// # std::fs::write(dir.path().join("a.txt"), "four")?;
    /// let mut project = Project::new("texts", dir.path());
    /// let text = project.source("text").files_as::<String>("{name}.txt");
    /// let length = project.asset("length").each(&text).input(&text).compute(|_, text| Ok(text.len() as u64));
    /// assert_eq!(project.get(&length, "a")?, 4);
    /// std::fs::write(dir.path().join("b.txt"), "seventy")?;
    /// assert_eq!(project.get_range(&length, "all")?.len(), 2);
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn each<V>(self, source: &Handle<V>) -> Asset<'p, W, K> {
        self.partitions(Partitions::each(source))
    }

    /// Ends windows of time: none begins at or after `end`; see [`Partitions::until`] and the example of
    /// [`Asset`]. It stands behind what says the windows.
    pub fn until(mut self, end: &str) -> Asset<'p, W, K> {
        let partitions = self.open.draft.partitions.take().unwrap_or_else(Partitions::none);
        self.open.draft.partitions = Some(partitions.until(end));
        self
    }
}

/// Inputs: each adds a parameter to the function.
impl<'p, W, K> Asset<'p, W, K> {
    /// Reads the one partition that belongs to that which is made, as a `T`: the same key, or all there is of
    /// an input without partitions. Where several belong to it, the declaration is a mistake
    /// ([`Mistake::Several`](super::Mistake::Several)) and [`inputs`](Asset::inputs) is meant; where there is
    /// no data, the partition is blocked. See the example of [`Asset`].
    pub fn input<T: Value>(self, upstream: &Handle<T>) -> Asset<'p, W::Longer, K>
    where
        W: Append<T>,
    {
        let wire = Wire::one(upstream.place.name.clone());
        self.read(upstream, MappingDef::Default, Missing::Error, Count::One).wire(wire)
    }

    /// As [`input`](Asset::input); where there is no data, the function gets `None` instead of being blocked.
    ///
    /// ```
    /// use giornata::api::Project;
    /// # let dir = tempfile::tempdir()?;
    /// let mut project = Project::new("letters", dir.path());
    /// let draft = project.source("draft").files_as::<String>("draft.md");
    /// let letter = project
    ///     .asset("letter")
    ///     .input_optional(&draft)
    ///     .compute(|_, draft| Ok(draft.unwrap_or_else(|| "Dear all".to_owned())));
    /// assert_eq!(project.get(&letter, ())?, "Dear all");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn input_optional<T: Value>(self, upstream: &Handle<T>) -> Asset<'p, W::Longer, K>
    where
        W: Append<Option<T>>,
    {
        let wire = Wire::optional(upstream.place.name.clone());
        self.read(upstream, MappingDef::Default, Missing::Allow, Count::One).wire(wire)
    }

    /// Reads all partitions that belong to that which is made, as [`Parts`], also where it is one or none:
    /// those whose windows overlap in time, or every one for an asset without partitions.
    ///
    /// ```
    /// use giornata::api::{Parts, Project};
    /// # let dir = tempfile::tempdir()?;
    /// let mut project = Project::new("days", dir.path());
    /// let day = project.asset("day").daily("2014-07-01").compute(|ctx| Ok(ctx.partition().to_string()));
    /// let month = project
    ///     .asset("month")
    ///     .monthly("2014-07")
    ///     .inputs(&day)
    ///     .compute(|_, days: Parts<String>| Ok(days.len() as u64));
    /// assert_eq!(project.get(&month, "2014-07")?, 31);
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn inputs<T: Value>(self, upstream: &Handle<T>) -> Asset<'p, W::Longer, K>
    where
        W: Append<Parts<T>>,
    {
        self.input_with(upstream, MappingDef::Default)
    }

    /// Reads the partitions that a mapping gives, as [`Parts`]. It is blocked while one of them has no data. A
    /// mapping that does not fit is a mistake ([`Mistake::Mapping`](super::Mistake::Mapping)).
    ///
    /// ```
    /// use giornata::api::{Mapping, Parts, Project};
    /// # let dir = tempfile::tempdir()?;
    /// let mut project = Project::new("letters", dir.path());
    /// let letter = project
    ///     .asset("letter")
    ///     .keys(["a", "b"])
    ///     .compute(|ctx| Ok(ctx.partition().to_string()));
    /// let alphabet = project
    ///     .asset("alphabet")
    ///     .input_with(&letter, Mapping::All)
    ///     .compute(|_, letters: Parts<String>| Ok(letters.values().cloned().collect::<String>()));
    /// assert_eq!(project.get(&alphabet, ())?, "ab");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn input_with<T: Value>(
        self,
        upstream: &Handle<T>,
        mapping: MappingDef,
    ) -> Asset<'p, W::Longer, K>
    where
        W: Append<Parts<T>>,
    {
        let wire = Wire::several(upstream.place.name.clone());
        self.read(upstream, mapping, Missing::Error, Count::Several).wire(wire)
    }

    /// As [`input_with`](Asset::input_with); partitions without data are left out instead of blocking the
    /// function.
    ///
    /// ```
    /// use giornata::api::{Mapping, Parts, Project};
    /// # let dir = tempfile::tempdir()?;
    /// let mut project = Project::new("days", dir.path());
    /// let day = project
    ///     .asset("day")
    ///     .daily("2014-07-01")
    ///     .compute(|ctx| Ok(ctx.partition().to_string()));
    /// let week = project
    ///     .asset("week")
    ///     .daily("2014-07-01")
    ///     .input_existing(&day, Mapping::parse("window(-6d, 0d)")?)
    ///     .compute(|_, days: Parts<String>| Ok(format!("{} days", days.len())));
    /// assert_eq!(project.get(&week, "2014-07-03")?, "3 days");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn input_existing<T: Value>(
        self,
        upstream: &Handle<T>,
        mapping: MappingDef,
    ) -> Asset<'p, W::Longer, K>
    where
        W: Append<Parts<T>>,
    {
        let wire = Wire::several(upstream.place.name.clone());
        self.read(upstream, mapping, Missing::Allow, Count::Several).wire(wire)
    }

    /// Reads the partitions from the window `from` to the window `to`, both included, counted from that which
    /// is made and in its cadence, as [`Parts`]: `(-6, 0)` is the last seven days. Dagster's
    /// `TimeWindowPartitionMapping`. Windows before the first one of `upstream` are missing, so the partition is
    /// blocked; [`input_existing`](Asset::input_existing) reads what there is.
    ///
    /// ```
    /// use giornata::api::{Parts, Project};
    /// # let dir = tempfile::tempdir()?;
    /// let mut project = Project::new("days", dir.path());
    /// let day = project.asset("day").daily("2014-07-01").compute(|ctx| Ok(ctx.partition().to_string()));
    /// let week = project
    ///     .asset("week")
    ///     .daily("2014-07-01")
    ///     .input_window(&day, -6, 0)
    ///     .compute(|_, days: Parts<String>| Ok(days.len() as u64));
    /// assert_eq!(project.get(&week, "2014-07-08")?, 7);
    /// let error = project.get(&week, "2014-07-03").unwrap_err().to_string();
    /// assert!(error.contains("`day` has no partition `2014-06-27` and 3 more"), "{error}");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn input_window<T: Value>(
        self,
        upstream: &Handle<T>,
        from: i32,
        to: i32,
    ) -> Asset<'p, W::Longer, K>
    where
        W: Append<Parts<T>>,
    {
        let offset = |count| crate::defs::partition::WindowOffset {
            count,
            unit: crate::defs::partition::WindowUnit::Windows,
        };
        self.input_with(upstream, MappingDef::Window { from: offset(from), to: offset(to) })
    }

    /// Lets the function ask for any partition of `upstream` while it runs. Adds no parameter; the handle goes
    /// to [`Context::get`](super::Context::get). See the example of [`Context::get`](super::Context::get).
    pub fn may_read<T: Value>(self, upstream: &Handle<T>) -> Asset<'p, W, K> {
        self.read(upstream, MappingDef::Asked, Missing::Allow, Count::Several)
    }

    fn read<T>(
        mut self,
        upstream: &Handle<T>,
        mapping: MappingDef,
        missing: Missing,
        count: Count,
    ) -> Asset<'p, W, K> {
        let upstream = upstream.place.clone();
        self.open.draft.deps.push(DraftDep { upstream, mapping, missing, count });
        self
    }

    fn wire<A>(self, wire: Wire<A>) -> Asset<'p, W::Longer, K>
    where
        W: Append<A>,
    {
        Asset { open: self.open, wires: self.wires.append(wire), kind: self.kind }
    }
}

/// Everything else.
impl<'p, W, K> Asset<'p, W, K> {
    /// Says when the code has changed: while the text is the same, the code counts as the same. Without it, any
    /// change of the program makes the asset stale, because its version is the digest of the executable. See
    /// the example of [`Asset`].
    pub fn version(mut self, version: &str) -> Asset<'p, W, K> {
        self.open.draft.version = Some(version.to_owned());
        self
    }

    /// What a table must fulfil to count as a result: `rows = 1`, `not_null(date)`, `unique(date)`,
    /// `accepted(kind, a, b)`, `between(mm, 0, 500)`, `fresh(at, 2d)`. Where it fails, the step fails, the last
    /// good result stays, and nothing downstream runs. A text that is no check is a mistake
    /// ([`Mistake::Check`](super::Mistake::Check)).
    ///
    /// ```
    /// use giornata::api::{Project, Table};
    /// # let dir = tempfile::tempdir()?;
    /// let mut project = Project::new("stock", dir.path());
    /// let stock = project.asset("stock").check("rows >= 1").compute(|_| Ok(Table::with_columns(["pieces"])));
    /// let error = project.get(&stock, ()).unwrap_err().to_string();
    /// assert!(error.contains("check failed: `rows >= 1`"), "{error}");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn check(self, check: &str) -> Asset<'p, W, K> {
        self.check_as(Severity::Blocking, check)
    }

    /// A check in the form of [`check`](Asset::check), and what happens where it fails: with
    /// [`Warn`](Severity::Warn) and [`Error`](Severity::Error) the result counts all the same, and the report
    /// tells.
    ///
    /// ```
    /// use giornata::api::{Project, Severity, Table};
    /// # let dir = tempfile::tempdir()?;
    /// let mut project = Project::new("stock", dir.path());
    /// let stock = project
    ///     .asset("stock")
    ///     .check_as(Severity::Warn, "between(pieces, 1, 100)")
    ///     .compute(|_| {
    ///         let mut table = Table::with_columns(["pieces"]);
    ///         table.rows.push(vec![0.into()]);
    ///         Ok(table)
    ///     });
    /// let report = project.materialize(&stock, "all")?;
    /// assert!(report.warnings[0].starts_with("check `between(pieces, 1, 100)` of `stock` failed"));
    /// assert_eq!(project.get(&stock, ())?.rows.len(), 1);
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn check_as(mut self, severity: Severity, check: &str) -> Asset<'p, W, K> {
        let name = check.to_owned();
        self.open.draft.checks.push(DraftCheck { name, severity, verdict: None });
        self
    }

    /// A check by a function under a name, which says what is wrong in the rows of a result. Where
    /// [`version`](Asset::version) pins the code, a change of this function is not seen before the result is
    /// made again.
    ///
    /// ```
    /// use giornata::api::{Project, Severity, Table};
    /// # let dir = tempfile::tempdir()?;
    /// let mut project = Project::new("stock", dir.path());
    /// let empty = project
    ///     .asset("empty")
    ///     .check_with("has rows", Severity::Blocking, |table| match table.rows.len() {
    ///         0 => Err("there is none".to_owned()),
    ///         _ => Ok(()),
    ///     })
    ///     .compute(|_| Ok(Table::with_columns(["pieces"])));
    /// let error = project.get(&empty, ()).unwrap_err().to_string();
    /// assert!(error.contains("check failed: `has rows` (there is none)"), "{error}");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn check_with(
        mut self,
        name: &str,
        severity: Severity,
        verdict: impl Fn(&Table) -> Result<(), String> + Send + Sync + 'static,
    ) -> Asset<'p, W, K> {
        let (name, verdict) = (name.to_owned(), Some(Arc::new(verdict) as Verdict));
        self.open.draft.checks.push(DraftCheck { name, severity, verdict });
        self
    }

    /// Its function finds the resource with [`Context::resource`](super::Context::resource).
    ///
    /// ```
    /// use giornata::api::{Project, Resource};
    /// # let dir = tempfile::tempdir()?;
    /// let mut project = Project::new("shop", dir.path());
    /// let scratch = Resource::directory("scratch", "data/scratch");
    /// let uses = scratch.clone();
    /// let report = project.asset("report").uses(&scratch).compute(move |ctx| {
    ///     let path = ctx.resource(&uses)?.join("draft.txt");
    ///     std::fs::write(&path, "sold out")?;
    ///     Ok(std::fs::read_to_string(&path)?)
    /// });
    /// assert_eq!(project.get(&report, ())?, "sold out");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn uses<R>(mut self, resource: &Resource<R>) -> Asset<'p, W, K> {
        self.open.draft.resources.push(resource.used());
        self
    }

    /// Where results are also put, beside the store; see the example of [`Io`]. An `io: default` of the project's
    /// files does not hold for assets of the program.
    pub fn io(mut self, io: &Io) -> Asset<'p, W, K> {
        self.open.draft.resources.extend(io.used().cloned());
        self.open.draft.io = Some(io.clone());
        self
    }

    /// A file where results are also put, below the root, with `{partition}` in it if there are several;
    /// `{asset}` stands for the name. Two assets with one path are a mistake
    /// ([`Mistake::SamePlace`](super::Mistake::SamePlace)).
    ///
    /// ```
    /// use giornata::api::Project;
    /// # let dir = tempfile::tempdir()?;
    /// let mut project = Project::new("letters", dir.path());
    /// let letter = project
    ///     .asset("letter")
    ///     .keys(["a", "b"])
    ///     .export("out/{partition}.txt")
    ///     .compute(|ctx| Ok(format!("Dear {}", ctx.partition())));
    /// project.get(&letter, "b")?;
    /// assert_eq!(std::fs::read_to_string(dir.path().join("out/b.txt"))?, "Dear b");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn export(mut self, path: &str) -> Asset<'p, W, K> {
        self.open.draft.export = Some(path.to_owned());
        self
    }

    /// How often a failed attempt is repeated, at once; see the example of
    /// [`Context::attempt`](super::Context::attempt).
    pub fn retries(mut self, max: u32) -> Asset<'p, W, K> {
        self.open.draft.retries = max;
        self
    }

    /// One sentence for listings; see the example of [`Asset`].
    pub fn description(mut self, text: &str) -> Asset<'p, W, K> {
        self.open.draft.description = Some(text.to_owned());
        self
    }

    /// Values of the ops of its [`graph`](Asset::graph), each under the name of its step, over their defaults;
    /// they count for staleness. Nothing else has such.
    ///
    /// ```
    /// use giornata::api::{Project, graph, op};
    /// use serde_json::json;
    /// # let dir = tempfile::tempdir()?;
    /// let greet = op("greet").config(json!({"name": "string"})).run(|ctx| {
    ///     Ok(format!("hello {}", ctx.setting::<String>("name")?))
    /// });
    /// let greeting = graph("greeting").define(|g| greet.call(g));
    /// let mut project = Project::new("greetings", dir.path());
    /// let ada = project.asset("ada").values(json!({"greet": {"name": "Ada"}})).graph(&greeting);
    /// assert_eq!(project.get(&ada, ())?, "hello Ada");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn values(mut self, values: serde_json::Value) -> Asset<'p, W, K> {
        self.open.draft.values = values;
        self
    }
}
