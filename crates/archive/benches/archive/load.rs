//! What a backup takes from those who work meanwhile.

use std::convert::Infallible;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use howdah_archive::backup::Progress;
use howdah_cluster::connection::Limits;
use tokio::sync::watch;

use crate::Effort;
use crate::backups::{ours, ours_quietly};
use crate::bed::{Bed, run, size};
use crate::report::{head, line, median, number, order};
use crate::rivals::PgBackRest;

/// Bytes per second: the platform's usual bound.
const RATE: u64 = 32 << 20;
const CLIENTS: &str = "4";
/// Between two looks at whether data is being copied.
const TICK: Duration = Duration::from_millis(20);
/// More than a repository has before data comes into it.
const SOME: u64 = 1 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum During {
    Nothing,
    Ours,
    OursUnbounded,
    OursLoud,
    PgBackRest,
}

const ALL: [During; 5] =
    [During::Nothing, During::Ours, During::OursUnbounded, During::OursLoud, During::PgBackRest];

impl During {
    fn name(self) -> String {
        match self {
            Self::Nothing => "no backup".to_owned(),
            Self::Ours => format!("ours, of low priority, {} MiB/s", RATE >> 20),
            Self::OursUnbounded => "ours, of low priority, as fast as it goes".to_owned(),
            Self::OursLoud => "ours, as fast as it goes".to_owned(),
            Self::PgBackRest => "pgBackRest".to_owned(),
        }
    }
}

pub(crate) async fn measure(bed: &Bed, effort: &Effort) -> anyhow::Result<()> {
    let mut rates = vec![Vec::new(); ALL.len()];
    for round in 0..effort.rounds {
        for who in order(ALL.len(), round) {
            rates[who].push(one(bed, effort, ALL[who]).await?);
        }
    }
    println!("\n### pgbench (TPC-B, {CLIENTS} clients) during a base backup\n");
    head(&["", "transactions/s", "of those without one, %"]);
    for (who, during) in ALL.iter().enumerate() {
        let shares = rates[who].iter().zip(&rates[0]).map(|(one, none)| 100.0 * one / none);
        line(&[
            during.name(),
            number(median(rates[who].iter().copied()), 0),
            number(median(shares), 1),
        ]);
    }
    Ok(())
}

/// Transactions per second while something goes on over and over. Everybody begins behind a
/// checkpoint, and the load begins when data is being copied.
async fn one(bed: &Bed, effort: &Effort, during: During) -> anyhow::Result<f64> {
    let patient = Limits { statement: Duration::from_secs(600), ..Limits::WORK };
    bed.cluster.connect("postgres", patient).await?.run("checkpoint").await?;
    bed.settle().await;
    let (began, mut begins) = watch::channel(during == During::Nothing);
    tokio::select! {
        rate = async {
            begins.wait_for(|begun| *begun).await?;
            load(bed, effort).await
        } => rate,
        failed = repeat(bed, during, &began) => match failed {
            Ok(never) => match never {},
            Err(error) => Err(error),
        }
    }
}

async fn load(bed: &Bed, effort: &Effort) -> anyhow::Result<f64> {
    let span = effort.span.as_secs().to_string();
    let mut load = bed.pgbench(&["-n", "-c", CLIENTS, "-T", &span]);
    let output = load.stdout(Stdio::piped()).spawn()?.wait_with_output().await?;
    let said = String::from_utf8(output.stdout)?;
    let rate = said.lines().find_map(|line| line.strip_prefix("tps = "));
    let rate = rate.and_then(|rate| rate.split_whitespace().next()?.parse().ok());
    rate.with_context(|| format!("pgbench says `{said}`"))
}

async fn repeat(
    bed: &Bed,
    during: During,
    began: &watch::Sender<bool>,
) -> anyhow::Result<Infallible> {
    loop {
        let progress = Progress::default();
        let told = async {
            while progress.done() == 0 {
                tokio::time::sleep(TICK).await;
            }
            began.send_replace(true);
            std::future::pending::<Infallible>().await
        };
        let copied = async {
            match during {
                During::Nothing => std::future::pending::<()>().await,
                During::Ours => quietly(bed, Some(RATE), &progress).await?,
                During::OursUnbounded => quietly(bed, None, &progress).await?,
                During::OursLoud => {
                    ours(bed, &bed.timeline("load")?, None, &progress).await?;
                }
                During::PgBackRest => theirs(bed, began).await?,
            }
            anyhow::Ok(())
        };
        tokio::select! {
            never = told => match never {},
            copied = copied => copied?,
        }
    }
}

async fn quietly(bed: &Bed, rate: Option<u64>, progress: &Progress) -> anyhow::Result<()> {
    ours_quietly(bed, &bed.timeline("load")?, rate, progress).await.map(drop)
}

async fn theirs(bed: &Bed, began: &watch::Sender<bool>) -> anyhow::Result<()> {
    let rival = PgBackRest::new(bed, "pgbackrest-load", &bed.cluster.data).await?;
    let Some(rival) = rival else { std::future::pending().await };
    let at = rival.repository().join("backup/bench");
    let told = async {
        while size(&at, &[]).unwrap_or_default() < SOME {
            tokio::time::sleep(TICK).await;
        }
        began.send_replace(true);
        std::future::pending::<Infallible>().await
    };
    let mut command = rival.command(&["--type=full", "backup"]);
    tokio::select! {
        never = told => match never {},
        done = run(&mut command) => done,
    }
}
