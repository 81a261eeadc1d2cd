//! Reads the names that a Rust source mentions, without parsing it.
//!
//! What a macro builds from pieces is not seen, and a comment in a comment ends with the inner one.

/// One name as written (`crate::store::Store`), with groups taken apart.
#[derive(Debug)]
pub struct Name<'a> {
    pub segments: Vec<&'a str>,
    /// How many modules deep within the file the name stands.
    pub inline_depth: usize,
    /// Of a `use` or a macro call, where even a single segment means a crate or the crate's root.
    pub follows_use: bool,
    pub calls_macro: bool,
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Splits Rust source into words, `::` and single characters; comments and literals are left out.
pub fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let length = if let Some(length) = skipped(rest) {
            at += length;
            continue;
        } else if c.is_alphanumeric() || c == '_' {
            rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            c.len_utf8()
        };
        if !c.is_whitespace() {
            tokens.push(&rest[..length]);
        }
        at += length;
    }
    tokens
}

/// The length of the comment or literal that `rest` begins with.
fn skipped(rest: &str) -> Option<usize> {
    let until = |from: usize, end: &str| {
        rest[from..].find(end).map_or(rest.len(), |n| from + n + end.len())
    };
    if rest.starts_with("//") {
        return Some(until(2, "\n"));
    }
    if rest.starts_with("/*") {
        return Some(until(2, "*/"));
    }
    let raw = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'));
    if let Some(raw) = raw {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let from = rest.len() - raw.len() + hashes + 1;
            return Some(until(from, &format!("\"{}", "#".repeat(hashes))));
        }
    }
    let quoted = rest.strip_prefix('b').unwrap_or(rest);
    let prefix = rest.len() - quoted.len();
    let quote = quoted.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    if quote == '\'' && !quoted[1..].starts_with('\\') {
        // One character and a quote is a literal; anything else is a lifetime.
        let first = quoted[1..].chars().next()?;
        let literal = quoted[1 + first.len_utf8()..].starts_with('\'');
        return literal.then_some(prefix + first.len_utf8() + 2);
    }
    let mut escaped = false;
    let end = quoted[1..].find(|c: char| {
        let ends = c == quote && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    Some(prefix + end.map_or(quoted.len(), |end| end + 2))
}

/// Every name in `tokens`.
pub fn names<'a>(tokens: &[&'a str]) -> Vec<Name<'a>> {
    let mut names = Vec::new();
    // The depth of braces at which each enclosing `mod name {` began.
    let mut modules = Vec::new();
    let (mut braces, mut at) = (0_usize, 0);
    while at < tokens.len() {
        let before = |n: usize| at.checked_sub(n).map_or("", |i| tokens[i]);
        let continues = match (before(2), before(1)) {
            (_, ".") => true,
            (left, "::") => left == ">" || left != "use" && is_word(left),
            _ => false,
        };
        match tokens[at] {
            "{" => {
                if before(2) == "mod" {
                    modules.push(braces);
                }
                braces += 1;
            }
            "}" => {
                braces = braces.saturating_sub(1);
                if modules.last() == Some(&braces) {
                    modules.pop();
                }
            }
            word if is_word(word) && word != "use" && !continues => {
                let follows_use = before(1) == "use";
                let mut paths = Vec::new();
                read_tree(tokens, &mut at, &mut Vec::new(), &mut paths);
                let calls_macro = tokens.get(at) == Some(&"!");
                names.extend(paths.into_iter().map(|segments| Name {
                    segments,
                    inline_depth: modules.len(),
                    follows_use,
                    calls_macro,
                }));
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    names
}

/// Reads `a::b` or `a::{b, c::d}` from `at` on, and leaves `at` behind it.
fn read_tree<'a>(
    tokens: &[&'a str],
    at: &mut usize,
    prefix: &mut Vec<&'a str>,
    out: &mut Vec<Vec<&'a str>>,
) {
    let depth = prefix.len();
    loop {
        let token = tokens.get(*at).copied().unwrap_or("");
        *at += 1;
        if token == "{" {
            while *at < tokens.len() && tokens[*at] != "}" {
                if tokens[*at] == "as" {
                    *at += 2;
                } else if is_word(tokens[*at]) || matches!(tokens[*at], "*" | "{") {
                    read_tree(tokens, at, prefix, out);
                } else {
                    *at += 1;
                }
            }
            *at += 1;
            break;
        }
        prefix.push(token);
        let next = tokens.get(*at + 1).copied().unwrap_or("");
        let goes_on =
            tokens.get(*at) == Some(&"::") && (is_word(next) || matches!(next, "*" | "{"));
        if !goes_on {
            out.push(prefix.clone());
            break;
        }
        *at += 1;
    }
    prefix.truncate(depth);
}
