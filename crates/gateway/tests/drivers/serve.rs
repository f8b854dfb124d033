//! Serves one database straight and another, alike, through a gateway, for the test-suites of
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
    let mut both = servers::Both::start(&bin, &sql).await;
    for (way, door) in [("STRAIGHT", both.straight()), ("SESSION", both.session())] {
        println!("{way}_PORT={} {way}_CA={}", door.port, door.ca.display());
        println!("{way}_USER={} {way}_DATABASE={}", door.tenant.role, door.tenant.database);
    }
    println!("PGPASSWORD=\"{}\"", both.straight().tenant.password);
    println!("READY=1");
    tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()))
        .await??;
    both.rig.stop().await;
    Ok(())
}
