//! Clients that are slow on purpose: in their bodies, in their heads, and in reading what they asked for.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crate::{
    shares::stalled_bodies,
    wire::{Then, connect, exchange, request},
    world::World,
};

const MIB: usize = 1 << 20;

/// An image of so many bytes; the path of its content.
fn image(world: &World, name: &str, bytes: usize) -> String {
    let put = world.request("PUT", &format!("/uploads/{name}"), vec![5; bytes]);
    let answer = exchange(world.address(), &put, Then::Wait);
    assert_eq!(answer.status, 201, "{}", answer.body);
    let stored: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    format!("/images/{}/content", stored["imageUuid"].as_str().unwrap())
}

/// A download that is asked for and not read.
fn unread_download(world: &World, path: &str) -> TcpStream {
    let mut stream = connect(world.address());
    rustix::net::sockopt::set_socket_recv_buffer_size(&stream, 4096).unwrap();
    stream.write_all(&world.request("GET", path, "")).unwrap();
    stream
}

/// How many requests of the account are at work: as seen from outside, by whether one more is taken.
fn is_taken(world: &World, path: &str) -> bool {
    let mut stream = connect(world.address());
    let head_only = String::from_utf8(world.request("GET", path, "")).unwrap();
    stream.write_all(head_only.as_bytes()).unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();
    assert!(&status[9..] == b"200" || &status[9..] == b"503", "{status:?}");
    &status[9..] == b"200"
}

/// A reader that takes nothing is cut after the stated time, and everything that it held is given back; with a long time it
/// is held (the negative control).
#[test]
fn a_download_that_nobody_reads_is_cut() {
    for (idle_secs, is_cut) in [("1", true), ("600", false)] {
        let world = World::start_idle(&[
            ("LONGSHORE_HTTP__WRITE_IDLE_SECS", idle_secs),
            ("LONGSHORE_UPLOADS__REQUESTS_PER_ACCOUNT_MAX", "1"),
        ]);
        let path = image(&world, "large", 32 * MIB);
        let mut stalled = unread_download(&world, &path);
        std::thread::sleep(Duration::from_millis(300));
        assert!(!is_taken(&world, &path), "the one that stalls is at work");
        let begun = Instant::now();
        let mut given_back = false;
        while !given_back && begun.elapsed() < Duration::from_secs(8) {
            std::thread::sleep(Duration::from_millis(200));
            given_back = is_taken(&world, &path);
        }
        assert_eq!(given_back, is_cut, "after {:?} with {idle_secs} s", begun.elapsed());
        if is_cut {
            let mut rest = Vec::new();
            let _ = stalled.read_to_end(&mut rest);
            assert!(rest.len() < 32 * MIB, "it cannot have come whole: {}", rest.len());
        }
        drop(stalled);
        world.end();
    }
}

/// Bytes that the system holds for the client behind this stream: sent and not acknowledged, or not sent yet.
fn held_bytes(world: &World, stream: &TcpStream) -> u64 {
    let ends = [world.address(), stream.local_addr().unwrap()].map(|end| {
        let SocketAddr::V4(end) = end else { panic!("the tests listen on 127.0.0.1") };
        format!("{:08X}:{:04X}", u32::from(*end.ip()).swap_bytes(), end.port())
    });
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let line = table.lines().find(|line| line.contains(&ends.join(" ")));
    let queues = line.expect("a connection").split_whitespace().nth(4).unwrap();
    u64::from_str_radix(queues.split_once(':').unwrap().0, 16).unwrap()
}

/// A reader that takes nothing costs the system little memory; with a wide bound it costs megabytes (the negative control).
#[test]
fn little_is_held_for_a_client_that_does_not_read() {
    for (unsent_bytes_max, is_little) in [("256 KiB", true), ("1 GiB", false)] {
        let world = World::start_idle(&[("LONGSHORE_HTTP__UNSENT_BYTES_MAX", unsent_bytes_max)]);
        let path = image(&world, "large", 32 * MIB);
        let stalled = unread_download(&world, &path);
        let begun = Instant::now();
        let (mut held, mut before) = (0, u64::MAX);
        // It grows for a moment.
        while (held == 0 || held != before) && begun.elapsed() < Duration::from_secs(10) {
            before = held;
            std::thread::sleep(Duration::from_millis(500));
            held = held_bytes(&world, &stalled);
        }
        assert!(held > 0, "it stalls");
        assert_eq!(held <= 512 << 10, is_little, "{held} bytes with {unsent_bytes_max}");
        drop(stalled);
        world.end();
    }
}

