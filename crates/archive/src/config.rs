//! Where an archive is and how it is read.

use std::fmt;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use howdah_model::secret::Secret;
use url::Url;

/// Where an archive is, and the key of its content.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it is.
    pub location: Location,
    /// Encrypts what is put. An archive is encrypted from its first object on, or not at all.
    pub key: Option<Key>,
}

/// Where an archive is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// On this machine, or what is mounted on it. It is made when it is not there.
    Directory(PathBuf),
    /// In an object store.
    Url(Box<Remote>),
}

/// A place in an object store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Whose protocol.
    pub provider: Provider,
    /// The bucket (Azure: the container).
    pub bucket: String,
    /// What all names in it begin with, without slashes at its ends; may be empty.
    pub prefix: String,
    /// The address of a store that is not the provider's own.
    pub endpoint: Option<Url>,
    /// The region, where that matters.
    pub region: Option<String>,
    /// Azure: the storage account.
    pub account: Option<String>,
    /// Who we are there.
    pub credentials: Credentials,
}

/// A protocol of object stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::Display)]
pub enum Provider {
    /// `s3://`
    #[strum(serialize = "s3")]
    S3,
    /// `gs://`
    #[strum(serialize = "gs")]
    Google,
    /// `az://`
    #[strum(serialize = "az")]
    Azure,
}

/// Who we are at an object store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Credentials {
    /// What the provider's usual variables say: `AWS_ACCESS_KEY_ID`, `GOOGLE_…`, `AZURE_…`.
    #[default]
    Environment,
    /// An access key of S3.
    Given {
        /// Its public half.
        id: String,
        /// Its secret half.
        secret: Secret,
    },
}

/// A key of 32 bytes. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; 32]);

impl Key {
    /// A key of these bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The settings of an archive cannot be understood. Never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadConfig {
    /// Neither a URL nor an absolute path.
    #[error(
        "HOWDAH_ARCHIVE_URL is neither an absolute path nor a URL such as s3://bucket/prefix \
         ({0})"
    )]
    Url(String),
    /// No such kind of store.
    #[error("HOWDAH_ARCHIVE_URL: stores are s3://, gs://, az:// and directories, not {0}://")]
    Scheme(String),
    /// Secrets do not belong into a URL.
    #[error(
        "HOWDAH_ARCHIVE_URL must not hold credentials: URLs are shown. Set AWS_ACCESS_KEY_ID and \
         AWS_SECRET_ACCESS_KEY (s3), GOOGLE_SERVICE_ACCOUNT (gs) or AZURE_STORAGE_ACCOUNT_KEY (az)"
    )]
    SecretInUrl,
    /// No such option.
    #[error("HOWDAH_ARCHIVE_URL: the options are endpoint, region and account, not `{0}`")]
    Option(String),
    /// The value of an option cannot be.
    #[error("HOWDAH_ARCHIVE_URL: the option `{0}` is not right: {1}")]
    OptionValue(&'static str, String),
    /// The key is not one.
    #[error("HOWDAH_ARCHIVE_KEY must be 32 bytes in base64, as from `openssl rand -base64 32`")]
    Key,
}

impl Config {
    /// Reads the two settings: a path or URL, and a key in base64.
    ///
    /// # Errors
    /// When they cannot be understood; the text is for whoever set them.
    pub fn parse(url: &str, key: Option<&str>) -> Result<Self, BadConfig> {
        let key = key.map(parse_key).transpose()?;
        let location = if url.starts_with('/') {
            Location::Directory(PathBuf::from(url))
        } else {
            parse_url(url)?
        };
        Ok(Self { location, key })
    }

    /// The same place with an access key that is given here, not in the environment.
    #[must_use]
    pub fn with_credentials(mut self, id: &str, secret: &str) -> Self {
        if let Location::Url(remote) = &mut self.location {
            let secret = Secret::new(secret.to_owned());
            remote.credentials = Credentials::Given { id: id.to_owned(), secret };
        }
        self
    }
}

/// As people write it, without options: `s3://bucket/prefix`.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => path.display().fmt(f),
            Self::Url(remote) => {
                write!(f, "{}://{}", remote.provider, remote.bucket)?;
                if remote.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", remote.prefix) }
            }
        }
    }
}

fn parse_key(text: &str) -> Result<Key, BadConfig> {
    let bytes = STANDARD.decode(text.trim()).map_err(|_| BadConfig::Key)?;
    bytes.try_into().map(Key).map_err(|_| BadConfig::Key)
}

