//! Functions of the user's: what they are given, and how they are called for a step.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};

use super::declare::{Asset, Sole};
use super::handle::{Handle, IntoPartition, Parts};
use super::job::{Job, Table as OpTable};
use super::log::{Logger, Reported, tell, tell_lots};
use super::managed::Managed;
use super::resource::{Providers, Resource};
use super::value::{self, BoxError, Form, Stored, Unread, Value};
use super::{stored, system};
use crate::base::{AssetKey, PartitionKey, TimeWindow};
use crate::defs::{self, FunctionSlot, TableFormat};
use crate::engine::error_text;
use crate::exec::{
    Asks, Control, Emitted, Ended, Failure, Functions, Input, Made, Of, Part, Produced, Provide,
    Step, Told, caught,
};
use crate::io::{IoManager, Table};

/// A function with its inputs, ready for any step of its asset.
pub(super) type Call = Arc<dyn Fn(&Context<'_>) -> Result<Vec<Emitted>, Failure> + Send + Sync>;

/// The same for several partitions at once, of each of which it gives what it made.
pub(super) type BatchCall = Arc<dyn Fn(Vec<Context<'_>>) -> Result<Made, Failure> + Send + Sync>;

/// How the function of an asset is called.
#[derive(Clone)]
pub(super) enum Callable {
    /// For a partition.
    One(Call),
    /// For up to `max` partitions.
    Batch { max: u32, call: BatchCall },
}

/// What a function is told about the partition that it makes: Dagster's `context` of an asset.
///
/// ```
/// use giornata::api::Project;
/// # let dir = tempfile::tempdir()?;
/// let mut project = Project::new("calendar", dir.path());
/// let month = project.asset("month").monthly("2014-01").until("2015-01").compute(|ctx| {
///     let (start, end) = ctx.dates().ok_or("a month is a span of time")?;
///     Ok(format!("{} {} from {start} to before {end}", ctx.asset(), ctx.partition()))
/// });
/// assert_eq!(project.get(&month, "2014-02")?, "month 2014-02 from 2014-02-01 to before 2014-03-01");
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
///
/// A function that computes several partitions in one call gets one for each of them:
///
/// ```
/// use giornata::api::Project;
/// # let dir = tempfile::tempdir()?;
/// let mut project = Project::new("shop", dir.path());
/// let price = project.asset("price").keys(["a", "b", "c"]).compute(|ctx| Ok(ctx.partition().to_string()));
/// let label = project.asset("label").keys(["a", "b", "c"]).input(&price).compute_batch(
///     100,
///     |batch, prices: Vec<String>| {
///         let printer = batch[0].asset();
///         let print = |price: String| match price.as_str() {
///             "b" => Err("out of ink".into()),
///             price => Ok(format!("{price} as a {printer}")),
///         };
///         Ok(prices.into_iter().map(print).collect())
///     },
/// );
/// let error = project.get_range(&label, "all").unwrap_err();
/// assert!(error.to_string().contains("out of ink"), "{error}");
/// assert_eq!(project.get(&label, "c")?, "c as a label");
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
#[derive(Debug)]
pub struct Context<'a> {
    step: &'a Step,
    asset: &'a AssetKey,
    /// Behind a lock because a function may ask from several threads.
    asks: Mutex<Asks>,
    logger: Logger<'a>,
    reported: &'a Reported,
    control: &'a Control,
}

impl Context<'_> {
    /// The name of the asset that is made; of several that are made together, the first of those that are
    /// asked for. See the example of [`Context`].
    pub fn asset(&self) -> &AssetKey {
        self.asset
    }

    /// Whether an asset is asked for, of several that [`Project::assets`](super::Project::assets) declares
    /// together; false for a name that is none of them. What is not wanted may be left out, which saves the
    /// work; see the example of [`Members`](super::Members).
    pub fn is_wanted(&self, asset: &str) -> bool {
        match &self.step.of {
            Of::Asset(key) => key.as_str() == asset,
            Of::Assets(members) => {
                members.iter().any(|member| member.is_wanted && member.key.as_str() == asset)
            }
            Of::Batch(_) | Of::Job(_) => false,
        }
    }

    /// The key of the partition that is made, such as `2014-07-04`; the empty key of an asset without
    /// partitions. See the example of [`Context`].
    pub fn partition(&self) -> &PartitionKey {
        &self.step.partition
    }

    /// The span of time of the partition in UTC, its end excluded; `None` if its key is no span of time.
    ///
    /// ```
    /// use giornata::api::Project;
    /// # let dir = tempfile::tempdir()?;
    /// let mut project = Project::new("days", dir.path());
    /// let hours = project.asset("hours").daily("2014-07-01").compute(|ctx| {
    ///     let window = ctx.window().ok_or("a day is a span of time")?;
    ///     Ok((window.end - window.start).num_hours())
    /// });
    /// assert_eq!(project.get(&hours, "2014-07-04")?, 24);
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn window(&self) -> Option<TimeWindow> {
        window_of(self.step.window_rfc3339.as_ref()?)
    }

    /// Start and end of the partition as local dates (`2014-07-01`), the end excluded, with the time of day
    /// (`2014-07-01T13:00`) where windows begin at other times than midnight; `None` if the key is no span of
    /// time. See the example of [`Context`].
    pub fn dates(&self) -> Option<(&str, &str)> {
        self.step.window.as_ref().map(|(start, end)| (start.as_str(), end.as_str()))
    }

    /// The value of a partition that the function finds out to need only while it runs, of an asset that
    /// the declaration names with [`may_read`](Asset::may_read).
    ///
    /// What it asked for is recorded with its result: a change of exactly that makes the result stale.
    /// What is not there yet, or is stale, is made first; the function then runs again from its
    /// beginning, so that it should ask early, and hand errors on with `?`. It is given from the start
    /// what it asked for the last time.
    ///
    /// ```
    /// use giornata::api::Project;
    /// # let dir = tempfile::tempdir()?;
    /// # std::fs::write(dir.path().join("best.txt"), "2014-07-02")?;
    /// let mut project = Project::new("weather", dir.path());
    /// let best = project.source("best").files_as::<String>("best.txt");
    /// let daily =
    ///     project.asset("daily").daily("2014-07-01").compute(|ctx| Ok(format!("day {}", ctx.partition())));
    /// let asked = daily.clone();
    /// let report = project.asset("report").input(&best).may_read(&daily).compute(move |ctx, best| {
    ///     ctx.get(&asked, best.trim())
    /// });
    /// assert_eq!(project.get(&report, ())?, "day 2014-07-02");
    /// assert_eq!(project.status(&daily)?.partitions(giornata::api::State::Fresh), ["2014-07-02"]);
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn get<T: Value>(
        &self,
        asset: &Handle<T>,
        partition: impl IntoPartition,
    ) -> Result<T, BoxError> {
        let key = partition.into_partition();
        let own = self.asset();
        let Some(input) = self.step.inputs.iter().find(|input| &*input.name == asset.name()) else {
            let name = asset.name();
            return Err(
                format!("`{own}` asks for `{name}` and does not say `may_read` of it").into()
            );
        };
        // A source without partitions may have several files.
        let of_key = |part: &&Part| key.is_unpartitioned() || part.key == key;
        let parts: Vec<Part> = input.parts.iter().filter(of_key).cloned().collect();
        let mut asks = self.asks.lock().unwrap_or_else(PoisonError::into_inner);
        if parts.is_empty() {
            asks.unmet.push((input.name.clone(), key));
            return Err(Box::new(Failure::Asks));
        }
        asks.met.push((input.name.clone(), key.clone()));
        drop(asks);
        value::read_joined(&parts).map_err(|error| match error {
            Unread::Changed { path } => Failure::InputChanged { path }.into(),
            Unread::Directory | Unread::Io { .. } | Unread::Value(_) => {
                unread(input, Some(&key), &error_text(&error)).into()
            }
        })
    }

    /// The log of the attempt, which `giornata logs` shows.
    ///
    /// ```
    /// use giornata::api::Project;
    /// # let dir = tempfile::tempdir()?;
    /// let mut project = Project::new("letters", dir.path());
    /// let letter = project.asset("letter").compute(|ctx| {
    ///     ctx.log().warn("the ink runs out");
    ///     Ok("dear all".to_owned())
    /// });
    /// project.get(&letter, ())?;
    /// let log = std::fs::read_to_string(dir.path().join(".giornata/logs/1/letter.log"))?;
    /// assert_eq!(log, "WARN the ink runs out\n");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn log(&self) -> &Logger<'_> {
        &self.logger
    }

    /// Notes something about the result: a number, a text or any other JSON value under a name. It is recorded
    /// with the result, `giornata show` shows it, and `giornata show ASSET --meta NAME` a number over all
    /// partitions. A second value of a name replaces the first. Of several assets that are made together it is
    /// noted of each; see [`report_of`](Context::report_of).
    ///
    /// ```
    /// use giornata::api::Project;
    /// # let dir = tempfile::tempdir()?;
    /// let mut project = Project::new("letters", dir.path());
    /// let letter = project.asset("letter").compute(|ctx| {
    ///     ctx.report("pages", 3);
    ///     ctx.report("paper", "rough");
    ///     Ok("dear all".to_owned())
    /// });
    /// project.get(&letter, ())?;
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn report(&self, name: &str, value: impl Into<serde_json::Value>) {
        self.reported.add(name, value.into(), None);
    }

    /// The same of one of several assets that are made together; of a name that is none of them it is noted
    /// of all.
    ///
    /// ```
    /// use giornata::api::Project;
    /// # let dir = tempfile::tempdir()?;
    /// let mut project = Project::new("words", dir.path());
    /// let (short, _long) = project.assets(["short", "long"]).compute(|ctx| {
    ///     ctx.report_of("short", "letters", 3);
    ///     Ok(("fig".to_owned(), "pomegranate".to_owned()))
    /// });
    /// project.get(&short, ())?;
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn report_of(&self, asset: &str, name: &str, value: impl Into<serde_json::Value>) {
        let is_member = match &self.step.of {
            Of::Assets(members) => members.iter().any(|member| member.key.as_str() == asset),
            Of::Asset(_) | Of::Batch(_) | Of::Job(_) => false,
        };
        self.reported.add(name, value.into(), is_member.then_some(asset));
    }

    /// Whether the run was cancelled. A function cannot be stopped; a long one asks from time to time, and
    /// returns an error.
    ///
    /// ```
    /// use giornata::api::Project;
    /// # let dir = tempfile::tempdir()?;
    /// let mut project = Project::new("sums", dir.path());
    /// let sum = project.asset("sum").compute(|ctx| {
    ///     let mut sum = 0_u64;
    ///     for n in 0..1_000 {
    ///         if ctx.is_cancelled() {
    ///             return Err("nobody waits for it any more".into());
    ///         }
    ///         sum += n;
    ///     }
    ///     Ok(sum)
    /// });
    /// assert_eq!(project.get(&sum, ())?, 499_500);
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn is_cancelled(&self) -> bool {
        self.control.is_cancelled()
    }

    /// Which attempt this is, counted from 1; beyond 1 only with [`retries`](Asset::retries).
    ///
    /// ```
    /// use giornata::api::Project;
    /// # let dir = tempfile::tempdir()?;
    /// let mut project = Project::new("letters", dir.path());
    /// let letter = project.asset("letter").retries(2).compute(|ctx| match ctx.attempt() {
    ///     3 => Ok("at last".to_owned()),
    ///     _ => Err("no ink yet".into()),
    /// });
    /// assert_eq!(project.get(&letter, ())?, "at last");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn attempt(&self) -> u32 {
        self.step.attempt
    }

    /// The value of a resource that the asset [`uses`](Asset::uses); fails if it does not say so. See the
    /// example of [`Asset::uses`].
    pub fn resource<R: Send + Sync + 'static>(
        &self,
        resource: &Resource<R>,
    ) -> Result<&R, BoxError> {
        resource.find(&self.step.resources)
    }

    /// The project's root, absolute. A file that is read from there is no input that anybody knows of: when it
    /// changes, nothing is stale. Declare it as a source instead.
    ///
    /// ```
    /// use giornata::api::Project;
    /// # let dir = tempfile::tempdir()?;
    /// let mut project = Project::new("letters", dir.path());
    /// let place = project.asset("place").compute(|ctx| Ok(ctx.root().is_absolute()));
    /// assert!(project.get(&place, ())?);
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn root(&self) -> &Path {
        &self.step.paths.root
    }
}

