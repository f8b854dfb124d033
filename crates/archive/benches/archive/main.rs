//! The archive beside pgBackRest and beside `cp` with `zstd`. `script/bench archive [SECTION...]`
//! runs it; docs/benchmarks.md explains the figures.
//!
//! Everybody gets the same work in turn, in another order each round, after what was written before
//! has come to the disk; medians over rounds are printed, and ratios are taken within a round.
//! Processor time is that of all who take part; with WAL, where pgBackRest leaves processes behind
//! that work on, it is that of the whole machine. Nothing else should run on it.

mod backups;
mod bed;
mod fork;
mod load;
mod report;
mod rivals;
mod wal;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::backups::What;
use crate::bed::Bed;

/// How much is measured, from the environment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// ROUNDS: how often everybody has a turn.
    pub(crate) rounds: usize,
    /// SECONDS: how long a load is measured.
    pub(crate) span: Duration,
    /// SCALE: of pgbench; 110 is about 2 GB.
    pub(crate) scale: u64,
    /// SEGMENTS: how many are pushed and fetched.
    pub(crate) segments: usize,
}

impl Effort {
    fn from_env() -> anyhow::Result<Self> {
        let number = |name: &str, default: u64| match std::env::var(name) {
            Ok(text) => text.parse().with_context(|| format!("{name} is a number, not `{text}`")),
            Err(_) => Ok(default),
        };
        Ok(Self {
            rounds: usize::try_from(number("ROUNDS", 3)?.max(1))?,
            span: Duration::from_secs(number("SECONDS", 15)?.max(1)),
            scale: number("SCALE", 110)?.max(1),
            segments: usize::try_from(number("SEGMENTS", 64)?.max(2))?,
        })
    }
}

const SECTIONS: &[&str] = &["backup", "restore", "wal", "load", "fork"];

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
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // `cargo nextest` and `cargo test` build benches too and ask for their list.
    if arguments.iter().any(|argument| ["--list", "--test"].contains(argument)) {
        return Ok(());
    }
    let sections = if arguments.is_empty() || arguments == ["all"] { SECTIONS } else { &arguments };
    if !sections.iter().all(|section| SECTIONS.contains(section)) {
        anyhow::bail!("sections: all {}", SECTIONS.join(" "));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure(sections))
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
    println!(
        "`ROUNDS={} SCALE={} script/bench archive {}`",
        effort.rounds,
        effort.scale,
        sections.join(" ")
    );
    let bed = Bed::start(&effort).await?;
    let has = |name: &str| sections.contains(&name);
    let what = match (has("backup"), has("restore")) {
        (true, true) => Some(What::Both),
        (true, false) => Some(What::Backup),
        (false, true) => Some(What::Restore),
        (false, false) => None,
    };
    if let Some(what) = what {
        backups::measure(&bed, &effort, what).await?;
    }
    if has("wal") {
        wal::measure(&bed, &effort).await?;
    }
    if has("load") {
        load::measure(&bed, &effort).await?;
    }
    if has("fork") {
        fork::measure(&bed, &effort).await?;
    }
    Ok(())
}