/// A body under the minimum rate is closed and its bytes are kept; without a limit it is held (the negative control).
#[test]
fn slow_bodies_are_closed_and_their_bytes_kept() {
    for (window_secs, is_closed) in [("1", true), ("600", false)] {
        let world = World::start_idle(&[
            ("LONGSHORE_UPLOADS__BODY_RATE_WINDOW_SECS", window_secs),
            ("LONGSHORE_UPLOADS__BODY_IDLE_SECS", "600"),
            ("LONGSHORE_UPLOADS__IDLE_SUSPEND_SECS", "600"),
        ]);
        let streams = stalled_bodies(&world, 40);
        let drip = Drip::start(streams, Duration::from_millis(200));
        std::thread::sleep(Duration::from_secs(4));
        let (held, _) = drip.end();
        assert_eq!(held, if is_closed { 0 } else { 40 }, "with a window of {window_secs} s");
        let (_, jobs) = world.call("GET", "/zstack/v1/longjobs?q=state=Running&limit=10", "");
        assert_eq!(jobs["inventories"].as_array().unwrap().len(), 5);
        for id in (0..40).step_by(8) {
            let keyed = format!("/imagestore/upload/uploadImage::stalled%20{id}");
            let (_, state) = world.call("GET", &keyed, "");
            let stored = state["storedBytes"].as_u64().unwrap();
            assert!((8..8 * 40).contains(&stored), "every body kept what it brought: {stored}");
        }
        world.end();
    }
}

/// A head that does not end is answered and closed within seconds.
#[test]
fn slow_heads_are_closed() {
    let world = World::start_idle(&[]);
    let streams: Vec<_> = (0..20).map(|_| slow_head(world.address())).collect();
    let begun = Instant::now();
    for mut stream in streams {
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer));
    }
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    world.end();
}

fn slow_head(address: SocketAddr) -> TcpStream {
    let mut stream = connect(address);
    stream.write_all(b"GET /healthz HTTP/1.1\r\nX-Slow: ").unwrap();
    stream
}

/// Sends one byte on each connection, again and again.
struct Drip {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(usize, Vec<TcpStream>)>,
}

impl Drip {
    fn start(mut streams: Vec<TcpStream>, pause: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            for stream in &streams {
                stream.set_nonblocking(true).unwrap();
            }
            while !stopping.load(Ordering::Relaxed) {
                for stream in &mut streams {
                    // One that is closed stays closed.
                    let _ = stream.write(b"x");
                }
                std::thread::sleep(pause);
            }
            let held = streams.iter().filter(|stream| {
                let mut stream: &TcpStream = stream;
                let held = stream.read(&mut [0; 1]);
                held.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
            });
            (held.count(), streams)
        });
        Self { stop, thread }
    }

    /// How many are still held by the service, and the connections.
    fn end(self) -> (usize, Vec<TcpStream>) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Keeps so many heads unfinished: one that is closed is begun anew.
struct SlowHeads {
    stop: Arc<AtomicBool>,
    closed: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

impl SlowHeads {
    fn start(address: SocketAddr, count: usize) -> Self {
        let (stop, closed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stopping, closing) = (Arc::clone(&stop), Arc::clone(&closed));
        let mut streams: Vec<_> = (0..count).map(|_| slow_head(address)).collect();
        let thread = std::thread::spawn(move || {
            while !stopping.load(Ordering::Relaxed) {
                for stream in &mut streams {
                    stream.set_nonblocking(true).unwrap();
                    let ended = match stream.read(&mut [0; 512]) {
                        Ok(_) => true,
                        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
                    };
                    if ended || stream.write(b"x").is_err() {
                        closing.fetch_add(1, Ordering::Relaxed);
                        *stream = slow_head(address);
                    }
                }
                std::thread::sleep(Duration::from_secs(1));
            }
        });
        Self { stop, closed, thread }
    }

