//! Who asks: a token, as `Bearer TOKEN` or as the password of `Basic`.

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use howdah_control::requests::{self, accounts};
use howdah_model::ids::{AccountId, TokenId};
use howdah_model::secret::Secret;
use howdah_store::accounts::Account;

use crate::Web;
use crate::error::{Error, Result};

/// Who asks, and with which token.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// Who.
    pub(crate) account: Account,
    /// Which token.
    pub(crate) token_id: TokenId,
    /// The token itself, which its holder may be shown again.
    pub(crate) token: Secret,
    /// The platform's address as the client knows it, such as `http://127.0.0.1:5080`.
    pub(crate) origin: String,
}

impl Caller {
    /// Whose requests these are.
    pub(crate) fn id(&self) -> AccountId {
        self.account.id
    }
}

/// What an `Authorization: Basic` header carries.
#[derive(Debug)]
pub(crate) struct Basic {
    /// The name, often empty.
    pub(crate) user: String,
    /// The password, or a token.
    pub(crate) password: Secret,
}

/// Lets a request pass when its token is good, and tells the handlers whose it is.
pub(crate) async fn authenticate(
    State(web): State<Web>,
    mut request: Request,
    next: Next,
) -> Response {
    let caller = match caller(&web, request.headers()).await {
        Ok(caller) => caller,
        Err(error) => return error.into_response(),
    };
    let id = caller.id();
    request.extensions_mut().insert(caller);
    let mut response = next.run(request).await;
    response.extensions_mut().insert(id);
    response
}

async fn caller(web: &Web, headers: &HeaderMap) -> Result<Caller> {
    let token = token(headers).ok_or(requests::Error::Unauthorized)?;
    let bearer = accounts::bearer(web.control(), &token).await?;
    let origin = origin(headers);
    Ok(Caller { account: bearer.account, token_id: bearer.token_id, token, origin })
}

/// The platform's address as the client knows it: from the header `Host`, and `X-Forwarded-Proto`
/// of a proxy that adds TLS.
fn origin(headers: &HeaderMap) -> String {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let scheme = if text("x-forwarded-proto") == Some("https") { "https" } else { "http" };
    let named = |host: &&str| {
        !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".:-[]".contains(&b))
    };
    let host = text("host").filter(named).unwrap_or("localhost");
    format!("{scheme}://{host}")
}

/// The token of a request, as `Bearer TOKEN` or as the password of `Basic`.
pub(crate) fn token(headers: &HeaderMap) -> Option<Secret> {
    let (scheme, rest) = authorization(headers)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Secret::new(rest.to_owned()));
    }
    basic(headers).map(|basic| basic.password)
}

/// The `Authorization: Basic` header, if there is one.
pub(crate) fn basic(headers: &HeaderMap) -> Option<Basic> {
    let (scheme, rest) = authorization(headers)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some(Basic { user: user.to_owned(), password: Secret::new(password.to_owned()) })
}

fn authorization(headers: &HeaderMap) -> Option<(&str, &str)> {
    let (scheme, rest) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    Some((scheme, rest.trim()))
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| requests::Error::Unauthorized.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, value.parse().expect("a header"));
        token(&headers).map(|token| token.reveal().to_owned())
    }

    #[test]
    fn tokens_come_as_bearer_or_as_the_password_of_basic() {
        assert_eq!(read("Bearer abc"), Some("abc".into()));
        assert_eq!(read("bearer abc"), Some("abc".into()));
        assert_eq!(read(&format!("Basic {}", STANDARD.encode(":abc"))), Some("abc".into()));
        assert_eq!(read(&format!("Basic {}", STANDARD.encode("me@x:abc"))), Some("abc".into()));
        for bad in ["", "Bearer", "Basic !", "Digest abc", "Basic YWJj"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
