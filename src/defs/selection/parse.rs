//! Reads a selection: tokens with their places, then a parser of one function a precedence.

use std::ops::Range;

use globset::{GlobBuilder, GlobMatcher};

use super::{Kind, Node, STATES, SelectionError, Value, did_you_mean};

/// Deeper nesting is refused, so that no text exhausts the call stack.
const DEPTH_MAX: usize = 100;

const ATTRIBUTES: [&str; 8] = ["key", "tag", "owner", "group", "kind", "status", "path", "is"];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Quoted(String),
    Null,
    Plus,
    Colon,
    Equals,
    Comma,
    Open,
    Close,
}

#[derive(Debug, Clone)]
struct Spanned {
    token: Token,
    span: Range<usize>,
}

pub(super) fn parse(text: &str) -> Result<Node, SelectionError> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, end: text.len(), depth: 0 };
    let node = parser.or()?;
    match parser.peek() {
        None => Ok(node),
        Some(Token::Close) => Err(SelectionError::syntax(parser.span(), "this `)` closes nothing")),
        Some(_) => Err(SelectionError::syntax(
            parser.span(),
            format!("`{}` cannot stand here", &text[parser.span()]),
        )),
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '/' | '.' | '*')
}

fn tokens(text: &str) -> Result<Vec<Spanned>, SelectionError> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let start = text.len() - rest.len();
        let (token, len) = match c {
            c if c.is_whitespace() => {
                rest = &rest[c.len_utf8()..];
                continue;
            }
            '+' => (Token::Plus, 1),
            ':' => (Token::Colon, 1),
            '=' => (Token::Equals, 1),
            ',' => (Token::Comma, 1),
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            '"' | '\'' => {
                let Some(len) = rest[1..].find(c) else {
                    return Err(SelectionError::syntax(
                        start..text.len(),
                        "the quote is not closed",
                    ));
                };
                (Token::Quoted(rest[1..=len].to_owned()), len + 2)
            }
            '<' if rest.starts_with("<null>") => (Token::Null, "<null>".len()),
            c if is_word(c) => {
                // An owner is mostly an address.
                let is_owner = matches!(
                    tokens.as_slice(),
                    [.., Spanned { token: Token::Word(word), .. }, Spanned { token: Token::Colon, .. }]
                        if word == "owner"
                );
                let is_part = |c: char| is_word(c) || (is_owner && c == '@');
                let len = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
                (Token::Word(rest[..len].to_owned()), len)
            }
            c => {
                let span = start..start + c.len_utf8();
                let error = SelectionError::syntax(span, format!("`{c}` cannot stand here"));
                return Err(error.help("a value with such characters is written in quotes"));
            }
        };
        tokens.push(Spanned { token, span: start..start + len });
        rest = &rest[len..];
    }
    Ok(tokens)
}

