//! A Procfile on this machine alone (B16): all processes are started together, and end together.

use std::collections::BTreeMap;
use std::pin::pin;

use howdah_model::process::DynoName;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::process::{Ended, Process, Setting, Streams};
use crate::team::{Listener, Signal, watch};

/// One process that is to be started.
#[derive(Clone, Debug)]
pub struct Start {
    /// Its name.
    pub name: DynoName,
    /// What a shell runs.
    pub command: String,
    /// All its variables.
    pub env: BTreeMap<String, String>,
}

/// What happens to a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was started, with this process id.
    Started(i32),
    /// It says something.
    Line(String),
    /// It has ended with this code.
    Exited(u8),
}

/// Runs processes until the first of them ends, or until `stop`; then all are ended. Answers the
/// code of the one that ended by itself. What happens is told to `events`, which must be read.
///
/// # Errors
/// When one cannot be started.
pub async fn run_together(
    setting: &Setting,
    starts: Vec<Start>,
    events: mpsc::Sender<(DynoName, Event)>,
    stop: impl Future<Output = ()>,
) -> std::io::Result<Option<u8>> {
    let mut running: JoinSet<(DynoName, Ended)> = JoinSet::new();
    let mut handles = Vec::new();
    for Start { name, command, env } in starts {
        let (process, ends) = Process::start(setting, &command, &env, Streams::Output)?;
        // Who reads has gone only when all is over.
        let _ = events.send((name.clone(), Event::Started(process.pid))).await;
        let (handle, signals) = mpsc::channel(1);
        handles.push(handle);
        let listener = Listener::Local { name: name.clone(), events: events.clone() };
        running.spawn(async move { (name, watch(process, ends, signals, listener).await) });
    }
    let mut stop = pin!(stop);
    let (mut first, mut is_ending) = (None, false);
    loop {
        let ended = tokio::select! {
            ended = running.join_next() => ended,
            () = &mut stop, if !is_ending => {
                is_ending = true;
                handles.iter().for_each(|one| { let _ = one.try_send(Signal::Terminate); });
                continue;
            }
        };
        let Some(ended) = ended else { return Ok(first) };
        let Ok((name, Ended(code))) = ended else { continue };
        let _ = events.send((name, Event::Exited(code))).await;
        if !is_ending {
            is_ending = true;
            first = Some(code);
            handles.iter().for_each(|one| {
                let _ = one.try_send(Signal::Terminate);
            });
        }
    }
}
