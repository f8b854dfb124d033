//! A dump at an HTTP address that a tenant gives.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use howdah_cluster::logical::Notes;
use howdah_model::secret::Secret;
use reqwest::header::{
    CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_RANGE, LOCATION, RANGE,
};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};

use super::address;
use super::job::Job;
use super::spool::Spool;

/// How often an address may send us elsewhere.
const REDIRECTS: usize = 5;
/// How often it is tried again without having got further.
const TRIES: u32 = 4;
const CONNECT: Duration = Duration::from_secs(10);
/// The longest silence.
const SILENCE: Duration = Duration::from_secs(60);
/// What every dump in the custom format begins with.
const MAGIC: &[u8] = b"PGDMP";

/// Why a fetch went wrong.
enum Wrong {
    /// It may go better when it is tried again.
    Broken(anyhow::Error),
    /// It will not.
    Final(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Wrong {
    fn from(error: E) -> Self {
        Self::Final(error.into())
    }
}

/// Brings a dump to the disk. A connection that breaks is taken up where it broke, when the other
/// side can do that.
pub(super) async fn fetch(job: &Job, url: &Secret, spool: &mut Spool, notes: &Notes) -> Result<()> {
    let url = Url::parse(url.reveal()).ok().filter(is_web);
    let url = url.context("the backup url is invalid: it must begin with http:// or https://")?;
    let mut tag = None;
    let mut left = TRIES;
    loop {
        let before = spool.written();
        let wrong = match once(job, &url, spool, &mut tag).await {
            Ok(()) => return Ok(()),
            Err(Wrong::Final(error)) => return Err(error),
            Err(Wrong::Broken(error)) => error,
        };
        left = if spool.written() > before { TRIES } else { left - 1 };
        if left == 0 {
            return Err(wrong.context("the backup cannot be fetched"));
        }
        notes.warn(match spool.written() {
            0 => format!("there is no answer yet ({wrong:#}); again"),
            bytes => format!("the connection broke after {bytes} bytes ({wrong:#}); again"),
        });
        tokio::time::sleep(Duration::from_millis(500) * (TRIES - left + 1)).await;
    }
}

fn is_web(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https") && url.host_str().is_some()
}

/// Fetches what is not there yet.
async fn once(
    job: &Job,
    url: &Url,
    spool: &mut Spool,
    tag: &mut Option<String>,
) -> Result<(), Wrong> {
    let mut response = ask(job, url, spool.written(), tag.as_deref()).await?;
    let resumes = response.status() == StatusCode::PARTIAL_CONTENT;
    if resumes && begin_of(&response) != Some(spool.written()) {
        return Err(
            anyhow::anyhow!("the backup url answers with another part than asked for").into()
        );
    }
    if !resumes {
        spool.rewind().await?;
    }
    *tag = text(&response, ETAG.as_str()).filter(|tag| tag.starts_with('"'));
    let length: Option<u64> = text(&response, CONTENT_LENGTH.as_str()).and_then(|n| n.parse().ok());
    let total = length.map(|length| length + spool.written());
    if let Some(length) = length {
        job.shared.check_room(length)?;
    }
    job.step("fetching", total);
    let is_page = text(&response, CONTENT_TYPE.as_str()).is_some_and(|of| of.contains("html"));
    let mut head = Vec::new();
    loop {
        let bit = match response.chunk().await {
            Ok(Some(bit)) => bit,
            Ok(None) => break,
            Err(error) => return Err(broken(error)),
        };
        if spool.written() < MAGIC.len() as u64 {
            head.extend_from_slice(&bit[..bit.len().min(MAGIC.len())]);
            check_head(&head, is_page)?;
        }
        spool.write(&job.shared, &bit).await?;
        job.processed(spool.written());
    }
    if total.is_some_and(|total| spool.written() < total) {
        return Err(Wrong::Broken(anyhow::anyhow!("it ended too early")));
    }
    if spool.written() < MAGIC.len() as u64 {
        return Err(not_a_dump(if spool.written() == 0 { " but empty" } else { "" }).into());
    }
    Ok(())
}

fn check_head(head: &[u8], is_page: bool) -> Result<()> {
    let length = head.len().min(MAGIC.len());
    if head[..length] == MAGIC[..length] {
        return Ok(());
    }
    let is_page = is_page || head.first() == Some(&b'<');
    Err(not_a_dump(if is_page { " but a web page (HTML)" } else { "" }))
}

fn not_a_dump(but: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "the backup url is invalid: what is there is not a dump in PostgreSQL's custom format{but}; \
         make it with pg_dump -Fc"
    )
}

fn broken(error: reqwest::Error) -> Wrong {
    // The address may hold a signature; the innermost cause says it best.
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    Wrong::Broken(anyhow::anyhow!("{cause}"))
}

fn text(response: &Response, header: &str) -> Option<String> {
    Some(response.headers().get(header)?.to_str().ok()?.to_owned())
}

/// The first byte of a partial answer: `bytes 5-9/10`.
fn begin_of(response: &Response) -> Option<u64> {
    let range = text(response, CONTENT_RANGE.as_str())?;
    range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}

/// Asks for what begins at a byte. Wherever it is sent on to is checked as the first address was.
async fn ask(job: &Job, url: &Url, from: u64, tag: Option<&str>) -> Result<Response, Wrong> {
    let mut url = url.clone();
    for _ in 0..=REDIRECTS {
        let mut request = client(job, &url).await?.get(url.clone());
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
            if let Some(tag) = tag {
                request = request.header(IF_RANGE, tag);
            }
        }
        let response = request.send().await.map_err(broken)?;
        let status = response.status();
        if status.is_redirection() {
            let to = text(&response, LOCATION.as_str()).and_then(|to| url.join(&to).ok());
            url = to.filter(is_web).context("the backup url is invalid: it leads nowhere")?;
        } else if status.is_success() {
            return Ok(response);
        } else if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(Wrong::Broken(anyhow::anyhow!("it answers {status}")));
        } else {
            let hint = if [401, 403, 404, 410].contains(&status.as_u16()) {
                "; it may have expired"
            } else {
                ""
            };
            return Err(
                anyhow::anyhow!("the backup url is invalid: it answers {status}{hint}").into()
            );
        }
    }
    Err(anyhow::anyhow!("the backup url is invalid: it is redirected more than {REDIRECTS} times")
        .into())
}

/// A client that can only connect to the address that was checked.
async fn client(job: &Job, url: &Url) -> Result<Client> {
    let Some(host) = url.host_str() else { bail!("the backup url is invalid: it has no host") };
    let port = url.port_or_known_default().unwrap_or(443);
    let address = address::find(host, port, &job.shared.allowed).await?;
    Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .resolve(host, SocketAddr::new(address, port))
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        .user_agent("howdah")
        .build()
        .context("prepare a request")
}
