//! Types of the program's: a name, and a predicate that tells its values.

use std::fmt;
use std::sync::Arc;

use super::body::Check;
use super::datum::{Data, HeldOf, load};
use crate::defs::TypeRef;
use crate::exec::Datum;

/// A type of the program's: a name and a predicate, checked where an op takes or gives a value. Dagster's
/// `DagsterType`. A value that it does not admit fails the step with [`FailureKind::Type`](super::FailureKind),
/// of the op that gives it where the output says the type, of the reader where its input does.
///
/// ```
/// use giornata::api::{FailureKind, Kind, job, op};
/// let even = Kind::<i64>::new("Even", |n| n % 2 == 0);
/// let three = op("three").run(|_| Ok(3_i64));
/// let halve = op("halve").input_that("number", &even).run(|_, number| Ok(number / 2));
/// let result = job("j").define(|g| {
///     let number = three.call(g);
///     halve.call(g, number);
/// }).execute_in_process()?;
/// let failure = result.failure("halve").ok_or("3 is not even")?;
/// assert_eq!(failure.kind, FailureKind::Type);
/// assert_eq!(failure.text, "input `number` of `halve`: expected Even, got 3");
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
pub struct Kind<T> {
    name: Arc<str>,
    is: Arc<dyn Fn(&T) -> bool + Send + Sync>,
}

impl<T> Clone for Kind<T> {
    fn clone(&self) -> Kind<T> {
        Kind { name: self.name.clone(), is: self.is.clone() }
    }
}

impl<T> fmt::Debug for Kind<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kind").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<T: Data> Kind<T> {
    /// A type of this name, whose values are those of which the predicate is true. The name is what messages
    /// say. See the example of [`Kind`].
    pub fn new(name: &str, is: impl Fn(&T) -> bool + Send + Sync + 'static) -> Kind<T> {
        Kind { name: name.into(), is: Arc::new(is) }
    }

    /// The name that it was given; see the example of [`Kind::admits`].
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a value is one of this type.
    ///
    /// ```
    /// use giornata::api::Kind;
    /// let even = Kind::<i64>::new("Even", |n| n % 2 == 0);
    /// assert_eq!((even.name(), even.admits(&4), even.admits(&5)), ("Even", true, false));
    /// ```
    pub fn admits(&self, value: &T) -> bool {
        (self.is)(value)
    }

    pub(super) fn type_ref(&self) -> TypeRef {
        TypeRef::Named(self.name.clone())
    }

    pub(super) fn check(&self) -> Check {
        let kind = self.clone();
        let is = move |datum: &Datum| match datum.get::<HeldOf<T>>() {
            Some(HeldOf(value)) => kind.admits(value),
            None => load::<T>(datum).is_ok_and(|value| kind.admits(&value)),
        };
        Check { expected: self.name.clone(), is: Arc::new(is) }
    }
}
