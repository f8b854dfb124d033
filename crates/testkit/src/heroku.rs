//! Heroku's official command line, unmodified, with a whole platform of its own.

use std::path::PathBuf;
use std::process::Command;

use crate::platform::{Platform, Ran};

/// Heroku's CLI as `howdah heroku-env` sets it up.
#[derive(Debug)]
pub struct Heroku {
    /// The platform that it speaks to.
    pub platform: Platform,
    program: PathBuf,
    env: Vec<(String, String)>,
}

impl Heroku {
    /// Starts a platform with the given executable, and with settings beside the ones that every
    /// test platform has.
    ///
    /// # Panics
    /// When it does not come up, or when Heroku's CLI is not installed.
    #[must_use]
    pub fn start(binary: &str, extra: &[(&str, &str)]) -> Self {
        let platform = Platform::start(binary, extra);
        let program = program();
        let lines = platform.howdah(&["heroku-env"]).ok();
        let mut env: Vec<(String, String)> = lines
            .lines()
            .filter_map(|line| line.strip_prefix("export ")?.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.trim_matches('\'').to_owned()))
            .collect();
        // It has been started before: the first time it speaks of its terms of service.
        let seen = platform.user().join(".cache/heroku");
        std::fs::create_dir_all(&seen).expect("make its cache");
        std::fs::write(seen.join("terms-of-service"), "").expect("write into its cache");
        // Its plugins start it by name.
        let bin = program.parent().expect("a directory").display().to_string();
        let path = format!("{bin}:{}", std::env::var("PATH").expect("a search path"));
        let own = [("PATH", path.as_str()), ("OCLIF_COLUMNS", "400"), ("TZ", "UTC")];
        env.extend(own.map(|(name, value)| (name.to_owned(), value.to_owned())));
        Self { platform, program, env }
    }

    /// It with the platform's environment, for words and variables of one's own.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = self.platform.command(&self.program);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs it with the words of a line.
    #[must_use]
    pub fn run(&self, line: &str) -> Ran {
        self.words(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// Runs it with these words.
    #[must_use]
    pub fn words(&self, words: &[&str]) -> Ran {
        let env: Vec<(&str, &str)> =
            self.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.platform.program(&self.program.display().to_string(), words, &env)
    }
}

/// The names of all its commands that people see, from its own list.
///
/// # Panics
/// When the list is not there or is of another form.
#[must_use]
pub fn commands() -> Vec<String> {
    let list = program().with_file_name("../heroku/oclif.manifest.json");
    let text = std::fs::read_to_string(&list).expect("the list of commands");
    let list: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let commands = list["commands"].as_object().expect("commands");
    let seen = commands.iter().filter(|(_, command)| command["hidden"] != true);
    seen.map(|(name, _)| name.clone()).collect()
}

/// Where `script/setup --test` has installed it.
fn program() -> PathBuf {
    if let Some(given) = std::env::var_os("HOWDAH_TEST_HEROKU") {
        return PathBuf::from(given);
    }
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").expect("a home")).join(".cache"));
    let program = cache.join("howdah/heroku-cli/node_modules/.bin/heroku");
    assert!(program.exists(), "Heroku's CLI is not installed: run script/setup --test");
    program
}
