//! The upload URL. Finds the upload, tells the dialects apart, and hands on.

mod dialect;
mod slice;
mod slice_error;
mod slice_headers;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        Method,
        header::{HeaderMap, HeaderName},
    },
    web,
};

pub use dialect::Dialect;

use super::{
    App, ietf, native,
    problem::Fault,
    refuse_method,
    resumable::upload_limit,
    routes::{Access, Browsers, Table, at, delete, get, head, patch, post, put},
    target::{self, Target},
    tus,
};

/// The three forms of the upload URL (by the client's own key, by capability, by header), and the place where tus and IETF clients
/// make uploads.
pub(super) fn routes() -> Table {
    let secret = Access::Capability;
    Table::flat(refuse_method)
        .service(
            at("/uploads", [post().to(create)])
                .offering(tell_abilities)
                .for_browsers(Browsers::Listed),
        )
        .service(
            at(
                "/imagestore/upload/uploadImage::{image_id}",
                [
                    get().to(by_path),
                    head().to(by_path),
                    put().to(by_path),
                    post().to(by_path),
                    patch().to(by_path),
                    delete().to(by_path),
                ],
            )
            .offering(tell_abilities)
            .for_browsers(Browsers::Listed),
        )
        .service(
            at(
                "/imagestore/upload/{capability}",
                [
                    get().by(secret).to(by_path),
                    head().by(secret).to(by_path),
                    put().by(secret).to(by_path),
                    post().by(secret).to(by_path),
                    patch().by(secret).to(by_path),
                    delete().by(secret).to(by_path),
                ],
            )
            .offering(tell_abilities)
            .for_browsers(Browsers::All),
        )
        .service(
            at(
                "/imagestore/upload",
                [
                    get().to(by_header),
                    head().to(by_header),
                    put().to(by_header),
                    post().to(by_header),
                    patch().to(by_header),
                    delete().to(by_header),
                ],
            )
            .offering(tell_abilities)
            .for_browsers(Browsers::Listed),
        )
}

/// What OPTIONS tells, the same to everybody and for every upload.
fn tell_abilities(app: &App, headers: &mut HeaderMap) {
    tus::tell_abilities(app, headers);
    if let Ok(limit) = upload_limit(app).parse() {
        headers.insert(HeaderName::from_static("upload-limit"), limit);
    }
}

async fn create(app: web::Data<App>, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    match Dialect::of(request.method(), request.headers()) {
        Dialect::Ietf => ietf::create(&app, &request, payload).await,
        // Whoever names no protocol is told which there are.
        Dialect::Tus | Dialect::ZstackSlice | Dialect::Native => {
            tus::create(&app, &request, payload).await
        }
    }
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
    match Dialect::of(request.method(), request.headers()) {
        Dialect::ZstackSlice => slice::post(app, request, target, payload).await,
        // Only of a tus client that forgot to say so: it is told.
        Dialect::Native if *request.method() == Method::PATCH => {
            tus::serve(app, request, target, payload).await
        }
        Dialect::Native => native::serve(app, request, target, payload).await,
        Dialect::Tus => tus::serve(app, request, target, payload).await,
        Dialect::Ietf => ietf::serve(app, request, target, payload).await,
    }
}
