//! Every request has an id: in the answer, in the logs, in the words of a 500.

use std::time::Instant;

use actix_web::{
    Error, HttpMessage, HttpRequest,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Uri,
        header::{HeaderName, HeaderValue},
    },
    middleware::Next,
    web,
};
use tracing::Instrument;
use uuid::Uuid;

use super::App;
use crate::telemetry::{fully_decoded, redact_path};

/// Name of the header, both ways.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of one request: the client's own, or ours.
#[derive(Debug, Clone)]
pub struct RequestId(String);

impl RequestId {
    /// The id of this request; `-` outside [`observe`].
    pub fn of(request: &HttpRequest) -> String {
        request.extensions().get::<Self>().map_or_else(|| "-".to_owned(), |id| id.0.clone())
    }
}

/// What stands before a session in a path.
const SESSIONS: &str = "sessions";

/// Middleware: gives the request an id and a span, counts it, and writes one line of the access log. Paths are shown without secrets.
pub async fn observe<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let began = Instant::now();
    let id = given_id(&request).unwrap_or_else(|| Uuid::new_v4().simple().to_string());
    let (method, path) = (request.method().clone(), shown(request.uri()));
    let app = request.app_data::<web::Data<App>>().cloned();
    request.extensions_mut().insert(RequestId(id.clone()));
    let span = tracing::info_span!("request", request_id = %id, %method, path);
    let mut response = next.call(request).instrument(span).await?;
    if let Some(app) = app {
        let pattern = response.request().match_pattern();
        let route = pattern.as_deref().unwrap_or("unmatched");
        app.metrics.answered(route, method.as_str(), response.status().as_u16(), began.elapsed());
    }
    tracing::info!(
        target: "longshore::access",
        request_id = %id,
        %method,
        path,
        status = response.status().as_u16(),
        duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        "answered"
    );
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    Ok(response)
}

/// What logs show of a request's target: no capabilities and no sessions. The router decodes a path before it compares, and a path
/// that it does not know may hold a session all the same: so the place counts, not the whole path.
fn shown(target: &Uri) -> String {
    let text = target.path_and_query().map_or("/", |target| target.as_str());
    let (path, query) = text.split_at(text.find('?').unwrap_or(text.len()));
    let mut follows_sessions = false;
    let segments = path.split('/').map(|segment| {
        let is_session = std::mem::take(&mut follows_sessions) && !segment.is_empty();
        let decoded = fully_decoded(segment).unwrap_or_default().to_ascii_lowercase();
        follows_sessions = decoded.rsplit('/').next() == Some(SESSIONS);
        let holds_one = decoded.contains("sessions/");
        if is_session || holds_one { "[session]" } else { segment }
    });
    let path = segments.collect::<Vec<_>>().join("/");
    redact_path(&format!("{path}{query}")).into_owned()
}

/// The client's id, if it is one that logs can show.
fn given_id(request: &ServiceRequest) -> Option<String> {
    let text = request.headers().get(X_REQUEST_ID)?.to_str().ok()?;
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    ((1..=64).contains(&text.len()) && text.bytes().all(is_plain)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use actix_web::{App, HttpResponse, middleware::from_fn, test as http_test, web};

    use super::*;

    #[test]
    fn logs_hold_no_secrets() {
        let key = "v1.k1.3q2-7wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        for (target, expected) in [
            (
                "/zstack/v1/accounts/sessions/0123/valid?a=b",
                "/zstack/v1/accounts/sessions/[session]/valid?a=[redacted]",
            ),
            ("/zstack/v1/accounts/sessions/0123", "/zstack/v1/accounts/sessions/[session]"),
            ("//zstack/v1/accounts/sessions/0123", "//zstack/v1/accounts/sessions/[session]"),
            (
                "/zstack/v1/%61ccounts/session%73/0123/valid",
                "/zstack/v1/%61ccounts/session%73/[session]/valid",
            ),
            (
                "/zstack/v1/accounts/session%2573/0123/valid",
                "/zstack/v1/accounts/session%2573/[session]/valid",
            ),
            ("/zstack/v1/accounts/sessions%2F0123/valid", "/zstack/v1/accounts/[session]/valid"),
            ("/zstack/v1/accounts%252Fsessions/0123", "/zstack/v1/accounts%252Fsessions/[session]"),
            (&format!("/imagestore/upload/{key}"), "/imagestore/upload/[capability]"),
            ("/zstack/v1/longjobs?limit=5", "/zstack/v1/longjobs?limit=5"),
        ] {
            assert_eq!(shown(&target.parse().unwrap()), expected);
        }
    }

    #[actix_web::test]
    async fn a_plain_id_is_echoed_and_others_are_replaced() {
        let app = http_test::init_service(App::new().wrap(from_fn(observe)).default_service(
            web::to(|request: HttpRequest| async move {
                HttpResponse::Ok().body(RequestId::of(&request))
            }),
        ))
        .await;
        for (given, kept) in [("abc-1", true), ("a b", false), ("", false)] {
            let request = http_test::TestRequest::get().insert_header((X_REQUEST_ID, given));
            let response = http_test::call_service(&app, request.to_request()).await;
            let answered =
                response.headers().get(X_REQUEST_ID).unwrap().to_str().unwrap().to_owned();
            assert_eq!(answered == given, kept, "{given}");
            assert_eq!(http_test::read_body(response).await, answered);
        }
    }
}
