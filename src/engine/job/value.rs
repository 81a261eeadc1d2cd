//! Values on their way between steps as they are kept, and the inputs that steps are given of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::super::blobs::Digester;
use super::super::flow::{Gathered, Given, InstanceId, Progress};
use crate::base::{AssetKey, Digest, DigestBuilder, Output, OutputKind, PartitionKey};
use crate::cas::hash_file;
use crate::defs::{Takes, Wiring};
use crate::exec::{Content, Failure, Input, Part, Produced};
use crate::io::{Encoded, format_of, manager, tree};
use crate::store::{OpContent, OpOutput};

/// A kept value; clones share it.
#[derive(Debug, Clone)]
pub struct Value(Arc<Kept>);

#[derive(Debug)]
struct Kept {
    output: Output,
    extension: String,
    content: OpContent,
    /// Of the content, and of all else that a reader sees of it.
    version: Digest,
}

impl Value {
    pub fn new(output: Output, extension: &str, content: OpContent) -> Value {
        let mut version = Digest::builder("giornata 2026 value of a step");
        let version = version.digest(&output.version()).part(extension).finish();
        Value(Arc::new(Kept { output, extension: extension.to_owned(), content, version }))
    }

    /// Whether its content is what it was.
    pub fn is_sound(&self, dir: &Path) -> bool {
        let digest = match &self.0.content {
            OpContent::Inline(_) => return true,
            OpContent::File(path) if self.0.output.kind == OutputKind::Tree => {
                tree::store(&dir.join(path), &mut Digester).ok().map(|stored| stored.digest)
            }
            OpContent::File(path) => hash_file(&dir.join(path)).ok().map(|(digest, _)| digest),
        };
        digest == Some(self.0.output.digest)
    }

    /// The same value with its file, if it has one, copied to `to` within the directory of the store.
    pub fn copied(&self, dir: &Path, to: &str) -> std::io::Result<Value> {
        let content = match &self.0.content {
            OpContent::Inline(bytes) => OpContent::Inline(bytes.clone()),
            OpContent::File(path) => {
                let dot = if self.0.extension.is_empty() { "" } else { "." };
                let name = format!("{to}{dot}{}", self.0.extension);
                let to = dir.join(&name);
                to.parent().map_or(Ok(()), std::fs::create_dir_all)?;
                copy(&dir.join(path), &to)?;
                OpContent::File(name)
            }
        };
        Ok(Value::new(self.0.output.clone(), &self.0.extension, content))
    }

    /// As the store keeps it.
    pub fn record(&self, output: &Arc<str>, piece: Option<&Arc<str>>) -> OpOutput {
        OpOutput {
            output: output.clone(),
            piece: piece.cloned(),
            value: self.0.output.clone(),
            extension: self.0.extension.clone(),
            content: self.0.content.clone(),
        }
    }

    pub fn recorded(output: OpOutput) -> Value {
        Value::new(output.value, &output.extension, output.content)
    }

    /// The value as a step is given it; `dir` is the directory of the store.
    pub fn part(&self, dir: &Path, key: PartitionKey) -> Part {
        let Kept { output, extension, content, version } = &*self.0;
        let is_table = output.kind == OutputKind::Table;
        let format = match output.kind {
            OutputKind::Table | OutputKind::File => format_of(Path::new(&format!("x.{extension}"))),
            OutputKind::Tree => None,
        };
        Part {
            key,
            version: *version,
            content_digest: output.digest,
            content: match content {
                OpContent::Inline(bytes) => Content::Inline(bytes.clone()),
                OpContent::File(path) => Content::Blob(dir.join(path)),
            },
            extension: extension.clone(),
            format,
            schema: output.schema.clone().filter(|_| is_table),
            columns: Arc::default(),
        }
    }

