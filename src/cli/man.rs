//! `giornata man`: manual pages, from the same description of the arguments as the help.

use std::path::PathBuf;

use clap::{Args, CommandFactory};

use super::args::Cli;
use super::error::CliError;
use super::session::Session;
use super::{Done, text};

/// Print a manual page, or write all of them
///
/// `giornata man | man -l -` shows it.
#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// Of which verb; without it, of the program.
    #[arg(conflicts_with = "to")]
    verb: Option<String>,
    /// Write a page for each verb into this directory.
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

pub(super) fn run(args: &ManArgs, session: Session<'_>) -> Result<Done, CliError> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    if let Some(directory) = &args.to {
        let directory = session.directory()?.join(directory);
        let problem = |error: std::io::Error| {
            CliError::user(format!("write to `{}`: {error}", directory.display()))
        };
        std::fs::create_dir_all(&directory).map_err(problem)?;
        clap_mangen::generate_to(Cli::command(), &directory).map_err(problem)?;
        let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set()).count() as u64;
        let pages = text::count(verbs + 1, "page");
        let shown = args.to.as_deref().unwrap_or(&directory).display();
        session.term.print(&format!("wrote {pages} to `{shown}`\n"));
        return Ok(Done::Fine);
    }
    let page = match &args.verb {
        None => command,
        Some(verb) => {
            let found = command.find_subcommand(verb).filter(|verb| !verb.is_hide_set());
            let found = found.ok_or_else(|| {
                CliError::user(format!("there is no verb `{verb}`"))
                    .hint("`giornata --help` lists them")
            })?;
            found.clone()
        }
    };
    let mut bytes = Vec::new();
    clap_mangen::Man::new(page).render(&mut bytes).map_err(CliError::internal)?;
    session.term.print_bytes(&bytes);
    Ok(Done::Fine)
}
