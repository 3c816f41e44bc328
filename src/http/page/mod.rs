//! The page: files of `web/` that are part of the program. They hold no secret and no state, so everybody may read them; what the
//! page shows it asks for through the same API as every other client, and through the few calls of `calls` and `events`.

mod assets;
mod calls;
mod events;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{self, AcceptEncoding, Encoding, Header},
    },
    web,
};

use super::{
    headers::{etag, list},
    problem::{self, RequestFault},
    refuse_method,
    request_id::RequestId,
    routes::{Access, Table, at, get, head, post},
};
use assets::Asset;

/// What a browser may load and do, for the page and, since it asks anew there, for the script of its worker. Nothing comes from another
/// host, no script or style stands in markup, no other page frames this one. WebAssembly computes the digests.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; \
    style-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'";
/// The first file that a browser asks for.
const INDEX: &str = "index.html";

/// The page and its parts.
pub(super) fn routes() -> Table {
    let url = Access::Capability;
    Table::flat(refuse_method)
        .service(at("/", [get().open().to(index), head().open().to(index)]))
        .service(at("/ui/{file:.*}", [get().open().to(part), head().open().to(part)]))
        .service(at("/v1/events", [get().to(events::events)]))
        .service(at("/v1/images/{uuid}/download-url", [post().to(calls::download_url)]))
        .service(at("/v1/images/{uuid}/samples", [get().to(calls::samples)]))
        .service(at(
            "/downloads/{capability}",
            [get().by(url).to(calls::by_capability), head().by(url).to(calls::by_capability)],
        ))
}

/// `GET /`: the page.
async fn index(request: HttpRequest) -> HttpResponse {
    answer(&request, INDEX).await
}

/// `GET /ui/<file>`: a part of it.
async fn part(request: HttpRequest, file: web::Path<String>) -> HttpResponse {
    answer(&request, &format!("ui/{file}")).await
}

async fn answer(request: &HttpRequest, path: &str) -> HttpResponse {
    let Some(asset) = Asset::find(path) else {
        return problem::answer(&RequestFault::NoSuchPath.into(), RequestId::of(request));
    };
    if !takes_gzip(request) {
        return asset_answer(request, asset);
    }
    let plain = asset.clone();
    let packed = web::block(|| asset.packed()).await;
    // While the service ends there may be no thread for it.
    asset_answer(request, packed.unwrap_or(plain))
}

/// Whether gzip is what the client likes best of it and the plain file. One who says nothing gets the plain file.
fn takes_gzip(request: &HttpRequest) -> bool {
    let offered = [Encoding::gzip(), Encoding::identity()];
    let is_said = request.headers().contains_key(header::ACCEPT_ENCODING);
    let accepted = AcceptEncoding::parse(request).ok().filter(|_| is_said);
    let chosen = accepted.and_then(|accepted| accepted.negotiate(offered.iter()));
    chosen.is_some_and(|chosen| chosen == Encoding::gzip())
}

fn asset_answer(request: &HttpRequest, asset: Asset) -> HttpResponse {
    let known = list(request.headers(), "if-none-match").unwrap_or_default();
    let unchanged = known.is_some_and(|tags| etag::any_matches(&tags, &asset.tag));
    let status = if unchanged { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
    let mut response = HttpResponse::build(status);
    response
        .insert_header((header::ETAG, asset.tag))
        // Asked for each time and answered with 304: a page of yesterday's server is a defect that nobody can see.
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((header::VARY, "Accept-Encoding"))
        .insert_header((header::CONTENT_TYPE, asset.media_type))
        .insert_header((header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .insert_header(("Cross-Origin-Opener-Policy", "same-origin"))
        .insert_header(("Cross-Origin-Resource-Policy", "same-origin"));
    if asset.is_packed {
        response.insert_header((header::CONTENT_ENCODING, "gzip"));
    }
    if unchanged { response.finish() } else { response.body(asset.bytes) }
}
