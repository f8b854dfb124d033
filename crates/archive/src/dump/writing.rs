//! Putting a dump as it comes, several parts at once.

use aws_lc_rs::digest;
use bytes::{Bytes, BytesMut};
use howdah_model::transfer::Made;
use jiff::Timestamp;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{Description, Dump, PART};
use crate::envelope::How;
use crate::error::Error;
use crate::layout::Place;

/// How many parts are on their way while the next one fills.
const AT_ONCE: usize = 3;

/// One attempt at a dump. What it has put is nothing until [`Writer::finish`]; when it is dropped
/// before, its parts stay for [`Dump::delete_unfinished`] or the reaper.
#[derive(Debug)]
pub struct Writer {
    dump: Dump,
    attempt: String,
    filling: BytesMut,
    parts: u32,
    bytes: u64,
    digest: Digest,
    pub(super) tasks: JoinSet<Result<(), Error>>,
}

impl Dump {
    /// Begins an attempt. Nothing is put yet.
    #[must_use]
    pub fn begin(&self) -> Writer {
        Writer {
            dump: self.clone(),
            attempt: Uuid::new_v4().simple().to_string(),
            filling: BytesMut::new(),
            parts: 0,
            bytes: 0,
            digest: Digest::default(),
            tasks: JoinSet::new(),
        }
    }
}

impl Writer {
    /// Takes what comes next; waits when too much is on its way.
    ///
    /// # Errors
    /// When the archive does not take it: the attempt is lost then.
    pub async fn write(&mut self, mut content: &[u8]) -> Result<(), Error> {
        self.digest.0.update(content);
        self.bytes += content.len() as u64;
        while !content.is_empty() {
            let room = PART as usize - self.filling.len();
            let (some, rest) = content.split_at(room.min(content.len()));
            self.filling.extend_from_slice(some);
            content = rest;
            if self.filling.len() == PART as usize {
                self.put().await?;
            }
        }
        Ok(())
    }

    /// Bytes that were written so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    async fn put(&mut self) -> Result<(), Error> {
        let part = std::mem::take(&mut self.filling).freeze();
        let place = Place::of_dump(self.dump.id, &self.attempt, self.parts);
        self.parts += 1;
        let store = self.dump.store.clone();
        // What is in it is compressed already.
        self.tasks.spawn(async move { store.put_new(&place, part, How::Plain).await.map(|_| ()) });
        while self.tasks.len() > AT_ONCE {
            self.gather().await?;
        }
        Ok(())
    }

    async fn gather(&mut self) -> Result<(), Error> {
        match self.tasks.join_next().await {
            None => Ok(()),
            Some(Ok(put)) => put,
            Some(Err(broke)) => {
                let place = Place::dump(self.dump.id).to_string();
                Err(Error::Unfit { place, why: format!("putting it broke off: {broke}") })
            }
        }
    }

    /// Makes the dump complete, when all of it is durable. When another attempt was faster the dump is
    /// that one's, and this one's parts go; the answer says what the dump is.
    ///
    /// # Errors
    /// When the archive does not take it.
    pub async fn finish(mut self, made: Made, at: Timestamp) -> Result<Description, Error> {
        if !self.filling.is_empty() {
            self.put().await?;
        }
        while !self.tasks.is_empty() {
            self.gather().await?;
        }
        let place = Place::dump_description(self.dump.id);
        let ours = Description {
            attempt: self.attempt,
            bytes: self.bytes,
            sha256: self.digest.finish(),
            part_bytes: PART,
            parts: self.parts,
            at,
            made,
        };
        let text = serde_json::to_vec(&ours)
            .map_err(|why| Error::Unfit { place: place.to_string(), why: why.to_string() })?;
        let known = match self.dump.store.put_new(&place, Bytes::from(text), How::Fast).await {
            Ok(_) => ours,
            Err(error @ Error::Conflict { .. }) => self.dump.description().await?.ok_or(error)?,
            Err(error) => return Err(error),
        };
        self.dump.delete_attempts(|attempt| attempt != known.attempt).await?;
        Ok(known)
    }

    /// Gives the attempt up and takes away what it has put.
    ///
    /// # Errors
    /// When the archive does not answer; the reaper does it then.
    pub async fn give_up(mut self) -> Result<(), Error> {
        self.tasks.shutdown().await;
        self.dump.delete_attempts(|attempt| attempt == self.attempt).await
    }
}

/// SHA-256 as it grows.
pub(super) struct Digest(pub(super) digest::Context);

impl Digest {
    pub(super) fn finish(self) -> String {
        self.0.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Default for Digest {
    fn default() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Digest")
    }
}
