//! JSON Schema of what the loader reads, for editors: generated from the tables of keys that the
//! readers themselves use.
//!
//! Draft 7, which the language servers of YAML and TOML understand.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::form::{Form, Key};
use super::{loader, manifest};

/// Which files a schema is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// `giornata.toml`.
    Project,
    /// The YAML files below the assets directory.
    Assets,
}

impl Schema {
    pub const ALL: [Schema; 2] = [Schema::Project, Schema::Assets];

    /// The name of its file.
    pub fn file_name(self) -> &'static str {
        match self {
            Schema::Project => "project.json",
            Schema::Assets => "assets.json",
        }
    }
}

/// The schema as a document of JSON.
pub fn schema(which: Schema) -> Value {
    let (title, form) = match which {
        Schema::Project => ("giornata.toml", &manifest::PROJECT),
        Schema::Assets => ("definitions of giornata", &loader::DEFINITIONS),
    };
    let mut writer = Writer { named: BTreeMap::new() };
    let root = writer.form(form);
    let mut document = Map::new();
    document.insert("$schema".into(), "http://json-schema.org/draft-07/schema#".into());
    document.insert("title".into(), title.into());
    if let Value::Object(root) = root {
        document.extend(root);
    }
    let named = writer.named.into_iter().map(|(name, value)| (name.to_owned(), value));
    document.insert("definitions".into(), Value::Object(named.collect()));
    Value::Object(document)
}

struct Writer {
    /// Null while it is being written: it contains itself.
    named: BTreeMap<&'static str, Value>,
}

impl Writer {
    fn form(&mut self, form: &'static Form) -> Value {
        match form {
            Form::Any => json!({}),
            Form::Text => json!({"type": "string"}),
            Form::Bool => json!({"type": "boolean"}),
            Form::Integer(low, high) => json!({"type": "integer", "minimum": low, "maximum": high}),
            Form::Written => json!({"type": ["string", "number"]}),
            Form::Word(words) => json!({"enum": words}),
            Form::Duration => json!({"type": "string", "pattern": "^\\s*[0-9]"}),
            Form::Size => {
                json!({"type": ["string", "integer"], "pattern": "^\\s*[0-9]+\\s*[A-Za-z]*\\s*$"})
            }
            Form::List(item) => json!({"type": "array", "items": self.form(item)}),
            Form::Map(value) => json!({"type": "object", "additionalProperties": self.form(value)}),
            Form::Table(tables) => self.table(tables, Value::Bool(false)),
            Form::Open(keys, other) => {
                let other = self.form(other);
                self.table(&[keys], other)
            }
            Form::Hiding(tables) => {
                let mut table = self.table(tables, Value::Bool(false));
                table["patternProperties"] = json!({"^\\.": {}});
                table
            }
            Form::Optional(form) => json!({"anyOf": [self.form(form), {"type": "null"}]}),
            Form::Either(forms) => {
                let forms: Vec<Value> = forms.iter().map(|form| self.form(form)).collect();
                json!({"anyOf": forms})
            }
            Form::Named(name, form) => {
                if !self.named.contains_key(name) {
                    self.named.insert(name, Value::Null);
                    let value = self.form(form);
                    self.named.insert(name, value);
                }
                json!({"$ref": format!("#/definitions/{name}")})
            }
        }
    }

