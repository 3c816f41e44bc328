//! Which browsers may use the service from pages of other origins, always without cookies: the control plane, and the making of
//! uploads, those of the origins that the operator named; an upload URL, all of them, because it is the secret itself.

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

/// What a page may send and read.
struct Told {
    methods: &'static str,
    headers: &'static str,
    exposed: &'static str,
}

const CONTROL: Told = Told {
    methods: "GET, POST, PUT, DELETE",
    headers: "Authorization, Content-Type, X-API-Timeout, X-Job-UUID, X-JSON-Schema, X-Request-Id, X-Web-Hook",
    exposed: "X-Request-Id",
};
const UPLOADS: Told = Told {
    methods: "GET, HEAD, POST, PUT, PATCH, DELETE",
    headers: "Authorization, Content-Disposition, Content-Digest, Content-Range, Content-Type, Repr-Digest, Tus-Resumable, \
        Upload-Checksum, Upload-Complete, Upload-Concat, Upload-Defer-Length, Upload-Draft-Interop-Version, Upload-Length, \
        Upload-Limit, Upload-Metadata, Upload-Offset, Want-Repr-Digest, X-Hash-Algorithm, X-HTTP-Method-Override, X-Image-Size, \
        X-Image-Uuid, X-Request-Id, X-Requested-With, X-Slice-Hash, X-Slice-Md5, X-Slice-Offset, X-Slice-Size",
    exposed: "Location, Repr-Digest, Retry-After, Tus-Checksum-Algorithm, Tus-Extension, Tus-Max-Size, Tus-Resumable, Tus-Version, \
        Upload-Complete, Upload-Concat, Upload-Defer-Length, Upload-Expires, Upload-Length, Upload-Limit, Upload-Metadata, \
        Upload-Offset, X-Request-Id",
};
const MAX_AGE_SECS: HeaderValue = HeaderValue::from_static("600");
const ANY: HeaderValue = HeaderValue::from_static("*");

/// Middleware of the control plane, for the origins that the operator named.
pub async fn allow_origins<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let origin = allowed_origin(&request);
    allow(request, next, origin, &CONTROL).await
}

/// Middleware of the data plane with a session, for the same origins.
pub async fn allow_uploads<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let origin = allowed_origin(&request);
    allow(request, next, origin, &UPLOADS).await
}

/// Middleware of upload URLs, for every origin.
pub async fn allow_all<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let origin = request.headers().contains_key(header::ORIGIN).then_some(ANY);
    allow(request, next, origin, &UPLOADS).await
}

async fn allow<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
    origin: Option<HeaderValue>,
    told: &Told,
) -> Result<ServiceResponse<B>, Error> {
    let is_preflight = request.method() == Method::OPTIONS;
    let mut response = next.call(request).await?;
    let headers = response.headers_mut();
    if is_preflight && origin.is_some() {
        let value = HeaderValue::from_static;
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, value(told.methods));
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, value(told.headers));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE_SECS);
    }
    tell(headers, origin, told);
    Ok(response)
}

fn allowed_origin(request: &ServiceRequest) -> Option<HeaderValue> {
    let origin = request.headers().get(header::ORIGIN)?;
    let text = origin.to_str().ok()?;
    let app = request.app_data::<web::Data<App>>()?;
    app.settings.cors_origins.iter().any(|allowed| allowed == text).then(|| origin.clone())
}

fn tell(headers: &mut HeaderMap, origin: Option<HeaderValue>, told: &Told) {
    // The answer depends on Origin also where it is not allowed: caches have to know.
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let exposed = HeaderValue::from_static(told.exposed);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
}
