//! Resources of a program: what its functions share during a run, configured once and replaceable in tests.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::value::BoxError;
use crate::defs::{Origin, ResourceDef, ResourceKind};
use crate::exec::{Http, Opened, Provide, Resources, Setup, Shared, provider_of};
use crate::io::Warehouse;

/// Declares a resource: something that functions share during a run and that is no data of theirs, such
/// as a connection or a client.
///
/// It is set up before the first step of a run that uses it, once, and torn down (dropped) at the end of
/// the run, however that ended; the one that was set up last goes first. An operation or an asset says
/// that it uses it with `uses`, and finds it with `ctx.resource`. What a resource holds decides no key: where
/// another database gives other results, say so with `version` of what reads it.
///
/// ```
/// use giornata::api::{Launch, job, op, resource};
/// use std::sync::Mutex;
///
/// struct Greeter { words: String, greeted: Mutex<u32> }
///
/// let greeter = resource("greeter", |setup| {
///     Ok(Greeter { words: setup.env("WORDS")?, greeted: Mutex::new(0) })
/// });
/// let uses = greeter.clone();
/// let greet = op("greet").uses(&greeter).run(move |ctx| {
///     let greeter = ctx.resource(&uses)?;
///     *greeter.greeted.lock().map_err(|_| "poisoned")? += 1;
///     Ok(format!("{}, world", greeter.words))
/// });
/// let greeting = job("greeting").define(|g| { greet.call(g); });
///
/// // A variable that is not set is found before any step runs.
/// let error = greeting.execute_in_process().unwrap_err().to_string();
/// assert!(error.starts_with("resource `greeter`: the environment variable `WORDS` is not set"), "{error}");
/// let result = greeting.execute(&Launch::new().env("WORDS", "hello"))?;
/// assert_eq!(result.value::<String>("greet")?, "hello, world");
/// // In a test, another value takes its place.
/// let mock = Greeter { words: "hi".to_owned(), greeted: Mutex::new(0) };
/// let result = greeting.execute(&Launch::new().with(&greeter, mock))?;
/// assert_eq!(result.value::<String>("greet")?, "hi, world");
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
pub fn resource<R, F>(name: &str, open: F) -> Resource<R>
where
    R: Send + Sync + 'static,
    F: Fn(&Setup<'_>) -> Result<R, BoxError> + Send + Sync + 'static,
{
    Resource::of(name, Opener(open, PhantomData))
}

/// Sets a resource up and tears it down, where dropping its value is not enough.
///
/// ```
/// use giornata::api::{BoxError, Provider, Resource, Setup, job, op};
/// use std::path::PathBuf;
///
/// /// A file that is there while a run goes on.
/// struct LockFile;
///
/// impl Provider for LockFile {
///     type Value = PathBuf;
///
///     fn setup(&self, setup: &Setup<'_>) -> Result<PathBuf, BoxError> {
///         let path = setup.path("busy");
///         std::fs::write(&path, "")?;
///         Ok(path)
///     }
///
///     fn teardown(&self, path: PathBuf) -> Result<(), BoxError> {
///         Ok(std::fs::remove_file(path)?)
///     }
/// }
///
/// # let dir = tempfile::tempdir()?;
/// let lock = Resource::of("lock", LockFile);
/// let uses = lock.clone();
/// let works = op("works").uses(&lock).run(move |ctx| Ok(ctx.resource(&uses)?.exists()));
/// let j = job("j").define(|g| { works.call(g); });
/// let result = j.execute(&giornata::api::Launch::new().root(dir.path()))?;
/// assert!(result.value::<bool>("works")?);
/// assert!(!dir.path().join("busy").exists());
/// # Ok::<(), BoxError>(())
/// ```
pub trait Provider: Send + Sync + 'static {
    /// What steps get a reference to.
    type Value: Send + Sync + 'static;

    /// Called once in a run, before the first step that uses it. An error is told before any step runs, with
    /// those of all other resources.
    fn setup(&self, setup: &Setup<'_>) -> Result<Self::Value, BoxError>;

    /// Called when the run has ended, however that was; an error is a warning of the run.
    fn teardown(&self, value: Self::Value) -> Result<(), BoxError> {
        drop(value);
        Ok(())
    }
}

/// A declared resource whose value is an `R`. It is what declarations name and functions look up; cloning
/// it is cheap. Two resources of one name are a mistake. See the example of [`resource`](super::resource()).
pub struct Resource<R> {
    name: Arc<str>,
    provider: Arc<dyn Provide>,
    of: PhantomData<fn() -> R>,
}

impl<R> Clone for Resource<R> {
    fn clone(&self) -> Resource<R> {
        Resource { name: self.name.clone(), provider: self.provider.clone(), of: PhantomData }
    }
}

impl<R> fmt::Debug for Resource<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Resource").field(&self.name).finish()
    }
}

