//! Commands that people know from Heroku and that are not there yet (D33): they are told so, which
//! is not the same as having typed nonsense.

/// Their names, aliases included.
const NAMES: &[&str] = &[
    "addons:docs",
    "addons:open",
    "certs",
    "clips",
    "data:maintenances",
    "data:maintenances:history",
    "data:maintenances:info",
    "data:maintenances:run",
    "data:maintenances:schedule",
    "data:maintenances:wait",
    "data:maintenances:window",
    "dataclips",
    "domains",
    "drains",
    "drains:add",
    "drains:remove",
    "git:clone",
    "git:remote",
    "local",
    "logs",
    "open",
    "pg:diagnose",
    "pg:links",
    "pg:links:create",
    "pg:links:destroy",
    "pg:maintenance",
    "pg:settings",
    "pg:settings:auto-explain",
    "pg:settings:auto-explain:log-analyze",
    "pg:settings:auto-explain:log-buffers",
    "pg:settings:auto-explain:log-format",
    "pg:settings:auto-explain:log-min-duration",
    "pg:settings:auto-explain:log-nested-statements",
    "pg:settings:auto-explain:log-triggers",
    "pg:settings:auto-explain:log-verbose",
    "pg:settings:data-connector-details-logs",
    "pg:settings:explain-data-connector-details",
    "pg:settings:log-connections",
    "pg:settings:log-lock-waits",
    "pg:settings:log-min-duration-statement",
    "pg:settings:log-min-error-statement",
    "pg:settings:log-statement",
    "pg:settings:track-functions",
    "pg:upgrade",
    "pg:upgrade:cancel",
    "pg:upgrade:dryrun",
    "pg:upgrade:prepare",
    "pg:upgrade:run",
    "pg:upgrade:wait",
    "plugins:install",
    "ps",
    "ps:restart",
    "ps:scale",
    "ps:stop",
    "ps:type",
    "run",
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
