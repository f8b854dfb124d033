//! Whether data is sound: every table and every B-tree of a running server, every page's checksum
//! of a stopped one. Both can take long, and come behind all else on the machine; dropping the
//! future ends them.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::Pid;
use tokio::process::Command;
use tokio::time::timeout;

use crate::settings::{PLATFORM_ROLE, PORT};
use crate::template::last_lines;
use crate::{Cluster, RunAs};

/// How far behind everything else a check comes.
const NICE: i32 = 15;
/// How much of what is wrong is told.
const TOLD: usize = 8;

/// A check did not find everything sound.
#[derive(Debug, thiserror::Error)]
pub enum Unsound {
    /// Something is damaged: the beginning of what was found.
    #[error("the data is damaged: {0}")]
    Damaged(String),
    /// It could not be found out.
    #[error("the data could not be checked: {0}")]
    Unknown(String),
    /// It took longer than it may.
    #[error("the check of the data took longer than {0:?}")]
    TooLong(Duration),
}

/// Looks at every table and B-tree of every database of a running server with `pg_amcheck`. The
/// extension `amcheck` is in the databases afterwards, so this is for copies.
///
/// # Errors
/// See [`Unsound`].
pub async fn check(cluster: &Cluster, patience: Duration) -> Result<(), Unsound> {
    let unknown = |error: String| Unsound::Unknown(error);
    // As the platform comes in; and without what tenants have set for their databases.
    let us = RunAs::current().map_err(|error| unknown(error.to_string()))?;
    let mut command = us.command(cluster.installed.bindir.join("pg_amcheck"));
    command
        .args(["--all", "--install-missing", "--jobs=1", "--no-password"])
        .env("PGHOST", &cluster.socket_dir)
        .env("PGPORT", PORT.to_string())
        .env("PGUSER", PLATFORM_ROLE)
        .env("PGDATABASE", "postgres")
        .env("PGAPPNAME", "howdah")
        .env("PGCONNECT_TIMEOUT", "10")
        .env("PGOPTIONS", OPTIONS.join(" "));
    let output = run(command, patience).await?;
    match output.status.code() {
        Some(0) => Ok(()),
        // What is damaged is on the one, what went wrong on the other.
        Some(2) => Err(Unsound::Damaged(first_lines(&output.stdout))),
        _ => Err(Unsound::Unknown(last_lines(&output.stderr))),
    }
}

/// What a tenant may have set otherwise for its database; and nothing goes on when this ends.
const OPTIONS: &[&str] = &[
    "-c statement_timeout=0",
    "-c lock_timeout=60s",
    "-c idle_in_transaction_session_timeout=0",
    "-c default_transaction_read_only=off",
    "-c local_preload_libraries=",
    "-c role=none",
    "-c client_connection_check_interval=1s",
];

/// Compares every page of a stopped server with its checksum.
///
/// # Errors
/// See [`Unsound`]; a server that runs, or was not stopped in order, is [`Unsound::Unknown`].
pub async fn checksums(cluster: &Cluster, patience: Duration) -> Result<(), Unsound> {
    let mut command = cluster.run_as.command(cluster.installed.bindir.join("pg_checksums"));
    command.arg("--check").arg("--pgdata").arg(&cluster.data);
    let output = run(command, patience).await?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let bad: Vec<_> = said.lines().filter(|line| line.contains("checksum verification")).collect();
    if bad.is_empty() {
        return Err(Unsound::Unknown(last_lines(&output.stderr)));
    }
    Err(Unsound::Damaged(first_lines(bad.join("\n").as_bytes())))
}

async fn run(mut command: Command, patience: Duration) -> Result<std::process::Output, Unsound> {
    let unknown = |error: std::io::Error| Unsound::Unknown(error.to_string());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let child = command.spawn().map_err(unknown)?;
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    // Without this it is done all the same.
    let _ = rustix::process::setpriority_process(pid, NICE);
    let output = timeout(patience, child.wait_with_output()).await;
    output.map_err(|_| Unsound::TooLong(patience))?.map_err(unknown)
}

fn first_lines(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let lines: Vec<_> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[..lines.len().min(TOLD)].join("; ")
}
