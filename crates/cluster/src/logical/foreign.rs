//! A database that is not ours, as a tenant names it: `postgres://user:password@host:port/name`.

use std::net::IpAddr;
use std::str::FromStr as _;

use howdah_model::secret::Secret;
use howdah_model::version::Major;
use tokio_postgres::config::{Config, Host};

use super::process::Place;

/// What a URL says. `Debug` keeps the password to itself.
#[derive(Clone, Debug)]
pub struct Foreign {
    /// The host, a name or an address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The database.
    pub database: String,
    user: String,
    password: Secret,
    sslmode: SslMode,
}

/// libpq's `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
enum SslMode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// A URL that names no database that can be read. It does not repeat the URL, which has a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// It is none.
    #[error("this is no URL of a database; write it as postgres://user:password@host:5432/name")]
    NotOne,
    /// It has several hosts, or a socket.
    #[error("the URL of the database must name one host")]
    Hosts,
    /// Something that everything needs is missing.
    #[error("the URL of the database names no {0}")]
    Lacks(&'static str),
    /// libpq knows no such value.
    #[error(
        "the sslmode in the URL of the database must be one of disable, allow, prefer, require, \
         verify-ca and verify-full"
    )]
    SslMode,
}

impl Foreign {
    /// Reads a URL. Of its parameters only `sslmode` counts: others name files of this machine.
    ///
    /// # Errors
    /// See [`BadUrl`].
    pub fn parse(url: &Secret) -> Result<Self, BadUrl> {
        let url = url.reveal();
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(BadUrl::NotOne);
        }
        let (url, query) = url.split_once('?').unwrap_or((url, ""));
        let config = Config::from_str(url).map_err(|_| BadUrl::NotOne)?;
        let [Host::Tcp(host)] = config.get_hosts() else { return Err(BadUrl::Hosts) };
        if host.is_empty() || host.starts_with('/') || host.contains(',') {
            return Err(BadUrl::Hosts);
        }
        let given = query.split('&').find_map(|part| part.strip_prefix("sslmode="));
        let sslmode = given.map_or(Ok(SslMode::Prefer), SslMode::from_str);
        let password = String::from_utf8_lossy(config.get_password().unwrap_or_default());
        Ok(Self {
            host: host.clone(),
            port: config.get_ports().first().copied().unwrap_or(5432),
            database: config.get_dbname().ok_or(BadUrl::Lacks("database"))?.to_owned(),
            user: config.get_user().ok_or(BadUrl::Lacks("user"))?.to_owned(),
            password: Secret::new(password.into_owned()),
            sslmode: sslmode.map_err(|_| BadUrl::SslMode)?,
        })
    }

    /// How programs of a version get there, at the address that was found for the host and at no
    /// other.
    #[must_use]
    pub fn place(&self, address: IpAddr, major: Major) -> Place {
        let (port, address) = (self.port.to_string(), address.to_string());
        let knows_system = major.0 >= 16;
        // Without a file of the platform's, what is verified is verified by the system's authorities.
        let sslmode = match self.sslmode {
            SslMode::VerifyCa if knows_system => SslMode::VerifyFull,
            mode => mode,
        };
        let mut variables = vec![
            ("PGHOST", self.host.as_str()),
            ("PGHOSTADDR", &address),
            ("PGPORT", &port),
            ("PGDATABASE", &self.database),
            ("PGUSER", &self.user),
            ("PGPASSWORD", self.password.reveal()),
            ("PGSSLMODE", sslmode.into()),
        ];
        if sslmode == SslMode::VerifyFull && knows_system {
            variables.push(("PGSSLROOTCERT", "system"));
        }
        Place::new(&variables)
    }

    /// A text of a program without the password, should it hold it.
    #[must_use]
    pub fn scrubbed(&self, text: &str) -> String {
        let password = self.password.reveal();
        if password.len() < 3 { text.to_owned() } else { text.replace(password, "***") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Foreign, BadUrl> {
        Foreign::parse(&Secret::new(url.to_owned()))
    }

    #[test]
    fn h24_a_url_names_one_host_and_no_file_of_this_machine() {
        let url =
            "postgres://me:s%40cret@db.example.com:6543/my%20db?sslmode=require&sslrootcert=/x";
        let foreign = parse(url).expect("good");
        assert_eq!((foreign.host.as_str(), foreign.port), ("db.example.com", 6543));
        assert_eq!(foreign.database, "my db");
        assert_eq!(foreign.password.reveal(), "s@cret");
        assert!(!format!("{foreign:?}").contains("cret@"));
        assert!(!foreign.scrubbed("it says s@cret").contains("s@cret"));
        assert!(parse("postgresql://me@[::1]/d").is_ok_and(|one| one.port == 5432));
        for (bad, why) in [
            ("mysql://me@h/d", BadUrl::NotOne),
            ("postgres://me@%2Fvar%2Frun/d", BadUrl::Hosts),
            ("postgres://me@a,b/d", BadUrl::Hosts),
            ("postgres://me@a:1,b:2/d", BadUrl::Hosts),
            ("postgres:///d", BadUrl::Hosts),
            ("postgres://h/d", BadUrl::Lacks("user")),
            ("postgres://me@h", BadUrl::Lacks("database")),
            ("postgres://me@h/d?sslmode=maybe", BadUrl::SslMode),
            ("host=/tmp user=me", BadUrl::NotOne),
        ] {
            assert_eq!(parse(bad).err(), Some(why), "{bad}");
        }
    }
}
