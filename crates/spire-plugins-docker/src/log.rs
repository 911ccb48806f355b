/// A log line with the fields that SPIRE's host puts on each line of a plugin.
macro_rules! plugin_log {
    ($level:ident, $($rest:tt)+) => {
        tracing::$level!(
            external = false,
            plugin_name = "docker",
            plugin_type = "WorkloadAttestor",
            subsystem_name = "catalog",
            $($rest)+
        )
    };
}

pub(crate) use plugin_log;
