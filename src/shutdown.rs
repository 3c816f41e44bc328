//! The ordered end of the process.
//!
//! A signal cancels `soft`: nothing new is admitted, and every running request ends at its next block, with its bytes kept. What
//! is still running after the drain time is told by `hard` to end at once; acknowledged bytes are safe either way, so `hard` costs
//! repeated work, never data. Pools close after [`Shutdown::drain`] has returned, because whoever drains may still need them.

use std::{future::Future, io, time::Duration};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long tasks have to notice `hard`. They only have to return; a task that does not is dropped with the runtime.
const HARD_WAIT: Duration = Duration::from_secs(2);

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Drained {
    /// Every task ended by itself.
    InTime,
    /// `hard` was needed.
    Hard {
        /// Tasks that were still running when the drain time was over.
        running: usize,
        /// Those of them that did not end after `hard` either.
        stuck: usize,
    },
}

/// The two tokens and the tasks that are waited for. Clones are the same shutdown.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    soft: CancellationToken,
    hard: CancellationToken,
    tasks: TaskTracker,
}

impl Shutdown {
    /// Nothing is running and nobody has asked to stop.
    pub fn new() -> Self {
        Self::default()
    }

    /// Canceled when the service shall end: admit nothing new, bring what runs to a durable point, return.
    pub const fn soft(&self) -> &CancellationToken {
        &self.soft
    }

    /// Canceled when the drain time is over: return now. Never canceled before `soft`.
    pub const fn hard(&self) -> &CancellationToken {
        &self.hard
    }

    /// Runs a task that the drain waits for. Spawned after `soft` it is still waited for: ending an upload may take tasks.
    pub fn spawn<F>(&self, task: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tasks.spawn(task)
    }

    /// The tasks that the drain waits for.
    pub const fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Asks for the end, as a signal does. Again: nothing more happens.
    pub fn begin(&self) {
        self.soft.cancel();
    }

    /// Waits for SIGTERM or SIGINT and begins the shutdown; a second signal cuts the drain short, so that a person who presses
    /// Ctrl-C twice is obeyed. Returns after the second signal; spawn it beside the service. Errors only if the system refuses
    /// the handlers.
    pub async fn listen(&self) -> io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        for again in [false, true] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            self.begin();
            if again {
                tracing::warn!("second signal: not waiting any longer");
                self.hard.cancel();
            } else {
                tracing::info!("shutting down: running requests end with their bytes kept");
            }
        }
        Ok(())
    }

    /// Waits for `soft`, then up to `drain` for the tasks, then cancels `hard` and gives them two seconds more. Returns whatever
    /// the tasks do.
    pub async fn drain(&self, drain: Duration) -> Drained {
        // Lazy: a sleep that is only made counts from its making, not from its first poll.
        let sleep = |time| async move { tokio::time::sleep(time).await };
        self.drain_while(sleep(drain), sleep(HARD_WAIT)).await
    }

    /// [`Shutdown::drain`] with its two waits as futures, first polled when their time begins: the tests are the clock.
    async fn drain_while(
        &self,
        soft_over: impl Future<Output = ()>,
        hard_over: impl Future<Output = ()>,
    ) -> Drained {
        self.soft.cancelled().await;
        self.tasks.close();
        tokio::select! {
            biased;
            () = self.tasks.wait() => {
                self.hard.cancel();
                return Drained::InTime;
            }
            () = self.hard.cancelled() => {}
            () = soft_over => {}
        }
        let running = self.tasks.len();
        self.hard.cancel();
        let stuck = tokio::select! {
            biased;
            () = self.tasks.wait() => 0,
            () = hard_over => self.tasks.len(),
        };
        Drained::Hard { running, stuck }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::{pending, ready},
        pin::pin,
        task::Poll,
    };

    use futures::poll;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_task_that_obeys_soft_ends_the_drain_before_its_time() {
        let shutdown = Shutdown::new();
        let (soft, hard) = (shutdown.soft().clone(), shutdown.hard().clone());
        let task = shutdown.spawn(async move {
            soft.cancelled().await;
            hard.is_cancelled()
        });
        shutdown.begin();
        assert_eq!(shutdown.drain_while(pending(), pending()).await, Drained::InTime);
        assert!(!task.await.unwrap(), "hard must not be canceled before the drain time is over");
        assert!(shutdown.hard().is_cancelled(), "whoever comes late must see that all is over");
    }

    #[tokio::test]
    async fn a_task_that_ignores_soft_is_ended_by_hard_when_the_drain_time_is_over() {
        let shutdown = Shutdown::new();
        let hard = shutdown.hard().clone();
        shutdown.spawn(async move { hard.cancelled().await });
        shutdown.begin();
        let (over, soft_over) = oneshot::channel::<()>();
        let mut drain = pin!(shutdown.drain_while(async { soft_over.await.unwrap() }, pending()));
        assert_eq!(poll!(&mut drain), Poll::Pending);
        assert!(!shutdown.hard().is_cancelled());
        over.send(()).unwrap();
        assert_eq!(drain.await, Drained::Hard { running: 1, stuck: 0 });
    }

    #[tokio::test]
    async fn a_stuck_task_does_not_keep_the_process() {
        let shutdown = Shutdown::new();
        shutdown.spawn(pending::<()>());
        shutdown.begin();
        let drained = shutdown.drain_while(ready(()), ready(())).await;
        assert_eq!(drained, Drained::Hard { running: 1, stuck: 1 });
    }

    #[tokio::test]
    async fn the_drain_time_begins_with_soft() {
        let shutdown = Shutdown::new();
        shutdown.spawn(pending::<()>());
        let mut drain = pin!(shutdown.drain_while(ready(()), ready(())));
        assert_eq!(poll!(&mut drain), Poll::Pending, "nobody asked for the end");
        assert!(!shutdown.hard().is_cancelled());
        shutdown.begin();
        shutdown.begin();
        assert_eq!(drain.await, Drained::Hard { running: 1, stuck: 1 });
    }

    #[tokio::test]
    async fn a_task_spawned_after_soft_is_waited_for() {
        let shutdown = Shutdown::new();
        let (release, released) = oneshot::channel::<()>();
        let outer = shutdown.clone();
        shutdown.spawn(async move {
            outer.soft().cancelled().await;
            outer.spawn(released);
        });
        shutdown.begin();
        let mut drain = pin!(shutdown.drain_while(pending(), pending()));
        for _ in 0..100 {
            tokio::task::yield_now().await;
            assert_eq!(poll!(&mut drain), Poll::Pending);
        }
        release.send(()).unwrap();
        assert_eq!(drain.await, Drained::InTime);
    }

    #[tokio::test]
    async fn the_time_of_the_drain_is_the_one_given() {
        let shutdown = Shutdown::new();
        let hard = shutdown.hard().clone();
        shutdown.spawn(async move { hard.cancelled().await });
        shutdown.begin();
        let begun = std::time::Instant::now();
        let drained = shutdown.drain(Duration::from_millis(60)).await;
        assert_eq!(drained, Drained::Hard { running: 1, stuck: 0 });
        assert!(begun.elapsed() >= Duration::from_millis(60), "{:?}", begun.elapsed());
    }
}
