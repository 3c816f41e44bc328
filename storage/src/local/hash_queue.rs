//! Who is hashed next, and by which hash worker.
//!
//! A stream (an upload) has its items in order, and at most one worker takes them, one after the other: the digests of an upload are
//! a chain. Which worker that is does not matter. A worker takes as many streams as its kernels hash side by side, from one
//! queue of all that have something; what becomes ready while it hashes joins at its next step. Nobody waits for company: load itself
//! makes it.
//!
//! One more worker is called only when those that are awake have no lane free. Two workers with half of their lanes each would be no
//! faster than one with all of them, and cost twice the CPU; docs/adr/0010 has the figures.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex},
};

use super::threads::locked;

/// Something that is hashed in one order.
pub(super) trait Stream: Send + Sync {
    type Item: Send;
    /// Belongs to the queue.
    fn pending(&self) -> &Mutex<Pending<Self::Item>>;
}

/// What waits of one stream, bounded by who submits it.
pub(super) struct Pending<I> {
    items: VecDeque<I>,
    /// The stream is ready, or at a worker.
    scheduled: bool,
}

impl<I> Default for Pending<I> {
    fn default() -> Self {
        Self { items: VecDeque::new(), scheduled: false }
    }
}

/// Lock order: `pending` of one stream, then `state`; nothing else is locked under them.
pub(super) struct HashQueue<S: Stream> {
    state: Mutex<State<S>>,
    wake: Condvar,
    workers: usize,
    lanes: usize,
}

struct State<S> {
    ready: VecDeque<Arc<S>>,
    /// Streams at workers.
    running: usize,
    /// Workers that are awake or have been called.
    busy: usize,
    /// Calls that no worker has heard yet.
    called: usize,
    closed: bool,
}

impl<S: Stream> HashQueue<S> {
    /// For so many workers, each of which calls [`take`](Self::take) until that says no, and hashes so many streams side by side.
    pub(super) fn new(workers: usize, lanes: usize) -> Self {
        let state =
            State { ready: VecDeque::new(), running: 0, busy: workers, called: 0, closed: false };
        Self { state: Mutex::new(state), wake: Condvar::new(), workers, lanes }
    }

    /// Puts an item behind the others of its stream, without waiting. `false` when the store is closed: the item is dropped.
    pub(super) fn submit(&self, stream: &Arc<S>, item: S::Item) -> bool {
        let mut pending = locked(stream.pending());
        let mut state = locked(&self.state);
        if state.closed {
            return false;
        }
        pending.items.push_back(item);
        if !pending.scheduled {
            pending.scheduled = true;
            state.ready.push_back(Arc::clone(stream));
            let wanted = state.running + state.ready.len();
            if state.busy < self.workers && wanted > state.busy * self.lanes {
                state.busy += 1;
                state.called += 1;
                self.wake.notify_one();
            }
        }
        true
    }

    /// Adds streams to the `running` ones of a worker, as far as it has lanes; waits for one when it has none. `false` once the queue
    /// is closed and nothing is left for this worker.
    pub(super) fn take(&self, running: usize, into: &mut Vec<Arc<S>>) -> bool {
        let mut state = locked(&self.state);
        loop {
            let taken = state.ready.len().min(self.lanes.saturating_sub(running));
            if running + taken > 0 {
                into.extend(state.ready.drain(..taken));
                state.running += taken;
                return true;
            }
            state.busy -= 1;
            while state.called == 0 {
                if state.closed {
                    return false;
                }
                state = self
                    .wake
                    .wait(state)
                    .expect("no thread panics while it holds a lock of the store");
            }
            state.called -= 1;
        }
    }

    /// The next item of a stream that was taken.
    pub(super) fn next(stream: &S) -> Option<S::Item> {
        locked(stream.pending()).items.pop_front()
    }

    /// A worker is through with the item: the stream goes behind all others that are ready, or to rest.
    pub(super) fn done(&self, stream: &Arc<S>) {
        let mut pending = locked(stream.pending());
        let mut state = locked(&self.state);
        state.running -= 1;
        pending.scheduled = !pending.items.is_empty();
        if pending.scheduled {
            state.ready.push_back(Arc::clone(stream));
        }
    }

