//! The `plugins` section (SC-130 to SC-136, AG-083, AG-084).

use std::path::PathBuf;

use crate::decode::{DecodeError, Fields};
use crate::hcl::{Item, Object, ParseError, Value, quoted};
use spire_types::go_text::quote;

/// One declared plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginConfig {
    /// `KeyManager`, `NodeAttestor`, …; case-sensitive.
    pub kind: String,
    pub name: String,
    /// Non-empty: a program of its own.
    pub command: String,
    pub args: Vec<String>,
    pub checksum: String,
    pub data: PluginData,
    pub enabled: bool,
}

/// What a plugin is configured with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PluginData {
    /// An empty block counts as none.
    None,
    Inline(Object),
    /// Read at load and again on SIGUSR1.
    File(PathBuf),
}

/// Why the section was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PluginConfigError {
    #[error("failed to decode plugins config: {0}")]
    Decode(#[from] DecodeError),
    #[error("plugin {}/{} declared more than once", quote(.kind), quote(.name))]
    Twice { kind: String, name: String },
    #[error(
        "failed to create plugin config for {}/{}: only one of [plugin_data, plugin_data_file] can be used",
        quote(.kind),
        quote(.name)
    )]
    BothData { kind: String, name: String },
    /// A string in the place of a block.
    #[error("failed to configure plugin {}: unable to decode configuration: {error}", quote(.name))]
    Data { name: String, error: ParseError },
}

/// The plugins in the order of the file, which is the order of loading.
pub fn plugins(section: &Object) -> Result<Vec<PluginConfig>, PluginConfigError> {
    let declared = declarations(section)?;
    for (place, (kind, name, _)) in declared.iter().enumerate() {
        if declared[..place].iter().any(|(known, other, _)| known == kind && other == name) {
            return Err(PluginConfigError::Twice { kind: kind.clone(), name: name.clone() });
        }
    }
    let read: Vec<(PluginConfig, bool)> =
        declared.into_iter().map(|(kind, name, body)| plugin(kind, name, &body)).collect::<Result<_, _>>()?;
    match read.iter().find(|(_, both)| *both) {
        Some((PluginConfig { kind, name, .. }, _)) => {
            Err(PluginConfigError::BothData { kind: kind.clone(), name: name.clone() })
        }
        None => Ok(read.into_iter().map(|(plugin, _)| plugin).collect()),
    }
}

/// All nestings lead to type, name and body.
fn declarations(section: &Object) -> Result<Vec<(String, String, Object)>, PluginConfigError> {
    let mut all = Vec::new();
    for item in &section.items {
        let kind = item.keys[0].name.clone();
        if item.keys.len() > 1 {
            all.push((kind, item.keys[1].name.clone(), rest_of(item, 2)?));
            continue;
        }
        let Value::Object(names, _) = &item.value else {
            return Err(not_a_block(item).into());
        };
        for inner in &names.items {
            all.push((kind.clone(), inner.keys[0].name.clone(), rest_of(inner, 1)?));
        }
    }
    Ok(all)
}

/// What stands behind the first `used` keys of an item.
fn rest_of(item: &Item, used: usize) -> Result<Object, PluginConfigError> {
    if item.keys.len() > used {
        let keys = item.keys[used..].to_vec();
        return Ok(Object { items: vec![Item { keys, value: item.value.clone() }] });
    }
    match &item.value {
        Value::Object(object, _) => Ok(object.clone()),
        _ => Err(not_a_block(item).into()),
    }
}

fn not_a_block(item: &Item) -> DecodeError {
    DecodeError {
        position: item.value.position(),
        message: format!("{}: expected a block", item.keys[0].name),
    }
}

/// One plugin, and whether it has both kinds of data: that is said once all of them could be read.
fn plugin(kind: String, name: String, body: &Object) -> Result<(PluginConfig, bool), PluginConfigError> {
    let mut fields = Fields::new(body);
    let read = |fields: &mut Fields<'_>| -> Result<_, DecodeError> {
        Ok((
            fields.string("plugin_cmd")?.unwrap_or_default(),
            fields.strings("plugin_args")?,
            fields.string("plugin_checksum")?.unwrap_or_default(),
            fields.bool("enabled")?.unwrap_or(true),
            fields.string("plugin_data_file")?,
        ))
    };
    let (command, args, checksum, enabled, file) = read(&mut fields)?;
    let inline = inline_data(&mut fields, &name)?;
    let both = inline.is_some() && file.is_some();
    let data = match (inline, file) {
        (_, Some(file)) => PluginData::File(file.into()),
        (Some(object), None) if !object.items.is_empty() => PluginData::Inline(object),
        _ => PluginData::None,
    };
    Ok((PluginConfig { kind, name, command, args, checksum, data, enabled }, both))
}

