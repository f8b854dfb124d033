//! Help: made from the commands' words, so that it works without a network and without a login.

use std::fmt::Write as _;

use howdah_model::setting::SETTINGS;
use strum::IntoEnumIterator as _;

use crate::command::{Command, Group, Opt, Takes};
use crate::commands;
use crate::exit::Exit;
use crate::grammar::OwnWords;

/// The columns that help takes at most.
pub(crate) const COLUMNS: usize = 80;

/// The help of one command.
pub(crate) fn command(command: &Command) -> String {
    let mut out = format!("{}\n\n{}", command.does, wrapped(&usage(command), 0));
    if !command.arguments.is_empty() {
        out.push('\n');
        let rows =
            command.arguments.iter().map(|argument| (argument.name.to_owned(), argument.means));
        rows_into(&mut out, rows);
    }
    if !command.options.is_empty() {
        out.push_str("\nOptions:\n");
        rows_into(
            &mut out,
            command.options.iter().map(|option| (option_words(option), option.means)),
        );
    }
    out.push_str("\nGlobal: --json[=FIELDS], --no-input, --trace, --color WHEN, -h --help\n");
    if !command.note.is_empty() {
        let _ = write!(out, "\n{}", wrapped(command.note, 0));
    }
    if !command.examples.is_empty() {
        out.push_str("\nExamples:\n");
        for example in command.examples {
            let _ = writeln!(out, "  {example}");
        }
    }
    if !command.aliases.is_empty() {
        let _ = write!(out, "\n{}", wrapped(&format!("Also: {}", command.aliases.join(", ")), 6));
    }
    let below = below(command);
    if !below.is_empty() {
        out.push_str("\nCommands:\n");
        rows_into(&mut out, below.into_iter());
    }
    out
}

fn usage(command: &Command) -> String {
    format!("Usage: {}", command.usage())
}

/// The commands whose names begin with this one's topic, for the command that stands for the topic.
fn below(command: &Command) -> Vec<(String, &'static str)> {
    let topic = command.topic();
    if !command.names().any(|name| name == topic) {
        return Vec::new();
    }
    commands::all()
        .filter(|other| other.name != command.name && other.topic() == topic)
        .map(|other| (other.name.to_owned(), other.does))
        .collect()
}

fn option_words(option: &Opt) -> String {
    let short = option.short.map_or_else(String::new, |short| format!("-{short}, "));
    match option.takes {
        Takes::Nothing => format!("{short}--{}", option.long),
        Takes::Value(value) | Takes::Values(value) => format!("{short}--{} {value}", option.long),
    }
}

fn rows_into(out: &mut String, rows: impl Iterator<Item = (String, &'static str)>) {
    let rows: Vec<_> = rows.collect();
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0).min(28);
    for (name, means) in rows {
        let line = format!("  {name:width$}  {means}");
        out.push_str(&wrapped(&line, width + 4));
    }
}

/// Text in lines of at most [`COLUMNS`], further lines indented. Leading blanks are kept.
fn wrapped(text: &str, indent: usize) -> String {
    let mut out = String::new();
    let words = text.trim_start_matches(' ');
    let mut line = " ".repeat(text.len() - words.len());
    let mut begun = false;
    for word in words.split(' ') {
        if begun && line.len() + word.len() + 1 > COLUMNS {
            let _ = writeln!(out, "{}", line.trim_end());
            line = " ".repeat(indent);
        } else if begun {
            line.push(' ');
        }
        line.push_str(word);
        begun = true;
    }
    let _ = writeln!(out, "{}", line.trim_end());
    out
}

/// The help of the executable: everything by group, on one screen.
pub(crate) fn overview(own: OwnWords<'_>) -> String {
    let mut out = String::from(
        "Howdah: managed PostgreSQL on machines of your own\n\nUsage: howdah COMMAND [options]\n",
    );
    if !own.is_empty() {
        out.push_str("\nStart here\n");
        rows_into(&mut out, own.iter().map(|(name, does)| ((*name).to_owned(), *does)));
    }
    for group in Group::iter() {
        let mut topics: Vec<&str> = Vec::new();
        for command in commands::all().filter(|command| command.group == group) {
            if !topics.contains(&command.topic()) {
                topics.push(command.topic());
            }
        }
        let line = format!("  {:<11}{}", group.title(), topics.join("  "));
        let _ = write!(out, "\n{}", wrapped(&line, 13).trim_end());
    }
    out.push_str(
        "\n\n  howdah help COMMAND        what a command does, and what is below it\n\
           \x20 howdah help commands       every command\n\
           \x20 howdah help environment    the variables that are read\n\
           \x20 howdah help exit-codes     what the numbers mean\n",
    );
    out
}

