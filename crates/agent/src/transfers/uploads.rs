//! Dumps that come from outside, put into the archive as they come.

use axum::body::Body;
use futures_util::StreamExt as _;
use howdah_archive::Error;
use howdah_archive::dump::Writer;
use howdah_model::ids::TransferId;
use howdah_model::transfer::Made;

use super::downloads::Downloads;
use crate::clock;

/// How a dump in the custom format begins.
const MAGIC: &[u8] = b"PGDMP";

/// Why a dump was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotTaken {
    #[error("it is not a dump in PostgreSQL's custom format (pg_dump -Fc)")]
    NoDump,
    #[error("it broke off: {0}")]
    Broken(String),
    #[error(transparent)]
    Archive(#[from] Error),
}

impl Downloads {
    /// Takes a dump. It is there when this succeeds, and nothing of it else.
    pub(crate) async fn take(&self, id: TransferId, content: Body) -> Result<(), NotTaken> {
        let mut writer = self.archive.dump(id).begin();
        match copy(&mut writer, content).await {
            Ok(()) => {
                let made = Made {
                    source_bytes: 0,
                    dump_bytes: writer.bytes(),
                    tables: 0,
                    warnings: 0,
                    major: None,
                };
                writer.finish(made, clock::now()).await?;
                Ok(())
            }
            Err(why) => {
                if let Err(error) = writer.give_up().await {
                    tracing::warn!(%error, "what is left of an upload is removed later");
                }
                Err(why)
            }
        }
    }
}

async fn copy(writer: &mut Writer, content: Body) -> Result<(), NotTaken> {
    let mut content = content.into_data_stream();
    let mut head = Vec::new();
    while let Some(piece) = content.next().await {
        let piece = piece.map_err(|error| NotTaken::Broken(error.to_string()))?;
        if head.len() < MAGIC.len() {
            head.extend(piece.iter().take(MAGIC.len() - head.len()));
            if !MAGIC.starts_with(&head) {
                return Err(NotTaken::NoDump);
            }
        }
        writer.write(&piece).await?;
    }
    if head == MAGIC { Ok(()) } else { Err(NotTaken::NoDump) }
}
