//! Asynchronous calls: what is known of them while they run, when they fail, and after a restart.

use std::{sync::Arc, time::Duration};

use longshore::{
    db::{self, ApiJobResult, Database, DbOptions},
    domain::{clock::ManualClock, ids::ApiId},
    jobs::{ApiCalls, Begun, CallFailure, CallState, Kept, RESULT_KEPT_MS},
};
use tokio_util::task::TaskTracker;

struct Process {
    calls: Arc<ApiCalls>,
    clock: Arc<ManualClock>,
    tasks: TaskTracker,
}

impl Process {
    fn new(db: &Arc<dyn Database>) -> Self {
        let clock = Arc::new(ManualClock::at(1_795_190_700_000));
        let tasks = TaskTracker::new();
        let calls = ApiCalls::new(Arc::clone(db), clock.clone(), tasks.clone());
        Self { calls: Arc::new(calls), clock, tasks }
    }

    async fn begin(&self, id: ApiId, kept: Kept, result: ApiJobResult) -> Begun {
        self.calls.start(id, kept, tell, async { result }).await.unwrap()
    }

    async fn state(&self, id: ApiId) -> CallState {
        self.calls.look_up(id, tell).await.unwrap()
    }

    async fn ended(&self) {
        self.tasks.close();
        tokio::time::timeout(Duration::from_secs(10), self.tasks.wait()).await.unwrap();
        self.tasks.reopen();
    }
}

fn tell(failure: CallFailure) -> ApiJobResult {
    ApiJobResult { success: false, body: format!("{failure:?}") }
}

fn done(body: &str) -> ApiJobResult {
    ApiJobResult { success: true, body: body.to_owned() }
}

async fn records(dir: &tempfile::TempDir) -> Arc<dyn Database> {
    let url = format!("sqlite:{}", dir.path().join("records.db").display());
    db::open(&url, &DbOptions::default()).await.unwrap()
}

#[tokio::test]
async fn a_result_is_kept_over_a_restart_unless_it_is_a_secret() {
    let dir = tempfile::tempdir().unwrap();
    let db = records(&dir).await;
    let first = Process::new(&db);
    let (kept, secret) = (ApiId::random(), ApiId::random());
    assert_eq!(first.begin(kept, Kept::Durably, done("a")).await, Begun::Started);
    assert_eq!(first.begin(secret, Kept::InMemory, done("b")).await, Begun::Started);
    first.ended().await;
    assert_eq!(first.state(kept).await, CallState::Ended(done("a")));
    assert_eq!(first.state(secret).await, CallState::Ended(done("b")));
    assert_eq!(first.begin(kept, Kept::Durably, done("c")).await, Begun::Duplicate);
    assert_eq!(first.begin(kept, Kept::InMemory, done("c")).await, Begun::Duplicate);
    assert_eq!(first.begin(secret, Kept::Durably, done("c")).await, Begun::Duplicate);
    assert_eq!(first.state(ApiId::random()).await, CallState::Unknown);

    let second = Process::new(&db);
    assert_eq!(second.state(kept).await, CallState::Ended(done("a")));
    assert_eq!(second.state(secret).await, CallState::Unknown);
}

#[tokio::test]
async fn a_call_that_does_not_end_well_still_ends() {
    let dir = tempfile::tempdir().unwrap();
    let db = records(&dir).await;
    let first = Process::new(&db);
    let (stuck, crashing) = (ApiId::random(), ApiId::random());
    let begun = first.calls.start(stuck, Kept::Durably, tell, std::future::pending()).await;
    assert_eq!(begun.unwrap(), Begun::Started);
    assert_eq!(first.state(stuck).await, CallState::Running);
    let crash = async { panic!("a defect") };
    let begun = first.calls.start(crashing, Kept::Durably, tell, crash).await;
    assert_eq!(begun.unwrap(), Begun::Started);
    let mut state = first.state(crashing).await;
    while state == CallState::Running {
        tokio::time::sleep(Duration::from_millis(5)).await;
        state = first.state(crashing).await;
    }
    assert_eq!(state, CallState::Ended(tell(CallFailure::Crashed)));

    // The process that runs `stuck` is gone: whoever asks the next one is told so, and stays told.
    let second = Process::new(&db);
    for _ in 0..2 {
        let interrupted = CallState::Ended(tell(CallFailure::Interrupted));
        assert_eq!(second.state(stuck).await, interrupted);
    }
}

#[tokio::test]
async fn results_are_forgotten_after_three_hours() {
    let dir = tempfile::tempdir().unwrap();
    let db = records(&dir).await;
    let process = Process::new(&db);
    let old = [ApiId::random(), ApiId::random()];
    let _ = process.begin(old[0], Kept::Durably, done("a")).await;
    let _ = process.begin(old[1], Kept::InMemory, done("a")).await;
    process.ended().await;
    for (wait_ms, kept) in [(RESULT_KEPT_MS - 1, true), (2, false)] {
        process.clock.advance_ms(wait_ms);
        let _ = process.begin(ApiId::random(), Kept::Durably, done("b")).await;
        process.ended().await;
        if !kept {
            // Removing old records is not worth doing for every call.
            process.clock.advance_ms(600_000);
            let _ = process.begin(ApiId::random(), Kept::Durably, done("b")).await;
            process.ended().await;
        }
        for id in old {
            assert_eq!(process.state(id).await != CallState::Unknown, kept, "{wait_ms}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_at_work_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let db = records(&dir).await;
    let process = Process::new(&db);
    let mut started = 0;
    loop {
        let work = std::future::pending();
        let begun = process.calls.start(ApiId::random(), Kept::InMemory, tell, work).await;
        match begun.unwrap() {
            Begun::Started => started += 1,
            Begun::Busy => break,
            Begun::Duplicate => unreachable!("identifiers are random"),
        }
        assert!(started <= 1024, "the bound holds");
    }
    assert_eq!(started, 1024);
}

/// A client that goes away while the records are asked takes the request with it.
#[tokio::test]
async fn a_call_that_is_given_up_before_it_began_takes_no_place() {
    let dir = tempfile::tempdir().unwrap();
    let db = records(&dir).await;
    let first = Process::new(&db);
    for kept in [Kept::Durably, Kept::InMemory] {
        let id = ApiId::random();
        let mut start = Box::pin(first.begin(id, kept, done("a")));
        assert!(futures::poll!(&mut start).is_pending(), "the records were not asked");
        drop(start);
        // Its record may be written all the same; nobody is at work on it.
        assert_ne!(first.state(id).await, CallState::Running, "{kept:?}");
    }
}
