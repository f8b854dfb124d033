//! `howdah runner`: runs an app's processes on this machine.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use howdah_model::name::ProcessType;
use howdah_model::process::{Dyno, Io, OneOff, RELEASE, Report, Said, Wanted};
use howdah_runner::{Goal, Setting, Team, procfile};
use reqwest::Upgraded;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use uuid::Uuid;

use crate::app;
use crate::command::{APP, Argument, Command, Group, Opt, REMOTE, Times, command};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::given::Given;
use crate::link::Link;
use crate::runner::{Outbox, Post};
use crate::session::Session;

/// How long the last lines and the last report may take.
const FAREWELL: Duration = Duration::from_secs(3);

/// The shortest time that processes get to end, and the longest, in seconds.
const GRACE: std::ops::RangeInclusive<u64> = 1..=300;

pub(super) const COMMANDS: &[Command] =
    &[command("runner", Group::Apps, "Run an app's processes on this machine", |s, g| {
        Box::pin(run(s, g))
    })
    .arguments(&[Argument {
        name: "DIR",
        times: Times::Optional,
        means: "the directory with the Procfile [default: this one]",
    }])
    .options(&[
        APP,
        REMOTE,
        Opt::value("name", None, "NAME", "the runner's name [default: that of this machine]"),
        Opt::value("procfile", Some('f'), "FILE", "another Procfile"),
        Opt::value(
            "port",
            Some('p'),
            "PORT",
            "PORT of web.1; the next have the next [default: any]",
        ),
        Opt::value("grace", None, "SECS", "how long processes get to end [default: 30]"),
    ])
    .note(
        "Processes have the app's config vars, run as you, start anew at each release, and end \
         with the runner. They go on while the platform is away.",
    )
    .examples(&["howdah runner -a demo", "howdah runner /srv/demo -a demo --port 8000"])];

async fn run(session: &Session, given: &Given) -> Result<(), Failure> {
    let app = app::named(session, given)?;
    let directory = directory(session, given.value("DIR").unwrap_or("."))?;
    let commands = commands(&directory, given.value("procfile"))?;
    let name = given.value("name").map_or_else(machine, str::to_owned);
    let setting = Setting { program: program()?, directory, grace: grace(given)? };
    let port = given.value("port").map(|text| text.parse());
    let port = port.transpose().map_err(|_| Failure::usage("--port takes a port"))?;

    let post = Post { link: Link::of(session)?, app, name, instance: Uuid::now_v7() };
    let report = Report {
        instance: post.instance,
        begins: true,
        types: commands.clone(),
        dynos: Vec::new(),
    };
    let mut interrupts = Interrupts::new()?;
    post.report(&report).await?;
    let wanted = post.wanted(None).await?;
    let (app, name) = (&post.app, &post.name);
    session.say(&format!("Runner {name} runs the processes of {app}. Ctrl-C ends them."));

    let (said, hears) = mpsc::channel(1000);
    let team = Team::new(setting, commands, port, said, session.screen.now);
    let outcome =
        Runner::new(post.clone(), team, hears, report).work(wanted, &mut interrupts).await;
    let _ = timeout(FAREWELL, post.leave()).await;
    outcome
}

