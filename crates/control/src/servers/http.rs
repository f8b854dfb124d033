//! Agents as they are reached for real: HTTP over a unix socket or over the network.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use howdah_model::agent::{DatabaseLook, ParticipantSpec, Refusal, ServerObservation, Wanted};
use howdah_model::diagnosis::{Asked, Check};
use howdah_model::ids::{LinkId, ParticipantId, TimelineId, TransferId};
use howdah_model::link::LinkSpec;
use howdah_model::name::{DatabaseName, LinkName};
use howdah_model::transfer::TransferSpec;
use howdah_store::servers::Server;
use reqwest::header::RANGE;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::{Answer, Chunks, Failure, Servers, Terminate};

/// How long an agent may take to answer, beyond what it was asked to wait.
const BOUND: Duration = Duration::from_secs(5);
/// How long it may take to erase a dump, which may have thousands of parts.
const ERASING: Duration = Duration::from_secs(60);
/// How long a dump may take to come.
const LONGEST_DUMP: Duration = Duration::from_secs(30 * 86_400);
/// How long the bytes of a dump may stand still.
const STILL: Duration = Duration::from_secs(60);

/// How long a change in a tenant's database may take: rights, links.
const CHANGE: Duration = Duration::from_secs(50);

/// The agents, by their addresses in the table `servers`.
#[derive(Debug, Default)]
pub struct HttpServers {
    clients: Mutex<HashMap<String, Client>>,
}

/// Where to send a request, and with which client.
struct Agent {
    client: Client,
    base: String,
}

impl HttpServers {
    fn agent(&self, server: &Server) -> Result<Agent, Failure> {
        let address = &server.agent;
        let unix = !address.starts_with("https://");
        let base = if unix { "http://agent" } else { address.trim_end_matches('/') };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(address) {
            return Ok(Agent { client: client.clone(), base: base.to_owned() });
        }
        let mut builder = Client::builder().connect_timeout(BOUND).no_proxy();
        if unix {
            builder = builder.unix_socket(address.as_str());
        }
        let client = builder.build().map_err(|error| unreachable(&error))?;
        clients.insert(address.clone(), client.clone());
        Ok(Agent { client, base: base.to_owned() })
    }
}

fn unreachable(error: &reqwest::Error) -> Failure {
    // The innermost cause says it best: `Connection refused`, `operation timed out`.
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    Failure::Unreachable(cause.to_string())
}

async fn send(request: RequestBuilder, bound: Duration) -> Result<Response, Failure> {
    let response = request.timeout(bound).send().await.map_err(|error| unreachable(&error))?;
    match response.status() {
        status if status.is_success() => Ok(response),
        StatusCode::CONFLICT => Err(Failure::Refused(read::<Refusal>(response).await?)),
        status => Err(Failure::Invalid(reason(status, response).await)),
    }
}

/// What the agent says of an error: a body with `message`, or text.
async fn reason(status: StatusCode, response: Response) -> String {
    #[derive(Deserialize)]
    struct Said {
        message: String,
    }
    let body = response.text().await.unwrap_or_default();
    match serde_json::from_str::<Said>(&body) {
        Ok(said) => said.message,
        Err(_) if body.is_empty() => status.to_string(),
        Err(_) => body.chars().take(500).collect(),
    }
}

fn stands_still() -> Failure {
    Failure::Unreachable("it stands still".to_owned())
}

/// The body of an answer, as it comes.
fn chunks(response: Response) -> Chunks {
    Box::pin(futures_util::stream::try_unfold(response, |mut response| async move {
        let chunk = timeout(STILL, response.chunk()).await.map_err(|_| stands_still())?;
        let chunk = chunk.map_err(|error| unreachable(&error))?;
        Ok(chunk.map(|chunk| (chunk, response)))
    }))
}

async fn read<T: DeserializeOwned>(response: Response) -> Result<T, Failure> {
    response.json().await.map_err(|error| unreachable(&error))
}

