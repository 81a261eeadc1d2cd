//! Sends requests over HTTP and reads what comes back: the one place that speaks it as a client.
//!
//! Connections are kept and used again by the whole process. A redirection is followed within one service
//! only, because headers hold secrets and another service has no business with them.

use std::sync::OnceLock;
use std::time::Duration;

use serde::de::DeserializeOwned;
use ureq::Agent;
use ureq::http::{Request as Raw, Response, header::LOCATION};

/// What a request may take as a whole, if it does not say so.
pub const TIMEOUT: Duration = Duration::from_secs(30);
/// Longer replies are refused.
pub const REPLY_MAX_BYTES: u64 = 256 << 20;
const REDIRECTS_MAX: u32 = 5;
/// Of what a service says in an error, so much is shown.
const SHOWN_MAX: usize = 200;

/// A request that is not sent yet, which the value of a resource of the kind `http` begins. See the example of
/// [`Http::get`](crate::api::Http::get).
#[derive(Clone)]
pub struct Request {
    method: &'static str,
    url: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    timeout: Duration,
}

/// What a service has replied, with a status below 400. See the example of
/// [`Http::get`](crate::api::Http::get).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Such as 200.
    pub status: u16,
    /// Names in lower case, in the order in which they came.
    pub headers: Vec<(String, String)>,
    /// As it came.
    pub body: Vec<u8>,
}

