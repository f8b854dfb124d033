//! Asking a server for the state of a session, and reading its answer.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;

use super::lexer::{Lexer, Token};
use super::script::{Script, Step, run};
use crate::message::{Message, take_u32};
use crate::server::sqlstate;

/// The name of the statements that ask, which leave the client's unnamed one alone.
const ASKING: &[u8] = b"howdah/asking";

/// Before all others, so that no setting of the client can keep the answer from coming: neither
/// waiting for a safe snapshot nor a time-out.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY";
const TIMEOUT: &str = "SELECT pg_catalog.current_setting('statement_timeout')";
const NO_TIMEOUT: &str = "SET LOCAL statement_timeout = 0";

/// Everything that a server can tell, as JSON, in base64 so that it is the same in every encoding
/// of the client. All names are qualified, for the client chose the search path.
///
/// What is in the temporary schema depends on it; 2615 is `pg_namespace`. Settings that belong to
/// one transaction keep the source `session` for ever and are left out.
const QUESTION: &str = "SELECT pg_catalog.encode(pg_catalog.convert_to(pg_catalog.json_build_object(
'settings', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(s.name,
    CASE WHEN s.name OPERATOR(pg_catalog.=) 'statement_timeout' THEN s.reset_val ELSE s.setting END))
  FROM pg_catalog.pg_settings s WHERE s.source OPERATOR(pg_catalog.=) 'session'
  AND s.name OPERATOR(pg_catalog.<>) 'transaction_isolation'
  AND s.name OPERATOR(pg_catalog.<>) 'transaction_read_only'
  AND s.name OPERATOR(pg_catalog.<>) 'transaction_deferrable'),
'custom', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(n, pg_catalog.current_setting(n, true)))
  FROM pg_catalog.unnest($1::pg_catalog.text[]) n),
'role', pg_catalog.current_setting('role'),
'user', session_user::pg_catalog.text,
'role_default', EXISTS (SELECT FROM pg_catalog.pg_db_role_setting d, pg_catalog.unnest(d.setconfig) c
  WHERE c OPERATOR(pg_catalog.~~) 'role=%'),
'idle_limit', pg_catalog.current_setting('idle_session_timeout') OPERATOR(pg_catalog.<>) '0',
'statements', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(p.name, p.from_sql,
    CASE WHEN p.from_sql THEN p.statement ELSE '' END))
  FROM pg_catalog.pg_prepared_statements p WHERE p.name OPERATOR(pg_catalog.<>) 'howdah/asking'),
'listens', (SELECT pg_catalog.json_agg(l) FROM pg_catalog.pg_listening_channels() l),
'held', EXISTS (SELECT FROM pg_catalog.pg_cursors c WHERE c.is_holdable),
'temporary', pg_catalog.pg_my_temp_schema() OPERATOR(pg_catalog.<>) 0 AND EXISTS (
  SELECT FROM pg_catalog.pg_depend d WHERE d.refclassid OPERATOR(pg_catalog.=) 2615
  AND d.refobjid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()),
'locks', EXISTS (SELECT FROM pg_catalog.pg_locks k WHERE k.locktype OPERATOR(pg_catalog.=) 'advisory'
  AND k.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()),
'slots', EXISTS (SELECT FROM pg_catalog.pg_replication_slots r WHERE r.temporary
  AND r.active_pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid())
)::pg_catalog.text, 'UTF8'), 'base64')";

/// The values of some settings.
const BRIEF: &str = "SELECT pg_catalog.encode(pg_catalog.convert_to(
(SELECT pg_catalog.json_agg(pg_catalog.json_build_array(n, pg_catalog.current_setting(n, true)))
  FROM pg_catalog.unnest($1::pg_catalog.text[]) n)::pg_catalog.text, 'UTF8'), 'base64')";

/// What a server answered.
#[derive(Debug)]
pub(super) enum Answer {
    /// All that it knows.
    Whole(Box<Snapshot>),
    /// The settings that it was asked for.
    Some(Vec<(String, Option<String>)>),
}

