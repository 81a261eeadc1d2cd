//! Finds, without running it, which tables a SQL script reads.
//!
//! This is no parser of SQL: it follows `FROM`, `JOIN` and the commas between tables, keeps track
//! of parentheses, and leaves out common table expressions, table-valued functions and tables that
//! the script creates itself. SQLite says later whether the rest makes sense.

use std::collections::BTreeSet;
use std::ops::Range;

/// A table that a script reads, as it is written there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TableName {
    /// Without quotes.
    pub name: String,
    /// Bytes of the script.
    pub span: Range<usize>,
}

/// The tables that a script reads, each once, by first appearance.
pub(super) fn tables(script: &str) -> Vec<TableName> {
    let tokens = Lexer { text: script, at: 0 }.collect();
    let mut reader = Reader {
        tokens,
        at: 0,
        scopes: vec![Scope::default()],
        created: BTreeSet::new(),
        found: Vec::new(),
    };
    reader.read();
    let Reader { created, found, .. } = reader;
    let mut seen = BTreeSet::new();
    found
        .into_iter()
        .filter(|table| !is_of_sqlite(&table.name))
        .filter(|table| !created.contains(&table.name.to_ascii_lowercase()))
        // Another spelling may be another asset.
        .filter(|table| seen.insert(table.name.clone()))
        .collect()
}

fn is_of_sqlite(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("sqlite_") || name.starts_with("pragma_")
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// A bare word: a keyword or a name.
    Word(String),
    /// A quoted name.
    Quoted(String),
    Symbol(char),
    /// A literal or a parameter.
    Other,
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl Iterator for Lexer<'_> {
    type Item = (Token, Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        self.skip_blank();
        let start = self.at;
        let rest = &self.text[start..];
        let first = rest.chars().next()?;
        let (token, len) = match first {
            '\'' => (Token::Other, quoted(rest, '\'').0),
            '"' | '`' => {
                let (len, name) = quoted(rest, first);
                (Token::Quoted(name), len)
            }
            '[' => {
                let len = rest.find(']').map_or(rest.len(), |end| end + 1);
                (Token::Quoted(rest[1..len].trim_end_matches(']').to_owned()), len)
            }
            '$' | ':' | '@' | '?' | '#' => {
                (Token::Other, first.len_utf8() + word_len(&rest[first.len_utf8()..]))
            }
            c if c.is_ascii_digit() => (Token::Other, word_len(rest)),
            c if is_word(c) => {
                let len = word_len(rest);
                (Token::Word(rest[..len].to_owned()), len)
            }
            c => (Token::Symbol(c), c.len_utf8()),
        };
        self.at = start + len;
        Some((token, start..self.at))
    }
}

