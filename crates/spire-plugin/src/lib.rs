//! The plugin contracts and their contract tests.
