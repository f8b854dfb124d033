//! pg:backups:url and pg:backups:download: a backup leaves the platform (E17).

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use howdah_model::size::Bytes;
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::pg_backups::{ID, newest};
use crate::api::bodies::Download;
use crate::app;
use crate::command::{APP, Command, Group, Opt, REMOTE, command};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::given::Given;
use crate::hint::Hint;
use crate::session::Session;
use crate::step::Step;
use crate::transfer::{self, Kind, Status, Transfer};

pub(super) const COMMANDS: &[Command] = &[
    command(
        "pg:backups:url",
        Group::Databases,
        "Print an address to fetch a backup from",
        |s, g| Box::pin(url(s, g)),
    )
    .aliases(&["pg:backups:public-url", "pg:backups:publicurl"])
    .arguments(&[ID])
    .options(&[APP, REMOTE])
    .note("Whoever has the address can fetch the backup with it, for some minutes.")
    .examples(&["howdah pg:backups:url b001 -a demo"]),
    command("pg:backups:download", Group::Databases, "Fetch a backup into a file", |s, g| {
        Box::pin(download(s, g))
    })
    .arguments(&[ID])
    .options(&[
        APP,
        REMOTE,
        Opt::value("output", Some('o'), "FILE", "the file [default: latest.dump]"),
    ])
    .note(
        "A download that was broken off goes on where it ended when the command is run again. \
         pg_restore reads the file.",
    )
    .examples(&["howdah pg:backups:download -a demo", "howdah pg:backups:download b001 -o b.dump"]),
];

/// Tries in a row in which nothing came.
const TRIES: u32 = 6;
/// The pause between two of them.
const PAUSE: Duration = Duration::from_millis(500);

#[derive(Deserialize, Serialize)]
struct PublicUrl {
    url: String,
    #[serde(default)]
    expires_at: Option<String>,
}

/// The backup that was named, or the newest that succeeded.
pub(super) async fn finished(
    session: &Session,
    app: &str,
    id: Option<&str>,
) -> Result<Transfer, Failure> {
    let Some(id) = id else {
        let good = |one: &Transfer| one.kind() == Kind::Backup && one.status() == Status::Completed;
        return newest(session, app, good).await;
    };
    let found = transfer::named(session, app, id).await?;
    if found.kind() != Kind::Backup {
        return Err(Failure::usage(format!("{id} is not a backup: their names begin with a or b")));
    }
    if found.status() != Status::Completed {
        let message = format!("Backup {id} for {app} did not complete successfully");
        let advice = Hint::ShowTransfer.fill(&[("ID", id), ("APP", app)]);
        return Err(Failure::new(Exit::Conflict, "not-complete", message).advise(advice));
    }
    Ok(found)
}

/// Has an address made for a backup, as this program reaches it.
async fn public_url(session: &Session, app: &str, backup: &Transfer) -> Result<PublicUrl, Failure> {
    let number = backup.num.to_string();
    let path = ["client", "v11", "apps", app, "transfers", &number, "actions", "public-url"];
    let answer: PublicUrl = session.post(&path, json!({})).await?;
    let url = session.api.reached(&answer.url)?.to_string();
    Ok(PublicUrl { url, ..answer })
}

/// Prints where a backup can be fetched.
pub(super) async fn url(session: &Session, given: &Given) -> Result<(), Failure> {
    let app = app::named(session, given)?;
    let backup = finished(session, &app, given.value("ID")).await?;
    let url = public_url(session, &app, &backup).await?;
    session.answer("url", &url, |page| page.line(&url.url))
}

async fn download(session: &Session, given: &Given) -> Result<(), Failure> {
    let app = app::named(session, given)?;
    let backup = finished(session, &app, given.value("ID")).await?;
    let output = match given.value("output") {
        Some(output) => session.environment.directory.join(output),
        None => free_name(&session.environment.directory),
    };
    let shown = output.strip_prefix(&session.environment.directory).unwrap_or(&output);
    let step = session.step(&format!("Downloading {} to {}", backup.id(), shown.display()));
    let fetching = Fetching { session, app: &app, backup: &backup, step: &step };
    let work = fetching.fill(&output);
    let watched = async {
        tokio::select! {
            outcome = work => outcome,
            never = step.turn() => match never {},
            _ = tokio::signal::ctrl_c() => {
                let message = "The download was broken off. Run it again to go on with it.";
                Err(Failure::new(Exit::Interrupted, "interrupted", message))
            }
        }
    };
    let size = watched.await?;
    step.done_with(&Bytes(size).to_string());
    let data = json!({ "id": backup.id(), "file": shown, "bytes": size });
    session.answer("download", &data, |_| {})
}

