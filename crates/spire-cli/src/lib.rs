//! Go-style flags, usage text, pretty and JSON printer, exit codes.
