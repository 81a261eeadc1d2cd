//! When an asset is brought up to date by itself: a condition on the states of its partitions.
//!
//! A condition stands for a set of partitions: `missing` for those that were never made, `stale` for
//! those that are not fresh, and so on; `and`, `or` and `not` are what they are for sets. What it names
//! and is not fresh is made. Nothing in it is about events, so that there is nothing to be missed.
//!
//! | written | which partitions |
//! |---|---|
//! | `eager` | those not fresh of which all inputs are there |
//! | `on_missing` | those never made of which all inputs are there |
//! | `on_cron("0 3 * * *")`, `on_cron("0 3 * * *", "Europe/Berlin")` | those not fresh, once after each tick |
//! | `missing`, `stale`, `failed`, `running` | in this state |
//! | `latest`, `last(3)` | the last existing ones |
//! | `upstream_missing`, `upstream_stale` | of which an input is not there, or not fresh |
//! | `code_changed` | stale because of their code |
//! | `cron("0 3 * * *")` | all, once after each tick |
//! | `none` | none |

use std::fmt;
use std::ops::Range;

use chrono_tz::Tz;

use super::partition::CronRule;

/// A condition on partitions.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    Is(Term),
    Not(Box<Condition>),
    All(Vec<Condition>),
    Any(Vec<Condition>),
}

/// What can be asked about a partition.
#[derive(Debug, Clone, PartialEq)]
pub enum Term {
    Never,
    Missing,
    /// There is a result, and it is not fresh.
    Stale,
    /// The last attempt under the same key failed.
    Failed,
    Running,
    /// One of the last existing ones, so many.
    Last(u32),
    UpstreamMissing,
    UpstreamStale,
    CodeChanged,
    /// The clock has passed a tick since the asset was looked after the last time.
    Cron(Box<CronRule>, Tz),
}

/// Why a text is no condition; `at` is a byte range of the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no condition: {reason}")]
pub struct InvalidCondition {
    pub text: String,
    pub at: Range<usize>,
    pub reason: String,
}

/// What can stand for a term without arguments.
pub const WORDS: [&str; 10] = [
    "none",
    "eager",
    "on_missing",
    "missing",
    "stale",
    "failed",
    "running",
    "latest",
    "upstream_missing",
    "upstream_stale",
];

/// Conditions may nest so deep.
const DEPTH_MAX: usize = 64;

impl Condition {
    /// Reads a condition; cron expressions tick in `zone` where they name none.
    ///
    /// ```
    /// use giornata::defs::Condition;
    /// let zone = chrono_tz::Tz::UTC;
    /// let condition = Condition::parse("eager and last(7) and not code_changed", zone)?;
    /// assert!(matches!(condition, Condition::All(of) if of.len() == 3));
    /// assert!(Condition::parse("eager and", zone).is_err());
    /// # Ok::<(), giornata::defs::InvalidCondition>(())
    /// ```
    pub fn parse(text: &str, zone: Tz) -> Result<Condition, InvalidCondition> {
        let mut parser = Parser { text, at: 0, zone, depth: 0 };
        let condition = parser.any()?;
        match parser.peek() {
            Peeked::End => Ok(condition),
            _ => parser.wrong("`and`, `or` or the end belongs here"),
        }
    }

    /// What is not fresh and has its inputs.
    pub fn eager() -> Condition {
        let open = Condition::Any(vec![Condition::Is(Term::Missing), Condition::Is(Term::Stale)]);
        Condition::All(vec![open, Condition::has_inputs()])
    }

    fn on_missing() -> Condition {
        Condition::All(vec![Condition::Is(Term::Missing), Condition::has_inputs()])
    }

    fn has_inputs() -> Condition {
        Condition::Not(Box::new(Condition::Is(Term::UpstreamMissing)))
    }

    /// The cron expressions in it.
    pub fn crons(&self) -> Vec<(&CronRule, Tz)> {
        match self {
            Condition::Is(Term::Cron(rule, zone)) => vec![(&**rule, *zone)],
            Condition::Is(
                Term::Never
                | Term::Missing
                | Term::Stale
                | Term::Failed
                | Term::Running
                | Term::Last(_)
                | Term::UpstreamMissing
                | Term::UpstreamStale
                | Term::CodeChanged,
            ) => Vec::new(),
            Condition::Not(of) => of.crons(),
            Condition::All(of) | Condition::Any(of) => {
                of.iter().flat_map(Condition::crons).collect()
            }
        }
    }

