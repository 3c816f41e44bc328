//! The upload URL. Finds the upload, tells the dialects apart, and hands on.

mod dialect;
mod slice;
mod slice_error;
mod slice_headers;

use actix_web::{HttpRequest, HttpResponse, http::Method, web};

pub use dialect::Dialect;

use super::{
    App, native,
    problem::{self, Fault, RequestFault},
    request_id::RequestId,
    target::{self, Target},
};

/// Mounts the three forms of the upload URL.
pub fn configure(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/imagestore/upload/{key}").default_service(web::to(by_path)))
        .service(web::resource("/imagestore/upload").default_service(web::to(by_header)));
}

async fn by_path(app: web::Data<App>, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    let target = target::of_path(&app, &request).await;
    dispatch(&app, &request, target, payload).await
}

async fn by_header(
    app: web::Data<App>,
    request: HttpRequest,
    payload: web::Payload,
) -> HttpResponse {
    let target = target::of_header(&app, &request).await;
    dispatch(&app, &request, target, payload).await
}

async fn dispatch(
    app: &App,
    request: &HttpRequest,
    target: Result<Target, Fault>,
    payload: web::Payload,
) -> HttpResponse {
    if request.method() == Method::OPTIONS {
        return HttpResponse::NoContent().insert_header(("Allow", native::UPLOAD_METHODS)).finish();
    }
    let not_offered = match Dialect::of(request.method(), request.headers()) {
        Dialect::ZstackSlice => return slice::post(app, request, target, payload).await,
        Dialect::Native => return native::serve(app, request, target, payload).await,
        Dialect::Tus => "tus",
        Dialect::Ietf => "resumable uploads of the IETF draft",
    };
    let fault = target.err().unwrap_or(RequestFault::NotOffered(not_offered).into());
    problem::answer(&fault, RequestId::of(request))
}
