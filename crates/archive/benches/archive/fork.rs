//! A copy of the data directory on the same machine.

use std::path::Path;

use anyhow::Context as _;
use howdah_cluster::connection::Limits;
use howdah_cluster::copy::{self, By};
use howdah_cluster::copy_running;
use tokio::process::Command;

use crate::Effort;
use crate::bed::{Bed, remove, run, size};
use crate::report::{Rounds, order, turn};

/// More than the database and its copies take on the file system with reflink.
const ROOM: u64 = 2;

pub(crate) async fn measure(bed: &Bed, effort: &Effort) -> anyhow::Result<()> {
    let names = ["ours, of the running server", "cp -a", "cp -a and sync"];
    let mut rounds = Rounds::new("Fork", names.map(str::to_owned).to_vec());
    let user = &bed.home.run_as;
    without_wal(bed).await?;
    for round in 0..effort.rounds {
        for who in order(names.len(), round) {
            let to = bed.home.path().join("fork");
            remove(&to)?;
            bed.settle().await;
            let (turn, ()) = match who {
                0 => {
                    let progress = copy::Progress::default();
                    turn(bed.account(), async {
                        copy_running(&bed.cluster, &to, user, &progress).await.map(drop)
                    })
                    .await?
                }
                1 => turn(bed.account(), cp(&bed.cluster.data, &to)).await?,
                _ => {
                    turn(bed.account(), async {
                        cp(&bed.cluster.data, &to).await?;
                        run(Command::new("sync").arg("-f").arg(&to)).await
                    })
                    .await?
                }
            };
            rounds.add(who, Some(turn), size(&to, &[])?);
        }
    }
    rounds.print(bed.bytes);
    remove(&bed.home.path().join("fork"))?;
    match Xfs::mount(bed).await {
        Ok(xfs) => {
            let measured = reflinked(bed, effort, &xfs.at).await;
            xfs.unmount().await?;
            measured
        }
        Err(error) => {
            println!("\nwithout a file system that copies by reference: {error:#}");
            Ok(())
        }
    }
}

/// Has the server drop the WAL that it kept for the other sections: `cp` would copy it.
async fn without_wal(bed: &Bed) -> anyhow::Result<()> {
    let connection = bed.cluster.connect("postgres", Limits::WORK).await?;
    for sql in [
        "alter system set wal_keep_size = 0",
        "alter system set max_wal_size = '64MB'",
        "select pg_reload_conf()",
        "checkpoint",
        "select pg_switch_wal()",
        "checkpoint",
    ] {
        connection.run(sql).await?;
    }
    println!(
        "\n{} MB of WAL beside the data",
        size(&bed.cluster.data.join("pg_wal"), &[])? / 1_000_000
    );
    Ok(())
}

/// `cp` of a running server's data: what is missed when a file goes meanwhile does not matter here.
async fn cp(from: &Path, to: &Path) -> anyhow::Result<()> {
    let mut command = Command::new("cp");
    let status = command.args(["-a", "--reflink=never"]).arg(from).arg(to);
    status.stderr(std::process::Stdio::null()).kill_on_drop(true).status().await?;
    anyhow::ensure!(to.join("global/pg_control").exists(), "cp copied nothing");
    Ok(())
}

async fn reflinked(bed: &Bed, effort: &Effort, at: &Path) -> anyhow::Result<()> {
    let (from, to) = (at.join("from"), at.join("fork"));
    cp(&bed.cluster.data, &from).await?;
    let name = "ours, XFS with reflink".to_owned();
    let mut rounds = Rounds::new("Fork on a file system that copies by reference", vec![name]);
    for _ in 0..effort.rounds {
        remove(&to)?;
        bed.settle().await;
        let (from, to, user) = (from.clone(), to.clone(), bed.home.run_as.clone());
        let work = async {
            let copied =
                tokio::task::spawn_blocking(move || copy::tree(&from, &to, &user, &|| false));
            Ok(copied.await??)
        };
        let (turn, by) = turn(bed.account(), work).await?;
        anyhow::ensure!(by == By::Reflink, "it was copied by {by}");
        rounds.add(0, Some(turn), 0);
    }
    rounds.print(bed.bytes);
    Ok(())
}

/// A file with an XFS in it.
struct Xfs {
    at: std::path::PathBuf,
}

impl Xfs {
    async fn mount(bed: &Bed) -> anyhow::Result<Self> {
        let (image, at) = (bed.home.path().join("xfs.img"), bed.fresh("xfs")?);
        let wal = size(&bed.cluster.data.join("pg_wal"), &[])?;
        let file = std::fs::File::create(&image)?;
        file.set_len((bed.bytes + wal) * ROOM + (1 << 30))?;
        run(Command::new("mkfs.xfs").args(["-q", "-f", "-m", "reflink=1"]).arg(&image))
            .await
            .context("mkfs.xfs (of xfsprogs)")?;
        run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&at))
            .await
            .context("a loop mount, which root may make")?;
        bed.home.run_as.give(&at)?;
        Ok(Self { at })
    }

    async fn unmount(self) -> anyhow::Result<()> {
        run(Command::new("umount").arg(&self.at)).await
    }
}
