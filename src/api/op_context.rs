//! What the function of an op is told, and the log that it writes.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::compute::window_of;
use super::hook::Again;
use super::log::{Logger, Reported};
use super::resource::Resource;
use super::value::BoxError;
use crate::base::{PartitionKey, TimeWindow};
use crate::exec::{Control, Resources};

/// What the function of an op is told about the step that it carries out: Dagster's `context` of an op.
///
/// ```
/// use giornata::api::{Retries, job, op};
/// use serde_json::json;
///
/// let greet = op("greet").config(json!({"name": "string"})).retries(Retries::times(1)).run(|ctx| {
///     let name: String = ctx.setting("name")?;
///     ctx.log().info(format!("attempt {} of `{}`", ctx.attempt(), ctx.step()));
///     if ctx.attempt() == 1 { Err("not yet".into()) } else { Ok(format!("hello {name}")) }
/// });
/// let greetings = job("greetings").values(json!({"greet": {"name": "Ada"}})).define(|g| {
///     greet.call(g);
/// });
/// let result = greetings.execute_in_process()?;
/// assert_eq!(result.value::<String>("greet")?, "hello Ada");
/// let lines: Vec<&str> = result.log().iter().map(|line| line.text.as_str()).collect();
/// assert_eq!(lines, ["attempt 1 of `greet`", "attempt 2 of `greet`"]);
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
#[derive(Debug)]
pub struct OpContext<'a> {
    pub(super) job: &'a str,
    pub(super) step: &'a str,
    pub(super) op: &'a str,
    pub(super) piece: Option<&'a str>,
    pub(super) attempt: u32,
    pub(super) partition: &'a PartitionKey,
    /// Start and end of the partition, as local dates.
    pub(super) dates: Option<&'a (String, String)>,
    /// The same in RFC 3339.
    pub(super) window: Option<&'a (String, String)>,
    /// The op's own configuration; null if it has none.
    pub(super) config: &'a Value,
    /// What it reads of the job's configuration.
    pub(super) read: &'a Value,
    pub(super) logger: Logger<'a>,
    pub(super) reported: &'a Reported,
    pub(super) resources: &'a Resources,
    pub(super) control: &'a Control,
    pub(super) started: Instant,
    pub(super) timeout: Option<Duration>,
    pub(super) asked: RefCell<Option<Again>>,
}

