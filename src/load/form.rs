//! What a definition may hold, as data: each key with what it says and what its value looks like.
//!
//! The readers find a key unknown by these tables, and the JSON Schema for editors is generated from
//! them, so neither can know a key that the other does not.

/// A key of a table.
#[derive(Debug)]
pub(super) struct Key {
    pub name: &'static str,
    /// One or two sentences for whoever hovers over it in an editor.
    pub about: &'static str,
    pub form: &'static Form,
}

/// What a value looks like. Readers are stricter: that a text is a glob is no matter of form.
#[derive(Debug)]
pub(super) enum Form {
    Any,
    Text,
    Bool,
    /// From the first to the last, both included.
    Integer(i64, i64),
    /// A text, or a number or a date as it is written.
    Written,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A number and a unit, such as `10m`.
    Duration,
    /// A number of bytes, with or without a unit.
    Size,
    List(&'static Form),
    /// Any names, each with a value of this form.
    Map(&'static Form),
    /// The keys of all these tables and no others.
    Table(&'static [&'static [Key]]),
    /// These keys, and under any other name a value of the second form.
    Open(&'static [Key], &'static Form),
    Either(&'static [&'static Form]),
    /// A form with a name: several keys share it, or it contains itself.
    Named(&'static str, &'static Form),
    /// The keys of these tables; names that begin with a dot may hold anything.
    Hiding(&'static [&'static [Key]]),
    /// Or nothing at all, as a key of YAML without a value.
    Optional(&'static Form),
}

pub(super) static TEXTS: Form = Form::List(&Form::Text);

/// A row of a table of keys.
pub(super) const fn key(name: &'static str, about: &'static str, form: &'static Form) -> Key {
    Key { name, about, form }
}
