//! Turns a file with a header into an asset: its name, the table of its header, and its code
//! without that header.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::asset::Code;
use super::diagnostic::{Diagnostic, Place, SourceText};
use super::header::{self, Header, HeaderKind};
use super::node::{Kind, Node, json};
use super::toml;
use crate::base::Digest;

/// A file with a header.
pub(super) struct Script {
    /// Place of the line that opens the header.
    pub marker: Place,
    /// The table of the declaration.
    pub table: Node,
    pub code: Code,
    pub problems: Vec<Diagnostic>,
}

/// Reads a file; `None` if it declares nothing after all.
pub(super) fn read(file: &Arc<SourceText>) -> Option<Script> {
    let place = |span| Place { file: Arc::clone(file), span };
    let header = match header::find(&file.text)? {
        Ok(header) => header,
        Err(unclosed) => {
            let problem = place(unclosed.marker.clone())
                .error("this header has no end")
                .label("opened here")
                .related(unclosed.stopped_at, "no line of the header")
                .help(format!("close it with a line `{} ///`", unclosed.prefix));
            let table = Node { kind: Kind::Table(Vec::new()), span: unclosed.marker.clone() };
            let marker = place(unclosed.marker);
            return Some(Script { marker, table, code: Code::Keys, problems: vec![problem] });
        }
    };
    let (root, mut problems) = toml::parse(&header.text, file, &|offset| header.offset(offset));
    let (table, extra) = match header.kind {
        HeaderKind::Asset => (root, String::new()),
        HeaderKind::Script => match script_table(root) {
            Some(found) => found,
            // A broken block that never speaks of us is the business of other tools.
            None if !header.text.contains("[tool.giornata") => return None,
            None => {
                (Node { kind: Kind::Table(Vec::new()), span: header.marker.clone() }, String::new())
            }
        },
    };
    let marker = place(header.marker.clone());
    let code = if file.path.extension().is_some_and(|extension| extension == "sql") {
        sql(file, &header, &mut problems)
    } else {
        let interpreter = interpreter(file, &marker, &mut problems);
        let digest = Digest::of_blob(&without_header(&file.text, &header, &extra));
        Code::Script { interpreter, path: file.path.clone(), digest }
    };
    Some(Script { marker, table, code, problems })
}

/// The table `[tool.giornata]`, and the rest of the block as text: other dependencies of a script
/// make another script.
fn script_table(root: Node) -> Option<(Node, String)> {
    let Kind::Table(mut entries) = root.kind else { return None };
    let tool = entries.iter_mut().find(|entry| entry.key == "tool")?;
    let Kind::Table(tools) = &mut tool.value.kind else { return None };
    let at = tools.iter().position(|entry| entry.key == "giornata")?;
    let own = tools.remove(at).value;
    if tools.is_empty() {
        entries.retain(|entry| entry.key != "tool");
    }
    entries.sort_by(|a, b| a.key.cmp(&b.key));
    let rest = Node { kind: Kind::Table(entries), span: 0..0 };
    Some((own, json(&rest).to_string()))
}

/// The bytes that say what the script does.
fn without_header(text: &str, header: &Header, extra: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    bytes.extend_from_slice(&text.as_bytes()[..header.block.start]);
    if header.kind == HeaderKind::Script {
        bytes.extend_from_slice(extra.as_bytes());
        bytes.push(b'\n');
    }
    bytes.extend_from_slice(&text.as_bytes()[header.block.end..]);
    bytes
}

/// The statements after the header. Before it there may be comments only.
fn sql(file: &Arc<SourceText>, header: &Header, problems: &mut Vec<Diagnostic>) -> Code {
    let before = &file.text[..header.block.start];
    let is_comment = |line: &str| {
        let line = line.trim_start_matches('\u{feff}').trim();
        line.is_empty() || line.starts_with("--")
    };
    let mut at = 0;
    for line in before.split_inclusive('\n') {
        if !is_comment(line) {
            let place = Place { file: Arc::clone(file), span: at..at + line.trim_end().len() };
            problems.push(
                place
                    .error("the header must come before the SQL")
                    .label("before the header")
                    .related(header.marker.clone(), "the header"),
            );
            break;
        }
        at += line.len();
    }
    let after = &file.text[header.block.end..];
    let text = after.trim();
    let offset = header.block.end + (after.len() - after.trim_start().len());
    let first_line = file.line(offset);
    Code::SqlFile { text: text.to_owned(), first_line, offset }
}

/// How a script is started: by its shebang, else by its extension.
fn interpreter(file: &SourceText, marker: &Place, problems: &mut Vec<Diagnostic>) -> Vec<String> {
    if let Some(shebang) = file.text.lines().next().and_then(|line| line.strip_prefix("#!")) {
        let words: Vec<String> = shebang.split_whitespace().map(str::to_owned).collect();
        if !words.is_empty() {
            return words;
        }
    }
    let extension = file.path.extension().unwrap_or_default().to_string_lossy();
    if let Some(known) = by_extension(&extension) {
        return known.iter().map(|word| (*word).to_owned()).collect();
    }
    problems.push(
        marker
            .error("nothing says which program runs this script")
            .label("no `#!` line, and an unknown extension")
            .help("begin the file with a line such as `#!/usr/bin/env python3`"),
    );
    Vec::new()
}

fn by_extension(extension: &str) -> Option<&'static [&'static str]> {
    Some(match extension {
        "sh" => &["sh"],
        "bash" => &["bash"],
        "zsh" => &["zsh"],
        "fish" => &["fish"],
        "py" => &["python3"],
        "R" | "r" => &["Rscript"],
        "js" | "mjs" | "cjs" => &["node"],
        "ts" => &["node"],
        "rb" => &["ruby"],
        "pl" => &["perl"],
        "lua" => &["lua"],
        "jl" => &["julia"],
        "php" => &["php"],
        "awk" => &["awk", "-f"],
        "go" => &["go", "run"],
        "exs" => &["elixir"],
        "m" => &["octave", "--no-gui"],
        _ => return None,
    })
}

/// The name of the asset that a file declares: its path below the assets directory without the
/// extension.
pub(super) fn name(path: &Path, assets_dir: &Path) -> String {
    let relative: PathBuf = path.strip_prefix(assets_dir).unwrap_or(path).with_extension("");
    let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}
