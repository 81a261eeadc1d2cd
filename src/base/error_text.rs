//! An error with its causes in one line: what a message says of it.

/// The error, then its cause, then the cause of that, with colons between.
///
/// ```
/// use giornata::base::error_text;
/// let error = "x".parse::<i64>().unwrap_err();
/// assert_eq!(error_text(&error), "invalid digit found in string");
/// ```
pub fn error_text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text += &format!(": {next}");
        cause = next.source();
    }
    text
}