/// The window between two times in RFC 3339.
pub(super) fn window_of((start, end): &(String, String)) -> Option<TimeWindow> {
    let time = |text: &str| -> Option<DateTime<Utc>> {
        Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc())
    };
    Some(TimeWindow { start: time(start)?, end: time(end)? })
}

/// How one input of a function is read: an entry in the list of inputs of an [`Asset`] that is being
/// declared, made by [`input`](Asset::input) and its like. Its name is needed only to write the type of an
/// unfinished declaration.
///
/// ```
/// use giornata::api::{Asset, Handle, Project, Wire};
/// fn with_letter<'p>(asset: Asset<'p, ()>, letter: &Handle<String>) -> Asset<'p, (Wire<String>,)> {
///     asset.input(letter)
/// }
/// # let dir = tempfile::tempdir()?;
/// let mut project = Project::new("letters", dir.path());
/// let letter = project.asset("letter").compute(|_| Ok("Dear all".to_owned()));
/// let length = with_letter(project.asset("length"), &letter).compute(|_, text| Ok(text.len() as u64));
/// assert_eq!(project.get(&length, ())?, 8);
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
pub struct Wire<A> {
    name: Arc<str>,
    load: fn(&Input) -> Result<A, Failure>,
}

impl<A> Wire<A> {
    /// Of the asset that is read.
    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) fn read(&self, context: &Context<'_>) -> Result<A, Failure> {
        let input = context.step.inputs.iter().find(|input| input.name == self.name);
        (self.load)(input.ok_or_else(|| Failure::Input {
            name: self.name.to_string(),
            reason: "the step was made without it".to_owned(),
        })?)
    }
}

