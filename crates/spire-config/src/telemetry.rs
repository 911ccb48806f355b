//! `telemetry {}` of server and agent (SC-160 to SC-169, AG-094 to AG-100).

use crate::decode::{DecodeError, Fields, UnknownKeys};

/// Reads the section; returns the names of the sinks that it asks for, each once.
///
/// Unknown keys of the section itself and of `Prometheus.tls` pass silently, as in upstream (SC-182, AG-011).
pub fn telemetry_sinks(
    mut fields: Fields<'_>,
    unknown: &mut Vec<UnknownKeys>,
) -> Result<Vec<&'static str>, DecodeError> {
    let mut sinks = Vec::new();
    fields.text("MetricPrefix")?;
    fields.bool("EnableTrustDomainLabel")?;
    fields.bool("EnableHostnameLabel")?;
    for list in ["AllowedPrefixes", "BlockedPrefixes", "AllowedLabels", "BlockedLabels"] {
        fields.strings(list)?;
    }
    if let Some(mut prometheus) = fields.block("Prometheus")? {
        prometheus.text("host")?;
        prometheus.number("port")?;
        if let Some(mut tls) = prometheus.block("tls")? {
            for key in ["cert_file", "key_file", "client_ca_file"] {
                tls.text(key)?;
            }
            tls.flag("use_spire_svid")?;
            tls.strings("authorized_spiffe_ids")?;
        }
        sinks.push("Prometheus");
        unknown.extend(prometheus.unknown("Prometheus"));
    }
    for (name, has_env) in [("DogStatsd", false), ("Statsd", false), ("M3", true)] {
        for mut sink in fields.blocks(name)? {
            sink.text("address")?;
            if has_env {
                sink.text("env")?;
            }
            sinks.push(name);
            unknown.extend(sink.unknown(name));
        }
    }
    if let Some(memory) = fields.block("InMem")? {
        sinks.push("InMem");
        unknown.extend(memory.unknown("InMem"));
    }
    sinks.dedup();
    Ok(sinks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    #[test]
    fn sinks_are_named_once_and_their_unknown_keys_reported() {
        // AG-010, AG-011, AG-096
        let text = "nosuch = 1\nStatsd { address = \"a\" x = 1 }\nStatsd { address = \"b\" }\nInMem {}";
        let document = parse(text).unwrap();
        let mut unknown = Vec::new();
        assert_eq!(telemetry_sinks(Fields::new(&document), &mut unknown).unwrap(), ["Statsd", "InMem"]);
        assert_eq!(unknown.len(), 1);
        assert_eq!((unknown[0].section.as_str(), &unknown[0].keys[..]), ("Statsd", &["x".to_owned()][..]));
    }
}
