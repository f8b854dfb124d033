//! Where the pieces of each file are: `index` beside the parts of a base backup.
//!
//! The parts one after the other are the tar archive that PostgreSQL sent, byte for byte. The index
//! says where in each part which piece of which file lies, so that parts can be restored in any
//! order, several at once.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::manifest::Manifest;
use super::tar::is_within;

/// What is in the parts of a base backup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Index {
    /// Directories, each after the one that it is in.
    pub(crate) directories: Vec<String>,
    /// Files, in the order of the stream.
    pub(crate) files: Vec<File>,
    /// The parts, by their numbers.
    pub(crate) parts: Vec<Part>,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) size: u64,
}

/// An object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// Bytes of its plain content.
    pub(crate) bytes: u64,
    /// In the order of their places.
    pub(crate) pieces: Vec<Piece>,
}

/// Bytes of a file that lie together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "[u64; 4]", from = "[u64; 4]")]
pub(crate) struct Piece {
    /// The file, by its number.
    pub(crate) file: u64,
    /// The place in the file.
    pub(crate) at: u64,
    /// The place in the part.
    pub(crate) from: u64,
    pub(crate) length: u64,
}

impl From<[u64; 4]> for Piece {
    fn from([file, at, from, length]: [u64; 4]) -> Self {
        Self { file, at, from, length }
    }
}

impl From<Piece> for [u64; 4] {
    fn from(piece: Piece) -> Self {
        [piece.file, piece.at, piece.from, piece.length]
    }
}

impl Index {
    /// Whether every byte of every file of the manifest is there once, and nothing else; else what
    /// is wrong.
    pub(crate) fn check(&self, manifest: &Manifest) -> Result<(), String> {
        if let Some(path) = self.directories.iter().find(|path| !is_within(path)) {
            return Err(format!("`{path}` is not a path within the data directory"));
        }
        if self.files.len() != manifest.files.len() {
            let (is, should) = (self.files.len(), manifest.files.len());
            return Err(format!("it has {is} files, and the manifest {should}"));
        }
        let mut seen = HashMap::with_capacity(self.files.len());
        for file in &self.files {
            let of_manifest = manifest.files.get(&file.path).map(|sum| sum.size);
            if of_manifest != Some(file.size) || seen.insert(file.path.as_str(), ()).is_some() {
                return Err(format!("`{}` is not as the manifest says", file.path));
            }
        }
        let mut reached = vec![0; self.files.len()];
        for (part, piece) in
            self.parts.iter().flat_map(|part| part.pieces.iter().map(move |piece| (part, piece)))
        {
            let next = usize::try_from(piece.file).ok().and_then(|file| reached.get_mut(file));
            let is_in_part =
                piece.from.checked_add(piece.length).is_some_and(|end| end <= part.bytes);
            match next {
                Some(next) if *next == piece.at && is_in_part => *next += piece.length,
                _ => return Err("its pieces do not fit together".to_owned()),
            }
        }
        match self.files.iter().zip(&reached).find(|(file, reached)| file.size != **reached) {
            Some((file, _)) => Err(format!("something of `{}` is missing", file.path)),
            None => Ok(()),
        }
    }
}
