//! The gateway beside PgBouncer, straight connections, a plain forwarder of bytes, and what else of
//! its kind is installed. `script/bench gateway [SECTION...]` runs it; docs/benchmarks.md explains
//! the figures.
//!
//! Everybody gets the same work in turn, in another order each round; medians over rounds are
//! printed, and ratios are taken within a round. Processor time is the kernel's own account in
//! nanoseconds, read while the load runs, so that connections that are opened before do not count.

mod bed;
mod clients;
mod connections;
mod forwarder;
mod latency;
mod memory;
mod moving;
mod pgbench;
mod platform;
mod process;
mod proxies;
mod report;
mod restarts;
mod served;
mod throughput;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::bed::Bed;

/// How much is measured, from the environment.
#[derive(Clone, Copy, Debug)]
struct Effort {
    /// ROUNDS: how often everybody has a turn.
    rounds: usize,
    /// SECONDS: how long a turn is measured.
    span: Duration,
}

impl Effort {
    fn from_env() -> anyhow::Result<Self> {
        let number = |name: &str, default: u64| match std::env::var(name) {
            Ok(text) => text.parse().with_context(|| format!("{name} is a number, not `{text}`")),
            Err(_) => Ok(default),
        };
        let rounds = usize::try_from(number("ROUNDS", 3)?.max(1))?;
        Ok(Self { rounds, span: Duration::from_secs(number("SECONDS", 3)?.max(1)) })
    }
}

const SECTIONS: &[&str] = &["throughput", "latency", "connections", "memory", "move", "restarts"];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        // `cargo nextest` and `cargo test` build benches too and ask for their list.
        list if list.iter().any(|argument| ["--list", "--test"].contains(argument)) => Ok(()),
        ["serve", dir, port, pool_port, threads] => {
            let ports = (port.parse()?, pool_port.parse()?);
            runtime.block_on(served::serve(dir.as_ref(), ports, threads.parse()?))
        }
        ["forward", port, socket] => forwarder::run(port.parse()?, socket.as_ref()),
        [] | ["all"] => runtime.block_on(measure(SECTIONS)),
        wanted if wanted.iter().all(|section| SECTIONS.contains(section)) => {
            runtime.block_on(measure(wanted))
        }
        _ => anyhow::bail!("sections: all {}", SECTIONS.join(" ")),
    }
}

/// Measures, unless it is told to stop: then all that was started ends with it.
async fn measure(sections: &[&str]) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        done = sections_of(sections) => done,
        _ = terminate.recv() => anyhow::bail!("terminated"),
        _ = interrupt.recv() => anyhow::bail!("interrupted"),
    }
}

async fn sections_of(sections: &[&str]) -> anyhow::Result<()> {
    let effort = Effort::from_env()?;
    let Effort { rounds, span } = effort;
    println!(
        "`ROUNDS={rounds} SECONDS={} script/bench gateway {}`",
        span.as_secs(),
        sections.join(" ")
    );
    let mut bed = Bed::start().await?;
    println!("{}", bed.description().await);
    for section in sections {
        match *section {
            "throughput" => throughput::measure(&bed, effort).await?,
            "latency" => latency::measure(&bed, effort).await?,
            "connections" => connections::measure(&bed, effort).await?,
            "memory" => memory::measure(&bed).await?,
            "move" => moving::measure(&bed).await?,
            _ => restarts::measure(&mut bed).await?,
        }
    }
    Ok(())
}
