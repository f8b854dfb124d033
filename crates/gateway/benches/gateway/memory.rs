//! What a session costs that does nothing: resident memory of the proxy, which each client has used
//! for one query before.

use howdah_model::route::Mode;

use crate::bed::Bed;
use crate::clients::Clients;
use crate::process::{Used, resident};
use crate::proxies::{Leg, Proxy, Tls, Who};
use crate::report::{head, line, number};

/// As many as PostgreSQL takes with room to spare: each has a server of its own.
const BY_SESSION: usize = 500;
/// Each has a server only while it asks.
const BY_TRANSACTION: usize = 10_000;
/// The limit of a database that may have so many.
const LIMIT: u32 = 400;

pub(crate) async fn measure(bed: &Bed) -> anyhow::Result<()> {
    println!("\n### Idle sessions\n");
    for tls in [Tls::Without, Tls::With] {
        for (mode, count) in [(Mode::Session, BY_SESSION), (Mode::Transaction, BY_TRANSACTION)] {
            let everybody =
                [Who::PgBouncer { mode, leg: Leg::Unix }, Who::Ours { mode, threads: 1 }];
            let proxies = Who::start_all(bed, &everybody, tls).await;
            let with = if tls == Tls::With { "with TLS" } else { "without TLS" };
            let title = format!("{count} sessions {with}");
            head(&[&title, "held", "kB at first", "kB with them", "kB each", "idle, % of a core"]);
            for proxy in &proxies {
                match hold(bed, proxy, tls, count).await {
                    Ok(cells) => line(&cells),
                    Err(error) => println!("| {} | {error:#} | | | | |", proxy.who.name()),
                }
            }
            println!();
        }
    }
    Ok(())
}

async fn hold(bed: &Bed, proxy: &Proxy, tls: Tls, count: usize) -> anyhow::Result<[String; 6]> {
    if let Some(platform) = &proxy.platform {
        // A route has so many clients of the pooling port for each server that it may have.
        platform.change(|route| route.connection_limit = route.connection_limit.max(LIMIT));
    }
    let pid = proxy.pid.unwrap_or_default();
    let clients = Clients::new(bed, tls)?;
    // What is made once is made.
    let mut first = clients.open(proxy.port).await?;
    first.ask("select 1").await?;
    let before = resident(pid);
    let mut held = Vec::with_capacity(count);
    let mut refused = None;
    while held.len() < count && refused.is_none() {
        match clients.open(proxy.port).await {
            Ok(mut client) => {
                client.ask("select 1").await?;
                held.push(client);
            }
            Err(error) => refused = Some(error),
        }
    }
    if let Some(error) = refused {
        eprintln!("{}: after {} sessions: {error:#}", proxy.who.name(), held.len());
    }
    let after = resident(pid);
    let used = Used::by(pid);
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let idle = Used::by(pid).since(&used).cpu.as_secs_f64() / 2.0;
    for client in &mut held {
        client.ask("select 1").await?;
    }
    let each = after.saturating_sub(before) as f64 / held.len().max(1) as f64;
    Ok([
        proxy.who.name(),
        held.len().to_string(),
        number(before as f64 / 1000.0, 0),
        number(after as f64 / 1000.0, 0),
        number(each / 1000.0, 2),
        number(100.0 * idle, 2),
    ])
}
