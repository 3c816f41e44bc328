//! Asynchronous calls: what is known of them while they run, when they fail, and after a restart.

use std::{sync::Arc, time::Duration};

use longshore::{
    db::{self, ApiJobResult, Database, DbOptions},
    domain::{
        clock::{Clock, ManualClock},
        ids::ApiId,
    },
    jobs::{ApiCalls, Begun, CallFailure, CallState, Kept, RESULT_KEPT_MS, Terms},
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
            // What the housekeeping does: nobody looks at the clock for every call.
            db.prune_api_jobs(process.clock.now_ms() - RESULT_KEPT_MS).await.unwrap();
        }
        for id in old {
            assert_eq!(process.state(id).await != CallState::Unknown, kept, "{wait_ms}");
        }
    }
}

/// Where nothing ends any more, nothing is swept either.
#[tokio::test]
async fn a_result_in_memory_has_its_end_in_a_quiet_service_too() {
    let dir = tempfile::tempdir().unwrap();
    let db = records(&dir).await;
    let process = Process::new(&db);
    let kept = [Kept::InMemory, Kept::Secretly, Kept::Durably];
    let ids = kept.map(|kept| (ApiId::random(), kept));
    for (id, kept) in ids {
        let _ = process.begin(id, kept, done("a")).await;
        process.ended().await;
    }
    for (wait_ms, state) in
        [(RESULT_KEPT_MS - 1, CallState::Ended(done("a"))), (1, CallState::Unknown)]
    {
        process.clock.advance_ms(wait_ms);
        for (id, kept) in ids {
            assert_eq!(process.state(id).await, state, "{kept:?} after {wait_ms}");
        }
    }
}

/// Whoever has no session can make as many calls as they like: the results of those who have one stay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_push_out_no_result_but_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let db = records(&dir).await;
    let process = Process::new(&db);
    let (secret, first) = (ApiId::random(), ApiId::random());
    let _ = process.begin(secret, Kept::Secretly, done("the session")).await;
    process.ended().await;
    let _ = process.begin(first, Kept::InMemory, done("no")).await;
    process.ended().await;
    for _ in 0..4 {
        let calls = (0..500).map(|_| process.begin(ApiId::random(), Kept::InMemory, done("no")));
        futures::future::join_all(calls).await;
        process.ended().await;
    }
    assert_eq!(process.state(first).await, CallState::Unknown, "theirs are bounded");
    assert_eq!(process.state(secret).await, CallState::Ended(done("the session")));
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
        let mut given_up = None;
        // The records may answer before the first look at them is over, and then there is nothing to give up.
        for _ in 0..100 {
            let id = ApiId::random();
            let mut start = Box::pin(first.begin(id, kept, done("a")));
            if futures::poll!(&mut start).is_pending() {
                given_up = Some(id);
                break;
            }
        }
        let id = given_up.expect("the records were not asked");
        // Its record may be written all the same; nobody is at work on it.
        assert_ne!(first.state(id).await, CallState::Running, "{kept:?}");
    }
}

/// Its result is written nowhere; that its id is taken is.
#[tokio::test]
async fn a_secret_result_is_in_no_row_and_its_id_stays_taken() {
    let dir = tempfile::tempdir().unwrap();
    let db = records(&dir).await;
    let first = Process::new(&db);
    let id = ApiId::random();
    assert_eq!(first.begin(id, Kept::Secretly, done("the session")).await, Begun::Started);
    first.ended().await;
    assert_eq!(first.state(id).await, CallState::Ended(done("the session")));
    assert_eq!(db.api_job(id).await.unwrap(), Some(None), "no result is written");
    for file in ["records.db", "records.db-wal"] {
        let bytes = std::fs::read(dir.path().join(file)).unwrap();
        assert!(!bytes.windows(11).any(|part| part == b"the session"), "{file}");
    }
    let second = Process::new(&db);
    assert_eq!(second.begin(id, Kept::Secretly, done("x")).await, Begun::Duplicate);
    assert_eq!(second.begin(id, Kept::Durably, done("x")).await, Begun::Duplicate);
    assert_eq!(second.begin(id, Kept::InMemory, done("x")).await, Begun::Duplicate);
    assert_eq!(second.state(id).await, CallState::Ended(tell(CallFailure::Interrupted)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_calls_with_one_id_one_begins() {
    let dir = tempfile::tempdir().unwrap();
    let db = records(&dir).await;
    // Two processes as well: the records decide, not a process's memory.
    let processes = [Process::new(&db), Process::new(&db)];
    for kept in [Kept::Durably, Kept::Secretly] {
        let id = ApiId::random();
        let starts = (0..20).map(|at| processes[at % 2].begin(id, kept, done("a")));
        let begun = futures::future::join_all(starts).await;
        let started = begun.iter().filter(|begun| **begun == Begun::Started).count();
        assert_eq!(started, 1, "{kept:?}: {begun:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_takes_too_long_is_told_so_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let db = records(&dir).await;
    let process = Process::new(&db);
    let (go, gone) = tokio::sync::oneshot::channel::<()>();
    let (tell_end, told_end) = tokio::sync::oneshot::channel();
    let (hooked, was_hooked) = tokio::sync::oneshot::channel();
    let id = ApiId::random();
    let work = async move {
        gone.await.unwrap();
        tell_end.send(()).unwrap();
        done("late")
    };
    let on_end = Box::new(move |result: &ApiJobResult| hooked.send(result.clone()).unwrap());
    let timeout = Duration::from_millis(50);
    let terms = Terms { kept: Kept::Durably, timeout, on_end: Some(on_end) };
    let begun = process.calls.start(id, terms, tell, work).await.unwrap();
    assert_eq!(begun, Begun::Started);
    let told = was_hooked.await.unwrap();
    assert_eq!(told, tell(CallFailure::TimedOut));
    assert_eq!(process.state(id).await, CallState::Ended(told));
    // The work was not torn: it ends when it can.
    go.send(()).unwrap();
    told_end.await.unwrap();
    process.ended().await;
    assert_eq!(process.state(id).await, CallState::Ended(tell(CallFailure::TimedOut)));
}

/// Whoever gives up on calls early must not get more of them to work than others do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_go_on_unwatched_still_count() {
    let dir = tempfile::tempdir().unwrap();
    let db = records(&dir).await;
    let process = Process::new(&db);
    let start = async || {
        let timeout = Duration::from_millis(1);
        let terms = Terms { kept: Kept::InMemory, timeout, on_end: None };
        let id = ApiId::random();
        (id, process.calls.start(id, terms, tell, std::future::pending()).await.unwrap())
    };
    let mut last = ApiId::random();
    for _ in 0..1024 {
        let (id, begun) = start().await;
        assert_eq!(begun, Begun::Started);
        last = id;
    }
    while process.state(last).await == CallState::Running {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(start().await.1, Begun::Busy);
}
