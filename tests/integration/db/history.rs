//! The states that a job has been in: recorded with each change, by whatever statement makes it.

use longshore::{
    db::{
        Applied, Created, ImageChange, MoveJob, NewRun, NewUploadJob, RunBegun, RunTags, TakeOver,
    },
    domain::{
        account::Scope,
        history::StateChange,
        ids::{AccountUuid, ApiId, JobUuid, NodeUuid, UploadUuid},
        image::{ImageRecord, ImageStatus},
        inspected::{Inspected, InspectedUnder, InspectionWarning},
        job::{LongJob, Stage},
        job_state::{JobState, SuspendReason},
        upload::{UploadFate, UploadRecord},
    },
};
use rstest::rstest;

use super::records::{NOW_MS, image_of, job_of, new_job, record, recorded, to};
use crate::support::databases::TestDb;

const IDLE: JobState = JobState::Suspended(SuspendReason::Idle);
const USER: JobState = JobState::Suspended(SuspendReason::User);
const RESTART: JobState = JobState::Suspended(SuspendReason::Restart);

async fn history(db: &TestDb, job: JobUuid) -> Vec<StateChange> {
    db.db.job_history(job, Scope::All).await.unwrap().expect("a job")
}

async fn told(db: &TestDb, job: JobUuid) -> Vec<(JobState, String)> {
    history(db, job).await.into_iter().map(|change| (change.state, change.cause)).collect()
}

async fn rows(db: &TestDb) -> Vec<String> {
    db.peek("SELECT job_uuid || ' ' || state FROM job_history ORDER BY number").await
}

/// A job that is recorded at its end.
fn born_at_its_end() -> NewUploadJob {
    let cause = "made of one request".to_owned();
    let mut new = NewUploadJob { cause, ..new_job(AccountUuid::random()) };
    new.job.state = JobState::Succeeded;
    new.job.finished_ms = Some(NOW_MS);
    new.image.status = ImageStatus::Ready;
    new
}

