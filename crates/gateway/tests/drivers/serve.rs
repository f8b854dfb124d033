//! Serves a database straight and others that are alike through gateways, for the test-suites of
//! drivers and for other trials by hand: `serve MAJOR [SQL]`. It prints what a client needs to
//! know, runs the SQL as superuser on both (`ROLE` in it is the credential's role) and serves until
//! its standard input ends.

#[path = "../gateway/cluster.rs"]
#[expect(dead_code, reason = "more of it is used by the tests of the gateway")]
mod cluster;
#[path = "../gateway/rig.rs"]
#[expect(dead_code, reason = "more of it is used by the tests of the gateway")]
mod rig;
mod servers;

use std::path::Path;

use anyhow::Context as _;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let major = arguments.next().context("usage: serve MAJOR [SQL]")?;
    let sql = arguments.next().unwrap_or_default();
    let bin = Path::new("/usr/lib/postgresql").join(major).join("bin");
    let mut ways = servers::Ways::start(&bin, &sql).await;
    let doors =
        [("STRAIGHT", ways.straight()), ("SESSION", ways.session()), ("POOLED", ways.pooled())];
    for (way, door) in doors {
        println!("{way}_PORT={} {way}_CA={}", door.port, door.ca.display());
        println!("{way}_USER={} {way}_DATABASE={}", door.tenant.role, door.tenant.database);
    }
    println!("PGPASSWORD=\"{}\"", ways.straight().tenant.password);
    println!("READY=1");
    tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()))
        .await??;
    ways.stop().await;
    Ok(())
}
