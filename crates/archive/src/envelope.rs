//! What is around the content of every object.
//!
//! | bytes | what |
//! |---|---|
//! | 6 | `howdah` |
//! | 1 | version of the envelope: 1 |
//! | 1 | flags: 1 = zstd, 2 = encrypted |
//! | 8 | bytes of the plain content, little-endian |
//! | 12 | encrypted only: nonce |
//! | 32 | SHA-256 of the plain content; encrypted with what follows |
//! | … | the content: one zstd frame, or as it is |
//! | 16 | encrypted only: tag |
//!
//! Encrypted objects use ChaCha20-Poly1305 with a key of their own: HMAC-SHA-256 of the archive's key
//! over `howdah archive object`, a zero byte and the object's name. So an object that was moved to
//! another's name does not open. The first 16 bytes are authenticated with it.

mod pouring;

use std::cell::RefCell;
use std::io::Cursor;

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{digest, hmac, rand};
use zstd::bulk::{Compressor, Decompressor};

use crate::config::Key;
use crate::error::Error;
use crate::layout::Place;

pub(crate) use pouring::pour;

const MAGIC: &[u8; 6] = b"howdah";
const VERSION: u8 = 1;
const ZSTD: u8 = 1;
const ENCRYPTED: u8 = 2;
const HEADER: usize = 16;
const DIGEST: usize = 32;

/// The largest content of one object: a bound for what is read into memory.
pub(crate) const LARGEST: u64 = 1 << 30;

/// How content is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// As it is: for what is short.
    Plain,
    /// Compressed as fast as possible: processors are shorter than space.
    Fast,
}

impl How {
    fn level(self) -> Option<i32> {
        match self {
            Self::Plain => None,
            Self::Fast => Some(1),
        }
    }
}

thread_local! {
    // Making a compressor costs more than compressing a short tail.
    static COMPRESSOR: RefCell<Option<(i32, Compressor<'static>)>> = const { RefCell::new(None) };
}

/// Wraps content up. Takes processor time: not for the threads of the runtime.
///
/// # Errors
/// When the content is too large, or when there is no memory or no randomness.
pub(crate) fn seal(
    plain: &[u8],
    how: How,
    key: Option<&Key>,
    place: &Place,
) -> Result<Vec<u8>, Error> {
    let unfit = |why: &str| Error::Unfit { place: place.to_string(), why: why.to_owned() };
    if plain.len() as u64 > LARGEST {
        return Err(unfit("it is larger than one object may be"));
    }
    let flags = how.level().map_or(0, |_| ZSTD) | key.map_or(0, |_| ENCRYPTED);
    let bound =
        if how == How::Plain { plain.len() } else { zstd::zstd_safe::compress_bound(plain.len()) };
    let mut sealed = Vec::with_capacity(HEADER + NONCE_LEN + DIGEST + bound + 16);
    sealed.extend_from_slice(MAGIC);
    sealed.extend_from_slice(&[VERSION, flags]);
    sealed.extend_from_slice(&(plain.len() as u64).to_le_bytes());
    let mut nonce = [0; NONCE_LEN];
    if key.is_some() {
        rand::fill(&mut nonce).map_err(|_| unfit("there is no randomness"))?;
        sealed.extend_from_slice(&nonce);
    }
    let body = sealed.len();
    sealed.extend_from_slice(digest::digest(&digest::SHA256, plain).as_ref());
    match how.level() {
        None => sealed.extend_from_slice(plain),
        Some(level) => {
            sealed = compress(plain, level, sealed).map_err(|why| unfit(&why.to_string()))?;
        }
    }
    if let Some(key) = key {
        let (head, body) = sealed.split_at_mut(body);
        let aad = Aad::from(&head[..HEADER]);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = object_key(key, place)
            .and_then(|key| key.seal_in_place_separate_tag(nonce, aad, body).ok())
            .ok_or_else(|| unfit("it cannot be encrypted"))?;
        sealed.extend_from_slice(tag.as_ref());
    }
    Ok(sealed)
}

/// Appends to what is there, without a copy.
fn compress(plain: &[u8], level: i32, onto: Vec<u8>) -> std::io::Result<Vec<u8>> {
    let mut onto = Cursor::new(onto);
    onto.set_position(onto.get_ref().len() as u64);
    COMPRESSOR.with_borrow_mut(|kept| {
        let compressor = match kept {
            Some((of, compressor)) if *of == level => compressor,
            _ => &mut kept.insert((level, Compressor::new(level)?)).1,
        };
        compressor.compress_to_buffer(plain, &mut onto)
    })?;
    Ok(onto.into_inner())
}

/// Takes content out again, and makes sure that it is what was put in. Takes processor time.
///
/// # Errors
/// [`Error::Corrupt`], [`Error::KeyNeeded`], [`Error::NotEncrypted`] or [`Error::WrongKey`].
pub(crate) fn open(
    mut sealed: Vec<u8>,
    key: Option<&Key>,
    place: &Place,
) -> Result<Vec<u8>, Error> {
    let corrupt = |why: &str| Error::corrupt(place, why);
    let body = Body::find(&mut sealed, key, place)?;
    let plain = if body.is_compressed {
        let length = usize::try_from(body.length).map_err(|_| corrupt("it is too large"))?;
        Decompressor::new()
            .and_then(|mut decompressor| decompressor.decompress(body.content, length))
            .map_err(|why| corrupt(&format!("it cannot be decompressed: {why}")))?
    } else {
        body.content.to_vec()
    };
    if plain.len() as u64 != body.length {
        return Err(corrupt("its length is not what it says"));
    }
    if digest::digest(&digest::SHA256, &plain).as_ref() != body.sum {
        return Err(corrupt("its checksum is not what it says"));
    }
    Ok(plain)
}

/// What is in an envelope.
struct Body<'a> {
    /// Bytes of the plain content.
    length: u64,
    is_compressed: bool,
    sum: &'a [u8],
    content: &'a [u8],
}

