//! What is sent to a server so that it can take a session over.
//!
//! What can be done on a hot standby comes first and is sent before the switch; what needs a
//! primary, or harms a session that waits, comes after it.

use super::carried::{AUTHORIZATION, Carried, ROLE};
use super::script::{Script, Step, identifier, set_all};
use super::{Prepared, Record, Tenure};

/// Set after all statements are prepared, which could take longer than they allow.
const LATE: [&str; 3] = ["statement_timeout", "lock_timeout", "transaction_timeout"];
/// Set when the session is in use: a standby runs no statement under the one, and the other would
/// end a session that waits for the switch.
const LAST: [&str; 2] = ["default_transaction_isolation", IDLE_LIMIT];
const IDLE_LIMIT: &str = "idle_session_timeout";
const ENCODING: &str = "client_encoding";
/// `ISO` leaves the order of day and month as it was.
const RELATIVE: &str = "DateStyle";

impl Record {
    /// What a server that was just opened with the session's first packet is sent before the
    /// switch. It may be a hot standby.
    #[must_use]
    pub fn fill(&self) -> Script {
        let mut script = Script::default();
        self.fill_into(&mut script);
        script
    }

    /// What a server that was filled before and is stale is sent.
    #[must_use]
    pub fn refill(&self) -> Script {
        let mut script = Script::default();
        script.query(Step::Reset, "DISCARD ALL");
        self.fill_into(&mut script);
        script
    }

    /// What a filled server, now a primary, is sent after the switch. Statements that could not be
    /// prepared before, by the names in `missing`, are tried again.
    #[must_use]
    pub fn finish(&self, missing: &[&[u8]]) -> Script {
        let mut script = Script::default();
        for name in missing {
            if let Some(statement) = self.named.get(*name) {
                script.parse(Step::Parse((*name).into()), name, statement.body());
            }
        }
        for channel in self.listens() {
            script.query(Step::Listen, &format!("LISTEN {}", identifier(channel)));
        }
        if self.has_idle_limit() && self.carried.get(IDLE_LIMIT).is_none() {
            script.query(Step::Settings, &format!("RESET {IDLE_LIMIT}"));
        }
        script.set(&self.settings(|name| LAST.contains(&name)));
        // Whatever else is sent takes the unnamed statement away.
        if let Some(body) = self.unnamed().filter(|_| self.tenure == Tenure::Own) {
            script.parse(Step::ParseUnnamed, b"", body);
        }
        script
    }

    fn fill_into(&self, script: &mut Script) {
        for library in self.libraries() {
            // It is as it was written between quotes.
            script.query(Step::Library, &format!("LOAD '{library}'"));
        }
        let mut settings = self.settings(|name| !LATE.contains(&name) && !LAST.contains(&name));
        if self.has_idle_limit() {
            settings.push((IDLE_LIMIT, "0"));
        }
        // Other roles may set less.
        settings.sort_by_key(|(name, _)| match *name {
            AUTHORIZATION => 1,
            ROLE => 2,
            _ => 0,
        });
        script.set(&settings);
        self.prepare(script);
        // On a shared server statements have other names, and come when they are used.
        let named = self.named.iter().filter(|_| self.tenure == Tenure::Own);
        for (name, statement) in named {
            script.parse(Step::Parse(name.clone()), name, statement.body());
        }
        script.set(&self.settings(|name| LATE.contains(&name)));
    }

    /// The statements of SQL's `PREPARE`. Their text is UTF-8, whatever the client's encoding.
    fn prepare(&self, script: &mut Script) {
        let prepared = self.prepared();
        let encoding = self.reported.get(ENCODING.as_bytes());
        let foreign = prepared.iter().any(|one| !one.command.is_ascii())
            && (encoding != Some(b"UTF8") || self.carried.get(ENCODING).is_some());
        if foreign {
            script.set(&[(ENCODING, "UTF8")]);
        }
        for one in prepared {
            script.execute(Step::Prepare, &one.command);
        }
        match self.carried.get(ENCODING) {
            Some(encoding) if foreign => script.set(&[(ENCODING, encoding)]),
            None if foreign => script.query(Step::Settings, &format!("RESET {ENCODING}")),
            _ => {}
        }
    }

    fn settings(&self, wanted: impl Fn(&str) -> bool) -> Vec<(&str, &str)> {
        self.carried.iter().filter(|(name, _)| wanted(name)).collect()
    }

    fn libraries(&self) -> &[Box<str>] {
        self.more.as_ref().map_or(&[], |more| &more.libraries)
    }

    fn listens(&self) -> &[Box<str>] {
        self.more.as_ref().map_or(&[], |more| &more.listens)
    }

    fn prepared(&self) -> &[Prepared] {
        self.more.as_ref().map_or(&[], |more| &more.prepared)
    }

    fn has_idle_limit(&self) -> bool {
        self.more.as_ref().is_some_and(|more| more.idle_limit)
    }
}

/// What brings a server from one session's settings to another's: one simple query, which does all
/// or nothing. Empty when they are the same.
///
/// A custom setting that the other session has not is left with an empty value: PostgreSQL forgets
/// none.
#[must_use]
pub fn apply(wanted: &Carried, from: &Carried) -> Script {
    let mut script = Script::default();
    if wanted == from {
        return script;
    }
    let mut commands = Vec::new();
    // Under another role not everything may be set.
    if from.get(AUTHORIZATION).is_some() {
        commands.push("SET SESSION AUTHORIZATION DEFAULT".to_owned());
    }
    if from.get(ROLE).is_some() {
        commands.push("RESET ROLE".to_owned());
    }
    let is_who = |name: &str| name == AUTHORIZATION || name == ROLE;
    for (name, value) in from.iter().filter(|(name, _)| !is_who(name)) {
        let wanted = wanted.get(name);
        if wanted.is_none() || (name == RELATIVE && wanted != Some(value)) {
            let parts: Vec<_> = name.split('.').map(identifier).collect();
            commands.push(format!("RESET {}", parts.join(".")));
        }
    }
    let mut settings: Vec<_> = wanted
        .iter()
        .filter(|(name, value)| !is_who(name) && from.get(name) != Some(value))
        .collect();
    for name in [AUTHORIZATION, ROLE] {
        settings.extend(wanted.get(name).map(|value| (name, value)));
    }
    if !settings.is_empty() {
        commands.push(set_all(&settings));
    }
    script.query(Step::Settings, &commands.join(";"));
    script
}
