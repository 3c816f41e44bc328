//! ZStack's query grammar: the same answers from both databases.

use longshore::{
    db::{DbError, ImageChange, MoveJob, UploadTouch},
    domain::{
        account::Scope,
        ids::AccountUuid,
        image::ImageStatus,
        job_state::JobState,
        query::{CONDITIONS_MAX, Condition, Query},
    },
};
use rstest::rstest;

use super::records::{NOW_MS, new_job, record, to};
use crate::support::databases::TestDb;

fn query(conditions: &[&str]) -> Query {
    let conditions = conditions.iter().map(|text| Condition::parse(text).unwrap()).collect();
    Query { conditions, ..Query::default() }
}

/// Five jobs and their images, told apart by the names a to e.
///
/// | | name | description | state | percent | created | size | system |
/// |---|---|---|---|---|---|---|---|
/// | a | `Alpha` | none | Waiting | 0 | +0 s | 1 | false |
/// | b | `alphabet` | `50% off_` | Running | 10 | +1 s | 20 | true |
/// | c | `Ümläut` | `back\slash` | Suspended(user) | 20 | +2 s | 300 | false |
/// | d | `x' OR '1'='1` | none | Failed after 3.9 s | 1 | +3 s | 4000 | false |
/// | e | `zeta` | empty | Succeeded after 0 s | 1 | +4 s | 5000000000 | true |
async fn five(db: &TestDb) -> AccountUuid {
    use longshore::domain::job_state::SuspendReason::User;
    let account = AccountUuid::random();
    let rows = [
        ("Alpha", None, None, 1, false),
        ("alphabet", Some("50% off_"), Some((JobState::Running, 0)), 20, true),
        ("Ümläut", Some("back\\slash"), Some((JobState::Suspended(User), 0)), 300, false),
        ("x' OR '1'='1", None, Some((JobState::Failed, 3900)), 4000, false),
        ("zeta", Some(""), Some((JobState::Succeeded, 0)), 5_000_000_000, true),
    ];
    for ((name, description, end, size, system), at) in rows.into_iter().zip(0..) {
        let mut new = new_job(account);
        new.job.name = name.to_owned();
        new.job.description = description.map(str::to_owned);
        new.job.created_ms = NOW_MS + at * 1000;
        new.system_tags = vec![format!("row::{name}"), "all::yes".to_owned()];
        new.user_tags = if system { vec!["user::tag".to_owned()] } else { Vec::new() };
        new.image.name = name.to_owned();
        new.image.description = description.map(str::to_owned);
        new.image.created_ms = new.job.created_ms;
        (new.image.size, new.image.system) = (size, system);
        new.image.enabled = at != 2;
        let new = record(db, new).await;
        if let Some((state, after_ms)) = end {
            let mut image = new.image.clone();
            image.status = if at == 4 { ImageStatus::Ready } else { ImageStatus::Downloading };
            let change = MoveJob {
                stage_percent: if state.is_final() { 1 } else { at * 10 },
                now_ms: new.job.created_ms + after_ms,
                image: ImageChange::Replace(Box::new(image)),
                ..to(&new, 1, state)
            };
            let _ = db.db.move_job(change).await.unwrap();
        }
    }
    account
}

/// The letters of the rows that were found, in order.
async fn jobs(db: &TestDb, query: &Query) -> Result<String, DbError> {
    let page = db.db.jobs(query, Scope::All).await?;
    Ok(page.rows.iter().map(|job| letter(&job.name)).collect())
}

async fn images(db: &TestDb, query: &Query) -> Result<String, DbError> {
    let page = db.db.images(query, Scope::All).await?;
    Ok(page.rows.iter().map(|image| letter(&image.name)).collect())
}

fn letter(name: &str) -> char {
    match name {
        "Alpha" => 'a',
        "alphabet" => 'b',
        "Ümläut" => 'c',
        "zeta" => 'e',
        _ => 'd',
    }
}

