//! Finds the header block of a script: which lines of comments declare an asset, and in which
//! grammar.
//!
//! A block begins with a line `PREFIX /// asset`, where the prefix is whatever begins a comment in
//! that language, and ends with `PREFIX ///`. Python may use a PEP 723 block (`# /// script`)
//! instead, whose table `[tool.giornata]` is then the declaration.

use std::ops::Range;

/// How much of a file is looked at to decide whether it is a definition.
pub(super) const HEAD_BYTES: usize = 8 << 10;

/// A header block of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub kind: HeaderKind,
    /// The opening line without its line break.
    pub marker: Range<usize>,
    /// The whole block, closing line and its line break included.
    pub block: Range<usize>,
    /// What begins a comment: `--`, `#` ...
    pub prefix: String,
    /// The lines of the block without their prefixes.
    pub text: String,
    /// For each line: where it begins in `text`, and where in the file.
    lines: Vec<(usize, usize)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeaderKind {
    /// `/// asset`: the text is the declaration.
    Asset,
    /// `/// script`: the declaration is the table `[tool.giornata]`, if there is one.
    Script,
}

/// A block that begins but does not end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unclosed {
    pub marker: Range<usize>,
    pub prefix: String,
    /// The first line that does not belong to the block.
    pub stopped_at: Range<usize>,
}

impl Header {
    /// The place in the file of an offset of `text`.
    pub fn offset(&self, offset: usize) -> usize {
        let after = self.lines.partition_point(|&(start, _)| start <= offset);
        let (start, in_file) = self.lines[after.saturating_sub(1)];
        in_file + (offset - start)
    }
}

/// Whether the first bytes of a file hold the opening line of a header.
pub(super) fn has_marker(head: &[u8]) -> bool {
    head.split(|&b| b == b'\n').any(|line| {
        // A prefix may be anything but letters; junk is cheap to skip.
        line.len() < 80 && std::str::from_utf8(line).is_ok_and(|line| marker(line).is_some())
    })
}

/// The first header of a file.
pub(super) fn find(text: &str) -> Option<Result<Header, Unclosed>> {
    let mut lines = lines(text);
    let head_end = text.floor_char_boundary(HEAD_BYTES);
    let (range, prefix, kind) =
        lines.by_ref().take_while(|range| range.start < head_end).find_map(|range| {
            marker(&text[range.clone()]).map(|(prefix, kind)| (range, prefix, kind))
        })?;
    let marker = trimmed(text, range.clone());
    let mut header = Header {
        kind,
        marker: marker.clone(),
        block: range.start..range.end,
        prefix: prefix.to_owned(),
        text: String::new(),
        lines: vec![(0, range.end)],
    };
    for line in lines {
        let Some(content) = content(text, &line, prefix) else {
            let stopped_at = trimmed(text, line);
            return Some(Err(Unclosed { marker, prefix: prefix.to_owned(), stopped_at }));
        };
        if text[content.clone()].trim_end() == "///" {
            header.block.end = line.end;
            return Some(Ok(header));
        }
        header.push(&text[content.clone()], content.start);
    }
    let stopped_at = text.len()..text.len();
    Some(Err(Unclosed { marker, prefix: prefix.to_owned(), stopped_at }))
}

impl Header {
    fn push(&mut self, line: &str, in_file: usize) {
        if self.text.is_empty() {
            self.lines.clear();
        }
        self.lines.push((self.text.len(), in_file));
        self.text.push_str(line.trim_end_matches(['\n', '\r']));
        self.text.push('\n');
    }
}

/// The prefix and the kind of a line that opens a header.
fn marker(line: &str) -> Option<(&str, HeaderKind)> {
    let line = line.trim_start_matches('\u{feff}').trim();
    let (prefix, kind) = if let Some(prefix) = line.strip_suffix(" /// asset") {
        (prefix, HeaderKind::Asset)
    } else {
        (line.strip_suffix(" /// script")?, HeaderKind::Script)
    };
    let prefix = prefix.trim();
    let is_comment = !prefix.is_empty()
        && prefix.len() <= 8
        && !prefix.chars().any(|c| c.is_alphanumeric() || c.is_whitespace() || c.is_control());
    // Only PEP 723 knows the second kind.
    (is_comment && (kind == HeaderKind::Asset || prefix == "#")).then_some((prefix, kind))
}

/// What a line of the block says: after the prefix and one space. `None`: it is not of the block.
fn content(text: &str, line: &Range<usize>, prefix: &str) -> Option<Range<usize>> {
    let whole = &text[line.clone()];
    let from_prefix = whole.trim_start_matches([' ', '\t']);
    let rest = from_prefix.strip_prefix(prefix)?;
    let rest = rest.strip_prefix(' ').unwrap_or(rest);
    Some(line.end - rest.len()..line.end)
}

fn trimmed(text: &str, line: Range<usize>) -> Range<usize> {
    let whole = &text[line.clone()];
    let start = line.start + (whole.len() - whole.trim_start().len());
    let end = line.start + whole.trim_end().len();
    start.min(end)..end
}

/// The lines of a text with their line breaks.
fn lines(text: &str) -> impl Iterator<Item = Range<usize>> {
    text.split_inclusive('\n').scan(0, |start, line| {
        let range = *start..*start + line.len();
        *start = range.end;
        Some(range)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, expect: &str) {
        assert_eq!(find(text).unwrap().unwrap().text, expect);
    }

    #[test]
    fn reads_the_block_in_any_comment() {
        check("-- /// asset\n-- a = 1\n--\n-- ///\nselect 1", "a = 1\n\n");
        check("#!/bin/sh\n# /// asset\n# a = 1\n# ///\n", "a = 1\n");
        check("% /// asset\r\n%  a = 1\r\n% ///\r\n", " a = 1\n");
        check("\" /// asset\n\" ///", "");
    }

    #[test]
    fn ordinary_text_is_no_header() {
        for text in
            ["", "x = '/// asset'", "/// asset\n///", "// /// script\n// ///", "a /// asset"]
        {
            assert!(find(text).is_none(), "{text}");
            assert!(!has_marker(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn an_open_block_says_where_it_stops() {
        let unclosed = find("# /// asset\n# a = 1\necho\n# ///\n").unwrap().unwrap_err();
        assert_eq!(unclosed.stopped_at, 20..24);
    }

    #[test]
    fn offsets_lead_into_the_file() {
        let text = "-- é\n-- /// asset\n--   x = [\n--  1]\n-- ///\n";
        let header = find(text).unwrap().unwrap();
        for word in ["x = [", "1]"] {
            let inner = header.text.find(word).unwrap();
            assert_eq!(header.offset(inner), text.find(word).unwrap());
        }
    }

    proptest! {
        #[test]
        fn never_panics_on_junk(text in "(#|--|;| ?/// asset|///|\n|\r|é|[a-z= ]){0,40}") {
            has_marker(text.as_bytes());
            if let Some(Ok(header)) = find(&text) {
                for offset in 0..=header.text.len() {
                    prop_assert!(header.offset(offset) <= text.len() + 2);
                }
            }
        }
    }
}
