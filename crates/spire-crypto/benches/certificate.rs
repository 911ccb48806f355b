//! One X.509-SVID: the request is read and verified, the certificate built and signed. `--count` runs a fixed number,
//! for `cargo xtask bench --check`.

#![allow(clippy::unwrap_used, reason = "a bench on fixed input")]

use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use criterion::Criterion;
use spire_crypto::x509::{CertificateRequest, CertificateTemplate, Issuer, Subject, Usage, sign_certificate};
use spire_crypto::{KeyType, PrivateKey};
use time::OffsetDateTime;

struct Fixture {
    authority: PrivateKey,
    issuer: Issuer,
    template: CertificateTemplate,
    csr: Vec<u8>,
}

impl Fixture {
    fn new() -> Self {
        let authority = PrivateKey::generate(KeyType::EcP256).unwrap();
        let subject = |unit: &str| {
            let subject = Subject { organization: vec![unit.to_owned()], ..Subject::default() };
            subject.to_name().unwrap()
        };
        let issuer = Issuer {
            name: subject("SPIFFE"),
            key_id: Some(authority.public_key().subject_key_id().to_vec()),
        };
        let template = CertificateTemplate {
            serial: [1; 16],
            subject: subject("SPIRE"),
            not_before: OffsetDateTime::UNIX_EPOCH,
            not_after: OffsetDateTime::UNIX_EPOCH + Duration::from_secs(3600),
            uri_san: "spiffe://example.org/workload".to_owned(),
            dns_sans: Vec::new(),
            usage: Usage::Svid,
            extra_extensions: Vec::new(),
        };
        let key = PrivateKey::generate(KeyType::EcP256).unwrap();
        let csr = CertificateRequest::create(
            &subject("SPIRE"),
            &["spiffe://example.org/workload".to_owned()],
            &[],
            &key,
        );
        Self { authority, issuer, template, csr: csr.unwrap() }
    }

    fn sign(&self) -> Vec<u8> {
        let request = CertificateRequest::parse(&self.csr).unwrap();
        request.verify_signature().unwrap();
        now(sign_certificate(&self.template, request.public_key(), &self.issuer, &self.authority)).unwrap()
    }
}

/// Keys in memory never wait.
fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("a key in memory does not wait"),
    }
}

fn main() {
    let fixture = Fixture::new();
    if std::env::args().any(|argument| argument == "--count") {
        counted(&fixture);
        return;
    }
    let mut criterion = Criterion::default().configure_from_args();
    criterion.bench_function("request to certificate, P-256", |bencher| {
        bencher.iter(|| black_box(fixture.sign()));
    });
    criterion.final_summary();
}

#[inline(never)]
fn counted(fixture: &Fixture) {
    for _ in 0..200 {
        black_box(fixture.sign());
    }
}
