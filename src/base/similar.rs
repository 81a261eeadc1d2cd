//! Decides which known word a misspelt one was probably meant to be.

/// The word among `known` that is close enough to `name` for a suggestion; the first by name of equally
/// close ones.
///
/// ```
/// use giornata::base::similar;
/// assert_eq!(similar("weathr", ["weather", "wealth"]), Some("weather"));
/// assert_eq!(similar("rain", ["weather", "wealth"]), None);
/// ```
pub fn similar<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = name.chars().count();
    known
        .into_iter()
        .filter_map(|candidate| {
            let other = candidate.chars().count();
            let most = 1 + length.min(other) / 4;
            // The distance is never less than the difference of the lengths, and dear to compute.
            if length.abs_diff(other) > most {
                return None;
            }
            let distance = strsim::damerau_levenshtein(name, candidate);
            // Of a very short word something must be left.
            (distance <= most && distance < length.max(other)).then_some((distance, candidate))
        })
        .min()
        .map(|(_, candidate)| candidate)
}
