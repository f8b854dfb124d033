//! Processes of an app: what a Procfile names, how many of each shall run, and what a runner and
//! the control plane tell each other.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::name::{BadName, ProcessType};
use crate::secret::Secret;

/// The most processes of one type.
pub const MOST: u32 = 100;

/// The size that processes have when none is named. A runner's machine has no sizes: the word is
/// kept for those who ask.
pub const SIZE: &str = "Basic";

/// The type of one-off processes.
pub const ONE_OFF: &str = "run";

/// The type that a Procfile names for what is to be done at a release. It is no process to scale.
pub const RELEASE: &str = "release";

/// The name of one process: `web.1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct DynoName {
    /// Its type.
    pub kind: ProcessType,
    /// Its number, from 1.
    pub number: u32,
}

impl fmt::Display for DynoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.kind, self.number)
    }
}

impl FromStr for DynoName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let parts = text.rsplit_once('.').and_then(|(kind, number)| {
            Some(Self { kind: kind.parse().ok()?, number: number.parse().ok()? })
        });
        parts.filter(|name| name.number > 0 && name.to_string() == text).ok_or_else(|| BadName {
            name: text.chars().take(80).collect(),
            what: "name of a process",
            rule: "a type and a number, such as web.1",
        })
    }
}

impl From<DynoName> for String {
    fn from(name: DynoName) -> Self {
        name.to_string()
    }
}

impl TryFrom<String> for DynoName {
    type Error = BadName;

    fn try_from(text: String) -> Result<Self, BadName> {
        text.parse()
    }
}

/// How many processes are wanted: `2`, or `+1` and `-1` of what is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// So many.
    Exactly(u32),
    /// So many more.
    More(u32),
    /// So many fewer.
    Fewer(u32),
}

/// It is no number of processes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a number of processes is 0 to 100, or +N or -N of what runs")]
pub struct BadQuantity;

impl Quantity {
    /// How many that makes when there are `now`.
    ///
    /// # Errors
    /// When that is more than [`MOST`].
    pub fn of(self, now: u32) -> Result<u32, BadQuantity> {
        let then = match self {
            Self::Exactly(number) => number,
            Self::More(number) => now.saturating_add(number),
            Self::Fewer(number) => now.saturating_sub(number),
        };
        if then <= MOST { Ok(then) } else { Err(BadQuantity) }
    }
}

impl FromStr for Quantity {
    type Err = BadQuantity;

    fn from_str(text: &str) -> Result<Self, BadQuantity> {
        let number = |text: &str| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|_| digits).ok_or(BadQuantity)
        };
        match (text.strip_prefix('+'), text.strip_prefix('-')) {
            (Some(more), _) => number(more).map(Self::More),
            (_, Some(fewer)) => number(fewer).map(Self::Fewer),
            _ => number(text).map(Self::Exactly),
        }
    }
}

/// How a process fares.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum DynoState {
    /// It is about to be started.
    Starting,
    /// It runs.
    Up,
    /// It was told to end.
    Stopping,
    /// It ended by itself and is started again after a while.
    Crashed,
    /// It is not to run.
    Down,
}

/// A process, as its runner sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dyno {
    /// Its name.
    pub name: DynoName,
    /// What it runs.
    pub command: String,
    /// How it fares.
    pub state: DynoState,
    /// Since when.
    pub since: Timestamp,
    /// The number of the release whose config vars it has.
    pub release: i32,
    /// The request that it was started for, when it is a one-off process.
    #[serde(default)]
    pub one_off: Option<Uuid>,
}

/// What a runner says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Which run of the runner this is: another one under the same name takes its place.
    pub instance: Uuid,
    /// Whether it begins, and takes the place of one with its name.
    #[serde(default)]
    pub begins: bool,
    /// The types of its Procfile, with their commands.
    pub types: BTreeMap<ProcessType, String>,
    /// All its processes.
    pub dynos: Vec<Dyno>,
}

