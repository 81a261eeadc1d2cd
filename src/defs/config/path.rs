//! Where in a configuration a value stands, and how that place is written.

use std::fmt;

/// The place of a value, from the root of its configuration. The root itself has no segments.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Path(pub Vec<Segment>);

/// One step into a value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// A field of a shape or of a selector.
    Field(String),
    /// An item of an array, counted from 0.
    Item(usize),
    /// The value under this key of a map.
    Entry(String),
    /// This key of a map itself.
    Key(String),
}

impl Path {
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// This place and one step further.
    pub fn then(&self, segment: Segment) -> Path {
        let mut path = self.clone();
        path.0.push(segment);
        path
    }

    /// This place and the field of it with this name.
    pub fn field(&self, name: &str) -> Path {
        self.then(Segment::Field(name.to_owned()))
    }

    /// `other` as seen from where this path begins.
    pub fn join(&self, other: &Path) -> Path {
        Path(self.0.iter().chain(&other.0).cloned().collect())
    }

    /// The value at this place of `root`, if there is one. A key of a map has none.
    pub fn get<'a>(&self, root: &'a serde_json::Value) -> Option<&'a serde_json::Value> {
        self.0.iter().try_fold(root, |value, segment| match segment {
            Segment::Field(name) | Segment::Entry(name) => value.get(name),
            Segment::Item(index) => value.get(index),
            Segment::Key(_) => None,
        })
    }

    /// The value at this place of `root`, to be changed.
    pub fn get_mut<'a>(
        &self,
        root: &'a mut serde_json::Value,
    ) -> Option<&'a mut serde_json::Value> {
        self.0.iter().try_fold(root, |value, segment| match segment {
            Segment::Field(name) | Segment::Entry(name) => value.get_mut(name),
            Segment::Item(index) => value.get_mut(index),
            Segment::Key(_) => None,
        })
    }
}

/// `optimizer.layers[2].size`, as `--set` reads it; names that need it are quoted.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Field(name) | Segment::Entry(name) | Segment::Key(name) => {
                    if depth > 0 {
                        f.write_str(".")?;
                    }
                    name_text(name, f)?;
                }
                Segment::Item(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

fn name_text(name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '/' | '?');
    if !name.is_empty() && name.chars().all(plain) {
        return f.write_str(name);
    }
    write!(f, "{}", serde_json::Value::from(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_written_as_it_is_set() {
        let path = Path::default().field("a").then(Segment::Item(2)).field("b c");
        assert_eq!(path.to_string(), r#"a[2]."b c""#);
        assert_eq!(Path::default().to_string(), "");
        let mut value = serde_json::json!({"a": [0, 1, {"b c": 5}]});
        assert_eq!(path.get(&value), Some(&5.into()));
        *path.get_mut(&mut value).unwrap() = 6.into();
        assert_eq!(path.get(&value), Some(&6.into()));
        assert_eq!(path.then(Segment::Key("k".into())).get(&value), None);
    }
}
