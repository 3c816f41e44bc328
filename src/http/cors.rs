//! Which browsers may use the control plane: those of the origins that the operator named, without cookies.

use actix_web::{
    Error, HttpResponse,
    body::{EitherBody, MessageBody},
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
    "Authorization, Content-Type, X-Job-UUID, X-JSON-Schema, X-Request-Id",
);
const EXPOSED: HeaderValue = HeaderValue::from_static("X-Request-Id");
const MAX_AGE_SECS: HeaderValue = HeaderValue::from_static("600");

/// Middleware: answers OPTIONS, and tells browsers of allowed origins that they may read the answer.
pub async fn allow_origins<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let origin = allowed_origin(&request);
    let mut response = if request.method() == Method::OPTIONS {
        let mut answer = HttpResponse::NoContent();
        if origin.is_some() {
            answer.insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, METHODS));
            answer.insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS));
            answer.insert_header((header::ACCESS_CONTROL_MAX_AGE, MAX_AGE_SECS));
        }
        request.into_response(answer.finish()).map_into_right_body()
    } else {
        next.call(request).await?.map_into_left_body()
    };
    tell(response.headers_mut(), origin);
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