impl Servers for HttpServers {
    fn put<'a>(&'a self, server: &'a Server, spec: &'a ParticipantSpec) -> Answer<'a, ()> {
        Box::pin(async move {
            let Agent { client, base } = self.agent(server)?;
            let request = client.put(format!("{base}/participants/{}", spec.id)).json(spec);
            send(request, BOUND).await.map(|_| ())
        })
    }

    fn observe<'a>(
        &'a self,
        server: &'a Server,
        after: Option<u64>,
        wait: Duration,
    ) -> Answer<'a, ServerObservation> {
        Box::pin(async move {
            let Agent { client, base } = self.agent(server)?;
            let mut url = format!("{base}/observation?wait_ms={}", wait.as_millis());
            if let Some(after) = after {
                url += &format!("&after={after}");
            }
            read(send(client.get(url), wait + BOUND).await?).await
        })
    }

    fn erase<'a>(&'a self, server: &'a Server, timeline: TimelineId) -> Answer<'a, ()> {
        Box::pin(async move {
            let Agent { client, base } = self.agent(server)?;
            let wanted = serde_json::json!({ "wanted": Wanted::Absent });
            let request = client.put(format!("{base}/timelines/{timeline}")).json(&wanted);
            let response =
                request.timeout(BOUND).send().await.map_err(|error| unreachable(&error))?;
            match response.status() {
                status if status.is_success() => Ok(()),
                status => Err(Failure::Invalid(reason(status, response).await)),
            }
        })
    }

    fn put_transfer<'a>(&'a self, server: &'a Server, spec: &'a TransferSpec) -> Answer<'a, ()> {
        Box::pin(async move {
            let Agent { client, base } = self.agent(server)?;
            let request = client.put(format!("{base}/transfers/{}", spec.id)).json(spec);
            send(request, BOUND).await.map(|_| ())
        })
    }

    fn delete_dump<'a>(&'a self, server: &'a Server, dump: TransferId) -> Answer<'a, ()> {
        Box::pin(async move {
            let Agent { client, base } = self.agent(server)?;
            send(client.delete(format!("{base}/dumps/{dump}")), ERASING).await.map(|_| ())
        })
    }

    fn read_dump<'a>(
        &'a self,
        server: &'a Server,
        dump: TransferId,
        range: RangeInclusive<u64>,
    ) -> Answer<'a, Chunks> {
        Box::pin(async move {
            let Agent { client, base } = self.agent(server)?;
            let range = format!("bytes={}-{}", range.start(), range.end());
            let request = client.get(format!("{base}/dumps/{dump}")).header(RANGE, range);
            let response = timeout(STILL, request.send()).await.map_err(|_| stands_still())?;
            let response = response.map_err(|error| unreachable(&error))?;
            match response.status() {
                status if status.is_success() => Ok(chunks(response)),
                status => Err(Failure::Invalid(reason(status, response).await)),
            }
        })
    }

    fn write_dump<'a>(
        &'a self,
        server: &'a Server,
        dump: TransferId,
        content: Chunks,
    ) -> Answer<'a, ()> {
        Box::pin(async move {
            let Agent { client, base } = self.agent(server)?;
            let request = client.put(format!("{base}/dumps/{dump}"));
            // Whoever sends it has a bound of its own on standing still.
            let request = request.body(reqwest::Body::wrap_stream(content));
            send(request, LONGEST_DUMP).await.map(|_| ())
        })
    }

    fn look<'a>(
        &'a self,
        server: &'a Server,
        participant: ParticipantId,
        database: &'a DatabaseName,
    ) -> Answer<'a, DatabaseLook> {
        Box::pin(async move {
            let Agent { client, base } = self.agent(server)?;
            let url = format!("{base}/participants/{participant}/databases/{database}/look");
            read(send(client.post(url), BOUND).await?).await
        })
    }

    fn terminate<'a>(
        &'a self,
        server: &'a Server,
        participant: ParticipantId,
        database: &'a DatabaseName,
        which: Terminate,
    ) -> Answer<'a, u32> {
        #[derive(Deserialize)]
        struct Terminated {
            terminated: u32,
        }
        Box::pin(async move {
            let Agent { client, base } = self.agent(server)?;
            let url = format!("{base}/participants/{participant}/databases/{database}/terminate");
            let response = send(client.post(url).json(&which), BOUND).await?;
            Ok(read::<Terminated>(response).await?.terminated)
        })
    }

    fn link<'a>(
        &'a self,
        server: &'a Server,
        (participant, database): (ParticipantId, &'a DatabaseName),
        link: &'a LinkSpec,
    ) -> Answer<'a, ()> {
        Box::pin(async move {
            let Agent { client, base } = self.agent(server)?;
            let name = &link.name;
            let url =
                format!("{base}/participants/{participant}/databases/{database}/links/{name}");
            send(client.put(url).json(link), CHANGE).await.map(|_| ())
        })
    }

    fn unlink<'a>(
        &'a self,
        server: &'a Server,
        (participant, database): (ParticipantId, &'a DatabaseName),
        (name, id): (&'a LinkName, LinkId),
    ) -> Answer<'a, ()> {
        Box::pin(async move {
            let Agent { client, base } = self.agent(server)?;
            let url =
                format!("{base}/participants/{participant}/databases/{database}/links/{name}");
            let gone = serde_json::json!({ "id": id });
            send(client.delete(url).json(&gone), CHANGE).await.map(|_| ())
        })
    }

    fn repair_default<'a>(
        &'a self,
        server: &'a Server,
        participant: ParticipantId,
        database: &'a DatabaseName,
    ) -> Answer<'a, ()> {
        Box::pin(async move {
            let Agent { client, base } = self.agent(server)?;
            let url =
                format!("{base}/participants/{participant}/databases/{database}/repair_default");
            send(client.post(url), CHANGE).await.map(|_| ())
        })
    }

    fn reset_statistics<'a>(
        &'a self,
        server: &'a Server,
        participant: ParticipantId,
        database: &'a DatabaseName,
    ) -> Answer<'a, ()> {
        Box::pin(async move {
            let Agent { client, base } = self.agent(server)?;
            let url = format!("{base}/participants/{participant}/databases/{database}/stats_reset");
            send(client.post(url), BOUND).await.map(|_| ())
        })
    }

    fn diagnose<'a>(
        &'a self,
        server: &'a Server,
        participant: ParticipantId,
        database: &'a DatabaseName,
        asked: Asked,
    ) -> Answer<'a, Vec<Check>> {
        /// A little longer than all checks may take.
        const LONG: Duration = Duration::from_secs(32);
        Box::pin(async move {
            let Agent { client, base } = self.agent(server)?;
            let url = format!("{base}/participants/{participant}/databases/{database}/diagnose");
            read(send(client.post(url).json(&asked), LONG).await?).await
        })
    }
}