/// `plugin_data` as block, or empty. Another string reaches the plugin as it is written, in quotes, and no plugin can
/// read that.
fn inline_data(fields: &mut Fields<'_>, name: &str) -> Result<Option<Object>, PluginConfigError> {
    match fields.value("plugin_data")? {
        None | Some(Value::Object(..)) => Ok(fields.first_block("plugin_data")?),
        Some(Value::String(text, _)) if text.is_empty() => Ok(Some(Object::default())),
        Some(Value::String(text, _)) => crate::parse(&quoted(text))
            .map(Some)
            .map_err(|error| PluginConfigError::Data { name: name.to_owned(), error }),
        Some(other) => Err(DecodeError {
            position: other.position(),
            message: "plugin_data: expected a block".to_owned(),
        }
        .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    #[test]
    fn all_nestings_are_equal() {
        // SC-130
        let expected = [("KeyManager", "disk", 1), ("NodeAttestor", "join_token", 0)];
        for text in [
            "KeyManager \"disk\" { plugin_data { keys_path = \"k\" } }\nNodeAttestor \"join_token\" { plugin_data {} }",
            "KeyManager { disk { plugin_data { keys_path = \"k\" } } }\nNodeAttestor { join_token {} }",
            "KeyManager \"disk\" plugin_data { keys_path = \"k\" }\nNodeAttestor \"join_token\" {}",
            r#"{"KeyManager": [{"disk": {"plugin_data": {"keys_path": "k"}}}], "NodeAttestor": {"join_token": {"plugin_data": null}}}"#,
        ] {
            let found = plugins(&parse(text).unwrap()).unwrap();
            let short: Vec<_> = found
                .iter()
                .map(|p| {
                    (p.kind.as_str(), p.name.as_str(), usize::from(matches!(p.data, PluginData::Inline(_))))
                })
                .collect();
            assert_eq!(short, expected, "{text}");
        }
    }

    #[test]
    fn of_several_plugin_data_the_first_counts() {
        let text = "A \"x\" { plugin_data { a = 1 } plugin_data { a = 2 b = 3 } }";
        let found = plugins(&parse(text).unwrap()).unwrap().remove(0).data;
        assert!(matches!(found, PluginData::Inline(object) if object.to_hcl() == "a = 1"));
    }

    #[test]
    fn json_plugins_of_blocks_alone_are_all_found() {
        // SC-025: upstream's reader turns these objects into keys of one item each.
        let text = r#"{"s": 1, "plugins": {"A": {"x": {"plugin_data": {}}}, "B": {"y": {"plugin_data": {"k": {"l": 1}}}}}}"#;
        let document = parse(text).unwrap();
        let section = Fields::new(&document).first_block("plugins").unwrap().unwrap();
        let found = plugins(&section).unwrap();
        assert_eq!(
            found.iter().map(|p| (&p.kind[..], &p.name[..])).collect::<Vec<_>>(),
            [("A", "x"), ("B", "y")]
        );
        assert_eq!(found[0].data, PluginData::None);
        assert!(
            matches!(&found[1].data, PluginData::Inline(object) if object.to_hcl() == "k = {\n  l = 1\n}")
        );
    }

    #[test]
    fn plugin_data_is_no_string() {
        // SPIRE does not start with it, so nobody may come to rely on it here.
        let error =
            plugins(&parse(r#"KeyManager "disk" { plugin_data = "keys_path=\"k\"" }"#).unwrap()).unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"failed to configure plugin "disk": unable to decode configuration: At 1:18: key '"keys_path=\"k\""' expected start of object ('{') or assignment ('=')"#
        );
    }

    #[test]
    fn repeats_and_two_kinds_of_data_are_refused() {
        // SC-133, SC-134
        for (text, error) in [
            ("A \"x\" {}\nA \"x\" { enabled = false }", "plugin \"A\"/\"x\" declared more than once"),
            (
                "A \"x\" { plugin_data { a = 1 } plugin_data_file = \"f\" }",
                "failed to create plugin config for \"A\"/\"x\": only one of [plugin_data, plugin_data_file] can be used",
            ),
            (
                "A \"x\" { plugin_data {} plugin_data_file = \"\" }",
                "failed to create plugin config for \"A\"/\"x\": only one of [plugin_data, plugin_data_file] can be used",
            ),
            (
                "A \"x\" { plugin_data {} plugin_data_file = \"f\" }\nA \"x\" {}",
                "plugin \"A\"/\"x\" declared more than once",
            ),
        ] {
            assert_eq!(plugins(&parse(text).unwrap()).unwrap_err().to_string(), error);
        }
    }
}
