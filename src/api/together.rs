//! Several assets that one function computes: their names, what is said of each alone, and their values.

use std::sync::Arc;

use super::compute::{Call, Callable, Context, Verdict, Wire, keep, said};
use super::declare::{Asset, DraftBody, DraftCheck, Open};
use super::handle::{Handle, Reference};
use super::value::{BoxError, Form, Value};
use crate::defs::Severity;
use crate::exec::{Emitted, Failure, Produced};
use crate::io::Table;

/// Says of an [`Asset`] that its step makes `N` assets: the `K` of what
/// [`Project::assets`](super::Project::assets) begins, Dagster's multi-asset.
///
/// ```
/// use giornata::api::{Asset, Handle, Project, Several};
/// fn two(pair: Asset<'_, (), Several<2>>) -> (Handle<i64>, Handle<String>) {
///     pair.compute(|_| Ok((1, "one".to_owned())))
/// }
/// # let dir = tempfile::tempdir()?;
/// let mut project = Project::new("numbers", dir.path());
/// let (number, word) = two(project.assets(["number", "word"]));
/// assert_eq!((project.get(&number, ())?, project.get(&word, ())?), (1, "one".to_owned()));
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
pub struct Several<const N: usize> {
    members: [(Arc<str>, Member); N],
    /// Names that were said and are none of these.
    strangers: Vec<String>,
}

impl<const N: usize> Several<N> {
    pub(super) fn new(names: [&str; N]) -> Several<N> {
        let members = names.map(|name| (name.into(), Member::default()));
        Several { members, strangers: Vec::new() }
    }
}

/// What holds for one of several assets and not for the others.
///
/// ```
/// use giornata::api::Project;
/// # let dir = tempfile::tempdir()?;
/// let mut project = Project::new("words", dir.path());
/// let (short, long) = project
///     .assets(["short", "long"])
///     .member("long", |long| long.description("For the patient").export("long.txt"))
///     .compute(|_| Ok(("fig".to_owned(), "pomegranate".to_owned())));
/// assert_eq!(project.get(&short, ())?, "fig");
/// assert!(!dir.path().join("long.txt").exists(), "it was not asked for");
/// project.get(&long, ())?;
/// assert_eq!(std::fs::read_to_string(dir.path().join("long.txt"))?, "pomegranate");
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
#[derive(Default)]
pub struct Member {
    export: Option<String>,
    description: Option<String>,
    checks: Vec<DraftCheck>,
}

impl Member {
    /// A file where its results are also put, in the form of [`Asset::export`]; see the example of [`Member`].
    pub fn export(mut self, path: &str) -> Member {
        self.export = Some(path.to_owned());
        self
    }

    /// One sentence for listings; see the example of [`Member`].
    pub fn description(mut self, text: &str) -> Member {
        self.description = Some(text.to_owned());
        self
    }

    /// What its table must fulfil to count as a result, in the form of [`Asset::check`].
    ///
    /// ```
    /// use giornata::api::{Project, Table};
    /// # let dir = tempfile::tempdir()?;
    /// let mut project = Project::new("stock", dir.path());
    /// let (stock, count) = project
    ///     .assets(["stock", "count"])
    ///     .member("stock", |stock| stock.check("rows >= 1"))
    ///     .compute(|_| Ok((Table::with_columns(["pieces"]), 0_i64)));
    /// let error = project.get(&stock, ()).unwrap_err().to_string();
    /// assert!(error.contains("check failed: `rows >= 1`"), "{error}");
    /// # let _ = count;
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn check(self, check: &str) -> Member {
        self.check_as(Severity::Blocking, check)
    }

    /// A check in the form of [`Asset::check`], and what happens where it fails, as in [`Asset::check_as`].
    ///
    /// ```
    /// use giornata::api::{Project, Severity, Table};
    /// # let dir = tempfile::tempdir()?;
    /// let mut project = Project::new("stock", dir.path());
    /// let (stock, _) = project
    ///     .assets(["stock", "count"])
    ///     .member("stock", |stock| stock.check_as(Severity::Warn, "rows >= 1"))
    ///     .compute(|_| Ok((Table::with_columns(["pieces"]), 0_i64)));
    /// assert_eq!(project.get(&stock, ())?.rows.len(), 0);
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn check_as(mut self, severity: Severity, check: &str) -> Member {
        self.checks.push(DraftCheck { name: check.to_owned(), severity, verdict: None });
        self
    }