struct Parser {
    tokens: Vec<Spanned>,
    at: usize,
    end: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.peek_at(0)
    }

    fn peek_at(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.at + ahead).map(|spanned| &spanned.token)
    }

    /// The place of the next token, or of the end.
    fn span(&self) -> Range<usize> {
        self.span_at(0)
    }

    fn span_at(&self, ahead: usize) -> Range<usize> {
        let end = self.end..self.end;
        self.tokens.get(self.at + ahead).map_or(end, |spanned| spanned.span.clone())
    }

    /// Where the last token that was read ends.
    fn last_end(&self) -> usize {
        self.at.checked_sub(1).map_or(0, |last| self.tokens[last].span.end)
    }

    /// Whether no space is in front of the token that is `ahead`.
    fn is_glued(&self, ahead: usize) -> bool {
        let before = (self.at + ahead).checked_sub(1).and_then(|place| self.tokens.get(place));
        before.is_some_and(|before| before.span.end == self.span_at(ahead).start)
    }

    fn is_keyword(&self, ahead: usize, keyword: &str) -> bool {
        let word =
            matches!(self.peek_at(ahead), Some(Token::Word(w)) if w.eq_ignore_ascii_case(keyword));
        word && !matches!(self.peek_at(ahead + 1), Some(Token::Colon))
    }

    fn eat_keyword(&mut self, keyword: &str) -> bool {
        let found = self.is_keyword(0, keyword);
        self.at += usize::from(found);
        found
    }

    fn eat(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        self.at += usize::from(found);
        found
    }

    /// Whether the token that is `ahead` can begin an operand; a `+` begins one as well.
    fn begins_operand(&self, ahead: usize) -> bool {
        match self.peek_at(ahead) {
            Some(Token::Word(_)) => !["and", "or"].iter().any(|word| self.is_keyword(ahead, word)),
            Some(Token::Quoted(_) | Token::Open | Token::Plus) => true,
            Some(Token::Null | Token::Colon | Token::Equals | Token::Comma | Token::Close)
            | None => false,
        }
    }

    fn deeper<T>(
        &mut self,
        parse: impl FnOnce(&mut Self) -> Result<T, SelectionError>,
    ) -> Result<T, SelectionError> {
        if self.depth == DEPTH_MAX {
            return Err(SelectionError::syntax(self.span(), "this is nested too deeply"));
        }
        self.depth += 1;
        let result = parse(self);
        self.depth -= 1;
        result
    }

    fn or(&mut self) -> Result<Node, SelectionError> {
        let mut nodes = vec![self.and()?];
        loop {
            if self.eat_keyword("or") {
                nodes.push(self.and()?);
            } else if self.begins_operand(0) {
                if self.is_glued(0) {
                    let error = SelectionError::syntax(self.span(), "a space is missing here");
                    return Err(error.help("a space means `or`, a comma `and`"));
                }
                nodes.push(self.and()?);
            } else {
                return Ok(joined(nodes, Kind::Or));
            }
        }
    }

    fn and(&mut self) -> Result<Node, SelectionError> {
        let mut nodes = vec![self.not()?];
        while self.eat(&Token::Comma) || self.eat_keyword("and") {
            nodes.push(self.not()?);
        }
        Ok(joined(nodes, Kind::And))
    }

    fn not(&mut self) -> Result<Node, SelectionError> {
        let start = self.span().start;
        if self.eat_keyword("not") {
            let node = self.deeper(Parser::not)?;
            return Ok(self.node(start, Kind::Not(Box::new(node))));
        }
        self.around()
    }

    /// `2+x+1`: layers of what is upstream and downstream.
    fn around(&mut self) -> Result<Node, SelectionError> {
        let start = self.span().start;
        let up = self.upstream_layers();
        let of = self.primary()?;
        let down = self.downstream_layers()?;
        if up.is_none() && down.is_none() {
            return Ok(of);
        }
        Ok(self.node(start, Kind::Around { of: Box::new(of), up, down }))
    }

    fn upstream_layers(&mut self) -> Option<u32> {
        if self.eat(&Token::Plus) {
            return Some(u32::MAX);
        }
        let layers = number(self.peek()?)?;
        let is_count = self.peek_at(1) == Some(&Token::Plus)
            && self.is_glued(1)
            && self.begins_operand(2)
            && self.peek_at(2) != Some(&Token::Plus);
        is_count.then(|| {
            self.at += 2;
            layers
        })
    }

    fn downstream_layers(&mut self) -> Result<Option<u32>, SelectionError> {
        if self.peek() != Some(&Token::Plus) {
            return Ok(None);
        }
        if !self.is_glued(0) && self.begins_operand(1) {
            if self.is_glued(1) {
                // `a +b`: the `+` belongs to the next operand.
                return Ok(None);
            }
            let error = SelectionError::syntax(self.span(), "this `+` belongs to neither side");
            return Err(error.help("write `a+ b` or `a +b`"));
        }
        self.at += 1;
        if self.is_glued(0) && self.peek() == Some(&Token::Plus) {
            let error = SelectionError::syntax(self.span(), "one `+` is enough");
            return Err(error.help("two layers downstream are written `x+2`"));
        }
        if self.is_glued(0)
            && let Some(layers) = self.peek().and_then(number)
        {
            self.at += 1;
            return Ok(Some(layers));
        }
        Ok(Some(u32::MAX))
    }

    fn primary(&mut self) -> Result<Node, SelectionError> {
        let span = self.span();
        let Some(token) = self.peek().cloned() else {
            return Err(SelectionError::syntax(span, "an asset is missing here")
                .help("`*` selects everything"));
        };
        match token {
            Token::Open => self.parentheses(),
            Token::Word(word) if self.peek_at(1) == Some(&Token::Colon) => self.attribute(&word),
            Token::Word(word)
                if self.peek_at(1) == Some(&Token::Open)
                    && matches!(&*word, "roots" | "sinks")
                    && self.is_glued(1) =>
            {
                self.at += 1;
                let of = Box::new(self.parentheses()?);
                let kind = if word == "roots" { Kind::Roots(of) } else { Kind::Sinks(of) };
                Ok(self.node(span.start, kind))
            }
            Token::Word(_) if !self.begins_operand(0) => {
                Err(SelectionError::syntax(span, "an asset is missing before this word"))
            }
            Token::Word(name) | Token::Quoted(name) => {
                self.at += 1;
                Ok(Node { kind: name_kind(&name, &span)?, span })
            }
            Token::Plus if self.at > 0 && self.is_glued(0) => {
                let error = SelectionError::syntax(span, "one `+` is enough");
                Err(error.help("two layers upstream are written `2+x`"))
            }
            Token::Plus
            | Token::Null
            | Token::Colon
            | Token::Equals
            | Token::Comma
            | Token::Close => Err(SelectionError::syntax(span, "an asset is missing here")),
        }
    }

    fn parentheses(&mut self) -> Result<Node, SelectionError> {
        let open = self.span();
        self.at += 1;
        let node = self.deeper(Parser::or)?;
        if self.eat(&Token::Close) {
            Ok(node)
        } else {
            Err(SelectionError::syntax(open, "this `(` is not closed"))
        }
    }

    fn attribute(&mut self, name: &str) -> Result<Node, SelectionError> {
        let start = self.span();
        if !ATTRIBUTES.contains(&name) {
            let message = format!("there is no attribute `{name}:`");
            let known = format!("there are `{}:`", ATTRIBUTES.join(":`, `"));
            let similar = did_you_mean(name, ATTRIBUTES).map(|help| help.replace("`?", ":`?"));
            return Err(SelectionError::syntax(start, message).help(similar.unwrap_or(known)));
        }
        self.at += 2;
        let value_span = self.span();
        let value = self.value()?;
        let kind = match (name, value) {
            ("tag", Value::Is(key)) => self.tag(key)?,
            ("key", Value::Is(text)) => name_kind(&text, &value_span)?,
            ("path", Value::Is(text)) => path_kind(&text, &value_span)?,
            (_, Value::Is(text)) if text.contains('*') => {
                let error = SelectionError::syntax(value_span, "`*` cannot stand here");
                return Err(error.help("only names, `key:` and `path:` take `*`"));
            }
            ("owner", value) => Kind::Owner(value),
            ("group", value) => Kind::Group(value),
            ("kind", value) => Kind::OfSort(value),
            ("status", Value::Is(text)) => status_kind(text, value_span.clone())?,
            ("is", Value::Is(text)) => is_kind(&text, value_span.clone())?,
            (_, Value::Null | Value::Is(_)) => {
                return Err(SelectionError::syntax(
                    value_span,
                    format!("`{name}:` is never `<null>`"),
                ));
            }
        };
        if self.is_glued(0) && self.peek() == Some(&Token::Colon) {
            let error = SelectionError::syntax(self.span(), "a second `:`");
            return Err(error.help("a value with `:` in it is written in quotes"));
        }
        // An unknown name is shown without its `key:`.
        let start = if name == "key" { value_span.start } else { start.start };
        Ok(self.node(start, kind))
    }

    fn value(&mut self) -> Result<Value, SelectionError> {
        let value = match self.peek() {
            Some(Token::Word(text) | Token::Quoted(text)) => Value::Is(text.clone()),
            Some(Token::Null) => Value::Null,
            Some(Token::Plus | Token::Colon | Token::Equals | Token::Comma)
            | Some(Token::Open | Token::Close)
            | None => {
                return Err(SelectionError::syntax(self.span(), "a value is missing here"));
            }
        };
        self.at += 1;
        Ok(value)
    }

    /// A tag without a value is one whose value is empty.
    fn tag(&mut self, key: String) -> Result<Kind, SelectionError> {
        if !self.eat(&Token::Equals) {
            return Ok(Kind::Tag { key, value: String::new() });
        }
        Ok(match self.value()? {
            Value::Is(value) => Kind::Tag { key, value },
            Value::Null => Kind::Tag { key, value: String::new() },
        })
    }

    fn node(&self, start: usize, kind: Kind) -> Node {
        Node { span: start..self.last_end(), kind }
    }
}

