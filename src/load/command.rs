//! Decides how a `run:` line is started: directly, with our variables put in, or by a shell.
//!
//! A line is direct if it is plain words with nothing but our own `$name`s; whatever else a shell
//! would see in it sends the whole line to `sh -c`, where the same variables are in the
//! environment. A doubt goes to the shell: it is slower, never wrong.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use crate::defs::{CommandLine, Word, WordPiece};

/// Why a `run:` line is none; `at` is a byte range of the line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum RunError {
    #[error("the command line is empty")]
    Empty,
    #[error("nothing closes this quote")]
    OpenQuote { at: Range<usize> },
}

/// First words that only a shell understands.
const SHELL_WORDS: &[&str] = &[
    "!", ".", ":", "[[", "alias", "bg", "break", "case", "cd", "command", "continue", "do", "done",
    "elif", "else", "esac", "eval", "exec", "exit", "export", "fg", "fi", "for", "function", "if",
    "in", "read", "readonly", "return", "select", "set", "shift", "source", "then", "time",
    "times", "trap", "type", "ulimit", "umask", "unset", "until", "wait", "while", "{", "}",
];

/// Variables of ours that every step has, besides one for each upstream asset.
const OWN_VARIABLES: &[&str] = &["output", "output_dir"];

/// Reads a `run:` line; `upstream` are the variables of the upstream assets.
pub(super) fn parse(line: &str, upstream: &BTreeSet<String>) -> Result<CommandLine, RunError> {
    let line = line.trim();
    if line.is_empty() {
        return Err(RunError::Empty);
    }
    let mut lexer = Lexer { text: line, at: 0, upstream, words: Vec::new(), word: None };
    let words = match lexer.read()? {
        Syntax::Shell => return Ok(CommandLine::Shell(line.to_owned())),
        Syntax::Plain => lexer.words,
    };
    let needs_shell = match words.first().map(Vec::as_slice) {
        Some([WordPiece::Text(first)]) => {
            SHELL_WORDS.contains(&first.as_str()) || is_assignment(first)
        }
        Some(_) | None => false,
    };
    Ok(if needs_shell { CommandLine::Shell(line.to_owned()) } else { CommandLine::Direct(words) })
}

/// `NAME=value` in front of a command sets a variable.
fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !name.starts_with(|c: char| c.is_ascii_digit())
    })
}

/// What the text up to here needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Syntax {
    Plain,
    Shell,
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    upstream: &'a BTreeSet<String>,
    words: Vec<Word>,
    word: Option<Word>,
}

