//! What PostgreSQL runs as `archive_command` and `restore_command`: a client of the agent without a
//! runtime, as it is started for every segment.
//!
//! One line goes to the agent (`archive NAME` or `restore NAME`), one line comes back: `ok`, for a
//! restore with the path of the file, `missing`, or `error` with its text.

use std::ffi::OsString;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The names of the two commands of the executable.
pub(crate) const ARCHIVE: &str = "wal-archive";
/// See [`ARCHIVE`].
pub(crate) const RESTORE: &str = "wal-restore";

/// What PostgreSQL takes for "no": it tries again later (archive), or looks elsewhere (restore).
const NO: u8 = 1;
/// What PostgreSQL's recovery takes for "stop": anything less would be the end of all WAL to it.
const STOP: u8 = 255;
/// How long an agent that is being started anew is waited for by a recovery, which would end else.
const PATIENCE: Duration = Duration::from_secs(60);
/// The same by a server that archives: it tries again by itself, and waits for this when it stops.
const BRIEFLY: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(100);
/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(600);

/// What the agent said.
enum Said {
    Ok(String),
    Missing,
    Error(String),
}

/// Runs one of the two commands, if the arguments (without the program's name) are one.
#[must_use]
pub(crate) fn run(arguments: &[OsString]) -> Option<ExitCode> {
    let word = arguments.first()?.to_str()?;
    Some(match (word, arguments) {
        // PostgreSQL says where the file is, too; the agent knows.
        (ARCHIVE, [_, socket, name, _] | [_, socket, name]) => {
            archive(Path::new(socket), &name.to_string_lossy())
        }
        (RESTORE, [_, socket, name, to]) => {
            restore(Path::new(socket), &name.to_string_lossy(), Path::new(to))
        }
        (ARCHIVE | RESTORE, _) => {
            eprintln!("howdah {word} is for PostgreSQL: SOCKET NAME PATH");
            ExitCode::from(STOP)
        }
        _ => return None,
    })
}

fn archive(socket: &Path, name: &str) -> ExitCode {
    let why = match ask(socket, &format!("archive {name}"), BRIEFLY) {
        Ok(Said::Ok(_)) => return ExitCode::SUCCESS,
        Ok(Said::Missing) => "it is not there".to_owned(),
        Ok(Said::Error(why)) => why,
        Err(error) => format!("the agent does not answer: {error}"),
    };
    eprintln!("howdah: {name} is not in the archive yet: {why}");
    ExitCode::from(NO)
}

fn restore(socket: &Path, name: &str, to: &Path) -> ExitCode {
    let why = match ask_patiently(socket, &format!("restore {name}")) {
        Ok(Said::Ok(from)) => match std::fs::rename(&from, to) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(error) => format!("move {from} to {}: {error}", to.display()),
        },
        Ok(Said::Missing) => return ExitCode::from(NO),
        Ok(Said::Error(why)) => why,
        Err(error) => format!("the agent does not answer: {error}"),
    };
    eprintln!("howdah: {name} cannot be restored: {why}");
    ExitCode::from(STOP)
}

/// Asks anew when the agent ends in the middle of its answer.
fn ask_patiently(socket: &Path, line: &str) -> io::Result<Said> {
    let begin = Instant::now();
    loop {
        let left = PATIENCE.saturating_sub(begin.elapsed());
        match ask(socket, line, left) {
            Err(_) if !left.is_zero() => std::thread::park_timeout(PAUSE),
            answered => return answered,
        }
    }
}

fn ask(socket: &Path, line: &str, patience: Duration) -> io::Result<Said> {
    let mut stream = connect(socket, patience)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.write_all(format!("{line}\n").as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    let answer = answer.trim_end_matches('\n');
    let (word, rest) = answer.split_once(' ').unwrap_or((answer, ""));
    match word {
        "ok" => Ok(Said::Ok(rest.to_owned())),
        "missing" => Ok(Said::Missing),
        "error" => Ok(Said::Error(rest.to_owned())),
        _ => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it went away")),
    }
}

fn connect(socket: &Path, patience: Duration) -> io::Result<UnixStream> {
    let begin = Instant::now();
    loop {
        match UnixStream::connect(socket) {
            Err(_) if begin.elapsed() < patience => std::thread::park_timeout(PAUSE),
            connected => return connected,
        }
    }
}
