//! What clients notice when their server is restarted: unannounced, and announced to whoever can be
//! told. Each client has set two parameters and prepared a statement.

use std::time::{Duration, Instant};

use howdah_model::route::{Mode, Stage};
use howdah_testkit::servers::Shutdown;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_postgres::{NoTls, SimpleQueryMessage};
use tokio_util::sync::CancellationToken;

use crate::bed::{Bed, NAME};
use crate::clients::Clients;
use crate::proxies::{Leg, Proxy, Tls, Who};
use crate::report::{head, line, millis, number};

const CLIENTS: usize = 8;
/// Between two statements of one client.
const PACE: Duration = Duration::from_millis(5);
/// Before the restart and after it.
const AROUND: Duration = Duration::from_millis(1500);
/// For a proxy to bring its clients to rest.
const REST: Duration = Duration::from_secs(3);
/// Milliseconds that a hold gives to what runs.
const GRACE: u64 = 2000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Restart {
    Unannounced,
    Announced,
}

/// What clients saw.
#[derive(Clone, Copy, Default)]
struct Seen {
    disconnected: usize,
    errors: usize,
    longest: Duration,
    /// Right answers, and all, for `work_mem`, the time zone, and the prepared statement.
    kept: [(usize, usize); 3],
}

pub(crate) async fn measure(bed: &mut Bed) -> anyhow::Result<()> {
    println!("\n### Restarts of the server\n\n{CLIENTS} clients, one `pg_ctl restart -m fast`.\n");
    let mut everybody = vec![Who::Direct(Leg::Unix), Who::Haproxy];
    for mode in [Mode::Session, Mode::Transaction] {
        everybody.push(Who::PgBouncer { mode, leg: Leg::Unix });
        everybody.push(Who::Ours { mode, threads: 1 });
    }
    let mode = Mode::Transaction;
    everybody.extend([Who::PgCat { mode }, Who::PgDog { mode }, Who::Odyssey { mode }]);
    let columns =
        ["disconnected", "errors", "longest wait ms", "work_mem", "time zone", "prepared"];
    for (restart, title) in
        [(Restart::Unannounced, "nobody told"), (Restart::Announced, "announced")]
    {
        let proxies = Who::start_all(bed, &everybody, Tls::Without).await;
        head(&[&[title], &columns[..]].concat());
        for proxy in &proxies {
            if restart == Restart::Announced && !can_be_told(proxy.who) {
                continue;
            }
            match watch(bed, proxy, restart).await {
                Ok(seen) => line(&cells(proxy.who, &seen)),
                Err(error) => println!("| {} | {error:#} | | | | | |", proxy.who.name()),
            }
        }
        println!();
    }
    Ok(())
}

fn can_be_told(who: Who) -> bool {
    matches!(who, Who::Ours { .. } | Who::PgBouncer { .. })
}

fn cells(who: Who, seen: &Seen) -> Vec<String> {
    let mut cells = vec![
        who.name(),
        format!("{} of {CLIENTS}", seen.disconnected),
        seen.errors.to_string(),
        number(millis(seen.longest), 0),
    ];
    cells.extend(seen.kept.map(|(right, all)| match all {
        0 => "-".to_owned(),
        all => format!("{:.0} %", 100.0 * right as f64 / all as f64),
    }));
    cells
}

async fn watch(bed: &mut Bed, proxy: &Proxy, restart: Restart) -> anyhow::Result<Seen> {
    let stop = CancellationToken::new();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(client(proxy.host.clone(), proxy.port, stop.clone()));
    }
    sleep(AROUND).await;
    match restart {
        Restart::Unannounced => restart_server(bed).await,
        Restart::Announced => announce(bed, proxy).await?,
    }
    sleep(AROUND).await;
    stop.cancel();
    let mut all = Seen::default();
    while let Some(seen) = clients.join_next().await {
        let seen = seen??;
        all.disconnected += seen.disconnected;
        all.errors += seen.errors;
        all.longest = all.longest.max(seen.longest);
        for (all, one) in all.kept.iter_mut().zip(seen.kept) {
            *all = (all.0 + one.0, all.1 + one.1);
        }
    }
    Ok(all)
}

