//! Resources while a run goes on: set up once, shared by its steps, torn down at its end, the last one
//! first, however the run ended.

use std::any::Any;
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Secrets, caught};
use crate::base::error_text;
use crate::defs::config::{Config, Env};
use crate::defs::resource::{ResourceDef, ResourceKind};
use crate::io::Warehouse;
use crate::io::http::Request;

/// What a provider may fail with.
pub type ResourceError = Box<dyn std::error::Error + Send + Sync>;

/// The value of a resource; whoever uses it knows its type.
pub type Shared = Arc<dyn Any + Send + Sync>;

/// Sets a resource up and tears it down.
pub trait Provide: Send + Sync {
    fn set_up(&self, setup: &Setup<'_>) -> Result<Opened, ResourceError>;

    /// Nobody uses the value any more.
    fn tear_down(&self, value: Shared) -> Result<(), ResourceError>;
}

/// A resource that is set up.
#[derive(Clone)]
pub struct Opened {
    pub value: Shared,
    /// What a command finds in its environment; `None` if only functions can use it.
    pub variable: Option<OsString>,
}

/// What a provider is told when its resource is set up, and where it says what must not be shown.
///
/// ```
/// use giornata::api::{Launch, job, op, resource};
/// let place = resource("place", |setup| {
///     let key = setup.path("key.txt");
///     setup.hide("hunter22");
///     Ok(format!("{} at {} of {}", setup.name(), key.display(), setup.env("HOST_NAME")?))
/// });
/// let uses = place.clone();
/// let tell = op("tell").uses(&place).run(move |ctx| {
///     ctx.log().info("with hunter22");
///     Ok(ctx.resource(&uses)?.clone())
/// });
/// let j = job("j").define(|g| { tell.call(g); });
/// let result = j.execute(&Launch::new().root("/srv").env("HOST_NAME", "example.org"))?;
/// assert_eq!(result.value::<String>("tell")?, "place at /srv/key.txt of example.org");
/// assert_eq!(result.log()[0].text, "with ***");
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
pub struct Setup<'a> {
    name: &'a str,
    root: &'a Path,
    env: &'a dyn Fn(&str) -> Option<String>,
    secrets: RefCell<Secrets>,
}

impl Setup<'_> {
    /// The name of the resource; see the example of [`Setup`].
    pub fn name(&self) -> &str {
        self.name
    }

    /// A path of the user's: relative to the project's root, or absolute. See the example of [`Setup`].
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root.join(path)
    }

    /// The value of an environment variable. It is a secret from then on: no record, log or message of the
    /// run shows it. Fails if the variable is not set, before any step runs. See the example of [`Setup`].
    pub fn env(&self, variable: &str) -> Result<String, ResourceError> {
        let value = (self.env)(variable).ok_or_else(|| {
            format!("the environment variable `{variable}` is not set; set it, or add it to `.env`")
        })?;
        self.hide(&value);
        Ok(value)
    }

    /// Says that a value is a secret, which no record, log or message of the run shows; see the example of
    /// [`Setup`].
    pub fn hide(&self, value: &str) {
        self.secrets.borrow_mut().add(value);
    }
}

/// Where a service is, what to send to it with each request, and a client for it: the value of a resource that
/// `giornata::api::Resource::http` declares. Its `Debug` form leaves the values of the headers out.
///
/// [`get`](Http::get) and its like begin a request with the headers of the resource; addresses lie below `url`.
/// `send` waits for the reply, by default for 30 seconds at the most. A status of 400 or more is an error; the
/// proxies that the environment names are used, and connections are used again.
/// What another client is to send is in `url` and `headers`. See the example of [`Http::get`].
#[derive(Clone, PartialEq, Eq)]
pub struct Http {
    /// The base of all addresses.
    pub url: String,
    /// By name; those from the environment are secrets.
    pub headers: BTreeMap<String, String>,
}

// Never the headers: they hold secrets.
impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.headers.keys().collect();
        f.debug_struct("Http").field("url", &self.url).field("headers", &names).finish()
    }
}

