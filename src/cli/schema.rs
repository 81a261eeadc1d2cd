//! `giornata schema`: JSON Schema for editors, printed or written where the files of a project name
//! it.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::Done;
use super::error::CliError;
use super::session::Session;
use crate::load::{self, Schema};

/// Print the JSON Schema of the project's files
///
/// Editors complete and check by it. `--write` puts both schemas into `.giornata/schema/`, where the
/// files that `init` and `new` make look for them.
#[derive(Debug, Args)]
pub(super) struct SchemaArgs {
    /// For which files.
    #[arg(value_enum, required_unless_present = "write")]
    which: Option<Which>,
    /// Write both schemas into the project, as after an update of this program.
    #[arg(long, conflicts_with = "which")]
    write: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    /// `giornata.toml`.
    Project,
    /// The YAML files below the assets directory.
    Assets,
}

pub(super) fn run(args: &SchemaArgs, session: Session<'_>) -> Result<Done, CliError> {
    match args.which {
        Some(Which::Project) => session.term.print(&text(Schema::Project)),
        Some(Which::Assets) => session.term.print(&text(Schema::Assets)),
        None => {
            let workspace = session.workspace()?;
            write_all(&workspace.root)?;
            for which in Schema::ALL {
                workspace.term.print(&format!("wrote `{}`\n", path(which).display()));
            }
        }
    }
    Ok(Done::Fine)
}

/// Where a schema is, relative to the root of a project.
pub(super) fn path(which: Schema) -> PathBuf {
    Path::new(".giornata/schema").join(which.file_name())
}

fn text(which: Schema) -> String {
    serde_json::to_string_pretty(&load::schema(which)).expect("the keys are text") + "\n"
}

/// Writes both schemas into the project at `root`, each whole or not at all: an editor may be
/// reading it.
pub(super) fn write_all(root: &Path) -> Result<(), CliError> {
    for which in Schema::ALL {
        let path = root.join(path(which));
        let parent = path.parent().expect("it is below the root");
        let write = || -> std::io::Result<()> {
            std::fs::create_dir_all(parent)?;
            let mut file = tempfile::NamedTempFile::new_in(parent)?;
            file.write_all(text(which).as_bytes())?;
            file.persist(&path)?;
            Ok(())
        };
        write().map_err(|error| CliError::user(format!("write `{}`: {error}", path.display())))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Editors find the schema by these lines.
    #[test]
    fn the_files_of_the_example_name_their_schema() {
        let top = Path::new(env!("CARGO_MANIFEST_DIR"));
        for (file, which, line) in [
            ("giornata.toml", Schema::Project, "#:schema "),
            ("assets/sources.yaml", Schema::Assets, "# yaml-language-server: $schema="),
        ] {
            let text = std::fs::read_to_string(top.join(file)).unwrap();
            let named = text.lines().next().unwrap().strip_prefix(line).unwrap();
            let up = Path::new(file).parent().unwrap().components().map(|_| "..");
            let expect = up.collect::<PathBuf>().join(path(which));
            assert_eq!(Path::new(named), expect, "{file}");
        }
    }
}
