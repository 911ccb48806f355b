//! Join tokens (SA-344). The token is a secret: it never appears in an error or log line.

use std::collections::HashMap;

use spire_types::JoinToken;

use crate::Result;
use crate::error::{Code, DatastoreError};
use crate::sql::Query;
use crate::store::Datastore;
use crate::transaction::Tx;

impl Datastore {
    /// Stores a token.
    ///
    /// # Errors
    /// Already exists if the token does; `token and expiry are required`.
    pub async fn create_join_token(&self, token: &JoinToken) -> Result<()> {
        if token.token.is_empty() || token.expires_at == 0 {
            return Err(DatastoreError::status(Code::Unknown, "token and expiry are required"));
        }
        let mut tx = self.begin_write().await?;
        let mut query = Query::build();
        query.push("INSERT INTO join_tokens (created_at, updated_at, token, expiry)").push_rows(1, 4);
        query.add(tx.stamp()).add(tx.stamp()).add(token.token.as_str()).add(token.expires_at);
        tx.defer(query).await?;
        tx.commit().await
    }

    /// Takes the token away and returns what it was; of several callers exactly one gets it.
    pub async fn take_join_token(&self, token: &str) -> Result<Option<JoinToken>> {
        self.groups().join_tokens.write(self, token.to_owned(), take).await?
    }

    /// Removes tokens that expired before `before`. Nothing calls this on its own (SA-394).
    pub async fn prune_join_tokens(&self, before: spire_types::UnixSeconds) -> Result<u64> {
        let mut tx = self.begin_write().await?;
        let pruned = tx.execute(Query::new("DELETE FROM join_tokens WHERE expiry < ?").bind(before)).await?;
        tx.commit().await?;
        Ok(pruned)
    }
}

async fn take(begun: Result<Tx>, wanted: Vec<String>) -> Vec<Result<Option<JoinToken>>> {
    match take_all(begun, &wanted).await {
        // Whoever asked first gets it.
        Ok(mut found) => wanted.iter().map(|token| found.remove(token).transpose()).collect(),
        Err(error) => vec![Err(error); wanted.len()],
    }
}

/// One that cannot be read is taken away as well, and fails for its caller only.
async fn take_all(begun: Result<Tx>, wanted: &[String]) -> Result<HashMap<String, Result<JoinToken>>> {
    let tx = begun?;
    let tokens = || wanted.iter().map(String::as_str);
    let mut query = Query::build();
    query.push("SELECT token, expiry FROM join_tokens WHERE token IN (").push_list(tokens()).push(");");
    query.push("DELETE FROM join_tokens WHERE token IN (").push_list(tokens()).push(")");
    let mut found = HashMap::with_capacity(wanted.len());
    tx.finish(query, |_, row| {
        let token = row.text(0)?.to_owned();
        found.insert(token.clone(), row.int(1).map(|expires_at| JoinToken { token, expires_at }));
        Ok(())
    })
    .await?;
    Ok(found)
}
