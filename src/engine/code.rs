//! Finds the project files that the code of a step consists of: what its command line and `inputs` name, and
//! what these import or source, to the end of the chain.
//!
//! Nothing is run in order to know it. So a module that is only named when the code runs is not seen, and
//! what would not be reached counts all the same: that makes a step run once too often, never too rarely.

mod python;
mod shell;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::{Error, listing};
use crate::defs::{
    Asset, Body, CommandBody, CommandLine, Op, PartitionsDef, PathPattern, Test, WordPiece,
};

/// The file that a step executes.
pub fn script(asset: &Asset) -> Option<String> {
    match &asset.body {
        Body::Command(CommandBody { line: CommandLine::Script { path, .. }, .. }) => {
            path.to_str().map(str::to_owned)
        }
        Body::Command(_) | Body::Source(_) | Body::Sql(_) | Body::Function(_) | Body::Graph(_) => {
            None
        }
    }
}

/// A language whose imports are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Language {
    Python,
    Shell,
}

/// What one file names, as it is written there.
#[derive(Debug)]
enum Named {
    Modules(Vec<python::Module>),
    Sourced(Vec<shell::Sourced>),
}

/// A file of code that counts, and is yet to be read.
struct Program {
    path: PathBuf,
    language: Language,
    /// Where the program lies that it is part of.
    dir: PathBuf,
}

/// Files of code, each read once.
pub struct Code<'a> {
    root: &'a Path,
    named: BTreeMap<(PathBuf, Language), Arc<Named>>,
    /// What counts for the asset that is asked about.
    found: BTreeSet<PathBuf>,
    open: Vec<Program>,
}

impl<'a> Code<'a> {
    /// Relative paths begin at `root`.
    pub fn new(root: &'a Path) -> Code<'a> {
        Code { root, named: BTreeMap::new(), found: BTreeSet::new(), open: Vec::new() }
    }

    /// The files that count besides the script itself, in order: named on a command line, by `inputs`, or
    /// by one of those or the script. Relative to the root.
    pub fn files(&mut self, asset: &Asset) -> Result<Vec<String>, Error> {
        self.begin();
        let mut globs: Vec<&String> = asset.inputs.iter().collect();
        match &asset.body {
            Body::Command(command) => self.add_command(command),
            Body::Graph(graph) => {
                // Those that do not say themselves when their code has changed.
                let ops = graph.counting().map(|step| &step.op);
                for op in ops.filter(|op| op.version.is_none()) {
                    if let Body::Command(command) = &op.body {
                        self.add_command(command);
                    }
                    globs.extend(&op.files);
                }
            }
            Body::Source(_) | Body::Sql(_) | Body::Function(_) => {}
        }
        for check in &asset.checks {
            if let Test::Command(command) = &check.test {
                self.add_command(command);
            }
        }
        let fault = |problem| Error::Source { asset: asset.key.clone(), problem };
        let mut found = self.follow_all(globs.into_iter(), &fault)?;
        if let Some(script) = script(asset) {
            found.remove(Path::new(&script));
        }
        Ok(found.into_iter().filter_map(|path| path.to_str().map(str::to_owned)).collect())
    }

    /// The files that count for an op, its script included where that is a file of its own.
    pub fn files_of_op(&mut self, op: &Op) -> Result<Vec<String>, Error> {
        self.begin();
        if let Body::Command(command) = &op.body {
            self.add_command(command);
        }
        let fault = |problem| Error::OpFiles { op: op.name.clone(), problem };
        let found = self.follow_all(op.files.iter(), &fault)?;
        Ok(found.into_iter().filter_map(|path| path.to_str().map(str::to_owned)).collect())
    }

    /// Forgets what an earlier question has left that failed.
    fn begin(&mut self) {
        self.found.clear();
        self.open.clear();
    }

    /// What was named so far and by these globs, with all that it imports or sources.
    fn follow_all<'g>(
        &mut self,
        globs: impl Iterator<Item = &'g String>,
        fault: &dyn Fn(String) -> Error,
    ) -> Result<BTreeSet<PathBuf>, Error> {
        for glob in globs {
            let pattern = PathPattern::parse(glob).map_err(|error| fault(error.to_string()))?;
            let listed = listing::list(self.root, &pattern, &PartitionsDef::Unpartitioned);
            let listed =
                listed.map_err(|source| Error::Io { path: self.root.join(glob), source })?;
            listed.files.iter().for_each(|file| self.add_file(Path::new(&file.path)));
        }
        while let Some(program) = self.open.pop() {
            match &*self.read(&program.path, program.language)? {
                Named::Modules(modules) => {
                    modules.iter().for_each(|module| self.import(module, &program));
                }
                Named::Sourced(sourced) => {
                    sourced.iter().for_each(|sourced| self.source(sourced, &program));
                }
            }
        }
        Ok(std::mem::take(&mut self.found))
    }

