//! The pages that are generated from the code.

use std::path::Path;

use anyhow::{Context as _, Result};

/// The generated pages: where, and their text.
pub(crate) fn pages() -> Vec<(&'static str, String)> {
    vec![
        ("docs/states.md", howdah_model::explain::markdown()),
        ("docs/commands.md", howdah_cli::commands_markdown()),
        ("docs/diagnose.md", howdah_model::diagnosis::markdown()),
    ]
}

/// Writes them.
pub(crate) fn write(root: &Path) -> Result<()> {
    for (path, text) in pages() {
        std::fs::write(root.join(path), text).with_context(|| format!("write {path}"))?;
    }
    Ok(())
}
