//! All processes of an app on this machine: brought to what is wanted, turn by turn.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use howdah_model::name::ProcessType;
use howdah_model::process::{Dyno, DynoName, DynoState, Io, OneOff, Said, Target, Verb};
use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::bridge;
use crate::lines::Cutter;
use crate::local::Event;
use crate::process::{Ended, Ends, Process, Setting, Streams, free_port, variables};
use crate::slot::{Act, Slot, Wanted};

/// How long what a process has left in its output is read after its end.
const REST: Duration = Duration::from_secs(2);

/// The exit code of a process that was killed.
const KILLED: u8 = 137;

/// What shall run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Goal {
    /// The number of the release.
    pub release: i32,
    /// The app's config vars.
    pub vars: BTreeMap<String, String>,
    /// How many of each type; none at all in maintenance mode.
    pub formation: BTreeMap<ProcessType, u32>,
}

/// The processes.
pub struct Team {
    setting: Setting,
    /// The commands of the types.
    commands: BTreeMap<ProcessType, String>,
    /// The port of `web.1`; without one, any that is free.
    port: Option<u16>,
    goal: Goal,
    slots: BTreeMap<DynoName, Slot>,
    one_offs: BTreeMap<DynoName, Dyno>,
    running: JoinSet<(DynoName, Ended)>,
    handles: HashMap<DynoName, mpsc::Sender<Signal>>,
    said: mpsc::Sender<Said>,
    now: fn() -> Timestamp,
    is_ending: bool,
}

/// What is asked of whoever watches a process.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Signal {
    Terminate,
}

impl Team {
    /// A team of nobody. What its processes say goes to `said`, which must be read.
    #[must_use]
    pub fn new(
        setting: Setting,
        commands: BTreeMap<ProcessType, String>,
        port: Option<u16>,
        said: mpsc::Sender<Said>,
        now: fn() -> Timestamp,
    ) -> Self {
        Self {
            setting,
            commands,
            port,
            goal: Goal::default(),
            slots: BTreeMap::new(),
            one_offs: BTreeMap::new(),
            running: JoinSet::new(),
            handles: HashMap::new(),
            said,
            now,
            is_ending: false,
        }
    }

    /// Changes what shall run. [`Team::turn`] brings it about.
    pub fn want(&mut self, goal: Goal) {
        let others = goal.vars != self.goal.vars;
        if others && goal.release == self.goal.release {
            // What is known only by its values is a reason to begin anew as well.
            let now = Instant::now();
            self.slots.values_mut().for_each(|slot| slot.restart(now));
        }
        self.goal = goal;
    }

    /// Restarts or stops processes.
    pub fn order(&mut self, of: &Target, what: Verb) {
        let now = Instant::now();
        for (name, slot) in &mut self.slots {
            if of.has(name) {
                // What belongs to the formation is started again in both cases.
                slot.restart(now);
            }
        }
        if what == Verb::Stop {
            let names: Vec<_> = self.one_offs.keys().filter(|name| of.has(name)).cloned().collect();
            names.iter().for_each(|name| self.stop_one_off(name));
        }
    }

    /// The processes, by name.
    #[must_use]
    pub fn dynos(&self) -> Vec<Dyno> {
        let formation = self.slots.iter().map(|(name, slot)| Dyno {
            name: name.clone(),
            command: slot.runs.command.clone(),
            state: slot.state,
            since: slot.since,
            release: slot.runs.release,
            one_off: None,
        });
        formation.chain(self.one_offs.values().cloned()).collect()
    }

