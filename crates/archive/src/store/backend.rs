//! The object stores that an archive can be in.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};

use super::blocking;
use crate::config::{Credentials, Location, Provider, Remote};
use crate::error::Error;
use crate::layout::Place;

/// A bound of last resort for one request: callers have shorter ones of their own.
const REQUEST: Duration = Duration::from_secs(600);

pub(super) fn build(location: &Location) -> Result<Arc<dyn ObjectStore>, Error> {
    match location {
        Location::Directory(path) => local(path),
        Location::Url(remote) => {
            let built = match remote.provider {
                Provider::S3 => s3(remote),
                Provider::Google => google(remote),
                Provider::Azure => azure(remote),
            };
            built.map_err(|error| Error::Denied {
                place: location.to_string(),
                why: error.to_string(),
            })
        }
    }
}

fn local(path: &Path) -> Result<Arc<dyn ObjectStore>, Error> {
    let file = |source| Error::File { path: path.to_owned(), source };
    // What is in there is everybody's data: for us alone.
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(file)?;
    let objects = LocalFileSystem::new_with_prefix(path)
        .map_err(|error| file(io::Error::other(error.to_string())))?;
    // Files and the directories above them are on the disk before a put says that it is done.
    Ok(Arc::new(objects.with_fsync(true).with_automatic_cleanup(true)))
}

fn options() -> ClientOptions {
    ClientOptions::new()
        .with_connect_timeout(Duration::from_secs(5))
        .with_timeout(REQUEST)
        .with_pool_idle_timeout(Duration::from_secs(20))
}

/// What is asked again at once: answers 5xx and connections that break off. The rest is ours.
fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(2),
            base: 2.0,
        },
        max_retries: 2,
        retry_timeout: Duration::from_secs(20),
    }
}

fn s3(remote: &Remote) -> object_store::Result<Arc<dyn ObjectStore>> {
    let mut builder = AmazonS3Builder::from_env().with_bucket_name(&remote.bucket);
    if let Some(endpoint) = &remote.endpoint {
        builder = builder
            .with_endpoint(endpoint.as_str().trim_end_matches('/'))
            .with_allow_http(endpoint.scheme() == "http")
            .with_virtual_hosted_style_request(false);
    }
    if let Some(region) = &remote.region {
        builder = builder.with_region(region);
    }
    if let Credentials::Given { id, secret } = &remote.credentials {
        builder = builder.with_access_key_id(id).with_secret_access_key(secret.reveal());
    }
    let allow_http = remote.endpoint.as_ref().is_some_and(|url| url.scheme() == "http");
    let options = options().with_allow_http(allow_http);
    Ok(Arc::new(builder.with_client_options(options).with_retry(retries()).build()?))
}

fn google(remote: &Remote) -> object_store::Result<Arc<dyn ObjectStore>> {
    let mut builder = GoogleCloudStorageBuilder::from_env().with_bucket_name(&remote.bucket);
    let mut options = options();
    if let Some(endpoint) = &remote.endpoint {
        builder = builder.with_base_url(endpoint.as_str().trim_end_matches('/'));
        options = options.with_allow_http(endpoint.scheme() == "http");
    }
    Ok(Arc::new(builder.with_client_options(options).with_retry(retries()).build()?))
}

fn azure(remote: &Remote) -> object_store::Result<Arc<dyn ObjectStore>> {
    let mut builder = MicrosoftAzureBuilder::from_env().with_container_name(&remote.bucket);
    let mut options = options();
    if let Some(account) = &remote.account {
        builder = builder.with_account(account);
    }
    if let Some(endpoint) = &remote.endpoint {
        builder = builder.with_endpoint(endpoint.as_str().trim_end_matches('/').to_owned());
        options = options.with_allow_http(endpoint.scheme() == "http");
    }
    Ok(Arc::new(builder.with_client_options(options).with_retry(retries()).build()?))
}

/// Makes durable which files are in the directories of these objects.
pub(super) async fn sync_parents(directory: &Path, places: &[Place]) -> Result<(), Error> {
    let Some(first) = places.first() else { return Ok(()) };
    let parents: BTreeSet<PathBuf> = places
        .iter()
        .filter_map(|place| directory.join(place.as_str()).parent().map(Path::to_owned))
        .collect();
    blocking(first, move || {
        for parent in parents {
            match File::open(&parent).and_then(|open| open.sync_all()) {
                // Emptied and taken away.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                synced => synced.map_err(|source| Error::File { path: parent, source })?,
            }
        }
        Ok(())
    })
    .await
}

/// Removes what writers that died have left: files whose names end with `#` and a number.
pub(super) async fn sweep(root: &Path, directory: &Place, older: Duration) -> Result<(), Error> {
    let top = root.join(directory.as_str());
    blocking(directory, move || {
        sweep_below(&top, older).map_err(|source| Error::File { path: top, source })
    })
    .await
}

fn sweep_below(directory: &Path, older: Duration) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        let gone = if entry.file_type()?.is_dir() {
            sweep_below(&path, older)
        } else if is_staged(&path) && is_older(&path, older)? {
            fs::remove_file(&path)
        } else {
            Ok(())
        };
        match gone {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    // Only succeeds when it is empty, and a put makes it again.
    let _ = fs::remove_dir(directory);
    Ok(())
}

fn is_staged(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let number = name.rsplit_once('#').map(|(_, number)| number);
    number.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

fn is_older(path: &Path, than: Duration) -> io::Result<bool> {
    match fs::metadata(path).and_then(|metadata| metadata.modified()) {
        Ok(at) => Ok(at.elapsed().is_ok_and(|age| age >= than)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