    fn table(&mut self, tables: &[&'static [Key]], others: Value) -> Value {
        let mut properties = Map::new();
        for key in tables.iter().copied().flatten() {
            let Value::Object(form) = self.form(key.form) else { continue };
            let mut property = Map::from_iter([("description".to_owned(), key.about.into())]);
            // Draft 7 reads nothing that stands beside a reference.
            if form.contains_key("$ref") {
                property.insert("allOf".to_owned(), json!([form]));
            } else {
                property.extend(form);
            }
            properties.insert(key.name.to_owned(), Value::Object(property));
        }
        json!({"type": "object", "properties": properties, "additionalProperties": others})
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::load::project_from;

    /// The keys that the loader says it knows, where it meets one that it does not.
    fn known(path: &str, text: &str) -> BTreeSet<String> {
        let project = if path == "giornata.toml" { text } else { "" };
        let files = [("giornata.toml", project), ("assets/a.yaml", text)];
        let files = if path == "giornata.toml" { &files[..1] } else { &files[..] };
        let found = project_from(files).unwrap().diagnostics;
        let help = found
            .iter()
            .filter(|it| it.message.contains("has no key `QQQQQQQQ`"))
            .find_map(|it| it.help.as_deref()?.strip_prefix("known keys: "))
            .unwrap_or_else(|| panic!("no word about the key: {found:#?}"));
        help.split(", ").map(str::to_owned).collect()
    }

    fn at<'a>(schema: &'a Value, pointer: &str) -> &'a Value {
        schema.pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in {schema:#}"))
    }

    #[track_caller]
    fn check(which: Schema, pointer: &str, text: &str) {
        let path = match which {
            Schema::Project => "giornata.toml",
            Schema::Assets => "assets/a.yaml",
        };
        let schema = schema(which);
        let table = at(&schema, pointer);
        let keys = table["properties"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(known(path, text), keys, "{pointer}");
        assert_eq!(table["additionalProperties"], false, "{pointer}");
    }

    #[test]
    fn the_schema_has_the_keys_that_the_loader_knows() {
        check(Schema::Project, "", "QQQQQQQQ = 1");
        check(Schema::Project, "/properties/settings", "[settings]\nQQQQQQQQ = 1");
        check(Schema::Project, "/properties/defaults/items", "[[defaults]]\nQQQQQQQQ = 1");
        let asset = |rest: &str| format!("assets:\n  a: {{run: x, {rest}}}");
        let own = "/definitions/asset";
        check(Schema::Assets, own, &asset("QQQQQQQQ: 1"));
        let retries = format!("{own}/properties/retries/anyOf/1");
        check(Schema::Assets, &retries, &asset("retries: {QQQQQQQQ: 1}"));
        let dep = format!("{own}/properties/deps/anyOf/1/additionalProperties/anyOf/1");
        // `from` is for assets with a graph.
        check(Schema::Assets, &dep, "assets: {a: {graph: g, deps: {b: {from: c, QQQQQQQQ: 1}}}}");
        check(Schema::Assets, "/definitions/source", "sources: {a: {files: x, QQQQQQQQ: 1}}");
        check(Schema::Assets, "/definitions/op", "ops: {a: {run: x, QQQQQQQQ: 1}}");
        check(
            Schema::Assets,
            "/definitions/graph",
            "graphs: {g: {ops: {a: {run: x}}, QQQQQQQQ: 1}}",
        );
        check(Schema::Assets, "/definitions/job", "jobs: {j: {ops: {a: {run: x}}, QQQQQQQQ: 1}}");
        let op = |rest: &str| format!("jobs: {{j: {{ops: {{a: {{run: x, {rest}}}}}}}}}");
        check(Schema::Assets, "/definitions/call", &op("QQQQQQQQ: 1"));
        check(Schema::Assets, "/definitions/wire/anyOf/2", &op("in: {x: {QQQQQQQQ: 1}}"));
        check(Schema::Assets, "/definitions/output/anyOf/1", &op("output: {QQQQQQQQ: 1}"));
        let takes = "/definitions/call/properties/takes/anyOf/1/additionalProperties/anyOf/1";
        check(Schema::Assets, takes, &op("takes: {x: {QQQQQQQQ: 1}}"));
        let types = "/anyOf/0/properties/types/anyOf/0/additionalProperties";
        check(Schema::Assets, types, "types: {t: {QQQQQQQQ: 1}}");
        let sets = "/definitions/partitions/anyOf/2";
        check(Schema::Assets, sets, &asset("partitions: {QQQQQQQQ: 1}"));
        for kind in ["hourly", "daily", "weekly", "monthly", "cron"] {
            let text = asset(&format!("partitions: {{{kind}: {{QQQQQQQQ: 1}}}}"));
            check(Schema::Assets, &format!("{sets}/properties/{kind}"), &text);
        }
        for kind in ["hourly", "daily", "weekly", "monthly"] {
            let text = format!("[partitions.{kind}]\nQQQQQQQQ = 1");
            let pointer = format!("/properties/partitions/properties/{kind}/anyOf/1");
            check(Schema::Project, &pointer, &text);
        }
    }

    /// The one table whose unknown keys the loader words in its own way.
    #[test]
    fn the_loader_reads_every_kind_of_definition_in_the_schema() {
        let schema = schema(Schema::Assets);
        let kinds = at(&schema, "/anyOf/0/properties").as_object().unwrap();
        for (kind, unknown) in kinds.keys().map(|kind| (kind.as_str(), 0)).chain([("QQQQ", 1)]) {
            let text = format!("{kind}: {{}}");
            let loaded = project_from(&[("giornata.toml", ""), ("assets/a.yaml", &text)]).unwrap();
            let errors = loaded.diagnostics.iter().filter(|it| it.is_error()).count();
            assert_eq!(errors, unknown, "{kind}");
        }
    }

    #[track_caller]
    fn validate(which: Schema, document: &Value) -> Result<(), String> {
        let validator = jsonschema::draft7::new(&schema(which)).unwrap();
        let faults: Vec<String> = validator
            .iter_errors(document)
            .map(|it| format!("{}: {it}", it.instance_path()))
            .collect();
        if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
    }

    fn read(path: &str) -> String {
        let top = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(top.join(path)).unwrap()
    }

    #[test]
    fn the_files_of_this_repository_are_valid() {
        let project: Value = toml::from_str(&read("giornata.toml")).unwrap();
        validate(Schema::Project, &project).unwrap();
        let sources: Value = serde_saphyr::from_str(&read("assets/sources.yaml")).unwrap();
        validate(Schema::Assets, &sources).unwrap();
    }

    #[test]
    fn every_form_is_valid_that_the_loader_accepts() {
        let text = "
.hidden: {anything: 1}
jobs: {}
sources:
  raw: {files: 'd/{date:%Y-%m-%d}.csv', partitions: {daily: {start: 2024-01-01}}, columns: {a: real}}
assets:
  a:
    run: cp x $output
    deps: {raw: all}
    partitions: {monthly: {start: 2024-01, day: 2, end_offset: -1, exclusions: [2024-03-01]}}
    retries: {max: 3, delay: 30s, backoff: linear}
    timeout: 10m
    version: 1.10
    tags: {team: a}
    config: {n: [1]}
    output: x.csv
  b:
    sql: SELECT 1
    partitions: {multi: {region: [eu, us], day: {weekly: {start: 2024-01-01, day: monday}}}}
    retries: 2
    format: jsonl
    volatile: true
    checks: ['rows > 0']
  c: {run: x, deps: {b: {map: last(2), missing: allow}}, output_dir: true, tags: [x], ttl: 1h}
";
        let loaded = project_from(&[("giornata.toml", ""), ("assets/a.yaml", text)]).unwrap();
        let errors: Vec<_> = loaded.diagnostics.iter().filter(|it| it.is_error()).collect();
        assert!(errors.is_empty(), "{errors:#?}");
        let document: Value = serde_saphyr::from_str(text).unwrap();
        validate(Schema::Assets, &document).unwrap();
        validate(Schema::Assets, &Value::Null).unwrap();
    }

    #[test]
    fn every_form_of_ops_is_valid_that_the_loader_accepts() {
        let text = r#"
types: {even: {is: int, that: "$value % 2 = 0"}}
pools: {net: 1}
resources: {db: {type: sqlite, path: x.db}}
ops:
  add: {run: x, takes: {m: even, xs: {many: int}}, outputs: {a: int, b: {optional: true}}, pool: net}
  split: {run: x, takes: [m], outputs: "{piece}.json", retries: {max: 1, jitter: full, fatal: 2}}
graphs:
  g: {takes: [m], ops: {s: {use: split, in: {m: m}, on_success: x}}, results: {pieces: s}}
  h: {ops: {a: {sql: SELECT 1, outputs: {t: {format: jsonl}}}}, results: a, description: x}
jobs:
  j:
    partitions: {daily: {start: 2024-01-01}}
    config: {lr: float}
    values: {lr: 1}
    presets: {p: {lr: 2}}
    on_failure: [x, z]
    tags: {a: b}
    ops:
      g: {graph: g, in: {m: {value: 1}}}
      each: {run: x, in: {x: {each: g.pieces, type: int}}, config: [lr], retries: {max: 1, fatal: [1]}}
      all: {run: x, in: {xs: {collect: each}, ys: [{each: g}, h], z: {from: [h]}}, after: [h]}
      h: {graph: h, after: g}
      own: {run: x, config: {depth: int}, output: report.html, memo: true, resources: [db]}
"#;
        let loaded = project_from(&[("giornata.toml", ""), ("assets/a.yaml", text)]).unwrap();
        let errors: Vec<_> = loaded.diagnostics.iter().filter(|it| it.is_error()).collect();
        assert!(errors.is_empty(), "{errors:#?}");
        validate(Schema::Assets, &serde_saphyr::from_str(text).unwrap()).unwrap();
        validate(Schema::Project, &json!({"pools": {"net": 1}})).unwrap();
    }

    #[test]
    fn what_the_loader_refuses_by_its_form_is_invalid() {
        for text in [
            "asets: {}",
            "assets: {a: {rnu: x}}",
            "assets: {a: {run: x, retries: many}}",
            "assets: {a: {run: x, format: xml}}",
            "assets: {a: {run: x, partitions: {daily: {strat: 2024-01-01}}}}",
            "sources: {a: {files: [x]}}",
            "ops: {a: {rnu: x}}",
            "pools: {a: 0}",
            "types: {a: {is: 3}}",
            "jobs: {j: {ops: {a: {run: x, in: {x: 3}}}}}",
            "jobs: {j: {ops: {a: {run: x, retries: {max: 1, jitter: some}}}}}",
            "graphs: {g: {ops: {a: {run: x, outputs: 3}}}}",
        ] {
            let document: Value = serde_saphyr::from_str(text).unwrap();
            assert!(validate(Schema::Assets, &document).is_err(), "{text}");
            let loaded = project_from(&[("giornata.toml", ""), ("assets/a.yaml", text)]).unwrap();
            assert!(loaded.diagnostics.iter().any(|it| it.is_error()), "{text}");
        }
    }
}
