//! A recorded table of what an established orchestrator says of configurations, against ours.
//!
//! `GIORNATA_CONFORMANCE_DIR` names another folder with a larger table of the same form. Where ours
//! differs on purpose, a [`Deviation`] changes what is expected by a rule, whatever the case is called.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::{
    ConfigError, ConfigErrorKind, Env, Field, Fields, MapSchema, Path, Scalar, ScalarKind, Schema,
    Segment, Source,
};

/// Where ours differs from the table, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deviation {
    /// There a float accepts `true` and makes 1.0 of it. Nobody means that: ours is a mismatch.
    FloatFromBool,
    /// There every text of a variable but `False`, `none`, `0` and the empty one is true, so also `off`
    /// and a misspelt `flase`. Ours reads true/false, yes/no, on/off and 1/0, and nothing else.
    BoolFromAnyText,
    /// Keys of JSON and of our files are always texts, so a text that reads as the key's type is a key.
    KeyFromText,
    /// There a shape that is given replaces the default of its field as a whole. Ours takes from it what is
    /// not given: `--set opt.lr=0.2` must not lose the other fields of `opt`.
    DefaultReplaced,
    /// There a selector of one optional field that is no shape, given as `{}`, selects it with null or
    /// nothing in it, though it has no such default. Ours selects nothing.
    NullSelected,
    /// There integers have any size; ours has 64 bits, as SQLite has.
    HugeInt,
    /// There variables are looked at only once everything else is right. Ours tells all at once, so a
    /// variable's error beside others is not compared.
    VariablesLast,
    /// There the scaffold of a nullable value is `<unknown>`; ours is null.
    UnknownScaffold,
}

/// What is wrong: reason, place, names.
type Fault = (String, String, Vec<String>);

#[derive(Debug, PartialEq)]
enum Expect {
    Value(Value),
    /// Accepted, with a value that the table does not tell.
    Accepted,
    Faults(Vec<Fault>),
}

#[test]
fn conformance_config_validation() {
    let table = read("config_validation.json");
    let (mut compared, mut wrong) = (0, Vec::new());
    for case in table["cases"].as_array().unwrap() {
        if case.get("expect").is_none() {
            continue;
        }
        compared += 1;
        let mut expect = expected(&case["expect"]);
        let mut deviations = Vec::new();
        let mut walk = Adjust {
            env: &case["env"],
            expect: &mut expect,
            used: &mut deviations,
            uncompared: Vec::new(),
        };
        walk.visit(&case["schema"], &case["config"], &Path::default());
        let uncompared = walk.uncompared;
        let mut got = got(case);
        for path in uncompared {
            blank(&path, &mut expect);
            blank(&path, &mut got);
        }
        keep_comparable(&mut expect, &mut got, &mut deviations);
        if !same(&expect, &got) {
            wrong.push(format!("{}: expected {expect:?}, got {got:?} {deviations:?}", case["id"]));
        }
    }
    assert!(wrong.is_empty(), "{} of {compared}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(compared > 50, "the table has only {compared} cases");
}

#[test]
fn conformance_config_scaffold() {
    let table = read("config_validation.json");
    let mut compared = 0;
    for case in table["cases"].as_array().unwrap() {
        let Some(expect) = case.get("scaffold_minimal") else { continue };
        compared += 1;
        let schema = schema(&case["schema"]);
        let got = schema.scaffold();
        let unknown = || (*expect == json!("<unknown>")).then_some(Deviation::UnknownScaffold);
        assert!(
            same_value(&got, expect) || (got.is_null() && unknown().is_some()),
            "{}: expected {expect}, got {got}",
            case["id"]
        );
        let left = schema.errors(&got);
        assert!(left.iter().all(|error| error.kind.code() != "missing-field"), "{left:?}");
    }
    assert!(compared > 10, "the table has only {compared} scaffolds");
}

fn read(name: &str) -> Value {
    #[expect(clippy::disallowed_methods, reason = "the tests' caller says where the tables are")]
    let folder = std::env::var_os("GIORNATA_CONFORMANCE_DIR").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| {
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/conformance"))
    });
    serde_json::from_str(&std::fs::read_to_string(folder.join(name)).unwrap()).unwrap()
}

