//! The spare database: one that is complete and empty and only lacks its name and its owner. The
//! template holds one, so every cluster has one from its beginning, and making the first database
//! costs no `CREATE DATABASE`. Nobody can enter it, it is nobody's and in no record of ours.
//!
//! Its comment says what it is a copy of. The comment is written last, so one without it is half
//! made; and it is taken away in the transaction that gives the database away.

use howdah_model::agent::Installed;
use tokio_postgres::error::SqlState;

use super::{drop_database, exclusively};
use crate::connection::{Connection, SqlError};
use crate::{Cluster, template};

/// What it is called.
pub const SPARE: &str = "howdah_spare";

/// Held by the one session that makes spares. Not [`super::LOCK`]: making one takes long, and no
/// convergence waits for it.
const LOCK: i64 = super::LOCK + 1;

/// How the comments of all spares begin, also of those of other versions of the platform.
const MARK: &str = "howdah spare ";

/// The comment of a spare that is complete and holds what this version's databases hold.
fn mark(installed: &Installed) -> String {
    // FNV-1a: it tells one text of ours from the next, and no one chooses what it is made of.
    let add = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let added = template::of_databases(installed).concat();
    let hash = added.bytes().fold(0xcbf2_9ce4_8422_2325, add);
    format!("{MARK}{} {hash:016x}", installed.version.major)
}

/// The statements that make it, each by itself.
pub(crate) fn make(installed: &Installed) -> [String; 2] {
    [
        format!("create database {SPARE} template template1 allow_connections false"),
        // One transaction, one line: the template is made by a server without sessions.
        format!(
            "revoke all on database {SPARE} from public; \
             comment on database {SPARE} is '{}'",
            mark(installed)
        ),
    ]
}

/// What makes it an ordinary database again, before it gets its name.
pub(super) fn unmark() -> String {
    format!("comment on database {SPARE} is null")
}

/// Whether it is there and as good as a database that is made now: complete, of the same kind,
/// closed to everybody, with nobody in it and nothing changed about it.
const FIT: &str = "\
select from pg_database d join pg_database t on t.datname = 'template1' \
where d.datname = 'howdah_spare' and shobj_description(d.oid, 'pg_database') = $1 \
and pg_get_userbyid(d.datdba) = current_user \
and not d.datallowconn and not d.datistemplate and d.datconnlimit = -1 \
and (d.encoding, d.datlocprovider, d.datcollate, d.datctype, d.dattablespace) \
    = (t.encoding, t.datlocprovider, t.datcollate, t.datctype, t.dattablespace) \
and d.datcollversion is not distinct from t.datcollversion \
and not exists (select from aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a \
                where a.grantee <> d.datdba) \
and not exists (select from pg_db_role_setting s where s.setdatabase = d.oid) \
and not exists (select from pg_stat_activity a where a.datid = d.oid)";

pub(super) async fn is_fit(
    connection: &Connection,
    installed: &Installed,
) -> Result<bool, SqlError> {
    Ok(!connection.rows(FIT, &[&mark(installed)]).await?.is_empty())
}

/// What is no spare, although it is called so, is not ours to drop.
const OURS: &str = "\
select from pg_database d where d.datname = 'howdah_spare' \
and (not d.datallowconn or starts_with(shobj_description(d.oid, 'pg_database'), $1))";

/// Makes one where there is none that is fit, in a session of its own. May be broken off anywhere.
pub(super) async fn renew(cluster: &Cluster) -> Result<(), SqlError> {
    let connection = exclusively(cluster, "postgres", LOCK).await?;
    if is_fit(&connection, &cluster.installed).await? {
        return Ok(());
    }
    if !connection.rows(OURS, &[&MARK]).await?.is_empty() {
        drop_database(&connection, SPARE).await?;
    }
    for statement in make(&cluster.installed) {
        match connection.run(&statement).await {
            Err(error) if error.is(&SqlState::DUPLICATE_DATABASE) => {
                return Err(SqlError::Refused {
                    code: SqlState::DUPLICATE_DATABASE,
                    message: format!("`{SPARE}` is the platform's name; rename that database"),
                });
            }
            done => done?,
        }
    }
    connection.close().await;
    Ok(())
}
