//! What browsers get where the API has something else at the same path, and what all pages share.

use axum::extract::Request;
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::pages::Failed;
use crate::error::Error;

/// The style of all pages.
pub(crate) async fn style() -> Response {
    let headers = [(CONTENT_TYPE, "text/css; charset=utf-8"), (CACHE_CONTROL, "max-age=3600")];
    (headers, include_str!("../../templates/howdah.css")).into_response()
}

/// The sign of all pages, for the browser's tab.
pub(crate) async fn icon() -> Response {
    let headers = [(CONTENT_TYPE, "image/svg+xml"), (CACHE_CONTROL, "max-age=86400")];
    (headers, include_str!("../../templates/howdah.svg")).into_response()
}

/// Sends browsers to the page where the API has an object at the same path, and shows them a page
/// where it refuses.
pub(crate) async fn to_pages(mut request: Request, next: Next) -> Response {
    if request.method() != Method::GET || !accepts_pages(request.headers()) {
        return next.run(request).await;
    }
    if let Some(uri) = page_of(request.uri()) {
        *request.uri_mut() = uri;
    }
    let response = next.run(request).await;
    if is_refusal(&response) { no_such_page() } else { response }
}

fn accepts_pages(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}

/// The page of an object of the API: `/apps` and `/apps/NAME` have one.
fn page_of(uri: &Uri) -> Option<Uri> {
    let path = match uri.path().strip_prefix("/apps")?.strip_prefix('/') {
        None if uri.path() == "/apps" => "/".to_owned(),
        Some("") => "/".to_owned(),
        Some(name) if !name.contains('/') => format!("/dashboard/apps/{name}"),
        None | Some(_) => return None,
    };
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    format!("{path}{query}").parse().ok()
}

/// Whether the API says, in JSON, that there is nothing to see.
fn is_refusal(response: &Response) -> bool {
    let refused = [StatusCode::UNAUTHORIZED, StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED];
    let json = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    json && refused.contains(&response.status())
}

fn no_such_page() -> Response {
    let message = "There is no page at this address. Apps and their databases start from the list \
                   of apps.";
    Failed::Error(Error::new(StatusCode::NOT_FOUND, "not_found", message)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_apps_of_the_api_have_pages_and_keep_their_query() {
        let page = |uri: &str| page_of(&uri.parse().expect("a URI")).map(|uri| uri.to_string());
        assert_eq!(page("/apps"), Some("/".into()));
        assert_eq!(page("/apps/"), Some("/".into()));
        assert_eq!(page("/apps/demo"), Some("/dashboard/apps/demo".into()));
        assert_eq!(page("/apps/demo?added=x"), Some("/dashboard/apps/demo?added=x".into()));
        for other in ["/", "/apps/demo/config-vars", "/appsdemo", "/addons"] {
            assert_eq!(page(other), None, "{other}");
        }
    }
}