// Their notation to our schema.

fn schema(notation: &Value) -> Schema {
    let literal = |kind| Schema::Scalar(Scalar { source: Source::Literal, ..Scalar::new(kind) });
    if let Some(name) = notation.as_str() {
        return match name {
            "any" => Schema::Any,
            "string_source" => Scalar::new(ScalarKind::Text).into(),
            "int_source" => Schema::int(),
            "bool_source" => Schema::bool(),
            name => literal(scalar_kind(name)),
        };
    }
    let get = |name: &str| notation.get(name);
    if let Some(inner) = get("shape") {
        return Schema::Shape(fields(inner));
    }
    if let Some(inner) = get("permissive") {
        return Schema::Permissive(fields(inner));
    }
    if let Some(inner) = get("selector") {
        return Schema::Selector(fields(inner));
    }
    if let Some(item) = get("array") {
        return Schema::array(schema(item));
    }
    if let Some(inner) = get("noneable") {
        return schema(inner).nullable();
    }
    if let Some(value) = get("map") {
        let key = scalar_kind(get("key").and_then(Value::as_str).unwrap_or("string"));
        return Schema::Map(MapSchema { key, value: Box::new(schema(value)) });
    }
    if let Some(values) = get("enum") {
        return literal(ScalarKind::Enum(values.as_array().unwrap().clone()));
    }
    match (get("scalar_or"), get("else")) {
        (Some(scalar), Some(other)) => Schema::Union(vec![schema(scalar), schema(other)]),
        _ => panic!("no schema: {notation}"),
    }
}

fn scalar_kind(name: &str) -> ScalarKind {
    match name {
        "string" => ScalarKind::Text,
        "int" => ScalarKind::Int(super::Bounds::NONE),
        "float" => ScalarKind::Float(super::Bounds::NONE),
        "bool" => ScalarKind::Bool,
        other => panic!("no scalar: {other}"),
    }
}

fn fields(notation: &Value) -> Fields {
    let map = notation.as_object().unwrap();
    Fields::new(map.iter().map(|(name, notation)| (name.clone(), field(notation))))
}

fn field(notation: &Value) -> Field {
    let Some(inner) = notation.get("type") else { return schema(notation).into() };
    let field = Field::from(schema(inner));
    match (notation.get("default"), notation.get("optional").and_then(Value::as_bool)) {
        (Some(default), _) => field.default(default.clone()),
        (None, Some(true)) => field.optional(),
        (None, Some(false)) => field.required(),
        (None, None) => field,
    }
}

// Our errors in their words.

fn got(case: &Value) -> Expect {
    let lookup = |name: &str| case["env"].get(name)?.as_str().map(str::to_owned);
    match schema(&case["schema"]).validate(&case["config"], Env::Resolve(&lookup)) {
        Ok(config) => Expect::Value(config.value),
        Err(errors) => Expect::Faults(faults(&errors.0)),
    }
}

