//! Making accounts, letting them in or not, and changing passwords.

use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use longshore::{
    accounts::{AccountError, ChangeRequest, Identified, Proof},
    domain::account::AccountChange,
};

use super::{PEER, World, sent};

async fn log_in(world: &World, name: &str, password: &str) -> Result<Identified, AccountError> {
    let opened = world.accounts.log_in(name, &sent(password), PEER).await?;
    let proof = Proof::Session(opened.token.to_string());
    world.accounts.identify(&proof).await
}

async fn lives(world: &World, who: Identified) -> bool {
    let token = who.session.unwrap().to_string();
    world.accounts.identify(&Proof::Session(token)).await.is_ok()
}

fn new_password(password: &str, old: Option<&str>) -> ChangeRequest {
    let (password, old_password) = (Some(sent(password)), old.map(sent));
    ChangeRequest { password, old_password, ..ChangeRequest::default() }
}

#[tokio::test]
async fn ones_own_password_needs_the_old_one_and_ends_the_other_sessions() {
    let world = World::with_ann(500).await;
    let (here, there) = (
        log_in(&world, "ann", "password").await.unwrap(),
        log_in(&world, "ann", "password").await.unwrap(),
    );
    let uuid = here.caller.account;
    let change = async |request| {
        world.accounts.change_account(here.caller, here.session, uuid, request, PEER).await
    };
    let missing = change(new_password("a new one", None)).await;
    assert!(matches!(missing, Err(AccountError::Invalid(words)) if words.contains("oldPassword")));
    let wrong = change(new_password("a new one", Some("wrong"))).await;
    assert!(matches!(wrong, Err(AccountError::WrongOldPassword)));
    let plain = ChangeRequest {
        password: Some("a new one".to_owned()),
        old_password: Some(sent("password")),
        ..ChangeRequest::default()
    };
    assert!(
        matches!(change(plain).await, Err(AccountError::Invalid(words)) if words.contains("SHA-512"))
    );
    let renamed = ChangeRequest { name: Some("bob".to_owned()), ..ChangeRequest::default() };
    assert!(matches!(change(renamed).await, Err(AccountError::Invalid(_))));
    assert!(lives(&world, there).await, "nothing was changed so far");

    let changed = change(new_password("a new one", Some("password"))).await.unwrap();
    assert_eq!(changed.name, "ann");
    assert!(lives(&world, here).await, "the session that asked lives on");
    assert!(!lives(&world, there).await, "the other has ended");
    assert!(log_in(&world, "ann", "password").await.is_err());
    log_in(&world, "ann", "a new one").await.unwrap();
}

#[tokio::test]
async fn old_passwords_are_not_guessed_at_without_end() {
    let world = World::with_ann(500).await;
    let here = log_in(&world, "ann", "password").await.unwrap();
    let uuid = here.caller.account;
    let mut refused = 0;
    for _ in 0..11 {
        let request = new_password("a new one", Some("wrong"));
        let tried =
            world.accounts.change_account(here.caller, here.session, uuid, request, PEER).await;
        refused += usize::from(matches!(tried, Err(AccountError::TooManyAttempts { .. })));
    }
    assert_eq!(refused, 1);
}

#[tokio::test]
async fn an_admin_sets_any_password_and_others_only_their_own() {
    let world = World::with_ann(500).await;
    world.accounts.create_account("root", "password", true).await.unwrap();
    world.accounts.create_account("bob", "password", false).await.unwrap();
    let root = log_in(&world, "root", "password").await.unwrap();
    let bob = log_in(&world, "bob", "password").await.unwrap();
    let ann = log_in(&world, "ann", "password").await.unwrap();
    let request = || new_password("a new one", None);
    let (uuid, accounts) = (ann.caller.account, &world.accounts);
    let others = accounts.change_account(bob.caller, bob.session, uuid, request(), PEER).await;
    assert!(matches!(others, Err(AccountError::NoSuchAccount(_))), "it is not even there for bob");
    assert!(lives(&world, ann).await);
    accounts.change_account(root.caller, root.session, uuid, request(), PEER).await.unwrap();
    assert!(!lives(&world, ann).await);
    assert!(lives(&world, root).await);
    log_in(&world, "ann", "a new one").await.unwrap();
    // An admin's own password is no exception.
    let own = root.caller.account;
    let own = accounts.change_account(root.caller, root.session, own, request(), PEER).await;
    assert!(matches!(own, Err(AccountError::Invalid(_))));
    // Of a description nothing ends.
    let request = ChangeRequest { description: Some("lab".to_owned()), ..ChangeRequest::default() };
    let bobs = bob.caller.account;
    let changed = accounts.change_account(bob.caller, bob.session, bobs, request, PEER).await;
    assert_eq!(changed.unwrap().description.as_deref(), Some("lab"));
    assert!(lives(&world, bob).await);
}

