//! What every implementation of a contract must do, as reusable tests.

use spire_crypto::{KeyType, default_scheme};

use crate::KeyManager;

/// Makes, finds, overwrites and uses keys.
///
/// # Panics
/// When the key manager breaks its contract.
#[allow(clippy::panic, clippy::unwrap_used, reason = "a test helper")]
pub async fn check_key_manager(keys: &dyn KeyManager) {
    assert!(keys.key("a").await.unwrap().is_none(), "an unknown key is absent, not an error");
    let first = keys.generate_key("b", KeyType::EcP256).await.unwrap();
    keys.generate_key("a", KeyType::EcP384).await.unwrap();
    let ids: Vec<String> = keys.keys().await.unwrap().iter().map(|k| k.id().to_owned()).collect();
    assert_eq!(ids, ["a", "b"], "keys are sorted by id");
    let scheme = default_scheme(first.public_key()).unwrap();
    let signature = first.sign(scheme, b"message").await.unwrap();
    first.public_key().verify(scheme, b"message", &signature).unwrap();
    let second = keys.generate_key("b", KeyType::EcP256).await.unwrap();
    assert_ne!(first.public_key(), second.public_key(), "a new key takes the place of the old one");
    let found = keys.key("b").await.unwrap().unwrap();
    assert_eq!(found.public_key(), second.public_key());
}
