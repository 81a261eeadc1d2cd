//! Functions that compute several partitions of an asset in one call.

use std::sync::Arc;

use super::compute::{BatchCall, Callable, Context, Wire, keep, said};
use super::declare::{Asset, Sole};
use super::handle::Handle;
use super::value::{BoxError, Value};
use crate::exec::{Emitted, Failure, Made};

/// The places of partitions whose inputs were read, and what has become of the others.
struct Gathered {
    places: Vec<usize>,
    made: Made,
}

impl Gathered {
    fn new(lots: usize) -> Gathered {
        let unread = || Err(Failure::Function("its inputs were not read".to_owned()));
        let made = std::iter::repeat_with(unread).take(lots).collect();
        Gathered { places: Vec::with_capacity(lots), made }
    }

    /// Keeps what the function gave: a value, or an error, for each partition that it was given.
    fn keep<V: Value>(mut self, given: Vec<Result<V, BoxError>>) -> Result<Made, Failure> {
        if given.len() != self.places.len() {
            let (given, asked) = (given.len(), self.places.len());
            let reason = format!("gave {given} values for {asked} partitions; give one for each");
            return Err(Failure::Function(reason));
        }
        for (place, value) in self.places.into_iter().zip(given) {
            self.made[place] = value.map_err(said).and_then(keep).map(Emitted::only);
        }
        Ok(self.made)
    }
}

macro_rules! compute_batch {
    ($($A:ident $wire:ident $values:ident),*) => {
        impl<$($A: 'static),*> Asset<'_, ($(Wire<$A>,)*), Sole> {
            /// Says how up to `max` partitions are computed in one call, and ends the declaration: for what is
            /// dear to begin with, such as loading a model. Otherwise as [`compute`](Asset::compute).
            ///
            /// The function gets a [`Context`] for each partition, and of each input a value for each
            /// partition in the same order. It gives a value or an error for each partition in that order: an
            /// error fails that partition and what reads it. If it gives an error instead of them, or panics,
            /// all of them have failed. What a partition is must not depend on which others are in the call.
            ///
            /// An asset without partitions, and one that asks for more while it runs
            /// ([`may_read`](Asset::may_read)), cannot be computed in this way
            /// ([`Mistake::Batch`](super::Mistake::Batch)).
            /// See the example of [`Context`].
            pub fn compute_batch<V, F>(self, max: u32, function: F) -> Handle<V>
            where
                V: Value,
                F: Fn(&[Context<'_>], $(Vec<$A>),*) -> Result<Vec<Result<V, BoxError>>, BoxError>
                    + Send
                    + Sync
                    + 'static,
            {
                let Asset { open, wires: ($($wire,)*), kind: Sole } = self;
                let call: BatchCall = Arc::new(move |lots| {
                    let mut gathered = Gathered::new(lots.len());
                    let mut sound = Vec::with_capacity(lots.len());
                    $(let mut $values = Vec::with_capacity(lots.len());)*
                    for (place, context) in lots.into_iter().enumerate() {
                        let read = || Ok::<_, Failure>(($($wire.read(&context)?,)*));
                        match read() {
                            Ok(($($wire,)*)) => {
                                $($values.push($wire);)*
                                sound.push(context);
                                gathered.places.push(place);
                            }
                            Err(failure) => gathered.made[place] = Err(failure),
                        }
                    }
                    if sound.is_empty() {
                        return Ok(gathered.made);
                    }
                    gathered.keep(function(&sound, $($values),*).map_err(said)?)
                });
                open.finish_asset(V::FORM, Callable::Batch { max, call })
            }
        }
    };
}

compute_batch!();
compute_batch!(A a all_a);
compute_batch!(A a all_a, B b all_b);
compute_batch!(A a all_a, B b all_b, C c all_c);
compute_batch!(A a all_a, B b all_b, C c all_c, D d all_d);
compute_batch!(A a all_a, B b all_b, C c all_c, D d all_d, E e all_e);
compute_batch!(A a all_a, B b all_b, C c all_c, D d all_d, E e all_e, G g all_g);