/// Conditions on both kinds of record, and who meets them.
const BOTH: [(&[&str], &str); 50] = [
    (&[], "abcde"),
    (&["name=Alpha"], "a"),
    (&["name=alpha"], ""),
    (&["name= Alpha"], ""),
    (&["name!=Alpha"], "bcde"),
    (&["name>alphabet"], "cde"),
    (&["name>=alphabet"], "bcde"),
    (&["name<alphabet"], "a"),
    (&["name<=alphabet"], "ab"),
    (&["name?=zeta, Alpha ,none"], "ae"),
    (&["name!?=zeta,Alpha"], "bcd"),
    (&["name~=alpha%"], "ab"),
    (&["name~=ALPHA"], "a"),
    (&["name~=%t_"], "e"),
    (&["name!~=%alpha%"], "cde"),
    (&["name~=Üml%"], "c"),
    (&["name~=%LÄ%"], ""),
    (&["name=x' OR '1'='1"], "d"),
    (&["name=' OR 1=1 --"], ""),
    (&["name~=%' OR %"], "d"),
    (&["name?=' OR 1,'1'='1"], ""),
    (&["name= is null"], ""),
    (&["description is null"], "ad"),
    (&["description not null"], "bce"),
    (&["description="], "e"),
    (&["description!=zzz"], "bce"),
    (&["description!?=zzz"], "bce"),
    (&["description!~=zzz"], "bce"),
    (&["description~=50\\% off\\_"], "b"),
    (&["description~=50_ off%"], "b"),
    (&["description~=back\\\\slash"], "c"),
    (&["description~=%\\"], ""),
    (&["createDate=1795222924456"], "b"),
    (&["createDate=1795222924000"], ""),
    (&["createDate=Nov 21, 2026 1:02:04 AM"], "b"),
    (&["createDate!=2026-11-21T01:02:04Z"], "acde"),
    (&["createDate>2026-11-21 01:02:04"], "cde"),
    (&["createDate>=Nov 21, 2026 1:02:04 AM"], "bcde"),
    (&["createDate<2026-11-21T01:02:04"], "a"),
    (&["createDate<=2026-11-21T01:02:04Z"], "ab"),
    (&["createDate?=1795222924456,2026-11-21T01:02:06Z"], "bd"),
    (&["createDate!?=1795222924456,2026-11-21T01:02:06Z"], "ace"),
    (&["createDate is null"], ""),
    (&["createDate not null", "name>a", "name<b"], "b"),
    (&["__systemTag__=row::zeta"], "e"),
    (&["__systemTag__!=row::zeta"], "abcd"),
    (&["__systemTag__~=ROW::alpha%", "__systemTag__?=x,all::yes"], "ab"),
    (&["__systemTag__!~=row::%a%"], "cd"),
    (&["__userTag__ is null"], "acd"),
    (&["__userTag__=user::tag"], "be"),
];

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn every_operator_answers_the_same(#[case] db: TestDb) {
    five(&db).await;
    for (conditions, wanted) in BOTH {
        let query = query(conditions);
        assert_eq!(jobs(&db, &query).await.unwrap(), wanted, "jobs {conditions:?}");
        assert_eq!(images(&db, &query).await.unwrap(), wanted, "images {conditions:?}");
    }
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn numbers_flags_and_derived_fields(#[case] db: TestDb) {
    five(&db).await;
    let on_jobs: [(&[&str], &str); 13] = [
        (&["executeTime=3"], "d"),
        (&["executeTime=1"], "e"),
        (&["executeTime>1"], "d"),
        (&["executeTime is null"], "abc"),
        (&["executeTime not null"], "de"),
        (&["stagePercent?=10, 20"], "bc"),
        (&["stagePercent!?=10,20"], "ade"),
        (&["state?=Failed,Succeeded"], "de"),
        (&["suspendReason=user"], "c"),
        (&["jobResult is null"], "abcde"),
        (&["jobName=APIAddImageMsg", "jobData~=%FEDORA%"], "abcde"),
        (&["stagePercent~=%0"], "abc"),
        (&["managementNodeUuid is null"], ""),
    ];
    for (conditions, wanted) in on_jobs {
        assert_eq!(jobs(&db, &query(conditions)).await.unwrap(), wanted, "{conditions:?}");
    }
    let on_images: [(&[&str], &str); 14] = [
        (&["size>=300"], "cde"),
        (&["size=5000000000"], "e"),
        (&["size!=20"], "acde"),
        (&["size~=%000"], "de"),
        (&["actualSize<12"], "abcde"),
        (&["system=true"], "be"),
        (&["system=FALSE"], "acd"),
        (&["system?=1,0"], "abcde"),
        (&["system!~=tr%"], "acd"),
        (&["state=Disabled"], "c"),
        (&["type=zstack"], "abcde"),
        (&["status=Ready"], "e"),
        (&["md5Sum is null", "mediaType=ISO"], "abcde"),
        (&["virtio=false"], ""),
    ];
    for (conditions, wanted) in on_images {
        assert_eq!(images(&db, &query(conditions)).await.unwrap(), wanted, "{conditions:?}");
    }
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn rows_come_in_one_order_with_nulls_last(#[case] db: TestDb) {
    five(&db).await;
    for (field, descending, wanted) in [
        ("name", false, "abdec"),
        ("name", true, "cedba"),
        ("createDate", true, "edcba"),
        // The two without come last both ways, in order of uuid.
        ("description", false, "ebc"),
        ("description", true, "cbe"),
    ] {
        let sorted = Query { sort: Some((field.to_owned(), descending)), ..query(&[]) };
        for found in [jobs(&db, &sorted).await.unwrap(), images(&db, &sorted).await.unwrap()] {
            assert!(found.starts_with(wanted) && found.len() == 5, "{field} {found}");
        }
    }
    for field in ["state", "type", "status", "size", "system", "md5Sum", "lastOpDate"] {
        let sorted = Query { sort: Some((field.to_owned(), true)), ..query(&[]) };
        assert_eq!(images(&db, &sorted).await.unwrap().len(), 5, "{field}");
    }
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn pages_cover_everything_once_and_totals_ignore_them(#[case] db: TestDb) {
    let account = five(&db).await;
    let mut found = String::new();
    for start in [0, 2, 4, 6] {
        // Every row has the same value in the field: the uuid decides.
        let sort = Some(("jobName".to_owned(), false));
        let query = Query { limit: 2, start, sort, reply_with_count: true, ..query(&[]) };
        let page = db.db.jobs(&query, Scope::Account(account)).await.unwrap();
        assert_eq!(page.total, Some(5));
        found.extend(page.rows.iter().map(|job| letter(&job.name)));
    }
    let mut letters = found.chars().collect::<Vec<_>>();
    letters.sort_unstable();
    assert_eq!(letters, ['a', 'b', 'c', 'd', 'e']);

    let count = Query { count: true, limit: 1, ..query(&["name~=alpha%"]) };
    let page = db.db.images(&count, Scope::All).await.unwrap();
    assert_eq!((page.rows.len(), page.total), (0, Some(2)));
    let page = db.db.jobs(&query(&[]), Scope::All).await.unwrap();
    assert_eq!(page.total, None);
    let none = Query { limit: 0, ..query(&[]) };
    assert_eq!(jobs(&db, &none).await.unwrap(), "");
    let all = Query { limit: u64::MAX, ..query(&[]) };
    assert_eq!(jobs(&db, &all).await.unwrap(), "abcde");
    let beyond = Query { start: u64::MAX, ..query(&[]) };
    assert_eq!(jobs(&db, &beyond).await.unwrap(), "");
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn another_accounts_records_are_in_no_page(#[case] db: TestDb) {
    let account = five(&db).await;
    let other = five(&db).await;
    for scope in [Scope::Account(account), Scope::Account(other)] {
        let counted = Query { reply_with_count: true, ..query(&["name=zeta"]) };
        let page = db.db.jobs(&counted, scope).await.unwrap();
        assert_eq!((page.rows.len(), page.total), (1, Some(1)));
        assert_eq!(Scope::Account(page.rows[0].account), scope);
        let page = db.db.images(&counted, scope).await.unwrap();
        assert_eq!((page.rows.len(), page.total), (1, Some(1)));
        assert_eq!(Scope::Account(page.rows[0].account), scope);
    }
    // Naming the other account does not help.
    let named = query(&[&format!("accountUuid={other}")]);
    assert!(db.db.jobs(&named, Scope::Account(account)).await.unwrap().rows.is_empty());
    assert_eq!(jobs(&db, &named).await.unwrap(), "abcde");
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn what_is_no_field_or_value_is_said(#[case] db: TestDb) {
    five(&db).await;
    for field in ["nope", "NAME", "name; DROP TABLE long_job", "j.name", "", "uuid--"] {
        let condition = Condition::parse(&format!("{field}=1")).unwrap();
        let unknown = Query { conditions: vec![condition], count: true, ..Query::default() };
        let error = jobs(&db, &unknown).await.unwrap_err();
        assert!(matches!(&error, DbError::UnknownField { field: f } if f == field), "{error}");
        let sorted = Query { sort: Some((field.to_owned(), true)), ..Query::default() };
        let error = images(&db, &sorted).await.unwrap_err();
        assert!(matches!(&error, DbError::UnknownField { .. }), "{error}");
    }
    let long = format!("name~={}", "%".repeat(5000));
    let list = format!("name?={}", "a,".repeat(500));
    for bad in [
        "size=big",
        "size>",
        "size=1.5",
        "size=9223372036854775808",
        "size?=1,,2",
        "size!?=x",
        "system=maybe",
        "createDate>yesterday",
        "createDate?=",
        "createDate~=2026%",
        "name=a\0b",
        "name~=\0",
        "size=\0",
        "__systemTag__=\0",
        long.as_str(),
        list.as_str(),
    ] {
        let error = images(&db, &query(&[bad])).await.unwrap_err();
        assert!(matches!(&error, DbError::BadValue { .. }), "{bad}: {error}");
        assert!(!error.to_string().contains('\0'));
    }
    let many = vec!["name!=x"; CONDITIONS_MAX];
    assert_eq!(jobs(&db, &query(&many)).await.unwrap(), "abcde");
    let more = vec!["name!=x"; CONDITIONS_MAX + 1];
    assert!(matches!(jobs(&db, &query(&more)).await, Err(DbError::BadValue { .. })));
}

/// The largest query that is let through is one that both databases take.
#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn the_largest_query_is_answered(#[case] db: TestDb) {
    five(&db).await;
    let text = format!("name!?={}", vec!["none"; 499].join(","));
    let times = format!("createDate!?={}", vec!["1"; 500].join(","));
    let mut many = vec!["name!=x"; CONDITIONS_MAX - 4];
    let (text, times) = (text.as_str(), times.as_str());
    let rest = format!("uuid!?={}", vec!["none"; 2000 - many.len() - 2 * 500 - 499].join(","));
    many.extend([times, times, text, &rest]);
    assert_eq!(many.len(), CONDITIONS_MAX);
    assert_eq!(jobs(&db, &query(&many)).await.unwrap(), "abcde");
    let over = [text, text, text, times, times];
    assert!(matches!(jobs(&db, &query(&over)).await, Err(DbError::BadValue { .. })));
}

/// A query reads what was written before it, from whichever connection.
#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn a_write_is_seen_at_once(#[case] db: TestDb) {
    let new = record(&db, new_job(AccountUuid::random())).await;
    for percent in 1..=50 {
        let touch = UploadTouch {
            uuid: new.upload.uuid,
            owner_epoch: 0,
            offset: 1,
            stored: 1,
            last_byte_ms: NOW_MS,
            percent,
        };
        db.db.touch_uploads(vec![touch]).await.unwrap();
        let found = query(&[&format!("stagePercent={percent}")]);
        assert_eq!(db.db.jobs(&found, Scope::All).await.unwrap().rows.len(), 1);
    }
}
