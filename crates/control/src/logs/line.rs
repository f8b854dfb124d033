//! One line of a log stream, and which lines a reader wants.

use std::fmt;

use jiff::Timestamp;

/// The most bytes of a line's text, as on Heroku.
pub const LONGEST: usize = 10_000;

/// The most bytes of the name of a process.
const LONGEST_NAME: usize = 64;

/// Who speaks: the app and what belongs to it, or the platform.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, strum::Display, strum::EnumString, strum::IntoStaticStr,
)]
#[strum(serialize_all = "lowercase")]
pub enum Source {
    /// The app's processes, its databases and its backups.
    App,
    /// The platform: what is done to the app, and to its processes.
    Heroku,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Grows within a stream; readers come back by it.
    pub id: u64,
    /// The how-manieth of the stream it is.
    pub(super) count: u64,
    /// When it was said.
    pub at: Timestamp,
    /// Who speaks.
    pub source: Source,
    /// Which process: `web.1`, `api`, `pgbackups`.
    pub process: String,
    /// What is said, without anything that could harm a terminal.
    pub text: String,
}

impl Line {
    /// A line that is in no stream yet. What is too long is cut.
    #[must_use]
    pub fn new(at: Timestamp, source: Source, process: &str, text: &str) -> Self {
        let process = harmless(process, LONGEST_NAME);
        Self { id: 0, count: 0, at, source, process, text: harmless(text, LONGEST) }
    }
}

/// As Heroku shows lines: `2026-01-02T03:04:05.000006+00:00 app[web.1]: text`.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00");
        write!(f, "{at} {}[{}]: {}", self.source, self.process, self.text)
    }
}

/// Which lines a reader wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only those of this source.
    pub source: Option<Source>,
    /// Only those of this process (`web.1`), or of this type (`web`).
    pub process: Option<String>,
}

impl Filter {
    /// Whether a line is wanted.
    #[must_use]
    pub fn passes(&self, line: &Line) -> bool {
        let of = |wanted: &String| {
            let rest = line.process.strip_prefix(wanted.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.source.is_none_or(|wanted| wanted == line.source)
            && self.process.as_ref().is_none_or(of)
    }
}

/// A text without what could harm a terminal or break a line: colours go, other control characters
/// and those that turn the direction of writing become `�`. Cut at `most` bytes.
#[must_use]
pub(crate) fn harmless(text: &str, most: usize) -> String {
    let mut clean = String::with_capacity(text.len().min(most));
    let mut rest = text.trim_end_matches(['\r', '\n']).chars().peekable();
    while let Some(char) = rest.next() {
        if char == '\x1b' && rest.next_if_eq(&'[').is_some() {
            // A control sequence goes up to its final byte.
            while rest.next_if(|char| matches!(char, ' '..='?')).is_some() {}
            rest.next_if(|char| matches!(char, '@'..='~'));
            continue;
        }
        let char = if is_harmful(char) { char::REPLACEMENT_CHARACTER } else { char };
        if clean.len() + char.len_utf8() > most {
            break;
        }
        clean.push(char);
    }
    clean
}

fn is_harmful(char: char) -> bool {
    (char.is_control() && char != '\t')
        || matches!(char, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b26_a_line_is_shown_with_an_iso_time_and_its_offset() {
        let at = Timestamp::constant(1_800_000_000, 1_000);
        let line = Line::new(at, Source::Heroku, "api", "Release v2 created by dev@example.com");
        assert_eq!(
            line.to_string(),
            "2027-01-15T08:00:00.000001+00:00 heroku[api]: Release v2 created by dev@example.com"
        );
    }

    #[test]
    fn hostile_texts_are_cut_and_made_harmless() {
        let clean = |text: &str| harmless(text, LONGEST);
        assert_eq!(clean("\x1b[1;31mred\x1b[0m\tand\r\n"), "red\tand");
        assert_eq!(clean("a\x1b]0;title\x07b"), "a�]0;title�b");
        assert_eq!(clean("a\rb\nc\0d\u{202e}e\u{9b}f"), "a�b�c�d�e�f");
        assert_eq!(clean("\x1b["), "");
        assert_eq!(clean(&"x".repeat(1 << 20)).len(), LONGEST);
        assert_eq!(clean(&"é".repeat(LONGEST)).len(), LONGEST);
        assert_eq!(harmless("aéb", 2), "a");
    }
}
