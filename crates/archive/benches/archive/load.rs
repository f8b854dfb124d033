//! What a backup takes from those who work meanwhile.

use std::process::Stdio;

use anyhow::Context as _;

use crate::Effort;
use crate::backups::ours;
use crate::bed::{Bed, run};
use crate::report::{head, line, median, number, order};
use crate::rivals::PgBackRest;

/// Bytes per second: the platform's usual bound.
const RATE: u64 = 32 << 20;
const CLIENTS: &str = "4";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum During {
    Nothing,
    Ours,
    OursUnbounded,
    PgBackRest,
}

const ALL: [During; 4] = [During::Nothing, During::Ours, During::OursUnbounded, During::PgBackRest];

impl During {
    fn name(self) -> String {
        match self {
            Self::Nothing => "no backup".to_owned(),
            Self::Ours => format!("ours, {} MiB/s", RATE >> 20),
            Self::OursUnbounded => "ours, as fast as it goes".to_owned(),
            Self::PgBackRest => "pgBackRest".to_owned(),
        }
    }
}

pub(crate) async fn measure(bed: &Bed, effort: &Effort) -> anyhow::Result<()> {
    let mut rates = vec![Vec::new(); ALL.len()];
    for round in 0..effort.rounds {
        for who in order(ALL.len(), round) {
            bed.settle();
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

/// Transactions per second while something goes on over and over.
async fn one(bed: &Bed, effort: &Effort, during: During) -> anyhow::Result<f64> {
    let span = effort.span.as_secs().to_string();
    let mut load = bed.pgbench(&["-n", "-c", CLIENTS, "-T", &span]);
    let load = load.stdout(Stdio::piped()).spawn()?;
    tokio::select! {
        ended = load.wait_with_output() => {
            let said = String::from_utf8(ended?.stdout)?;
            let rate = said.lines().find_map(|line| line.strip_prefix("tps = "));
            let rate = rate.and_then(|rate| rate.split_whitespace().next()?.parse().ok());
            rate.with_context(|| format!("pgbench says `{said}`"))
        }
        failed = repeat(bed, during) => match failed {
            Ok(never) => match never {},
            Err(error) => Err(error),
        }
    }
}

async fn repeat(bed: &Bed, during: During) -> anyhow::Result<std::convert::Infallible> {
    loop {
        match during {
            During::Nothing => std::future::pending::<()>().await,
            During::Ours => drop(ours(bed, &bed.timeline("load")?, Some(RATE)).await?),
            During::OursUnbounded => drop(ours(bed, &bed.timeline("load")?, None).await?),
            During::PgBackRest => {
                let rival = PgBackRest::new(bed, "pgbackrest-load", &bed.cluster.data).await?;
                match rival {
                    Some(rival) => run(&mut rival.command(&["--type=full", "backup"])).await?,
                    None => std::future::pending().await,
                }
            }
        }
    }
}
