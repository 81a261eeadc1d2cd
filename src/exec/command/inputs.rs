//! Files that a step needs for itself: its inputs where they are not in place, and names for its output.

use std::fmt::Write;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::failed;
use crate::base::Digest;
use crate::exec::{Content, Failure, Input, Of, Part, Step};
use crate::io::tree;

/// The files of one attempt in the staging directory, removed when it is dropped.
pub(super) struct Scratch {
    staging: PathBuf,
    stem: String,
    made: Vec<PathBuf>,
}

/// Where a command finds an input.
pub(super) struct Placed {
    pub(super) path: PathBuf,
    /// A file with the paths of many values, in their order.
    pub(super) list: Option<PathBuf>,
}

impl Scratch {
    pub(super) fn new(step: &Step) -> Scratch {
        let name = match &step.of {
            Of::Asset(key) => format!("{key}@{}", step.partition),
            // Of one step several executions may go on at once, for others of its assets each.
            Of::Assets(members) => {
                let first = members.iter().find(|member| member.is_wanted);
                let key = first.map_or(step.def.name.as_str(), |member| member.key.as_str());
                format!("{key}@{}", step.partition)
            }
            Of::Batch(lots) => {
                let first = lots.first().map_or("", |lot| lot.partition.as_str());
                format!("{}@{first}+{}", step.def.name, lots.len().saturating_sub(1))
            }
            // A run of a job is for one partition, and its steps are alone in their directory.
            Of::Job(_) => step.shown(),
        };
        let stem = format!("{}.{}", safe_name(&name), step.attempt);
        Scratch { staging: step.paths.staging.clone(), stem, made: Vec::new() }
    }

    /// A path that only this attempt uses; nothing is there yet.
    pub(super) fn file(&mut self, name: &str) -> PathBuf {
        self.safe_file(&safe_name(name))
    }

    fn safe_file(&mut self, name: &str) -> PathBuf {
        let path = self.staging.join(format!("{}.{name}", self.stem));
        // An earlier process with this run's number may have died in this very step. A look takes no lock of
        // the directory, in which other steps make and remove files.
        if fs::symlink_metadata(&path).is_ok() {
            remove(&path);
        }
        self.made.push(path.clone());
        path
    }

    /// Leaves a file to the receiver of the result.
    pub(super) fn keep(&mut self, path: &Path) {
        self.made.retain(|made| made != path);
    }

    /// Where the command finds each input, in order.
    pub(super) fn inputs(&mut self, step: &Step) -> Result<Vec<Placed>, Failure> {
        let place = |input: &Input| {
            let path = self.input(input)?;
            let list = match (&step.of, input.single) {
                (Of::Job(_), false) => Some(self.list(input, &path)?),
                (Of::Job(_), true) | (Of::Asset(_) | Of::Assets(_) | Of::Batch(_), _) => None,
            };
            Ok(Placed { path, list })
        };
        step.inputs.iter().map(place).collect()
    }

    /// The order of many values, which is not always that of their names.
    fn list(&mut self, input: &Input, dir: &Path) -> Result<PathBuf, Failure> {
        let mut lines = Vec::new();
        for part in &input.parts {
            lines.extend_from_slice(dir.join(part_name(input, part)).as_os_str().as_bytes());
            lines.push(b'\n');
        }
        let path = self.file(&format!("{}.list", input.name));
        fs::write(&path, lines).map_err(failed("write", &path))?;
        Ok(path)
    }

    fn input(&mut self, input: &Input) -> Result<PathBuf, Failure> {
        if !input.single {
            return self.directory(input);
        }
        let part = match input.parts.as_slice() {
            [part] => part,
            // Allowed to be missing: a path where nothing is.
            [] => return Ok(self.file(&input.name)),
            several => return Err(too_many(input, several.len())),
        };
        if let Content::File(path) = &part.content {
            return Ok(path.clone());
        }
        let name = match part.key.is_unpartitioned() {
            true => input.name.to_string(),
            false => format!("{}@{}", input.name, part.key),
        };
        let path = self.safe_file(&file_name(&name, &part.extension));
        place(part, &path)
            .map_err(|reason| Failure::Input { name: input.name.to_string(), reason })?;
        Ok(path)
    }

