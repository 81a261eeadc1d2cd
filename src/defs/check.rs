//! Checks that a table must pass before it is recorded: `rows = 1`, `not_null(date)`, `unique(id)`.

use std::fmt;

/// One declared check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    Rows { comparison: Comparison, count: u64 },
    NotNull { column: String },
    Unique { column: String },
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

impl Check {
    /// Reads `rows = 1`, `rows >= 10`, `not_null(date)`, `unique(id)`.
    ///
    /// ```
    /// use giornata::defs::Check;
    /// assert_eq!(Check::parse("rows>=10").unwrap().to_string(), "rows >= 10");
    /// assert!(Check::parse("row = 1").is_err());
    /// ```
    pub fn parse(text: &str) -> Result<Check, InvalidCheck> {
        let wrong = || InvalidCheck { text: text.to_owned() };
        let trimmed = text.trim();
        if let Some(comparison) = trimmed.strip_prefix("rows") {
            let (comparison, count) =
                Comparison::split(comparison.trim_start()).ok_or_else(wrong)?;
            let count = count.trim().parse().map_err(|_| wrong())?;
            return Ok(Check::Rows { comparison, count });
        }
        let (function, column) = trimmed.split_once('(').ok_or_else(wrong)?;
        let column = column.strip_suffix(')').ok_or_else(wrong)?.trim().to_owned();
        match function.trim() {
            _ if column.is_empty() => Err(wrong()),
            "not_null" => Ok(Check::NotNull { column }),
            "unique" => Ok(Check::Unique { column }),
            _ => Err(wrong()),
        }
    }
}

/// A text that is no check.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no check: there are `rows = 1`, `not_null(column)` and `unique(column)`")]
pub struct InvalidCheck {
    pub text: String,
}

/// Canonical text, as `parse` reads it.
impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Check::Rows { comparison, count } => write!(f, "rows {} {count}", comparison.symbol()),
            Check::NotNull { column } => write!(f, "not_null({column})"),
            Check::Unique { column } => write!(f, "unique({column})"),
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

    fn any_check() -> impl Strategy<Value = Check> {
        let comparison = prop::sample::select(Comparison::ALL.map(|(_, it)| it).to_vec());
        prop_oneof![
            (comparison, any::<u64>())
                .prop_map(|(comparison, count)| Check::Rows { comparison, count }),
            "[a-z_é]{1,8}".prop_map(|column| Check::NotNull { column }),
            "[a-z_é]{1,8}".prop_map(|column| Check::Unique { column }),
        ]
    }

    proptest! {
        #[test]
        fn text_and_check_are_inverse(check in any_check()) {
            prop_assert_eq!(Check::parse(&check.to_string()).unwrap(), check);
        }

        #[test]
        fn never_panics_on_junk(text in "(rows|unique|not_null|[<>=!( )]|[0-9]|\\PC){0,12}") {
            let _ = Check::parse(&text);
        }
    }
}
