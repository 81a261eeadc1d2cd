//! What a command finds in its environment, and the process that a command line stands for.
//!
//! The program is looked up here and started by its path: the standard library keeps to the fast
//! `posix_spawn` only if it does not have to search a `PATH` that we set.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::inputs::Placed;
use super::outputs::{Output, upper};
use super::prepared::Prepared;
use crate::defs::resource::resource_variable;
use crate::defs::{CommandLine, Word, WordPiece};
use crate::exec::{Failure, Of, Step};
use crate::io::names::nearest;

/// The variables of one step.
pub(super) struct Environment {
    /// All that the words of a command line may name.
    ours: BTreeMap<String, OsString>,
    /// Names of `ours` that are not put into the environment, since they would hide another.
    hidden: Vec<String>,
    pub(super) warnings: Vec<String>,
}

impl Environment {
    pub(super) fn new(step: &Step, inputs: &[Placed], outputs: &[Output], metadata: &Path) -> Self {
        let mut this =
            Environment { ours: BTreeMap::new(), hidden: Vec::new(), warnings: Vec::new() };
        for (input, placed) in step.inputs.iter().zip(inputs) {
            this.add_input(step, &input.name, &input.variable, placed);
        }
        for output in outputs {
            for variable in &output.variables {
                this.set(variable, &output.path);
            }
        }
        this.set("GIORNATA_METADATA", metadata);
        this.set("GIORNATA_ROOT", &step.paths.root);
        this.set_place(step);
        this.set("GIORNATA_ATTEMPT", step.attempt.to_string());
        match &step.of {
            Of::Asset(_) | Of::Assets(_) | Of::Job(_) => {
                this.set("GIORNATA_PARTITION", step.partition.as_str());
            }
            // It has many, which are in files.
            Of::Batch(_) => {}
        }
        this.set("GIORNATA_RUN", step.run.to_string());
        let config = serde_json::to_string(&step.config);
        this.set("GIORNATA_CONFIG", config.expect("configuration has only string keys"));
        for (name, value) in step.resources.variables() {
            this.set(&resource_variable(name), value);
        }
        if let Some((start, end)) = &step.window_rfc3339 {
            this.set("GIORNATA_PARTITION_START", start);
            this.set("GIORNATA_PARTITION_END", end);
        }
        this
    }

    /// What the step is.
    fn set_place(&mut self, step: &Step) {
        match &step.of {
            Of::Asset(key) => self.set("GIORNATA_ASSET", key.as_str()),
            Of::Batch(_) => self.set("GIORNATA_ASSET", step.def.name.as_str()),
            Of::Assets(members) => {
                let wanted = members.iter().filter(|member| member.is_wanted);
                let wanted: Vec<&str> = wanted.map(|member| member.key.as_str()).collect();
                self.set("GIORNATA_WANTED", wanted.join(" "));
                self.set("GIORNATA_STEP", step.def.name.as_str());
            }
            Of::Job(at) => {
                match &at.asset {
                    Some(asset) => self.set("GIORNATA_ASSET", asset.as_str()),
                    None => self.set("GIORNATA_JOB", at.job.as_str()),
                }
                self.set("GIORNATA_STEP", &*at.path);
                if let Some(piece) = &at.piece {
                    self.set("GIORNATA_PIECE", &**piece);
                }
            }
        }
    }

