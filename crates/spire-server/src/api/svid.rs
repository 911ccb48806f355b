use std::sync::Arc;
use std::time::Duration;

use spire_authority::{IssueError, JwtSvidParams, WorkloadSvidParams};
use spire_crypto::x509::{
    Certificate, CertificateRequest, DistinguishedName, validate_dns_name, wildcard_overlap,
};
use spire_crypto::{KeyAlgorithm, PublicKey};
use spire_proto::convert::id::{spiffe_id, workload_id};
use spire_proto::convert::svid::{jwt_svid_to_wire, x509_svid_to_wire};
use spire_proto::server::svid::v1::svid_server::Svid;
use spire_proto::server::svid::v1::{
    BatchNewWitsvidRequest, BatchNewWitsvidResponse, BatchNewX509svidRequest, BatchNewX509svidResponse,
    MintJwtsvidRequest, MintJwtsvidResponse, MintWitsvidRequest, MintWitsvidResponse, MintX509svidRequest,
    MintX509svidResponse, NewDownstreamX509caRequest, NewDownstreamX509caResponse, NewJwtsvidRequest,
    NewJwtsvidResponse, NewWitsvidParams, NewX509svidParams, batch_new_witsvid_response,
    batch_new_x509svid_response,
};
use spire_proto::types;
use spire_runtime::logging::{self, LogLevel, LogValue};
use spire_types::{SpiffeId, X509Svid};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tonic::{Code, Request, Response, Status};

use super::task::apart;
use crate::access::{AuditFields, Call, digest};
use crate::core::Core;
use crate::entries::IndexedEntry;
use crate::status::{ApiError, ok_item};

/// `spire.api.server.svid.v1.SVID` (SA-090 to SA-100).
#[derive(Debug, Clone)]
pub struct SvidApi(pub Arc<Core>);

/// Certificates that are signed in the task of the connection. It takes longer to wake another thread for a few, and
/// more would keep the other calls of the connection waiting.
const AT_ONCE: usize = 4;

/// Seconds of a request; nothing or less is the default (CA-223).
fn ttl(seconds: i32) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

fn jwt_disabled() -> ApiError {
    ApiError::new(Code::Unimplemented, "JWT functionality is disabled")
}

fn csr_field(csr: &[u8]) -> AuditFields {
    AuditFields::new().with("csr", digest(csr))
}

impl SvidApi {
    /// CA-227
    async fn mint_x509(
        &self,
        call: &Call,
        request: MintX509svidRequest,
    ) -> Result<MintX509svidResponse, ApiError> {
        call.note(|| csr_field(&request.csr).with("ttl", request.ttl));
        if request.csr.is_empty() {
            return Err(ApiError::invalid("missing CSR"));
        }
        let csr = CertificateRequest::parse(&request.csr)
            .map_err(|error| ApiError::invalid_because("malformed CSR", error))?;
        csr.verify_signature()
            .map_err(|error| ApiError::invalid_because("failed to verify CSR signature", error))?;
        let id = match csr.uri_sans() {
            [] => return Err(ApiError::invalid("CSR URI SAN is required")),
            [one] => self
                .workload(one)
                .map_err(|cause| ApiError::invalid_because("CSR URI SAN is invalid", cause))?,
            _ => return Err(ApiError::invalid("only one URI SAN is expected")),
        };
        for name in csr.dns_sans() {
            validate_dns_name(name)
                .map_err(|error| ApiError::invalid_because("CSR DNS name is invalid", error))?;
        }
        wildcard_overlap(csr.dns_sans()).map_err(|error| {
            let message = "CSR DNS name contains a wildcard that covers another non-wildcard name";
            ApiError::invalid_because(message, error)
        })?;
        let params = WorkloadSvidParams {
            spiffe_id: id,
            public_key: csr.public_key().clone(),
            ttl: ttl(request.ttl),
            dns_names: csr.dns_sans().to_vec(),
            subject: csr.subject().asked_for(),
        };
        let svid = self.sign(params).await?;
        let fields = || {
            AuditFields::new()
                .with("spiffe_id", svid.id.to_string())
                .with("dns_name", csr.dns_sans().join(","))
                .with("subject", subject_value(csr.subject()))
        };
        call.note(|| fields().with("expires_at", rfc3339(svid.expires_at)));
        log_signed(call, &svid, fields);
        Ok(MintX509svidResponse { svid: Some(x509_svid_to_wire(&svid)) })
    }