    /// Whether it never names a partition.
    pub fn is_never(&self) -> bool {
        *self == Condition::Is(Term::Never)
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, of: &[Condition], word: &str| {
            for (at, one) in of.iter().enumerate() {
                if at > 0 {
                    write!(f, " {word} ")?;
                }
                match one {
                    Condition::All(_) | Condition::Any(_) => write!(f, "({one})")?,
                    Condition::Is(_) | Condition::Not(_) => write!(f, "{one}")?,
                }
            }
            Ok(())
        };
        match self {
            Condition::All(of) => list(f, of, "and"),
            Condition::Any(of) => list(f, of, "or"),
            Condition::Not(of) => match **of {
                Condition::All(_) | Condition::Any(_) => write!(f, "not ({of})"),
                Condition::Is(_) | Condition::Not(_) => write!(f, "not {of}"),
            },
            Condition::Is(term) => match term {
                Term::Never => f.write_str("none"),
                Term::Missing => f.write_str("missing"),
                Term::Stale => f.write_str("stale"),
                Term::Failed => f.write_str("failed"),
                Term::Running => f.write_str("running"),
                Term::Last(count) => write!(f, "last({count})"),
                Term::UpstreamMissing => f.write_str("upstream_missing"),
                Term::UpstreamStale => f.write_str("upstream_stale"),
                Term::CodeChanged => f.write_str("code_changed"),
                Term::Cron(rule, zone) => write!(f, "cron(\"{}\", \"{zone}\")", rule.text()),
            },
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    zone: Tz,
    depth: usize,
}

enum Peeked<'a> {
    Word(&'a str),
    Sign(char),
    End,
}

impl<'a> Parser<'a> {
    fn peek(&mut self) -> Peeked<'a> {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        match rest.chars().next() {
            None => Peeked::End,
            Some(_) if end > 0 => Peeked::Word(&rest[..end]),
            Some(sign) => Peeked::Sign(sign),
        }
    }

    fn wrong<T>(&mut self, reason: impl Into<String>) -> Result<T, InvalidCondition> {
        let length = match self.peek() {
            Peeked::Word(word) => word.len(),
            Peeked::Sign(sign) => sign.len_utf8(),
            Peeked::End => 0,
        };
        self.wrong_at(self.at..self.at + length, reason)
    }

    fn wrong_at<T>(
        &self,
        at: Range<usize>,
        reason: impl Into<String>,
    ) -> Result<T, InvalidCondition> {
        Err(InvalidCondition { text: self.text.to_owned(), at, reason: reason.into() })
    }

