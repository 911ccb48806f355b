//! One row for each RPC of every server service (SA-140 to SA-155, SA-183 to SA-189).

use std::collections::HashMap;
use std::sync::LazyLock;

/// Who may call. Nobody, unless a row says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allow {
    pub anyone: bool,
    pub local: bool,
    pub admin: bool,
    pub agent: bool,
    pub downstream: bool,
}

const NOBODY: Allow = Allow { anyone: false, local: false, admin: false, agent: false, downstream: false };
const ANYONE: Allow = Allow { anyone: true, ..NOBODY };
const LOCAL: Allow = Allow { local: true, ..NOBODY };
const LOCAL_ADMIN: Allow = Allow { local: true, admin: true, ..NOBODY };
const LOCAL_ADMIN_AGENT: Allow = Allow { agent: true, ..LOCAL_ADMIN };
const AGENT: Allow = Allow { agent: true, ..NOBODY };
const DOWNSTREAM: Allow = Allow { downstream: true, ..NOBODY };

/// Which bucket a call draws from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit {
    None,
    Attestation,
    X509Signing,
    JwtSigning,
    WitSigning,
    KeyPublishing,
    PostStatus,
}

/// What is true of one RPC.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// `/package.Service/Method`.
    pub method: &'static str,
    pub allow: Allow,
    pub limit: Limit,
    /// Not offered over TCP (SA-010 to SA-012).
    pub local_only: bool,
    /// Success is not worth an audit line (SA-137, SA-138).
    pub quiet: bool,
}

const fn row(method: &'static str, allow: Allow) -> Row {
    Row { method, allow, limit: Limit::None, local_only: false, quiet: false }
}

const fn limited(method: &'static str, allow: Allow, limit: Limit) -> Row {
    Row { limit, ..row(method, allow) }
}

const fn local(method: &'static str) -> Row {
    Row { local_only: true, ..row(method, LOCAL) }
}

const fn quiet(method: &'static str) -> Row {
    Row { quiet: true, ..local(method) }
}

