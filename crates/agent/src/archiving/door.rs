//! The agent's end of `archive_command` and `restore_command`: a socket beside PostgreSQL's own.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use howdah_archive::wal::WalName;
use howdah_cluster::RunAs;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Its name in the directory of PostgreSQL's socket.
const NAME: &str = "archive.sock";
/// The longest line that is read.
const LONGEST: u64 = 256;
/// How long a client may take to say what it wants.
const SAYS: Duration = Duration::from_secs(10);

/// The path of the socket in a directory.
pub(crate) fn path(socket_dir: &Path) -> PathBuf {
    socket_dir.join(NAME)
}

/// What PostgreSQL asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// That a file of WAL is in the archive.
    Archive(WalName),
    /// For a file of WAL.
    Restore(WalName),
}

/// What it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is there; of a restore the path to take it from.
    Ok(Option<PathBuf>),
    /// There is none.
    Missing,
    /// It could not be done now.
    Error(String),
}

impl Answer {
    fn line(&self) -> String {
        match self {
            Self::Ok(None) => "ok\n".to_owned(),
            Self::Ok(Some(path)) => format!("ok {}\n", path.display()),
            Self::Missing => "missing\n".to_owned(),
            Self::Error(why) => format!("error {}\n", why.replace('\n', " ")),
        }
    }
}

/// Whoever answers.
pub(crate) trait Answers: Send + Sync + 'static {
    /// Answers one request.
    fn answer(&self, asked: Asked) -> impl Future<Output = Answer> + Send;
}

/// Listens in the directory of a participant's socket. Only PostgreSQL's user can come in.
pub(crate) fn listen(socket_dir: &Path, owner: &RunAs) -> io::Result<UnixListener> {
    owner.make_dir(socket_dir)?;
    let path = path(socket_dir);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&path)?;
    owner.give(&path)?;
    Ok(listener)
}

/// Serves until it is dropped.
pub(crate) async fn serve(listener: UnixListener, answers: Arc<impl Answers>) {
    let mut guests = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    guests.spawn(attend(stream, Arc::clone(&answers)));
                }
                Err(error) => {
                    tracing::warn!("the archive's socket accepts nobody: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = guests.join_next() => {}
        }
    }
}

async fn attend(stream: UnixStream, answers: Arc<impl Answers>) {
    let (from, mut to) = stream.into_split();
    let mut line = String::new();
    let mut from = BufReader::new(from.take(LONGEST));
    match timeout(SAYS, from.read_line(&mut line)).await {
        Ok(Ok(1..)) => {}
        Ok(Ok(0) | Err(_)) | Err(_) => return,
    }
    let answer = match understand(line.trim_end()) {
        Some(asked) => answers.answer(asked).await,
        None => Answer::Error("that is not a request for a file of WAL".to_owned()),
    };
    // Who has gone asks again.
    let _ = to.write_all(answer.line().as_bytes()).await;
}

fn understand(line: &str) -> Option<Asked> {
    let (verb, name) = line.split_once(' ')?;
    let name: WalName = name.parse().ok()?;
    match verb {
        "archive" => Some(Asked::Archive(name)),
        "restore" => Some(Asked::Restore(name)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_wal_are_understood() {
        let name = "000000010000000000000003";
        assert_eq!(understand(&format!("archive {name}")), name.parse().ok().map(Asked::Archive),);
        assert!(matches!(understand("restore 00000002.history"), Some(Asked::Restore(_))));
        for bad in ["", "archive", "archive ", "restore ../../etc/passwd", "drop 00000002.history"]
        {
            assert_eq!(understand(bad), None, "{bad}");
        }
    }
}
