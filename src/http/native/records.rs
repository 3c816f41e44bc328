//! What is told of a job and of an image beside what other dialects know: the way that a job has come, what an image was found to be.

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use serde::Serialize;

use crate::{
    domain::ids::{ImageUuid, JobUuid},
    http::{
        App,
        caller::caller,
        problem::{self, Fault, RequestFault},
        request_id::RequestId,
    },
    jobs::JobError,
    wire::native::{ImageInspection, JobHistory},
};

/// `GET /v1/jobs/<uuid>/history`.
pub(super) async fn history(
    app: web::Data<App>,
    request: HttpRequest,
    uuid: web::Path<String>,
) -> HttpResponse {
    told(&request, history_of(&app, &request, &uuid).await)
}

async fn history_of(app: &App, request: &HttpRequest, uuid: &str) -> Result<JobHistory, Fault> {
    let caller = caller(app, request).await?;
    let job: JobUuid = uuid.parse().map_err(|_| RequestFault::NoJob)?;
    let changes = app.jobs.history(caller, job).await.map_err(|error| match error {
        JobError::NotFound { .. } => Fault::from(RequestFault::NoJob),
        other => other.into(),
    })?;
    Ok(JobHistory::of(changes))
}

/// `GET /v1/images/<uuid>/inspection`.
pub(super) async fn inspection(
    app: web::Data<App>,
    request: HttpRequest,
    uuid: web::Path<String>,
) -> HttpResponse {
    told(&request, inspection_of(&app, &request, &uuid).await)
}

async fn inspection_of(
    app: &App,
    request: &HttpRequest,
    uuid: &str,
) -> Result<ImageInspection, Fault> {
    let caller = caller(app, request).await?;
    let image: ImageUuid = uuid.parse().map_err(|_| RequestFault::NoImage)?;
    Ok(ImageInspection::of(&app.jobs.inspected_image(caller, image).await?))
}

fn told(request: &HttpRequest, answered: Result<impl Serialize, Fault>) -> HttpResponse {
    match answered {
        Ok(body) => {
            HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(body)
        }
        Err(fault) => problem::answer(&fault, RequestId::of(request)),
    }
}
