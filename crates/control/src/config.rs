//! The settings of the control plane.

use std::path::PathBuf;
use std::time::Duration;

use howdah_model::plan::Catalogue;

/// What the executable hands in, read from the environment.
#[derive(Clone, Debug)]
pub struct Config {
    /// Ready clusters kept on each server for the next database (`HOWDAH_POOL_SIZE`).
    pub pool_size: u32,
    /// Which catalogue decides how long things are kept (`HOWDAH_PLANS`).
    pub catalogue: Catalogue,
    /// Prefix of the names of second and further attachments (`HOWDAH_VAR_PREFIX`).
    pub var_prefix: String,
    /// The host that database URLs carry (`HOWDAH_GATEWAY_HOST`).
    pub gateway_host: String,
    /// The port that database URLs carry (that of `HOWDAH_GATEWAY_LISTEN`).
    pub gateway_port: u16,
    /// The port of URLs that take a server for each transaction (that of
    /// `HOWDAH_GATEWAY_POOL_LISTEN`).
    pub pool_port: u16,
    /// How long the logins from before a rotation open their database at least
    /// (`HOWDAH_ROTATION_SETTLE`).
    pub rotation_settle: Duration,
    /// Where signed URLs lead, such as `https://127.0.0.1:5443`; without it where the client asked.
    pub public_origin: Option<String>,
    /// The gateway's admin socket; without one nothing is known of its pools.
    pub gateway_socket: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            pool_size: 1,
            catalogue: Catalogue::default(),
            var_prefix: "HEROKU_POSTGRESQL".to_owned(),
            gateway_host: "127.0.0.1".to_owned(),
            gateway_port: 5433,
            pool_port: 5434,
            rotation_settle: Duration::from_secs(60),
            public_origin: None,
            gateway_socket: None,
        }
    }
}
