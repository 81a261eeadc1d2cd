//! Values that travel between steps within this process, without being written anywhere.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::io::Kept;

/// A value of the program's, held in memory. Only functions of the program can be given one; for
/// everything else it is kept first.
pub trait Held: Any + Send + Sync {
    /// The value as it would be kept.
    fn keep(&self) -> Result<Kept, String>;

    /// The value in a few words, for messages.
    fn describe(&self) -> String;
}

/// A held value; whoever has the last of them has the value itself.
#[derive(Clone)]
pub struct Datum(Arc<dyn Held>);

impl Datum {
    pub fn new(value: impl Held) -> Datum {
        Datum(Arc::new(value))
    }

    pub fn held(&self) -> &dyn Held {
        &*self.0
    }

    /// The value, if it is a `T`: itself if nobody else has it, else a clone. Fails with the datum.
    pub fn take<T: Held + Clone>(self) -> Result<T, Datum> {
        let any: Arc<dyn Any + Send + Sync> = self.0.clone();
        match any.downcast::<T>() {
            Ok(value) => {
                drop(self);
                Ok(Arc::try_unwrap(value).unwrap_or_else(|shared| (*shared).clone()))
            }
            Err(_) => Err(self),
        }
    }

    /// The value, if it is a `T`.
    pub fn get<T: Held>(&self) -> Option<&T> {
        let any: &dyn Any = &*self.0;
        any.downcast_ref()
    }
}

impl fmt::Debug for Datum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.describe())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone)]
    struct Number(i64, #[expect(dead_code, reason = "it is counted")] Arc<()>);

    impl Held for Number {
        fn keep(&self) -> Result<Kept, String> {
            Ok(Kept::Bytes { bytes: self.0.to_string().into_bytes(), extension: "json".into() })
        }

        fn describe(&self) -> String {
            self.0.to_string()
        }
    }

    #[test]
    fn the_last_one_takes_the_value_without_a_clone() {
        let counted = Arc::new(());
        let datum = Datum::new(Number(3, counted.clone()));
        let other = datum.clone();
        let value: Number = datum.take().unwrap();
        assert_eq!((value.0, Arc::strong_count(&counted)), (3, 3));
        drop(value);
        let value: Number = other.take().unwrap();
        assert_eq!((value.0, Arc::strong_count(&counted)), (3, 2));
    }
}
