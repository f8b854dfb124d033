//! An object store that speaks S3: s3s-fs, on a free port, with one access key. It checks signatures
//! and keeps objects below a directory, so that a test can look at them and spoil them.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

/// How long it may take to start on a machine that is busy.
const BOUND: Duration = Duration::from_secs(60);

/// The public half of the access key.
pub const ACCESS_KEY_ID: &str = "AKIAHOWDAHTEST";
/// The secret half.
pub const SECRET_ACCESS_KEY: &str = "not-a-secret-of-anybody";

/// A server. It is ended, and all that it holds removed, when this is dropped.
#[derive(Debug)]
pub struct S3 {
    dir: TempDir,
    child: Child,
    address: SocketAddr,
}

impl S3 {
    /// Starts one with a bucket `archive`.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start() -> Self {
        let starting = tokio::task::spawn_blocking(Self::try_start).await;
        starting.expect("start s3s-fs").expect("start s3s-fs")
    }

    fn try_start() -> Result<Self> {
        let base =
            std::env::var_os("HOWDAH_TEST_TMP").map_or_else(std::env::temp_dir, PathBuf::from);
        let dir = tempfile::Builder::new().prefix("howdah-s3-").tempdir_in(base)?;
        let root = dir.path().join("buckets");
        fs::create_dir_all(root.join("archive"))?;
        let mut child = Command::new(program()?)
            .args(["--host", "127.0.0.1", "--port", "0"])
            .args(["--access-key", ACCESS_KEY_ID, "--secret-key", SECRET_ACCESS_KEY])
            .arg(&root)
            .env_clear()
            .env("RUST_LOG", "s3s_fs=info")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // A Ctrl-C in the terminal is for the test alone.
            .process_group(0)
            .spawn()?;
        // Whoever sweeps up after a test that was killed looks for this.
        fs::write(dir.path().join("howdah.pid"), child.id().to_string())?;
        match address(&mut child) {
            Ok(address) => Ok(Self { dir, child, address }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The value of HOWDAH_ARCHIVE_URL for the bucket; the access key goes into `AWS_…` variables.
    #[must_use]
    pub fn url(&self) -> String {
        url_at(self.address)
    }

    /// The directory with the objects of the bucket.
    #[must_use]
    pub fn bucket(&self) -> PathBuf {
        self.dir.path().join("buckets/archive")
    }

    /// Ends it as a machine that fails would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The value of HOWDAH_ARCHIVE_URL for a server that is reached at an address: a proxy's perhaps.
#[must_use]
pub fn url_at(address: SocketAddr) -> String {
    format!("s3://archive/howdah?endpoint=http://{address}&region=us-east-1")
}

/// Where `script/setup --test` puts it; `HOWDAH_TEST_S3` names another place.
fn program() -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("HOWDAH_TEST_S3") {
        return Ok(given.into());
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| {
        let home = std::env::var_os("HOME")?;
        Some(Path::new(&home).join(".cache"))
    });
    let program = cache.context("neither XDG_CACHE_HOME nor HOME is set")?;
    let program = program.join("howdah/s3s-fs/bin/s3s-fs");
    if !program.exists() {
        bail!("{} is not there: run script/setup --test", program.display());
    }
    Ok(program)
}

/// It says where it listens, and no more until it ends.
fn address(child: &mut Child) -> Result<SocketAddr> {
    let begun = Instant::now();
    let said = child.stdout.take().context("its output")?;
    for line in BufReader::new(said).lines() {
        if let Some((_, address)) = line?.split_once("server is running at http://") {
            return Ok(address.trim().trim_end_matches(',').parse()?);
        }
        if begun.elapsed() > BOUND {
            bail!("s3s-fs does not say where it listens");
        }
    }
    bail!("s3s-fs has ended: {:?}", child.try_wait())
}
