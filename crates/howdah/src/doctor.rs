//! `howdah doctor`: is this machine fit, and what to do where it is not.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use howdah_gateway::handover::RunDir;
use howdah_model::agent::Installed;
use howdah_model::size::Bytes;

use crate::home::Home;
use crate::settings::Settings;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
enum Grade {
    Pass,
    Warn,
    Fail,
}

/// One check with its result, and the remedy where there is something to mend.
#[derive(Debug, serde::Serialize)]
struct Finding {
    check: &'static str,
    grade: Grade,
    found: String,
    remedy: Option<String>,
}

impl Finding {
    fn pass(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, grade: Grade::Pass, found: found.into(), remedy: None }
    }

    fn mend(
        check: &'static str,
        grade: Grade,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { check, grade, found: found.into(), remedy: Some(remedy.into()) }
    }
}

const LEAST_DISK: u64 = 1 << 30;
const LEAST_MEMORY: u64 = 1 << 30;
const LEAST_FILES: u64 = 4096;

/// Runs all checks, prints them, and exits 0 (fit), 11 (with warnings) or 10 (unfit).
pub(crate) fn run(settings: &Settings, json: bool) -> ExitCode {
    let mut findings = examine(settings);
    // Not an obstacle: databases go on without it.
    findings.push(archive(settings));
    if json {
        println!("{}", serde_json::json!({ "schema": "howdah.v1/doctor", "data": findings }));
    } else {
        for Finding { check, grade, found, remedy } in &findings {
            let word = match grade {
                Grade::Pass => "PASS",
                Grade::Warn => "WARN",
                Grade::Fail => "FAIL",
            };
            println!("{word}  {check}: {found}");
            if let Some(remedy) = remedy {
                println!("      {remedy}");
            }
        }
    }
    match findings.iter().map(|finding| finding.grade).max() {
        Some(Grade::Fail) => ExitCode::from(10),
        Some(Grade::Warn) => ExitCode::from(11),
        Some(Grade::Pass) | None => ExitCode::SUCCESS,
    }
}

/// What must be mended before `howdah up` can work, as one text; `None` when nothing.
pub(crate) fn obstacles(settings: &Settings) -> Option<String> {
    let lines: Vec<String> = examine(settings)
        .into_iter()
        .filter(|finding| finding.grade == Grade::Fail)
        .map(|finding| {
            let remedy = finding.remedy.unwrap_or_default();
            format!("{}: {}\n{remedy}", finding.check, finding.found)
        })
        .collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn examine(settings: &Settings) -> Vec<Finding> {
    let home = Home::new(&settings.home);
    let running = home.as_ref().is_ok_and(Home::is_held);
    let installed = howdah_cluster::installed::find(&settings.bindirs);
    let mut findings = vec![postgresql(&installed, &settings.bindirs)];
    findings.extend(installed.iter().map(extension_list));
    findings.push(home_directory(home, &settings.home));
    findings.push(user(settings));
    findings.push(disk(&settings.home));
    findings.push(memory());
    findings.push(open_files());
    findings.push(port("HTTP port", "HOWDAH_LISTEN", settings.listen, running));
    let running = running || RunDir::new(settings.home.join("run")).is_taken();
    findings.push(port("gateway port", "HOWDAH_GATEWAY_LISTEN", settings.gateway_listen, running));
    findings.push(port(
        "pooling port",
        "HOWDAH_GATEWAY_POOL_LISTEN",
        settings.pool_listen,
        running,
    ));
    findings.push(psql());
    findings
}

fn postgresql(installed: &[Installed], looked_in: &[PathBuf]) -> Finding {
    if installed.is_empty() {
        let dirs: Vec<_> = looked_in.iter().map(|dir| dir.display().to_string()).collect();
        return Finding::mend(
            "PostgreSQL",
            Grade::Fail,
            format!("none found in {}", dirs.join(", ")),
            "Install one (script/setup does), or name its bin directory in HOWDAH_PG_BINDIRS",
        );
    }
    let versions: Vec<_> = installed.iter().map(|one| one.version.to_string()).collect();
    Finding::pass("PostgreSQL", versions.join(", "))
}

fn extension_list(installed: &Installed) -> Finding {
    let check = "extension allow-list";
    let version = installed.version;
    let libraries = Command::new(installed.bindir.join("pg_config"))
        .arg("--pkglibdir")
        .output()
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok());
    match libraries {
        Some(dir) if Path::new(dir.trim()).join("pgextwlist.so").exists() => {
            Finding::pass(check, format!("pgextwlist for {version}"))
        }
        Some(_) | None => Finding::mend(
            check,
            Grade::Warn,
            format!(
                "PostgreSQL {version} has no pgextwlist: tenants can create trusted extensions only"
            ),
            format!("Install postgresql-{}-pgextwlist (script/setup does)", version.major),
        ),
    }
}

