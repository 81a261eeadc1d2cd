//! Configuration: what values a job may be given, and everything that is wrong with those it is given.
//!
//! A [`Schema`] is declared under `config:` and read by [`Schema::parse_root`]. Values come in layers,
//! which [`Layers`] puts together; [`Schema::validate`] completes them or says all that is wrong at
//! once. [`Schema::scaffold_missing`] adds what is missing and [`Schema::prune`] removes what is too
//! much. Nothing here reads a file or the environment: values and a look-up of variables are passed in.
//!
//! # How a schema is declared
//!
//! The same in YAML and TOML:
//!
//! | written | accepts |
//! |---|---|
//! | `string` (or `text`), `int`, `float`, `bool` | one such value, or `{env: VARIABLE}` |
//! | `any` | every value, also null |
//! | `string?`, `{nullable: T}` | null too; a field of it that is not given is null |
//! | `{enum: [fast, full]}` | one of these |
//! | `[T]`, `{array: T}` | a list |
//! | `{map: T}`, `{map: T, key: int}` | a mapping with names of the user's choice |
//! | `{a: T, b: T}`, `{shape: {..}}` | these fields and no others |
//! | `{permissive: {a: T}}` | these fields, and others as they come |
//! | `{selector: {a: T, b: T}}` | exactly one of these fields |
//! | `{union: [T, T]}` | what the first fitting member accepts |
//! | `{type: T, ..}` | as `T`, with options |
//!
//! Options stand beside `type`, or beside `enum`, `map` and the others: `default`, `optional: true` (may
//! be left out, and is then not there), `optional: false` (must be given although its type implies a
//! value), `description`, for numbers `min` and `max`, for single values `secret: true` (no message
//! shows it), for maps `key`. A mapping with one of the words `type`, `enum`, `array`, `map`,
//! `nullable`, `selector`, `permissive`, `shape`, `union` is that type; a shape with a field of such
//! a name is written with `shape`.
//!
//! ```
//! use giornata::defs::config::{Env, Schema};
//! use serde_json::json;
//!
//! // config:
//! //   person_name: string
//! //   lr: {type: float, default: 0.01, min: 0}
//! //   kind: {enum: [fast, full], default: fast}
//! //   layers: [{size: int, dropout: float?}]
//! //   storage: {selector: {file: {path: {type: string, default: out}}, s3: {bucket: string}}}
//! let schema = Schema::parse_root(&json!({
//!     "person_name": "string",
//!     "lr": {"type": "float", "default": 0.01, "min": 0},
//!     "kind": {"enum": ["fast", "full"], "default": "fast"},
//!     "layers": [{"size": "int", "dropout": "float?"}],
//!     "storage": {"selector": {
//!         "file": {"path": {"type": "string", "default": "out"}},
//!         "s3": {"bucket": "string"},
//!     }},
//! }))?;
//! let given = json!({"person_name": "Alice", "layers": [{"size": 3}], "storage": {"file": null}});
//! let config = schema.validate(&given, Env::Keep)?;
//! assert_eq!(config.value, json!({
//!     "person_name": "Alice",
//!     "lr": 0.01,
//!     "kind": "fast",
//!     "layers": [{"size": 3, "dropout": null}],
//!     "storage": {"file": {"path": "out"}},
//! }));
//!
//! let given = json!({"lr": -1, "kind": "ful", "layers": [{"size": "3"}], "storage": {}});
//! assert_eq!(schema.validate(&given, Env::Keep).unwrap_err().to_string(), "\
//! `person_name` is missing; it must be `string`, such as `\"...\"`
//! `lr` must be a number of at least 0, not `-1`
//! `kind` cannot be the text `ful`; did you mean `full`?
//! `layers[0].size` must be `int`, not the text `3`; write it without quotes
//! `storage` must have exactly one field and has none; known are `file` and `s3`");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is required
//!
//! A field must be given unless it has a default, is optional, is nullable, or is a shape whose fields
//! need not be given either (or a selector with one such field). Defaults within defaults are filled in,
//! and a shape that is given takes the fields that it does not give from the default of its field; other
//! values replace the default as a whole.

mod error;
mod json_schema;
mod merge;
mod parse;
mod path;
mod scaffold;
mod schema;
mod setting;
mod validate;

pub use error::{ConfigError, ConfigErrorKind, ConfigErrors};
pub use merge::Layers;
pub use parse::{SchemaError, SchemaErrorKind, SchemaErrors};
pub use path::{Path, Segment};
pub use scaffold::{Pruned, Scaffolded};
pub use schema::{
    Bounds, Field, Fields, MapSchema, Presence, Scalar, ScalarKind, Schema, Secrecy, Source,
};
pub use setting::{Setting, SettingError};
pub use validate::{Config, Env, Withheld};

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;
