//! A database that moves between two servers while `pgbench` writes to it by session: how long its
//! clients stand still, and whether every row is there in the end, once.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use howdah_gateway::Gateway;
use howdah_model::ids::DatabaseId;
use howdah_testkit::pair::Pair;
use howdah_testkit::servers::Shutdown;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::bed::{Bed, MAJOR, NAME};
use crate::pgbench::{Logged, logged};
use crate::platform::Platform;
use crate::report::{head, line, median, millis, number};
use crate::{bed, served};

const CLIENTS: usize = 50;
const MOVES: u32 = 20;
/// From one move to the next.
const PERIOD: Duration = Duration::from_secs(2);
/// The most that a step of a move may take.
const BOUND: Duration = Duration::from_secs(10);
const SETTINGS: &[&str] =
    &["shared_buffers=1GB", "max_connections=300", "max_wal_size=4GB", "autovacuum=off"];

/// A gateway in this process, so that it can be told what to do.
struct Rig {
    gateway: Arc<Gateway>,
    database: DatabaseId,
    port: u16,
    stop: CancellationToken,
    running: JoinSet<anyhow::Result<()>>,
    _platform: Platform,
}

/// One move. The moments are those of the wall clock, since 1970.
#[derive(Clone, Copy, Debug)]
struct Move {
    how: Shutdown,
    begun: Duration,
    /// Until nothing ran any more.
    held: Duration,
    /// Until the other server took writes.
    handed_over: Duration,
    /// Until nobody waited any more.
    released: Duration,
    left_behind: usize,
    ended: Duration,
}

pub(crate) async fn measure(bed: &Bed) -> anyhow::Result<()> {
    println!(
        "\n### A planned move\n\n{CLIENTS} clients by session, TPC-B with prepared statements; a move every \
        {} s, between two servers of which one follows the other.\n",
        PERIOD.as_secs()
    );
    let mut pair = Pair::start(MAJOR, SETTINGS).await;
    let sql = format!("create role {NAME} login password '{}'", bed.verifier);
    pair.primary().sql(&sql).await;
    pair.primary().sql(&format!("create database {NAME} owner {NAME}")).await;
    bed.fill(pair.primary()).await?;
    pair.until_caught_up().await;
    let mut rig = Rig::start(bed, &pair).await?;
    let logs = bed.directory("moves")?;
    let load = writers(bed, rig.port, &logs)?;
    let mut moves = Vec::new();
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    for number in 0..MOVES {
        ticks.tick().await;
        let how = [Shutdown::Fast, Shutdown::Immediate][number as usize % 2];
        moves.push(rig.go(&mut pair, how).await);
    }
    let output = load.wait_with_output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "pgbench: {said}");
    let logged = logged(&logs)?;
    report(&moves, &logged);
    ledger(&pair, logged.len()).await?;
    rig.stop().await
}

impl Rig {
    async fn start(bed: &Bed, pair: &Pair) -> anyhow::Result<Self> {
        let dir = bed.directory("mover")?;
        let socket = dir.join("control.sock");
        let platform = Platform::serve(bed, &socket, 2000)?;
        let primary = pair.primary().socket_dir().to_owned();
        platform.lead_to(&primary);
        let database = platform.database();
        let port = bed::free_port()?;
        let config = served::config(&dir, (port, bed::free_port()?), 1)?;
        let gateway = Arc::new(Gateway::bind(config).await?);
        let (stop, mut running) = (CancellationToken::new(), JoinSet::new());
        let (runs, until) = (gateway.clone(), stop.clone());
        running.spawn(async move { runs.run(until).await });
        Ok(Self { gateway, database, port, stop, running, _platform: platform })
    }

    /// Moves the database to the server that follows.
    async fn go(&self, pair: &mut Pair, how: Shutdown) -> Move {
        let next = pair.standby().socket_dir().to_owned();
        pair.prepare().await;
        self.gateway.prepare(self.database, next.clone(), BOUND).await;
        let begun = now();
        let report = self.gateway.hold(self.database, BOUND).await;
        let left_behind = report.blockers().count();
        let held = now();
        pair.hand_over(how).await;
        let handed_over = now();
        self.gateway.release(self.database, Some(next));
        self.gateway.released(self.database, BOUND).await;
        let released = now();
        pair.rejoin().await;
        Move { how, begun, held, handed_over, released, left_behind, ended: now() }
    }

