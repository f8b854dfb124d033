//! The settings of a session that a server must have before it can serve it.

use std::fmt;
use std::sync::Arc;

use crate::message::take_cstr;
use crate::startup::Startup;

/// The role that a session works as.
pub(super) const ROLE: &str = "role";
/// The role that a session is taken for.
pub(super) const AUTHORIZATION: &str = "session_authorization";

/// Settings by name, each with its value in PostgreSQL's own form; `role` and
/// `session_authorization` are two of them. Equal ones are the same memory.
#[derive(Clone, Default)]
pub struct Carried {
    /// In the order of the names; each is name, zero, value, zero.
    pub(super) bytes: Arc<[u8]>,
}

impl PartialEq for Carried {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.bytes, &other.bytes) || self.bytes == other.bytes
    }
}

impl Eq for Carried {}

// Values may be a tenant's secrets.
impl fmt::Debug for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

impl Carried {
    /// No setting at all: what a server has that was just opened.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Those of a list; of two with one name the last counts.
    pub(super) fn of(mut settings: Vec<(String, String)>) -> Self {
        // The sort is stable, and names differ in case only when they are the same setting.
        settings.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut bytes = Vec::new();
        for (index, (name, value)) in settings.iter().enumerate() {
            let last = settings.get(index + 1).is_none_or(|(next, _)| next != name);
            if last && !name.contains('\0') && !value.contains('\0') {
                for text in [name, value] {
                    bytes.extend_from_slice(text.as_bytes());
                    bytes.push(0);
                }
            }
        }
        Self { bytes: bytes.into() }
    }

    /// What a client's first packet sets, for a server that was opened without it.
    #[must_use]
    pub fn of_startup(startup: &Startup) -> Self {
        let mut settings = Vec::new();
        let parameters = startup.parameters();
        // As in PostgreSQL, what is set by its own name counts more than what is in `options`.
        for (_, value) in parameters.iter().filter(|(name, _)| name == b"options") {
            settings.extend(options(&String::from_utf8_lossy(value)));
        }
        for (name, value) in parameters.iter().filter(|(name, _)| name != b"options") {
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            settings.push((text(name), text(value)));
        }
        Self::of(settings.into_iter().map(|(name, value)| (common(&name), value)).collect())
    }

    /// These, with some changed, or taken out where there is no value.
    pub(super) fn with(&self, changes: Vec<(String, Option<String>)>) -> Self {
        let changed = |name: &str| changes.iter().any(|(other, _)| other == name);
        let kept = self.iter().filter(|(name, _)| !changed(name));
        let mut settings: Vec<_> =
            kept.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        settings.extend(changes.into_iter().filter_map(|(name, value)| Some((name, value?))));
        Self::of(settings)
    }

    /// All names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut rest = &self.bytes[..];
        // It was made of text.
        let text = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
        std::iter::from_fn(move || Some((text(take_cstr(&mut rest)?), text(take_cstr(&mut rest)?))))
    }

    /// The value of a setting.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// Names that PostgreSQL lists in another case than lower.
const CAMELS: [&str; 3] = ["DateStyle", "IntervalStyle", "TimeZone"];

/// A setting's name as PostgreSQL lists it.
pub(super) fn common(name: &str) -> String {
    let camel = CAMELS.iter().find(|camel| camel.eq_ignore_ascii_case(name));
    camel.map_or_else(|| name.to_ascii_lowercase(), ToString::to_string)
}

/// The settings in `options`: words at spaces that no backslash hides, of `-c name=value`,
/// `-cname=value` and `--name=value`.
fn options(text: &str) -> Vec<(String, String)> {
    let (mut words, mut word, mut escaped) = (Vec::new(), String::new(), false);
    for letter in text.chars() {
        match letter {
            _ if escaped => word.push(letter),
            '\\' => {}
            ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c' => words.push(std::mem::take(&mut word)),
            _ => word.push(letter),
        }
        escaped = letter == '\\' && !escaped;
    }
    words.push(word);
    let mut words = words.into_iter().filter(|word| !word.is_empty());
    let mut settings = Vec::new();
    while let Some(word) = words.next() {
        let setting = match word.as_str() {
            "-c" => words.next(),
            _ => word.strip_prefix("--").or_else(|| word.strip_prefix("-c")).map(str::to_owned),
        };
        if let Some((name, value)) = setting.as_deref().and_then(|setting| setting.split_once('='))
        {
            settings.push((name.replace('-', "_"), value.to_owned()));
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::startup::{Packet, parse};

    fn carried(pairs: &[(&str, &str)]) -> Carried {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Carried::of(pairs.collect())
    }

    #[test]
    fn order_does_not_matter_and_the_last_of_a_name_counts() {
        let one = carried(&[("b", "2"), ("a", "1"), ("b", "3")]);
        assert_eq!(one, carried(&[("b", "3"), ("a", "1")]));
        assert_eq!(one.iter().collect::<Vec<_>>(), [("a", "1"), ("b", "3")]);
        assert_ne!(one, carried(&[("a", "1")]));
        assert_eq!((one.get("b"), one.get("c")), (Some("3"), None));
        assert_eq!(Carried::none(), carried(&[]));
    }

    #[test]
    fn its_values_are_not_shown() {
        assert_eq!(format!("{:?}", carried(&[("a.key", "secret")])), r#"["a.key"]"#);
    }

    #[test]
    fn the_first_packets_settings_are_read_as_postgresql_reads_them() {
        let mut packet = (3_u32 << 16).to_be_bytes().to_vec();
        let options = r"-c  work_mem=1MB -csearch_path=a\ b,c\\d --enable-seqscan=off -e";
        for text in ["user", "u", "datestyle", "ISO", "options", options, "work_mem", "2MB", ""] {
            packet.extend_from_slice(text.as_bytes());
            packet.push(0);
        }
        let Ok(Packet::Startup(startup)) = parse(&packet) else { panic!("a startup packet") };
        assert_eq!(
            Carried::of_startup(&startup).iter().collect::<Vec<_>>(),
            [
                ("DateStyle", "ISO"),
                ("enable_seqscan", "off"),
                ("search_path", r"a b,c\d"),
                ("work_mem", "2MB"),
            ]
        );
    }
}
