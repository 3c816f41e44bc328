//! What happens to jobs and images, told to whoever listens: so that a page need not ask every second.
//!
//! News are hints, not records: a listener that is slow, or comes late, is told that it missed some and asks anew. Nothing waits for a
//! listener.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, broadcast},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::Jobs;
use crate::domain::{
    account::{Caller, Scope},
    ids::{AccountUuid, JobUuid},
    job::LongJob,
    job_state::JobState,
};

/// News that a listener may be behind; then it is told that it missed some.
const BEHIND_MAX: usize = 1024;
/// Those who may listen at once.
pub const LISTENERS_MAX: u32 = 256;
/// Jobs that one telling names; more are told as missed.
const JOBS_MAX: usize = 64;
/// News of the same job within this time are told once.
const GATHER: Duration = Duration::from_millis(250);

/// Something changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    /// Whose it is.
    pub account: AccountUuid,
    /// The job; `None` if it is an image that changed, or a job that is gone.
    pub job: Option<(JobUuid, JobState)>,
}

/// What a listener hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// These jobs changed, each named once with its latest state; and images too, if `images`.
    Changes {
        /// The jobs.
        jobs: Vec<(JobUuid, JobState)>,
        /// Whether images, or the list of jobs itself, changed as well.
        images: bool,
    },
    /// More than can be told: everything may have changed.
    Behind,
    /// Nothing happened until the time that was given.
    Nothing,
    /// The service stops.
    Stopping,
}

/// Where news come in.
pub(super) struct News {
    changes: broadcast::Sender<Change>,
    places: Arc<Semaphore>,
}

impl Default for News {
    fn default() -> Self {
        let places = Arc::new(Semaphore::new(LISTENERS_MAX as usize));
        Self { changes: broadcast::Sender::new(BEHIND_MAX), places }
    }
}

impl News {
    /// Tells what changed. Costs nothing worth naming while nobody listens.
    pub(super) fn tell(&self, change: Change) {
        // An error says that nobody listens.
        let _ = self.changes.send(change);
    }

    /// Tells that a job moved.
    pub(super) fn job(&self, job: &LongJob) {
        self.tell(Change { account: job.account, job: Some((job.uuid, job.state)) });
    }

    /// Tells that an image changed, or that a job is gone.
    pub(super) fn others(&self, account: AccountUuid) {
        self.tell(Change { account, job: None });
    }
}

/// Somebody who hears what their account may see.
pub struct Listener {
    changes: broadcast::Receiver<Change>,
    scope: Scope,
    stopping: CancellationToken,
    _place: OwnedSemaphorePermit,
}

impl Jobs {
    /// Begins to listen; `None` if as many do already as may.
    pub fn listen(&self, caller: Caller) -> Option<Listener> {
        let place = Arc::clone(&self.news.places).try_acquire_owned().ok()?;
        Some(Listener {
            changes: self.news.changes.subscribe(),
            scope: caller.scope(),
            stopping: self.parts.stopping.clone(),
            _place: place,
        })
    }
}

impl Listener {
    /// The next news, gathered for a moment so that a busy job is told of a few times a second and not for each of its slices.
    pub async fn next(&mut self, until: Instant) -> Heard {
        let mut gathered = Gathered::default();
        let mut told_at = until;
        loop {
            let change = tokio::select! {
                biased;
                () = self.stopping.cancelled() => return Heard::Stopping,
                () = sleep_until(told_at) => return gathered.heard(),
                change = self.changes.recv() => change,
            };
            match change {
                Ok(change) if !self.may_see(change) => {}
                Ok(change) => {
                    gathered.add(change);
                    told_at = told_at.min(Instant::now() + GATHER);
                }
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    // From the newest on: what lies between is asked for.
                    self.changes = self.changes.resubscribe();
                    return Heard::Behind;
                }
                Err(broadcast::error::RecvError::Closed) => return Heard::Stopping,
            }
            // The clock of the first of them runs on: a storm must not put off the telling for ever.
            if gathered.jobs.len() > JOBS_MAX {
                return Heard::Behind;
            }
        }
    }

    fn may_see(&self, change: Change) -> bool {
        match self.scope {
            Scope::All => true,
            Scope::Account(account) => account == change.account,
        }
    }
}

#[derive(Default)]
struct Gathered {
    jobs: HashMap<JobUuid, JobState>,
    images: bool,
}

impl Gathered {
    fn add(&mut self, change: Change) {
        match change.job {
            Some((job, state)) => {
                self.jobs.insert(job, state);
            }
            None => self.images = true,
        }
    }

    fn heard(self) -> Heard {
        if self.jobs.is_empty() && !self.images {
            return Heard::Nothing;
        }
        Heard::Changes { jobs: self.jobs.into_iter().collect(), images: self.images }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(news: &News, scope: Scope) -> Listener {
        Listener {
            changes: news.changes.subscribe(),
            scope,
            stopping: CancellationToken::new(),
            _place: Arc::clone(&news.places).try_acquire_owned().unwrap(),
        }
    }

    fn soon() -> Instant {
        Instant::now() + 2 * GATHER
    }

    #[tokio::test]
    async fn news_of_one_job_are_told_once_and_only_to_those_who_may_see_it() {
        let news = News::default();
        let (mine, other) = (AccountUuid::random(), AccountUuid::random());
        let mut own = listener(&news, Scope::Account(mine));
        let mut admin = listener(&news, Scope::All);
        let mut stranger = listener(&news, Scope::Account(other));
        let job = JobUuid::random();
        for state in [JobState::Waiting, JobState::Running] {
            news.tell(Change { account: mine, job: Some((job, state)) });
        }
        let told = Heard::Changes { jobs: vec![(job, JobState::Running)], images: false };
        assert_eq!(own.next(soon()).await, told);
        assert_eq!(admin.next(soon()).await, told);
        assert_eq!(stranger.next(soon()).await, Heard::Nothing);
    }

    #[tokio::test]
    async fn whoever_is_behind_is_told_so_and_hears_on() {
        let news = News::default();
        let account = AccountUuid::random();
        let mut slow = listener(&news, Scope::All);
        for _ in 0..=BEHIND_MAX {
            news.others(account);
        }
        assert_eq!(slow.next(soon()).await, Heard::Behind);
        news.others(account);
        let told = Heard::Changes { jobs: vec![], images: true };
        assert_eq!(slow.next(soon()).await, told);
        for _ in 0..=JOBS_MAX {
            news.tell(Change { account, job: Some((JobUuid::random(), JobState::Running)) });
        }
        assert_eq!(slow.next(soon()).await, Heard::Behind);
    }

    #[tokio::test]
    async fn a_stopping_service_lets_its_listeners_go_and_places_come_back() {
        let news = News::default();
        let mut all: Vec<_> = (0..LISTENERS_MAX).map(|_| listener(&news, Scope::All)).collect();
        assert_eq!(news.places.available_permits(), 0);
        let mut last = all.pop().unwrap();
        last.stopping.cancel();
        assert_eq!(last.next(soon()).await, Heard::Stopping);
        drop(last);
        assert_eq!(news.places.available_permits(), 1);
    }
}
