//! Another run of a job that is over.

use futures::future::join_all;
use longshore::{
    db::{Applied, Database, ImageChange, MoveJob, NewRun, NewUploadJob, RunBegun, RunTags},
    domain::{
        account::Scope,
        ids::{ApiId, ImageUuid, JobUuid, NodeUuid, UploadUuid},
        image::{ImageRecord, ImageStatus},
        job::{JobResult, LongJob, Reason, Stage, TaskProgress},
        job_state::{JobState, SuspendReason},
        upload::{UploadFate, UploadRecord},
    },
};
use rstest::rstest;

use super::records::{NOW_MS, image_of, job_of, new_job, record, recorded, to};
use crate::support::databases::TestDb;

async fn expunge(db: &TestDb, image: ImageUuid) {
    assert!(db.db.mark_image_deleted(image, Scope::All, NOW_MS).await.unwrap());
    assert!(db.db.remove_image(image).await.unwrap());
}

/// A job that has ended without an image, as it is recorded.
async fn canceled(db: &TestDb) -> NewUploadJob {
    let mut new = recorded(db).await;
    let end = MoveJob {
        image: ImageChange::Remove,
        fate: Some(UploadFate::Discarded),
        result: Some(JobResult::Error {
            detail: "canceled".to_owned(),
            cause: "so".to_owned(),
            reason: Reason::NotTheFile,
        }),
        ..to(&new, 1, JobState::Canceled)
    };
    assert_eq!(db.db.move_job(end).await.unwrap(), Applied::Moved(2));
    new.job = job_of(db, &new).await;
    new
}

/// A run with every field of the job changed that may change.
fn again(old: &NewUploadJob) -> NewRun {
    let upload = UploadUuid::random();
    NewRun {
        before: old.job.clone(),
        job: LongJob {
            name: "fedora again".to_owned(),
            description: None,
            api_id: ApiId::random(),
            job_data: r#"{"name":"again"}"#.to_owned(),
            state: JobState::Running,
            stage: Stage::Receiving,
            stage_percent: 0,
            waits_for: Some("the first bytes".to_owned()),
            result: Some(JobResult::Event),
            upload,
            node: Some(NodeUuid::random()),
            created_ms: NOW_MS + 70_000,
            last_op_ms: NOW_MS + 70_001,
            finished_ms: None,
            ..old.job.clone()
        },
        image: image_of(old.job.account, old.image.uuid),
        upload: UploadRecord {
            uuid: upload,
            fate: UploadFate::Open,
            created_ms: NOW_MS + 70_000,
            ..old.upload.clone()
        },
        tags: RunTags::Keep,
        open_uploads_max: 1000,
        cause: "run again".to_owned(),
    }
}