    /// A directory with a file for each partition.
    fn directory(&mut self, input: &Input) -> Result<PathBuf, Failure> {
        let dir = self.file(&input.name);
        fs::create_dir(&dir).map_err(failed("create", &dir))?;
        for part in &input.parts {
            let placed = place(part, &dir.join(part_name(input, part)));
            placed.map_err(|reason| Failure::Input { name: input.name.to_string(), reason })?;
        }
        Ok(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.made.iter().for_each(|path| remove(path));
    }
}

/// Where the command finds one partition's value of an input, in a directory that has those of others too:
/// a file named like the partition with the ending of the value, or a directory.
pub(super) fn input_of_one(input: &Input, dir: &Path, partition: &str) -> Result<PathBuf, Failure> {
    let fail = |reason| Failure::Input { name: input.name.to_string(), reason };
    if !input.single {
        let path = dir.join(safe_name(partition));
        fs::create_dir(&path).map_err(failed("create", &path))?;
        for part in &input.parts {
            place(part, &path.join(part_name(input, part))).map_err(fail)?;
        }
        return Ok(path);
    }
    match input.parts.as_slice() {
        [part] => {
            let path = dir.join(file_name(partition, &part.extension));
            place(part, &path).map_err(fail)?;
            Ok(path)
        }
        // Allowed to be missing: a path where nothing is.
        [] => Ok(dir.join(safe_name(partition))),
        several => Err(too_many(input, several.len())),
    }
}

fn too_many(input: &Input, found: usize) -> Failure {
    let reason = format!("it has {found} partitions where one is expected");
    Failure::Input { name: input.name.to_string(), reason }
}

/// Removes a file, a link or a directory; what cannot be removed is left to the sweep of the run.
fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        let _ = fs::remove_dir_all(path);
    }
}

/// Makes the part's content readable at `path`. A blob gets a link, not its own path, since programs
/// go by a file's ending.
fn place(part: &Part, path: &Path) -> Result<(), String> {
    match &part.content {
        Content::Inline(bytes) => fs::write(path, bytes).map_err(|error| error.to_string()),
        Content::Blob(source) | Content::File(source) => {
            symlink(source, path).map_err(|error| error.to_string())
        }
        Content::Tree { digest, blobs } => {
            tree::write_out(digest, &**blobs, path).map_err(|error| error.to_string())
        }
    }
}

/// The name of one of many values.
fn part_name(input: &Input, part: &Part) -> String {
    let key = match part.key.is_unpartitioned() {
        true => &*input.name,
        false => part.key.as_str(),
    };
    file_name(key, &part.extension)
}

pub(super) fn file_name(name: &str, extension: &str) -> String {
    match extension {
        "" => safe_name(name),
        extension => format!("{}.{}", safe_name(name), safe_name(extension)),
    }
}

const NAME_MAX: usize = 96;

/// A name of a file for any text: what is not a letter, a digit or one of `._-@` is written as `%`
/// and two digits, and a long text ends in a digest. Different texts have different names.
pub(in crate::exec) fn safe_name(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for (place, byte) in text.bytes().enumerate() {
        match byte {
            // A name that begins with a dot is hidden, and `.` and `..` are taken.
            b'.' if place == 0 => name.push_str("%2E"),
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'@' => {
                name.push(byte.into());
            }
            _ => write!(name, "%{byte:02X}").expect("writing to a string does not fail"),
        }
    }
    if name.len() > NAME_MAX {
        let digest = Digest::of_blob(text.as_bytes()).to_string();
        name.truncate(NAME_MAX - 18);
        name.push_str("~~");
        name.push_str(&digest[..16]);
    }
    name
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_is_a_safe_file_name() {
        assert_eq!(safe_name("2014-07-01"), "2014-07-01");
        assert_eq!(safe_name("a/b|c"), "a%2Fb%7Cc");
        assert_eq!(safe_name(".."), "%2E.");
    }

    proptest! {
        #[test]
        fn different_texts_have_different_names(a in "\\PC*|[a-z/.]{90,200}", b in "\\PC*") {
            let name = safe_name(&a);
            prop_assert!(name.len() <= NAME_MAX && !name.contains('/') && name != ".." && name != ".");
            prop_assert_eq!(a == b, name == safe_name(&b));
        }
    }
}
