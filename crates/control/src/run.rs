//! All that the control plane does by itself, for as long as it runs.

use anyhow::{Result, bail};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::servers::watch;
use crate::{
    Control, compliance, engine, erasing, former_logins, incidents, links, maintaining, news,
    observations, pool, retention, routes, transfers,
};

impl Control {
    /// Works until it is cancelled: listens to the store, watches servers, moves machines, keeps
    /// pools, routes and history.
    ///
    /// # Errors
    /// When a part of it ends in a panic; then the others are stopped too.
    pub async fn run(&self, cancelled: CancellationToken) -> Result<()> {
        let child = cancelled.child_token();
        let (control, token) = (|| self.clone(), || child.clone());
        let mut parts = JoinSet::new();
        begin(&mut parts, "listener", news::run(control(), token()));
        begin(&mut parts, "watch", watch::run(control(), token()));
        begin(&mut parts, "routes", routes::run(control(), token()));
        begin(&mut parts, "pool", pool::run(control(), token()));
        begin(&mut parts, "observations", observations::run(control(), token()));
        begin(&mut parts, "retention", retention::run(control(), token()));
        begin(&mut parts, "incidents", incidents::run(control(), token()));
        begin(&mut parts, "limits of rows", compliance::run(control(), token()));
        begin(&mut parts, "maintenance", maintaining::run(control(), token()));
        begin(&mut parts, "erasing", erasing::run(control(), token()));
        begin(&mut parts, "links", links::run(control(), token()));
        begin(&mut parts, "former logins", former_logins::run(control(), token()));
        begin(&mut parts, "schedules", transfers::schedule(control(), token()));
        begin(&mut parts, "erasing of dumps", transfers::erase(control(), token()));
        begin(&mut parts, "engine", engine::run(control(), token()));
        let first = parts.join_next().await;
        child.cancel();
        while parts.join_next().await.is_some() {}
        match first {
            _ if cancelled.is_cancelled() => Ok(()),
            Some(Ok(name)) => bail!("the {name} of the control plane ended by itself"),
            Some(Err(error)) => bail!("a part of the control plane ended in a panic: {error}"),
            None => Ok(()),
        }
    }
}

/// Begins a part; its end says its name.
fn begin(
    parts: &mut JoinSet<&'static str>,
    name: &'static str,
    work: impl Future<Output = ()> + Send + 'static,
) {
    parts.spawn(async move {
        work.await;
        name
    });
}
