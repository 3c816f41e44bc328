//! A TCP relay between client and server that limits the rate and counts the bytes, for both sides like a slow network.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const PIECE_BYTES: usize = 16 << 10;
/// How long a test waits for bytes to pass.
const WAIT_MAX: Duration = Duration::from_mins(1);
/// A request that sends more than this is a slice; what a client asks for besides is shorter.
const SLICE_BYTES_MIN: u64 = 64 << 10;
/// How long slices are held for others that may never come.
const HOLD_MAX: Duration = Duration::from_secs(15);

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

/// Slices that are on their way now, and the most that ever were at once. Not connections: the client's pool opens one more when
/// an idle one is not back in time.
#[derive(Default)]
struct Slices {
    told: Mutex<Told>,
    changed: Condvar,
}

#[derive(Default)]
struct Told {
    now: u64,
    most: u64,
    /// Those that are on their way are held until there are so many.
    wanted: u64,
}

impl Slices {
    fn begun(&self) {
        let mut told = self.told.lock().unwrap();
        told.now += 1;
        told.most = told.most.max(told.now);
        self.changed.notify_all();
    }

    fn hold(&self) {
        let told = self.told.lock().unwrap();
        drop(self.changed.wait_timeout_while(told, HOLD_MAX, |told| told.most < told.wanted));
    }

    fn over(&self) {
        self.told.lock().unwrap().now -= 1;
    }
}

/// What one connection has sent since it was answered; an interim answer would end it too early.
struct Request {
    bytes: Mutex<u64>,
    slices: Arc<Slices>,
}

impl Request {
    fn sends(&self, bytes: u64) {
        let mut sent = self.bytes.lock().unwrap();
        let is_slice = (*sent..*sent + bytes).contains(&SLICE_BYTES_MIN);
        *sent += bytes;
        // Under the lock: an answer that comes now finds the slice counted.
        if is_slice {
            self.slices.begun();
        }
        drop(sent);
        if is_slice {
            self.slices.hold();
        }
    }

    fn is_over(&self) {
        let mut sent = self.bytes.lock().unwrap();
        if std::mem::take(&mut *sent) > SLICE_BYTES_MIN {
            self.slices.over();
        }
    }
}

/// A relay; takes no more connections when dropped.
pub(crate) struct Relay {
    pub(crate) port: u16,
    pub(crate) up: Arc<Direction>,
    pub(crate) down: Arc<Direction>,
    slices: Arc<Slices>,
    stopped: Arc<AtomicBool>,
}

impl Relay {
    /// To a port of this machine.
    pub(crate) fn start(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (up, down) = (Arc::<Direction>::default(), Arc::<Direction>::default());
        let (stopped, slices) = (Arc::new(AtomicBool::new(false)), Arc::<Slices>::default());
        let counted = Arc::clone(&slices);
        let (theirs, up_too, down_too) = (stopped.clone(), up.clone(), down.clone());
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if theirs.load(Ordering::SeqCst) {
                    return;
                }
                // While the server is down the client sees its connection close at once.
                let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else { continue };
                let slices = Arc::clone(&counted);
                let sent = Arc::new(Request { bytes: Mutex::default(), slices });
                let (ended, answered) = (Arc::clone(&sent), Arc::clone(&sent));
                let sends = move |bytes| sent.sends(bytes);
                pump(&client, &server, up_too.clone(), sends, move || ended.is_over());
                pump(&server, &client, down_too.clone(), move |_| answered.is_over(), || {});
            }
        });
        Self { port, up, down, slices, stopped }
    }

    /// Holds slices that are on their way until there are so many at once, or for some seconds.
    pub(crate) fn hold_until(&self, slices: u64) {
        let mut told = self.slices.told.lock().unwrap();
        (told.wanted, told.most) = (slices, told.now);
    }

    /// The most slices that were on their way at once since then.
    pub(crate) fn most_at_once(&self) -> u64 {
        self.slices.told.lock().unwrap().most
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
    passes: impl Fn(u64) + Send + 'static,
    over: impl FnOnce() + Send + 'static,
) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    thread::spawn(move || {
        let mut piece = vec![0; PIECE_BYTES];
        while let Ok(length @ 1..) = from.read(&mut piece) {
            passes(length as u64);
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
