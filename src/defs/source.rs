//! Sources: data from outside, observed and never computed.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use crate::base::AssetKey;

/// Where a source's data is and how it falls into partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceDef {
    /// Files whose paths match a pattern. Each is a partition, or (with `split_by`) one file whose
    /// rows fall into partitions by a column.
    Files {
        pattern: PathPattern,
        split_by: Option<SplitBy>,
        /// Declared column types, for tables; what is not named is inferred.
        columns: BTreeMap<String, ColumnType>,
    },
    /// A directory with all that is in it, as one value.
    Dir {
        /// Relative to the project's root, or absolute; without a slash at its end.
        path: String,
        /// Declared column types, for the tables in it.
        columns: BTreeMap<String, ColumnType>,
    },
    /// Something of which a command prints the version.
    Observe {
        /// For `sh -c`.
        command: String,
        /// How long an answer holds; `None`: until the next look.
        ttl: Option<Duration>,
        timeout: Duration,
    },
    /// The files that another asset of the project makes: each is a partition. They are what that
    /// asset has recorded, and are settled when it is.
    Pieces {
        of: AssetKey,
        /// Of paths within the directory that it makes.
        pattern: PathPattern,
    },
}

/// The column whose values are partition keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitBy {
    pub column: String,
    /// How the column writes a date (chrono's `strftime` form), where that is not how keys are
    /// written: `split_by: "date:%Y/%m/%d"`.
    pub format: Option<String>,
}

/// The declared type of a column. A cell that is not of it is an error, not an empty cell.
///
/// ```
/// use giornata::api::{ColumnType, Project};
/// # let dir = tempfile::tempdir()?;
/// # std::fs::write(dir.path().join("stock.csv"), "code,pieces\n007,4\n")?;
/// let mut project = Project::new("shop", dir.path());
/// let stock = project.source("stock").column("code", ColumnType::Text).files("stock.csv");
/// let table = project.get(&stock, ())?;
/// assert_eq!(table.cell(0, "code").and_then(|code| code.as_text()), Some("007"));
/// assert_eq!(table.cell(0, "pieces").and_then(|pieces| pieces.as_integer()), Some(4));
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// Texts, as they are written: `007` stays `007`.
    Text,
    /// Integers of 64 bits.
    Integer,
    /// Numbers of double precision.
    Real,
}

/// A path relative to the project's root with captures (`{name}`, `{date:%Y-%m-%d}`) and globs.
///
/// A capture stands for one or more characters other than `/`; its values make the partition key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    pub text: String,
    pub pieces: Vec<PatternPiece>,
}

/// A piece of a [`PathPattern`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatternPiece {
    Literal(String),
    /// `*`, `?`, `[..]`, `**` or `{a,b}`, as globset reads them.
    Glob(String),
    Capture {
        name: String,
        format: Option<String>,
    },
}

impl PathPattern {
    /// Reads `data/{name}.csv`, `data/{date:%Y-%m-%d}.csv`, `data/**/*.{csv,tsv}`.
    ///
    /// ```
    /// use giornata::defs::PathPattern;
    /// let pattern = PathPattern::parse("data/{region}/{date:%Y-%m-%d}.csv").unwrap();
    /// assert_eq!(pattern.captures().collect::<Vec<_>>(), ["region", "date"]);
    /// assert!(PathPattern::parse("data/{region").is_err());
    /// ```
    pub fn parse(text: &str) -> Result<PathPattern, InvalidPattern> {
        let mut parser = PatternParser { text, at: 0, pieces: Vec::new() };
        parser.parse()?;
        let pattern = PathPattern { text: text.to_owned(), pieces: parser.pieces };
        pattern.check_captures()?;
        Ok(pattern)
    }

    /// The names of the captures, in order.
    pub fn captures(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            PatternPiece::Capture { name, .. } => Some(name.as_str()),
            PatternPiece::Literal(_) | PatternPiece::Glob(_) => None,
        })
    }

    /// Whether it names exactly one path.
    pub fn is_literal(&self) -> bool {
        self.pieces.iter().all(|piece| matches!(piece, PatternPiece::Literal(_)))
    }

    fn check_captures(&self) -> Result<(), InvalidPattern> {
        let mut seen = BTreeSet::new();
        if let Some(name) = self.captures().find(|name| !seen.insert(*name)) {
            let reason = format!("the capture `{name}` stands in it twice");
            return Err(InvalidPattern::new(&self.text, 0..self.text.len(), reason));
        }
        let both = |pair: &[PatternPiece]| {
            pair.iter().all(|piece| matches!(piece, PatternPiece::Capture { .. }))
        };
        if self.pieces.windows(2).any(both) {
            let reason = "between two captures there must be something that separates them";
            return Err(InvalidPattern::new(&self.text, 0..self.text.len(), reason));
        }
        Ok(())
    }
}

/// Why a text is no path pattern; `at` is a byte range of the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no path pattern: {reason}")]
pub struct InvalidPattern {
    pub text: String,
    pub at: Range<usize>,
    pub reason: String,
}

impl InvalidPattern {
    fn new(text: &str, at: Range<usize>, reason: impl Into<String>) -> InvalidPattern {
        InvalidPattern { text: text.to_owned(), at, reason: reason.into() }
    }
}

struct PatternParser<'a> {
    text: &'a str,
    at: usize,
    pieces: Vec<PatternPiece>,
}