impl Lexer<'_> {
    fn skip_blank(&mut self) {
        loop {
            let rest = &self.text[self.at..];
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            let len = if trimmed.starts_with("--") {
                trimmed.find('\n').unwrap_or(trimmed.len())
            } else if let Some(comment) = trimmed.strip_prefix("/*") {
                comment.find("*/").map_or(trimmed.len(), |end| end + 4)
            } else {
                return;
            };
            self.at += len;
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

fn word_len(text: &str) -> usize {
    text.find(|c| !is_word(c)).unwrap_or(text.len())
}

/// Length of a quoted text, quotes included, and what it says; a doubled quote stands for one.
fn quoted(text: &str, quote: char) -> (usize, String) {
    let mut said = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c != quote {
            said.push(c);
        } else if chars.next_if(|(_, next)| *next == quote).is_some() {
            said.push(quote);
        } else {
            return (at + quote.len_utf8(), said);
        }
    }
    (text.len(), said)
}

/// What is known within one pair of parentheses (or one statement).
#[derive(Debug, Default)]
struct Scope {
    /// Between `FROM` and the next clause: a comma separates tables.
    in_from: bool,
    /// The next word names a table.
    wants_table: bool,
    /// Names of common table expressions, in lower case.
    ctes: BTreeSet<String>,
}

struct Reader {
    tokens: Vec<(Token, Range<usize>)>,
    at: usize,
    scopes: Vec<Scope>,
    created: BTreeSet<String>,
    found: Vec<TableName>,
}

/// Words that end the list of tables after `FROM`.
const CLAUSES: &[&str] = &[
    "where",
    "group",
    "order",
    "having",
    "limit",
    "window",
    "union",
    "except",
    "intersect",
    "returning",
    "select",
    "set",
    "values",
];

impl Reader {
    fn read(&mut self) {
        while self.at < self.tokens.len() {
            let token = self.tokens[self.at].0.clone();
            match token {
                Token::Symbol(symbol) => self.symbol(symbol),
                Token::Word(word) if self.is_keyword() => self.word(&word.to_ascii_lowercase()),
                Token::Word(_) | Token::Quoted(_) => self.name(),
                Token::Other => self.scope().wants_table = false,
            }
            self.at += 1;
        }
    }

    fn scope(&mut self) -> &mut Scope {
        self.scopes.last_mut().expect("the scope of the statement is never popped")
    }

    fn token(&self, offset: usize) -> Option<&Token> {
        self.tokens.get(self.at + offset).map(|(token, _)| token)
    }

    fn peek_word(&self, offset: usize) -> Option<String> {
        match self.token(offset)? {
            Token::Word(word) => Some(word.to_ascii_lowercase()),
            Token::Quoted(_) | Token::Symbol(_) | Token::Other => None,
        }
    }

    fn peek_name(&self, offset: usize) -> Option<&str> {
        match self.token(offset)? {
            Token::Word(name) | Token::Quoted(name) => Some(name),
            Token::Symbol(_) | Token::Other => None,
        }
    }

    /// A word after a dot is a column, whatever it says.
    fn is_keyword(&self) -> bool {
        self.at == 0 || self.tokens[self.at - 1].0 != Token::Symbol('.')
    }

    fn symbol(&mut self, symbol: char) {
        match symbol {
            '(' => {
                let opens_query =
                    matches!(self.peek_word(1).as_deref(), Some("select" | "with" | "values"));
                let outer = self.scope();
                // `FROM (a JOIN b)` groups tables; `FROM (SELECT ..)` is a query of its own.
                let groups = outer.wants_table && !opens_query;
                outer.wants_table = false;
                self.scopes.push(Scope {
                    in_from: groups,
                    wants_table: groups,
                    ..Scope::default()
                });
            }
            ')' if self.scopes.len() > 1 => {
                self.scopes.pop();
            }
            ';' => self.scopes = vec![Scope::default()],
            ',' => {
                let scope = self.scope();
                scope.wants_table = scope.in_from;
            }
            _ => {}
        }
    }

    fn word(&mut self, word: &str) {
        match word {
            // `a IS DISTINCT FROM b` compares.
            "from" if self.at > 0 && self.previous_is("distinct") => {}
            "from" => {
                let scope = self.scope();
                (scope.in_from, scope.wants_table) = (true, true);
            }
            "join" => self.scope().wants_table = true,
            // `x IN table` reads a whole table.
            "in" => {
                self.scope().wants_table = self.token(1) != Some(&Token::Symbol('('));
            }
            "with" => self.with(),
            "create" => self.create(),
            // `INSERT INTO t`, `UPDATE t`, `DROP TABLE t`: the name is written, not read.
            "into" => self.skip_target(),
            _ if CLAUSES.contains(&word) => {
                let scope = self.scope();
                (scope.in_from, scope.wants_table) = (false, false);
            }
            _ => self.name(),
        }
    }

    fn previous_is(&self, word: &str) -> bool {
        matches!(&self.tokens[self.at - 1].0, Token::Word(it) if it.eq_ignore_ascii_case(word))
    }

    fn skip_target(&mut self) {
        if self.peek_name(1).is_some() {
            self.at += 1;
        }
    }

    /// A word or quoted name that is no keyword here.
    fn name(&mut self) {
        if !std::mem::take(&mut self.scope().wants_table) {
            return;
        }
        let start = self.tokens[self.at].1.start;
        let mut name = self.peek_name(0).unwrap_or_default().to_owned();
        if self.token(1) == Some(&Token::Symbol('.'))
            && let Some(table) = self.peek_name(2)
        {
            let own = name.eq_ignore_ascii_case("main") || name.eq_ignore_ascii_case("temp");
            name = if own { table.to_owned() } else { format!("{name}.{table}") };
            self.at += 2;
        }
        let span = start..self.tokens[self.at].1.end;
        let is_function = self.token(1) == Some(&Token::Symbol('('));
        let lower = name.to_ascii_lowercase();
        let is_cte = self.scopes.iter().any(|scope| scope.ctes.contains(&lower));
        if !is_function && !is_cte {
            self.found.push(TableName { name, span });
        }
    }

    /// Collects the names that a `WITH` clause defines, all of them at once: each may use the others.
    fn with(&mut self) {
        let mut offset = 1;
        if self.peek_word(offset).as_deref() == Some("recursive") {
            offset += 1;
        }
        while let Some(name) = self.peek_name(offset).map(str::to_ascii_lowercase) {
            offset += 1;
            if self.token(offset) == Some(&Token::Symbol('(')) {
                offset = self.after_group(offset);
            }
            if self.peek_word(offset).as_deref() != Some("as") {
                return;
            }
            self.scope().ctes.insert(name);
            while matches!(self.peek_word(offset).as_deref(), Some("as" | "not" | "materialized")) {
                offset += 1;
            }
            if self.token(offset) != Some(&Token::Symbol('(')) {
                return;
            }
            offset = self.after_group(offset);
            if self.token(offset) != Some(&Token::Symbol(',')) {
                return;
            }
            offset += 1;
        }
    }

    /// The offset behind the parenthesis that closes the one at `offset`.
    fn after_group(&self, mut offset: usize) -> usize {
        let mut depth = 0_usize;
        while let Some(token) = self.token(offset) {
            offset += 1;
            match token {
                Token::Symbol('(') => depth += 1,
                Token::Symbol(')') => {
                    depth -= 1;
                    if depth == 0 {
                        return offset;
                    }
                }
                Token::Symbol(_) | Token::Word(_) | Token::Quoted(_) | Token::Other => {}
            }
        }
        offset
    }

    /// Remembers the table or view that `CREATE` makes.
    fn create(&mut self) {
        let mut offset = 1;
        while matches!(self.peek_word(offset).as_deref(), Some("temp" | "temporary" | "virtual")) {
            offset += 1;
        }
        if !matches!(self.peek_word(offset).as_deref(), Some("table" | "view")) {
            return;
        }
        offset += 1;
        while matches!(self.peek_word(offset).as_deref(), Some("if" | "not" | "exists")) {
            offset += 1;
        }
        if self.token(offset + 1) == Some(&Token::Symbol('.')) {
            offset += 2;
        }
        if let Some(name) = self.peek_name(offset) {
            let name = name.to_ascii_lowercase();
            self.created.insert(name);
            self.at += offset;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(script: &str, expect: &[&str]) {
        let found: Vec<String> = tables(script).into_iter().map(|table| table.name).collect();
        assert_eq!(found, expect, "{script}");
    }

    #[test]
    fn reads_from_join_and_commas() {
        check("select * from a, b as x join c on a.i = c.i, d where e = f", &["a", "b", "c", "d"]);
        check("SELECT x FROM a LEFT OUTER JOIN b USING (x, y), c", &["a", "b", "c"]);
        check("select * from (a join b on f(a.x, b.x)), (c, d)", &["a", "b", "c", "d"]);
        check("select (select max(x) from b), y from a order by y, z", &["b", "a"]);
        check("select 1 where x in a union select 2 from b except values (1)", &["a", "b"]);
        check(
            "select * from a where exists (select 1 from B where a.x = b.x) -- from c",
            &["a", "B"],
        );
    }

    #[test]
    fn reads_quoted_and_qualified_names() {
        check(
            r#"select * from "mart/revenue", [a b], `c``d`, main.e"#,
            &["mart/revenue", "a b", "c`d", "e"],
        );
        check("select t.from, 'from x' from a /* from y */ t, other.b", &["a", "other.b"]);
        check("select * from a, A, \"a\"", &["a", "A"]);
    }

    #[test]
    fn leaves_out_what_the_script_defines() {
        check(
            "with x as (select * from a), y(i, j) as not materialized (select * from x) select * from y, b",
            &["a", "b"],
        );
        check("with recursive n(i) as (select 1 union select i + 1 from n) select * from n", &[]);
        check("select * from (with x as (select * from a) select * from x), x", &["a", "x"]);
        check(
            "create temp table t as select * from a; insert into t select * from b; select * from t",
            &["a", "b"],
        );
        check("create view if not exists main.v as select * from a; select * from V", &["a"]);
        check(
            "select value from json_each($partition), a, generate_series(1, 3) s, b",
            &["a", "b"],
        );
        check("select * from a where x is not distinct from y", &["a"]);
        check("select * from sqlite_schema, pragma_table_info", &[]);
        check("update t set x = y from a", &["a"]);
    }

    #[test]
    fn spans_are_of_the_name() {
        let script = "select * from \"é\" x, main.b";
        let spans: Vec<&str> = tables(script).iter().map(|t| &script[t.span.clone()]).collect();
        assert_eq!(spans, ["\"é\"", "main.b"]);
    }

    proptest! {
        #[test]
        fn never_panics_on_junk(
            script in "(select|from|join|with|as|create|table|in|distinct|;|,|\\(|\\)|\\.| |\"|'|`|\\[|\\]|--|/\\*|\\*/|\n|[a-c$:é]){0,60}"
        ) {
            for table in tables(&script) {
                prop_assert!(script.get(table.span).is_some());
            }
        }
    }
}