fn again(old: &NewUploadJob, before: LongJob) -> NewRun {
    let upload = UploadUuid::random();
    let state = JobState::Running;
    NewRun {
        job: LongJob {
            state,
            upload,
            api_id: ApiId::random(),
            last_op_ms: NOW_MS + 70_000,
            finished_ms: None,
            ..before.clone()
        },
        before,
        image: image_of(old.job.account, old.image.uuid),
        upload: UploadRecord { uuid: upload, fate: UploadFate::Open, ..old.upload.clone() },
        tags: RunTags::Keep,
        open_uploads_max: 1000,
        cause: "run again by the user".to_owned(),
    }
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn every_change_of_state_leaves_a_row_and_nothing_else_does(#[case] db: TestDb) {
    let new = recorded(&db).await;
    let job = new.job.uuid;
    let begun = StateChange { at_ms: NOW_MS, state: JobState::Waiting, cause: "submitted".into() };
    assert_eq!(history(&db, job).await, std::slice::from_ref(&begun));

    let mut wanted = vec![begun];
    let states = [JobState::Running, IDLE, USER, JobState::Running, JobState::Succeeded];
    for (generation, state) in (1..).zip(states) {
        let at_ms = NOW_MS + 1000 * generation;
        let change = MoveJob { now_ms: at_ms, ..to(&new, generation, state) };
        assert_eq!(db.db.move_job(change.clone()).await.unwrap(), Applied::Moved(generation + 1));
        wanted.push(StateChange { at_ms, state, cause: format!("moved from {generation}") });
        assert_eq!(history(&db, job).await, wanted);
        assert_eq!(db.db.move_job(change).await.unwrap(), Applied::Stale);
    }
    // Another stage and other words are no other state, and leave its cause.
    let verifying = MoveJob { stage: Stage::Verifying, ..to(&new, 6, JobState::Succeeded) };
    assert_eq!(db.db.move_job(verifying).await.unwrap(), Applied::Moved(7));
    let name = Some("another".to_owned());
    db.db.rename_job(job, Scope::All, name, None, NOW_MS).await.unwrap().unwrap();
    // Refused half way, after the job's row was written.
    let foreign = image_of(new.job.account, longshore::domain::ids::ImageUuid::random());
    let image = ImageChange::Replace(Box::new(foreign));
    let refused = MoveJob { image, ..to(&new, 7, JobState::Failed) };
    db.db.move_job(refused).await.unwrap_err();
    assert_eq!(history(&db, job).await, wanted);
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn a_job_that_was_recorded_at_its_end_has_no_row_until_it_runs_again(#[case] db: TestDb) {
    let new = record(&db, born_at_its_end()).await;
    let end = (JobState::Succeeded, "made of one request".to_owned());
    assert_eq!(told(&db, new.job.uuid).await, std::slice::from_ref(&end));
    // What leaves the state as it is leaves its cause.
    let same = MoveJob { stage: Stage::Publishing, ..to(&new, 1, JobState::Succeeded) };
    assert_eq!(
        db.db.move_job(MoveJob { now_ms: NOW_MS, ..same }).await.unwrap(),
        Applied::Moved(2)
    );
    assert_eq!(told(&db, new.job.uuid).await, std::slice::from_ref(&end));
    assert_eq!(rows(&db).await, [] as [String; 0], "an image of one request pays nothing");
    assert!(db.db.mark_image_deleted(new.image.uuid, Scope::All, NOW_MS).await.unwrap());
    assert!(db.db.remove_image(new.image.uuid).await.unwrap());

    let run = again(&new, job_of(&db, &new).await);
    assert!(matches!(db.db.begin_run(run).await.unwrap(), RunBegun::Begun(3)));
    let running = (JobState::Running, "run again by the user".to_owned());
    assert_eq!(told(&db, new.job.uuid).await, [end, running]);
    let times: Vec<_> = history(&db, new.job.uuid).await.iter().map(|c| c.at_ms).collect();
    assert_eq!(times, [NOW_MS, NOW_MS + 70_000]);
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn taking_over_leaves_a_row_of_each_job_that_moves(#[case] db: TestDb) {
    let (moved, other) = (recorded(&db).await, recorded(&db).await);
    for (new, state) in [(&moved, JobState::Running), (&other, USER)] {
        assert_eq!(db.db.move_job(to(new, 1, state)).await.unwrap(), Applied::Moved(2));
    }
    let take = TakeOver {
        after: String::new(),
        through: "g".to_owned(),
        node: NodeUuid::random(),
        until_ms: NOW_MS + 90_000,
        moves: vec![(JobState::Waiting, RESTART), (JobState::Running, RESTART)],
        waits_for: "more".to_owned(),
        detail: "interrupted".to_owned(),
        cause: "the service was restarted".to_owned(),
        now_ms: NOW_MS + 60_000,
    };
    // Once more at the same moment: nothing is there any more to be moved.
    for _ in 0..2 {
        db.db.take_over(take.clone()).await.unwrap();
    }
    let last = StateChange {
        at_ms: NOW_MS + 60_000,
        state: RESTART,
        cause: "the service was restarted".to_owned(),
    };
    assert_eq!(history(&db, moved.job.uuid).await[2..], [last]);
    assert_eq!(history(&db, other.job.uuid).await.len(), 2);
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn a_history_has_a_bound_and_goes_with_its_job(#[case] db: TestDb) {
    let (new, other) = (recorded(&db).await, recorded(&db).await);
    let states = [JobState::Running, IDLE];
    for generation in 1..=150_i64 {
        let state = states[usize::try_from(generation % 2).unwrap()];
        let _ = db.db.move_job(to(&new, generation, state)).await.unwrap();
    }
    let kept = told(&db, new.job.uuid).await;
    assert_eq!(kept.len(), 100);
    assert_eq!(kept[0], (JobState::Waiting, "submitted".to_owned()), "with it the job began");
    let newest: Vec<_> = (52..=150).map(|generation| format!("moved from {generation}")).collect();
    assert_eq!(kept[1..].iter().map(|(_, cause)| cause.clone()).collect::<Vec<_>>(), newest);

    assert_eq!(db.db.move_job(to(&new, 151, JobState::Failed)).await.unwrap(), Applied::Moved(152));
    let _ = db.db.delete_job(new.job.uuid, Scope::All).await.unwrap();
    assert_eq!(rows(&db).await, [format!("{} Waiting", other.job.uuid)], "those of others stay");
    assert_eq!(db.db.job_history(new.job.uuid, Scope::All).await.unwrap(), None);
    // The uuid is free, and who gets it begins anew.
    let reused = NewUploadJob {
        job: LongJob { upload: UploadUuid::random(), ..new.job.clone() },
        ..new_job(new.job.account)
    };
    let reused = NewUploadJob {
        upload: UploadRecord {
            job: reused.job.uuid,
            uuid: reused.job.upload,
            ..reused.upload.clone()
        },
        ..reused
    };
    assert_eq!(db.db.create_upload_job(reused).await.unwrap(), Created::Recorded);
    assert_eq!(history(&db, new.job.uuid).await.len(), 1);
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn only_who_may_see_a_job_sees_its_history(#[case] db: TestDb) {
    let new = recorded(&db).await;
    let seen = async |job, scope| db.db.job_history(job, scope).await.unwrap().is_some();
    assert!(seen(new.job.uuid, Scope::Account(new.job.account)).await);
    assert!(!seen(new.job.uuid, Scope::Account(AccountUuid::random())).await);
    assert!(!seen(JobUuid::random(), Scope::All).await);
    // A duplicate that is refused leaves nothing.
    let mut twin = new.clone();
    twin.job.uuid = JobUuid::random();
    assert_eq!(db.db.create_upload_job(twin.clone()).await.unwrap(), Created::Duplicate);
    assert!(!seen(twin.job.uuid, Scope::All).await);
    assert_eq!(rows(&db).await.len(), 1);
}

/// With the image, in the step that makes it Ready; a change of its record leaves it.
#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn what_an_inspection_led_to_is_kept_with_the_image(#[case] db: TestDb) {
    let inspected = Inspected {
        policy: InspectedUnder::Warn,
        format: "qcow2".to_owned(),
        virtual_size: 1 << 42,
        warnings: vec![InspectionWarning {
            rule: "qcow2_dirty".to_owned(),
            words: "it was not closed in order: \"check\" it".to_owned(),
        }],
    };
    let new = recorded(&db).await;
    let image = ImageRecord { inspection: Some(inspected.clone()), ..new.image.clone() };
    let ready = ImageRecord { status: ImageStatus::Ready, ..image };
    let change = MoveJob {
        image: ImageChange::Replace(Box::new(ready.clone())),
        ..to(&new, 1, JobState::Succeeded)
    };
    assert_eq!(db.db.move_job(change).await.unwrap(), Applied::Moved(2));
    assert_eq!(db.db.image(ready.uuid, Scope::All).await.unwrap(), Some(ready.clone()));
    let changes = serde_json::from_str(r#"{"name":"another","mediaType":"ISO"}"#).unwrap();
    let _ = db.db.update_image(ready.uuid, Scope::All, changes, NOW_MS).await.unwrap();
    let now = db.db.image(ready.uuid, Scope::All).await.unwrap().unwrap();
    assert_eq!((&*now.format, now.inspection), ("iso", Some(inspected.clone())));

    let mut whole = born_at_its_end();
    whole.image.inspection = Some(inspected);
    let whole = record(&db, whole).await;
    assert_eq!(db.db.image(whole.image.uuid, Scope::All).await.unwrap(), Some(whole.image));
}
