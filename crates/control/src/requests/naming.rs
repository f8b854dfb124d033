//! How attachments are named when nobody names them (C5, C7).

use std::collections::HashSet;

use howdah_model::name::{AttachmentName, COLORS, PRIMARY};

/// The name of a new attachment on an app. `taken` are the attachments' names that are in use, and
/// those whose config var is set by hand.
///
/// The first database of an app is its primary; every other gets a colour that is free, and a
/// numbered one when none is. `random` spreads the colours.
pub(crate) fn attachment(prefix: &str, taken: &HashSet<String>, random: u64) -> AttachmentName {
    let free = |name: &String| !taken.contains(name);
    let first = std::iter::once(PRIMARY.to_owned()).find(free);
    name(first.unwrap_or_else(|| color(prefix, free, random)))
}

/// The name of a further attachment of a database: a colour, never the primary's name.
pub(crate) fn colored(prefix: &str, taken: &HashSet<String>, random: u64) -> AttachmentName {
    name(color(prefix, |name| !taken.contains(name), random))
}

fn color(prefix: &str, free: impl Fn(&String) -> bool, random: u64) -> String {
    let count = COLORS.len();
    let start = usize::try_from(random % count as u64).unwrap_or_default();
    let colors = || (0..count).map(move |i| COLORS[(start + i) % count]);
    let plain = colors().map(|color| format!("{prefix}_{color}"));
    let numbered = (2..).flat_map(|n| colors().map(move |color| format!("{prefix}_{color}_{n}")));
    plain.chain(numbered).find(free).expect("the numbers do not run out")
}

fn name(text: String) -> AttachmentName {
    AttachmentName::try_from(text).expect("prefix, colour and number make a valid name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c5_c7_the_first_is_the_primary_and_the_others_get_free_colours() {
        let mut taken = HashSet::new();
        for random in 0..40 {
            let name = attachment("HEROKU_POSTGRESQL", &taken, random * 7).to_string();
            assert_eq!(name == "DATABASE", random == 0, "{name}");
            assert!(taken.insert(name));
        }
        let plain = taken.iter().filter(|name| !name.ends_with("_2")).count();
        assert_eq!(plain, 1 + COLORS.len(), "numbers come only when the colours have run out");
    }

    #[test]
    fn a_further_attachment_is_never_the_primary() {
        let name = colored("PG", &HashSet::new(), 0);
        assert_eq!(name.as_str(), "PG_AMBER");
    }
}
