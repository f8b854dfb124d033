//! Those that ours is measured against.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::bed::{Bed, run};

/// pgBackRest with a repository, compression and parallelism like ours.
pub(crate) struct PgBackRest {
    pub(crate) dir: PathBuf,
    user: howdah_cluster::RunAs,
}

impl PgBackRest {
    /// Where it is installed: with a new repository for the data directory of a cluster.
    pub(crate) async fn new(bed: &Bed, name: &str, data: &Path) -> anyhow::Result<Option<Self>> {
        if !Path::new("/usr/bin/pgbackrest").exists() {
            println!("pgBackRest is not installed");
            return Ok(None);
        }
        let dir = bed.fresh(name)?;
        let (place, socket) = (dir.display(), bed.cluster.socket_dir.display());
        let conf = format!(
            "[global]\nrepo1-path={place}/repo\nrepo1-bundle=y\nlog-path={place}\n\
             lock-path={place}/lock\nspool-path={place}/spool\nlog-level-file=off\n\
             log-level-console=error\ncompress-type=zst\ncompress-level=1\nprocess-max=2\n\
             start-fast=y\narchive-async=y\narchive-check=n\narchive-mode-check=n\n\
             [bench]\npg1-path={}\npg1-socket-path={socket}\npg1-user=howdah\n\
             pg1-database=postgres\n",
            data.display()
        );
        std::fs::write(dir.join("conf"), conf)?;
        for name in ["repo", "lock", "spool"] {
            bed.home.run_as.make_dir(&dir.join(name))?;
        }
        bed.home.run_as.give(&dir.join("conf"))?;
        let this = Self { dir, user: bed.home.run_as.clone() };
        // What is asked of a server differs when the directory is not the one that it has.
        let online = if *data == bed.cluster.data { "--online" } else { "--no-online" };
        run(&mut this.command(&[online, "stanza-create"])).await?;
        Ok(Some(this))
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.user.command("/usr/bin/pgbackrest");
        command.arg(format!("--config={}", self.dir.join("conf").display()));
        command.arg("--stanza=bench").args(arguments);
        command
    }

    pub(crate) fn repository(&self) -> PathBuf {
        self.dir.join("repo")
    }
}

/// Every file compressed for itself, by two processes: what a script does that has no other aim.
pub(crate) async fn copy_with_zstd(from: &Path, to: &Path) -> anyhow::Result<()> {
    let script = "cd \"$0\" && find . -path ./pg_wal -prune -o -type f -size +0 -print0 | \
        xargs -0 -P 2 -n 8 zstd -q -1 --output-dir-mirror \"$1\" && sync -f \"$1\"";
    run(Command::new("sh").args(["-c", script]).arg(from).arg(to)).await
}

/// The way back.
pub(crate) async fn restore_with_zstd(from: &Path, to: &Path) -> anyhow::Result<()> {
    let script = "cd \"$0\" && find . -type f -print0 | \
        xargs -0 -P 2 -n 8 zstd -q -d --output-dir-mirror \"$1\" && sync -f \"$1\"";
    run(Command::new("sh").args(["-c", script]).arg(from).arg(to)).await
}
