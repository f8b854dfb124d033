//! The messages in a stream of bytes that is forwarded as it is.
//!
//! After the start-up every message is a type byte, a length that counts itself, and a body. Of most
//! messages only the header is read. Those that a [`Watcher`] wants to look into are shown to it
//! when enough of them is there, and are not passed on before: so it can take them out or put
//! others before them.

/// Bytes of type and length.
pub const HEADER: usize = 5;

/// The largest length that is believed: PostgreSQL makes no message above 1 GiB.
pub const LARGEST_MESSAGE: u32 = 1 << 30;

/// A message, as far as it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// The type byte.
    pub tag: u8,
    /// The size of the whole body in bytes.
    pub size: u32,
    /// The body, or what is there of it; at least as much as the watcher wants to see.
    pub body: &'a [u8],
    /// Where in its chunk it begins.
    pub at: usize,
}

impl Message<'_> {
    /// Whether all of its body is there.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.body.len() == self.size as usize
    }

    /// The bytes of a whole message.
    #[must_use]
    pub fn length(&self) -> usize {
        HEADER + self.size as usize
    }

    /// The first byte of the body; 0 when there is none. In `ReadyForQuery` it is the status.
    #[must_use]
    pub fn first(&self) -> u8 {
        self.body.first().copied().unwrap_or(0)
    }
}

/// Who looks at messages as they go by.
pub trait Watcher {
    /// How many bytes of the body of such a message have to be there before it is shown.
    fn look(&self, tag: u8) -> u32;

    /// A message goes by.
    fn message(&mut self, message: &Message<'_>, edit: &mut Edit<'_>) -> Step;
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It was seen.
    Next,
    /// It and all after it are left unread for now.
    Stop,
}

/// A length that no message can have. The stream cannot be understood from here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid message length")]
pub struct BadLength;

/// Where a stream of messages is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frames {
    /// Bytes of the body of the last message that are still to come.
    left: u32,
}

/// What a scan came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// Bytes of the chunk that were read; the rest is to be shown again, with more after it.
    pub bytes: usize,
    /// Whether the watcher stopped it.
    pub stopped: bool,
}

impl Frames {
    /// Whether the last message that was shown has also ended.
    #[must_use]
    pub fn at_boundary(&self) -> bool {
        self.left == 0
    }

    /// Goes over a chunk of the stream and shows each message once.
    ///
    /// # Errors
    /// [`BadLength`] at the first header that cannot be true; the messages before it were shown.
    #[inline]
    pub fn scan(
        &mut self,
        chunk: &[u8],
        watcher: &mut impl Watcher,
        edit: &mut Edit<'_>,
    ) -> Result<Scanned, BadLength> {
        let mut at = (self.left as usize).min(chunk.len());
        self.left -= u32::try_from(at).unwrap_or(u32::MAX);
        while let Some((header, rest)) = chunk[at..].split_first_chunk::<HEADER>() {
            let [tag, a, b, c, d] = *header;
            let length = u32::from_be_bytes([a, b, c, d]);
            if !(4..=LARGEST_MESSAGE).contains(&length) {
                return Err(BadLength);
            }
            let size = length - 4;
            if rest.len() < watcher.look(tag).min(size) as usize {
                break;
            }
            let there = rest.len().min(size as usize);
            let message = Message { tag, size, body: &rest[..there], at };
            if watcher.message(&message, edit) == Step::Stop {
                return Ok(Scanned { bytes: at, stopped: true });
            }
            at += HEADER + there;
            self.left = size - u32::try_from(there).unwrap_or(u32::MAX);
        }
        Ok(Scanned { bytes: at, stopped: false })
    }
}

/// What is made of a chunk on its way: mostly it goes through as it is.
#[derive(Debug)]
pub struct Edit<'a> {
    chunk: &'a [u8],
    out: &'a mut Vec<u8>,
    /// How much of the chunk is in `out`, or was left out.
    taken: usize,
    edited: bool,
    /// From where on the result is held back.
    cut: Option<usize>,
}

/// What came of an edit: the bytes to pass on, and those to hold back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edited<'a> {
    /// Everything, in order.
    pub bytes: &'a [u8],
    /// From where on it is held back, if from anywhere.
    pub cut: Option<usize>,
}

impl<'a> Edit<'a> {
    /// An edit of a chunk, with room for what is made anew. With `held_back` all is held back until
    /// [`Edit::let_go`].
    #[must_use]
    pub fn new(chunk: &'a [u8], out: &'a mut Vec<u8>, held_back: bool) -> Self {
        out.clear();
        Self { chunk, out, taken: 0, edited: false, cut: held_back.then_some(0) }
    }

    /// Puts bytes before what begins at `at`.
    pub fn insert(&mut self, at: usize, bytes: &[u8]) {
        self.take_until(at);
        self.out.extend_from_slice(bytes);
    }

    /// Leaves out what begins at `at`.
    pub fn skip(&mut self, at: usize, length: usize) {
        self.take_until(at);
        self.taken = at + length;
    }

    /// Holds back what begins at `at` and all after it, unless something before it is.
    pub fn hold_back(&mut self, at: usize) {
        let position = if self.edited { self.out.len() + (at - self.taken) } else { at };
        self.cut.get_or_insert(position);
    }

    /// Holds back what begins at `at` and all after it, whatever is held back already. Nothing
    /// after `at` may have been changed.
    pub fn hold_back_from(&mut self, at: usize) {
        if self.taken > at {
            return;
        }
        let position = if self.edited { self.out.len() + (at - self.taken) } else { at };
        self.cut = Some(self.cut.map_or(position, |cut| cut.min(position)));
    }

    /// Holds back nothing any more.
    pub fn let_go(&mut self) {
        self.cut = None;
    }

    fn take_until(&mut self, at: usize) {
        self.out.extend_from_slice(&self.chunk[self.taken..at]);
        (self.taken, self.edited) = (at, true);
    }

    /// The result, of so many bytes of the chunk.
    #[must_use]
    pub fn finish(self, bytes: usize) -> Edited<'a> {
        let Self { chunk, out, taken, edited, cut } = self;
        if !edited {
            return Edited { bytes: &chunk[..bytes], cut };
        }
        out.extend_from_slice(&chunk[taken..bytes]);
        Edited { bytes: out, cut }
    }
}

#[cfg(test)]
mod tests;
