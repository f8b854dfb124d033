//! api: any request of the API, as it is (A9).

use reqwest::Method;
use serde_json::Value;

use crate::api::{Call, Identity};
use crate::command::{Argument, Command, Group, Opt, Times, command};
use crate::failure::Failure;
use crate::given::Given;
use crate::session::Session;

pub(super) const COMMANDS: &[Command] =
    &[command("api", Group::Operate, "Send a request to the API", |s, g| Box::pin(run(s, g)))
        .arguments(&[
            Argument {
                name: "METHOD",
                times: Times::Once,
                means: "GET, POST, PATCH, PUT or DELETE",
            },
            Argument { name: "PATH", times: Times::Once, means: "such as /apps/demo" },
        ])
        .options(&[Opt::value(
            "data",
            Some('d'),
            "JSON",
            "the body; `-` reads it from standard input",
        )])
        .note("The answer is printed as it is, secrets included.")
        .examples(&[
            "howdah api GET /apps",
            "howdah api PATCH /apps/demo -d '{\"maintenance\": true}'",
        ])];

async fn run(session: &Session, given: &Given) -> Result<(), Failure> {
    let typed = given.needed("METHOD")?.to_uppercase();
    let known = ["GET", "POST", "PATCH", "PUT", "DELETE", "HEAD"];
    let method = typed.parse::<Method>().ok().filter(|_| known.contains(&typed.as_str()));
    let method =
        method.ok_or_else(|| Failure::usage(format!("METHOD is one of {}", known.join(", "))))?;
    let call = Call {
        method,
        url: session.api.typed_url(given.needed("PATH")?)?,
        body: body(session, given)?,
        range: None,
        identity: Identity::Key(session.key()?.clone()),
    };
    let answer = session.send(&call).await?;
    let Ok(value) = serde_json::from_slice::<Value>(&answer.body) else {
        session.screen.out_bytes(&answer.body);
        return Ok(());
    };
    session.answer("raw", &value, |page| page.line(&format!("{value:#}")))
}

fn body(session: &Session, given: &Given) -> Result<Option<Value>, Failure> {
    let Some(typed) = given.value("data") else { return Ok(None) };
    let text = match typed {
        "-" => session.screen.rest().map_err(|error| Failure::usage(error.to_string()))?,
        text => text.to_owned(),
    };
    let value = serde_json::from_str(&text);
    value.map(Some).map_err(|error| Failure::usage(format!("the body is not JSON: {error}")))
}
