//! Records that an earlier version wrote.

use std::borrow::Cow;

use longshore::{
    db::Deleted,
    domain::{
        account::Scope,
        ids::is_resource_uuid,
        job::Stage,
        query::Query,
        tag::{Resource, TagKind, hex},
        upload::UploadKind,
    },
};
use rstest::rstest;
use sqlx::{
    AssertSqlSafe, Connection, Executor, PgConnection, SqlSafeStr, SqliteConnection,
    migrate::{Migrate, Migration, MigrationType, Migrator},
    sqlite::SqliteConnectOptions,
};

use crate::support::databases::TestDb;

const ACCOUNT: &str = "0123456789ab4def8123456789abcdef";
const JOB: &str = "11111111111141118111111111111111";
const IMAGE: &str = "22222222222242228222222222222222";
const MD5: &str = "00112233445566778899aabbccddeeff";
const SHA256: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const GONE: &str = "33333333333343338333333333333333";

/// What the first version wrote about one job, one image, and something that is gone.
fn first_rows() -> Vec<String> {
    let job = format!(
        "INSERT INTO long_job (uuid, account_uuid, name, api_id, job_name, job_data, state, \
         generation, stage, stage_percent, image_uuid, upload_uuid, created_ms, last_op_ms, \
         finished_ms) VALUES ('{JOB}', '{ACCOUNT}', 'a', '{GONE}', 'APIAddImageMsg', '{{}}', \
         'Succeeded', 1, 'publishing', 100, '{IMAGE}', '{GONE}', 1000, 2000, 2000)"
    );
    let image = format!(
        "INSERT INTO image (uuid, account_uuid, name, enabled, status, size, actual_size, url, \
         media_type, platform, format, system, virtio, storage_uuid, created_ms, last_op_ms) \
         VALUES ('{IMAGE}', '{ACCOUNT}', 'a', TRUE, 'Ready', 1, 1, 'upload://a', \
         'RootVolumeTemplate', 'Linux', 'raw', FALSE, TRUE, '{GONE}', 3000, 4000)"
    );
    let tags = [JOB, IMAGE, GONE].map(|resource| {
        format!(
            "INSERT INTO tag (resource_uuid, kind, position, tag) VALUES \
             ('{resource}', 'system', 0, 'z'), ('{resource}', 'system', 1, 'a'), \
             ('{resource}', 'user', 0, 'mine')"
        )
    });
    let upload = format!(
        "INSERT INTO upload (uuid, job_uuid, image_uuid, account_uuid, image_id, completion, \
         declared_length, expected_md5, expected_sha256, offset_cached, stored_cached, fate, \
         url_generation, owner_node, owner_epoch, lease_until_ms, created_ms, last_byte_ms) VALUES \
         ('{GONE}', '{JOB}', '{IMAGE}', '{ACCOUNT}', 'mine', 'by_length', 9, '{MD5}', '{SHA256}', \
         7, 8, 'published', 1, '{JOB}', 2, 3, 1000, 1500)"
    );
    [job, image, upload].into_iter().chain(tags).collect()
}