/// All that a server can tell.
#[derive(Debug, Deserialize)]
pub(super) struct Snapshot {
    settings: Option<Vec<(String, Option<String>)>>,
    custom: Option<Vec<(String, Option<String>)>>,
    pub(super) role: String,
    pub(super) user: String,
    pub(super) role_default: bool,
    pub(super) idle_limit: bool,
    statements: Option<Vec<(String, bool, String)>>,
    listens: Option<Vec<Box<str>>>,
    pub(super) held: bool,
    pub(super) temporary: bool,
    pub(super) locks: bool,
    pub(super) slots: bool,
    #[serde(skip)]
    timeout: String,
}

/// Why an answer tells nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The server answered with an error, of this SQLSTATE.
    #[error("the server refused to tell the session's state ({0})")]
    Refused(Box<str>),
    /// The answer is not what was asked for.
    #[error("the server told the session's state in an unknown form")]
    Form,
}

/// The question, with the names of custom settings, which must be asked for by name.
pub(super) fn ask(names: &[Box<str>]) -> Script {
    let mut script = Script::default();
    script.batch(Step::Ask, |builder| {
        let close = |body: &mut Vec<u8>| {
            body.push(b'S');
            body.extend_from_slice(ASKING);
            body.push(0);
        };
        // One is left over when an earlier question failed.
        builder.message(b'C', close);
        for sql in [BEGIN, TIMEOUT, NO_TIMEOUT] {
            run(builder, ASKING, sql, None);
            builder.message(b'C', close);
        }
        run(builder, ASKING, QUESTION, Some(&array(names)));
        builder.message(b'C', close);
    });
    script.batch(Step::Ask, |builder| {
        run(builder, ASKING, "COMMIT", None);
        builder.message(b'C', |body| {
            body.push(b'S');
            body.extend_from_slice(ASKING);
            body.push(0);
        });
    });
    script
}

/// The question for some settings, which costs a server a tenth of the other.
pub(super) fn ask_briefly(names: &[Box<str>]) -> Script {
    let mut script = Script::default();
    script.batch(Step::Ask, |builder| {
        let close = |body: &mut Vec<u8>| {
            body.push(b'S');
            body.extend_from_slice(ASKING);
            body.push(0);
        };
        builder.message(b'C', close);
        run(builder, ASKING, BRIEF, Some(&array(names)));
        builder.message(b'C', close);
    });
    script
}

/// An array of names, which are made of letters that need no quotes.
fn array(names: &[Box<str>]) -> String {
    format!("{{{}}}", names.join(","))
}

/// Reads all that the server sent.
pub(super) fn read(answers: &[Message]) -> Result<Answer, Unreadable> {
    if let Some(error) = answers.iter().find(|message| message.tag == b'E') {
        let code = sqlstate(error).map(String::from_utf8_lossy).unwrap_or_default();
        return Err(Unreadable::Refused(code.into()));
    }
    let mut rows = answers.iter().filter(|message| message.tag == b'D').map(column);
    let first = rows.next().flatten().ok_or(Unreadable::Form)?;
    let Some(second) = rows.next() else {
        return serde_json::from_slice(&decode(first)?)
            .map(Answer::Some)
            .map_err(|_| Unreadable::Form);
    };
    let json = decode(second.ok_or(Unreadable::Form)?)?;
    let mut snapshot: Snapshot = serde_json::from_slice(&json).map_err(|_| Unreadable::Form)?;
    snapshot.timeout = String::from_utf8_lossy(first).into_owned();
    Ok(Answer::Whole(Box::new(snapshot)))
}

fn decode(encoded: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let lines: Vec<u8> = encoded.iter().copied().filter(|byte| *byte != b'\n').collect();
    BASE64_STANDARD.decode(lines).map_err(|_| Unreadable::Form)
}

/// The only column of a row.
fn column(row: &Message) -> Option<&[u8]> {
    let mut body = row.body.strip_prefix(&[0, 1])?;
    let length = take_u32(&mut body)?;
    (usize::try_from(length) == Ok(body.len())).then_some(body)
}

