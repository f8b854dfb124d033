//! Where a platform's words go: its log, and nowhere once nobody reads its output.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};

use crate::settings::Settings;

/// Sends what this process may still print to nowhere, after the reader of its output has gone.
pub(crate) fn quiet_output() -> Result<()> {
    let null = std::fs::File::options().write(true).open("/dev/null").context("open /dev/null")?;
    nix::unistd::dup2_stdout(&null).context("let go of the output")?;
    nix::unistd::dup2_stderr(&null).context("let go of the output")
}

/// Begins to write the log.
pub(crate) fn log_to(path: &Path, settings: &Settings) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let file = std::fs::File::options()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("open {}", path.display()))?;
    let filter = tracing_subscriber::EnvFilter::try_new(&settings.log)
        .with_context(|| format!("read HOWDAH_LOG=`{}`", settings.log))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_target(true)
        .with_writer(Arc::new(file))
        .try_init()
        .map_err(|error| anyhow::anyhow!("start the log: {error}"))
}