    /// Waits until so many have been closed, for a bounded time.
    fn all_closed_once(&self, count: usize) {
        let begun = Instant::now();
        while self.closed.load(Ordering::Relaxed) < count && begun.elapsed().as_secs() < 20 {
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.closed.load(Ordering::Relaxed)
    }
}

/// Seconds that one good upload takes, the median of three.
fn good_upload_secs(world: &World, name: &str) -> f64 {
    const CHUNK: usize = 8 * MIB;
    const CHUNKS: usize = 6;
    let chunk: Vec<u8> = (0..=250).cycle().take(CHUNK).collect();
    let mut secs: Vec<f64> = (0..3)
        .map(|run| {
            let job = world.submit(&format!("{name} {run}"), &[]).unwrap();
            let begun = Instant::now();
            for at in 0..CHUNKS {
                let (first, last) = (at * CHUNK, (at + 1) * CHUNK - 1);
                let range = format!("bytes {first}-{last}/{}", CHUNKS * CHUNK);
                let put = request("PUT", &job.path, &[("Content-Range", &range)], &chunk);
                let answer = exchange(world.address(), &put, Then::Wait);
                assert_eq!(answer.status, 200, "{}", answer.body);
                assert_eq!(answer.body.contains("Succeeded"), at + 1 == CHUNKS);
            }
            begun.elapsed().as_secs_f64()
        })
        .collect();
    secs.sort_by(f64::total_cmp);
    secs[1]
}

fn resident_bytes() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a resident size");
    let kib: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
#[ignore = "needs a few thousand file descriptors"]
fn three_thousand_slow_clients_take_little_from_a_good_one() {
    const BODIES: usize = 2000;
    const HEADS: usize = 500;
    const READERS: usize = 500;
    let world = World::start_idle(&[
        ("LONGSHORE_UPLOADS__REQUESTS_PER_ACCOUNT_MAX", "4000"),
        ("LONGSHORE_HTTP__WRITE_IDLE_SECS", "600"),
    ]);
    let path = image(&world, "read", 32 * MIB);
    good_upload_secs(&world, "to warm up");
    let before = good_upload_secs(&world, "alone before");
    let (resident_before, files_before) = (resident_bytes(), open_files());

    let bodies = Drip::start(stalled_bodies(&world, BODIES), Duration::from_secs(1));
    let heads = SlowHeads::start(world.address(), HEADS);
    let mut readers: Vec<_> = (0..READERS).map(|_| unread_download(&world, &path)).collect();
    for stream in &mut readers {
        let mut begin = [0; 1024];
        stream.read_exact(&mut begin).unwrap();
        assert!(begin.starts_with(b"HTTP/1.1 200"));
    }
    let among = good_upload_secs(&world, "among slow ones");
    let grown = resident_bytes().saturating_sub(resident_before);
    let files = open_files() - files_before;
    // The good one may be through before the time of a head is over.
    heads.all_closed_once(HEADS);
    let (held, trickling) = bodies.end();
    let heads_closed = heads.end();
    drop((readers, trickling));
    let after = good_upload_secs(&world, "alone after");
    // On a machine that others use too, the slower of the two says what there was to share.
    let alone = before.max(after);
    println!(
        "alone {before:.2} s and {after:.2} s, among {BODIES} bodies, {HEADS} heads and {READERS} readers {among:.2} s; \
         {} MiB more, {files} files more, {heads_closed} heads closed",
        grown / MIB
    );
    assert_eq!(held, BODIES, "all were there all the while");
    assert!(heads_closed >= HEADS, "no head is waited for: {heads_closed}");
    // Two thousand wakings a second cost an unoptimised build most of what it has: there it only must not starve.
    let ratio_min = if cfg!(debug_assertions) { 0.1 } else { 0.8 };
    assert!(alone / among >= ratio_min, "{alone:.2} s alone, {among:.2} s among slow ones");
    // A block of 64 KiB for each connection, and the pool that all share.
    let bound = 4096 * (64 << 10) + 48 * MIB;
    assert!(grown <= bound, "{} MiB more than before", grown / MIB);
    // Both ends of each connection are in this process, that of the service twice, for its `104`; an upload has two files.
    let files_max = 3 * (BODIES + HEADS + READERS) + 2 * BODIES / 8 + 200;
    assert!(files <= files_max, "{files} files more than before");
    world.end();
}
