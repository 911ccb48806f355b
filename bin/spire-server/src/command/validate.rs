//! `spire-server validate` (SC-402 to SC-406).

use spire_catalog::{Notes, ServerPlugins};
use spire_cli::{Command, Context, ErrorStyle, Failure, Outcome};
use spire_config::{PluginConfig, PluginData};
use spire_datastore::DatastoreSettings;
use spire_plugin::PluginContext;
use spire_runtime::SystemClock;
use spire_runtime::logging::LogStream;

use crate::builtins::BUILT_INS;
use crate::config_file;

const INVALID: &str = "SPIRE server configuration file is invalid";

pub(super) fn command() -> Command {
    Command {
        path: "validate",
        usage_name: "validate",
        synopsis: "Validates a SPIRE server configuration file",
        style: ErrorStyle::RepeatedAfter("SPIRE server configuration file is invalid: "),
        flags: config_file::flags,
        run: |context| Box::pin(validate(context)),
    }
}

async fn validate(context: Context<'_>) -> Outcome {
    let loaded = config_file::load(context.flags, &*context.env.variable, LogStream::Discard)
        .map_err(|error| format!("{INVALID}: {error}"))?;
    let settings = loaded.settings;
    let plugin_context =
        PluginContext { trust_domain: settings.trust_domain.clone(), clock: SystemClock::shared() };
    let mut notes = match ServerPlugins::validate(&settings.plugins, BUILT_INS, &plugin_context) {
        Ok(notes) => notes,
        Err(error) => {
            // Without the end of the line, as scripts know it (SC-404).
            context.env.err(&format!("Could not validate configuration file: {error}"));
            return Err(Failure::Code(1));
        }
    };
    notes.extend(datastore_notes(&settings.plugins));
    if notes.is_empty() {
        context.env.out("SPIRE server configuration file is valid.\n");
        return Ok(());
    }
    context.env.err(&report(&notes));
    Err(Failure::Code(1))
}

fn report(notes: &Notes) -> String {
    let mut text = format!("{INVALID}.\nValidation errors:\n");
    for (plugin, lines) in notes {
        text.push_str(&format!("\t{plugin}:\n"));
        for line in lines {
            text.push_str(&format!("\t\t{line}\n"));
        }
    }
    text
}

/// The datastore is looked at by itself; its problems show twice (SC-405).
fn datastore_notes(plugins: &[PluginConfig]) -> Option<(String, Vec<String>)> {
    let name = "DataStore \"sql\"".to_owned();
    let Some(config) = plugins.iter().find(|config| config.kind == "DataStore") else {
        return Some((name, vec!["'datastore' must be configured".to_owned()]));
    };
    let text = match &config.data {
        PluginData::None => String::new(),
        PluginData::Inline(object) => object.to_hcl(),
        PluginData::File(path) => match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                let reason = spire_runtime::logging::os_error_text(&error);
                let note = format!("failed to read plugin configuration: open {}: {reason}", path.display());
                return Some((name, vec![note]));
            }
        },
    };
    let error = DatastoreSettings::from_hcl(&text).err()?.to_string();
    let note = error.strip_prefix("datastore-sql: ").unwrap_or(&error).to_owned();
    Some((name, vec![note.clone(), note]))
}
