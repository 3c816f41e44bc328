//! What the page asks for beside ZStack's calls: a URL for a download, and samples of an unfinished upload.

use actix_web::{HttpRequest, HttpResponse, http::header, web};

use crate::{
    accounts::Download,
    domain::ids::ImageUuid,
    http::{
        App,
        caller::caller,
        download,
        problem::{self, Fault, RequestFault},
        request_id::RequestId,
        target::last_segment,
    },
    uploads::UploadError,
    wire::page::{DownloadUrl, SampleDigest, Samples},
};

/// `POST /v1/images/<uuid>/download-url`: a URL that a browser can save the image from for five minutes.
pub(super) async fn download_url(
    app: web::Data<App>,
    request: HttpRequest,
    uuid: web::Path<String>,
) -> HttpResponse {
    told(&request, url_for(&app, &request, &uuid).await)
}

async fn url_for(app: &App, request: &HttpRequest, uuid: &str) -> Result<DownloadUrl, Fault> {
    let reader = caller(app, request).await?;
    let image: ImageUuid = uuid.parse().map_err(|_| RequestFault::NoImage)?;
    let found = app.uploads.ready_image(reader, image).await.map_err(no_image)?;
    let generation = found.record.created_ms;
    let (capability, expires_ms) = app.downloads.issue(Download { image, generation, reader });
    Ok(DownloadUrl { url: format!("/downloads/{capability}"), expires_ms })
}

/// `GET /downloads/<capability>`: the image, as `/images/<uuid>/content` answers it.
pub(super) async fn by_capability(app: web::Data<App>, request: HttpRequest) -> HttpResponse {
    let answered = serve(&app, &request).await;
    answered.unwrap_or_else(|fault| problem::answer(&fault, RequestId::of(&request)))
}

async fn serve(app: &App, request: &HttpRequest) -> Result<HttpResponse, Fault> {
    let segment = last_segment(request.uri().path()).ok_or(RequestFault::NoImage)?;
    let read = app.downloads.read(&segment).ok_or(RequestFault::NoImage)?;
    let found = app.uploads.ready_image(read.reader, read.image).await.map_err(no_image)?;
    if found.record.created_ms != read.generation {
        return Err(RequestFault::NoImage.into());
    }
    download::answer(app, request, read.reader, &found)
}

/// `GET /v1/images/<uuid>/samples`: digests of a few blocks of what the upload of an image has.
pub(super) async fn samples(
    app: web::Data<App>,
    request: HttpRequest,
    uuid: web::Path<String>,
) -> HttpResponse {
    told(&request, samples_of(&app, &request, &uuid).await)
}

async fn samples_of(app: &App, request: &HttpRequest, uuid: &str) -> Result<Samples, Fault> {
    let caller = caller(app, request).await?;
    let image: ImageUuid = uuid.parse().map_err(|_| UploadError::NotFound)?;
    let record = app.uploads.of_image(caller, image).await?;
    let samples = app
        .uploads
        .samples(caller, &record)
        .await?
        .into_iter()
        .map(|sample| SampleDigest { start: sample.start, end: sample.end, sha256: sample.sha256 });
    Ok(Samples { samples: samples.collect() })
}

fn no_image(error: UploadError) -> Fault {
    match error {
        UploadError::NotFound => RequestFault::NoImage.into(),
        other => other.into(),
    }
}

fn told(request: &HttpRequest, answered: Result<impl serde::Serialize, Fault>) -> HttpResponse {
    match answered {
        Ok(body) => {
            HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(body)
        }
        Err(fault) => problem::answer(&fault, RequestId::of(request)),
    }
}