fn parse_url(text: &str) -> Result<Location, BadConfig> {
    let url = Url::parse(text).map_err(|error| BadConfig::Url(error.to_string()))?;
    if url.password().is_some() || !url.username().is_empty() {
        return Err(BadConfig::SecretInUrl);
    }
    let provider = match url.scheme() {
        "s3" | "s3a" => Provider::S3,
        "gs" | "gcs" => Provider::Google,
        "az" | "azure" => Provider::Azure,
        "file" => return parse_file(&url),
        other => return Err(BadConfig::Scheme(other.to_owned())),
    };
    let bucket = url.host_str().filter(|host| !host.is_empty());
    let bucket = bucket.ok_or_else(|| BadConfig::Url("it names no bucket".to_owned()))?;
    if url.port().is_some() {
        let why = "an address goes into the option endpoint: s3://bucket?endpoint=http://…";
        return Err(BadConfig::Url(why.to_owned()));
    }
    let mut remote = Remote {
        provider,
        bucket: bucket.to_owned(),
        prefix: parse_prefix(path(text))?,
        endpoint: None,
        region: None,
        account: None,
        credentials: Credentials::Environment,
    };
    for (name, value) in url.query_pairs() {
        match name.as_ref() {
            "endpoint" => remote.endpoint = Some(parse_endpoint(&value)?),
            "region" => remote.region = Some(value.into_owned()),
            "account" => remote.account = Some(value.into_owned()),
            other if is_secret(other) => return Err(BadConfig::SecretInUrl),
            other => return Err(BadConfig::Option(other.to_owned())),
        }
    }
    Ok(Location::Url(Box::new(remote)))
}

fn parse_file(url: &Url) -> Result<Location, BadConfig> {
    url.to_file_path()
        .map(Location::Directory)
        .map_err(|()| BadConfig::Url("file:// needs an absolute path".to_owned()))
}

/// The path as it was written: a URL's own has `..` resolved, and would be another than was meant.
fn path(url: &str) -> &str {
    let behind = url.split_once("://").map_or("", |(_, behind)| behind);
    let behind = behind.split(['?', '#']).next().unwrap_or_default();
    behind.split_once('/').map_or("", |(_, path)| path)
}

/// Names of objects are made of plain parts only, so that they are the same in every store.
fn parse_prefix(path: &str) -> Result<String, BadConfig> {
    let prefix = path.trim_matches('/');
    let plain = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
            && part != "."
            && part != ".."
    };
    if !prefix.is_empty() && !prefix.split('/').all(plain) {
        let why = "the prefix may have letters, digits, `-`, `_`, `.` and single `/`";
        return Err(BadConfig::Url(why.to_owned()));
    }
    Ok(prefix.to_owned())
}

fn parse_endpoint(text: &str) -> Result<Url, BadConfig> {
    let bad = |why: &str| BadConfig::OptionValue("endpoint", why.to_owned());
    let url = Url::parse(text).map_err(|error| bad(&error.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(BadConfig::SecretInUrl);
    }
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(bad("it is an address such as https://s3.example.com"));
    }
    Ok(url)
}

fn is_secret(option: &str) -> bool {
    let option = option.to_ascii_lowercase();
    ["secret", "key", "token", "password", "sig", "sas"].iter().any(|word| option.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(url: &str) -> Result<Location, BadConfig> {
        Config::parse(url, None).map(|config| config.location)
    }

    #[test]
    fn places_are_read_and_shown() {
        for (url, shown) in [
            ("/var/lib/archive", "/var/lib/archive"),
            ("file:///srv/archive", "/srv/archive"),
            ("s3://bucket", "s3://bucket"),
            ("s3://bucket/a/b/?endpoint=http://127.0.0.1:9000&region=eu-1", "s3://bucket/a/b"),
            ("gs://bucket/x", "gs://bucket/x"),
            ("az://container/x?account=me", "az://container/x"),
        ] {
            assert_eq!(location(url).map(|found| found.to_string()), Ok(shown.to_owned()), "{url}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for bad in [
            "",
            "archive",
            "./archive",
            "ftp://x/y",
            "s3://",
            "s3:///x",
            "s3://b:80/x",
            "s3://b/a//b",
            "s3://b/%2e%2e",
            "s3://b/a/../c",
            "s3://b/a b",
            "s3://b?endpoint=nowhere",
            "s3://b?endpoint=ftp://x",
            "s3://b?acl=public",
            "file://relative/x",
        ] {
            assert!(location(bad).is_err(), "{bad}");
        }
        for key in ["", "c2hvcnQ=", "not base64!", &STANDARD.encode([0; 33])] {
            assert_eq!(Config::parse("/x", Some(key)).err(), Some(BadConfig::Key));
        }
    }

    #[test]
    fn secrets_are_neither_taken_in_urls_nor_shown() {
        for bad in [
            "s3://AKIA:hunter2@bucket/x",
            "s3://bucket?secret_access_key=hunter2",
            "az://c?account_key=hunter2",
            "az://c?sig=hunter2",
            "s3://bucket?endpoint=http://AKIA:hunter2@host",
        ] {
            let error = location(bad).expect_err(bad);
            assert_eq!(error, BadConfig::SecretInUrl, "{bad}");
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
        let key = STANDARD.encode(b"01234567890123456789012345678901");
        let config = Config::parse("s3://b", Some(&key)).expect("parse");
        let shown = format!("{:?}", config.with_credentials("AKIA", "hunter2"));
        assert!(!shown.contains("hunter2") && !shown.contains(&key) && !shown.contains("48, 49"));
    }
}
