//! One database into another through this program: pg_dump, pg_restore, and nothing on the disk
//! (D11). A dump begins with its list of contents, which is read, and what the target cannot take
//! left out, before the first table comes.

mod contents;
mod said;
mod tools;

use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdout, Command};

use howdah_model::size::Bytes;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::libpq::Place;
use crate::step::Step;
use contents::Contents;
pub(crate) use contents::Takes;
use said::Said;
pub(crate) use tools::Tools;

/// Bytes that are passed on at once.
const PIECE: usize = 256 << 10;
/// Problems that are told when a copy has failed.
const MOST_PROBLEMS: usize = 5;

/// A copy of a database.
pub(crate) struct Pipe<'p> {
    pub(crate) tools: &'p Tools,
    pub(crate) from: &'p Place,
    pub(crate) into: &'p Place,
    /// What the target can take.
    pub(crate) takes: &'p Takes,
    /// Tables whose rows stay behind, as pg_dump takes their names.
    pub(crate) without_rows_of: &'p [String],
}

/// What a copy was.
#[derive(Debug)]
pub(crate) struct Copied {
    /// Bytes that went through.
    pub(crate) bytes: u64,
    /// What was left out, for people.
    pub(crate) left_out: Vec<String>,
}

impl Pipe<'_> {
    /// Copies. When it fails, the target holds what had come until then.
    pub(crate) async fn run(&self, step: &Step<'_>) -> Result<Copied, Failure> {
        let mut dump = self.dump()?;
        let (mut data, complaints) = streams(&mut dump)?;
        let copying = async {
            let copied = self.restore(&mut data, step).await;
            // A pg_dump that nobody reads ends by itself.
            drop(data);
            copied
        };
        let (copied, said) = tokio::join!(copying, Said::read(complaints));
        let status = ended(&mut dump, "pg_dump").await?;
        match copied {
            Ok(copied) if status.success() => Ok(copied),
            Err(failure) if said.is_about_its_reader() => Err(failure),
            Err(failure) if status.success() => Err(failure),
            Ok(_) | Err(_) => Err(failed("pg_dump", &said.told(MOST_PROBLEMS), status)),
        }
    }

    fn dump(&self) -> Result<Child, Failure> {
        let mut command = self.from.command(&self.tools.pg_dump);
        command.args(["--no-password", "-Fc", "-Z0", "--no-subscriptions", "-N", "_heroku"]);
        for table in self.without_rows_of {
            command.arg(format!("--exclude-table-data={table}"));
        }
        spawn(command, Stdio::null())
    }

    async fn restore(&self, data: &mut ChildStdout, step: &Step<'_>) -> Result<Copied, Failure> {
        let (head, listed) = self.contents(data).await?;
        let Some(listed) = listed else {
            // pg_dump has said why.
            return Err(Failure::new(Exit::Failed, "no-dump", "There is no dump"));
        };
        let contents = Contents::of(&listed, self.takes);
        let list = tempfile::NamedTempFile::new()
            .and_then(|file| std::fs::write(file.path(), &contents.list).map(|()| file))
            .map_err(|error| not_run("write a list of contents", &error))?;
        let mut command = self.into.command(&self.tools.pg_restore);
        command.args(["--no-password", "-Fc", "--no-owner", "--no-acl"]);
        command.arg(format!("--dbname={}", self.into.only_database()));
        command.arg("-L").arg(list.path());
        let mut restore = spawn(command, Stdio::piped())?;
        let (output, complaints) = streams(&mut restore)?;
        drop(output);
        let mut stdin = restore.stdin.take();
        let feeding = async {
            let mut bytes = head.len() as u64;
            if let Some(into) = stdin.as_mut() {
                let fed = feed(into, &head, data, &mut bytes, step).await;
                // A pg_restore that has ended says why itself.
                drop(fed);
            }
            drop(stdin.take());
            bytes
        };
        let (bytes, said) = tokio::join!(feeding, Said::read(complaints));
        let status = ended(&mut restore, "pg_restore").await?;
        let problems = said.problems();
        let harmless = status.success() || (said.went_on() && problems.is_empty());
        if !harmless {
            let told = if problems.is_empty() { said.told(MOST_PROBLEMS) } else { few(&problems) };
            return Err(failed("pg_restore", &told, status));
        }
        Ok(Copied { bytes, left_out: contents.left_out })
    }

    /// The beginning of a dump, with the list of its contents; `None` when there is no dump.
    async fn contents(&self, data: &mut ChildStdout) -> Result<(Vec<u8>, Option<String>), Failure> {
        let mut command = std::process::Command::new(&self.tools.pg_restore);
        command.args(["-Fc", "-l"]);
        let mut list = spawn(command, Stdio::piped())?;
        let mut stdin = list.stdin.take();
        let mut head = Vec::new();
        let feeding = async {
            let mut piece = vec![0; PIECE];
            while let Some(into) = stdin.as_mut() {
                let count = data.read(&mut piece).await.unwrap_or(0);
                head.extend_from_slice(&piece[..count]);
                // It ends when it has read the contents.
                if count == 0 || into.write_all(&piece[..count]).await.is_err() {
                    drop(stdin.take());
                }
            }
        };
        let ((), output) = tokio::join!(feeding, list.wait_with_output());
        let output = output.map_err(|error| not_run("run pg_restore", &error))?;
        if output.status.success() {
            return Ok((head, Some(String::from_utf8_lossy(&output.stdout).into_owned())));
        }
        if head.is_empty() {
            return Ok((head, None));
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(failed("pg_restore", &said, output.status))
    }
}

/// Passes the beginning and all that follows on.
async fn feed(
    into: &mut tokio::process::ChildStdin,
    head: &[u8],
    data: &mut ChildStdout,
    bytes: &mut u64,
    step: &Step<'_>,
) -> std::io::Result<()> {
    into.write_all(head).await?;
    let mut piece = vec![0; PIECE];
    loop {
        let count = data.read(&mut piece).await?;
        if count == 0 {
            return into.shutdown().await;
        }
        into.write_all(&piece[..count]).await?;
        *bytes += count as u64;
        step.progress(&Bytes(*bytes).to_string());
    }
}

fn spawn(mut command: std::process::Command, stdin: Stdio) -> Result<Child, Failure> {
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    let name = command.get_program().to_string_lossy().into_owned();
    let mut command = Command::from(command);
    command.kill_on_drop(true).spawn().map_err(|error| not_run(&format!("run {name}"), &error))
}

fn streams(child: &mut Child) -> Result<(ChildStdout, impl AsyncRead + Unpin + use<>), Failure> {
    match (child.stdout.take(), child.stderr.take()) {
        (Some(out), Some(err)) => Ok((out, err)),
        _ => Err(Failure::new(Exit::Failed, "no-streams", "A program was started without streams")),
    }
}

async fn ended(child: &mut Child, name: &str) -> Result<ExitStatus, Failure> {
    child.wait().await.map_err(|error| not_run(&format!("wait for {name}"), &error))
}

fn not_run(what: &str, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Failed, "not-run", format!("Cannot {what}: {error}"))
}

fn few(problems: &[String]) -> String {
    let mut told = problems.iter().take(MOST_PROBLEMS).cloned().collect::<Vec<_>>().join("\n");
    if problems.len() > MOST_PROBLEMS {
        told.push_str(&format!("\nand {} more", problems.len() - MOST_PROBLEMS));
    }
    told
}

fn failed(program: &str, told: &str, status: ExitStatus) -> Failure {
    let message = format!("{program} failed ({status}):\n{told}");
    Failure::new(Exit::Failed, "copy-failed", message)
}
