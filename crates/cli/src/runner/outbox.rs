//! Lines that wait to be sent: bounded, so that a platform that is away costs lines and not memory,
//! and never the processes' time.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use howdah_model::process::Said;
use tokio::sync::Notify;

/// The most lines that wait.
const LINES: usize = 10_000;

/// The most bytes of text that wait.
const BYTES: usize = 4 << 20;

/// The most lines of one batch.
const BATCH_LINES: usize = 500;

/// The most bytes of text of one batch. As JSON they may be six times as many.
const BATCH_BYTES: usize = 100 << 10;

/// The box.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    content: Mutex<Content>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Content {
    lines: VecDeque<Said>,
    bytes: usize,
    dropped: u64,
    closed: bool,
}

impl Outbox {
    /// Puts a line in. When the box is full the oldest go.
    pub(crate) fn put(&self, line: Said) {
        let mut content = self.lock();
        content.bytes += line.text.len();
        content.lines.push_back(line);
        while content.lines.len() > LINES || content.bytes > BYTES {
            let Some(oldest) = content.lines.pop_front() else { break };
            content.bytes -= oldest.text.len();
            content.dropped += 1;
        }
        drop(content);
        self.news.notify_one();
    }

    /// Nothing more comes.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.news.notify_one();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// The next lines, when there are some; none when the box is closed and empty.
    pub(crate) async fn take(&self) -> Option<Vec<Said>> {
        loop {
            let batch = self.lock().batch();
            if !batch.is_empty() {
                return Some(batch);
            }
            if self.is_closed() {
                return None;
            }
            self.news.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        // It is whole after every statement.
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    fn batch(&mut self) -> Vec<Said> {
        let mut batch = Vec::new();
        let dropped = std::mem::take(&mut self.dropped);
        if let (Some(first), 1..) = (self.lines.front(), dropped) {
            let text = format!("Error L10 (output buffer overflow) -> {dropped} messages dropped");
            batch.push(Said { text, of_platform: true, ..first.clone() });
        }
        let mut bytes = 0;
        while let Some(line) = self.lines.front()
            && batch.len() < BATCH_LINES
            && (batch.is_empty() || bytes + line.text.len() <= BATCH_BYTES)
        {
            bytes += line.text.len();
            batch.extend(self.lines.pop_front());
        }
        self.bytes -= bytes;
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Said {
        Said {
            at: jiff::Timestamp::UNIX_EPOCH,
            dyno: "web.1".parse().expect("a name"),
            of_platform: false,
            text: text.to_owned(),
        }
    }

    #[tokio::test]
    async fn b24_what_waits_is_bounded_and_what_was_dropped_is_told() {
        let outbox = Outbox::default();
        for number in 0..LINES + 5 {
            outbox.put(line(&number.to_string()));
        }
        let first = outbox.take().await.expect("lines");
        assert_eq!(first.len(), BATCH_LINES);
        assert!(first[0].of_platform && first[0].text.contains("5 messages dropped"));
        assert_eq!(first[1].text, "5");
        for _ in 0..1000 {
            outbox.put(line(&"x".repeat(10_000)));
        }
        assert!(outbox.lock().bytes <= BYTES);
        outbox.close();
        let mut last = String::new();
        while let Some(batch) = outbox.take().await {
            let bytes: usize = batch.iter().map(|line| line.text.len()).sum();
            assert!(bytes <= BATCH_BYTES + 10_000, "{bytes}");
            last = batch.last().expect("not empty").text.clone();
        }
        assert_eq!((last.len(), outbox.lock().bytes), (10_000, 0));
    }
}
