//! The gateway as a process of its own.

use std::path::Path;

use howdah_gateway::{Capacity, Commits, Config, Gateway, Plaintext, Timeouts, tls};
use tokio_util::sync::CancellationToken;

/// Serves what the platform at `dir`/control.sock says, until it is ended.
pub(crate) async fn serve(dir: &Path, ports: (u16, u16), threads: usize) -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter("error")
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    let gateway = Gateway::bind(config(dir, ports, threads)?).await?;
    gateway.run(CancellationToken::new()).await
}

/// A gateway of which the platform is at `dir`/control.sock, with its usual port and the pooling one.
pub(crate) fn config(dir: &Path, ports: (u16, u16), threads: usize) -> anyhow::Result<Config> {
    Ok(Config {
        listen: ([127, 0, 0, 1], ports.0).into(),
        pool_listen: Some(([127, 0, 0, 1], ports.1).into()),
        tls: tls::ensure(&dir.join("tls"), &[])?.gateway,
        plaintext: Plaintext::Loopback,
        routes: dir.join("control.sock"),
        cache: dir.join("routes.json"),
        threads,
        capacity: Capacity::default(),
        commits: Commits::default(),
        timeouts: Timeouts::default(),
    })
}