/// `latest.dump`, or `latest.dump.1` when there is one.
fn free_name(directory: &Path) -> PathBuf {
    let first = directory.join("latest.dump");
    let others = (1..).map(|number| directory.join(format!("latest.dump.{number}")));
    let mut all = std::iter::once(first.clone()).chain(others);
    all.find(|file| !file.exists()).unwrap_or(first)
}

/// A download.
struct Fetching<'f> {
    session: &'f Session,
    app: &'f str,
    backup: &'f Transfer,
    step: &'f Step<'f>,
}

/// How a part of a download ended.
enum Part {
    /// With the last byte of the whole.
    Whole(u64),
    /// Before that, for this reason.
    Broken(String),
}

impl Fetching<'_> {
    /// Fetches all of it beside the file, then gives it the file's name. What was fetched before
    /// is not fetched again. Gives the number of bytes.
    async fn fill(&self, output: &Path) -> Result<u64, Failure> {
        let part = self.part_of(output);
        let unwritable = |error: std::io::Error| {
            let message = format!("{} cannot be written: {error}", part.display());
            Failure::new(Exit::Failed, "not-written", message)
        };
        let options = File::options().create(true).append(true).open(&part);
        let mut file = options.map_err(&unwritable)?;
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let message = format!("{} is being downloaded already", self.backup.id());
            return Err(Failure::new(Exit::Conflict, "busy", message));
        }
        let mut tries = 0;
        loop {
            let before = file.seek(SeekFrom::End(0)).map_err(&unwritable)?;
            let broken = match self.from(before, &mut file, &unwritable).await {
                Ok(Part::Whole(size)) => {
                    file.sync_all().map_err(&unwritable)?;
                    std::fs::rename(&part, output).map_err(&unwritable)?;
                    return Ok(size);
                }
                Ok(Part::Broken(why)) => {
                    let message = format!("The download broke off: {why}");
                    Failure::new(Exit::Unreachable, "broken-off", message)
                }
                Err(failure) if failure.exit == Exit::Unreachable => failure,
                Err(failure) => return Err(failure),
            };
            let came = file.seek(SeekFrom::End(0)).map_err(&unwritable)? > before;
            tries = if came { 0 } else { tries + 1 };
            if tries >= TRIES {
                return Err(broken);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The file that it is fetched into: it belongs to this backup alone.
    fn part_of(&self, output: &Path) -> PathBuf {
        let uuid: String = self.backup.uuid.chars().take(8).collect();
        let mut name = output.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}-{uuid}.part", self.backup.id()));
        output.with_file_name(name)
    }

    /// Fetches what is missing, by an address of its own: an older one may have expired.
    async fn from(
        &self,
        before: u64,
        file: &mut File,
        unwritable: &impl Fn(std::io::Error) -> Failure,
    ) -> Result<Part, Failure> {
        let url = public_url(self.session, self.app, self.backup).await?.url;
        let url = self.session.api.reached(&url)?;
        let answer = self.session.api.download(url, before).await;
        let mut coming: Download = match answer {
            Ok(coming) if coming.from == before || coming.from == 0 => coming,
            Err(failure) if before == 0 || failure.exit != Exit::Failed => return Err(failure),
            // What is there does not fit what the platform has.
            Ok(_) | Err(_) => {
                file.set_len(0).map_err(unwritable)?;
                return Ok(Part::Broken("it had to begin anew".to_owned()));
            }
        };
        if coming.from == 0 {
            file.set_len(0).map_err(unwritable)?;
        }
        let mut have = coming.from;
        while have < coming.whole {
            let piece = match coming.next().await {
                Ok(Some(piece)) => piece,
                Ok(None) => {
                    return Ok(Part::Broken(format!("{} are missing", Bytes(coming.whole - have))));
                }
                Err(why) => return Ok(Part::Broken(why)),
            };
            file.write_all(&piece).map_err(unwritable)?;
            have += piece.len() as u64;
            let per_cent = have * 100 / coming.whole;
            let how_far = format!("{per_cent}% ({} of {})", Bytes(have), Bytes(coming.whole));
            if self.session.screen.turns {
                self.step.progress(&how_far);
            }
        }
        Ok(Part::Whole(have))
    }
}
