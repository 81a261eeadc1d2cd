//! Whole projects, as texts, and what is said about them.
#![expect(clippy::needless_pass_by_value, reason = "an expectation is written where it is used")]

mod accepted;
mod hostile;
mod ops;
mod ops_refused;
mod refused;
mod watching;

use std::fmt::Write as _;

use expect_test::Expect;

use super::{Diagnostic, Loaded, Severity, project_from};
use crate::defs::{Asset, Body, CommandLine, MappingDef, Missing, PartitionsDef, WordPiece};

pub(super) const TOML: (&str, &str) = ("giornata.toml", "name = \"t\"\n");

/// Loads the files and compares diagnostics, what is broken, and the sound assets.
#[track_caller]
pub(super) fn check(files: &[(&str, &str)], expect: Expect) {
    let mut all = vec![TOML];
    all.retain(|_| files.iter().all(|(path, _)| *path != "giornata.toml"));
    all.extend(files);
    let loaded = project_from(&all).unwrap();
    expect.assert_eq(&render(&loaded));
}

/// One YAML file.
#[track_caller]
pub(super) fn check_yaml(text: &str, expect: Expect) {
    check(&[("assets/a.yaml", text)], expect);
}

pub(super) fn render(loaded: &Loaded) -> String {
    let mut out = String::new();
    for diagnostic in &loaded.diagnostics {
        out += &render_diagnostic(diagnostic);
    }
    for asset in loaded.project.assets.values() {
        out += &render_asset(asset);
    }
    if !loaded.project.jobs.is_empty() {
        writeln!(out, "jobs: {:?}", loaded.project.jobs.keys().collect::<Vec<_>>()).unwrap();
    }
    if !loaded.project.broken.is_empty() {
        writeln!(out, "broken: {:?}", loaded.project.broken).unwrap();
    }
    out
}

fn render_diagnostic(diagnostic: &Diagnostic) -> String {
    let Diagnostic { severity, file, text, span, message, label, help, related, disables, stops } =
        diagnostic;
    let severity = match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let (line, column) = diagnostic.position();
    let excerpt = |span: &std::ops::Range<usize>| text[span.clone()].replace('\n', "⏎");
    let mut out = format!("{severity}: {message}\n  {}:{line}:{column}", file.display());
    writeln!(out, " [{}] {label}", excerpt(span)).unwrap();
    for (span, label) in related {
        writeln!(out, "  also [{}] {label}", excerpt(span)).unwrap();
    }
    if let Some(help) = help {
        writeln!(out, "  help: {help}").unwrap();
    }
    if !disables.is_empty() {
        writeln!(out, "  disables {disables:?}").unwrap();
    }
    if !stops.is_empty() {
        writeln!(out, "  stops {stops:?}").unwrap();
    }
    out
}

fn render_asset(asset: &Asset) -> String {
    let mut out = format!("{} ({}:{})", asset.key, asset.origin.file.display(), asset.origin.line);
    match &asset.body {
        Body::Source(source) => write!(out, " source {source:?}").unwrap(),
        Body::Sql(sql) => write!(out, " sql@{} {:?}", sql.first_line, sql.text).unwrap(),
        Body::Function(_) => out += " function",
        Body::Graph(graph) => {
            let steps = graph.flow.steps.iter().map(|step| &*step.path);
            write!(out, " graph {:?} of {:?}", steps.collect::<Vec<_>>(), graph.inputs).unwrap();
        }
        Body::Command(command) => match &command.line {
            CommandLine::Shell(line) => write!(out, " sh {line:?}").unwrap(),
            CommandLine::Script { interpreter, path } => {
                write!(out, " script {interpreter:?} {}", path.display()).unwrap();
            }
            CommandLine::Direct(words) => {
                for word in words {
                    out += " ";
                    for piece in word {
                        match piece {
                            WordPiece::Text(text) => out += text,
                            WordPiece::Variable(name) => write!(out, "<{name}>").unwrap(),
                        }
                    }
                }
                if !command.named_files.is_empty() {
                    write!(out, " files {:?}", command.named_files).unwrap();
                }
            }
        },
    }
    out += "\n";
    if let Some(shared) = &asset.shared {
        writeln!(out, "  made by {} as {:?}: {:?}", shared.name, asset.output, shared.makes)
            .unwrap();
    }
    if asset.partitions != PartitionsDef::Unpartitioned {
        writeln!(out, "  partitions {}", asset.partitions.spec()).unwrap();
    }
    for dep in &asset.deps {
        write!(out, "  reads {}", dep.upstream).unwrap();
        if dep.mapping != MappingDef::Default {
            write!(out, " by {:?}", dep.mapping).unwrap();
        }
        out += if dep.missing == Missing::Allow { " (may be missing)\n" } else { "\n" };
    }
    out
}