impl PatternParser<'_> {
    fn parse(&mut self) -> Result<(), InvalidPattern> {
        while let Some(next) = self.text[self.at..].chars().next() {
            match next {
                '{' => self.brace()?,
                '[' => self.class()?,
                '*' => self.glob(self.run_of('*')),
                '?' => self.glob(1),
                '}' | ']' => return self.wrong(1, format!("nothing opens this `{next}`")),
                _ => self.literal(next),
            }
        }
        Ok(())
    }

    fn wrong<T>(&self, len: usize, reason: impl Into<String>) -> Result<T, InvalidPattern> {
        Err(InvalidPattern::new(self.text, self.at..self.at + len, reason))
    }

    fn run_of(&self, wanted: char) -> usize {
        self.text[self.at..].chars().take_while(|c| *c == wanted).count()
    }

    fn glob(&mut self, len: usize) {
        let glob = self.text[self.at..self.at + len].to_owned();
        self.pieces.push(PatternPiece::Glob(glob));
        self.at += len;
    }

    fn literal(&mut self, next: char) {
        if let Some(PatternPiece::Literal(literal)) = self.pieces.last_mut() {
            literal.push(next);
        } else {
            self.pieces.push(PatternPiece::Literal(next.to_string()));
        }
        self.at += next.len_utf8();
    }

    fn class(&mut self) -> Result<(), InvalidPattern> {
        let rest = &self.text[self.at..];
        // The first character of a class may be `]` itself, also after a negation.
        let negated = rest[1..].starts_with(['!', '^']);
        let first = if negated { 2 } else { 1 };
        let skip = rest[first..].chars().next().map_or(0, char::len_utf8);
        match rest[first + skip..].find(']') {
            Some(end) if skip > 0 => {
                self.glob(first + skip + end + 1);
                Ok(())
            }
            _ => self.wrong(1, "nothing closes this `[`"),
        }
    }

    fn brace(&mut self) -> Result<(), InvalidPattern> {
        let rest = &self.text[self.at..];
        let Some(end) = rest.find('}') else {
            return self.wrong(1, "nothing closes this `{`");
        };
        let inner = &rest[1..end];
        if inner.contains('{') {
            return self.wrong(end + 1, "braces do not nest");
        }
        let (name, format) = match inner.split_once(':') {
            Some((name, format)) => (name, Some(format)),
            None => (inner, None),
        };
        let is_name = !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !name.starts_with(|c: char| c.is_ascii_digit());
        match format {
            _ if inner.contains(',') && format.is_none() => {
                self.glob(end + 1);
                return Ok(());
            }
            _ if !is_name => {
                return self.wrong(end + 1, "a capture is a name, and perhaps a date format");
            }
            Some(format) if !is_date_format(format) => {
                let reason = format!("`{format}` does not say how a date is written");
                return self.wrong(end + 1, reason);
            }
            Some(format) if format.contains('/') => {
                let reason = "a capture stays within one part of a path, so it holds no `/`";
                return self.wrong(end + 1, reason);
            }
            Some(_) | None => {}
        }
        let (name, format) = (name.to_owned(), format.map(str::to_owned));
        self.pieces.push(PatternPiece::Capture { name, format });
        self.at += end + 1;
        Ok(())
    }
}

/// Whether a text is a `strftime` form with at least one field.
pub fn is_date_format(text: &str) -> bool {
    let mut items = chrono::format::StrftimeItems::new(text).peekable();
    let mut fields = 0;
    let sound = items.all(|item| {
        use chrono::format::Item;
        match item {
            Item::Error => false,
            Item::Numeric(..) | Item::Fixed(_) => {
                fields += 1;
                true
            }
            Item::Literal(_) | Item::OwnedLiteral(_) | Item::Space(_) | Item::OwnedSpace(_) => true,
        }
    });
    sound && fields > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, expect: &str) {
        let shown = match PathPattern::parse(text) {
            Err(error) => format!("{}: {}", &text[error.at.clone()], error.reason),
            Ok(pattern) => format!("{:?}", pattern.pieces),
        };
        assert_eq!(shown, expect);
    }

    #[test]
    fn reads_captures_and_globs() {
        check(
            "d/{date:%Y-%m-%d}_*.{csv,tsv}",
            r#"[Literal("d/"), Capture { name: "date", format: Some("%Y-%m-%d") }, Literal("_"), Glob("*"), Literal("."), Glob("{csv,tsv}")]"#,
        );
        check("**/[]a]?", r#"[Glob("**"), Literal("/"), Glob("[]a]"), Glob("?")]"#);
    }

    #[test]
    fn says_what_is_no_pattern() {
        check("a/{b", "{: nothing closes this `{`");
        check("a/{b c}", "{b c}: a capture is a name, and perhaps a date format");
        check("{a}{b}", "{a}{b}: between two captures there must be something that separates them");
        check("{a}/{a}", "{a}/{a}: the capture `a` stands in it twice");
        check("{d:%Q}", "{d:%Q}: `%Q` does not say how a date is written");
        check(
            "{d:%Y/%m}",
            "{d:%Y/%m}: a capture stays within one part of a path, so it holds no `/`",
        );
        check("a]", "]: nothing opens this `]`");
    }

    proptest! {
        #[test]
        fn never_panics_on_junk(text in "([{}:,%*?!/]|\\[|\\]|[a-z]|%Y|\\PC){0,16}") {
            if let Err(error) = PathPattern::parse(&text) {
                prop_assert!(text.get(error.at).is_some());
            }
        }
    }
}
