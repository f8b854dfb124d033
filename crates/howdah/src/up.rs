//! `howdah up`: the whole platform on this machine, in the foreground.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::first_account::FirstAccount;
use crate::home::Home;
use crate::settings::Settings;
use crate::wiring::{self, Running};
use crate::{doctor, output};

/// What the serving process of `up --detach` prints when everything answers.
pub(crate) const READY: &str = "howdah: ready";

/// Runs the platform until a signal. Ctrl-C (SIGINT) stops all that was started, databases too;
/// SIGTERM ends the platform and leaves the databases running for the next `howdah up`.
pub(crate) fn run(settings: Settings, detached: bool) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!(" !    cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = match runtime.block_on(serve(settings, detached)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            for line in format!("{error:#}").lines() {
                eprintln!(" !    {line}");
            }
            ExitCode::FAILURE
        }
    };
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    code
}

async fn serve(settings: Settings, detached: bool) -> Result<()> {
    raise_open_files();
    let mut interrupt = signal(SignalKind::interrupt()).context("watch for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("watch for SIGTERM")?;
    let mut hangup = signal(SignalKind::hangup()).context("watch for SIGHUP")?;

    let home = Home::new(&settings.home)?;
    let held = home.hold()?;
    held.write_pid()?;
    if let Some(obstacles) = doctor::obstacles(&settings) {
        anyhow::bail!("{obstacles}");
    }

    let settings = Arc::new(settings);
    let stop = CancellationToken::new();
    let began = Instant::now();
    let starting = wiring::start(&settings, &held, stop.clone(), &|step| say(step));
    let mut running = tokio::select! {
        running = starting => running?,
        _ = interrupt.recv() => {
            stop.cancel();
            wiring::stop_databases(&settings, &home, &|step| say(step)).await?;
            anyhow::bail!("interrupted while starting; everything was stopped");
        }
        _ = terminate.recv() => anyhow::bail!("terminated while starting"),
    };
    print!("{}", summary(&running, &settings, began.elapsed().as_secs_f32()));
    if detached {
        println!("{READY}");
        // Nobody reads our output any more: what is printed by accident must not end the platform.
        output::quiet_output()?;
    } else {
        println!("\nCtrl-C stops the platform and its databases.");
    }
    let _ = std::io::stdout().flush();

    let reason = loop {
        tokio::select! {
            _ = interrupt.recv() => break Ok(Signal::SIGINT),
            _ = terminate.recv() => break Ok(Signal::SIGTERM),
            // A detached platform has no terminal to lose.
            _ = hangup.recv() => if !detached { break Ok(Signal::SIGTERM) },
            ended = running.ended() => break Err(ended),
        }
    };
    stop.cancel();
    running.finish().await;
    match reason {
        Ok(Signal::SIGINT) => wiring::stop_databases(&settings, &home, &|step| say(step)).await,
        Ok(_) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Each session of the gateway takes two descriptors; the soft limit is often far below the hard.
pub(crate) fn raise_open_files() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        // The gateway says so when what it gets is too little.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

pub(crate) fn say(step: &str) {
    // The reader of a detached start may be gone; that is no reason to fail.
    let _ = writeln!(std::io::stdout(), "{step}");
}

fn summary(running: &Running, settings: &Settings, seconds: f32) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    let addresses = running.addresses;
    let _ = writeln!(out, "Howdah is up ({seconds:.1} s).\n");
    let _ = writeln!(out, "  Dashboard and API  http://{}", addresses.http);
    if let Some(tls) = addresses.tls {
        let _ = writeln!(out, "  API with TLS       https://{tls}");
    }
    let remark = &running.gateway_remark;
    let _ = writeln!(out, "  Gateway            {}{remark}", addresses.gateway);
    if let Some(pool) = addresses.pool {
        let _ = writeln!(out, "  Gateway's pools    {pool}");
    }
    let _ = writeln!(out, "  CA certificate     {}", settings.home.join("tls/ca.pem").display());
    let _ = writeln!(out, "  Archive            {}", running.archive);
    let FirstAccount { email, key, file } = &running.first_account;
    let _ = writeln!(out, "  Account            {email}");
    if let Some(key) = key {
        let _ = writeln!(out, "  Its key            {}  (also its password)", key.reveal());
    }
    let _ = writeln!(out, "                     kept in {}", file.display());
    out
}
