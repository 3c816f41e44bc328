//! Accounts and sessions.

use futures::future::join_all;
use longshore::domain::{
    account::{AccessKeyRecord, Account, AccountChange, Scope, SessionRecord},
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
async fn a_new_password_ends_the_sessions_that_are_not_kept(#[case] db: TestDb) {
    let (mut ann, bob) = (account("ann"), account("bob"));
    for (account, token) in [(&ann, 1), (&bob, 3)] {
        assert!(db.db.create_account(account.clone()).await.unwrap());
        assert!(db.db.open_session(session(account, token, 1000), 10).await.unwrap());
        assert!(db.db.open_session(session(account, token + 1, 1000), 10).await.unwrap());
    }
    let found = async |token| db.db.session([token; 32], 1).await.unwrap().is_some();
    let described = AccountChange { description: Some("d".to_owned()), ..Default::default() };
    assert!(db.db.change_account(ann.uuid, described.clone(), 7).await.unwrap());
    assert!(found(1).await && found(2).await, "a description ends nothing");
    let change = AccountChange {
        password_hash: Some("new".to_owned()),
        keep_session: Some([2; 32]),
        ..Default::default()
    };
    assert!(db.db.change_account(ann.uuid, change.clone(), 8).await.unwrap());
    assert!(!db.db.change_account(AccountUuid::random(), change, 8).await.unwrap());
    assert_eq!([found(1).await, found(2).await, found(3).await], [false, true, true]);
    ann.password_hash = "new".to_owned();
    ann.description = Some("d".to_owned());
    ann.last_op_ms = 8;
    assert_eq!(db.db.account_named("ann").await.unwrap(), Some(ann.clone()));
    let stale = AccountChange { old_password_hash: Some("old".to_owned()), ..db_password("stale") };
    assert!(!db.db.change_account(ann.uuid, stale, 9).await.unwrap(), "its password is another");
    assert!(found(2).await, "and nothing ends");
    let old_password_hash = Some("new".to_owned());
    let change = AccountChange { old_password_hash, ..db_password("newer") };
    assert!(db.db.change_account(ann.uuid, change, 9).await.unwrap());
    assert_eq!([found(2).await, found(4).await], [false, true]);
}

fn db_password(hash: &str) -> AccountChange {
    AccountChange { password_hash: Some(hash.to_owned()), ..Default::default() }
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn a_disabled_account_has_no_session_and_its_keys_sleep(#[case] db: TestDb) {
    let (ann, bob) = (account("ann"), account("bob"));
    for (account, id) in [(&ann, "ANNSKEY1"), (&bob, "BOBSKEY1")] {
        assert!(db.db.create_account(account.clone()).await.unwrap());
        assert!(db.db.create_access_key(key(account, id), 10).await.unwrap());
    }
    assert!(db.db.open_session(session(&ann, 1, 1000), 10).await.unwrap());
    assert!(db.db.open_session(session(&bob, 2, 1000), 10).await.unwrap());
    let session = async |token| db.db.session([token; 32], 1).await.unwrap().is_some();
    let known = async |id: &str| db.db.access_key(&id.parse().unwrap()).await.unwrap().is_some();
    assert!(known("ANNSKEY1").await && session(1).await);

    assert!(db.db.enable_account(ann.uuid, false, 9).await.unwrap());
    assert_eq!([session(1).await, session(2).await], [false, true]);
    assert_eq!([known("ANNSKEY1").await, known("BOBSKEY1").await], [false, true]);
    assert!(db.db.enable_account(ann.uuid, true, 10).await.unwrap());
    assert!(!session(1).await, "what has ended stays ended");
    assert!(known("ANNSKEY1").await);
    assert!(!db.db.enable_account(AccountUuid::random(), false, 9).await.unwrap());
    assert_eq!(db.db.account(ann.uuid).await.unwrap().unwrap().last_op_ms, 10);
}

fn key(account: &Account, id: &str) -> AccessKeyRecord {
    let (id, sealed_secret) = (id.parse().unwrap(), format!("sealed {id}"));
    AccessKeyRecord { id, account: account.uuid, sealed_secret, created_ms: 4 }
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn access_keys_are_bounded_listed_and_forgotten(#[case] db: TestDb) {
    let (ann, bob) = (account("ann"), account("bob"));
    assert!(db.db.create_account(ann.clone()).await.unwrap());
    assert!(db.db.create_account(bob.clone()).await.unwrap());
    let creates = (0..20).map(|at| {
        let (db, key) = (db.db.clone(), key(&ann, &format!("ANNSKEY{at:02}")));
        tokio::spawn(async move { db.create_access_key(key, 5).await.unwrap() })
    });
    let made = join_all(creates).await.into_iter().map(Result::unwrap).filter(|made| *made);
    assert_eq!(made.count(), 5, "the bound holds under a race");
    let bobs = key(&bob, "BOBSKEY1");
    assert!(db.db.create_access_key(bobs.clone(), 5).await.unwrap());
    let found = db.db.access_key(&bobs.id).await.unwrap();
    assert_eq!(found, Some((bobs.clone(), bob.clone())));

    let all = db.db.access_keys(Scope::All, None, 100).await.unwrap();
    assert_eq!(all.len(), 6);
    assert!(all.is_sorted_by(|a, b| a.id < b.id));
    let page = db.db.access_keys(Scope::All, Some(&all[1].id), 2).await.unwrap();
    assert_eq!(page, all[2..4]);
    let of_bob = db.db.access_keys(Scope::Account(bob.uuid), None, 100).await.unwrap();
    assert_eq!(of_bob, std::slice::from_ref(&bobs));
    assert!(db.db.delete_access_key(&bobs.id).await.unwrap());
    assert!(!db.db.delete_access_key(&bobs.id).await.unwrap());
    assert_eq!(db.db.access_key(&bobs.id).await.unwrap(), None);
    let page = db.db.accounts(None, 1).await.unwrap();
    let rest = db.db.accounts(Some(page[0].uuid), 10).await.unwrap();
    assert_eq!(page.len() + rest.len(), 2);
    assert!(page[0].uuid < rest[0].uuid);
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
    assert!(!db.db.renew_session([1; 32], 2000, 1000).await.unwrap(), "it has ended");
    assert!(db.db.renew_session([1; 32], 2000, 999).await.unwrap());
    assert!(!db.db.renew_session([2; 32], 2000, 1).await.unwrap());
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
    assert_eq!(db.peek("SELECT token_sha256 FROM session").await.len(), 1);
    let opens = (0..30).map(|token| {
        let (db, session) = (db.db.clone(), session(&ann, token, 1000));
        tokio::spawn(async move { db.open_session(session, 5).await.unwrap() })
    });
    let opened = join_all(opens).await.into_iter().map(Result::unwrap);
    assert_eq!(opened.filter(|opened| *opened).count(), 5);
    let rows = db.peek("SELECT token_sha256 FROM session").await;
    assert_eq!(rows.len(), 5, "the row of the one that had ended is gone");
}