    /// A check by a function, as in [`Asset::check_with`].
    ///
    /// ```
    /// use giornata::api::{Project, Severity, Table};
    /// # let dir = tempfile::tempdir()?;
    /// let has_rows = |table: &Table| match table.rows.len() {
    ///     0 => Err("there is none".to_owned()),
    ///     _ => Ok(()),
    /// };
    /// let mut project = Project::new("stock", dir.path());
    /// let (stock, _) = project
    ///     .assets(["stock", "count"])
    ///     .member("stock", |stock| stock.check_with("has rows", Severity::Blocking, has_rows))
    ///     .compute(|_| Ok((Table::with_columns(["pieces"]), 0_i64)));
    /// let error = project.get(&stock, ()).unwrap_err().to_string();
    /// assert!(error.contains("`has rows` (there is none)"), "{error}");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn check_with(
        mut self,
        name: &str,
        severity: Severity,
        verdict: impl Fn(&Table) -> Result<(), String> + Send + Sync + 'static,
    ) -> Member {
        let (name, verdict) = (name.to_owned(), Some(Arc::new(verdict) as Verdict));
        self.checks.push(DraftCheck { name, severity, verdict });
        self
    }
}

impl<W, const N: usize> Asset<'_, W, Several<N>> {
    /// Says what holds for one of the assets alone; what is said of all holds for it too. A name that is none of
    /// them is a mistake ([`Mistake::Stranger`](super::Mistake::Stranger)). See the example of [`Member`].
    pub fn member(mut self, name: &str, say: impl FnOnce(Member) -> Member) -> Self {
        match self.kind.members.iter_mut().find(|(own, _)| **own == *name) {
            Some((_, member)) => *member = say(std::mem::take(member)),
            None => self.kind.strangers.push(name.to_owned()),
        }
        self
    }
}

/// The value of one of several assets: a [`Value`], or an `Option` of one, which may be `None` where the
/// asset is not wanted. Implemented here only; see the example of [`Members`].
#[diagnostic::on_unimplemented(message = "`{Self}` is no value of an asset")]
pub trait Wanted {
    /// Its type.
    type Value: Value;

    /// The value, if there is one.
    ///
    /// ```
    /// use giornata::api::Wanted;
    /// assert_eq!(1_i64.made(), Some(1));
    /// assert_eq!(None::<i64>.made(), None);
    /// ```
    fn made(self) -> Option<Self::Value>;
}

impl<V: Value> Wanted for V {
    type Value = V;

    fn made(self) -> Option<V> {
        Some(self)
    }
}

impl<V: Value> Wanted for Option<V> {
    type Value = V;

    fn made(self) -> Option<V> {
        self
    }
}

/// A tuple with a value for each of `N` assets, up to eight, in the order of their names: what the function
/// of several assets gives. Implemented here only.
///
/// ```
/// use giornata::api::Project;
/// # let dir = tempfile::tempdir()?;
/// let mut project = Project::new("sums", dir.path());
/// let (_, large) = project.assets(["small", "large"]).compute(|ctx| {
///     // What takes long is left out where nobody asks for it.
///     let small = ctx.is_wanted("small").then(|| "1".to_owned());
///     let large = ctx.is_wanted("large").then(|| (1..=1_000).sum::<u64>().to_string());
///     Ok((small, large))
/// });
/// assert_eq!(project.get(&large, ())?, "500500");
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no tuple of {N} values, one for each of the names"
)]
pub trait Members<const N: usize> {
    /// A handle of each.
    type Handles;

    #[doc(hidden)]
    const FORMS: [Form; N];

    #[doc(hidden)]
    fn handles(declared: Declared<N>) -> Self::Handles;

    #[doc(hidden)]
    fn keep(self) -> Result<Made<N>, Failure>;
}