    async fn stop(&mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.running.join_next().await.context("it ran")??
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Clients that write for as long as all moves take.
fn writers(bed: &Bed, port: u16, logs: &Path) -> anyhow::Result<Child> {
    let seconds = (PERIOD * (MOVES + 2)).as_secs();
    let mut command: Command = bed.program("pgbench");
    command
        .args(["--no-vacuum", "--protocol=prepared", "--jobs=2", "--log"])
        .arg(format!("--log-prefix={}", logs.join("log").display()))
        .arg(format!("--client={CLIENTS}"))
        .arg(format!("--time={seconds}"))
        .arg(bed.conninfo("127.0.0.1", port))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    Ok(command.spawn()?)
}

/// The longest time around a move in which no transaction of anybody ended.
fn silence(one: &Move, logged: &[Logged]) -> f64 {
    let near = |at: Duration| at + BOUND > one.begun && at < one.ended + BOUND;
    let ends: Vec<Duration> = logged.iter().map(|one| one.ended).filter(|at| near(*at)).collect();
    let pairs = ends.windows(2).filter(|pair| pair[1] > one.begun && pair[0] < one.released);
    pairs.map(|pair| millis(pair[1] - pair[0])).fold(0.0, f64::max)
}

/// How much longer than usual each client's transaction took that the move fell into.
fn delays(one: &Move, logged: &[Logged], usual: f64) -> Vec<f64> {
    let within = logged.iter().filter(|logged| {
        logged.ended >= one.handed_over
            && logged.ended.saturating_sub(logged.latency) <= one.handed_over
    });
    within.map(|logged| (millis(logged.latency) - usual).max(0.0)).collect()
}

fn report(moves: &[Move], logged: &[Logged]) {
    let usual = median(logged.iter().map(|logged| millis(logged.latency)));
    let longest = at(logged.iter().map(|logged| millis(logged.latency)).collect(), 0.999);
    println!(
        "{} transactions; the usual one takes {usual:.1} ms, one in a thousand {longest:.0} ms.\n",
        logged.len()
    );
    head(&[
        "old primary ends",
        "moves",
        "run out, ms",
        "hand-over, ms",
        "going on, ms",
        "silence p50, ms",
        "p99",
        "max",
        "delay of a client p50, ms",
        "p99",
        "max",
        "left behind",
    ]);
    for (how, name) in [(Shutdown::Fast, "fast"), (Shutdown::Immediate, "immediately")] {
        let chosen: Vec<&Move> = moves.iter().filter(|one| one.how == how).collect();
        let silences: Vec<f64> = chosen.iter().map(|one| silence(one, logged)).collect();
        let delays: Vec<f64> = chosen.iter().flat_map(|one| delays(one, logged, usual)).collect();
        let middle = |value: fn(&Move) -> Duration| {
            number(median(chosen.iter().map(|one| millis(value(one)))), 1)
        };
        line(&[
            name.to_owned(),
            chosen.len().to_string(),
            middle(|one| one.held.saturating_sub(one.begun)),
            middle(|one| one.handed_over.saturating_sub(one.held)),
            middle(|one| one.released.saturating_sub(one.handed_over)),
            number(at(silences.clone(), 0.5), 1),
            number(at(silences.clone(), 0.99), 1),
            number(at(silences, 1.0), 1),
            number(at(delays.clone(), 0.5), 1),
            number(at(delays.clone(), 0.99), 1),
            number(at(delays, 1.0), 1),
            chosen.iter().map(|one| one.left_behind).sum::<usize>().to_string(),
        ]);
    }
    println!();
}

/// The value below which such a part of them lies.
fn at(mut values: Vec<f64>, part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1) as f64;
    values.get((last * part).ceil() as usize).copied().unwrap_or(f64::NAN)
}

/// Compares what the clients were told with what is there.
async fn ledger(pair: &Pair, told: usize) -> anyhow::Result<()> {
    let begun = Instant::now();
    let ask = async |sql: &str| pair.primary().sql_in(NAME, sql).await;
    let rows = ask("select count(*) from pgbench_history").await;
    let sums = ask("select (select sum(delta) from pgbench_history) = all (array[\
        (select sum(abalance) from pgbench_accounts), (select sum(tbalance) from pgbench_tellers), \
        (select sum(bbalance) from pgbench_branches)])")
    .await;
    let right = rows == told.to_string() && sums == "t";
    println!(
        "Ledger: {told} transactions told to clients, {rows} in the database, sums {}: {}. ({} ms)\n",
        if sums == "t" { "equal" } else { "differ" },
        if right { "nothing lost, nothing doubled" } else { "WRONG" },
        begun.elapsed().as_millis()
    );
    Ok(())
}
