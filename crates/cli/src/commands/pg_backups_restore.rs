//! pg:backups:restore: a backup, a file or a dump from anywhere takes the place of what is in a
//! database (E19–E23, E31).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use howdah_model::size::Bytes;
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::pg_backups::VERBOSE;
use super::{pg_backups_capture, pg_backups_download};
use crate::api::{Call, Identity};
use crate::app;
use crate::command::{
    APP, Argument, CONFIRM, Command, Group, Opt, REMOTE, Times, WAIT_INTERVAL, WAIT_TIMEOUT,
    command,
};
use crate::confirm;
use crate::database::{self, Database};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::follow::Following;
use crate::given::Given;
use crate::session::Session;
use crate::step::Step;
use crate::transfer::{self, Transfer};

const BACKUP: Argument = Argument {
    name: "BACKUP",
    times: Times::Optional,
    means: "ID, APP::ID, http(s) URL or file; the newest backup when none is said",
};
const TARGET: Argument = Argument {
    name: "DATABASE",
    times: Times::Optional,
    means: "the database to fill [default: DATABASE_URL]; before or after BACKUP",
};

pub(super) const EXTENSIONS: Opt = Opt::value(
    "extensions",
    Some('e'),
    "NAMES",
    "extensions to make first, with commas: hstore or myschema.hstore",
);

pub(super) const COMMANDS: &[Command] = &[command(
    "pg:backups:restore",
    Group::Databases,
    "Replace what is in a database by a backup",
    |s, g| Box::pin(restore(s, g)),
)
.arguments(&[BACKUP, TARGET])
.options(&[
    APP,
    REMOTE,
    EXTENSIONS,
    pg_backups_capture::NO_WAIT,
    VERBOSE,
    WAIT_INTERVAL,
    WAIT_TIMEOUT,
    CONFIRM,
])
.note(
    "The database is replaced when all of the backup is there, at once; when anything fails it \
     stays as it is. A file, or what a URL leads to, is a dump of pg_dump -Fc.",
)
.examples(&[
    "howdah pg:backups:restore b001 DATABASE_URL -a demo",
    "howdah pg:backups:restore demo::b001 gold -a staging --confirm staging",
    "howdah pg:backups:restore https://example.com/my.dump DATABASE_URL -a demo",
    "howdah pg:backups:restore ./latest.dump DATABASE_URL -a demo",
])];

/// What is restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The newest backup of the app.
    Newest,
    /// A backup, perhaps of another app.
    Backup { app: Option<String>, id: String },
    /// A dump somewhere.
    Web(String),
    /// A dump here.
    File(PathBuf),
}

impl Source {
    /// What a word means as a source; `None` when it is the name of a database.
    fn of(word: &str, directory: &Path) -> Option<Self> {
        if word.starts_with("http://") || word.starts_with("https://") {
            return Some(Self::Web(direct(word)));
        }
        if word.contains("://") {
            return None;
        }
        let (app, id) = match word.split_once("::") {
            Some((app, id)) => (Some(app.to_owned()), id),
            None => (None, word),
        };
        if transfer::number(id).is_some() {
            return Some(Self::Backup { app, id: id.to_owned() });
        }
        // Names of databases have neither.
        let is_path = word.contains(['/', '.']) && app.is_none();
        is_path.then(|| Self::File(directory.join(word)))
    }
}

/// Tells the two words apart, whichever way round they are (E19).
pub(super) fn sorted<'w>(
    words: [Option<&'w str>; 2],
    directory: &Path,
) -> Result<(Source, Option<&'w str>), Failure> {
    let (mut source, mut database) = (None, None);
    for word in words.into_iter().flatten() {
        match Source::of(word, directory) {
            Some(found) if source.is_none() => source = Some(found),
            None if database.is_none() => database = Some(word),
            Some(_) => {
                return Err(Failure::usage("Both arguments are backups; one is the DATABASE"));
            }
            None => {
                let message = "Neither argument is a backup: an ID such as b001, APP::ID, an \
                               http(s) URL, or a file such as ./latest.dump";
                return Err(Failure::usage(message));
            }
        }
    }
    Ok((source.unwrap_or(Source::Newest), database))
}

