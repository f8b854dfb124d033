//! Messages that bring a server to a state, and what its answers say.

use std::fmt::Write as _;

use crate::message::{Builder, Message};
use crate::server::sqlstate;

/// The most settings that one statement sets: a target list has its limit.
const MOST_AT_ONCE: usize = 500;

/// What one part of a script is for.
#[derive(Clone, Debug, PartialEq, Eq, strum::Display)]
pub enum Step {
    /// All state is taken away.
    #[strum(to_string = "resetting the session")]
    Reset,
    /// A library is loaded.
    #[strum(to_string = "loading a library")]
    Library,
    /// Settings, role and session authorization are set.
    #[strum(to_string = "its settings")]
    Settings,
    /// The statement of an SQL `PREPARE` is prepared.
    #[strum(to_string = "a statement prepared in SQL")]
    Prepare,
    /// The named statement of a `Parse` is prepared.
    #[strum(to_string = "a prepared statement")]
    Parse(Box<[u8]>),
    /// The unnamed statement is prepared.
    #[strum(to_string = "the unnamed prepared statement")]
    ParseUnnamed,
    /// Channels are listened on.
    #[strum(to_string = "LISTEN")]
    Listen,
    /// The server is asked for what it knows of the session.
    #[strum(to_string = "asking for the session's state")]
    Ask,
}

impl Step {
    /// Whether a session must not go on when this has failed.
    ///
    /// A statement that cannot be prepared is no such thing: whoever uses it gets 26000, an error and
    /// never a wrong answer, and where the cause is a table that is gone it would be an error in any
    /// case. All else would change silently what the client's statements do.
    #[must_use]
    pub fn is_vital(&self) -> bool {
        !matches!(self, Self::Parse(_) | Self::ParseUnnamed)
    }
}

/// A part of a script that the server did not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What for.
    pub step: Step,
    /// The server's SQLSTATE; none when the answer is missing.
    pub sqlstate: Option<Box<str>>,
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.sqlstate {
            Some(code) => write!(f, "{} failed with {code}", self.step),
            None => write!(f, "{} was not answered", self.step),
        }
    }
}

/// Messages for one write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// The messages.
    pub bytes: Vec<u8>,
    /// How many `ReadyForQuery` answer them.
    pub ready: usize,
    /// What each of these is for.
    steps: Vec<Step>,
}

impl Script {
    /// Whether there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ready == 0
    }

    /// What the server did not do, by all that it sent until the last `ReadyForQuery`.
    #[must_use]
    pub fn judge(&self, answers: &[Message]) -> Vec<Trouble> {
        let mut troubles: Vec<Trouble> = Vec::new();
        let mut steps = self.steps.iter();
        let mut step = steps.next();
        for answer in answers {
            match (answer.tag, step) {
                (b'E', Some(step)) => {
                    let code = sqlstate(answer).map(String::from_utf8_lossy);
                    let sqlstate = Some(code.unwrap_or_default().into());
                    troubles.push(Trouble { step: step.clone(), sqlstate });
                }
                (b'Z', _) => step = steps.next(),
                _ => {}
            }
        }
        let missing = step.into_iter().chain(steps);
        troubles.extend(missing.map(|step| Trouble { step: step.clone(), sqlstate: None }));
        troubles
    }

    fn put(&mut self, step: Step, fill: impl FnOnce(&mut Builder)) {
        let mut builder = Builder::default();
        fill(&mut builder);
        self.bytes.extend_from_slice(&builder.into_bytes());
        self.ready += 1;
        self.steps.push(step);
    }

    /// A simple query. The unnamed statement is gone after it.
    pub(super) fn query(&mut self, step: Step, sql: &str) {
        self.put(step, |builder| builder.message(b'Q', |body| put_text(body, sql.as_bytes())));
    }

    /// One statement by the unnamed statement: the server refuses it if it is several.
    pub(super) fn execute(&mut self, step: Step, sql: &str) {
        self.put(step, |builder| {
            run(builder, b"", sql, None);
            builder.message(b'S', |_| {});
        });
    }

    /// A `Parse` whose body after the name is known.
    pub(super) fn parse(&mut self, step: Step, name: &[u8], rest: &[u8]) {
        self.put(step, |builder| {
            builder.message(b'P', |body| {
                put_text(body, name);
                body.extend_from_slice(rest);
            });
            builder.message(b'S', |_| {});
        });
    }

    /// Messages that were put together elsewhere and end with one `Sync`.
    pub(super) fn batch(&mut self, step: Step, fill: impl FnOnce(&mut Builder)) {
        self.put(step, |builder| {
            fill(builder);
            builder.message(b'S', |_| {});
        });
    }

    /// Sets settings in the order given.
    pub(super) fn set(&mut self, settings: &[(&str, &str)]) {
        for some in settings.chunks(MOST_AT_ONCE) {
            self.execute(Step::Settings, &set_all(some));
        }
    }
}

