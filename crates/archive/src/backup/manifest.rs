//! PostgreSQL's `backup_manifest`: what the server says that it sent.

use std::collections::HashMap;

use howdah_model::lsn::Lsn;
use serde::Deserialize;

use super::tar::is_within;

/// The manifest is not one that can be relied on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadManifest {
    /// It is not written as PostgreSQL does, or something of it is missing.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// Its own checksum differs.
    #[error("its checksum is wrong")]
    Checksum,
    /// It belongs to a version of the format that is not known.
    #[error("its version {0} is not known")]
    Version(u32),
}

/// A file of the cluster does not agree with the manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Disagrees {
    /// It is in one of the two only.
    #[error("`{0}` is not in the manifest")]
    Unknown(String),
    /// It is in one of the two only.
    #[error("`{0}` is missing")]
    Missing(String),
    /// Another size.
    #[error("`{path}` has {is} bytes, and should have {should}")]
    Size {
        /// The file.
        path: String,
        /// What came.
        is: u64,
        /// What should have come.
        should: u64,
    },
    /// Another checksum.
    #[error("the checksum of `{0}` is wrong")]
    Checksum(String),
}

/// What is known of a file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) size: u64,
    pub(crate) crc: u32,
}

/// What a manifest says.
#[derive(Debug)]
pub(crate) struct Manifest {
    /// Every file by its path.
    pub(crate) files: HashMap<String, Sum>,
    /// The WAL that makes the backup consistent.
    wal: Vec<WalRange>,
}

/// A range of WAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
struct WalRange {
    #[serde(rename = "Start-LSN")]
    start: Lsn,
    #[serde(rename = "End-LSN")]
    end: Lsn,
}

#[derive(Deserialize)]
struct Written {
    #[serde(rename = "PostgreSQL-Backup-Manifest-Version")]
    version: u32,
    #[serde(rename = "Files")]
    files: Vec<WrittenFile>,
    #[serde(rename = "WAL-Ranges")]
    wal: Vec<WalRange>,
    #[serde(rename = "Manifest-Checksum")]
    checksum: String,
}

#[derive(Deserialize)]
struct WrittenFile {
    #[serde(rename = "Path")]
    path: Option<String>,
    #[serde(rename = "Encoded-Path")]
    encoded_path: Option<String>,
    #[serde(rename = "Size")]
    size: u64,
    #[serde(rename = "Checksum-Algorithm")]
    algorithm: Option<String>,
    #[serde(rename = "Checksum")]
    checksum: Option<String>,
}

impl Manifest {
    /// Reads a manifest and checks it against its own checksum.
    pub(crate) fn read(text: &[u8]) -> Result<Self, BadManifest> {
        let unreadable = |what: &str| BadManifest::Unreadable(what.to_owned());
        let written: Written =
            serde_json::from_slice(text).map_err(|error| unreadable(&error.to_string()))?;
        if !(1..=2).contains(&written.version) {
            return Err(BadManifest::Version(written.version));
        }
        let covered = covered(text).ok_or_else(|| unreadable("it has no checksum"))?;
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, covered);
        if unhex(&written.checksum).as_deref() != Some(digest.as_ref()) {
            return Err(BadManifest::Checksum);
        }
        let mut files = HashMap::with_capacity(written.files.len());
        for file in written.files {
            let (path, sum) = file.read().map_err(BadManifest::Unreadable)?;
            if files.insert(path.clone(), sum).is_some() {
                return Err(unreadable(&format!("`{path}` is in it twice")));
            }
        }
        Ok(Self { files, wal: written.wal })
    }

    /// Whether its WAL begins and ends there.
    pub(crate) fn reaches(&self, start: Lsn, end: Lsn) -> bool {
        self.wal.iter().any(|range| range.start == start)
            && self.wal.iter().any(|range| range.end == end)
    }

    /// Compares what came with what should have come.
    pub(crate) fn compare(&self, came: &HashMap<String, Sum>) -> Result<(), Disagrees> {
        for (path, is) in came {
            let should = self.files.get(path).ok_or_else(|| Disagrees::Unknown(path.clone()))?;
            if is.size != should.size {
                let (is, should) = (is.size, should.size);
                return Err(Disagrees::Size { path: path.clone(), is, should });
            }
            if is.crc != should.crc {
                return Err(Disagrees::Checksum(path.clone()));
            }
        }
        match self.files.keys().find(|path| !came.contains_key(*path)) {
            Some(path) => Err(Disagrees::Missing(path.clone())),
            None => Ok(()),
        }
    }
}

