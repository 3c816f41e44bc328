//! Images: add, query, delete, and where the upload of one stands.

use actix_web::{HttpRequest, HttpResponse, web};
use percent_encoding::percent_decode_str;

use super::{
    body::{Body, Params},
    call::{Call, Work},
    error::{Fault, Refusal},
    query,
    render::{self, Tags, Urls},
    reply::StoredReply,
};
use crate::{
    domain::{
        ids::ImageUuid,
        image_id::ImageId,
        query::{Condition, Operator, Page},
        upload::{Completion, ExpectedDigests},
    },
    jobs::{JobError, Kept, NewJob, UploadJobDetails as Found},
    wire::zstack::{Element, Empty, ExistingJobs, ImageInventory, Schema, UploadJobDetails},
};

const ADD: &str = "org.zstack.header.image.APIAddImageMsg";

/// AddImage: the same upload as by a long job, answered with the image.
pub(super) async fn add(call: Call, body: Body) -> Result<HttpResponse, Fault> {
    let params = body.params(ADD)?;
    // Boxed: submitting opens files, and its future is larger than what a stack should carry about.
    call.accept(Kept::Durably, |work| Box::pin(added(work, params))).await
}

async fn added(work: Work, mut params: Params) -> Result<StoredReply, Refusal> {
    let (system_tags, user_tags) = params.tags()?;
    let image = serde_json::from_value(params.rest().into())
        .map_err(|error| Refusal::invalid(format!("message[{ADD}] does not fit: {error}")))?;
    let new = NewJob {
        uuid: None,
        name: None,
        description: None,
        image,
        system_tags,
        user_tags,
        api_id: work.api_id,
        completion: Completion::ByLength,
        expected: ExpectedDigests::default(),
        length: None,
    };
    let view = work.app.jobs.submit(work.caller, new).await?;
    let image = view
        .image
        .as_ref()
        .ok_or_else(|| Refusal::Defect("a job that was just submitted has no image".to_owned()))?;
    render::image_reply(&work, image, view.upload.as_ref()).await
}

/// QueryImage.
pub(super) async fn query_all(call: Call, request: HttpRequest) -> Result<HttpResponse, Fault> {
    query(call, &request, None).await
}

/// QueryImage by uuid: an empty list where there is none.
pub(super) async fn query_one(
    call: Call,
    request: HttpRequest,
    uuid: web::Path<String>,
) -> Result<HttpResponse, Fault> {
    query(call, &request, Some(uuid.into_inner())).await
}

async fn query(
    call: Call,
    request: &HttpRequest,
    uuid: Option<String>,
) -> Result<HttpResponse, Fault> {
    let caller = call.caller().await?;
    let asked = query::read::<ImageInventory>(request.query_string(), call.zone())?;
    let mut asked = call.check(asked)?;
    let page = match uuid {
        Some(uuid) if uuid.parse::<ImageUuid>().is_err() => Page { rows: vec![], total: None },
        uuid => {
            asked.query.conditions.extend(uuid.map(|value| Condition {
                field: "uuid".to_owned(),
                operator: Operator::Equal,
                value,
            }));
            let page = call.app.jobs.query_images(caller, &asked.query).await;
            call.check(page.map_err(|e| Refusal::of_query(e, ImageInventory::CLASS)))?
        }
    };
    let mut tags =
        call.check(Tags::of(&call.app.jobs, page.rows.iter().map(|row| &row.0)).await)?;
    let urls = Urls::Now(&call.app, &call.base);
    let rows = page
        .rows
        .iter()
        .map(|(image, upload)| render::image(image, upload.as_ref(), urls, &mut tags, call.zone()));
    let answer = query::answer(&asked, rows.collect(), page.total);
    call.check(answer)
}

/// DeleteImage: kept for a while, or removed at once with `deleteMode=Enforcing`.
pub(super) async fn delete(
    call: Call,
    request: HttpRequest,
    uuid: web::Path<String>,
) -> Result<HttpResponse, Fault> {
    let pairs = query::pairs(request.query_string())?;
    let mode = pairs.into_iter().find(|(name, _)| name == "deleteMode").map(|(_, mode)| mode);
    let uuid = uuid.into_inner();
    call.accept(Kept::Durably, |work| deleted(work, uuid, mode)).await
}

async fn deleted(work: Work, uuid: String, mode: Option<String>) -> Result<StoredReply, Refusal> {
    let enforcing = match mode.as_deref() {
        None | Some("" | "Permissive") => false,
        Some("Enforcing") => true,
        Some(other) => {
            let other: String = other.chars().take(32).collect();
            return Err(Refusal::invalid(format!(
                "valid value for field[deleteMode] of message[org.zstack.header.image.APIDeleteImageMsg] are [Permissive, Enforcing], but {other} found"
            )));
        }
    };
    let shown = || uuid.chars().take(64).collect();
    let image = uuid.parse().map_err(|_| JobError::ImageNotFound { uuid: shown() })?;
    work.app.jobs.delete_image(work.caller, image, enforcing).await?;
    work.done(Empty {}, Schema::default())
}

/// GetUploadImageJobDetails, by GET as the SDKs do and by PUT as the vendor's page has it.
pub(super) async fn details(
    call: Call,
    request: HttpRequest,
    _tags: Body,
) -> Result<HttpResponse, Fault> {
    let caller = call.caller().await?;
    let image_id = call.check(image_id(request.uri().path()))?;
    let found = call.check(call.app.jobs.details(caller, &image_id).await)?;
    let jobs: Vec<_> = found.iter().map(|found| existing(found, &call)).collect();
    let schema = Schema::list("existingJobDetails", &jobs, None);
    let existing_job_details = Some(jobs).filter(|jobs| !jobs.is_empty());
    Ok(call.reply(ExistingJobs { success: true, existing_job_details }, schema))
}

/// The last segment of the path as it came: the router decodes by halves and replaces what is no UTF-8.
fn image_id(path: &str) -> Result<ImageId, Refusal> {
    let segment = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let text = percent_decode_str(segment)
        .decode_utf8()
        .map_err(|_| Refusal::invalid("parameter imageId is not UTF-8"))?;
    text.parse().map_err(|error| Refusal::invalid(format!("parameter imageId: {error}")))
}

fn existing(found: &Found, call: &Call) -> UploadJobDetails {
    let upload = &found.upload;
    UploadJobDetails {
        long_job_uuid: found.job.uuid.to_string(),
        long_job_state: found.job.state.name().to_owned(),
        image_uuid: upload.image.to_string(),
        image_upload_url: call.base.upload(&call.app, upload.uuid, upload.url_generation),
        offset: found.offset,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_id_is_one_segment_of_any_text() {
        let read = |segment: &str| {
            image_id(&format!("/zstack/v1/images/upload-job/details/{segment}"))
                .map(|id| id.as_str().to_owned())
        };
        for (segment, text) in [
            ("fcd82e153fa06b08d3ada77685e6158f", "fcd82e153fa06b08d3ada77685e6158f"),
            ("a%2Fb", "a/b"),
            ("%252F", "%2F"),
            ("a+b%20c", "a+b c"),
            ("%E6%97%A5", "日"),
            ("..%2f..", "../.."),
        ] {
            assert_eq!(read(segment).as_deref(), Ok(text), "{segment}");
        }
        for bad in ["%FF", "%00", "%0A", &"x".repeat(1025)] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
