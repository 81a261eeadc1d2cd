//! The text of an SQL asset, as far as we look into it: where its statements are, and whether it asks
//! for what changes from run to run.
//!
//! SQLite itself parses and refuses; this reads words only. What a text builds at run time
//! (`lower('NOW')`) is not seen.

use std::ops::Range;

use super::guard::Defines;

/// A text cut into statements.
#[derive(Debug)]
pub(super) struct Script {
    /// Places in the text, without the `;`.
    pub(super) statements: Vec<Range<usize>>,
    tokens: Vec<Token>,
}

/// What is wrong with a text, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Complaint {
    pub(super) offset: usize,
    pub(super) message: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    kind: Kind,
    at: Range<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Word,
    /// In single quotes.
    String,
    /// In double quotes, back quotes or brackets.
    Name,
    Parameter,
    Symbol(u8),
}

impl Script {
    pub(super) fn parse(text: &str) -> Result<Script, Complaint> {
        let tokens = tokens(text);
        let mut statements = Vec::new();
        for piece in tokens.split(|token| token.kind == Kind::Symbol(b';')) {
            if let (Some(first), Some(last)) = (piece.first(), piece.last()) {
                statements.push(first.at.start..last.at.end);
            }
        }
        if statements.is_empty() {
            let message = "there is no statement; end with a SELECT".to_owned();
            return Err(Complaint { offset: 0, message });
        }
        match unrepeatable(text, &tokens) {
            Some(complaint) => Err(complaint),
            None => Ok(Script { statements, tokens }),
        }
    }

    /// Where a name or a parameter first stands in a statement.
    pub(super) fn find(&self, text: &str, statement: &Range<usize>, name: &str) -> Option<usize> {
        let mut tokens = self.tokens.iter().filter(|token| statement.contains(&token.at.start));
        let found = tokens.find(|token| match token.kind {
            Kind::Parameter | Kind::Word => text[token.at.clone()].eq_ignore_ascii_case(name),
            Kind::Name => text[token.at.clone()].trim_matches(['"', '`', '[', ']']) == name,
            Kind::String | Kind::Symbol(_) => false,
        });
        found.map(|token| token.at.start)
    }

    /// Whether a statement makes or drops a table.
    pub(super) fn defines(text: &str, statement: &Range<usize>) -> Defines {
        let text = &text[statement.clone()];
        let verb = text.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or("");
        let defining = ["create", "drop", "alter"];
        match defining.iter().any(|word| verb.eq_ignore_ascii_case(word)) {
            true => Defines::Something,
            false => Defines::Nothing,
        }
    }
}

fn tokens(text: &str) -> Vec<Token> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let (kind, end) = match bytes[at] {
            byte if byte.is_ascii_whitespace() => (None, at + 1),
            b'-' if bytes.get(at + 1) == Some(&b'-') => (None, find(bytes, at, b"\n")),
            b'/' if bytes.get(at + 1) == Some(&b'*') => (None, find(bytes, at + 2, b"*/")),
            b'\'' => (Some(Kind::String), quoted(bytes, at, b'\'')),
            b'[' => (Some(Kind::Name), find(bytes, at, b"]")),
            quote @ (b'"' | b'`') => (Some(Kind::Name), quoted(bytes, at, quote)),
            b'$' | b':' | b'@' | b'?' => (Some(Kind::Parameter), word(bytes, at + 1)),
            byte if is_word(byte) => (Some(Kind::Word), word(bytes, at)),
            byte => (Some(Kind::Symbol(byte)), at + 1),
        };
        tokens.extend(kind.map(|kind| Token { kind, at: at..end }));
        at = end;
    }
    tokens
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn word(bytes: &[u8], start: usize) -> usize {
    start + bytes[start..].iter().take_while(|byte| is_word(**byte)).count()
}

/// The end of the first `what`, or of the text.
fn find(bytes: &[u8], start: usize, what: &[u8]) -> usize {
    let start = start.min(bytes.len());
    let found = bytes[start..].windows(what.len()).position(|window| window == what);
    found.map_or(bytes.len(), |found| start + found + what.len())
}

/// The end of what is quoted; a quote within is doubled.
fn quoted(bytes: &[u8], start: usize, quote: u8) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match (bytes[at] == quote, bytes.get(at + 1) == Some(&quote)) {
            (true, true) => at += 2,
            (true, false) => return at + 1,
            (false, _) => at += 1,
        }
    }
    bytes.len()
}