    /// Brings about what is wanted as far as that is possible now, then waits until something has
    /// changed: a process has ended, or one is to be started again. Can be given up at any moment.
    pub async fn turn(&mut self) {
        if self.bring_about() {
            return;
        }
        let due = self.slots.values().filter_map(Slot::due).min();
        let alarm = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = next(&mut self.running) => self.ended(&ended.0, ended.1),
            () = alarm => {}
        }
    }

    /// Ends everything, and returns when nothing runs any more.
    pub async fn end(&mut self) {
        self.is_ending = true;
        let names: Vec<_> = self.one_offs.keys().cloned().collect();
        names.iter().for_each(|name| self.stop_one_off(name));
        self.bring_about();
        while let Some(ended) = self.running.join_next().await {
            if let Ok((name, ended)) = ended {
                self.ended(&name, ended);
            }
        }
        self.bring_about();
    }

    /// Whether a process may be started.
    fn wanted(&self, name: &DynoName) -> Option<Wanted> {
        let number = self.goal.formation.get(&name.kind).copied().unwrap_or(0);
        let command = self.commands.get(&name.kind)?;
        (!self.is_ending && name.number <= number)
            .then(|| Wanted { command: command.clone(), release: self.goal.release })
    }

    /// Does all that can be done now. `true` when something was.
    fn bring_about(&mut self) -> bool {
        let (now, at) = (Instant::now(), (self.now)());
        let mut changed = false;
        for kind in self.commands.keys() {
            for number in 1..=self.goal.formation.get(kind).copied().unwrap_or(0) {
                let name = DynoName { kind: kind.clone(), number };
                if self.slots.contains_key(&name) {
                    continue;
                }
                if let Some(wanted) = self.wanted(&name) {
                    self.slots.insert(name, Slot::new(wanted, now, at));
                }
            }
        }
        let names: Vec<_> = self.slots.keys().cloned().collect();
        for name in names {
            let wanted = self.wanted(&name);
            let Some(slot) = self.slots.get(&name) else { continue };
            let Some(act) = slot.next(wanted.as_ref(), now) else { continue };
            changed = true;
            match (act, wanted) {
                (Act::Start, Some(wanted)) => self.start(&name, wanted),
                (Act::Stop, wanted) => self.stop(&name, wanted.is_some()),
                (Act::Start | Act::Remove, _) => {
                    self.slots.remove(&name);
                }
            }
        }
        changed
    }

    fn start(&mut self, name: &DynoName, wanted: Wanted) {
        let (now, at) = (Instant::now(), (self.now)());
        let before = self.slots.get(name).map_or(DynoState::Starting, |slot| slot.state);
        if before != DynoState::Starting {
            // Of one that begins anew it is not told that it was down in between.
            let before = if before == DynoState::Down { DynoState::Up } else { before };
            self.tell(name, &format!("State changed from {before} to starting"));
        }
        self.tell(name, &format!("Starting process with command `{}`", wanted.command));
        let port = if name.kind.as_str() == "web" { self.port_of(name.number) } else { None };
        let vars = variables(&self.goal.vars, &name.to_string(), port);
        let started = Process::start(&self.setting, &wanted.command, &vars, Streams::Output);
        let Some(slot) = self.slots.get_mut(name) else { return };
        match started {
            Ok((process, ends)) => {
                slot.started(wanted, now, at);
                self.tell(name, "State changed from starting to up");
                self.keep(name, process, ends);
            }
            Err(error) => {
                slot.runs = wanted;
                slot.ended(now, at);
                self.tell(name, &format!("Error R99 (Platform error) -> {error}"));
                self.tell(name, "State changed from starting to crashed");
            }
        }
    }

    fn port_of(&self, number: u32) -> Option<u16> {
        match self.port {
            Some(first) => first.checked_add(u16::try_from(number - 1).ok()?),
            None => free_port().ok(),
        }
    }

    fn stop(&mut self, name: &DynoName, comes_again: bool) {
        if let Some(slot) = self.slots.get_mut(name) {
            slot.stopped(Instant::now(), (self.now)());
        }
        if comes_again {
            self.tell(name, "Restarting");
        }
        self.tell(name, "Stopping all processes with SIGTERM");
        self.signal(name);
    }

    fn signal(&self, name: &DynoName) {
        if let Some(handle) = self.handles.get(name) {
            // One that is full has this order already.
            let _ = handle.try_send(Signal::Terminate);
        }
    }

    /// Watches a process whose output goes to the log.
    fn keep(&mut self, name: &DynoName, process: Process, ends: Ends) {
        let (handle, signals) = mpsc::channel(1);
        self.handles.insert(name.clone(), handle);
        let (name, said, now) = (name.clone(), self.said.clone(), self.now);
        self.running.spawn(async move {
            let listener = Listener::Log { name: name.clone(), said, now };
            let ended = watch(process, ends, signals, listener).await;
            (name, ended)
        });
    }

    fn ended(&mut self, name: &DynoName, ended: Ended) {
        let (now, at) = (Instant::now(), (self.now)());
        self.handles.remove(name);
        let Ended(code) = ended;
        if self.one_offs.remove(name).is_some() {
            self.tell(name, &format!("Process exited with status {code}"));
            self.tell(name, "State changed from up to complete");
            return;
        }
        let grace = self.setting.grace;
        let Some(slot) = self.slots.get_mut(name) else { return };
        let late = slot.state == DynoState::Stopping && code == KILLED && slot.lasted(now) >= grace;
        slot.ended(now, at);
        let state = slot.state;
        if late {
            let seconds = grace.as_secs();
            self.tell(
                name,
                &format!(
                    "Error R12 (Exit timeout) -> At least one process failed to exit within \
                     {seconds} seconds of SIGTERM"
                ),
            );
        }
        self.tell(name, &format!("Process exited with status {code}"));
        if state == DynoState::Crashed || self.wanted(name).is_none() {
            self.tell(name, &format!("State changed from up to {state}"));
        }
    }

    /// Starts a one-off process. One that has a stream is ended when whoever asked goes away.
    pub fn run<S>(&mut self, one_off: &OneOff, stream: Option<S>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let OneOff { id, name, command, env, io } = one_off;
        let at = (self.now)();
        let mut vars = variables(&self.goal.vars, &name.to_string(), None);
        vars.extend(env.iter().map(|(name, value)| (name.clone(), value.clone())));
        vars.insert("DYNO".to_owned(), name.to_string());
        let streams = match *io {
            Io::Log => Streams::Output,
            Io::Stream => Streams::Three,
            Io::Terminal { rows, columns } => Streams::Terminal { rows, columns },
        };
        self.tell(name, &format!("Starting process with command `{command}`"));
        match Process::start(&self.setting, command, &vars, streams) {
            Ok((process, ends)) => {
                self.tell(name, "State changed from starting to up");
                match stream {
                    Some(stream) => self.bridge(name, process, ends, stream),
                    None => self.keep(name, process, ends),
                }
            }
            Err(error) => {
                self.tell(name, &format!("Error R99 (Platform error) -> {error}"));
                return;
            }
        }
        let dyno = Dyno {
            name: name.clone(),
            command: command.clone(),
            state: DynoState::Up,
            since: at,
            release: self.goal.release,
            one_off: Some(*id),
        };
        self.one_offs.insert(name.clone(), dyno);
    }

    fn bridge<S>(&mut self, name: &DynoName, process: Process, ends: Ends, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (handle, signals) = mpsc::channel(1);
        self.handles.insert(name.clone(), handle);
        let name = name.clone();
        self.running.spawn(async move {
            let ended = bridge::carry(process, ends, stream, async move {
                let mut signals = signals;
                // Without anybody who could send one, none comes.
                if signals.recv().await.is_none() {
                    std::future::pending::<()>().await;
                }
            });
            (name, ended.await)
        });
    }

    fn stop_one_off(&mut self, name: &DynoName) {
        if let Some(dyno) = self.one_offs.get_mut(name) {
            dyno.state = DynoState::Stopping;
            self.tell(name, "Stopping all processes with SIGTERM");
            self.signal(name);
        }
    }

    /// Says something of a process, for the log.
    fn tell(&self, name: &DynoName, text: &str) {
        let said =
            Said { at: (self.now)(), dyno: name.clone(), of_platform: true, text: text.into() };
        // A reader that is behind misses it; the state is told by the report as well.
        let _ = self.said.try_send(said);
    }
}

