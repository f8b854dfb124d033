//! Heroku's `Range` header: `version ..; max=15, order=desc`.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::header::RANGE;
use axum::http::request::Parts;

/// Which part of a list is wanted, and in which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    /// Newest first.
    pub(crate) descending: bool,
    /// The most elements.
    pub(crate) max: u32,
}

/// The most elements of a list: a thousand, as on Heroku.
const MOST: u32 = 1000;

impl Default for Range {
    fn default() -> Self {
        Self { descending: false, max: MOST }
    }
}

impl Range {
    /// Reads the header. What is not understood counts as not said.
    pub(crate) fn parse(header: &str) -> Self {
        let mut range = Self::default();
        let Some((_, attributes)) = header.split_once(';') else {
            return range;
        };
        for attribute in attributes.split([',', ';']) {
            match attribute.split_once('=').map(|(name, value)| (name.trim(), value.trim())) {
                Some(("order", order)) => range.descending = order.eq_ignore_ascii_case("desc"),
                Some(("max", max)) => range.max = max.parse().unwrap_or(MOST).clamp(1, MOST),
                Some(_) | None => {}
            }
        }
        range
    }
}

impl<S: Sync> FromRequestParts<S> for Range {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let header = parts.headers.get(RANGE).and_then(|value| value.to_str().ok());
        Ok(header.map_or_else(Self::default, Self::parse))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_the_cli_are_read_and_nonsense_is_not_minded() {
        let newest = |max| Range { descending: true, max };
        assert_eq!(Range::parse("version ..; max=15, order=desc"), newest(15));
        assert_eq!(Range::parse("version ..; order=desc,max=1"), newest(1));
        assert_eq!(Range::parse("version ..;max=10;order=desc"), newest(10));
        assert_eq!(Range::parse("id ]abc..; max=0"), Range { descending: false, max: 1 });
        for odd in ["", "version", ";", "; max", "; max=x", "bytes=0-10"] {
            assert_eq!(Range::parse(odd), Range::default(), "{odd}");
        }
    }
}
