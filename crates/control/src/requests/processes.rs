//! Processes of apps: what their runners tell, what they are told, and what people ask of them.

use std::collections::BTreeMap;
use std::time::Duration;

use howdah_model::ids::{AccountId, AppId};
use howdah_model::name::ProcessType;
use howdah_model::process::{Io, OneOff, Quantity, RELEASE, Report, Said, Target, Verb, Wanted};
use howdah_model::secret::Secret;
use howdah_store::accounts::Account;
use howdah_store::apps::App;
use howdah_store::formation::{self, Process};
use howdah_store::releases;
use tokio::time::timeout;
use uuid::Uuid;

use super::error::{Error, Noun, Result};
use super::{apps, config};
use crate::Control;
use crate::logs::{Line, Source};
use crate::processes::{Coming, Held, TooMany};

/// The process that the platform's own lines are of.
const API: &str = "api";

/// How long a runner waits for something new before it gets the same once more.
const LONGEST: Duration = Duration::from_secs(20);

/// The most process types of a Procfile.
const MOST_TYPES: usize = 50;

/// The most bytes of a command.
const LONGEST_COMMAND: usize = 4096;

/// The most lines of one batch.
const MOST_LINES: usize = 1000;

/// Which runner speaks.
#[derive(Clone, Copy, Debug)]
pub struct Speaker<'a> {
    /// Its name.
    pub name: &'a str,
    /// Which run of it.
    pub instance: Uuid,
}

/// Takes in what a runner says of itself and its processes.
///
/// # Errors
/// [`Error::Conflict`] when another runner has the app; [`Error::Invalid`] when its Procfile is too
/// much.
pub async fn report(control: &Control, app: &App, name: &str, report: Report) -> Result<()> {
    let speaker = Speaker { name, instance: report.instance };
    let coming = if report.begins { Coming::New } else { Coming::Again };
    check(&report.types)?;
    hold(control, app, speaker, coming)?;
    declare(control, app, report.types).await?;
    control.processes().report(app.id, report.instance, report.dynos);
    Ok(())
}

fn hold(control: &Control, app: &App, speaker: Speaker<'_>, coming: Coming) -> Result<()> {
    let Speaker { name, instance } = speaker;
    if name.is_empty() || name.len() > 64 || name.contains(char::is_control) {
        return Err(Error::invalid("The name of a runner has 1 to 64 characters."));
    }
    control.processes().hold(app.id, name, instance, coming).map_err(|Held { by }| {
        let app = &app.name;
        Error::Conflict(if by == name {
            format!("Another runner with the name {name} has taken over {app}.")
        } else {
            format!(
                "The processes of {app} are run by the runner {by}. Stop that one first; when its \
                 machine is gone, try again after 45 seconds."
            )
        })
    })
}

fn check(types: &BTreeMap<ProcessType, String>) -> Result<()> {
    if types.len() > MOST_TYPES {
        return Err(Error::invalid(format!("A Procfile may have {MOST_TYPES} process types.")));
    }
    match types.iter().find(|(_, command)| command.len() > LONGEST_COMMAND) {
        Some((kind, _)) => Err(Error::invalid(format!(
            "The command of {kind} is too long: it may have {LONGEST_COMMAND} bytes."
        ))),
        None => Ok(()),
    }
}

/// Makes the formation that of a Procfile, if it differs.
async fn declare(
    control: &Control,
    app: &App,
    mut types: BTreeMap<ProcessType, String>,
) -> Result<()> {
    types.retain(|kind, _| kind.as_str() != RELEASE);
    let known = formation::list(&mut *control.reader().get().await?, app.id).await?;
    let same = known.len() == types.len()
        && known.iter().all(|one| types.get(&one.kind) == Some(&one.command));
    if same {
        return Ok(());
    }
    let first = |kind: &ProcessType| u32::from(kind.as_str() == "web");
    let mut tx = control.store().begin().await?;
    apps::lock(&mut tx, app).await?;
    formation::declare(&mut tx, app.id, &types, first, control.now()).await?;
    Ok(tx.commit().await?)
}

