//! Agents as they are reached for real: HTTP over a unix socket or over the network.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use howdah_model::agent::{DatabaseLook, ParticipantSpec, Refusal, ServerObservation, Wanted};
use howdah_model::ids::{ParticipantId, TimelineId};
use howdah_model::name::DatabaseName;
use howdah_store::servers::Server;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Answer, Failure, Servers, Terminate};

/// How long an agent may take to answer, beyond what it was asked to wait.
const BOUND: Duration = Duration::from_secs(5);

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
}
