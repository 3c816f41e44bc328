//! What is asked often is found by an index, on either database, in the very words in which it is asked: nobody looks at every row
//! of a table, nobody sorts all rows to show twenty.

use sqlx::{Connection, PgConnection, Postgres, Sqlite, SqliteConnection};

use super::{
    DbOptions,
    dialect::{Dialect, Fields, Link, SqlText, Value},
    postgres, query,
    query::{IMAGES, JOBS, RUNS, SYSTEM_TAGS},
    queryable::Queryable,
    schedule::texts,
    sqlite, statements as st,
    values::values,
};
use crate::domain::{
    account::Scope,
    ids::AccountUuid,
    query::{Condition, Query},
};

#[path = "../../tests/integration/support/postgres.rs"]
mod server;

/// The words of a plan, a line each.
async fn plan<D: Dialect>(
    conn: &mut D::Connection,
    explain: &str,
    column: &'static str,
    sql: &str,
    values: Vec<Value>,
) -> Vec<String> {
    let sql = SqlText::Built(format!("{explain} {sql}"));
    let rows = Link::<D>::new(conn).all(sql, values).await.unwrap();
    rows.iter().map(|row| row.text(column).unwrap().unwrap()).collect()
}

/// A query as a page asks it.
fn asked(conditions: &[&str], sort: Option<(&str, bool)>) -> Query {
    Query {
        conditions: conditions.iter().map(|text| Condition::parse(text).unwrap()).collect(),
        limit: 20,
        sort: sort.map(|(field, descending)| (field.to_owned(), descending)),
        reply_with_count: true,
        ..Query::default()
    }
}

/// Pages that come in the order of an index, and such that find few rows and sort them.
fn pages() -> Vec<(&'static Queryable, Query, bool)> {
    let (created, last_op) = ("createDate", "lastOpDate");
    let mut pages = Vec::new();
    for (of, state) in [(&JOBS, "state=Running"), (&IMAGES, "status=Ready")] {
        for sort in [None, Some((created, true)), Some((created, false))] {
            pages.push((of, asked(&[], sort), true));
            pages.push((of, asked(&[state], sort), true));
        }
        for descending in [true, false] {
            pages.push((of, asked(&[], Some((last_op, descending))), true));
        }
        for few in ["uuid=x", "name=x", "name~=debian%", "__systemTag__=a::b"] {
            pages.push((of, asked(&[few], None), false));
            pages.push((of, asked(&[few], Some((last_op, true))), false));
        }
    }
    for few in ["apiId=x", "targetResourceUuid=x"] {
        pages.push((&JOBS, asked(&[few], None), false));
    }
    for few in ["uuid=x", "resourceUuid=x", "tag=x"] {
        pages.push((&SYSTEM_TAGS, asked(&[few], None), false));
    }
    pages
}

/// Pages of the history: by number and by time in the order of an index, and those of one job, trigger or run.
fn histories() -> Vec<(Query, bool)> {
    let mut pages = vec![(asked(&[], None), true)];
    for descending in [true, false] {
        pages.push((asked(&[], Some(("id", descending))), true));
        pages.push((asked(&[], Some(("startTime", descending))), true));
    }
    for few in ["id=1", "fireInstanceId=x", "schedulerJobUuid=x", "triggerUuid=x"] {
        pages.push((asked(&[few], None), false));
        pages.push((asked(&[few], Some(("startTime", true))), false));
    }
    pages
}

fn scopes() -> [Scope; 2] {
    [Scope::All, Scope::Account(AccountUuid::random())]
}

/// Everything that is asked for every request, every job, or every so many seconds.
fn fixed() -> Vec<(&'static str, Vec<Value>)> {
    let (text, time) = ("x", 1_i64);
    vec![
        (st::JOB_BY_UUID, values![text, text]),
        (st::JOB_STATE, values![text, text]),
        (st::JOB_HISTORY, values![text]),
        (st::JOBS_LIVE_OF, values![text, text, 100_i64]),
        (st::JOBS_NEWEST, Vec::new()),
        (st::IMAGES_NEWEST, Vec::new()),
        (st::JOBS_UNFINISHED, values![text, 200_i64]),
        (st::OPEN_UPLOADS_COUNT, values![text]),
        (st::UPLOAD_BY_UUID, values![text]),
        (st::UPLOAD_OF_IMAGE, values![text]),
        (st::UPLOAD_LEASE, values![text, text, time, time]),
        (st::PARTIALS, values![text, 500_i64]),
        (st::PARTIALS_FORGET, values![time]),
        (st::LEASES_RENEW, values![text, time]),
        (st::LEASES_TAKE, values![text, time, time, text, text]),
        (st::TOUCH_JOB, values![text, time, time]),
        (st::TOUCH_UPLOAD, values![text, time, time, time, time]),
        (st::IMAGE_BY_UUID, values![text, text]),
        (st::IMAGES_DELETED, values![time, time, text, 200_i64]),
        (st::SESSION_BY_TOKEN, values![text, time]),
        (st::PROGRESS_BY_ID, values![text]),
        (st::IMAGES_TO_CHECK, values![time, time, text, 50_i64, time]),
        (texts::BINDINGS_DUE, values![time, 1000_i64]),
        (texts::BINDING_MOVE, values![text, text, time, time, time, time]),
        (texts::JOB_BEGIN, values![text, time, true]),
        (texts::HISTORY_END, values![time, time, true, text]),
        (texts::LEASES_RENEW, values![time, time, text]),
        (texts::HISTORY_PRUNE, values![time, 500_i64]),
        (texts::HISTORY_BEGINS, values![time, time]),
    ]
}