impl Lexer<'_> {
    fn next(&mut self) -> Option<char> {
        let next = self.text[self.at..].chars().next()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn push(&mut self, text: &str) {
        let word = self.word.get_or_insert_default();
        if let Some(WordPiece::Text(last)) = word.last_mut() {
            last.push_str(text);
        } else {
            word.push(WordPiece::Text(text.to_owned()));
        }
    }

    /// Reads all; goes on after shell syntax only as far as an open quote could be found.
    fn read(&mut self) -> Result<Syntax, RunError> {
        let mut syntax = Syntax::Plain;
        while let Some(next) = self.next() {
            let seen = match next {
                ' ' | '\t' => {
                    self.words.extend(self.word.take());
                    Syntax::Plain
                }
                '\'' => self.single()?,
                '"' => self.double()?,
                '\\' => self.escape(),
                '$' => self.variable(),
                '~' | '#' if self.word.is_none() => Syntax::Shell,
                '|' | '&' | ';' | '<' | '>' | '(' | ')' | '*' | '?' | '[' | ']' | '{' | '}'
                | '`' | '\n' | '\r' => Syntax::Shell,
                _ => {
                    self.push(next.encode_utf8(&mut [0; 4]));
                    Syntax::Plain
                }
            };
            if seen == Syntax::Shell {
                syntax = Syntax::Shell;
                // In a comment or a here-document quotes mean nothing, so no more is said of them.
                if matches!(next, '#' | '<') {
                    return Ok(syntax);
                }
            }
        }
        self.words.extend(self.word.take());
        Ok(syntax)
    }

    fn single(&mut self) -> Result<Syntax, RunError> {
        let open = self.at - 1;
        let Some(len) = self.text[self.at..].find('\'') else {
            return Err(RunError::OpenQuote { at: open..open + 1 });
        };
        let quoted = &self.text[self.at..self.at + len];
        self.push(quoted);
        self.at += len + 1;
        Ok(Syntax::Plain)
    }

    fn double(&mut self) -> Result<Syntax, RunError> {
        let open = self.at - 1;
        let mut syntax = Syntax::Plain;
        self.push("");
        while let Some(next) = self.next() {
            let seen = match next {
                '"' => return Ok(syntax),
                '`' => Syntax::Shell,
                '$' => self.variable(),
                '\\' if self.text[self.at..].starts_with(['"', '\\', '$', '`']) => self.escape(),
                _ => {
                    self.push(next.encode_utf8(&mut [0; 4]));
                    Syntax::Plain
                }
            };
            if seen == Syntax::Shell {
                syntax = Syntax::Shell;
            }
        }
        // Within `$(..)` quotes nest, which is the shell's business.
        if syntax == Syntax::Shell {
            return Ok(syntax);
        }
        Err(RunError::OpenQuote { at: open..open + 1 })
    }

    fn escape(&mut self) -> Syntax {
        match self.next() {
            Some('\n') | None => return Syntax::Shell,
            Some(next) => self.push(next.encode_utf8(&mut [0; 4])),
        }
        Syntax::Plain
    }

    /// After a `$`.
    fn variable(&mut self) -> Syntax {
        let rest = &self.text[self.at..];
        let braced = rest.starts_with('{');
        let name_at = usize::from(braced);
        let len = rest[name_at..]
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(rest.len() - name_at);
        let name = &rest[name_at..name_at + len];
        let closed = !braced || rest[name_at + len..].starts_with('}');
        if !closed || !self.is_ours(name) {
            return Syntax::Shell;
        }
        self.word.get_or_insert_default().push(WordPiece::Variable(name.to_owned()));
        self.at += name_at + len + usize::from(braced);
        Syntax::Plain
    }

    fn is_ours(&self, name: &str) -> bool {
        OWN_VARIABLES.contains(&name)
            || self.upstream.contains(name)
            || name.strip_prefix("GIORNATA_").is_some_and(|rest| !rest.is_empty())
    }
}

/// The names of the variables that a shell line uses.
pub(super) fn variables(line: &CommandLine) -> BTreeSet<&str> {
    let CommandLine::Shell(text) = line else { return BTreeSet::new() };
    let name = |rest: &'_ str| -> usize {
        rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len())
    };
    text.match_indices('$')
        .map(|(at, _)| text[at + 1..].trim_start_matches('{'))
        .map(|rest| &rest[..name(rest)])
        .filter(|name| !name.is_empty())
        .collect()
}

