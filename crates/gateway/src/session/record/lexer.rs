//! PostgreSQL's lexer, as far as a look at a text needs it: where words, strings and comments
//! begin and end. It never fails: what is not understood is a symbol.

use memchr::{memchr2, memmem};

/// A piece of SQL, without the space and the comments around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A keyword or a name, as written; case does not matter.
    Word(&'a [u8]),
    /// A name in double quotes, without them; case matters.
    Quoted(&'a [u8]),
    /// What is between single quotes, as written.
    Text(&'a [u8]),
    /// What is between dollar quotes.
    Dollar(&'a [u8]),
    /// Any other byte, and the first of a number.
    Symbol(u8),
}

/// Gives one token after the other.
#[derive(Clone, Debug)]
pub(super) struct Lexer<'a> {
    rest: &'a [u8],
    /// Whether a string had a backslash before its closing quote: with `standard_conforming_strings`
    /// off it ends elsewhere.
    pub(super) ambiguous: bool,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { rest: text, ambiguous: false }
    }

    /// What has not been looked at.
    #[cfg(test)]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// What comes next, without blanks.
    pub(super) fn ahead(&mut self) -> &'a [u8] {
        self.skip_blanks();
        self.rest
    }

    fn skip_blanks(&mut self) {
        loop {
            match self.rest {
                [b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c, rest @ ..] => self.rest = rest,
                [b'-', b'-', rest @ ..] => {
                    let end = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
                    self.rest = &rest[end..];
                }
                [b'/', b'*', rest @ ..] => self.rest = after_comment(rest),
                _ => return,
            }
        }
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// What is before the closing `quote`, which may be doubled inside.
    fn quoted(&mut self, quote: u8, escapes: Escapes) -> &'a [u8] {
        let mut at = 0;
        loop {
            let Some(found) = memchr2(quote, b'\\', &self.rest[at..]) else {
                return self.take(self.rest.len());
            };
            at += found;
            let next = self.rest.get(at + 1).copied();
            match (self.rest[at], escapes) {
                (b'\\', Escapes::Backslash) => at = (at + 2).min(self.rest.len()),
                (b'\\', Escapes::None) => {
                    self.ambiguous |= quote == b'\'' && next == Some(quote);
                    at += 1;
                }
                _ if next == Some(quote) => at += 2,
                _ => {
                    let inside = self.take(at);
                    self.take(1);
                    return inside;
                }
            }
        }
    }

    /// A word, or a string with a letter before it.
    fn word(&mut self) -> Token<'a> {
        match self.rest {
            [b'e' | b'E', b'\'', ..] => {
                self.take(2);
                return Token::Text(self.quoted(b'\'', Escapes::Backslash));
            }
            [b'b' | b'B' | b'x' | b'X' | b'n' | b'N', b'\'', ..] => {
                self.take(2);
                return Token::Text(self.quoted(b'\'', Escapes::None));
            }
            [b'u' | b'U', b'&', quote @ (b'\'' | b'"'), ..] => {
                let quote = *quote;
                self.take(3);
                let inside = self.quoted(quote, Escapes::None);
                return if quote == b'"' { Token::Quoted(inside) } else { Token::Text(inside) };
            }
            _ => {}
        }
        let end = self.rest.iter().position(|byte| !goes_on(*byte));
        Token::Word(self.take(end.unwrap_or(self.rest.len())))
    }

    /// A dollar-quoted string, or a parameter.
    fn dollar(&mut self) -> Token<'a> {
        let tag = self.rest[1..].iter().position(|byte| !in_tag(*byte));
        let Some(tag) = tag.filter(|end| {
            self.rest[1 + end] == b'$' && !self.rest.get(1).is_some_and(u8::is_ascii_digit)
        }) else {
            self.take(1);
            let digits = self.rest.iter().position(|byte| !byte.is_ascii_digit());
            self.take(digits.unwrap_or(self.rest.len()));
            return Token::Symbol(b'$');
        };
        let opening = self.take(tag + 2);
        let end = memmem::find(self.rest, opening).unwrap_or(self.rest.len());
        let inside = self.take(end);
        self.take(opening.len());
        Token::Dollar(inside)
    }

    fn number(&mut self) -> Token<'a> {
        let first = self.rest[0];
        let more = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'.' || *byte == b'_';
        let end = self.rest.iter().position(|byte| !more(byte));
        self.take(end.unwrap_or(self.rest.len()));
        Token::Symbol(first)
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_blanks();
        Some(match *self.rest.first()? {
            b'\'' => {
                self.take(1);
                Token::Text(self.quoted(b'\'', Escapes::None))
            }
            b'"' => {
                self.take(1);
                Token::Quoted(self.quoted(b'"', Escapes::None))
            }
            b'$' => self.dollar(),
            b'0'..=b'9' => self.number(),
            byte if begins(byte) => self.word(),
            byte => {
                self.take(1);
                Token::Symbol(byte)
            }
        })
    }
}