/// What a runner shall do: at once when it is something else than it knows (`after`), otherwise
/// when something changes, at the latest after 20 seconds.
///
/// # Errors
/// [`Error::Conflict`] when another runner has the app, [`Error::NotFound`] when it is gone.
pub async fn wanted(
    control: &Control,
    account: AccountId,
    app: &App,
    speaker: Speaker<'_>,
    after: Option<u64>,
) -> Result<Wanted> {
    hold(control, app, speaker, Coming::Again)?;
    let mut news = control.processes().news(app.id);
    if after == Some(*news.borrow_and_update()) {
        // When the time is over, or the app is gone, looking shows it.
        let _ = timeout(LONGEST, news.changed()).await;
    }
    let change = *news.borrow_and_update();
    let mut conn = control.reader().get().await?;
    let app = apps::find(&mut conn, account, &app.id.to_string()).await?;
    hold(control, &app, speaker, Coming::Again)?;
    let vars = config::all(control, &mut conn, app.id).await?;
    let formation = formation::list(&mut conn, app.id).await?;
    let newest = releases::newest(&mut conn, app.id, 1).await?;
    let (orders, one_offs) = control.processes().asked(app.id);
    Ok(Wanted {
        change,
        release: newest.first().map_or(0, |release| release.version),
        maintenance: app.maintenance,
        config_vars: vars.into_iter().map(|(name, value)| (name, Secret::new(value))).collect(),
        formation: formation.into_iter().map(|one| (one.kind.clone(), one.quantity())).collect(),
        orders,
        one_offs,
    })
}

/// Takes lines of a runner into the app's stream. A batch that came before is left out.
///
/// # Errors
/// [`Error::Invalid`] when there are too many lines.
pub fn say(
    control: &Control,
    app: &App,
    instance: Uuid,
    batch: u64,
    lines: Vec<Said>,
) -> Result<()> {
    if lines.len() > MOST_LINES {
        return Err(Error::invalid(format!("A batch may have {MOST_LINES} lines.")));
    }
    if !control.processes().is_new(app.id, instance, batch) {
        return Ok(());
    }
    let now = control.now();
    let lines = lines.into_iter().map(|said| {
        let source = if said.of_platform { Source::Heroku } else { Source::App };
        Line::new(said.at.min(now), source, &said.dyno.to_string(), &said.text)
    });
    control.logs().tell_at(app.id, lines);
    Ok(())
}

/// A change of how many processes of a type shall run.
#[derive(Clone, Debug)]
pub struct Scaling {
    /// Which type.
    pub kind: String,
    /// How many; as many as now when none is named.
    pub quantity: Option<Quantity>,
    /// Their size; the same when none is named.
    pub size: Option<String>,
}

/// Changes how many processes of some types shall run, all or none. Answers the whole formation.
///
/// # Errors
/// [`Error::NotFound`] when the app has no such type; [`Error::Invalid`] when it is too many.
pub async fn scale(
    control: &Control,
    account: &Account,
    app: &App,
    changes: &[Scaling],
) -> Result<Vec<Process>> {
    let now = control.now();
    let mut tx = control.store().begin().await?;
    apps::lock(&mut tx, app).await?;
    let before = formation::list(&mut tx, app.id).await?;
    if before.is_empty() && !changes.is_empty() {
        return Err(Error::invalid(format!(
            "{0} has no processes yet. Start a runner where its Procfile is: `howdah runner DIR -a \
             {0}`.",
            app.name
        )));
    }
    for change in changes {
        let known = before.iter().find(|one| one.kind.as_str() == change.kind);
        let known = known.ok_or(Error::NotFound(Noun::ProcessType))?;
        let wanted = change.quantity.map_or(Ok(known.quantity()), |one| one.of(known.quantity()));
        let wanted = wanted.map_err(|error| Error::invalid(format!("{}: {error}.", known.kind)))?;
        let size = change.size.as_deref();
        if size.is_some_and(|size| size.parse::<ProcessType>().is_err()) {
            return Err(Error::invalid("A size is a word, such as Basic."));
        }
        formation::scale(&mut tx, app.id, known.kind.as_str(), wanted, size, now).await?;
    }
    let after = formation::list(&mut tx, app.id).await?;
    tx.commit().await?;
    if before != after {
        let of = |one: &Process| format!("{}@{}:{}", one.kind, one.quantity(), one.size);
        let all = after.iter().map(of).collect::<Vec<_>>().join(" ");
        let line = format!("Scaled to {all} by user {}", account.email);
        control.logs().tell(app.id, Source::Heroku, API, &line);
    }
    Ok(after)
}

