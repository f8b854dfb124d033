//! Reading a dump as a stream, from any byte on.

use std::ops::Range;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};

use super::writing::Digest;
use super::{Description, Dump};
use crate::error::Error;
use crate::layout::Place;

/// How many parts are fetched ahead.
const AHEAD: usize = 2;

impl Dump {
    /// The bytes of a range of a complete dump, in order. Every part is compared with its checksum
    /// before anything of it is given away; a whole dump with that of the whole at its end.
    pub fn read(
        &self,
        known: &Description,
        range: Range<u64>,
    ) -> impl Stream<Item = Result<Bytes, Error>> + Send + use<> {
        let range = range.start.min(known.bytes)..range.end.min(known.bytes);
        let of_part = u64::from(known.part_bytes);
        let numbers = match range.is_empty() {
            true => 0..0,
            false => range.start / of_part..range.end.div_ceil(of_part),
        };
        let is_whole = range == (0..known.bytes);
        let (dump, of, bounds) = (self.clone(), known.clone(), range);
        let parts = stream::iter(numbers).map(move |number| {
            let (dump, of, bounds) = (dump.clone(), of.clone(), bounds.clone());
            async move {
                let begin = number * of_part;
                let end = (begin + of_part).min(of.bytes);
                let part = dump.part(&of, number, end - begin).await?;
                let cut = |at: u64| usize::try_from(at - begin).unwrap_or(usize::MAX);
                Ok(part.slice(cut(bounds.start.max(begin))..cut(bounds.end.min(end))))
            }
        });
        let (place, right) = (Place::dump(self.id), known.sha256.clone());
        let mut digest = is_whole.then(Digest::default);
        let summed = parts.buffered(AHEAD).map(Some).chain(stream::iter([None]));
        summed.filter_map(move |bit| {
            let given = match bit {
                Some(Ok(bit)) => {
                    if let Some(digest) = &mut digest {
                        digest.0.update(&bit);
                    }
                    Some(Ok(bit))
                }
                Some(Err(error)) => {
                    digest = None;
                    Some(Err(error))
                }
                None => {
                    let differs = digest.take().is_some_and(|digest| digest.finish() != right);
                    differs.then(|| Err(Error::corrupt(&place, "its checksum is not what it says")))
                }
            };
            std::future::ready(given)
        })
    }

    async fn part(&self, of: &Description, number: u64, length: u64) -> Result<Bytes, Error> {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        let place = Place::of_dump(self.id, &of.attempt, number);
        let part = self.store.get(&place).await?;
        if part.len() as u64 != length {
            return Err(Error::corrupt(&place, "its length is not what the dump says"));
        }
        Ok(part)
    }
}
