//! Checks of a result: what is tested, how bad it is where the test fails, and what happens then.
//!
//! As text: `rows = 1`, `not_null(date)`, `unique(region, date)`, `accepted(kind, sun, rain)`,
//! `between(share, 0, 1)`, `fresh(seen_at, 2d)`. SQL that must return no row, commands and functions of
//! the user's are declared as tables.

use std::fmt;
use std::time::Duration;

use super::{CommandBody, SqlBody};

/// One declared check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Unique within its asset: the text of the test, if the user gives no other.
    pub name: String,
    pub test: Test,
    pub severity: Severity,
}

/// What happens where a test fails. Dagster's severities are `Warn` and `Error`; `Blocking` is its
/// `blocking=True`.
///
/// ```
/// use giornata::defs::Severity;
/// let names: Vec<&str> = Severity::ALL.into_iter().map(Severity::as_str).collect();
/// assert_eq!(names, ["warn", "error", "blocking"]);
/// assert!(Severity::Warn < Severity::Blocking);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It is told; the result counts.
    Warn,
    /// The result counts, and the run says that something failed.
    Error,
    /// The result is not taken: the last good one stays, and what reads it does not run.
    Blocking,
}

/// What a check tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    Rows {
        comparison: Comparison,
        count: u64,
    },
    NotNull {
        column: String,
    },
    Unique {
        columns: Vec<String>,
    },
    Accepted {
        column: String,
        values: Vec<String>,
    },
    /// Both ends included. As numbers where all three are, else as texts.
    Between {
        column: String,
        low: String,
        high: String,
    },
    /// The newest time in the column is at most this much older than the end of the partition's
    /// window, or than the moment of the run.
    Fresh {
        column: String,
        age: Duration,
    },
    /// Statements of which the last must return no row; they read the result as the table `result`.
    Sql {
        body: SqlBody,
        file: Option<std::path::PathBuf>,
    },
    /// A process that finds the result at `$result`, and ends with 0 if all is well.
    Command(CommandBody),
    /// A function of the program that declares the project.
    Function(String),
}

/// How a number of rows is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Severity {
    /// From the mildest to the hardest; see the example of [`Severity`].
    pub const ALL: [Severity; 3] = [Severity::Warn, Severity::Error, Severity::Blocking];

    /// The word for it in files and listings; see the example of [`Severity`].
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Warn => "warn",
            Severity::Error => "error",
            Severity::Blocking => "blocking",
        }
    }
}

impl Check {
    /// Reads a check that is written as text; where it fails, the result is not taken.
    ///
    /// ```
    /// use giornata::defs::Check;
    /// assert_eq!(Check::parse("rows>=10").unwrap().name, "rows >= 10");
    /// assert_eq!(Check::parse("accepted(kind, 'a,b', c)").unwrap().name, "accepted(kind, 'a,b', c)");
    /// assert!(Check::parse("row = 1").is_err());
    /// ```
    pub fn parse(text: &str) -> Result<Check, InvalidCheck> {
        let test = Test::parse(text)?;
        Ok(Check { name: test.to_string(), test, severity: Severity::Blocking })
    }
}

impl Test {
    /// Reads `rows = 1`, `not_null(date)` and so on.
    pub fn parse(text: &str) -> Result<Test, InvalidCheck> {
        let wrong = || InvalidCheck { text: text.to_owned() };
        let trimmed = text.trim();
        if let Some(comparison) = trimmed.strip_prefix("rows") {
            let (comparison, count) =
                Comparison::split(comparison.trim_start()).ok_or_else(wrong)?;
            let count = count.trim().parse().map_err(|_| wrong())?;
            return Ok(Test::Rows { comparison, count });
        }
        let (function, arguments) = trimmed.split_once('(').ok_or_else(wrong)?;
        let arguments = arguments.strip_suffix(')').and_then(arguments_of).ok_or_else(wrong)?;
        match (function.trim(), arguments.as_slice()) {
            ("not_null", [column]) => Ok(Test::NotNull { column: column.clone() }),
            ("unique", [_, ..]) => Ok(Test::Unique { columns: arguments }),
            ("accepted", [column, values @ ..]) if !values.is_empty() => {
                Ok(Test::Accepted { column: column.clone(), values: values.to_vec() })
            }
            ("between", [column, low, high]) => {
                let (column, low, high) = (column.clone(), low.clone(), high.clone());
                Ok(Test::Between { column, low, high })
            }
            ("fresh", [column, age]) => {
                let age = humantime::parse_duration(age).map_err(|_| wrong())?;
                Ok(Test::Fresh { column: column.clone(), age })
            }
            (_, _) => Err(wrong()),
        }
    }

    /// Whether it looks at rows: then the result must be a table.
    pub fn needs_rows(&self) -> bool {
        match self {
            Test::Command(_) => false,
            Test::Rows { .. }
            | Test::NotNull { .. }
            | Test::Unique { .. }
            | Test::Accepted { .. }
            | Test::Between { .. }
            | Test::Fresh { .. }
            | Test::Sql { .. }
            | Test::Function(_) => true,
        }
    }
}