impl<T: Value> Wire<T> {
    pub(super) fn one(name: Arc<str>) -> Wire<T> {
        Wire {
            name,
            load: |input| match input.parts.as_slice() {
                [] => Err(unread(input, None, &"it has no data")),
                parts => value::read_joined(parts).map_err(|error| unreadable(input, None, &error)),
            },
        }
    }
}

impl<T: Value> Wire<Option<T>> {
    pub(super) fn optional(name: Arc<str>) -> Wire<Option<T>> {
        Wire {
            name,
            load: |input| match input.parts.as_slice() {
                [] => Ok(None),
                parts => value::read_joined(parts)
                    .map(Some)
                    .map_err(|error| unreadable(input, None, &error)),
            },
        }
    }
}

impl<T: Value> Wire<Parts<T>> {
    pub(super) fn several(name: Arc<str>) -> Wire<Parts<T>> {
        Wire {
            name,
            load: |input| {
                let read = |part: &Part| {
                    let value = value::read(part)
                        .map_err(|error| unreadable(input, Some(&part.key), &error))?;
                    Ok((part.key.clone(), value))
                };
                input.parts.iter().map(read).collect()
            },
        }
    }
}

fn unreadable(input: &Input, key: Option<&PartitionKey>, error: &Unread) -> Failure {
    match error {
        // Not a fault of the step: it is tried again.
        Unread::Changed { path } => Failure::InputChanged { path: path.clone() },
        Unread::Directory | Unread::Io { .. } | Unread::Value(_) => {
            unread(input, key, &error_text(error))
        }
    }
}

