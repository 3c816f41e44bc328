//! Questions among many records. Plans are what keeps them quick (`db::plan_tests`); this notices what plans do not show. Figures
//! for 100,000 jobs: `scripts/measure scale`.

use std::time::{Duration, Instant};

use longshore::domain::{
    account::Scope,
    ids::{NodeUuid, StorageUuid},
    query::{Condition, Query},
};
use rstest::rstest;

use crate::support::{
    databases::TestDb,
    fill::{Plan, accounts, fill},
};

const JOBS: usize = 1200;
/// Some hundred times what it takes, so that a busy machine passes; a second look-up for every row does not.
const PATIENCE: Duration = Duration::from_millis(500);

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test(flavor = "multi_thread")]
async fn pages_are_quick_and_their_totals_right(#[case] db: TestDb) {
    let until_ms = 1_795_222_923_456;
    let plan = Plan {
        jobs: JOBS,
        unfinished_every: 10,
        accounts: accounts(&*db.db, 4, until_ms).await,
        until_ms,
        storage: StorageUuid::random(),
        node: NodeUuid::random(),
    };
    let filled = fill(&*db.db, &plan).await;
    let one = &filled[JOBS / 2];
    let (api_id, tag) =
        (format!("apiId={}", one.job.api_id), format!("__systemTag__={}", one.system_tags[0]));
    let mine = Scope::Account(plan.accounts[0]);
    for (conditions, scope, total) in [
        (vec![], Scope::All, 1200),
        (vec![], mine, 300),
        (vec!["state=Suspended"], Scope::All, 120),
        (vec!["state!=Suspended"], Scope::All, 1080),
        (vec!["state=Suspended"], mine, 60),
        (vec![api_id.as_str()], Scope::All, 1),
        (vec![tag.as_str()], Scope::All, 1),
        (vec!["name~=debian-%"], Scope::All, 150),
        (vec!["name~=DEBIAN-%", "state=Suspended"], Scope::All, 30),
        (vec!["name=debian-16"], Scope::All, 1),
        (vec!["name=Debian-16"], Scope::All, 0),
    ] {
        for sort in
            [None, Some(("createDate".to_owned(), true)), Some(("lastOpDate".to_owned(), true))]
        {
            let query = Query {
                conditions: conditions.iter().map(|text| Condition::parse(text).unwrap()).collect(),
                limit: 20,
                reply_with_count: true,
                sort,
                ..Query::default()
            };
            let begun = Instant::now();
            let page = db.db.jobs(&query, scope).await.unwrap();
            let took = begun.elapsed();
            assert_eq!(page.total, Some(total), "{conditions:?}");
            assert_eq!(page.rows.len(), usize::try_from(total).unwrap().min(20));
            assert!(took < PATIENCE, "{conditions:?} took {took:?}");
        }
    }
    // The newest first, in either order.
    let newest =
        Query { limit: 20, sort: Some(("lastOpDate".to_owned(), true)), ..Query::default() };
    let page = db.db.jobs(&newest, Scope::All).await.unwrap();
    let wanted: Vec<_> = filled.iter().rev().take(20).map(|new| new.job.uuid).collect();
    assert_eq!(page.rows.iter().map(|job| job.uuid).collect::<Vec<_>>(), wanted);

    // The uploads of a page's images, one look-up for all, are those that are looked up one by one.
    let open: Vec<_> = filled.iter().step_by(10).take(20).map(|new| new.image.uuid).collect();
    let together = db.db.uploads_of_images(&open).await.unwrap();
    assert_eq!(together.len(), 20);
    for upload in together {
        assert_eq!(db.db.upload_of_image(upload.image).await.unwrap(), Some(upload));
    }
}
