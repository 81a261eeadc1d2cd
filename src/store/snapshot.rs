//! The whole content of a store as text, for tests and for a look inside.
