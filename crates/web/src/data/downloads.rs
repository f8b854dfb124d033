//! Dumps by their signed URLs (E17). Whoever has one needs no token.

use std::ops::RangeInclusive;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    ETAG, RANGE,
};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use howdah_control::requests::downloads::{self, Claim};
use serde::Deserialize;

use crate::Web;
use crate::error::{Error, Result};

/// What a URL is signed with.
#[derive(Debug, Deserialize)]
pub(crate) struct Signed {
    #[serde(default)]
    expires: String,
    #[serde(default)]
    signature: String,
}

/// The dump, or the part of it that is asked for.
pub(crate) async fn show(
    State(web): State<Web>,
    method: Method,
    uri: Uri,
    Query(signed): Query<Signed>,
    headers: HeaderMap,
) -> Result<Response> {
    // What cannot be a time was not signed by us either.
    let expires = signed.expires.parse().unwrap_or(i64::MIN);
    let claim = Claim { path: uri.path(), expires, signature: &signed.signature };
    let transfer = downloads::open(web.control(), claim).await?;
    let total = transfer.processed_bytes.unsigned_abs();
    let asked = headers.get(RANGE).and_then(|value| value.to_str().ok());
    let (status, range) = match part(asked, total) {
        Part::All => (StatusCode::OK, 0..=total.saturating_sub(1)),
        Part::Some(range) => (StatusCode::PARTIAL_CONTENT, range),
        Part::Beyond => return Ok(beyond(total)),
    };
    let body = if method == Method::HEAD || total == 0 {
        Body::empty()
    } else {
        let chunks = downloads::read(web.control(), &transfer, range.clone()).await?;
        Body::from_stream(chunks)
    };
    let name = format!("attachment; filename=\"{}.dump\"", transfer.label());
    let length = if total == 0 { 0 } else { range.end() - range.start() + 1 };
    let mut response = Response::builder()
        .status(status)
        .header(CONTENT_TYPE, "application/octet-stream")
        .header(CONTENT_LENGTH, length)
        .header(CONTENT_DISPOSITION, name)
        .header(ACCEPT_RANGES, "bytes")
        .header(CACHE_CONTROL, "private, no-store")
        .header(ETAG, format!("\"{}\"", transfer.id));
    if status == StatusCode::PARTIAL_CONTENT {
        let part = format!("bytes {}-{}/{total}", range.start(), range.end());
        response = response.header(CONTENT_RANGE, part);
    }
    response.body(body).map_err(|error| Error::internal(error.into()))
}

fn beyond(total: u64) -> Response {
    let range = [(CONTENT_RANGE, format!("bytes */{total}"))];
    (StatusCode::RANGE_NOT_SATISFIABLE, range).into_response()
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    All,
    Some(RangeInclusive<u64>),
    Beyond,
}

/// The part that a `Range` header asks for. What cannot be understood, and several parts, mean all.
fn part(asked: Option<&str>, total: u64) -> Part {
    let Some((first, last)) = asked
        .and_then(|asked| asked.trim().strip_prefix("bytes="))
        .and_then(|range| range.split_once('-'))
    else {
        return Part::All;
    };
    let number = |text: &str| -> Option<u64> {
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
    };
    let end = total.saturating_sub(1);
    let range = match (first, last) {
        ("", last) => number(last).map(|count| (total.saturating_sub(count), end)),
        (first, "") => number(first).map(|first| (first, end)),
        (first, last) => number(first).zip(number(last)).filter(|(first, last)| first <= last),
    };
    match range {
        None => Part::All,
        Some((first, _)) if first >= total => Part::Beyond,
        Some((first, last)) => Part::Some(first..=last.min(end)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e17_parts_are_understood_as_http_means_them() {
        let asked = |text| part(Some(text), 100);
        assert_eq!(part(None, 100), Part::All);
        assert_eq!(asked("bytes=0-"), Part::Some(0..=99));
        assert_eq!(asked("bytes=10-19"), Part::Some(10..=19));
        assert_eq!(asked("bytes=90-500"), Part::Some(90..=99));
        assert_eq!(asked("bytes=-5"), Part::Some(95..=99));
        assert_eq!(asked("bytes=-500"), Part::Some(0..=99));
        assert_eq!(asked("bytes=100-"), Part::Beyond);
        assert_eq!(asked("bytes=-0"), Part::Beyond);
        for odd in ["", "bytes=", "bytes=a-b", "bytes=5-1", "bytes=0-1,5-6", "lines=0-1"] {
            assert_eq!(asked(odd), Part::All, "{odd}");
        }
        assert_eq!(part(Some("bytes=0-"), 0), Part::Beyond);
    }
}
