//! Commands that people know from Heroku and that are not there yet (D33): they are told so, which
//! is not the same as having typed nonsense.

/// Their names, aliases included.
const NAMES: &[&str] = &[
    "addons:docs",
    "certs",
    "clips",
    "dataclips",
    "domains",
    "drains",
    "drains:add",
    "drains:remove",
    "git:clone",
    "open",
    "pg:upgrade",
    "pg:upgrade:cancel",
    "pg:upgrade:dryrun",
    "pg:upgrade:prepare",
    "pg:upgrade:run",
    "pg:upgrade:wait",
    "plugins:install",
    "webhooks",
];

/// The full name of a command that is not there yet.
pub(crate) fn find(path: &str) -> Option<&'static str> {
    NAMES.iter().find(|name| **name == path).copied()
}

/// All of them.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    NAMES.iter().copied()
}