/// Words of a command line that could name a file of the project, as paths relative to its root.
pub(super) fn candidate_files(line: &CommandLine) -> Vec<PathBuf> {
    let words: Vec<&str> = match line {
        // A word may be a script of its own, as in `sh -c "cat notes.txt > $output"`.
        CommandLine::Direct(words) => words
            .iter()
            .flatten()
            .filter_map(|piece| match piece {
                WordPiece::Text(text) => Some(text.as_str()),
                WordPiece::Variable(_) => None,
            })
            .flat_map(|text| std::iter::once(text).chain(between_signs(text)))
            .collect(),
        // Where it cannot be read as words, what stands between the shell's signs has to do.
        CommandLine::Shell(text) => between_signs(text).collect(),
        CommandLine::Script { .. } => Vec::new(),
    };
    let mut paths: Vec<PathBuf> = Vec::new();
    for word in words {
        let value = word.split_once('=').map(|(_, value)| value);
        for path in [Some(word), value].into_iter().flatten().filter_map(inside) {
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
    }
    paths
}

/// Words between the signs of a shell, without those that are written to.
fn between_signs(text: &str) -> impl Iterator<Item = &str> {
    let is_sign = |c: char| c.is_whitespace() || "|&;<>()'\"`$".contains(c);
    let is_read = move |word: &&str| {
        let before = &text[..word.as_ptr().addr() - text.as_ptr().addr()];
        !before.trim_end_matches([' ', '\t', '"', '\'']).ends_with('>')
    };
    text.split(is_sign).filter(|word| !word.is_empty()).filter(is_read)
}

/// The text as a path below the root, without `.` and `..`; `None` if it is none.
pub(super) fn inside(text: &str) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    for component in Path::new(text).components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            Component::ParentDir => {
                if !path.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    (!path.as_os_str().is_empty()).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(line: &str, expect: &str) {
        let upstream = ["raw", "mart_daily"].map(str::to_owned).into_iter().collect();
        let shown = match parse(line, &upstream) {
            Err(error) => error.to_string(),
            Ok(CommandLine::Shell(line)) => format!("sh: {line}"),
            Ok(CommandLine::Script { .. }) => unreachable!("a line is no script"),
            Ok(CommandLine::Direct(words)) => {
                let piece = |piece: &WordPiece| match piece {
                    WordPiece::Text(text) => text.clone(),
                    WordPiece::Variable(name) => format!("<{name}>"),
                };
                let word = |word: &Word| word.iter().map(piece).collect::<String>();
                words.iter().map(word).collect::<Vec<_>>().join("|")
            }
        };
        assert_eq!(shown, expect);
    }

    #[test]
    fn plain_words_are_started_directly() {
        check(
            r#"python report.py --in "$raw" --out=${output}"#,
            "python|report.py|--in|<raw>|--out=<output>",
        );
        check(r#"a 'b c' "d \"e\" \n" f\ g '' x#y a=b"#, r#"a|b c|d "e" \n|f g||x#y|a=b"#);
        check("x $GIORNATA_PARTITION/$mart_daily.csv", "x|<GIORNATA_PARTITION>/<mart_daily>.csv");
        check("echo '$HOME'", "echo|$HOME");
    }

    #[test]
    fn anything_else_is_for_the_shell() {
        for line in [
            "a | b",
            "a > b",
            "a && b",
            "ls *.csv",
            "echo $HOME",
            "echo ${raw:-x}",
            "echo `a`",
            "a \"$(b)\"",
            "cd x",
            "X=1 a",
            "a ~/b",
            "a # b",
            "a; b",
            "a {b,c}",
            "if true",
            "a\nb",
            "echo \"$(echo \"a\")\"",
            "a $rawx",
            "a $1",
        ] {
            check(line, &format!("sh: {line}"));
        }
    }

    #[test]
    fn says_what_is_no_line() {
        check(" ", "the command line is empty");
        check("a 'b", "nothing closes this quote");
        check("a \"b", "nothing closes this quote");
    }

    #[test]
    fn finds_variables_of_shell_lines() {
        let line = CommandLine::Shell("a \"$raw\" ${b:-$c} $1 $".to_owned());
        assert_eq!(variables(&line).into_iter().collect::<Vec<_>>(), ["1", "b", "c", "raw"]);
    }

    #[test]
    fn named_files_stay_inside() {
        let line = CommandLine::Shell("./a.sh --c=x/../b.toml < ../c | tee /d".to_owned());
        let paths = candidate_files(&line);
        assert!(paths.contains(&"a.sh".into()) && paths.contains(&"b.toml".into()), "{paths:?}");
        assert!(!paths.contains(&"c".into()) && !paths.contains(&"d".into()), "{paths:?}");
        let line = CommandLine::Shell("cat a >b 2>> c.log > \"d\" < e".to_owned());
        let paths = candidate_files(&line);
        assert_eq!(paths, ["cat", "a", "2", "e"].map(PathBuf::from));
    }

    proptest! {
        #[test]
        fn never_panics_on_junk(line in "([$'\"\\\\{}~#=|. ]|raw|output|\n|[a-zé]){0,30}") {
            let upstream = ["raw".to_owned()].into_iter().collect();
            if let Ok(line) = parse(&line, &upstream) {
                candidate_files(&line);
            }
        }

        #[test]
        fn quoting_words_and_reading_them_is_inverse(
            words in prop::collection::vec("[a-z $'\"*\\\\|é]{1,8}", 1..5)
        ) {
            let line = format!("x {}", shell_words::join(&words));
            let expect: Vec<Word> = std::iter::once("x").chain(words.iter().map(String::as_str))
                .map(|word| vec![WordPiece::Text(word.to_owned())]).collect();
            prop_assert_eq!(parse(&line, &BTreeSet::new()), Ok(CommandLine::Direct(expect)));
        }
    }
}