impl<R> Resource<R> {
    /// Its name, which messages say; see the example of [`Resource::directory`].
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn used(&self) -> Used {
        Used { name: self.name.clone(), provider: self.provider.clone() }
    }

    fn built_in(name: &str, kind: ResourceKind, settings: Json) -> Resource<R> {
        // A program's resources are told by name.
        let origin = Origin { file: Default::default(), line: 0 };
        let def = ResourceDef { name: name.to_owned(), origin, kind, settings, version: None };
        Resource { name: name.into(), provider: provider_of(&def), of: PhantomData }
    }
}

impl<R: Send + Sync + 'static> Resource<R> {
    /// A resource that a provider sets up and tears down; see the example of [`Provider`].
    pub fn of<P: Provider<Value = R>>(name: &str, provider: P) -> Resource<R> {
        Resource { name: name.into(), provider: Arc::new(Provided(provider)), of: PhantomData }
    }

    /// The value, from what a step may use.
    pub(super) fn find<'r>(&self, resources: &'r Resources) -> Result<&'r R, BoxError> {
        let name = &self.name;
        resources.get(name).ok_or_else(|| {
            format!("the resource `{name}` is not among those that it uses; declare it with `uses`")
                .into()
        })
    }
}

impl Resource<Warehouse> {
    /// A SQLite database in a file, which is made if it is not there. The path is relative to the
    /// project's root, or absolute.
    ///
    /// ```
    /// use giornata::api::{Launch, Resource, job, op};
    /// # let dir = tempfile::tempdir()?;
    /// let database = Resource::sqlite("database", "data/shop.db");
    /// let uses = database.clone();
    /// let create = op("create").uses(&database).run(move |ctx| {
    ///     Ok(ctx.resource(&uses)?.execute("CREATE TABLE orders (id INTEGER)")?)
    /// });
    /// let setup = job("setup").define(|g| { create.call(g); });
    /// assert!(setup.execute(&Launch::new().root(dir.path()))?.is_success());
    /// assert!(dir.path().join("data/shop.db").exists());
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn sqlite(name: &str, path: impl Into<Given>) -> Resource<Warehouse> {
        Resource::built_in(name, ResourceKind::Sqlite, json!({"path": path.into().json()}))
    }
}

impl Resource<PathBuf> {
    /// A directory, which is made if it is not there; its value is the absolute path. The path is relative to
    /// the project's root, or absolute.
    ///
    /// ```
    /// use giornata::api::{Launch, Resource, job, op};
    /// # let dir = tempfile::tempdir()?;
    /// let scratch = Resource::directory("scratch", "data/scratch");
    /// assert_eq!(scratch.name(), "scratch");
    /// let uses = scratch.clone();
    /// let ends = op("ends").uses(&scratch).run(move |ctx| Ok(ctx.resource(&uses)?.ends_with("data/scratch")));
    /// let j = job("j").define(|g| { ends.call(g); });
    /// assert!(j.execute(&Launch::new().root(dir.path()))?.value::<bool>("ends")?);
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn directory(name: &str, path: impl Into<Given>) -> Resource<PathBuf> {
        Resource::built_in(name, ResourceKind::Directory, json!({"path": path.into().json()}))
    }
}

