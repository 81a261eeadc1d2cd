//! Builders of sources and assets. They only collect; `resolve` judges what they collected.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::compute::{Append, Call, Verdict, Wire};
use super::handle::{Handle, Parts, Reference};
use super::io::Io;
use super::partitions::Partitions;
use super::project::Project;
use super::resource::{Resource, Used};
use super::value::{Form, Value};
use crate::defs::{ColumnType, MappingDef, Missing, Origin, Severity};
use crate::io::Table;

/// A source or an asset as it was declared, not yet judged.
pub(super) struct Draft {
    pub(super) name: Arc<str>,
    pub(super) origin: Origin,
    pub(super) body: DraftBody,
    /// `None`: one, or what the files of a source say.
    pub(super) partitions: Option<Partitions>,
    pub(super) deps: Vec<DraftDep>,
    pub(super) version: Option<String>,
    pub(super) export: Option<String>,
    pub(super) checks: Vec<DraftCheck>,
    pub(super) io: Option<Io>,
    pub(super) resources: Vec<Used>,
    pub(super) retries: u32,
    pub(super) description: Option<String>,
}

/// A check of an asset: as text, or a function under a name.
pub(super) struct DraftCheck {
    pub(super) name: String,
    pub(super) severity: Severity,
    pub(super) verdict: Option<Verdict>,
}

pub(super) enum DraftBody {
    Source { pattern: String, split_by: Option<String>, columns: BTreeMap<String, ColumnType> },
    Function { form: Form, call: Call },
}

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
    project: &'p mut Project,
    draft: Draft,
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
            checks: Vec::new(),
            io: None,
            resources: Vec::new(),
            retries: 0,
            description: None,
        };
        Open { project, draft }
    }

    pub(super) fn finish_asset<V>(mut self, form: Form, call: Call) -> Handle<V> {
        self.draft.body = DraftBody::Function { form, call };
        Handle::new(self.project.declare(self.draft))
    }
}

/// A source that is being declared: data from outside, observed and never computed.
///
/// ```
/// use giornata::api::{ColumnType, Project};
/// # let dir = tempfile::tempdir()?;
/// # std::fs::write(dir.path().join("rain.csv"), "date,station,mm\n2014/07/04,007,0.5\n")?;
/// let mut project = Project::new("weather", dir.path());
/// let rain = project
///     .source("rain")
///     .split_by("date:%Y/%m/%d")
///     .column("station", ColumnType::Text)
///     .files("rain.csv");
/// assert_eq!(project.get(&rain, "2014-07-04")?.rows.len(), 1);
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

    /// The rows of the one file fall into partitions by this column. `date:%Y/%m/%d` says how the
    /// column writes a date, where that is not how keys are written.
    pub fn split_by(mut self, column: &str) -> Source<'p> {
        self.split_by = Some(column.to_owned());
        self
    }

    /// The partitions that there should be. Without this, they are what the files or rows say.
    pub fn partitions(mut self, partitions: impl Into<Partitions>) -> Source<'p> {
        self.partitions = Some(partitions.into());
        self
    }

    /// The type of a column; of others, each cell decides for itself.
    pub fn column(mut self, name: &str, kind: ColumnType) -> Source<'p> {
        self.columns.insert(name.to_owned(), kind);
        self
    }

    /// One sentence for listings.
    pub fn description(mut self, text: &str) -> Source<'p> {
        self.open.draft.description = Some(text.to_owned());
        self
    }

    /// Tables in the files that match a path below the project's root: `data/rain.csv`, `data/*.csv`, or
    /// with captures that make the partition key, `data/{date:%Y-%m-%d}.csv`.
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

/// An asset that is being declared; `W` is the list of its inputs so far.
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
pub struct Asset<'p, W> {
    pub(super) open: Open<'p>,
    pub(super) wires: W,
}

impl<'p> Asset<'p, ()> {
    pub(super) fn new(open: Open<'p>) -> Asset<'p, ()> {
        Asset { open, wires: () }
    }
}

/// Partitions.
impl<'p, W> Asset<'p, W> {
    /// A partition for each of these; see [`Partitions`].
    pub fn partitions(mut self, partitions: impl Into<Partitions>) -> Asset<'p, W> {
        self.open.draft.partitions = Some(partitions.into());
        self
    }

    /// See [`Partitions::hourly`].
    pub fn hourly(self, start: &str) -> Asset<'p, W> {
        self.partitions(Partitions::hourly(start))
    }

    /// See [`Partitions::daily`].
    pub fn daily(self, start: &str) -> Asset<'p, W> {
        self.partitions(Partitions::daily(start))
    }

    /// See [`Partitions::weekly`].
    pub fn weekly(self, start: &str) -> Asset<'p, W> {
        self.partitions(Partitions::weekly(start))
    }

    /// See [`Partitions::monthly`].
    pub fn monthly(self, start: &str) -> Asset<'p, W> {
        self.partitions(Partitions::monthly(start))
    }

    /// See [`Partitions::keys`].
    pub fn keys<K: Into<String>>(self, keys: impl IntoIterator<Item = K>) -> Asset<'p, W> {
        self.partitions(Partitions::keys(keys))
    }

    /// See [`Partitions::each`].
    pub fn each<V>(self, source: &Handle<V>) -> Asset<'p, W> {
        self.partitions(Partitions::each(source))
    }

    /// See [`Partitions::until`].
    pub fn until(mut self, end: &str) -> Asset<'p, W> {
        let partitions = self.open.draft.partitions.take().unwrap_or_else(Partitions::none);
        self.open.draft.partitions = Some(partitions.until(end));
        self
    }
}

