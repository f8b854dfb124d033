//! The commands of Heroku's CLI: those that are for us, and why others are not.

/// How many lines of a command's output are kept, and the command.
pub(crate) fn kept(line: &str) -> (usize, &str) {
    let given = line.split_once("| ").and_then(|(n, line)| Some((n.parse().ok()?, line)));
    given.unwrap_or((usize::MAX, line))
}

/// The words of a line; what is between single quotes is one word.
pub(crate) fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (i, part) in line.split('\'').enumerate() {
        if i % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

/// Families of commands that this platform answers.
const FAMILIES: &[&str] = &[
    "access",
    "addons",
    "apps",
    "auth",
    "config",
    "data",
    "drains",
    "local",
    "logs",
    "maintenance",
    "pg",
    "ps",
    "releases",
    "run",
];

/// Whether a command is of a family that this platform answers.
pub(crate) fn is_of_interest(command: &str) -> bool {
    command.split(':').next().is_some_and(|family| FAMILIES.contains(&family))
}

/// Other names by which stories call commands.
pub(crate) fn full_name(command: &str) -> &str {
    match command {
        "pg" => "pg:info",
        "rollback" => "releases:rollback",
        "addons:downgrade" => "addons:upgrade",
        other => other,
    }
}

/// Commands that other tests run, which need more than a line.
pub(crate) const ELSEWHERE: &[(&str, &str)] = &[
    ("pg:backups:download", "backups.rs: it writes a file"),
    ("pg:push", "backups.rs: it needs a local server"),
    ("pg:pull", "backups.rs: it needs a local server"),
    ("pg:unfollow", "heroku_cli.rs: a follower takes its time"),
    ("run", "processes: it needs a runner"),
    ("run:detached", "processes: it needs a runner"),
    ("logs", "processes: it needs lines"),
    ("ps:scale", "processes: it needs a Procfile"),
    ("ps:restart", "processes: it needs a runner"),
    ("ps:stop", "processes: it needs a runner"),
    ("ps:type", "processes: it needs a Procfile"),
    ("ps:wait", "processes: it needs a runner"),
];

/// Commands that are not for this platform.
pub(crate) const NOT_OURS: &[(&str, &str)] = &[
    ("access:update", "permissions of team apps"),
    ("apps:diff", "compares slugs"),
    ("apps:errors", "api.metrics.herokai.com, whatever HEROKU_HOST says"),
    ("apps:favorites", "particleboard.heroku.com, whatever HEROKU_HOST says"),
    ("apps:favorites:add", "particleboard.heroku.com, whatever HEROKU_HOST says"),
    ("apps:favorites:remove", "particleboard.heroku.com, whatever HEROKU_HOST says"),
    ("apps:join", "teams"),
    ("apps:leave", "teams"),
    ("apps:lock", "teams"),
    ("apps:unlock", "teams"),
    ("apps:open", "opens a browser"),
    ("apps:stacks", "apps are not built here"),
    ("apps:stacks:set", "apps are not built here"),
    ("apps:transfer", "apps keep their owner"),
    ("auth:2fa", "a browser's page of Heroku's"),
    ("auth:2fa:disable", "a browser's page of Heroku's"),
    ("auth:login", "needs a terminal"),
    ("auth:logout", "ends the session that the story speaks with"),
    ("config:edit", "needs an editor"),
    ("data:pg:create", "Heroku's Advanced tier"),
    ("data:pg:fork", "Heroku's Advanced tier"),
    ("data:pg:levels", "Heroku's Advanced tier"),
    ("data:pg:migrate", "Heroku's Advanced tier"),
    ("data:pg:quotas", "Heroku's Advanced tier"),
    ("data:pg:quotas:update", "Heroku's Advanced tier"),
    ("data:pg:update", "Heroku's Advanced tier"),
    ("data:pg:upgrade:run", "Heroku's Advanced tier"),
    ("data:pg:upgrade:wait", "Heroku's Advanced tier"),
    ("data:pg:settings", "Heroku's Advanced tier"),
    ("data:pg:info", "Heroku's Advanced tier"),
    ("data:pg:wait", "Heroku's Advanced tier"),
    ("data:pg:docs", "opens a browser"),
    ("local", "asks no platform"),
    ("local:run", "asks no platform"),
    ("local:version", "asks no platform"),
    ("ps:autoscale:disable", "api.metrics.heroku.com, whatever HEROKU_HOST says"),
    ("ps:autoscale:enable", "api.metrics.heroku.com, whatever HEROKU_HOST says"),
    ("ps:copy", "SSH into a dyno of Heroku's"),
    ("ps:exec", "SSH into a dyno of Heroku's"),
    ("ps:forward", "SSH into a dyno of Heroku's"),
    ("ps:socks", "SSH into a dyno of Heroku's"),
    ("releases:output", "release phases"),
    ("releases:retry", "release phases"),
    ("run:inside", "private spaces"),
];