fn faults(errors: &[ConfigError]) -> Vec<Fault> {
    let mut found = Vec::new();
    // There missing and undefined fields of one place are one error.
    let mut grouped: BTreeMap<(&str, &str, String), Vec<String>> = BTreeMap::new();
    for error in errors {
        let path = path_text(&error.path);
        match &error.kind {
            ConfigErrorKind::Mismatch { .. }
            | ConfigErrorKind::OutOfRange { .. }
            | ConfigErrorKind::NotInEnum { .. } => {
                found.push(("RUNTIME_TYPE_MISMATCH".to_owned(), path, Vec::new()));
            }
            ConfigErrorKind::Selector { given, .. } => {
                let mut given = given.clone();
                given.sort();
                found.push(("SELECTOR_FIELD_ERROR".to_owned(), path, given));
            }
            ConfigErrorKind::VariableNotSet { .. } | ConfigErrorKind::VariableMismatch { .. } => {
                found.push(("FAILED_POST_PROCESSING".to_owned(), path, Vec::new()));
            }
            ConfigErrorKind::Missing { .. } | ConfigErrorKind::Undefined { .. } => {
                let missing = matches!(error.kind, ConfigErrorKind::Missing { .. });
                let (Segment::Field(name), above) = error.path.0.split_last().unwrap() else {
                    panic!("only fields are missing or undefined")
                };
                let words = match missing {
                    true => ("MISSING_REQUIRED_FIELD", "MISSING_REQUIRED_FIELDS"),
                    false => ("FIELD_NOT_DEFINED", "FIELDS_NOT_DEFINED"),
                };
                let key = (words.0, words.1, path_text(&Path(above.to_vec())));
                grouped.entry(key).or_default().push(name.clone());
            }
        }
    }
    for ((one, several, path), mut names) in grouped {
        names.sort();
        let reason = if names.len() == 1 { one } else { several };
        found.push((reason.to_owned(), path, names));
    }
    found.sort();
    found
}

fn path_text(path: &Path) -> String {
    let text: String = path.0.iter().fold(String::new(), |text, segment| match segment {
        Segment::Field(name) => format!("{text}:{name}"),
        Segment::Item(index) => format!("{text}[{index}]"),
        Segment::Entry(key) => format!("{text}:{key}:value"),
        Segment::Key(key) => format!("{text}:{key}:key"),
    });
    if text.is_empty() { text } else { format!("root{text}") }
}

// What the table expects.

fn expected(expect: &Value) -> Expect {
    if expect["ok"] == json!(true) {
        return Expect::Value(expect["value"].clone());
    }
    let fault = |error: &Value| {
        let names = ["field_names", "incoming_fields"].iter().find_map(|key| error[key].as_array());
        let mut names: Vec<String> = match (names, error["field_name"].as_str()) {
            (Some(names), _) => {
                names.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
            }
            (None, Some(name)) => vec![name.to_owned()],
            (None, None) => Vec::new(),
        };
        names.sort();
        // Keys of maps are quoted there unless they are numbers.
        let path = error["path"].as_str().unwrap().replace('\'', "");
        (error["reason"].as_str().unwrap().to_owned(), path, names)
    };
    let mut faults: Vec<Fault> = expect["errors"].as_array().unwrap().iter().map(fault).collect();
    faults.sort();
    Expect::Faults(faults)
}

/// Walks a case and changes what is expected where a deviation applies.
struct Adjust<'a> {
    env: &'a Value,
    expect: &'a mut Expect,
    used: &'a mut Vec<Deviation>,
    /// Places whose values differ by [`Deviation::DefaultReplaced`].
    uncompared: Vec<Path>,
}