/// Why there is no reply. No header of the request is in it.
///
/// ```
/// use giornata::api::{Http, HttpError};
/// let nobody = Http { url: "http://127.0.0.1:9".to_owned(), headers: Default::default() };
/// let error = nobody.get("orders").send();
/// assert!(matches!(error, Err(HttpError::Failed { .. })), "{error:?}");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// The service refuses, with a status of 400 or more.
    #[error("{method} {url}: status {status}{}", quoted(.said))]
    Status { method: &'static str, url: String, status: u16, said: String },
    #[error("{method} {url}: took longer than {after:?}")]
    TimedOut { method: &'static str, url: String, after: Duration },
    /// Nothing is sent there, because the headers are for this service alone.
    #[error("{method} {url}: is redirected to `{to}`, which is not followed; ask there instead")]
    Redirected { method: &'static str, url: String, to: String },
    /// No connection, no such host, a certificate that does not hold, a URL that is none.
    #[error("{method} {url}: {reason}")]
    Failed { method: &'static str, url: String, reason: String },
    /// The reply is not what it was read as.
    #[error("the reply {reason}")]
    Reply { reason: String },
}

fn quoted(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(" (`{text}`)") }
}

impl Request {
    /// A request to an address below `base`, without headers.
    ///
    /// ```
    /// use giornata::api::Request;
    /// let get = Request::new("GET", "https://example.org/v1/", "/orders").query("day", "a b");
    /// assert!(format!("{get:?}").contains("https://example.org/v1/orders?day=a%20b"), "{get:?}");
    /// ```
    pub fn new(method: &'static str, base: &str, path: &str) -> Request {
        let (base, path) = (base.trim_end_matches('/'), path.trim_start_matches('/'));
        let url = if path.is_empty() { base.to_owned() } else { format!("{base}/{path}") };
        Request { method, url, headers: Vec::new(), body: Vec::new(), timeout: TIMEOUT }
    }

    /// Sends a header along; a second one of a name replaces the first. See the example of
    /// [`Http::get`](crate::api::Http::get).
    pub fn header(mut self, name: &str, value: &str) -> Request {
        self.headers.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds `name=value` to the address, with what needs it escaped. See the example of
    /// [`Http::get`](crate::api::Http::get).
    pub fn query(mut self, name: &str, value: &str) -> Request {
        self.url.push(if self.url.contains('?') { '&' } else { '?' });
        escape(name, &mut self.url);
        self.url.push('=');
        escape(value, &mut self.url);
        self
    }

    /// Sends bytes along, of a type such as `text/csv`. See the example of
    /// [`Http::post`](crate::api::Http::post).
    pub fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Request {
        self.body = body.into();
        self.header("Content-Type", content_type)
    }

    /// Sends a value along as JSON. See the example of [`Http::post`](crate::api::Http::post).
    pub fn json(self, value: &serde_json::Value) -> Request {
        self.body("application/json", value.to_string())
    }

    /// What it may take as a whole, in place of 30 seconds. See the example of
    /// [`Http::get`](crate::api::Http::get).
    pub fn timeout(mut self, timeout: Duration) -> Request {
        self.timeout = timeout;
        self
    }

    /// Sends it, and waits for the reply. A status of 400 or more is an error. See the example of
    /// [`Http::get`](crate::api::Http::get).
    pub fn send(self) -> Result<Reply, HttpError> {
        let mut url = self.url.clone();
        for _ in 0..=REDIRECTS_MAX {
            let mut response = self.once(&url)?;
            let status = response.status().as_u16();
            if let Some(to) = location(&response) {
                url = self.next(&url, to)?;
                continue;
            }
            let body = response.body_mut().with_config().limit(REPLY_MAX_BYTES).read_to_vec();
            let body = body.map_err(|error| self.failed(&error))?;
            if status >= 400 {
                let said = short(&String::from_utf8_lossy(&body));
                return Err(HttpError::Status { method: self.method, url, status, said });
            }
            let header = |(name, value): (&ureq::http::HeaderName, &ureq::http::HeaderValue)| {
                (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            };
            let headers = response.headers().iter().map(header).collect();
            return Ok(Reply { status, headers, body });
        }
        let (method, reason) = (self.method, "is redirected again and again".to_owned());
        Err(HttpError::Failed { method, url: self.url, reason })
    }

    fn once(&self, url: &str) -> Result<Response<ureq::Body>, HttpError> {
        let mut raw = Raw::builder().method(self.method).uri(url);
        for (name, value) in &self.headers {
            raw = raw.header(name, value);
        }
        let wrong = |error: ureq::http::Error| self.failed(&ureq::Error::Http(error));
        if self.body.is_empty() && self.method != "POST" && self.method != "PUT" {
            let raw = raw.body(()).map_err(wrong)?;
            let raw = agent().configure_request(raw).timeout_global(Some(self.timeout)).build();
            return agent().run(raw).map_err(|error| self.failed(&error));
        }
        let raw = raw.body(self.body.as_slice()).map_err(wrong)?;
        let raw = agent().configure_request(raw).timeout_global(Some(self.timeout)).build();
        agent().run(raw).map_err(|error| self.failed(&error))
    }

    /// The address to which `url` is redirected, if that is of the same service and asks for nothing to be
    /// done twice.
    fn next(&self, url: &str, to: String) -> Result<String, HttpError> {
        let origin = origin(url);
        let next = match to.strip_prefix('/') {
            Some(path) if !path.starts_with('/') => format!("{origin}{to}"),
            Some(_) | None => to.clone(),
        };
        let is_same = next == origin || next.starts_with(&format!("{origin}/"));
        match self.method {
            "GET" | "HEAD" if is_same => Ok(next),
            _ => Err(HttpError::Redirected { method: self.method, url: url.to_owned(), to }),
        }
    }

    fn failed(&self, error: &ureq::Error) -> HttpError {
        let (method, url) = (self.method, self.url.clone());
        match error {
            ureq::Error::Timeout(_) => HttpError::TimedOut { method, url, after: self.timeout },
            ureq::Error::BodyExceedsLimit(max) => {
                let reason = format!("the reply is longer than {max} bytes");
                HttpError::Failed { method, url, reason }
            }
            // The set of them is not ours, and grows.
            other => HttpError::Failed { method, url, reason: other.to_string() },
        }
    }
}

// Never the values of headers, nor the body: they hold secrets.
impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&String> = self.headers.iter().map(|(name, _)| name).collect();
        let mut shown = f.debug_struct("Request");
        shown.field("method", &self.method).field("url", &self.url).field("headers", &names);
        shown.field("body_bytes", &self.body.len()).finish_non_exhaustive()
    }
}

impl Reply {
    /// The value of a header, by its name in any case. See the example of
    /// [`Http::get`](crate::api::Http::get).
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The body as a text; fails if it is not UTF-8. See the example of
    /// [`Http::get`](crate::api::Http::get).
    pub fn text(&self) -> Result<&str, HttpError> {
        let text = std::str::from_utf8(&self.body);
        text.map_err(|error| HttpError::Reply { reason: format!("is no text: {error}") })
    }

    /// The body as a value; fails if it is not the JSON of one. See the example of
    /// [`Http::post`](crate::api::Http::post).
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, HttpError> {
        let value = serde_json::from_slice(&self.body);
        value.map_err(|error| HttpError::Reply { reason: format!("is not as expected: {error}") })
    }
}

fn agent() -> &'static Agent {
    static AGENT: OnceLock<Agent> = OnceLock::new();
    AGENT.get_or_init(|| {
        let config = Agent::config_builder().http_status_as_error(false).max_redirects(0);
        let config = config.user_agent(concat!("giornata/", env!("CARGO_PKG_VERSION")));
        config.build().new_agent()
    })
}

fn location(response: &Response<ureq::Body>) -> Option<String> {
    let is_redirection = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let to = response.headers().get(LOCATION).filter(|_| is_redirection)?;
    Some(String::from_utf8_lossy(to.as_bytes()).into_owned())
}

/// `https://example.org:81` of `https://example.org:81/a?b`.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..].find(['/', '?', '#']).map_or(url.len(), |at| host + at);
    &url[..end]
}

fn escape(text: &str, into: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                into.push(char::from(byte));
            }
            other => into.push_str(&format!("%{other:02X}")),
        }
    }
}

