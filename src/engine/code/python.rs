//! Reads the imports of a Python text, wherever they stand: at the top, in a function, behind a condition.
//!
//! This is no parser of Python. It takes strings and comments away and looks at the words at the beginnings
//! of statements.

/// A module as an import names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Module {
    /// How many dots stand in front: none is absolute, one is the package of the file itself.
    pub level: usize,
    pub path: Vec<String>,
    /// What is imported from it, some of which may be modules.
    pub names: Vec<String>,
    /// Everything is imported from it.
    pub all: bool,
}

impl Module {
    /// `package.module`.
    pub(super) fn absolute(dotted: &str) -> Module {
        let path = dotted.split('.').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        Module { level: 0, path, names: Vec::new(), all: false }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Symbol(char),
    /// The end of a line.
    Line,
}

/// The modules that a text imports, in order. One that is given as a text to `import_module` or `__import__`
/// is among them.
pub(super) fn modules(text: &str) -> Vec<Module> {
    let tokens = tokens(text);
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        let starts = at == 0
            || matches!(tokens[at - 1], Token::Line | Token::Symbol(';') | Token::Symbol(':'));
        let Token::Word(word) = &tokens[at] else { continue };
        let rest = &tokens[at + 1..];
        match word.as_str() {
            "import" if starts => found.extend(imported(rest)),
            "from" if starts => found.extend(imported_from(rest)),
            "import_module" | "__import__" => found.extend(by_text(rest)),
            _ => {}
        }
    }
    found
}

/// `import a.b as c, d`
fn imported(mut rest: &[Token]) -> Vec<Module> {
    let mut found = Vec::new();
    loop {
        let (module, after) = dotted(rest);
        if module.path.is_empty() {
            return found;
        }
        found.push(module);
        rest = without_alias(after);
        match rest.split_first() {
            Some((Token::Symbol(','), after)) => rest = after,
            Some(_) | None => return found,
        }
    }
}

/// `from ..a.b import (c as d, e)`
fn imported_from(rest: &[Token]) -> Option<Module> {
    let level = rest.iter().take_while(|token| **token == Token::Symbol('.')).count();
    let (mut module, rest) = dotted(&rest[level..]);
    module.level = level;
    let (first, mut rest) = rest.split_first()?;
    if *first != Token::Word("import".to_owned()) || (level == 0 && module.path.is_empty()) {
        return None;
    }
    let mut in_parentheses = false;
    while let Some((token, after)) = rest.split_first() {
        rest = after;
        match token {
            Token::Symbol('(') => in_parentheses = true,
            Token::Symbol('*') => module.all = true,
            Token::Symbol(',') => {}
            Token::Line if in_parentheses => {}
            Token::Word(word) if word == "as" => rest = rest.get(1..).unwrap_or_default(),
            Token::Word(name) => module.names.push(name.clone()),
            Token::Line | Token::Symbol(_) | Token::Text(_) => break,
        }
    }
    Some(module)
}

/// `("a.b")` and `(".c", package)`
fn by_text(rest: &[Token]) -> Option<Module> {
    let [Token::Symbol('('), Token::Text(name), ..] = rest else { return None };
    let level = name.len() - name.trim_start_matches('.').len();
    Some(Module { level, ..Module::absolute(name) })
}

fn dotted(mut rest: &[Token]) -> (Module, &[Token]) {
    let mut module = Module::absolute("");
    while let Some((Token::Word(name), after)) = rest.split_first() {
        if name == "import" {
            break;
        }
        module.path.push(name.clone());
        rest = after;
        match rest.split_first() {
            Some((Token::Symbol('.'), after)) => rest = after,
            Some(_) | None => break,
        }
    }
    (module, rest)
}

fn without_alias(rest: &[Token]) -> &[Token] {
    match rest {
        [Token::Word(word), Token::Word(_), rest @ ..] if word == "as" => rest,
        other => other,
    }
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if first == '_' || first.is_alphanumeric() {
            let len = rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(rest.len());
            // The letters in front of a string are part of it.
            if !(len <= 2 && rest[len..].starts_with(['"', '\''])) {
                tokens.push(Token::Word(rest[..len].to_owned()));
            }
            rest = &rest[len..];
        } else if first == '"' || first == '\'' {
            let (said, len) = string(rest, first);
            tokens.push(Token::Text(said.to_owned()));
            rest = &rest[len..];
        } else if first == '#' {
            rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
        } else if let Some(after) =
            rest.strip_prefix("\\\n").or_else(|| rest.strip_prefix("\\\r\n"))
        {
            rest = after;
        } else {
            match first {
                '\n' => tokens.push(Token::Line),
                c if c.is_whitespace() => {}
                c => tokens.push(Token::Symbol(c)),
            }
            rest = &rest[first.len_utf8()..];
        }
    }
    tokens
}

/// What a string at the beginning of `text` says, as it is written, and its length with the quotes.
fn string(text: &str, quote: char) -> (&str, usize) {
    let triple: String = [quote; 3].iter().collect();
    let (open, is_long) = if text.starts_with(&triple) { (3, true) } else { (1, false) };
    let mut chars = text.char_indices().skip(open);
    while let Some((at, c)) = chars.next() {
        if c == '\\' {
            chars.next();
        } else if is_long && text[at..].starts_with(&triple) {
            return (&text[open..at], at + 3);
        } else if !is_long && (c == quote || c == '\n') {
            // A line that ends within a string is an error of the user's, and the string's end.
            let len = if c == quote { at + 1 } else { at };
            return (&text[open..at], len);
        }
    }
    (&text[open.min(text.len())..], text.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expect: &[&str]) {
        let shown = |module: Module| {
            let dots = ".".repeat(module.level);
            let all = if module.all { " *" } else { "" };
            let names = module.names.iter().map(|name| format!(" {name}")).collect::<String>();
            format!("{dots}{}{names}{all}", module.path.join("."))
        };
        assert_eq!(modules(text).into_iter().map(shown).collect::<Vec<_>>(), expect);
    }

    #[test]
    fn imports_of_all_forms() {
        check("import a.b as c, d\nimport e;import f", &["a.b", "d", "e", "f"]);
        check("from a.b import c as d, e", &["a.b c e"]);
        check("from a import (\n  b, # one\n  c as d,\n)\nimport e", &["a b c", "e"]);
        check(
            "from . import x\nfrom ..y.z import *\nfrom ... import w",
            &[". x", "..y.z *", "... w"],
        );
        check("from a \\\n  import b\nimport \\\n c", &["a b", "c"]);
        check("def f():\n    import a\nif x: import b\ntry: from c import d\n", &["a", "b", "c d"]);
        check(
            "importlib.import_module('a.b')\n__import__(\"c\")\nimport_module('.d', p)",
            &["a.b", "c", ".d"],
        );
    }

    #[test]
    fn what_is_no_import() {
        check("'''\nimport a\n'''\nx = \"import b\" # import c\nimportant = 1\n", &[]);
        check("yield from a\nraise E from b\nx.import_module(name)\nfrom\nimport\n", &[]);
        check("r'\\'\nimport a'\nf\"\"\"\nimport b\n\"\"\"; import c", &["c"]);
    }

    proptest! {
        #[test]
        fn never_panics_on_junk(text in "(import|from|as|[ .,;:()*'\"\\\\\n#]|[a-zé]){0,40}") {
            modules(&text);
        }
    }
}
