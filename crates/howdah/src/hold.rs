//! The hold on the platform's state, for as long as it runs.

use std::time::Duration;

use anyhow::{Result, bail};
use howdah_store::Store;
use tokio_util::sync::CancellationToken;

/// Sees that the state is still ours; ends when another platform has taken it.
pub(crate) async fn keep_hold(
    store: Store,
    mut hold: howdah_store::Exclusive,
    stop: CancellationToken,
) -> Result<()> {
    const PAUSE: Duration = Duration::from_secs(5);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(PAUSE) => {}
        }
        if hold.check().await.is_ok() {
            continue;
        }
        // The database was away. Whoever takes the state first now goes on with it.
        match store.hold().await {
            Ok(Some(again)) => hold = again,
            Ok(None) => bail!("another platform has taken over the state"),
            Err(error) => tracing::warn!("the platform's database does not answer: {error}"),
        }
    }
}
