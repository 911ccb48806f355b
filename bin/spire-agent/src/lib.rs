//! spire-agent: commands, configuration file to settings, list of built-ins, wiring.
