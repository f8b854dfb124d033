//! `howdah heroku-env`: the lines that point Heroku's official command line at this platform.

use std::net::SocketAddr;
use std::path::Path;

use howdah_model::secret::Secret;

/// The export lines. The values are exact: a host that Heroku's CLI does not accept makes it talk
/// to Heroku itself, with the user's key (spec/heroku-api.md 1.3). `ca` is what verifies the address
/// with TLS, which it downloads backups from.
pub(crate) fn lines(http: SocketAddr, ca: &Path, key: &Secret) -> String {
    // Heroku's CLI sends its key only to hosts that are exactly `localhost` or `127.0.0.1`.
    let port = http.port();
    let base = format!("http://127.0.0.1:{port}");
    let ca = quoted(&ca.to_string_lossy());
    let exports = [
        ("HEROKU_HOST", base.as_str()),
        ("HEROKU_DATA_HOST", "127.0.0.1"),
        ("HEROKU_PARTICLEBOARD_URL", base.as_str()),
        ("PGDIAGNOSE_URL", "127.0.0.1"),
        ("HEROKU_LOGIN_HOST", base.as_str()),
        ("HEROKU_API_KEY", key.reveal()),
        ("NODE_EXTRA_CA_CERTS", ca.as_str()),
        ("DISABLE_TELEMETRY", "true"),
        ("HEROKU_DISABLE_AUTOUPDATE", "1"),
        ("HEROKU_SKIP_NEW_VERSION_CHECK", "1"),
    ];
    let mut out = String::new();
    for (name, value) in exports {
        out.push_str(&format!("export {name}={value}\n"));
    }
    out.push_str(
        "unset HTTP_PROXY HTTPS_PROXY http_proxy https_proxy HEROKU_CLOUD HEROKU_HEADERS HEROKU_DATA_CONTROL_PLANE\n",
    );
    out
}

/// A text for a shell; as it is where that will do.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Whether the CLI can reach this address: it must answer on 127.0.0.1.
pub(crate) fn reachable(http: SocketAddr) -> bool {
    http.ip().is_unspecified() || http.ip() == std::net::Ipv4Addr::LOCALHOST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_are_for_a_shell_and_name_the_port() {
        let ca = Path::new("/var/lib/ho wdah/tls/ca.pem");
        let key = Secret::new("k-1".into());
        let text = lines(SocketAddr::from(([127, 0, 0, 1], 5081)), ca, &key);
        assert!(text.contains("export NODE_EXTRA_CA_CERTS='/var/lib/ho wdah/tls/ca.pem'\n"));
        assert!(text.contains("export HEROKU_HOST=http://127.0.0.1:5081\n"));
        assert!(text.contains("export HEROKU_DATA_HOST=127.0.0.1\n"));
        assert!(text.contains("export HEROKU_API_KEY=k-1\n"));
        assert!(text.lines().all(|line| line.starts_with("export ") || line.starts_with("unset ")));
    }
}
