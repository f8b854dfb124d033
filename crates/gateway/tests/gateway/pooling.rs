//! Servers by transaction, with real clients.

mod load;
mod losing;
mod state;
mod statements;

use std::time::Duration;

use howdah_gateway::registry::{Seen, Standing};
use howdah_model::route::Mode;

use crate::cluster::Cluster;
use crate::rig::{Rig, Session, Tenant, until};

/// A tenant whose pool has so many servers.
pub(crate) async fn pooled(rig: &Rig, name: &str, servers: u32) -> Tenant {
    let (tenant, mut route) = rig.make(name).await;
    route.mode = Mode::Transaction;
    route.connection_limit = servers * 4 / 3 + u32::from(!servers.is_multiple_of(3));
    assert_eq!(route.pool_servers(), servers);
    rig.platform.change(|routes| routes.push(route));
    tenant
}

pub(crate) async fn rig() -> Rig {
    Rig::with(Cluster::start().await, |config| {
        config.timeouts.queue = Duration::from_millis(500);
    })
    .await
}

pub(crate) async fn process(session: &Session) -> String {
    session.ask("select pg_backend_pid()").await
}

pub(crate) async fn run(session: &Session, sql: &str) {
    session.client.batch_execute(sql).await.expect(sql);
}

pub(crate) async fn refused(session: &Session, sql: &str) -> String {
    let error = session.client.simple_query(sql).await.expect_err(sql);
    error.code().map(|code| code.code().to_owned()).unwrap_or_else(|| error.to_string())
}

/// Waits until none of a tenant's sessions has a server.
pub(crate) async fn all_free(rig: &Rig, tenant: &Tenant) {
    let is_free = |seen: &Seen| seen.standing == Standing::Detached;
    until("all servers are free", || async {
        rig.gateway.report(tenant.id).sessions.iter().all(is_free)
    })
    .await;
}

/// How many servers PostgreSQL has for a tenant.
pub(crate) async fn servers(rig: &Rig, tenant: &Tenant) -> u32 {
    let sql = format!("select count(*) from pg_stat_activity where usename = '{}'", tenant.role);
    rig.cluster.sql(&sql).await.parse().expect("a number")
}
