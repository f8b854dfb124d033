//! What a command is: its words, from which help, suggestions, parsing and `docs/commands.md` are
//! made, and the function that carries it out.

use futures_util::future::LocalBoxFuture;

use crate::failure::Failure;
use crate::given::Given;
use crate::session::Session;

/// Carries a command out.
pub(crate) type Run = for<'a> fn(&'a Session, &'a Given) -> LocalBoxFuture<'a, Result<(), Failure>>;

/// The part of the help page that a command is listed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumIter)]
pub(crate) enum Group {
    Apps,
    Databases,
    Account,
    Operate,
}

impl Group {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Apps => "Apps",
            Self::Databases => "Databases",
            Self::Account => "Account",
            Self::Operate => "Operate",
        }
    }
}

/// How often an argument is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Times {
    Optional,
    Once,
    OnceOrMore,
    /// None, one or several.
    Any,
    /// Everything from the first of them on, options too: the words of another command.
    Rest,
}

/// A word that a command takes by its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Argument {
    pub(crate) name: &'static str,
    pub(crate) times: Times,
    pub(crate) means: &'static str,
}

/// What an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// Nothing: it is given or not.
    Nothing,
    /// One value, which is shown under this name.
    Value(&'static str),
    /// One value each time, and it may be given several times.
    Values(&'static str),
}

/// A word that a command takes by its name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opt {
    pub(crate) long: &'static str,
    pub(crate) short: Option<char>,
    pub(crate) takes: Takes,
    pub(crate) means: &'static str,
}

impl Opt {
    /// An option that is given or not.
    pub(crate) const fn flag(long: &'static str, short: Option<char>, means: &'static str) -> Self {
        Self { long, short, takes: Takes::Nothing, means }
    }

    /// An option with a value.
    pub(crate) const fn value(
        long: &'static str,
        short: Option<char>,
        value: &'static str,
        means: &'static str,
    ) -> Self {
        Self { long, short, takes: Takes::Value(value), means }
    }
}

/// What happens to options that the command does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// They are usage errors.
    Refused,
    /// They are passed on to the add-on's provider, with or without a `--` before them.
    ToProvider,
}

/// One command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Command {
    /// Its full name, in the form with colons.
    pub(crate) name: &'static str,
    /// Other names, old and new.
    pub(crate) aliases: &'static [&'static str],
    pub(crate) group: Group,
    /// What it does, in one line.
    pub(crate) does: &'static str,
    pub(crate) arguments: &'static [Argument],
    pub(crate) options: &'static [Opt],
    pub(crate) unknown: Unknown,
    /// What else there is to know, in a line or two; may be empty.
    pub(crate) note: &'static str,
    pub(crate) examples: &'static [&'static str],
    pub(crate) run: Run,
}

/// Starts the description of a command.
pub(crate) const fn command(
    name: &'static str,
    group: Group,
    does: &'static str,
    run: Run,
) -> Command {
    Command {
        name,
        aliases: &[],
        group,
        does,
        arguments: &[],
        options: &[],
        unknown: Unknown::Refused,
        note: "",
        examples: &[],
        run,
    }
}

impl Command {
    pub(crate) const fn aliases(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    pub(crate) const fn arguments(self, arguments: &'static [Argument]) -> Self {
        Self { arguments, ..self }
    }

    pub(crate) const fn options(self, options: &'static [Opt]) -> Self {
        Self { options, ..self }
    }

    pub(crate) const fn passing_unknown_options_on(self) -> Self {
        Self { unknown: Unknown::ToProvider, ..self }
    }

    pub(crate) const fn note(self, note: &'static str) -> Self {
        Self { note, ..self }
    }

    pub(crate) const fn examples(self, examples: &'static [&'static str]) -> Self {
        Self { examples, ..self }
    }

    /// All its names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// Its topic: what is before the first colon.
    pub(crate) fn topic(&self) -> &'static str {
        self.name.split(':').next().unwrap_or(self.name)
    }

    /// The line that shows how it is called.
    pub(crate) fn usage(&self) -> String {
        let mut usage = format!("howdah {}", self.name);
        for argument in self.arguments {
            usage.push(' ');
            usage.push_str(&match argument.times {
                Times::Optional => format!("[{}]", argument.name),
                Times::Any => format!("[{}...]", argument.name),
                Times::Once => argument.name.to_owned(),
                Times::OnceOrMore | Times::Rest => format!("{}...", argument.name),
            });
        }
        if !self.options.is_empty() {
            usage.push_str(" [options]");
        }
        if self.unknown == Unknown::ToProvider {
            usage.push_str(" [-- --OPTION VALUE...]");
        }
        usage
    }
}

/// `-a`: the app.
pub(crate) const APP: Opt =
    Opt::value("app", Some('a'), "APP", "the app [default: HOWDAH_APP, then the Git remote]");
/// `-r`: the Git remote that names the app.
pub(crate) const REMOTE: Opt =
    Opt::value("remote", Some('r'), "NAME", "the Git remote that names the app");
/// `--confirm`: skips the question.
pub(crate) const CONFIRM: Opt =
    Opt::value("confirm", Some('c'), "APP", "name of the app, to go ahead without being asked");
/// How long to wait between two looks.
pub(crate) const WAIT_INTERVAL: Opt =
    Opt::value("wait-interval", None, "SECS", "seconds between two looks [default: 1]");
/// How long to wait in all.
pub(crate) const WAIT_TIMEOUT: Opt =
    Opt::value("timeout", None, "SECS", "give up waiting after so long [default: 3600]");

/// An optional DATABASE.
pub(crate) const DATABASE: Argument = Argument {
    name: "DATABASE",
    times: Times::Optional,
    means: "attachment, config var, colour, add-on or APP::NAME",
};
/// A DATABASE that must be given.
pub(crate) const THE_DATABASE: Argument = Argument { times: Times::Once, ..DATABASE };

/// What every command takes. They are shown in one line of help.
pub(crate) const GLOBAL: &[Opt] = &[
    Opt { long: "json", short: None, takes: Takes::Value("FIELDS"), means: "print JSON" },
    Opt::flag("no-input", None, "never ask anything"),
    Opt::flag("trace", None, "print each call of the API on standard error"),
    Opt::value("color", None, "WHEN", "auto, always or never"),
];
