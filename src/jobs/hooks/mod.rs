//! Web hooks: the result of an asynchronous call is sent to a URL that the caller named, so that nobody has to poll.
//!
//! # Guarantees
//! * Only URLs that the operator allows are called ([`HookRules`]); what a name resolves to is checked at every connection, and no
//!   redirect is followed.
//! * At most `WAITING_MAX` hooks wait, `AT_ONCE_MAX` are at work; a call whose hook finds no place is refused before it begins.
//! * Of one account at most `WAITING_OF_ACCOUNT_MAX` wait and `AT_ONCE_OF_ACCOUNT_MAX` are at work: a receiver that does not answer
//!   takes from the account that named it.
//! * A hook is tried until it is answered with 2xx, at most `TRIES_MAX` times, [`RETRY_AFTER`] apart.
//! # Not guaranteed
//! * That a hook arrives: a service that stops makes no further try, and no hook survives a restart. The result can be polled for
//!   three hours in any case.
//! * That it arrives once: an answer may be lost after the receiver has acted on it.

mod rules;
mod sender;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use async_trait::async_trait;
use reqwest::Url;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use rules::HookRules;
pub use sender::HttpHooks;

use crate::domain::ids::{AccountUuid, ApiId};

/// A URL that the rules have let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookUrl(Url);

/// Hooks that wait or are at work.
const WAITING_MAX: usize = 1000;
/// Of one account.
const WAITING_OF_ACCOUNT_MAX: usize = 250;
/// Hooks at work at once.
const AT_ONCE_MAX: usize = 8;
/// Of one account.
const AT_ONCE_OF_ACCOUNT_MAX: usize = 2;
/// ZStack's 15 retries, after the first try.
const TRIES_MAX: u32 = 16;
/// Between two tries: ZStack's.
pub const RETRY_AFTER: Duration = Duration::from_secs(2);

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookCall {
    /// The call that has ended: `X-Job-UUID`.
    pub id: ApiId,
    /// How: `X-Job-Success`.
    pub success: bool,
    /// What the poll would answer.
    pub body: String,
}

/// Why a try came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum HookFailure {
    /// The receiver answered something else than 2xx.
    #[error("it answered {0}")]
    Status(u16),
    /// Nobody answered, or nobody may be asked there.
    #[error("{0}")]
    Unreachable(String),
}

/// Sends hooks over whatever network there is.
#[async_trait]
pub trait HookSender: Send + Sync + 'static {
    /// One try. Ends within a bound of its own.
    async fn send(&self, url: &Url, call: &HookCall) -> Result<(), HookFailure>;
}

/// Why no hook is taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HookRefused {
    /// The operator does not allow it.
    #[error(
        "X-Web-Hook is not supported for [{0}]; leave it out and poll the location of the answer, or ask the operator to list the receiver in http.web_hooks_allowed"
    )]
    NotAllowed(String),
    /// Too many wait.
    #[error("too many web hooks wait; nothing was done: try again")]
    Busy,
}

/// The hooks of this process.
pub struct WebHooks {
    rules: HookRules,
    sender: Arc<dyn HookSender>,
    waiting: Arc<Semaphore>,
    at_once: Arc<Semaphore>,
    /// Of accounts that have hooks; others take no memory for long.
    shares: Mutex<HashMap<AccountUuid, Weak<Share>>>,
    retry_after: Duration,
    tasks: TaskTracker,
    runtime: Handle,
    stopping: CancellationToken,
}

/// What one account may have of all hooks.
struct Share {
    waiting: Arc<Semaphore>,
    at_once: Semaphore,
}

impl Default for Share {
    fn default() -> Self {
        let waiting = Arc::new(Semaphore::new(WAITING_OF_ACCOUNT_MAX));
        Self { waiting, at_once: Semaphore::new(AT_ONCE_OF_ACCOUNT_MAX) }
    }
}

