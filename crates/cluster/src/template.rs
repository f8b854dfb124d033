//! One initialised cluster for each major version, which every new cluster is a copy of.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use howdah_model::agent::Installed;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::databases::spare;
use crate::installed::{has_extension, has_library};
use crate::settings::PLATFORM_ROLE;
use crate::{RunAs, copy, durable, replication};

/// Goes up with every change of how a template is made, so that an old one is made anew.
pub const FORMAT: u32 = 4;
/// The file in a template that says what it holds. Written last.
pub(crate) const MARK: &str = "howdah.template";
/// How long making a template may take. It is about a second on a quiet machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the database `postgres` holds beside PostgreSQL's own: our records, and who may enter.
const TEMPLATE_SQL: &str = include_str!("template.sql");
/// What the platform's role has in newer versions: a tenant's setting of its database would end the
/// platform's sessions there, and older versions refuse to be told of it at a session's start.
const SINCE_17_SQL: &str = "alter role howdah set transaction_timeout = 0;\n";
/// What every database holds beside PostgreSQL's own. PostgreSQL lets the owner of a database
/// create any *trusted* extension; the guard refuses those that `pgextwlist` did not let through.
/// It is in `pg_catalog` and a member of `plpgsql` so that no dump contains it.
pub(crate) const GUARD_SQL: &str = include_str!("guard.sql");

/// What new databases have of `pg_stat_statements`, where it is installed: the extension, tamed so
/// that tenants can begin to count anew, each in its own database only. What resets the counts of
/// the whole server is called by the platform's functions alone, by a name in `pg_catalog`, as a
/// tenant can put functions of its own beside the extension's. The extension belongs to a role that
/// tenants are members of, so that they can restore its comment. What is added is a member of
/// `plpgsql` so that no dump contains it; `_heroku` is where Heroku's CLI looks on small plans.
pub(crate) const STATEMENTS_SQL: &str = include_str!("statements.sql");

/// What is added to `template1`, and so to every new database.
pub(crate) fn of_databases(installed: &Installed) -> Vec<&'static str> {
    let name = "pg_stat_statements";
    let there = has_extension(installed, name) && has_library(installed, name);
    if there { vec![GUARD_SQL, STATEMENTS_SQL] } else { vec![GUARD_SQL] }
}

/// An initialised data directory that is only ever copied.
#[derive(Clone, Debug)]
pub struct Template {
    data: PathBuf,
    /// What it holds.
    mark: String,
}

impl Template {
    /// The template of a major version in `templates`, which is made when it is not there or is
    /// of another format. Only one process may do this in a directory at a time.
    ///
    /// # Errors
    /// When it cannot be made; what a crash leaves is removed by the next attempt.
    pub async fn ensure(templates: &Path, installed: &Installed, run_as: &RunAs) -> Result<Self> {
        if let Some(found) = Self::find(templates, installed) {
            return Ok(found);
        }
        let data = templates.join(installed.version.major.to_string());
        std::fs::create_dir_all(templates).context("make the directory of templates")?;
        run_as.open_way(templates)?;
        let beside = durable::beside(&data);
        let clean = || durable::remove_dir(&beside).context("remove a half-made template");
        clean()?;
        run_as.make_dir(&beside).context("make a template's directory")?;
        let made = timeout(PATIENCE, make(&beside, installed, run_as)).await;
        if let Err(error) = made.context("it took too long").flatten() {
            clean()?;
            return Err(error.context(format!(
                "make a template of PostgreSQL {installed_version}",
                installed_version = installed.version
            )));
        }
        durable::remove_dir(&data).context("remove an old template")?;
        durable::rename(&beside, &data).context("put the template in place")?;
        Ok(Self { data, mark: mark_of(installed) })
    }

    /// The template of a major version, if it is there and of this format.
    #[must_use]
    pub fn find(templates: &Path, installed: &Installed) -> Option<Self> {
        let template = Self {
            data: templates.join(installed.version.major.to_string()),
            mark: mark_of(installed),
        };
        template.is_mark_of(&template.data).then_some(template)
    }