    /// Nothing is taken in any more; what waits is still done.
    pub(super) fn close(&self) {
        locked(&self.state).closed = true;
        self.wake.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, AtomicUsize, Ordering},
        thread,
    };

    use super::*;

    #[derive(Default)]
    struct Numbers {
        pending: Mutex<Pending<usize>>,
        seen: AtomicUsize,
        held: AtomicBool,
    }

    impl Stream for Numbers {
        type Item = usize;
        fn pending(&self) -> &Mutex<Pending<usize>> {
            &self.pending
        }
    }

    fn streams(count: usize) -> Vec<Arc<Numbers>> {
        (0..count).map(|_| Arc::default()).collect()
    }

    /// A queue whose workers are all at rest.
    fn at_rest(workers: usize, lanes: usize) -> HashQueue<Numbers> {
        let queue = HashQueue::new(workers, lanes);
        locked(&queue.state).busy = 0;
        queue
    }

    /// Takes one item after the other until the queue is closed, with up to as many streams at once as it gets.
    fn work(queue: &HashQueue<Numbers>, widest: &AtomicUsize) {
        let (mut running, mut taken) = (VecDeque::new(), Vec::new());
        while queue.take(running.len(), &mut taken) {
            for stream in taken.drain(..) {
                assert!(!stream.held.swap(true, Ordering::SeqCst), "two workers have one stream");
                running.push_back(stream);
            }
            widest.fetch_max(running.len(), Ordering::SeqCst);
            if let Some(stream) = running.pop_front() {
                let number = HashQueue::next(&*stream).expect("a ready stream has an item");
                assert_eq!(stream.seen.swap(number, Ordering::SeqCst) + 1, number, "out of order");
                stream.held.store(false, Ordering::SeqCst);
                queue.done(&stream);
            }
        }
        assert!(running.is_empty());
    }

    #[test]
    fn every_stream_keeps_its_order_whoever_takes_it_and_closing_loses_nothing() {
        for (workers, lanes) in [(1, 1), (1, 4), (3, 1), (3, 4), (2, 16)] {
            let (queue, widest) = (HashQueue::new(workers, lanes), AtomicUsize::new(0));
            let streams = streams(20);
            thread::scope(|scope| {
                for _ in 0..workers {
                    scope.spawn(|| work(&queue, &widest));
                }
                thread::scope(|scope| {
                    for some in streams.chunks(5) {
                        let queue = &queue;
                        scope.spawn(move || {
                            for number in 1..=500 {
                                assert!(some.iter().all(|stream| queue.submit(stream, number)));
                            }
                        });
                    }
                });
                queue.close();
            });
            assert!(streams.iter().all(|stream| stream.seen.load(Ordering::SeqCst) == 500));
            assert!(widest.into_inner() <= lanes);
            assert!(!queue.submit(&streams[0], 501), "closed");
        }
    }

    #[test]
    fn another_worker_is_called_only_when_the_lanes_are_full() {
        let calls = |workers, lanes, count| {
            let queue = at_rest(workers, lanes);
            assert!(streams(count).iter().all(|stream| queue.submit(stream, 1)));
            locked(&queue.state).called
        };
        assert_eq!([1, 4, 5, 8, 9, 99].map(|count| calls(3, 4, count)), [1, 1, 2, 2, 3, 3]);
        // Where nothing is hashed side by side, every stream has a worker of its own.
        assert_eq!([1, 2, 3].map(|count| calls(2, 1, count)), [1, 2, 2]);
    }

    #[test]
    fn what_becomes_ready_joins_a_worker_that_has_lanes_free() {
        let (queue, streams, mut taken) = (at_rest(2, 2), streams(3), Vec::new());
        assert!(queue.submit(&streams[0], 1) && queue.take(0, &mut taken));
        assert!(queue.submit(&streams[1], 1) && queue.take(taken.len(), &mut taken));
        assert_eq!((taken.len(), locked(&queue.state).called), (2, 1));
        // More of a stream that is at a worker waits for that one; a third stream finds no lane.
        assert!(queue.submit(&streams[0], 2) && queue.submit(&streams[2], 1));
        let counted = |state: &State<Numbers>| (state.ready.len(), state.called);
        assert_eq!(counted(&locked(&queue.state)), (1, 2));
        let first = taken.remove(0);
        assert_eq!(HashQueue::next(&*first), Some(1));
        queue.done(&first);
        // Behind the third.
        assert!(queue.take(1, &mut taken));
        assert!(Arc::ptr_eq(&taken[1], &streams[2]));
        assert!(Arc::ptr_eq(&locked(&queue.state).ready[0], &streams[0]));
    }
}