/// Inputs: each adds a parameter to the function.
impl<'p, W> Asset<'p, W> {
    /// The one partition that belongs to that which is made, as a `T`: the same key, or all there
    /// is of an input without partitions.
    pub fn input<T: Value>(self, upstream: &Handle<T>) -> Asset<'p, W::Longer>
    where
        W: Append<T>,
    {
        let wire = Wire::one(upstream.place.name.clone());
        self.read(upstream, MappingDef::Default, Missing::Error, Count::One).wire(wire)
    }

    /// As `input`; where there is no data, the function gets `None` instead of being blocked.
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
    pub fn input_optional<T: Value>(self, upstream: &Handle<T>) -> Asset<'p, W::Longer>
    where
        W: Append<Option<T>>,
    {
        let wire = Wire::optional(upstream.place.name.clone());
        self.read(upstream, MappingDef::Default, Missing::Allow, Count::One).wire(wire)
    }

    /// All partitions that belong to that which is made, as [`Parts`]: those whose windows overlap in
    /// time, or every one for an asset without partitions.
    pub fn inputs<T: Value>(self, upstream: &Handle<T>) -> Asset<'p, W::Longer>
    where
        W: Append<Parts<T>>,
    {
        self.input_with(upstream, MappingDef::Default)
    }

    /// The partitions that a mapping gives, as [`Parts`].
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
    ) -> Asset<'p, W::Longer>
    where
        W: Append<Parts<T>>,
    {
        let wire = Wire::several(upstream.place.name.clone());
        self.read(upstream, mapping, Missing::Error, Count::Several).wire(wire)
    }

    /// As `input_with`; partitions without data are left out instead of blocking the function.
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
    ) -> Asset<'p, W::Longer>
    where
        W: Append<Parts<T>>,
    {
        let wire = Wire::several(upstream.place.name.clone());
        self.read(upstream, mapping, Missing::Allow, Count::Several).wire(wire)
    }

    /// The partitions from the window `from` to the window `to`, both included, counted from that which
    /// is made: `(-6, 0)` is the last seven days. As [`Parts`].
    ///
    /// ```
    /// use giornata::api::{Parts, Project};
    /// # let dir = tempfile::tempdir()?;
    /// let mut project = Project::new("days", dir.path());
    /// let day = project
    ///     .asset("day")
    ///     .daily("2014-07-01")
    ///     .compute(|ctx| Ok(ctx.partition().to_string()));
    /// let week = project
    ///     .asset("week")
    ///     .daily("2014-07-07")
    ///     .input_window(&day, -6, 0)
    ///     .compute(|_, days: Parts<String>| Ok(format!("{} days", days.len())));
    /// assert_eq!(project.get(&week, "2014-07-08")?, "7 days");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn input_window<T: Value>(
        self,
        upstream: &Handle<T>,
        from: i32,
        to: i32,
    ) -> Asset<'p, W::Longer>
    where
        W: Append<Parts<T>>,
    {
        let offset = |count| crate::defs::partition::WindowOffset {
            count,
            unit: crate::defs::partition::WindowUnit::Windows,
        };
        self.input_with(upstream, MappingDef::Window { from: offset(from), to: offset(to) })
    }

    fn read<T>(
        mut self,
        upstream: &Handle<T>,
        mapping: MappingDef,
        missing: Missing,
        count: Count,
    ) -> Asset<'p, W> {
        let upstream = upstream.place.clone();
        self.open.draft.deps.push(DraftDep { upstream, mapping, missing, count });
        self
    }

    fn wire<A>(self, wire: Wire<A>) -> Asset<'p, W::Longer>
    where
        W: Append<A>,
    {
        Asset { open: self.open, wires: self.wires.append(wire) }
    }
}

/// Everything else.
impl<'p, W> Asset<'p, W> {
    /// Says when the code has changed. Without it, any change of the program makes the asset stale.
    pub fn version(mut self, version: &str) -> Asset<'p, W> {
        self.open.draft.version = Some(version.to_owned());
        self
    }

    /// What a table must fulfil to count as a result: `rows = 1`, `not_null(date)`, `unique(date)`.
    /// Where it fails, the step fails, and the last good result stays.
    pub fn check(self, check: &str) -> Asset<'p, W> {
        self.check_as(Severity::Blocking, check)
    }

    /// A check after which the result counts all the same, unless it is
    /// [`Blocking`](Severity::Blocking).
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
    /// assert_eq!(project.get(&stock, ())?.rows.len(), 1);
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn check_as(mut self, severity: Severity, check: &str) -> Asset<'p, W> {
        let name = check.to_owned();
        self.open.draft.checks.push(DraftCheck { name, severity, verdict: None });
        self
    }

    /// A check by a function, which says what is wrong in the rows of a result.
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
    ) -> Asset<'p, W> {
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
    pub fn uses<R>(mut self, resource: &Resource<R>) -> Asset<'p, W> {
        self.open.draft.resources.push(resource.used());
        self
    }

    /// Where results are also put; see [`Io`].
    pub fn io(mut self, io: &Io) -> Asset<'p, W> {
        self.open.draft.resources.extend(io.used().cloned());
        self.open.draft.io = Some(io.clone());
        self
    }

    /// Where results are also put, below the root, with `{partition}` in it if there are several.
    pub fn export(mut self, path: &str) -> Asset<'p, W> {
        self.open.draft.export = Some(path.to_owned());
        self
    }

    /// How often a failed attempt is repeated, at once.
    pub fn retries(mut self, max: u32) -> Asset<'p, W> {
        self.open.draft.retries = max;
        self
    }

    /// One sentence for listings.
    pub fn description(mut self, text: &str) -> Asset<'p, W> {
        self.open.draft.description = Some(text.to_owned());
        self
    }
}
