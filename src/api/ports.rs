//! Inputs and outputs of typed ops: what a function takes and gives, and what its declaration says.

use std::marker::PhantomData;

use super::body::{Arg, Args, Emit, FailureKind, StepFailure};
use super::datum::{Data, hold, take, type_of};
use super::graph::{Edge, Pieces};
use crate::defs::{Emits, Least, OutputDecl, OutputDef};
use crate::exec::Datum;

/// An input of one `T`.
pub struct One<T>(PhantomData<fn() -> T>);

/// An input of several `T`, as a `Vec<T>`.
pub struct Many<T>(PhantomData<fn() -> T>);

/// An input without a value: only the order counts. The function gets `()`.
pub struct After(());

/// What a function takes at one input: [`One`], [`Many`] or [`After`]. Implemented here only.
pub trait Param: 'static {
    /// The parameter of the function.
    type Arg;

    #[doc(hidden)]
    fn read(from: &mut Arguments) -> Result<Self::Arg, StepFailure>;
}

/// What a step got, input after input.
#[doc(hidden)]
pub struct Arguments(pub(super) Args);

impl Arguments {
    fn next(&mut self) -> Arg {
        self.0.next().expect("a step has an argument for each of its inputs")
    }
}

fn read<T: Data>(datum: Datum) -> Result<T, StepFailure> {
    take(datum).map_err(|error| {
        let text = format!("expected `{}`: {error}", std::any::type_name::<T>());
        StepFailure::new(FailureKind::Type, text)
    })
}

impl<T: Data> Param for One<T> {
    type Arg = T;

    fn read(from: &mut Arguments) -> Result<T, StepFailure> {
        match from.next() {
            Arg::One(datum) => read(datum),
            Arg::Many(_) | Arg::Nothing => unreachable!("a graph wires one value into it"),
        }
    }
}

impl<T: Data> Param for Many<T> {
    type Arg = Vec<T>;

    fn read(from: &mut Arguments) -> Result<Vec<T>, StepFailure> {
        match from.next() {
            Arg::Many(data) => data.into_iter().map(read).collect(),
            Arg::One(_) | Arg::Nothing => unreachable!("a graph wires several values into it"),
        }
    }
}

impl Param for After {
    type Arg = ();

    fn read(from: &mut Arguments) -> Result<(), StepFailure> {
        from.next();
        Ok(())
    }
}

/// An output that is always given.
pub struct Plain<T>(PhantomData<fn() -> T>);

/// An output that may be left out: an `Option<T>`.
pub struct Maybe<T>(PhantomData<fn() -> T>);

/// An output of pieces: a `Vec` of keys and values.
pub struct Pieced<T>(PhantomData<fn() -> T>);

/// One output of a function: [`Plain`], [`Maybe`] or [`Pieced`]. Implemented here only.
pub trait Output: 'static {
    /// What the function gives.
    type Value;
    /// What a call of the op gives, to be wired into others.
    type Edge;

    #[doc(hidden)]
    fn declare(name: &str) -> OutputDecl;
    #[doc(hidden)]
    fn emit(value: Self::Value, output: usize, to: &mut Emit<'_>) -> Result<(), StepFailure>;
    #[doc(hidden)]
    fn edge(from: Called, output: u32) -> Self::Edge;
}

/// A call, for the edges that begin at it.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct Called {
    pub(super) graph: u64,
    pub(super) call: u32,
    /// Whether it is mapped over pieces.
    pub(super) each: bool,
}

fn declare<T: 'static>(name: &str, emits: Emits) -> OutputDecl {
    let form = OutputDef::File { name: name.to_owned() };
    OutputDecl { name: name.into(), emits, form, kind: type_of::<T>() }
}

impl<T: Data> Output for Plain<T> {
    type Value = T;
    type Edge = Edge<T>;

    fn declare(name: &str) -> OutputDecl {
        declare::<T>(name, Emits::Required)
    }

    fn emit(value: T, output: usize, to: &mut Emit<'_>) -> Result<(), StepFailure> {
        to.push(output, None, hold(value))
    }

    fn edge(from: Called, output: u32) -> Edge<T> {
        Edge::at(from, output)
    }
}

impl<T: Data> Output for Maybe<T> {
    type Value = Option<T>;
    type Edge = Edge<T>;