    fn add_command(&mut self, command: &CommandBody) {
        match &command.line {
            CommandLine::Script { interpreter, path } => {
                let language = of_interpreter(interpreter.iter().map(String::as_str));
                if let Some(language) = language.or_else(|| of_name(path)) {
                    self.follow(path, language);
                }
            }
            CommandLine::Direct(words) => {
                let text = |word: &Vec<WordPiece>| match word.as_slice() {
                    [WordPiece::Text(text)] => text.clone(),
                    _ => String::new(),
                };
                self.add_words(&words.iter().map(text).collect::<Vec<_>>());
            }
            CommandLine::Shell(line) => {
                let by_blanks = || line.split_whitespace().map(str::to_owned).collect();
                // What cannot be split may still hold the words that matter.
                self.add_words(&shell_words::split(line).unwrap_or_else(|_| by_blanks()));
                for sourced in shell::sourced(line) {
                    self.source(&sourced, &Program::line(Language::Shell));
                }
            }
        }
        command.named_files.iter().for_each(|path| self.add_file(path));
    }

    /// `python -m package.module` and `python -c "import module"`.
    fn add_words(&mut self, words: &[String]) {
        let mut python = false;
        for (at, word) in words.iter().enumerate() {
            python |= of_interpreter([word.as_str()].into_iter()) == Some(Language::Python);
            let Some(next) = words.get(at + 1).filter(|_| python) else { continue };
            let modules = match word.as_str() {
                "-m" => {
                    let names = vec!["__main__".to_owned()];
                    vec![python::Module { names, ..python::Module::absolute(next) }]
                }
                "-c" => python::modules(next),
                _ => continue,
            };
            for module in modules {
                self.import(&module, &Program::line(Language::Python));
            }
        }
    }

    /// A file that counts, and what it imports if it is code.
    fn add_file(&mut self, path: &Path) {
        if self.found.insert(path.to_owned())
            && let Some(language) = of_name(path).or_else(|| self.of_first_line(path))
        {
            self.follow(path, language);
        }
    }

    fn follow(&mut self, path: &Path, language: Language) {
        let dir = path.parent().unwrap_or(Path::new("")).to_owned();
        self.open.push(Program { path: path.to_owned(), language, dir });
    }

    fn add_part(&mut self, path: PathBuf, of: &Program) {
        if self.found.insert(path.clone()) {
            self.open.push(Program { path, language: of.language, dir: of.dir.clone() });
        }
    }

    /// A shell begins at the root; a script may also say where it lies itself.
    fn source(&mut self, sourced: &shell::Sourced, of: &Program) {
        let own = of.path.parent().unwrap_or(Path::new(""));
        let bases = [Path::new(""), own, &of.dir];
        for base in &bases[usize::from(sourced.beside)..] {
            if let Some(path) = inside(&base.join(&sourced.path)).filter(|it| self.is_file(it)) {
                self.add_part(path, of);
            }
        }
    }

