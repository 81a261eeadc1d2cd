//! The two streams of a command and how they are written: results to stdout, talk to stderr.
//!
//! A reader that goes away (`giornata list | head -1`) ends the output and nothing else.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::time::{Duration, Instant};

use anstream::{AutoStream, ColorChoice};
use clap::builder::styling::{AnsiColor, Style};

use super::args::{Color, Global};
use super::diagnostics;
use super::error::CliError;

/// The terminal, or what stands for it.
pub(super) struct Term {
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
    /// Why stdout cannot be written to any more.
    broken: Option<io::Error>,
    pub is_quiet: bool,
    pub is_verbose: bool,
    /// Whether a progress bar may be drawn.
    pub shows_progress: bool,
    /// Whether somebody is there to answer.
    pub is_interactive: bool,
    started: Instant,
}

impl Term {
    #[expect(clippy::disallowed_methods, reason = "the terminal measures what a command takes")]
    pub fn new(global: &Global) -> Term {
        let choice = match global.color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        };
        let in_ci =
            std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
        let is_dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        let on_terminal = io::stderr().is_terminal();
        Term {
            out: Box::new(BufWriter::new(AutoStream::new(io::stdout(), choice))),
            err: Box::new(AutoStream::new(io::stderr(), choice)),
            broken: None,
            is_quiet: global.quiet,
            is_verbose: global.verbose,
            shows_progress: on_terminal
                && !in_ci
                && !is_dumb
                && !global.no_progress
                && !global.quiet,
            is_interactive: on_terminal && io::stdin().is_terminal() && !in_ci,
            started: Instant::now(),
        }
    }

    /// How long the command has been running.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Writes a result.
    pub fn print(&mut self, text: &str) {
        self.print_bytes(text.as_bytes());
    }

    pub fn print_bytes(&mut self, bytes: &[u8]) {
        if self.broken.is_none()
            && let Err(error) = self.out.write_all(bytes)
        {
            self.broken = Some(error);
        }
    }

    /// Hands on what was printed, for those who read along.
    pub fn flush(&mut self) {
        if self.broken.is_none()
            && let Err(error) = self.out.flush()
        {
            self.broken = Some(error);
        }
    }

    /// Says something that is not a result, unless told to be quiet.
    pub fn talk(&mut self, text: &str) {
        if !self.is_quiet {
            self.tell(text);
        }
    }

    /// Says something whatever the options. Nobody can be told that stderr is closed.
    pub fn tell(&mut self, text: &str) {
        let _ = self.err.write_all(text.as_bytes()).and_then(|()| self.err.flush());
    }

    pub fn warning(&mut self, message: &str) {
        let style = bold(AnsiColor::Yellow);
        self.talk(&format!("{style}warning{style:#}: {message}\n"));
    }

    pub fn hint(&mut self, message: &str) {
        let style = bold(AnsiColor::Cyan);
        self.talk(&format!("{style}hint{style:#}: {message}\n"));
    }

    pub fn error(&mut self, error: &CliError) {
        self.flush();
        self.tell(&diagnostics::render_error(error));
    }

    /// Asks a question that is answered with yes or no; the end of the input is no.
    pub fn confirm(&mut self, question: &str) -> bool {
        self.tell(&format!("{question} [y/N] "));
        let mut answer = String::new();
        let read = io::stdin().read_line(&mut answer);
        read.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
    }

    /// Writes the rest. A reader that went away is no error; a full disk is.
    pub fn finish(&mut self) -> Result<(), io::Error> {
        self.flush();
        match self.broken.take() {
            Some(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Some(error) => {
                self.tell(&format!("error: write to stdout: {error}\n"));
                Err(error)
            }
            None => Ok(()),
        }
    }
}

pub(super) fn bold(color: AnsiColor) -> Style {
    color.on_default().bold()
}
