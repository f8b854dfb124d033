//! TLS: the platform's own certificate authority, and what clients are shown.

pub mod authority;

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use aws_lc_rs::digest;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use x509_parser::oid_registry as oid;
use x509_parser::prelude::{FromDer as _, X509Certificate};

pub use authority::ensure;

use crate::config::TlsFiles;
use crate::stream::metered::Metered;

/// The protocol name of direct TLS.
pub const ALPN: &[u8] = b"postgresql";

/// No tickets: PostgreSQL's own clients do not resume sessions, and for those that do it would spare
/// next to nothing. A whole handshake with our kind of key takes 75 µs of processor, a resumed one 72.
const TICKETS: usize = 0;
/// The most bytes that a client may send until TLS is set up. Without certificates of clients it
/// needs two or three thousand, with keys against quantum computers.
const LONGEST_HANDSHAKE: usize = 16 * 1024;
/// How often it is looked whether the files of the certificate have changed, at most.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// How clients are given TLS. The certificate is read again when its files change.
pub struct Tls {
    files: TlsFiles,
    shown: ArcSwap<Shown>,
    /// What the files were when they were last read, whether they were any good or not.
    stamp: Mutex<Stamp>,
    begun: Instant,
    /// Milliseconds after `begun`.
    next_look: AtomicU64,
}

/// What clients are shown at one time.
struct Shown {
    config: Arc<ServerConfig>,
    end_point: Option<Arc<[u8]>>,
    not_after: i64,
}

/// A connection with TLS.
#[derive(Debug)]
pub struct Secured {
    stream: TlsStream<Metered>,
    end_point: Option<Arc<[u8]>>,
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
        let stamp = Stamp::of(files);
        Ok(Self {
            files: files.clone(),
            shown: ArcSwap::from_pointee(Shown::read(files)?),
            stamp: Mutex::new(stamp),
            begun: Instant::now(),
            next_look: AtomicU64::new(millis(LOOK_EVERY)),
        })
    }

    /// Sets TLS up with a client. What was already read of its first message is in `before`.
    /// The caller bounds the time.
    ///
    /// # Errors
    /// When the client breaks off, sends too much or does not speak TLS as we do.
    pub async fn secure(&self, socket: TcpStream, before: Vec<u8>) -> io::Result<Secured> {
        let shown = self.current();
        let socket = Metered::new(socket, before, LONGEST_HANDSHAKE);
        let mut stream = TlsAcceptor::from(shown.config.clone()).accept(socket).await?;
        stream.get_mut().0.lift();
        Ok(Secured { stream, end_point: shown.end_point.clone() })
    }

    /// Reads the files again. Connections that are open keep what they have.
    ///
    /// # Errors
    /// When they cannot be read, do not belong together or the certificate has expired. Clients go
    /// on to be shown the old one.
    pub fn reload(&self) -> anyhow::Result<()> {
        let mut stamp = self.lock();
        self.renew(&mut stamp)
    }

    fn renew(&self, stamp: &mut Stamp) -> anyhow::Result<()> {
        // Taken before the files are read: what changes meanwhile is seen at the next look.
        *stamp = Stamp::of(&self.files);
        let shown = Shown::read(&self.files)?;
        let path = self.files.certificate.display();
        anyhow::ensure!(shown.not_after > now(), "the certificate `{path}` has expired");
        self.shown.store(Arc::new(shown));
        tracing::info!("clients are shown the certificate `{path}` as it is now");
        Ok(())
    }

    /// What clients are shown now. Now and then it looks at the files first: they are small and of
    /// this machine.
    fn current(&self) -> Arc<Shown> {
        let now = millis(self.begun.elapsed());
        let due = self.next_look.load(Ordering::Relaxed);
        if now >= due {
            let next = now + millis(LOOK_EVERY);
            let taken =
                self.next_look.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed);
            if taken.is_ok() {
                self.look();
            }
        }
        self.shown.load_full()
    }

    /// Reads the files again if they have changed. Files that are no good are told once.
    fn look(&self) {
        let mut stamp = self.lock();
        if Stamp::of(&self.files) == *stamp {
            return;
        }
        if let Err(error) = self.renew(&mut stamp) {
            tracing::warn!(
                error = format!("{error:#}"),
                "the new certificate is no good: clients are shown the old one"
            );
        }
    }

    fn lock(&self) -> MutexGuard<'_, Stamp> {
        // A stamp is whole also after a panic of whoever held it.
        self.stamp.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Secured {
    /// The connection.
    pub fn stream(&mut self) -> &mut TlsStream<Metered> {
        &mut self.stream
    }

    /// The host that the client meant to reach, when it said so.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        self.stream.get_ref().1.server_name()
    }

    /// Whether the client named PostgreSQL's protocol (ALPN).
    #[must_use]
    pub fn names_postgresql(&self) -> bool {
        self.stream.get_ref().1.alpn_protocol() == Some(ALPN)
    }

    /// The `tls-server-end-point` of the certificate that the client was shown, when its kind of
    /// signature defines one.
    #[must_use]
    pub fn end_point(&self) -> Option<&Arc<[u8]>> {
        self.end_point.as_ref()
    }
}

impl Shown {
    fn read(files: &TlsFiles) -> anyhow::Result<Self> {
        let chain = read_chain(&files.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&files.key)
            .with_context(|| format!("read the private key `{}`", files.key.display()))?;
        let first = chain.first().and_then(|der| X509Certificate::from_der(der).ok());
        let not_after = first.map_or(0, |(_, parsed)| parsed.validity().not_after.timestamp());
        let end_point = chain.first().and_then(|certificate| end_point(certificate));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("choose TLS versions")?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .with_context(|| format!("use the certificate `{}`", files.certificate.display()))?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        config.send_tls13_tickets = TICKETS;
        Ok(Self { config: Arc::new(config), end_point, not_after })
    }
}

/// What tells whether files have changed: time, size and number of each.
#[derive(PartialEq, Eq)]
struct Stamp([Option<(SystemTime, u64, u64)>; 2]);

impl Stamp {
    fn of(files: &TlsFiles) -> Self {
        Self([&files.certificate, &files.key].map(|path| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
        }))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Seconds since 1970, as certificates have them.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
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
