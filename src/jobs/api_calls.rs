//! Asynchronous API calls: a client is answered at once, the work runs on its own, and the result is looked up later.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    future::Future,
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{runtime::Handle, sync::Semaphore, task::JoinHandle};
use tokio_util::task::TaskTracker;

use crate::{
    db::{ApiJobResult, Database, DbError},
    domain::{
        clock::{Clock, EpochMs},
        ids::ApiId,
    },
};

/// How long a result can be looked up, in milliseconds: ZStack's 10,800 s.
pub const RESULT_KEPT_MS: i64 = 10_800_000;
/// How long a call may take; also what clients are told.
pub const CALL_TIMEOUT: Duration = Duration::from_mins(30);
/// What a caller may ask for instead, in seconds: at most the three days that ZStack gives an image.
pub const CALL_TIMEOUT_SECS: RangeInclusive<u64> = 1..=259_200;
/// Calls at work at once, those that nobody waits for any more among them. They are short; so many at once mean that the database stands still.
const RUNNING_MAX: usize = 1024;
/// Results held in memory; the oldest goes first.
const IN_MEMORY_MAX: usize = 2000;

/// Where the result of a call is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// In the records: it survives a restart.
    Durably,
    /// In memory alone, because it holds a session; that there was the call is in the records, so that its id stays taken. After a
    /// restart it is told as interrupted.
    Secretly,
    /// In memory alone: the caller is not known to us and must not fill the records.
    InMemory,
}

/// Told when a call has ended, after its result can be looked up.
pub type OnEnd = Box<dyn FnOnce(&ApiJobResult) + Send>;

/// How a call runs.
pub struct Terms {
    /// Where its result is kept.
    pub kept: Kept,
    /// How long it may take until it is told as [`CallFailure::TimedOut`].
    pub timeout: Duration,
    /// Who is told of its end.
    pub on_end: Option<OnEnd>,
}

impl From<Kept> for Terms {
    fn from(kept: Kept) -> Self {
        Self { kept, timeout: CALL_TIMEOUT, on_end: None }
    }
}

/// Whether a call has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Begun {
    /// It is at work; its result can be looked up from now on.
    Started,
    /// Its id is taken; nothing was done.
    Duplicate,
    /// Too many calls are at work; nothing was done.
    Busy,
}

/// How a call ended without a result of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallFailure {
    /// It crashed: a defect of ours.
    Crashed,
    /// It took longer than it may; it is still at work, and what it does is not undone.
    TimedOut,
    /// The service was stopped while it was at work.
    Interrupted,
}

/// What is known of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallState {
    /// Nothing: never begun, or too long ago.
    Unknown,
    /// It is at work.
    Running,
    /// It has ended.
    Ended(ApiJobResult),
}

/// How a failure is told, in the dialect of the caller.
pub type TellFailure = fn(CallFailure) -> ApiJobResult;

/// The calls of this process. A result is looked up for three hours; then the id is unknown.
pub struct ApiCalls {
    db: Arc<dyn Database>,
    clock: Arc<dyn Clock>,
    /// Calls run here and not on the thread of the request, which may be gone before they end.
    runtime: Handle,
    tasks: TaskTracker,
    memory: Mutex<Memory>,
    working: Arc<Semaphore>,
}

#[derive(Default)]
struct Memory {
    running: HashSet<ApiId>,
    /// What is nowhere else.
    kept: Results,
    /// What was told to callers that are not known to us: apart, so that they push out nobody's result but their own.
    strangers: Results,
    /// What is in the records as well: the newest are asked for most.
    cached: Results,
}

/// The newest results, at most [`IN_MEMORY_MAX`].
#[derive(Default)]
struct Results {
    by_id: HashMap<ApiId, (ApiJobResult, EpochMs)>,
    order: VecDeque<(ApiId, EpochMs)>,
}

impl ApiCalls {
    /// Over these records; calls run on the runtime that this is called on, as `tasks` that an orderly stop waits for.
    pub fn new(db: Arc<dyn Database>, clock: Arc<dyn Clock>, tasks: TaskTracker) -> Self {
        Self {
            db,
            clock,
            runtime: Handle::current(),
            tasks,
            memory: Mutex::default(),
            working: Arc::new(Semaphore::new(RUNNING_MAX)),
        }
    }