    pub(crate) fn is_mark_of(&self, dir: &Path) -> bool {
        std::fs::read_to_string(dir.join(MARK)).is_ok_and(|mark| mark == self.mark)
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// Copies the template to a new data directory, which is there completely or not at all.
    ///
    /// # Errors
    /// Those of the file system; nothing is left then.
    pub fn copy_to(&self, data: &Path, run_as: &RunAs) -> std::io::Result<()> {
        let beside = durable::beside(data);
        durable::remove_dir(&beside)?;
        let copied = copy::tree(&self.data, &beside, run_as, &|| false)
            .and_then(|_| durable::remove_file(&beside.join(MARK)))
            .and_then(|()| durable::rename(&beside, data));
        if copied.is_err() {
            // The first error is the one to tell; the next attempt cleans again.
            let _ = durable::remove_dir(&beside);
        }
        copied
    }
}

fn mark_of(installed: &Installed) -> String {
    let newer = newer_sql(installed);
    let spare = spare::make(installed).join("\n");
    let major = installed.version.major;
    let ensure = ensure_sql();
    let added = of_databases(installed).concat();
    format!("format {FORMAT} of {major}\n{TEMPLATE_SQL}{newer}{ensure}{added}{spare}\n")
}

fn newer_sql(installed: &Installed) -> &'static str {
    if installed.version.major.0 >= 17 { SINCE_17_SQL } else { "" }
}

/// In one line, as a server without sessions takes it.
fn ensure_sql() -> String {
    replication::ENSURE.replace('\n', " ") + ";\n"
}

async fn make(data: &Path, installed: &Installed, run_as: &RunAs) -> Result<()> {
    initdb(data, installed, run_as).await.context("run initdb")?;
    let spare = spare::make(installed).join("\n") + "\n";
    let ensure = ensure_sql();
    let added = of_databases(installed).concat();
    let steps = [
        ("postgres", TEMPLATE_SQL),
        ("postgres", ensure.as_str()),
        ("postgres", newer_sql(installed)),
        ("postgres", GUARD_SQL),
        ("template1", added.as_str()),
        // A copy of `template1`, so after it.
        ("postgres", spare.as_str()),
    ];
    for (database, sql) in steps.into_iter().filter(|(_, sql)| !sql.is_empty()) {
        single(data, installed, run_as, database, sql)
            .await
            .with_context(|| format!("prepare database {database}"))?;
    }
    let mark = data.join(MARK);
    std::fs::write(&mark, mark_of(installed)).context("mark the template as complete")?;
    run_as.give(&mark)?;
    sync(data, installed, run_as).await
}

async fn initdb(data: &Path, installed: &Installed, run_as: &RunAs) -> Result<()> {
    let mut command = run_as.command(installed.bindir.join("initdb"));
    command
        .arg("--pgdata")
        .arg(data)
        .args(["--username", PLATFORM_ROLE, "--encoding=UTF8", "--locale=C.UTF-8"])
        .args(["--auth=reject", "--data-checksums", "--no-sync", "--no-instructions"]);
    if installed.version.major.0 >= 17 {
        // Sorts as C.UTF-8 does, and never changes with the operating system's library.
        command.args(["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]);
    }
    run(&mut command, "").await
}

/// Runs statements, one on each line, without a server that anybody could connect to.
async fn single(
    data: &Path,
    installed: &Installed,
    run_as: &RunAs,
    database: &str,
    sql: &str,
) -> Result<()> {
    let mut command = run_as.command(installed.bindir.join("postgres"));
    command
        .args(["--single", "-D"])
        .arg(data)
        .args(["-c", "exit_on_error=on", "-c", "allow_system_table_mods=on"])
        .args(["-c", "fsync=off", database]);
    run(&mut command, sql).await
}

async fn sync(data: &Path, installed: &Installed, run_as: &RunAs) -> Result<()> {
    let mut command = run_as.command(installed.bindir.join("initdb"));
    command.arg("--sync-only").arg("--pgdata").arg(data);
    run(&mut command, "").await.context("write the template to the disk")
}

async fn run(command: &mut tokio::process::Command, input: &str) -> Result<()> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("start {:?}", command.as_std().get_program()))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).await.context("send statements")?;
    }
    let output = child.wait_with_output().await.context("wait for its end")?;
    if !output.status.success() {
        bail!("{}: {}", output.status, last_lines(&output.stderr));
    }
    Ok(())
}

/// The end of what a program said, for people.
pub(crate) fn last_lines(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let lines: Vec<_> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(4)..].join("; ")
}
