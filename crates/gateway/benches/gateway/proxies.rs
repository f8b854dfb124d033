//! Who is measured, and how each is started: with its defaults but for what is written here.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use howdah_model::route::Mode;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::sleep;

use crate::bed::{Bed, NAME, free_port};
use crate::platform::Platform;

/// Servers that a pool by transaction may have, for everybody.
pub(crate) const POOL: u32 = 32;
/// Sessions that are held at most.
const CLIENTS: u32 = 12_000;

/// Who.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// Nobody between client and server.
    Direct(Leg),
    /// `forwarder.rs`.
    Forwarder,
    /// The gateway with so many threads.
    Ours {
        mode: Mode,
        threads: usize,
    },
    /// Debian's.
    PgBouncer {
        mode: Mode,
        leg: Leg,
    },
    /// Debian's, forwarding bytes.
    Haproxy,
    PgCat {
        mode: Mode,
    },
    PgDog {
        mode: Mode,
    },
    Odyssey {
        mode: Mode,
    },
}

/// How a server is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leg {
    Unix,
    Tcp,
}

/// Somebody who runs.
pub(crate) struct Proxy {
    pub(crate) who: Who,
    /// Where clients connect: an address, or the directory of a socket.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The process that does the work, if there is one.
    pub(crate) pid: Option<u32>,
    /// The platform of the gateway.
    pub(crate) platform: Option<Platform>,
    _process: Option<Child>,
}

impl Who {
    pub(crate) fn name(self) -> String {
        let by = |mode| match mode {
            Mode::Session => "session",
            Mode::Transaction => "transaction",
        };
        match self {
            Self::Direct(Leg::Unix) => "direct, unix socket".to_owned(),
            Self::Direct(Leg::Tcp) => "direct, TCP".to_owned(),
            Self::Forwarder => "epoll forwarder".to_owned(),
            Self::Ours { mode, threads: 1 } => format!("**ours**, {}", by(mode)),
            Self::Ours { mode, threads } => format!("**ours**, {}, {threads} threads", by(mode)),
            Self::PgBouncer { mode, leg: Leg::Unix } => format!("PgBouncer, {}", by(mode)),
            Self::PgBouncer { mode, leg: Leg::Tcp } => {
                format!("PgBouncer, {}, TCP to the server", by(mode))
            }
            Self::Haproxy => "HAProxy".to_owned(),
            Self::PgCat { mode } => format!("PgCat, {}", by(mode)),
            Self::PgDog { mode } => format!("PgDog, {}", by(mode)),
            Self::Odyssey { mode } => format!("Odyssey, {}", by(mode)),
        }
    }

    /// Why it takes no part in what is measured with named prepared statements.
    pub(crate) fn lacks_prepared(self) -> bool {
        matches!(self, Self::PgBouncer { mode: Mode::Transaction, .. })
    }

    /// Those of the given that can be started here; says which cannot.
    pub(crate) async fn start_all(bed: &Bed, wanted: &[Self], tls: Tls) -> Vec<Proxy> {
        let mut proxies = Vec::new();
        for who in wanted {
            match who.start(bed, tls).await {
                Ok(proxy) => proxies.push(proxy),
                Err(error) => println!("_left out: {} ({error:#})_", who.name()),
            }
        }
        println!();
        proxies
    }

    async fn start(self, bed: &Bed, tls: Tls) -> anyhow::Result<Proxy> {
        let host = "127.0.0.1".to_owned();
        let nobody =
            Proxy { who: self, host, port: bed.port, pid: None, platform: None, _process: None };
        let port = free_port()?;
        let (mut command, platform) = match self {
            Self::Direct(Leg::Tcp) => return Ok(nobody),
            Self::Direct(Leg::Unix) => {
                let host = bed.server.socket_dir().display().to_string();
                return Ok(Proxy { host, ..nobody });
            }
            Self::Forwarder => {
                let mut command = Command::new(std::env::current_exe()?);
                let socket = bed.server.socket_dir().join(".s.PGSQL.5432");
                command.args(["forward", &port.to_string()]).arg(socket);
                (command, None)
            }
            Self::Ours { mode, threads } => {
                let (command, platform) = ours(bed, mode, port, threads)?;
                (command, Some(platform))
            }
            Self::PgBouncer { mode, leg } => (pgbouncer(bed, mode, leg, port, tls)?, None),
            Self::Haproxy => (haproxy(bed, port)?, None),
            Self::PgCat { .. } | Self::PgDog { .. } | Self::Odyssey { .. } => {
                bail!("its program is not on PATH")
            }
        };
        let mut process = command.kill_on_drop(true).stdin(Stdio::null()).spawn()?;
        until_open(port, &mut process).await?;
        let pid = process.id();
        Ok(Proxy { port, pid, platform, _process: Some(process), ..nobody })
    }
}