    fn declare(name: &str) -> OutputDecl {
        declare::<T>(name, Emits::Optional)
    }

    fn emit(value: Option<T>, output: usize, to: &mut Emit<'_>) -> Result<(), StepFailure> {
        value.map_or(Ok(()), |value| to.push(output, None, hold(value)))
    }

    fn edge(from: Called, output: u32) -> Edge<T> {
        Edge::at(from, output)
    }
}

impl<T: Data> Output for Pieced<T> {
    type Value = Vec<(String, T)>;
    type Edge = Pieces<T>;

    fn declare(name: &str) -> OutputDecl {
        declare::<T>(name, Emits::Pieces(Least::None))
    }

    fn emit(pieces: Vec<(String, T)>, output: usize, to: &mut Emit<'_>) -> Result<(), StepFailure> {
        pieces.into_iter().try_for_each(|(key, value)| to.push(output, Some(&key), hold(value)))
    }

    fn edge(from: Called, output: u32) -> Pieces<T> {
        Pieces::at(from, output)
    }
}

/// Everything that a function gives: one output alone, or a tuple of named ones. Implemented here only.
pub trait Outputs: 'static {
    /// What the function gives.
    type Values;
    /// What a call of the op gives, to be wired into others.
    type Edges;

    #[doc(hidden)]
    fn declare(names: &[String]) -> Vec<OutputDecl>;
    #[doc(hidden)]
    fn emit(values: Self::Values, to: &mut Emit<'_>) -> Result<(), StepFailure>;
    #[doc(hidden)]
    fn edges(from: Called) -> Self::Edges;
}

/// The only output of an op, named `result`.
pub struct Alone<O>(PhantomData<fn() -> O>);

impl<O: Output> Outputs for Alone<O> {
    type Values = O::Value;
    type Edges = O::Edge;

    fn declare(_: &[String]) -> Vec<OutputDecl> {
        vec![O::declare(OutputDecl::RESULT)]
    }

    fn emit(value: O::Value, to: &mut Emit<'_>) -> Result<(), StepFailure> {
        O::emit(value, 0, to)
    }

    fn edges(from: Called) -> O::Edge {
        O::edge(from, 0)
    }
}

macro_rules! outputs {
    ($($O:ident $place:tt),*) => {
        impl<$($O: Output),*> Outputs for ($($O,)*) {
            type Values = ($($O::Value,)*);
            type Edges = ($($O::Edge,)*);

            fn declare(names: &[String]) -> Vec<OutputDecl> {
                vec![$($O::declare(&names[$place])),*]
            }

            fn emit(values: Self::Values, to: &mut Emit<'_>) -> Result<(), StepFailure> {
                $($O::emit(values.$place, $place, to)?;)*
                Ok(())
            }

            fn edges(from: Called) -> Self::Edges {
                ($($O::edge(from, $place),)*)
            }
        }
    };
}

outputs!(A 0);
outputs!(A 0, B 1);
outputs!(A 0, B 1, C 2);
outputs!(A 0, B 1, C 2, D 3);

/// No output is declared yet: the function gives one value, or `.output` and `.optional` name several.
pub struct Undeclared(());

/// A list of inputs to which one more can be added.
#[diagnostic::on_unimplemented(message = "an op has at most six inputs")]
pub trait Longer<P> {
    /// The longer list.
    type With;
}

macro_rules! longer {
    ($($A:ident),*) => {
        impl<$($A,)* P> Longer<P> for ($($A,)*) {
            type With = ($($A,)* P,);
        }
    };
}

longer!();
longer!(A);
longer!(A, B);
longer!(A, B, C);
longer!(A, B, C, D);
longer!(A, B, C, D, E);

/// A list of outputs to which one more can be added.
#[diagnostic::on_unimplemented(
    message = "an op has at most four outputs with names, and pieces alone"
)]
pub trait Further<O> {
    /// The longer list.
    type With;
}

impl<O> Further<O> for Undeclared {
    type With = (O,);
}

macro_rules! further {
    ($($A:ident),*) => {
        impl<$($A,)* O> Further<O> for ($($A,)*) {
            type With = ($($A,)* O,);
        }
    };
}

further!(A);
further!(A, B);
further!(A, B, C);