    /// The value as what a step has made; `dir` is where the place of its file is.
    pub fn produced(&self, dir: &Path) -> Result<Produced, Failure> {
        let Kept { output, extension, content, .. } = &*self.0;
        let bytes = match content {
            OpContent::File(path) if output.kind == OutputKind::Tree => {
                return Ok(Produced::Directory(dir.join(path)));
            }
            OpContent::File(path) if output.kind == OutputKind::File => {
                return Ok(Produced::File(dir.join(path)));
            }
            OpContent::File(path) => std::fs::read(dir.join(path)).map_err(|error| {
                Failure::Io { verb: "read", path: dir.join(path), reason: error.to_string() }
            })?,
            OpContent::Inline(bytes) => bytes.to_vec(),
        };
        let format = format_of(Path::new(&format!("x.{extension}")));
        match (output.kind, format) {
            (OutputKind::Table, Some(format)) => {
                let schema = output.schema.clone().unwrap_or_default();
                let table = manager(format).read(&bytes, Some(&schema), &BTreeMap::new());
                let rows = table.map_err(Failure::Table)?.rows.len() as u64;
                Ok(Produced::Table { encoded: Encoded { bytes, schema }, format, rows })
            }
            (OutputKind::Table | OutputKind::File | OutputKind::Tree, _) => {
                Ok(Produced::Bytes { bytes, extension: extension.clone() })
            }
        }
    }

    /// The value within a list that is one value: JSON, or a text.
    fn json(&self, dir: &Path) -> std::io::Result<serde_json::Value> {
        let file;
        let bytes: &[u8] = match &self.0.content {
            OpContent::Inline(bytes) => bytes,
            OpContent::File(path) => {
                file = std::fs::read(dir.join(path))?;
                &file
            }
        };
        Ok(json_of(bytes))
    }
}

/// A copy of a directory, or another name of a file: neither is ever changed.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    let metadata = std::fs::symlink_metadata(from)?;
    if metadata.is_symlink() {
        return std::os::unix::fs::symlink(std::fs::read_link(from)?, to);
    }
    if !metadata.is_dir() {
        return std::fs::hard_link(from, to).or_else(|_| std::fs::copy(from, to).map(drop));
    }
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let name = entry?.file_name();
        copy(&from.join(&name), &to.join(&name))?;
    }
    Ok(())
}

/// What an instance is given at its inputs, and what of it decides its result.
pub struct Inputs {
    pub inputs: Vec<Input>,
    pub digest: Digest,
}

/// Gathers what an instance reads; `around` are the inputs of the flow. Fails with a sentence if a value
/// cannot be read.
pub fn gather(
    progress: &Progress<Value>,
    id: InstanceId,
    dir: &Path,
    around: &[Input],
) -> Result<Inputs, String> {
    let mut digest = Digest::builder("giornata 2026 inputs of a step");
    let decls = progress.declared(id).def.inputs.clone();
    let mut inputs = Vec::with_capacity(decls.len());
    let wires = &progress.declared(id).wires;
    for ((decl, wiring), gathered) in decls.iter().zip(wires).zip(progress.inputs(id)) {
        let present = match wiring {
            Wiring::List(items) if decl.takes == Takes::Many => progress.present(id, items),
            Wiring::List(_)
            | Wiring::One(_)
            | Wiring::Each(_)
            | Wiring::Collect(_)
            | Wiring::Input(_)
            | Wiring::Value(_) => Vec::new(),
        };
        let mut items = Vec::with_capacity(present.len());
        let (single, parts) = match (decl.takes, gathered) {
            (_, Gathered::Nothing) => continue,
            // As it is given to the flow, be it one value or many.
            (_, Gathered::One(Given::Input(at))) => {
                let input = &around[at as usize];
                (input.single, input.parts.clone())
            }
            (Takes::One | Takes::Nothing, Gathered::One(given)) => {
                (true, vec![part(&given, dir, PartitionKey::unpartitioned())])
            }
            (Takes::One | Takes::Nothing, Gathered::Many(given)) => {
                (true, vec![list(given.iter().map(|(_, given)| given), dir, around)?])
            }
            (Takes::Many, Gathered::One(given)) => {
                (false, vec![part(&given, dir, PartitionKey::new("000001"))])
            }
            (Takes::Many, Gathered::Many(given)) => {
                let mut parts = Vec::with_capacity(given.len());
                for (at, (key, given)) in given.iter().enumerate() {
                    let place = present.get(at).copied();
                    let numbered = |at: usize| PartitionKey::new(format!("{:06}", at + 1));
                    if let Given::Input(at) = given {
                        for part in &around[*at as usize].parts {
                            parts.push(Part { key: numbered(parts.len()), ..part.clone() });
                            items.extend(place);
                        }
                        continue;
                    }
                    let key = match key {
                        Some(key) => PartitionKey::new((*key).clone()),
                        None => numbered(parts.len()),
                    };
                    parts.push(part(given, dir, key));
                    items.extend(place);
                }
                (false, parts)
            }
        };
        cover(&mut digest, &decl.name, &parts);
        inputs.push(Input {
            name: decl.name.clone(),
            variable: variable(&decl.name),
            single,
            parts,
            items,
        });
    }
    Ok(Inputs { inputs, digest: digest.finish() })
}