fn listed() -> Vec<String> {
    vec![
        format!("{}$1, $2{}", st::UPLOADS_OF_IMAGES, st::UPLOADS_OF_IMAGES_ORDER),
        format!("{}$1, $2)", st::IMAGES_LISTED),
        format!("{}$1, $2{}", st::TAGS_SELECT, st::TAGS_ORDER),
        format!("{}$1, $2)", st::UPLOADS_KNOWN),
    ]
}

/// What is wrong with a plan of SQLite. A page in the order of an index scans that index, and stops after its rows.
fn sqlite_fault(plan: &[String], ordered: bool) -> Option<&'static str> {
    let scans = |line: &String| {
        line.contains("SCAN")
            && !(ordered && line.contains("USING INDEX"))
            && !line.contains("CONSTANT")
    };
    let sorts = |line: &String| line.contains("TEMP B-TREE FOR ORDER BY");
    // The few rows that a condition means are not found by going through all of an account's.
    let through_account =
        |line: &String| line.contains("_account (account_uuid=?") || line.contains("_last_op (");
    // Page by page, but all of them in the end: what is asked for so has an index of its own.
    let by_key = |line: &String| line.contains("sqlite_autoindex_") && line.contains("_1 (uuid>?)");
    if !ordered && plan.iter().any(through_account) {
        return Some("looks at every row of an account");
    }
    if !ordered && plan.iter().any(by_key) {
        return Some("goes through every row by its key");
    }
    if plan.iter().any(scans) {
        return Some("looks at every row");
    }
    (ordered && plan.iter().any(sorts)).then_some("sorts every row")
}

#[tokio::test]
async fn sqlite_finds_by_index() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("longshore.db");
    drop(sqlite::open(&path, &DbOptions::default()).await.unwrap());
    let url = format!("sqlite:{}", path.display());
    let mut conn = SqliteConnection::connect(&url).await.unwrap();
    let explain = "EXPLAIN QUERY PLAN";
    let mut seen = 0;
    for (of, query, ordered) in pages() {
        for scope in scopes() {
            let asks = query::statements(of, Vec::new(), &query, scope).unwrap();
            for (sql, values) in [asks.total.unwrap(), asks.rows.unwrap()] {
                let ordered = ordered && sql.contains("ORDER BY");
                let lines = plan::<Sqlite>(&mut conn, explain, "detail", &sql, values).await;
                assert_eq!(sqlite_fault(&lines, ordered), None, "{query:?}\n{sql}\n{lines:#?}");
                seen += 1;
            }
        }
    }
    for (query, ordered) in histories() {
        for scope in scopes() {
            let asks = query::statements(&RUNS, Vec::new(), &query, scope).unwrap();
            let (sql, values) = asks.rows.unwrap();
            let lines = plan::<Sqlite>(&mut conn, explain, "detail", &sql, values).await;
            assert_eq!(sqlite_fault(&lines, ordered), None, "{query:?}\n{sql}\n{lines:#?}");
        }
    }
    for (sql, values) in fixed() {
        let lines = plan::<Sqlite>(&mut conn, explain, "detail", sql, values).await;
        assert_eq!(sqlite_fault(&lines, false), None, "{sql}\n{lines:#?}");
    }
    for sql in listed() {
        let lines = plan::<Sqlite>(&mut conn, explain, "detail", &sql, values!["x", "y"]).await;
        assert_eq!(sqlite_fault(&lines, false), None, "{sql}\n{lines:#?}");
    }
    assert!(seen > 100, "{seen}");

    // The control: without their indexes the same questions are found out.
    for index in ["long_job_last_op", "tag_text", "scheduler_history_started"] {
        sqlx::query(sqlx::AssertSqlSafe(format!("DROP INDEX {index}")))
            .execute(&mut conn)
            .await
            .unwrap();
    }
    for (query, fault) in [
        (asked(&[], Some(("lastOpDate", true))), "looks at every row"),
        (asked(&["__systemTag__=a::b"], None), "looks at every row"),
    ] {
        let (sql, values) =
            query::statements(&JOBS, Vec::new(), &query, Scope::All).unwrap().rows.unwrap();
        let lines = plan::<Sqlite>(&mut conn, explain, "detail", &sql, values).await;
        assert_eq!(sqlite_fault(&lines, true), Some(fault), "{lines:#?}");
    }
    let query = asked(&[], Some(("startTime", true)));
    let (sql, values) =
        query::statements(&RUNS, Vec::new(), &query, Scope::All).unwrap().rows.unwrap();
    let lines = plan::<Sqlite>(&mut conn, explain, "detail", &sql, values).await;
    assert_eq!(sqlite_fault(&lines, true), Some("looks at every row"), "{lines:#?}");
    let [_, account] = scopes();
    let asks = query::statements(&JOBS, Vec::new(), &asked(&["apiId=x"], None), account).unwrap();
    let (sql, values) = asks.rows.unwrap();
    let sql = sql.replace("COALESCE(j.account_uuid, '')", "j.account_uuid");
    let lines = plan::<Sqlite>(&mut conn, explain, "detail", &sql, values).await;
    let fault = Some("looks at every row of an account");
    assert_eq!(sqlite_fault(&lines, false), fault, "{lines:#?}");
}