fn unread(input: &Input, key: Option<&PartitionKey>, reason: &dyn std::fmt::Display) -> Failure {
    let name = match key.filter(|key| !key.is_unpartitioned()) {
        Some(key) => format!("{}@{key}", input.name),
        None => input.name.to_string(),
    };
    Failure::Input { name, reason: reason.to_string() }
}

/// A list of inputs to which one more can be added; it has at most six. Implemented here only, for tuples
/// of [`Wire`]s; see the example of [`Wire`], where `()` becomes `(Wire<String>,)`.
#[diagnostic::on_unimplemented(message = "a function reads at most six inputs")]
pub trait Append<A> {
    /// The longer list.
    type Longer;

    /// Adds an input at the end, as [`Asset::input`] does.
    ///
    /// ```
    /// use giornata::api::{Append, Wire};
    /// fn longer<A, B>(one: (Wire<A>,), more: Wire<B>) -> (Wire<A>, Wire<B>) {
    ///     one.append(more)
    /// }
    /// # let _ = longer::<String, i64>;
    /// ```
    fn append(self, wire: Wire<A>) -> Self::Longer;
}

macro_rules! append {
    ($($A:ident $wire:ident),*) => {
        impl<$($A,)* Z> Append<Z> for ($(Wire<$A>,)*) {
            type Longer = ($(Wire<$A>,)* Wire<Z>,);

            fn append(self, wire: Wire<Z>) -> Self::Longer {
                let ($($wire,)*) = self;
                ($($wire,)* wire,)
            }
        }
    };
}