impl<'a> Body<'a> {
    /// Reads the envelope, and decrypts in place.
    fn find(sealed: &'a mut [u8], key: Option<&Key>, place: &Place) -> Result<Self, Error> {
        let corrupt = |why: &str| Error::corrupt(place, why);
        let header = sealed.get(..HEADER).ok_or_else(|| corrupt("it is cut off"))?;
        if &header[..6] != MAGIC {
            return Err(corrupt("it does not begin as an object of Howdah does"));
        }
        if header[6] != VERSION {
            return Err(corrupt(&format!("its envelope has the unknown version {}", header[6])));
        }
        let flags = header[7];
        if flags & !(ZSTD | ENCRYPTED) != 0 {
            return Err(corrupt("its flags are unknown"));
        }
        let length = header[8..16].iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        if length > LARGEST {
            return Err(corrupt("it says to be larger than one object may be"));
        }
        let body = match (flags & ENCRYPTED != 0, key) {
            (false, None) => &sealed[HEADER..],
            (true, Some(key)) => decrypt(sealed, key, place)?,
            (true, None) => return Err(Error::KeyNeeded { place: place.to_string() }),
            (false, Some(_)) => return Err(Error::NotEncrypted { place: place.to_string() }),
        };
        let split = body.split_at_checked(DIGEST);
        let (sum, content) = split.ok_or_else(|| corrupt("it is cut off"))?;
        Ok(Self { length, is_compressed: flags & ZSTD != 0, sum, content })
    }
}

fn decrypt<'a>(sealed: &'a mut [u8], key: &Key, place: &Place) -> Result<&'a [u8], Error> {
    let cut = || Error::corrupt(place, "it is cut off");
    let (header, rest) = sealed.split_at_mut(HEADER);
    let (nonce, body) = rest.split_at_mut_checked(NONCE_LEN).ok_or_else(cut)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| cut())?;
    // A wrong key is found by `format.json`, before any other object is read.
    object_key(key, place)
        .and_then(|key| key.open_in_place(nonce, Aad::from(&*header), body).ok())
        .map(|plain| &*plain)
        .ok_or_else(|| Error::corrupt(place, "it cannot be decrypted"))
}

fn object_key(key: &Key, place: &Place) -> Option<LessSafeKey> {
    let mac = derive(key, "object", place.as_str());
    UnboundKey::new(&CHACHA20_POLY1305, mac.as_ref()).ok().map(LessSafeKey::new)
}