/// Restarts or stops processes. Without a runner there is nothing to do.
///
/// # Errors
/// [`Error::NotFound`] when a process or a type is named that is not there.
pub async fn order(control: &Control, app: &App, of: Target, what: Verb) -> Result<()> {
    if let Target::Dyno(_) = of
        && !control.processes().dynos(app.id).iter().any(|dyno| of.has(&dyno.name))
    {
        return Err(Error::NotFound(Noun::Dyno));
    }
    if let Target::Type(kind) = &of {
        let known = formation::list(&mut *control.reader().get().await?, app.id).await?;
        if !known.iter().any(|one| one.kind == *kind) {
            return Err(Error::NotFound(Noun::ProcessType));
        }
    }
    control.processes().order(app.id, of, what);
    Ok(())
}

/// A one-off process that somebody asks for.
#[derive(Clone, Debug)]
pub struct NewOneOff {
    /// What a shell shall run.
    pub command: String,
    /// Variables beside the app's.
    pub env: BTreeMap<String, String>,
    /// Where its input and output go.
    pub io: Io,
}

/// Asks the app's runner for a one-off process (B27). Answers it with the number of its release.
///
/// # Errors
/// [`Error::Invalid`] when the app has no runner, or the command is none.
pub async fn run(
    control: &Control,
    account: &Account,
    app: &App,
    new: NewOneOff,
) -> Result<(OneOff, i32)> {
    let NewOneOff { command, env, io } = new;
    if command.trim().is_empty() || command.len() > LONGEST_COMMAND || command.contains('\0') {
        return Err(Error::invalid(format!(
            "What shall be run? A command has 1 to {LONGEST_COMMAND} bytes."
        )));
    }
    if control.processes().runner(app.id).is_none() {
        return Err(Error::invalid(format!(
            "No runner is there for {0}. Start one where its Procfile is with `howdah runner DIR -a \
             {0}`, or run the command on your machine with `howdah run --local`.",
            app.name
        )));
    }
    let newest = releases::newest(&mut *control.reader().get().await?, app.id, 1).await?;
    let release = newest.first().map_or(0, |release| release.version);
    let line = format!("Starting process with command `{command}` by user {}", account.email);
    let id = Uuid::new_v4();
    let asked =
        control.processes().ask(app.id, release, |name| OneOff { id, name, command, env, io });
    let one_off = asked.map_err(|TooMany| {
        Error::Unavailable(format!("Too many processes wait for the runner of {}.", app.name))
    })?;
    control.logs().tell(app.id, Source::Heroku, API, &line);
    Ok((one_off, release))
}

/// Tells the app's stream of a release, and its runner that its processes start anew (B13, B26).
pub(crate) async fn released(control: &Control, app: AppId, version: &str) -> anyhow::Result<()> {
    control.processes().changed(app);
    let release = releases::find(&mut *control.reader().get().await?, app, version).await?;
    let Some(release) = release else { return Ok(()) };
    let by = release.email.as_deref().unwrap_or("heroku-postgresql");
    let tell = |line: &str| control.logs().tell(app, Source::Heroku, API, line);
    tell(&format!("{} by {by}", release.description));
    tell(&format!("Release v{} created by {by}", release.version));
    if release.version == 1 {
        tell(&format!("Enable Logplex by {by}"));
    }
    Ok(())
}
