//! Keeps what a step made for those that read it: inside the database where it is small, else in the
//! temporary place of the run.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::super::blobs::Digester;
use super::super::flow::Made;
use super::value::Value;
use crate::base::{Digest, Output, OutputKind};
use crate::defs::StepDef;
use crate::exec::{Emitted, Failure, Produced};
use crate::io::tree;
use crate::store::OpContent;

/// Where the values of one run are kept.
#[derive(Debug, Clone)]
pub struct Place {
    /// `.giornata`
    pub dir: PathBuf,
    /// Relative to `dir`; it exists.
    pub kept: String,
    pub inline_max_bytes: u64,
}

/// Keeps what a step made; `number` is another one for each execution of the run.
pub fn keep(
    made: Vec<Emitted>,
    def: &StepDef,
    place: &Place,
    number: u64,
) -> Result<Vec<Made<Value>>, Failure> {
    let one = |(at, emitted): (usize, Emitted)| {
        let file = File { place, stem: format!("{number}-{at}") };
        let extension = emitted.extension(&def.outputs[emitted.output as usize]).to_owned();
        let Emitted { output, piece, what } = emitted;
        Ok((output, piece, file.keep(what, &extension)?))
    };
    made.into_iter().enumerate().map(one).collect()
}

/// A file of the place that nobody else uses.
struct File<'a> {
    place: &'a Place,
    stem: String,
}

impl File<'_> {
    fn keep(&self, what: Produced, extension: &str) -> Result<Value, Failure> {
        match what {
            Produced::Table { encoded, .. } => {
                let schema = Some(encoded.schema);
                self.bytes(encoded.bytes, extension, OutputKind::Table, schema)
            }
            Produced::Bytes { bytes, .. } => self.bytes(bytes, extension, OutputKind::File, None),
            Produced::File(path) => self.file(&path, extension),
            Produced::Directory(path) => self.directory(&path),
        }
    }

    fn bytes(
        &self,
        bytes: Vec<u8>,
        extension: &str,
        kind: OutputKind,
        schema: Option<String>,
    ) -> Result<Value, Failure> {
        let (digest, size) = (Digest::of_blob(&bytes), bytes.len() as u64);
        let content = if size <= self.place.inline_max_bytes {
            OpContent::Inline(bytes.into())
        } else {
            let (name, path) = self.name(extension);
            fs::write(&path, bytes).map_err(failed(&path))?;
            protect(&path)?;
            OpContent::File(name)
        };
        Ok(Value::new(Output { kind, digest, size, schema }, extension, content))
    }

    fn file(&self, path: &Path, extension: &str) -> Result<Value, Failure> {
        let size = fs::metadata(path).map_err(failed(path))?.len();
        if size <= self.place.inline_max_bytes {
            let bytes = fs::read(path).map_err(failed(path))?;
            // What cannot be removed goes with the place.
            let _ = fs::remove_file(path);
            return self.bytes(bytes, extension, OutputKind::File, None);
        }
        let hashed = crate::cas::hash_file(path);
        let (digest, size) =
            hashed.map_err(|error| Failure::Store { reason: error.to_string() })?;
        let (name, to) = self.name(extension);
        fs::rename(path, &to).map_err(failed(&to))?;
        protect(&to)?;
        let output = Output { kind: OutputKind::File, digest, size, schema: None };
        Ok(Value::new(output, extension, OpContent::File(name)))
    }

    fn directory(&self, path: &Path) -> Result<Value, Failure> {
        let stored = tree::store(path, &mut Digester);
        let stored = stored.map_err(|error| Failure::Store { reason: error.to_string() })?;
        let (name, to) = self.name("");
        fs::rename(path, &to).map_err(failed(&to))?;
        let (digest, size) = (stored.digest, stored.size);
        let output = Output { kind: OutputKind::Tree, digest, size, schema: None };
        Ok(Value::new(output, "", OpContent::File(name)))
    }

    /// The name relative to the directory of the store, and the path.
    fn name(&self, extension: &str) -> (String, PathBuf) {
        let dot = if extension.is_empty() { "" } else { "." };
        let name = format!("{}/{}{dot}{extension}", self.place.kept, self.stem);
        let path = self.place.dir.join(&name);
        (name, path)
    }
}

/// Several steps read it, and a retry does.
fn protect(path: &Path) -> Result<(), Failure> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o444)).map_err(failed(path))
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> Failure {
    let path = path.to_owned();
    move |error| Failure::Store { reason: format!("`{}`: {error}", path.display()) }
}
