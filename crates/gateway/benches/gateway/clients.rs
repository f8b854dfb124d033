//! Clients of our own, with and without TLS.

use std::sync::Arc;

use anyhow::Context as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::bed::{Bed, NAME};
use crate::proxies::Tls;

/// How clients connect.
#[derive(Clone)]
pub(crate) struct Clients {
    tls: Option<TlsConnector>,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A session that is open.
pub(crate) struct Client {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
}

impl Clients {
    pub(crate) fn new(bed: &Bed, tls: Tls) -> anyhow::Result<Self> {
        if tls == Tls::Without {
            return Ok(Self { tls: None });
        }
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&bed.authority).context("read the authority")?)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        // Each is a new client.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Self { tls: Some(TlsConnector::from(Arc::new(config))) })
    }

    /// Logs in to the bench's database.
    pub(crate) async fn open(&self, port: u16) -> anyhow::Result<Client> {
        self.open_to(port, NAME).await
    }

    /// Logs in to another database.
    pub(crate) async fn open_to(&self, port: u16, database: &str) -> anyhow::Result<Client> {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).await?;
        socket.set_nodelay(true)?;
        let stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(socket),
            Some(connector) => {
                socket.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).await?;
                anyhow::ensure!(socket.read_u8().await? == b'S', "it does not speak TLS");
                let name = ServerName::try_from("localhost")?;
                Box::new(connector.connect(name, socket).await?)
            }
        };
        let mut client = Client { stream, buffer: vec![0; 1024] };
        client.log_in(database).await?;
        Ok(client)
    }
}

impl Client {
    async fn log_in(&mut self, database: &str) -> anyhow::Result<()> {
        let mut startup = vec![0, 0, 0, 0, 0, 3, 0, 0];
        for text in ["user", NAME, "database", database] {
            startup.extend_from_slice(text.as_bytes());
            startup.push(0);
        }
        startup.push(0);
        let length = u32::try_from(startup.len())?;
        startup[..4].copy_from_slice(&length.to_be_bytes());
        self.stream.write_all(&startup).await?;
        let binding = postgres_protocol::authentication::sasl::ChannelBinding::unsupported();
        let mut scram =
            postgres_protocol::authentication::sasl::ScramSha256::new(NAME.as_bytes(), binding);
        loop {
            let (tag, body) = self.next().await?;
            match (tag, body.get(3)) {
                (b'R', Some(10)) => {
                    let mut first = b"SCRAM-SHA-256\0".to_vec();
                    first.extend_from_slice(&u32::try_from(scram.message().len())?.to_be_bytes());
                    first.extend_from_slice(scram.message());
                    self.send(b'p', &first).await?;
                }
                (b'R', Some(11)) => {
                    scram.update(&body[4..])?;
                    let proof = scram.message().to_vec();
                    self.send(b'p', &proof).await?;
                }
                (b'R', Some(12)) => scram.finish(&body[4..])?,
                (b'Z', _) => return Ok(()),
                (b'E', _) => anyhow::bail!("refused: {}", String::from_utf8_lossy(&body)),
                _ => {}
            }
        }
    }

    /// A query, to its end.
    pub(crate) async fn ask(&mut self, sql: &str) -> anyhow::Result<()> {
        self.send(b'Q', format!("{sql}\0").as_bytes()).await?;
        loop {
            match self.next().await? {
                (b'Z', _) => return Ok(()),
                (b'E', body) => anyhow::bail!("{}", String::from_utf8_lossy(&body)),
                _ => {}
            }
        }
    }

    /// Leaves, and waits until the other side has closed.
    pub(crate) async fn leave(mut self) -> anyhow::Result<()> {
        self.send(b'X', &[]).await?;
        // How it closes is its own affair.
        let _ = self.stream.read(&mut self.buffer).await;
        Ok(())
    }

    async fn send(&mut self, tag: u8, body: &[u8]) -> anyhow::Result<()> {
        let mut message = vec![tag];
        message.extend_from_slice(&u32::try_from(body.len() + 4)?.to_be_bytes());
        message.extend_from_slice(body);
        self.stream.write_all(&message).await?;
        Ok(self.stream.flush().await?)
    }

    async fn next(&mut self) -> anyhow::Result<(u8, Vec<u8>)> {
        let tag = self.stream.read_u8().await?;
        let length = self.stream.read_u32().await?;
        let mut body = vec![0; length.saturating_sub(4) as usize];
        self.stream.read_exact(&mut body).await?;
        Ok((tag, body))
    }
}
