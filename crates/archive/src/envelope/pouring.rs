//! Taking content out bit by bit, for what is written to a disk: each bit is compared, added up and
//! written while it is still in the processor's cache, and never is there a whole object in memory
//! that is not compressed.

use std::cell::RefCell;

use aws_lc_rs::digest;
use zstd::stream::raw::{Decoder, InBuffer, Operation as _, OutBuffer};

use super::{Body, Key};
use crate::error::Error;
use crate::layout::Place;

/// How much is taken out at once.
const BIT: usize = 1 << 17;

thread_local! {
    // Its tables and window are large, and one serves any number of objects.
    static DECODER: RefCell<Option<(Decoder<'static>, Vec<u8>)>> = const { RefCell::new(None) };
}

/// Takes content out and gives it away in order. Only when this returns is it certain that what was
/// given is what was put in. Takes processor time.
///
/// # Errors
/// As of [`super::open`], and those of `take`.
pub(crate) fn pour<E: From<Error>>(
    mut sealed: Vec<u8>,
    key: Option<&Key>,
    place: &Place,
    mut take: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let body = Body::find(&mut sealed, key, place)?;
    let mut digest = digest::Context::new(&digest::SHA256);
    let mut length = 0;
    let mut give = |bit: &[u8]| {
        digest.update(bit);
        length += bit.len() as u64;
        if length > body.length {
            return Err(Error::corrupt(place, "it is longer than it says").into());
        }
        take(bit)
    };
    if body.is_compressed {
        decompress(body.content, place, &mut give)?;
    } else {
        body.content.chunks(BIT).try_for_each(&mut give)?;
    }
    if length != body.length {
        return Err(Error::corrupt(place, "its length is not what it says").into());
    }
    if digest.finish().as_ref() != body.sum {
        return Err(Error::corrupt(place, "its checksum is not what it says").into());
    }
    Ok(())
}

/// Decompresses exactly one frame.
fn decompress<E: From<Error>>(
    content: &[u8],
    place: &Place,
    give: &mut impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let damaged =
        |why: std::io::Error| Error::corrupt(place, format!("it cannot be decompressed: {why}"));
    DECODER.with_borrow_mut(|kept| {
        let (decoder, bit) = match kept {
            Some(kept) => kept,
            None => kept.insert((Decoder::new().map_err(damaged)?, vec![0; BIT])),
        };
        decoder.reinit().map_err(damaged)?;
        let mut from = InBuffer::around(content);
        loop {
            let mut to = OutBuffer::around(bit.as_mut_slice());
            let left = decoder.run(&mut from, &mut to).map_err(damaged)?;
            let (given, is_full) = (to.pos(), to.pos() == BIT);
            give(&bit[..given])?;
            match (left, from.pos() == content.len()) {
                (0, true) => return Ok(()),
                (0, false) => return Err(Error::corrupt(place, "it goes on after its end").into()),
                (_, true) if !is_full => return Err(Error::corrupt(place, "it is cut off").into()),
                _ => {}
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{How, open, seal};
    use super::*;

    fn poured(sealed: Vec<u8>, key: Option<&Key>) -> Result<Vec<u8>, Error> {
        let mut all = Vec::new();
        pour(sealed, key, &Place::probe("x"), |bit| {
            all.extend_from_slice(bit);
            Ok::<(), Error>(())
        })?;
        Ok(all)
    }

    proptest! {
        #[test]
        fn it_is_what_comes_out_at_once(
            seed: u32, length in 0usize..600_000, compressed: bool, encrypted: bool,
        ) {
            let byte = |n: usize| ((n as u32 ^ seed).wrapping_mul(2_654_435_761) >> 27) as u8;
            let plain: Vec<u8> = (0..length).map(byte).collect();
            let how = if compressed { How::Fast } else { How::Plain };
            let key = encrypted.then(|| Key::new([7; 32]));
            let sealed = seal(&plain, how, key.as_ref(), &Place::probe("x")).expect("seal");
            prop_assert_eq!(poured(sealed, key.as_ref()).expect("pour"), plain);
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let plain: Vec<u8> = (0..400u32).flat_map(|n| (n * n).to_le_bytes()).collect();
        let place = Place::probe("x");
        for how in [How::Plain, How::Fast] {
            for key in [None, Some(Key::new([7; 32]))] {
                let sealed = seal(&plain, how, key.as_ref(), &place).expect("seal");
                for at in 0..sealed.len() {
                    let mut bad = sealed.clone();
                    bad[at] ^= 1 << (at % 8);
                    // Some bits of a zstd frame mean nothing.
                    let harmless = how != How::Plain && key.is_none();
                    let found = poured(bad, key.as_ref())
                        .map_or_else(|_| true, |same| harmless && same == plain);
                    assert!(found, "{how:?}: byte {at}");
                    let cut = sealed[..at].to_vec();
                    assert!(poured(cut, key.as_ref()).is_err(), "{how:?}: cut at {at}");
                }
                let longer = [sealed.clone(), vec![0]].concat();
                assert!(poured(longer, key.as_ref()).is_err(), "{how:?}: a byte more");
                assert_eq!(open(sealed, key.as_ref(), &place).expect("open"), plain);
            }
        }
    }
}
