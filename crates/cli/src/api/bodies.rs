//! Bodies that are too large to be held: dumps that come and go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::stream;
use reqwest::{Response, Url};
use tokio::io::AsyncReadExt as _;

use super::{ACCEPT, Api, Call, Identity, header, refused, unreachable};
use crate::exit::Exit;
use crate::failure::Failure;

/// A dump of any size may come or go: what bounds it is that something comes.
const LONGEST: Duration = Duration::from_secs(30 * 86_400);
/// How long nothing may come.
const STALLED: Duration = Duration::from_secs(60);
/// Bytes that are read from a file at once.
const PIECE: usize = 256 << 10;

/// A part of something that is being downloaded.
pub(crate) struct Download {
    response: Response,
    /// Where it begins: 0 when the platform begins anew.
    pub(crate) from: u64,
    /// Bytes of the whole.
    pub(crate) whole: u64,
}

impl Download {
    /// The next bytes; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<bytes::Bytes>, String> {
        match tokio::time::timeout(STALLED, self.response.chunk()).await {
            Ok(Ok(piece)) => Ok(piece),
            Ok(Err(error)) => Err(super::chain(&error)),
            Err(_) => Err(format!("nothing came for {} s", STALLED.as_secs())),
        }
    }
}

impl Api {
    /// Where this client reaches what the platform has signed for everybody: the platform may name
    /// another of its ports, with a certificate of its own.
    pub(crate) fn reached(&self, signed: &str) -> Result<Url, Failure> {
        let signed = Url::parse(signed).map_err(|error| {
            let message = format!("The platform gave an address that is none: {error}");
            Failure::new(Exit::Failed, "bad-answer", message)
        })?;
        let mut url = self.base.clone();
        url.set_path(signed.path());
        url.set_query(signed.query());
        Ok(url)
    }

    /// Begins to read something from this byte on. The address holds what allows it.
    pub(crate) async fn download(&self, url: Url, from: u64) -> Result<Download, Failure> {
        let mut request = self.http.get(url).timeout(LONGEST);
        if from > 0 {
            request = request.header("range", format!("bytes={from}-"));
        }
        let response = request.send().await.map_err(|error| unreachable(&self.base, &error))?;
        let status = response.status().as_u16();
        if !response.status().is_success() {
            let known_as = header(&response, "request-id").unwrap_or_default();
            let body = response.bytes().await.unwrap_or_default();
            return Err(refused(status, &body, known_as));
        }
        let begins = if status == 206 { begins_at(&response) } else { Some(0) };
        let (Some(from), Some(rest)) = (begins, response.content_length()) else {
            let message = "The platform does not say how large the dump is.";
            return Err(Failure::new(Exit::Failed, "bad-answer", message));
        };
        Ok(Download { response, from, whole: from + rest })
    }

    /// Sends a file; `sent` counts its bytes.
    pub(crate) async fn upload(
        &self,
        call: &Call,
        file: tokio::fs::File,
        length: u64,
        sent: Arc<AtomicU64>,
    ) -> Result<Vec<u8>, Failure> {
        let pieces = stream::unfold((file, sent), |(mut file, sent)| async move {
            let mut piece = vec![0; PIECE];
            match file.read(&mut piece).await {
                Ok(0) => None,
                Ok(count) => {
                    piece.truncate(count);
                    sent.fetch_add(count as u64, Ordering::Relaxed);
                    Some((Ok(piece), (file, sent)))
                }
                Err(error) => Some((Err(error), (file, sent))),
            }
        });
        let mut request = self
            .http
            .request(call.method.clone(), call.url.clone())
            .timeout(LONGEST)
            .header("accept", ACCEPT)
            .header("content-type", "application/octet-stream")
            .header("content-length", length)
            .body(reqwest::Body::wrap_stream(pieces));
        if let Identity::Key(key) = &call.identity {
            request = request.bearer_auth(key.reveal());
        }
        let response = request.send().await.map_err(|error| unreachable(&self.base, &error))?;
        let status = response.status();
        let known_as = header(&response, "request-id").unwrap_or_default();
        let body =
            response.bytes().await.map_err(|error| unreachable(&self.base, &error))?.to_vec();
        if status.is_success() { Ok(body) } else { Err(refused(status.as_u16(), &body, known_as)) }
    }
}

/// The first byte that a part has: `Content-Range: bytes 17-99/100`.
fn begins_at(response: &Response) -> Option<u64> {
    let range = header(response, "content-range")?;
    range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}
