//! Where a command is to leave each of its outputs, and what it left there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::failed;
use super::inputs::{Scratch, file_name};
use crate::defs::{Emissions, Emits, OutputDecl, OutputDef};
use crate::exec::{Emitted, Failure, Produced, Step};

/// The place of one output.
pub(super) struct Output {
    /// Variables that say it, the first of which messages name.
    pub(super) variables: Vec<String>,
    pub(super) path: PathBuf,
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    File,
    Directory,
    /// A directory that may be empty.
    Pieces,
}

/// For a command that is not asked for any: whatever it leaves there is removed.
pub(super) fn unused(scratch: &mut Scratch) -> Output {
    Output { variables: vec!["output".to_owned()], path: scratch.file("unused"), form: Form::File }
}

/// A path for each output; directories are made.
pub(super) fn prepare(step: &Step, scratch: &mut Scratch) -> Result<Vec<Output>, Failure> {
    let alone = step.def.outputs.len() == 1;
    step.def.outputs.iter().map(|decl| one(step, decl, alone, scratch)).collect()
}

/// A directory for the outputs of several partitions, and for each partition its own within it.
pub(super) fn of_lots(
    step: &Step,
    lots: &[Step],
    scratch: &mut Scratch,
) -> Result<(Output, Vec<Output>), Failure> {
    let decl = step.only_output();
    let (form, extension) = match decl.map(|decl| &decl.form) {
        Some(OutputDef::Directory) => (Form::Directory, ""),
        Some(OutputDef::File { name }) => {
            (Form::File, Path::new(name).extension().and_then(|it| it.to_str()).unwrap_or_default())
        }
        Some(OutputDef::Table(format)) => (Form::File, format.extension()),
        Some(OutputDef::Pieces | OutputDef::None) | None => {
            let name = step.shown();
            return Err(Failure::Unsupported(format!("`{name}` cannot be made in batches")));
        }
    };
    let path = scratch.file("output+");
    fs::create_dir(&path).map_err(failed("create", &path))?;
    let of_one = |lot: &Step| {
        let name = file_name(lot.partition.as_str(), extension);
        let (variables, path) = (vec![format!("output_dir/{name}")], path.join(name));
        if form == Form::Directory {
            fs::create_dir(&path).map_err(failed("create", &path))?;
        }
        Ok(Output { variables, path, form })
    };
    let each = lots.iter().map(of_one).collect::<Result<_, Failure>>()?;
    let variables = vec!["output_dir".to_owned(), variable(OutputDecl::RESULT)];
    Ok((Output { variables, path, form: Form::Pieces }, each))
}

fn one(
    step: &Step,
    decl: &OutputDecl,
    alone: bool,
    scratch: &mut Scratch,
) -> Result<Output, Failure> {
    let (form, name) = match (&decl.form, decl.emits) {
        (OutputDef::None, _) => {
            let name = step.shown();
            return Err(Failure::Unsupported(format!(
                "`{name}` declares no output; add `output` or `output_dir`"
            )));
        }
        (_, Emits::Pieces(_)) | (OutputDef::Pieces, _) => (Form::Pieces, None),
        (OutputDef::Directory, _) => (Form::Directory, None),
        (OutputDef::File { name }, _) => (Form::File, Some(name.clone())),
        (OutputDef::Table(format), _) => {
            (Form::File, Some(format!("output.{}", format.extension())))
        }
    };
    let mut variables = vec![variable(&decl.name)];
    if alone {
        let variable = if form == Form::File { "output" } else { "output_dir" };
        variables.insert(0, variable.to_owned());
    }
    let path = match name {
        Some(name) if alone => scratch.file(&name),
        Some(name) => scratch.file(&format!("{}-{name}", decl.name)),
        // No input can have such a name.
        None if alone => scratch.file("output+"),
        None => scratch.file(&format!("{}+", decl.name)),
    };
    if form != Form::File {
        fs::create_dir(&path).map_err(failed("create", &path))?;
    }
    Ok(Output { variables, path, form })
}

/// The variable that says where an output of this name is to be left.
pub(in crate::exec) fn variable(output: &str) -> String {
    format!("GIORNATA_OUTPUT_{}", upper(output))
}

/// A name as part of a variable of the environment.
pub(super) fn upper(name: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    name.chars().map(letter).collect()
}