/// Tells keys apart without telling them.
pub(crate) fn fingerprint(key: &Key) -> String {
    let mac = derive(key, "fingerprint", "");
    mac.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn derive(key: &Key, purpose: &str, of: &str) -> hmac::Tag {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.bytes());
    hmac::sign(&key, format!("howdah archive {purpose}\0{of}").as_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(byte: u8) -> Key {
        Key::new([byte; 32])
    }

    fn how() -> impl Strategy<Value = How> {
        prop_oneof![Just(How::Plain), Just(How::Fast)]
    }

    proptest! {
        #[test]
        fn content_comes_back(
            plain in prop::collection::vec(any::<u8>(), 0..5000), zeros in 0usize..20_000,
            how in how(), encrypted: bool,
        ) {
            let plain = [plain, vec![0; zeros]].concat();
            let key = encrypted.then(|| key(7));
            let place = Place::probe("x");
            let sealed = seal(&plain, how, key.as_ref(), &place).expect("seal");
            if encrypted && plain.len() > 16 {
                prop_assert!(!sealed.windows(16).any(|window| window == &plain[..16]));
            }
            prop_assert_eq!(open(sealed, key.as_ref(), &place).expect("open"), plain);
        }

        #[test]
        fn anything_at_all_is_refused_in_peace(
            bytes in prop::collection::vec(any::<u8>(), 0..200), like: bool,
        ) {
            let mut bytes = bytes;
            if like && bytes.len() >= 7 {
                bytes[..7].copy_from_slice(b"howdah\x01");
            }
            prop_assert!(open(bytes, None, &Place::probe("x")).is_err());
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let plain: Vec<u8> = (0..400u32).flat_map(|n| (n * n).to_le_bytes()).collect();
        let place = Place::probe("x");
        for how in [How::Plain, How::Fast] {
            for key in [None, Some(key(7))] {
                let sealed = seal(&plain, how, key.as_ref(), &place).expect("seal");
                for at in 0..sealed.len() {
                    for bit in 0..8 {
                        let mut bad = sealed.clone();
                        bad[at] ^= 1 << bit;
                        // Some bits of a zstd frame mean nothing.
                        let opened = open(bad, key.as_ref(), &place);
                        let harmless = how != How::Plain && key.is_none();
                        let found = opened.map_or_else(|_| true, |same| harmless && same == plain);
                        assert!(found, "{how:?}: bit {bit} of byte {at}");
                    }
                    let cut = open(sealed[..at].to_vec(), key.as_ref(), &place);
                    assert!(cut.is_err(), "{how:?}: cut at {at}");
                }
                let longer = [sealed, vec![0]].concat();
                assert!(open(longer, key.as_ref(), &place).is_err(), "{how:?}: a byte more");
            }
        }
    }

    #[test]
    fn keys_and_names_are_bound() {
        let place = Place::probe("x");
        let sealed = seal(b"content", How::Plain, Some(&key(1)), &place).expect("seal");
        let open = |key: Option<&Key>, place| open(sealed.clone(), key, place);
        assert!(open(Some(&key(1)), &place).is_ok());
        assert!(matches!(open(Some(&key(2)), &place), Err(Error::Corrupt { .. })));
        let other = Place::probe("y");
        assert!(matches!(open(Some(&key(1)), &other), Err(Error::Corrupt { .. })));
        assert!(matches!(open(None, &place), Err(Error::KeyNeeded { .. })));
        assert_ne!(fingerprint(&key(1)), fingerprint(&key(2)));
    }

    /// These were made by other programs, as docs/archive.md says: archives must stay readable.
    #[test]
    fn objects_of_others_open() {
        let key = Key::new(std::array::from_fn(|at| at as u8));
        let place = Place::listed("timelines/x/a");
        let encrypted = "686f7764616801020f000000000000006465666768696a6b6c6d6e6fa4acd8adfa6f3bdfc4\
                         471db136033f68af0174edcff649fbfcc4c6e4db0266371c556ab11fb93a09a14df0fc3c68\
                         d891406e02b8086d920445847ad6117a47";
        let opened = open(unhex(encrypted), Some(&key), &place);
        assert_eq!(opened.expect("open"), b"howdah was here");
        let zstd = "686f7764616801010f00000000000000f808a3b10dafc207b3b418f1d59db40f8034d204b7\
                    50179f5ec5dea5c033182228b52ffd0468790000686f77646168207761732068657265aa1b\
                    a001";
        assert_eq!(open(unhex(zstd), None, &place).expect("open"), b"howdah was here");
    }

    fn unhex(text: &str) -> Vec<u8> {
        let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex");
        (0..text.len()).step_by(2).map(byte).collect()
    }

    #[test]
    fn what_is_not_encrypted_is_refused_where_all_is() {
        let place = Place::probe("x");
        let sealed = seal(b"content", How::Plain, None, &place).expect("seal");
        let opened = open(sealed, Some(&key(1)), &place);
        assert!(matches!(opened, Err(Error::NotEncrypted { .. })));
    }
}
