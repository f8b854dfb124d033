//! Logging in to the dashboard, and who is logged in. A session is an API token in a cookie.

use std::time::Duration;

use askama::Template;
use axum::Form;
use axum::extract::{FromRequestParts, State};
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse as _, Response};
use howdah_control::requests::{Error as Refusal, accounts};
use howdah_model::ids::{AccountId, TokenId};
use howdah_model::secret::Secret;
use howdah_store::accounts::Account;
use serde::Deserialize;

use super::pages::{Failed, Result, go_to, page};
use crate::Web;
use crate::error::Error;

/// The cookie of a session.
const NAME: &str = "howdah_session";

/// How long a session lasts.
const LASTS: Duration = Duration::from_secs(14 * 86_400);

/// What browsers say of where a form came from.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Who is logged in.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    pub(super) account: Account,
    token_id: TokenId,
    /// What every form of this session carries, so that no other site can send one.
    pub(super) csrf: String,
}

impl Visitor {
    pub(super) fn id(&self) -> AccountId {
        self.account.id
    }

    /// Refuses a form that does not come from a page of this session.
    pub(super) fn check(&self, csrf: &str) -> Result<()> {
        if csrf == self.csrf { Ok(()) } else { Err(stale().into()) }
    }
}

fn stale() -> Error {
    Error::new(
        StatusCode::FORBIDDEN,
        "forbidden",
        "The form is not from a page of this session. Load the page again and repeat.",
    )
}

impl FromRequestParts<Web> for Visitor {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self> {
        let token = cookie(&parts.headers).ok_or(Failed::LogIn)?;
        match accounts::bearer(web.control(), &token).await {
            Ok(bearer) => Ok(Self {
                account: bearer.account,
                token_id: bearer.token_id,
                csrf: accounts::derived(&token, "csrf"),
            }),
            Err(Refusal::Unauthorized) => Err(Failed::LogIn),
            Err(other) => Err(other.into()),
        }
    }
}

fn cookie(headers: &HeaderMap) -> Option<Secret> {
    let all = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.find(|(name, _)| name.trim() == NAME).map(|(_, value)| Secret::new(value.trim().into()))
}

#[derive(Template)]
#[template(path = "enter.html")]
struct Enter {
    title: &'static str,
    action: &'static str,
    autocomplete: &'static str,
    /// What the password has to be.
    hint: &'static str,
    other: &'static str,
    other_title: &'static str,
    email: String,
    problem: Option<String>,
}

fn enter_login(email: String, problem: Option<String>) -> Enter {
    Enter {
        title: "Log in",
        action: "/login",
        autocomplete: "current-password",
        hint: "or a key of the account: howdah auth:token prints one",
        other: "/signup",
        other_title: "No account yet? Sign up",
        email,
        problem,
    }
}

fn enter_signup(email: String, problem: Option<String>) -> Enter {
    Enter {
        title: "Sign up",
        action: "/signup",
        autocomplete: "new-password",
        hint: "8 characters or more",
        other: "/login",
        other_title: "Have an account? Log in",
        email,
        problem,
    }
}

pub(crate) async fn login() -> Response {
    page(StatusCode::OK, &enter_login(String::new(), None))
}

pub(crate) async fn signup() -> Response {
    page(StatusCode::OK, &enter_signup(String::new(), None))
}

/// E-mail address and password.
#[derive(Debug, Deserialize)]
pub(crate) struct Credentials {
    email: String,
    password: Secret,
}

pub(crate) async fn log_in(
    State(web): State<Web>,
    headers: HeaderMap,
    Form(given): Form<Credentials>,
) -> Result<Response> {
    refuse_other_sites(&headers)?;
    match accounts::log_in(web.control(), &given.email, &given.password).await {
        Ok(account) => begin(&web, &headers, &account).await,
        Err(Refusal::Unauthorized) => {
            let problem = "The e-mail address or the password is wrong.".to_owned();
            Ok(page(StatusCode::UNAUTHORIZED, &enter_login(given.email, Some(problem))))
        }
        Err(other) => Err(other.into()),
    }
}

pub(crate) async fn sign_up(
    State(web): State<Web>,
    headers: HeaderMap,
    Form(given): Form<Credentials>,
) -> Result<Response> {
    refuse_other_sites(&headers)?;
    match accounts::create(web.control(), &given.email, Some(&given.password)).await {
        Ok(account) => begin(&web, &headers, &account).await,
        Err(Refusal::Invalid(problem)) => {
            let form = enter_signup(given.email, Some(problem));
            Ok(page(StatusCode::UNPROCESSABLE_ENTITY, &form))
        }
        Err(other) => Err(other.into()),
    }
}

/// A form without a session carries no token; the browser itself says where it came from.
fn refuse_other_sites(headers: &HeaderMap) -> Result<()> {
    let site = headers.get(FETCH_SITE).and_then(|site| site.to_str().ok());
    if matches!(site, None | Some("same-origin" | "none")) { Ok(()) } else { Err(stale().into()) }
}

async fn begin(web: &Web, headers: &HeaderMap, account: &Account) -> Result<Response> {
    let (_, secret) =
        accounts::issue_token(web.control(), account.id, "Dashboard", Some(LASTS)).await?;
    let proto = headers.get("x-forwarded-proto").and_then(|proto| proto.to_str().ok());
    let secure = if proto == Some("https") { "; Secure" } else { "" };
    let cookie = format!(
        "{NAME}={}; HttpOnly; SameSite=Lax; Path=/; Max-Age={}{secure}",
        secret.reveal(),
        LASTS.as_secs()
    );
    Ok(([(SET_COOKIE, cookie)], go_to("/")).into_response())
}

/// A form with nothing but its token.
#[derive(Debug, Deserialize)]
pub(crate) struct Bare {
    pub(super) csrf: String,
}

pub(crate) async fn log_out(
    State(web): State<Web>,
    visitor: Visitor,
    Form(form): Form<Bare>,
) -> Result<Response> {
    visitor.check(&form.csrf)?;
    accounts::revoke_token(web.control(), visitor.id(), visitor.token_id).await?;
    let forget = format!("{NAME}=; HttpOnly; SameSite=Lax; Path=/; Max-Age=0");
    Ok(([(SET_COOKIE, forget)], go_to("/login")).into_response())
}