impl WrittenFile {
    fn read(self) -> Result<(String, Sum), String> {
        let path = match (self.path, self.encoded_path) {
            (Some(path), None) => path,
            (None, Some(hex)) => unhex(&hex)
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .ok_or_else(|| format!("the path {hex} is not text"))?,
            _ => return Err("a file has no path, or two".to_owned()),
        };
        if !is_within(&path) {
            return Err(format!("`{path}` is not a path within the data directory"));
        }
        let crc = (self.algorithm.as_deref() == Some("CRC32C"))
            .then(|| unhex(self.checksum.as_deref()?)?.try_into().ok())
            .flatten()
            .ok_or_else(|| format!("`{path}` has no CRC-32C"))?;
        // PostgreSQL writes the number as it lies in memory.
        Ok((path, Sum { size: self.size, crc: u32::from_le_bytes(crc) }))
    }
}

/// The part of the text that the checksum is of: all before its last field.
fn covered(text: &[u8]) -> Option<&[u8]> {
    const FIELD: &[u8] = b"\"Manifest-Checksum\"";
    let at = text.windows(FIELD.len()).rposition(|window| window == FIELD)?;
    Some(&text[..at])
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As PostgreSQL writes it, with the checksum that fits.
    fn written(files: &str) -> String {
        let text = format!(
            "{{ \"PostgreSQL-Backup-Manifest-Version\": 2,\n\"System-Identifier\": 7,\n\
             \"Files\": [\n{files}\n],\n\"WAL-Ranges\": [\n{{ \"Timeline\": 1, \
             \"Start-LSN\": \"0/2000028\", \"End-LSN\": \"0/2000120\" }}\n],\n"
        );
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
        let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{text}\"Manifest-Checksum\": \"{hex}\"}}\n")
    }

    fn file(path: &str) -> String {
        format!(
            "{{ {path}, \"Size\": 9, \"Last-Modified\": \"2026-11-20 09:31:07 GMT\", \
             \"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"839206e3\" }}"
        )
    }

    #[test]
    fn it_is_read_and_compared() {
        let text =
            written(&[file("\"Path\": \"a\""), file("\"Encoded-Path\": \"62\"")].join(",\n"));
        let manifest = Manifest::read(text.as_bytes()).expect("a good manifest");
        assert!(manifest.reaches(Lsn(0x200_0028), Lsn(0x200_0120)));
        assert!(!manifest.reaches(Lsn(0x200_0028), Lsn(0x200_0121)));
        let sum = Sum { size: 9, crc: crc32c::crc32c(b"123456789") };
        let came = |sums: &[(&str, Sum)]| {
            manifest.compare(&sums.iter().map(|(path, sum)| ((*path).to_owned(), *sum)).collect())
        };
        assert_eq!(came(&[("a", sum), ("b", sum)]), Ok(()));
        assert_eq!(came(&[("a", sum)]), Err(Disagrees::Missing("b".to_owned())));
        let unknown = came(&[("a", sum), ("b", sum), ("c", sum)]);
        assert_eq!(unknown, Err(Disagrees::Unknown("c".to_owned())));
        let other = came(&[("a", sum), ("b", Sum { crc: 1, ..sum })]);
        assert_eq!(other, Err(Disagrees::Checksum("b".to_owned())));
        let longer = came(&[("a", Sum { size: 10, ..sum }), ("b", sum)]);
        assert!(matches!(longer, Err(Disagrees::Size { is: 10, should: 9, .. })));
    }

    #[test]
    fn what_was_changed_or_leads_elsewhere_is_refused() {
        let good = written(&file("\"Path\": \"a\""));
        let changed = good.replace("\"Size\": 9", "\"Size\": 8");
        assert_eq!(Manifest::read(changed.as_bytes()).err(), Some(BadManifest::Checksum));
        let newer = good.replace("Version\": 2", "Version\": 3");
        assert_eq!(Manifest::read(newer.as_bytes()).err(), Some(BadManifest::Version(3)));
        for bad in [
            file("\"Path\": \"../a\""),
            file("\"Path\": \"/a\""),
            file("\"Encoded-Path\": \"f\""),
            file("\"Other\": \"a\""),
            file("\"Path\": \"a\"").replace("CRC32C", "SHA256"),
            [file("\"Path\": \"a\""), file("\"Path\": \"a\"")].join(","),
        ] {
            let read = Manifest::read(written(&bad).as_bytes());
            assert!(matches!(read, Err(BadManifest::Unreadable(_))), "{bad}");
        }
        for cut in 0..good.len() - 1 {
            assert!(Manifest::read(&good.as_bytes()[..cut]).is_err(), "cut at {cut}");
        }
    }
}
