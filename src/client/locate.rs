//! Finds the job that a file belongs to: one to go on with, an image that is there already, or a new one.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    api::{Api, JobAction, segment},
    changed::{self, Difference, IfChanged},
    compare::{announce, ended_as, file_as_declared, finish_with_events},
    content::{BackgroundDigests, Content},
    error::ClientError,
    events::{Event, Sink},
    records::{ImageView, NewImage, UploadDetails},
    retry::{Policy, Trouble, millis, patiently},
    sender::{Sender, Verdict},
    uploader::ReadyImage,
};
use crate::{domain::image_id::ImageId, wire::native::StateName};

/// How often a submitted job may be absent from the details before that is an error.
const ABSENT_MAX: u32 = 3;
/// Between two looks for a job that was just submitted.
const ABSENT_PAUSE: Duration = Duration::from_millis(300);

/// Asking for a state sends nothing that could fall silent.
const SILENCE_MAX: Duration = Duration::from_mins(1);

/// Where the bytes of a file go.
#[derive(Debug, Clone)]
pub(super) struct JobPlace {
    /// The long job.
    pub(super) job_uuid: String,
    /// Its upload URL: a secret.
    pub(super) upload_url: String,
}

/// What was found.
pub(super) enum Located {
    /// A job that takes the bytes.
    Job(JobPlace),
    /// The image is there: nothing to send.
    Image(ReadyImage),
}

/// What is looked for.
pub(super) struct Wanted<'a> {
    pub(super) content: &'a Arc<Content>,
    pub(super) image_id: &'a ImageId,
    pub(super) image: &'a NewImage,
    pub(super) file_name: &'a str,
    pub(super) if_changed: IfChanged,
}

/// Finds or makes the job of a file.
pub(super) async fn locate(
    api: &Api,
    policy: &Policy,
    events: &Sink,
    wanted: &Wanted<'_>,
) -> Result<Located, ClientError> {
    let Wanted { content, image_id, image, file_name, .. } = *wanted;
    let mut trouble = Trouble::default();
    let mut submitted: Option<String> = None;
    let mut absent = 0;
    loop {
        // Asked before every submission: an answer that was lost may have been that of a job that exists.
        let found = patiently(policy, events, || api.upload_details(image_id)).await?;
        let transient = match (found, &submitted) {
            (Some(found), _) if found.long_job_state == StateName::Canceling => {
                "an earlier upload of this file is being canceled".to_owned()
            }
            (Some(found), _) => {
                let resumed = submitted.is_none();
                if resumed
                    && let Some(other) = other_content(api, content, &found).await?
                    && other
                        .decide(
                            wanted.if_changed,
                            content.path(),
                            &found.long_job_uuid,
                            (api, policy, events),
                        )
                        .await?
                {
                    continue;
                }
                return take_up(api, policy, events, image_id, found, resumed)
                    .await
                    .map(Located::Job);
            }
            (None, Some(job)) => {
                absent += 1;
                if absent >= ABSENT_MAX {
                    return Err(ended(api, policy, events, job).await?);
                }
                tokio::time::sleep(ABSENT_PAUSE).await;
                continue;
            }
            (None, None) => {
                if let Some(ready) = already_there(api, events, content, image_id, image).await? {
                    return Ok(Located::Image(ready));
                }
                match api.submit_upload(image, file_name, image_id, content.size()).await {
                    Ok(job) => {
                        submitted = Some(job.uuid);
                        continue;
                    }
                    Err(ClientError::Transient { words, .. }) => words,
                    Err(fatal) => return Err(fatal),
                }
            }
        };
        let wait = trouble.failed(Instant::now(), policy, &transient, None)?;
        events(&Event::Waiting { why: transient, wait_ms: millis(wait) });
        tokio::time::sleep(wait).await;
    }
}

/// Whether the file is another than the one that an upload of this name was begun with: by the length that was announced, and by
/// samples of what was sent. A server that does not answer these questions is no reason to stop.
async fn other_content(
    api: &Api,
    content: &Arc<Content>,
    found: &UploadDetails,
) -> Result<Option<Difference>, ClientError> {
    if content.file().is_none() {
        return Ok(None);
    }
    let url = &found.image_upload_url;
    let sender = Sender::new(url, Arc::clone(content), &found.long_job_uuid, SILENCE_MAX)?;
    if let Verdict::Stored(state) = sender.state().await
        && let Some(length) = state.length.filter(|&length| length != content.size())
    {
        let what = format!("its size was {length} bytes and is {}", content.size());
        return Ok(Some(Difference::of_content(what)));
    }
    changed::differs(api, content, &found.image_uuid).await
}

