//! Puts what an op gave where its IO manager keeps it, beside what the store has: before the step is recorded,
//! so that what is recorded was put.

use std::sync::Arc;

use super::super::flow::Made;
use super::super::managed::kept_of;
use super::keep::Place as Kept;
use super::value::Value;
use crate::base::PartitionKey;
use crate::defs::IoDef;
use crate::exec::{Failure, Of, Step};
use crate::io::{FolderIo, IoManager, Place, TablesIo, Warehouse};

/// Puts all that a step gave, if its op says where. What cannot be put is a failure of the step.
pub fn put(step: &Step, kept: &Kept, made: &[Made<Value>]) -> Result<(), Failure> {
    let Of::Job(at) = &step.of else { return Ok(()) };
    let Some(manager) = manager(step, at.op.io.as_ref())? else { return Ok(()) };
    for (output, piece, value) in made {
        let name = &step.def.outputs[*output as usize].name;
        let piece = piece.as_deref().or(at.piece.as_deref());
        let place = Place::of_step(step.def.name.as_str(), name, &step.partition, piece);
        let part = value.part(&kept.dir, PartitionKey::unpartitioned());
        let stored = kept_of(&part).and_then(|value| manager.store(&place, &value, &part.version));
        stored.map_err(|error| {
            Failure::Function(format!("put `{place}`: {}", crate::base::error_text(&*error)))
        })?;
    }
    Ok(())
}

fn manager(step: &Step, io: Option<&IoDef>) -> Result<Option<Arc<dyn IoManager>>, Failure> {
    Ok(match io {
        // Functions of a program put what they give themselves.
        None | Some(IoDef::Store | IoDef::Program) => None,
        Some(IoDef::Folder { dir, format }) => {
            Some(Arc::new(FolderIo::new(step.paths.root.join(dir), *format, "")))
        }
        Some(IoDef::Table(def)) => {
            let Some(warehouse) = step.resources.shared::<Warehouse>(&def.on) else {
                let reason =
                    format!("resource `{}` is no database, so no table can be put", def.on);
                return Err(Failure::Function(reason));
            };
            Some(Arc::new(TablesIo::new(warehouse, def.clone(), "")))
        }
    })
}
