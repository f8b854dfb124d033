//! All that the control plane does by itself, for as long as it runs.

use anyhow::{Result, bail};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::engine::{self, Engine};
use crate::servers::watch;
use crate::{Control, news, observations, pool, retention, routes};

impl Control {
    /// Works until it is cancelled: listens to the store, watches servers, moves machines, keeps
    /// pools, routes and history.
    ///
    /// # Errors
    /// When a part of it ends in a panic; then the others are stopped too.
    pub async fn run(&self, cancelled: CancellationToken) -> Result<()> {
        let mut parts = JoinSet::new();
        let child = cancelled.child_token();
        macro_rules! part {
            ($name:literal, $control:ident, $token:ident, $work:expr) => {{
                let ($control, $token) = (self.clone(), child.clone());
                parts.spawn(async move {
                    $work.await;
                    $name
                });
            }};
        }
        part!("listener", control, token, news::run(&control, &token));
        part!("watch", control, token, watch::run(&control, &token));
        part!("routes", control, token, routes::run(&control, &token));
        part!("pool", control, token, pool::run(&control, &token));
        part!("observations", control, token, observations::run(&control, &token));
        part!("retention", control, token, retention::run(&control, &token));
        part!(
            "engine",
            control,
            token,
            engine::run(Engine::new(control.clone()), &control.news().due, &token)
        );
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
