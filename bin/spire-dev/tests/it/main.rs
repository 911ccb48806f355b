//! The built program, from outside.

mod documents;