pub static ROWS: &[Row] = &[
    row("/spire.api.server.svid.v1.SVID/MintX509SVID", LOCAL_ADMIN),
    row("/spire.api.server.svid.v1.SVID/MintJWTSVID", LOCAL_ADMIN),
    row("/spire.api.server.svid.v1.SVID/MintWITSVID", LOCAL_ADMIN),
    limited("/spire.api.server.svid.v1.SVID/BatchNewX509SVID", AGENT, Limit::X509Signing),
    limited("/spire.api.server.svid.v1.SVID/NewJWTSVID", AGENT, Limit::JwtSigning),
    limited("/spire.api.server.svid.v1.SVID/BatchNewWITSVID", AGENT, Limit::WitSigning),
    limited("/spire.api.server.svid.v1.SVID/NewDownstreamX509CA", DOWNSTREAM, Limit::X509Signing),
    row("/spire.api.server.bundle.v1.Bundle/GetBundle", ANYONE),
    row("/spire.api.server.bundle.v1.Bundle/AppendBundle", LOCAL_ADMIN),
    row("/spire.api.server.bundle.v1.Bundle/CountBundles", LOCAL_ADMIN),
    row("/spire.api.server.bundle.v1.Bundle/ListFederatedBundles", LOCAL_ADMIN),
    row("/spire.api.server.bundle.v1.Bundle/GetFederatedBundle", LOCAL_ADMIN_AGENT),
    row("/spire.api.server.bundle.v1.Bundle/BatchCreateFederatedBundle", LOCAL_ADMIN),
    row("/spire.api.server.bundle.v1.Bundle/BatchUpdateFederatedBundle", LOCAL_ADMIN),
    row("/spire.api.server.bundle.v1.Bundle/BatchSetFederatedBundle", LOCAL_ADMIN),
    row("/spire.api.server.bundle.v1.Bundle/BatchDeleteFederatedBundle", LOCAL_ADMIN),
    limited("/spire.api.server.bundle.v1.Bundle/PublishJWTAuthority", DOWNSTREAM, Limit::KeyPublishing),
    limited("/spire.api.server.bundle.v1.Bundle/PublishWITAuthority", DOWNSTREAM, Limit::KeyPublishing),
    row("/spire.api.server.entry.v1.Entry/CountEntries", LOCAL_ADMIN),
    row("/spire.api.server.entry.v1.Entry/ListEntries", LOCAL_ADMIN),
    row("/spire.api.server.entry.v1.Entry/GetEntry", LOCAL_ADMIN),
    row("/spire.api.server.entry.v1.Entry/BatchCreateEntry", LOCAL_ADMIN),
    row("/spire.api.server.entry.v1.Entry/BatchUpdateEntry", LOCAL_ADMIN),
    row("/spire.api.server.entry.v1.Entry/BatchDeleteEntry", LOCAL_ADMIN),
    row("/spire.api.server.entry.v1.Entry/GetAuthorizedEntries", AGENT),
    row("/spire.api.server.entry.v1.Entry/SyncAuthorizedEntries", AGENT),
    row("/spire.api.server.agent.v1.Agent/CountAgents", LOCAL_ADMIN),
    row("/spire.api.server.agent.v1.Agent/ListAgents", LOCAL_ADMIN),
    row("/spire.api.server.agent.v1.Agent/GetAgent", LOCAL_ADMIN),
    row("/spire.api.server.agent.v1.Agent/DeleteAgent", LOCAL_ADMIN),
    row("/spire.api.server.agent.v1.Agent/BanAgent", LOCAL_ADMIN),
    row("/spire.api.server.agent.v1.Agent/CreateJoinToken", LOCAL_ADMIN),
    limited("/spire.api.server.agent.v1.Agent/AttestAgent", ANYONE, Limit::Attestation),
    limited("/spire.api.server.agent.v1.Agent/RenewAgent", AGENT, Limit::X509Signing),
    limited("/spire.api.server.agent.v1.Agent/PostStatus", AGENT, Limit::PostStatus),
    row("/spire.api.server.trustdomain.v1.TrustDomain/ListFederationRelationships", LOCAL_ADMIN),
    row("/spire.api.server.trustdomain.v1.TrustDomain/GetFederationRelationship", LOCAL_ADMIN),
    row("/spire.api.server.trustdomain.v1.TrustDomain/BatchCreateFederationRelationship", LOCAL_ADMIN),
    row("/spire.api.server.trustdomain.v1.TrustDomain/BatchUpdateFederationRelationship", LOCAL_ADMIN),
    row("/spire.api.server.trustdomain.v1.TrustDomain/BatchDeleteFederationRelationship", LOCAL_ADMIN),
    row("/spire.api.server.trustdomain.v1.TrustDomain/RefreshBundle", LOCAL_ADMIN),
    row("/spire.api.server.localauthority.v1.LocalAuthority/GetJWTAuthorityState", LOCAL_ADMIN),
    row("/spire.api.server.localauthority.v1.LocalAuthority/PrepareJWTAuthority", LOCAL_ADMIN),
    row("/spire.api.server.localauthority.v1.LocalAuthority/ActivateJWTAuthority", LOCAL_ADMIN),
    row("/spire.api.server.localauthority.v1.LocalAuthority/TaintJWTAuthority", LOCAL_ADMIN),
    row("/spire.api.server.localauthority.v1.LocalAuthority/RevokeJWTAuthority", LOCAL_ADMIN),
    row("/spire.api.server.localauthority.v1.LocalAuthority/GetX509AuthorityState", LOCAL_ADMIN),
    row("/spire.api.server.localauthority.v1.LocalAuthority/PrepareX509Authority", LOCAL_ADMIN),
    row("/spire.api.server.localauthority.v1.LocalAuthority/ActivateX509Authority", LOCAL_ADMIN),
    row("/spire.api.server.localauthority.v1.LocalAuthority/TaintX509Authority", LOCAL_ADMIN),
    row("/spire.api.server.localauthority.v1.LocalAuthority/TaintX509UpstreamAuthority", LOCAL_ADMIN),
    row("/spire.api.server.localauthority.v1.LocalAuthority/RevokeX509Authority", LOCAL_ADMIN),
    row("/spire.api.server.localauthority.v1.LocalAuthority/RevokeX509UpstreamAuthority", LOCAL_ADMIN),
    row("/spire.api.server.localauthority.v1.LocalAuthority/GetWITAuthorityState", LOCAL_ADMIN),
    row("/spire.api.server.localauthority.v1.LocalAuthority/PrepareWITAuthority", LOCAL_ADMIN),
    row("/spire.api.server.localauthority.v1.LocalAuthority/ActivateWITAuthority", LOCAL_ADMIN),
    row("/spire.api.server.localauthority.v1.LocalAuthority/TaintWITAuthority", LOCAL_ADMIN),
    row("/spire.api.server.localauthority.v1.LocalAuthority/RevokeWITAuthority", LOCAL_ADMIN),
    local("/spire.api.server.logger.v1.Logger/GetLogger"),
    local("/spire.api.server.logger.v1.Logger/SetLogLevel"),
    local("/spire.api.server.logger.v1.Logger/ResetLogLevel"),
    quiet("/spire.api.server.debug.v1.Debug/GetInfo"),
    quiet("/grpc.health.v1.Health/Check"),
    quiet("/grpc.health.v1.Health/Watch"),
    quiet("/grpc.health.v1.Health/List"),
    row("/spirers.doorbell.v1.Doorbell/Listen", AGENT),
];

