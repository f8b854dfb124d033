//! `howdah up --detach`: the platform as a process of its own, and back to the shell when it answers.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::{Context as _, Result};

use crate::home::Home;
use crate::settings::Settings;
use crate::up::READY;

/// Starts the serving process and relays what it says until it is ready or has failed.
pub(crate) fn run(settings: &Settings) -> ExitCode {
    match start(settings) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            for line in format!("{error:#}").lines() {
                eprintln!(" !    {line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn start(settings: &Settings) -> Result<bool> {
    let home = Home::new(&settings.home)?;
    home.make()?;
    if home.is_held() {
        return Ok(already_up(&home));
    }
    let log = home.join("log/howdah.log");
    let mut child = spawn(&log)?;
    let stdout = child.stdout.take().context("read the platform's output")?;
    for line in BufReader::new(stdout).lines() {
        let line = line.context("read the platform's output")?;
        if line == READY {
            println!(
                "\nIt goes on in the background; `howdah down` stops it. Log: {}",
                log.display()
            );
            return Ok(true);
        }
        println!("{line}");
    }
    // The output ended without the word: the process has failed, and said why on stderr.
    let status = child.wait().context("wait for the platform's process")?;
    eprintln!(" !    the platform did not start ({status}); its log is {}", log.display());
    Ok(false)
}

/// Says that there is nothing to do. A platform that is still starting counts as up.
fn already_up(home: &Home) -> bool {
    match home.addresses() {
        Some(addresses) => println!(
            "Howdah is up already: http://{}, gateway {}.",
            addresses.http, addresses.gateway
        ),
        None => println!("Howdah is starting already."),
    }
    true
}

fn spawn(log: &Path) -> Result<Child> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let _ = File::options()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(log)
        .with_context(|| format!("open {}", log.display()))?;
    Command::new(std::env::current_exe().context("find this program")?)
        .args(["up", "--serve"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .context("start the platform's process")
}