const CLOCKS: [&str; 3] = ["current_timestamp", "current_date", "current_time"];
const TIME_FUNCTIONS: [&str; 7] =
    ["date", "time", "datetime", "julianday", "unixepoch", "strftime", "timediff"];

/// The first thing in the text that would give another result in another run.
fn unrepeatable(text: &str, tokens: &[Token]) -> Option<Complaint> {
    tokens.iter().enumerate().find_map(|(place, token)| {
        if !matches!(token.kind, Kind::Word | Kind::Name) {
            return None;
        }
        let raw = &text[token.at.clone()];
        let name = raw.trim_matches(['"', '`', '[', ']']).to_ascii_lowercase();
        let called = tokens.get(place + 1).is_some_and(|next| next.kind == Kind::Symbol(b'('));
        let reason = if token.kind == Kind::Word && CLOCKS.contains(&name.as_str()) {
            Some("the clock")
        } else if called && TIME_FUNCTIONS.contains(&name.as_str()) {
            time_reason(text, &name, arguments(&tokens[place + 2..]))
        } else {
            None
        };
        reason.map(|reason| Complaint {
            offset: token.at.start,
            message: format!(
                "`{raw}` asks for {reason}, so no run could be repeated; \
                 use $partition, $start, $end or a config value"
            ),
        })
    })
}

/// The tokens up to the bracket that closes a call.
fn arguments(tokens: &[Token]) -> &[Token] {
    let mut depth = 1;
    let end = tokens.iter().position(|token| {
        match token.kind {
            Kind::Symbol(b'(') => depth += 1,
            Kind::Symbol(b')') => depth -= 1,
            Kind::Symbol(_) | Kind::Word | Kind::String | Kind::Name | Kind::Parameter => {}
        }
        depth == 0
    });
    &tokens[..end.unwrap_or(tokens.len())]
}

fn time_reason(text: &str, function: &str, arguments: &[Token]) -> Option<&'static str> {
    let strings = || {
        let strings = arguments.iter().filter(|token| token.kind == Kind::String);
        strings.map(|token| text[token.at.clone()].trim_matches('\'').to_ascii_lowercase())
    };
    let commas = arguments.iter().any(|token| token.kind == Kind::Symbol(b','));
    // Without a time these functions take the present one.
    let no_time = match function {
        "strftime" => !commas,
        _ => arguments.is_empty() || !commas && strings().any(|s| s.starts_with("subsec")),
    };
    if no_time || strings().any(|string| string.trim() == "now") {
        Some("the clock")
    } else if strings().any(|string| matches!(string.trim(), "localtime" | "utc")) {
        Some("the time zone of this machine")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, statements: &[&str]) {
        let script = Script::parse(text).unwrap();
        let found: Vec<&str> = script.statements.iter().map(|at| &text[at.clone()]).collect();
        assert_eq!(found, statements);
    }

    #[test]
    fn statements_end_at_semicolons_that_count() {
        check("SELECT 1", &["SELECT 1"]);
        check(" a 'x;''y' ; -- c; d\n b \"p;q\" /* ;*/ ; ;", &["a 'x;''y'", "b \"p;q\""]);
        check("SELECT [a;b] -- end", &["SELECT [a;b]"]);
        assert!(Script::parse(" -- nothing\n;").is_err());
    }

    #[track_caller]
    fn check_repeatable(text: &str, ok: bool) {
        assert_eq!(Script::parse(text).is_ok(), ok, "{text}");
    }

    #[test]
    fn the_clock_is_not_read() {
        for text in [
            "SELECT date('now')",
            "SELECT DateTime( 'NOW' , '-1 day')",
            "SELECT strftime('%Y')",
            "SELECT unixepoch()",
            "SELECT current_timestamp",
            "SELECT date($partition, 'localtime')",
            "SELECT datetime('subsec')",
            "SELECT \"date\"('now')",
        ] {
            check_repeatable(text, false);
        }
        for text in [
            "SELECT date(day), time FROM t",
            "SELECT strftime('%Y', day)",
            "SELECT 'now', date FROM t WHERE state = 'now' -- date('now')",
            "SELECT date($partition, '-1 day')",
        ] {
            check_repeatable(text, true);
        }
    }

    proptest! {
        #[test]
        fn junk_does_not_panic(text in "[a-z'\"`\\[\\];()$:/*\n -]*|\\PC*") {
            let _ = Script::parse(&text);
        }
    }
}
