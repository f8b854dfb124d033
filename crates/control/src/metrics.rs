//! The platform's figures in Prometheus' text format (version 0.0.4): its databases, and all that
//! the gateway tells. They are of everybody's databases, so that no account's token opens them.

use std::fmt::{Display, Write as _};
use std::time::Duration;

use anyhow::{Context as _, Result};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use howdah_model::database::State;
use howdah_model::incident;
use howdah_model::operation::Operation;
use howdah_model::secret::Secret;
use howdah_store::figures::{self, Figure};
use howdah_store::incidents::{self, Incident};
use strum::IntoEnumIterator as _;
use tokio::time::timeout;

use crate::{Control, password};

/// What the format is called in HTTP.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How long the store may take: who scrapes gives up after some seconds.
const BOUND: Duration = Duration::from_secs(2);

/// What opens the figures.
#[derive(Clone, Debug)]
pub struct Token(Secret);

impl Token {
    /// That one; none when it is empty, which would open them to everybody.
    #[must_use]
    pub fn new(token: Secret) -> Option<Self> {
        (!token.reveal().is_empty()).then_some(Self(token))
    }

    /// A new random one.
    #[must_use]
    pub fn generate() -> Secret {
        password::random_password()
    }

    /// Whether somebody has it. Takes as long for a wrong one as for a right one.
    #[must_use]
    pub fn is(&self, given: &Secret) -> bool {
        verify_slices_are_equal(self.0.reveal().as_bytes(), given.reveal().as_bytes()).is_ok()
    }
}

/// What the store tells.
struct Stored {
    databases: Vec<Figure>,
    operations: Vec<(Operation, i64)>,
    incidents: Vec<Incident>,
}

impl Control {
    /// All figures now. A part that does not answer within two seconds is said to be down, and the
    /// others are told all the same.
    pub async fn metrics(&self) -> String {
        let (stored, gateway) = tokio::join!(self.stored_figures(), self.gateway().metrics());
        let mut text = Text::default();
        let means = "1 when the platform's own database answers.";
        text.lone("store_up", means, u8::from(stored.is_ok()));
        text.lone("gateway_up", "1 when the gateway answers.", u8::from(gateway.is_ok()));
        match stored {
            Ok(stored) => text.stored(&stored),
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "read the platform's figures");
            }
        }
        // An absence of the gateway is told by its figure; it is no news for the log.
        text.0 + &gateway.unwrap_or_default()
    }

    async fn stored_figures(&self) -> Result<Stored> {
        let read = async {
            let mut conn = self.reader().get().await?;
            let databases = figures::databases(&mut conn).await?;
            let operations = figures::operations(&mut conn).await?;
            let incidents = incidents::list_open(&mut conn).await?;
            anyhow::Ok(Stored { databases, operations, incidents })
        };
        timeout(BOUND, read).await.context("the store takes too long")?
    }
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn stored(&mut self, Stored { databases, operations, incidents }: &Stored) {
        let means = "What a database is called; others of its figures have its database_id.";
        let name = self.metric("database_info", means);
        for Figure { id, name: addon, app, plan, major, .. } in databases {
            let labels = format!(
                "database_id=\"{id}\",addon=\"{addon}\",app=\"{app}\",plan=\"{}\",major=\"{major}\"",
                plan.name
            );
            self.sample(&name, &labels, 1);
        }
        let name = self.metric("database_up", "1 when sessions can be opened.");
        for Figure { id, state, .. } in databases {
            let up = u8::from(*state == State::Available);
            self.sample(&name, &format!("database_id=\"{id}\""), up);
        }
        let name = self.metric("database_connection_limit", "Sessions that its plan allows.");
        for Figure { id, plan, .. } in databases {
            self.sample(&name, &format!("database_id=\"{id}\""), plan.connections);
        }
        let name = self.metric("databases", "Databases by state.");
        for state in State::iter().filter(|state| *state != State::Removed) {
            let count = databases.iter().filter(|one| one.state == state).count();
            self.sample(&name, &format!("state=\"{state}\""), count);
        }
        let name = self.metric("operations", "Operations that are under way, by kind.");
        for kind in Operation::iter() {
            let found = operations.iter().find(|(one, _)| *one == kind);
            let count = found.map_or(0, |(_, count)| *count);
            self.sample(&name, &format!("kind=\"{kind}\""), count);
        }
        let name = self.metric("incidents", "Incidents that are not over, by kind (M11, M13).");
        for kind in incident::Kind::iter() {
            let count = incidents.iter().filter(|one| one.kind == kind).count();
            self.sample(&name, &format!("kind=\"{kind}\""), count);
        }
    }

    fn lone(&mut self, name: &str, means: &str, value: impl Display) {
        let name = self.metric(name, means);
        self.sample(&name, "", value);
    }

    /// Begins a gauge and gives its whole name.
    fn metric(&mut self, name: &str, means: &str) -> String {
        // Writing to a string cannot fail, here and below.
        let name = format!("howdah_{name}");
        let _ = write!(self.0, "# HELP {name} {means}\n# TYPE {name} gauge\n");
        name
    }

    /// The values of labels are names and ids, which have nothing in them that must be escaped.
    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = match labels {
            "" => writeln!(self.0, "{name} {value}"),
            labels => writeln!(self.0, "{name}{{{labels}}} {value}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_itself_opens_and_an_empty_one_is_none() {
        let token = Token::new(Secret::new("abc".into())).expect("a token");
        assert!(token.is(&Secret::new("abc".into())));
        for wrong in ["", "ab", "abcd", "abd"] {
            assert!(!token.is(&Secret::new(wrong.into())), "{wrong}");
        }
        assert!(Token::new(Secret::new(String::new())).is_none());
    }
}
