//! Lines out of what a process prints: cut where they are too long, text whatever comes.

/// The most bytes of a line; the rest of a longer one is left out.
pub(crate) const LONGEST: usize = 10_000;

/// Takes lines out of bytes. Holds at most one line.
#[derive(Debug, Default)]
pub(crate) struct Cutter {
    line: Vec<u8>,
}

impl Cutter {
    /// Takes in bytes and hands out the lines that they end.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        let mut parts = bytes.split(|byte| *byte == b'\n');
        let last = parts.next_back().unwrap_or_default();
        for part in parts {
            self.add(part);
            lines.extend(self.end());
        }
        self.add(last);
        lines
    }

    /// What is left when nothing more comes.
    pub(crate) fn finish(&mut self) -> Option<String> {
        if self.line.is_empty() { None } else { self.end() }
    }

    fn add(&mut self, part: &[u8]) {
        let free = LONGEST - self.line.len();
        self.line.extend_from_slice(&part[..part.len().min(free)]);
    }

    fn end(&mut self) -> Option<String> {
        let line = String::from_utf8_lossy(&self.line).into_owned();
        self.line.clear();
        Some(line.trim_end_matches('\r').to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_whole_however_they_come_in() {
        let mut cutter = Cutter::default();
        assert_eq!(cutter.push(b"on"), [""; 0]);
        assert_eq!(cutter.push(b"e\r\n\ntwo\nth"), ["one", "", "two"]);
        assert_eq!(cutter.finish().as_deref(), Some("th"));
        assert_eq!(cutter.finish(), None);
    }

    #[test]
    fn a_megabyte_without_an_end_and_bytes_that_are_no_text_cost_one_line() {
        let mut cutter = Cutter::default();
        for _ in 0..256 {
            assert_eq!(cutter.push(&[b'x'; 4096]), [""; 0]);
            assert!(cutter.line.capacity() <= 2 * LONGEST);
        }
        let lines = cutter.push(b"\n\xff\xfe\n");
        assert_eq!((lines[0].len(), lines[1].as_str()), (LONGEST, "\u{fffd}\u{fffd}"));
    }
}
