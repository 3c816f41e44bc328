//! The queue of hooks, over a sender that does as it is told.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use tokio::time::Instant;

use super::*;
use crate::config::HookTarget;

/// Shorter than in life.
const APART: Duration = Duration::from_millis(20);

#[derive(Default)]
struct Receiver {
    /// How many tries fail before one succeeds.
    failures: usize,
    sent: Mutex<Vec<(Instant, HookCall)>>,
    now: AtomicUsize,
    most: AtomicUsize,
}

#[async_trait]
impl HookSender for Receiver {
    async fn send(&self, url: &Url, call: &HookCall) -> Result<(), HookFailure> {
        if url.path() == "/silent" {
            tokio::time::sleep(Duration::from_mins(1)).await;
        }
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(2)).await;
        self.now.fetch_sub(1, Ordering::SeqCst);
        let mut sent = self.sent.lock().unwrap();
        sent.push((Instant::now(), call.clone()));
        if sent.len() > self.failures { Ok(()) } else { Err(HookFailure::Status(500)) }
    }
}

fn hooks(receiver: &Arc<Receiver>) -> (WebHooks, TaskTracker, CancellationToken) {
    let (tasks, stopping) = (TaskTracker::new(), CancellationToken::new());
    let rules = HookRules::new(vec![HookTarget::Origin("http://a.example".to_owned())]);
    let hooks = WebHooks::new(rules, receiver.clone(), APART, tasks.clone(), stopping.clone());
    (hooks, tasks, stopping)
}

fn call() -> HookCall {
    HookCall { id: ApiId::random(), success: true, body: "{}".to_owned() }
}

/// A place for an account that has no other hook.
fn place(hooks: &WebHooks) -> Result<HookPlace, HookRefused> {
    place_of(hooks, AccountUuid::random(), "http://a.example/hook")
}

fn place_of(hooks: &WebHooks, account: AccountUuid, url: &str) -> Result<HookPlace, HookRefused> {
    hooks.reserve(hooks.check(url)?, account)
}

#[tokio::test]
async fn a_hook_is_tried_until_it_is_taken() {
    for (failures, tries) in [(0, 1), (3, 4), (15, 16), (1000, 16)] {
        let receiver = Arc::new(Receiver { failures, ..Receiver::default() });
        let (hooks, tasks, _) = hooks(&receiver);
        let call = call();
        hooks.deliver(place(&hooks).unwrap(), call.clone());
        tasks.close();
        tasks.wait().await;
        let sent = receiver.sent.lock().unwrap();
        assert_eq!(sent.len(), tries, "{failures} failures");
        assert!(sent.iter().all(|(_, sent)| *sent == call));
        for pair in sent.windows(2) {
            assert!(pair[1].0 - pair[0].0 >= APART, "tries are apart");
        }
        assert_eq!(hooks.waiting.available_permits(), WAITING_MAX, "its place is free again");
    }
}

#[tokio::test]
async fn hooks_that_wait_and_work_are_bounded() {
    let receiver = Arc::new(Receiver::default());
    let (hooks, tasks, _) = hooks(&receiver);
    let mut places = Vec::new();
    while let Ok(place) = place(&hooks) {
        places.push(place);
        assert!(places.len() <= WAITING_MAX, "no bound");
    }
    assert_eq!(places.len(), WAITING_MAX);
    assert_eq!(place(&hooks).err(), Some(HookRefused::Busy));
    drop(places.pop());
    places.push(place(&hooks).expect("a call that never began gives its place back"));
    for place in places {
        hooks.deliver(place, call());
    }
    tasks.close();
    tasks.wait().await;
    assert_eq!(receiver.sent.lock().unwrap().len(), WAITING_MAX);
    assert_eq!(receiver.most.load(Ordering::SeqCst), AT_ONCE_MAX);
}

#[tokio::test]
async fn a_receiver_that_is_silent_takes_from_its_own_account_alone() {
    let receiver = Arc::new(Receiver::default());
    let (hooks, _, _) = hooks(&receiver);
    let (ann, bob) = (AccountUuid::random(), AccountUuid::random());
    let mut anns = 0;
    while let Ok(place) = place_of(&hooks, ann, "http://a.example/silent") {
        hooks.deliver(place, call());
        anns += 1;
        assert!(anns <= WAITING_OF_ACCOUNT_MAX, "no bound");
    }
    assert_eq!(anns, WAITING_OF_ACCOUNT_MAX);
    let bobs = call();
    hooks.deliver(place_of(&hooks, bob, "http://a.example/hook").unwrap(), bobs.clone());
    let begun = Instant::now();
    while receiver.sent.lock().unwrap().iter().all(|(_, sent)| *sent != bobs) {
        assert!(begun.elapsed() < Duration::from_secs(20), "bob waits for the receiver of ann");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_service_that_stops_tries_once_and_not_again() {
    let receiver = Arc::new(Receiver { failures: 1000, ..Receiver::default() });
    let (hooks, tasks, stopping) = hooks(&receiver);
    stopping.cancel();
    hooks.deliver(place(&hooks).unwrap(), call());
    tasks.close();
    tasks.wait().await;
    assert_eq!(receiver.sent.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn who_is_not_listed_is_told_so() {
    let (hooks, _, _) = hooks(&Arc::default());
    let refused = hooks.check("http://b.example/\u{7}").unwrap_err();
    assert!(refused.to_string().contains("[http://b.example/]"), "{refused}");
    assert!(refused.to_string().contains("http.web_hooks_allowed"), "{refused}");
}

/// What a name leads to is looked at when the connection is made, whatever was found before.
#[tokio::test]
async fn a_name_that_leads_inside_is_not_connected_to() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let url: Url = format!("http://localhost:{port}/").parse().unwrap();
    let rules = HookRules::new(vec![HookTarget::Origin("http://a.example".to_owned())]);
    let failure = HttpHooks::new(rules).unwrap().send(&url, &call()).await.unwrap_err();
    assert!(failure.to_string().contains("no address that a web hook may call"), "{failure}");

    // Negative control: where the name is listed, somebody connects.
    let rules = HookRules::new(vec![HookTarget::Origin(format!("http://localhost:{port}"))]);
    let hooks = HttpHooks::new(rules).unwrap();
    let (failure, accepted) =
        tokio::join!(async { hooks.send(&url, &call()).await.unwrap_err() }, async {
            listener.accept().await.map(drop)
        });
    assert!(accepted.is_ok(), "{failure}");
}
