//! Reads a project's files: what is sound becomes a [`Project`], everything else a [`Diagnostic`].
//!
//! Reading is static: nothing of the user's is run, and files that are not definitions are looked
//! at no further than their first few kilobytes. A broken file disables what it declares and what
//! reads that; the rest of the project stays usable.

mod asset;
mod automation;
mod backed;
mod calls;
mod check;
mod command;
mod config;
mod declared;
mod deps;
mod diagnostic;
mod exports;
mod files;
mod form;
mod graph;
mod header;
mod io;
mod job;
mod library;
mod loader;
mod makes;
mod manifest;
mod mistake;
mod node;
mod op;
mod output;
mod overlap;
mod partitions;
mod policy;
mod port;
mod resource;
mod schedule;
mod schema;
mod script;
mod sensor;
mod source;
mod sql;
mod sql_file;
mod starts;
#[cfg(test)]
mod tests;
mod toml;
mod types;
mod wire;
mod yaml;

use std::path::{Path, PathBuf};

use chrono_tz::Tz;

pub use declared::Declared;
pub use diagnostic::{Diagnostic, Severity};
pub use schema::{Schema, schema};
pub use types::Condition;

use crate::base::Digest;
use crate::defs::Project;

/// The file that marks the root of a project.
pub const PROJECT_FILE: &str = "giornata.toml";

/// What a project's files say.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Everything that is sound.
    pub project: Project,
    /// By file and place.
    pub diagnostics: Vec<Diagnostic>,
    /// Every definition file that was read, relative to the root.
    pub files: Vec<PathBuf>,
    /// Of types: what is yet to be judged by a database.
    pub conditions: Vec<Condition>,
    /// Where definitions are looked for, relative to the root.
    pub assets_dir: PathBuf,
}

/// Why there is no project at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("start a thread to read the project's files")]
    Thread(#[source] std::io::Error),
}

/// The nearest directory, from `start` upwards, that holds a `giornata.toml`.
pub fn find_root(start: &Path) -> Option<PathBuf> {
    start.ancestors().find(|dir| dir.join(PROJECT_FILE).is_file()).map(Path::to_path_buf)
}

/// Loads the project whose `giornata.toml` is in `root`.
pub fn project(root: &Path) -> Result<Loaded, Error> {
    project_with(root, |_| Vec::new())
}

/// Loads the project whose `giornata.toml` is in `root`, together with what a program declares;
/// `declare` is told the project's time zone.
pub fn project_with(
    root: &Path,
    declare: impl FnOnce(Tz) -> Vec<Declared> + Send,
) -> Result<Loaded, Error> {
    loader::load(&files::Disk::new(root.to_path_buf()), declare)
}

/// The digest of a script's code, as [`project`] takes it; `None` if the text declares no script.
pub fn code_digest(path: &Path, text: &str) -> Option<Digest> {
    let file = diagnostic::SourceText::new(path.to_path_buf(), text);
    match script::read(&file)?.code {
        asset::Code::Script { digest, .. } => Some(digest),
        asset::Code::SqlFile { .. } | asset::Code::Keys => None,
    }
}

/// Loads a project from texts instead of a disk: for tests and for embedded examples.
pub fn project_from(files: &[(&str, &str)]) -> Result<Loaded, Error> {
    loader::load(&files::Memory::new(files), |_| Vec::new())
}