    /// Adds the files of a module. An absolute one is looked for beside the program and at the root; what is
    /// nowhere is not of this project.
    fn import(&mut self, module: &python::Module, of: &Program) {
        let bases = match module.level {
            0 => vec![of.dir.clone(), PathBuf::new()],
            level => of.path.ancestors().nth(level).map(Path::to_owned).into_iter().collect(),
        };
        for base in bases {
            for path in self.files_of(module, &base) {
                self.add_part(path, of);
            }
        }
    }

    /// The files that importing a module from below `base` reads: those of the packages around it, its
    /// own, and of its names those that are modules.
    fn files_of(&self, module: &python::Module, base: &Path) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut at = base.to_owned();
        if module.level > 0 {
            files.push(at.join("__init__.py"));
        }
        for part in &module.path {
            at.push(part);
            files.push(at.with_file_name(format!("{part}.py")));
            files.push(at.join("__init__.py"));
        }
        for name in &module.names {
            files.push(at.join(format!("{name}.py")));
            files.push(at.join(name).join("__init__.py"));
        }
        if module.all && self.is_file(&at.join("__init__.py")) {
            // Its `__all__` may name any of them.
            let entries = std::fs::read_dir(self.root.join(&at)).into_iter().flatten().flatten();
            let names = entries.map(|entry| at.join(entry.file_name()));
            files.extend(names.filter(|path| path.extension().is_some_and(|it| it == "py")));
        }
        files.retain(|path| self.is_file(path));
        files
    }

    fn is_file(&self, path: &Path) -> bool {
        self.root.join(path).is_file()
    }

    fn read(&mut self, path: &Path, language: Language) -> Result<Arc<Named>, Error> {
        let key = (path.to_owned(), language);
        if let Some(named) = self.named.get(&key) {
            return Ok(named.clone());
        }
        let full = self.root.join(path);
        let text = match std::fs::read(&full) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            // It went away in this moment: the look at it will tell.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(Error::Io { path: full, source }),
        };
        let named = Arc::new(match language {
            Language::Python => Named::Modules(python::modules(&text)),
            Language::Shell => Named::Sourced(shell::sourced(&text)),
        });
        self.named.insert(key, named.clone());
        Ok(named)
    }

    /// What a file without an ending says of itself.
    fn of_first_line(&self, path: &Path) -> Option<Language> {
        if path.extension().is_some() {
            return None;
        }
        let mut head = Vec::new();
        let file = std::fs::File::open(self.root.join(path)).ok()?;
        file.take(128).read_to_end(&mut head).ok()?;
        let head = String::from_utf8_lossy(&head);
        let words = head.lines().next()?.strip_prefix("#!")?;
        of_interpreter(words.split_whitespace())
    }
}

impl Program {
    /// A command line, which stands at the root.
    fn line(language: Language) -> Program {
        Program { path: PathBuf::new(), language, dir: PathBuf::new() }
    }
}

fn of_name(path: &Path) -> Option<Language> {
    match path.extension()?.to_str()? {
        "py" | "pyw" => Some(Language::Python),
        "sh" | "bash" | "zsh" | "ksh" | "dash" => Some(Language::Shell),
        _ => None,
    }
}

fn of_interpreter<'w>(words: impl Iterator<Item = &'w str>) -> Option<Language> {
    words.map(|word| word.rsplit('/').next().unwrap_or(word)).find_map(|name| {
        let name = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        match name {
            "python" | "pypy" | "pythonw" => Some(Language::Python),
            "sh" | "bash" | "zsh" | "ksh" | "dash" => Some(Language::Shell),
            _ => None,
        }
    })
}

/// A path below the root without `.` and `..`; `None` if it leads outside.
fn inside(path: &Path) -> Option<PathBuf> {
    let mut found = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => found.push(part),
            Component::CurDir => {}
            Component::ParentDir => {
                if !found.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    (!found.as_os_str().is_empty()).then_some(found)
}
