//! What goes over the stream between whoever runs a one-off process and its runner: a byte for the
//! kind, the length in four, and so many bytes.

/// The most bytes of one frame.
pub const MOST: usize = 64 * 1024;

/// Bytes before the content.
const HEAD: usize = 5;

/// One piece of what is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Nothing: the stream is alive.
    Ping,
    /// Input of the process, or its output.
    Data(Vec<u8>),
    /// What the process says on standard error.
    Error(Vec<u8>),
    /// The input has come to its end.
    End,
    /// Somebody pressed Ctrl-C.
    Interrupt,
    /// The terminal has another size.
    Resize {
        /// Lines.
        rows: u16,
        /// Characters of a line.
        columns: u16,
    },
    /// The process has ended with this code. The last frame.
    Exit(u8),
}

/// What came is not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the other end of the stream speaks another language")]
pub struct BadFrame;

impl Frame {
    /// Its bytes. Content beyond [`MOST`] is left out.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let size;
        let (kind, content): (u8, &[u8]) = match self {
            Self::Ping => (0, &[]),
            Self::Data(bytes) => (1, bytes),
            Self::Error(bytes) => (2, bytes),
            Self::End => (3, &[]),
            Self::Interrupt => (4, &[]),
            Self::Resize { rows, columns } => {
                let ([a, b], [c, d]) = (rows.to_be_bytes(), columns.to_be_bytes());
                size = [a, b, c, d];
                (5, &size)
            }
            Self::Exit(code) => (6, std::slice::from_ref(code)),
        };
        let content = &content[..content.len().min(MOST)];
        let mut bytes = Vec::with_capacity(HEAD + content.len());
        bytes.push(kind);
        bytes.extend_from_slice(&u32::try_from(content.len()).unwrap_or(0).to_be_bytes());
        bytes.extend_from_slice(content);
        bytes
    }

    fn decode(kind: u8, content: &[u8]) -> Result<Self, BadFrame> {
        Ok(match (kind, content) {
            (0, []) => Self::Ping,
            (1, bytes) => Self::Data(bytes.to_vec()),
            (2, bytes) => Self::Error(bytes.to_vec()),
            (3, []) => Self::End,
            (4, []) => Self::Interrupt,
            (5, [a, b, c, d]) => Self::Resize {
                rows: u16::from_be_bytes([*a, *b]),
                columns: u16::from_be_bytes([*c, *d]),
            },
            (6, [code]) => Self::Exit(*code),
            _ => return Err(BadFrame),
        })
    }
}

/// Takes frames out of what was read.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    read: Vec<u8>,
}

impl Decoder {
    /// Takes in what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.read.extend_from_slice(bytes);
    }

    /// The next whole frame, if there is one.
    ///
    /// # Errors
    /// When what comes is no frame; nothing that comes after it can be understood.
    pub fn take(&mut self) -> Result<Option<Frame>, BadFrame> {
        let Some((head, rest)) = self.read.split_at_checked(HEAD) else { return Ok(None) };
        let [kind, a, b, c, d] = *head else { return Err(BadFrame) };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length > MOST {
            return Err(BadFrame);
        }
        let Some(content) = rest.get(..length) else { return Ok(None) };
        let frame = Frame::decode(kind, content)?;
        self.read.drain(..HEAD + length);
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in_however_they_are_cut() {
        let frames = [
            Frame::Ping,
            Frame::Data(b"hello\xff".to_vec()),
            Frame::Error(Vec::new()),
            Frame::Resize { rows: 24, columns: 300 },
            Frame::Interrupt,
            Frame::Data(vec![7; MOST]),
            Frame::End,
            Frame::Exit(143),
        ];
        let bytes: Vec<u8> = frames.iter().flat_map(Frame::encode).collect();
        for size in [1, 3, 4096, bytes.len()] {
            let (mut decoder, mut seen) = (Decoder::default(), Vec::new());
            for part in bytes.chunks(size) {
                decoder.push(part);
                while let Some(frame) = decoder.take().expect("frames") {
                    seen.push(frame);
                }
            }
            assert_eq!(seen, frames, "in parts of {size}");
        }
    }

    #[test]
    fn what_is_no_frame_is_refused_before_it_takes_memory() {
        for bytes in [&[9, 0, 0, 0, 0][..], &[1, 0xff, 0, 0, 0], &[6, 0, 0, 0, 0], b"HTTP/1.1"] {
            let mut decoder = Decoder::default();
            decoder.push(bytes);
            assert_eq!(decoder.take(), Err(BadFrame));
        }
    }
}
