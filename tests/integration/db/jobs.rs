//! Recording, reading, renaming and deleting long jobs.

use futures::future::join_all;
use longshore::{
    db::{Created, DbError, Deleted, NewUploadJob, UploadTouch},
    domain::{
        account::Scope,
        ids::{AccountUuid, ApiId, ImageUuid, JobUuid, UploadUuid},
        job_state::{JobState, SuspendReason},
    },
};
use rstest::rstest;

use super::records::{NOW_MS, finish, job_of, new_job, record, recorded, to};
use crate::support::databases::TestDb;

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn what_is_recorded_comes_back_whole(#[case] db: TestDb) {
    let new = recorded(&db).await;
    let (job, upload, image) = (new.job.uuid, new.upload.uuid, new.image.uuid);
    let db = db.reopen().await;
    assert_eq!(db.db.job(job, Scope::All).await.unwrap(), Some(new.job));
    assert_eq!(db.db.upload(upload).await.unwrap(), Some(new.upload));
    assert_eq!(db.db.image(image, Scope::All).await.unwrap(), Some(new.image));
    assert_eq!(db.db.job(JobUuid::random(), Scope::All).await.unwrap(), None);
    assert_eq!(db.db.upload(UploadUuid::random()).await.unwrap(), None);
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn a_taken_identifier_is_a_duplicate_and_leaves_nothing(#[case] db: TestDb) {
    let old = recorded(&db).await;
    let with_job = |new: &mut NewUploadJob| {
        (new.job.uuid, new.upload.job) = (old.job.uuid, old.job.uuid);
    };
    let with_image = |new: &mut NewUploadJob| {
        (new.job.image, new.image.uuid, new.upload.image) =
            (old.image.uuid, old.image.uuid, old.image.uuid);
    };
    let with_upload = |new: &mut NewUploadJob| new.upload.uuid = old.upload.uuid;
    let changes: [&dyn Fn(&mut NewUploadJob); 3] = [&with_job, &with_image, &with_upload];
    for change in changes {
        let mut new = new_job(old.job.account);
        change(&mut new);
        // Also where the account is full: a repeated submit has to hear of its first one.
        new.open_uploads_max = 1;
        let (job, image, upload) = (new.job.uuid, new.image.uuid, new.upload.uuid);
        assert_eq!(db.db.create_upload_job(new).await.unwrap(), Created::Duplicate);
        let kept = |same: bool, there: bool| assert_eq!(same, there, "half a job was kept");
        kept(job == old.job.uuid, db.db.job(job, Scope::All).await.unwrap().is_some());
        kept(image == old.image.uuid, db.db.image(image, Scope::All).await.unwrap().is_some());
        kept(upload == old.upload.uuid, db.db.upload(upload).await.unwrap().is_some());
    }
    assert_eq!(job_of(&db, &old).await, old.job);
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn open_uploads_max_holds_under_a_race(#[case] db: TestDb) {
    let account = AccountUuid::random();
    let other = record(&db, new_job(AccountUuid::random())).await;
    let creates = (0..50).map(|_| {
        let mut new = new_job(account);
        new.open_uploads_max = 7;
        let db = db.db.clone();
        tokio::spawn(async move { (new.clone(), db.create_upload_job(new).await.unwrap()) })
    });
    let outcomes = join_all(creates).await.into_iter().map(Result::unwrap).collect::<Vec<_>>();
    let recorded = outcomes.iter().filter(|(_, o)| *o == Created::Recorded).collect::<Vec<_>>();
    assert_eq!(recorded.len(), 7);
    let refused = outcomes.iter().filter(|(_, o)| *o == Created::TooManyOpenUploads).count();
    assert_eq!(refused, 43);
    assert_eq!(db.db.unfinished_jobs(None, 100).await.unwrap().jobs.len(), 8);

    // A job that ended makes room.
    finish(&db, &recorded[0].0, JobState::Failed).await;
    let mut new = new_job(account);
    new.open_uploads_max = 7;
    assert_eq!(db.db.create_upload_job(new.clone()).await.unwrap(), Created::Recorded);
    let mut new = new_job(account);
    new.open_uploads_max = 7;
    assert_eq!(db.db.create_upload_job(new).await.unwrap(), Created::TooManyOpenUploads);
    assert_eq!(job_of(&db, &other).await, other.job);
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn another_accounts_job_is_not_found(#[case] db: TestDb) {
    let new = recorded(&db).await;
    let (own, other) = (Scope::Account(new.job.account), Scope::Account(AccountUuid::random()));
    let uuid = new.job.uuid;
    let image_id = new.upload.image_id.clone().unwrap();
    assert!(db.db.job(uuid, own).await.unwrap().is_some());
    assert!(db.db.job(uuid, other).await.unwrap().is_none());
    assert_eq!(db.db.live_jobs_of(&image_id, own).await.unwrap().len(), 1);
    assert_eq!(db.db.live_jobs_of(&image_id, other).await.unwrap().len(), 0);
    assert_eq!(db.db.live_jobs_of(&image_id, Scope::All).await.unwrap().len(), 1);
    let renamed = db.db.rename_job(uuid, other, Some("theirs".to_owned()), None, 1).await.unwrap();
    assert_eq!(renamed, None);
    assert_eq!(db.db.delete_job(uuid, other).await.unwrap(), Deleted::Missing);
    finish(&db, &new, JobState::Canceled).await;
    assert_eq!(db.db.delete_job(uuid, other).await.unwrap(), Deleted::Missing);
    assert_eq!(job_of(&db, &new).await.name, new.job.name);
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn renaming_leaves_the_rest_and_the_generation(#[case] db: TestDb) {
    let new = recorded(&db).await;
    let (uuid, own) = (new.job.uuid, Scope::Account(new.job.account));
    let name = "Ünïcode 日本 🚢 ' \" \\ % _ --".to_owned();
    let renamed = db.db.rename_job(uuid, own, Some(name.clone()), None, 99).await.unwrap().unwrap();
    let mut wanted = new.job.clone();
    (wanted.name, wanted.last_op_ms) = (name, 99);
    assert_eq!(renamed, wanted);
    wanted.description = Some(String::new());
    let renamed = db.db.rename_job(uuid, own, None, Some(String::new()), 99).await.unwrap();
    assert_eq!(renamed, Some(wanted.clone()));
    assert_eq!(job_of(&db, &new).await, wanted);
    assert_eq!(db.db.rename_job(JobUuid::random(), own, None, None, 1).await.unwrap(), None);
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn nul_is_refused_and_names_its_field(#[case] db: TestDb) {
    type Change = fn(&mut NewUploadJob, String);
    let bad = "a\0b".to_owned();
    let changes: [(&str, Change); 6] = [
        ("name", |new, bad| new.job.name = bad),
        ("description", |new, bad| new.job.description = Some(bad)),
        ("jobData", |new, bad| new.job.job_data = bad),
        ("systemTags", |new, bad| new.system_tags.push(bad)),
        ("userTags", |new, bad| new.user_tags.push(bad)),
        ("text", |new, bad| new.image.guest_os_type = Some(bad)),
    ];
    for (wanted, change) in changes {
        let mut new = new_job(AccountUuid::random());
        change(&mut new, bad.clone());
        let uuid = new.job.uuid;
        let error = db.db.create_upload_job(new).await.unwrap_err();
        let DbError::BadValue { field, value } = &error else { panic!("{error}") };
        assert_eq!((field.as_str(), value.as_str()), (wanted, "a\\0b"));
        assert!(db.db.job(uuid, Scope::All).await.unwrap().is_none(), "{wanted}: half a job");
    }
    let new = recorded(&db).await;
    let renamed = db.db.rename_job(new.job.uuid, Scope::All, Some(bad), None, 1).await;
    assert!(matches!(renamed, Err(DbError::BadValue { .. })));
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn only_a_final_job_is_deleted_and_its_image_stays(#[case] db: TestDb) {
    let new = recorded(&db).await;
    let (uuid, image) = (new.job.uuid, new.image.uuid);
    for (generation, state) in [
        (1, JobState::Running),
        (2, JobState::Suspended(SuspendReason::User)),
        (3, JobState::Canceling),
    ] {
        assert_eq!(db.db.delete_job(uuid, Scope::All).await.unwrap(), Deleted::NotFinal);
        let _ = db.db.move_job(to(&new, generation, state)).await.unwrap();
    }
    let _ = db.db.move_job(to(&new, 4, JobState::Canceled)).await.unwrap();
    assert_eq!(db.db.delete_job(uuid, Scope::All).await.unwrap(), Deleted::Gone);
    assert_eq!(db.db.delete_job(uuid, Scope::All).await.unwrap(), Deleted::Missing);
    assert_eq!(db.db.job(uuid, Scope::All).await.unwrap(), None);
    assert_eq!(db.db.upload(new.upload.uuid).await.unwrap(), None);
    assert!(db.db.image(image, Scope::All).await.unwrap().is_some());
    let left = db.peek("SELECT DISTINCT resource_uuid FROM tag").await;
    assert_eq!(left, [image.to_string()], "tags of the job are gone, those of the image stay");
    assert!(db.peek("SELECT api_id FROM progress").await.is_empty());
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn live_jobs_of_a_file_come_furthest_first(#[case] db: TestDb) {
    let account = AccountUuid::random();
    let mut jobs = Vec::new();
    for (id, created_ms, offset) in
        [("File", 10, 5), ("File", 20, 5), ("File", 30, 900), ("file", 40, 1000), ("File", 50, 0)]
    {
        let mut new = new_job(account);
        new.upload.image_id = Some(id.parse().unwrap());
        new.job.created_ms = created_ms;
        let new = record(&db, new).await;
        let touch = UploadTouch {
            uuid: new.upload.uuid,
            owner_epoch: 0,
            offset,
            stored: offset,
            last_byte_ms: NOW_MS,
            percent: 1,
        };
        db.db.touch_uploads(vec![touch]).await.unwrap();
        jobs.push(new.job.uuid);
    }
    let mut ended = new_job(account);
    ended.upload.image_id = Some("File".parse().unwrap());
    let ended = record(&db, ended).await;
    finish(&db, &ended, JobState::Failed).await;

    let found =
        db.db.live_jobs_of(&"File".parse().unwrap(), Scope::Account(account)).await.unwrap();
    let found = found
        .into_iter()
        .map(|(job, upload)| {
            assert_eq!(upload.job, job.uuid);
            job.uuid
        })
        .collect::<Vec<_>>();
    assert_eq!(found, [jobs[2], jobs[1], jobs[0], jobs[4]], "compared bytewise");
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn unfinished_jobs_come_in_pages_in_order(#[case] db: TestDb) {
    let mut wanted = Vec::new();
    for at in 0..7 {
        let new = recorded(&db).await;
        if at % 3 == 0 {
            finish(&db, &new, JobState::Succeeded).await;
        } else {
            wanted.push(new.job.uuid);
        }
    }
    wanted.sort();
    let mut found = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = db.db.unfinished_jobs(after.as_deref(), 3).await.unwrap();
        assert!(page.jobs.len() <= 3 && page.unreadable.is_empty());
        let Some(last) = page.last else { break };
        assert_eq!(page.jobs.last().map(|(job, _)| job.uuid.to_string()).as_ref(), Some(&last));
        after = Some(last);
        found.extend(page.jobs.iter().map(|(job, _)| job.uuid));
    }
    assert_eq!(found, wanted);
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn a_row_that_nobody_understands_is_named(#[case] db: TestDb) {
    let new = recorded(&db).await;
    let uuid = new.job.uuid;
    if db.file().is_none() {
        for check in ["long_job_state", "long_job_suspended", "long_job_finished"] {
            db.sabotage(&format!("ALTER TABLE long_job DROP CONSTRAINT {check}")).await;
        }
        db.sabotage("ALTER TABLE upload DROP CONSTRAINT upload_fate").await;
    }
    db.sabotage("UPDATE long_job SET state = 'Teleporting'").await;
    db.sabotage("UPDATE upload SET fate = 'lost'").await;
    db.sabotage("UPDATE image SET size = -1").await;
    let corrupt = |error: DbError| match error {
        DbError::CorruptRow { table, key, column } => (table, key, column),
        other => panic!("{other}"),
    };
    let error = db.db.job(uuid, Scope::All).await.unwrap_err();
    assert_eq!(corrupt(error), ("long_job", uuid.to_string(), "state"));
    let error = db.db.upload(new.upload.uuid).await.unwrap_err();
    assert_eq!(corrupt(error), ("upload", new.upload.uuid.to_string(), "fate"));
    let error = db.db.image(new.image.uuid, Scope::All).await.unwrap_err();
    assert_eq!(corrupt(error), ("image", new.image.uuid.to_string(), "size"));
}

/// The tables themselves hold states only that the service knows.
#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn a_contradiction_is_refused_by_the_table(#[case] db: TestDb) {
    let mut new = new_job(AccountUuid::random());
    new.job.state = JobState::Failed;
    new.job.finished_ms = None;
    let error = db.db.create_upload_job(new).await.unwrap_err();
    assert!(matches!(error, DbError::Refused { .. }), "{error}");
    assert!(!error.retryable());
    for state in JobState::ALL {
        let mut new = new_job(AccountUuid::random());
        new.job.state = state;
        new.job.finished_ms = state.is_final().then_some(NOW_MS);
        let new = record(&db, new).await;
        assert_eq!(job_of(&db, &new).await, new.job);
    }
    assert_eq!(db.db.api_job(ApiId::random()).await.unwrap(), None);
    assert_eq!(db.db.upload_of_image(ImageUuid::random()).await.unwrap(), None);
}
