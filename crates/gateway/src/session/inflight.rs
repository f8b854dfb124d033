//! The request that is under way, kept so that it can be sent again when its server goes away
//! without having done it.

use crate::frame::HEADER;

/// The longest request that is kept.
const LONGEST: usize = 16 * 1024;
/// Room that an idle session may keep for the next one.
const KEPT: usize = 1024;

/// What the client has sent since nothing was under way.
#[derive(Debug, Default)]
pub struct Inflight {
    bytes: Vec<u8>,
    /// Whether it is longer than what is kept.
    too_long: bool,
    /// Whether some of its answer was given to the client.
    answered: bool,
}

impl Inflight {
    /// More of it was read.
    #[inline]
    pub fn keep(&mut self, bytes: &[u8]) {
        if self.bytes.len() + bytes.len() > LONGEST {
            (self.too_long, self.bytes) = (true, Vec::new());
        }
        if !self.too_long {
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// Some of its answer has gone to the client.
    #[inline]
    pub fn answered(&mut self) {
        self.answered = true;
    }

    /// Nothing is under way any more.
    #[inline]
    pub fn settle(&mut self) {
        (self.too_long, self.answered) = (false, false);
        self.bytes.clear();
        if self.bytes.capacity() > KEPT {
            self.bytes = Vec::new();
        }
    }

    /// Whether some of its answer was given to the client.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.answered
    }

    /// Its messages, if all of them are known.
    #[must_use]
    pub fn whole(&self) -> Option<&[u8]> {
        (!self.too_long).then_some(self.bytes.as_slice())
    }
}

/// The messages in such bytes: type and body.
pub fn messages(mut bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (header, rest) = bytes.split_first_chunk::<HEADER>()?;
        let [tag, a, b, c, d] = *header;
        let size = (u32::from_be_bytes([a, b, c, d]) as usize).checked_sub(4)?;
        let body = rest.get(..size)?;
        bytes = &rest[size..];
        Some((tag, body))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_known_until_it_is_too_long() {
        let mut inflight = Inflight::default();
        inflight.keep(b"abc");
        inflight.keep(b"def");
        inflight.answered();
        assert_eq!((inflight.whole(), inflight.is_answered()), (Some(&b"abcdef"[..]), true));
        inflight.settle();
        assert!(!inflight.is_answered());
        inflight.keep(&vec![0; LONGEST]);
        assert!(inflight.whole().is_some());
        inflight.keep(b"x");
        inflight.keep(b"y");
        assert_eq!(inflight.whole(), None);
        inflight.settle();
        assert!(inflight.bytes.capacity() <= KEPT);
    }

    #[test]
    fn messages_are_found_in_bytes() {
        let bytes = b"P\0\0\0\x07a\0bS\0\0\0\x04Q\0\0\0\xffcut";
        let found: Vec<_> = messages(bytes).collect();
        assert_eq!(found, [(b'P', &b"a\0b"[..]), (b'S', b"")]);
    }
}
