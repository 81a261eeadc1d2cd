//! A resource: what steps share during a run and do not make, such as a database or a service.

use serde_json::Value;

use super::Origin;
use super::config::{Config, ConfigError, ConfigErrorKind, ConfigErrors, Env, Field, Path, Schema};

/// One declared resource of a kind that is built in. Those of a program live with the program.
#[derive(Debug, Clone, PartialEq)]
pub struct ResourceDef {
    pub name: String,
    pub origin: Origin,
    pub kind: ResourceKind,
    /// What the kind is configured with. Any text may be `{env: VARIABLE}`, which is looked up when a run
    /// begins, and whose value no record or message shows.
    pub settings: Value,
    /// Counts for whatever uses it. Without one, nothing of a resource makes anything stale: what it
    /// holds cannot be observed.
    pub version: Option<String>,
}

/// The kinds that are built in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResourceKind {
    /// A SQLite database in a file, which is made if it is not there.
    Sqlite,
    /// A directory, which is made if it is not there.
    Directory,
    /// Where a service is, and the headers to send with each request. Functions of a program have a client for
    /// it; nothing else is sent.
    Http,
}

impl ResourceKind {
    pub const ALL: [ResourceKind; 3] =
        [ResourceKind::Sqlite, ResourceKind::Directory, ResourceKind::Http];

    /// As declarations say it.
    pub fn name(self) -> &'static str {
        match self {
            ResourceKind::Sqlite => "sqlite",
            ResourceKind::Directory => "directory",
            ResourceKind::Http => "http",
        }
    }

    /// What it is configured with.
    pub fn schema(self) -> Schema {
        match self {
            ResourceKind::Sqlite | ResourceKind::Directory => {
                Schema::shape([("path", Field::from(Schema::text()))])
            }
            ResourceKind::Http => Schema::shape([
                ("url", Field::from(Schema::text())),
                (
                    "headers",
                    Field::from(Schema::map(Schema::text()))
                        .default(Value::Object(Default::default())),
                ),
            ]),
        }
    }
}

impl ResourceDef {
    /// The settings with variables as `env` says, or everything that is wrong with them.
    pub fn configure(&self, env: Env<'_>) -> Result<Config, ConfigErrors> {
        let config = self.kind.schema().validate(&self.settings, env)?;
        match self.kind {
            ResourceKind::Sqlite | ResourceKind::Directory => Ok(config),
            ResourceKind::Http => with_address(config),
        }
    }
}

/// The settings of a service, if what is known of its `url` is an address.
fn with_address(config: Config) -> Result<Config, ConfigErrors> {
    let Some(url) = config.value["url"].as_str().filter(|url| !is_address(url)) else {
        return Ok(config);
    };
    let is_withheld = config.withheld.iter().any(|withheld| withheld.is_of("url"));
    let kind = ConfigErrorKind::Mismatch {
        expected: "https://HOST".to_owned(),
        got: if is_withheld { "what the environment says".to_owned() } else { format!("`{url}`") },
        help: Some("an address begins with `http://` or `https://` and names a host".to_owned()),
    };
    Err(ConfigErrors(vec![ConfigError { path: Path::default().field("url"), kind }]))
}

/// Whether requests can be sent below this: whether the host exists is seen when a step asks it.
fn is_address(url: &str) -> bool {
    let rest = match url.split_once("://") {
        Some((scheme, rest))
            if ["http", "https"].iter().any(|it| scheme.eq_ignore_ascii_case(it)) =>
        {
            rest
        }
        Some(_) | None => return false,
    };
    let has_host = !rest.is_empty() && !rest.starts_with(['/', '?', '#', ':']);
    has_host && !rest.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// Whether a resource can have this name: it is a schema in SQL and a part of a variable's name.
pub fn is_resource_name(name: &str) -> bool {
    let reserved = ["main", "temp"].iter().any(|word| name.eq_ignore_ascii_case(word));
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic());
    starts && !reserved && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The environment variable in which a command finds a resource.
pub fn resource_variable(name: &str) -> String {
    format!("GIORNATA_RESOURCE_{}", name.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn def(kind: ResourceKind, settings: Value) -> ResourceDef {
        let origin = Origin { file: "assets/all.yaml".into(), line: 1 };
        ResourceDef { name: "it".to_owned(), origin, kind, settings, version: None }
    }

    #[test]
    fn every_variable_that_is_not_set_is_told_at_once() {
        let headers =
            json!({"Authorization": {"env": "TOKEN"}, "X-Team": "a", "X-Key": {"env": "KEY"}});
        let api = def(ResourceKind::Http, json!({"url": "https://x", "headers": headers}));
        let nothing = api.configure(Env::Resolve(&|_| None)).unwrap_err();
        let text = nothing.to_string();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("`TOKEN`") && text.contains("`KEY`"), "{text}");
        let both = api.configure(Env::Resolve(&|name| Some(format!("value of {name}")))).unwrap();
        assert_eq!(both.value["headers"]["Authorization"], "value of TOKEN");
        assert_eq!(both.masked()["headers"]["X-Key"], json!({"env": "KEY"}));
    }

    #[test]
    fn a_service_has_an_address() {
        let api = |url: Value| def(ResourceKind::Http, json!({"url": url}));
        let sound = [
            "https://x",
            "HTTP://x.org:81/v1/?a=b",
            "http://u:p@h/",
            "http://[::1]:8080",
            "http://é",
        ];
        for url in sound {
            assert!(api(url.into()).configure(Env::Keep).is_ok(), "{url}");
        }
        for url in [
            "",
            "x.org",
            "htp://x",
            "http://",
            "http:///a",
            "file:///etc",
            "http://a b",
            "http://x\n",
        ] {
            let error = api(url.into()).configure(Env::Keep).unwrap_err().to_string();
            assert!(error.contains("`url` must be `https://HOST`, not "), "{error}");
        }
        // One from the environment is looked at when it is known, and not shown.
        let later = api(json!({"env": "URL"}));
        assert!(later.configure(Env::Keep).is_ok());
        let error = later.configure(Env::Resolve(&|_| Some("x.org".to_owned()))).unwrap_err();
        assert!(!error.to_string().contains("x.org"), "{error}");
    }

    #[test]
    fn names_can_stand_in_sql_and_in_variables() {
        for name in ["warehouse", "A1", "a_b"] {
            assert!(is_resource_name(name), "{name}");
        }
        for name in ["", "1a", "a-b", "a.b", "é", "main", "Temp", "_x"] {
            assert!(!is_resource_name(name), "{name}");
        }
        assert_eq!(resource_variable("ware_house"), "GIORNATA_RESOURCE_WARE_HOUSE");
    }
}
