//! What the functions of random projects make of what they are given, as text.

use std::fmt::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use giornata::base::Digest;
use giornata::defs::{Asset, Body};

/// All that a directory consists of.
pub fn tree(dir: &Path) -> String {
    let mut lines = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                lines.push(format!("{}/", path.strip_prefix(dir).unwrap().display()));
                open.push(path);
                continue;
            }
            let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o100;
            let (text, name) = (std::fs::read_to_string(&path).unwrap(), path.strip_prefix(dir));
            lines.push(format!("{} {mode} {}", name.unwrap().display(), text.trim()));
        }
    }
    lines.sort();
    lines.join("; ")
}

/// `window` is its start and its end in RFC 3339, in UTC.
pub fn head(asset: &Asset, partition: &str, window: Option<&(String, String)>) -> String {
    let Body::Function(function) = &asset.body else { unreachable!("only functions run") };
    let deps = asset.deps.iter().map(|dep| dep.upstream.to_string());
    let deps: Vec<String> = deps.collect();
    let window = window.map(|(start, end)| format!("{start}..{end}")).unwrap_or_default();
    format!("{} v{} {partition} {deps:?} {window}", asset.key, function.version)
}

pub fn takes_world(asset: &Asset) -> bool {
    let Body::Function(function) = &asset.body else { unreachable!("only functions run") };
    function.version.parse::<u8>().unwrap() >= 3
}

pub fn push_input<'a>(
    given: &mut String,
    name: &str,
    single: bool,
    parts: impl Iterator<Item = (&'a str, String)>,
) {
    write!(given, "; {name} {single}:").unwrap();
    for (key, value) in parts {
        write!(given, " {key}={value:?}").unwrap();
    }
}

/// What a function makes of what it is given.
pub fn made(asset: &Asset, given: &str, world: u64, coarse: bool) -> String {
    let given = if takes_world(asset) { format!("{given}; {world}") } else { given.to_owned() };
    let digest = Digest::of_blob(given.as_bytes()).short();
    match coarse {
        true => (given.bytes().map(u32::from).sum::<u32>() % 3).to_string(),
        false => digest,
    }
}