    fn takes(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Peeked::Word(found) if found == word);
        self.at += if found { word.len() } else { 0 };
        found
    }

    fn takes_sign(&mut self, sign: char) -> bool {
        let found = matches!(self.peek(), Peeked::Sign(found) if found == sign);
        self.at += if found { sign.len_utf8() } else { 0 };
        found
    }

    fn any(&mut self) -> Result<Condition, InvalidCondition> {
        let mut of = vec![self.all()?];
        while self.takes("or") {
            of.push(self.all()?);
        }
        Ok(if of.len() == 1 { of.remove(0) } else { Condition::Any(of) })
    }

    fn all(&mut self) -> Result<Condition, InvalidCondition> {
        let mut of = vec![self.one()?];
        while self.takes("and") {
            of.push(self.one()?);
        }
        Ok(if of.len() == 1 { of.remove(0) } else { Condition::All(of) })
    }

    fn one(&mut self) -> Result<Condition, InvalidCondition> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return self.wrong("it nests too deep");
        }
        let condition = if self.takes("not") {
            Condition::Not(Box::new(self.one()?))
        } else if self.takes_sign('(') {
            let inner = self.any()?;
            if !self.takes_sign(')') {
                return self.wrong("a `(` is not closed");
            }
            inner
        } else {
            self.term()?
        };
        self.depth -= 1;
        Ok(condition)
    }

    fn term(&mut self) -> Result<Condition, InvalidCondition> {
        let Peeked::Word(word) = self.peek() else {
            return self.wrong("a state such as `eager` or `missing` belongs here");
        };
        let start = self.at;
        self.at += word.len();
        Ok(Condition::Is(match word {
            "none" => Term::Never,
            "eager" => return Ok(Condition::eager()),
            "on_missing" => return Ok(Condition::on_missing()),
            "missing" => Term::Missing,
            "stale" => Term::Stale,
            "failed" => Term::Failed,
            "running" => Term::Running,
            "latest" => Term::Last(1),
            "upstream_missing" => Term::UpstreamMissing,
            "upstream_stale" => Term::UpstreamStale,
            "code_changed" => Term::CodeChanged,
            "last" => Term::Last(self.number()?),
            "cron" => self.cron()?,
            "on_cron" => {
                let open = vec![Condition::Is(Term::Missing), Condition::Is(Term::Stale)];
                let tick = Condition::Is(self.cron()?);
                return Ok(Condition::All(vec![tick, Condition::Any(open)]));
            }
            other => {
                let known = WORDS.into_iter().chain(["code_changed", "last", "cron", "on_cron"]);
                let reason = match crate::base::similar(other, known) {
                    Some(similar) => format!("there is no state `{other}`; is `{similar}` meant?"),
                    None => format!("there is no state `{other}`"),
                };
                return self.wrong_at(start..start + other.len(), reason);
            }
        }))
    }

    /// `(N)`
    fn number(&mut self) -> Result<u32, InvalidCondition> {
        if !self.takes_sign('(') {
            return self.wrong("a number in `(` and `)` belongs here");
        }
        let Peeked::Word(word) = self.peek() else { return self.wrong("a number belongs here") };
        let Some(number) = word.parse().ok().filter(|number| *number > 0) else {
            return self.wrong("a number from 1 on belongs here");
        };
        self.at += word.len();
        if !self.takes_sign(')') {
            return self.wrong("a `(` is not closed");
        }
        Ok(number)
    }

    /// `("EXPRESSION")` or `("EXPRESSION", "ZONE")`
    fn cron(&mut self) -> Result<Term, InvalidCondition> {
        if !self.takes_sign('(') {
            return self.wrong("a cron expression in `(\"` and `\")` belongs here");
        }
        let (text, at) = self.quoted()?;
        let rule = match CronRule::parse(text) {
            Ok(rule) => rule,
            Err(error) => return self.wrong_at(at, format!("`{text}` does not say when: {error}")),
        };
        let mut zone = self.zone;
        if self.takes_sign(',') {
            let (name, at) = self.quoted()?;
            zone = match name.parse() {
                Ok(zone) => zone,
                Err(_) => return self.wrong_at(at, format!("there is no time zone `{name}`")),
            };
        }
        if !self.takes_sign(')') {
            return self.wrong("a `(` is not closed");
        }
        Ok(Term::Cron(Box::new(rule), zone))
    }

    fn quoted(&mut self) -> Result<(&'a str, Range<usize>), InvalidCondition> {
        let Peeked::Sign(quote @ ('"' | '\'')) = self.peek() else {
            return self.wrong("a text in quotes belongs here");
        };
        let start = self.at + 1;
        let Some(length) = self.text[start..].find(quote) else {
            return self.wrong("this quote is not closed");
        };
        self.at = start + length + 1;
        Ok((&self.text[start..start + length], start..start + length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, expect: &str) {
        let found = match Condition::parse(text, Tz::UTC) {
            Ok(condition) => {
                let shown = condition.to_string();
                assert_eq!(Condition::parse(&shown, Tz::UTC).as_ref(), Ok(&condition));
                shown
            }
            Err(error) => format!("{}: {}", &text[error.at.clone()], error.reason),
        };
        assert_eq!(found, expect);
    }

    #[test]
    fn what_is_short_stands_for_what_is_long() {
        check("eager", "(missing or stale) and not upstream_missing");
        check("on_missing", "missing and not upstream_missing");
        check(
            "on_cron(\"0 3 * * *\", 'Europe/Berlin')",
            "cron(\"0 3 * * *\", \"Europe/Berlin\") and (missing or stale)",
        );
        check("none", "none");
    }

    #[test]
    fn and_binds_closer_than_or() {
        check("missing or stale and not failed", "missing or (stale and not failed)");
        check("(missing or stale) and last( 3 )", "(missing or stale) and last(3)");
        check("not (missing or latest)", "not (missing or last(1))");
    }

    #[test]
    fn what_is_wrong_is_said_where_it_is() {
        check("eager and", ": a state such as `eager` or `missing` belongs here");
        check("eger", "eger: there is no state `eger`; is `eager` meant?");
        check("(missing", ": a `(` is not closed");
        check("missing stale", "stale: `and`, `or` or the end belongs here");
        check("last(0)", "0: a number from 1 on belongs here");
        check(
            "cron('0 0', 'UTC')",
            "0 0: `0 0` does not say when: Invalid pattern: Pattern must have 5 fields when seconds are disallowed.",
        );
        check("cron('@daily', 'Mars')", "Mars: there is no time zone `Mars`");
    }

    proptest! {
        #[test]
        fn junk_is_refused_and_not_stumbled_over(text in "(eager|not|and|or|last|[()\"',1]| |\\PC){0,24}") {
            if let Err(error) = Condition::parse(&text, Tz::UTC) {
                prop_assert!(text.get(error.at).is_some());
            }
        }
    }
}
