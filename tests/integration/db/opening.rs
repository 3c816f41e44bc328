//! Opening: tables, versions, refusals.

use std::{collections::BTreeSet, os::unix::fs::PermissionsExt};

use longshore::db::{DbError, DbOptions, open};
use rstest::rstest;

use super::records::{job_of, recorded};
use crate::support::databases::TestDb;

async fn refusal(url: &str) -> DbError {
    match open(url, &DbOptions::default()).await {
        Ok(_) => panic!("{url} was opened"),
        Err(error) => error,
    }
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn records_of_a_newer_version_are_refused_and_left_alone(#[case] db: TestDb) {
    let new = recorded(&db).await;
    let future = "INSERT INTO _sqlx_migrations \
                  (version, description, success, checksum, execution_time) \
                  SELECT 9999, 'from the future', success, checksum, 1 FROM _sqlx_migrations \
                  WHERE version = 1";
    db.sabotage(future).await;
    let error = refusal(&db.url).await;
    assert!(matches!(error, DbError::Schema { .. }), "{error:?}");
    assert!(error.to_string().contains("newer version"), "{error}");
    assert!(error.to_string().contains("9999"), "{error}");
    assert!(!error.retryable());
    assert_eq!(job_of(&db, &new).await, new.job);
    db.sabotage("DELETE FROM _sqlx_migrations WHERE version = 9999").await;
    drop(db.reopen().await);
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn tables_of_another_make_are_refused(#[case] db: TestDb) {
    let zeroes = if db.file().is_some() { "x'00'" } else { "'\\x00'" };
    db.sabotage(&format!("UPDATE _sqlx_migrations SET checksum = {zeroes}")).await;
    let error = refusal(&db.url).await;
    assert!(matches!(error, DbError::Schema { .. }), "{error:?}");
}

#[tokio::test]
async fn a_url_that_is_none_is_refused_without_its_password() {
    for url in [
        "",
        "mysql://root:secret@x/y",
        "sqlite:",
        "sqlite::memory:",
        "postgres://a:secret@x:port/y",
    ] {
        let error = refusal(url).await;
        assert!(matches!(error, DbError::Schema { .. }), "{url}: {error:?}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    let error = refusal("postgres://a:secret@127.0.0.1:1/y").await;
    assert!(error.retryable() && !error.to_string().contains("secret"), "{error:?}");
    let error = refusal("sqlite:/nowhere/at/all.db").await;
    assert!(error.retryable(), "{error:?}");
}

#[tokio::test]
async fn a_foreign_file_is_refused_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("notes.txt");
    let text = "these are my notes, not a database\n".repeat(100);
    std::fs::write(&file, &text).unwrap();
    let error = refusal(&format!("sqlite:{}", file.display())).await;
    assert!(matches!(error, DbError::Schema { .. }), "{error:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
}

#[tokio::test]
async fn only_the_owner_reads_the_file() {
    let db = TestDb::sqlite().await;
    recorded(&db).await;
    let file = db.file().unwrap();
    let mut seen = 0;
    for entry in std::fs::read_dir(file.parent().unwrap()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
        seen += 1;
    }
    assert_eq!(seen, 3, "the file, its log and the log's index");
}

/// The same tables, columns, types and nullability on both, so that one statement text fits.
#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn both_databases_have_the_same_columns_and_indexes() {
    let (sqlite, postgres) = (TestDb::sqlite().await, TestDb::postgres().await);
    let there = sqlite
        .peek(
            "SELECT m.name || ' ' || c.name || ' ' || LOWER(c.type) || ' ' || c.\"notnull\" \
             FROM sqlite_master m JOIN pragma_table_info(m.name) c \
             WHERE m.type = 'table' AND m.name NOT LIKE '\\_sqlx%' ESCAPE '\\'",
        )
        .await;
    let here = postgres
        .peek(
            "SELECT table_name || ' ' || column_name || ' ' || data_type || ' ' || \
             CASE is_nullable WHEN 'NO' THEN '1' ELSE '0' END FROM information_schema.columns \
             WHERE table_schema = 'public' AND table_name <> '_sqlx_migrations'",
        )
        .await;
    let set = |rows: Vec<String>| rows.into_iter().collect::<BTreeSet<_>>();
    let (there, here) = (set(there), set(here));
    assert!(there.len() > 80, "{}", there.len());
    assert_eq!(there, here);

    let collations = postgres
        .peek(
            "SELECT table_name || ' ' || column_name FROM information_schema.columns \
             WHERE table_schema = 'public' AND table_name <> '_sqlx_migrations' \
             AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'",
        )
        .await;
    assert!(collations.is_empty(), "not compared byte by byte: {collations:?}");

    let there = sqlite
        .peek("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
        .await;
    let here = postgres
        .peek(
            "SELECT c.relname::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
             JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_constraint k \
             ON k.conindid = c.oid WHERE n.nspname = 'public' AND k.oid IS NULL",
        )
        .await;
    assert_eq!(set(there), set(here));
}

/// Statements that run often find their rows by an index.
#[tokio::test]
async fn frequent_statements_scan_no_table() {
    let db = TestDb::sqlite().await;
    for sql in [
        "SELECT 1 FROM upload u JOIN long_job j ON j.upload_uuid = u.uuid WHERE u.image_id = 'x' \
         AND j.finished_ms IS NULL",
        "SELECT 1 FROM long_job WHERE account_uuid = 'x' AND finished_ms IS NULL",
        "SELECT 1 FROM upload WHERE account_uuid = 'x' AND kind = 'partial' AND fate = 'open' \
         AND taken_by IS NULL",
        "SELECT 1 FROM upload u WHERE u.kind = 'partial' AND u.uuid > 'x' ORDER BY u.uuid",
        "SELECT 1 FROM long_job j JOIN upload u ON u.uuid = j.upload_uuid \
         WHERE j.finished_ms IS NULL AND j.uuid > 'x' ORDER BY j.uuid",
        "SELECT 1 FROM long_job WHERE api_id = 'x' AND finished_ms IS NOT NULL",
        "UPDATE upload SET lease_until_ms = 1 WHERE owner_node = 'x' AND fate = 'open'",
        "SELECT 1 FROM image WHERE status = 'Deleted' AND deleted_ms < 5 ORDER BY deleted_ms",
        "DELETE FROM session WHERE token_sha256 = 'x' OR expires_ms <= 5",
        "DELETE FROM api_job WHERE ended_ms < 5",
    ] {
        let plan = db.explain(sql).await.join("\n");
        assert!(plan.contains("SEARCH") && !plan.contains("SCAN"), "{sql}\n{plan}");
    }
}
