//! The log stream of each app (B24): one collector of what its processes print, what is done to it
//! and what happens to its databases. Kept in memory, bounded; whoever reads too slowly is told how
//! many lines they missed, and costs nothing.

mod line;
mod sessions;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use howdah_model::ids::AppId;
use tokio::sync::watch;

use crate::clock::Clock;

pub use line::{Filter, LONGEST, Line, Source};
pub use sessions::{Session, open_session, seal_session};

/// The most lines that are kept of an app, as on Heroku.
pub const LINES: usize = 1500;

/// The most bytes of text that are kept of an app.
const BYTES: usize = 2 << 20;

/// The most bytes of text that are kept of all apps together.
const ALL_BYTES: usize = 64 << 20;

/// What a line costs beside its text.
const OVERHEAD: usize = size_of::<Line>();

/// The log streams of all apps.
pub struct Logs {
    clock: Arc<dyn Clock>,
    streams: Mutex<Streams>,
}

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logs").finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Streams {
    of: HashMap<AppId, Stream>,
    bytes: usize,
}

#[derive(Debug)]
struct Stream {
    lines: VecDeque<Line>,
    bytes: usize,
    /// The id of the newest line; readers wait for it to grow.
    newest: watch::Sender<u64>,
}

/// Lines that a reader gets at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The lines, oldest first.
    pub lines: Vec<Line>,
    /// How many lines between the reader's place and the first of these are not kept any more.
    pub missed: u64,
    /// The reader's place after these.
    pub place: Place,
}

/// Where a reader is in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The id of the last line that was looked at.
    id: u64,
    /// How many lines the stream had told by then; none for a reader that comes back.
    count: Option<u64>,
}

impl Place {
    /// The place of a reader that comes back and has seen the line with this id.
    #[must_use]
    pub fn after(id: u64) -> Self {
        Self { id, count: None }
    }
}

/// The most lines that are handed to a reader at once.
const BATCH: usize = 100;

