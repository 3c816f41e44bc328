//! Sessions from their login to their end, on a clock that the test moves.

use std::time::{Duration, Instant};

use longshore::accounts::{ATTEMPTS_MAX, ATTEMPTS_WINDOW_MS, AccountError};

use super::{PEER, World, sent};

#[tokio::test]
async fn a_session_ends_after_its_time_and_renewing_moves_that() {
    let world = World::with_ann(500).await;
    let opened = world.accounts.log_in("ann", &sent("password"), PEER).await.unwrap();
    let token = opened.token.to_string();
    assert_eq!(opened.expires_ms - opened.created_ms, 7_200_000);
    world.clock.advance_ms(7_199_999);
    assert!(world.accounts.authenticate(&token).await.is_ok());
    let renewed = world.accounts.renew(&token, 60).await.unwrap();
    assert_eq!(renewed.expires_ms - opened.created_ms, 7_259_999);
    world.clock.advance_ms(59_999);
    assert!(world.accounts.authenticate(&token).await.is_ok());
    world.clock.advance_ms(1);
    for _ in 0..2 {
        let ended = world.accounts.authenticate(&token).await;
        assert!(matches!(ended, Err(AccountError::SessionExpired)), "{ended:?}");
        let renewed = world.accounts.renew(&token, 3600).await;
        assert!(matches!(renewed, Err(AccountError::SessionExpired)), "it stays ended");
    }
}

#[tokio::test]
async fn a_logout_ends_one_session_and_says_nothing_of_others() {
    let world = World::with_ann(500).await;
    let log_in = async || {
        world.accounts.log_in("ann", &sent("password"), PEER).await.unwrap().token.to_string()
    };
    let (one, other) = (log_in().await, log_in().await);
    for _ in 0..2 {
        world.accounts.log_out(&one).await.unwrap();
    }
    world.accounts.log_out("nonsense").await.unwrap();
    assert!(world.accounts.authenticate(&one).await.is_err());
    assert!(world.accounts.authenticate(&other).await.is_ok());
    let rows = world.db.peek("SELECT token_sha256 FROM session").await;
    assert_eq!(rows.len(), 1);
    assert!(!rows[0].contains(&other), "a token is in no row");
}

#[tokio::test]
async fn an_account_has_so_many_sessions_and_those_that_ended_take_no_place() {
    let world = World::with_ann(3).await;
    let log_in = async || world.accounts.log_in("ann", &sent("password"), PEER).await;
    for _ in 0..3 {
        log_in().await.unwrap();
    }
    let refused = log_in().await;
    assert!(matches!(refused, Err(AccountError::TooManySessions)), "{refused:?}");
    world.clock.advance_ms(7_200_000);
    log_in().await.unwrap();
    let rows = world.db.peek("SELECT token_sha256 FROM session").await;
    assert_eq!(rows.len(), 1, "the others are gone from the records as well");
}

#[tokio::test]
async fn ten_wrong_passwords_a_minute_are_tried_and_right_ones_do_not_count() {
    let world = World::with_ann(500).await;
    let try_with =
        async |password: &str| world.accounts.log_in("ann", &sent(password), PEER).await.map(drop);
    for _ in 0..ATTEMPTS_MAX + 2 {
        try_with("password").await.unwrap();
    }
    for _ in 0..ATTEMPTS_MAX {
        assert!(matches!(try_with("wrong").await, Err(AccountError::WrongPassword)));
    }
    let refused = try_with("password").await;
    assert!(matches!(refused, Err(AccountError::TooManyAttempts { wait_secs: 60 })), "{refused:?}");
    let elsewhere = "192.0.2.2".parse().unwrap();
    world.accounts.log_in("ann", &sent("password"), elsewhere).await.unwrap();
    // An account that does not exist is told the same: the bound does not say which names there are.
    for _ in 0..ATTEMPTS_MAX {
        let nobody = world.accounts.log_in("nobody", &sent("wrong"), PEER).await;
        assert!(matches!(nobody, Err(AccountError::WrongPassword)));
    }
    let nobody = world.accounts.log_in("nobody", &sent("wrong"), PEER).await;
    assert!(matches!(nobody, Err(AccountError::TooManyAttempts { .. })));
    world.clock.advance_ms(ATTEMPTS_WINDOW_MS);
    try_with("password").await.unwrap();
}

/// Side by side they must not get past the bound either: each takes its place before it is hashed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_that_come_at_once_are_counted() {
    let world = World::with_ann(500).await;
    let wrong = sent("wrong");
    let tries = (0..30).map(|_| world.accounts.log_in("ann", &wrong, PEER));
    let outcomes = futures::future::join_all(tries).await;
    let hashed = outcomes.iter().filter(|tried| matches!(tried, Err(AccountError::WrongPassword)));
    assert_eq!(hashed.count(), ATTEMPTS_MAX);
}

/// Many machines behind one address begin their day: nobody of them was wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn right_passwords_that_come_at_once_are_all_let_in() {
    let world = World::with_ann(500).await;
    let right = sent("password");
    let logins = (0..3 * ATTEMPTS_MAX).map(|_| world.accounts.log_in("ann", &right, PEER));
    let refused: Vec<_> =
        futures::future::join_all(logins).await.into_iter().filter_map(Result::err).collect();
    assert!(refused.is_empty(), "{refused:?}");
}

/// Who measures the time of an answer must not learn which accounts there are. The hash is what takes the time, tens of milliseconds; an
/// answer without one comes within one or two. Measured in turn and by the fastest, because other tests run beside this one.
#[tokio::test]
async fn an_unknown_and_a_disabled_account_take_as_long_as_a_wrong_password() {
    let world = World::with_ann(500).await;
    world.accounts.create_account("off", "password", false).await.unwrap();
    world.accounts.enable_account("off", false).await.unwrap();
    let mut fastest = [Duration::MAX; 3];
    for _ in 0..8 {
        let tries = [("ann", "wrong"), ("nobody", "wrong"), ("off", "password")];
        for (fastest, (name, password)) in fastest.iter_mut().zip(tries) {
            let begun = Instant::now();
            let refused = world.accounts.log_in(name, &sent(password), PEER).await;
            assert!(matches!(refused, Err(AccountError::WrongPassword)), "{name}");
            *fastest = (*fastest).min(begun.elapsed());
        }
    }
    let [known, unknown, disabled] = fastest;
    assert!(unknown * 4 > known && disabled * 4 > known, "{fastest:?}");
    assert!(known * 4 > unknown && known * 4 > disabled, "{fastest:?}");
}
