//! Values on their way between ops: held in memory, and read as the type that the reader wants.

use super::value::{self, BoxError, Form, Raw, Stored, Value};
use crate::defs::{Builtin, TableFormat, TypeRef};
use crate::exec::{Datum, Held, Part};
use crate::io::{self, Kept, Table};
use std::any::TypeId;

/// A type that may travel between ops: every [`Value`] that can be cloned and shared by threads.
///
/// A value stays in memory as it is; it is cloned for each op that reads it, so put what is large into
/// an [`Arc`](std::sync::Arc) inside a type of yours.
///
/// ```
/// use giornata::api::{Data, Json};
/// fn travels<T: Data>() {}
/// travels::<i64>();
/// travels::<String>();
/// travels::<Json<Vec<f64>>>();
/// ```
pub trait Data: Value + Clone + Sync {}

impl<T: Value + Clone + Sync> Data for T {}

/// A value of a type of the program's.
#[derive(Clone)]
pub(super) struct HeldOf<T>(pub(super) T);

/// Longer values are cut in messages.
const SHOWN_MAX: usize = 80;

impl<T: Data> Held for HeldOf<T> {
    fn keep(&self) -> Result<Kept, String> {
        match (T::FORM, self.0.store().map_err(|error| error.to_string())?) {
            (_, Stored::Table(table)) => Ok(Kept::Table(table)),
            (Form::File { extension }, Stored::Bytes(bytes)) => {
                Ok(Kept::Bytes { bytes, extension: extension.into() })
            }
            (Form::Table, Stored::Bytes(_)) => {
                Err("its form is a table, and it is none".to_owned())
            }
        }
    }

    fn describe(&self) -> String {
        described(self.keep())
    }
}

/// A value in a few words.
pub(super) fn described(kept: Result<Kept, String>) -> String {
    match kept {
        Ok(Kept::Table(Table { columns, rows })) => {
            format!("a table of {} rows and {} columns", rows.len(), columns.len())
        }
        Ok(Kept::Bytes { bytes, .. }) => of_bytes(&bytes),
        Err(reason) => format!("a value that cannot be kept ({reason})"),
    }
}

/// A value that another step, or another process, has left: of a source it may be several files.
pub(super) struct KeptValue(pub(super) Vec<Part>);

impl KeptValue {
    fn one(&self) -> Result<&Part, String> {
        match self.0.as_slice() {
            [one] => Ok(one),
            several => Err(format!("it is {} files, not one", several.len())),
        }
    }
}

impl Held for KeptValue {
    fn keep(&self) -> Result<Kept, String> {
        let part = self.one()?;
        let bytes = value::bytes(part).map_err(|error| error.to_string())?;
        match part.format {
            None => Ok(Kept::Bytes { bytes: bytes.into_owned(), extension: "".into() }),
            Some(format) => {
                let table = io::manager(format).read(&bytes, part.schema.as_deref(), &part.columns);
                table.map(Kept::Table).map_err(|error| error.to_string())
            }
        }
    }

    fn describe(&self) -> String {
        let bytes =
            self.one().and_then(|part| value::bytes(part).map_err(|error| error.to_string()));
        match bytes {
            Ok(bytes) => of_bytes(&bytes),
            Err(error) => format!("a value that cannot be read ({error})"),
        }
    }
}

fn of_bytes(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => short(text.trim_end()),
        Err(_) => format!("{} bytes", bytes.len()),
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

pub(super) fn hold<T: Data>(value: T) -> Datum {
    Datum::new(HeldOf(value))
}

/// The value as a `T`; from the bytes as which it would be kept, if it is of another type.
pub(super) fn take<T: Data>(datum: Datum) -> Result<T, BoxError> {
    match datum.take::<HeldOf<T>>() {
        Ok(HeldOf(value)) => Ok(value),
        Err(other) => load(&other),
    }
}

pub(super) fn load<T: Data>(datum: &Datum) -> Result<T, BoxError> {
    if let Some(KeptValue(parts)) = datum.get() {
        return Ok(value::read_joined(parts)?);
    }
    match datum.held().keep()? {
        Kept::Bytes { bytes, .. } => T::load(&Raw::of(&bytes, None, None)),
        Kept::Table(table) => {
            let encoded = value::encode(&table)?;
            let schema = Some(encoded.schema.as_str());
            T::load(&Raw::of(&encoded.bytes, Some(TableFormat::Csv), schema))
        }
    }
}

/// What the declarations of typed ops say about their values.
pub(super) fn type_of<T: 'static>() -> TypeRef {
    let builtins: [(TypeId, Builtin); 9] = [
        (TypeId::of::<i64>(), Builtin::Int),
        (TypeId::of::<i32>(), Builtin::Int),
        (TypeId::of::<u64>(), Builtin::Int),
        (TypeId::of::<u32>(), Builtin::Int),
        (TypeId::of::<f64>(), Builtin::Float),
        (TypeId::of::<bool>(), Builtin::Bool),
        (TypeId::of::<String>(), Builtin::String),
        (TypeId::of::<()>(), Builtin::Null),
        (TypeId::of::<Table>(), Builtin::Table),
    ];
    let found = builtins.into_iter().find(|(id, _)| *id == TypeId::of::<T>());
    found.map_or(TypeRef::Any, |(_, builtin)| TypeRef::Builtin(builtin))
}
