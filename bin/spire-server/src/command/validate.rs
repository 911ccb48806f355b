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
    let notes = match notes(&settings.plugins, &plugin_context) {
        Ok(notes) => notes,
        Err(reason) => {
            // Without the end of the line, as scripts know it (SC-404).
            context.env.err(&format!("Could not validate configuration file: {reason}"));
            return Err(Failure::Code(1));
        }
    };
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

/// What is wrong with the plugins; `Err` if that cannot even be told (SC-404).
fn notes(plugins: &[PluginConfig], context: &PluginContext) -> Result<Notes, String> {
    let datastore = datastore_notes(plugins)?;
    let mut notes =
        ServerPlugins::validate(plugins, BUILT_INS, context).map_err(|error| error.to_string())?;
    notes.extend(datastore);
    Ok(notes)
}

/// The datastore is looked at by itself; its problems show twice (SC-405).
fn datastore_notes(plugins: &[PluginConfig]) -> Result<Option<(String, Vec<String>)>, String> {
    let name = "DataStore \"sql\"".to_owned();
    let Some(config) = plugins.iter().find(|config| config.kind == "DataStore") else {
        return Ok(Some((name, vec!["'datastore' must be configured".to_owned()])));
    };
    let text = match &config.data {
        PluginData::None => String::new(),
        PluginData::Inline(object) => object.to_hcl(),
        PluginData::File(path) => std::fs::read_to_string(path).map_err(|error| {
            let reason = spire_runtime::logging::read_error_text(path, &error);
            format!("failed to get DataStore configuration: {reason}")
        })?,
    };
    let note = DatastoreSettings::check_hcl(&text).err().map(|error| error.to_string());
    // It was never open; that is what upstream says in the log file.
    tracing::info!(subsystem_name = "catalog", "DataStore closed");
    Ok(note.map(|note| (name, vec![note.clone(), note])))
}
