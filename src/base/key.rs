//! Names: of assets, of partitions, of runs.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The name of an asset or a source: segments of `[A-Za-z0-9_-]+` joined by `/`. Assets and sources share
/// their names.
///
/// ```
/// use giornata::base::AssetKey;
/// let key = AssetKey::parse("mart/daily-revenue")?;
/// assert_eq!(key.as_str(), "mart/daily-revenue");
/// assert_eq!(key.variable(), "mart_daily_revenue");
/// assert!(AssetKey::parse("mart//revenue").is_err());
/// # Ok::<(), giornata::base::InvalidName>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AssetKey(Arc<str>);

/// A text that cannot name an asset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{name}` cannot be a name: a name is segments of letters, digits, `_` and `-`, joined by `/`"
)]
pub struct InvalidName {
    /// The text, as it was given.
    pub name: String,
}

impl AssetKey {
    /// Reads a name, and fails if it is not of that form; see the example of [`AssetKey`].
    pub fn parse(name: &str) -> Result<AssetKey, InvalidName> {
        let segment_ok = |segment: &str| {
            !segment.is_empty()
                && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        };
        if name.split('/').all(segment_ok) {
            Ok(AssetKey(name.into()))
        } else {
            Err(InvalidName { name: name.to_owned() })
        }
    }

    /// The name as it was written; see the example of [`AssetKey`].
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name under which the pieces that an asset makes are partitions: `NAME/each`.
    ///
    /// ```
    /// use giornata::base::AssetKey;
    /// assert_eq!(AssetKey::parse("split")?.each().as_str(), "split/each");
    /// # Ok::<(), giornata::base::InvalidName>(())
    /// ```
    pub fn each(&self) -> AssetKey {
        AssetKey(format!("{}/each", self.0).into())
    }

    /// The name as a variable: `/` and `-` become `_`, and a leading digit gets a `_` in front. See the example
    /// of [`AssetKey`].
    pub fn variable(&self) -> String {
        let mut name: String =
            self.0.chars().map(|c| if c == '/' || c == '-' { '_' } else { c }).collect();
        if name.starts_with(|c: char| c.is_ascii_digit()) {
            name.insert(0, '_');
        }
        name
    }
}

/// The name of a job, of the form of an [`AssetKey`]; jobs have a name space of their own.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobName(Arc<str>);

impl JobName {
    /// Checks the form of a name.
    pub fn parse(name: &str) -> Result<JobName, InvalidName> {
        AssetKey::parse(name).map(|key| JobName(key.0))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for JobName {
    type Error = InvalidName;

    fn try_from(name: String) -> Result<JobName, InvalidName> {
        JobName::parse(&name)
    }
}

impl From<JobName> for String {
    fn from(name: JobName) -> String {
        name.0.to_string()
    }
}

impl Borrow<str> for JobName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for JobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for AssetKey {
    type Error = InvalidName;

    fn try_from(name: String) -> Result<AssetKey, InvalidName> {
        AssetKey::parse(&name)
    }
}

impl From<&AssetKey> for Arc<str> {
    fn from(key: &AssetKey) -> Arc<str> {
        key.0.clone()
    }
}

impl From<AssetKey> for String {
    fn from(key: AssetKey) -> String {
        key.0.to_string()
    }
}

impl Borrow<str> for AssetKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AssetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for AssetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a step: `mart/revenue` of an asset, `nightly/inner.add_one_2` of a call in a job, and
/// `nightly/compute[p1]` of its instance for one piece.
///
/// ```
/// use giornata::base::{JobName, StepName};
/// let step = StepName::of(&JobName::parse("nightly")?, "inner.add_one");
/// assert_eq!(step.as_str(), "nightly/inner.add_one");
/// assert_eq!(step.instance("p1").as_str(), "nightly/inner.add_one[p1]");
/// # Ok::<(), giornata::base::InvalidName>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepName(Arc<str>);

impl StepName {
    /// A call in a job, by the names on the way to it, joined by `.`.
    pub fn of(job: &JobName, path: &str) -> StepName {
        StepName(format!("{job}/{path}").into())
    }

    /// One that makes several assets.
    pub fn shared(name: &str) -> StepName {
        StepName(name.into())
    }

    /// Its instance for one piece.
    pub fn instance(&self, piece: &str) -> StepName {
        StepName(format!("{}[{piece}]", self.0).into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&AssetKey> for StepName {
    fn from(key: &AssetKey) -> StepName {
        StepName(key.0.clone())
    }
}

impl fmt::Display for StepName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for StepName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text that names one partition within its domain; empty for an asset without partitions.
///
/// Any characters are allowed: a key comes from file names and data.
///
/// ```
/// use giornata::base::PartitionKey;
/// let key = PartitionKey::new("2014-07-04");
/// assert_eq!((key.as_str(), key.is_unpartitioned()), ("2014-07-04", false));
/// assert!(PartitionKey::unpartitioned().is_unpartitioned());
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PartitionKey(Arc<str>);

impl PartitionKey {
    /// The key of this text, whether or not there is such a partition; see the example of [`PartitionKey`].
    pub fn new(text: impl Into<Arc<str>>) -> PartitionKey {
        PartitionKey(text.into())
    }

    /// The key of the only partition of an asset that has none; see the example of [`PartitionKey`].
    pub fn unpartitioned() -> PartitionKey {
        PartitionKey("".into())
    }

    /// The text of the key; see the example of [`PartitionKey`].
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the key of the only partition of an asset that has none; see the example of
    /// [`PartitionKey`].
    pub fn is_unpartitioned(&self) -> bool {
        self.0.is_empty()
    }
}

impl Borrow<str> for PartitionKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PartitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for PartitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// One invocation of `materialize` (or of a job, a backfill, a tick), numbered within a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub u64);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A range of partitions that is one unit, which several runs may carry out; numbered within a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BackfillId(pub u64);

impl fmt::Display for BackfillId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_becomes_a_variable() {
        assert_eq!(AssetKey::parse("mart/daily-sum").unwrap().variable(), "mart_daily_sum");
        assert_eq!(AssetKey::parse("7days").unwrap().variable(), "_7days");
    }
}
