//! The same promises on a directory and on a server that speaks S3, and what they are worth when
//! the network, the disk or a writer fails.

mod crash;
mod damage;
mod faults;
mod promises;

use howdah_testkit::s3::{ACCESS_KEY_ID, S3, SECRET_ACCESS_KEY, url_at};
use std::net::SocketAddr;
use tempfile::TempDir;

use super::*;

/// A store, and what must live as long as it.
struct Bed {
    store: Store,
    config: Config,
    directory: PathBuf,
    _holds: Holds,
}

#[expect(dead_code, reason = "held for its drop")]
enum Holds {
    Directory(TempDir),
    Server(S3),
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Directory,
    S3,
}

const KEY: [u8; 32] = [7; 32];

impl Bed {
    async fn new(kind: Kind, key: Option<[u8; 32]>) -> Self {
        let (config, directory, holds) = match kind {
            Kind::Directory => {
                let directory = temporary();
                let path = directory.path().join("archive");
                let config = Config { location: Location::Directory(path.clone()), key: None };
                (config, path, Holds::Directory(directory))
            }
            Kind::S3 => {
                let server = S3::start().await;
                (at(server.address()), server.bucket().join("howdah"), Holds::Server(server))
            }
        };
        let config = Config { key: key.map(Key::new), ..config };
        let store = Store::open(&config).expect("open");
        Self { store, config, directory, _holds: holds }
    }

    /// A second process with the same archive.
    fn another(&self) -> Store {
        Store::open(&self.config).expect("open")
    }

    fn another_with(&self, key: Option<[u8; 32]>) -> Store {
        let config = Config { key: key.map(Key::new), ..self.config.clone() };
        Store::open(&config).expect("open")
    }

    /// The file of an object.
    fn file(&self, place: &Place) -> PathBuf {
        self.directory.join(place.as_str())
    }
}

/// The archive on a server at an address, with the right access key.
fn at(address: SocketAddr) -> Config {
    let config = Config::parse(&url_at(address), None).expect("parse");
    config.with_credentials(ACCESS_KEY_ID, SECRET_ACCESS_KEY)
}

fn temporary() -> TempDir {
    let base = std::env::var_os("HOWDAH_TEST_TMP").map_or_else(std::env::temp_dir, PathBuf::from);
    tempfile::Builder::new().prefix("howdah-archive-").tempdir_in(base).expect("a directory")
}

fn place(name: &str) -> Place {
    Place::listed(&format!("timelines/x/{name}"))
}

/// Content that does not compress to nothing.
fn content(seed: u32, length: usize) -> Bytes {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let byte = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(byte).take(length).collect()
}
