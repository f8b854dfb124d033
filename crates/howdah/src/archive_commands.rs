//! `howdah archive`: what an operator sees of the archive, and the removal of what is too old.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use howdah_archive::{Archive, Timeline};
use howdah_model::agent::Expired;
use howdah_model::size::Bytes;
use jiff::Timestamp;

use crate::archive;
use crate::home::Home;
use crate::settings::Settings;

/// What is done with the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// List the histories in it, their base backups and how far their WAL goes.
    List,
    /// Put, read and remove something.
    Check,
    /// Say what would be removed.
    WouldReap,
    /// Remove it.
    Reap,
}

/// How long the agent may take: it lists all objects of all databases.
const PATIENCE: Duration = Duration::from_secs(300);

/// Does it and prints what came of it.
pub(crate) fn run(settings: &Settings, verb: Verb) -> ExitCode {
    let done = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start")
        .and_then(|runtime| runtime.block_on(perform(settings, verb)));
    match done {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!(" !    {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn perform(settings: &Settings, verb: Verb) -> Result<String> {
    let home = Home::new(&settings.home)?;
    match verb {
        Verb::List => list(&Archive::open(&archive::config(settings, &home)?)?).await,
        Verb::Check => {
            let archive = Archive::open(&archive::config(settings, &home)?)?;
            archive.check().await?;
            Ok(format!("{} can be written, read and cleared.\n", archive.location()))
        }
        Verb::WouldReap => reap(&home, reqwest::Method::GET).await,
        Verb::Reap => reap(&home, reqwest::Method::POST).await,
    }
}

async fn list(archive: &Archive) -> Result<String> {
    let timelines = archive.timelines().await?;
    let mut text = format!("{}: {} histories\n", archive.location(), timelines.len());
    for id in timelines {
        text += &describe(&archive.timeline(id)).await.with_context(|| format!("read {id}"))?;
    }
    Ok(text)
}

async fn describe(timeline: &Timeline) -> Result<String> {
    use std::fmt::Write as _;
    let mut text = format!("\n=== {}\n", timeline.id());
    if let Some(about) = timeline.about().await? {
        let _ = writeln!(text, "PostgreSQL {}", about.major);
    }
    let backups = timeline.backups().await?;
    for backup in &backups {
        let _ = writeln!(
            text,
            "base backup {}: {} of data, {} stored, from {} on",
            backup.id,
            Bytes(backup.bytes),
            Bytes(backup.stored),
            minute(backup.ended_at)
        );
    }
    let wal = timeline.wal().await?;
    for (tli, _) in wal.timelines() {
        if let Some(end) = wal.reaches(tli) {
            let _ = writeln!(text, "WAL of timeline {tli} to {end}");
        }
    }
    match backups.last().map(|newest| wal.gaps(newest.tli, newest.start)) {
        None => text += "nothing can be restored yet: there is no complete base backup\n",
        Some(gaps) => {
            for gap in gaps {
                let _ = writeln!(text, "missing behind the newest base backup: {gap}");
            }
        }
    }
    Ok(text)
}

fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// Only the agent knows how long each history is kept.
async fn reap(home: &Home, method: reqwest::Method) -> Result<String> {
    let http = reqwest::Client::builder()
        .unix_socket(home.join("run/agent.sock"))
        .timeout(PATIENCE)
        .build()?;
    let is_real = method == reqwest::Method::POST;
    let asked = http.request(method, "http://agent/expiry").send().await;
    let answer = asked.context(
        "the agent does not answer. It knows how long each history is kept: start it with `howdah up`",
    )?;
    if !answer.status().is_success() {
        bail!("the agent says: {}", answer.text().await.unwrap_or_default());
    }
    let expired: Vec<Expired> = answer.json().await.context("understand the agent")?;
    Ok(told(&expired, is_real))
}

fn told(expired: &[Expired], is_real: bool) -> String {
    let mut text = String::new();
    for Expired { place, bytes, why } in expired {
        text += &format!("{place}  {}  {why}\n", Bytes(*bytes));
    }
    let total = Bytes(expired.iter().map(|one| one.bytes).sum());
    let count = expired.len();
    let verb = if is_real { "removed" } else { "would be removed" };
    text + &format!(
        "{count} objects, {total}, {verb}. Nothing that a restore needs is among them.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_go_is_named_with_its_size_and_reason() {
        let one = Expired { place: "timelines/x/wal/1".into(), bytes: 2048, why: "wal".into() };
        let text = told(&[one], false);
        assert!(text.starts_with("timelines/x/wal/1  2.0 kB  wal\n"), "{text}");
        assert!(text.contains("1 objects, 2.0 kB, would be removed."), "{text}");
        assert!(told(&[], true).starts_with("0 objects"));
    }
}