/// What a runner shall do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Stands for all of this; another number means that something has changed.
    pub change: u64,
    /// The number of the newest release.
    pub release: i32,
    /// In maintenance mode nothing of the formation runs.
    pub maintenance: bool,
    /// What every process gets.
    pub config_vars: BTreeMap<String, Secret>,
    /// How many of each type.
    pub formation: BTreeMap<ProcessType, u32>,
    /// What was asked of processes, oldest first. Each is done once.
    pub orders: Vec<Order>,
    /// One-off processes that are not known to have been started yet.
    pub one_offs: Vec<OneOff>,
}

/// Something that was asked of processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Grows; a runner carries out what is newer than the last that it knows.
    pub id: u64,
    /// Of which.
    pub of: Target,
    /// What.
    pub what: Verb,
}

/// Which processes are meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// All.
    All,
    /// Those of a type.
    Type(ProcessType),
    /// One.
    Dyno(DynoName),
}

impl Target {
    /// Whether a process is meant.
    #[must_use]
    pub fn has(&self, dyno: &DynoName) -> bool {
        match self {
            // One-off processes are ended by their names only.
            Self::All => dyno.kind.as_str() != ONE_OFF,
            Self::Type(kind) => dyno.kind == *kind,
            Self::Dyno(name) => dyno == name,
        }
    }
}

/// What is asked of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// To end and to be started again.
    Restart,
    /// To end. What belongs to the formation is started again.
    Stop,
}

/// A one-off process that was asked for (B27).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OneOff {
    /// The request.
    pub id: Uuid,
    /// Its name: `run.1234`.
    pub name: DynoName,
    /// What a shell runs.
    pub command: String,
    /// Variables beside the app's.
    pub env: BTreeMap<String, String>,
    /// Where its input and output go.
    pub io: Io,
}

/// Where the input and output of a one-off process go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Io {
    /// Into the app's log stream; it has no input.
    Log,
    /// To whoever asked, over a stream.
    Stream,
    /// To whoever asked, over a stream; it runs on a terminal of this size.
    Terminal {
        /// Lines.
        rows: u16,
        /// Characters of a line.
        columns: u16,
    },
}

/// A line for the app's log stream, from a runner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// When.
    pub at: Timestamp,
    /// Of which process.
    pub dyno: DynoName,
    /// Whether the runner says it of the process; else the process says it.
    #[serde(default)]
    pub of_platform: bool,
    /// The line.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_processes_are_a_type_and_a_number() {
        let name: DynoName = "web.12".parse().expect("a name");
        assert_eq!((name.kind.as_str(), name.number, &*name.to_string()), ("web", 12, "web.12"));
        for bad in ["web", "web.", "web.0", "web.01", "web.x", ".1", "web 2.1", "web.-1", ""] {
            assert!(bad.parse::<DynoName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn b17_quantities_are_absolute_or_relative_and_bounded() {
        let of = |text: &str, now| text.parse::<Quantity>().and_then(|wanted| wanted.of(now));
        assert_eq!(of("2", 5), Ok(2));
        assert_eq!(of("+1", 5), Ok(6));
        assert_eq!(of("-9", 5), Ok(0));
        assert_eq!(of("100", 0), Ok(100));
        for bad in ["", "+", "-", "x", "1.5", "++1", "101", "4294967296", " 1"] {
            assert_eq!(of(bad, 5), Err(BadQuantity), "{bad}");
        }
        assert_eq!(of("+100", 5), Err(BadQuantity));
    }

    #[test]
    fn targets_mean_one_a_type_or_the_formation() {
        let name = |text: &str| text.parse::<DynoName>().expect("a name");
        assert!(Target::All.has(&name("web.1")) && !Target::All.has(&name("run.1")));
        assert!(Target::Type("web".parse().expect("a type")).has(&name("web.2")));
        assert!(!Target::Dyno(name("web.1")).has(&name("web.2")));
    }
}
