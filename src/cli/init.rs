//! `giornata init`: a project to begin with, which is the one that this repository has of itself.

use std::path::{Path, PathBuf};

use clap::Args;

use super::error::CliError;
use super::session::Session;
use super::{Done, schema, text};

/// Make a project with an example in it
///
/// Writes `giornata.toml` and `assets/` with a pipeline over four years of weather. Nothing that is
/// there is overwritten.
#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// Where to make it; the directory is made if there is none.
    #[arg(default_value = ".", value_name = "DIR")]
    target: PathBuf,
}

const FILES: [(&str, &str); 10] = [
    ("giornata.toml", include_str!("../../giornata.toml")),
    ("assets/sources.yaml", include_str!("../../assets/sources.yaml")),
    ("assets/inbox.yaml", include_str!("../../assets/inbox.yaml")),
    ("assets/station.sql", include_str!("../../assets/station.sql")),
    ("assets/daily_weather.sql", include_str!("../../assets/daily_weather.sql")),
    ("assets/weekly_trend.sql", include_str!("../../assets/weekly_trend.sql")),
    ("assets/monthly_climate.sql", include_str!("../../assets/monthly_climate.sql")),
    ("assets/yearly_report.sh", include_str!("../../assets/yearly_report.sh")),
    ("assets/data/README.md", include_str!("../../assets/data/README.md")),
    ("assets/data/seattle-weather.csv", include_str!("../../assets/data/seattle-weather.csv")),
];

/// What git is not to keep: the store, secrets, and the pages that the example exports.
const IGNORE: &str = ".giornata/\n.env\nout/\n";

pub(super) fn run(args: &InitArgs, session: Session<'_>) -> Result<Done, CliError> {
    let base = session.directory()?;
    let root = base.join(&args.target);
    let problem = |path: &Path, error: std::io::Error| {
        CliError::user(format!("write `{}`: {error}", path.display()))
    };
    let present: Vec<&str> =
        FILES.iter().map(|(name, _)| *name).filter(|name| root.join(name).exists()).collect();
    if !present.is_empty() {
        let message = match present.as_slice() {
            [first, rest @ ..] if !rest.is_empty() => {
                let more = text::count(rest.len() as u64, "more file");
                format!("`{first}` and {more} of the example are there already")
            }
            _ => format!("`{}` is there already", present.join("`, `")),
        };
        return Err(CliError::user(message).hint("nothing was written; name another directory"));
    }
    for (name, text) in FILES {
        let path = root.join(name);
        let parent = path.parent().expect("each name is below the root");
        std::fs::create_dir_all(parent).map_err(|error| problem(parent, error))?;
        std::fs::write(&path, text).map_err(|error| problem(&path, error))?;
    }
    schema::write_all(&root)?;
    let ignore = root.join(".gitignore");
    if ignore.exists() {
        let lines = IGNORE.lines().collect::<Vec<_>>().join("`, `");
        session.term.warning(&format!("`.gitignore` is there already; it needs `{lines}`"));
    } else {
        std::fs::write(&ignore, IGNORE).map_err(|error| problem(&ignore, error))?;
    }
    session.term.print(&next_steps(&args.target));
    Ok(Done::Fine)
}

fn next_steps(directory: &Path) -> String {
    let (place, enter) = if directory == Path::new(".") {
        ("this directory".to_owned(), String::new())
    } else {
        let shown = directory.display().to_string();
        (format!("`{shown}`"), format!("  cd {}\n", shell_words::quote(&shown)))
    };
    format!(
        "made a project in {place}: four years of weather, by day, month and year\n\nnext:\n{enter}\
         \x20 giornata list\n\
         \x20 giornata materialize --all\n\
         \x20 giornata cat monthly_climate@2014-07\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of the example that is not embedded would be missed by everyone who runs `init`.
    #[test]
    fn every_file_of_the_example_is_embedded() {
        let top = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut found = vec!["giornata.toml".to_owned()];
        let mut folders = vec![top.join("assets")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push(path.strip_prefix(top).unwrap().display().to_string());
                }
            }
        }
        found.sort();
        let mut embedded = FILES.map(|(name, _)| name.to_owned());
        embedded.sort();
        assert_eq!(embedded.to_vec(), found);
    }
}
