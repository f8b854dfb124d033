//! From anything to a new database beside the one whose place it will take.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures_util::StreamExt as _;
use howdah_cluster::Cluster;
use howdah_cluster::connection::Limits;
use howdah_cluster::logical::dumping::{Dumping, LOCK_WAIT};
use howdah_cluster::logical::fill::{self, Extensions};
use howdah_cluster::logical::foreign::Foreign;
use howdah_cluster::logical::list::Extension;
use howdah_cluster::logical::process::Place;
use howdah_cluster::logical::restoring::Dump;
use howdah_cluster::logical::role::Purpose;
use howdah_cluster::logical::{Failure, Notes};
use howdah_cluster::settings;
use howdah_model::agent::{ParticipantSpec, Role as Part};
use howdah_model::extension;
use howdah_model::ids::TransferId;
use howdah_model::name::{DatabaseName, RoleName};
use howdah_model::secret::Secret;
use howdah_model::transfer::{From, Into, Made};
use tokio::time::sleep;

use super::capture::{self, Bits};
use super::job::Job;
use super::spool::Spool;
use super::{address, web};

/// How often a restore is asked how far it is.
const LOOK: Duration = Duration::from_secs(1);
/// More sessions side by side are of no use.
const MOST_JOBS: u16 = 8;

/// Where a restore goes.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) spec: ParticipantSpec,
    pub(super) cluster: Cluster,
    pub(super) database: DatabaseName,
    pub(super) owner: RoleName,
    pub(super) extensions: Vec<String>,
}

impl Job {
    /// Where the copy goes, when that is a database of this server.
    pub(super) async fn target(&self) -> Result<Option<Target>> {
        let Into::Database { participant, database, owner, extensions } = &self.spec.into else {
            return Ok(None);
        };
        let found = self.shared.await_participant(*participant).await;
        let (spec, cluster) = found.with_context(|| format!("cannot reach `{database}`"))?;
        if spec.role != Part::Leader {
            bail!("`{database}` is a follower: it cannot be restored into");
        }
        let (database, owner) = (database.clone(), owner.clone());
        Ok(Some(Target { spec, cluster, database, owner, extensions: extensions.clone() }))
    }
}

/// A dump that lies on the disk.
struct Fetched {
    file: PathBuf,
    made: Made,
}

/// Fills the new database and makes it complete.
pub(super) async fn restore(job: &Job) -> Result<Made> {
    let target = job.target().await?.context("a restore goes into a database")?;
    let notes = job.notes();
    let fetched = fetch(job, &target, &notes).await?;
    let installed = &job.shared.installed;
    let major = target.cluster.installed.version.major;
    let dump = Dump::open(&fetched.file, &job.shared.run_as, installed, major).await?;
    let mut made = fetched.made;
    made.tables = dump.listing.tables();
    made.major = made.major.or(dump.listing.dumped_from);
    for left_out in dump.listing.left_out() {
        made.warnings += 1;
        notes.warn(format!("left out {left_out}: only a superuser can have it"));
    }
    job.step("restoring tables", None);
    made.warnings += fill(job, &target, &dump, &notes, made.source_bytes).await?;
    let told = serde_json::to_string(&made).context("write down what was made")?;
    job.step("completing", None);
    let cluster = &target.cluster;
    fill::complete(cluster, job.id(), &job.writer, &target.owner, &told).await?;
    // It owns nothing any more; what cannot be removed now goes later.
    job.remove_roles().await;
    job.shared.remove_spool(job.id()).await;
    Ok(made)
}