/// SIGINT and SIGTERM.
struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Interrupts {
    fn new() -> Result<Self, Failure> {
        let watch = |kind| {
            signal(kind)
                .map_err(|error| Failure::new(Exit::Failed, "no-signals", error.to_string()))
        };
        Ok(Self {
            interrupt: watch(SignalKind::interrupt())?,
            terminate: watch(SignalKind::terminate())?,
            hangup: watch(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

/// A one-off process whose stream is there.
type Attached = (OneOff, Upgraded);

/// A runner at work.
struct Runner {
    post: Post,
    team: Team,
    dynos: watch::Sender<Vec<Dyno>>,
    wanted: mpsc::Receiver<Wanted>,
    hands_wanted: mpsc::Sender<Wanted>,
    /// What ends only when the runner has to stop.
    duties: JoinSet<Option<Failure>>,
    saying: JoinSet<Option<Failure>>,
    attaching: JoinSet<Option<Attached>>,
    /// One-off processes that were taken.
    taken: HashSet<Uuid>,
    /// The newest order that is known; none before the first look.
    last_order: Option<u64>,
}

impl Runner {
    fn new(post: Post, team: Team, hears: mpsc::Receiver<Said>, report: Report) -> Self {
        let lines = Arc::new(Outbox::default());
        let (dynos, told) = watch::channel(Vec::new());
        let (hands_wanted, wanted) = mpsc::channel(1);
        let mut duties = JoinSet::new();
        duties.spawn(hear(hears, lines.clone()));
        let mut saying = JoinSet::new();
        saying.spawn(post.clone().keep_saying(lines));
        let reporter = post.clone();
        duties.spawn(async move { Some(reporter.keep_reporting(report, told).await) });
        Self {
            post,
            team,
            dynos,
            wanted,
            hands_wanted,
            duties,
            saying,
            attaching: JoinSet::new(),
            taken: HashSet::new(),
            last_order: None,
        }
    }

    /// Works until it is interrupted or has to stop, and leaves nothing that runs.
    async fn work(mut self, first: Wanted, interrupts: &mut Interrupts) -> Result<(), Failure> {
        let (asker, hands) = (self.post.clone(), self.hands_wanted.clone());
        let known = first.change;
        self.duties.spawn(async move { Some(asker.keep_asking(known, hands).await) });
        self.apply(first);
        let outcome = loop {
            self.tell_dynos();
            tokio::select! {
                () = self.team.turn() => {}
                Some(wanted) = self.wanted.recv() => self.apply(wanted),
                Some(attached) = self.attaching.join_next() => {
                    if let Ok(Some((one_off, stream))) = attached {
                        self.team.run(&one_off, Some(stream));
                    }
                }
                Some(ended) = self.duties.join_next() => {
                    if let Some(failure) = ended.ok().flatten() {
                        break Err(failure);
                    }
                }
                Some(ended) = self.saying.join_next() => {
                    if let Some(failure) = ended.ok().flatten() {
                        break Err(failure);
                    }
                }
                () = interrupts.next() => break Ok(()),
            }
        };
        tokio::select! {
            () = self.team.end() => {}
            // Whoever asks twice does not want to wait: what runs is killed.
            () = interrupts.next() => {}
        }
        self.tell_dynos();
        self.finish().await;
        outcome
    }

    /// Sends what is left to say.
    async fn finish(mut self) {
        // Whoever hears comes to its end with the team, and closes the box.
        drop(self.team);
        let _ = timeout(FAREWELL, self.saying.join_next()).await;
    }

    fn tell_dynos(&self) {
        let now = self.team.dynos();
        self.dynos.send_if_modified(|told| {
            let is_new = *told != now;
            if is_new {
                *told = now;
            }
            is_new
        });
    }

    fn apply(&mut self, wanted: Wanted) {
        let vars = wanted.config_vars.iter();
        let vars = vars.map(|(name, value)| (name.clone(), value.reveal().to_owned())).collect();
        let formation = if wanted.maintenance { BTreeMap::new() } else { wanted.formation.clone() };
        self.team.want(Goal { release: wanted.release, vars, formation });
        let newest = wanted.orders.iter().map(|order| order.id).max().unwrap_or(0);
        if let Some(last) = self.last_order {
            for order in wanted.orders.iter().filter(|order| order.id > last) {
                self.team.order(&order.of, order.what);
            }
        }
        self.last_order = Some(self.last_order.unwrap_or(0).max(newest));
        for one_off in wanted.one_offs {
            if self.taken.insert(one_off.id) {
                self.take(one_off);
            }
        }
    }

    /// Takes a one-off process: at once, or as soon as its stream is there.
    fn take(&mut self, one_off: OneOff) {
        if one_off.io == Io::Log {
            self.team.run::<Upgraded>(&one_off, None);
            return;
        }
        let (link, app) = (self.post.link.clone(), self.post.app.clone());
        self.attaching.spawn(async move {
            let stream = link.stream(&app, &one_off.id.to_string(), "runner").await;
            // Whoever asked sees that nobody came.
            stream.ok().map(|stream| (one_off, stream))
        });
    }
}

/// Hears what processes say, and shows what becomes of them.
async fn hear(mut hears: mpsc::Receiver<Said>, lines: Arc<Outbox>) -> Option<Failure> {
    while let Some(said) = hears.recv().await {
        if said.of_platform {
            eprintln!("{}: {}", said.dyno, said.text);
        }
        lines.put(said);
    }
    lines.close();
    None
}

fn directory(session: &Session, typed: &str) -> Result<PathBuf, Failure> {
    let directory = session.environment.directory.join(typed);
    let wrong = |why: String| Failure::usage(format!("{}: {why}", directory.display()));
    let directory = directory.canonicalize().map_err(|error| wrong(error.to_string()))?;
    if directory.is_dir() { Ok(directory) } else { Err(wrong("it is no directory".into())) }
}

/// The types of a Procfile with their commands.
fn commands(
    directory: &Path,
    file: Option<&str>,
) -> Result<BTreeMap<ProcessType, String>, Failure> {
    let types = read_procfile(directory, file)?;
    if types.iter().any(|(kind, _)| kind.as_str() == RELEASE) {
        eprintln!("The `release` line of the Procfile is not run.");
    }
    Ok(types.into_iter().filter(|(kind, _)| kind.as_str() != RELEASE).collect())
}

/// Reads the Procfile of a directory.
pub(super) fn read_procfile(
    directory: &Path,
    file: Option<&str>,
) -> Result<Vec<(ProcessType, String)>, Failure> {
    let path = directory.join(file.unwrap_or("Procfile"));
    let text = std::fs::read_to_string(&path).map_err(|error| {
        let message = format!(
            "{}: {error}\nA Procfile has a line for each process type, such as `web: bin/server`",
            path.display()
        );
        Failure::new(Exit::Usage, "no-procfile", message)
    })?;
    procfile::parse(&text).map_err(|error| {
        Failure::new(Exit::Usage, "bad-procfile", format!("{}: {error}", path.display()))
    })
}

/// The executable that keeps processes: this one.
pub(super) fn program() -> Result<PathBuf, Failure> {
    std::env::current_exe()
        .map_err(|error| Failure::new(Exit::Failed, "no-program", error.to_string()))
}

/// How long processes get to end.
fn grace(given: &Given) -> Result<Duration, Failure> {
    let seconds = given.number("grace", 30)?;
    if GRACE.contains(&seconds) {
        return Ok(Duration::from_secs(seconds));
    }
    Err(Failure::usage(format!("--grace takes {} to {} seconds", GRACE.start(), GRACE.end())))
}

/// The name of this machine.
fn machine() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "runner".to_owned() } else { name.chars().take(64).collect() }
}