async fn write_first<C>(conn: &mut C, migration: &'static str)
where
    C: Migrate + Connection,
    for<'c> &'c mut C: Executor<'c, Database = C::Database>,
{
    let name = Cow::Borrowed("0001_records");
    let first = Migration::new(1, name, MigrationType::Simple, migration.into_sql_str(), false);
    Migrator::with_migrations(vec![first]).run_direct(None, conn, false).await.unwrap();
    for row in first_rows() {
        conn.execute(AssertSqlSafe(row)).await.unwrap();
    }
}

async fn sqlite() -> TestDb {
    let (url, dir) = TestDb::empty_sqlite();
    let file = dir.path().join("longshore.db");
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
    let mut conn = SqliteConnection::connect_with(&options).await.unwrap();
    write_first(&mut conn, include_str!("../../../migrations/sqlite/0001_records.sql")).await;
    conn.close().await.unwrap();
    TestDb::open(url, Some(dir)).await
}

async fn postgres() -> TestDb {
    let url = TestDb::empty_postgres().await;
    let mut conn = PgConnection::connect(&url).await.unwrap();
    write_first(&mut conn, include_str!("../../../migrations/postgres/0001_records.sql")).await;
    conn.close().await.unwrap();
    TestDb::open(url, None).await
}

#[rstest]
#[case::sqlite(sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(postgres().await)]
#[tokio::test]
async fn tags_of_the_first_version_get_uuids(#[case] db: TestDb) {
    let mut uuids = std::collections::BTreeSet::new();
    for (kind, texts) in [(TagKind::System, vec!["z", "a"]), (TagKind::User, vec!["mine"])] {
        let page = db.db.tags(kind, &Query::default(), Scope::All).await.unwrap();
        let account = ACCOUNT.parse().unwrap();
        for (resource, created_ms) in [
            (Resource::Job(JOB.parse().unwrap()), 1000),
            (Resource::Image(IMAGE.parse().unwrap()), 3000),
        ] {
            let of = page.rows.iter().filter(|tag| tag.resource == resource);
            let mut found: Vec<_> = of.clone().map(|tag| tag.tag.as_str()).collect();
            found.sort_unstable_by(|a, b| b.cmp(a));
            assert_eq!(found, texts, "{kind:?} {resource:?}");
            for tag in of {
                assert_eq!((tag.account, tag.created_ms), (account, created_ms));
                assert!(is_resource_uuid(&tag.uuid.to_string()), "{}", tag.uuid);
                uuids.insert(tag.uuid);
            }
        }
        assert_eq!(page.rows.len(), 2 * texts.len(), "those of what is gone are gone");
    }
    assert_eq!(uuids.len(), 6, "each has its own");
    for resource in [JOB, IMAGE] {
        let found = db.db.system_tags(&[resource.to_owned()]).await.unwrap();
        let texts: Vec<_> = found.iter().map(|(_, tag)| tag.as_str()).collect();
        assert_eq!(texts, ["z", "a"], "their order is kept");
    }
}

#[rstest]
#[case::sqlite(sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(postgres().await)]
#[tokio::test]
async fn jobs_and_uploads_of_the_first_version_are_kept_and_go_together(#[case] db: TestDb) {
    let (job, upload) = (JOB.parse().unwrap(), GONE.parse().unwrap());
    let counted = Query { count: true, ..Query::default() };
    let kept = db.db.upload(upload).await.unwrap().expect("the upload is kept");
    assert_eq!((kept.kind, kept.job, kept.offset_cached), (UploadKind::Whole, job, 7));
    assert!(kept.parts.is_empty() && kept.taken_by.is_none());
    // A column that is forgotten where a table is made anew is a promise that is forgotten.
    let expected =
        (kept.expected.md5.map(|md5| hex(&md5)), kept.expected.sha256.map(|sha| hex(&sha)));
    assert_eq!(expected, (Some(MD5.to_owned()), Some(SHA256.to_owned())));
    assert_eq!((kept.declared_length, kept.stored_cached), (Some(9), 8));
    assert_eq!((kept.created_ms, kept.last_byte_ms), (1000, Some(1500)));
    assert_eq!(kept.image_id.map(|id| id.to_string()).as_deref(), Some("mine"));
    let found = db.db.job(job, Scope::All).await.unwrap().expect("the job is kept");
    assert_eq!((found.upload, found.stage), (upload, Stage::Publishing));
    let total = db.db.jobs(&counted, Scope::All).await.unwrap().total;
    assert_eq!(total, Some(1), "and counted once");
    // What it has been through was not recorded, and that is said.
    let history = db.db.job_history(job, Scope::All).await.unwrap().unwrap();
    let told: Vec<_> = history.iter().map(|c| (c.at_ms, c.state.name(), &*c.cause)).collect();
    let unknown = "what led to this was not recorded: it was done by an earlier version";
    assert_eq!(told, [(1000, "Running", "submitted"), (2000, "Succeeded", unknown)]);
    let image = db.db.image(IMAGE.parse().unwrap(), Scope::All).await.unwrap().unwrap();
    assert_eq!(image.inspection, None, "nobody knows what its inspection led to");
    assert_eq!(db.db.delete_job(job, Scope::All).await.unwrap(), Deleted::Gone);
    assert!(db.db.upload(upload).await.unwrap().is_none(), "with a job goes its upload");
    let total = db.db.jobs(&counted, Scope::All).await.unwrap().total;
    assert_eq!(total, Some(0), "the tally is kept");
}
