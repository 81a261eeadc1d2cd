//! Decides what a step of a job depends on: its definition, the files and the configuration that it reads,
//! and its inputs. What an earlier run gave under the same key need not be made again.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::Error;
use super::super::code::Code;
use super::super::listing;
use super::super::open::Engine;
use crate::base::{Digest, PartitionKey};
use crate::cas::Dirs;
use crate::cas::stat::{Observed, Slack, StatEntry};
use crate::defs::{Body, FlowStep, Op, OutputDef, TableFormat, Takes, step_config};
use crate::plan::code_parts;
use crate::store::Store;

/// Raised when the engine begins to hand a step its inputs in another way.
const SEMANTICS: &str = "1";

/// What a step reads of the configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The op's own; null if it has none.
    pub own: Arc<serde_json::Value>,
    /// Of the job's fields.
    pub read: Arc<serde_json::Value>,
    /// Both by name, as a command is given them.
    pub all: BTreeMap<String, serde_json::Value>,
}

impl Settings {
    pub fn of(step: &FlowStep, config: &serde_json::Value) -> Settings {
        let (own, read) = step_config(step, config);
        let fields = [&read, &own].into_iter().filter_map(|value| value.as_object()).flatten();
        let all = fields.map(|(name, value)| (name.clone(), value.clone())).collect();
        Settings { own: Arc::new(own), read: Arc::new(read), all }
    }
}

/// The files that an op is made of, each as it counts in the digest.
pub type Guards = Arc<[(PathBuf, StatEntry)]>;

/// The digests of ops, each found once.
pub struct Ops {
    known: HashMap<*const Op, (Digest, Guards)>,
    /// Of the store: nobody can guess a secret by a digest that it counts in.
    salt: String,
    /// By the clock of the file system, before any file was looked at.
    taken_ns: i64,
    /// Of files that had to be read, by their paths relative to the root.
    pub read: Vec<(PathBuf, StatEntry)>,
}

impl Ops {
    pub fn new(engine: &Engine) -> Result<Ops, Error> {
        let salt = engine.ledger.store_mut(Store::secret)?;
        let taken_ns = engine.fs_clock.now_ns();
        Ok(Ops { known: HashMap::new(), salt, taken_ns, read: Vec::new() })
    }

    /// The digest of a step without its inputs, its piece and its partition; and the files that count in it.
    pub fn step(
        &mut self,
        engine: &Engine,
        step: &FlowStep,
        settings: &Settings,
    ) -> Result<(Digest, Guards), Error> {
        // The flow holds its ops as long as it is looked at.
        let (op, guards) = match self.known.get(&Arc::as_ptr(&step.op)) {
            Some(known) => known.clone(),
            None => {
                let found = self.op(engine, &step.op)?;
                self.known.insert(Arc::as_ptr(&step.op), found.clone());
                found
            }
        };
        let mut digest = Digest::builder("giornata 2026 step of a job");
        digest
            .part(&self.salt)
            .digest(&op)
            .part(settings.own.to_string())
            .part(settings.read.to_string());
        Ok((digest.finish(), guards))
    }

    fn op(&mut self, engine: &Engine, op: &Op) -> Result<(Digest, Guards), Error> {
        let mut guards = Vec::new();
        let mut digest = Digest::builder("giornata 2026 op");
        digest.part(&self.salt).part(SEMANTICS).part(&op.name);
        match &op.version {
            Some(version) => {
                digest.part("version").part(version);
            }
            None => {
                for (name, value) in self.code(engine, op, &mut guards)? {
                    digest.part(name).part(value);
                }
            }
        }
        for input in &*op.inputs {
            let takes = match input.takes {
                Takes::One => "one",
                Takes::Many => "many",
                Takes::Nothing => "nothing",
            };
            digest.part(&*input.name).part(takes);
        }
        for output in &*op.outputs {
            digest.part(&*output.name).part(form_text(&output.form));
        }
        for name in &op.resources {
            let version = engine.project.resources.get(name).and_then(|it| it.version.as_deref());
            digest.part(name).part(version.unwrap_or_default());
        }
        for name in &op.env {
            digest.part(name);
            if let Some((_, value)) = engine.env.iter().rev().find(|(key, _)| key == name.as_str())
            {
                digest.part(value.as_encoded_bytes());
            }
        }
        Ok((digest.finish(), guards.into()))
    }

    /// What of an op's code decides what it gives, by name; its files are added to `guards`.
    fn code(
        &mut self,
        engine: &Engine,
        op: &Op,
        guards: &mut Vec<(PathBuf, StatEntry)>,
    ) -> Result<Vec<(String, String)>, Error> {
        let mut parts = code_parts(&op.body);
        if let Body::Function(function) = &op.body
            && function.version.is_empty()
        {
            let version = engine.functions.version();
            let version = version.map_err(|reason| Error::Executable { reason })?;
            parts = vec![("code".to_owned(), version)];
        }
        let mut dirs = Dirs::new(&engine.root);
        for file in Code::new(&engine.root).files_of_op(op)? {
            let path = engine.root.join(&file);
            let known = engine.stats.get(Path::new(&file));
            let content = match dirs.observe(&file, known, self.taken_ns, engine.slack) {
                Ok(observed) => {
                    let entry = *observed.entry();
                    if let Observed::Hashed(_) = observed {
                        self.read.push((PathBuf::from(&file), entry));
                    }
                    guards.push((path, entry));
                    entry.digest.to_string()
                }
                // One that is not there is as good as another that is not.
                Err(_) => "unreadable".to_owned(),
            };
            parts.push((format!("file.{file}"), content));
        }
        Ok(parts)
    }
}

/// Whether one of the files is no longer what it was when it was looked at.
pub fn have_changed(guards: &Guards, slack: Slack) -> bool {
    guards.iter().any(|(path, entry)| !listing::is_same(path, entry, slack))
}

/// Everything that decides what an instance of a step gives.
pub fn instance(
    step: &Digest,
    piece: Option<&str>,
    partition: &PartitionKey,
    window: Option<&(String, String)>,
    inputs: &Digest,
) -> Digest {
    let mut digest = Digest::builder("giornata 2026 key of a step of a job");
    digest.digest(step).part(piece.unwrap_or_default()).part(partition.as_str());
    let (start, end) = window.map_or(("", ""), |(start, end)| (start, end));
    digest.part(start).part(end).digest(inputs).finish()
}

fn form_text(form: &OutputDef) -> &str {
    match form {
        OutputDef::Table(TableFormat::Csv) => "table csv",
        OutputDef::Table(TableFormat::JsonLines) => "table jsonl",
        OutputDef::File { name } => name,
        OutputDef::Directory => "directory",
        OutputDef::Pieces => "pieces",
        OutputDef::None => "none",
        #[cfg(feature = "parquet")]
        OutputDef::Table(TableFormat::Parquet) => "table parquet",
    }
}
