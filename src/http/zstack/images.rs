//! Images: add, query, change, delete, recover, and where the upload of one stands.

use actix_web::{HttpRequest, HttpResponse, web};
use percent_encoding::percent_decode_str;

use super::{
    body::{Body, Params},
    call::{Call, Work},
    error::{Fault, Refusal},
    query::{self, Queried},
    render::{self, Tags, Urls},
    reply::StoredReply,
};
use crate::{
    domain::{
        account::Caller,
        ids::ImageUuid,
        image_id::ImageId,
        query::{Page, Query},
        text::shown,
        update_image::ImageChanges,
        upload::{Completion, ExpectedDigests},
    },
    jobs::{JobError, Kept, NewJob, UploadJobDetails as Found},
    wire::zstack::{Empty, ExistingJobs, ImageInventory, Schema, UploadJobDetails},
};

const ADD: &str = "org.zstack.header.image.APIAddImageMsg";
const DELETE: &str = "org.zstack.header.image.APIDeleteImageMsg";
/// Where a call says which storages it means.
const STORAGES: &str = "backupStorageUuids";
/// Longest name of an event.
const EVENT_CHARS_MAX: usize = 255;

/// What can be done with an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Update,
    ChangeState,
    Expunge,
    Recover,
}

const ACTIONS: [Action; 4] =
    [Action::Update, Action::ChangeState, Action::Expunge, Action::Recover];

impl Action {
    /// Its key in the body and its message.
    const fn named(self) -> (&'static str, &'static str) {
        match self {
            Self::Update => ("updateImage", "org.zstack.header.image.APIUpdateImageMsg"),
            Self::ChangeState => {
                ("changeImageState", "org.zstack.header.image.APIChangeImageStateMsg")
            }
            Self::Expunge => ("expungeImage", "org.zstack.header.image.APIExpungeImageMsg"),
            Self::Recover => ("recoverImage", "org.zstack.header.image.APIRecoverImageMsg"),
        }
    }
}

/// AddImage: the same upload as by a long job, answered with the image.
pub(super) async fn add(call: Call, body: Body) -> Result<HttpResponse, Fault> {
    let params = body.params(ADD)?;
    // Boxed: submitting opens files, and its future is larger than what a stack should carry about.
    call.accept(Kept::Durably, |work| Box::pin(added(work, params))).await
}

async fn added(work: Work, mut params: Params) -> Result<StoredReply, Refusal> {
    let (system_tags, user_tags) = params.tags()?;
    let image = serde_json::from_value(params.rest().into())
        .map_err(|error| Refusal::unreadable(&format!("message[{ADD}] does not fit"), &error))?;
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
        client_metadata: None,
    };
    let view = work.app.jobs.submit(work.caller, new).await?;
    let image = view
        .image
        .as_ref()
        .ok_or_else(|| Refusal::Defect("a job that was just submitted has no image".to_owned()))?;
    render::image_reply(&work, image, view.upload.as_ref()).await
}

impl Queried for ImageInventory {
    async fn find(call: &Call, caller: Caller, query: &Query) -> Result<Page<Self>, Refusal> {
        let page = call.app.jobs.query_images(caller, query).await.map_err(Self::refusal)?;
        let mut tags = Tags::of(&call.app.jobs, page.rows.iter().map(|row| &row.0)).await?;
        let urls = Urls::Now(&call.app, &call.base);
        let rows = page.rows.iter().map(|(image, upload)| {
            render::image(image, upload.as_ref(), urls, &mut tags, call.zone())
        });
        Ok(Page { rows: rows.collect(), total: page.total })
    }
}

/// UpdateImage, ChangeImageState, ExpungeImage and RecoverImage.
pub(super) async fn act(
    call: Call,
    request: HttpRequest,
    uuid: web::Path<String>,
    body: Body,
) -> Result<HttpResponse, Fault> {
    let (action, params) = body.action(&ACTIONS.map(Action::named), request.path())?;
    let uuid = uuid.into_inner();
    call.accept(Kept::Durably, move |work| acted(work, ACTIONS[action], uuid, params)).await
}

async fn acted(
    work: Work,
    action: Action,
    uuid: String,
    mut params: Params,
) -> Result<StoredReply, Refusal> {
    let uuid = image_uuid(&uuid)?;
    let (jobs, caller) = (&work.app.jobs, work.caller);
    let (image, upload) = match action {
        Action::Update => {
            let changes = serde_json::from_value(params.rest().into());
            let changes = changes.map_err(|error| {
                Refusal::unreadable(
                    &format!("message[{}] does not fit", Action::Update.named().1),
                    &error,
                )
            })?;
            jobs.update_image(caller, uuid, changes).await?
        }
        Action::ChangeState => {
            let event = params.needed("stateEvent", EVENT_CHARS_MAX)?;
            let changes = ImageChanges::of_state_event(&event).ok_or_else(|| {
                Refusal::invalid(format!(
                    "valid value for field[stateEvent] of message[{}] are [enable, disable], but {} found",
                    Action::ChangeState.named().1,
                    shown(&event)
                ))
            })?;
            jobs.update_image(caller, uuid, changes).await?
        }
        Action::Expunge => {
            jobs.expunge_image(caller, uuid, &params.texts(STORAGES)?).await?;
            return work.done(Empty {}, Schema::default());
        }
        Action::Recover => (jobs.recover_image(caller, uuid, params.texts(STORAGES)?).await?, None),
    };
    render::image_reply(&work, &image, upload.as_ref()).await
}

/// DeleteImage: kept for a while, or removed at once with `deleteMode=Enforcing`.
pub(super) async fn delete(
    call: Call,
    request: HttpRequest,
    uuid: web::Path<String>,
) -> Result<HttpResponse, Fault> {
    let pairs = query::pairs(request.query_string())?;
    let uuid = uuid.into_inner();
    call.accept(Kept::Durably, |work| deleted(work, uuid, pairs)).await
}

async fn deleted(
    work: Work,
    uuid: String,
    pairs: Vec<(String, String)>,
) -> Result<StoredReply, Refusal> {
    let mode = pairs.iter().find(|(name, _)| name == "deleteMode").map(|(_, mode)| mode.as_str());
    let enforcing = match mode {
        None | Some("" | "Permissive") => false,
        Some("Enforcing") => true,
        Some(other) => {
            return Err(Refusal::invalid(format!(
                "valid value for field[deleteMode] of message[{DELETE}] are [Permissive, Enforcing], but {} found",
                shown(other)
            )));
        }
    };
    // A list is repeated, or numbered: `backupStorageUuids.0=`.
    let is_storage = |name: &str| name.split('.').next() == Some(STORAGES);
    let storages = pairs.into_iter().filter(|(name, uuid)| is_storage(name) && !uuid.is_empty());
    let storages: Vec<_> = storages.map(|(_, uuid)| uuid).collect();
    let image = image_uuid(&uuid)?;
    work.app.jobs.delete_image(work.caller, image, enforcing, &storages).await?;
    work.done(Empty {}, Schema::default())
}

fn image_uuid(text: &str) -> Result<ImageUuid, JobError> {
    text.parse().map_err(|_| JobError::ImageNotFound { uuid: shown(text) })
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
