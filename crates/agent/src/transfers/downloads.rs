//! Dumps of the archive, given away as they are and deleted.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use howdah_archive::{Archive, Error};
use howdah_model::ids::TransferId;

/// See the module's text.
#[derive(Clone, Debug)]
pub(crate) struct Downloads {
    pub(super) archive: Archive,
}

/// What is asked of a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Whole,
    /// These bytes; the end is not among them.
    Range(u64, u64),
    /// Bytes that are not there.
    Beyond,
}

impl Downloads {
    pub(crate) fn new(archive: Archive) -> Self {
        Self { archive }
    }

    /// The answer with a dump or the range of it that was asked for.
    pub(crate) async fn give(
        &self,
        id: TransferId,
        headers: &HeaderMap,
    ) -> Result<Response, Error> {
        let dump = self.archive.dump(id);
        let Some(known) = dump.description().await? else {
            return Err(Error::Missing { place: format!("dumps/{id}/dump.json") });
        };
        let (status, from, to) = match asked(headers.get(header::RANGE), known.bytes) {
            Asked::Whole => (StatusCode::OK, 0, known.bytes),
            Asked::Range(from, to) => (StatusCode::PARTIAL_CONTENT, from, to),
            Asked::Beyond => {
                let all = [(header::CONTENT_RANGE, format!("bytes */{}", known.bytes))];
                return Ok((StatusCode::RANGE_NOT_SATISFIABLE, all).into_response());
            }
        };
        let mut response = Response::new(Body::from_stream(dump.read(&known, from..to)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        let octets = HeaderValue::from_static("application/octet-stream");
        headers.insert(header::CONTENT_TYPE, octets);
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(to - from));
        if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", known.sha256)) {
            headers.insert(header::ETAG, tag);
        }
        let range = format!("bytes {from}-{}/{}", to.saturating_sub(1), known.bytes);
        if status == StatusCode::PARTIAL_CONTENT
            && let Ok(range) = HeaderValue::from_str(&range)
        {
            headers.insert(header::CONTENT_RANGE, range);
        }
        Ok(response)
    }

    /// Deletes a dump; one that is not there is no error.
    pub(crate) async fn delete(&self, id: TransferId) -> Result<(), Error> {
        self.archive.dump(id).delete().await
    }
}

/// Reads a `Range` header. One that cannot be understood, or has several ranges, counts as none, as
/// RFC 9110 allows.
fn asked(range: Option<&HeaderValue>, bytes: u64) -> Asked {
    let spec = range.and_then(|range| range.to_str().ok()?.trim().strip_prefix("bytes="));
    let Some((from, to)) = spec.and_then(|spec| spec.trim().split_once('-')) else {
        return Asked::Whole;
    };
    let (from, to) = (from.trim(), to.trim());
    let range = match (from.parse::<u64>(), to.parse::<u64>()) {
        (Ok(from), Ok(to)) if from <= to => (from, to.saturating_add(1).min(bytes)),
        (Ok(from), Err(_)) if to.is_empty() => (from, bytes),
        (Err(_), Ok(last)) if from.is_empty() => (bytes.saturating_sub(last), bytes),
        _ => return Asked::Whole,
    };
    if range.0 < range.1 { Asked::Range(range.0, range.1) } else { Asked::Beyond }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_rfc_9110_has_them() {
        for (header, is) in [
            ("bytes=0-4", Asked::Range(0, 5)),
            ("bytes=4-", Asked::Range(4, 10)),
            ("bytes=-3", Asked::Range(7, 10)),
            ("bytes=-30", Asked::Range(0, 10)),
            ("bytes=9-90", Asked::Range(9, 10)),
            ("bytes=10-", Asked::Beyond),
            ("bytes=-0", Asked::Beyond),
            ("bytes=4-2", Asked::Whole),
            ("bytes=0-1,3-4", Asked::Whole),
            ("lines=0-1", Asked::Whole),
            ("bytes=x", Asked::Whole),
        ] {
            let header = HeaderValue::from_static(header);
            assert_eq!(asked(Some(&header), 10), is, "{header:?}");
        }
        assert_eq!(asked(None, 10), Asked::Whole);
    }
}
