//! `howdah down`: stops the platform of a home, and its databases.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};

use crate::home::Home;
use crate::settings::Settings;
use crate::{gateway_role, wiring};

/// How long a platform gets to stop itself and its databases.
const PATIENCE: Duration = Duration::from_secs(120);

/// Stops everything. Finding nothing to stop is fine.
pub(crate) fn run(settings: &Settings) -> ExitCode {
    match stop(settings) {
        Ok(()) => {
            println!("Howdah is down.");
            ExitCode::SUCCESS
        }
        Err(error) => {
            for line in format!("{error:#}").lines() {
                eprintln!(" !    {line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn stop(settings: &Settings) -> Result<()> {
    let home = Home::new(&settings.home)?;
    if !home.path.exists() {
        return Ok(());
    }
    if let Some(pid) = holder(&home)? {
        println!("Stopping the platform (process {pid})");
        kill(pid, Signal::SIGINT).with_context(|| format!("signal process {pid}"))?;
        wait_until_free(&home)?;
    }
    // What a platform that was killed has left behind.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _held = home.hold()?;
    runtime.block_on(wiring::stop_databases(settings, &home, &|step| println!("{step}")))?;
    if let Some(gateway) = runtime.block_on(gateway_role::outside(&home)) {
        println!("The gateway goes on in a process of its own ({})", gateway.pid);
    }
    Ok(())
}

/// The process that holds the home, which tells its number as the first thing; `None` when it has
/// let go of it meanwhile.
#[expect(clippy::disallowed_methods, reason = "this process does nothing but wait")]
fn holder(home: &Home) -> Result<Option<nix::unistd::Pid>> {
    let began = Instant::now();
    while home.is_held() {
        if let Some(pid) = home.pid() {
            return Ok(Some(pid));
        }
        if began.elapsed() > Duration::from_secs(10) {
            bail!(
                "a process that is not the platform's holds {}\nSee `fuser -v` on that file",
                home.join("lock").display()
            );
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(None)
}

#[expect(clippy::disallowed_methods, reason = "this process does nothing but wait")]
fn wait_until_free(home: &Home) -> Result<()> {
    let began = Instant::now();
    while home.is_held() {
        if began.elapsed() > PATIENCE {
            bail!(
                "the platform did not stop within {} s\nSee {}, then run `howdah down` again",
                PATIENCE.as_secs(),
                home.join("log/howdah.log").display()
            );
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
