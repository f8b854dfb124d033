//! What the agent is told of a transfer.

use std::fmt::Display;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use howdah_model::agent::Wanted;
use howdah_model::backup::Kind;
use howdah_model::ids::DatabaseId;
use howdah_model::name::RoleName;
use howdah_model::secret::Secret;
use howdah_model::transfer::{From, Into, TransferSpec};
use howdah_store::servers::{self, Server};
use howdah_store::transfers::{self, SourceIs, Transfer};
use howdah_store::{Connection, credentials, databases};

use super::Facts;
use crate::Control;
use crate::engine::Fence;
use crate::transfers::SOURCE_URL;

/// The most sessions that one transfer has side by side.
const MOST_JOBS: u32 = 4;

/// Tells the agent what it shall copy. It is safe to tell it again.
pub(crate) async fn tell<S: Display>(
    control: &Control,
    facts: &Facts,
    fence: Fence<S>,
) -> Result<()> {
    let server = put(control, &facts.row, Wanted::Present).await?;
    let seen = control.servers().observe(&server, None, Duration::ZERO).await?;
    let mut tx = control.store().begin().await?;
    fence.check(&mut tx).await?;
    transfers::told(&mut tx, facts.row.id, seen.change).await?;
    tx.commit().await?;
    control.observed(seen).await
}

/// Tells the agent to break it off.
pub(crate) async fn take_back(control: &Control, facts: &Facts) -> Result<()> {
    break_off(control, &facts.row).await
}

/// Tells the agent to break off what is not wanted any more.
pub(crate) async fn break_off(control: &Control, row: &Transfer) -> Result<()> {
    put(control, row, Wanted::Absent).await.map(|_| ())
}

async fn put(control: &Control, row: &Transfer, wanted: Wanted) -> Result<Server> {
    let mut conn = control.reader().get().await?;
    let server = row.server_id.context("its server was not chosen")?;
    let server = servers::get(&mut conn, server).await?.context("its server is not registered")?;
    if control.sightings().fresh(server.id, control.now()).is_none() {
        bail!("the agent of server `{}` does not answer", server.name);
    }
    let spec = spec(control, &mut conn, row, wanted).await?;
    // The connection is not held while the agent is spoken to.
    drop(conn);
    control.servers().put_transfer(&server, &spec).await?;
    Ok(server)
}

async fn spec(
    control: &Control,
    conn: &mut Connection,
    row: &Transfer,
    wanted: Wanted,
) -> Result<TransferSpec> {
    let database = databases::get(conn, row.database_id).await?;
    let database = database.context("the database is not there")?;
    let jobs = database.plan.vcpu.clamp(1, MOST_JOBS);
    let from = from(control, conn, row).await?;
    let into = if row.kind == Kind::Backup {
        Into::Archive
    } else {
        Into::Database {
            participant: row.into_participant_id.context("what is filled was not chosen")?,
            owner: owner(conn, database.id).await?,
            database: database.name,
            extensions: row.extensions.clone(),
        }
    };
    Ok(TransferSpec { id: row.id, wanted, from, into, jobs: u16::try_from(jobs).unwrap_or(1) })
}

async fn from(control: &Control, conn: &mut Connection, row: &Transfer) -> Result<From> {
    let url = || -> Result<Secret> {
        // It is forgotten when the transfer is over, and not needed to take it back.
        let Some(sealed) = &row.source_url else { return Ok(Secret::new(String::new())) };
        Ok(control.keyring().open_text(SOURCE_URL, row.id, sealed)?)
    };
    Ok(match row.source_is {
        SourceIs::Database => {
            let id = row.source_id.unwrap_or(row.database_id);
            let source = databases::get(conn, id).await?.context("what is copied is not there")?;
            From::Database {
                participant: row.from_participant_id.context("what is read was not chosen")?,
                owner: owner(conn, source.follows.unwrap_or(id)).await?,
                database: source.name,
            }
        }
        SourceIs::Dump => {
            From::Dump { transfer: row.dump_id.context("it is not known which dump")? }
        }
        SourceIs::Web => From::Web { url: url()? },
        SourceIs::Foreign => From::Foreign { url: url()? },
    })
}

/// The role that owns a database.
async fn owner(conn: &mut Connection, id: DatabaseId) -> Result<RoleName> {
    let found = credentials::find(conn, id, credentials::DEFAULT).await?;
    Ok(found.context("the database has no default credential")?.role)
}
