//! Which browsers may use the control plane: those of the origins that the operator named, without cookies.

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method,
        header::{self, HeaderMap, HeaderValue},
    },
    middleware::Next,
    web,
};

use super::App;

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, DELETE");
const HEADERS: HeaderValue = HeaderValue::from_static(
    "Authorization, Content-Type, X-API-Timeout, X-Job-UUID, X-JSON-Schema, X-Request-Id, X-Web-Hook",
);
const EXPOSED: HeaderValue = HeaderValue::from_static("X-Request-Id");
const MAX_AGE_SECS: HeaderValue = HeaderValue::from_static("600");

/// Middleware: tells browsers of allowed origins what they may send, and that they may read the answer.
pub async fn allow_origins<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let origin = allowed_origin(&request);
    let is_preflight = request.method() == Method::OPTIONS;
    let mut response = next.call(request).await?;
    let headers = response.headers_mut();
    if is_preflight && origin.is_some() {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE_SECS);
    }
    tell(headers, origin);
    Ok(response)
}

fn allowed_origin(request: &ServiceRequest) -> Option<HeaderValue> {
    let origin = request.headers().get(header::ORIGIN)?;
    let text = origin.to_str().ok()?;
    let app = request.app_data::<web::Data<App>>()?;
    app.settings.cors_origins.iter().any(|allowed| allowed == text).then(|| origin.clone())
}

fn tell(headers: &mut HeaderMap, origin: Option<HeaderValue>) {
    // The answer depends on Origin also where it is not allowed: caches have to know.
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
}