// A method for each number of inputs, and no trait in between: so the compiler knows the types of a
// closure's parameters before it reads its body, and names them when they do not fit.
macro_rules! compute {
    ($(#[doc = $example:literal])* $($A:ident $wire:ident),*) => {
        impl<$($A: 'static),*> Asset<'_, ($(Wire<$A>,)*)> {
            /// Says how a partition is computed from its inputs, and ends the declaration; gives the
            /// handle of the asset. See also the example of [`Asset`].
            ///
            /// The function gets a [`Context`] and a value for each input, in the order of the declaration,
            /// and gives the value of the partition. It must depend on nothing else: what is not
            /// declared cannot make a result stale. It may run on any thread, several partitions at once.
            /// An error of it, or a panic, fails that partition and what reads it, and nothing else.
            ///
            $(#[doc = $example])*
            pub fn compute<V, F>(self, function: F) -> Handle<V>
            where
                V: Value,
                F: Fn(&Context<'_>, $($A),*) -> Result<V, BoxError> + Send + Sync + 'static,
            {
                let Asset { open, wires: ($($wire,)*), kind: Sole } = self;
                let call: Call = Arc::new(move |context| {
                    $(let $wire = $wire.read(context)?;)*
                    let made = keep(function(context, $($wire),*).map_err(said)?)?;
                    Ok(vec![Emitted::only(made)])
                });
                open.finish_asset(V::FORM, Callable::One(call))
            }
        }
    };
}

append!();
append!(A a);
append!(A a, B b);
append!(A a, B b, C c);
append!(A a, B b, C c, D d);
append!(A a, B b, C c, D d, E e);
compute! {
    /// ```
    /// use giornata::api::Project;
    /// # let dir = tempfile::tempdir()?;
    /// let mut project = Project::new("greeting", dir.path());
    /// let name = project.asset("name").compute(|_| Ok("world".to_owned()));
    /// let greeting =
    ///     project.asset("greeting").input(&name).compute(|_, name| Ok(format!("hello {name}")));
    /// assert_eq!(project.get(&greeting, ())?, "hello world");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
}
compute!(A a);
compute!(A a, B b);
compute!(A a, B b, C c);
compute!(A a, B b, C c, D d);
compute!(A a, B b, C c, D d, E e);
compute!(A a, B b, C c, D d, E e, G g);

fn no_function(step: &Step) -> Failure {
    Failure::Unsupported(format!("this program has no function for `{}`", step.shown()))
}

/// The failure that the error of a user's function is.
pub(super) fn said(error: BoxError) -> Failure {
    Failure::Function(error_text(&*error))
}

/// What a function gave, as the engine takes it.
pub(super) fn keep<V: Value>(value: V) -> Result<Produced, Failure> {
    match (V::FORM, value.store().map_err(said)?) {
        (Form::Table, Stored::Table(table)) => {
            let encoded = value::encode(&table).map_err(Failure::Table)?;
            let rows = table.rows.len() as u64;
            Ok(Produced::Table { encoded, format: TableFormat::Csv, rows })
        }
        (Form::File { extension }, Stored::Bytes(bytes)) => {
            Ok(Produced::Bytes { bytes, extension: extension.to_owned() })
        }
        (Form::Table, Stored::Bytes(_)) | (Form::File { .. }, Stored::Table(_)) => {
            let name = std::any::type_name::<V>();
            let reason = format!("`{name}::store` gives another form than `FORM` says");
            Err(Failure::Unsupported(reason))
        }
    }
}

/// A check of the user's: says what is wrong in the rows, if anything is.
pub(super) type Verdict = Arc<dyn Fn(&Table) -> Result<(), String> + Send + Sync>;

/// The functions of a project by asset, and its checks by asset and name.
#[derive(Default)]
pub(super) struct Calls {
    pub(super) calls: BTreeMap<AssetKey, Callable>,
    pub(super) checks: BTreeMap<(AssetKey, String), Verdict>,
    pub(super) resources: Providers,
    pub(super) ios: BTreeMap<AssetKey, Arc<dyn IoManager>>,
    /// Of the jobs of the program.
    pub(super) ops: OpTable,
    /// Where their values are put.
    pub(super) managed: Managed,
}

impl Calls {
    /// Takes over the functions of a job; gives its definition as it runs on the store.
    pub(super) fn take_job(&mut self, job: &Job, def: Arc<defs::Job>) -> Arc<defs::Job> {
        let table = job.table();
        self.ops.take_functions(table);
        self.managed.take(job, def)
    }
}

impl Functions for Calls {
    fn call(&self, step: &Step, told: &mut Told<'_>) -> Result<Vec<Emitted>, Failure> {
        let asset = match &step.of {
            Of::Asset(key) => Some(key),
            Of::Assets(members) => {
                members.iter().find(|member| member.is_wanted).map(|member| &member.key)
            }
            Of::Batch(_) => None,
            Of::Job(at) => return stored::call(self, step, at, told),
        };
        let found = asset.and_then(|asset| Some((self.calls.get(asset)?, asset)));
        let Some((Callable::One(call), asset)) = found else {
            return Err(no_function(step));
        };
        let (lines, reported) = (Mutex::default(), Reported::default());
        let logger = Logger {
            step: asset.as_str(),
            piece: None,
            attempt: step.attempt,
            lines: &lines,
            secrets: &step.secrets,
        };
        let (asks, control) = (Mutex::default(), told.control());
        let context = Context { step, asset, asks, logger, reported: &reported, control };
        // What was said before a panic is what tells why.
        let made = caught(|| call(&context));
        let asks = context.asks.into_inner().unwrap_or_else(PoisonError::into_inner);
        *told.asks() = asks;
        tell(told, lines, reported);
        made.map_err(Failure::Panic)?
    }

    fn call_batch(&self, lots: &[Step], told: &mut Told<'_>) -> Result<Made, Failure> {
        let Some(first) = lots.first() else { return Ok(Made::new()) };
        let Of::Asset(asset) = &first.of else { return Err(no_function(first)) };
        let Some(Callable::Batch { call, .. }) = self.calls.get(asset) else {
            return Err(no_function(first));
        };
        let lines = Mutex::default();
        let reported: Vec<Reported> = lots.iter().map(|_| Reported::default()).collect();
        let control = told.control();
        let mut contexts = Vec::with_capacity(lots.len());
        for (step, reported) in lots.iter().zip(&reported) {
            let logger = Logger {
                step: asset.as_str(),
                piece: Some(step.partition.as_str()),
                attempt: step.attempt,
                lines: &lines,
                secrets: &step.secrets,
            };
            // It cannot ask: that is refused where it is declared.
            let asks = Mutex::default();
            contexts.push(Context { step, asset, asks, logger, reported, control });
        }
        let made = caught(|| call(contexts));
        tell_lots(told, lines, reported);
        made.map_err(Failure::Panic)?
    }

    fn hook(&self, slot: FunctionSlot, ended: &Ended<'_>) -> Result<(), String> {
        stored::hook(&self.ops, slot, ended)
    }

    fn version(&self) -> Result<String, String> {
        system::executable().map(str::to_owned)
    }

    fn resource(&self, name: &str) -> Option<Arc<dyn Provide>> {
        self.resources.get(name).cloned()
    }

    fn io(&self, asset: &AssetKey) -> Option<Arc<dyn IoManager>> {
        self.ios.get(asset).cloned()
    }

    fn check(&self, step: &Step, name: &str, table: &Table) -> Result<Option<String>, Failure> {
        let found = match &step.of {
            Of::Asset(key) => self.checks.get(&(key.clone(), name.to_owned())),
            Of::Assets(_) | Of::Batch(_) | Of::Job(_) => None,
        };
        match found {
            Some(verdict) => Ok(verdict(table).err()),
            None => {
                let reason = format!("this program has no check `{name}` for `{}`", step.shown());
                Err(Failure::Unsupported(reason))
            }
        }
    }
}
