//! Which of the known names somebody may have meant.

/// The name that is most like `name`, if one is like it at all: about one slip in three letters.
pub(crate) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let length = name.chars().count();
    let lower = name.to_lowercase();
    let slips = |other: &str| strsim::osa_distance(&lower, &other.to_lowercase());
    let near = names.map(|other| (slips(other), other));
    let near = near.filter(|(slips, _)| *slips < length && *slips <= (length / 3).max(1));
    near.min_by_key(|(slips, _)| *slips).map(|(_, other)| other)
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
}