    fn workload(&self, text: &str) -> Result<SpiffeId, String> {
        let id: SpiffeId = text.parse().map_err(|error: spire_types::SpiffeIdError| error.to_string())?;
        id.require_workload_of(&self.0.settings.trust_domain).map_err(|error| error.to_string())?;
        Ok(id)
    }

    async fn sign(&self, params: WorkloadSvidParams) -> Result<X509Svid, ApiError> {
        let signed = self.0.authorities.authority().sign_workload_svid(params).await;
        signed.map_err(|error| ApiError::internal("failed to sign X509-SVID", error))
    }

    async fn mint_jwt(
        &self,
        call: &Call,
        request: MintJwtsvidRequest,
    ) -> Result<MintJwtsvidResponse, ApiError> {
        if self.0.settings.credentials.disable_jwt_svids {
            return Err(jwt_disabled());
        }
        let id = workload_id(&self.0.settings.trust_domain, request.id.as_ref());
        call.note(|| minted_jwt_fields(&request, id.as_ref().ok()));
        let id = id.map_err(|error| ApiError::invalid_because("invalid SPIFFE ID", error))?;
        let svid = self.sign_jwt(call, id, request.audience, ttl(request.ttl), false).await?;
        Ok(MintJwtsvidResponse { svid: Some(svid) })
    }

    async fn sign_jwt(
        &self,
        call: &Call,
        spiffe_id: SpiffeId,
        audience: Vec<String>,
        ttl: Duration,
        include_jti: bool,
    ) -> Result<types::Jwtsvid, ApiError> {
        if audience.is_empty() {
            let error = ApiError::invalid("at least one audience is required");
            return Err(error.about("spiffe_id", spiffe_id.to_string()));
        }
        let logged = logging::enabled(LogLevel::Debug).then(|| LogValue::list(audience.iter().cloned()));
        let params = JwtSvidParams { spiffe_id, audience, ttl, include_jti };
        let signed = self.0.authorities.authority().sign_jwt_svid(params).await;
        let svid = signed.map_err(|error| ApiError::internal("failed to sign JWT-SVID", error))?;
        if let Some(audience) = logged {
            let fields = AuditFields::new()
                .with("spiffe_id", svid.id.to_string())
                .with("audience", audience)
                .with("expiration", rfc3339(svid.expires_at));
            call.log(LogLevel::Debug, "Server CA successfully signed JWT SVID", fields);
        }
        Ok(jwt_svid_to_wire(&svid))
    }

    fn caller(&self, call: &Call) -> Result<SpiffeId, ApiError> {
        let id = call.caller().id.clone();
        id.ok_or_else(|| ApiError::new(Code::Internal, "caller ID missing from request context"))
    }

    /// CA-228
    async fn batch_x509(
        &self,
        call: &Call,
        request: BatchNewX509svidRequest,
    ) -> Result<BatchNewX509svidResponse, ApiError> {
        if request.params.is_empty() {
            return Err(ApiError::invalid("missing parameters"));
        }
        let refusal = "rejecting request due to certificate signing rate limiting";
        call.limit(request.params.len(), refusal).await?;
        let agent = self.caller(call)?;
        let ids: Vec<&str> = request.params.iter().map(|params| params.entry_id.as_str()).collect();
        let entries = self.0.entries.lookup(&agent, &ids);
        let mut results = Vec::with_capacity(request.params.len());
        for (params, entry) in request.params.iter().zip(&entries) {
            // A long batch must not keep others from this thread.
            tokio::task::consume_budget().await;
            let signed = self.one_x509(call, params, entry.as_deref()).await;
            let result = match &signed {
                Ok(svid) => batch_new_x509svid_response::Result {
                    status: Some(ok_item()),
                    svid: Some(x509_svid_to_wire(svid)),
                },
                Err(error) => {
                    batch_new_x509svid_response::Result { status: Some(call.refuse_item(error)), svid: None }
                }
            };
            call.note_item(result.status.as_ref(), || {
                let fields = csr_field(&params.csr).with("entry_id", params.entry_id.as_str());
                match &signed {
                    Ok(svid) => {
                        fields.with("spiffe_id", svid.id.to_string()).with("expires_at", svid.expires_at)
                    }
                    Err(_) => fields.with("spiffe_id", ""),
                }
            });
            results.push(result);
        }
        Ok(BatchNewX509svidResponse { results })
    }

    async fn one_x509(
        &self,
        call: &Call,
        params: &NewX509svidParams,
        entry: Option<&IndexedEntry>,
    ) -> Result<X509Svid, ApiError> {
        if params.entry_id.is_empty() {
            return Err(ApiError::invalid("missing entry ID"));
        }
        if params.csr.is_empty() {
            return Err(ApiError::invalid("missing CSR"));
        }
        let signed = self.x509_of_entry(call, params, entry).await;
        signed.map_err(|error| error.about("entry_id", params.entry_id.as_str()))
    }

