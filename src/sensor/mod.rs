//! Decides what sensors, schedules and automation ask for: pure functions of a cursor and of what was
//! observed. Who observes, and records what comes of it, is elsewhere.

pub mod assets;
pub mod command;
mod condition;
mod directory;
pub mod runs;
pub mod schedule;

use std::collections::BTreeMap;

use crate::base::{RunRequest, Wanted};
use crate::defs::Starts;
use crate::defs::template::{self, TemplateError};

pub use condition::{States, named};
pub use directory::{FileChange, FoundFile, changes, requests};

/// What an evaluation asks for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Evaluation {
    pub requests: Vec<RunRequest>,
    /// Why, or why not, in a few words.
    pub reason: String,
    /// What could not be asked for, and why.
    pub faults: Vec<String>,
}

/// What a word of a template stands for, with the form that it is to have.
type Word<'a> = &'a dyn Fn(&str, Option<&str>) -> Option<String>;

/// What is started, with words replaced; `None` where a trigger itself has to say it.
fn wanted(starts: &Starts, word: Word<'_>) -> Result<Option<Wanted>, TemplateError> {
    let write = |text: &String| template::write(text, word);
    Ok(match starts {
        Starts::Job { job, config, partition } => Some(Wanted::Job {
            job: job.clone(),
            config: template::write_all(config, word)?,
            partition: partition.as_ref().map(write).transpose()?,
        }),
        Starts::Assets { select, partition } => Some(Wanted::Assets {
            select: select.as_str().to_owned(),
            partition: partition.as_ref().map(write).transpose()?,
        }),
        Starts::Told => None,
    })
}

fn labels(
    tags: &BTreeMap<String, String>,
    word: Word<'_>,
) -> Result<BTreeMap<String, String>, TemplateError> {
    let tag = |(name, value): (&String, &String)| Ok((name.clone(), template::write(value, word)?));
    tags.iter().map(tag).collect()
}
