//! The commands that are this executable's own: they run the platform or need no platform at all.

use std::ffi::OsString;
use std::process::ExitCode;

use howdah_model::machine::Kind;
use howdah_model::setting::SETTINGS;
use strum::IntoEnumIterator as _;

use crate::archive_commands::{self, Verb};
use crate::home::Home;
use crate::settings::Settings;
use crate::{detach, doctor, down, gateway_role, heroku_env, up};

/// One of them, parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Own {
    Up,
    UpDetached,
    /// The serving process of `up --detach`.
    Serve,
    Down,
    /// The gateway alone.
    Gateway,
    Doctor {
        json: bool,
    },
    Archive(Verb),
    Env {
        json: bool,
    },
    HerokuEnv,
    /// One machine, or all.
    Explain(Option<Kind>),
    Help(&'static str),
}

impl Own {
    /// The command, if the arguments name one of ours; `Err` has the usage when they do not fit it.
    pub(crate) fn parse(arguments: &[OsString]) -> Option<Result<Self, String>> {
        let words: Vec<&str> = arguments.iter().map(|word| word.to_str().unwrap_or("")).collect();
        let (name, rest) = words.split_first()?;
        let (name, rest) = match (*name, rest) {
            ("help", [topic, ..]) if usage(topic).is_some() => (*topic, &["--help"][..]),
            _ => (*name, rest),
        };
        let usage = usage(name)?;
        if rest.iter().any(|word| matches!(*word, "-h" | "--help")) {
            return Some(Ok(Self::Help(usage)));
        }
        Some(match (name, rest) {
            ("up", []) => Ok(Self::Up),
            ("up", ["--detach" | "-d"]) => Ok(Self::UpDetached),
            ("up", ["--serve"]) => Ok(Self::Serve),
            ("down", []) => Ok(Self::Down),
            ("gateway", []) => Ok(Self::Gateway),
            ("doctor", []) => Ok(Self::Doctor { json: false }),
            ("doctor", ["--json"]) => Ok(Self::Doctor { json: true }),
            ("archive:list", []) | ("archive", ["list"]) => Ok(Self::Archive(Verb::List)),
            ("archive:check", []) | ("archive", ["check"]) => Ok(Self::Archive(Verb::Check)),
            ("archive:reap", ["--dry-run"]) | ("archive", ["reap", "--dry-run"]) => {
                Ok(Self::Archive(Verb::WouldReap))
            }
            ("archive:reap", []) | ("archive", ["reap"]) => Ok(Self::Archive(Verb::Reap)),
            ("env", []) => Ok(Self::Env { json: false }),
            ("env", ["--json"]) => Ok(Self::Env { json: true }),
            ("heroku-env", []) => Ok(Self::HerokuEnv),
            ("explain", []) => Ok(Self::Explain(None)),
            ("explain", [machine]) => {
                machine.parse().map(|kind| Self::Explain(Some(kind))).map_err(|_| {
                    let known: Vec<String> = Kind::iter().map(|kind| kind.to_string()).collect();
                    format!(" !    there is no machine `{machine}`; there are {}", known.join(", "))
                })
            }
            _ => Err(format!(" !    these arguments do not fit `{name}`\n\n{usage}")),
        })
    }

    pub(crate) fn run(self) -> ExitCode {
        match self {
            Self::Help(usage) => print(usage),
            Self::Env { json } => print(&environment(json)),
            Self::Explain(Some(kind)) => print(&howdah_model::explain::text(kind)),
            Self::Explain(None) => {
                let tables: Vec<_> = Kind::iter().map(howdah_model::explain::text).collect();
                print(&tables.join("\n"))
            }
            Self::Up
            | Self::UpDetached
            | Self::Serve
            | Self::Down
            | Self::Gateway
            | Self::Doctor { .. }
            | Self::Archive(_)
            | Self::HerokuEnv => match Settings::from_env() {
                Ok(settings) => self.run_with(settings),
                Err(problems) => {
                    problems.lines().for_each(|line| eprintln!(" !    {line}"));
                    ExitCode::from(2)
                }
            },
        }
    }

    fn run_with(self, settings: Settings) -> ExitCode {
        match self {
            Self::Up => up::run(settings, false),
            Self::UpDetached => detach::run(&settings),
            Self::Serve => {
                // A session of its own: what ends the terminal's session does not end the platform.
                let _ = nix::unistd::setsid();
                up::run(settings, true)
            }
            Self::Down => down::run(&settings),
            Self::Gateway => gateway_role::run(&settings),
            Self::Doctor { json } => doctor::run(&settings, json),
            Self::Archive(verb) => archive_commands::run(&settings, verb),
            Self::HerokuEnv => heroku(&settings),
            Self::Env { .. } | Self::Explain(_) | Self::Help(_) => self.run(),
        }
    }
}

fn print(text: &str) -> ExitCode {
    use std::io::Write as _;
    // A reader that has had enough (`| head`) is no failure.
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
    ExitCode::SUCCESS
}