impl Http {
    /// A request for what is at an address below `url`.
    ///
    /// ```
    /// use giornata::api::{Given, Launch, Resource, job, op};
    /// use std::io::{BufRead, BufReader, Write};
    /// use std::time::Duration;
    /// # let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let url = format!("http://{}/v1", listener.local_addr()?);
    /// # let serve = std::thread::spawn(move || {
    /// #     let (mut stream, _) = listener.accept().unwrap();
    /// #     let asked: Vec<String> = BufReader::new(stream.try_clone().unwrap()).lines()
    /// #         .map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
    /// #     write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Page: 1\r\n\r\nn\n1\n2").unwrap();
    /// #     asked
    /// # });
    /// let api = Resource::http("api", url, [("Authorization", Given::env("TOKEN"))]);
    /// let uses = api.clone();
    /// let ask = op("ask").uses(&api).run(move |ctx| {
    ///     let orders = ctx.resource(&uses)?.get("orders").query("day", "2014-07-04");
    ///     let reply = orders.header("Accept", "text/csv").timeout(Duration::from_secs(5)).send()?;
    ///     assert_eq!((reply.status, reply.header("X-Page")), (200, Some("1")));
    ///     Ok(reply.text()?.to_owned())
    /// });
    /// let j = job("j").define(|g| { ask.call(g); });
    /// let result = j.execute(&Launch::new().env("TOKEN", "hunter22"))?;
    /// assert_eq!(result.value::<String>("ask")?, "n\n1\n2");
    /// # assert!(serve.join().unwrap()[0].starts_with("GET /v1/orders?day=2014-07-04 "));
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn get(&self, path: &str) -> Request {
        self.request("GET", path)
    }

    /// A request that sends something to an address below `url`.
    ///
    /// ```
    /// use giornata::api::Http;
    /// use serde_json::json;
    /// let service = Http { url: "https://example.org".to_owned(), headers: Default::default() };
    /// let as_json = service.post("orders").json(&json!({"pieces": 7}));
    /// let as_text = service.put("orders/7").body("text/csv", "pieces\n7\n");
    /// let none = service.delete("orders/7");
    /// // `as_json.send()?.json::<Order>()?`
    /// # let _ = (as_json, as_text, none);
    /// ```
    pub fn post(&self, path: &str) -> Request {
        self.request("POST", path)
    }

    /// A request that puts something at an address below `url`; see the example of [`Http::post`].
    pub fn put(&self, path: &str) -> Request {
        self.request("PUT", path)
    }

    /// A request that removes what is at an address below `url`; see the example of [`Http::post`].
    pub fn delete(&self, path: &str) -> Request {
        self.request("DELETE", path)
    }

    fn request(&self, method: &'static str, path: &str) -> Request {
        let request = Request::new(method, &self.url, path);
        self.headers.iter().fold(request, |request, (name, value)| request.header(name, value))
    }

    /// As a command finds it in its environment.
    fn to_json(&self) -> Value {
        json!({"url": self.url, "headers": self.headers})
    }
}

/// Provides what files declare.
struct Declared(ResourceDef);

/// The provider of a resource that files declare.
pub fn provider_of(def: &ResourceDef) -> Arc<dyn Provide> {
    Arc::new(Declared(def.clone()))
}

impl Provide for Declared {
    fn set_up(&self, setup: &Setup<'_>) -> Result<Opened, ResourceError> {
        let config = self.0.configure(Env::Resolve(setup.env))?;
        hide(&config, setup);
        let text = |name: &str| config.value[name].as_str().unwrap_or_default().to_owned();
        Ok(match self.0.kind {
            ResourceKind::Sqlite => sqlite(&setup.path(text("path")))?,
            ResourceKind::Directory => directory(setup.path(text("path")))?,
            ResourceKind::Http => {
                let headers = config.value["headers"].as_object().into_iter().flatten();
                let header = |(name, value): (&String, &Value)| {
                    (name.clone(), value.as_str().unwrap_or_default().to_owned())
                };
                http(Http { url: text("url"), headers: headers.map(header).collect() })
            }
        })
    }

    fn tear_down(&self, _value: Shared) -> Result<(), ResourceError> {
        Ok(())
    }
}

/// Opens a database.
pub fn sqlite(path: &Path) -> Result<Opened, ResourceError> {
    let warehouse = Warehouse::open(path)?;
    Ok(Opened { value: Arc::new(warehouse), variable: Some(path.into()) })
}

/// Makes a directory, if it is not there; its value is a [`PathBuf`].
pub fn directory(path: PathBuf) -> Result<Opened, ResourceError> {
    std::fs::create_dir_all(&path)
        .map_err(|error| format!("cannot create the directory `{}`: {error}", path.display()))?;
    let variable = Some(path.clone().into_os_string());
    Ok(Opened { value: Arc::new(path), variable })
}

