//! Certificates of tests, and miners over TLS.

use super::Harness;
use super::miner::Client;
use millpond_stratum::TlsConfig;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A certificate of its own in the files of a port, and what a miner needs to believe in it.
pub fn certificate(folder: &std::path::Path) -> (TlsConfig, rustls::RootCertStore) {
    let made = rcgen::generate_simple_self_signed(vec!["pool.test".to_owned()]).unwrap();
    let tls = TlsConfig { certificate: folder.join("pool.crt"), key: folder.join("pool.key") };
    std::fs::write(&tls.certificate, made.cert.pem()).unwrap();
    std::fs::write(&tls.key, made.signing_key.serialize_pem()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    (tls, roots)
}

/// A miner over TLS who believes in these certificates and no others.
pub async fn over_tls(pool: &Harness, roots: rustls::RootCertStore) -> std::io::Result<Client> {
    over_tls_on(TcpStream::connect(pool.address()).await?, roots).await
}

/// The same on a connection that is there already.
pub async fn over_tls_on(stream: TcpStream, roots: rustls::RootCertStore) -> std::io::Result<Client> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = rustls::pki_types::ServerName::try_from("pool.test").unwrap();
    Ok(Client::over(TlsConnector::from(Arc::new(client)).connect(name, stream).await?))
}
