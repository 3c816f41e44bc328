//! The fixed threads of a store: a pool for reading, writing and syncing, and one hash worker per core.
//!
//! Nothing here waits for a stream. Queues are bounded by who fills them: a writer has at most three blocks on their way, an
//! upload at most one sync and one catch-up, and every other job first takes one of a fixed number of permits.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    thread::JoinHandle,
};

use tokio::sync::{Semaphore, oneshot};

use super::{hash_queue::HashQueue, hash_task::work, upload::Upload};
use crate::{
    error::{Result, StoreError},
    limits::Limits,
};

/// What everybody is told who needs a store that is being closed.
pub(super) const CLOSING: &str = "the store is being closed";

pub(super) type Job = Box<dyn FnOnce() + Send>;

/// Jobs that were let in by [`IoQueue::run`] and have not ended.
const ADMITTED_PER_THREAD: usize = 32;

/// Locks; a panic while the lock was held has left the state unknown, so that nobody may go on with it.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no thread panics while it holds a lock of the store")
}

#[derive(Default)]
struct Queues {
    quick: VecDeque<Job>,
    syncs: VecDeque<Job>,
    syncing: usize,
    closed: bool,
}

/// The way to the I/O threads.
pub(super) struct IoQueue {
    queues: Mutex<Queues>,
    wake: Condvar,
    syncs_max: usize,
    admission: Arc<Semaphore>,
    queued: AtomicUsize,
}

impl IoQueue {
    /// Hands a short job over without waiting. `false` when the store is closed: the job is dropped.
    pub(super) fn submit(&self, job: Job) -> bool {
        self.push(job, false)
    }

    /// As [`submit`](Self::submit), for a job that waits for stable storage: such jobs never occupy every thread, so that
    /// writes go on beside them.
    pub(super) fn submit_sync(&self, job: Job) -> bool {
        self.push(job, true)
    }

    fn push(&self, job: Job, sync: bool) -> bool {
        let mut queues = locked(&self.queues);
        if queues.closed {
            return false;
        }
        let queue = if sync { &mut queues.syncs } else { &mut queues.quick };
        queue.push_back(job);
        self.queued.fetch_add(1, Ordering::Relaxed);
        drop(queues);
        self.wake.notify_one();
        true
    }

    /// Runs `job` on an I/O thread and answers its result. Once it has been let in it runs to its end, also when the
    /// future is dropped.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let closed = || StoreError::Io { action: "reach the storage", message: CLOSING.to_owned() };
        let permit = Arc::clone(&self.admission).acquire_owned().await.map_err(|_| closed())?;
        let (answer, result) = oneshot::channel();
        let job = Box::new(move || {
            // Nobody may listen any more; the job counts all the same.
            let _ = answer.send(job());
            drop(permit);
        });
        if !self.submit(job) {
            return Err(closed());
        }
        result.await.map_err(|_| closed())
    }

    /// Jobs that wait for a thread.
    pub(super) fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    fn work(&self) {
        let mut queues = locked(&self.queues);
        loop {
            // Some threads prefer syncs, so that a flood of writes never keeps an answer waiting; one thread never takes
            // a sync, so that a flood of syncs never stops the writes.
            let job = if queues.syncing < self.syncs_max.div_ceil(2)
                && let Some(job) = queues.syncs.pop_front()
            {
                queues.syncing += 1;
                (job, true)
            } else if let Some(job) = queues.quick.pop_front() {
                (job, false)
            } else if queues.syncing < self.syncs_max
                && let Some(job) = queues.syncs.pop_front()
            {
                queues.syncing += 1;
                (job, true)
            } else if queues.closed && queues.syncs.is_empty() {
                return;
            } else {
                queues = self
                    .wake
                    .wait(queues)
                    .expect("no thread panics while it holds a lock of the store");
                continue;
            };
            drop(queues);
            self.queued.fetch_sub(1, Ordering::Relaxed);
            (job.0)();
            queues = locked(&self.queues);
            if job.1 {
                queues.syncing -= 1;
                // A sync that was held back may run now.
                self.wake.notify_one();
            }
        }
    }

    fn close(&self) {
        locked(&self.queues).closed = true;
        self.wake.notify_all();
    }
}

/// The threads themselves; dropping it lets them end what is queued and waits for that.
pub(super) struct Threads {
    pub(super) io: Arc<IoQueue>,
    pub(super) hash: Arc<HashQueue<Upload>>,
    writing: Vec<JoinHandle<()>>,
    hashing: Vec<JoinHandle<()>>,
}

impl Threads {
    /// Starts at least two I/O threads (one of them is always free of syncs) and one hash worker.
    pub(super) fn start(limits: &Limits) -> std::io::Result<Self> {
        let (io_count, hash_count) = (limits.io_threads.max(2), limits.hash_threads.max(1));
        let engine = limits.digest_engine;
        let io = Arc::new(IoQueue {
            queues: Mutex::default(),
            wake: Condvar::new(),
            syncs_max: io_count - 1,
            admission: Arc::new(Semaphore::new(io_count * ADMITTED_PER_THREAD)),
            queued: AtomicUsize::new(0),
        });
        let hash = Arc::new(HashQueue::new(hash_count, engine.lanes()));
        let mut threads = Self { io, hash, writing: Vec::new(), hashing: Vec::new() };
        for index in 0..io_count {
            let queue = Arc::clone(&threads.io);
            let builder = std::thread::Builder::new().name(format!("store-io-{index}"));
            threads.writing.push(builder.spawn(move || or_abort(|| queue.work()))?);
        }
        for index in 0..hash_count {
            let queue = Arc::clone(&threads.hash);
            let builder = std::thread::Builder::new().name(format!("store-hash-{index}"));
            threads.hashing.push(builder.spawn(move || or_abort(|| work(&queue, engine)))?);
        }
        Ok(threads)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // I/O first: its last jobs still hand blocks to the hash workers.
        self.io.close();
        join(&mut self.writing);
        self.hash.close();
        join(&mut self.hashing);
    }
}

fn join(threads: &mut Vec<JoinHandle<()>>) {
    for thread in threads.drain(..) {
        // No thread of the store ends by a panic: `or_abort` ends the process first.
        let _ = thread.join();
    }
}

/// Ends the process if `work` panics. What a thread of the store was doing is then unknown: requests would wait for a block that
/// never comes home, and a sync that never ends. A restart goes on from the last checkpoints, as after a power cut, which is
/// the one kind of failure that is tested at every point.
fn or_abort(work: impl FnOnce()) {
    struct Watch;
    impl Drop for Watch {
        fn drop(&mut self) {
            if std::thread::panicking() {
                std::process::abort();
            }
        }
    }
    let _watch = Watch;
    work();
}
