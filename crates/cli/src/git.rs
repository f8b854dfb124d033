//! The Git repository that we are called in, if there is one: its remotes name apps.

use std::process::Command;

use crate::environment::Environment;

/// The remote that a new app gets.
pub(crate) const REMOTE: &str = "heroku";

/// The remotes of the repository: name and URL. Empty outside of one, or without Git.
pub(crate) fn remotes(environment: &Environment) -> Vec<(String, String)> {
    let Some(text) = output(environment, &["config", "--get-regexp", r"^remote\..*\.url$"]) else {
        return Vec::new();
    };
    let remote = |line: &str| {
        let (key, url) = line.split_once(' ')?;
        let name = key.strip_prefix("remote.")?.strip_suffix(".url")?;
        Some((name.to_owned(), url.to_owned()))
    };
    text.lines().filter_map(remote).collect()
}

/// The remote that `git config heroku.remote` names.
pub(crate) fn preferred(environment: &Environment) -> Option<String> {
    output(environment, &["config", "heroku.remote"]).map(|text| text.trim().to_owned())
}

/// Whether we are in a repository.
pub(crate) fn is_repository(environment: &Environment) -> bool {
    output(environment, &["rev-parse", "--git-dir"]).is_some()
}

/// Adds a remote. False when Git refuses.
pub(crate) fn add_remote(environment: &Environment, name: &str, url: &str) -> bool {
    output(environment, &["remote", "add", name, url]).is_some()
}

/// Gives a remote another URL.
pub(crate) fn set_remote(environment: &Environment, name: &str, url: &str) -> bool {
    output(environment, &["remote", "set-url", name, url]).is_some()
}

fn output(environment: &Environment, arguments: &[&str]) -> Option<String> {
    let git = environment.program("git")?;
    let output = Command::new(git)
        .args(arguments)
        .current_dir(&environment.directory)
        .env_clear()
        .envs(environment.all())
        .output()
        .ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The app that a remote's URL names: `https://host/demo.git`, `git@host:demo.git`.
pub(crate) fn app_of(url: &str) -> Option<&str> {
    let last = url.rsplit(['/', ':']).next()?;
    let app = last.strip_suffix(".git").unwrap_or(last);
    (!app.is_empty()).then_some(app)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a8_a_remote_names_its_app() {
        assert_eq!(app_of("http://127.0.0.1:5080/demo.git"), Some("demo"));
        assert_eq!(app_of("git@heroku.com:demo.git"), Some("demo"));
        assert_eq!(app_of("https://git.heroku.com/demo"), Some("demo"));
        assert_eq!(app_of("https://x/"), None);
    }
}
