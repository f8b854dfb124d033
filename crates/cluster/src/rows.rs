//! The limit of rows of a tenant's database: counting, and refusing new rows so that it holds
//! against the owner (C27, C28, C29).
//!
//! New rows are refused by what PostgreSQL has for that: `INSERT` is revoked, from everybody, on
//! every table. As the owner of a table can always grant it again, and owns what it makes next, an
//! event trigger of the platform refuses every command after which somebody could insert, for as
//! long as this lasts. What was revoked is recorded in the database itself, in the transaction that
//! revokes it, where only the platform can write, and is granted again from that record.
//!
//! The guard comes first, in a transaction of its own: from then on nothing new can be made, and
//! what a crash, or a tenant's open transaction, has left is found by the next look. After a minute,
//! transactions that began earlier and still write are ended, and so is who holds a table that could
//! not be changed.

mod count;
mod refusing;

use howdah_model::compliance::{Compliance, Limit};
use howdah_model::name::DatabaseName;
use jiff::{SignedDuration, Timestamp};

use crate::Cluster;
use crate::connection::{Connection, Limits, SqlError};
use crate::sql::literal;

pub use count::count;
use refusing::end_older_writers;
pub use refusing::{Manner, allow, refuse};

/// How long after new rows are refused what still brings some is ended.
const FIRM: SignedDuration = SignedDuration::from_secs(60);
/// Who begins so long after new rows are refused finds all revoked: that takes less, or is repeated
/// at once.
const LATEST: SignedDuration = SignedDuration::from_secs(30);

/// What a look at the rows of a database saw, and left.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its rows.
    pub rows: u64,
    /// How it stands to its limit.
    pub compliance: Compliance,
    /// What is not yet as that wants it, and is tried again by the next look.
    pub left: Option<SqlError>,
}

/// Counts the rows of a database and makes what its limit wants true in it.
///
/// # Errors
/// When it could not be counted; see [`SqlError`].
pub async fn look(
    cluster: &Cluster,
    database: &DatabaseName,
    limit: &Limit,
    now: Timestamp,
) -> Result<Seen, SqlError> {
    let inside = cluster.connect(database.as_str(), Limits::ROWS).await?;
    let rows = count(&inside, limit.rows).await?;
    let platform = cluster.connect("postgres", Limits::LOOK).await?;
    let before = remembered(&platform, database).await?;
    let compliance = before.judge(rows, limit, now);
    if compliance != before {
        remember(&platform, database, compliance).await?;
    }
    platform.close().await;
    let left = make_true(&inside, compliance, now).await.err();
    inside.close().await;
    Ok(Seen { rows, compliance, left })
}

async fn make_true(
    inside: &Connection,
    compliance: Compliance,
    now: Timestamp,
) -> Result<(), SqlError> {
    match compliance {
        Compliance::Within | Compliance::Over { .. } => allow(inside).await,
        Compliance::Refused { since, .. } if now >= since + FIRM => {
            end_older_writers(inside, since + LATEST).await?;
            refuse(inside, Manner::Firm).await
        }
        Compliance::Refused { .. } => refuse(inside, Manner::Polite).await,
    }
}

/// Makes true that a database has no limit.
///
/// # Errors
/// See [`SqlError`].
pub async fn unlimited(cluster: &Cluster, database: &DatabaseName) -> Result<(), SqlError> {
    let inside = cluster.connect(database.as_str(), Limits::ROWS).await?;
    allow(&inside).await?;
    inside.close().await;
    Ok(())
}

async fn remembered(platform: &Connection, name: &DatabaseName) -> Result<Compliance, SqlError> {
    let select = "select (extract(epoch from over_since) * 1000000)::bigint, \
         (extract(epoch from until) * 1000000)::bigint, \
         (extract(epoch from refused_since) * 1000000)::bigint from howdah.rows where name = $1";
    let rows = platform.rows(select, &[&name.as_str()]).await?;
    let at = |micros: i64| Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH);
    Ok(match rows.first().map(|row| (row.get(0), row.get(1), row.get::<_, Option<i64>>(2))) {
        None => Compliance::Within,
        Some((over, until, None)) => Compliance::Over { since: at(over), until: at(until) },
        Some((over, _, Some(since))) => Compliance::Refused { over: at(over), since: at(since) },
    })
}

/// Under its name, so that a reset or a restore makes no new grace.
async fn remember(
    platform: &Connection,
    name: &DatabaseName,
    compliance: Compliance,
) -> Result<(), SqlError> {
    let name = literal(name.as_str());
    let (over, until, refused) = match compliance {
        Compliance::Within => {
            let forget = format!(
                "delete from howdah.rows r where name = {name} \
                 or not exists (select from howdah.databases d where d.name = r.name)"
            );
            return platform.run(&forget).await;
        }
        Compliance::Over { since, until } => (since, until, "null".to_owned()),
        Compliance::Refused { over, since } => (over, since, format!("'{since}'")),
    };
    let write = format!(
        "insert into howdah.rows (name, over_since, until, refused_since) \
         values ({name}, '{over}', '{until}', {refused}) on conflict (name) do update \
         set over_since = excluded.over_since, until = excluded.until, \
         refused_since = excluded.refused_since"
    );
    platform.run(&write).await
}