/// Dropbox shows a page about a file unless it is told otherwise.
fn direct(url: &str) -> String {
    if !url.starts_with("https://www.dropbox.com/") || url.ends_with("dl=1") {
        return url.to_owned();
    }
    match url.strip_suffix("dl=0") {
        Some(start) => format!("{start}dl=1"),
        None if url.contains('?') => format!("{url}&dl=1"),
        None => format!("{url}?dl=1"),
    }
}

/// A source that was looked up.
pub(super) struct Found {
    /// What people call it.
    pub(super) name: String,
    /// The backup, where it is one of the platform's.
    pub(super) backup: Option<Transfer>,
    place: Place,
}

enum Place {
    Url(String),
    File(PathBuf, u64),
}

/// Looks a source up, before anybody is asked to confirm anything.
pub(super) async fn look_up(
    session: &Session,
    given: &Given,
    source: Source,
) -> Result<Found, Failure> {
    let (app, id) = match source {
        Source::Web(url) => {
            let name = "the dump at that URL".to_owned();
            return Ok(Found { name, backup: None, place: Place::Url(url) });
        }
        Source::File(path) => return file(path),
        Source::Newest => (app::named(session, given)?, None),
        Source::Backup { app: Some(app), id } => (app, Some(id)),
        Source::Backup { app: None, id } => (app::named(session, given)?, Some(id)),
    };
    let backup = pg_backups_download::finished(session, &app, id.as_deref()).await?;
    let url = backup.to_url.clone().ok_or_else(|| {
        let message = format!("The platform does not say where {} is", backup.id());
        Failure::new(Exit::Failed, "bad-answer", message)
    })?;
    Ok(Found { name: backup.id(), backup: Some(backup), place: Place::Url(url) })
}

fn file(path: PathBuf) -> Result<Found, Failure> {
    let unusable = |why: String| {
        let message = format!("{}: {why}", path.display());
        Failure::new(Exit::NotFound, "no-file", message)
    };
    let read_head = || -> std::io::Result<(u64, [u8; 5])> {
        let mut file = std::fs::File::open(&path)?;
        let mut head = [0; 5];
        let length = file.metadata()?.len();
        std::io::Read::read_exact(&mut file, &mut head)?;
        Ok((length, head))
    };
    let (length, head) = match read_head() {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => (0, [0; 5]),
        Err(error) => return Err(unusable(error.to_string())),
    };
    if &head != b"PGDMP" {
        return Err(unusable(
            "this is not a dump in PostgreSQL's custom format (pg_dump -Fc)".into(),
        ));
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Found { name, backup: None, place: Place::File(path, length) })
}

async fn restore(session: &Session, given: &Given) -> Result<(), Failure> {
    let words = [given.value("BACKUP"), given.value("DATABASE")];
    let (source, typed) = sorted(words, &session.environment.directory)?;
    let typed = typed.unwrap_or("DATABASE_URL");
    let database = database::by_name(session, given, typed, None).await?;
    let found = look_up(session, given, source).await?;
    confirm::app(session, given, &database.app)?;
    let addon = &database.attachment.addon;
    let url = given_over(session, &database, &found).await?;
    let step = session.step(&format!("Starting restore of {} to {}", found.name, addon.name));
    let begun = begin(session, given, &database, &url).await?;
    step.done();
    if given.has("no-wait") {
        return pg_backups_capture::begun(session, &addon.app.name, &begun);
    }
    session.say(
        "\nUse Ctrl-C at any time to stop monitoring progress; the backup will continue restoring.",
    );
    session.say("Use `howdah pg:backups` to check progress.");
    session.say("Stop a running restore with `howdah pg:backups:cancel`.\n");
    let following = Following { session, given, app: &addon.app.name, noun: "restore" };
    let ended = following.to_the_end(&begun, "Restoring").await?;
    session.answer("transfer", &ended.shown(), |_| {})
}

/// Asks for a restore.
pub(super) async fn begin(
    session: &Session,
    given: &Given,
    database: &Database,
    url: &str,
) -> Result<Transfer, Failure> {
    let mut body = json!({ "backup_url": url });
    if let Some(names) = given.value("extensions") {
        let mut names: Vec<_> = names.split(',').map(|name| name.trim().to_lowercase()).collect();
        names.sort();
        body["extensions"] = json!(names);
    }
    let addon = &database.attachment.addon;
    session.post(&["client", "v11", "databases", &addon.id, "restores"], body).await
}

