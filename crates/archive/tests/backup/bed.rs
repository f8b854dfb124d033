//! A cluster with rows in it, an archive, and a place to restore to.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use howdah_archive::backup::{self, Backup, Checkpoint, Progress, Taking};
use howdah_archive::restore::{self, Owner, Restoring};
use howdah_archive::{Archive, Config, Location, Timeline};
use howdah_cluster::connection::Limits;
use howdah_cluster::settings::PLATFORM_ROLE;
use howdah_cluster::{Cluster, Connection, StopMode};
use howdah_model::agent::Installed;
use howdah_model::ids::TimelineId;
use howdah_testkit::clusters::{Home, small};
use tokio_util::sync::CancellationToken;

/// How long a server may take to start or stop on a machine that is busy.
pub(crate) const BOUND: Duration = Duration::from_secs(60);

pub(crate) struct Bed {
    pub(crate) home: Home,
    pub(crate) installed: Installed,
    pub(crate) source: Cluster,
    pub(crate) timeline: Timeline,
}

impl Bed {
    /// A running cluster with a few MB of rows that differ, and an archive in a directory.
    pub(crate) async fn new(installed: &Installed) -> Self {
        let home = Home::new();
        let source = home.running(installed, "source").await;
        let config =
            Config { location: Location::Directory(home.path().join("archive")), key: None };
        let timeline = Archive::open(&config).expect("open").timeline(TimelineId::new());
        let bed = Self { home, installed: installed.clone(), source, timeline };
        bed.sql(
            "create table numbers as select n, md5(n::text) as text, random() as noise \
             from generate_series(1, 300000) n; create index on numbers (n)",
        )
        .await;
        bed
    }

    pub(crate) fn archive_dir(&self) -> PathBuf {
        self.home.path().join("archive")
    }

    pub(crate) async fn connect(cluster: &Cluster) -> Connection {
        let connection = cluster.connect("postgres", Limits::WORK).await.expect("connect");
        connection.run("set search_path = public").await.expect("choose the schema");
        connection
    }

    pub(crate) async fn sql(&self, sql: &str) {
        Self::connect(&self.source).await.run(sql).await.expect(sql);
    }

    pub(crate) async fn number(cluster: &Cluster, sql: &str) -> i64 {
        let rows = Self::connect(cluster).await.rows(sql, &[]).await.expect(sql);
        rows[0].get(0)
    }

    pub(crate) fn taking(&self) -> Taking {
        taking(&self.source)
    }

    pub(crate) async fn take(&self, how: &Taking) -> Backup {
        let taken = backup::take(&self.timeline, how, &Progress::default(), &never()).await;
        taken.expect("take a base backup")
    }

    pub(crate) fn restoring(&self, name: &str) -> (Cluster, Restoring) {
        let cluster = self.home.cluster(&self.installed, name);
        std::fs::create_dir_all(cluster.data.parent().expect("a parent"))
            .expect("make a directory");
        let user = &cluster.run_as;
        let how = Restoring {
            to: cluster.data.clone(),
            owner: Some(Owner { uid: user.uid(), gid: user.gid() }),
            parallel: 2,
            bindir: self.installed.bindir.clone(),
        };
        (cluster, how)
    }

    /// Restores a backup to a place of that name, and has PostgreSQL's own program check it.
    pub(crate) async fn restore(&self, backup: &Backup, name: &str) -> Cluster {
        let (cluster, how) = self.restoring(name);
        let progress = Progress::default();
        restore::restore(&self.timeline, backup, &how, &progress).await.expect("restore");
        assert_eq!(progress.done(), progress.total(), "all of it was told");
        self.verify(&cluster);
        cluster
    }

    /// `pg_verifybackup` knows nothing of us.
    pub(crate) fn verify(&self, cluster: &Cluster) {
        let output = Command::new(self.installed.bindir.join("pg_verifybackup"))
            .arg("--no-parse-wal")
            .arg(&cluster.data)
            .output()
            .expect("run pg_verifybackup");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Gives a restored cluster all the WAL that the source has, and starts it.
    pub(crate) async fn start(&self, cluster: &Cluster) {
        self.sql("select pg_switch_wal()").await;
        copy_wal(&self.source.data, &cluster.data, cluster);
        cluster.configure(&small()).await.expect("configure");
        cluster.start(BOUND).await.expect("start what was restored");
    }

    /// Whether tables and indexes are sound and every page's checksum right.
    pub(crate) async fn check(&self, cluster: &Cluster) {
        let output = Command::new(self.installed.bindir.join("pg_amcheck"))
            .args(["--all", "--install-missing", "--heapallindexed", "--host"])
            .arg(&cluster.socket_dir)
            .args(["--username", PLATFORM_ROLE])
            .output()
            .expect("run pg_amcheck");
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
        cluster.stop(StopMode::Fast, BOUND).await.expect("stop");
        let output = Command::new(self.installed.bindir.join("pg_checksums"))
            .arg("--check")
            .arg(&cluster.data)
            .output()
            .expect("run pg_checksums");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

pub(crate) fn taking(cluster: &Cluster) -> Taking {
    taking_at(&cluster.socket_dir)
}

pub(crate) fn taking_at(socket_dir: &Path) -> Taking {
    Taking {
        socket_dir: socket_dir.to_owned(),
        user: PLATFORM_ROLE.to_owned(),
        checkpoint: Checkpoint::Fast,
        rate: None,
        parallel: 2,
        base: None,
        label: "it's a test".to_owned(),
    }
}

pub(crate) fn never() -> CancellationToken {
    CancellationToken::new()
}

/// Copies complete and current segments, as an archive would give them.
pub(crate) fn copy_wal(from: &Path, to: &Path, owner: &Cluster) {
    for entry in std::fs::read_dir(from.join("pg_wal")).expect("read pg_wal").flatten() {
        if entry.file_name().len() == 24 {
            let to = to.join("pg_wal").join(entry.file_name());
            std::fs::copy(entry.path(), &to).expect("copy a segment");
            owner.run_as.give(&to).expect("give it away");
        }
    }
}

/// All files below a directory, by their paths.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![dir.to_owned()];
    while let Some(dir) = left.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_dir { left.push(entry.path()) } else { found.push(entry.path()) }
        }
    }
    found.sort();
    found
}
