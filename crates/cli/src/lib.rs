//! The client commands of `howdah`: arguments, an HTTP client, text.
//!
//! Every command's words live in one table ([`commands_markdown`] prints it), from which parsing,
//! help and suggestions are made. A command asks the platform's HTTP API and nothing else; it
//! prints data on standard output, and what it is doing on standard error.

mod api;
mod app;
mod attach;
mod command;
mod commands;
mod confirm;
pub mod credentials;
mod database;
mod environment;
mod exit;
mod failure;
mod follow;
mod git;
mod given;
mod grammar;
mod help;
mod hint;
mod import;
mod libpq;
mod link;
mod page;
mod pipe;
mod prompt;
mod psql;
mod resources;
mod run;
mod runner;
mod screen;
mod session;
mod shell;
mod step;
mod transfer;
mod wait;

#[cfg(test)]
mod transcripts;

pub use run::main;

/// `docs/commands.md`: every command with its words.
#[must_use]
pub fn commands_markdown() -> String {
    help::markdown()
}