fn short(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;
    use std::thread::JoinHandle;

    use super::*;

    /// A service that gives each reply to one request, and then what it was asked.
    fn service(replies: &'static [&'static str]) -> (String, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/api/", listener.local_addr().unwrap());
        let serve = move |reply: &&str| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap());
            let (mut asked, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                lines.read_line(&mut line).unwrap();
                if let Some(bytes) = line.to_lowercase().strip_prefix("content-length:") {
                    length = bytes.trim().parse().unwrap();
                }
                asked += &line;
                if line.trim().is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            lines.read_exact(&mut body).unwrap();
            asked += &String::from_utf8(body).unwrap();
            if !reply.is_empty() {
                let head = "Content-Length: ";
                let (status, body) = reply.split_once('|').unwrap();
                let (bytes, close) = (body.len(), "Connection: close");
                write!(stream, "HTTP/1.1 {status}\r\n{close}\r\n{head}{bytes}\r\n\r\n{body}")
                    .unwrap();
                return asked;
            }
            // Nothing is said until the other side has gone.
            let _ = lines.read(&mut [0]);
            asked
        };
        (url, std::thread::spawn(move || replies.iter().map(serve).collect()))
    }

    #[test]
    fn a_request_says_what_it_is_told_and_gives_the_reply() {
        let (url, serves) = service(&["200 OK\r\nX-Left: 9|{\"n\": 3}", "201 Created|ok"]);
        let get = Request::new("GET", &url, "/orders").header("Authorization", "Bearer s3cret");
        let get = get.query("day", "2014-07-01").query("of", "a b&c");
        assert!(!format!("{get:?}").contains("s3cret"), "{get:?}");
        let reply = get.send().unwrap();
        assert_eq!((reply.status, reply.header("x-left")), (200, Some("9")));
        assert_eq!(reply.json::<serde_json::Value>().unwrap()["n"], 3);
        assert!(reply.json::<String>().unwrap_err().to_string().starts_with("the reply is not as"));
        let post =
            Request::new("POST", &url, "").json(&serde_json::json!({"a": 1})).send().unwrap();
        assert_eq!((post.status, post.text().unwrap()), (201, "ok"));
        let asked = serves.join().unwrap();
        assert!(asked[0].starts_with("GET /api/orders?day=2014-07-01&of=a%20b%26c HTTP/1.1\r\n"));
        assert!(asked[0].to_lowercase().contains("authorization: bearer s3cret\r\n"), "{asked:?}");
        assert!(asked[1].starts_with("POST /api HTTP/1.1\r\n") && asked[1].ends_with("{\"a\":1}"));
        assert!(asked[1].to_lowercase().contains("content-type: application/json"), "{asked:?}");
    }

    #[test]
    fn what_is_wrong_is_told_without_headers() {
        let (url, serves) =
            service(&["503 Busy| come back\n", "302 Found\r\nLocation: http://other.example/|"]);
        let ask = || Request::new("GET", &url, "x").header("Token", "s3cret").send().unwrap_err();
        let refused = ask().to_string();
        assert_eq!(refused, format!("GET {url}x: status 503 (`come back`)"));
        assert_eq!(
            ask().to_string(),
            format!(
                "GET {url}x: is redirected to `http://other.example/`, which is not followed; ask there instead"
            )
        );
        serves.join().unwrap();
        // Nobody is there any more.
        let gone = ask();
        assert!(matches!(gone, HttpError::Failed { .. }), "{gone}");
        assert!(!gone.to_string().contains("s3cret"), "{gone}");
        let none = Request::new("GET", "no address", "").send().unwrap_err();
        assert!(matches!(none, HttpError::Failed { .. }), "{none}");
    }

    #[test]
    fn it_is_redirected_within_a_service() {
        let (url, serves) = service(&["307 Moved\r\nLocation: /there|", "200 OK|here"]);
        let reply = Request::new("GET", &url, "x").send().unwrap();
        assert_eq!(reply.text().unwrap(), "here");
        assert!(serves.join().unwrap()[1].starts_with("GET /there "));
    }

    #[test]
    fn nobody_waits_for_ever() {
        let (url, serves) = service(&[""]);
        let slow = Request::new("GET", &url, "x").timeout(Duration::from_millis(30)).send();
        let error = slow.unwrap_err();
        assert!(matches!(error, HttpError::TimedOut { .. }), "{error}");
        serves.join().unwrap();
    }

    #[test]
    fn services_are_told_apart() {
        assert_eq!(origin("https://a.b:1/c?d"), "https://a.b:1");
        assert_eq!(origin("http://a"), "http://a");
        let get = Request::new("GET", "https://a.b", "c");
        let next = |to: &str| get.next("https://a.b/c", to.to_owned()).ok();
        assert_eq!(next("/d").as_deref(), Some("https://a.b/d"));
        assert_eq!(next("https://a.b/d").as_deref(), Some("https://a.b/d"));
        for other in ["//c/d", "https://a.b.c/d", "http://a.b/d", "d"] {
            assert_eq!(next(other), None, "{other}");
        }
        let post = Request::new("POST", "https://a.b", "c");
        assert!(post.next("https://a.b/c", "/d".to_owned()).is_err());
    }
}
