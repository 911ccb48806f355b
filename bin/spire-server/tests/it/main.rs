//! The built program, from outside.

mod samples;