#[derive(Deserialize)]
struct Uploaded {
    backup_url: String,
}

/// What names the dump to the platform; a file is sent there first.
pub(super) async fn given_over(
    session: &Session,
    database: &Database,
    found: &Found,
) -> Result<String, Failure> {
    let (path, length) = match &found.place {
        Place::Url(url) => return Ok(url.clone()),
        Place::File(path, length) => (path, *length),
    };
    let step = session.step(&format!("Uploading {}", found.name));
    let file = tokio::fs::File::open(path).await.map_err(|error| {
        Failure::new(Exit::NotFound, "no-file", format!("{}: {error}", path.display()))
    })?;
    let addon = &database.attachment.addon;
    let call = Call {
        method: Method::POST,
        url: session.api.url(&["howdah", "v1", "databases", &addon.id, "dumps"]),
        body: None,
        range: None,
        identity: Identity::Key(session.key()?.clone()),
    };
    let sent = Arc::new(AtomicU64::new(0));
    let body = tokio::select! {
        answer = session.api.upload(&call, file, length, sent.clone()) => answer?,
        never = watched(&step, &sent, length) => match never {},
        never = step.turn() => match never {},
        _ = tokio::signal::ctrl_c() => {
            let message = "The upload was broken off; nothing was changed.";
            return Err(Failure::new(Exit::Interrupted, "interrupted", message));
        }
    };
    step.done_with(&Bytes(length).to_string());
    let uploaded: Uploaded = serde_json::from_slice(&body).map_err(|error| {
        let message = format!("The platform's answer to the upload is not understood: {error}");
        Failure::new(Exit::Failed, "bad-answer", message)
    })?;
    Ok(uploaded.backup_url)
}

/// Shows how much has been sent.
async fn watched(step: &Step<'_>, sent: &AtomicU64, length: u64) -> std::convert::Infallible {
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let sent = sent.load(Ordering::Relaxed);
        let per_cent = sent.saturating_mul(100) / length.max(1);
        step.progress(&format!("{per_cent}% ({} of {})", Bytes(sent), Bytes(length)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e19_the_arguments_are_known_by_what_they_are_in_both_orders() {
        let here = Path::new("/home/dev");
        let backup = |app: Option<&str>, id: &str| Source::Backup {
            app: app.map(str::to_owned),
            id: id.to_owned(),
        };
        for (word, meant) in [
            ("b001", backup(None, "b001")),
            ("a1234", backup(None, "a1234")),
            ("demo::b101", backup(Some("demo"), "b101")),
            ("https://h.test/x.dump", Source::Web("https://h.test/x.dump".into())),
            ("latest.dump", Source::File("/home/dev/latest.dump".into())),
            ("/tmp/x", Source::File("/tmp/x".into())),
        ] {
            for database in ["DATABASE_URL", "gold", "demo::gold", "postgres://u:p@h/d"] {
                let orders = [[Some(word), Some(database)], [Some(database), Some(word)]];
                for words in orders {
                    assert_eq!(sorted(words, here).ok(), Some((meant.clone(), Some(database))));
                }
            }
            assert_eq!(sorted([Some(word), None], here).ok(), Some((meant, None)));
        }
        assert_eq!(sorted([Some("gold"), None], here).ok(), Some((Source::Newest, Some("gold"))));
        assert_eq!(sorted([None, None], here).ok(), Some((Source::Newest, None)));
        assert!(sorted([Some("b001"), Some("b002")], here).is_err());
        assert!(sorted([Some("gold"), Some("red")], here).is_err());
    }

    #[test]
    fn a_page_about_a_file_becomes_the_file() {
        let of = |rest: &str| direct(&format!("https://www.dropbox.com/s/{rest}"));
        assert!(of("x.dump?dl=0").ends_with("x.dump?dl=1"));
        assert!(of("x.dump?a=b").ends_with("x.dump?a=b&dl=1"));
        assert!(of("x.dump").ends_with("x.dump?dl=1"));
        assert_eq!(direct("https://h.test/x?dl=0"), "https://h.test/x?dl=0");
    }
}
