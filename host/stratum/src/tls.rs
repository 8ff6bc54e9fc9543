//! Stratum over TLS: certificates of a port, and miners that speak TLS where none is.

use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// The fatal alert `handshake_failure` as a TLS record: what a TLS client on a plain port is told, so that it can tell
/// a pool without TLS from a dead one (bfgminer tries TLS first and falls back).
pub(crate) const REFUSAL: [u8; 7] = [0x15, 3, 1, 0, 2, 2, 40];

/// Bytes that a TLS session keeps for a socket that takes no more. Beyond that it takes nothing either.
pub(crate) const KEPT: usize = 16 * 1024;

/// The certificate of a TLS port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM file with the certificate chain, the server's own first.
    pub certificate: PathBuf,
    /// PEM file with its private key.
    pub key: PathBuf,
}

/// A certificate that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read.
    #[error("{0}: {1}")]
    Read(PathBuf, #[source] std::io::Error),
    /// A file holds nothing of its kind.
    #[error("{0}: no {1} in PEM form")]
    Empty(PathBuf, &'static str),
    /// A file is not PEM.
    #[error("{0}: {1}: {2}")]
    Pem(PathBuf, &'static str, #[source] pem::Error),
    /// Certificate and key do not fit each other, or TLS cannot use them.
    #[error("{0}: {1}")]
    Refused(PathBuf, #[source] rustls::Error),
}

impl TlsConfig {
    /// Everything that is wrong with the files: each by itself, and when both can be read, whether they belong together.
    #[must_use]
    pub fn problems(&self) -> Vec<TlsError> {
        let certificate = certificates(&self.certificate).err();
        let key = private_key(&self.key).err();
        let each: Vec<_> = certificate.into_iter().chain(key).collect();
        if each.is_empty() { self.acceptor().err().into_iter().collect() } else { each }
    }

    /// Loads the files.
    ///
    /// # Errors
    /// When a file cannot be read or used, with its name.
    pub fn acceptor(&self) -> Result<TlsAcceptor, TlsError> {
        self.load().map(|(acceptor, _)| acceptor)
    }

    /// The files, and the certificates in them.
    fn load(&self) -> Result<(TlsAcceptor, Vec<CertificateDer<'static>>), TlsError> {
        let chain = certificates(&self.certificate)?;
        let key = private_key(&self.key)?;
        let refused = |error| TlsError::Refused(self.certificate.clone(), error);
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(refused)?
            .with_no_client_auth()
            .with_single_cert(chain.clone(), key)
            .map_err(refused)?;
        Ok((TlsAcceptor::from(Arc::new(config)), chain))
    }
}

/// What a port shows to miners, as it was read last. Reading it again closes nothing: connections go on under what they
/// began with, and who connects from then on is shown the new one.
pub(crate) struct Certificate(RwLock<InUse>);

struct InUse {
    files: TlsConfig,
    chain: Vec<CertificateDer<'static>>,
    acceptor: TlsAcceptor,
}

impl Certificate {
    pub(crate) fn load(files: &TlsConfig) -> Result<Self, TlsError> {
        let (acceptor, chain) = files.load()?;
        Ok(Self(RwLock::new(InUse { files: files.clone(), chain, acceptor })))
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.0.read().acceptor.clone()
    }

    /// Reads the files again, or others from now on. Whether the port shows another certificate than before.
    ///
    /// # Errors
    /// When they cannot be used: what was in use stays.
    pub(crate) fn reload(&self, files: Option<&TlsConfig>) -> Result<bool, TlsError> {
        let files = files.map_or_else(|| self.0.read().files.clone(), TlsConfig::clone);
        let (acceptor, chain) = files.load()?;
        let mut in_use = self.0.write();
        let changed = in_use.chain != chain;
        in_use.files = files;
        if changed {
            // Otherwise sessions that miners kept stay good.
            (in_use.acceptor, in_use.chain) = (acceptor, chain);
        }
        Ok(changed)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|error| TlsError::Read(path.to_owned(), error))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.map_err(|error| unreadable(path, "certificate", error))?;
    if chain.is_empty() { Err(TlsError::Empty(path.to_owned(), "certificate")) } else { Ok(chain) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|error| unreadable(path, "private key", error))
}

fn unreadable(path: &Path, what: &'static str, error: pem::Error) -> TlsError {
    match error {
        pem::Error::NoItemsFound => TlsError::Empty(path.to_owned(), what),
        error => TlsError::Pem(path.to_owned(), what, error),
    }
}

/// Whether a connection begins as a TLS handshake record does; no JSON and no PROXY header begins so.
#[must_use]
pub fn is_client_hello(bytes: &[u8]) -> bool {
    matches!(bytes, [0x16, 3, ..] | [0x16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_hello_is_told_from_a_request() {
        assert!(is_client_hello(&[0x16, 3, 1, 2, 0, 1]));
        assert!(!is_client_hello(b"{\"id\":1}\n"));
        assert!(!is_client_hello(b""));
    }

    #[test]
    fn a_missing_certificate_is_named() {
        let config = TlsConfig { certificate: "/no/such/cert.pem".into(), key: "/no/such/key.pem".into() };
        let error = config.acceptor().err().unwrap().to_string();
        assert!(error.starts_with("/no/such/cert.pem: "), "{error}");
    }

    #[test]
    fn a_file_without_what_is_looked_for_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cert.pem");
        let says = |text: &str| {
            fs::write(&path, text).unwrap();
            (certificates(&path).unwrap_err().to_string(), private_key(&path).unwrap_err().to_string())
        };
        let name = path.display().to_string();
        let nothing =
            (format!("{name}: no certificate in PEM form"), format!("{name}: no private key in PEM form"));
        assert_eq!(says("no PEM at all\n"), nothing);
        let (certificate, key) = says("-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n");
        assert!(certificate.starts_with(&format!("{name}: certificate: ")), "{certificate}");
        assert!(key.starts_with(&name), "{key}");
    }
}
