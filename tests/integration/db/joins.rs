//! Fields of what belongs to a record, and the storage: the same answers from both databases.

use longshore::{
    db::{DbError, ImageChange, MoveJob, StorageNow},
    domain::{
        account::{Scope, StorageRecord},
        ids::{AccountUuid, StorageUuid},
        image::ImageStatus,
        job_state::JobState,
        query::{Condition, Query},
    },
};
use rstest::rstest;

use super::records::{NOW_MS, new_job, record, recorded, to};
use crate::support::databases::TestDb;

fn query(conditions: &[&str]) -> Query {
    let conditions = conditions.iter().map(|text| Condition::parse(text).unwrap()).collect();
    Query { conditions, ..Query::default() }
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn images_are_found_by_their_storage(#[case] db: TestDb) {
    let storage =
        StorageRecord { uuid: StorageUuid::random(), name: "local".to_owned(), created_ms: NOW_MS };
    let storage = db.db.bind_storage(storage).await.unwrap();
    let mut ready = new_job(AccountUuid::random());
    ready.image.storage = storage.uuid;
    let ready = record(&db, ready).await;
    let mut image = ready.image.clone();
    image.status = ImageStatus::Ready;
    let image = ImageChange::Replace(Box::new(image));
    let _ = db.db.move_job(MoveJob { image, ..to(&ready, 1, JobState::Succeeded) }).await.unwrap();
    let uploading = recorded(&db).await;
    let name = |uuid| if uuid == ready.image.uuid { 'r' } else { 'u' };
    let found = async |conditions: &[&str]| {
        let sorted = Query { sort: Some(("status".to_owned(), true)), ..query(conditions) };
        let page = db.db.images(&sorted, Scope::All).await;
        page.map(|page| page.rows.iter().map(|image| name(image.uuid)).collect::<String>())
    };
    let path = format!("longshore://images/{}", ready.image.uuid);
    let own = [
        format!("backupStorageRefs.installPath={path}"),
        format!("backupStorageRefs.installPath?=x, {path}"),
        format!("backupStorageRefs.imageUuid={}", ready.image.uuid),
        format!("backupStorageRefs.backupStorageUuid={}", storage.uuid),
        format!("backupStorage.uuid={}", storage.uuid),
        format!("backupStorage.uuid!={}", uploading.image.storage),
    ];
    for condition in &own {
        assert_eq!(found(&[condition]).await.unwrap(), "r", "{condition}");
    }
    for (condition, wanted) in [
        ("backupStorageRefs.installPath~=longshore%", "r"),
        // An upload URL is in no row.
        ("backupStorageRefs.installPath is null", "u"),
        ("backupStorageRefs.installPath~=%upload%", ""),
        ("backupStorageRefs.status=Ready", "r"),
        ("backupStorageRefs.status!=Ready", "u"),
        ("backupStorageRefs.exportUrl!=null", ""),
        ("backupStorageRefs.exportUrl is null", "ru"),
        ("backupStorageRefs.exportUrl not null", ""),
        ("backupStorageRefs.exportMd5Sum=x", ""),
        ("backupStorageRefs.createDate>1", "ru"),
        ("backupStorageRefs.lastOpDate<1", ""),
        ("backupStorage.name=local", "r"),
        ("backupStorage.name is null", "u"),
        ("backupStorage.type=ImageStoreBackupStorage", "ru"),
        ("backupStorage.state=Enabled", "ru"),
        ("backupStorage.status!=Connected", ""),
        ("backupStorage.zone.uuid=0123456789abcdef0123456789abcdef", ""),
        ("backupStorage.zone.uuid is null", "ru"),
        ("backupStorage.zone.name~=%", ""),
    ] {
        assert_eq!(found(&[condition]).await.unwrap(), wanted, "{condition}");
    }
    for field in
        ["backupStorage", "backupStorage.url", "backupStorageRefs.", "volume.name", "a.b.c"]
    {
        let error = found(&[&format!("{field}=1")]).await.unwrap_err();
        assert!(matches!(&error, DbError::UnknownField { field: f } if f == field), "{error}");
    }
    for sort in ["backupStorage.name", "backupStorageRefs.exportUrl", "backupStorage.type"] {
        let sorted = Query { sort: Some((sort.to_owned(), true)), ..query(&[]) };
        assert_eq!(db.db.images(&sorted, Scope::All).await.unwrap().rows.len(), 2, "{sort}");
    }
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn the_storage_is_found_as_all_records_are(#[case] db: TestDb) {
    let storage =
        StorageRecord { uuid: StorageUuid::random(), name: "Local".to_owned(), created_ms: NOW_MS };
    let now = StorageNow { url: "http://a/b".to_owned(), total_bytes: 100, free_bytes: 40 };
    let none = db.db.storages(&query(&[]), now.clone()).await.unwrap();
    assert!(none.rows.is_empty(), "nothing is bound yet");
    let storage = db.db.bind_storage(storage).await.unwrap();
    let uuid = storage.uuid;
    let by_uuid = [
        (format!("uuid={uuid}"), true),
        (format!("uuid!={uuid}"), false),
        (format!("uuid?=x, {uuid}"), true),
        (format!("uuid!?=x,{uuid}"), false),
    ];
    let fixed = [
        ("uuid=1d2d", false),
        ("name=local", false),
        ("name~=lo%", true),
        ("name~=l_cal", true),
        ("name~=%c%l", true),
        ("name~=cal", false),
        ("name~=lo\\%", false),
        ("name!~=lo%", false),
        ("name>Loc", true),
        ("name<Loc", false),
        ("name<=Local", true),
        ("url=http://a/b", true),
        ("url<http://a/B", false),
        ("availableCapacity>39", true),
        ("availableCapacity>40", false),
        ("availableCapacity<=40", true),
        ("availableCapacity>=9", true),
        ("totalCapacity=100", true),
        ("totalCapacity?=1,100", true),
        ("state=Enabled", true),
        ("status=Connected", true),
        ("type=ImageStoreBackupStorage", true),
        ("name not null", true),
        ("name is null", false),
        ("description is null", true),
        ("zone.uuid=x", false),
        ("createDate=Nov 21, 2026 1:02:03 AM", true),
        ("createDate>2026-11-21 01:02:03", false),
        ("lastOpDate>=2026-11-21 01:02:03", true),
        ("__systemTag__=x", false),
        ("__systemTag__!=x", true),
        ("__systemTag__ is null", true),
        ("__userTag__ not null", false),
    ];
    let fixed = fixed.map(|(condition, met)| (condition.to_owned(), met));
    for (condition, met) in by_uuid.into_iter().chain(fixed) {
        let asked = Query { reply_with_count: true, ..query(&[&condition]) };
        let page = db.db.storages(&asked, now.clone()).await.unwrap();
        assert_eq!(
            (page.rows.len(), page.total),
            (usize::from(met), Some(u64::from(met))),
            "{condition}"
        );
        assert!(page.rows.iter().all(|row| *row == storage));
    }
    for bad in ["availableCapacity>much", "nope=1", "attachedZoneUuids=x", "name~=\0"] {
        assert!(db.db.storages(&query(&[bad]), now.clone()).await.is_err(), "{bad}");
    }
    let count = Query { count: true, sort: Some(("type".to_owned(), true)), ..query(&[]) };
    assert_eq!(db.db.storages(&count, now.clone()).await.unwrap().total, Some(1));
    for (field, start, rows) in
        [("name", 0, 1), ("url", 1, 0), ("type", 0, 1), ("totalCapacity", 0, 1)]
    {
        let sorted = Query { sort: Some((field.to_owned(), true)), start, ..query(&[]) };
        assert_eq!(db.db.storages(&sorted, now.clone()).await.unwrap().rows.len(), rows, "{field}");
    }
    let huge = StorageNow { total_bytes: u64::MAX, ..now };
    let full = query(&["totalCapacity>9223372036854775806"]);
    assert_eq!(db.db.storages(&full, huge).await.unwrap().rows.len(), 1);
}
