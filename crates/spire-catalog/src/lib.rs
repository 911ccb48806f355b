//! Turns plugin configuration into live trait objects.