async fn fill(
    job: &Job,
    target: &Target,
    dump: &Dump,
    notes: &Notes,
    source_bytes: u64,
) -> Result<u32> {
    let (cluster, id) = (&target.cluster, job.id());
    let offered = |name: &str, value: &String| settings::offered(&cluster.installed, name, value);
    let of_database = target.spec.databases.get(&target.database).map(|known| &known.settings);
    // What the database itself has; what the server has holds in the new one too.
    let own: Vec<_> = extension::SETTINGS
        .into_iter()
        .filter_map(|name| Some((name, offered(name, of_database?.get(name)?))))
        .collect();
    let of_server = target.spec.settings.get(extension::SETTINGS[0]);
    let of_server = of_server.map(|value| offered(extension::SETTINGS[0], value));
    let allowed = own.first().map(|(_, value)| value.clone()).or(of_server).unwrap_or_default();
    let writer = &job.writer;
    writer.make(cluster, &Purpose::Restore).await.context("make a role that restores")?;
    fill::make(cluster, id, writer, &own).await.context("make the new database")?;
    let asked = target.extensions.iter().map(|name| Extension { name: name.clone(), schema: None });
    let extensions = Extensions {
        wanted: dump.extensions.iter().cloned().chain(asked).collect(),
        allowed: allowed.split(',').map(|name| name.trim().to_owned()).collect::<BTreeSet<_>>(),
    };
    let mut warnings = fill::create_extensions(cluster, id, writer, &extensions, notes).await?;
    let name = fill::name(id);
    let place = Place::local(&cluster.socket_dir, &name, writer.name(), writer.password());
    let total = (source_bytes > 0).then_some(source_bytes);
    let step = |what: &'static str| job.step_on(what, total);
    let jobs = job.spec.jobs.clamp(1, MOST_JOBS);
    let restoring = dump.restore(&place, &name, jobs, notes, &step);
    let restored = tokio::select! {
        restored = restoring => restored,
        () = count(job, cluster, &name) => unreachable!("it goes on until it is dropped"),
    };
    warnings += restored.map_err(|failure| told(failure, &name))?;
    Ok(warnings)
}

/// The name of the new database tells people nothing.
fn told(failure: Failure, name: &str) -> Failure {
    match failure {
        Failure::Said { said } => Failure::Said { said: said.replace(name, "the new database") },
        other => other,
    }
}

/// How large the new database is, and how many sessions work on it: indexes and checks of a large
/// table change nothing that can be seen for long.
const GROWTH: &str = "\
select pg_database_size(d.oid), (select count(*) from pg_stat_activity a \
       where a.usename = $2 and a.state = 'active' and a.wait_event_type is distinct from 'Lock' \
       and a.query_start > now() - interval '6 hours') \
from pg_database d where d.datname = $1";

/// Counts how large the new database is, and a little more with every look at which there is work
/// going on: whoever bounds a restore takes what does not count on for one that hangs.
async fn count(job: &Job, cluster: &Cluster, name: &str) {
    let mut session = None;
    let mut looks = 0;
    loop {
        sleep(LOOK).await;
        if session.is_none() {
            session = cluster.connect("postgres", Limits::LOOK).await.ok();
        }
        let Some(connection) = &session else { continue };
        match connection.rows(GROWTH, &[&name, &job.writer.name()]).await {
            Ok(rows) => {
                let Some(row) = rows.first() else { continue };
                looks += u64::from(row.get::<_, i64>(1) > 0);
                let bytes = u64::try_from(row.get::<_, i64>(0)).unwrap_or_default();
                job.processed(bytes + looks);
            }
            Err(_) => session = None,
        }
    }
}

/// Brings the dump to the disk.
async fn fetch(job: &Job, target: &Target, notes: &Notes) -> Result<Fetched> {
    match &job.spec.from {
        From::Dump { transfer } => from_archive(job, *transfer).await,
        From::Web { url } => {
            let mut spool = Spool::begin(&job.shared, job.id(), 0).await?;
            job.step("fetching", None);
            web::fetch(job, url, &mut spool, notes).await?;
            // What it unpacks to is not known; it is not less.
            job.shared.check_room(spool.written())?;
            fetched(spool, nothing_known()).await
        }
        From::Database { .. } => from_database(job, notes).await,
        From::Foreign { url } => from_foreign(job, url, target, notes).await,
    }
}

fn nothing_known() -> Made {
    Made { source_bytes: 0, dump_bytes: 0, tables: 0, warnings: 0, major: None }
}

async fn fetched(spool: Spool, made: Made) -> Result<Fetched> {
    let made = Made { dump_bytes: spool.written(), ..made };
    Ok(Fetched { file: spool.finish().await?, made })
}