    /// Begins a call. When this answers `Started`, [`Self::look_up`] knows it, also for other requests. Of several that begin with
    /// one id, one is started.
    pub async fn start<F>(
        self: &Arc<Self>,
        id: ApiId,
        terms: impl Into<Terms>,
        tell: TellFailure,
        work: F,
    ) -> Result<Begun, DbError>
    where
        F: Future<Output = ApiJobResult> + Send + 'static,
    {
        let Terms { kept, timeout, on_end } = terms.into();
        let permit = {
            let mut memory = self.memory();
            if memory.knows(id) {
                return Ok(Begun::Duplicate);
            }
            let Ok(permit) = Arc::clone(&self.working).try_acquire_owned() else {
                return Ok(Begun::Busy);
            };
            // Before the records know it: whoever reads `running` there and not here takes the call for one of a process that is gone.
            memory.running.insert(id);
            permit
        };
        let place = Place { calls: self, id };
        let is_new = match kept {
            Kept::Durably | Kept::Secretly => {
                self.db.begin_api_job(id, self.clock.now_ms()).await?
            }
            Kept::InMemory => self.db.api_job(id).await?.is_none(),
        };
        if !is_new {
            return Ok(Begun::Duplicate);
        }
        // From here on nothing waits: the task below gives the place back.
        std::mem::forget(place);
        let work = self.tasks.spawn_on(
            async move {
                // With the work and not with the wait for it: what goes on unwatched still counts.
                let _permit = permit;
                work.await
            },
            &self.runtime,
        );
        let calls = Arc::clone(self);
        self.tasks.spawn_on(
            async move {
                let result = ended(work, timeout, tell).await;
                calls.finish(id, kept, result.clone()).await;
                if let Some(on_end) = on_end {
                    on_end(&result);
                }
            },
            &self.runtime,
        );
        Ok(Begun::Started)
    }

    /// What is known of a call. One that was cut off by a restart is told as `Interrupted`: what runs in the records and not here
    /// ran in a process that is gone. That holds for one process over one database; several would have to say which runs what.
    pub async fn look_up(&self, id: ApiId, tell: TellFailure) -> Result<CallState, DbError> {
        if let Some(state) = self.remembered(id) {
            return Ok(state);
        }
        match self.db.api_job(id).await? {
            None => Ok(CallState::Unknown),
            Some(Some(result)) => Ok(CallState::Ended(result)),
            Some(None) => {
                // It may have begun between the two looks: what is at work here is not to be written down as cut off.
                if let Some(state) = self.remembered(id) {
                    return Ok(state);
                }
                let result = tell(CallFailure::Interrupted);
                self.db.finish_api_job(id, result.clone(), self.clock.now_ms()).await?;
                Ok(CallState::Ended(result))
            }
        }
    }

    /// What this process knows without the records.
    fn remembered(&self, id: ApiId) -> Option<CallState> {
        let memory = self.memory();
        let Some((result, ended_ms)) = memory.result(id) else {
            return memory.running.contains(&id).then_some(CallState::Running);
        };
        // Old ones are swept when others end, which may be long after their time.
        let is_kept = self.clock.now_ms() - ended_ms < RESULT_KEPT_MS;
        Some(if is_kept { CallState::Ended(result.clone()) } else { CallState::Unknown })
    }

    async fn finish(&self, id: ApiId, kept: Kept, result: ApiJobResult) {
        let now_ms = self.clock.now_ms();
        let durable = match kept {
            Kept::InMemory | Kept::Secretly => false,
            Kept::Durably => match self.db.finish_api_job(id, result.clone(), now_ms).await {
                Ok(()) => true,
                Err(error) => {
                    tracing::error!(api_id = %id, %error, "the result of a call is kept in memory only");
                    false
                }
            },
        };
        let mut memory = self.memory();
        memory.running.remove(&id);
        let Memory { kept: only_here, strangers, cached, .. } = &mut *memory;
        let results = match kept {
            Kept::InMemory => strangers,
            Kept::Durably if durable => cached,
            Kept::Durably | Kept::Secretly => only_here,
        };
        // The records of old results go with the housekeeping, which doubts a clock that has jumped.
        results.add(id, result, now_ms);
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of a call that has not begun. Dropping it gives it back: a client that breaks its connection while the records are
/// asked takes the future of [`ApiCalls::start`] with it, and must not take a place for ever.
struct Place<'c> {
    calls: &'c ApiCalls,
    id: ApiId,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.calls.memory().running.remove(&self.id);
    }
}

impl Memory {
    fn knows(&self, id: ApiId) -> bool {
        self.running.contains(&id) || self.result(id).is_some()
    }

    /// A result, and when it came.
    fn result(&self, id: ApiId) -> Option<&(ApiJobResult, EpochMs)> {
        let held = [&self.kept, &self.strangers, &self.cached];
        held.into_iter().find_map(|results| results.by_id.get(&id))
    }
}

impl Results {
    fn add(&mut self, id: ApiId, result: ApiJobResult, now_ms: EpochMs) {
        self.forget(now_ms);
        self.by_id.insert(id, (result, now_ms));
        self.order.push_back((id, now_ms));
    }

    /// Makes room for one more result, and drops those that are too old.
    fn forget(&mut self, now_ms: EpochMs) {
        while let Some((id, ended_ms)) = self.order.front().copied() {
            if self.order.len() < IN_MEMORY_MAX && now_ms - ended_ms < RESULT_KEPT_MS {
                break;
            }
            self.order.pop_front();
            self.by_id.remove(&id);
        }
    }
}

/// The work goes on after its time is over: dropping it half way could leave a verb half done.
async fn ended(
    mut work: JoinHandle<ApiJobResult>,
    limit: Duration,
    tell: TellFailure,
) -> ApiJobResult {
    match tokio::time::timeout(limit, &mut work).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => tell(CallFailure::Crashed),
        Err(_) => tell(CallFailure::TimedOut),
    }
}
