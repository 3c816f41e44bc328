//! One sync of a folder for everybody whose name it holds.

use std::sync::{Arc, Condvar, Mutex};

use super::threads::locked;
use crate::error::Result;

/// Syncs of one folder, taken in turns: a sync that *began* after a name was made holds that name, so whoever comes while one is
/// running waits for the next one, and shares that with all who came meanwhile. Blocks: for threads of the store only.
///
/// An error is told to everybody who waited for that sync, and to nobody later: each of them gives its name up.
#[derive(Default)]
pub(super) struct SyncTurns {
    queue: Mutex<Queue>,
    ended: Condvar,
}

#[derive(Default)]
struct Queue {
    is_running: bool,
    /// The turn that has not begun.
    next: Arc<Turn>,
}

#[derive(Default)]
struct Turn {
    outcome: Mutex<Option<Result<()>>>,
}

impl SyncTurns {
    /// Returns when a call of `sync` that began after this has ended: one's own, or that of somebody else.
    pub(super) fn wait(&self, sync: impl FnOnce() -> Result<()>) -> Result<()> {
        let mut queue = locked(&self.queue);
        let turn = Arc::clone(&queue.next);
        loop {
            if let Some(outcome) = locked(&turn.outcome).clone() {
                return outcome;
            }
            if !queue.is_running {
                break;
            }
            queue = self
                .ended
                .wait(queue)
                .expect("no thread panics while it holds a lock of the store");
        }
        queue.is_running = true;
        // Whoever comes from here on may come too late for this one.
        queue.next = Arc::default();
        drop(queue);
        let outcome = sync();
        let mut queue = locked(&self.queue);
        queue.is_running = false;
        *locked(&turn.outcome) = Some(outcome.clone());
        drop(queue);
        self.ended.notify_all();
        outcome
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Barrier,
            atomic::{AtomicU64, Ordering},
        },
        time::Duration,
    };

    use super::*;
    use crate::error::StoreError;

    /// Every waiter's sync began after it had come, and few syncs serve many.
    #[test]
    fn a_sync_that_began_later_serves_everybody_who_waits() {
        const WAITERS: u64 = 16;
        let (turns, clock, calls) = (SyncTurns::default(), AtomicU64::new(1), AtomicU64::new(0));
        let begun = AtomicU64::new(0);
        let barrier = Barrier::new(usize::try_from(WAITERS).unwrap());
        std::thread::scope(|scope| {
            for _ in 0..WAITERS {
                scope.spawn(|| {
                    barrier.wait();
                    for _ in 0..20 {
                        let came = clock.fetch_add(1, Ordering::SeqCst);
                        let sync = || {
                            begun.store(clock.fetch_add(1, Ordering::SeqCst), Ordering::SeqCst);
                            std::thread::sleep(Duration::from_millis(1));
                            calls.fetch_add(1, Ordering::SeqCst);
                            Ok(())
                        };
                        turns.wait(sync).unwrap();
                        assert!(begun.load(Ordering::SeqCst) > came, "served by an earlier sync");
                    }
                });
            }
        });
        let calls = calls.load(Ordering::SeqCst);
        assert!((20..WAITERS * 20 / 2).contains(&calls), "{calls} calls");
    }

    /// A failure reaches all who waited for that call, and none who come after.
    #[test]
    fn a_failed_sync_is_told_to_all_who_waited_for_it() {
        let turns = SyncTurns::default();
        let (entered, go_on) = (Barrier::new(2), Barrier::new(2));
        let failing = || Err(StoreError::NoSpace);
        std::thread::scope(|scope| {
            let first = scope.spawn(|| {
                turns.wait(|| {
                    entered.wait();
                    go_on.wait();
                    Ok(())
                })
            });
            entered.wait();
            let others: Vec<_> = (0..4).map(|_| scope.spawn(|| turns.wait(failing))).collect();
            std::thread::sleep(Duration::from_millis(50));
            go_on.wait();
            assert!(first.join().unwrap().is_ok(), "the sync before them did not fail");
            for other in others {
                assert!(matches!(other.join().unwrap(), Err(StoreError::NoSpace)));
            }
        });
        turns.wait(|| Ok(())).unwrap();
    }
}
