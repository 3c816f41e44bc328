//! The scheduler: what runs by itself, when, and what it has led to. Records and their rules: [`crate::domain::schedule`].
//!
//! A loop of each process (`engine.rs`) looks for fires that are due and takes them by compare-and-swap in the records; whoever has
//! taken a fire runs its jobs (`runs.rs`, `work.rs`) as tasks of their own, at most so many at once. A run holds a lease while it is at work: one
//! whose process has died is ended as failed by whoever has first seen its lease unchanged for long enough (`silence.rs`).
//!
//! Only an admin changes what is scheduled (`verbs.rs`), or sees it: every job, trigger and run belongs to one.

mod defaults;
mod engine;
mod error;
mod groups;
mod links;
mod new_trigger;
mod report;
mod runs;
mod scrub;
mod silence;
mod store;
mod verbs;
mod work;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, Weak},
    time::{Duration, Instant},
};

use tokio::sync::{Mutex as AsyncMutex, Semaphore};

pub use crate::domain::schedule::ReportUnit;
pub use error::ScheduleError;
pub use groups::NewJobGroup;
pub use links::{GroupShown, JobShown, TriggerShown};
pub use new_trigger::NewTrigger;
pub use report::{Report, ReportAsked};
pub use verbs::{NewScheduledJob, StateChanged};

use super::Jobs;
use crate::domain::{account::Caller, ids::TriggerUuid, schedule::Target};
use silence::SeenLeases;

/// Runs at once that are over soon.
const SHORT_AT_ONCE: usize = 4;
/// Runs at once that read images, of each kind of place: they share the disk with uploads.
const LONG_AT_ONCE: usize = 2;
/// How long a run belongs to its process without being renewed.
const LEASE: Duration = Duration::from_mins(1);

/// The scheduler of one process.
pub struct Scheduler {
    jobs: Arc<Jobs>,
    myself: Weak<Self>,
    /// One at a time changes what is scheduled: whoever changes a job reads its bindings first.
    changing: AsyncMutex<()>,
    short: Semaphore,
    long: Semaphore,
    /// For long runs that somebody asked for and waits for: those of the night take hours.
    asked: Semaphore,
    /// The same for single images.
    asked_verify: Semaphore,
    /// Held while runs of the process before this one are being ended.
    closing: Arc<AsyncMutex<()>>,
    /// Fires whose jobs are at work, and those that could not be taken: when they are tried again.
    waiting: Mutex<HashMap<(TriggerUuid, Target), Instant>>,
    /// Numbers of the runs that this process is at work on. No other row is renewed: it ends with its lease.
    at_work: Mutex<HashSet<i64>>,
    /// What was last seen of the leases of all runs that are open.
    seen_leases: Mutex<SeenLeases>,
    /// When triggers that cannot be read were last told.
    told_unreadable: Mutex<Option<Instant>>,
}

impl Scheduler {
    /// Over the control plane, whose records, store and clock it uses.
    pub fn new(jobs: Arc<Jobs>) -> Arc<Self> {
        Arc::new_cyclic(|myself| Self {
            jobs,
            myself: Weak::clone(myself),
            changing: AsyncMutex::default(),
            short: Semaphore::new(SHORT_AT_ONCE),
            long: Semaphore::new(LONG_AT_ONCE),
            asked: Semaphore::new(LONG_AT_ONCE),
            asked_verify: Semaphore::new(LONG_AT_ONCE),
            closing: Arc::default(),
            waiting: Mutex::default(),
            at_work: Mutex::default(),
            seen_leases: Mutex::default(),
            told_unreadable: Mutex::default(),
        })
    }

    fn admin(caller: Caller) -> Result<(), ScheduleError> {
        if caller.admin { Ok(()) } else { Err(ScheduleError::NotAdmin) }
    }
}
