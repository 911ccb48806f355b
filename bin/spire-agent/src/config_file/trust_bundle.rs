//! Where trust comes from: which options go together, and what they mean (AG-023 to AG-028, AG-071 to AG-082).

use std::net::IpAddr;
use std::path::PathBuf;

use spire_agent::{BundleFormat, TrustBundleSource};
use spire_types::GoUrl;

use super::raw::RawAgent;

const PEM: &str = "pem";
const SPIFFE: &str = "spiffe";

/// The first rule that is broken, in upstream's order.
pub(super) fn check(agent: &RawAgent) -> Result<(), String> {
    check_combination(agent)?;
    if ![PEM, SPIFFE].contains(&agent.trust_bundle_format.as_str()) {
        return Err(format!("invalid value for trust_bundle_format, expected \"{PEM}\" or \"{SPIFFE}\""));
    }
    check_url(agent)
}

fn check_combination(agent: &RawAgent) -> Result<(), String> {
    let workload_api = &agent.trust_bundle_spiffe_workload_api;
    let (has_url, has_path) = (!agent.trust_bundle_url.is_empty(), !agent.trust_bundle_path.is_empty());
    let not_both =
        |one: &str, other: &str| Err(format!("only one of {one} or {other} can be specified, not both"));
    if !workload_api.is_empty() {
        let others = [
            ("insecure_bootstrap", agent.insecure_bootstrap),
            ("trust_bundle_url", has_url),
            ("trust_bundle_path", has_path),
        ];
        if let Some((other, _)) = others.iter().find(|(_, is_set)| *is_set) {
            return not_both(other, "trust_bundle_spiffe_workload_api");
        }
        if !agent.trust_bundle_unix_socket.is_empty() {
            return Err(
                "trust_bundle_unix_socket can not be used with trust_bundle_spiffe_workload_api".to_owned()
            );
        }
        check_endpoint(workload_api).map_err(|reason| {
            format!(
                "trust_bundle_spiffe_workload_api is not a valid SPIFFE Workload API endpoint address: {reason}"
            )
        })?;
    }
    match (agent.insecure_bootstrap, has_url, has_path) {
        (true, true, true) => {
            Err("only one of insecure_bootstrap, trust_bundle_url, or trust_bundle_path can be \
                                   specified, not the three options"
                .to_owned())
        }
        (true, true, false) => not_both("insecure_bootstrap", "trust_bundle_url"),
        (true, false, true) => not_both("insecure_bootstrap", "trust_bundle_path"),
        (false, true, true) => not_both("trust_bundle_url", "trust_bundle_path"),
        (false, false, false) if workload_api.is_empty() => Err(
            "trust_bundle_path, trust_bundle_url, or trust_bundle_spiffe_workload_api must be configured \
                 unless insecure_bootstrap is set"
                .to_owned(),
        ),
        _ => Ok(()),
    }
}

fn check_url(agent: &RawAgent) -> Result<(), String> {
    let over_socket = !agent.trust_bundle_unix_socket.is_empty();
    if agent.trust_bundle_url.is_empty() {
        return match over_socket {
            true => Err("if trust_bundle_unix_socket is specified, so must be trust_bundle_url".to_owned()),
            false => Ok(()),
        };
    }
    let url = GoUrl::parse(&agent.trust_bundle_url)
        .map_err(|error| format!("unable to parse trust bundle URL: {error}"))?;
    match (over_socket, url.scheme()) {
        (true, "http") => {
            // Kept for the agent itself: it may one day say there who asks.
            for prefix in ["spiffe-", "spire-"] {
                if url.query_keys().iter().any(|key| key.starts_with(prefix)) {
                    return Err(format!("trust_bundle_url query params can not start with {prefix}"));
                }
            }
            Ok(())
        }
        (true, _) => {
            Err("trust bundle URL must start with http:// when used with trust bundle unix socket".to_owned())
        }
        (false, "https") => Ok(()),
        (false, _) => Err("trust bundle URL must start with https://".to_owned()),
    }
}

