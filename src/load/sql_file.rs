//! Reads what `sql` names: SQL itself, or a file of it.

use std::path::PathBuf;
use std::sync::Arc;

use super::asset::Context;
use super::command::inside;
use super::diagnostic::SourceText;
use super::node::{Sink, Value};

/// What the value of `sql` is.
pub(super) enum Named {
    Inline,
    Read(Arc<SourceText>),
    /// A file that cannot be read; that is reported.
    Faulty,
}

/// One word that ends like a file is a file, relative to the project's root.
pub(super) fn named(value: Value<'_>, context: &Context<'_>, sink: &mut Sink) -> Named {
    let Some(text) = value.as_text().filter(|text| is_file(text)) else { return Named::Inline };
    let place = value.place();
    let Some(path) = inside(text) else {
        sink.push(place.error("`sql` must be a file inside the project").label("leads outside"));
        return Named::Faulty;
    };
    match (context.read)(&path) {
        Some(content) => Named::Read(SourceText::new(path, content)),
        None => {
            let message = format!("there is no file `{text}` that can be read");
            let error = place.error(message).label("a file of SQL");
            sink.push(error.help("paths begin at the project's root"));
            Named::Faulty
        }
    }
}

/// The file that `sql` names, if it names one.
pub(super) fn path_of(value: Value<'_>) -> Option<PathBuf> {
    value.as_text().filter(|text| is_file(text)).and_then(inside)
}

fn is_file(text: &str) -> bool {
    text.ends_with(".sql") && !text.contains(char::is_whitespace)
}
