//! Where a running server stands: whether it writes, and how far it is.

use std::time::Duration;

use howdah_model::lsn::{Lsn, Tli};
use howdah_model::protection::Position;
use jiff::Timestamp;
use tokio::time::{Instant, sleep};
use tokio_postgres::Row;

use crate::Cluster;
use crate::connection::{Connection, SqlError};

/// Whether a server writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Primary,
    /// It replays WAL.
    Recovering {
        /// Replay was paused, by somebody or because a setting is less than the primary's: then it
        /// goes on after a restart.
        paused: bool,
    },
}

/// Where a standby gets its WAL from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiving {
    /// Whether it streams from its primary now.
    pub streams: bool,
    /// Up to where it has received by streaming since its start.
    pub received: Option<Lsn>,
    /// When the last message of the primary came.
    pub heard_at: Option<Timestamp>,
}

const STANDING: &str = "select pg_is_in_recovery(), \
    case when pg_is_in_recovery() then pg_get_wal_replay_pause_state() else '' end";

/// Of a primary the timeline is that of the segment which is being written. Of a standby it is the
/// newest that the control file or the stream knows.
const POSITION: &str = "\
select case when pg_is_in_recovery() \
       then coalesce(pg_last_wal_replay_lsn(), \
                     (select min_recovery_end_lsn from pg_control_recovery())) \
       else pg_current_wal_flush_lsn() end::text, \
       pg_snapshot_xmax(pg_current_snapshot())::text, \
       case when pg_is_in_recovery() \
       then (select greatest(c.timeline_id, r.min_recovery_end_timeline, \
                             (select received_tli from pg_stat_wal_receiver))::text \
             from pg_control_checkpoint() c, pg_control_recovery() r) \
       else substr(pg_walfile_name(pg_current_wal_flush_lsn()), 1, 8) end, \
       pg_is_in_recovery(), (extract(epoch from clock_timestamp()) * 1000000)::bigint";

const RECEIVING: &str = "\
select status = 'streaming', flushed_lsn::text, \
       (extract(epoch from last_msg_receipt_time) * 1000000)::bigint \
from pg_stat_wal_receiver";

impl Cluster {
    /// Whether the server writes or replays.
    ///
    /// # Errors
    /// See [`SqlError`].
    pub async fn standing(&self, connection: &Connection) -> Result<Standing, SqlError> {
        let row = one(connection, STANDING).await?;
        Ok(if row.get(0) {
            Standing::Recovering { paused: row.get::<_, &str>(1) != "not paused" }
        } else {
            Standing::Primary
        })
    }

    /// Where the server is in WAL: a primary by what is durably written, a standby by what it has
    /// replayed. The difference of two `next_xid` is the number of transactions with a number,
    /// committed or not, that have ended on the one and are not known to the other.
    ///
    /// # Errors
    /// See [`SqlError`].
    pub async fn position(&self, connection: &Connection) -> Result<Position, SqlError> {
        let row = one(connection, POSITION).await?;
        let lsn = row.get::<_, Option<&str>>(0).unwrap_or("0/0");
        let radix = if row.get(3) { 10 } else { 16 };
        Ok(Position {
            at: Timestamp::from_microsecond(row.get(4)).map_err(|_| strange("time"))?,
            tli: Tli(u32::from_str_radix(row.get(2), radix).map_err(|_| strange("timeline"))?),
            lsn: lsn.parse().map_err(|_| strange("place in WAL"))?,
            next_xid: row.get::<_, &str>(1).parse().map_err(|_| strange("transaction number"))?,
        })
    }

    /// How a standby receives WAL; it does not stream when there is no receiver.
    ///
    /// # Errors
    /// See [`SqlError`].
    pub async fn receiving(&self, connection: &Connection) -> Result<Receiving, SqlError> {
        let rows = connection.rows(RECEIVING, &[]).await?;
        let Some(row) = rows.first() else {
            return Ok(Receiving { streams: false, received: None, heard_at: None });
        };
        let heard = row.get::<_, Option<i64>>(2);
        Ok(Receiving {
            streams: row.get::<_, Option<bool>>(0).unwrap_or_default(),
            received: row.get::<_, Option<&str>>(1).and_then(|lsn| lsn.parse().ok()),
            heard_at: heard.and_then(|micros| Timestamp::from_microsecond(micros).ok()),
        })
    }

    /// Makes a standby a primary, and waits until it writes. Fine when it does already.
    ///
    /// # Errors
    /// [`SqlError::Silent`] when it does not write after `patience`: it may do so later.
    pub async fn promote(
        &self,
        connection: &Connection,
        patience: Duration,
    ) -> Result<(), SqlError> {
        let deadline = Instant::now() + patience;
        if self.standing(connection).await? == Standing::Primary {
            return Ok(());
        }
        match connection.run("select pg_promote(false)").await {
            // It has been promoted in this moment.
            Err(error) if self.standing(connection).await? != Standing::Primary => {
                return Err(error);
            }
            _ => {}
        }
        while self.standing(connection).await? != Standing::Primary {
            if Instant::now() > deadline {
                return Err(SqlError::Silent(patience));
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

async fn one(connection: &Connection, query: &str) -> Result<Row, SqlError> {
    let row = connection.rows(query, &[]).await?.pop();
    row.ok_or_else(|| SqlError::Lost("an answer without a row".to_owned()))
}

fn strange(what: &str) -> SqlError {
    SqlError::Lost(format!("PostgreSQL named no good {what}"))
}