/// The texts between commas; in single quotes, a quote is doubled.
fn arguments_of(text: &str) -> Option<Vec<String>> {
    let mut arguments = Vec::new();
    let mut rest = text.trim();
    loop {
        let (argument, after) = match rest.strip_prefix('\'') {
            Some(quoted) => quoted_text(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                let argument = rest[..end].trim();
                if argument.is_empty() || argument.contains(['\'', '(', ')']) {
                    return None;
                }
                (argument.to_owned(), &rest[end..])
            }
        };
        arguments.push(argument);
        rest = match after.trim_start() {
            "" => return Some(arguments),
            after => after.strip_prefix(',')?.trim_start(),
        };
    }
}

/// What is left after the opening quote: the text, and what comes behind the closing one.
fn quoted_text(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' if chars.next_if(|(_, next)| *next == '\'').is_some() => value.push('\''),
            '\'' => return Some((value, &text[at + 1..])),
            c => value.push(c),
        }
    }
    None
}

fn quoted(argument: &str) -> String {
    let plain = !argument.is_empty()
        && argument.trim() == argument
        && !argument.contains([',', '\'', '(', ')']);
    if plain { argument.to_owned() } else { format!("'{}'", argument.replace('\'', "''")) }
}

/// A text that is no check.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no check: there are `rows = 1`, `not_null(column)`, `unique(column, ..)`, \
     `accepted(column, value, ..)`, `between(column, low, high)` and `fresh(column, 2d)`"
)]
pub struct InvalidCheck {
    pub text: String,
}

/// Canonical text, as `parse` reads it; it stands for the test in the digest of the step.
impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |values: &[String]| {
            values.iter().map(|value| quoted(value)).collect::<Vec<_>>().join(", ")
        };
        match self {
            Test::Rows { comparison, count } => write!(f, "rows {} {count}", comparison.symbol()),
            Test::NotNull { column } => write!(f, "not_null({})", quoted(column)),
            Test::Unique { columns } => write!(f, "unique({})", list(columns)),
            Test::Accepted { column, values } => {
                write!(f, "accepted({}, {})", quoted(column), list(values))
            }
            Test::Between { column, low, high } => {
                write!(f, "between({}, {}, {})", quoted(column), quoted(low), quoted(high))
            }
            Test::Fresh { column, age } => {
                write!(f, "fresh({}, {})", quoted(column), humantime::format_duration(*age))
            }
            Test::Sql { body, file: None } => write!(f, "sql: {}", body.text.trim()),
            Test::Sql { body, file: Some(file) } => {
                write!(f, "sql {}: {}", file.display(), body.text.trim())
            }
            Test::Command(command) => write!(f, "run: {:?}", command.line),
            Test::Function(name) => write!(f, "function {name}"),
        }
    }
}

impl Comparison {
    // Longer symbols first: `<=` begins with `<`.
    const ALL: [(&'static str, Comparison); 8] = [
        ("!=", Comparison::NotEqual),
        ("<>", Comparison::NotEqual),
        ("<=", Comparison::LessOrEqual),
        (">=", Comparison::GreaterOrEqual),
        ("==", Comparison::Equal),
        ("=", Comparison::Equal),
        ("<", Comparison::Less),
        (">", Comparison::Greater),
    ];

    fn split(text: &str) -> Option<(Comparison, &str)> {
        Comparison::ALL
            .iter()
            .find_map(|(symbol, comparison)| Some((*comparison, text.strip_prefix(symbol)?)))
    }

    /// The comparison as it is written: `>=`.
    pub fn symbol(self) -> &'static str {
        match self {
            Comparison::Equal => "=",
            Comparison::NotEqual => "!=",
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
            Comparison::Greater => ">",
            Comparison::GreaterOrEqual => ">=",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_test() -> impl Strategy<Value = Test> {
        let comparison = prop::sample::select(Comparison::ALL.map(|(_, it)| it).to_vec());
        let text = || "[a-zé0-9 ,()'-]{0,8}".boxed();
        let texts = || prop::collection::vec("[a-zé ,()']{0,6}", 1..4);
        prop_oneof![
            (comparison, any::<u64>())
                .prop_map(|(comparison, count)| Test::Rows { comparison, count }),
            text().prop_map(|column| Test::NotNull { column }),
            texts().prop_map(|columns| Test::Unique { columns }),
            (text(), texts()).prop_map(|(column, values)| Test::Accepted { column, values }),
            (text(), text(), text()).prop_map(|(column, low, high)| Test::Between {
                column,
                low,
                high
            }),
            (text(), 0..1_000_000_u64).prop_map(|(column, seconds)| Test::Fresh {
                column,
                age: Duration::from_secs(seconds)
            }),
        ]
    }

    proptest! {
        #[test]
        fn text_and_test_are_inverse(test in any_test()) {
            prop_assert_eq!(Test::parse(&test.to_string()).unwrap(), test);
        }

        #[test]
        fn never_panics_on_junk(text in "(rows|unique|not_null|accepted|[<>=!(,' )]|[0-9]|\\PC){0,12}") {
            let _ = Check::parse(&text);
        }
    }
}