/// A place in the queue for the hook of a call that has not ended. Dropping it gives it back.
pub struct HookPlace {
    url: Url,
    share: Arc<Share>,
    places: [OwnedSemaphorePermit; 2],
}

impl WebHooks {
    /// Hooks as these rules allow them. They run on the runtime that this is called on, as `tasks` that an orderly stop waits for;
    /// once `stopping` is canceled nothing is tried again.
    pub fn new(
        rules: HookRules,
        sender: Arc<dyn HookSender>,
        retry_after: Duration,
        tasks: TaskTracker,
        stopping: CancellationToken,
    ) -> Self {
        Self {
            rules,
            sender,
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
            at_once: Arc::new(Semaphore::new(AT_ONCE_MAX)),
            shares: Mutex::default(),
            retry_after,
            tasks,
            runtime: Handle::current(),
            stopping,
        }
    }

    /// The URL, if it may be called.
    pub fn check(&self, url: &str) -> Result<HookUrl, HookRefused> {
        self.rules.url(url).map(HookUrl).ok_or_else(|| {
            let shown = url.chars().filter(|c| !c.is_control()).take(64).collect();
            HookRefused::NotAllowed(shown)
        })
    }

    /// Takes a place for a URL that [`check`](Self::check) has let through, for an account.
    pub fn reserve(&self, url: HookUrl, account: AccountUuid) -> Result<HookPlace, HookRefused> {
        let share = self.share(account);
        let place =
            |of: &Arc<Semaphore>| Arc::clone(of).try_acquire_owned().map_err(|_| HookRefused::Busy);
        let places = [place(&share.waiting)?, place(&self.waiting)?];
        Ok(HookPlace { url: url.0, share, places })
    }

    fn share(&self, account: AccountUuid) -> Arc<Share> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(&account).and_then(Weak::upgrade) {
            return share;
        }
        shares.retain(|_, share| share.strong_count() > 0);
        let share = Arc::<Share>::default();
        shares.insert(account, Arc::downgrade(&share));
        share
    }

    /// Sends the result of a call, in the background.
    pub fn deliver(&self, place: HookPlace, call: HookCall) {
        let HookPlace { url, share, places } = place;
        let (sender, at_once) = (Arc::clone(&self.sender), Arc::clone(&self.at_once));
        let (stopping, retry_after) = (self.stopping.clone(), self.retry_after);
        self.tasks.spawn_on(
            async move {
                let _places = places;
                let id = call.id;
                let turns = [&share.at_once, &*at_once];
                match delivered(&*sender, turns, &url, &call, retry_after, &stopping).await {
                    Ok(tries) => tracing::debug!(api_id = %id, tries, "web hook delivered"),
                    // The path of a URL may be a secret of the receiver.
                    Err(error) => tracing::warn!(
                        api_id = %id,
                        receiver = url.origin().ascii_serialization(),
                        %error,
                        "a web hook was given up; its result can be polled"
                    ),
                }
            },
            &self.runtime,
        );
    }
}

/// After how many tries it arrived; the last failure if it did not.
async fn delivered(
    sender: &dyn HookSender,
    turns: [&Semaphore; 2],
    url: &Url,
    call: &HookCall,
    retry_after: Duration,
    stopping: &CancellationToken,
) -> Result<u32, HookFailure> {
    let mut tries = 0;
    loop {
        tries += 1;
        // Held for the try alone: receivers that do not answer must not keep the others waiting between their tries. One's own turn
        // first: what waits for it is in nobody's way.
        let own_turn = turns[0].acquire().await;
        let turn = turns[1].acquire().await;
        let sent = sender.send(url, call).await;
        drop((turn, own_turn));
        match sent {
            Ok(()) => return Ok(tries),
            Err(error) if tries >= TRIES_MAX => return Err(error),
            Err(error) => {
                let wait = tokio::time::sleep(retry_after);
                if stopping.run_until_cancelled(wait).await.is_none() {
                    return Err(error);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
