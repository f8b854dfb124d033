//! Copying the data of a running server.

/// What a copy of a running server begins its recovery from.
pub(crate) const BACKUP_LABEL: &str = "backup_label";
