//! The place of the one request that appends: sequential dialects (tus, IETF) have one for each upload, in memory.
//!
//! *Guarantees.* At most one request holds the place. Whoever gets it finds everything that the holder before had received
//! written down: the offset that the store tells then is the one to continue at. Two clients that both send never evict each
//! other in turn, unless their dialect says that the newest wins. Nobody waits longer than [`WAIT_MAX`].
//!
//! | the holder | a newcomer that respects it | the newest | a question (HEAD) |
//! |---|---|---|---|
//! | is nobody | has the place | has the place | goes on |
//! | has been silent for [`SILENT`] | ends it, then has the place | the same | ends it, then goes on |
//! | waits for its client for less than that | waits | ends it | waits |
//! | has heard a byte since the newcomer came | is refused | ends it | waits, [`SETTLE_MAX`] at most, then goes on |
//! | is at work on bytes that it has (a slow disk) | waits | ends it | waits, [`SETTLE_MAX`] at most |
//! | is ending | waits for its last write | the same | the same |

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

/// A holder that has waited for its client for this long gives way.
const SILENT: Duration = Duration::from_millis(500);
/// Longest wait for the place.
const WAIT_MAX: Duration = Duration::from_secs(2);
/// Longest wait of a question. Bytes that flow may be the last ones of a connection that is over already: until they are stored, an
/// answer would name an offset at which the next request is refused.
const SETTLE_MAX: Duration = Duration::from_millis(700);
/// Requests that wait for one place at once.
const WAITING_MAX: usize = 16;

/// What becomes of a request that is appending already when another one comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takeover {
    /// It is ended if its client is silent, and stays while bytes flow.
    Silent,
    /// It is ended: the newest wins.
    Newest,
}

/// The place of one upload.
#[derive(Debug, Default)]
pub(super) struct Place {
    holder: Mutex<Option<Arc<Holder>>>,
    /// Beats when the holder hears something, and when it leaves.
    changed: Notify,
    waiting: AtomicUsize,
}

#[derive(Debug)]
struct Holder {
    hearing: Mutex<Hearing>,
    over: CancellationToken,
}

#[derive(Debug, Clone, Copy)]
struct Hearing {
    /// Pieces of the body that came.
    pieces: u64,
    /// Since when it has waited for its client; `None` while it is at work on what came.
    since: Option<Instant>,
}

/// The right to append; given back when dropped.
#[derive(Debug)]
#[must_use = "the place is held only as long as this lives"]
pub(super) struct Holding {
    place: Arc<Place>,
    holder: Arc<Holder>,
}

/// What a newcomer finds.
enum Found {
    Nobody,
    /// Bytes flow.
    Flowing,
    /// Look again then, or when something has changed.
    Wait(Instant),
}

/// What bytes that flow mean to a newcomer.
#[derive(Debug, Clone, Copy)]
enum Flow {
    /// The holder stays: the newcomer goes.
    Stays,
    /// They may end soon.
    IsWaitedFor,
}

/// The holder that a newcomer saw first, and how much that had heard.
type Seen = Option<(Arc<Holder>, u64)>;

impl Place {
    /// Takes the place; `None` if its holder keeps it.
    pub(super) async fn take(self: &Arc<Self>, takeover: Takeover) -> Option<Holding> {
        let place = Arc::clone(self);
        self.wait(takeover, WAIT_MAX, Flow::Stays, move |holder| {
            let hearing = Hearing { pieces: 0, since: Some(Instant::now()) };
            let new = Holder { hearing: Mutex::new(hearing), over: CancellationToken::new() };
            let new = Arc::new(new);
            *holder = Some(Arc::clone(&new));
            Holding { place, holder: new }
        })
        .await
    }

    /// Ends a holder that is silent, and waits until it has left. One on which bytes flow is left alone, after a short wait for
    /// their end.
    pub(super) async fn settle(&self) {
        self.wait(Takeover::Silent, SETTLE_MAX, Flow::IsWaitedFor, |_| ()).await;
    }

    async fn wait<T>(
        &self,
        takeover: Takeover,
        wait_max: Duration,
        flow: Flow,
        found_free: impl FnOnce(&mut Option<Arc<Holder>>) -> T,
    ) -> Option<T> {
        let _waiting = Waiting::begin(self)?;
        let until = Instant::now() + wait_max;
        let mut seen = Seen::None;
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Before the look, so that no change is missed.
            changed.as_mut().enable();
            let now = Instant::now();
            let next = {
                let mut holder = locked(&self.holder);
                match look(holder.as_ref(), takeover, &mut seen, now) {
                    Found::Nobody => return Some(found_free(&mut holder)),
                    Found::Flowing => match flow {
                        Flow::Stays => return None,
                        Flow::IsWaitedFor => until,
                    },
                    Found::Wait(next) => next,
                }
            };
            if now >= until {
                return None;
            }
            // Either ends the pause; the next look decides.
            let _ = timeout_at(next.min(until), changed).await;
        }
    }
}

fn look(holder: Option<&Arc<Holder>>, takeover: Takeover, seen: &mut Seen, now: Instant) -> Found {
    let Some(holder) = holder else { return Found::Nobody };
    let leaves = now + WAIT_MAX;
    if holder.over.is_cancelled() {
        return Found::Wait(leaves);
    }
    let Hearing { pieces, since } = *locked(&holder.hearing);
    match (takeover, since) {
        (Takeover::Newest, _) => holder.over.cancel(),
        (Takeover::Silent, Some(since)) if since + SILENT <= now => holder.over.cancel(),
        (Takeover::Silent, since) => {
            match seen {
                Some((first, heard)) if Arc::ptr_eq(first, holder) => {
                    if pieces > *heard {
                        return Found::Flowing;
                    }
                }
                Some(_) | None => *seen = Some((Arc::clone(holder), pieces)),
            }
            // One that works on a piece may be done with it, and alone, long before we give up: looked at again.
            return Found::Wait(since.unwrap_or(now) + SILENT);
        }
    }
    Found::Wait(leaves)
}

