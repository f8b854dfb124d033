//! The frame scanner: finds the messages in a stream of bytes that is forwarded as it is.
//!
//! After the start-up every message is a type byte, a length that counts itself, and a body. The
//! scanner keeps the header of one message and nothing else, so it can be fed any chunking of the
//! stream and costs nothing per byte of a body.

/// Bytes of type and length.
const HEADER: usize = 5;

/// The largest length that is believed: PostgreSQL makes no message above 1 GiB.
pub const LARGEST_MESSAGE: u32 = 1 << 30;

/// What is known of a message when its first bytes have gone by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The type byte.
    pub tag: u8,
    /// The length as sent: the body and four bytes for itself.
    pub length: u32,
    /// The first byte of the body; 0 when there is no body. In `ReadyForQuery` it is the status.
    pub first: u8,
}

/// A length that no message can have. The stream cannot be understood from here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid message length")]
pub struct BadLength;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Within a header of which so many bytes have come; 0 is between two messages.
    Header(usize),
    /// Before the first byte of a body.
    BodyStart,
    /// Before so many bytes of a body.
    Body(u32),
}

/// Where a stream of messages is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scanner {
    header: [u8; HEADER],
    place: Place,
}

impl Default for Scanner {
    fn default() -> Self {
        Self { header: [0; HEADER], place: Place::Header(0) }
    }
}

impl Scanner {
    /// Whether every message that has begun has also ended.
    #[must_use]
    pub fn at_boundary(&self) -> bool {
        self.place == Place::Header(0)
    }

    /// Goes over the next bytes of the stream and reports each message once: when the first byte of
    /// its body has come, or its header when it has no body.
    ///
    /// # Errors
    /// [`BadLength`] at the first header that cannot be true; the messages before it were reported.
    pub fn scan(&mut self, bytes: &[u8], mut seen: impl FnMut(Head)) -> Result<(), BadLength> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.place {
                Place::Header(have) => rest = self.take_header(have, rest, &mut seen)?,
                Place::BodyStart => {
                    seen(self.head(rest[0]));
                    self.place = Place::Body(self.length() - 4);
                }
                Place::Body(left) => rest = self.skip_body(left, rest),
            }
        }
        Ok(())
    }

    fn take_header<'a>(
        &mut self,
        have: usize,
        bytes: &'a [u8],
        seen: &mut impl FnMut(Head),
    ) -> Result<&'a [u8], BadLength> {
        let (taken, rest) = bytes.split_at(bytes.len().min(HEADER - have));
        self.header[have..have + taken.len()].copy_from_slice(taken);
        if have + taken.len() < HEADER {
            self.place = Place::Header(have + taken.len());
            return Ok(rest);
        }
        match self.length() {
            4 => {
                seen(self.head(0));
                self.place = Place::Header(0);
            }
            5..=LARGEST_MESSAGE => self.place = Place::BodyStart,
            _ => return Err(BadLength),
        }
        Ok(rest)
    }

    fn skip_body<'a>(&mut self, left: u32, bytes: &'a [u8]) -> &'a [u8] {
        match u32::try_from(bytes.len()) {
            Ok(count) if count < left => {
                self.place = Place::Body(left - count);
                &[]
            }
            // `left` fits into a slice that is at least as long.
            Ok(_) | Err(_) => {
                self.place = Place::Header(0);
                &bytes[left as usize..]
            }
        }
    }

    fn length(&self) -> u32 {
        let [_, a, b, c, d] = self.header;
        u32::from_be_bytes([a, b, c, d])
    }

    fn head(&self, first: u8) -> Head {
        Head { tag: self.header[0], length: self.length(), first }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).expect("small");
        [&[tag], &length.to_be_bytes()[..], body].concat()
    }

    fn heads(chunks: &[&[u8]]) -> (Vec<Head>, Scanner, Result<(), BadLength>) {
        let (mut scanner, mut heads) = (Scanner::default(), Vec::new());
        for chunk in chunks {
            if let Err(error) = scanner.scan(chunk, |head| heads.push(head)) {
                return (heads, scanner, Err(error));
            }
        }
        (heads, scanner, Ok(()))
    }

    /// Cuts `bytes` at the given places, taken modulo what is left.
    fn cut<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
        let (mut rest, mut chunks) = (bytes, Vec::new());
        for at in cuts {
            let (head, tail) = rest.split_at(at % (rest.len() + 1));
            chunks.push(head);
            rest = tail;
        }
        chunks.push(rest);
        chunks
    }

    proptest! {
        #[test]
        fn any_chunking_of_a_stream_shows_the_same_messages(
            messages in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..40)), 0..20),
            cuts in prop::collection::vec(0usize..64, 0..60),
        ) {
            let stream: Vec<u8> = messages.iter().flat_map(|(tag, body)| message(*tag, body)).collect();
            let wanted: Vec<Head> = messages.iter().map(|(tag, body)| Head {
                tag: *tag,
                length: u32::try_from(body.len() + 4).expect("small"),
                first: body.first().copied().unwrap_or(0),
            }).collect();
            let (whole, scanner, result) = heads(&[&stream]);
            prop_assert_eq!((&whole, result), (&wanted, Ok(())));
            prop_assert!(scanner.at_boundary());
            let (pieces, scanner, result) = heads(&cut(&stream, &cuts));
            prop_assert_eq!((&pieces, result), (&wanted, Ok(())));
            prop_assert!(scanner.at_boundary());
        }

        #[test]
        fn garbage_never_panics_and_its_chunking_does_not_matter(
            garbage in prop::collection::vec(any::<u8>(), 0..300),
            cuts in prop::collection::vec(0usize..64, 0..30),
        ) {
            let (whole, _, result) = heads(&[&garbage]);
            let (pieces, _, again) = heads(&cut(&garbage, &cuts));
            prop_assert_eq!((whole, result), (pieces, again));
        }
    }

    #[test]
    fn a_message_is_open_until_its_last_byte() {
        let stream = message(b'Z', b"I");
        for end in 0..=stream.len() {
            let (_, scanner, _) = heads(&[&stream[..end]]);
            assert_eq!(scanner.at_boundary(), end == 0 || end == stream.len(), "{end}");
        }
    }

    #[test]
    fn lengths_that_cannot_be_are_refused() {
        for length in [0, 3, LARGEST_MESSAGE + 1, u32::MAX] {
            let bytes = [&[b'D'][..], &length.to_be_bytes()].concat();
            assert_eq!(heads(&[&bytes]).2, Err(BadLength), "{length}");
        }
        let bytes = [&[b'D'][..], &LARGEST_MESSAGE.to_be_bytes()].concat();
        assert_eq!(heads(&[&bytes]).2, Ok(()));
    }
}
