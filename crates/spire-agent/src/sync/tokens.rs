//! JWT-SVIDs, from the cache while they are fresh (AG-381 to AG-386).

use std::time::Duration;

use spire_proto::convert::svid::jwt_svid;
use spire_proto::server::svid::v1::NewJwtsvidRequest;
use spire_proto::server::svid::v1::svid_client::SvidClient;
use spire_types::JwtSvid;

use super::Synchronizer;
use crate::cache::{AgentEntry, CachedToken};
use crate::fault::{Fault, log_rpc_error};
use crate::link::CALL_TIMEOUT;

impl Synchronizer {
    /// A token for the entry's SPIFFE ID.
    pub async fn token(&self, entry: &AgentEntry, audience: &[String]) -> Result<JwtSvid, Fault> {
        let now = self.clock.now();
        let cached = match entry.jwt_svid_include_jti {
            true => None,
            false => self.tokens.get(&entry.spiffe_id, audience),
        };
        if let Some(token) = &cached
            && token.is_fresh(now)
        {
            return Ok(token.svid.clone());
        }
        let usable = cached.as_ref().filter(|token| !token.is_expired(now));
        let patience = if usable.is_some() { self.settings.token_patience } else { CALL_TIMEOUT };
        match (self.mint(entry, audience, patience).await, usable, &cached) {
            (Ok(svid), ..) => {
                if !entry.jwt_svid_include_jti {
                    let renew_at = self.policy.renew_token_at(svid.issued_at, svid.expires_at);
                    let id = svid.id.clone();
                    self.tokens.put(&id, audience, CachedToken { svid: svid.clone(), renew_at });
                }
                Ok(svid)
            }
            (Err(fault), Some(token), _) => {
                tracing::warn!(
                    error = %fault,
                    spiffe_id = entry.spiffe_id.to_string(),
                    subsystem_name = "manager",
                    "Unable to renew JWT; returning cached copy"
                );
                Ok(token.svid.clone())
            }
            (Err(fault), None, Some(_)) => {
                Err(Fault::new(format!("unable to renew JWT for \"{}\" (err={fault})", entry.spiffe_id)))
            }
            (Err(fault), None, None) => Err(fault),
        }
    }

    async fn mint(
        &self,
        entry: &AgentEntry,
        audience: &[String],
        patience: Duration,
    ) -> Result<JwtSvid, Fault> {
        let request = NewJwtsvidRequest { entry_id: entry.id.to_string(), audience: audience.to_vec() };
        let minted = self
            .link
            .call(patience, |channel| async move {
                Ok(SvidClient::new(channel).new_jwtsvid(request).await?.into_inner())
            })
            .await;
        let minted = minted.map_err(|status| {
            log_rpc_error("Failed to fetch JWT SVID", &status);
            Fault::rpc(&status).context("failed to fetch JWT SVID")
        })?;
        let wire = minted.svid.ok_or_else(|| Fault::new("JWTSVID response missing SVID"))?;
        let wrong = match (wire.issued_at, wire.expires_at) {
            (0, _) => Some("JWTSVID missing issued at"),
            (_, 0) => Some("JWTSVID missing expires at"),
            (issued, expires) if issued > expires => Some("JWTSVID issued after it has expired"),
            _ => None,
        };
        if let Some(wrong) = wrong {
            return Err(Fault::new(wrong));
        }
        jwt_svid(&wire)
            .map_err(|error| Fault::new(error.to_string()).context("could not parse JWT-SVID SPIFFE ID"))
    }
}