/// Where a service is.
pub fn http(http: Http) -> Opened {
    let variable = Some(http.to_json().to_string().into());
    Opened { value: Arc::new(http), variable }
}

/// What came from the environment is secret.
fn hide(config: &Config, setup: &Setup<'_>) {
    for withheld in &config.withheld {
        if let Some(text) = withheld.path.get(&config.value).and_then(Value::as_str) {
            setup.hide(text);
        }
    }
}

/// The resources that one step may use.
#[derive(Clone, Default)]
pub struct Resources(BTreeMap<Arc<str>, Opened>);

// Never the values: they hold secrets.
impl fmt::Debug for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Resources {
    /// The value of a resource, if the step uses it and it is of this type.
    pub fn get<T: Any>(&self, name: &str) -> Option<&T> {
        let value: &(dyn Any + Send + Sync) = &*self.0.get(name)?.value;
        value.downcast_ref()
    }

    /// The same for whoever keeps it, but no longer than the step goes on.
    pub fn shared<T: Any + Send + Sync>(&self, name: &str) -> Option<Arc<T>> {
        self.0.get(name)?.value.clone().downcast().ok()
    }

    /// What a command finds in its environment, by the name of the resource.
    pub(super) fn variables(&self) -> impl Iterator<Item = (&str, &OsStr)> {
        self.0.iter().filter_map(|(name, opened)| Some((&**name, opened.variable.as_deref()?)))
    }

    /// The databases among them.
    pub(super) fn databases(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.0.keys().filter_map(|name| Some((&**name, self.get::<Warehouse>(name)?.path())))
    }
}

struct Open {
    name: Arc<str>,
    provider: Arc<dyn Provide>,
    opened: Opened,
}

/// The resources of a run.
#[derive(Default)]
pub struct Pool {
    /// In the order in which they were set up.
    open: Vec<Open>,
    secrets: Arc<Secrets>,
}

impl Pool {
    /// Sets a resource up, unless it is. Fails with sentences for the user, one a line.
    pub fn set_up(
        &mut self,
        name: &str,
        provider: &Arc<dyn Provide>,
        root: &Path,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(), String> {
        if self.find(name).is_some() {
            return Ok(());
        }
        let setup = Setup { name, root, env, secrets: RefCell::new(Secrets::clone(&self.secrets)) };
        let result = match caught(|| provider.set_up(&setup)) {
            Ok(Ok(opened)) => Ok(opened),
            Ok(Err(error)) => Err(error_text(&*error)),
            Err(panic) => Err(panic.to_string()),
        };
        self.secrets = Arc::new(setup.secrets.into_inner());
        let opened = result.map_err(|reason| {
            let lines = reason.lines().map(|line| format!("resource `{name}`: {line}"));
            self.mask(&lines.collect::<Vec<_>>().join("\n")).into_owned()
        })?;
        self.open.push(Open { name: name.into(), provider: Arc::clone(provider), opened });
        Ok(())
    }

    fn find(&self, name: &str) -> Option<&Open> {
        self.open.iter().find(|open| *open.name == *name)
    }

    /// Those of `names` that are set up.
    pub fn chosen<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Resources {
        let open = names.into_iter().filter_map(|name| self.find(name));
        Resources(open.map(|open| (Arc::clone(&open.name), open.opened.clone())).collect())
    }

    /// The value of one that is set up, if it is of this type.
    pub fn value<T: Any + Send + Sync>(&self, name: &str) -> Option<Arc<T>> {
        self.find(name)?.opened.value.clone().downcast().ok()
    }

    /// Says that a value must not be shown.
    pub fn hide(&mut self, value: &str) {
        Arc::make_mut(&mut self.secrets).add(value);
    }

    /// What must not be shown.
    pub fn secrets(&self) -> Arc<Secrets> {
        Arc::clone(&self.secrets)
    }

    /// A text without secrets.
    pub fn mask<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.secrets.mask(text)
    }

