//! New connections: TLS, SCRAM, one query, and good-bye.

use std::time::{Duration, Instant};

use howdah_model::route::Mode;
use tokio::task::JoinSet;

use crate::Effort;
use crate::bed::Bed;
use crate::clients::Clients;
use crate::process::{self, Used};
use crate::proxies::{Leg, Proxy, Tls, Who};
use crate::report::{Rounds, head, line, millis, number, turns};
use crate::throughput::rival;

const CLIENTS: usize = 8;

#[derive(Clone, Copy)]
struct Made {
    per_second: f64,
    proxy: Duration,
    server: Duration,
}

pub(crate) async fn measure(bed: &Bed, effort: Effort) -> anyhow::Result<()> {
    println!("\n### New connections\n\n{CLIENTS} clients that log in, ask once and leave.\n");
    let mut everybody = Vec::new();
    for mode in [Mode::Session, Mode::Transaction] {
        everybody.push(Who::PgBouncer { mode, leg: Leg::Unix });
        everybody.push(Who::Ours { mode, threads: 1 });
    }
    for (tls, title) in [(Tls::With, "TLS and SCRAM"), (Tls::Without, "SCRAM, without TLS")] {
        let proxies = Who::start_all(bed, &everybody, tls).await;
        let clients = Clients::new(bed, tls)?;
        let mut rounds = Rounds::new(proxies.len());
        for round in 0..effort.rounds {
            for turn in turns(proxies.len(), round) {
                let made = connect(bed, &proxies[turn], &clients, effort.span).await;
                rounds.add(turn, made.inspect_err(|error| eprintln!("{error:#}")).ok());
            }
        }
        head(&[
            title,
            "per second",
            "× PgBouncer",
            "proxy ms each",
            "× PgBouncer",
            "server ms each",
        ]);
        for (number_of, proxy) in proxies.iter().enumerate() {
            let rival = rival(&proxies, proxy.who);
            line(&[
                proxy.who.name(),
                number(rounds.median(number_of, |made: &Made| made.per_second), 0),
                number(rounds.ratio(number_of, rival, |made| made.per_second), 2),
                number(rounds.median(number_of, |made| millis(made.proxy)), 3),
                number(rounds.ratio(number_of, rival, |made| millis(made.proxy)), 2),
                number(rounds.median(number_of, |made| millis(made.server)), 3),
            ]);
        }
        println!();
    }
    Ok(())
}

async fn connect(
    bed: &Bed,
    proxy: &Proxy,
    clients: &Clients,
    span: Duration,
) -> anyhow::Result<Made> {
    // Whoever keeps servers has them before it counts.
    come_and_go(proxy.port, clients, Instant::now() + Duration::from_millis(300)).await?;
    let look = || {
        let server = bed.server.pid().map(process::family).unwrap_or_default();
        (proxy.pid.map(Used::by).unwrap_or_default(), server, Instant::now())
    };
    let before = look();
    let count = come_and_go(proxy.port, clients, before.2 + span).await? as f64;
    let after = look();
    Ok(Made {
        per_second: count / (after.2 - before.2).as_secs_f64(),
        proxy: after.0.since(&before.0).cpu.div_f64(count),
        server: after.1.saturating_sub(before.1).div_f64(count),
    })
}

async fn come_and_go(port: u16, clients: &Clients, until: Instant) -> anyhow::Result<usize> {
    let mut tasks = JoinSet::new();
    for _ in 0..CLIENTS {
        let clients = clients.clone();
        tasks.spawn(async move {
            let mut count = 0;
            while Instant::now() < until {
                let mut client = clients.open(port).await?;
                client.ask("select 1").await?;
                client.leave().await?;
                count += 1;
            }
            anyhow::Ok(count)
        });
    }
    let mut count = 0;
    while let Some(done) = tasks.join_next().await {
        count += done??;
    }
    Ok(count)
}
