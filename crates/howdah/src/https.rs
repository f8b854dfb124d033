//! The same API with TLS: for clients that speak nothing else, as Heroku's CLI does for downloads.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use axum::serve::Listener;
use howdah_gateway::config::TlsFiles;
use howdah_gateway::tls;
use howdah_web::Rendezvous;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::home::Home;
use crate::limited::Limited;
use crate::listening;
use crate::settings::Settings;
use crate::sorting::{Sorted, sort};

/// The port, beside the API's own 5080, unless another program has it.
pub(crate) const PORT: u16 = 5443;
/// How long a client may take to set TLS up.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Clients that set it up at one time; others wait in the kernel's queue.
const AT_ONCE: usize = 64;

/// A listener whose connections have TLS.
pub(crate) struct Secured {
    listener: Limited,
    files: TlsFiles,
    acceptor: TlsAcceptor,
    /// When the certificate that is shown was written.
    written: Option<SystemTime>,
    rendezvous: Rendezvous,
    handshakes: JoinSet<Option<(Sorted, SocketAddr)>>,
}

/// Takes the address that was set, or that of the last time, or one that is free.
pub(crate) async fn listen(
    settings: &Settings,
    home: &Home,
    http: SocketAddr,
) -> Result<TcpListener> {
    if let Some(wanted) = settings.tls_listen {
        let last = home.addresses().and_then(|last| last.tls);
        if let Some(last) = listening::again(wanted, last)
            && let Ok(listener) = TcpListener::bind(last).await
        {
            return Ok(listener);
        }
        return TcpListener::bind(wanted)
            .await
            .with_context(|| listening::in_use("API with TLS", "HOWDAH_TLS_LISTEN", wanted));
    }
    let last = home.addresses().and_then(|last| last.tls).map(|last| last.port());
    let usual = (settings.listen.port() != 0).then_some(PORT);
    for port in last.into_iter().chain(usual) {
        if let Ok(listener) = TcpListener::bind(SocketAddr::new(http.ip(), port)).await {
            return Ok(listener);
        }
    }
    let any = SocketAddr::new(http.ip(), 0);
    TcpListener::bind(any)
        .await
        .with_context(|| listening::in_use("API with TLS", "HOWDAH_TLS_LISTEN", any))
}

/// Where clients reach it: by the name that its certificate has.
pub(crate) fn origin(settings: &Settings, address: SocketAddr) -> String {
    let host = &settings.gateway_host;
    let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    format!("https://{host}:{}", address.port())
}

impl Secured {
    /// Makes connections of a listener secure, with the certificate of the home.
    pub(crate) fn new(
        listener: TcpListener,
        settings: &Settings,
        home: &Home,
        rendezvous: Rendezvous,
    ) -> Result<Self> {
        let names = [settings.gateway_host.clone()];
        let files = tls::ensure(&home.join("tls"), &names).context("make the certificate")?.gateway;
        Ok(Self {
            listener: Limited::new(listener),
            acceptor: acceptor(&files)?,
            written: written(&files),
            files,
            rendezvous,
            handshakes: JoinSet::new(),
        })
    }

    /// Shows the certificate that is there now. One that is no good is told once.
    fn renew(&mut self) {
        let now = written(&self.files);
        if now == self.written {
            return;
        }
        self.written = now;
        match acceptor(&self.files) {
            Ok(acceptor) => self.acceptor = acceptor,
            Err(error) => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "the new certificate is no good: the API shows the old one"
                );
            }
        }
    }
}

fn written(files: &TlsFiles) -> Option<SystemTime> {
    std::fs::metadata(&files.certificate).ok()?.modified().ok()
}

fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor> {
    let reading = || format!("read the certificate `{}`", files.certificate.display());
    let chain = CertificateDer::pem_file_iter(&files.certificate).with_context(reading)?;
    let chain = chain.collect::<Result<Vec<_>, _>>().with_context(reading)?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .with_context(|| format!("read the private key `{}`", files.key.display()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("choose TLS versions")?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .with_context(|| format!("use the certificate `{}`", files.certificate.display()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

impl Listener for Secured {
    type Io = Sorted;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let room = self.handshakes.len() < AT_ONCE;
            tokio::select! {
                Some(done) = self.handshakes.join_next() => {
                    if let Ok(Some(accepted)) = done {
                        return accepted;
                    }
                }
                (stream, from) = self.listener.accept(), if room => {
                    self.renew();
                    let shaking = self.acceptor.accept(stream);
                    let rendezvous = self.rendezvous.clone();
                    self.handshakes.spawn(async move {
                        // A client that breaks off, or takes too long, is nobody's news.
                        let stream = timeout(HANDSHAKE, shaking).await.ok()?.ok()?;
                        Some((sort(stream, &rendezvous).await?, from))
                    });
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    #[tokio::test]
    async fn e17_clients_that_stall_hold_up_nobody_and_the_root_verifies_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let files = tls::ensure(dir.path(), &[]).expect("a certificate");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("an address");
        let secured = Secured {
            listener: Limited::new(listener),
            acceptor: acceptor(&files.gateway).expect("a certificate"),
            written: written(&files.gateway),
            files: files.gateway,
            rendezvous: Rendezvous::default(),
            handshakes: JoinSet::new(),
        };
        let app = axum::Router::new().route("/", axum::routing::get(async || "well"));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(secured, app).await });
        let mut stalled = Vec::new();
        for _ in 0..10 {
            stalled.push(TcpStream::connect(address).await.expect("connect"));
        }
        let root = std::fs::read(&files.ca).expect("read the root");
        let root = reqwest::Certificate::from_pem(&root).expect("a root");
        let client = reqwest::Client::builder().tls_certs_only([root]).no_proxy().build();
        let asked = client.expect("a client").get(format!("https://{address}/")).send();
        let answer = timeout(Duration::from_secs(20), asked).await.expect("in time");
        let text = answer.expect("an answer").text().await.expect("text");
        assert_eq!(text, "well");
        let mut plain = TcpStream::connect(address).await.expect("connect");
        plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("write");
        let mut said = Vec::new();
        let _ = timeout(Duration::from_secs(20), plain.read_to_end(&mut said)).await;
        assert!(!said.starts_with(b"HTTP"), "nothing is told without TLS");
    }
}
