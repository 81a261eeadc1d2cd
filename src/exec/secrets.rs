//! Keeps secrets out of what is written down: every occurrence of a value becomes `***`.
//!
//! A log arrives in pieces, and a value may lie across two of them. So the last bytes of a piece wait for
//! the next one, as many as could be the beginning of a value.

use std::borrow::Cow;

use serde_json::Value;

/// Shorter values are not hidden: they would tear every text apart, and hide nothing.
const BYTES_MIN: usize = 4;

const MASK: &str = "***";

/// Values that must not be shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    /// The longest first: one may begin with another.
    values: Vec<String>,
}

// Never the values.
impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({})", self.values.len())
    }
}

impl Secrets {
    /// Adds a value; one of fewer than four bytes is not hidden. Of several lines, each is.
    ///
    /// ```
    /// use giornata::exec::Secrets;
    /// let mut secrets = Secrets::default();
    /// secrets.add("hunter22");
    /// assert_eq!(secrets.mask("the password is hunter22."), "the password is ***.");
    /// ```
    pub fn add(&mut self, value: &str) {
        for value in value.lines().map(str::trim).chain([value]) {
            if value.len() >= BYTES_MIN && !self.values.iter().any(|known| known == value) {
                self.values.push(value.to_owned());
            }
        }
        self.values.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The text without them.
    pub fn mask<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if !self.values.iter().any(|value| text.contains(value.as_str())) {
            return Cow::Borrowed(text);
        }
        let mut masker = Masker::new(self);
        let mut bytes = masker.push(text.as_bytes());
        bytes.extend(masker.finish());
        Cow::Owned(String::from_utf8(bytes).expect("whole texts are replaced by a text"))
    }

    /// The value without them: in texts, in names, and where a number is one.
    pub fn mask_json(&self, value: &mut Value) {
        if self.is_empty() {
            return;
        }
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::Number(number) => {
                if let Cow::Owned(masked) = self.mask(&number.to_string()) {
                    *value = Value::String(masked);
                }
            }
            Value::String(text) => {
                if let Cow::Owned(masked) = self.mask(text) {
                    *text = masked;
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.mask_json(item)),
            Value::Object(fields) => {
                let taken = std::mem::take(fields);
                for (name, mut value) in taken {
                    self.mask_json(&mut value);
                    fields.insert(self.mask(&name).into_owned(), value);
                }
            }
        }
    }
}

/// Masks a stream.
pub(super) struct Masker<'a> {
    secrets: &'a Secrets,
    /// What may be the beginning of a value.
    waiting: Vec<u8>,
}

impl<'a> Masker<'a> {
    pub(super) fn new(secrets: &'a Secrets) -> Masker<'a> {
        Masker { secrets, waiting: Vec::new() }
    }

    /// What can be written so far.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let longest = self.secrets.values.first().map_or(1, String::len);
        self.waiting.extend_from_slice(bytes);
        let (masked, read) = self.masked(|left| left >= longest);
        self.waiting.drain(..read);
        masked
    }

    /// The rest.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        let (masked, _) = self.masked(|left| left > 0);
        self.waiting.clear();
        masked
    }

    /// What waits, masked, as long as `goes_on` for the number of bytes that are left; and how many were
    /// read for it.
    fn masked(&self, goes_on: impl Fn(usize) -> bool) -> (Vec<u8>, usize) {
        let mut masked = Vec::with_capacity(self.waiting.len());
        let mut at = 0;
        while goes_on(self.waiting.len() - at) {
            let rest = &self.waiting[at..];
            let found = self.secrets.values.iter().find(|value| rest.starts_with(value.as_bytes()));
            match found {
                Some(value) => {
                    masked.extend_from_slice(MASK.as_bytes());
                    at += value.len();
                }
                None => {
                    masked.push(rest[0]);
                    at += 1;
                }
            }
        }
        (masked, at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn secrets(values: &[&str]) -> Secrets {
        let mut secrets = Secrets::default();
        values.iter().for_each(|value| secrets.add(value));
        secrets
    }

    #[test]
    fn the_longer_of_two_is_hidden_as_a_whole() {
        let secrets = secrets(&["abcd", "abcdefgh", "xy"]);
        assert_eq!(secrets.mask("abcdefgh abcd abc xy"), "*** *** abc xy");
        assert_eq!(format!("{secrets:?}"), "Secrets(2)");
    }

    #[test]
    fn each_line_of_a_key_is_hidden() {
        let secrets = secrets(&["BEGIN KEY\n c2VjcmV0\nEND KEY"]);
        assert_eq!(secrets.mask("got c2VjcmV0."), "got ***.");
    }

    #[test]
    fn values_of_json_are_hidden_wherever_they_are() {
        let mut value = json!({"a": ["x s3cret", {"s3cret": 1}], "n": 123_456, "quote": "pa\"ss"});
        secrets(&["s3cret", "123456", "pa\"ss"]).mask_json(&mut value);
        assert_eq!(value, json!({"a": ["x ***", {"***": 1}], "n": "***", "quote": "***"}));
    }

    proptest! {
        #[test]
        fn pieces_are_masked_like_the_whole(
            text in "[abc]{0,40}",
            values in prop::collection::vec("[abc]{4,7}", 0..3),
            cuts in prop::collection::vec(0usize..40, 0..6),
        ) {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            let secrets = secrets(&values);
            let mut masker = Masker::new(&secrets);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let mut masked = Vec::new();
            for window in cuts.windows(2) {
                masked.extend(masker.push(&text.as_bytes()[window[0]..window[1]]));
            }
            masked.extend(masker.finish());
            let masked = String::from_utf8(masked).unwrap();
            prop_assert_eq!(&masked, &secrets.mask(&text));
            for value in values {
                prop_assert!(!masked.contains(value));
            }
        }
    }
}