    /// Tears everything down, the last one first; gives what went wrong, each a sentence.
    pub fn tear_down(&mut self) -> Vec<String> {
        let mut problems = Vec::new();
        while let Some(Open { name, provider, opened }) = self.open.pop() {
            let problem = match caught(|| provider.tear_down(opened.value)) {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error_text(&*error),
                Err(panic) => panic.to_string(),
            };
            let problem = format!("resource `{name}` could not be torn down: {problem}");
            problems.push(self.mask(&problem).into_owned());
        }
        problems
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // Whoever wants to know what went wrong has torn down before.
        self.tear_down();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::defs::Origin;

    fn declared(kind: ResourceKind, settings: Value) -> Arc<dyn Provide> {
        let origin = Origin { file: "a.yaml".into(), line: 1 };
        let name = "it".to_owned();
        provider_of(&ResourceDef { name, origin, kind, settings, version: None })
    }

    fn env(name: &str) -> Option<String> {
        (name == "TOKEN").then(|| "s3cret".to_owned())
    }

    #[test]
    fn built_in_kinds_are_made_and_told_to_commands() {
        let dir = tempfile::tempdir().unwrap();
        let mut pool = Pool::default();
        let mut open = |name: &str, kind, settings| {
            pool.set_up(name, &declared(kind, settings), dir.path(), &env).unwrap();
        };
        open("warehouse", ResourceKind::Sqlite, json!({"path": "data/it.db"}));
        open("scratch", ResourceKind::Directory, json!({"path": "data/scratch"}));
        let headers = json!({"Authorization": {"env": "TOKEN"}});
        open("api", ResourceKind::Http, json!({"url": "https://x", "headers": headers}));
        assert!(
            dir.path().join("data/it.db").is_file() && dir.path().join("data/scratch").is_dir()
        );
        let all = pool.chosen(["warehouse", "scratch", "api", "other"]);
        let variables: BTreeMap<&str, String> =
            all.variables().map(|(name, value)| (name, value.to_string_lossy().into())).collect();
        assert_eq!(variables["api"], r#"{"url":"https://x","headers":{"Authorization":"s3cret"}}"#);
        assert_eq!(variables["scratch"], dir.path().join("data/scratch").to_string_lossy());
        assert_eq!(all.databases().map(|(name, _)| name).collect::<Vec<_>>(), ["warehouse"]);
        assert_eq!(all.get::<Http>("api").unwrap().headers["Authorization"], "s3cret");
        assert_eq!(all.get::<Http>("warehouse"), None);
        assert_eq!(pool.mask("got s3cret"), "got ***");
        assert!(!format!("{all:?} {:?}", all.get::<Http>("api")).contains("s3cret"));
    }

    #[test]
    fn what_is_wrong_is_told_without_secrets() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("s3cret"), "no directory").unwrap();
        let mut pool = Pool::default();
        let path = json!({"path": {"env": "TOKEN"}});
        let wrong = declared(ResourceKind::Directory, path);
        let error = pool.set_up("it", &wrong, dir.path(), &env).unwrap_err();
        assert!(error.starts_with("resource `it`: cannot create the directory"), "{error}");
        assert!(error.contains("/***`") && !error.contains("s3cret"), "{error}");
        let error = pool.set_up("it", &wrong, dir.path(), &|_| None).unwrap_err();
        assert!(error.contains("`TOKEN`"), "{error}");
    }

    struct Noting(Arc<Mutex<Vec<String>>>, &'static str);

    impl Provide for Noting {
        fn set_up(&self, setup: &Setup<'_>) -> Result<Opened, ResourceError> {
            self.0.lock().unwrap().push(format!("up {}", setup.name()));
            match self.1 {
                "panics" => panic!("no power"),
                _ => Ok(Opened { value: Arc::new(()), variable: None }),
            }
        }

        fn tear_down(&self, _: Shared) -> Result<(), ResourceError> {
            self.0.lock().unwrap().push(format!("down {}", self.1));
            Err("it is stuck".into())
        }
    }

    #[test]
    fn the_last_one_is_torn_down_first() {
        let noted = Arc::new(Mutex::new(Vec::new()));
        let mut pool = Pool::default();
        for name in ["a", "b", "a"] {
            let provider: Arc<dyn Provide> = Arc::new(Noting(noted.clone(), name));
            pool.set_up(name, &provider, Path::new("/"), &env).unwrap();
        }
        let panics: Arc<dyn Provide> = Arc::new(Noting(noted.clone(), "panics"));
        let error = pool.set_up("c", &panics, Path::new("/"), &env).unwrap_err();
        assert!(error.contains("panicked at") && error.ends_with("no power"), "{error}");
        let problems = pool.tear_down();
        assert_eq!(problems[0], "resource `b` could not be torn down: it is stuck");
        drop(pool);
        assert_eq!(*noted.lock().unwrap(), ["up a", "up b", "up c", "down b", "down a"]);
    }
}
