//! What the same cores can do at all: the figures ours are multiples of.

use std::time::{Duration, Instant};

use anyhow::Result;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};
use serde::Serialize;
use sqlx::{ConnectOptions, Connection, Executor};
use tonic_health::pb::health_client::HealthClient;

#[derive(Debug, Clone, Serialize)]
pub struct Physical {
    pub p256_sign_ms: f64,
    pub p256_verify_ms: f64,
    pub sqlite_commit_ms: f64,
    /// A unary call of the barest tonic server over a Unix socket, both ends.
    pub grpc_echo_ms: f64,
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
        sqlite_commit_ms: sqlite_commit().await?,
        grpc_echo_ms: grpc_echo().await?,
    })
}

fn each(mut action: impl FnMut() -> Result<()>) -> Result<f64> {
    let begun = Instant::now();
    let mut count = 0u32;
    while begun.elapsed() < LENGTH {
        action()?;
        count += 1;
    }
    Ok(begun.elapsed().as_secs_f64() * 1e3 / f64::from(count))
}

/// One insert in its own transaction, WAL, synchronous NORMAL.
async fn sqlite_commit() -> Result<f64> {
    let dir = tempfile::tempdir()?;
    let mut connection = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(dir.path().join("commits.sqlite3"))
        .create_if_missing(true)
        .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal)
        .synchronous(sqlx::sqlite::SqliteSynchronous::Normal)
        .connect()
        .await?;
    connection.execute("CREATE TABLE t (id integer primary key autoincrement, v varchar(255))").await?;
    let begun = Instant::now();
    let mut count = 0u32;
    while begun.elapsed() < LENGTH {
        connection.execute("INSERT INTO t (v) VALUES ('x')").await?;
        count += 1;
    }
    let each = begun.elapsed().as_secs_f64() * 1e3 / f64::from(count);
    connection.close().await?;
    Ok(each)
}

async fn grpc_echo() -> Result<f64> {
    let dir = tempfile::tempdir()?;
    let socket = dir.path().join("echo.sock");
    let listener = tokio::net::UnixListener::bind(&socket)?;
    let (_reporter, service) = tonic_health::server::health_reporter();
    let server = tokio::spawn(
        tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(tokio_stream::wrappers::UnixListenerStream::new(listener)),
    );
    let mut client = HealthClient::new(crate::node::uds(&socket).await?);
    let begun = Instant::now();
    let mut count = 0u32;
    while begun.elapsed() < LENGTH {
        client.check(tonic_health::pb::HealthCheckRequest::default()).await?;
        count += 1;
    }
    let each = begun.elapsed().as_secs_f64() * 1e3 / f64::from(count);
    server.abort();
    Ok(each)
}
