//! Heroku's Platform API.

pub(crate) mod account;
pub(crate) mod addons;
pub(crate) mod apps;
pub(crate) mod attachments;
pub(crate) mod backup_plans;
pub(crate) mod config_vars;
pub(crate) mod dynos;
pub(crate) mod formation;
pub(crate) mod logs;
pub(crate) mod releases;
pub(crate) mod resolve;