impl Snapshot {
    /// What was set in the session, role and authorization aside.
    pub(super) fn take_settings(&mut self) -> Vec<(String, String)> {
        let mut settings: Vec<_> = self.custom.take().unwrap_or_default();
        settings.extend(self.settings.take().unwrap_or_default());
        let usual = "statement_timeout";
        let before = settings.iter().position(|(name, _)| name == usual);
        let before = before.and_then(|index| settings.swap_remove(index).1);
        if let Some(timeout) = milliseconds(&self.timeout).map(|timeout| timeout.to_string())
            && before.as_ref() != Some(&timeout)
        {
            settings.push((usual.to_owned(), Some(timeout)));
        }
        settings.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// The channels that are listened on.
    pub(super) fn take_listens(&mut self) -> Vec<Box<str>> {
        let mut listens = self.listens.take().unwrap_or_default();
        listens.sort();
        listens
    }

    /// The prepared statements: name, whether from SQL, and the text then.
    pub(super) fn take_statements(&mut self) -> Vec<(String, bool, String)> {
        self.statements.take().unwrap_or_default()
    }
}

/// A time as `current_setting` shows it.
fn milliseconds(shown: &str) -> Option<u64> {
    let unit = shown.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(shown.len());
    let (number, unit) = shown.split_at(unit);
    let factor = match unit {
        "" | "ms" => 1,
        "s" => 1000,
        "min" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        "d" => 24 * 60 * 60 * 1000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// The `PREPARE` of that name in a text that may hold other statements: the server gives the whole
/// text that came with it.
pub(super) fn prepare_in<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut found = None;
    let mut lexer = Lexer::new(text.as_bytes());
    loop {
        let start = text.len() - lexer.ahead().len();
        let first = lexer.next()?;
        let second = if first == Token::Symbol(b';') { None } else { lexer.next() };
        let is_it = matches!(first, Token::Word(word) if word.eq_ignore_ascii_case(b"prepare"))
            && second.is_some_and(|second| names(second, name));
        let mut ended = first == Token::Symbol(b';') || second == Some(Token::Symbol(b';'));
        let mut end = start;
        while !ended {
            end = text.len() - lexer.ahead().len();
            ended = lexer.next().is_none_or(|token| token == Token::Symbol(b';'));
        }
        if is_it {
            found = text.get(start..end);
        }
        if lexer.ahead().is_empty() {
            return found;
        }
    }
}

/// Whether a token is this name.
fn names(token: Token<'_>, name: &str) -> bool {
    match token {
        Token::Word(word) => String::from_utf8_lossy(word).to_lowercase() == name,
        Token::Quoted(word) => String::from_utf8_lossy(word).replace("\"\"", "\"") == name,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_prepare_is_found_among_other_statements() {
        let found = |text: &'static str, name| prepare_in(text, name);
        assert_eq!(found("prepare a as select 1", "a"), Some("prepare a as select 1"));
        assert_eq!(found("prepare a as select 1", "b"), None);
        let several = "/* ; */ delete from t; PREPARE A (int) as select ';' ; prepare \"b\"\"\" as select 2; ;";
        assert_eq!(found(several, "a"), Some("PREPARE A (int) as select ';' "));
        assert_eq!(found(several, "b\""), Some("prepare \"b\"\"\" as select 2"));
        let twice = "prepare a as select 1; deallocate a; prepare a as select 2";
        assert_eq!(found(twice, "a"), Some("prepare a as select 2"));
        for nothing in ["", ";", "prepare", "prepare;", "prepare ; a"] {
            assert_eq!(found(nothing, "a"), None, "{nothing}");
        }
    }

    #[test]
    fn times_are_read_as_they_are_shown() {
        for (shown, time) in
            [("0", 0), ("50ms", 50), ("2s", 2000), ("1min", 60_000), ("1d", 86_400_000)]
        {
            assert_eq!(milliseconds(shown), Some(time), "{shown}");
        }
        assert_eq!(milliseconds("x"), None);
    }

    proptest! {
        #[test]
        fn any_answer_is_read_without_a_panic(
            tags in prop::collection::vec(prop::sample::select(b"DEZC".to_vec()), 0..6),
            body in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let answers: Vec<_> =
                tags.into_iter().map(|tag| Message { tag, body: body.clone() }).collect();
            let _ = read(&answers);
        }

        #[test]
        fn any_text_is_searched_without_a_panic(text in ".{0,200}", name in ".{0,10}") {
            let _ = prepare_in(&text, &name);
        }
    }
}
