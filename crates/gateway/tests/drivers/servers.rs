//! Servers that are alike: one that programs reach straight, and others behind gateways.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use howdah_gateway::tls;
use howdah_model::route::Route;
use nix::unistd::{User, chown};

use crate::cluster::{Cluster, own};
use crate::rig::{Rig, Tenant};

/// Who may come to a server over TCP, as to the gateway: with SCRAM, with TLS or without.
const HBA: &str = "local all postgres trust\nlocal all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n";

/// PostgreSQL's own work is kept away from what is compared.
const SETTINGS: &[&str] = &[
    "listen_addresses=127.0.0.1",
    "ssl=on",
    "autovacuum=off",
    "max_prepared_transactions=10",
    "lc_messages=C",
    "timezone=UTC",
];

/// Where a program connects.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) port: u16,
    /// The authority of its certificate.
    pub(crate) ca: PathBuf,
    pub(crate) tenant: Tenant,
}

/// A server that listens on TCP as well, with certificates of the platform's kind.
pub(crate) struct Server {
    pub(crate) cluster: Cluster,
    port: u16,
    tls: tempfile::TempDir,
}

impl Server {
    pub(crate) async fn start(bin: &Path) -> Self {
        let tls = certificates();
        for _ in 0..20 {
            let port = free_port();
            let mut settings: Vec<String> = SETTINGS.iter().copied().map(Into::into).collect();
            settings.push(format!("port={port}"));
            for (name, file) in [
                ("hba_file", "hba.conf"),
                ("ssl_cert_file", "gateway.pem"),
                ("ssl_key_file", "gateway.key"),
            ] {
                settings.push(format!("{name}={}", tls.path().join(file).display()));
            }
            // Another process can have taken the port meanwhile.
            let Some(cluster) = Cluster::start_set(bin, &settings).await else { continue };
            let socket = |port| cluster.socket_dir().join(format!(".s.PGSQL.{port}"));
            symlink(socket(port), socket(5432)).expect("symlink");
            return Self { cluster, port, tls };
        }
        panic!("no port is free")
    }
}

/// The platform's certificates in a directory that PostgreSQL reads.
fn certificates() -> tempfile::TempDir {
    let dir = tempfile::Builder::new().prefix("howdah-tls-").tempdir().expect("directory");
    tls::ensure(dir.path(), &[]).expect("certificates");
    fs::write(dir.path().join("hba.conf"), HBA).expect("hba.conf");
    let root = nix::unistd::Uid::effective().is_root();
    let owner = root.then(|| User::from_name("postgres").expect("users").expect("postgres"));
    for file in fs::read_dir(dir.path()).expect("directory") {
        let path = file.expect("file").path();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("permissions");
        if let Some(user) = &owner {
            chown(&path, Some(user.uid), Some(user.gid)).expect("owner");
        }
    }
    own(dir.path());
    dir
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("address").port()
}

/// What is the same on all servers: the password and what is made before a program runs.
const PASSWORD: &str = "pass word";

/// The rounds that PostgreSQL makes; JDBC accepts no fewer.
const ROUNDS: u32 = 4096;

/// The ways to a database: straight to its server, and through a gateway to others that are alike.
pub(crate) struct Ways {
    straight: Server,
    /// With a server for each session.
    session: Gatewayed,
    /// With a server for each transaction.
    pooled: Gatewayed,
    tenant: Tenant,
}

/// A server behind a gateway.
struct Gatewayed {
    rig: Rig,
    /// Kept for its files.
    _tls: tempfile::TempDir,
}

impl Gatewayed {
    async fn start(bin: &Path) -> Self {
        let Server { cluster, tls, .. } = Server::start(bin).await;
        let pool_listen = Some(([127, 0, 0, 1], 0).into());
        let rig = Rig::with(cluster, |config| config.pool_listen = pool_listen).await;
        Self { rig, _tls: tls }
    }

    fn door(&self, port: u16, tenant: &Tenant) -> Door {
        let ca = self.rig.dir.path().join("tls/ca.pem");
        Door { port, ca, tenant: tenant.clone() }
    }
}

impl Ways {
    /// Starts everything; `prepare` is run by the superuser on all servers.
    pub(crate) async fn start(bin: &Path, prepare: &str) -> Self {
        let (straight, session, pooled) =
            tokio::join!(Server::start(bin), Gatewayed::start(bin), Gatewayed::start(bin));
        let (tenant, route) = session.rig.make_with("app", PASSWORD.into(), ROUNDS).await;
        let Tenant { role, database, .. } = &tenant;
        for cluster in [&straight.cluster, &pooled.rig.cluster] {
            let verifier = &route.verifier;
            cluster.sql(&format!("create role {role} login password '{verifier}'")).await;
            cluster.sql(&format!("create database {database} owner {role}")).await;
        }
        if !prepare.is_empty() {
            for cluster in [&straight.cluster, &session.rig.cluster, &pooled.rig.cluster] {
                cluster.sql(&prepare.replace("ROLE", role)).await;
            }
        }
        for Gatewayed { rig, .. } in [&session, &pooled] {
            let route = Route { target: rig.target(), ..route.clone() };
            rig.platform.change(|routes| routes.push(route));
        }
        Self { straight, session, pooled, tenant }
    }

    /// To PostgreSQL itself.
    pub(crate) fn straight(&self) -> Door {
        let ca = self.straight.tls.path().join("ca.pem");
        Door { port: self.straight.port, ca, tenant: self.tenant.clone() }
    }

    /// To the gateway's usual port.
    pub(crate) fn session(&self) -> Door {
        self.session.door(self.session.rig.address.port(), &self.tenant)
    }

    /// To the gateway's pooling port.
    pub(crate) fn pooled(&self) -> Door {
        let address = self.pooled.rig.gateway.pool_addr().expect("it pools");
        self.pooled.door(address.port(), &self.tenant)
    }

    /// Stops the gateways.
    pub(crate) async fn stop(&mut self) {
        self.session.rig.stop().await;
        self.pooled.rig.stop().await;
    }
}