impl Adjust<'_> {
    fn visit(&mut self, notation: &Value, value: &Value, path: &Path) {
        if let Some(name) = notation.as_str() {
            return self.leaf(name, value, path);
        }
        let inner = |name: &str| notation.get(name);
        if let Some(fields) = inner("shape").or(inner("permissive")) {
            self.fields(fields, value, path);
        } else if let Some(fields) = inner("selector") {
            self.selector(fields, value, path);
        } else if let Some(item) = inner("array") {
            for (index, value) in value.as_array().into_iter().flatten().enumerate() {
                self.visit(item, value, &path.then(Segment::Item(index)));
            }
        } else if let Some(item) = inner("map") {
            for (key, value) in value.as_object().into_iter().flatten() {
                let kind = scalar_kind(inner("key").and_then(Value::as_str).unwrap_or("string"));
                if kind != ScalarKind::Text && kind.read(key).is_some() {
                    let at = path_text(&path.then(Segment::Key(key.clone())));
                    self.forget(Deviation::KeyFromText, |fault| fault.1 == at);
                }
                self.visit(item, value, &path.then(Segment::Entry(key.clone())));
            }
        } else if let Some(inner) = inner("noneable") {
            self.visit(inner, value, path);
        } else if let (Some(scalar), Some(other)) = (inner("scalar_or"), inner("else")) {
            let compound = value.is_object() || value.is_array();
            self.visit(if compound { other } else { scalar }, value, path);
        }
    }

    fn fields(&mut self, fields: &Value, value: &Value, path: &Path) {
        let Some(given) = value.as_object() else { return };
        for (name, notation) in fields.as_object().into_iter().flatten() {
            let at = path.field(name);
            let inner = notation.get("type").unwrap_or(notation);
            match given.get(name) {
                Some(value) => {
                    self.replaced(notation, value, &at);
                    self.visit(inner, value, &at);
                }
                None if notation.get("default").is_some() => {
                    self.visit(inner, &notation["default"], &at);
                }
                None if has_fields(notation) => self.visit(inner, &json!({}), &at),
                None => {}
            }
        }
    }

    fn selector(&mut self, fields: &Value, value: &Value, path: &Path) {
        let (Some(fields), Some(given)) = (fields.as_object(), value.as_object()) else { return };
        if let (Expect::Value(expected), true) = (&mut *self.expect, given.is_empty())
            && let Some(place) = path.get_mut(expected)
            && place.as_object().is_some_and(|map| map.values().all(is_nothing))
            && fields
                .values()
                .all(|field| field["optional"] == json!(true) && !has_fields(&field["type"]))
        {
            *place = Value::Object(Map::new());
            self.used.push(Deviation::NullSelected);
        }
        for (name, value) in given {
            let Some(notation) = fields.get(name) else { continue };
            let inner = notation.get("type").unwrap_or(notation);
            let empty = json!({});
            let value = if value.is_null() && has_fields(inner) { &empty } else { value };
            self.replaced(notation, value, &path.field(name));
            self.visit(inner, value, &path.field(name));
        }
    }

    /// A field with a default that has more than what is given.
    fn replaced(&mut self, notation: &Value, value: &Value, at: &Path) {
        if !notation.get("default").is_some_and(|default| lacks(default, value)) {
            return;
        }
        self.used.push(Deviation::DefaultReplaced);
        self.uncompared.push(at.clone());
    }

    fn leaf(&mut self, name: &str, value: &Value, path: &Path) {
        match (name, value) {
            ("float", Value::Bool(_)) => {
                self.fault(Deviation::FloatFromBool, "RUNTIME_TYPE_MISMATCH", path);
            }
            ("int" | "int_source", Value::Number(number)) if number.as_i64().is_none() => {
                if let Expect::Value(_) = self.expect {
                    self.fault(Deviation::HugeInt, "RUNTIME_TYPE_MISMATCH", path);
                }
            }
            ("bool_source", Value::Object(reference)) => {
                let variable = reference.get("env").and_then(Value::as_str).unwrap_or_default();
                let Some(text) = self.env.get(variable).and_then(Value::as_str) else { return };
                match ScalarKind::Bool.read(text) {
                    None => {
                        self.fault(Deviation::BoolFromAnyText, "FAILED_POST_PROCESSING", path);
                    }
                    Some(ours) => {
                        let Expect::Value(expected) = &mut *self.expect else { return };
                        if let Some(place) = path.get_mut(expected)
                            && *place != ours
                        {
                            *place = ours;
                            self.used.push(Deviation::BoolFromAnyText);
                        }
                    }
                }
            }
            _ => {}
        }
    }

    fn fault(&mut self, deviation: Deviation, reason: &str, path: &Path) {
        self.used.push(deviation);
        let mut faults = match std::mem::replace(self.expect, Expect::Accepted) {
            Expect::Faults(faults) => faults,
            Expect::Value(_) | Expect::Accepted => Vec::new(),
        };
        faults.push((reason.to_owned(), path_text(path), Vec::new()));
        faults.sort();
        *self.expect = Expect::Faults(faults);
    }

    fn forget(&mut self, deviation: Deviation, applies: impl Fn(&Fault) -> bool) {
        let Expect::Faults(faults) = &mut *self.expect else { return };
        let before = faults.len();
        faults.retain(|fault| !applies(fault));
        if faults.len() < before {
            self.used.push(deviation);
        }
        if faults.is_empty() {
            *self.expect = Expect::Accepted;
        }
    }
}

