//! How writes are committed.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::future::join_all;
use longshore::{
    db::{Applied, Created, DbError, DbOptions, ImageChange, MoveJob, open},
    domain::{account::Scope, ids::AccountUuid, job_state::JobState},
};
use rstest::rstest;
use sqlx::{Connection, PgConnection, SqliteConnection, sqlite::SqliteConnectOptions};

use super::records::{job_of, new_job, recorded, to};
use crate::support::databases::TestDb;

/// 200 uploads that start at once cost a few syncs, not 200, and each of them is there afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_writes_share_a_commit_and_each_is_durable() {
    let db = TestDb::sqlite().await;
    let (writes, commits) = (db.counters.writes(), db.counters.commits());
    let creates = (0..200).map(|_| {
        let (db, new) = (db.db.clone(), new_job(AccountUuid::random()));
        tokio::spawn(async move {
            assert_eq!(db.create_upload_job(new.clone()).await.unwrap(), Created::Recorded);
            new.job.uuid
        })
    });
    let wanted = join_all(creates).await.into_iter().map(Result::unwrap).collect::<BTreeSet<_>>();
    assert_eq!(db.counters.writes() - writes, 200);
    let commits = db.counters.commits() - commits;
    assert!((1..100).contains(&commits), "{commits} commits for 200 writes");
    let db = db.reopen().await;
    let found = db.db.unfinished_jobs(None, 1000).await.unwrap().jobs;
    assert_eq!(found.into_iter().map(|(job, _)| job.uuid).collect::<BTreeSet<_>>(), wanted);
}

/// The same without a crowd: a write that waits for nobody is committed alone, so the count above means something.
#[tokio::test]
async fn one_after_another_each_write_has_its_commit() {
    let db = TestDb::sqlite().await;
    let commits = db.counters.commits();
    for _ in 0..20 {
        recorded(&db).await;
    }
    assert_eq!(db.counters.commits() - commits, 20);
}

/// Writes that are refused or undone share a transaction with writes that are kept.
#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_refused_write_undoes_itself_alone(#[case] db: TestDb) {
    let old = recorded(&db).await;
    let writes = (0..90).map(|at| {
        let mut new = new_job(AccountUuid::random());
        match at % 3 {
            0 => {}
            1 => new.upload.uuid = old.upload.uuid,
            // The table refuses a final job without an end.
            _ => new.job.state = JobState::Failed,
        }
        let db = db.db.clone();
        tokio::spawn(async move { (at % 3, new.job.uuid, db.create_upload_job(new).await) })
    });
    for outcome in join_all(writes).await {
        let (kind, uuid, outcome) = outcome.unwrap();
        let there = db.db.job(uuid, Scope::All).await.unwrap().is_some();
        match (kind, outcome) {
            (0, Ok(Created::Recorded)) => assert!(there),
            (1, Ok(Created::Duplicate)) | (2, Err(DbError::Refused { .. })) => assert!(!there),
            (kind, outcome) => panic!("{kind}: {outcome:?}"),
        }
    }
}

/// A caller that goes away neither stops the writer nor leaves half a write.
#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_caller_may_go_away(#[case] db: TestDb) {
    let mut uuids = Vec::new();
    for at in 0..60 {
        let (database, new) = (db.db.clone(), new_job(AccountUuid::random()));
        uuids.push((new.job.uuid, new.image.uuid, new.upload.uuid));
        let task = tokio::spawn(async move { database.create_upload_job(new).await });
        if at % 3 > 0 {
            tokio::time::sleep(Duration::from_micros(at * 40)).await;
        }
        task.abort();
    }
    recorded(&db).await;
    for (job, image, upload) in uuids {
        let there = [
            db.db.job(job, Scope::All).await.unwrap().is_some(),
            db.db.image(image, Scope::All).await.unwrap().is_some(),
            db.db.upload(upload).await.unwrap().is_some(),
        ];
        assert!(there == [true; 3] || there == [false; 3], "{there:?}");
    }
}

