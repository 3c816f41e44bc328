//! Calls, progress, and the service's own records.

use longshore::{
    db::ApiJobResult,
    domain::{
        account::StorageRecord,
        ids::{ApiId, StorageUuid},
    },
};
use rstest::rstest;

use crate::support::databases::TestDb;

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn a_call_runs_ends_and_is_forgotten(#[case] db: TestDb) {
    let (id, other) = (ApiId::random(), ApiId::random());
    assert_eq!(db.db.api_job(id).await.unwrap(), None);
    assert!(db.db.begin_api_job(id, 10).await.unwrap());
    assert!(!db.db.begin_api_job(id, 11).await.unwrap());
    assert_eq!(db.db.api_job(id).await.unwrap(), Some(None));
    let result = ApiJobResult { success: false, body: "{\"error\":{}}".to_owned() };
    db.db.finish_api_job(id, result.clone(), 20).await.unwrap();
    assert_eq!(db.db.api_job(id).await.unwrap(), Some(Some(result.clone())));
    assert!(db.db.begin_api_job(other, 21).await.unwrap());
    let cut_off = ApiId::random();
    assert!(db.db.begin_api_job(cut_off, 1).await.unwrap());
    assert_eq!(db.db.prune_api_jobs(20).await.unwrap(), 1, "the one that never ended");
    assert_eq!(db.db.api_job(cut_off).await.unwrap(), None);
    assert_eq!(db.db.prune_api_jobs(21).await.unwrap(), 1, "the one that runs stays");
    assert_eq!(db.db.api_job(id).await.unwrap(), None);
    assert_eq!(db.db.api_job(other).await.unwrap(), Some(None));
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn the_first_storage_and_setting_stay(#[case] db: TestDb) {
    let storage = |name: &str| StorageRecord {
        uuid: StorageUuid::random(),
        name: name.to_owned(),
        created_ms: 7,
    };
    let first = storage("first");
    assert_eq!(db.db.bind_storage(first.clone()).await.unwrap(), first);
    assert_eq!(db.db.setting("key id", "1").await.unwrap(), "1");
    let db = db.reopen().await;
    assert_eq!(db.db.bind_storage(storage("second")).await.unwrap(), first);
    assert_eq!(db.db.setting("key id", "2").await.unwrap(), "1");
    assert_eq!(db.db.setting("other", "2").await.unwrap(), "2");
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn a_ping_writes(#[case] db: TestDb) {
    db.db.ping().await.unwrap();
    let before = db.counters.commits();
    db.db.ping().await.unwrap();
    assert_eq!(db.counters.commits(), before + 1);
    db.sabotage("DROP TABLE ping").await;
    assert!(db.db.ping().await.is_err());
}
