//! The look that every text gets: whether it deserves another one.

use super::lexer::{Lexer, Token};
use memchr::memchr;

/// Words that can change state under the tag of a query, each with the place of four letters in it
/// that are rare in SQL.
const WORDS: [(&[u8], usize); 5] = [
    (b"set_config", 6),
    (b"advisory", 0),
    (b"temp", 0),
    (b"dblink_connect", 0),
    (b"replication_slot", 10),
];
/// How many letters of each word are searched for.
const LETTERS: usize = 4;

/// For two bytes in a row that are among the letters of a word: how far they are from its last
/// two. Whatever place a word has, two of its letters begin at a multiple of three. Case is not
/// kept in the index.
const TO_LAST: [u8; 1024] = {
    let mut to_last = [NOWHERE; 1024];
    let mut word = 0;
    while word < WORDS.len() {
        let (letters, first) = WORDS[word];
        let mut place = 0;
        while place < LETTERS - 1 {
            let pair = index(letters[first + place], letters[first + place + 1]);
            assert!(to_last[pair] == NOWHERE, "two places for one pair");
            to_last[pair] = (LETTERS - 2 - place) as u8;
            place += 1;
        }
        word += 1;
    }
    to_last
};
const NOWHERE: u8 = u8::MAX;

const fn index(one: u8, next: u8) -> usize {
    (one as usize & 31) << 5 | (next as usize & 31)
}

/// Whether a text deserves a closer look.
pub(super) fn glance(text: &[u8]) -> bool {
    begins_with_a_change(text) || has_several(text) || has_a_word(text)
}

fn begins_with_a_change(text: &[u8]) -> bool {
    let Some(Token::Word(word)) = Lexer::new(text).next() else { return false };
    let known: &[u8] = match word.len() {
        2 => b"do",
        3 => b"set",
        4 => b"load",
        7 if word[0] | 32 == b'd' => b"declare",
        7 => b"execute",
        _ => return false,
    };
    word.eq_ignore_ascii_case(known)
}

/// Whether something comes after the first semicolon.
fn has_several(text: &[u8]) -> bool {
    memchr(b';', text).is_some_and(|at| !text[at + 1..].trim_ascii().is_empty())
}

/// Whether one of the words is in it, in any case.
fn has_a_word(text: &[u8]) -> bool {
    text.chunks(LETTERS - 1).enumerate().any(|(number, chunk)| match chunk {
        [one, next, ..] => match TO_LAST[index(*one, *next)] {
            NOWHERE => false,
            to_last => word_around(text, number * (LETTERS - 1) + usize::from(to_last)),
        },
        _ => false,
    })
}

/// Whether a word is here whose last two letters of those that are searched for begin at `last`.
fn word_around(text: &[u8], last: usize) -> bool {
    let Some(&[one, next]) = text.get(last..last + 2).and_then(<[u8]>::as_array) else {
        return false;
    };
    TO_LAST[index(one, next)] == 0 && whole_word_around(text, last)
}

#[cold]
fn whole_word_around(text: &[u8], last: usize) -> bool {
    WORDS.iter().any(|(word, before)| {
        let whole = last.checked_sub(before + LETTERS - 2);
        let whole = whole.and_then(|at| text.get(at..at + word.len()));
        whole.is_some_and(|whole| whole.eq_ignore_ascii_case(word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_finds_what_a_plain_search_finds(
            pieces in prop::collection::vec(prop_oneof![
                3 => "[a-zA-Z_ ]{0,6}",
                1 => prop::sample::select(vec![
                    "set_config", "SET_config", "aDvisory", "temp", "TEMP", "dblink_connect", "nfig", "advi",
                    "set_conf", "replication_slot", "n_sl", "temq", "?emp", "_temp_",
                ]).prop_map(str::to_owned),
            ], 0..8),
        ) {
            let text = pieces.concat();
            let lower = text.to_lowercase();
            let plain = WORDS.iter().any(|(word, _)| {
                lower.contains(std::str::from_utf8(word).expect("ASCII"))
            });
            prop_assert_eq!(has_a_word(text.as_bytes()), plain);
        }

        #[test]
        fn no_bytes_make_it_panic(text in prop::collection::vec(any::<u8>(), 0..100)) {
            glance(&text);
        }
    }
}