/// Whether a backslash hides the quote after it.
#[derive(Clone, Copy)]
enum Escapes {
    Backslash,
    None,
}

fn begins(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn goes_on(byte: u8) -> bool {
    begins(byte) || byte.is_ascii_digit() || byte == b'$'
}

fn in_tag(byte: u8) -> bool {
    begins(byte) || byte.is_ascii_digit()
}

/// What comes after a comment whose opening was taken. Comments nest.
fn after_comment(mut rest: &[u8]) -> &[u8] {
    let mut depth = 1;
    while depth > 0 {
        let Some(at) = memchr2(b'*', b'/', rest) else { return &[] };
        (rest, depth) = match &rest[at..] {
            [b'*', b'/', after @ ..] => (after, depth - 1),
            [b'/', b'*', after @ ..] => (after, depth + 1),
            [_, after @ ..] => (after, depth),
            [] => return &[],
        };
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tokens(text: &str) -> Vec<Token<'_>> {
        Lexer::new(text.as_bytes()).collect()
    }

    #[test]
    fn strings_comments_and_names_end_where_postgresql_ends_them() {
        let text = |text: &'static str| Token::Text(text.as_bytes());
        let word = |text: &'static str| Token::Word(text.as_bytes());
        assert_eq!(tokens("a 'b''c' d"), [word("a"), text("b''c"), word("d")]);
        assert_eq!(tokens(r"'a\' b"), [text(r"a\"), word("b")]);
        assert_eq!(tokens(r"e'a\'b' c"), [text(r"a\'b"), word("c")]);
        assert_eq!(tokens("/* a /* b */ ; */ c -- d\n e"), [word("c"), word("e")]);
        assert_eq!(tokens(r#""a;""b" c"#), [Token::Quoted(br#"a;""b"#), word("c")]);
        assert_eq!(tokens("$$a;'$$ b"), [Token::Dollar(b"a;'"), word("b")]);
        assert_eq!(tokens("$x$a$$b$x$"), [Token::Dollar(b"a$$b")]);
        assert_eq!(tokens("$1,a$1"), [Token::Symbol(b'$'), Token::Symbol(b','), word("a$1")]);
        assert_eq!(tokens("u&'a' U&\"b\""), [text("a"), Token::Quoted(b"b")]);
        assert_eq!(tokens("1e5;x"), [Token::Symbol(b'1'), Token::Symbol(b';'), word("x")]);
        assert_eq!(tokens("'open"), [text("open")]);
        assert_eq!(tokens("/* open"), []);
        assert_eq!(tokens("$$open"), [Token::Dollar(b"open")]);
    }

    #[test]
    fn a_string_that_older_rules_end_elsewhere_is_noticed() {
        let ambiguous = |text: &str| {
            let mut lexer = Lexer::new(text.as_bytes());
            while lexer.next().is_some() {}
            lexer.ambiguous
        };
        assert!(ambiguous(r"select 'a\' b"));
        assert!(!ambiguous(r"select e'a\' b'"));
        assert!(!ambiguous(r"select 'a\b'"));
    }

    proptest! {
        #[test]
        fn it_ends_and_goes_forward_on_any_bytes(text in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut lexer = Lexer::new(&text);
            let mut left = text.len();
            while lexer.next().is_some() {
                prop_assert!(lexer.rest().len() < left);
                left = lexer.rest().len();
            }
            prop_assert_eq!(lexer.rest(), b"");
        }

        #[test]
        fn it_ends_and_goes_forward_on_pieces_of_sql(
            pieces in prop::collection::vec(prop::sample::select(vec![
                "'", "\"", "$", "$$", "$a$", "/*", "*/", "--", "\n", "\\", "e'", "u&'", ";", " ", "a", "1", "b'",
            ]), 0..60),
        ) {
            let text = pieces.concat();
            let mut lexer = Lexer::new(text.as_bytes());
            let mut left = text.len();
            while lexer.next().is_some() {
                prop_assert!(lexer.rest().len() < left);
                left = lexer.rest().len();
            }
        }
    }
}
