//! A resource: what steps share during a run and do not make, such as a database or a service.

use serde_json::Value;

use super::Origin;
use super::config::{Config, ConfigErrors, Env, Field, Schema};

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
        self.kind.schema().validate(&self.settings, env)
    }
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