fn home_directory(home: anyhow::Result<Home>, path: &Path) -> Finding {
    let check = "home";
    let home = match home {
        Ok(home) => home,
        Err(error) => {
            return Finding::mend(check, Grade::Fail, error.to_string(), "Set HOWDAH_HOME");
        }
    };
    match home.make() {
        Ok(()) => Finding::pass(check, path.display().to_string()),
        Err(error) => Finding::mend(
            check,
            Grade::Fail,
            format!("{error:#}").replace('\n', "; "),
            "Give the directory to this user, or set HOWDAH_HOME to one that it may write",
        ),
    }
}

fn user(settings: &Settings) -> Finding {
    let check = "PostgreSQL's user";
    match crate::wiring::run_as(settings) {
        Ok(user) => Finding::pass(check, user.name().to_owned()),
        Err(error) => Finding::mend(
            check,
            Grade::Fail,
            error.to_string(),
            "Make the user (Debian's postgresql package does), or name another in HOWDAH_RUN_AS",
        ),
    }
}

/// Whether the archive can be used, and whether it outlives the machine.
fn archive(settings: &Settings) -> Finding {
    let check = "archive";
    let Ok(home) = Home::new(&settings.home) else {
        return Finding::mend(check, Grade::Warn, "not looked at", "Mend the home first");
    };
    let usable = crate::archive::config(settings, &home).and_then(|config| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let archive = howdah_archive::Archive::open(&config)?;
        runtime.block_on(archive.check())?;
        Ok(archive.location().to_owned())
    });
    match usable {
        Ok(location) if settings.archive_url.is_none() => Finding::mend(
            check,
            Grade::Warn,
            format!("{location} is on the same machine as the databases"),
            "Set HOWDAH_ARCHIVE_URL to an object store or another disk, for the day it is lost",
        ),
        Ok(location) => Finding::pass(check, location),
        Err(error) => Finding::mend(
            check,
            Grade::Warn,
            format!("{error:#}"),
            "Correct HOWDAH_ARCHIVE_URL, HOWDAH_ARCHIVE_KEY or the credentials",
        ),
    }
}

fn disk(home: &Path) -> Finding {
    let check = "disk";
    // The home may not be there yet: then its nearest ancestor tells.
    let there = home.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("/"));
    match nix::sys::statvfs::statvfs(there) {
        Ok(stat) => {
            let free = stat.blocks_available() * stat.fragment_size();
            let found = format!("{} free", Bytes(free));
            if free >= LEAST_DISK {
                return Finding::pass(check, found);
            }
            // A platform that is there must start: its databases are wanted, and it is what
            // people free space with.
            let is_new = !home.join("platform.json").exists();
            let grade = if is_new { Grade::Fail } else { Grade::Warn };
            let remedy = format!("Free some: {} are the least to start with", Bytes(LEAST_DISK));
            Finding::mend(check, grade, found, remedy)
        }
        Err(error) => Finding::mend(
            check,
            Grade::Warn,
            format!("cannot look at {}: {error}", there.display()),
            "See that the file system is mounted",
        ),
    }
}

fn memory() -> Finding {
    let total = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    match total.map(|kib| kib * 1024) {
        Some(bytes) if bytes >= LEAST_MEMORY => {
            Finding::pass("memory", format!("{} in all", Bytes(bytes)))
        }
        Some(bytes) => Finding::mend(
            "memory",
            Grade::Warn,
            format!("{} in all", Bytes(bytes)),
            "Keep to hobby plans: settings are scaled down to what is there",
        ),
        None => Finding::mend("memory", Grade::Warn, "unknown", "See that /proc is mounted"),
    }
}

fn open_files() -> Finding {
    let check = "open files";
    match nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE) {
        Ok((_, hard)) if hard >= LEAST_FILES => Finding::pass(check, format!("up to {hard}")),
        Ok((_, hard)) => Finding::mend(
            check,
            Grade::Warn,
            format!("up to {hard}"),
            format!("Raise the limit to {LEAST_FILES} or more: each session takes two"),
        ),
        Err(error) => {
            Finding::mend(check, Grade::Warn, error.to_string(), "See `ulimit -n` in your shell")
        }
    }
}

fn port(check: &'static str, setting: &str, address: SocketAddr, running: bool) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) => Finding::pass(check, format!("{address} is free")),
        Err(_) if running => Finding::pass(check, format!("{address} is in use; howdah is up")),
        Err(error) => Finding::mend(
            check,
            Grade::Fail,
            format!("{address}: {error}"),
            format!("Stop what listens there, or set {setting} to another address"),
        ),
    }
}

fn psql() -> Finding {
    match Command::new("psql").arg("--version").output() {
        Ok(output) if output.status.success() => {
            Finding::pass("psql", String::from_utf8_lossy(&output.stdout).trim().to_owned())
        }
        Ok(_) | Err(_) => Finding::mend(
            "psql",
            Grade::Warn,
            "not found on PATH: pg:psql, pg:ps and pg:kill need it",
            "Install postgresql-client",
        ),
    }
}