static BY_METHOD: LazyLock<HashMap<&'static str, &'static Row>> =
    LazyLock::new(|| ROWS.iter().map(|row| (row.method, row)).collect());

impl Row {
    pub fn find(method: &str) -> Option<&'static Self> {
        BY_METHOD.get(method).copied()
    }

    /// The methods of a service, `package.Service`; none of an unknown one.
    pub fn of_service(service: &str) -> impl Iterator<Item = &'static Self> {
        let is_of = move |row: &&Row| {
            row.method[1..].strip_prefix(service).is_some_and(|method| method.starts_with('/'))
        };
        ROWS.iter().filter(is_of)
    }

    /// `entry.v1.Entry` and `GetEntry`, as logs name them (SA-179).
    pub fn service_and_method(&self) -> (&'static str, &'static str) {
        let (service, method) = self.method.trim_start_matches('/').split_once('/').unwrap_or(("", ""));
        let service = match service {
            "grpc.health.v1.Health" => "Health",
            "spire.api.server.logger.v1.Logger" => "Logger",
            other => other.strip_prefix("spire.api.server.").unwrap_or(other),
        };
        (service, method)
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[test]
    fn every_rpc_of_every_service_has_exactly_one_row() {
        let mut methods = std::collections::BTreeSet::new();
        for set in [spire_proto::descriptors::API, spire_proto::descriptors::SPIRERS] {
            let set = prost_types::FileDescriptorSet::decode(set).unwrap();
            for file in set.file {
                let package = file.package().to_owned();
                for service in &file.service {
                    for method in &service.method {
                        methods.insert(format!("/{package}.{}/{}", service.name(), method.name()));
                    }
                }
            }
        }
        let of_server = |method: &&String| method.contains(".server.") || method.contains("spirers.");
        let known: std::collections::BTreeSet<String> =
            ROWS.iter().map(|row| row.method.to_owned()).collect();
        assert_eq!(known.len(), ROWS.len(), "a method has two rows");
        let missing: Vec<_> = methods.iter().filter(of_server).filter(|m| !known.contains(*m)).collect();
        assert!(missing.is_empty(), "without a row: {missing:?}");
        let unknown: Vec<_> =
            known.iter().filter(|m| !m.starts_with("/grpc.health") && !methods.contains(*m)).collect();
        assert!(unknown.is_empty(), "rows of no RPC: {unknown:?}");
    }
}
