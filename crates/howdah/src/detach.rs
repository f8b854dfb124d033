//! `howdah up --detach`: the platform as a process of its own, and back to the shell when it answers.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::home::{Addresses, Home};
use crate::settings::Settings;
use crate::up::READY;

/// How long a platform that is starting already is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at it, and for one.
const PAUSE: Duration = Duration::from_millis(100);

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
            say(&format!(
                "\nIt goes on in the background; `howdah down` stops it. Log: {}",
                log.display()
            ));
            return Ok(true);
        }
        say(&line);
    }
    // The output ended without the word: the process has failed, and said why on stderr.
    let status = child.wait().context("wait for the platform's process")?;
    eprintln!(" !    the platform did not start ({status}); its log is {}", log.display());
    Ok(false)
}

fn say(line: &str) {
    // Whoever reads it may have read enough (`| head -1`); the platform goes on all the same.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Says that there is nothing to do, once the platform that holds the home answers.
#[expect(clippy::disallowed_methods, reason = "this process does nothing but wait")]
fn already_up(home: &Home) -> bool {
    let began = Instant::now();
    while home.is_held() {
        let answering = home.addresses().filter(|addresses| answers(addresses.http));
        if let Some(Addresses { http, gateway, pool, tls: _ }) = answering {
            let pool = pool.map(|pool| format!(", pools {pool}")).unwrap_or_default();
            say(&format!("Howdah is up already: http://{http}, gateway {gateway}{pool}."));
            return true;
        }
        if began.elapsed() > PATIENCE {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    eprintln!(
        " !    another platform was starting on {} and does not answer\n \
         !    See {}",
        home.path.display(),
        home.join("log/howdah.log").display()
    );
    false
}

/// Whether the API says anything: the kernel takes connections for a process that hangs as well.
fn answers(http: SocketAddr) -> bool {
    let ask = || -> std::io::Result<[u8; 5]> {
        let mut stream = TcpStream::connect_timeout(&http, PAUSE)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /health HTTP/1.0\r\n\r\n")?;
        let mut said = [0; 5];
        stream.read_exact(&mut said)?;
        Ok(said)
    };
    ask().is_ok_and(|said| said == *b"HTTP/")
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
