//! The addresses of a platform: taken, served, and asked whether they answer.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;

use crate::home::Home;
use crate::https::Secured;
use crate::limited::Limited;
use crate::settings::Settings;

/// How long a platform may take until everything answers.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether an address could be taken now.
pub(crate) fn is_free(address: SocketAddr) -> bool {
    std::net::TcpListener::bind(address).is_ok()
}

/// The address of the API and the dashboard.
pub(crate) async fn http(settings: &Settings, home: &Home) -> Result<TcpListener> {
    let last = home.addresses().map(|last| last.http);
    if let Some(last) = again(settings.listen, last)
        && let Ok(listener) = TcpListener::bind(last).await
    {
        return Ok(listener);
    }
    TcpListener::bind(settings.listen)
        .await
        .with_context(|| in_use("HTTP", "HOWDAH_LISTEN", settings.listen))
}

/// Port 0 means any: then the one of the last time, as URLs in use name it.
pub(crate) fn again(listen: SocketAddr, last: Option<SocketAddr>) -> Option<SocketAddr> {
    last.filter(|last| listen.port() == 0 && last.ip() == listen.ip())
}

pub(crate) fn in_use(what: &str, setting: &str, address: SocketAddr) -> String {
    format!(
        "listen on {address} for the {what}\n\
         Stop what listens there, or set {setting} to another address"
    )
}

/// Binds a unix socket for this user only, in place of what a platform that was killed has left.
pub(crate) fn private(path: &Path) -> Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt as _;
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("remove {}", path.display()));
        }
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(path).with_context(|| format!("bind {}", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers on an address until the platform stops.
pub(crate) async fn serve_tcp(
    listener: TcpListener,
    app: axum::Router,
    stop: CancellationToken,
) -> Result<()> {
    let app = app.into_make_service();
    let listener = Limited::new(listener);
    Ok(axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await?)
}

/// Answers on an address with TLS until the platform stops.
pub(crate) async fn serve_tls(
    listener: Secured,
    app: axum::Router,
    stop: CancellationToken,
) -> Result<()> {
    let app = app.into_make_service();
    Ok(axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await?)
}

/// Answers on a unix socket until the platform stops.
pub(crate) async fn serve_unix(
    listener: UnixListener,
    app: axum::Router,
    stop: CancellationToken,
) -> Result<()> {
    let app = app.into_make_service();
    Ok(axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await?)
}

/// Asks the API for its health until it is well, so that what is said to be up is up.
pub(crate) async fn until_it_answers(http: SocketAddr) -> Result<()> {
    let url = format!("http://{http}/health");
    let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).no_proxy().build()?;
    let healthy = async {
        while !client.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let late = || format!("{url} does not answer after {} s", PATIENCE.as_secs());
    tokio::time::timeout(PATIENCE, healthy).await.with_context(late)
}
