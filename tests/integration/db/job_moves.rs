//! The compare-and-swap on a job, and what moves with it.

use futures::future::join_all;
use longshore::{
    db::{Applied, DbError, ImageChange, MoveJob},
    domain::{
        account::Scope,
        ids::{ImageUuid, JobUuid, NodeUuid},
        image::ImageStatus,
        job::{JobResult, Reason, Stage, TaskProgress},
        job_state::{JobState, SuspendReason},
        upload::UploadFate,
    },
};
use rstest::rstest;

use super::records::{NOW_MS, image_of, job_of, recorded, to};
use crate::support::databases::TestDb;

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn exactly_one_of_many_racing_moves_wins(#[case] db: TestDb) {
    let new = recorded(&db).await;
    for generation in 1..=5 {
        let racers = (0..20).map(|racer| {
            let mut change = to(&new, generation, JobState::Running);
            change.stage_percent = racer;
            let db = db.db.clone();
            tokio::spawn(async move { (racer, db.move_job(change).await.unwrap()) })
        });
        let outcomes = join_all(racers).await.into_iter().map(Result::unwrap);
        let (won, lost): (Vec<_>, Vec<_>) =
            outcomes.partition(|(_, outcome)| *outcome == Applied::Moved(generation + 1));
        assert_eq!(won.len(), 1);
        assert!(lost.iter().all(|(_, outcome)| *outcome == Applied::Stale), "a value, no error");
        let job = job_of(&db, &new).await;
        assert_eq!((job.generation, job.stage_percent), (generation + 1, won[0].0));
    }
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn a_move_writes_every_field(#[case] db: TestDb) {
    let new = recorded(&db).await;
    let node = NodeUuid::random();
    let (detail, cause) = ("the disk is full".to_owned(), "28".to_owned());
    let error = JobResult::Error { detail, cause, reason: Reason::Digests };
    let change = MoveJob {
        state: JobState::Suspended(SuspendReason::NoSpace),
        stage: Stage::Verifying,
        stage_percent: 42,
        waits_for: Some("space".to_owned()),
        result: Some(error.clone()),
        node: Some(node),
        ..to(&new, 1, JobState::Running)
    };
    assert_eq!(db.db.move_job(change).await.unwrap(), Applied::Moved(2));
    let mut wanted = new.job.clone();
    wanted.state = JobState::Suspended(SuspendReason::NoSpace);
    wanted.generation = 2;
    (wanted.stage, wanted.stage_percent) = (Stage::Verifying, 42);
    wanted.waits_for = Some("space".to_owned());
    (wanted.result, wanted.node) = (Some(error), Some(node));
    wanted.last_op_ms = NOW_MS + 5000;
    assert_eq!(job_of(&db, &new).await, wanted);

    // What is not given stays; an event leaves no words of an old error.
    let _ = db.db.move_job(to(&new, 2, JobState::Running)).await.unwrap();
    wanted.state = JobState::Running;
    wanted.generation = 3;
    (wanted.stage, wanted.stage_percent, wanted.waits_for) = (Stage::Receiving, 1, None);
    assert_eq!(job_of(&db, &new).await, wanted);
    let change = MoveJob { result: Some(JobResult::Event), ..to(&new, 3, JobState::Succeeded) };
    let _ = db.db.move_job(change).await.unwrap();
    let job = job_of(&db, &new).await;
    assert_eq!((job.result, job.finished_ms), (Some(JobResult::Event), Some(NOW_MS + 5000)));
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn image_and_upload_move_with_the_job(#[case] db: TestDb) {
    let new = recorded(&db).await;
    let mut ready = image_of(new.job.account, new.image.uuid);
    ready.status = ImageStatus::Ready;
    (ready.size, ready.actual_size) = (1 << 42, 1 << 41);
    (ready.md5, ready.sha256) = (Some("ab".repeat(16)), Some("cd".repeat(32)));
    (ready.enabled, ready.system, ready.virtio) = (false, true, false);
    let change = MoveJob {
        image: ImageChange::Replace(Box::new(ready.clone())),
        fate: Some(UploadFate::Published),
        ..to(&new, 1, JobState::Succeeded)
    };
    assert_eq!(db.db.move_job(change).await.unwrap(), Applied::Moved(2));
    assert_eq!(db.db.image(ready.uuid, Scope::All).await.unwrap(), Some(ready));
    let upload = db.db.upload(new.upload.uuid).await.unwrap().unwrap();
    assert_eq!(upload.fate, UploadFate::Published);

    let new = recorded(&db).await;
    let change = MoveJob {
        image: ImageChange::Remove,
        fate: Some(UploadFate::Discarded),
        ..to(&new, 1, JobState::Canceled)
    };
    assert_eq!(db.db.move_job(change).await.unwrap(), Applied::Moved(2));
    assert_eq!(db.db.image(new.image.uuid, Scope::All).await.unwrap(), None);
    let upload = db.db.upload(new.upload.uuid).await.unwrap().unwrap();
    assert_eq!(upload.fate, UploadFate::Discarded);
    assert!(db.db.system_tags(&[new.image.uuid.to_string()]).await.unwrap().is_empty());
    assert_eq!(db.db.system_tags(&[new.job.uuid.to_string()]).await.unwrap().len(), 2);
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn a_lost_race_changes_nothing_at_all(#[case] db: TestDb) {
    let new = recorded(&db).await;
    let stale = |generation| MoveJob {
        image: ImageChange::Remove,
        fate: Some(UploadFate::Discarded),
        ..to(&new, generation, JobState::Canceled)
    };
    for generation in [0, 2, i64::MAX] {
        assert_eq!(db.db.move_job(stale(generation)).await.unwrap(), Applied::Stale);
    }
    let missing = MoveJob { uuid: JobUuid::random(), ..stale(1) };
    assert_eq!(db.db.move_job(missing).await.unwrap(), Applied::Missing);
    // Half way through, after the job's row was written.
    let foreign = image_of(new.job.account, ImageUuid::random());
    let foreign = MoveJob {
        image: ImageChange::Replace(Box::new(foreign)),
        ..to(&new, 1, JobState::Running)
    };
    assert!(matches!(db.db.move_job(foreign).await, Err(DbError::Refused { .. })));

    assert_eq!(job_of(&db, &new).await, new.job);
    assert_eq!(db.db.image(new.image.uuid, Scope::All).await.unwrap(), Some(new.image));
    assert_eq!(db.db.upload(new.upload.uuid).await.unwrap(), Some(new.upload));
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn the_end_of_a_job_is_the_end_of_its_progress(#[case] db: TestDb) {
    let new = recorded(&db).await;
    let report = |percent, time_ms| TaskProgress {
        api_id: new.job.api_id,
        task_name: "adding to image store".to_owned(),
        percent,
        time_ms,
    };
    db.db.save_progress(report(10, 100)).await.unwrap();
    db.db.save_progress(report(30, 300)).await.unwrap();
    db.db.save_progress(report(20, 200)).await.unwrap();
    assert_eq!(db.db.progress(new.job.api_id).await.unwrap(), Some(report(30, 300)), "the newest");
    let _ = db.db.move_job(to(&new, 1, JobState::Running)).await.unwrap();
    assert_eq!(db.db.progress(new.job.api_id).await.unwrap(), Some(report(30, 300)));
    let _ = db.db.move_job(to(&new, 2, JobState::Failed)).await.unwrap();
    assert_eq!(db.db.progress(new.job.api_id).await.unwrap(), None);
    db.db.save_progress(report(40, 400)).await.unwrap();
    assert_eq!(db.db.progress(new.job.api_id).await.unwrap(), None, "a late report");
    assert_eq!(job_of(&db, &new).await.finished_ms, Some(NOW_MS + 5000));
    // Run again, it is not finished any more.
    let _ = db.db.move_job(to(&new, 3, JobState::Waiting)).await.unwrap();
    assert_eq!(job_of(&db, &new).await.finished_ms, None);
}
