//! Judges what a step emits: which outputs it has given, and which it still owes.
//!
//! The one place that knows unknown, repeated and missing outputs and the form of a piece's key,
//! whoever carries the step out.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Emits, OutputDecl};
use crate::base::similar;

/// What was emitted so far by one attempt of a step.
///
/// ```
/// use giornata::defs::{Emissions, OutputDecl};
/// let outputs = [OutputDecl::result()];
/// let mut emissions = Emissions::new(&outputs);
/// assert!(emissions.missing().is_some());
/// assert_eq!(emissions.push("result", None)?, 0);
/// assert!(emissions.push("result", None).is_err());
/// assert!(emissions.push("reslt", None).unwrap_err().to_string().contains("did you mean `result`?"));
/// # Ok::<(), giornata::defs::EmissionError>(())
/// ```
#[derive(Debug)]
pub struct Emissions<'a> {
    outputs: &'a [OutputDecl],
    given: Vec<bool>,
    pieces: HashSet<(usize, Arc<str>)>,
}

/// Why something cannot be emitted, or that something was not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EmissionError {
    #[error("emitted `{output}`, which is no output of it{}", hint(.similar))]
    Unknown { output: String, similar: Option<String> },
    #[error("emitted the output `{output}` twice")]
    Twice { output: Arc<str> },
    #[error("emitted the piece `{piece}` of `{output}` twice")]
    PieceTwice { output: Arc<str>, piece: String },
    #[error(
        "emitted a piece of `{output}` under the key `{piece}`; a key is letters, digits and `_`"
    )]
    Key { output: Arc<str>, piece: String },
    #[error("emitted `{output}` without a key; its pieces need one each")]
    NoKey { output: Arc<str> },
    #[error("emitted a piece of `{output}`, which is one value")]
    NoPieces { output: Arc<str> },
    #[error("did not emit the output `{output}`")]
    Missing { output: Arc<str> },
}

fn hint(similar: &Option<String>) -> String {
    similar.as_ref().map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

impl<'a> Emissions<'a> {
    pub fn new(outputs: &'a [OutputDecl]) -> Emissions<'a> {
        Emissions { outputs, given: vec![false; outputs.len()], pieces: HashSet::new() }
    }

    /// Takes one emission, by the name of its output; returns the output's place.
    pub fn push(&mut self, output: &str, piece: Option<&str>) -> Result<usize, EmissionError> {
        let Some(place) = self.outputs.iter().position(|decl| *decl.name == *output) else {
            let names = self.outputs.iter().map(|decl| &*decl.name);
            let similar = similar(output, names).map(str::to_owned);
            return Err(EmissionError::Unknown { output: output.to_owned(), similar });
        };
        let name = || self.outputs[place].name.clone();
        match (self.outputs[place].emits, piece) {
            (Emits::Required | Emits::Optional, Some(_)) => {
                return Err(EmissionError::NoPieces { output: name() });
            }
            (Emits::Required | Emits::Optional, None) if self.given[place] => {
                return Err(EmissionError::Twice { output: name() });
            }
            (Emits::Required | Emits::Optional, None) => {}
            (Emits::Pieces(_), None) => return Err(EmissionError::NoKey { output: name() }),
            (Emits::Pieces(_), Some(piece)) => {
                let piece_owned = piece.to_owned();
                if !is_key(piece) {
                    return Err(EmissionError::Key { output: name(), piece: piece_owned });
                }
                if !self.pieces.insert((place, piece.into())) {
                    return Err(EmissionError::PieceTwice { output: name(), piece: piece_owned });
                }
            }
        }
        self.given[place] = true;
        Ok(place)
    }

    /// The first output that a successful step must have given and has not.
    pub fn missing(&self) -> Option<EmissionError> {
        let mut outputs = self.outputs.iter().zip(&self.given);
        let owed = outputs.find(|(decl, given)| match decl.emits {
            Emits::Required => !**given,
            Emits::Optional | Emits::Pieces(_) => false,
        });
        owed.map(|(decl, _)| EmissionError::Missing { output: decl.name.clone() })
    }
}

/// Keys stand in names of steps, such as `compute[p1]`.
fn is_key(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::defs::Least;

    fn outputs() -> [OutputDecl; 3] {
        let output =
            |name: &str, emits| OutputDecl { name: name.into(), emits, ..OutputDecl::result() };
        [
            output("must", Emits::Required),
            output("may", Emits::Optional),
            output("some", Emits::Pieces(Least::None)),
        ]
    }

    #[track_caller]
    fn check(emitted: &[(&str, Option<&str>)], said: &str) {
        let outputs = outputs();
        let mut emissions = Emissions::new(&outputs);
        let error = emitted.iter().find_map(|(name, piece)| emissions.push(name, *piece).err());
        let error = error.or_else(|| emissions.missing());
        assert_eq!(error.map(|error| error.to_string()).unwrap_or_default(), said);
    }

    #[test]
    fn each_output_is_given_as_declared() {
        check(&[("must", None)], "");
        check(&[("some", Some("b")), ("must", None), ("may", None), ("some", Some("a"))], "");
        check(&[("may", None)], "did not emit the output `must`");
        check(&[("must", None), ("must", None)], "emitted the output `must` twice");
        check(&[("mast", None)], "emitted `mast`, which is no output of it; did you mean `must`?");
        check(&[("must", Some("a"))], "emitted a piece of `must`, which is one value");
        check(&[("some", None)], "emitted `some` without a key; its pieces need one each");
        check(&[("some", Some("a")), ("some", Some("a"))], "emitted the piece `a` of `some` twice");
        for key in ["", "a-b", "a b", "ä"] {
            let said = format!(
                "emitted a piece of `some` under the key `{key}`; a key is letters, digits and `_`"
            );
            check(&[("some", Some(key))], &said);
        }
    }
}
