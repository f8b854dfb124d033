//! What was given to a command: its line, checked against the command's words.

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches};

use crate::command::{Command, GLOBAL, Opt, Takes, Times, Unknown};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::help;
use crate::hint::{Advice, Hint};
use crate::shell;

/// The arguments and options of one call.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) command: &'static Command,
    matches: ArgMatches,
    /// Options for the add-on's provider: name and value, if any.
    pub(crate) for_provider: Vec<(String, Option<String>)>,
    /// The line without the command, as it was typed.
    typed: Vec<String>,
}

/// Why there is nothing to run.
#[derive(Debug)]
pub(crate) enum Instead {
    /// Help was asked for.
    Help(String),
    /// The line does not fit.
    Wrong(Failure),
}

impl Given {
    /// Checks a line against the words of its command.
    pub(crate) fn parse(command: &'static Command, typed: Vec<String>) -> Result<Self, Instead> {
        let (ours, for_provider) = match command.unknown {
            Unknown::Refused => (typed.clone(), Vec::new()),
            Unknown::ToProvider => divide(command, &typed).map_err(Instead::Wrong)?,
        };
        match parser(command).try_get_matches_from(&ours) {
            Ok(matches) => Ok(Self { command, matches, for_provider, typed }),
            Err(error) if error.kind() == ErrorKind::DisplayHelp => {
                Err(Instead::Help(help::command(command)))
            }
            Err(error) => Err(Instead::Wrong(wrong(command, &error))),
        }
    }

    /// The value of an argument or option, if the command has it and it was given.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.matches.try_get_one::<String>(name).ok().flatten().map(String::as_str)
    }

    /// All values of an argument or option.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        let values = self.matches.try_get_many::<String>(name).ok().flatten();
        values.into_iter().flatten().map(String::as_str).collect()
    }

    /// The value of an argument that the command needs; the parser made sure of it.
    pub(crate) fn needed(&self, name: &str) -> Result<&str, Failure> {
        self.value(name).ok_or_else(|| Failure::usage(format!("{name} is missing")))
    }

    /// Whether a flag was given.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.matches.try_get_one::<bool>(name).ok().flatten().copied().unwrap_or(false)
    }

    /// A number of seconds, or anything else that is a number.
    pub(crate) fn number(&self, name: &str, otherwise: u64) -> Result<u64, Failure> {
        let Some(text) = self.value(name) else { return Ok(otherwise) };
        text.parse().map_err(|_| Failure::usage(format!("--{name} takes a number, not `{text}`")))
    }

    /// The same call with one more option: what to run to be asked nothing.
    pub(crate) fn again_with(&self, option: &str, value: &str) -> Advice {
        let mut words = vec!["howdah".to_owned(), self.command.name.to_owned()];
        let end = self.typed.iter().position(|word| word == "--").unwrap_or(self.typed.len());
        words.extend(self.typed[..end].iter().map(|word| shell::word(word)));
        words.push(option.to_owned());
        words.push(shell::word(value));
        words.extend(self.typed[end..].iter().map(|word| shell::word(word)));
        Advice { lead: "run it with the confirmation:".to_owned(), command: words.join(" ") }
    }
}

fn parser(command: &'static Command) -> clap::Command {
    let mut parser = clap::Command::new(command.name)
        .no_binary_name(true)
        .disable_help_flag(true)
        .color(clap::ColorChoice::Never)
        .override_usage(command.usage())
        .arg(Arg::new("help").short('h').long("help").action(ArgAction::Help));
    for (place, argument) in command.arguments.iter().enumerate() {
        let arg = Arg::new(argument.name)
            .index(place + 1)
            .allow_negative_numbers(true)
            .required(argument.times != Times::Optional);
        parser = parser.arg(match argument.times {
            Times::Optional | Times::Once => arg,
            Times::OnceOrMore => arg.num_args(1..),
            Times::Any => arg.num_args(1..).required(false),
            Times::Rest => {
                arg.num_args(1..).trailing_var_arg(true).allow_hyphen_values(true).required(false)
            }
        });
    }
    parser.args(command.options.iter().chain(GLOBAL).map(option))
}