/// A page that is not about one command.
pub(crate) fn page(topic: &str, own: OwnWords<'_>) -> Option<String> {
    let mut out = String::new();
    match topic {
        "commands" => {
            let ours = commands::all().map(|command| (command.name.to_owned(), command.does));
            let theirs = own.iter().map(|(name, does)| ((*name).to_owned(), *does));
            rows_into(&mut out, theirs.chain(ours));
        }
        "exit-codes" => {
            rows_into(&mut out, Exit::iter().map(|exit| (exit.code().to_string(), exit.means())));
        }
        "environment" => {
            for setting in SETTINGS {
                let _ = writeln!(out, "{}", setting.name);
                out.push_str(&wrapped(&format!("    {}", setting.means), 4));
                out.push_str(&wrapped(&format!("    default: {}", setting.default), 4));
            }
        }
        "json" => out.push_str(JSON),
        _ => return None,
    }
    Some(out)
}

const JSON: &str = "\
Every command takes --json and prints one object on standard output:

  {\"schema\": \"howdah.v1/...\", \"data\": ..., \"meta\": {\"request_id\": ...}}

An error is printed there as well, and the exit code is the same as without:

  {\"schema\": \"howdah.v1/error\", \"error\": {\"code\", \"message\", \"hint\",
   \"retryable\", \"request_id\"}}

--json=name,plan keeps only these fields of the data. Within v1, fields are
added and never changed or removed.
";

/// `docs/commands.md`.
pub(crate) fn markdown() -> String {
    let mut out = String::from(
        "# Commands\n\nGenerated from `crates/cli` by `cargo xtask docs`; a test keeps it true.\n\n\
         Every command is written with colons or spaces (`pg:info`, `pg info`), takes\n\
         `--json[=FIELDS]`, `--no-input`, `--trace`, `--color WHEN` and `--help`, and ends with one of\n\
         the [exit codes](#exit-codes) below. `up`, `down`, `doctor`, `env`, `heroku-env` and `explain`\n\
         have their own `--help`.\n",
    );
    for group in Group::iter() {
        let _ = write!(out, "\n## {}\n", group.title());
        for command in commands::all().filter(|command| command.group == group) {
            one_in_markdown(&mut out, command);
        }
    }
    out.push_str(
        "\n## Not offered yet\n\nKnown from Heroku, and told apart from typing errors:\n\n",
    );
    let names: Vec<_> = commands::later::names().map(|name| format!("`{name}`")).collect();
    let _ = writeln!(out, "{}", names.join(", "));
    out.push_str("\n## Exit codes\n\n| code | means |\n|---|---|\n");
    for exit in Exit::iter() {
        let _ = writeln!(out, "| {} | {} |", exit.code(), exit.means());
    }
    out
}

fn one_in_markdown(out: &mut String, command: &Command) {
    let cell = |text: &str| text.replace('|', "\\|");
    let _ = write!(out, "\n### {}\n\n{}.\n\n`{}`\n", command.name, command.does, command.usage());
    let arguments = command.arguments.iter().map(|a| (a.name.to_owned(), a.means));
    let options = command.options.iter().map(|option| (option_words(option), option.means));
    let rows: Vec<_> = arguments.chain(options).collect();
    if !rows.is_empty() {
        out.push_str("\n| | |\n|---|---|\n");
    }
    for (words, means) in rows {
        let _ = writeln!(out, "| `{}` | {} |", cell(&words), cell(means));
    }
    if !command.note.is_empty() {
        let _ = write!(out, "\n{}\n", command.note);
    }
    if !command.aliases.is_empty() {
        let aliases: Vec<_> = command.aliases.iter().map(|alias| format!("`{alias}`")).collect();
        let _ = write!(out, "\nAlso: {}\n", aliases.join(", "));
    }
    if !command.examples.is_empty() {
        let _ = write!(out, "\n```\n{}\n```\n", command.examples.join("\n"));
    }
}