async fn upload_of(db: &dyn Database, uuid: UploadUuid) -> UploadRecord {
    db.upload(uuid).await.unwrap().expect("an upload")
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn a_run_takes_the_place_of_the_one_before(#[case] db: TestDb) {
    let old = canceled(&db).await;
    let progress = TaskProgress {
        api_id: old.job.api_id,
        task_name: "uploading image".to_owned(),
        percent: 3,
        time_ms: 1,
    };
    let run = again(&old);
    assert_eq!(db.db.begin_run(run.clone()).await.unwrap(), RunBegun::Begun(3));
    assert_eq!(job_of(&db, &old).await, LongJob { generation: 3, ..run.job.clone() });
    assert_eq!(db.db.image(run.image.uuid, Scope::All).await.unwrap(), Some(run.image.clone()));
    assert_eq!(upload_of(&*db.db, run.upload.uuid).await, run.upload);
    assert_eq!(upload_of(&*db.db, old.upload.uuid).await.fate, UploadFate::Discarded);
    let tags = |uuid: String| async { db.db.system_tags(&[uuid]).await.unwrap() };
    let texts = |tags: Vec<(String, String)>| tags.into_iter().map(|(_, tag)| tag);
    let of_image = texts(tags(old.image.uuid.to_string()).await).collect::<Vec<_>>();
    assert_eq!(of_image, old.system_tags, "they stay, and the image gets them back");

    // It is the one that everybody is answered with.
    let found = db.db.upload_of_image(old.image.uuid).await.unwrap().unwrap();
    assert_eq!(found.uuid, run.upload.uuid);
    let image_id = run.upload.image_id.clone().unwrap();
    let live = db.db.live_jobs_of(&image_id, Scope::Account(old.job.account)).await.unwrap();
    assert_eq!(live.len(), 1);
    assert_eq!((live[0].0.upload, live[0].1.uuid), (run.upload.uuid, run.upload.uuid));
    let unfinished = db.db.unfinished_jobs(None, 10).await.unwrap();
    assert_eq!(unfinished.jobs.len(), 1);
    assert_eq!(unfinished.jobs[0].1.uuid, run.upload.uuid);
    assert_eq!(
        db.db.known_open(vec![old.upload.uuid, run.upload.uuid]).await.unwrap(),
        [run.upload.uuid]
    );
    // A move ends this run's upload, and the earlier one stays what it was.
    db.db.save_progress(TaskProgress { api_id: run.job.api_id, ..progress }).await.unwrap();
    let end = MoveJob { fate: Some(UploadFate::Published), ..to(&old, 3, JobState::Succeeded) };
    assert_eq!(db.db.move_job(end).await.unwrap(), Applied::Moved(4));
    assert_eq!(upload_of(&*db.db, run.upload.uuid).await.fate, UploadFate::Published);
    assert_eq!(upload_of(&*db.db, old.upload.uuid).await.fate, UploadFate::Discarded);
    assert_eq!(db.db.progress(run.job.api_id).await.unwrap(), None);
    // Both uploads go with the job.
    let _ = db.db.delete_job(old.job.uuid, Scope::All).await.unwrap();
    for uuid in [old.upload.uuid, run.upload.uuid] {
        assert_eq!(db.db.upload(uuid).await.unwrap(), None);
    }
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn the_upload_of_an_image_that_is_gone_ends(#[case] db: TestDb) {
    for same_image in [true, false] {
        let mut old = recorded(&db).await;
        let ready = ImageRecord { status: ImageStatus::Ready, ..old.image.clone() };
        let end = MoveJob {
            image: ImageChange::Replace(Box::new(ready)),
            fate: Some(UploadFate::Published),
            ..to(&old, 1, JobState::Succeeded)
        };
        let _ = db.db.move_job(end).await.unwrap();
        old.job = job_of(&db, &old).await;
        let mut run = again(&old);
        if same_image {
            expunge(&db, old.image.uuid).await;
        } else {
            let image = ImageUuid::random();
            (run.job.image, run.image.uuid, run.upload.image) = (image, image, image);
            let (system, user) = (vec!["x::y".to_owned()], vec!["u".to_owned()]);
            run.tags = RunTags::Replace { system, user };
        }
        assert_eq!(db.db.begin_run(run.clone()).await.unwrap(), RunBegun::Begun(3));
        assert_eq!(job_of(&db, &old).await.image, run.image.uuid);
        let fate = upload_of(&*db.db, old.upload.uuid).await.fate;
        let expected = if same_image { UploadFate::Discarded } else { UploadFate::Published };
        assert_eq!(fate, expected, "an image that is still there keeps its upload");
        for (resource, same) in [(old.job.uuid.to_string(), 1), (run.image.uuid.to_string(), 1)] {
            let tags = db.db.system_tags(&[resource]).await.unwrap();
            assert_eq!(tags.len(), if same_image { old.system_tags.len() } else { same });
        }
    }
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn a_run_that_may_not_begin_changes_nothing_at_all(#[case] db: TestDb) {
    let old = canceled(&db).await;
    let record_now = async || (job_of(&db, &old).await, upload_of(&*db.db, old.upload.uuid).await);
    let before = record_now().await;
    let refused = async |run: NewRun, expected: RunBegun| {
        let (image, upload) = (run.image.uuid, run.upload.uuid);
        assert_eq!(db.db.begin_run(run).await.unwrap(), expected);
        assert_eq!(record_now().await, before, "{expected:?}");
        (
            db.db.image(image, Scope::All).await.unwrap(),
            db.db.upload(upload).await.unwrap().is_some(),
        )
    };
    for generation in [1, 3] {
        let mut stale = again(&old);
        stale.before.generation = generation;
        assert_eq!(refused(stale, RunBegun::Stale).await, (None, false));
    }
    let mut missing = again(&old);
    missing.before.uuid = JobUuid::random();
    missing.job.uuid = missing.before.uuid;
    missing.upload.job = missing.before.uuid;
    assert_eq!(refused(missing, RunBegun::Missing).await, (None, false));
    let full = NewRun { open_uploads_max: 0, ..again(&old) };
    assert_eq!(refused(full, RunBegun::TooManyOpenUploads).await, (None, false));
    // Another job has taken the image's uuid, and has its image.
    let mut other = new_job(old.job.account);
    (other.job.image, other.image.uuid, other.upload.image) =
        (old.image.uuid, old.image.uuid, old.image.uuid);
    other.image.status = ImageStatus::Ready;
    let other = record(&db, other).await;
    let (image, upload) = refused(again(&old), RunBegun::Duplicate).await;
    assert_eq!((image.as_ref(), upload), (Some(&other.image), false));
    expunge(&db, old.image.uuid).await;
    // An upload's uuid is never used twice.
    let mut used = again(&old);
    used.upload.uuid = old.upload.uuid;
    assert_eq!(refused(used, RunBegun::Duplicate).await, (None, true));

    // A job that is not over never loses its upload, whatever its generation.
    let running = recorded(&db).await;
    let state = JobState::Suspended(SuspendReason::User);
    let _ = db.db.move_job(to(&running, 1, state)).await.unwrap();
    let job = job_of(&db, &running).await;
    let mut run = again(&running);
    (run.before, run.image.uuid) = (job.clone(), ImageUuid::random());
    assert_eq!(db.db.begin_run(run).await.unwrap(), RunBegun::Stale);
    assert_eq!(job_of(&db, &running).await, job);
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn exactly_one_of_many_runs_begins(#[case] db: TestDb) {
    let old = canceled(&db).await;
    let racers = (0..20).map(|_| {
        let (db, run) = (db.db.clone(), again(&old));
        tokio::spawn(async move { (run.upload.uuid, db.begin_run(run).await.unwrap()) })
    });
    let outcomes = join_all(racers).await.into_iter().map(Result::unwrap);
    let (won, lost): (Vec<_>, Vec<_>) =
        outcomes.partition(|(_, outcome)| *outcome == RunBegun::Begun(3));
    assert_eq!(won.len(), 1);
    assert!(lost.iter().all(|(_, outcome)| *outcome == RunBegun::Stale), "a value, no error");
    assert_eq!(job_of(&db, &old).await.upload, won[0].0);
    for (upload, _) in lost {
        assert_eq!(db.db.upload(upload).await.unwrap(), None);
    }
}
