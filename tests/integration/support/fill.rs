//! Many records, written through the traits of `db` by the very steps of the service: a job is recorded as a submit records it,
//! then moved to its end with its image and upload.

use futures::{StreamExt, stream};
use longshore::{
    db::{Applied, Created, Database, ImageChange, MoveJob, NewUploadJob},
    domain::{
        account::Account,
        add_image::AddImageRequest,
        clock::EpochMs,
        ids::{AccountUuid, ApiId, ImageUuid, JobUuid, NodeUuid, StorageUuid, UploadUuid},
        image::{ImageRecord, ImageStatus, MediaType},
        job::{ADD_IMAGE_JOB, JobResult, LongJob, Reason, Stage},
        job_state::{JobState, SuspendReason},
        upload::{Completion, ExpectedDigests, UploadFate, UploadKind, UploadRecord},
    },
};

/// Writes that wait for the database at once.
const AT_ONCE: usize = 128;
const NAMES: [&str; 8] =
    ["debian", "ubuntu", "fedora", "alpine", "windows", "rocky", "suse", "freebsd"];

/// What to write.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Jobs altogether, the newest created at `until_ms`, 20 s apart.
    pub(crate) jobs: usize,
    /// One in so many has not ended; 0 for none.
    pub(crate) unfinished_every: usize,
    pub(crate) accounts: Vec<AccountUuid>,
    pub(crate) until_ms: EpochMs,
    pub(crate) storage: StorageUuid,
    pub(crate) node: NodeUuid,
}

/// Accounts that nobody can log in to with a password.
pub(crate) async fn accounts(
    db: &dyn Database,
    count: usize,
    created_ms: EpochMs,
) -> Vec<AccountUuid> {
    let mut made = Vec::with_capacity(count);
    for number in 0..count {
        let account = Account {
            uuid: AccountUuid::random(),
            name: format!("user-{number}"),
            password_hash: "-".to_owned(),
            admin: false,
            enabled: true,
            description: None,
            created_ms,
            last_op_ms: created_ms,
        };
        made.push(account.uuid);
        assert!(db.create_account(account).await.unwrap(), "user-{number} is there already");
    }
    made
}

/// Writes the plan; answers the jobs as they were recorded.
pub(crate) async fn fill(db: &dyn Database, plan: &Plan) -> Vec<NewUploadJob> {
    let all = stream::iter(0..plan.jobs).map(|number| one(db, plan, number));
    all.buffered(AT_ONCE).collect().await
}

async fn one(db: &dyn Database, plan: &Plan, number: usize) -> NewUploadJob {
    let new = new_job(plan, number);
    assert_eq!(db.create_upload_job(new.clone()).await.unwrap(), Created::Recorded);
    let end = end_of(plan, &new, number);
    assert_eq!(db.move_job(end).await.unwrap(), Applied::Moved(2));
    new
}

/// 1 in `unfinished_every` waits; of the others 86 in 100 Succeeded, 9 Failed, 5 Canceled.
fn end_of(plan: &Plan, new: &NewUploadJob, number: usize) -> MoveJob {
    let waits = plan.unfinished_every > 0 && number.is_multiple_of(plan.unfinished_every);
    let error = |cause: &str| {
        Some(JobResult::Error {
            detail: format!("some error interrupt long job[uuid:{}]: {cause}", new.job.uuid),
            cause: cause.to_owned(),
            reason: Reason::NotTheFile,
        })
    };
    let none = ImageChange::Remove;
    let (state, result, image, fate) = match (waits, number % 100) {
        (true, _) => {
            let state = JobState::Suspended(SuspendReason::Idle);
            (state, error("uploading has been inactive"), ImageChange::Keep, None)
        }
        (false, 0..86) => {
            let image = ImageChange::Replace(Box::new(ready(new)));
            let fate = Some(UploadFate::Published);
            (JobState::Succeeded, Some(JobResult::Event), image, fate)
        }
        (false, 86..95) => {
            (JobState::Failed, error("the upload expired"), none, Some(UploadFate::Expired))
        }
        (false, _) => {
            (JobState::Canceled, error("canceled by the user"), none, Some(UploadFate::Discarded))
        }
    };
    let succeeded = state == JobState::Succeeded;
    MoveJob {
        uuid: new.job.uuid,
        generation: 1,
        state,
        stage: if succeeded { Stage::Publishing } else { Stage::Receiving },
        stage_percent: if succeeded { 100 } else { 40 },
        waits_for: waits.then(|| "more bytes".to_owned()),
        result,
        node: Some(plan.node),
        cause: "so it ended".to_owned(),
        image,
        fate,
        now_ms: new.job.created_ms + 15_000,
    }
}