/// Addresses of SPIFFE endpoints: `unix:///path` or `tcp://IP:port` (AG-027).
fn check_endpoint(address: &str) -> Result<(), String> {
    let url = GoUrl::parse(address)
        .map_err(|error| format!("workload endpoint socket is not a valid URI: {error}"))?;
    let is_tcp = match url.scheme() {
        "tcp" => true,
        "unix" => false,
        _ => return Err("workload endpoint socket URI must have a \"tcp\" or \"unix\" scheme".to_owned()),
    };
    let kind = if is_tcp { "tcp" } else { "unix" };
    let refused = |rule: &str| Err(format!("workload endpoint {kind} socket URI {rule}"));
    if !url.opaque().is_empty() {
        return refused("must not be opaque");
    }
    if url.has_user() {
        return refused("must not include user info");
    }
    if is_tcp && url.host().is_empty() {
        return refused("must include a host");
    }
    if is_tcp && !url.path().is_empty() {
        return refused("must not include a path");
    }
    if !is_tcp && url.host().is_empty() && url.path().is_empty() {
        return refused("must include a path");
    }
    if !url.query().is_empty() {
        return refused("must not include query values");
    }
    if !url.fragment().is_empty() {
        return refused("must not include a fragment");
    }
    if is_tcp && url.hostname().parse::<IpAddr>().is_err() {
        return refused("host component must be an IP:port");
    }
    if is_tcp && url.port().is_empty() {
        return refused("host component must include a port");
    }
    Ok(())
}

/// What the options, once checked, mean; `None` is the one source that this version does not have.
pub(super) fn source(agent: &RawAgent) -> Option<TrustBundleSource> {
    let format = if agent.trust_bundle_format == SPIFFE { BundleFormat::Spiffe } else { BundleFormat::Pem };
    let path = |text: &str| (!text.is_empty()).then(|| PathBuf::from(text));
    if !agent.trust_bundle_spiffe_workload_api.is_empty() {
        return None;
    }
    if let Some(path) = path(&agent.trust_bundle_path) {
        return Some(TrustBundleSource::File { path, format });
    }
    if !agent.trust_bundle_url.is_empty() {
        return Some(TrustBundleSource::Url {
            url: agent.trust_bundle_url.clone(),
            format,
            unix_socket: path(&agent.trust_bundle_unix_socket),
        });
    }
    Some(TrustBundleSource::Insecure)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(change: impl Fn(&mut RawAgent)) -> RawAgent {
        let mut agent = RawAgent { trust_bundle_format: PEM.to_owned(), ..RawAgent::default() };
        change(&mut agent);
        agent
    }

    #[test]
    fn options_that_contradict_each_other_are_refused_in_upstreams_order() {
        // AG-071 to AG-078
        let over_workload_api = |agent: &mut RawAgent| {
            agent.trust_bundle_spiffe_workload_api = "unix:///x".to_owned();
            agent.trust_bundle_url = "https://a".to_owned();
            agent.trust_bundle_path = "p".to_owned();
        };
        let url_and_path = |agent: &mut RawAgent| {
            agent.trust_bundle_url = "https://a".to_owned();
            agent.trust_bundle_path = "p".to_owned();
        };
        let socket_alone = |agent: &mut RawAgent| {
            agent.insecure_bootstrap = true;
            agent.trust_bundle_unix_socket = "s".to_owned();
        };
        for (agent, error) in [
            (
                agent(over_workload_api),
                "only one of trust_bundle_url or trust_bundle_spiffe_workload_api can be specified, not both",
            ),
            (
                agent(url_and_path),
                "only one of trust_bundle_url or trust_bundle_path can be specified, not both",
            ),
            (agent(socket_alone), "if trust_bundle_unix_socket is specified, so must be trust_bundle_url"),
        ] {
            assert_eq!(check(&agent).unwrap_err(), error);
        }
    }

    #[test]
    fn endpoints_are_a_path_or_an_ip_with_a_port() {
        // AG-027
        for (address, error) in [
            ("unix:x", "unix socket URI must not be opaque"),
            ("unix://", "unix socket URI must include a path"),
            ("unix:///x?q", "unix socket URI must not include query values"),
            ("tcp://1.2.3.4", "tcp socket URI host component must include a port"),
            ("tcp://host:1", "tcp socket URI host component must be an IP:port"),
            ("tcp://u@1.2.3.4:1", "tcp socket URI must not include user info"),
            ("tcp://1.2.3.4:1/p", "tcp socket URI must not include a path"),
            ("tcp://", "tcp socket URI must include a host"),
        ] {
            assert_eq!(check_endpoint(address).unwrap_err(), format!("workload endpoint {error}"));
        }
        for address in ["unix:///x", "unix://foo", "tcp://1.2.3.4:5", "tcp://[::1]:5", "tcp://1.2.3.4:1?"] {
            assert_eq!(check_endpoint(address), Ok(()), "{address}");
        }
    }
}
