//! The agent engine: bootstrap, sync, SVID cache, Workload API.