async fn from_archive(job: &Job, transfer: TransferId) -> Result<Fetched> {
    let archive = job.shared.archive.as_ref().context("this agent has no archive")?;
    let dump = archive.dump(transfer);
    let known = dump.description().await.context("look into the archive")?;
    let known =
        known.context("the backup is not in the archive: it was deleted, or never complete")?;
    let made = Made { warnings: 0, ..known.made.clone() };
    let mut spool =
        Spool::begin(&job.shared, job.id(), known.bytes + known.made.source_bytes).await?;
    job.step("fetching", Some(known.bytes));
    let mut parts = std::pin::pin!(dump.read(&known, 0..known.bytes));
    while let Some(part) = parts.next().await {
        spool.write(&job.shared, &part.context("read the backup")?).await?;
        job.processed(spool.written());
    }
    fetched(spool, made).await
}

async fn from_database(job: &Job, notes: &Notes) -> Result<Fetched> {
    let source = job.source().await?.context("a copy comes from a database")?;
    let made = capture::look(&source, notes).await?;
    let mut spool = Spool::begin(&job.shared, job.id(), made.source_bytes * 2).await?;
    job.make_reader(&source).await?;
    job.step("dumping", None);
    let mut dumping = capture::start(job, &source)?;
    let output = dumping.output().context("pg_dump has no output")?;
    let copying = pour(job, output, &mut spool);
    let warnings = capture::finish(job, &source, &mut dumping, copying, notes).await?;
    fetched(spool, Made { warnings: made.warnings + warnings, ..made }).await
}

async fn pour(job: &Job, output: tokio::process::ChildStdout, spool: &mut Spool) -> Result<()> {
    let mut read = Bits::new(output);
    while let Some(bit) = read.next().await? {
        spool.write(&job.shared, bit).await?;
        job.processed(spool.written());
    }
    Ok(())
}

/// The programs of the target read most; a source that is newer takes newer ones.
async fn from_foreign(job: &Job, url: &Secret, target: &Target, notes: &Notes) -> Result<Fetched> {
    const TOO_OLD: &str = "server version mismatch";
    let foreign = Foreign::parse(url)?;
    let found = address::find(&foreign.host, foreign.port, &job.shared.allowed).await?;
    notes.info(format!("dumping {} at {}", foreign.database, foreign.host));
    let major = target.cluster.installed.version.major;
    let newer = job.shared.installed.iter().filter(|one| one.version.major >= major);
    let mut newer: Vec<_> = newer.collect();
    newer.sort_by_key(|one| one.version);
    let mut spool = Spool::begin(&job.shared, job.id(), 0).await?;
    let mut last = None;
    for programs in newer {
        job.step("dumping", None);
        spool.rewind().await?;
        let place = foreign.place(found, programs.version.major);
        let mut dumping = Dumping::start(
            &job.shared.run_as,
            &programs.bindir,
            programs.version.major,
            &place,
            LOCK_WAIT,
        )?;
        let output = dumping.output().context("pg_dump has no output")?;
        let scrubbing = scrubbing(notes, &foreign);
        let both = tokio::join!(pour(job, output, &mut spool), dumping.finish(&scrubbing));
        match both {
            (copied, Ok(warnings)) => {
                copied?;
                return fetched(spool, Made { warnings, ..nothing_known() }).await;
            }
            (_, Err(Failure::Said { said })) => {
                let said = foreign.scrubbed(&said);
                let is_too_old = said.contains(TOO_OLD);
                last = Some(said);
                if !is_too_old {
                    break;
                }
            }
            (_, Err(other)) => return Err(other.into()),
        }
    }
    let said = last.unwrap_or_else(|| "no version of PostgreSQL here can read it".to_owned());
    bail!("cannot dump {} at {}: {said}", foreign.database, foreign.host)
}

fn scrubbing(notes: &Notes, foreign: &Foreign) -> Notes {
    let (notes, foreign) = (notes.clone(), foreign.clone());
    Notes::new(move |level, line| notes.line(level, foreign.scrubbed(&line)))
}
