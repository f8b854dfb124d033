//! The platform's own cluster: made, started and given its database by the same code as tenants'.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use howdah_model::name::DatabaseName;

use crate::connection::Limits;
use crate::settings::{PLATFORM_ROLE, PORT, Settings};
use crate::{Cluster, Template};

/// How to reach a database of the platform's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// The directory of the unix socket.
    pub socket_dir: PathBuf,
    /// The port in the socket's name.
    pub port: u16,
    /// The role; it comes in as the operating system user of this process, without a password.
    pub user: String,
    /// The database.
    pub database: String,
}

impl Cluster {
    /// Makes the cluster, its configuration and one database in it, as far as they are not there,
    /// and starts it. For the platform's own state.
    ///
    /// # Errors
    /// Says which step did not succeed; it can be tried again.
    pub async fn ensure_running(
        &self,
        templates: &Path,
        settings: &Settings,
        database: &DatabaseName,
    ) -> Result<Parameters> {
        if !self.is_made() {
            let template = Template::ensure(templates, &self.installed, &self.run_as).await?;
            self.make(&template).await.context("make the cluster")?;
        }
        self.configure(settings).await.context("configure the cluster")?;
        self.start(Duration::from_secs(120)).await?;
        self.ensure_database(database).await.context("make the platform's database")?;
        Ok(Parameters {
            socket_dir: self.socket_dir.clone(),
            port: PORT,
            user: PLATFORM_ROLE.to_owned(),
            database: database.to_string(),
        })
    }

    async fn ensure_database(&self, database: &DatabaseName) -> Result<()> {
        let connection = self.connect("postgres", Limits::WORK).await?;
        let found = "select from pg_database where datname = $1";
        if connection.rows(found, &[&database.as_str()]).await?.is_empty() {
            connection.run(&format!("create database {database}")).await?;
        }
        connection.close().await;
        Ok(())
    }
}
