//! Names of files for keys of any characters.

use crate::base::Digest;

/// Longer names are cut: file systems take 255 bytes, and an ending has to fit too.
const NAME_MAX: usize = 180;

/// A file name that stands for `key` and no other: everything but letters, digits, `.`, `_`, `-` and
/// `=` is percent-encoded; a long one is cut and ends with a digest of the whole.
pub fn file_name(key: &str) -> String {
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
    fn any_key_has_a_safe_name_of_its_own() {
        assert_eq!(file_name("2014-07-04"), "2014-07-04");
        assert_eq!(file_name("../etc"), "%2E.%2Fetc");
        assert_eq!(file_name("a b"), "a%20b");
        let long = "x".repeat(500);
        assert!(file_name(&long).len() < 200);
        assert_ne!(file_name(&long), file_name(&"x".repeat(501)));
    }
}
