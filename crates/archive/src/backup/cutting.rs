//! Cutting the server's stream into parts while it comes, and adding up what is in it.

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};

use super::index::{File, Index, Part, Piece};
use super::manifest::Sum;
use super::tar::{BadTar, Event, Tar};

/// The plain size from which on a part is cut off.
const PART: usize = 16 << 20;
/// More than the server sends in a message.
const SLACK: usize = 1 << 18;

/// Takes a tar archive as it comes, and gives back parts of it.
#[derive(Debug)]
pub(super) struct Cutter {
    tar: Tar,
    part: BytesMut,
    contents: Contents,
}

/// What has been seen of the files.
#[derive(Debug, Default)]
struct Contents {
    index: Index,
    sums: HashMap<String, Sum>,
    pieces: Vec<Piece>,
    /// Where in the stream the part began.
    begun: u64,
    /// Of the file that is being sent: how much of it has come, and its checksum.
    come: u64,
    crc: u32,
}

/// What came in all.
#[derive(Debug)]
pub(super) struct Cut {
    /// The rest, if any.
    pub(super) last: Option<Bytes>,
    pub(super) index: Index,
    pub(super) sums: HashMap<String, Sum>,
}

impl Cutter {
    pub(super) fn new() -> Self {
        Self { tar: Tar::new(), part: BytesMut::new(), contents: Contents::default() }
    }

    /// Takes the next bytes; gives a part when one is full.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<Option<Bytes>, BadTar> {
        if self.part.capacity() == 0 {
            self.part = BytesMut::with_capacity(PART + SLACK);
        }
        let contents = &mut self.contents;
        self.tar.feed(bytes, &mut |event| contents.see(event))?;
        self.part.extend_from_slice(bytes);
        Ok((self.part.len() >= PART).then(|| self.cut()))
    }

    /// To be called at the end of the stream.
    pub(super) fn finish(mut self) -> Result<Cut, BadTar> {
        self.tar.finish()?;
        let last = (!self.part.is_empty()).then(|| self.cut());
        Ok(Cut { last, index: self.contents.index, sums: self.contents.sums })
    }

    fn cut(&mut self) -> Bytes {
        let part = std::mem::take(&mut self.part).freeze();
        let bytes = part.len() as u64;
        self.contents.begun += bytes;
        let pieces = std::mem::take(&mut self.contents.pieces);
        self.contents.index.parts.push(Part { bytes, pieces });
        part
    }
}

impl Contents {
    fn see(&mut self, event: Event<'_>) {
        match event {
            Event::Directory(path) => self.index.directories.push(path.to_owned()),
            Event::File(path, size) => {
                self.index.files.push(File { path: path.to_owned(), size });
                (self.come, self.crc) = (0, 0);
            }
            Event::Content(bytes, at) => {
                self.crc = crc32c::crc32c_append(self.crc, bytes);
                self.place(at - self.begun, bytes.len() as u64);
                self.come += bytes.len() as u64;
            }
            Event::End => {
                if let Some(file) = self.index.files.last() {
                    let sum = Sum { size: self.come, crc: self.crc };
                    // One that comes twice is found by the index' comparison with the manifest.
                    self.sums.insert(file.path.clone(), sum);
                }
            }
        }
    }

    /// Notes where bytes of the last file lie in the part.
    fn place(&mut self, from: u64, length: u64) {
        let file = (self.index.files.len() - 1) as u64;
        match self.pieces.last_mut() {
            Some(last) if last.file == file && last.from + last.length == from => {
                last.length += length;
            }
            _ => self.pieces.push(Piece { file, at: self.come, from, length }),
        }
    }
}
