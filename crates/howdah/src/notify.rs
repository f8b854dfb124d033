//! Telling systemd (`Type=notify`) that this process serves now, and is the main one.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Says so, if there is anybody to tell.
pub(crate) fn ready() {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let tell = || -> std::io::Result<()> {
        let address = match path.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(&path)?,
        };
        let words = format!("READY=1\nMAINPID={}\n", std::process::id());
        UnixDatagram::unbound()?.send_to_addr(words.as_bytes(), &address).map(drop)
    };
    if let Err(error) = tell() {
        tracing::warn!(error = %error, "NOTIFY_SOCKET cannot be told that the gateway is up");
    }
}
