//! Keeps copies of the templates ready, so that a participant needs a rename instead of a copy.
//! They are made when nothing else is asked for, one at a time, while there is plenty of disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use howdah_cluster::{Cluster, RunAs, Template, durable};
use howdah_model::agent::Installed;
use howdah_model::version::Major;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::Config;
use crate::layout::Layout;

/// How many of the newest major, and of each other.
const COUNTS: [usize; 2] = [2, 1];
/// How long no participant must have been made before a copy is: it is starting then.
const REST: Duration = Duration::from_millis(500);
/// The same at the start of the agent, when there is most to do for others.
const FIRST_REST: Duration = Duration::from_secs(3);
/// After how long it is looked again without a reason: disk may have become free.
const NOW_AND_THEN: Duration = Duration::from_secs(300);
/// What must be free of the disk, in bytes: databases have it before copies.
const DISK_FREE: u64 = 2 << 30;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct ReadyCopies {
    dir: PathBuf,
    templates: PathBuf,
    run_as: RunAs,
    /// The places of all copies.
    places: BTreeMap<Major, (Installed, Vec<PathBuf>)>,
    taken: Notify,
}

impl ReadyCopies {
    pub(crate) fn new(layout: &Layout, config: &Config) -> Self {
        let dir = layout.spares();
        let newest = config.installed.iter().map(|one| one.version.major).max();
        let places = |one: &Installed| {
            let major = one.version.major;
            let count = COUNTS[usize::from(Some(major) != newest)];
            let places = (1..=count).map(|n| dir.join(format!("{major}-{n}"))).collect();
            (major, (one.clone(), places))
        };
        Self {
            places: config.installed.iter().map(places).collect(),
            templates: layout.templates(),
            run_as: config.run_as.clone(),
            taken: Notify::new(),
            dir,
        }
    }

    /// Where copies for a participant of this major may be.
    pub(crate) fn of(&self, major: Major) -> Vec<PathBuf> {
        self.places.get(&major).map(|(_, places)| places.clone()).unwrap_or_default()
    }

    /// A participant was made, so there may be a copy less.
    pub(crate) fn taken(&self) {
        self.taken.notify_one();
    }

    /// Goes on until it is told to stop. What goes wrong is logged: nothing depends on a copy.
    pub(crate) async fn keep(&self, stop: &CancellationToken) {
        if let Err(error) = self.clean() {
            tracing::warn!("{error:#}");
        }
        let mut pause = FIRST_REST;
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => return,
                asked = timeout(pause, self.taken.notified()) => if asked.is_ok() {
                    pause = REST;
                    continue;
                }
            }
            pause = match self.make_one(stop).await {
                Ok(true) => REST,
                Ok(false) => NOW_AND_THEN,
                Err(error) => {
                    tracing::warn!("no ready copy of a template: {error:#}");
                    NOW_AND_THEN
                }
            };
        }
    }

    /// Removes what a crash has left half made, and what is for no installed version.
    fn clean(&self) -> Result<()> {
        let entries = std::fs::read_dir(&self.dir).context("list the ready copies")?;
        for entry in entries.flatten() {
            let path = entry.path();
            if !self.places.values().any(|(_, places)| places.contains(&path)) {
                durable::remove_dir(&path).context("remove a half-made copy")?;
            }
        }
        Ok(())
    }

    /// Makes the first copy that is missing. Says whether there was one.
    async fn make_one(&self, stop: &CancellationToken) -> Result<bool> {
        let Some((template, place)) = self.missing() else { return Ok(false) };
        if !has_room(&self.dir)? {
            return Ok(false);
        }
        let stopped = stop.clone();
        let made = template.make_copy(&place, &self.run_as, move || stopped.is_cancelled()).await;
        if !stop.is_cancelled() {
            made.with_context(|| format!("make {}", place.display()))?;
        }
        Ok(true)
    }

    /// Versions without a template wait until somebody needs one.
    fn missing(&self) -> Option<(Template, PathBuf)> {
        // The newest first: it is what is asked for when nothing else is.
        self.places.values().rev().find_map(|(installed, places)| {
            let template = Template::find(&self.templates, installed)?;
            let place = places.iter().find(|place| !template.has_copy(place, &self.run_as))?;
            Some((template, place.clone()))
        })
    }
}

fn has_room(dir: &Path) -> Result<bool> {
    let (free, _) = Cluster::disk(dir).context("ask what is free of the disk")?;
    Ok(free >= DISK_FREE)
}