async fn restart_server(bed: &mut Bed) {
    bed.server.stop(Shutdown::Fast).await;
    bed.server.begin().await;
}

async fn announce(bed: &mut Bed, proxy: &Proxy) -> anyhow::Result<()> {
    match &proxy.platform {
        Some(platform) => {
            platform.change(|route| route.stage = Stage::Hold { grace_ms: GRACE });
            let _ = timeout(REST, until_quiet(bed)).await;
            restart_server(bed).await;
            platform.change(|route| route.stage = Stage::Open);
        }
        None => {
            let console = Clients::new(bed, Tls::Without)?;
            let mut console = console.open_to(proxy.port, "pgbouncer").await?;
            // By session it waits for the clients to leave.
            let _ = timeout(REST, console.ask(&format!("pause {NAME}"))).await;
            restart_server(bed).await;
            let console = Clients::new(bed, Tls::Without)?;
            console.open_to(proxy.port, "pgbouncer").await?.ask(&format!("resume {NAME}")).await?;
        }
    }
    Ok(())
}

/// Until no client has anything running, three times in a row.
async fn until_quiet(bed: &Bed) -> anyhow::Result<()> {
    let busy = format!(
        "select count(*) from pg_stat_activity where usename = '{NAME}' and state <> 'idle'"
    );
    let observer = bed.server.session("postgres").await?;
    let mut quiet = 0;
    while quiet < 3 {
        quiet = if observer.ask(&busy).await? == "0" { quiet + 1 } else { 0 };
        sleep(PACE).await;
    }
    Ok(())
}

/// A client that goes on until it is told to stop or is disconnected.
async fn client(host: String, port: u16, stop: CancellationToken) -> anyhow::Result<Seen> {
    let mut config = tokio_postgres::Config::new();
    config.user(NAME).password(NAME).dbname(NAME).port(port);
    if host.starts_with('/') {
        config.host_path(&host)
    } else {
        config.host(&host)
    };
    let (client, connection) = config.connect(NoTls).await?;
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        // Its end is seen by the client.
        let _ = connection.await;
    });
    client.batch_execute("set work_mem = '17MB'").await?;
    client.batch_execute("set timezone = 'Asia/Tokyo'").await?;
    // One that cannot prepare is judged by the rest.
    let prepared = client.prepare("select 41 + $1::int4").await.ok();
    let mut seen = Seen::default();
    for turn in 0.. {
        if stop.is_cancelled() {
            break;
        }
        let begun = Instant::now();
        let asked = match (turn % 3, &prepared) {
            (0, _) => show(&client, "show work_mem", "17MB").await,
            (1, _) => show(&client, "show timezone", "Asia/Tokyo").await,
            (_, Some(statement)) => {
                client.query_one(statement, &[&1_i32]).await.map(|row| row.get::<_, i32>(0) == 42)
            }
            (_, None) => continue,
        };
        let kept = &mut seen.kept[turn % 3];
        match asked {
            Ok(right) => *kept = (kept.0 + usize::from(right), kept.1 + 1),
            Err(_) if client.is_closed() => {
                seen.disconnected = 1;
                break;
            }
            Err(error) if error.as_db_error().is_none() => {
                seen.disconnected = 1;
                break;
            }
            Err(_) => {
                kept.1 += 1;
                seen.errors += 1;
            }
        }
        seen.longest = seen.longest.max(begun.elapsed());
        sleep(PACE).await;
    }
    Ok(seen)
}

async fn show(
    client: &tokio_postgres::Client,
    sql: &str,
    expected: &str,
) -> Result<bool, tokio_postgres::Error> {
    let messages = client.simple_query(sql).await?;
    Ok(messages.iter().any(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0) == Some(expected),
        _ => false,
    }))
}
