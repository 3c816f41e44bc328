//! A TCP relay between client and server that limits the rate and counts the bytes, for both sides like a slow network.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const PIECE_BYTES: usize = 16 << 10;
/// How long a test waits for bytes to pass.
const WAIT_MAX: Duration = Duration::from_mins(1);

/// One direction of all connections together.
#[derive(Default)]
pub(crate) struct Direction {
    passed: AtomicU64,
    /// Bytes per second; 0 is no limit.
    rate: AtomicU64,
    free_at: Mutex<Option<Instant>>,
}

impl Direction {
    /// Bytes that came in, headers included.
    pub(crate) fn passed(&self) -> u64 {
        self.passed.load(Ordering::SeqCst)
    }

    /// Bytes per second from now on; 0 is no limit.
    pub(crate) fn limit(&self, rate: u64) {
        self.rate.store(rate, Ordering::SeqCst);
    }

    /// Returns once so many bytes have passed.
    pub(crate) fn wait_for(&self, bytes: u64) {
        let begun = Instant::now();
        while self.passed() < bytes {
            assert!(begun.elapsed() < WAIT_MAX, "only {} of {bytes} bytes passed", self.passed());
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn pass(&self, bytes: u64) {
        self.passed.fetch_add(bytes, Ordering::SeqCst);
        let rate = self.rate.load(Ordering::SeqCst);
        if rate == 0 {
            return;
        }
        let now = Instant::now();
        let until = {
            let mut free_at = self.free_at.lock().unwrap();
            let from = free_at.unwrap_or(now).max(now);
            *free_at.insert(from + Duration::from_micros(bytes * 1_000_000 / rate))
        };
        thread::sleep(until - now);
    }
}

/// Connections that are open now, and the most that ever were at once.
#[derive(Default)]
struct Open {
    now: AtomicU64,
    most: AtomicU64,
}

/// A relay; takes no more connections when dropped.
pub(crate) struct Relay {
    pub(crate) port: u16,
    pub(crate) up: Arc<Direction>,
    pub(crate) down: Arc<Direction>,
    open: Arc<Open>,
    stopped: Arc<AtomicBool>,
}

impl Relay {
    /// To a port of this machine.
    pub(crate) fn start(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (up, down) = (Arc::<Direction>::default(), Arc::<Direction>::default());
        let (stopped, open) = (Arc::new(AtomicBool::new(false)), Arc::<Open>::default());
        let counted = Arc::clone(&open);
        let (theirs, up_too, down_too) = (stopped.clone(), up.clone(), down.clone());
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if theirs.load(Ordering::SeqCst) {
                    return;
                }
                // While the server is down the client sees its connection close at once.
                let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else { continue };
                let now = counted.now.fetch_add(1, Ordering::SeqCst) + 1;
                counted.most.fetch_max(now, Ordering::SeqCst);
                let over = Arc::clone(&counted);
                pump(&client, &server, up_too.clone(), move || {
                    over.now.fetch_sub(1, Ordering::SeqCst);
                });
                pump(&server, &client, down_too.clone(), || {});
            }
        });
        Self { port, up, down, open, stopped }
    }

    /// The most connections that were open at once since the last call.
    pub(crate) fn most_open(&self) -> u64 {
        let now = self.open.now.load(Ordering::SeqCst);
        self.open.most.swap(now, Ordering::SeqCst)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn pump(
    from: &TcpStream,
    to: &TcpStream,
    direction: Arc<Direction>,
    over: impl FnOnce() + Send + 'static,
) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    thread::spawn(move || {
        let mut piece = vec![0; PIECE_BYTES];
        while let Ok(length @ 1..) = from.read(&mut piece) {
            direction.pass(length as u64);
            if to.write_all(&piece[..length]).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
        over();
    });
}
