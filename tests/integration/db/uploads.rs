//! What is written down of an upload.

use longshore::{
    db::{Created, DbError, MoveJob, UploadTouch},
    domain::{
        ids::{AccountUuid, JobUuid, NodeUuid, UploadUuid},
        job::{Stage, TaskProgress},
        job_state::JobState,
        upload::{UploadFate, UploadKind, UploadRecord},
    },
};
use rstest::rstest;

use super::records::{finish, job_of, new_job, record, recorded, to};
use crate::support::databases::TestDb;

fn touch(uuid: UploadUuid, owner_epoch: u64, offset: u64, percent: i64) -> UploadTouch {
    let last_byte_ms = 1000 + percent;
    UploadTouch { uuid, owner_epoch, offset, stored: offset + 1, last_byte_ms, percent }
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn a_touch_reaches_upload_job_and_progress(#[case] db: TestDb) {
    let (one, two) = (recorded(&db).await, recorded(&db).await);
    let gone = UploadUuid::random();
    let touches = vec![
        touch(one.upload.uuid, 0, 1 << 40, 50),
        touch(gone, 0, 1, 1),
        touch(two.upload.uuid, 0, 9, 3),
    ];
    let commits = db.counters.commits();
    db.db.touch_uploads(touches).await.unwrap();
    assert_eq!(db.counters.commits(), commits + 1, "all in one transaction");
    for (new, offset, percent) in [(&one, 1 << 40, 50), (&two, 9, 3)] {
        let mut wanted = new.upload.clone();
        (wanted.offset_cached, wanted.stored_cached) = (offset, offset + 1);
        wanted.last_byte_ms = Some(1000 + percent);
        assert_eq!(db.db.upload(new.upload.uuid).await.unwrap(), Some(wanted));
        let mut job = new.job.clone();
        job.stage_percent = percent;
        assert_eq!(job_of(&db, new).await, job, "the percent, and no new generation");
        let progress = TaskProgress {
            api_id: new.job.api_id,
            task_name: "uploading image".to_owned(),
            percent,
            time_ms: 1000 + percent,
        };
        assert_eq!(db.db.progress(new.job.api_id).await.unwrap(), Some(progress));
    }
    // One that was overtaken does not take listings back.
    db.db.touch_uploads(vec![touch(one.upload.uuid, 0, 5, 4)]).await.unwrap();
    let upload = db.db.upload(one.upload.uuid).await.unwrap().unwrap();
    assert_eq!((upload.offset_cached, upload.last_byte_ms), (1 << 40, Some(1050)));
    // The clock was an hour ahead and has been set back: what comes now is the newest.
    let ahead = UploadTouch { last_byte_ms: 3_601_060, ..touch(two.upload.uuid, 0, 10, 4) };
    let now = UploadTouch { last_byte_ms: 2_000, ..touch(two.upload.uuid, 0, 11, 5) };
    db.db.touch_uploads(vec![ahead]).await.unwrap();
    db.db.touch_uploads(vec![now]).await.unwrap();
    let upload = db.db.upload(two.upload.uuid).await.unwrap().unwrap();
    assert_eq!(upload.last_byte_ms, Some(2_000), "the week would begin an hour late");
    let progress = db.db.progress(two.job.api_id).await.unwrap().unwrap();
    assert_eq!(
        (progress.percent, progress.time_ms),
        (5, 2_000),
        "it would stand still for an hour"
    );
    db.db.touch_uploads(Vec::new()).await.unwrap();
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn an_old_owner_touches_nothing(#[case] db: TestDb) {
    let new = recorded(&db).await;
    let node = NodeUuid::random();
    let _ = db.db.lease_upload(new.upload.uuid, node, 0, 10).await.unwrap();
    let _ = db.db.lease_upload(new.upload.uuid, node, 10, 20).await.unwrap();
    let before = db.db.upload(new.upload.uuid).await.unwrap().unwrap();
    assert_eq!(before.owner_epoch, 2);
    db.db.touch_uploads(vec![touch(new.upload.uuid, 1, 77, 7)]).await.unwrap();
    assert_eq!(db.db.upload(new.upload.uuid).await.unwrap(), Some(before));
    assert_eq!(job_of(&db, &new).await.stage_percent, 0);
    assert_eq!(db.db.progress(new.job.api_id).await.unwrap(), None);
    db.db.touch_uploads(vec![touch(new.upload.uuid, 2, 77, 7)]).await.unwrap();
    assert_eq!(job_of(&db, &new).await.stage_percent, 7);
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn a_touch_leaves_other_stages_and_ends_alone(#[case] db: TestDb) {
    let verifying = recorded(&db).await;
    let change = MoveJob {
        stage: Stage::Verifying,
        stage_percent: 60,
        ..to(&verifying, 1, JobState::Running)
    };
    let _ = db.db.move_job(change).await.unwrap();
    let ended = recorded(&db).await;
    finish(&db, &ended, JobState::Failed).await;
    for (new, percent) in [(&verifying, 60), (&ended, 1)] {
        db.db.touch_uploads(vec![touch(new.upload.uuid, 0, 5, 99)]).await.unwrap();
        assert_eq!(job_of(&db, new).await.stage_percent, percent);
        assert_eq!(db.db.progress(new.job.api_id).await.unwrap(), None);
        assert_eq!(db.db.upload(new.upload.uuid).await.unwrap().unwrap().offset_cached, 5);
    }
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn lengths_and_url_generations_are_written_down(#[case] db: TestDb) {
    let mut new = new_job(longshore::domain::ids::AccountUuid::random());
    new.upload.declared_length = None;
    let new = record(&db, new).await;
    let uuid = new.upload.uuid;
    db.db.set_declared_length(uuid, 5_000_000_000).await.unwrap();
    let upload = db.db.upload(uuid).await.unwrap().unwrap();
    assert_eq!(upload.declared_length, Some(5_000_000_000));
    let error = db.db.set_declared_length(uuid, 1 << 63).await.unwrap_err();
    assert!(matches!(error, DbError::BadValue { .. }), "{error}");
    assert_eq!(db.db.raise_url_generation(uuid).await.unwrap(), Some(4));
    assert_eq!(db.db.raise_url_generation(uuid).await.unwrap(), Some(5));
    assert_eq!(db.db.upload(uuid).await.unwrap().unwrap().url_generation, 5);
    assert_eq!(db.db.raise_url_generation(UploadUuid::random()).await.unwrap(), None);
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn the_newest_upload_of_an_image_is_found(#[case] db: TestDb) {
    let old = recorded(&db).await;
    let end = MoveJob {
        image: longshore::db::ImageChange::Remove,
        fate: Some(UploadFate::Discarded),
        ..to(&old, 1, JobState::Failed)
    };
    let _ = db.db.move_job(end).await.unwrap();
    let mut new = new_job(old.job.account);
    (new.job.image, new.image.uuid, new.upload.image) =
        (old.image.uuid, old.image.uuid, old.image.uuid);
    new.upload.created_ms = old.upload.created_ms + 1;
    let new = record(&db, new).await;
    let found = db.db.upload_of_image(old.image.uuid).await.unwrap();
    assert_eq!(found, Some(new.upload));
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn strays_are_those_without_an_open_upload(#[case] db: TestDb) {
    let (open, ended) = (recorded(&db).await, recorded(&db).await);
    let end = MoveJob { fate: Some(UploadFate::Expired), ..to(&ended, 1, JobState::Failed) };
    let _ = db.db.move_job(end).await.unwrap();
    // More than one statement's list holds.
    let mut asked = (0..2500).map(|_| UploadUuid::random()).collect::<Vec<_>>();
    asked.insert(1700, open.upload.uuid);
    asked.insert(3, ended.upload.uuid);
    assert_eq!(db.db.known_open(asked).await.unwrap(), [open.upload.uuid]);
    assert!(db.db.known_open(Vec::new()).await.unwrap().is_empty());
}

/// Touches of the same uploads in any order, and moves of their jobs between them: nobody waits for the other in turn.
#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn touches_and_moves_do_not_deadlock(#[case] db: TestDb) {
    let mut all = Vec::new();
    for _ in 0..8 {
        all.push(recorded(&db).await);
    }
    let mut tasks = Vec::new();
    for at in 0..40 {
        let mut touches =
            all.iter().map(|new| touch(new.upload.uuid, 0, at, 9)).collect::<Vec<_>>();
        if at % 2 == 0 {
            touches.reverse();
        }
        let database = db.db.clone();
        tasks.push(tokio::spawn(async move { database.touch_uploads(touches).await }));
        let generation = i64::try_from(at / 8).unwrap() + 1;
        let change = MoveJob {
            fate: Some(UploadFate::Open),
            ..to(&all[usize::try_from(at % 8).unwrap()], generation, JobState::Running)
        };
        let database = db.db.clone();
        tasks.push(tokio::spawn(async move { database.move_job(change).await.map(drop) }));
    }
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    for new in &all {
        assert_eq!(db.db.upload(new.upload.uuid).await.unwrap().unwrap().offset_cached, 39);
    }
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn partial_uploads_that_have_ended_are_read_no_more(#[case] db: TestDb) {
    let account = AccountUuid::random();
    let mut made = Vec::new();
    for _ in 0..5 {
        let record = UploadRecord {
            kind: UploadKind::Partial,
            job: JobUuid::NIL,
            ..new_job(account).upload
        };
        let created = db.db.create_partial(record.clone(), 10).await.unwrap();
        assert_eq!(created, Created::Recorded);
        made.push(record.uuid);
    }
    made.sort_by_key(ToString::to_string);
    for (at, fate) in [(0, UploadFate::Discarded), (3, UploadFate::Expired)] {
        assert!(db.db.end_partial(made[at], fate, false).await.unwrap());
    }
    let page = db.db.partials(None, 2).await.unwrap();
    let read: Vec<_> = page.uploads.iter().map(|record| record.uuid).collect();
    assert_eq!(read, [made[1], made[2]]);
    assert_eq!(page.last, Some(made[2].to_string()));
    let page = db.db.partials(page.last.as_deref(), 2).await.unwrap();
    let read: Vec<_> = page.uploads.iter().map(|record| record.uuid).collect();
    assert_eq!((read, page.unreadable.len()), (vec![made[4]], 0));
    assert_eq!(db.db.partials(page.last.as_deref(), 2).await.unwrap().last, None);
}
