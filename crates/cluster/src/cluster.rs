//! One cluster: making it, configuring it, starting and stopping it, removing it. Every operation
//! may be done twice, and ends by itself.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use howdah_model::agent::Installed;
use rustix::fd::AsFd;

use crate::connection::{Connection, Limits, SqlError};
use crate::copy_running::Place;
use crate::postmaster::{self, Postmaster, StopMode};
use crate::settings::{self, BadSetting, Settings};
use crate::template::last_lines;
use crate::{RunAs, Template, durable, extension_share};

/// One PostgreSQL cluster on this machine, there or not.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// The data directory.
    pub data: PathBuf,
    /// The directory of the unix socket. Short, as a socket's path has 107 bytes at most.
    pub socket_dir: PathBuf,
    /// Where the server writes its messages.
    pub log: PathBuf,
    /// The programs.
    pub installed: Installed,
    /// Whom the server runs as.
    pub run_as: RunAs,
}

/// Whether writing the configuration changed something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It was so already.
    Same,
    /// A running server must be told ([`Cluster::reload`]).
    Changed,
}

/// How many different settings are known to be good at the most: a few for each plan.
const GOOD: usize = 256;

/// Settings that PostgreSQL has found good in this process' life, with its version.
fn good_settings() -> MutexGuard<'static, BTreeSet<String>> {
    static SETTINGS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    SETTINGS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The file in a data directory that says that its making was completed.
const VERSION_FILE: &str = "PG_VERSION";

impl Cluster {
    /// Whether the data directory is there. It gets its name when it is complete.
    #[must_use]
    pub fn is_made(&self) -> bool {
        self.data.join(VERSION_FILE).is_file()
    }

    /// Makes the data directory as a copy of a template. Nothing happens when it is there.
    ///
    /// # Errors
    /// Those of the file system; nothing is left of a failed attempt.
    pub async fn make(&self, template: &Template) -> Result<()> {
        self.make_of(template, Vec::new()).await
    }

    /// The same, from the first of the ready copies that is fit ([`Template::make_copy`]).
    ///
    /// # Errors
    /// As of [`Self::make`]: without a copy that can be taken it is made as without any.
    pub async fn make_of(&self, template: &Template, copies: Vec<PathBuf>) -> Result<()> {
        if self.is_made() {
            return Ok(());
        }
        let this = self.clone();
        let template = template.clone();
        let copy = move || -> Result<()> {
            let parent = this.data.parent().context("a data directory has a parent")?;
            std::fs::create_dir_all(parent).context("make the participant's directory")?;
            this.run_as.open_way(parent)?;
            for copy in copies {
                match template.take_copy(&copy, &this.data, &this.run_as) {
                    Ok(true) => return Ok(()),
                    Ok(false) => {}
                    Err(error) => tracing::warn!("cannot take {}: {error}", copy.display()),
                }
            }
            template.copy_to(&this.data, &this.run_as).context("copy the template")
        };
        tokio::task::spawn_blocking(copy).await.context("wait for the copy")?
    }

    /// Writes the configuration after PostgreSQL has checked it; files that are right stay.
    ///
    /// # Errors
    /// [`BadSetting`] when PostgreSQL refuses the settings: the files are as they were then. Else
    /// those of the file system.
    pub async fn configure(&self, wanted: &Settings) -> Result<Written> {
        self.prepare_places().context("make the directories of the socket and the log")?;
        let conf = settings::postgresql_conf(&self.installed, &self.socket_dir, wanted)?;
        let us = RunAs::current()?;
        let access = [
            ("pg_hba.conf", settings::pg_hba_conf()),
            ("pg_ident.conf", settings::pg_ident_conf(us.name(), self.run_as.name())),
        ];
        let mut written = Written::Same;
        for (name, content) in access {
            // Compared before every start; until then the template's let nobody in.
            let path = self.data.join(name);
            let changed = durable::refresh(&path, content.as_bytes(), Some(&self.run_as));
            if changed.with_context(|| format!("write {name}"))? {
                written = Written::Changed;
            }
        }
        if std::fs::read_to_string(self.data.join("postgresql.conf")).is_ok_and(|old| old == conf) {
            return Ok(written);
        }
        self.check(&conf).await?;
        durable::write(&self.data.join("postgresql.conf"), conf.as_bytes(), Some(&self.run_as))
            .context("write postgresql.conf")?;
        Ok(Written::Changed)
    }

    pub(crate) fn prepare_places(&self) -> io::Result<()> {
        if let Some(sockets) = self.socket_dir.parent() {
            std::fs::create_dir_all(sockets)?;
            self.run_as.open_way(sockets).map_err(io::Error::other)?;
        }
        self.run_as.make_dir(&self.socket_dir)?;
        extension_share::write(&self.socket_dir, &self.run_as)?;
        if !self.log.exists() {
            durable::refresh(&self.log, b"", Some(&self.run_as))?;
        }
        Ok(())
    }