/// Finds out what became of a job whose upload URL leads nowhere. With `fruitless` a second URL of it led nowhere too.
pub(super) async fn relocate(
    api: &Api,
    policy: &Policy,
    events: &Sink,
    image_id: &ImageId,
    job_uuid: &str,
    fruitless: bool,
) -> Result<Located, ClientError> {
    let job = patiently(policy, events, || api.job(job_uuid)).await?;
    let state = job.as_ref().map(|job| job.state);
    if state == Some(StateName::Succeeded) {
        let image = job.and_then(|job| job.target_resource_uuid).unwrap_or_default();
        let image = patiently(policy, events, || api.image(&image)).await?;
        if let Some(image) = image {
            return Ok(Located::Image(ready_image(&image, Some(job_uuid.to_owned()))));
        }
    }
    if state.is_none_or(StateName::is_final) || fruitless {
        return Err(ended(api, policy, events, job_uuid).await?);
    }
    match patiently(policy, events, || api.upload_details(image_id)).await? {
        Some(found) => take_up(api, policy, events, image_id, found, true).await.map(Located::Job),
        None => Err(ended(api, policy, events, job_uuid).await?),
    }
}

async fn take_up(
    api: &Api,
    policy: &Policy,
    events: &Sink,
    image_id: &ImageId,
    found: UploadDetails,
    resumed: bool,
) -> Result<JobPlace, ClientError> {
    if found.long_job_state == StateName::Suspended {
        let resume = || api.act(&found.long_job_uuid, JobAction::Resume);
        match patiently(policy, events, resume).await {
            // It may have come to life by itself in between; bytes will tell.
            Ok(()) | Err(ClientError::Refused { .. }) => {}
            Err(fatal) => return Err(fatal),
        }
    }
    events(&Event::Located {
        job_uuid: found.long_job_uuid.clone(),
        image_uuid: found.image_uuid,
        image_id: image_id.to_string(),
        resumed,
        stored_bytes: found.offset,
    });
    Ok(JobPlace { job_uuid: found.long_job_uuid, upload_url: found.image_upload_url })
}

/// The image that an earlier upload of exactly this file made, under the same name. Only a whole SHA-256 decides that:
/// the IMAGE_ID is a sample. A server that cannot answer the question is no reason to stop; a file of another digest than was
/// declared is.
async fn already_there(
    api: &Api,
    events: &Sink,
    content: &Arc<Content>,
    image_id: &ImageId,
    image: &NewImage,
) -> Result<Option<ReadyImage>, ClientError> {
    if content.file().is_none() {
        return Ok(None); // Whoever compares a stream has used it up.
    }
    let tag = segment(&format!("__systemTag__=uploadImage::{image_id}"));
    let query = format!("q={tag}&q=state%3DSucceeded&sort=-createDate&limit=1");
    let Ok(page) = api.query_jobs(&query).await else { return Ok(None) };
    let Some(job) = page.inventories.into_iter().next() else { return Ok(None) };
    let Some(uuid) = job.target_resource_uuid else { return Ok(None) };
    let Ok(Some(there)) = api.image(&uuid).await else { return Ok(None) };
    let alike =
        there.status == "Ready" && there.actual_size == content.size() && there.name == image.name;
    let Some(sha256) = there.sha256().filter(|_| alike) else { return Ok(None) };
    let digests = BackgroundDigests::start(content);
    let local = finish_with_events(digests, content.size(), events).await?;
    if !local.sha256.eq_ignore_ascii_case(sha256) {
        return Ok(None);
    }
    file_as_declared(&local, &image.expected, &uuid)?;
    let words = format!("image {uuid} has exactly these bytes already; nothing is sent");
    events(&Event::Note { words });
    let ready = ReadyImage { verified: true, ..ready_image(&there, Some(job.uuid)) };
    announce(events, &ready);
    Ok(Some(ready))
}

fn ready_image(image: &ImageView, job_uuid: Option<String>) -> ReadyImage {
    ReadyImage {
        image_uuid: image.uuid.clone(),
        job_uuid,
        md5: image.md5().map(str::to_owned),
        sha256: image.sha256().map(str::to_owned),
        verified: false,
        sent_bytes: 0,
    }
}

/// The error that tells how a job ended that cannot be gone on with.
async fn ended(
    api: &Api,
    policy: &Policy,
    events: &Sink,
    job_uuid: &str,
) -> Result<ClientError, ClientError> {
    let Some(job) = patiently(policy, events, || api.job(job_uuid)).await? else {
        let words = format!("job {job_uuid} is not there any more; somebody deleted it");
        return Ok(ClientError::JobEnded { state: "deleted".to_owned(), words });
    };
    let words = job.detail().unwrap_or_else(|| "the server gives no reason".to_owned());
    Ok(if job.state.is_final() {
        ended_as(&format!("{:?}", job.state), words, job.reason())
    } else {
        let words =
            format!("job {job_uuid} is {:?} but has no working upload URL: {words}", job.state);
        ClientError::Protocol { words }
    })
}