    async fn x509_of_entry(
        &self,
        call: &Call,
        params: &NewX509svidParams,
        entry: Option<&IndexedEntry>,
    ) -> Result<X509Svid, ApiError> {
        let entry = entry.ok_or_else(|| ApiError::not_found("entry not found or not authorized"))?.message();
        let csr = CertificateRequest::parse(&params.csr)
            .map_err(|error| ApiError::invalid_because("malformed CSR", error))?;
        csr.verify_signature().map_err(|error| ApiError::invalid_because("invalid CSR signature", error))?;
        let id = spiffe_id(entry.spiffe_id.as_ref())
            .map_err(|error| ApiError::internal("entry has malformed SPIFFE ID", error))?;
        let params = WorkloadSvidParams {
            spiffe_id: id,
            public_key: csr.public_key().clone(),
            ttl: ttl(entry.x509_svid_ttl),
            dns_names: entry.dns_names,
            subject: None,
        };
        let svid = self.sign(params).await?;
        log_signed(call, &svid, || {
            AuditFields::new()
                .with("entry_id", entry.id)
                .with("spiffe_id", svid.id.to_string())
                .with("revision_number", entry.revision_number)
        });
        Ok(svid)
    }

    async fn new_jwt(&self, call: &Call, request: NewJwtsvidRequest) -> Result<NewJwtsvidResponse, ApiError> {
        call.note(|| {
            AuditFields::new()
                .with("entry_id", request.entry_id.as_str())
                .with("audience", request.audience.join(","))
        });
        call.limit(1, "rejecting request due to JWT signing request rate limiting").await?;
        if self.0.settings.credentials.disable_jwt_svids {
            return Err(jwt_disabled());
        }
        let agent = self.caller(call)?;
        let found = self.0.entries.lookup(&agent, &[request.entry_id.as_str()]).pop().flatten();
        let entry = found.ok_or_else(|| ApiError::not_found("entry not found or not authorized"))?.message();
        let id = workload_id(&self.0.settings.trust_domain, entry.spiffe_id.as_ref())
            .map_err(|error| ApiError::invalid_because("invalid SPIFFE ID", error))?;
        call.note(|| AuditFields::new().with("spiffe_id", id.to_string()));
        let jti = entry.additional_attributes.is_some_and(|attributes| attributes.jwt_svid_include_jti);
        let svid = self.sign_jwt(call, id, request.audience, ttl(entry.jwt_svid_ttl), jti).await?;
        call.note(|| AuditFields::new().with("ttl", entry.jwt_svid_ttl));
        Ok(NewJwtsvidResponse { svid: Some(svid) })
    }

    /// CA-229
    async fn downstream(
        &self,
        call: &Call,
        request: NewDownstreamX509caRequest,
    ) -> Result<NewDownstreamX509caResponse, ApiError> {
        call.note(|| {
            csr_field(&request.csr).with("trust_domain_id", self.0.settings.trust_domain.id_string())
        });
        call.limit(1, "rejecting request due to downstream CA signing rate limit").await?;
        if call.caller().downstream_entry.is_none() {
            return Err(ApiError::new(Code::Internal, "caller is not a downstream workload"));
        }
        let csr = CertificateRequest::parse(&request.csr)
            .map_err(|error| ApiError::invalid_because("malformed CSR", error))?;
        csr.verify_signature().map_err(|error| ApiError::invalid_because("invalid CSR signature", error))?;
        let authority = self.0.authorities.authority();
        let signed: Result<_, IssueError> =
            authority.sign_downstream_ca(csr.public_key(), ttl(request.preferred_ttl)).await;
        let chain =
            signed.map_err(|error| ApiError::internal("failed to sign downstream X.509 CA", error))?;
        let leaf = chain.first().and_then(|der| Certificate::parse(der).ok());
        let expires_at = leaf.map_or(0, |leaf| leaf.not_after_unix());
        let fields = AuditFields::new()
            .with("spiffe_id", self.0.settings.trust_domain.id_string())
            .with("expiration", rfc3339(expires_at));
        call.log(LogLevel::Debug, "Signed X509 CA SVID", fields);
        let bundle = self.0.bundles.own().ok_or_else(|| ApiError::not_found("bundle not found"))?;
        call.note(|| AuditFields::new().with("expires_at", expires_at));
        let roots = &bundle.bundle.x509_authorities;
        Ok(NewDownstreamX509caResponse {
            ca_cert_chain: chain.iter().map(|der| der.to_vec().into()).collect(),
            x509_authorities: roots.iter().map(|root| root.der.to_vec().into()).collect(),
        })
    }
}

