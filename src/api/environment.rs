//! The one environment of a project: what commands inherit, and where resources and configurations find
//! variables.
//!
//! A value of `.env` is a secret: it is handed on and appears in no message. A variable that the
//! process already has wins, so that a caller can replace what the file says; what a program says with
//! `Project::env` wins over both.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

/// What a `.env` holds, and the numbers of lines that are not assignments.
#[derive(Debug, Default, PartialEq, Eq)]
struct DotEnv {
    values: BTreeMap<String, String>,
    bad_lines: Vec<usize>,
}

/// Reads the lines `KEY=VALUE`, `export KEY="VALUE"`, comments and empty lines.
fn parse(text: &str) -> DotEnv {
    let mut dot_env = DotEnv::default();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match assignment(line) {
            Some((name, value)) => {
                dot_env.values.insert(name, value);
            }
            None => dot_env.bad_lines.push(number + 1),
        }
    }
    dot_env
}

fn assignment(line: &str) -> Option<(String, String)> {
    let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
    let (name, value) = line.split_once('=')?;
    let name = name.trim_end();
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    is_name(name).then(|| Some((name.to_owned(), unquote(value.trim_start())?)))?
}

/// `'as it is'`, `"with \n and \""`, or up to a comment.
fn unquote(value: &str) -> Option<String> {
    if let Some(rest) = value.strip_prefix('\'') {
        let (value, rest) = rest.split_once('\'')?;
        return is_end(rest).then(|| value.to_owned());
    }
    let Some(rest) = value.strip_prefix('"') else {
        let end = value.find(" #").unwrap_or(value.len());
        return Some(value[..end].trim_end().to_owned());
    };
    let mut unquoted = String::new();
    let mut chars = rest.chars();
    loop {
        match chars.next()? {
            '"' => return is_end(chars.as_str()).then_some(unquoted),
            '\\' => match chars.next()? {
                'n' => unquoted.push('\n'),
                't' => unquoted.push('\t'),
                c => unquoted.push(c),
            },
            c => unquoted.push(c),
        }
    }
}

fn is_end(rest: &str) -> bool {
    let rest = rest.trim_start();
    rest.is_empty() || rest.starts_with('#')
}

/// The environment of the project at `root`, with `own` over all else, and warnings about lines of `.env`.
pub(crate) fn environment(
    root: &Path,
    own: &BTreeMap<String, String>,
) -> (Vec<(OsString, OsString)>, Vec<String>) {
    let mut variables: BTreeMap<OsString, OsString> = BTreeMap::new();
    let mut warnings = Vec::new();
    match std::fs::read_to_string(root.join(".env")) {
        Ok(text) => {
            let dot_env = parse(&text);
            let bad = |line: &usize| format!("`.env:{line}` is left out: it is not `NAME=value`");
            warnings.extend(dot_env.bad_lines.iter().map(bad));
            variables.extend(dot_env.values.into_iter().map(|(k, v)| (k.into(), v.into())));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => warnings.push(format!("`.env` is left out: {error}")),
    }
    variables.extend(std::env::vars_os());
    variables.extend(own.iter().map(|(name, value)| (name.into(), value.into())));
    (variables.into_iter().collect(), warnings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    #[track_caller]
    fn check(text: &str, expect: Expect) {
        let dot_env = parse(text);
        expect.assert_eq(&format!("{:?} {:?}", dot_env.values, dot_env.bad_lines));
    }

    #[test]
    fn quotes_comments_and_export_are_read() {
        check(
            "# c\nA=1\n\nexport B = two words # c\n",
            expect![[r#"{"A": "1", "B": "two words"} []"#]],
        );
        check(
            "A='a # b' # c\nB=\"x\\n\\\"y\\\"\"",
            expect![[r#"{"A": "a # b", "B": "x\n\"y\""} []"#]],
        );
        check("A=a#b\nB=", expect![[r#"{"A": "a#b", "B": ""} []"#]]);
    }

    #[test]
    fn other_lines_are_named_by_number() {
        check("secret\n1A=2\nA='x\nB=\"y\" z\n =v", expect!["{} [1, 2, 3, 4, 5]"]);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "([A-Z]{0,2}[= ]{0,2}[\"'\\\\#a-z ]{0,8}\n){0,4}") {
            parse(&text);
        }
    }
}