/// What is wrong with a plan of PostgreSQL that was told to avoid it: it had no other way. Rows that come nearly sorted from an
/// index are an "Incremental Sort", which stops early.
fn postgres_fault(plan: &[String], ordered: bool) -> Option<&'static str> {
    if plan.iter().any(|line| line.contains("Seq Scan")) {
        return Some("looks at every row");
    }
    let sorts = |line: &String| line.contains("Sort  (");
    let whole = plan.iter().any(|line| sorts(line) && !line.contains("Incremental"));
    (ordered && whole).then_some("sorts every row")
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn postgres_finds_by_index() {
    let socket = tokio::task::spawn_blocking(server::socket_dir).await.unwrap();
    let url = format!("postgres://postgres@localhost/postgres?host={}", socket.display());
    drop(postgres::open(&url, &DbOptions::default()).await.unwrap());
    let mut conn = PgConnection::connect(&url).await.unwrap();
    // Among few rows it would rightly look at all of them.
    for off in ["seqscan", "sort", "bitmapscan"] {
        let sql = format!("SET enable_{off} = off");
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut conn).await.unwrap();
    }
    let column = "QUERY PLAN";
    for (of, query, ordered) in pages() {
        for scope in scopes() {
            let asks = query::statements(of, Vec::new(), &query, scope).unwrap();
            for (sql, values) in [asks.total.unwrap(), asks.rows.unwrap()] {
                let ordered = ordered && sql.contains("ORDER BY");
                let lines = plan::<Postgres>(&mut conn, "EXPLAIN", column, &sql, values).await;
                assert_eq!(postgres_fault(&lines, ordered), None, "{query:?}\n{sql}\n{lines:#?}");
            }
        }
    }
    for (query, ordered) in histories() {
        for scope in scopes() {
            let asks = query::statements(&RUNS, Vec::new(), &query, scope).unwrap();
            let (sql, values) = asks.rows.unwrap();
            let lines = plan::<Postgres>(&mut conn, "EXPLAIN", column, &sql, values).await;
            assert_eq!(postgres_fault(&lines, ordered), None, "{query:?}\n{sql}\n{lines:#?}");
        }
    }
    for (sql, values) in fixed() {
        let lines = plan::<Postgres>(&mut conn, "EXPLAIN", column, sql, values).await;
        assert_eq!(postgres_fault(&lines, false), None, "{sql}\n{lines:#?}");
    }
    for sql in listed() {
        let lines = plan::<Postgres>(&mut conn, "EXPLAIN", column, &sql, values!["x", "y"]).await;
        assert_eq!(postgres_fault(&lines, false), None, "{sql}\n{lines:#?}");
    }
    sqlx::query("DROP INDEX long_job_last_op").execute(&mut conn).await.unwrap();
    let query = asked(&[], Some(("lastOpDate", true)));
    let (sql, values) =
        query::statements(&JOBS, Vec::new(), &query, Scope::All).unwrap().rows.unwrap();
    let lines = plan::<Postgres>(&mut conn, "EXPLAIN", column, &sql, values).await;
    assert_eq!(postgres_fault(&lines, true), Some("looks at every row"), "{lines:#?}");
}
