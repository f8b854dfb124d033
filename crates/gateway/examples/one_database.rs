//! A gateway for one credential of one PostgreSQL, without a platform: to measure it.
//!
//! `one_database DIRECTORY SOCKET_DIR ROLE DATABASE THREADS`, with the verifier of the role in
//! `VERIFIER`. Prints its address and serves until it is interrupted.

use std::path::PathBuf;

use anyhow::Context as _;
use howdah_gateway::routes::cache;
use howdah_gateway::{Capacity, Commits, Config, Gateway, Plaintext, Timeouts, tls};
use howdah_model::ids::DatabaseId;
use howdah_model::route::{Mode, Replication, Route, RouteTable, Stage, Target};
use tokio_util::sync::CancellationToken;

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve())
}

async fn serve() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dir, socket_dir, role, database, threads] = arguments.as_slice() else {
        anyhow::bail!("usage: one_database DIRECTORY SOCKET_DIR ROLE DATABASE THREADS");
    };
    let dir = PathBuf::from(dir);
    let verifier = std::env::var("VERIFIER").context("read VERIFIER from the environment")?;
    let route = Route {
        role: role.parse()?,
        database: database.parse()?,
        database_id: DatabaseId::new(),
        verifier: verifier.parse()?,
        connection_limit: 100_000,
        mode: Mode::default(),
        replication: Replication::default(),
        stage: Stage::default(),
        target: Target::Local { socket_dir: socket_dir.into() },
    };
    let kept = dir.join("routes.json");
    cache::store(&kept, &RouteTable { version: 1, routes: vec![route] })?;
    let gateway = Gateway::bind(Config {
        listen: ([127, 0, 0, 1], 0).into(),
        pool_listen: None,
        tls: tls::ensure(&dir.join("tls"), &[])?.gateway,
        plaintext: Plaintext::Loopback,
        routes: dir.join("nobody.sock"),
        cache: kept,
        threads: threads.parse()?,
        capacity: Capacity::default(),
        commits: Commits::default(),
        timeouts: Timeouts::default(),
    })
    .await?;
    println!("{}", gateway.local_addr());
    gateway.run(CancellationToken::new()).await
}
