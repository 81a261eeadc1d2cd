//! Decides whether two path patterns can name one path, so that a result is not written where it
//! would be read as input.

use crate::defs::{PartitionsDef, PathPattern, PatternPiece};

/// A pattern by the parts of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// `**`: any number of parts.
    Any,
    One(Vec<Sign>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Char(char),
    Digit,
    /// One character.
    Any,
    /// Any characters.
    Star,
}

/// The shapes of a source's files.
pub(super) fn of_pattern(pattern: &PathPattern) -> Vec<Shape> {
    let glob = pattern.pieces.iter().fold(String::new(), |glob, piece| match piece {
        PatternPiece::Literal(text) | PatternPiece::Glob(text) => glob + text,
        // One character or more.
        PatternPiece::Capture { .. } => glob + "?*",
    });
    of_glob(&glob)
}

/// The shapes of a glob; alternatives in braces make several.
pub(super) fn of_glob(glob: &str) -> Vec<Shape> {
    // So many alternatives are no longer worth a warning.
    const ALTERNATIVES_MAX: usize = 64;
    let mut open = vec![glob.to_owned()];
    let mut done = Vec::new();
    while let Some(glob) = open.pop() {
        let braces =
            glob.find('{').and_then(|start| Some((start, start + glob[start..].find('}')?)));
        match braces {
            Some((start, end)) if open.len() + done.len() < ALTERNATIVES_MAX => {
                let put = |word: &str| format!("{}{word}{}", &glob[..start], &glob[end + 1..]);
                open.extend(glob[start + 1..end].split(',').map(put));
            }
            Some(_) | None => done.push(shape(&glob, Sign::Any)),
        }
    }
    done
}

/// The shape of an export; the keys of time windows begin with a digit.
pub(super) fn of_export(path: &str, partitions: &PartitionsDef) -> Shape {
    let first = match partitions {
        PartitionsDef::TimeWindow(_) => Sign::Digit,
        PartitionsDef::Unpartitioned
        | PartitionsDef::Static(_)
        | PartitionsDef::Dynamic(_)
        | PartitionsDef::Multi(_) => Sign::Any,
    };
    // A control character cannot be in a path of anybody's by accident.
    shape(&path.replace("{partition}", "\u{1}*"), first)
}

fn shape(glob: &str, marked: Sign) -> Shape {
    let root = if glob.starts_with('/') { vec![Part::One(vec![Sign::Char('/')])] } else { vec![] };
    let parts = glob.split('/').filter(|part| !part.is_empty() && *part != ".");
    let parts =
        parts.map(|part| if part == "**" { Part::Any } else { Part::One(signs(part, marked)) });
    Shape(root.into_iter().chain(parts).collect())
}

fn signs(part: &str, marked: Sign) -> Vec<Sign> {
    let mut signs = Vec::new();
    let mut chars = part.chars();
    while let Some(next) = chars.next() {
        signs.push(match next {
            '*' => Sign::Star,
            '?' => Sign::Any,
            '\u{1}' => marked,
            '[' if chars.as_str().contains(']') => {
                // Which characters a class holds is not looked at.
                chars.next();
                chars.by_ref().find(|c| *c == ']');
                Sign::Any
            }
            c => Sign::Char(c),
        });
    }
    signs
}

impl Shape {
    /// Whether some path has both shapes.
    pub fn overlaps(&self, other: &Shape) -> bool {
        let is_any = |part: &Part| *part == Part::Any;
        let both = |a: &Part, b: &Part| match (a, b) {
            (Part::One(a), Part::One(b)) => {
                meets(a, b, |sign| *sign == Sign::Star, |a, b| compatible(*a, *b))
            }
            (Part::Any, _) | (_, Part::Any) => true,
        };
        meets(&self.0, &other.0, is_any, both)
    }
}

fn compatible(a: Sign, b: Sign) -> bool {
    match (a, b) {
        (Sign::Char(a), Sign::Char(b)) => a == b,
        (Sign::Digit, Sign::Char(c)) | (Sign::Char(c), Sign::Digit) => c.is_ascii_digit(),
        (Sign::Digit, Sign::Digit | Sign::Any | Sign::Star)
        | (Sign::Any | Sign::Star, _)
        | (_, Sign::Any | Sign::Star) => true,
    }
}

/// Whether two lists can stand for the same, where some elements stand for any number of others.
fn meets<T>(a: &[T], b: &[T], is_many: impl Fn(&T) -> bool, both: impl Fn(&T, &T) -> bool) -> bool {
    // reach[j]: the rest of `a` from the current element and the rest of `b` from `j` can meet.
    let ends = |rest: &[T]| rest.iter().all(&is_many);
    let mut reach: Vec<bool> = (0..=b.len()).map(|j| ends(&b[j..])).collect();
    for (i, first) in a.iter().enumerate().rev() {
        let mut next = vec![false; b.len() + 1];
        next[b.len()] = ends(&a[i..]);
        for j in (0..b.len()).rev() {
            next[j] = if is_many(first) || is_many(&b[j]) {
                reach[j] || next[j + 1]
            } else {
                both(first, &b[j]) && reach[j + 1]
            };
        }
        reach = next;
    }
    reach[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(export: &str, glob: &str, expect: bool) {
        let export = of_export(export, &PartitionsDef::Unpartitioned);
        let overlaps = of_glob(glob).iter().any(|shape| shape.overlaps(&export));
        assert_eq!(overlaps, expect, "{export:?} {glob}");
    }

    #[test]
    fn finds_common_paths() {
        check("data/{partition}.csv", "data/*.csv", true);
        check("data/x/{partition}.csv", "data/*.csv", false);
        check("data/x/{partition}.csv", "data/**", true);
        check("data/x.csv", "**/x.csv", true);
        check("data/xx.csv", "**/x.csv", false);
        check("data/{partition}.txt", "data/*.{csv,tsv}", false);
        check("data/a{partition}", "data/*b", true);
        check("./data//a", "data/[ab]", true);
        check("/data/a", "data/a", false);
        check("a", "a/**/b", false);
    }
}
