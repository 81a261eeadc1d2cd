//! Whether the values at a step's inputs and outputs are of the types that it declares.

use std::path::Path;

use serde_json::Value;

use super::{Content, Emitted, Failure, Input, Part, Produced, Step};
use crate::defs::{Builtin, Predicate, TableFormat, TypeRef};
use crate::io::{format_of, manager};

/// Longer values are cut in messages.
const SHOWN_MAX: usize = 80;

/// Types of the user's that are built on each other go no deeper.
const DEPTH_MAX: u32 = 16;

/// Asks SQL whether it holds for a value.
pub(super) type Ask<'a> = &'a mut dyn FnMut(&Step, &str, &Value) -> Result<bool, Failure>;

/// Judges what a step is given.
pub(super) fn inputs(step: &Step, ask: Ask<'_>) -> Result<(), Failure> {
    for decl in step.def.inputs.iter().filter(|decl| decl.kind != TypeRef::Any) {
        let Some(input) = step.inputs.iter().find(|input| input.name == decl.name) else {
            continue;
        };
        for part in &input.parts {
            let bytes = bytes_of(input, part)?;
            let seen = Seen::new(&bytes, &part.extension, part.format, part.schema.as_deref());
            judge(step, "input", &decl.name, &decl.kind, &seen, ask)?;
        }
    }
    Ok(())
}

/// Judges what a step has made.
pub(super) fn outputs(step: &Step, made: &[Emitted], ask: Ask<'_>) -> Result<(), Failure> {
    for emitted in made {
        let decl = &step.def.outputs[emitted.output as usize];
        if decl.kind == TypeRef::Any {
            continue;
        }
        let file;
        let extension = emitted.extension(decl);
        let format = format_of(Path::new(&format!("x.{extension}")));
        let seen = match &emitted.what {
            Produced::Table { encoded, .. } => {
                let (bytes, schema) = (&encoded.bytes, Some(encoded.schema.as_str()));
                Seen::new(bytes, extension, format, schema)
            }
            Produced::Bytes { bytes, .. } => Seen::new(bytes, extension, format, None),
            Produced::File(path) => {
                file = std::fs::read(path).map_err(|error| Failure::Io {
                    verb: "read",
                    path: path.clone(),
                    reason: error.to_string(),
                })?;
                Seen::new(&file, extension, format, None)
            }
            Produced::Directory(_) => Seen::directory(),
        };
        judge(step, "output", &decl.name, &decl.kind, &seen, ask)?;
    }
    Ok(())
}

fn bytes_of(input: &Input, part: &Part) -> Result<Vec<u8>, Failure> {
    match &part.content {
        Content::Inline(bytes) => Ok(bytes.to_vec()),
        Content::Blob(path) | Content::File(path) if path.is_dir() => Ok(Vec::new()),
        Content::Blob(path) | Content::File(path) => std::fs::read(path).map_err(|error| {
            let (name, reason) = (input.name.to_string(), error.to_string());
            Failure::Input { name, reason }
        }),
        Content::Tree { .. } => Ok(Vec::new()),
    }
}

/// A value as it is looked at.
struct Seen<'a> {
    bytes: &'a [u8],
    format: Option<TableFormat>,
    schema: Option<&'a str>,
    form: Form,
    /// It is named as JSON, so that a text in it has quotes. What any other file holds may be a text that
    /// only looks like JSON: `21`.
    is_named_json: bool,
}

enum Form {
    /// Of a file that is JSON, whatever its name.
    Json(Value),
    /// Of a file that is text and no JSON, and is not named as such.
    Text(String),
    /// Other bytes.
    Bytes,
    Directory,
}

