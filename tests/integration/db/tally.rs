//! The total of a page comes from a tally, and is the number of rows at any moment.

use longshore::{
    db::{Applied, Deleted, ImageChange, MoveJob},
    domain::{
        account::Scope,
        ids::AccountUuid,
        image::{ImageRecord, ImageStatus},
        job_state::{JobState, SuspendReason},
        query::{Condition, Query},
    },
};
use rstest::rstest;

use super::records::{NOW_MS, finish, new_job, record, to};
use crate::support::databases::TestDb;

/// What the tally says and what the rows are: kind, account, state, number.
async fn tally_and_rows(db: &TestDb) -> (Vec<String>, Vec<String>) {
    let tally = "SELECT kind || ' ' || account_uuid || ' ' || state || ' ' || SUM(n) FROM tally \
                 GROUP BY kind, account_uuid, state HAVING SUM(n) <> 0 ORDER BY 1";
    let rows = "SELECT kind || ' ' || account_uuid || ' ' || state || ' ' || COUNT(*) FROM ( \
                SELECT 'job' AS kind, account_uuid, state FROM long_job UNION ALL \
                SELECT 'job', '', state FROM long_job UNION ALL \
                SELECT 'image', account_uuid, status FROM image UNION ALL \
                SELECT 'image', '', status FROM image) r \
                GROUP BY kind, account_uuid, state ORDER BY 1";
    (db.peek(tally).await, db.peek(rows).await)
}

async fn assert_exact(db: &TestDb) {
    let (tally, rows) = tally_and_rows(db).await;
    assert_eq!(tally, rows);
}

async fn total(db: &TestDb, scope: Scope, conditions: &[&str], images: bool) -> u64 {
    let conditions = conditions.iter().map(|text| Condition::parse(text).unwrap()).collect();
    let query = Query { conditions, count: true, ..Query::default() };
    let total = if images {
        db.db.images(&query, scope).await.unwrap().total
    } else {
        db.db.jobs(&query, scope).await.unwrap().total
    };
    total.unwrap()
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn it_is_exact_whatever_happens_to_a_record(#[case] db: TestDb) {
    let (ada, bob) = (AccountUuid::random(), AccountUuid::random());
    let mut jobs = Vec::new();
    for at in 0..10 {
        jobs.push(record(&db, new_job(if at < 7 { ada } else { bob })).await);
    }
    assert_exact(&db).await;
    let ready = |at: usize| ImageRecord { status: ImageStatus::Ready, ..jobs[at].image.clone() };
    // To Succeeded with its image, which is then deleted and removed.
    let image = ImageChange::Replace(Box::new(ready(0)));
    let succeeded = MoveJob { image, ..to(&jobs[0], 1, JobState::Succeeded) };
    assert_eq!(db.db.move_job(succeeded).await.unwrap(), Applied::Moved(2));
    assert_exact(&db).await;
    assert!(db.db.mark_image_deleted(jobs[0].image.uuid, Scope::All, NOW_MS).await.unwrap());
    assert_exact(&db).await;
    db.db.remove_image(jobs[0].image.uuid).await.unwrap();
    assert_exact(&db).await;
    // An image that is gone is made again.
    let again = ImageChange::Replace(Box::new(ready(0)));
    let again = MoveJob { image: again, ..to(&jobs[0], 2, JobState::Succeeded) };
    assert_eq!(db.db.move_job(again).await.unwrap(), Applied::Moved(3));
    let failed = MoveJob { image: ImageChange::Remove, ..to(&jobs[1], 1, JobState::Failed) };
    assert_eq!(db.db.move_job(failed).await.unwrap(), Applied::Moved(2));
    finish(&db, &jobs[7], JobState::Canceled).await;
    let idle = to(&jobs[2], 1, JobState::Suspended(SuspendReason::Idle));
    assert_eq!(db.db.move_job(idle.clone()).await.unwrap(), Applied::Moved(2));
    // What loses its race, is a duplicate or not final changes no number.
    assert_eq!(db.db.move_job(idle).await.unwrap(), Applied::Stale);
    let _ = db.db.create_upload_job(jobs[3].clone()).await.unwrap();
    assert_eq!(db.db.delete_job(jobs[3].job.uuid, Scope::All).await.unwrap(), Deleted::NotFinal);
    assert_eq!(db.db.delete_job(jobs[1].job.uuid, Scope::All).await.unwrap(), Deleted::Gone);
    assert_exact(&db).await;

    assert_eq!(total(&db, Scope::All, &[], false).await, 9);
    assert_eq!(total(&db, Scope::Account(ada), &[], false).await, 6);
    assert_eq!(total(&db, Scope::All, &["state=Waiting"], false).await, 6);
    assert_eq!(total(&db, Scope::All, &["state!=Waiting"], false).await, 3);
    assert_eq!(total(&db, Scope::Account(bob), &["state?=Waiting,Canceled"], false).await, 3);
    assert_eq!(total(&db, Scope::Account(ada), &["state~=s%"], false).await, 2);
    assert_eq!(total(&db, Scope::All, &["state=Waiting", "state=Failed"], false).await, 0);
    assert_eq!(total(&db, Scope::All, &[], true).await, 9);
    assert_eq!(total(&db, Scope::Account(ada), &["status=Ready"], true).await, 1);
    assert_eq!(total(&db, Scope::Account(AccountUuid::random()), &[], true).await, 0);
    // Whatever else is asked is counted.
    assert_eq!(total(&db, Scope::All, &["state=Waiting", "name=fedora"], false).await, 6);

    // The control: with a number that nobody keeps, the comparison above fails.
    let ghost =
        "INSERT INTO tally (kind, account_uuid, state, slot, n) VALUES ('job', 'x', 'y', 0, 1)";
    db.sabotage(ghost).await;
    let (tally, rows) = tally_and_rows(&db).await;
    assert_ne!(tally, rows);
}

/// Many at once, on one account and a few states: the place where a number that is read and then written would be lost.
#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test(flavor = "multi_thread")]
async fn it_is_exact_after_a_crowd(#[case] db: TestDb) {
    let account = AccountUuid::random();
    let one = async |at: usize| {
        let new = record(&db, new_job(account)).await;
        let reasons = [SuspendReason::Idle, SuspendReason::User, SuspendReason::Restart];
        let mut generation = 1;
        for turn in 0..6 {
            let state = match (at + turn) % 3 {
                0 => JobState::Running,
                1 => JobState::Waiting,
                _ => JobState::Suspended(reasons[turn % 3]),
            };
            let moved = db.db.move_job(to(&new, generation, state)).await.unwrap();
            let Applied::Moved(next) = moved else { panic!("{moved:?}") };
            generation = next;
        }
        if at.is_multiple_of(4) {
            let end = to(&new, generation, JobState::Failed);
            assert!(matches!(db.db.move_job(end).await.unwrap(), Applied::Moved(_)));
            assert_eq!(db.db.delete_job(new.job.uuid, Scope::All).await.unwrap(), Deleted::Gone);
        }
    };
    futures::future::join_all((0..64).map(one)).await;
    assert_exact(&db).await;
    assert_eq!(total(&db, Scope::All, &[], false).await, 48);
}
