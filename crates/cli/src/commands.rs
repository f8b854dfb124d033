//! The table of all commands, one family per file.

mod access;
mod account;
mod addons;
mod addons_attach;
mod addons_create;
mod addons_destroy;
mod addons_upgrade;
mod addons_wait;
mod apps;
mod apps_change;
mod config;
mod copies;
mod incidents;
mod keys;
pub(crate) mod later;
mod local;
mod logs;
mod maintenance;
mod pages;
mod pg_backups;
mod pg_backups_capture;
mod pg_backups_download;
mod pg_backups_restore;
mod pg_backups_schedules;
mod pg_copy;
mod pg_credentials;
mod pg_credentials_change;
mod pg_credentials_permissions;
mod pg_diagnose;
mod pg_extras;
mod pg_import;
mod pg_info;
mod pg_links;
mod pg_maintenance;
mod pg_operations;
mod pg_pooling;
mod pg_promote;
mod pg_protection;
mod pg_psql;
mod pg_push_pull;
mod pg_reset;
mod pg_sessions;
mod pg_settings;
mod pg_statements;
mod pg_undelete;
mod pg_unfollow;
mod pg_vacuum;
mod pg_versions;
mod pg_wait;
mod pgbackups;
mod ps;
mod raw;
mod releases;
mod run;
mod runner;

use crate::command::Command;

/// The families, in the order of `howdah help commands` and of `docs/commands.md`.
const FAMILIES: &[&[Command]] = &[
    apps::COMMANDS,
    apps_change::COMMANDS,
    config::COMMANDS,
    releases::COMMANDS,
    maintenance::COMMANDS,
    ps::COMMANDS,
    run::COMMANDS,
    logs::COMMANDS,
    runner::COMMANDS,
    local::COMMANDS,
    access::COMMANDS,
    addons::COMMANDS,
    addons_create::COMMANDS,
    addons_upgrade::COMMANDS,
    addons_wait::COMMANDS,
    pages::COMMANDS,
    addons_attach::COMMANDS,
    addons_destroy::COMMANDS,
    pg_info::COMMANDS,
    pg_wait::COMMANDS,
    pg_psql::COMMANDS,
    pg_promote::COMMANDS,
    pg_unfollow::COMMANDS,
    pg_undelete::COMMANDS,
    pg_protection::COMMANDS,
    incidents::COMMANDS,
    pg_backups::COMMANDS,
    pg_backups_capture::COMMANDS,
    pg_backups_download::COMMANDS,
    pg_backups_restore::COMMANDS,
    pg_backups_schedules::COMMANDS,
    pgbackups::COMMANDS,
    pg_copy::COMMANDS,
    pg_push_pull::COMMANDS,
    pg_import::COMMANDS,
    pg_credentials::COMMANDS,
    pg_credentials_change::COMMANDS,
    pg_credentials_permissions::COMMANDS,
    pg_links::COMMANDS,
    pg_pooling::COMMANDS,
    pg_reset::COMMANDS,
    pg_sessions::COMMANDS,
    pg_extras::COMMANDS,
    pg_statements::COMMANDS,
    pg_vacuum::COMMANDS,
    pg_diagnose::COMMANDS,
    pg_settings::COMMANDS,
    pg_maintenance::COMMANDS,
    pg_operations::COMMANDS,
    pg_versions::COMMANDS,
    account::COMMANDS,
    keys::COMMANDS,
    raw::COMMANDS,
];

/// Every command.
pub(crate) fn all() -> impl Iterator<Item = &'static Command> {
    FAMILIES.iter().flat_map(|family| family.iter())
}
