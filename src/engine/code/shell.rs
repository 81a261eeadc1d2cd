//! Reads which files a shell text sources: `source` and `.` with a path that is written out.

/// A file as it is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sourced {
    pub path: String,
    /// The path begins where the script lies, as in `"$(dirname "$0")/lib.sh"`.
    pub beside: bool,
}

/// What stands for the directory of the script itself.
const BESIDE: &[&str] = &[
    "$(dirname $0)/",
    "$(dirname -- $0)/",
    "$(dirname $BASH_SOURCE)/",
    "$(dirname ${BASH_SOURCE[0]})/",
    "$(dirname -- ${BASH_SOURCE[0]})/",
    "${0%/*}/",
    "${BASH_SOURCE%/*}/",
    "${BASH_SOURCE[0]%/*}/",
];

/// What stands for the root of the project.
const AT_ROOT: &[&str] = &["$GIORNATA_ROOT/", "${GIORNATA_ROOT}/", "$PWD/", "$(pwd)/"];

/// The files that a text sources. Words within strings count too: that is once too often at worst.
pub(super) fn sourced(text: &str) -> Vec<Sourced> {
    let text = text.replace("\\\n", " ");
    let mut found = Vec::new();
    for line in text.lines() {
        for statement in statements(line) {
            let mut rest = statement.trim_start();
            // What may stand before a command.
            while let Some(after) = KEYWORDS.iter().find_map(|word| after_word(rest, word)) {
                rest = after;
            }
            let named = after_word(rest, "source").or_else(|| after_word(rest, "."));
            if let Some(path) = named.and_then(path) {
                found.push(path);
            }
        }
    }
    found
}

const KEYWORDS: &[&str] = &["if", "then", "else", "elif", "do", "while", "until", "!", "{", "("];

/// What follows a word at the beginning of a text.
fn after_word<'t>(text: &'t str, word: &str) -> Option<&'t str> {
    let rest = text.strip_prefix(word)?;
    let is_end = word == "(" || rest.starts_with([' ', '\t']);
    is_end.then(|| rest.trim_start())
}

/// The commands of a line: `$(...)` is not taken apart.
fn statements(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let (mut start, mut depth) = (0, 0u32);
    for (at, c) in line.char_indices() {
        match c {
            '(' if line[..at].ends_with('$') || depth > 0 => depth += 1,
            ')' if depth > 0 => depth -= 1,
            ';' | '&' | '|' | '(' if depth == 0 => {
                found.push(&line[start..at]);
                start = at + 1;
            }
            '#' if depth == 0 && line[..at].ends_with([' ', '\t']) || c == '#' && at == 0 => {
                found.push(&line[start..at]);
                return found;
            }
            _ => {}
        }
    }
    found.push(&line[start..]);
    found
}

/// The first word of a text as a path, if nothing in it is only known when it runs.
fn path(text: &str) -> Option<Sourced> {
    let (mut word, mut depth, mut quote) = (String::new(), 0u32, None);
    for c in text.chars() {
        match c {
            '"' | '\'' => quote = if quote.is_none() { Some(c) } else { None },
            ' ' | '\t' if depth == 0 && quote.is_none() => break,
            '(' | '{' => depth += 1,
            ')' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if c != '"' && c != '\'' {
            word.push(c);
        }
    }
    let known = |prefixes: &[&str]| prefixes.iter().find_map(|prefix| word.strip_prefix(prefix));
    let (path, beside) = match (known(BESIDE), known(AT_ROOT)) {
        (Some(path), _) => (path, true),
        (None, Some(path)) => (path, false),
        (None, None) => (word.as_str(), false),
    };
    let is_known = !path.is_empty() && !path.contains(['$', '`', '*', '~']);
    is_known.then(|| Sourced { path: path.to_owned(), beside })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expect: &[&str]) {
        let shown = |it: Sourced| if it.beside { format!("@{}", it.path) } else { it.path };
        assert_eq!(sourced(text).into_iter().map(shown).collect::<Vec<_>>(), expect);
    }

    #[test]
    fn files_that_are_written_out() {
        check(
            ". lib/a.sh\nsource 'lib/b c.sh' x\n  . ./d.sh; echo",
            &["lib/a.sh", "lib/b c.sh", "./d.sh"],
        );
        check("set -e; . a.sh && source b.sh || exit", &["a.sh", "b.sh"]);
        check(
            "if . a.sh; then . b.sh; fi\n( . c.sh )\n[ -e x ] && . d.sh",
            &["a.sh", "b.sh", "c.sh", "d.sh"],
        );
        check(". \"$(dirname \"$0\")/lib.sh\"\n. \"${0%/*}/m.sh\"", &["@lib.sh", "@m.sh"]);
        check("source \"$(dirname -- \"${BASH_SOURCE[0]}\")/../n.sh\"", &["@../n.sh"]);
        check(". \"$GIORNATA_ROOT/lib/r.sh\"\nsource \\\n  s.sh", &["lib/r.sh", "s.sh"]);
    }

    #[test]
    fn what_is_only_known_later() {
        check(". \"$HOME/x.sh\"\n. ~/y.sh\nsource `f`\n. \"$lib\"", &[]);
        check("# . a.sh\necho source b.sh # . c.sh\n./run.sh\n.hidden", &[]);
    }

    proptest! {
        #[test]
        fn never_panics_on_junk(text in "(source|if|[ .;&|()$'\"\\\\\n#{}/]|[a-zé]){0,40}") {
            sourced(&text);
        }
    }
}