/// Prepares, binds and executes a statement of that name, with a text parameter perhaps.
pub(super) fn run(builder: &mut Builder, name: &[u8], sql: &str, parameter: Option<&str>) {
    builder.message(b'P', |body| {
        put_text(body, name);
        put_text(body, sql.as_bytes());
        body.extend_from_slice(&[0; 2]);
    });
    builder.message(b'B', |body| {
        put_text(body, b"");
        put_text(body, name);
        body.extend_from_slice(&[0; 2]);
        body.extend_from_slice(&u16::from(parameter.is_some()).to_be_bytes());
        if let Some(parameter) = parameter {
            // Made of names whose number and lengths are limited.
            let length = u32::try_from(parameter.len()).unwrap_or(u32::MAX);
            body.extend_from_slice(&length.to_be_bytes());
            body.extend_from_slice(parameter.as_bytes());
        }
        body.extend_from_slice(&[0; 2]);
    });
    builder.message(b'E', |body| body.extend_from_slice(&[0; 5]));
}

fn put_text(body: &mut Vec<u8>, text: &[u8]) {
    body.extend_from_slice(text);
    body.push(0);
}

/// One statement that sets settings. It says nothing of their values, which the client's encoding
/// might not have.
pub(super) fn set_all(settings: &[(&str, &str)]) -> String {
    let mut sql = "SELECT ".to_owned();
    for (index, (name, value)) in settings.iter().enumerate() {
        if index > 0 {
            sql.push(',');
        }
        sql.push_str("pg_catalog.set_config(");
        put_literal(&mut sql, name);
        sql.push(',');
        put_literal(&mut sql, value);
        sql.push_str(",false) IS NULL");
    }
    sql
}

/// A string constant that means the same under every setting and in every encoding.
fn put_literal(sql: &mut String, value: &str) {
    sql.push_str("E'");
    for letter in value.chars() {
        match letter {
            '\'' => sql.push_str("''"),
            '\\' => sql.push_str("\\\\"),
            ' '..='~' => sql.push(letter),
            // Writing to a string does not fail.
            _ => drop(write!(sql, "\\U{:08X}", u32::from(letter))),
        }
    }
    sql.push('\'');
}

/// A quoted name that is the same in every encoding.
pub(super) fn identifier(name: &str) -> String {
    let plain = name.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let mut quoted = if plain { "\"" } else { "U&\"" }.to_owned();
    for letter in name.chars() {
        match letter {
            '"' => quoted.push_str("\"\""),
            '\\' if !plain => quoted.push_str("\\\\"),
            ' '..='~' => quoted.push(letter),
            _ => drop(write!(quoted, "\\+{:06X}", u32::from(letter))),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{ErrorKind, Fatal};

    fn message(tag: u8) -> Message {
        Message { tag, body: Vec::new() }
    }

    #[test]
    fn texts_are_quoted_in_ascii() {
        let literal = |value| {
            let mut sql = String::new();
            put_literal(&mut sql, value);
            sql
        };
        assert_eq!(literal("a 'b' \\c"), r"E'a ''b'' \\c'");
        assert_eq!(literal("é\n🦀"), r"E'\U000000E9\U0000000A\U0001F980'");
        assert_eq!(identifier(r#"a"b\c"#), r#""a""b\c""#);
        assert_eq!(identifier("é\\"), r#"U&"\+0000E9\\""#);
    }

    #[test]
    fn each_error_is_told_with_what_it_was_for() {
        let mut script = Script::default();
        script.query(Step::Reset, "discard all");
        script.parse(Step::Parse((*b"s").into()), b"s", b"select 1\0\0\0");
        script.execute(Step::Listen, "listen a");
        assert_eq!(script.ready, 3);
        let body = Fatal::new(ErrorKind::NotReady, "x").to_bytes()[5..].to_vec();
        let error = Message { tag: b'E', body };
        let good = [message(b'C'), message(b'Z'), message(b'1'), message(b'Z'), message(b'Z')];
        assert_eq!(script.judge(&good), []);
        let bad = [message(b'Z'), error, message(b'Z')];
        let troubles = script.judge(&bad);
        assert_eq!(troubles[0].step, Step::Parse((*b"s").into()));
        assert_eq!(troubles[0].to_string(), "a prepared statement failed with 57P03");
        assert_eq!(troubles[1].to_string(), "LISTEN was not answered");
        assert_eq!(
            troubles.iter().map(|one| one.step.is_vital()).collect::<Vec<_>>(),
            [false, true]
        );
    }
}
