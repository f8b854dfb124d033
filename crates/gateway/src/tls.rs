//! TLS: the platform's own certificate authority, and what clients are shown.

pub mod authority;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use aws_lc_rs::digest;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use x509_parser::oid_registry as oid;
use x509_parser::prelude::{FromDer as _, X509Certificate};

pub use authority::ensure;

use crate::config::TlsFiles;

/// The protocol name of direct TLS.
pub const ALPN: &[u8] = b"postgresql";

/// How clients are given TLS.
#[derive(Clone)]
pub struct Tls {
    /// Makes a connection a TLS connection.
    pub acceptor: TlsAcceptor,
    /// The `tls-server-end-point` of our certificate, when its kind of signature defines one.
    pub end_point: Option<Arc<[u8]>>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Reads a certificate and its key.
    ///
    /// # Errors
    /// When they cannot be read or do not belong together.
    pub fn load(files: &TlsFiles) -> anyhow::Result<Self> {
        let chain = read_chain(&files.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&files.key)
            .with_context(|| format!("read the private key `{}`", files.key.display()))?;
        let end_point = chain.first().and_then(|certificate| end_point(certificate));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("choose TLS versions")?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .with_context(|| format!("use the certificate `{}`", files.certificate.display()))?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        // PostgreSQL's clients do not resume sessions, so tickets would be work for nothing.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), end_point })
    }
}

fn read_chain(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let reading = || format!("read the certificate `{}`", path.display());
    let chain = CertificateDer::pem_file_iter(path).with_context(reading)?;
    let chain = chain.collect::<Result<Vec<_>, _>>().with_context(reading)?;
    anyhow::ensure!(!chain.is_empty(), "`{}` holds no certificate", path.display());
    Ok(chain)
}

/// The hash of RFC 5929: by the certificate's signature, and SHA-256 for what is weaker.
fn end_point(certificate: &CertificateDer<'_>) -> Option<Arc<[u8]>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let signature = &parsed.signature_algorithm.algorithm;
    let has = |oids: &[oid::Oid<'_>]| oids.contains(signature);
    let algorithm = if has(&[
        oid::OID_SIG_ECDSA_WITH_SHA256,
        oid::OID_PKCS1_SHA256WITHRSA,
        oid::OID_PKCS1_SHA1WITHRSA,
    ]) {
        &digest::SHA256
    } else if has(&[oid::OID_SIG_ECDSA_WITH_SHA384, oid::OID_PKCS1_SHA384WITHRSA]) {
        &digest::SHA384
    } else if has(&[oid::OID_SIG_ECDSA_WITH_SHA512, oid::OID_PKCS1_SHA512WITHRSA]) {
        &digest::SHA512
    } else {
        return None;
    };
    Some(digest::digest(algorithm, certificate).as_ref().into())
}
