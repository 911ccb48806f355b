//! Test CA, fake plugins, log capture, golden files.