/// Says which certificate was signed, when somebody reads it.
fn log_signed(call: &Call, svid: &X509Svid, fields: impl FnOnce() -> AuditFields) {
    if !logging::enabled(LogLevel::Debug) {
        return;
    }
    let leaf = svid.cert_chain.first().and_then(|der| Certificate::parse(der).ok());
    let serial = leaf.map(|leaf| leaf.serial_decimal().to_owned()).unwrap_or_default();
    let fields = fields().with("expiration", rfc3339(svid.expires_at)).with("serial_num", serial);
    call.log(LogLevel::Debug, "Signed X509 SVID", fields);
}

/// As Go's `pkix.Name` is logged: a string in text, the struct in JSON.
fn subject_value(name: &DistinguishedName) -> LogValue {
    let list = |values: Vec<String>| LogValue::list(values);
    let subject = name.to_subject();
    let names = name.typed_values().into_iter().map(|(oid, value)| {
        let arcs = oid.split('.').filter_map(|arc| arc.parse::<u64>().ok());
        LogValue::Object(vec![("Type", LogValue::list(arcs)), ("Value", value.into())])
    });
    let members = vec![
        ("Country", list(subject.country)),
        ("Organization", list(subject.organization)),
        ("OrganizationalUnit", list(subject.organizational_unit)),
        ("Locality", list(subject.locality)),
        ("Province", list(subject.province)),
        ("StreetAddress", list(subject.street_address)),
        ("PostalCode", list(subject.postal_code)),
        ("SerialNumber", subject.serial_number.into()),
        ("CommonName", subject.common_name.into()),
        ("Names", LogValue::List(names.collect())),
        ("ExtraNames", LogValue::Nil),
    ];
    LogValue::shown(name.to_string(), LogValue::Object(members))
}

/// An ID that may not be minted is not written down (SA-200).
fn minted_jwt_fields(request: &MintJwtsvidRequest, id: Option<&SpiffeId>) -> AuditFields {
    let mut fields = AuditFields::new().with("ttl", request.ttl);
    if let Some(id) = id {
        fields = fields.with("spiffe_id", id.to_string());
    }
    if !request.audience.is_empty() {
        fields = fields.with("audience", request.audience.join(","));
    }
    fields
}

fn rfc3339(unix: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp(unix).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    time.format(&Rfc3339).unwrap_or_default()
}

#[tonic::async_trait]
impl Svid for SvidApi {
    async fn mint_x509svid(
        &self,
        request: Request<MintX509svidRequest>,
    ) -> Result<Response<MintX509svidResponse>, Status> {
        let call = Call::of(&request)?;
        call.conclude(self.mint_x509(&call, request.into_inner()).await)
    }

    async fn mint_jwtsvid(
        &self,
        request: Request<MintJwtsvidRequest>,
    ) -> Result<Response<MintJwtsvidResponse>, Status> {
        let call = Call::of(&request)?;
        call.conclude(self.mint_jwt(&call, request.into_inner()).await)
    }

    async fn mint_witsvid(
        &self,
        request: Request<MintWitsvidRequest>,
    ) -> Result<Response<MintWitsvidResponse>, Status> {
        let call = Call::of(&request)?;
        call.conclude(Err(ApiError::new(Code::Unimplemented, "WIT functionality is disabled")))
    }

    async fn batch_new_x509svid(
        &self,
        request: Request<BatchNewX509svidRequest>,
    ) -> Result<Response<BatchNewX509svidResponse>, Status> {
        let call = Call::of(&request)?;
        let (api, request) = (self.clone(), request.into_inner());
        if request.params.len() <= AT_ONCE {
            return call.conclude_batch(api.batch_x509(&call, request).await);
        }
        let work = async move { call.conclude_batch(api.batch_x509(&call, request).await) };
        apart(work).await
    }

    async fn new_jwtsvid(
        &self,
        request: Request<NewJwtsvidRequest>,
    ) -> Result<Response<NewJwtsvidResponse>, Status> {
        let call = Call::of(&request)?;
        call.conclude(self.new_jwt(&call, request.into_inner()).await)
    }