/// Looks at what the command left; what is good is no longer scratch.
pub(super) fn take(
    step: &Step,
    outputs: Vec<Output>,
    scratch: &mut Scratch,
) -> Result<Vec<Emitted>, Failure> {
    let mut emissions = Emissions::new(&step.def.outputs);
    let mut made = Vec::with_capacity(outputs.len());
    for (output, (place, decl)) in outputs.into_iter().zip((0..).zip(&*step.def.outputs)) {
        match decl.emits {
            Emits::Pieces(_) => {
                for (key, path) in output.pieces(&decl.form)? {
                    emissions.push(&decl.name, Some(&key))?;
                    let (piece, what) = (Some(key.into()), Produced::File(path));
                    made.push(Emitted { output: place, piece, what });
                }
                scratch.keep(&output.path);
            }
            Emits::Required | Emits::Optional => {
                let what = match output.take(scratch) {
                    Err(Failure::NoOutput { .. }) if decl.emits == Emits::Optional => continue,
                    taken => taken?,
                };
                emissions.push(&decl.name, None)?;
                made.push(Emitted { output: place, piece: None, what });
            }
        }
    }
    Ok(made)
}

impl Output {
    fn variable(&self) -> String {
        self.variables[0].clone()
    }

    fn wrong(&self, found: &'static str, expected: &'static str) -> Failure {
        Failure::WrongOutput { variable: self.variable(), found, expected }
    }

    pub(super) fn take(self, scratch: &mut Scratch) -> Result<Produced, Failure> {
        let metadata = match fs::symlink_metadata(&self.path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Failure::NoOutput { variable: self.variable() });
            }
            Err(error) => return Err(failed("read", &self.path)(error)),
        };
        let directory = self.form != Form::File;
        let expected = if directory { "a directory" } else { "a file" };
        let found = kind_name(&metadata);
        if metadata.is_symlink() && !directory && self.path.is_file() {
            resolve_link(&self.path).map_err(failed("copy", &self.path))?;
        } else if found != expected {
            return Err(self.wrong(found, expected));
        } else if self.form == Form::Directory && is_empty(&self.path) {
            return Err(Failure::NoOutput { variable: self.variable() });
        }
        scratch.keep(&self.path);
        Ok(match directory {
            true => Produced::Directory(self.path),
            false => Produced::File(self.path),
        })
    }

    /// The files of a directory by their keys, in the order of their names.
    fn pieces(&self, form: &OutputDef) -> Result<Vec<(String, PathBuf)>, Failure> {
        let pattern = match form {
            OutputDef::File { name } => around_key(name),
            OutputDef::Table(_) | OutputDef::Directory | OutputDef::Pieces | OutputDef::None => {
                None
            }
        };
        let entries = fs::read_dir(&self.path).map_err(failed("read", &self.path))?;
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed("read", &self.path))?.file_name();
            let name = name.into_string().map_err(|name| {
                let name = name.display();
                Failure::Unsupported(format!("the name of the piece `{name}` is not UTF-8"))
            })?;
            names.push(name);
        }
        names.sort();
        let mut pieces = Vec::with_capacity(names.len());
        for name in names {
            let path = self.path.join(&name);
            let metadata = fs::symlink_metadata(&path).map_err(failed("read", &path))?;
            if metadata.is_symlink() && path.is_file() {
                resolve_link(&path).map_err(failed("copy", &path))?;
            } else if !metadata.is_file() {
                return Err(self.wrong(kind_name(&metadata), "a directory of files"));
            }
            let key = match pattern {
                None => name.split_once('.').map_or(&*name, |(stem, _)| stem),
                Some((before, after)) => {
                    let key = name.strip_prefix(before).and_then(|it| it.strip_suffix(after));
                    key.ok_or_else(|| {
                        let variable = self.variable();
                        Failure::Unsupported(format!(
                            "left `{name}` in ${variable}, where files are named \
                             `{before}{{piece}}{after}`"
                        ))
                    })?
                }
            };
            pieces.push((key.to_owned(), path));
        }
        Ok(pieces)
    }
}

/// What stands before and after the key of a piece in the name of its file: `{piece}.json`.
fn around_key(name: &str) -> Option<(&str, &str)> {
    let (before, rest) = name.split_once('{')?;
    let (_, after) = rest.split_once('}')?;
    Some((before, after))
}

fn kind_name(metadata: &fs::Metadata) -> &'static str {
    if metadata.is_dir() {
        "a directory"
    } else if metadata.is_file() {
        "a file"
    } else if metadata.is_symlink() {
        "a symbolic link that leads to no file"
    } else {
        "a special file"
    }
}

fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none())
}

/// Puts the file in the place of the link that leads to it: what the link means may change later.
fn resolve_link(link: &Path) -> io::Result<()> {
    let target = fs::canonicalize(link)?;
    fs::remove_file(link)?;
    fs::copy(target, link).map(drop)
}
