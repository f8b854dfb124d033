//! What everybody is measured on: a PostgreSQL, a role with a database of `pgbench`, a certificate.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use howdah_gateway::{TlsFiles, tls};
use howdah_model::scram::Verifier;
use howdah_testkit::servers::{Server, programs};
use tokio::process::Command;

/// The role, its password, and its database.
pub(crate) const NAME: &str = "bench";
/// The major of the server and of `pgbench`.
pub(crate) const MAJOR: u16 = 15;
/// `pgbench`'s scale: 100,000 accounts each.
const SCALE: &str = "20";
/// Rounds of the password's hash. The client pays for them, so they are few: a client that hashes
/// for milliseconds would hide what is between it and the server.
const ITERATIONS: u32 = 64;

/// See above.
pub(crate) struct Bed {
    /// PostgreSQL, by its socket and by TCP.
    pub(crate) server: Server,
    /// Its port on 127.0.0.1.
    pub(crate) port: u16,
    /// What PostgreSQL, the gateway and PgBouncer know of the password.
    pub(crate) verifier: Verifier,
    /// The certificate that everybody who speaks TLS shows.
    pub(crate) certificate: TlsFiles,
    /// The authority that signed it.
    pub(crate) authority: PathBuf,
    dir: tempfile::TempDir,
}

impl Bed {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("howdah-bench-").tempdir()?;
        let port = free_port()?;
        let address = format!("port={port}");
        let server = Server::start(
            MAJOR,
            &[
                // The number of the unix socket is always 5432 where the gateway looks for it.
                "listen_addresses=127.0.0.1",
                &address,
                "shared_buffers=1GB",
                "max_connections=1500",
                "max_wal_size=4GB",
                "autovacuum=off",
            ],
        )
        .await;
        // Named after the other port, PostgreSQL's socket is found under the usual name as well.
        let socket = server.socket_dir().join(format!(".s.PGSQL.{port}"));
        std::os::unix::fs::symlink(socket, server.socket_dir().join(".s.PGSQL.5432"))?;
        let verifier = verifier(NAME);
        server.sql(&format!("create role {NAME} login password '{verifier}'")).await;
        server.sql(&format!("create database {NAME} owner {NAME}")).await;
        let certificates = tls::ensure(&dir.path().join("tls"), &[])?;
        open_way(dir.path())?;
        let authority = certificates.gateway.certificate.with_file_name("ca.pem");
        let certificate = certificates.gateway;
        let bed = Self { server, port, verifier, certificate, authority, dir };
        bed.fill(&bed.server).await?;
        Ok(bed)
    }

    /// Makes the tables of `pgbench`.
    pub(crate) async fn fill(&self, server: &Server) -> anyhow::Result<()> {
        let target = self.conninfo(&server.socket_dir().display().to_string(), 5432);
        let filled = self
            .program("pgbench")
            .args(["--initialize", "--quiet", "--scale", SCALE, &target])
            .stdin(Stdio::null())
            .output()
            .await?;
        ensure!(filled.status.success(), "{}", String::from_utf8_lossy(&filled.stderr));
        server.sql_in(NAME, "vacuum analyze").await;
        server.sql("checkpoint").await;
        Ok(())
    }

    /// A directory for somebody, which PostgreSQL's user can enter.
    pub(crate) fn directory(&self, name: &str) -> anyhow::Result<PathBuf> {
        let dir = self.dir.path().join(name);
        std::fs::create_dir_all(&dir)?;
        open_way(&dir)?;
        Ok(dir)
    }

    /// One of PostgreSQL's programs, with the password in its environment.
    pub(crate) fn program(&self, name: &str) -> Command {
        let mut command = Command::new(programs(MAJOR).join(name));
        command.env_clear().env("LC_ALL", "C.UTF-8").env("PGPASSWORD", NAME).kill_on_drop(true);
        command
    }

    /// How libpq's programs reach a host or the directory of a socket.
    pub(crate) fn conninfo(&self, host: &str, port: u16) -> String {
        format!("host={host} port={port} user={NAME} dbname={NAME} sslmode=disable")
    }

    /// What the figures were taken on.
    pub(crate) async fn description(&self) -> String {
        let version = self.server.sql("show server_version").await;
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().unwrap_or("?").to_owned();
        let control = "/proc/sys/net/ipv4/tcp_congestion_control";
        let control = std::fs::read_to_string(control).unwrap_or_default();
        format!(
            "PostgreSQL {version}, fsync off, pgbench scale {SCALE}, SCRAM of {ITERATIONS} rounds, \
            TCP congestion control {}, load before {load}",
            control.trim()
        )
    }
}

/// A port of 127.0.0.1 that nobody listens on.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn open_way(dir: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let everybody = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(dir, everybody).with_context(|| format!("open {}", dir.display()))
}

fn verifier(password: &str) -> Verifier {
    let (salt, mut salted) = ([7; 16], [0; 32]);
    let rounds = NonZeroU32::new(ITERATIONS).unwrap_or(NonZeroU32::MIN);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, password.as_bytes(), &mut salted);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &salted);
    let client = hmac::sign(&key, b"Client Key");
    let stored = digest::digest(&digest::SHA256, client.as_ref());
    Verifier {
        iterations: ITERATIONS,
        salt: STANDARD.encode(salt),
        stored_key: STANDARD.encode(stored),
        server_key: STANDARD.encode(hmac::sign(&key, b"Server Key")),
    }
}