    /// Lets PostgreSQL read a configuration without starting with it. One that differs from one
    /// that was found good only in the cluster's own places is as good.
    async fn check(&self, conf: &str) -> Result<()> {
        let Installed { version, bindir } = &self.installed;
        let places = self.socket_dir.display().to_string();
        let of_all = format!("{version} {}\n{}", bindir.display(), conf.replace(&places, ""));
        if good_settings().contains(&of_all) {
            return Ok(());
        }
        let beside = self.data.join("postgresql.conf.checked");
        durable::refresh(&beside, conf.as_bytes(), Some(&self.run_as)).context("write settings")?;
        let mut command = self.run_as.command(self.installed.bindir.join("postgres"));
        command.arg("-D").arg(&self.data);
        command.arg("-c").arg(format!("config_file={}", beside.display()));
        command.args(["-C", "port"]).stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(Duration::from_secs(20), command.output())
            .await
            .context("PostgreSQL took too long to check settings")?
            .context("start postgres to check settings")?;
        durable::remove_file(&beside).context("remove the checked settings")?;
        if output.status.success() {
            let mut good = good_settings();
            if good.len() >= GOOD {
                good.clear();
            }
            good.insert(of_all);
            return Ok(());
        }
        Err(BadSetting::Refused(complaint(&output.stderr)).into())
    }

    /// The server, if it runs.
    #[must_use]
    pub fn postmaster(&self) -> Option<Postmaster> {
        Postmaster::find(&self.data)
    }

    /// Tells a running server to read its configuration again.
    ///
    /// # Errors
    /// See [`SqlError`].
    pub async fn reload(&self, connection: &Connection) -> Result<(), SqlError> {
        connection.run("select pg_reload_conf()").await
    }

    /// Opens a session of the platform.
    ///
    /// # Errors
    /// See [`SqlError`].
    pub async fn connect(&self, database: &str, limits: Limits) -> Result<Connection, SqlError> {
        Connection::open(&self.socket_dir, database, limits).await
    }

    /// Ends the server and all its processes; see [`postmaster::stop`].
    ///
    /// # Errors
    /// When a process cannot be killed.
    pub async fn stop(&self, mode: StopMode, patience: Duration) -> Result<()> {
        Ok(postmaster::stop(&self.data, mode, patience).await?)
    }

    /// Ends the server at once and removes its data, socket and log.
    ///
    /// # Errors
    /// When a process cannot be killed, or a file cannot be removed.
    pub async fn remove(&self) -> Result<()> {
        self.stop(StopMode::Immediate, Duration::from_secs(2)).await?;
        // A copy to here that was broken off may still be ending.
        let place = Place::take(durable::beside(&self.data)).await?;
        let this = self.clone();
        let remove = move || -> Result<()> {
            let _place = place;
            // Half of it must never be taken for a cluster, so it loses its name first.
            let going = this.data.with_extension("going");
            if this.data.exists() {
                durable::remove_dir(&going)?;
                durable::rename(&this.data, &going)?;
            }
            durable::remove_dir(&going)?;
            durable::remove_dir(&durable::beside(&this.data))?;
            durable::remove_dir(&this.socket_dir)?;
            durable::remove_file(&this.log.with_extension("old"))?;
            Ok(durable::remove_file(&this.log)?)
        };
        tokio::task::spawn_blocking(remove)
            .await
            .context("wait for the removal")?
            .context("remove the cluster's files")
    }

    /// What is free on the file system of the data directory's parent, and its size, in bytes.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn disk(dir: &Path) -> io::Result<(u64, u64)> {
        let file = std::fs::File::open(dir)?;
        let stat = rustix::fs::fstatvfs(file.as_fd())?;
        Ok((stat.f_bavail * stat.f_frsize, stat.f_blocks * stat.f_frsize))
    }
}

/// What went wrong among many lines: PostgreSQL's own errors, else the end.
pub(crate) fn complaint(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let telling = |line: &str| {
        let mark =
            ["FATAL:", "PANIC:", "ERROR:", "LOG:"].iter().find_map(|mark| line.find(mark))?;
        let said = &line[mark..];
        let is_error = !said.starts_with("LOG:")
            || ["parameter \"", "syntax error", "could not"].iter().any(|part| said.contains(part));
        let is_summary = said.contains("contains errors");
        (is_error && !is_summary).then(|| said.trim().to_owned())
    };
    let told: Vec<_> = text.lines().filter_map(telling).collect();
    if told.is_empty() { last_lines(said) } else { told.join("; ") }
}