#[tokio::test]
async fn a_disabled_account_is_out_at_once() {
    let world = World::with_ann(500).await;
    let ann = log_in(&world, "ann", "password").await.unwrap();
    world.accounts.enable_account("ann", false).await.unwrap();
    assert!(!lives(&world, ann).await);
    assert!(matches!(log_in(&world, "ann", "password").await, Err(AccountError::WrongPassword)));
    world.accounts.enable_account("ann", true).await.unwrap();
    assert!(!lives(&world, ann).await, "what has ended stays ended");
    log_in(&world, "ann", "password").await.unwrap();
    let nobody = world.accounts.enable_account("nobody", false).await;
    assert!(matches!(nobody, Err(AccountError::NoSuchAccount(_))));
}

#[tokio::test]
async fn names_and_passwords_have_their_bounds() {
    let world = World::with_ann(500).await;
    let long = "x".repeat(256);
    for name in ["", " ann", "ann ", "a\nb", "a\u{7f}", &long] {
        let refused = world.accounts.create_account(name, "password", false).await;
        assert!(matches!(refused, Err(AccountError::Invalid(_))), "{name:?}");
    }
    for password in ["", "1234567", &"x".repeat(257)] {
        let refused = world.accounts.create_account("bob", password, false).await;
        assert!(matches!(refused, Err(AccountError::Invalid(_))), "{password:?}");
        let refused = world.accounts.reset_password("ann", password).await;
        assert!(matches!(refused, Err(AccountError::Invalid(_))), "{password:?}");
    }
    let taken = world.accounts.create_account("ann", "password", false).await;
    assert!(matches!(taken, Err(AccountError::NameTaken(_))));
    world.accounts.create_account(&"ä".repeat(255), "12345678", false).await.unwrap();
    let ann = log_in(&world, "ann", "password").await.unwrap();
    world.accounts.reset_password("ann", "another one").await.unwrap();
    assert!(!lives(&world, ann).await, "a reset ends every session");
    log_in(&world, "ann", "another one").await.unwrap();
}

/// A hash that no password has: what is set behind the service's back needs no time.
fn of_nobody() -> AccountChange {
    AccountChange { password_hash: Some("$argon2id$nobody".to_owned()), ..AccountChange::default() }
}

/// Hashing takes its time, and logins wait for their turn at it: whoever had the old password must not be in afterwards.
#[tokio::test]
async fn a_login_under_way_does_not_outlive_the_password_it_came_with() {
    for (what, closes) in
        [("a new password", true), ("a disabled account", true), ("nothing", false)]
    {
        let world = World::with_ann(500).await;
        let right = sent("password");
        let logins = (0..8).map(|_| world.accounts.log_in("ann", &right, PEER));
        let mut logins: FuturesUnordered<_> = logins.collect();
        // All have read the account by now, and most of them have not been hashed.
        let first = logins.next().await.unwrap().unwrap();
        let ann = first.caller.account;
        match what {
            "a new password" => {
                assert!(world.db.db.change_account(ann, of_nobody(), 7).await.unwrap());
            }
            "a disabled account" => {
                assert!(world.db.db.enable_account(ann, false, 7).await.unwrap());
            }
            _ => {}
        }
        let rest: Vec<_> = logins.collect().await;
        let refused = rest.iter().filter(|login| matches!(login, Err(AccountError::WrongPassword)));
        assert_eq!(refused.count() >= 4, closes, "{what}: {rest:?}");
        // Enabled again: only what was opened before the end could be found.
        assert!(world.db.db.enable_account(ann, true, 8).await.unwrap());
        let rows = world.db.peek("SELECT token_sha256 FROM session").await;
        assert_eq!(rows.len(), if closes { 0 } else { 8 }, "{what}");
    }
}

/// Who knows the old password, and has a change under way, must not undo the one that an operator sets.
#[tokio::test]
async fn a_change_under_way_does_not_replace_a_password_that_was_set_meanwhile() {
    let world = World::with_ann(500).await;
    let here = log_in(&world, "ann", "password").await.unwrap();
    let ann = here.caller.account;
    let request = new_password("by who knows the old one", Some("password"));
    let change = world.accounts.change_account(here.caller, here.session, ann, request, PEER);
    let reset = async {
        // The old password is being hashed: tens of milliseconds, and the new one as long again.
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert!(world.db.db.change_account(ann, of_nobody(), 7).await.unwrap());
    };
    let (changed, ()) = futures::join!(change, reset);
    assert!(matches!(changed, Err(AccountError::WrongOldPassword)), "{changed:?}");
    let now = world.db.db.account(ann).await.unwrap().unwrap();
    assert_eq!(now.password_hash, "$argon2id$nobody");
    assert!(!lives(&world, here).await);
}
