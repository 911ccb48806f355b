//! `spire-agent validate` (AG-163).

use spire_cli::{Command, Context, ErrorStyle, Outcome};
use spire_runtime::logging::LogStream;

use crate::config_file;

const INVALID: &str = "SPIRE agent configuration file is invalid: ";

pub(super) fn command() -> Command {
    Command {
        path: "validate",
        usage_name: "validate",
        synopsis: "Validates a SPIRE agent configuration file",
        style: ErrorStyle::RepeatedAfter(INVALID),
        flags: config_file::flags,
        run: |context| Box::pin(validate(context)),
    }
}

/// Loads no plugin and contacts nobody.
async fn validate(context: Context<'_>) -> Outcome {
    config_file::load(context.flags, &*context.env.variable, LogStream::Stdout)
        .map_err(|error| format!("{INVALID}{error}"))?;
    context.env.out("SPIRE agent configuration file is valid.\n");
    Ok(())
}