impl Resource<Http> {
    /// Where a service is, and the headers to send to it: its value begins requests
    /// ([`Http::get`](Http::get)), and has both for a client of your choice.
    ///
    /// ```
    /// use giornata::api::{Given, Launch, Resource, job, op};
    /// let api = Resource::http("api", "https://example.org", [("Authorization", Given::env("TOKEN"))]);
    /// let uses = api.clone();
    /// let ask = op("ask").uses(&api).run(move |ctx| {
    ///     let api = ctx.resource(&uses)?;
    ///     ctx.log().info(format!("as {}", api.headers["Authorization"]));
    ///     Ok(format!("{}/orders", api.url))
    /// });
    /// let asks = job("asks").define(|g| { ask.call(g); });
    /// let result = asks.execute(&Launch::new().env("TOKEN", "hunter22"))?;
    /// assert_eq!(result.value::<String>("ask")?, "https://example.org/orders");
    /// // What comes from the environment is a secret.
    /// assert_eq!(result.log()[0].text, "as ***");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn http<'h>(
        name: &str,
        url: impl Into<Given>,
        headers: impl IntoIterator<Item = (&'h str, Given)>,
    ) -> Resource<Http> {
        let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value.json()));
        let headers: Map<String, Json> = headers.collect();
        let settings = json!({"url": url.into().json(), "headers": headers});
        Resource::built_in(name, ResourceKind::Http, settings)
    }
}

/// A text of a declaration: as it is, or the value of an environment variable at launch. A text becomes one
/// by `.into()`. See the example of [`Resource::http`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    /// As it is.
    Text(String),
    /// The name of the variable.
    Env(String),
}

impl Given {
    /// The value of an environment variable, which is looked up when a run begins and shown nowhere; that it is
    /// not set is told before any step runs. See the example of [`Resource::http`].
    pub fn env(variable: &str) -> Given {
        Given::Env(variable.to_owned())
    }

    fn json(self) -> Json {
        match self {
            Given::Text(text) => text.into(),
            Given::Env(variable) => json!({"env": variable}),
        }
    }
}

impl From<&str> for Given {
    fn from(text: &str) -> Given {
        Given::Text(text.to_owned())
    }
}

impl From<String> for Given {
    fn from(text: String) -> Given {
        Given::Text(text)
    }
}

/// A resource that something uses.
#[derive(Clone)]
pub(super) struct Used {
    pub(super) name: Arc<str>,
    pub(super) provider: Arc<dyn Provide>,
}

impl Used {
    pub(super) fn is(&self, other: &Arc<dyn Provide>) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.provider), Arc::as_ptr(other))
    }
}

/// The providers of all resources that something uses, by name.
pub(super) type Providers = BTreeMap<Arc<str>, Arc<dyn Provide>>;

/// Values that take the place of resources.
#[derive(Clone, Default)]
pub(super) struct Replaced(Providers);

impl fmt::Debug for Replaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Replaced {
    pub(super) fn put<R: Send + Sync + 'static>(&mut self, resource: &Resource<R>, value: R) {
        self.0.insert(resource.name.clone(), Arc::new(Fixed(Arc::new(value))));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn get(&self, name: &str) -> Option<&Arc<dyn Provide>> {
        self.0.get(name)
    }

    pub(super) fn each(&self) -> impl Iterator<Item = (Arc<str>, Arc<dyn Provide>)> {
        self.0.iter().map(|(name, provider)| (name.clone(), provider.clone()))
    }
}

struct Opener<R, F>(F, PhantomData<fn() -> R>);

impl<R, F> Provider for Opener<R, F>
where
    R: Send + Sync + 'static,
    F: Fn(&Setup<'_>) -> Result<R, BoxError> + Send + Sync + 'static,
{
    type Value = R;

    fn setup(&self, setup: &Setup<'_>) -> Result<R, BoxError> {
        (self.0)(setup)
    }
}

struct Provided<P>(P);

impl<P: Provider> Provide for Provided<P> {
    fn set_up(&self, setup: &Setup<'_>) -> Result<Opened, BoxError> {
        Ok(Opened { value: Arc::new(self.0.setup(setup)?), variable: None })
    }

    fn tear_down(&self, value: Shared) -> Result<(), BoxError> {
        let value = value.downcast::<P::Value>().map_err(|_| "it has another type")?;
        // Steps have references only, and all of them have ended.
        self.0.teardown(Arc::try_unwrap(value).map_err(|_| "it is still in use")?)
    }
}

/// Whoever gave the value keeps it.
struct Fixed(Shared);

impl Provide for Fixed {
    fn set_up(&self, _setup: &Setup<'_>) -> Result<Opened, BoxError> {
        Ok(Opened { value: self.0.clone(), variable: None })
    }

    fn tear_down(&self, _value: Shared) -> Result<(), BoxError> {
        Ok(())
    }
}
