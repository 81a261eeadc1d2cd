//! `giornata new`: a file for one asset, which `check` accepts as it is.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;

use super::Done;
use super::error::CliError;
use super::schema;
use super::session::Session;
use crate::base::AssetKey;
use crate::load::Schema;

/// Make a file for a new asset
///
/// `giornata new mart/revenue.sql` writes `assets/mart/revenue.sql`, which declares `mart/revenue`.
/// Nothing that is there is overwritten.
#[derive(Debug, Args)]
pub(super) struct NewArgs {
    /// The name of the asset, and after a dot how it is made: `sql`, `py`, `sh` or `yaml`.
    #[arg(value_name = "NAME.EXTENSION")]
    name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sql,
    Python,
    Shell,
    Yaml,
}

pub(super) fn run(args: &NewArgs, session: Session<'_>) -> Result<Done, CliError> {
    let workspace = session.workspace()?;
    let Some(assets_dir) = workspace.assets_dir.clone() else {
        let error = CliError::user("this project is declared by a program, not by files");
        return Err(error.hint("declare the asset there"));
    };
    let (key, kind) = parse(&args.name, &assets_dir)?;
    if let Some(asset) = workspace.project.assets.get(&key) {
        let (file, line) = (asset.origin.file.display(), asset.origin.line);
        return Err(CliError::user(format!("`{key}` is declared already, in `{file}:{line}`")));
    }
    let extension = args.name.rsplit('.').next().unwrap_or_default();
    let below = assets_dir.join(format!("{key}.{extension}"));
    write(&workspace.root.join(&below), &below, &text(&key, kind, &assets_dir))?;
    if kind == Kind::Yaml {
        schema::write_all(&workspace.root)?;
    }
    let file = below.display();
    workspace.term.print(&format!("made `{file}`, which declares `{key}`\n"));
    workspace.term.flush();
    workspace.term.hint(&format!("`giornata materialize {key}` makes it"));
    Ok(Done::Fine)
}

/// Takes `NAME.EXTENSION` apart. A path that begins with the assets directory is meant as one.
fn parse(name: &str, assets_dir: &Path) -> Result<(AssetKey, Kind), CliError> {
    let below = Path::new(name).strip_prefix(assets_dir).ok().and_then(Path::to_str);
    let (stem, extension) = match below.unwrap_or(name).rsplit_once('.') {
        Some((stem, extension)) if !extension.contains('/') => (stem, Some(extension)),
        Some(_) | None => (name, None),
    };
    let kind = match extension {
        Some("sql") => Kind::Sql,
        Some("py") => Kind::Python,
        Some("sh") => Kind::Shell,
        Some("yaml" | "yml") => Kind::Yaml,
        Some(_) | None => {
            let example = if AssetKey::parse(stem).is_ok() { stem } else { "revenue" };
            let error = CliError::user(format!("`{name}` does not say how it is made"));
            return Err(error.hint(format!("end it with .sql, .py, .sh or .yaml: `{example}.sql`")));
        }
    };
    let key = AssetKey::parse(stem).map_err(CliError::user)?;
    Ok((key, kind))
}

fn write(path: &Path, shown: &Path, text: &str) -> Result<(), CliError> {
    let problem = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            CliError::user(format!("`{}` is there already", shown.display()))
                .hint("nothing was written; choose another name")
        }
        _ => CliError::user(format!("write `{}`: {error}", shown.display())),
    };
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(problem)?;
    }
    // Two at once: the second finds the file of the first.
    let mut file = std::fs::File::create_new(path).map_err(problem)?;
    file.write_all(text.as_bytes()).map_err(problem)
}

fn text(key: &AssetKey, kind: Kind, assets_dir: &Path) -> String {
    let last = key.as_str().rsplit('/').next().unwrap_or_default();
    match kind {
        Kind::Sql => "\
-- /// asset
-- description = \"What this table holds\"
-- ///

-- Any asset or source can be read by its name: SELECT * FROM other_asset
SELECT 1 AS one
"
        .to_owned(),
        Kind::Python => format!(
            "\
# /// script
# requires-python = \">=3.9\"
# dependencies = []
# [tool.giornata]
# description = \"What this file holds\"
# output = \"{last}.txt\"
# ///

# Each asset named in `deps` is at the path in the variable of its name; the result goes to `output`.
import os

with open(os.environ[\"output\"], \"w\") as file:
    print(\"hello\", file=file)
"
        ),
        Kind::Shell => format!(
            "\
#!/bin/sh
# /// asset
# description = \"What this file holds\"
# output = \"{last}.txt\"
# ///

# Each asset named in `deps` is at the path in the variable of its name; the result goes to $output.
set -eu

echo hello > \"$output\"
"
        ),
        Kind::Yaml => format!(
            "\
# yaml-language-server: $schema={}
assets:
  # Each asset named in `deps` is at the path in the variable of its name; the result goes to $output.
  {key}:
    description: What this file holds
    run: echo hello > \"$output\"
    output: {last}.txt
",
            schema_from(key, assets_dir)
        ),
    }
}

/// The path of the schema, as seen from the file of an asset.
fn schema_from(key: &AssetKey, assets_dir: &Path) -> String {
    let depth = assets_dir.components().count() + key.as_str().matches('/').count();
    let up: PathBuf = std::iter::repeat_n("..", depth).collect();
    up.join(schema::path(Schema::Assets)).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load;

    #[test]
    fn every_scaffold_is_accepted_and_declares_its_name() {
        for (name, kind) in [
            ("a.sql", Kind::Sql),
            ("m/b-2.py", Kind::Python),
            ("c.sh", Kind::Shell),
            ("m/1.yaml", Kind::Yaml),
        ] {
            let (key, found) = parse(name, Path::new("assets")).unwrap();
            assert_eq!(found, kind);
            let text = text(&key, kind, Path::new("assets"));
            let path = format!("assets/{name}");
            let loaded = load::project_from(&[("giornata.toml", ""), (&path, &text)]).unwrap();
            assert!(loaded.diagnostics.is_empty(), "{:#?}", loaded.diagnostics);
            assert_eq!(loaded.project.assets.keys().collect::<Vec<_>>(), [&key]);
        }
    }

    #[test]
    fn names_are_taken_apart_or_refused() {
        let parsed = |name| parse(name, Path::new("assets"));
        assert_eq!(parsed("assets/x.sql").unwrap().0.as_str(), "x");
        for (name, complaint) in [
            ("x", "`x` does not say how it is made"),
            ("x.csv", "`x.csv` does not say how it is made"),
            ("a.b/c", "`a.b/c` does not say how it is made"),
            ("../x.sql", "`../x` cannot be a name"),
            ("a b.sql", "`a b` cannot be a name"),
            (".sql", "`` cannot be a name"),
            ("/etc/x.sh", "`/etc/x` cannot be a name"),
        ] {
            let error = parsed(name).unwrap_err().message();
            assert!(error.starts_with(complaint), "{error}");
        }
    }

    #[test]
    fn the_schema_is_found_from_where_the_file_is() {
        let key = AssetKey::parse("mart/x").unwrap();
        assert_eq!(schema_from(&key, Path::new("assets")), "../../.giornata/schema/assets.json");
    }
}
