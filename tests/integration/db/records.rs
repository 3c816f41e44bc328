//! Records to begin with. Every field differs from its default, so that a column that is mixed up shows.

use longshore::{
    db::{Applied, Created, ImageChange, MoveJob, NewUploadJob},
    domain::{
        account::Scope,
        ids::{AccountUuid, ApiId, ImageUuid, JobUuid, NodeUuid, StorageUuid, UploadUuid},
        image::{ImageRecord, ImageStatus, MediaType},
        job::{ADD_IMAGE_JOB, LongJob, Stage},
        job_state::JobState,
        upload::{Completion, ExpectedDigests, UploadFate, UploadKind, UploadRecord},
    },
};

use crate::support::databases::TestDb;

/// A moment to begin with: 2026-11-21 01:02:03.456 UTC.
pub(crate) const NOW_MS: i64 = 1_795_222_923_456;

pub(crate) fn new_job(account: AccountUuid) -> NewUploadJob {
    let (job, image, upload) = (JobUuid::random(), ImageUuid::random(), UploadUuid::random());
    NewUploadJob {
        job: LongJob {
            uuid: job,
            account,
            name: "fedora".to_owned(),
            description: Some("the newest".to_owned()),
            api_id: ApiId::random(),
            job_name: ADD_IMAGE_JOB.to_owned(),
            job_data: r#"{"name":"fedora"}"#.to_owned(),
            state: JobState::Waiting,
            generation: 1,
            stage: Stage::Receiving,
            stage_percent: 0,
            waits_for: Some("the first byte".to_owned()),
            result: None,
            image,
            upload,
            node: Some(NodeUuid::random()),
            created_ms: NOW_MS,
            last_op_ms: NOW_MS + 1,
            finished_ms: None,
        },
        image: image_of(account, image),
        upload: UploadRecord {
            uuid: upload,
            job,
            image,
            account,
            image_id: Some("some file".parse().unwrap()),
            completion: Completion::Explicit,
            declared_length: Some(1 << 40),
            expected: ExpectedDigests { md5: Some([0xab; 16]), sha256: Some([0xcd; 32]) },
            offset_cached: 0,
            stored_cached: 7,
            fate: UploadFate::Open,
            url_generation: 3,
            owner: None,
            owner_epoch: 0,
            lease_until_ms: 0,
            created_ms: NOW_MS + 2,
            last_byte_ms: None,
            client_metadata: Some("filename Zm9v,empty".to_owned()),
            kind: UploadKind::Whole,
            parts: Vec::new(),
            taken_by: None,
        },
        system_tags: vec!["uploadImage::some file".to_owned(), "a::b".to_owned()],
        user_tags: vec!["mine".to_owned()],
        open_uploads_max: 1000,
        cause: "submitted".to_owned(),
    }
}

pub(crate) fn image_of(account: AccountUuid, uuid: ImageUuid) -> ImageRecord {
    ImageRecord {
        uuid,
        account,
        name: "fedora image".to_owned(),
        description: None,
        enabled: true,
        status: ImageStatus::Downloading,
        size: 0,
        actual_size: 11,
        md5: None,
        sha256: None,
        url: "upload://fedora.qcow2".to_owned(),
        media_type: MediaType::Iso,
        guest_os_type: Some("Fedora".to_owned()),
        platform: "Linux".to_owned(),
        architecture: Some("x86_64".to_owned()),
        format: "qcow2".to_owned(),
        system: false,
        virtio: true,
        storage: StorageUuid::random(),
        created_ms: NOW_MS + 3,
        last_op_ms: NOW_MS + 4,
        deleted_ms: None,
        inspection: None,
    }
}

/// Records a job, whatever it takes.
pub(crate) async fn record(db: &TestDb, new: NewUploadJob) -> NewUploadJob {
    assert_eq!(db.db.create_upload_job(new.clone()).await.unwrap(), Created::Recorded);
    new
}

/// Records a job with an account of its own.
pub(crate) async fn recorded(db: &TestDb) -> NewUploadJob {
    record(db, new_job(AccountUuid::random())).await
}

/// A move that changes nothing but the state.
pub(crate) fn to(new: &NewUploadJob, generation: i64, state: JobState) -> MoveJob {
    MoveJob {
        uuid: new.job.uuid,
        generation,
        state,
        stage: Stage::Receiving,
        stage_percent: 1,
        waits_for: None,
        result: None,
        node: None,
        cause: format!("moved from {generation}"),
        image: ImageChange::Keep,
        fate: None,
        now_ms: NOW_MS + 5000,
    }
}

/// Brings a job that was just recorded to its end.
pub(crate) async fn finish(db: &TestDb, new: &NewUploadJob, state: JobState) {
    assert_eq!(db.db.move_job(to(new, 1, state)).await.unwrap(), Applied::Moved(2));
}

pub(crate) async fn job_of(db: &TestDb, new: &NewUploadJob) -> LongJob {
    db.db.job(new.job.uuid, Scope::All).await.unwrap().unwrap()
}