impl Logs {
    /// No streams yet.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, streams: Mutex::default() }
    }

    /// Adds to the stream of an app what `process` says (`web.1`, `api`, `pgbackups`). A text of
    /// several lines becomes several; what could harm a terminal is taken out, and what is longer
    /// than [`LONGEST`] is cut. Secrets must not be in it.
    pub fn tell(&self, app: AppId, source: Source, process: &str, text: &str) {
        let now = self.clock.now();
        self.tell_at(app, text.lines().map(|text| Line::new(now, source, process, text)));
    }

    /// Adds lines that were made elsewhere, in their order.
    pub fn tell_at(&self, app: AppId, lines: impl IntoIterator<Item = Line>) {
        let mut all = self.lock();
        for line in lines {
            all.add(app, line);
        }
        all.make_room(app);
    }

    /// Forgets the stream of an app that was destroyed; its readers come to their end.
    pub fn forget(&self, app: AppId) {
        self.lock().remove(app);
    }

    /// The place from which on a reader sees the newest `most` lines that pass the filter.
    #[must_use]
    pub fn place_before(&self, app: AppId, filter: &Filter, most: usize) -> Place {
        let mut all = self.lock();
        let stream = all.of(app);
        let newest = Place { id: *stream.newest.borrow(), count: Some(stream.told()) };
        let shown = stream.lines.iter().rev().filter(|line| filter.passes(line));
        let Some(first) = shown.take(most.min(LINES)).last() else { return newest };
        Place { id: first.id - 1, count: Some(first.count - 1) }
    }

    /// The next lines after a place that pass a filter; none when there is nothing new.
    #[must_use]
    pub fn read(&self, app: AppId, filter: &Filter, place: Place) -> Batch {
        let mut all = self.lock();
        let stream = all.of(app);
        let begin = stream.lines.partition_point(|line| line.id <= place.id);
        let mut batch = Batch { lines: Vec::new(), missed: 0, place };
        let first = stream.lines.get(begin).map_or(stream.told(), |line| line.count - 1);
        batch.missed = place.count.map_or(0, |count| first.saturating_sub(count));
        for line in stream.lines.range(begin..) {
            batch.place = Place { id: line.id, count: Some(line.count) };
            if filter.passes(line) {
                batch.lines.push(line.clone());
            }
            if batch.lines.len() == BATCH {
                break;
            }
        }
        batch
    }

    /// What tells a reader that there is something new. It ends when the stream is forgotten.
    #[must_use]
    pub fn news(&self, app: AppId) -> watch::Receiver<u64> {
        self.lock().of(app).newest.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Streams> {
        // What is kept is whole after every statement.
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Streams {
    fn of(&mut self, app: AppId) -> &mut Stream {
        self.of.entry(app).or_insert_with(|| Stream {
            lines: VecDeque::new(),
            bytes: 0,
            newest: watch::Sender::new(0),
        })
    }

    fn add(&mut self, app: AppId, mut line: Line) {
        let stream = self.of(app);
        // Ids grow over restarts of the platform too, so that readers that come back by theirs get
        // what is new: they are of the clock.
        let clock = u64::try_from(line.at.as_microsecond()).unwrap_or(0);
        line.id = clock.max(*stream.newest.borrow() + 1);
        line.count = stream.told() + 1;
        stream.newest.send_replace(line.id);
        let bytes = cost(&line);
        stream.bytes += bytes;
        stream.lines.push_back(line);
        self.bytes += bytes;
        let stream = self.of(app);
        let mut freed = 0;
        while stream.lines.len() > LINES || stream.bytes - freed > BYTES {
            let Some(oldest) = stream.lines.pop_front() else { break };
            freed += cost(&oldest);
        }
        stream.bytes -= freed;
        self.bytes -= freed;
    }

    /// Lets the streams that were quiet for longest go when all together are too much.
    fn make_room(&mut self, but: AppId) {
        while self.bytes > ALL_BYTES {
            let others = self.of.iter().filter(|(app, stream)| **app != but && stream.bytes > 0);
            let quiet = others.min_by_key(|(_, stream)| *stream.newest.borrow());
            let Some(app) = quiet.map(|(app, _)| *app) else { break };
            let stream = self.of(app);
            let bytes = std::mem::take(&mut stream.bytes);
            stream.lines = VecDeque::new();
            self.bytes -= bytes;
        }
    }

    fn remove(&mut self, app: AppId) {
        if let Some(stream) = self.of.remove(&app) {
            self.bytes -= stream.bytes;
        }
    }
}

impl Stream {
    /// How many lines were told so far, as far as is known.
    fn told(&self) -> u64 {
        self.lines.back().map_or(0, |line| line.count)
    }
}

fn cost(line: &Line) -> usize {
    line.text.len() + line.process.len() + OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

    struct Still;

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            NOW
        }
    }

    fn logs() -> Logs {
        Logs::new(Arc::new(Still))
    }

    fn texts(batch: &Batch) -> Vec<&str> {
        batch.lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn b24_the_newest_lines_are_read_in_order_and_then_only_what_is_new() {
        let (logs, app, all) = (logs(), AppId::new(), Filter::default());
        for number in 0..10 {
            logs.tell(app, Source::App, "web.1", &format!("line {number}"));
        }
        let place = logs.place_before(app, &all, 2);
        let batch = logs.read(app, &all, place);
        assert_eq!(texts(&batch), ["line 8", "line 9"]);
        assert_eq!(texts(&logs.read(app, &all, batch.place)), [""; 0]);
        logs.tell(app, Source::Heroku, "api", "one\ntwo");
        let next = logs.read(app, &all, batch.place);
        assert_eq!((texts(&next), next.missed), (vec!["one", "two"], 0));
        let again = logs.read(app, &all, Place::after(batch.place.id));
        assert_eq!(again.lines, next.lines, "who comes back by an id gets what is after it");
    }

    #[test]
    fn b24_lines_are_picked_by_source_and_by_process() {
        let (logs, app) = (logs(), AppId::new());
        for (source, process) in
            [(Source::App, "web.1"), (Source::App, "web.12"), (Source::App, "worker.1")]
        {
            logs.tell(app, source, process, process);
        }
        logs.tell(app, Source::Heroku, "web.1", "State changed");
        let picked = |source, process: Option<&str>| {
            let filter = Filter { source, process: process.map(str::to_owned) };
            let place = logs.place_before(app, &filter, 100);
            let batch = logs.read(app, &filter, place);
            batch.lines.into_iter().map(|line| line.text).collect::<Vec<_>>()
        };
        assert_eq!(picked(None, Some("web.1")), ["web.1", "State changed"]);
        assert_eq!(picked(None, Some("web")), ["web.1", "web.12", "State changed"]);
        assert_eq!(picked(Some(Source::App), Some("web")), ["web.1", "web.12"]);
        assert_eq!(picked(Some(Source::Heroku), None), ["State changed"]);
    }

    #[test]
    fn b24_memory_is_bounded_and_a_slow_reader_is_told_what_it_missed() {
        let (logs, app, all) = (logs(), AppId::new(), Filter::default());
        logs.tell(app, Source::App, "web.1", "first");
        let slow = logs.read(app, &all, logs.place_before(app, &all, 1)).place;
        for number in 0..5000 {
            logs.tell(app, Source::App, "web.1", &number.to_string());
        }
        assert_eq!(logs.lock().of(app).lines.len(), LINES);
        let batch = logs.read(app, &all, slow);
        assert_eq!((batch.missed, batch.lines[0].text.as_str()), (3500, "3500"));
        let long = "x".repeat(LONGEST);
        for app in [app, AppId::new(), AppId::new()] {
            for _ in 0..LINES {
                logs.tell(app, Source::App, "web.1", &long);
            }
            assert!(logs.lock().of(app).bytes <= BYTES);
        }
        let kept = |logs: &Logs| logs.lock().of.values().map(|one| one.bytes).sum::<usize>();
        assert_eq!(kept(&logs), logs.lock().bytes);
        for _ in 0..40 {
            let app = AppId::new();
            logs.tell_at(app, (0..LINES).map(|_| Line::new(NOW, Source::App, "w", &long)));
        }
        assert!(kept(&logs) <= ALL_BYTES);
        assert_eq!(kept(&logs), logs.lock().bytes);
        logs.forget(app);
        assert_eq!(kept(&logs), logs.lock().bytes);
    }

    #[tokio::test]
    async fn readers_are_woken_by_what_is_new_and_end_with_the_stream() {
        let (logs, app) = (logs(), AppId::new());
        let mut news = logs.news(app);
        logs.tell(app, Source::App, "web.1", "x");
        news.changed().await.expect("woken");
        logs.forget(app);
        assert!(news.changed().await.is_err());
    }
}
