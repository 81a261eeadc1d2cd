//! Puts what an op gave where its IO managers keep it, beside what the store has: before the step is recorded,
//! so that what is recorded was put. And takes from there what an input says is read by a manager.

use std::path::Path;
use std::sync::Arc;

use super::super::flow::Made;
use super::super::managed::kept_of;
use super::keep::Place as KeptAt;
use super::value::Value;
use crate::base::{Digest, PartitionKey, error_text};
use crate::defs::{IoDef, TableFormat};
use crate::exec::{Content, Failure, Of, Part, Step};
use crate::io::{
    FolderIo, IoError, IoManager, Kept, Place, TablesIo, Warehouse, format_of, manager,
};

/// Puts all that a step gave, where its op says so. What cannot be put is a failure of the step.
pub fn put(step: &Step, kept: &KeptAt, made: &[Made<Value>]) -> Result<(), Failure> {
    let Of::Job(at) = &step.of else { return Ok(()) };
    for (decl, number) in step.def.outputs.iter().zip(0_u32..) {
        let Some(io) = at.op.output_io.get(&decl.name) else { continue };
        let Some(manager) = open(step, io)? else { continue };
        for (_, piece, value) in made.iter().filter(|(output, ..)| *output == number) {
            let piece = piece.as_deref().or(at.piece.as_deref());
            let name = step.def.name.as_str();
            let place = Place::of_step(name, &decl.name, &step.partition, piece);
            let part = value.part(&kept.dir, PartitionKey::unpartitioned());
            let stored =
                kept_of(&part).and_then(|value| manager.store(&place, &value, &part.version));
            stored.map_err(|error| {
                Failure::Function(format!("put `{place}`: {}", error_text(&*error)))
            })?;
        }
    }
    Ok(())
}

/// The step with the values of those inputs that a manager reads as they are where they were put.
pub fn take(step: Arc<Step>) -> Result<Arc<Step>, Failure> {
    let Of::Job(at) = &step.of else { return Ok(step) };
    if at.op.input_io.is_empty() {
        return Ok(step);
    }
    let mut taken = Step::clone(&step);
    for input in &mut taken.inputs {
        let Some(io) = at.op.input_io.get(&input.name) else { continue };
        let Some(manager) = open(&step, io)? else { continue };
        for (part, place) in input.parts.iter_mut().zip(&input.places) {
            let read = || {
                let found = manager.load(place)?.ok_or("nothing is there any more")?;
                part_of(part, found)
            };
            *part = read().map_err(|error| Failure::Input {
                name: input.name.to_string(),
                reason: format!("read `{place}`: {}", error_text(&*error)),
            })?;
        }
    }
    Ok(Arc::new(taken))
}

/// What a manager has, in the place of what the store has; tables in the form in which they were made.
fn part_of(part: &Part, found: Kept) -> Result<Part, IoError> {
    let (bytes, extension, format, schema) = match found {
        Kept::Table(table) => {
            let format = part.format.unwrap_or(TableFormat::Csv);
            let encoded = manager(format).write(&table)?;
            (encoded.bytes, format.extension().to_owned(), Some(format), Some(encoded.schema))
        }
        Kept::Bytes { bytes, extension } => {
            let format = format_of(Path::new(&format!("x.{extension}")));
            (bytes, extension.into_owned(), format, None)
        }
    };
    let content_digest = Digest::of_blob(&bytes);
    let content = Content::Inline(bytes.into());
    Ok(Part { content_digest, content, extension, format, schema, ..part.clone() })
}

fn open(step: &Step, io: &IoDef) -> Result<Option<Arc<dyn IoManager>>, Failure> {
    Ok(match io {
        // Functions of a program put what they give themselves.
        IoDef::Store | IoDef::Program => None,
        IoDef::Folder { dir, format } => {
            Some(Arc::new(FolderIo::new(step.paths.root.join(dir), *format, "")))
        }
        IoDef::Table(def) => {
            let Some(warehouse) = step.resources.shared::<Warehouse>(&def.on) else {
                let reason =
                    format!("resource `{}` is no database that a manager could use", def.on);
                return Err(Failure::Function(reason));
            };
            Some(Arc::new(TablesIo::new(warehouse, def.clone(), "")))
        }
    })
}
