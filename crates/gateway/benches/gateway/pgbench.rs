//! Runs of `pgbench`, with a look at the clocks of everybody while it is under way.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::bed::Bed;
use crate::process::{self, Used};
use crate::proxies::Proxy;

/// What is run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) clients: usize,
    /// As `pgbench --protocol` names it.
    pub(crate) protocol: &'static str,
    /// Transactions per second that are offered; without it, as many as there can be.
    pub(crate) rate: Option<u32>,
    pub(crate) span: Duration,
}

/// What came of it. Times are per transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) tps: f64,
    pub(crate) proxy: Duration,
    pub(crate) server: Duration,
    /// The part of the proxy's time that it spends in its own code.
    pub(crate) user_share: f64,
    /// Times per transaction that the proxy was taken from the processor.
    pub(crate) preempted: f64,
    /// The part of one processor that everybody else on the machine had meanwhile.
    pub(crate) others: f64,
    pub(crate) average: Duration,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

/// What the clocks say at one moment.
struct Look {
    at: Instant,
    proxy: Used,
    server: Duration,
    load: Duration,
    machine: Duration,
}

impl Look {
    fn now(bed: &Bed, proxy: &Proxy, load: Option<u32>) -> Self {
        Self {
            at: Instant::now(),
            proxy: proxy.pid.map(Used::by).unwrap_or_default(),
            server: bed.server.pid().map(process::family).unwrap_or_default(),
            load: load.map(|pid| Used::by(pid).cpu).unwrap_or_default(),
            machine: process::machine(),
        }
    }
}

/// Select-only transactions through somebody. The first second is not counted.
pub(crate) async fn run(bed: &Bed, proxy: &Proxy, load: Load) -> anyhow::Result<Run> {
    let dir = tempfile::Builder::new().prefix("howdah-pgbench-").tempdir()?;
    let seconds = load.span.as_secs() + 1;
    let mut command = bed.program("pgbench");
    command
        .args(["--no-vacuum", "--select-only", "--progress=1", "--log"])
        .arg(format!("--log-prefix={}", dir.path().join("log").display()))
        .arg(format!("--time={seconds}"))
        .arg(format!("--client={}", load.clients))
        .arg(format!("--jobs={}", load.clients.min(2)))
        .arg(format!("--protocol={}", load.protocol));
    match load.rate {
        Some(rate) => command.arg(format!("--rate={rate}")),
        // Of tens of thousands of transactions in each second some are enough.
        None => command.arg("--sampling-rate=0.1"),
    };
    command.arg(bed.conninfo(&proxy.host, proxy.port));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(child.stderr.take().context("stderr")?).lines();
    let (mut looks, mut rates, mut said) = (Vec::new(), Vec::new(), String::new());
    while let Some(line) = lines.next_line().await? {
        match progress(&line) {
            Some(rate) => {
                looks.push(Look::now(bed, proxy, child.id()));
                rates.push(rate);
            }
            None => said = format!("{said}{line}\n"),
        }
    }
    let status = child.wait().await?;
    ensure!(status.success(), "pgbench through {}: {said}", proxy.who.name());
    let [first, .., last] = looks.as_slice() else { anyhow::bail!("pgbench was too short") };
    let spans = looks.windows(2).map(|pair| (pair[1].at - pair[0].at).as_secs_f64());
    let count: f64 = spans.zip(&rates[1..]).map(|(span, rate)| span * rate).sum();
    let used = last.proxy.since(&first.proxy);
    let latencies = latencies(dir.path())?;
    let at = |part: f64| latencies[((latencies.len() - 1) as f64 * part) as usize];
    let span = (last.at - first.at).as_secs_f64();
    let server = last.server.saturating_sub(first.server);
    let ours = used.cpu + server + last.load.saturating_sub(first.load);
    let others = last.machine.saturating_sub(first.machine).saturating_sub(ours);
    Ok(Run {
        tps: count / span,
        proxy: used.cpu.div_f64(count),
        server: server.div_f64(count),
        others: others.as_secs_f64() / span,
        user_share: used.user_share(),
        preempted: used.preempted as f64 / count,
        average: latencies.iter().sum::<Duration>().div_f64(latencies.len() as f64),
        p50: at(0.5),
        p99: at(0.99),
    })
}

/// The rate in a line of progress: `progress: 1.0 s, 31234.5 tps, lat 0.031 ms …`.
fn progress(line: &str) -> Option<f64> {
    let rest = line.strip_prefix("progress: ")?;
    rest.split(", ").nth(1)?.strip_suffix(" tps")?.parse().ok()
}

/// A transaction in a log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Logged {
    pub(crate) latency: Duration,
    /// Since 1970.
    pub(crate) ended: Duration,
}

/// The transactions in the logs of a directory, by their ends.
pub(crate) fn logged(dir: &Path) -> anyhow::Result<Vec<Logged>> {
    let files: Vec<PathBuf> = std::fs::read_dir(dir)?.flatten().map(|file| file.path()).collect();
    let mut all = Vec::new();
    for file in files {
        for line in std::fs::read_to_string(file)?.lines() {
            // Client, number, latency in µs, script, and when it ended: seconds, µs.
            let fields: Vec<u64> = line.split(' ').filter_map(|field| field.parse().ok()).collect();
            if let [_, _, latency, _, seconds, micros, ..] = fields[..] {
                let latency = Duration::from_micros(latency);
                let ended = Duration::from_secs(seconds) + Duration::from_micros(micros);
                all.push(Logged { latency, ended });
            }
        }
    }
    all.sort_unstable_by_key(|logged| logged.ended);
    Ok(all)
}

/// Of the transactions in the logs, but for those of the first second, in order.
fn latencies(dir: &Path) -> anyhow::Result<Vec<Duration>> {
    let all = logged(dir)?;
    let warm = all.first().context("pgbench logged nothing")?.ended + Duration::from_secs(1);
    let mut latencies: Vec<Duration> =
        all.iter().filter(|one| one.ended > warm).map(|one| one.latency).collect();
    ensure!(!latencies.is_empty(), "pgbench logged too little");
    latencies.sort_unstable();
    Ok(latencies)
}