fn joined(mut nodes: Vec<Node>, join: fn(Vec<Node>) -> Kind) -> Node {
    match (nodes.len(), nodes.first(), nodes.last()) {
        (2.., Some(first), Some(last)) => {
            Node { span: first.span.start..last.span.end, kind: join(nodes) }
        }
        (_, _, _) => nodes.pop().expect("a list begins with one operand"),
    }
}

fn number(token: &Token) -> Option<u32> {
    match token {
        Token::Word(word) if word.bytes().all(|b| b.is_ascii_digit()) => {
            Some(word.parse().unwrap_or(u32::MAX))
        }
        Token::Word(_) | Token::Quoted(_) | Token::Null | Token::Plus | Token::Colon => None,
        Token::Equals | Token::Comma | Token::Open | Token::Close => None,
    }
}

fn name_kind(text: &str, span: &Range<usize>) -> Result<Kind, SelectionError> {
    Ok(match text {
        "*" => Kind::Everything,
        _ if text.contains('*') => Kind::Glob(glob(text, span)?),
        _ => Kind::Name(text.to_owned()),
    })
}

/// A file, or everything below a folder.
fn path_kind(text: &str, span: &Range<usize>) -> Result<Kind, SelectionError> {
    let text = text.trim_start_matches("./").trim_end_matches('/');
    let text = if text.is_empty() || text == "." { "*" } else { text };
    Ok(Kind::Path(glob(text, span)?))
}

fn status_kind(text: String, span: Range<usize>) -> Result<Kind, SelectionError> {
    if STATES.contains(&text.as_str()) {
        return Ok(Kind::Status(text));
    }
    let known = format!("there are `{}`", STATES.join("`, `"));
    let help = did_you_mean(&text, STATES).unwrap_or(known);
    Err(SelectionError::syntax(span, format!("there is no state `{text}`")).help(help))
}

fn is_kind(text: &str, span: Range<usize>) -> Result<Kind, SelectionError> {
    match text {
        "source" | "external" => Ok(Kind::Source),
        "asset" | "materializable" => Ok(Kind::NoSource),
        text => Err(SelectionError::syntax(span, format!("nothing is `{text}`"))
            .help("there are `is:source` and `is:asset`")),
    }
}

/// Only `*` is special, and it also stands for `/`.
fn glob(text: &str, span: &Range<usize>) -> Result<GlobMatcher, SelectionError> {
    let escaped: Vec<String> = text.split('*').map(globset::escape).collect();
    match GlobBuilder::new(&escaped.join("*")).literal_separator(false).build() {
        Ok(glob) => Ok(glob.compile_matcher()),
        Err(error) => Err(SelectionError::syntax(span.clone(), error.to_string())),
    }
}
