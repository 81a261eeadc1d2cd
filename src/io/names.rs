//! Names: which of the known ones somebody may have meant, and names of files for keys of any characters.

use crate::base::Digest;

/// The name that is most like `name`, if one is like it at all: about one slip in three letters.
pub(crate) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let length = name.chars().count();
    let lower = name.to_lowercase();
    let slips = |other: &str| strsim::osa_distance(&lower, &other.to_lowercase());
    let near = names.map(|other| (slips(other), other));
    let near = near.filter(|(slips, _)| *slips < length && *slips <= (length / 3).max(1));
    near.min_by_key(|(slips, _)| *slips).map(|(_, other)| other)
}

/// Longer names are cut: file systems take 255 bytes, and an ending has to fit too.
const NAME_MAX: usize = 180;

/// A file name that stands for `key` and no other: everything but letters, digits, `.`, `_`, `-` and
/// `=` is percent-encoded; a long one is cut and ends with a digest of the whole.
pub(crate) fn file_name(key: &str) -> String {
    let mut name = String::with_capacity(key.len());
    for byte in key.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"._-=".contains(&byte);
        // A name of dots alone, or one that is hidden, would be a trap.
        if plain && !(name.is_empty() && byte == b'.') {
            name.push(char::from(byte));
        } else {
            name += &format!("%{byte:02X}");
        }
    }
    if name.len() > NAME_MAX {
        name.truncate(NAME_MAX);
        name += &format!("-{}", Digest::of_blob(key.as_bytes()).short());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognized() {
        let near = |name| nearest(name, ["rain", "temp_max", "temp_min", "n"].into_iter());
        assert_eq!(near("rian"), Some("rain"));
        assert_eq!(near("Rain"), Some("rain"));
        assert_eq!(near("temp_mix"), Some("temp_max"));
        assert_eq!(near("wind"), None);
        assert_eq!(near("x"), None);
    }

    #[test]
    fn any_key_has_a_safe_name_of_its_own() {
        assert_eq!(file_name("2014-07-04"), "2014-07-04");
        assert_eq!(file_name("../etc"), "%2E.%2Fetc");
        assert_eq!(file_name("a b"), "a%20b");
        let long = "x".repeat(500);
        assert!(file_name(&long).len() < 200);
        assert_ne!(file_name(&long), file_name(&"x".repeat(501)));
    }
}