/// Assets that were declared.
#[doc(hidden)]
pub struct Declared<const N: usize>(pub(super) [Reference; N]);

/// What there is of each.
#[doc(hidden)]
pub struct Made<const N: usize>([Option<Produced>; N]);

fn kept<V: Wanted>(value: V) -> Result<Option<Produced>, Failure> {
    value.made().map(keep).transpose()
}

macro_rules! members {
    ($count:literal: $($V:ident $value:ident),*) => {
        impl<$($V: Wanted),*> Members<$count> for ($($V,)*) {
            type Handles = ($(Handle<$V::Value>,)*);
            const FORMS: [Form; $count] = [$($V::Value::FORM),*];

            fn handles(Declared([$($value),*]): Declared<$count>) -> Self::Handles {
                ($(Handle::new($value),)*)
            }

            fn keep(self) -> Result<Made<$count>, Failure> {
                let ($($value,)*) = self;
                Ok(Made([$(kept($value)?),*]))
            }
        }
    };
}

members!(1: A a);
members!(2: A a, B b);
members!(3: A a, B b, C c);
members!(4: A a, B b, C c, D d);
members!(5: A a, B b, C c, D d, E e);
members!(6: A a, B b, C c, D d, E e, F f);
members!(7: A a, B b, C c, D d, E e, F f, G g);
members!(8: A a, B b, C c, D d, E e, F f, G g, H h);

macro_rules! compute {
    ($($A:ident $wire:ident),*) => {
        impl<$($A: 'static,)* const N: usize> Asset<'_, ($(Wire<$A>,)*), Several<N>> {
            /// Says how a partition of all the assets is computed from the inputs, and ends the declaration; gives a
            /// handle of each. The function gives a tuple with a value for each name, or with `Option`s of values.
            /// What is given and not wanted is left out; what is wanted and not given fails. See the example of
            /// [`Members`].
            pub fn compute<V, Fun>(self, function: Fun) -> V::Handles
            where
                V: Members<N>,
                Fun: Fn(&Context<'_>, $($A),*) -> Result<V, BoxError> + Send + Sync + 'static,
            {
                let Asset { open, wires: ($($wire,)*), kind } = self;
                let call: Call = Arc::new(move |context| {
                    $(let $wire = $wire.read(context)?;)*
                    emitted(function(context, $($wire),*).map_err(said)?)
                });
                let body = |_, form| DraftBody::Function { form, call: Callable::One(call.clone()) };
                V::handles(open.finish_several(kind, V::FORMS, &body))
            }
        }
    };
}

compute!();
compute!(A a);
compute!(A a, B b);
compute!(A a, B b, C c);
compute!(A a, B b, C c, D d);
compute!(A a, B b, C c, D d, E e);
compute!(A a, B b, C c, D d, E e, G g);

fn emitted<const N: usize>(made: impl Members<N>) -> Result<Vec<Emitted>, Failure> {
    let Made(made) = made.keep()?;
    let emitted = |(output, what): (u32, Option<Produced>)| {
        what.map(|what| Emitted { output, piece: None, what })
    };
    Ok((0..).zip(made).filter_map(emitted).collect())
}

impl Open<'_> {
    /// Declares each of several assets; `body` says how the one at a place is made.
    pub(super) fn finish_several<const N: usize>(
        self,
        kind: Several<N>,
        forms: [Form; N],
        body: &dyn Fn(usize, Form) -> DraftBody,
    ) -> Declared<N> {
        let Several { members, mut strangers } = kind;
        let Open { project, draft } = self;
        let names: Arc<[Arc<str>]> = members.iter().map(|(name, _)| name.clone()).collect();
        let mut forms = forms.into_iter().enumerate();
        Declared(members.map(|(name, member)| {
            let mut own = draft.clone();
            let (place, form) = forms.next().expect("there are as many forms as names");
            own.body = body(place, form);
            own.export = member.export.or(own.export);
            own.description = member.description.or(own.description);
            own.checks.extend(member.checks);
            own.shared = Some(names.clone());
            // They are told once.
            own.strangers = std::mem::take(&mut strangers);
            own.name = name;
            project.declare(own)
        }))
    }
}
