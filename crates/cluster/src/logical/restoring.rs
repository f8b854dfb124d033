//! Restoring a dump into a database with `pg_restore`, as a role that owns that database only.

use std::path::{Path, PathBuf};

use howdah_model::agent::Installed;
use howdah_model::version::Major;

use super::list::{Extension, Listing, Part, extensions};
use super::process::{Output, Place, Process};
use super::said::{Heard, Hearing, Tolerance};
use super::{Failure, Notes, without_socket};
use crate::{RunAs, durable};

/// The longest list of a dump that is read, in bytes: a million objects.
const LONGEST: usize = 256 << 20;

/// A dump in a file that PostgreSQL's user can read, and what was found in it.
#[derive(Clone, Debug)]
pub struct Dump {
    file: PathBuf,
    run_as: RunAs,
    /// The programs that can read it.
    programs: Installed,
    /// What is in it.
    pub listing: Listing,
    /// Its extensions.
    pub extensions: Vec<Extension>,
}

/// How a dump is not to be used.
const TOO_NEW: &str = "unsupported version";

impl Dump {
    /// Reads what is in a dump. The programs are those of the server that it is for, where they can
    /// read it, else newer ones.
    ///
    /// # Errors
    /// When it is no dump, or one of a newer version than all that are here.
    pub async fn open(
        file: &Path,
        run_as: &RunAs,
        installed: &[Installed],
        target: Major,
    ) -> Result<Self, Failure> {
        let mut newer: Vec<_> =
            installed.iter().filter(|one| one.version.major >= target).collect();
        newer.sort_by_key(|one| one.version);
        let mut newest = None;
        for programs in newer {
            newest = Some(programs.version);
            let arguments = ["--list".as_ref(), file.as_os_str()];
            let program = programs.bindir.join("pg_restore");
            let process = Process::start(run_as, &program, None, arguments, Output::Read)?;
            match process.text(LONGEST).await {
                Ok(text) => {
                    let listing = Listing::parse(&text);
                    let mut dump = Self {
                        file: file.to_owned(),
                        run_as: run_as.clone(),
                        programs: programs.clone(),
                        listing,
                        extensions: Vec::new(),
                    };
                    dump.read_extensions().await?;
                    return Ok(dump);
                }
                Err(Failure::Said { said }) if said.contains(TOO_NEW) => {}
                Err(Failure::Said { said }) => {
                    let said = said.replace("pg_restore: error: ", "");
                    let said = format!("it is not a dump that can be read: {said}");
                    return Err(Failure::Said { said });
                }
                Err(error) => return Err(error),
            }
        }
        let newest = newest.map_or_else(|| target.to_string(), |newest| newest.to_string());
        Err(Failure::Said {
            said: format!(
                "the dump was made by a newer pg_dump than any here can read, the newest being \
                 {newest}; dump it again with pg_dump of PostgreSQL {target}"
            ),
        })
    }

    async fn read_extensions(&mut self) -> Result<(), Failure> {
        let Some(list) = self.listing.part(Part::Extensions) else { return Ok(()) };
        let arguments = [
            "--file=-".to_owned(),
            format!("--use-list={}", self.list(Part::Extensions, &list)?.display()),
            self.file.display().to_string(),
        ];
        let program = self.programs.bindir.join("pg_restore");
        let process = Process::start(&self.run_as, &program, None, arguments, Output::Read)?;
        self.extensions = extensions(&process.text(LONGEST).await?);
        Ok(())
    }

    /// Writes a list beside the dump.
    fn list(&self, part: Part, list: &str) -> Result<PathBuf, Failure> {
        let name = match part {
            Part::Everything => "everything",
            Part::Needed => "needed",
            Part::Tried => "tried",
            Part::Extensions => "extensions",
        };
        let path = self.file.with_file_name(name);
        durable::refresh(&path, list.as_bytes(), Some(&self.run_as))
            .map_err(|error| Failure::Cannot(format!("write {}: {error}", path.display())))?;
        Ok(path)
    }

    /// Restores it, and returns what had to be left out. `step` is told what is done.
    ///
    /// First what rows need, in order, as that is where errors of what is only tried are told from
    /// others; then rows and what comes after them side by side, where every error is the end; then
    /// what is only tried.
    ///
    /// # Errors
    /// What `pg_restore` said when something could not be made that is needed.
    pub async fn restore(
        &self,
        place: &Place,
        database: &str,
        jobs: u16,
        notes: &Notes,
        step: &(dyn Fn(&'static str) + Sync),
    ) -> Result<u32, Failure> {
        const AFTER: &[&str] = &["--section=data", "--section=post-data"];
        let runs: [(Part, &[&str], u16, Tolerance); 3] = [
            (Part::Everything, &["--section=pre-data"], 1, Tolerance::OfTried),
            (Part::Needed, AFTER, jobs, Tolerance::None),
            (Part::Tried, AFTER, 1, Tolerance::OfTried),
        ];
        let mut warnings = 0;
        for (part, sections, jobs, tolerance) in runs {
            let Some(list) = self.listing.part(part) else { continue };
            let mut arguments: Vec<_> = sections.iter().map(ToString::to_string).collect();
            arguments.extend([
                format!("--dbname={database}"),
                format!("--jobs={}", jobs.max(1)),
                format!("--use-list={}", self.list(part, &list)?.display()),
                self.file.display().to_string(),
            ]);
            warnings += self.run(place, arguments, tolerance, notes, step).await?;
        }
        Ok(warnings)
    }

    async fn run(
        &self,
        place: &Place,
        arguments: Vec<String>,
        tolerance: Tolerance,
        notes: &Notes,
        step: &(dyn Fn(&'static str) + Sync),
    ) -> Result<u32, Failure> {
        const ALWAYS: &[&str] = &[
            "--format=custom",
            "--no-owner",
            "--no-privileges",
            "--no-tablespaces",
            "--no-security-labels",
            "--no-subscriptions",
            "--no-password",
            "--verbose",
        ];
        let all = ALWAYS.iter().map(ToString::to_string).chain(arguments);
        let program = self.programs.bindir.join("pg_restore");
        let mut process =
            Process::start(&self.run_as, &program, Some(place), all, Output::Nowhere)?;
        let mut hearing = Hearing::new(tolerance);
        let mut heard_any = false;
        let mut warnings = 0;
        while let Some(line) = process.line().await {
            match hearing.hear(&line) {
                Heard::Nothing => {}
                Heard::Step(what) => step(what),
                Heard::Warning(what) => {
                    warnings += 1;
                    notes.warn(what);
                }
                // Whatever else it does is of no use: it is ended when this returns.
                Heard::Fatal(why) => return Err(Failure::Said { said: without_socket(&why) }),
            }
            heard_any |= line.starts_with("pg_restore: error:");
        }
        let status = process.wait().await?;
        // 1 says that there were errors, which were all heard.
        if status.success() || (status.code() == Some(1) && heard_any) {
            return Ok(warnings);
        }
        Err(Failure::Said { said: format!("pg_restore ended by {status}") })
    }
}