impl<'a> Seen<'a> {
    fn new(
        bytes: &'a [u8],
        extension: &str,
        format: Option<TableFormat>,
        schema: Option<&'a str>,
    ) -> Seen<'a> {
        let is_named_json = extension.eq_ignore_ascii_case("json");
        let form = match (serde_json::from_slice(bytes), std::str::from_utf8(bytes)) {
            (Ok(value), _) => Form::Json(value),
            (Err(_), Ok(text)) if !is_named_json => Form::Text(line(text).to_owned()),
            (Err(_), _) => Form::Bytes,
        };
        Seen { bytes, format, schema, form, is_named_json }
    }

    fn directory() -> Seen<'static> {
        let form = Form::Directory;
        Seen { bytes: &[], format: None, schema: None, form, is_named_json: false }
    }

    /// In a few words, for messages.
    fn shown(&self) -> String {
        match &self.form {
            Form::Json(value) => short(&value.to_string()),
            Form::Text(text) => format!("the text `{}`", short(text)),
            Form::Bytes => format!("{} bytes that are no text", self.bytes.len()),
            Form::Directory => "a directory".to_owned(),
        }
    }

    fn is(&self, builtin: &Builtin, declared: &TypeRef) -> bool {
        match (builtin, &self.form) {
            (_, Form::Directory) => false,
            (Builtin::Bytes, _) | (Builtin::String, Form::Text(_)) => true,
            (Builtin::Table, _) => self.format.is_some_and(|format| {
                manager(format).read(self.bytes, self.schema, &Default::default()).is_ok()
            }),
            (Builtin::String, Form::Json(_)) if !self.is_named_json => true,
            (_, Form::Json(value)) => declared.admits(value),
            (_, Form::Text(_) | Form::Bytes) => false,
        }
    }

    /// What a predicate is asked about, of a type that is built on `of`.
    fn value(&self, of: &TypeRef) -> Value {
        let is_text = *of == TypeRef::Builtin(Builtin::String) && !self.is_named_json;
        match &self.form {
            Form::Json(value) if is_text && !value.is_string() => {
                Value::String(line(&String::from_utf8_lossy(self.bytes)).to_owned())
            }
            Form::Json(value) => value.clone(),
            Form::Text(text) => Value::String(text.clone()),
            Form::Bytes | Form::Directory => Value::Null,
        }
    }
}

fn line(text: &str) -> &str {
    text.strip_suffix('\n').unwrap_or(text)
}

fn short(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

fn judge(
    step: &Step,
    side: &'static str,
    name: &str,
    kind: &TypeRef,
    seen: &Seen<'_>,
    ask: Ask<'_>,
) -> Result<(), Failure> {
    if is(step, kind, seen, ask, 0)? {
        return Ok(());
    }
    Err(Failure::Type {
        side,
        name: name.to_owned(),
        step: step.shown(),
        expected: kind.to_string(),
        got: seen.shown(),
    })
}

/// Whether what a list or a map holds is of its type, as far as types of the user's are in it.
fn within(
    step: &Step,
    builtin: &Builtin,
    seen: &Seen<'_>,
    ask: Ask<'_>,
    depth: u32,
) -> Result<bool, Failure> {
    let (inner, values): (_, Vec<&Value>) = match (builtin, &seen.form) {
        (Builtin::List(inner), Form::Json(Value::Array(items))) => (inner, items.iter().collect()),
        (Builtin::Map(inner), Form::Json(Value::Object(map))) => (inner, map.values().collect()),
        (
            Builtin::Int
            | Builtin::Float
            | Builtin::Bool
            | Builtin::String
            | Builtin::Null
            | Builtin::List(_)
            | Builtin::Map(_)
            | Builtin::Table
            | Builtin::Bytes,
            _,
        ) => return Ok(true),
    };
    for value in values {
        let form = Form::Json(value.clone());
        let seen = Seen { bytes: &[], format: None, schema: None, form, is_named_json: true };
        if !is(step, inner, &seen, ask, depth)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is(
    step: &Step,
    kind: &TypeRef,
    seen: &Seen<'_>,
    ask: Ask<'_>,
    depth: u32,
) -> Result<bool, Failure> {
    let name = match kind {
        TypeRef::Any => return Ok(true),
        TypeRef::Builtin(builtin) => {
            return Ok(seen.is(builtin, kind) && within(step, builtin, seen, ask, depth)?);
        }
        TypeRef::Named(name) => name,
    };
    // A type that no file declares is one of the program's, which judges it itself.
    let Some(def) = step.types.get(&**name) else { return Ok(true) };
    if depth == DEPTH_MAX {
        let reason = format!("the type `{name}` is built on others without end");
        return Err(Failure::Unsupported(reason));
    }
    if !is(step, &def.of, seen, ask, depth + 1)? {
        return Ok(false);
    }
    match &def.that {
        Predicate::Sql(sql) => {
            ask(step, sql, &seen.value(&def.of)).map_err(|failure| match failure {
                Failure::Sql { message, .. } => {
                    Failure::Unsupported(format!("the type `{name}` cannot be asked: {message}"))
                }
                other => other,
            })
        }
        Predicate::Function(_) => Ok(true),
    }
}