fn ready(new: &NewUploadJob) -> ImageRecord {
    ImageRecord {
        status: ImageStatus::Ready,
        size: 10 << 30,
        actual_size: 2 << 30,
        md5: Some(format!("{:032x}", new.image.uuid.0.as_u128())),
        sha256: Some(format!("{:064x}", new.image.uuid.0.as_u128())),
        last_op_ms: new.job.created_ms + 15_000,
        ..new.image.clone()
    }
}

fn new_job(plan: &Plan, number: usize) -> NewUploadJob {
    let (job, image, upload) = (JobUuid::random(), ImageUuid::random(), UploadUuid::random());
    let account = plan.accounts[number % plan.accounts.len()];
    let created_ms = plan.until_ms - 20_000 * i64::try_from(plan.jobs - 1 - number).unwrap();
    let name = format!("{}-{number}", NAMES[number % NAMES.len()]);
    let request = AddImageRequest {
        name: Some(name.clone()),
        url: Some(format!("upload://{name}.qcow2")),
        format: Some("qcow2".to_owned()),
        platform: Some("Linux".to_owned()),
        resource_uuid: Some(image.to_string()),
        backup_storage_uuids: Some(vec![plan.storage.to_string()]),
        ..AddImageRequest::default()
    };
    let request = request.checked().unwrap();
    let image_id = format!("ls1-{number:064x}");
    NewUploadJob {
        system_tags: vec![
            format!("uploadImage::{image_id}"),
            format!("imageSize::{}", 2_u64 << 30),
        ],
        user_tags: Vec::new(),
        open_uploads_max: u64::MAX,
        cause: "submitted".to_owned(),
        image: image_record(plan, image, account, &request, created_ms),
        upload: UploadRecord {
            kind: UploadKind::Whole,
            uuid: upload,
            job,
            image,
            account,
            image_id: Some(image_id.parse().unwrap()),
            completion: Completion::ByLength,
            declared_length: Some(2 << 30),
            expected: ExpectedDigests::default(),
            offset_cached: 1 << 20,
            stored_cached: 1 << 20,
            fate: UploadFate::Open,
            url_generation: 1,
            owner: Some(plan.node),
            owner_epoch: 1,
            lease_until_ms: created_ms + 60_000,
            created_ms,
            last_byte_ms: Some(created_ms + 10_000),
            client_metadata: None,
            parts: Vec::new(),
            taken_by: None,
        },
        job: LongJob {
            uuid: job,
            account,
            name,
            description: None,
            api_id: ApiId::random(),
            job_name: ADD_IMAGE_JOB.to_owned(),
            job_data: serde_json::to_string(&request).unwrap(),
            state: JobState::Running,
            generation: 1,
            stage: Stage::Receiving,
            stage_percent: 0,
            waits_for: Some("the first bytes".to_owned()),
            result: Some(JobResult::Event),
            image,
            upload,
            node: Some(plan.node),
            created_ms,
            last_op_ms: created_ms,
            finished_ms: None,
        },
    }
}

fn image_record(
    plan: &Plan,
    uuid: ImageUuid,
    account: AccountUuid,
    request: &AddImageRequest,
    created_ms: EpochMs,
) -> ImageRecord {
    ImageRecord {
        uuid,
        account,
        name: request.name.clone().unwrap_or_default(),
        description: None,
        enabled: true,
        status: ImageStatus::Downloading,
        size: 0,
        actual_size: 0,
        md5: None,
        sha256: None,
        url: request.url.clone().unwrap_or_default(),
        media_type: MediaType::RootVolumeTemplate,
        guest_os_type: None,
        platform: request.platform.clone().unwrap_or_default(),
        architecture: request.architecture.clone(),
        format: request.format.clone().unwrap_or_default(),
        system: false,
        virtio: true,
        storage: plan.storage,
        created_ms,
        last_op_ms: created_ms,
        deleted_ms: None,
        inspection: None,
    }
}
