//! One upload job over its life, as it is rendered.

use jiff::tz::TimeZone;
use serde_json::Value;

use super::{image_inventory, job_inventory};
use crate::domain::{
    ids::{AccountUuid, ApiId, ImageUuid, JobUuid, NodeUuid, StorageUuid, UploadUuid},
    image::{ImageRecord, ImageStatus, MediaType},
    job::{ADD_IMAGE_JOB, JobResult, LongJob, Reason, Stage},
    job_state::{JobState, SuspendReason},
};

/// Nov 20, 2026 4:05:00 PM UTC.
const FOUR_PM: i64 = 1_795_190_700_000;

fn uuid(number: u128) -> uuid::Uuid {
    uuid::Uuid::from_u128(0x4000_8000_0000_0000_0000 + number)
}

fn image() -> ImageRecord {
    ImageRecord {
        uuid: ImageUuid(uuid(1)),
        account: AccountUuid(uuid(2)),
        name: "debian-12".to_owned(),
        description: None,
        enabled: true,
        status: ImageStatus::Downloading,
        size: 0,
        actual_size: 0,
        md5: None,
        sha256: None,
        url: "upload://debian-12.qcow2".to_owned(),
        media_type: MediaType::RootVolumeTemplate,
        guest_os_type: None,
        platform: "Linux".to_owned(),
        architecture: None,
        format: "qcow2".to_owned(),
        system: false,
        virtio: true,
        storage: StorageUuid(uuid(3)),
        created_ms: FOUR_PM,
        last_op_ms: FOUR_PM,
        deleted_ms: None,
        inspection: None,
    }
}

fn job() -> LongJob {
    LongJob {
        uuid: JobUuid(uuid(4)),
        account: AccountUuid(uuid(2)),
        name: "upload debian".to_owned(),
        description: None,
        api_id: ApiId(uuid(5)),
        job_name: ADD_IMAGE_JOB.to_owned(),
        job_data: "{}".to_owned(),
        state: JobState::Running,
        generation: 1,
        stage: Stage::Receiving,
        stage_percent: 0,
        waits_for: Some("the first bytes".to_owned()),
        result: None,
        image: ImageUuid(uuid(1)),
        upload: UploadUuid(uuid(7)),
        node: Some(NodeUuid(uuid(6))),
        created_ms: FOUR_PM,
        last_op_ms: FOUR_PM,
        finished_ms: None,
    }
}

/// The rendered job, its result opened for reading.
fn rendered(job: &LongJob, image: Option<&ImageRecord>) -> Value {
    rendered_at(0, job, image)
}

fn rendered_at(stored_bytes: u64, job: &LongJob, image: Option<&ImageRecord>) -> Value {
    let utc = TimeZone::UTC;
    let url = "http://HOST:8080/imagestore/upload/<capability>";
    let image = image.map(|image| image_inventory(image, Some(url), vec![], &utc));
    let job = job_inventory(job, image.as_ref(), Some(stored_bytes), &utc);
    let mut job = serde_json::to_value(job).unwrap();
    let opened = job["jobResult"].as_str().and_then(|text| serde_json::from_str(text).ok());
    if let Some(opened) = opened {
        job["jobResult"] = opened;
    }
    job
}

#[test]
fn a_job_with_bytes_waits_for_the_first_ones_no_longer() {
    let stored = |bytes| rendered_at(bytes, &job(), None)["waitsFor"].take();
    assert_eq!(stored(0), "the first bytes");
    assert_eq!(stored(1), Value::Null);
}

#[test]
fn a_job_over_its_life() {
    let interrupted = JobResult::Error {
        detail: "some error interrupt long job".to_owned(),
        cause: "uploading has been inactive more than 30 sec".to_owned(),
        reason: Reason::NotTheFile,
    };
    let running = job();
    let suspended = LongJob {
        state: JobState::Suspended(SuspendReason::Idle),
        result: Some(interrupted),
        stage_percent: 63,
        ..job()
    };
    let resumed = LongJob { state: JobState::Running, ..suspended.clone() };
    let ready = ImageRecord {
        status: ImageStatus::Ready,
        size: 1 << 31,
        actual_size: 452_984_832,
        md5: Some("fcd82e153fa06b08d3ada77685e6158f".to_owned()),
        sha256: Some("5".repeat(64)),
        ..image()
    };
    let succeeded = LongJob {
        state: JobState::Succeeded,
        result: Some(JobResult::Event),
        waits_for: None,
        finished_ms: Some(FOUR_PM + 999),
        ..job()
    };
    let failed = LongJob {
        state: JobState::Failed,
        result: Some(JobResult::Error {
            detail: "detail".to_owned(),
            cause: String::new(),
            reason: Reason::NotTheFile,
        }),
        waits_for: None,
        finished_ms: Some(FOUR_PM + 7999),
        ..job()
    };
    insta::assert_json_snapshot!("running", rendered(&running, Some(&image())));
    insta::assert_json_snapshot!("suspended", rendered(&suspended, Some(&image())));
    insta::assert_json_snapshot!("succeeded", rendered(&succeeded, Some(&ready)));
    insta::assert_json_snapshot!("failed", rendered(&failed, None));
    assert_eq!(
        rendered(&resumed, Some(&image()))["jobResult"]["cause"],
        "uploading has been inactive more than 30 sec",
        "the words of the records stand, whatever the state"
    );
    assert_eq!(rendered(&succeeded, None)["jobResult"], "Succeeded", "its image was expunged");
}

#[test]
fn no_text_of_a_job_is_null() {
    let text = rendered(&job(), Some(&image())).to_string();
    assert!(!text.contains("null"), "{text}");
}

#[test]
fn every_field_can_be_asked_for() {
    use super::{Element, ImageInventory, LongJobInventory};
    let utc = TimeZone::UTC;
    let full_image = ImageRecord {
        description: Some("d".to_owned()),
        sha256: Some("s".to_owned()),
        guest_os_type: Some("g".to_owned()),
        architecture: Some("a".to_owned()),
        ..image()
    };
    let image = image_inventory(&full_image, None, vec!["t".to_owned()], &utc);
    let full_job = LongJob {
        description: Some("d".to_owned()),
        state: JobState::Suspended(SuspendReason::User),
        result: Some(JobResult::Event),
        finished_ms: Some(FOUR_PM),
        ..job()
    };
    let job = job_inventory(&full_job, Some(&image), Some(1), &utc);
    let keys = |value: Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let sorted = |fields: &[&str]| {
        let mut fields: Vec<_> = fields.iter().map(|&field| field.to_owned()).collect();
        fields.sort();
        fields
    };
    assert_eq!(keys(serde_json::to_value(&job).unwrap()), sorted(LongJobInventory::FIELDS));
    assert_eq!(keys(serde_json::to_value(&image).unwrap()), sorted(ImageInventory::FIELDS));
}