    pub(super) fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.ours.insert(name.to_owned(), value.into());
    }

    fn add_input(&mut self, step: &Step, name: &str, short: &str, placed: &Placed) {
        let long = format!("GIORNATA_INPUT_{}", upper(short));
        if step.env.iter().any(|(inherited, _)| inherited == short) {
            self.warnings.push(format!(
                "`{name}` is not in ${short}, since the environment has a variable of this name; \
                 use ${long}"
            ));
            self.hidden.push(short.to_owned());
        }
        self.set(short, &placed.path);
        self.set(&long, &placed.path);
        if let Some(list) = &placed.list {
            self.set(&format!("{long}_LIST"), list);
        }
    }

    /// The process for a command line; its output goes nowhere yet.
    pub(super) fn command<'a>(
        &self,
        line: &CommandLine,
        step: &Step,
        programs: &mut Programs,
        prepared: &'a mut Prepared,
    ) -> Result<&'a mut Command, Failure> {
        let root = &step.paths.root;
        let words: Vec<OsString> = match line {
            CommandLine::Direct(words) => {
                words.iter().map(|word| self.expand(word)).collect::<Result<_, _>>()?
            }
            CommandLine::Shell(text) => vec!["sh".into(), "-c".into(), text.into()],
            CommandLine::Script { interpreter, path } => {
                let words = interpreter.iter().map(OsString::from);
                words.chain([root.join(path).into_os_string()]).collect()
            }
        };
        let Some((program, arguments)) = words.split_first() else {
            return Err(Failure::Unsupported("the command line is empty".to_owned()));
        };
        let program = programs.find(program, step)?;
        let ours = self.ours.iter().filter(|(name, _)| !self.hidden.contains(name));
        Ok(prepared.command(program, arguments, step, ours))
    }

    fn expand(&self, word: &Word) -> Result<OsString, Failure> {
        let mut expanded = OsString::new();
        for piece in word {
            match piece {
                WordPiece::Text(text) => expanded.push(text),
                WordPiece::Variable(name) => {
                    let value = self.ours.get(name);
                    expanded.push(value.ok_or_else(|| self.unknown_variable(name))?);
                }
            }
        }
        Ok(expanded)
    }
}

impl Environment {
    fn unknown_variable(&self, name: &str) -> Failure {
        let help = match nearest(name, self.ours.keys().map(String::as_str)) {
            Some(near) => format!("did you mean `${near}`?"),
            None => "it names neither an input nor `$output`".to_owned(),
        };
        Failure::Unsupported(format!("`${name}` in the command line is unknown; {help}"))
    }
}

/// Where programs were found; one `PATH` has many directories, and every step asks for the same few.
#[derive(Default)]
pub(super) struct Programs {
    /// The `PATH` in which they were found.
    path: OsString,
    found: HashMap<OsString, PathBuf>,
}

impl Programs {
    fn find(&mut self, program: &OsStr, step: &Step) -> Result<PathBuf, Failure> {
        let (root, env) = (&step.paths.root, &step.env);
        if program.as_encoded_bytes().contains(&b'/') {
            return find(program, root, env);
        }
        let path = search_path(env);
        if self.path != path {
            *self = Programs { path: path.to_owned(), found: HashMap::new() };
        }
        if let Some(found) = self.found.get(program).filter(|path| is_executable(path)) {
            return Ok(found.clone());
        }
        let found = find(program, root, env)?;
        self.found.insert(program.to_owned(), found.clone());
        Ok(found)
    }
}

/// The `PATH` that a step is given.
fn search_path(env: &[(OsString, OsString)]) -> &OsStr {
    let path = env.iter().rev().find(|(name, _)| name == "PATH");
    path.map_or(OsStr::new("/usr/bin:/bin"), |(_, value)| value.as_os_str())
}

/// Why the program of a command line could not be started, as far as that can be said before.
pub fn missing_program(
    line: &CommandLine,
    root: &Path,
    env: &[(OsString, OsString)],
) -> Option<String> {
    let program: OsString = match line {
        CommandLine::Direct(words) => match words.first()?.as_slice() {
            [WordPiece::Text(text)] => text.into(),
            // What a variable stands for is known when it runs.
            _ => return None,
        },
        CommandLine::Shell(_) => "sh".into(),
        CommandLine::Script { interpreter, path } => match interpreter.first() {
            Some(interpreter) => interpreter.into(),
            None => path.into(),
        },
    };
    find(&program, root, env).err().map(|failure| failure.to_string())
}

fn find(program: &OsStr, root: &Path, env: &[(OsString, OsString)]) -> Result<PathBuf, Failure> {
    let fail = |reason: String| Failure::Spawn { program: program.display().to_string(), reason };
    if program.as_encoded_bytes().contains(&b'/') {
        let path = root.join(program);
        return match (path.is_file(), is_executable(&path)) {
            (true, true) => Ok(path),
            (true, false) => Err(fail(
                "the file is not executable; `chmod +x` it or name its interpreter".into(),
            )),
            (false, _) => {
                Err(fail("there is no such file; paths start at the project's root".into()))
            }
        };
    }
    // An empty or relative entry means the directory in which the command starts.
    let dirs = std::env::split_paths(search_path(env)).map(|dir| root.join(dir));
    let found = dirs.map(|dir| dir.join(program)).find(|path| is_executable(path));
    found.ok_or_else(|| {
        fail("no program of this name is in $PATH; install it or give its path".into())
    })
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}
