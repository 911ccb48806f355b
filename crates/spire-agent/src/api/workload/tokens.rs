use spire_net::local::LocalPeer;
use spire_proto::workload::{
    Jwtsvid, JwtsvidRequest, JwtsvidResponse, ValidateJwtsvidRequest, ValidateJwtsvidResponse,
};
use spire_runtime::logging::{LogLevel, LogValue};
use spire_types::SpiffeId;
use time::OffsetDateTime;
use tonic::Status;

use super::claims::to_struct;
use super::{Fetch, WorkloadApi};

impl WorkloadApi {
    /// One token for each identity, or for the one that was asked for (AG-489, AG-490).
    pub(super) async fn fetch_jwt_svid(
        &self,
        peer: Option<&LocalPeer>,
        request: JwtsvidRequest,
    ) -> Result<JwtsvidResponse, Status> {
        let call = self.call(Fetch::JwtSvid.name(), peer);
        if request.audience.is_empty() {
            call.log(LogLevel::Error, "Missing required audience parameter", &[]);
            return Err(Status::invalid_argument("audience must be specified"));
        }
        let wanted = match request.spiffe_id.as_str() {
            "" => None,
            text => Some(text.parse::<SpiffeId>().map_err(|error| {
                let fields = [("error", error.to_string().into()), ("spiffe_id", text.to_owned().into())];
                call.log(LogLevel::Error, "Invalid requested SPIFFE ID", &fields);
                Status::invalid_argument(format!("invalid requested SPIFFE ID: {error}"))
            })?),
        };
        let selectors = self.attest(&call, peer).await?;
        self.limit(&call, Fetch::JwtSvid, &selectors)?;
        let view = self.cache.view(selectors.clone());
        let registered = ("registered", LogValue::Bool(true));
        Self::log_ignored(&call, view.ignored_entries(), std::slice::from_ref(&registered));
        let mut svids = Vec::new();
        for entry in view
            .entries()
            .iter()
            .filter(|entry| wanted.as_ref().is_none_or(|wanted| entry.spiffe_id == *wanted))
        {
            let spiffe_id = entry.spiffe_id.to_string();
            let token = self.synchronizer.token(entry, &request.audience).await.map_err(|fault| {
                let fields = [
                    ("error", fault.to_string().into()),
                    registered.clone(),
                    ("spiffe_id", spiffe_id.clone().into()),
                ];
                call.log(LogLevel::Error, "Could not fetch JWT-SVID", &fields);
                Status::unavailable(format!("could not fetch JWT-SVID: {fault}"))
            })?;
            let expires_at =
                OffsetDateTime::from_unix_timestamp(token.expires_at).unwrap_or(self.clock.now());
            let fields = [
                registered.clone(),
                ("spiffe_id", spiffe_id.clone().into()),
                ("ttl", LogValue::Float((expires_at - self.clock.now()).as_seconds_f64())),
            ];
            call.log(LogLevel::Debug, "Fetched JWT SVID", &fields);
            svids.push(Jwtsvid { spiffe_id, svid: token.token.to_string(), hint: entry.hint.clone() });
        }
        if svids.is_empty() {
            return Err(self.no_identity(&call, &selectors));
        }
        Ok(JwtsvidResponse { svids })
    }

    /// With the keys that the caller may know: the own ones, and those that its identities federate with (AG-491 to
    /// AG-496).
    pub(super) async fn validate_jwt_svid(
        &self,
        peer: Option<&LocalPeer>,
        request: ValidateJwtsvidRequest,
    ) -> Result<ValidateJwtsvidResponse, Status> {
        let call = self.call("ValidateJWTSVID", peer);
        for (value, name) in [(&request.audience, "audience"), (&request.svid, "svid")] {
            if value.is_empty() {
                call.log(LogLevel::Error, &format!("Missing required {name} parameter"), &[]);
                return Err(Status::invalid_argument(format!("{name} must be specified")));
            }
        }
        let selectors = self.attest(&call, peer).await?;
        let view = self.cache.view(selectors);
        let audience = ("audience", LogValue::from(request.audience.clone()));
        let validated = spire_crypto::jose::validate_jwt_svid(
            &request.svid,
            |trust_domain| {
                let bundle = view.bundles().find(|bundle| bundle.bundle.trust_domain == *trust_domain)?;
                Some(|key_id: &str| bundle.jwt_keys.get(key_id))
            },
            &request.audience,
            self.clock.unix(),
        );
        let (id, mut claims) = validated.map_err(|error| {
            let fields = [audience.clone(), ("error", error.to_string().into())];
            call.log(LogLevel::Warn, "Failed to validate JWT", &fields);
            Status::invalid_argument(error.to_string())
        })?;
        let fields = [audience, ("spiffe_id", id.to_string().into())];
        call.log(LogLevel::Debug, "Successfully validated JWT", &fields);
        if !id.is_member_of(&self.trust_domain) {
            claims.retain(|name, _| {
                matches!(name.as_str(), "sub" | "exp" | "aud")
                    || self.allowed_foreign_jwt_claims.contains(name)
            });
        }
        Ok(ValidateJwtsvidResponse { spiffe_id: id.to_string(), claims: Some(to_struct(claims)) })
    }
}
