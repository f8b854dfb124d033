//! WAL from the archive: what is asked for, and what will be asked for next.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use howdah_archive::wal::{Segment, WalName};
use howdah_archive::{Fetched, Timeline};
use howdah_cluster::RunAs;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How many segments are fetched ahead of PostgreSQL.
const AHEAD: usize = 4;
/// How long one file may take.
const BOUND: Duration = Duration::from_secs(300);

/// What came of a fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    /// The file is there, PostgreSQL's own, to be moved away.
    File(PathBuf),
    /// The same, of a segment of which only the beginning is there: so many bytes, the rest is zeros.
    Part(PathBuf, u32),
    /// The archive has none.
    Missing,
}

/// How a segment that is fetched ahead came out: none when not all of it was there.
type Ahead = watch::Receiver<Option<Option<PathBuf>>>;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Fetching {
    source: Timeline,
    dir: PathBuf,
    owner: RunAs,
    ahead: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    segments: BTreeMap<Segment, Ahead>,
    tasks: JoinSet<()>,
}

impl Fetching {
    pub(crate) fn new(source: Timeline, dir: PathBuf, owner: RunAs) -> Self {
        Self { source, dir, owner, ahead: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers the file of that name. Of the segment that was being written there may be only the
    /// beginning; the rest is zeros then.
    ///
    /// # Errors
    /// When the archive does not answer, or what it has is not sound.
    pub(crate) async fn fetch(&self, name: WalName) -> Result<Got> {
        let WalName::Segment(segment) = name else { return self.now(&name).await };
        let known = {
            let mut state = self.lock();
            // What PostgreSQL has gone past is not asked for again.
            state.segments = state.segments.split_off(&segment);
            state.segments.remove(&segment)
        };
        let path = match known {
            Some(mut ahead) => {
                let seen = timeout(BOUND, ahead.wait_for(Option::is_some)).await;
                seen.ok().and_then(Result::ok).and_then(|seen| seen.clone().flatten())
            }
            None => None,
        };
        let got = match path.filter(|path| path.exists()) {
            Some(path) => Got::File(path),
            None => self.now(&name).await?,
        };
        if matches!(got, Got::File(_) | Got::Part(..)) {
            self.look_ahead(segment);
        }
        Ok(got)
    }

    async fn now(&self, name: &WalName) -> Result<Got> {
        let path = self.dir.join(name.to_string());
        let fetched = timeout(BOUND, self.source.fetch_wal(name, &path))
            .await
            .with_context(|| format!("{name} does not come out of the archive"))?
            .with_context(|| format!("fetch {name} from the archive"))?;
        match fetched {
            Fetched::Missing => Ok(Got::Missing),
            Fetched::Whole => {
                self.owner.give(&path)?;
                Ok(Got::File(path))
            }
            Fetched::FromTail { valid_to } => {
                self.owner.give(&path)?;
                Ok(Got::Part(path, valid_to))
            }
        }
    }

    fn look_ahead(&self, segment: Segment) {
        let mut state = self.lock();
        while state.tasks.try_join_next().is_some() {}
        let mut next = segment;
        for _ in 0..AHEAD {
            next = next.next();
            if state.segments.contains_key(&next) {
                continue;
            }
            let (tell, told) = watch::channel(None);
            state.segments.insert(next, told);
            let (source, owner) = (self.source.clone(), self.owner.clone());
            let path = self.dir.join(next.to_string());
            state.tasks.spawn(async move {
                let fetched = source.fetch_wal(&WalName::Segment(next), &path).await;
                // What is not all there yet may be when it is asked for.
                let whole = matches!(fetched, Ok(Fetched::Whole)) && owner.give(&path).is_ok();
                tell.send_replace(Some(whole.then_some(path)));
            });
        }
    }
}
