//! spire-server: commands, configuration file to settings, list of built-ins, wiring.
