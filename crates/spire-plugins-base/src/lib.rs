//! Plugins that need no cloud account.
