//! The database that everybody works on, and where everybody's results go.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use howdah_archive::{Archive, Config, Location, Timeline};
use howdah_cluster::Cluster;
use howdah_cluster::connection::Limits;
use howdah_cluster::settings::PLATFORM_ROLE;
use howdah_model::ids::TimelineId;
use howdah_testkit::clusters::{Home, majors, template};
use tokio::process::Command;

use crate::Effort;
use crate::report::Account;

/// pgBackRest of Debian 12 knows no later one.
const MAJOR: u16 = 15;
/// A little longer than ext4 remembers deleted inodes.
const FORGOTTEN: Duration = Duration::from_secs(6);
/// Rows of the table with text, per unit of pgbench's scale.
const VARIED: u64 = 20_000;

pub(crate) struct Bed {
    pub(crate) home: Home,
    pub(crate) cluster: Cluster,
    /// Bytes of the data directory, without WAL.
    pub(crate) bytes: u64,
}

impl Bed {
    pub(crate) async fn start(effort: &Effort) -> anyhow::Result<Self> {
        let majors = majors();
        let installed = majors.iter().find(|one| one.version.major.0 == MAJOR);
        let installed = installed.with_context(|| format!("PostgreSQL {MAJOR} is needed"))?;
        let home = Home::new();
        let cluster = home.cluster(installed, "bench");
        cluster.make(&template(installed).await).await?;
        let settings = [
            ("shared_buffers", "512MB"),
            ("max_wal_size", "4GB"),
            ("wal_keep_size", "4GB"),
            ("checkpoint_timeout", "1h"),
            ("max_connections", "100"),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        cluster.configure(&settings.into()).await?;
        // pgBackRest must run as PostgreSQL's user, and asks the server a few things.
        let ident = cluster.data.join("pg_ident.conf");
        let user = home.run_as.name();
        let all = std::fs::read_to_string(&ident)?;
        std::fs::write(&ident, format!("{all}{PLATFORM_ROLE} {user} {PLATFORM_ROLE}\n"))?;
        cluster.start(Duration::from_secs(60)).await?;
        let mut bed = Self { home, cluster, bytes: 0 };
        bed.fill(effort.scale).await?;
        bed.bytes = size(&bed.cluster.data, &["pg_wal"])?;
        println!(
            "PostgreSQL {MAJOR}, pgbench -i -s {} and {} varied rows: {:.2} GB",
            effort.scale,
            effort.scale * VARIED,
            bed.bytes as f64 / 1e9
        );
        Ok(bed)
    }

    async fn fill(&self, scale: u64) -> anyhow::Result<()> {
        let status = self.pgbench(&["-i", "-q", "-s", &scale.to_string()]).status().await?;
        if !status.success() {
            bail!("pgbench -i: {status}");
        }
        let rows = scale * VARIED;
        let patient = Limits { statement: Duration::from_secs(3600), ..Limits::WORK };
        let connection = self.cluster.connect("postgres", patient).await?;
        for sql in [
            &format!(
                "create table public.varied as select n, md5(n::text) as digest, \
                 repeat('word ' || n % 1000 || ' ', 8) as text, random() as noise, \
                 jsonb_build_object('id', n, 'name', 'name of ' || n, 'at', now()) as document \
                 from generate_series(1, {rows}) n"
            ),
            "create index on public.varied (digest)",
            "vacuum public.varied",
            "checkpoint",
        ] {
            connection.run(sql).await?;
        }
        Ok(())
    }

    pub(crate) fn pgbench(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.cluster.installed.bindir.join("pgbench"));
        command
            .args(arguments)
            .args(["-U", PLATFORM_ROLE, "-h"])
            .arg(&self.cluster.socket_dir)
            .arg("postgres")
            .env("PGOPTIONS", "-c search_path=public")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Whose processor time counts.
    pub(crate) fn account(&self) -> Account<'_> {
        Account::Ours(&self.cluster.data)
    }

    /// A directory of that name that is new and empty and belongs to PostgreSQL's user.
    pub(crate) fn fresh(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.home.path().join(name);
        remove(&path)?;
        self.home.run_as.make_dir(&path)?;
        Ok(path)
    }

    /// A history in a new archive in a directory.
    pub(crate) fn timeline(&self, name: &str) -> anyhow::Result<Timeline> {
        let path = self.home.path().join(name);
        remove(&path)?;
        let config = Config { location: Location::Directory(path), key: None };
        Ok(Archive::open(&config)?.timeline(TimelineId::new()))
    }

    /// Waits until nobody's data is on its way to the disk any more, and until what was deleted is
    /// forgotten: ext4 looks long for a free inode in the 5 s after many were deleted.
    pub(crate) async fn settle(&self) {
        rustix::fs::sync();
        tokio::time::sleep(FORGOTTEN).await;
    }
}

/// Runs a program to its end.
pub(crate) async fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!("{command:?}: {}: {}", output.status, String::from_utf8_lossy(&said));
    }
    Ok(())
}

/// Removes a directory. A rival's process that works on after it has answered may still be writing
/// there: it is given a moment.
pub(crate) fn remove(path: &Path) -> anyhow::Result<()> {
    let begin = Instant::now();
    loop {
        match std::fs::remove_dir_all(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {
                ensure!(begin.elapsed() < Duration::from_secs(30), "{}: {error}", path.display());
                std::thread::park_timeout(Duration::from_millis(100));
            }
            done => return Ok(done?),
        }
    }
}

/// Bytes of all files below a directory, but for some of its entries.
pub(crate) fn size(dir: &Path, without: &[&str]) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if without.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        let meta = entry.metadata()?;
        bytes += if meta.is_dir() { size(&entry.path(), &[])? } else { meta.len() };
    }
    Ok(bytes)
}