/// Another process holds the file's lock for longer than we wait: said in time, and healed when it is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_file_is_unavailable_and_heals() {
    let db = TestDb::sqlite().await;
    let options = DbOptions { wait_ms: 200, ..DbOptions::default() };
    let second = open(&db.url, &options).await.unwrap();
    let file = SqliteConnectOptions::new().filename(db.file().unwrap());
    let mut blocker = SqliteConnection::connect_with(&file).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut blocker).await.unwrap();
    let error = second.ping().await.unwrap_err();
    assert!(error.retryable(), "{error}");
    assert!(second.account(AccountUuid::random()).await.unwrap().is_none(), "reading goes on");
    sqlx::query("ROLLBACK").execute(&mut blocker).await.unwrap();
    second.ping().await.unwrap();
}

/// The writer ends with the runtime that it was opened on; who still asks hears so.
#[test]
fn a_writer_that_has_stopped_is_an_error_and_no_panic() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (first, second) = (runtime(), runtime());
    let db = first.block_on(TestDb::sqlite());
    let database = Arc::clone(&db.db);
    first.shutdown_background();
    let error = second.block_on(database.ping()).unwrap_err();
    assert!(matches!(error, DbError::Unavailable { .. }), "{error}");
}

/// PostgreSQL ends one of two transactions that wait for each other, here ours: it is run again, and nobody hears of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL"]
async fn a_deadlocked_write_is_run_again() {
    let db = TestDb::postgres().await;
    let new = recorded(&db).await;
    let mut other = PgConnection::connect(&db.url).await.unwrap();
    sqlx::query("BEGIN").execute(&mut other).await.unwrap();
    // So that the server ends ours, which is the first to look.
    sqlx::query("SET LOCAL deadlock_timeout = '60s'").execute(&mut other).await.unwrap();
    sqlx::query("UPDATE image SET size = 1").execute(&mut other).await.unwrap();
    let change = MoveJob { image: ImageChange::Remove, ..to(&new, 1, JobState::Canceled) };
    let database = Arc::clone(&db.db);
    let ours = tokio::spawn(async move { database.move_job(change).await });
    waits_for_a_lock(&db, 1).await;
    sqlx::query("UPDATE long_job SET name = 'theirs'").execute(&mut other).await.unwrap();
    assert!(!ours.is_finished(), "it did not wait for the image");
    sqlx::query("COMMIT").execute(&mut other).await.unwrap();
    assert_eq!(ours.await.unwrap().unwrap(), Applied::Moved(2));
    assert_eq!(job_of(&db, &new).await.name, "theirs");
    assert_eq!(db.db.image(new.image.uuid, Scope::All).await.unwrap(), None);
}

/// A row that somebody holds for longer than we wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL"]
async fn a_locked_row_is_unavailable_and_heals() {
    let db = TestDb::postgres().await;
    let new = recorded(&db).await;
    let options = DbOptions { wait_ms: 300, ..DbOptions::default() };
    let second = open(&db.url, &options).await.unwrap();
    let mut other = PgConnection::connect(&db.url).await.unwrap();
    sqlx::query("BEGIN").execute(&mut other).await.unwrap();
    sqlx::query("UPDATE long_job SET name = 'theirs'").execute(&mut other).await.unwrap();
    let error = second.move_job(to(&new, 1, JobState::Running)).await.unwrap_err();
    assert!(error.retryable(), "{error}");
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    let moved = second.move_job(to(&new, 1, JobState::Running)).await.unwrap();
    assert_eq!(moved, Applied::Moved(2));
}

async fn waits_for_a_lock(db: &TestDb, wanted: usize) {
    for _ in 0..100 {
        let waiting = "SELECT 'waits' FROM pg_stat_activity \
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";
        if db.peek(waiting).await.len() == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("nobody waits for a lock");
}