    /// Without WIT keys every item fails as upstream's do (SA-098, CA-091).
    async fn batch_new_witsvid(
        &self,
        request: Request<BatchNewWitsvidRequest>,
    ) -> Result<Response<BatchNewWitsvidResponse>, Status> {
        let call = Call::of(&request)?;
        let request = request.into_inner();
        if request.params.is_empty() {
            return call.conclude(Err(ApiError::invalid("missing parameters")));
        }
        let refusal = "rejecting request due to certificate signing rate limiting";
        if let Err(error) = call.limit(request.params.len(), refusal).await {
            return call.conclude(Err(error));
        }
        let agent = match self.caller(&call) {
            Ok(agent) => agent,
            Err(error) => return call.conclude(Err(error)),
        };
        let ids: Vec<&str> = request.params.iter().map(|params| params.entry_id.as_str()).collect();
        let entries = self.0.entries.lookup(&agent, &ids);
        let results = request.params.iter().zip(entries).map(|(params, entry)| {
            let error = wit_refusal(params, entry.is_some());
            let status = call.refuse_item(&error);
            call.note_item(Some(&status), || {
                AuditFields::new().with("entry_id", params.entry_id.as_str()).with("spiffe_id", "")
            });
            batch_new_witsvid_response::Result { status: Some(status), svid: None }
        });
        let results = results.collect();
        call.conclude_batch(Ok(BatchNewWitsvidResponse { results }))
    }

    async fn new_downstream_x509ca(
        &self,
        request: Request<NewDownstreamX509caRequest>,
    ) -> Result<Response<NewDownstreamX509caResponse>, Status> {
        let call = Call::of(&request)?;
        call.conclude(self.downstream(&call, request.into_inner()).await)
    }
}

fn wit_refusal(params: &NewWitsvidParams, known: bool) -> ApiError {
    if params.entry_id.is_empty() {
        return ApiError::invalid("missing entry ID");
    }
    if params.public_key.is_empty() {
        return ApiError::invalid("missing public key");
    }
    if !known {
        return ApiError::not_found("entry not found or not authorized");
    }
    let key = match PublicKey::from_pkix(&params.public_key) {
        Ok(key) => key,
        Err(error) => return ApiError::invalid_because("malformed public key", error),
    };
    if let Err(cause) = wit_algorithm_fits(key.algorithm(), &params.signing_algorithm) {
        return ApiError::invalid_because("invalid signing algorithm or key type", cause);
    }
    ApiError::internal("failed to sign WIT-SVID", "WIT key is not available for signing")
}

/// SA-094
fn wit_algorithm_fits(key: KeyAlgorithm, signing: &str) -> Result<(), String> {
    let (kind, fits) = match key {
        KeyAlgorithm::Rsa { .. } => {
            ("RSA", matches!(signing, "RS256" | "RS384" | "RS512" | "PS256" | "PS384" | "PS512"))
        }
        KeyAlgorithm::EcP256 => ("ec-p256", signing == "ES256"),
        KeyAlgorithm::EcP384 => ("ec-p384", signing == "ES384"),
        KeyAlgorithm::EcP521 => ("ec-p521", signing == "ES512"),
        KeyAlgorithm::Ed25519 => return Err("unsupported key type 'ed25519.PublicKey'".to_owned()),
        KeyAlgorithm::Other => return Err("unsupported key type".to_owned()),
    };
    match fits {
        true => Ok(()),
        false => Err(format!("unsupported signing algorithm for {kind} key: {signing}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wit_algorithms_go_with_the_key() {
        // SA-094
        let rsa = KeyAlgorithm::Rsa { bits: 2048 };
        assert_eq!(wit_algorithm_fits(rsa, "PS256"), Ok(()));
        let refusals = [
            (rsa, "ES256", "unsupported signing algorithm for RSA key: ES256"),
            (KeyAlgorithm::EcP256, "", "unsupported signing algorithm for ec-p256 key: "),
            (KeyAlgorithm::Ed25519, "EdDSA", "unsupported key type 'ed25519.PublicKey'"),
        ];
        for (key, signing, text) in refusals {
            assert_eq!(wit_algorithm_fits(key, signing), Err(text.to_owned()));
        }
    }

    #[test]
    fn a_refused_id_is_not_written_down_and_a_blank_audience_is() {
        // SA-200
        let id = "spiffe://example.org/w".parse().unwrap();
        let request = MintJwtsvidRequest { ttl: 5, audience: vec![String::new()], ..Default::default() };
        let names = |fields: AuditFields| fields.0.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(minted_jwt_fields(&request, Some(&id))), ["ttl", "spiffe_id", "audience"]);
        assert_eq!(names(minted_jwt_fields(&MintJwtsvidRequest::default(), None)), ["ttl"]);
    }
}
