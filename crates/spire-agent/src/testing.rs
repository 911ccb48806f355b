//! A certificate authority for tests.

use spire_crypto::x509::{
    Certificate, CertificateTemplate, DistinguishedName, Issuer, Subject, Usage, sign_certificate,
};
use spire_crypto::{KeyType, PrivateKey, PublicKey};
use time::{Duration, OffsetDateTime};

/// When certificates of tests begin to be valid.
pub const NOW: i64 = 1_700_000_000;

#[derive(Debug)]
pub struct TestCa {
    pub key: PrivateKey,
    pub certificate: Certificate,
    name: DistinguishedName,
}

fn at(unix: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(unix).unwrap()
}

impl TestCa {
    pub async fn new(trust_domain: &str) -> Self {
        let key = PrivateKey::generate(KeyType::EcP256).unwrap();
        let subject = Subject { organization: vec!["Test".to_owned()], ..Subject::default() };
        let name = subject.to_name().unwrap();
        let template = CertificateTemplate {
            serial: [1; 16],
            subject: name.clone(),
            not_before: at(NOW) - Duration::DAY,
            not_after: at(NOW) + Duration::DAY * 30,
            uri_san: format!("spiffe://{trust_domain}"),
            dns_sans: Vec::new(),
            usage: Usage::Ca,
            extra_extensions: Vec::new(),
        };
        let issuer = Issuer { name: name.clone(), key_id: None };
        let der = sign_certificate(&template, key.public_key(), &issuer, &key).await.unwrap();
        Self { certificate: Certificate::parse(&der).unwrap(), key, name }
    }

    /// An SVID that is valid for `seconds` from [`NOW`] on.
    pub async fn issue(&self, id: &str, seconds: i64) -> (Vec<Certificate>, PrivateKey) {
        let key = PrivateKey::generate(KeyType::EcP256).unwrap();
        (self.certify(key.public_key(), id, NOW, seconds).await, key)
    }

    /// An SVID for that key, valid for `seconds` from `from` on.
    pub async fn certify(&self, key: &PublicKey, id: &str, from: i64, seconds: i64) -> Vec<Certificate> {
        let subject = Subject { country: vec!["US".to_owned()], ..Subject::default() };
        let template = CertificateTemplate {
            serial: [2; 16],
            subject: subject.to_name().unwrap(),
            not_before: at(from),
            not_after: at(from + seconds),
            uri_san: id.to_owned(),
            dns_sans: Vec::new(),
            usage: Usage::Svid,
            extra_extensions: Vec::new(),
        };
        let key_id = self.key.public_key().subject_key_id().to_vec();
        let issuer = Issuer { name: self.name.clone(), key_id: Some(key_id) };
        let der = sign_certificate(&template, key, &issuer, &self.key).await.unwrap();
        vec![Certificate::parse(&der).unwrap()]
    }
}
