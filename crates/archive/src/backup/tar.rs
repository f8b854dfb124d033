//! Reading a tar archive as it comes, in whatever pieces it comes.

/// Tar's unit.
const BLOCK: usize = 512;

/// The stream is not what PostgreSQL sends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTar {
    /// A header's checksum is wrong.
    #[error("a header at byte {0} is damaged")]
    Header(u64),
    /// Something that is neither a regular file nor a directory.
    #[error("`{0}` is neither a file nor a directory")]
    Kind(String),
    /// A path that leads out of the directory, or that cannot be written.
    #[error("`{0}` is not a path within the data directory")]
    Path(String),
    /// It ends in the middle.
    #[error("it ends in the middle of `{0}`")]
    Cut(String),
    /// There is something after the end.
    #[error("there is more after its end")]
    Trailing,
}

/// What is in a stream, in its order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event<'a> {
    /// A directory by its path, without a slash at the end.
    Directory(&'a str),
    /// A file begins.
    File(&'a str, u64),
    /// The next bytes of the file that began last, which begin `at` this byte of the stream.
    Content(&'a [u8], u64),
    /// That was all of the file.
    End,
}

/// Where the reading is.
#[derive(Debug)]
pub(super) struct Tar {
    state: State,
    header: Vec<u8>,
    name: String,
    at: u64,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Header,
    Content { left: u64, padding: usize },
    Padding(usize),
    Ended,
}

impl Tar {
    pub(super) fn new() -> Self {
        Self { state: State::Header, header: Vec::new(), name: String::new(), at: 0 }
    }

    /// Takes the next bytes and says what is in them.
    pub(super) fn feed(
        &mut self,
        mut bytes: &[u8],
        tell: &mut impl FnMut(Event<'_>),
    ) -> Result<(), BadTar> {
        while !bytes.is_empty() {
            let taken = self.step(bytes, tell)?;
            self.at += taken as u64;
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    /// To be called at the end of the stream.
    pub(super) fn finish(&self) -> Result<(), BadTar> {
        match self.state {
            State::Ended => Ok(()),
            State::Header if self.header.is_empty() => Ok(()),
            _ => Err(BadTar::Cut(self.name.clone())),
        }
    }

    fn step(&mut self, bytes: &[u8], tell: &mut impl FnMut(Event<'_>)) -> Result<usize, BadTar> {
        match self.state {
            State::Header => {
                let taken = bytes.len().min(BLOCK - self.header.len());
                self.header.extend_from_slice(&bytes[..taken]);
                if self.header.len() == BLOCK {
                    let header = std::mem::take(&mut self.header);
                    self.begin(&header, tell)?;
                    self.header = header;
                    self.header.clear();
                }
                Ok(taken)
            }
            State::Content { left, padding } => {
                let taken = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
                tell(Event::Content(&bytes[..taken], self.at));
                self.state = State::Content { left: left - taken as u64, padding };
                if left == taken as u64 {
                    tell(Event::End);
                    self.pad(padding);
                }
                Ok(taken)
            }
            State::Padding(left) => {
                let taken = left.min(bytes.len());
                self.pad(left - taken);
                Ok(taken)
            }
            State::Ended if bytes.iter().all(|byte| *byte == 0) => Ok(bytes.len()),
            State::Ended => Err(BadTar::Trailing),
        }
    }

    fn pad(&mut self, padding: usize) {
        self.state = if padding == 0 { State::Header } else { State::Padding(padding) };
    }

    fn begin(&mut self, header: &[u8], tell: &mut impl FnMut(Event<'_>)) -> Result<(), BadTar> {
        if header.iter().all(|byte| *byte == 0) {
            self.state = State::Ended;
            return Ok(());
        }
        let damaged = BadTar::Header(self.at);
        let read = read_header(header).ok_or(damaged)?;
        self.name = read.path;
        let path = self.name.trim_end_matches('/').trim_start_matches("./");
        match (read.kind, is_within(path)) {
            (b'5', true) => tell(Event::Directory(path)),
            (b'0' | 0, true) => {
                tell(Event::File(path, read.size));
                if read.size == 0 {
                    tell(Event::End);
                } else {
                    let padding = (BLOCK - (read.size % BLOCK as u64) as usize) % BLOCK;
                    self.state = State::Content { left: read.size, padding };
                }
            }
            (b'5' | b'0' | 0, false) => return Err(BadTar::Path(self.name.clone())),
            _ => return Err(BadTar::Kind(self.name.clone())),
        }
        Ok(())
    }
}

/// Whether a path stays below the directory that it is joined to.
pub(crate) fn is_within(path: &str) -> bool {
    !path.contains('\0')
        && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}

struct Header {
    path: String,
    kind: u8,
    size: u64,
}

fn read_header(header: &[u8]) -> Option<Header> {
    let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
    let of_field: u64 = header[148..156].iter().map(|byte| u64::from(*byte)).sum();
    if number(&header[148..156])? != sum - of_field + 8 * u64::from(b' ') {
        return None;
    }
    let text = |field: &[u8]| {
        let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
        String::from_utf8(field[..end].to_vec()).ok()
    };
    let (name, prefix) = (text(&header[..100])?, text(&header[345..500])?);
    let path = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
    Some(Header { path, kind: header[156], size: number(&header[124..136])? })
}

/// A number in octal digits, or, when its first bit is set, in binary.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        let (high, low) = field.split_at(field.len() - 8);
        let is_small =
            high.iter().enumerate().all(|(at, byte)| *byte == if at == 0 { 0x80 } else { 0 });
        return is_small.then(|| u64::from_be_bytes(low.try_into().unwrap_or_default()));
    }
    let digits = std::str::from_utf8(field).ok()?.trim_matches([' ', '\0']);
    u64::from_str_radix(digits, 8).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(path: &str, kind: u8, size: u64) -> Vec<u8> {
        let mut header = vec![0; BLOCK];
        header[..path.len()].copy_from_slice(path.as_bytes());
        header[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
        header[148..156].copy_from_slice(b"        ");
        header[156] = kind;
        let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        header
    }

    fn archive(files: &[Vec<u8>]) -> Vec<u8> {
        let mut archive = header("base/", b'5', 0);
        for (number, content) in files.iter().enumerate() {
            archive.extend(header(&format!("base/{number}"), b'0', content.len() as u64));
            archive.extend(content);
            archive.resize(archive.len().next_multiple_of(BLOCK), 0);
        }
        archive.resize(archive.len() + 2 * BLOCK, 0);
        archive
    }

    fn read(chunks: &[&[u8]]) -> Result<Vec<(String, Vec<u8>)>, BadTar> {
        let (mut tar, mut files, mut ended) = (Tar::new(), Vec::new(), 0);
        let whole = chunks.concat();
        for chunk in chunks {
            tar.feed(chunk, &mut |event| match event {
                Event::Directory(path) => assert_eq!(path, "base"),
                Event::File(path, _) => files.push((path.to_owned(), Vec::new())),
                Event::Content(bytes, at) => {
                    let at = usize::try_from(at).expect("small");
                    assert_eq!(&whole[at..at + bytes.len()], bytes, "the place in the stream");
                    files.last_mut().expect("a file").1.extend_from_slice(bytes);
                }
                Event::End => ended += 1,
            })?;
        }
        tar.finish()?;
        assert_eq!(ended, files.len());
        Ok(files)
    }

    proptest! {
        #[test]
        fn files_come_out_however_the_stream_is_cut(
            files in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..1500), 0..5),
            cuts in prop::collection::vec(1usize..700, 0..40),
        ) {
            let archive = archive(&files);
            let (mut chunks, mut rest) = (Vec::new(), archive.as_slice());
            for cut in cuts {
                let (chunk, left) = rest.split_at(cut.min(rest.len()));
                chunks.push(chunk);
                rest = left;
            }
            chunks.push(rest);
            let read = read(&chunks).expect("a good archive");
            let contents: Vec<_> = read.into_iter().map(|(_, content)| content).collect();
            prop_assert_eq!(contents, files);
        }
    }

    #[test]
    fn what_is_damaged_cut_or_leads_elsewhere_is_refused() {
        let good = archive(&[vec![7; 700], Vec::new()]);
        for at in (0..BLOCK).chain(BLOCK..2 * BLOCK) {
            let mut bad = good.clone();
            bad[at] ^= 0x55;
            assert!(read(&[&bad]).is_err(), "byte {at}");
        }
        assert_eq!(read(&[&good[..3 * BLOCK]]), Err(BadTar::Cut("base/0".to_owned())));
        let more = [good, vec![1]].concat();
        assert_eq!(read(&[&more]), Err(BadTar::Trailing));
        for path in ["../etc/passwd", "/etc/passwd", "base//1", "base/../../1", "."] {
            let bad = header(path, b'0', 0);
            assert_eq!(read(&[&bad]), Err(BadTar::Path(path.to_owned())));
        }
        assert_eq!(read(&[&header("link", b'2', 0)]), Err(BadTar::Kind("link".to_owned())));
    }
}
