//! Inputs and outputs of typed ops: what a function takes and gives, and what its declaration says.

use std::marker::PhantomData;

use super::body::{Arg, Args, Emit, FailureKind, StepFailure};
use super::datum::{Data, hold, take, type_of};
use super::graph::{Edge, Pieces};
use crate::defs::{Emits, Least, OutputDecl, OutputDef};
use crate::exec::Datum;

/// An input of one `T`, declared by [`input`](super::OpBuilder::input): a `T` of the function. These types
/// are named where a type of an op is written; see the example of [`Param`].
pub struct One<T>(PhantomData<fn() -> T>);

/// An input of several `T`, declared by [`list`](super::OpBuilder::list): a `Vec<T>` of the function, in the
/// order in which they are wired or emitted. See the example of [`Param`].
pub struct Many<T>(PhantomData<fn() -> T>);

/// An input without a value, declared by [`after`](super::OpBuilder::after): only the order counts, and the
/// function gets `()`. Dagster's `Nothing`. See the example of [`Param`].
pub struct After(());

/// What a function takes at one input: [`One`], [`Many`] or [`After`]. Implemented here only.
///
/// ```
/// use giornata::api::{After, Alone, Many, One, Op, Plain, op};
/// type Inputs = (One<f64>, Many<f64>, After);
/// let scale: Op<Inputs, Alone<Plain<f64>>> = op("scale")
///     .input::<f64>("factor")
///     .list::<f64>("numbers")
///     .after("checked")
///     .run(|_, factor, numbers, ()| Ok(factor * numbers.iter().sum::<f64>()));
/// assert_eq!(scale.name(), "scale");
/// ```
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

/// An output that is always given, declared by [`output`](super::OpBuilder::output): a `T` of the function.
/// See the example of [`Output`].
pub struct Plain<T>(PhantomData<fn() -> T>);

/// An output that may be left out, declared by [`optional`](super::OpBuilder::optional): an `Option<T>` of
/// the function. Where it is `None`, what reads it is skipped: Dagster's `is_required=False`. See the example of
/// [`Output`].
pub struct Maybe<T>(PhantomData<fn() -> T>);

/// An output of pieces, declared by [`pieces`](super::OpBuilder::pieces): a `Vec` of keys and values, one for
/// each piece. Dagster's `DynamicOut`. See the example of [`Output`].
pub struct Pieced<T>(PhantomData<fn() -> T>);

/// One output of a function: [`Plain`], [`Maybe`] or [`Pieced`]. Implemented here only.
///
/// ```
/// use giornata::api::{Alone, Maybe, Op, Pieced, Plain, op};
/// let both: Op<(), (Plain<i64>, Maybe<String>)> =
///     op("both").output::<i64>("n").optional::<String>("text").run(|_| Ok((1, None)));
/// let parts: Op<(), Alone<Pieced<i64>>> =
///     op("parts").pieces::<i64>().run(|_| Ok(vec![("a".to_owned(), 1)]));
/// assert_eq!((both.name(), parts.name()), ("both", "parts"));
/// ```
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

/// Everything that a function gives: one output alone ([`Alone`]), or a tuple of named ones, up to four.
/// Implemented here only; see the example of [`Output`].
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

/// The only output of an op, named `result`; see the example of [`Output`].
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

/// The outputs of an op that has not declared any: its function gives one value, unless
/// [`output`](super::OpBuilder::output) and [`optional`](super::OpBuilder::optional) name several.
///
/// ```
/// use giornata::api::{OpBuilder, Undeclared, op};
/// let begun: OpBuilder<(), Undeclared> = op("one");
/// assert_eq!(begun.run(|_| Ok(1_i64)).name(), "one");
/// ```
pub struct Undeclared(());

/// A list of inputs to which one more can be added; it has at most six. Implemented here only, for tuples of
/// [`Param`]s.
///
/// ```
/// use giornata::api::{Longer, One, OpBuilder, Undeclared, op};
/// /// Adds an input to any op in the making.
/// fn with_seed<I: Longer<One<u64>>>(op: OpBuilder<I, Undeclared>) -> OpBuilder<I::With, Undeclared> {
///     op.input::<u64>("seed")
/// }
/// let draw = with_seed(op("draw").input::<u64>("max")).run(|_, max, seed| Ok(seed % max));
/// assert_eq!(draw.name(), "draw");
/// ```
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

/// A list of outputs to which one more can be added; it has at most four. Implemented here only, for
/// [`Undeclared`] and tuples of [`Output`]s.
///
/// ```
/// use giornata::api::{Further, OpBuilder, Plain, op};
/// /// Adds an output to any op in the making.
/// fn with_count<I, O: Further<Plain<u64>>>(op: OpBuilder<I, O>) -> OpBuilder<I, O::With> {
///     op.output::<u64>("count")
/// }
/// let split = with_count(op("split").output::<String>("text")).run(|_| Ok((String::new(), 0)));
/// assert_eq!(split.name(), "split");
/// ```
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