/// Whether clients come with TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tls {
    Without,
    With,
}

async fn until_open(port: u16, process: &mut Child) -> anyhow::Result<()> {
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        if let Some(status) = process.try_wait()? {
            bail!("it ended: {status}");
        }
        if begun.elapsed() > Duration::from_secs(10) {
            bail!("it does not listen where clients would connect");
        }
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

fn ours(bed: &Bed, mode: Mode, port: u16, threads: usize) -> anyhow::Result<(Command, Platform)> {
    let dir = bed.directory(&format!("ours-{port}"))?;
    let copy = dir.join("tls");
    let _ = std::fs::create_dir(&copy);
    for file in std::fs::read_dir(bed.authority.parent().context("a directory")?)? {
        let file = file?;
        std::fs::copy(file.path(), copy.join(file.file_name()))?;
    }
    let servers = match mode {
        Mode::Session => CLIENTS,
        // Three quarters of the limit are for the pool.
        Mode::Transaction => (POOL * 4).div_ceil(3),
    };
    let platform = Platform::serve(bed, &dir.join("control.sock"), servers)?;
    let other = free_port()?;
    let (usual, pooling) = match mode {
        Mode::Session => (port, other),
        Mode::Transaction => (other, port),
    };
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("serve").arg(dir).args([usual.to_string(), pooling.to_string()]);
    command.arg(threads.to_string());
    Ok((command, platform))
}

fn pgbouncer(bed: &Bed, mode: Mode, leg: Leg, port: u16, tls: Tls) -> anyhow::Result<Command> {
    let dir = bed.directory(&format!("pgbouncer-{port}"))?;
    let (pool_mode, pool) = match mode {
        Mode::Session => ("session", 600),
        Mode::Transaction => ("transaction", POOL),
    };
    let server = match leg {
        Leg::Unix => format!("host={} port=5432", bed.server.socket_dir().display()),
        Leg::Tcp => format!("host=127.0.0.1 port={}", bed.port),
    };
    let users = dir.join("users");
    std::fs::write(&users, format!("\"{NAME}\" \"{}\"\n", bed.verifier))?;
    let mut ini = format!(
        "[databases]\n{NAME} = {server} dbname={NAME}\n\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
        listen_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\n\
        admin_users = {NAME}\npool_mode = {pool_mode}\nmax_client_conn = {CLIENTS}\n\
        default_pool_size = {pool}\nlog_connections = 0\nlog_disconnections = 0\nlog_stats = 0\n",
        users.display()
    );
    if tls == Tls::With {
        let key = dir.join("key.pem");
        std::fs::copy(&bed.certificate.key, &key)?;
        readable(&key)?;
        let certificate = dir.join("certificate.pem");
        std::fs::copy(&bed.certificate.certificate, &certificate)?;
        readable(&certificate)?;
        write!(
            ini,
            "client_tls_sslmode = require\nclient_tls_key_file = {}\nclient_tls_cert_file = {}\n",
            key.display(),
            certificate.display()
        )?;
    }
    let file = dir.join("pgbouncer.ini");
    std::fs::write(&file, ini)?;
    let mut command = Command::new(program("pgbouncer")?);
    command.arg("--quiet");
    if rustix::process::geteuid().is_root() {
        command.args(["--user", "postgres"]);
    }
    command.arg(file).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command)
}

fn haproxy(bed: &Bed, port: u16) -> anyhow::Result<Command> {
    let dir = bed.directory(&format!("haproxy-{port}"))?;
    let config = format!(
        "global\n    nbthread 1\n    maxconn 4000\ndefaults\n    mode tcp\n    \
        timeout connect 5s\n    timeout client 1h\n    timeout server 1h\nlisten postgresql\n    \
        bind 127.0.0.1:{port}\n    server one unix@{}/.s.PGSQL.5432\n",
        bed.server.socket_dir().display()
    );
    let file = dir.join("haproxy.cfg");
    std::fs::write(&file, config)?;
    let mut command = Command::new(program("haproxy")?);
    command.arg("-db").arg("-f").arg(file).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command)
}

fn readable(file: &std::path::Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o644))?)
}

/// A program by its name.
fn program(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/usr/local/bin"].map(PathBuf::from);
    let mut dirs = std::env::split_paths(&path).chain(usual);
    let found = dirs.find_map(|dir| Some(dir.join(name)).filter(|file| file.is_file()));
    found.with_context(|| format!("there is no `{name}` on PATH"))
}
