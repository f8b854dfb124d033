//! `howdah logs`: the app's log stream (B24).

use std::time::Duration;

use reqwest::Url;
use serde::Deserialize;
use serde_json::json;
use tokio::time::sleep;

use crate::app;
use crate::command::{APP, Command, Group, Opt, REMOTE, command};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::given::Given;
use crate::link::Link;
use crate::session::Session;

/// The pause before a stream that broke is opened again.
const AGAIN: Duration = Duration::from_secs(1);

/// How many times in a row that is tried.
const TRIES: u32 = 30;

pub(super) const COMMANDS: &[Command] =
    &[command("logs", Group::Apps, "Show an app's log, or follow it", |s, g| Box::pin(logs(s, g)))
        .options(&[
            APP,
            REMOTE,
            Opt::flag("tail", Some('t'), "go on with what is new"),
            Opt::value("num", Some('n'), "N", "how many lines [default: 100, at most 1500]"),
            Opt::value(
                "source",
                Some('s'),
                "SOURCE",
                "only lines of `app`, or of `heroku`: the platform",
            ),
            Opt::value(
                "ps",
                Some('p'),
                "PROCESS",
                "only lines of a process or a type: web.1, pgbackups",
            ),
            Opt::value("dyno", Some('d'), "PROCESS", "the same"),
            Opt::flag("force-colors", None, "accepted and not needed"),
        ])
        .note("The platform keeps the last 1500 lines of an app, in memory.")
        .examples(&["howdah logs -a demo", "howdah logs -t -p web -a demo"])];

#[derive(Deserialize)]
struct LogSession {
    logplex_url: String,
}

async fn logs(session: &Session, given: &Given) -> Result<(), Failure> {
    let app = app::named(session, given)?;
    let tail = given.has("tail");
    let mut body = json!({ "lines": given.number("num", 100)?, "tail": tail });
    if let Some(source) = given.value("source") {
        body["source"] = source.into();
    }
    if let Some(process) = given.value("ps").or(given.value("dyno")) {
        body["dyno"] = process.into();
    }
    let opened: LogSession = session.post(&["apps", &app, "log-sessions"], body).await?;
    let url = Url::parse(&opened.logplex_url).map_err(|error| {
        Failure::new(Exit::Failed, "bad-answer", format!("The address of the log: {error}"))
    })?;
    let link = Link::of(session)?;
    let mut events = Events::default();
    let mut tries = 0;
    loop {
        match read(session, &link, &url, tail, &mut events).await {
            Ok(()) if !tail || !session.screen.is_read() => break,
            Ok(()) => tries = 0,
            Err(failure) if tail && failure.exit == Exit::NotFound => {
                let message = "The log stream has come to its end. Ask for it again";
                return Err(Failure::new(Exit::TimedOut, "stream-over", message));
            }
            Err(failure) if !tail || tries == TRIES => return Err(failure),
            Err(_) => tries += 1,
        }
        sleep(AGAIN).await;
    }
    if session.wants_json() {
        return session.answer("logs", &events.kept, |_| {});
    }
    Ok(())
}

/// Shows a stream until it ends.
async fn read(
    session: &Session,
    link: &Link,
    url: &Url,
    tail: bool,
    events: &mut Events,
) -> Result<(), Failure> {
    events.rest.clear();
    let mut response = link.events(url.clone(), events.last.as_deref()).await?;
    loop {
        let broke = |error: reqwest::Error| {
            Failure::new(Exit::Unreachable, "stream-lost", format!("The log stream broke: {error}"))
        };
        let Some(bytes) = response.chunk().await.map_err(broke)? else { return Ok(()) };
        for line in events.push(&bytes) {
            if session.wants_json() && !tail {
                events.kept.push(json!({ "line": line }));
            } else {
                session.screen.out(&format!("{line}\n"));
            }
        }
        if !session.screen.is_read() {
            return Ok(());
        }
    }
}

/// Events out of a stream (`text/event-stream`).
#[derive(Debug, Default)]
struct Events {
    rest: Vec<u8>,
    /// The id of the last event.
    last: Option<String>,
    kept: Vec<serde_json::Value>,
}

impl Events {
    /// Takes in bytes and hands out the lines of the events that they end.
    fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        self.rest.extend_from_slice(bytes);
        let mut lines = Vec::new();
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\r', '\n']);
            if let Some(id) = line.strip_prefix("id:") {
                self.last = Some(id.trim().to_owned());
            } else if let Some(data) = line.strip_prefix("data:") {
                lines.push(data.strip_prefix(' ').unwrap_or(data).to_owned());
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b25_events_come_out_however_they_are_cut() {
        let stream = ":\n\ndata: one two\nid: 7\n\n:alive\n\nid: 8\ndata: é\n\nda";
        for size in [1, 5, stream.len()] {
            let mut events = Events::default();
            let parts = stream.as_bytes().chunks(size);
            let lines: Vec<_> = parts.flat_map(|part| events.push(part)).collect();
            assert_eq!(
                (lines, events.last.as_deref()),
                (vec!["one two".into(), "é".into()], Some("8"))
            );
        }
    }
}
