//! The upload URL. Finds the upload, tells the dialects apart, and hands on.

mod dialect;
mod slice;
mod slice_error;
mod slice_headers;

use actix_web::{HttpRequest, HttpResponse, web};

pub use dialect::Dialect;

use super::{
    App, native,
    problem::{self, Fault, RequestFault},
    refuse_method,
    request_id::RequestId,
    routes::{Access, Table, at, delete, get, head, post, put},
    target::{self, Target},
};

const TUS: &str = "tus";
const IETF: &str = "resumable uploads of the IETF draft";

/// The three forms of the upload URL: by the client's own key, by capability, by header.
pub(super) fn routes() -> Table {
    let secret = Access::Capability;
    Table::flat(refuse)
        .service(at(
            "/imagestore/upload/uploadImage::{image_id}",
            [
                get().to(by_path),
                head().to(by_path),
                put().to(by_path),
                post().to(by_path),
                delete().to(by_path),
            ],
        ))
        .service(at(
            "/imagestore/upload/{capability}",
            [
                get().by(secret).to(by_path),
                head().by(secret).to(by_path),
                put().by(secret).to(by_path),
                post().by(secret).to(by_path),
                delete().by(secret).to(by_path),
            ],
        ))
        .service(at(
            "/imagestore/upload",
            [
                get().to(by_header),
                head().to(by_header),
                put().to(by_header),
                post().to(by_header),
                delete().to(by_header),
            ],
        ))
}

/// A method that no dialect on offer has may be another dialect's.
fn refuse(request: &HttpRequest, allow: &str) -> HttpResponse {
    match Dialect::of(request.method(), request.headers()) {
        Dialect::ZstackSlice | Dialect::Native => refuse_method(request, allow),
        Dialect::Tus => not_offered(request, TUS),
        Dialect::Ietf => not_offered(request, IETF),
    }
}

fn not_offered(request: &HttpRequest, dialect: &'static str) -> HttpResponse {
    problem::answer(&RequestFault::NotOffered(dialect).into(), RequestId::of(request))
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
    let dialect = match Dialect::of(request.method(), request.headers()) {
        Dialect::ZstackSlice => return slice::post(app, request, target, payload).await,
        Dialect::Native => return native::serve(app, request, target, payload).await,
        Dialect::Tus => TUS,
        Dialect::Ietf => IETF,
    };
    match target {
        Ok(_) => not_offered(request, dialect),
        Err(fault) => problem::answer(&fault, RequestId::of(request)),
    }
}