fn cover(digest: &mut DigestBuilder, name: &str, parts: &[Part]) {
    digest.part(name).number(parts.len() as u64);
    for part in parts {
        digest.part(part.key.as_str()).digest(&part.version);
    }
}

fn part(given: &Given<'_, Value>, dir: &Path, key: PartitionKey) -> Part {
    match given {
        Given::Made(value) => value.part(dir, key),
        Given::Value(value) => json_part(value, key),
        Given::Input(_) => unreachable!("inputs of the flow are taken as they are"),
    }
}

/// Several values as one.
fn list<'a>(
    given: impl Iterator<Item = &'a Given<'a, Value>>,
    dir: &Path,
    around: &[Input],
) -> Result<Part, String> {
    let fault = |error: std::io::Error| format!("read a value: {error}");
    let mut values = Vec::new();
    for given in given {
        match given {
            Given::Made(value) => values.push(value.json(dir).map_err(fault)?),
            Given::Value(value) => values.push((***value).clone()),
            Given::Input(at) => {
                for part in &around[*at as usize].parts {
                    values.push(json_of_part(part)?);
                }
            }
        }
    }
    Ok(json_part(&serde_json::Value::Array(values), PartitionKey::unpartitioned()))
}

fn json_of_part(part: &Part) -> Result<serde_json::Value, String> {
    match &part.content {
        Content::Inline(bytes) => Ok(json_of(bytes)),
        Content::Blob(path) | Content::File(path) => {
            std::fs::read(path).map(|bytes| json_of(&bytes)).map_err(|error| error.to_string())
        }
        Content::Tree { .. } => Err("a directory cannot stand in a list of values".to_owned()),
    }
}

/// JSON, or a text.
fn json_of(bytes: &[u8]) -> serde_json::Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| {
        let text = String::from_utf8_lossy(bytes);
        serde_json::Value::String(text.strip_suffix('\n').unwrap_or(&text).to_owned())
    })
}

fn json_part(value: &serde_json::Value, key: PartitionKey) -> Part {
    let bytes = value.to_string().into_bytes();
    let digest = Digest::of_blob(&bytes);
    Part {
        key,
        version: digest,
        content_digest: digest,
        content: Content::Inline(bytes.into()),
        extension: "json".to_owned(),
        format: None,
        schema: None,
        columns: Arc::new(BTreeMap::new()),
    }
}

/// The name of an input as a variable.
fn variable(name: &str) -> String {
    AssetKey::parse(name).map_or_else(
        |_| {
            let letter = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
            format!("_{}", name.chars().map(letter).collect::<String>())
        },
        |key| key.variable(),
    )
}
