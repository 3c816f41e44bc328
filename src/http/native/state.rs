//! What our own dialect says of an upload.

use crate::{
    domain::{image::ImageStatus, job::JobResult, job_state::JobState},
    uploads::{UploadStatus, Verdict},
    wire::{
        native::{ByteRange, MISSING_RANGES_MAX, StateName, UploadState},
        reason::ReasonName,
    },
};

/// The state on the wire. A verdict is newer than the records that were read with the status.
pub fn upload_state(status: &UploadStatus, verdict: Option<&Verdict>) -> UploadState {
    let UploadStatus { record, job, image, length, offset, stored_bytes, missing, complete: _ } =
        status;
    let ready = image.as_ref().filter(|image| image.status == ImageStatus::Ready);
    let mut md5 = ready.and_then(|image| image.md5.clone());
    let mut sha256 = ready.and_then(|image| image.sha256.clone());
    let mut state = job.state;
    match verdict {
        Some(Verdict::Ready { md5: now_md5, sha256: now_sha256 }) => {
            state = JobState::Succeeded;
            md5 = now_md5.clone().or(md5);
            sha256 = now_sha256.clone().or(sha256);
        }
        Some(Verdict::Stopped { state: now }) => state = *now,
        Some(Verdict::Refused { .. } | Verdict::Failed { .. }) => state = JobState::Failed,
        None => {}
    }
    let (detail, mut reason) = match &job.result {
        Some(JobResult::Error { detail, reason, .. }) if state != JobState::Succeeded => {
            (Some(detail.clone()), ReasonName::of(*reason))
        }
        Some(JobResult::Error { .. } | JobResult::Event) | None => (None, None),
    };
    if let Some(Verdict::Refused { reason: now, .. }) = verdict {
        reason = ReasonName::of(*now);
    }
    let missing = missing.iter().take(MISSING_RANGES_MAX);
    UploadState {
        upload_uuid: record.uuid.to_string(),
        job_uuid: record.job.to_string(),
        image_uuid: record.image.to_string(),
        state: StateName::from(state),
        stage: job.stage.name().to_owned(),
        stage_percent: u8::try_from(job.stage_percent.clamp(0, 100)).unwrap_or(100),
        waits_for: job.waits_for(state, Some(*stored_bytes)).map(str::to_owned),
        length: *length,
        offset: *offset,
        stored_bytes: *stored_bytes,
        missing: missing.map(|range| ByteRange { start: range.start, end: range.end }).collect(),
        md5,
        sha256,
        detail,
        reason,
    }
}
