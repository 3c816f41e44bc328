//! Accounts and sessions.

use futures::future::join_all;
use longshore::domain::{
    account::{Account, SessionRecord},
    ids::AccountUuid,
};
use rstest::rstest;

use crate::support::databases::TestDb;

fn account(name: &str) -> Account {
    Account {
        uuid: AccountUuid::random(),
        name: name.to_owned(),
        password_hash: "$argon2id$1".to_owned(),
        admin: true,
        enabled: true,
        description: None,
        created_ms: 5,
        last_op_ms: 5,
    }
}

fn session(account: &Account, token: u8, expires_ms: i64) -> SessionRecord {
    let token_sha256 = [token; 32];
    SessionRecord { token_sha256, account: account.uuid, created_ms: 100, expires_ms }
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_name_is_taken_once(#[case] db: TestDb) {
    let creates = (0..10).map(|_| {
        let (db, account) = (db.db.clone(), account("admin"));
        tokio::spawn(async move { db.create_account(account).await.unwrap() })
    });
    let made = join_all(creates).await.into_iter().map(Result::unwrap);
    assert_eq!(made.filter(|made| *made).count(), 1);
    assert!(db.db.create_account(account("Admin")).await.unwrap(), "names compare bytewise");
    let found = db.db.account_named("admin").await.unwrap().unwrap();
    assert_eq!(db.db.account(found.uuid).await.unwrap(), Some(found));
    assert_eq!(db.db.account_named("nobody").await.unwrap(), None);
    assert_eq!(db.db.account(AccountUuid::random()).await.unwrap(), None);
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn a_password_is_replaced(#[case] db: TestDb) {
    let mut account = account("ann");
    assert!(db.db.create_account(account.clone()).await.unwrap());
    assert!(db.db.set_password_hash(account.uuid, "new".to_owned()).await.unwrap());
    assert!(!db.db.set_password_hash(AccountUuid::random(), "new".to_owned()).await.unwrap());
    account.password_hash = "new".to_owned();
    assert_eq!(db.db.account_named("ann").await.unwrap(), Some(account));
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn a_session_lives_until_its_end(#[case] db: TestDb) {
    let ann = account("ann");
    assert!(db.db.create_account(ann.clone()).await.unwrap());
    let opened = session(&ann, 1, 1000);
    assert!(db.db.open_session(opened.clone(), 10).await.unwrap());
    let found = async |token, now| db.db.session([token; 32], now).await.unwrap();
    assert_eq!(found(1, 999).await, Some((opened.clone(), ann.clone())));
    assert_eq!(found(1, 1000).await, None);
    assert_eq!(found(2, 1).await, None);
    assert!(db.db.renew_session([1; 32], 2000).await.unwrap());
    assert!(!db.db.renew_session([2; 32], 2000).await.unwrap());
    assert!(found(1, 1999).await.is_some());

    assert!(db.db.open_session(session(&ann, 3, 500), 10).await.unwrap());
    db.db.close_session([1; 32], 500).await.unwrap();
    db.db.close_session([1; 32], 500).await.unwrap();
    assert_eq!(found(1, 1).await, None);
    assert_eq!(found(3, 1).await, None, "it had ended, its row went as well");

    let closed = Account { enabled: false, ..account("bob") };
    assert!(db.db.create_account(closed.clone()).await.unwrap());
    assert!(db.db.open_session(session(&closed, 4, 1000), 10).await.unwrap());
    assert_eq!(found(4, 1).await, None, "its account may not log in");
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sessions_max_holds_under_a_race(#[case] db: TestDb) {
    let ann = account("ann");
    assert!(db.db.create_account(ann.clone()).await.unwrap());
    // One that has ended at the time of the others takes no place.
    assert!(db.db.open_session(session(&ann, 99, 100), 1).await.unwrap());
    let opens = (0..30).map(|token| {
        let (db, session) = (db.db.clone(), session(&ann, token, 1000));
        tokio::spawn(async move { db.open_session(session, 5).await.unwrap() })
    });
    let opened = join_all(opens).await.into_iter().map(Result::unwrap);
    assert_eq!(opened.filter(|opened| *opened).count(), 5);
}