fn environment(json: bool) -> String {
    let now = |name: &str| match std::env::var(name) {
        Ok(_)
            if name.contains("KEY") || name.contains("TOKEN") || name == "HOWDAH_DATABASE_URL" =>
        {
            Some("(set)".to_owned())
        }
        Ok(value) => Some(value),
        Err(_) => None,
    };
    if json {
        let list: Vec<_> = SETTINGS
            .iter()
            .map(|setting| {
                serde_json::json!({
                    "name": setting.name, "value": now(setting.name),
                    "default": setting.default, "means": setting.means,
                })
            })
            .collect();
        return serde_json::json!({ "schema": "howdah.v1/env", "data": list }).to_string();
    }
    let mut out = String::new();
    for setting in SETTINGS {
        let value = now(setting.name).map(|value| format!("={value}")).unwrap_or_default();
        out.push_str(&format!("{}{value}\n    {}\n", setting.name, setting.means));
        out.push_str(&format!("    default: {}\n", setting.default));
    }
    out
}

fn heroku(settings: &Settings) -> ExitCode {
    let addresses = Home::new(&settings.home).ok().and_then(|home| home.addresses());
    let http = addresses.map_or(settings.listen, |addresses| addresses.http);
    if !heroku_env::reachable(http) {
        eprintln!(" !    Heroku's CLI only talks to 127.0.0.1, and the platform listens on {http}");
        eprintln!(" !    Forward a local port to it, or set HOWDAH_LISTEN=0.0.0.0:{}", http.port());
        return ExitCode::FAILURE;
    }
    let ca = settings.home.join("tls/ca.pem");
    match howdah_cli::credentials::load(&format!("http://{http}")) {
        Some(stored) => print(&heroku_env::lines(http, &ca, &stored.token)),
        None => {
            eprintln!(" !    no key is stored for http://{http}");
            eprintln!(" !    Start the platform with `howdah up`, or log in with `howdah login`");
            ExitCode::from(4)
        }
    }
}

/// The words of these commands, for the command line's own help: name and what it does.
pub(crate) const WORDS: &[(&str, &str)] = &[
    ("up", "Run the whole platform on this machine"),
    ("down", "Stop the platform of this machine and its databases"),
    ("gateway", "Run the gateway in a process of its own"),
    ("doctor", "Check this machine, with the remedy for each finding"),
    ("archive", "List, check or clear the archive of WAL and base backups"),
    ("env", "List every setting"),
    ("heroku-env", "Print the lines that point Heroku's own CLI at this platform"),
    ("explain", "Print the state tables of the platform's machines"),
];

fn usage(name: &str) -> Option<&'static str> {
    Some(match name {
        "up" => {
            "Run the whole platform on this machine

Usage: howdah up [--detach]

  -d, --detach   return when everything answers; the platform goes on in the background

Ctrl-C stops the platform and its databases. SIGTERM (and a crash) ends the platform only:
the databases go on, and the next `howdah up` takes them over.

See also: howdah down, howdah doctor, howdah env"
        }
        "down" => {
            "Stop the platform of this machine and its databases

Usage: howdah down

Nothing is removed: `howdah up` brings everything back."
        }
        "gateway" => {
            "Run the gateway in a process of its own

Usage: howdah gateway

`howdah up` on the same home then leaves the gateway to it, and can be restarted while
sessions go on. Where a gateway runs already, in a process of its own or inside
`howdah up`, this one takes over: no client is refused, and the sessions that are open
go on in the old process until they end (HOWDAH_GATEWAY_DRAIN at the longest).

SIGTERM and Ctrl-C   end the gateway and its sessions
SIGHUP               reads the certificate again
SIGUSR2              starts the executable anew, which takes over

It serves by the routes that it has when the platform is away.
See also: howdah up, howdah env"
        }
        "doctor" => {
            "Check this machine, with the remedy for each finding

Usage: howdah doctor [--json]

Exits 0 when it is fit, 11 with warnings, 10 when something must be mended."
        }
        "archive" | "archive:list" | "archive:check" | "archive:reap" => {
            "List, check or clear the archive of WAL and base backups (HOWDAH_ARCHIVE_URL)

Usage: howdah archive:list              what is in it, and what is missing
       howdah archive:check             whether it can be written, read and cleared
       howdah archive:reap [--dry-run]  remove what no restore needs any more, or list it

Agents reap by themselves every hour."
        }
        "env" => {
            "List every setting: its value now, what it does, what holds without it

Usage: howdah env [--json]"
        }
        "heroku-env" => {
            "Print the lines that point Heroku's own CLI at this platform, key included

Usage: eval \"$(howdah heroku-env)\"
       heroku pg:info -a demo"
        }
        "explain" => {
            "Print the state tables of the platform's machines

Usage: howdah explain [participant|database|provision|reset|promote|unfollow|destroy]"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Option<Result<Own, String>> {
        Own::parse(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn own_commands_are_known_and_all_others_are_the_command_lines() {
        assert_eq!(parse("up --detach"), Some(Ok(Own::UpDetached)));
        assert_eq!(parse("explain reset"), Some(Ok(Own::Explain(Some(Kind::Reset)))));
        assert!(matches!(parse("help up"), Some(Ok(Own::Help(_)))));
        assert!(matches!(parse("up --nope"), Some(Err(_))));
        assert!(matches!(parse("explain nope"), Some(Err(text)) if text.contains("provision")));
        assert_eq!(parse("pg:info"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn every_own_command_has_a_usage_within_80_columns() {
        for (name, _) in WORDS {
            let usage = usage(name).expect(name);
            assert!(usage.lines().all(|line| line.len() <= 95), "{name}");
        }
    }
}
