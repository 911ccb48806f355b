//! What the same cores can do at all: the figures ours are multiples of.

mod postgres;

use std::time::{Duration, Instant};

use anyhow::Result;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};
use serde::{Deserialize, Serialize};
use tonic_health::pb::health_client::HealthClient;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Physical {
    pub p256_sign_ms: f64,
    pub p256_verify_ms: f64,
    pub sqlite_commit_ms: f64,
    /// The same on PostgreSQL, where its programs are installed.
    pub postgres_commit_ms: Option<f64>,
    /// CPU of the barest tonic server for a unary call over a Unix socket.
    pub grpc_echo_ms: f64,
}

impl Physical {
    /// The part of an operation that no program can do without, with its name.
    pub fn limit_of(&self, scenario: &str) -> Option<(&'static str, f64)> {
        Some(match scenario {
            "sign-x509" => ("verify + sign", self.p256_verify_ms + self.p256_sign_ms),
            "sign-jwt" => ("sign", self.p256_sign_ms),
            "attest" => ("verify + 2 signs", self.p256_verify_ms + 2.0 * self.p256_sign_ms),
            // Calls share their commits.
            "create" => return None,
            _ => ("gRPC echo", self.grpc_echo_ms),
        })
    }
}

const LENGTH: Duration = Duration::from_millis(500);

pub async fn measure() -> Result<Physical> {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random)?;
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref())?;
    let message = [7u8; 600];
    let signature = key.sign(&random, &message)?;
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.public_key().as_ref().to_vec());
    Ok(Physical {
        p256_sign_ms: each(|| key.sign(&random, &message).map(drop).map_err(Into::into))?,
        p256_verify_ms: each(|| public.verify(&message, signature.as_ref()).map_err(Into::into))?,
        sqlite_commit_ms: sqlite_commit()?,
        postgres_commit_ms: postgres::commit()?,
        grpc_echo_ms: grpc_echo().await?,
    })
}

/// CPU time of one action.
fn each(mut action: impl FnMut() -> Result<()>) -> Result<f64> {
    let (begun, before) = (Instant::now(), thread_cpu()?);
    let mut count = 0u32;
    while begun.elapsed() < LENGTH {
        action()?;
        count += 1;
    }
    Ok((thread_cpu()? - before).as_secs_f64() * 1e3 / f64::from(count))
}

/// What the calling thread has used so far.
fn thread_cpu() -> Result<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(Duration::from_nanos(text.split(' ').next().unwrap_or_default().parse()?))
}

/// One insert in its own transaction, WAL, synchronous NORMAL.
fn sqlite_commit() -> Result<f64> {
    let dir = tempfile::tempdir()?;
    let connection = rusqlite::Connection::open(dir.path().join("commits.sqlite3"))?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; \
         CREATE TABLE t (id integer primary key autoincrement, v varchar(255))",
    )?;
    let mut insert = connection.prepare("INSERT INTO t (v) VALUES ('x')")?;
    let begun = Instant::now();
    let mut count = 0u32;
    while begun.elapsed() < LENGTH {
        insert.execute([])?;
        count += 1;
    }
    Ok(begun.elapsed().as_secs_f64() * 1e3 / f64::from(count))
}

async fn grpc_echo() -> Result<f64> {
    let dir = tempfile::tempdir()?;
    let socket = dir.path().join("echo.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket)?;
    listener.set_nonblocking(true)?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    // A thread of its own, whose CPU time is the server's.
    let server = std::thread::spawn(move || serve_echo(listener, stopped));
    let mut client = HealthClient::new(crate::node::uds(&socket).await?);
    let begun = Instant::now();
    let mut count = 0u32;
    while begun.elapsed() < LENGTH {
        client.check(tonic_health::pb::HealthCheckRequest::default()).await?;
        count += 1;
    }
    drop(client);
    let _ = stop.send(());
    let cpu = server.join().map_err(|_| anyhow::anyhow!("the echo server panicked"))??;
    Ok(cpu.as_secs_f64() * 1e3 / f64::from(count))
}

/// The CPU time that it took to serve.
fn serve_echo(
    listener: std::os::unix::net::UnixListener,
    stopped: tokio::sync::oneshot::Receiver<()>,
) -> Result<Duration> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let before = thread_cpu()?;
    runtime.block_on(async {
        let listener = tokio::net::UnixListener::from_std(listener)?;
        let (_reporter, service) = tonic_health::server::health_reporter();
        let incoming = tokio_stream::wrappers::UnixListenerStream::new(listener);
        let stopped = async { drop(stopped.await) };
        let server = tonic::transport::Server::builder().add_service(service);
        server.serve_with_incoming_shutdown(incoming, stopped).await?;
        anyhow::Ok(())
    })?;
    Ok(thread_cpu()? - before)
}