fn option(option: &Opt) -> Arg {
    let mut arg = Arg::new(option.long).long(option.long);
    if let Some(short) = option.short {
        arg = arg.short(short);
    }
    match (option.long, option.takes) {
        // `--json` alone, or `--json=name,plan`.
        ("json", _) => arg.num_args(0..=1).require_equals(true).default_missing_value(""),
        ("color", _) => arg.value_parser(["auto", "always", "never"]),
        (_, Takes::Nothing) => arg.action(ArgAction::SetTrue),
        (_, Takes::Value(name)) => arg.value_name(name).allow_hyphen_values(true),
        (_, Takes::Values(name)) => {
            arg.value_name(name).allow_hyphen_values(true).action(ArgAction::Append)
        }
    }
}

fn wrong(command: &Command, error: &clap::Error) -> Failure {
    let text = error.to_string();
    let message = text.split("\n\n").next().unwrap_or(&text);
    let message = message.strip_prefix("error: ").unwrap_or(message);
    let message: Vec<_> = message.lines().map(str::trim).collect();
    let mut message = message.join(" ");
    if error.kind() == ErrorKind::MissingRequiredArgument {
        let missing = command.arguments.iter().filter(|argument| argument.times != Times::Optional);
        let missing: Vec<_> = missing.map(|argument| argument.name).collect();
        message = format!("{} needs {}", command.name, missing.join(" and "));
    }
    let message = format!("{message}\nusage: {}", command.usage());
    Failure::new(Exit::Usage, "usage", message)
        .advise(Hint::HelpCommand.fill(&[("COMMAND", command.name)]))
}

type Divided = (Vec<String>, Vec<(String, Option<String>)>);

/// Separates our options from the provider's.
fn divide(command: &Command, typed: &[String]) -> Result<Divided, Failure> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut words = typed.iter().peekable();
    let mut past_the_dashes = false;
    while let Some(word) = words.next() {
        if word == "--" && !past_the_dashes {
            past_the_dashes = true;
            continue;
        }
        let name = word.strip_prefix("--").map(|name| name.split('=').next().unwrap_or(name));
        match (name, known(command, word)) {
            (_, Some(takes)) if !past_the_dashes => {
                ours.push(word.clone());
                if takes && !word.contains('=') {
                    ours.extend(words.next().cloned());
                }
            }
            (Some(name), _) if !name.is_empty() => {
                let value = match word.split_once('=') {
                    Some((_, value)) => Some(value.to_owned()),
                    None => words.next_if(|word| !word.starts_with("--")).cloned(),
                };
                theirs.push((name.to_owned(), value));
            }
            _ => match old_form(word) {
                Some((name, value)) => theirs.push((name.to_owned(), Some(value.to_owned()))),
                None if past_the_dashes => {
                    return Err(Failure::usage(format!("`{word}` is not an option: --NAME VALUE")));
                }
                None => ours.push(word.clone()),
            },
        }
    }
    Ok((ours, theirs))
}

/// `fork=DATABASE`, as options for the provider were written once.
fn old_form(word: &str) -> Option<(&str, &str)> {
    let (name, value) = word.split_once('=')?;
    let is_name = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || matches!(c, '-' | '_'));
    is_name.then_some((name, value))
}

/// Whether a word is one of our options, and whether the next word is its value.
fn known(command: &Command, word: &str) -> Option<bool> {
    if matches!(word, "-h" | "--help") {
        return Some(false);
    }
    let name = word.split('=').next().unwrap_or(word);
    let option = command.options.iter().chain(GLOBAL).find(|option| {
        let short = option.short.is_some_and(|short| word == format!("-{short}"));
        short || name.strip_prefix("--") == Some(option.long)
    })?;
    Some(option.takes != Takes::Nothing && option.long != "json")
}