impl std::fmt::Debug for Team {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Team").field("slots", &self.slots).finish_non_exhaustive()
    }
}

/// The next process that ends; waits for ever when none runs.
async fn next(running: &mut JoinSet<(DynoName, Ended)>) -> (DynoName, Ended) {
    loop {
        match running.join_next().await {
            Some(Ok(ended)) => return ended,
            // A task that was given up has said why.
            Some(Err(_)) => {}
            None => std::future::pending().await,
        }
    }
}

/// Who hears what a process says.
pub(crate) enum Listener {
    /// The app's log.
    Log { name: DynoName, said: mpsc::Sender<Said>, now: fn() -> Timestamp },
    /// The person at this machine.
    Local { name: DynoName, events: mpsc::Sender<(DynoName, Event)> },
}

impl Listener {
    async fn hear(&self, lines: impl IntoIterator<Item = String>) {
        for text in lines {
            // Whoever listens may have gone; the process goes on.
            match self {
                Self::Log { name, said, now } => {
                    let line = Said { at: now(), dyno: name.clone(), of_platform: false, text };
                    let _ = said.send(line).await;
                }
                Self::Local { name, events } => {
                    let _ = events.send((name.clone(), Event::Line(text))).await;
                }
            }
        }
    }
}

/// Hears a process until its end.
pub(crate) async fn watch(
    mut process: Process,
    ends: Ends,
    mut signals: mpsc::Receiver<Signal>,
    listener: Listener,
) -> Ended {
    let Ends::Output(output) = ends else { return process.wait().await };
    let mut cutter = Cutter::default();
    let mut buffer = vec![0; 16 * 1024];
    let mut open = true;
    let ended = loop {
        tokio::select! {
            ended = process.wait() => break ended,
            Some(Signal::Terminate) = signals.recv() => process.terminate(),
            read = read_some(&output, &mut buffer), if open => match read {
                Some(read) => listener.hear(cutter.push(&buffer[..read])).await,
                None => open = false,
            },
        }
    };
    let rest = async {
        while let Some(read) = read_some(&output, &mut buffer).await {
            listener.hear(cutter.push(&buffer[..read])).await;
        }
    };
    // Nobody is left who could hold it open, but a process that took another's place.
    let _ = tokio::time::timeout(REST, rest).await;
    listener.hear(cutter.finish()).await;
    ended
}

async fn read_some(output: &tokio::net::unix::pipe::Receiver, to: &mut [u8]) -> Option<usize> {
    loop {
        output.readable().await.ok()?;
        match output.try_read(to) {
            Ok(0) => return None,
            Ok(read) => return Some(read),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return None,
        }
    }
}