impl Holding {
    /// A piece of the body has come and is being worked on.
    pub(super) fn heard(&self) {
        {
            let mut hearing = locked(&self.holder.hearing);
            hearing.pieces += 1;
            hearing.since = None;
        }
        if self.place.waiting.load(Ordering::Acquire) > 0 {
            self.place.changed.notify_waiters();
        }
    }

    /// Its client is waited for, from now on if it was not already.
    pub(super) fn listens(&self) {
        locked(&self.holder.hearing).since.get_or_insert_with(Instant::now);
    }

    /// Resolves when another request takes over. Cancel-safe.
    pub(super) async fn ended(&self) {
        self.holder.over.cancelled().await;
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        *locked(&self.place.holder) = None;
        self.place.changed.notify_waiters();
    }
}

/// One among those who wait.
struct Waiting<'p>(&'p Place);

impl<'p> Waiting<'p> {
    fn begin(place: &'p Place) -> Option<Self> {
        let waiting = Self(place);
        (place.waiting.fetch_add(1, Ordering::AcqRel) < WAITING_MAX).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    const fn ms(value: u64) -> Duration {
        Duration::from_millis(value)
    }

    /// What has become of a holder.
    #[derive(Debug)]
    struct Held {
        /// How long it held the place before it was ended.
        ended_after: Duration,
        /// The last moment at which it still held it.
        left: Instant,
    }

    /// Holds the place, hearing a byte every `every` for as long as it is not ended; leaves `leaves_after` its end.
    fn holder(
        holding: Holding,
        every: Duration,
        leaves_after: Duration,
    ) -> tokio::task::JoinHandle<Held> {
        tokio::spawn(async move {
            let begun = Instant::now();
            loop {
                holding.listens();
                tokio::select! {
                    () = holding.ended() => break,
                    () = sleep(every) => holding.heard(),
                }
            }
            let ended_after = begun.elapsed();
            sleep(leaves_after).await;
            Held { ended_after, left: Instant::now() }
        })
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_silent_holder_gives_way_and_its_last_write_is_waited_for() {
        let place = Arc::<Place>::default();
        let first = place.take(Takeover::Silent).await.expect("nobody is there");
        let first = holder(first, Duration::from_hours(1), ms(40));
        sleep(ms(100)).await;
        let begun = Instant::now();
        let second = place.take(Takeover::Silent).await;
        assert!(second.is_some());
        // Some 400 ms until it was silent, 40 ms until it had left.
        let taken = Instant::now();
        assert!(taken - begun < ms(1000), "{:?}", taken - begun);
        let held = first.await.unwrap();
        assert!(held.ended_after >= ms(500), "{held:?}");
        assert!(taken >= held.left, "it was not waited for");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn while_bytes_flow_the_holder_stays_however_often_it_is_asked() {
        let place = Arc::<Place>::default();
        let first = place.take(Takeover::Silent).await.unwrap();
        let first = holder(first, ms(50), ms(0));
        for _ in 0..20 {
            let begun = Instant::now();
            assert!(place.take(Takeover::Silent).await.is_none());
            assert!(begun.elapsed() < ms(500), "{:?}", begun.elapsed());
            place.settle().await;
        }
        assert!(!first.is_finished());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_newest_wins_where_its_dialect_says_so() {
        let place = Arc::<Place>::default();
        let first = place.take(Takeover::Silent).await.unwrap();
        let first = holder(first, ms(1), ms(7));
        let second = place.take(Takeover::Newest).await;
        assert!(second.is_some());
        assert!(first.await.unwrap().ended_after < ms(400));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_holder_at_work_is_not_silent_and_is_not_waited_for_without_end() {
        let place = Arc::<Place>::default();
        let first = place.take(Takeover::Silent).await.unwrap();
        first.listens();
        first.heard();
        let begun = Instant::now();
        assert!(place.take(Takeover::Silent).await.is_none());
        assert!((WAIT_MAX..2 * WAIT_MAX).contains(&begun.elapsed()));
        // Negative control: the same holder, waiting for its client, gives way.
        first.listens();
        let leaving = holder(first, Duration::from_hours(1), ms(0));
        assert!(place.take(Takeover::Silent).await.is_some());
        leaving.await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_question_ends_a_silent_holder_and_takes_nothing() {
        let place = Arc::<Place>::default();
        place.settle().await;
        let first = place.take(Takeover::Silent).await.unwrap();
        let first = holder(first, Duration::from_hours(1), ms(10));
        place.settle().await;
        assert!((ms(500)..ms(1000)).contains(&first.await.unwrap().ended_after));
        assert!(locked(&place.holder).is_none());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn of_many_that_wait_one_has_the_place_and_too_many_are_refused() {
        let place = Arc::<Place>::default();
        let first = place.take(Takeover::Silent).await.unwrap();
        let _first = holder(first, Duration::from_hours(1), ms(0));
        let mut racing = tokio::task::JoinSet::new();
        for _ in 0..WAITING_MAX + 4 {
            let place = Arc::clone(&place);
            racing.spawn(async move {
                let holding = place.take(Takeover::Silent).await?;
                // It sends: the others find that bytes flow.
                holding.heard();
                sleep(ms(5000)).await;
                Some(())
            });
        }
        let won: usize = racing.join_all().await.into_iter().flatten().count();
        assert_eq!(won, 1);
    }
}
