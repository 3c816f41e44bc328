//! What happens to jobs and images, told to whoever listens: so that a page need not ask every second.
//!
//! News are hints, not records: a listener that is slow, or comes late, is told that it missed some and asks anew. Nothing waits for a
//! listener.
//!
//! *Guarantees.* A listener hears what its account may see and nothing else. It is told at most once in [`GATHER`], however much happens.
//! No account has more than [`LISTENERS_OF_ACCOUNT_MAX`] of the [`LISTENERS_MAX`] places.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    sync::broadcast,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{Jobs, locked};
use crate::domain::{
    account::{Caller, Scope},
    ids::{AccountUuid, JobUuid},
    job::LongJob,
    job_state::JobState,
};

/// News that a listener may be behind; then it is told that it missed some.
const BEHIND_MAX: usize = 1024;
/// Those who may listen at once.
pub const LISTENERS_MAX: usize = 256;
/// Of these, those of one account: the tabs of a few people. One account must not shut all others out.
pub const LISTENERS_OF_ACCOUNT_MAX: usize = 16;
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

/// As many listen as may; nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{max} listen already")]
pub struct TooManyListeners {
    /// How many may, of this account or in all.
    pub max: usize,
}

/// How many of each account listen.
type Listening = Arc<Mutex<HashMap<AccountUuid, usize>>>;

/// Where news come in.
pub(super) struct News {
    changes: broadcast::Sender<Change>,
    listening: Listening,
}

impl Default for News {
    fn default() -> Self {
        Self { changes: broadcast::Sender::new(BEHIND_MAX), listening: Listening::default() }
    }
}

/// The place of a listener; dropped when it goes.
struct Place {
    listening: Listening,
    account: AccountUuid,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut listening = locked(&self.listening);
        if let Some(count) = listening.get_mut(&self.account) {
            *count -= 1;
        }
        listening.retain(|_, count| *count > 0);
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

    fn place(&self, account: AccountUuid) -> Result<Place, TooManyListeners> {
        let mut listening = locked(&self.listening);
        let own = listening.get(&account).copied().unwrap_or_default();
        for (count, max) in
            [(own, LISTENERS_OF_ACCOUNT_MAX), (listening.values().sum(), LISTENERS_MAX)]
        {
            if count >= max {
                return Err(TooManyListeners { max });
            }
        }
        listening.insert(account, own + 1);
        Ok(Place { listening: Arc::clone(&self.listening), account })
    }

    fn listener(
        &self,
        account: AccountUuid,
        scope: Scope,
        stopping: CancellationToken,
    ) -> Result<Listener, TooManyListeners> {
        let place = self.place(account)?;
        Ok(Listener { changes: self.changes.subscribe(), scope, stopping, _place: place })
    }
}

/// Somebody who hears what their account may see.
pub struct Listener {
    changes: broadcast::Receiver<Change>,
    scope: Scope,
    stopping: CancellationToken,
    _place: Place,
}

impl Jobs {
    /// Begins to listen. The place is free again when the listener is dropped.
    pub fn listen(&self, caller: Caller) -> Result<Listener, TooManyListeners> {
        self.news.listener(caller.account, caller.scope(), self.parts.stopping.clone())
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
                Ok(change) if !self.may_see(change) => continue,
                Ok(change) => gathered.add(change),
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    // From the newest on: what lies between is asked for.
                    self.changes = self.changes.resubscribe();
                    gathered.is_behind = true;
                }
                Err(broadcast::error::RecvError::Closed) => return Heard::Stopping,
            }
            // The clock of the first of them runs on: a storm neither puts off the telling for ever nor makes it more frequent.
            told_at = told_at.min(Instant::now() + GATHER);
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
    is_behind: bool,
}

impl Gathered {
    fn add(&mut self, change: Change) {
        match change.job {
            Some(_) if self.is_behind => {}
            Some((job, state)) => {
                self.jobs.insert(job, state);
                self.is_behind = self.jobs.len() > JOBS_MAX;
            }
            None => self.images = true,
        }
    }

    fn heard(self) -> Heard {
        if self.is_behind {
            return Heard::Behind;
        }
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
        news.listener(AccountUuid::random(), scope, CancellationToken::new()).unwrap()
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
    async fn a_storm_is_told_of_no_more_often_than_a_quiet_hour() {
        let news = News::default();
        let account = AccountUuid::random();
        let mut admin = listener(&news, Scope::All);
        let began = Instant::now();
        for told in 1..=4 {
            for _ in 0..=2 * JOBS_MAX {
                news.tell(Change { account, job: Some((JobUuid::random(), JobState::Running)) });
            }
            assert_eq!(admin.next(soon()).await, Heard::Behind);
            assert!(began.elapsed() >= told * GATHER, "{told} in {:?}", began.elapsed());
        }
    }

    #[tokio::test]
    async fn a_stopping_service_lets_its_listeners_go_and_places_come_back() {
        let news = News::default();
        let mut all: Vec<_> = (0..LISTENERS_MAX).map(|_| listener(&news, Scope::All)).collect();
        let full = TooManyListeners { max: LISTENERS_MAX };
        let stopping = CancellationToken::new();
        let one_more = || news.listener(AccountUuid::random(), Scope::All, stopping.clone());
        assert_eq!(one_more().err(), Some(full));
        let mut last = all.pop().unwrap();
        last.stopping.cancel();
        assert_eq!(last.next(soon()).await, Heard::Stopping);
        drop(last);
        assert!(one_more().is_ok());
        drop(all);
        assert!(locked(&news.listening).is_empty(), "whoever has gone takes no memory");
    }

    #[test]
    fn an_account_has_its_own_bound_and_others_have_theirs() {
        let news = News::default();
        let (greedy, other) = (AccountUuid::random(), AccountUuid::random());
        let of = |account| news.listener(account, Scope::All, CancellationToken::new());
        let mut all: Vec<_> = (0..LISTENERS_OF_ACCOUNT_MAX).map(|_| of(greedy).unwrap()).collect();
        let full = TooManyListeners { max: LISTENERS_OF_ACCOUNT_MAX };
        assert_eq!(of(greedy).err(), Some(full));
        assert!(of(other).is_ok());
        drop(all.pop());
        assert!(of(greedy).is_ok());
    }
}