impl OpContext<'_> {
    /// The name of the job; see the example of [`OpContext::piece`].
    pub fn job(&self) -> &str {
        self.job
    }

    /// The name of the step: the names of the calls on the way to it, joined by `.`. See the example of
    /// [`OpContext`].
    pub fn step(&self) -> &str {
        self.step
    }

    /// The name of the op, which a call under another name does not change; see the example of
    /// [`OpContext::piece`].
    pub fn op(&self) -> &str {
        self.op
    }

    /// The key of the piece for which the step runs, if it is mapped over pieces.
    ///
    /// ```
    /// use giornata::api::{job, op};
    /// let load = op("load").pieces::<i64>().run(|_| Ok(vec![("a".to_owned(), 1)]));
    /// let tell = op("tell").input::<i64>("n").run(|ctx, _| {
    ///     Ok(format!("{}: {}[{}]", ctx.job(), ctx.op(), ctx.piece().unwrap_or_default()))
    /// });
    /// let j = job("j").define(|g| { load.call(g).map(|n| tell.call(g, n)); });
    /// assert_eq!(j.execute_in_process()?.value::<String>("tell[a]")?, "j: tell[a]");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn piece(&self) -> Option<&str> {
        self.piece
    }

    /// The partition for which the job runs; the key of the one partition there is for a job without
    /// [`partitions`](super::JobBuilder::partitions).
    ///
    /// ```
    /// use giornata::api::{Launch, Partitions, job, op};
    /// let day = op("day").run(|ctx| {
    ///     let (start, end) = ctx.dates().ok_or("a day is a span of time")?;
    ///     Ok(format!("{} is from {start} to before {end}", ctx.partition()))
    /// });
    /// let days = job("days").partitions(Partitions::daily("2020-01-01")).define(|g| { day.call(g); });
    /// let result = days.execute(&Launch::new().partition("2020-02-29"))?;
    /// assert_eq!(result.value::<String>("day")?, "2020-02-29 is from 2020-02-29 to before 2020-03-01");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn partition(&self) -> &PartitionKey {
        self.partition
    }

    /// The span of time of the partition in UTC, its end excluded; `None` if its key is no span of time.
    ///
    /// ```
    /// use giornata::api::{Launch, Partitions, job, op};
    /// let hours = op("hours").run(|ctx| {
    ///     let window = ctx.window().ok_or("a day is a span of time")?;
    ///     Ok((window.end - window.start).num_hours())
    /// });
    /// let days = job("days").partitions(Partitions::daily("2020-01-01")).define(|g| { hours.call(g); });
    /// let result = days.execute(&Launch::new().partition("2020-02-29"))?;
    /// assert_eq!(result.value::<i64>("hours")?, 24);
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn window(&self) -> Option<TimeWindow> {
        window_of(self.window?)
    }

    /// Start and end of the partition as local dates (`2014-07-01`), the end excluded, with the time of day
    /// (`2014-07-01T13:00`) where windows begin at other times than midnight; `None` if the key is no span of
    /// time. See the example of [`OpContext::partition`].
    pub fn dates(&self) -> Option<(&str, &str)> {
        self.dates.map(|(start, end)| (start.as_str(), end.as_str()))
    }

    /// Which attempt this is, counted from 1; see the example of [`OpContext`].
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The whole configuration of the op, as a type of yours; defaults are filled in. Fails if the values do not
    /// fit the type, which the schema should see to.
    ///
    /// ```
    /// use giornata::api::{job, op};
    /// use serde_json::json;
    /// #[derive(serde::Deserialize)]
    /// struct Fit { lr: f64, layers: Vec<u32> }
    ///
    /// let schema = json!({"lr": {"type": "float", "default": 0.5}, "layers": ["int"]});
    /// let fit = op("fit").config(schema).run(|ctx| {
    ///     let fit: Fit = ctx.config()?;
    ///     Ok(fit.lr * f64::from(fit.layers.iter().sum::<u32>()))
    /// });
    /// let model = job("model").values(json!({"fit": {"layers": [3, 4]}})).define(|g| { fit.call(g); });
    /// assert_eq!(model.execute_in_process()?.value::<f64>("fit")?, 3.5);
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn config<T: DeserializeOwned>(&self) -> Result<T, BoxError> {
        let config =
            if self.config.is_null() { &Value::Object(Default::default()) } else { self.config };
        T::deserialize(config).map_err(|error| format!("read the configuration: {error}").into())
    }

    /// One value of the configuration: of the op's own, else of those of the job's that the op says that it
    /// reads. `.` goes into a value. Fails for what is not declared, so that nothing decides a result that its
    /// key does not have, and for what does not fit the type.
    ///
    /// ```
    /// use giornata::api::{job, op};
    /// use serde_json::json;
    /// let fit = op("fit").reads(["model"]).run(|ctx| ctx.setting::<f64>("model.lr"));
    /// let train = job("train")
    ///     .config(json!({"model": {"lr": "float"}}))
    ///     .values(json!({"model": {"lr": 0.5}}))
    ///     .define(|g| { fit.call(g); });
    /// assert_eq!(train.execute_in_process()?.value::<f64>("fit")?, 0.5);
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn setting<T: DeserializeOwned>(&self, path: &str) -> Result<T, BoxError> {
        let find = |value: &Value| -> Option<Value> {
            path.split('.').try_fold(value.clone(), |value, name| value.get(name).cloned())
        };
        let Some(found) = find(self.config).or_else(|| find(self.read)) else {
            let op = self.op;
            return Err(format!(
                "`{op}` reads the setting `{path}`, which is not there; declare it with `config` or `reads`"
            )
            .into());
        };
        serde_json::from_value(found).map_err(|error| format!("read `{path}`: {error}").into())
    }

    /// The value of a resource that the op [`uses`](super::OpBuilder::uses); fails if it does not say so. See
    /// the example of [`resource`](super::resource()).
    pub fn resource<R: Send + Sync + 'static>(
        &self,
        resource: &Resource<R>,
    ) -> Result<&R, BoxError> {
        resource.find(self.resources)
    }

    /// The log of the step; see the example of [`Logger`].
    pub fn log(&self) -> &Logger<'_> {
        &self.logger
    }

    /// Notes something about what the op makes: a number, a text or any other JSON value under a name, kept with
    /// the step ([`JobResult::reported`](super::JobResult::reported)), and with the asset if the op gives the
    /// result of one. A second value of a name replaces the first; that of an attempt that failed is dropped.
    ///
    /// ```
    /// use giornata::api::{job, op};
    /// let read = op("read").run(|ctx| {
    ///     let rows = vec![1_i64, 2, 3];
    ///     ctx.report("rows", rows.len());
    ///     Ok(rows.iter().sum::<i64>())
    /// });
    /// let result = job("j").define(|g| { read.call(g); }).execute_in_process()?;
    /// assert_eq!(result.reported("read", "rows"), Some(&3.into()));
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn report(&self, name: &str, value: impl Into<Value>) {
        self.reported.add(name, value.into(), None);
    }

    /// Whether what it does is no longer wanted: it has taken longer than its time-out, or the run was
    /// cancelled. A function cannot be stopped; a long one asks from time to time, and returns.
    ///
    /// ```
    /// use giornata::api::{job, op};
    /// use std::time::Duration;
    /// let sums = op("sums").timeout(Duration::from_secs(60)).run(|ctx| {
    ///     let mut sum = 0_u64;
    ///     for n in 0..1_000 {
    ///         if ctx.is_cancelled() {
    ///             return Err("nobody waits for it any more".into());
    ///         }
    ///         sum += n;
    ///     }
    ///     Ok(sum)
    /// });
    /// let j = job("j").define(|g| { sums.call(g); });
    /// assert_eq!(j.execute_in_process()?.value::<u64>("sums")?, 499_500);
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn is_cancelled(&self) -> bool {
        let is_late = self.timeout.is_some_and(|timeout| self.started.elapsed() > timeout);
        is_late || self.control.is_cancelled()
    }

    pub(super) fn ask(&self, again: Again) {
        self.asked.replace(Some(again));
    }

    pub(super) fn take_asked(&self) -> Option<Again> {
        self.asked.take()
    }
}