fn has_fields(notation: &Value) -> bool {
    ["shape", "permissive", "selector"].iter().any(|kind| notation.get(kind).is_some())
}

fn is_nothing(value: &Value) -> bool {
    value.is_null() || *value == json!({}) || *value == json!([])
}

/// Whether the default has a field that is not given.
fn lacks(default: &Value, given: &Value) -> bool {
    let (Some(default), Some(given)) = (default.as_object(), given.as_object()) else {
        return false;
    };
    default.iter().any(|(name, default)| given.get(name).is_none_or(|given| lacks(default, given)))
}

fn is_variable(fault: &Fault) -> bool {
    fault.0 == "FAILED_POST_PROCESSING"
}

/// Leaves variables out where other errors are, on either side, or were: there they hide the variables.
fn keep_comparable(expect: &mut Expect, got: &mut Expect, used: &mut Vec<Deviation>) {
    // What ours takes from a default may have variables in it.
    let failed = matches!((&*expect, &*got), (Expect::Value(_), Expect::Faults(_)));
    if failed && used.contains(&Deviation::DefaultReplaced) {
        *expect = Expect::Accepted;
    }
    let (Expect::Faults(expect), Expect::Faults(got)) = (expect, got) else { return };
    let others = got.iter().chain(&*expect).any(|fault| !is_variable(fault));
    let were = [Deviation::KeyFromText, Deviation::DefaultReplaced];
    if others || used.iter().any(|deviation| were.contains(deviation)) {
        used.push(Deviation::VariablesLast);
        expect.retain(|fault| !is_variable(fault));
        got.retain(|fault| !is_variable(fault));
    }
}

/// Takes out what is at this place and what is said to be missing in it.
fn blank(path: &Path, expect: &mut Expect) {
    match expect {
        Expect::Value(value) => {
            if let Some(place) = path.get_mut(value) {
                *place = Value::Null;
            }
        }
        Expect::Faults(faults) => {
            let above = path_text(path);
            let within = |path: &str| {
                let rest = path.strip_prefix(&above);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '[']))
            };
            faults.retain(|fault| !(fault.0.starts_with("MISSING") && within(&fault.1)));
            if faults.is_empty() {
                *expect = Expect::Accepted;
            }
        }
        Expect::Accepted => {}
    }
}

fn same(expect: &Expect, got: &Expect) -> bool {
    match (expect, got) {
        (Expect::Value(expect), Expect::Value(got)) => same_value(expect, got),
        (Expect::Accepted, Expect::Value(_) | Expect::Accepted) => true,
        (Expect::Value(_), Expect::Accepted) => true,
        // What was forgotten hid the variables.
        (Expect::Accepted, Expect::Faults(got)) => got.iter().all(is_variable),
        (Expect::Faults(expect), Expect::Faults(got)) => expect == got,
        (Expect::Value(_) | Expect::Faults(_), _) => false,
    }
}

/// Equality in which `1` and `1.0` are one number, as in the language of the table.
fn same_value(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_value(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let equal = |(key, a): (&String, &Value)| b.get(key).is_some_and(|b| same_value(a, b));
            a.len() == b.len() && a.iter().all(equal)
        }
        (a, b) => a == b,
    }
}
