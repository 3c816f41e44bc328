//! Every state that a crash could have left: the device's log of a run is replayed to every prefix, and inside each epoch between
//! two flushes with random parts of the writes missing; every state is mounted, looked at, and a server is started on it.

mod log;
pub(crate) mod recorder;

use std::{
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    client::{Sizes, Worker},
    cuts::no_sync_library,
    disk::{Disk, can_mount},
    ledger::{Counts, Ledger},
    shared::{
        client::Session,
        from_environment,
        random::Random,
        runtime,
        server::{Server, Told},
    },
    verify,
};
use log::{Player, Point};
use recorder::{Recorded, Recorder, copy};

/// Small, because every point copies the device.
const SIZES: Sizes = Sizes { large: 2 << 20, small: 128 << 10 };
/// What the client notes in one recording, and how long a slow machine may take for it.
const FACTS: usize = 150;
const WORK_MAX: Duration = Duration::from_secs(20);
const REORDERINGS: u64 = 3;
/// Every so many points everything is also brought to its end.
const SETTLE_EVERY: u64 = 10;
const CHECKERS: usize = 2;

/// A run of the real server, with all that it acknowledged tied to positions of the log.
struct Recording {
    recorded: Recorded,
    ledger: Ledger,
    /// Valid from this position on.
    session: (u64, Session),
}

fn record(random: &mut Random) -> Recording {
    let recorder = Recorder::new();
    let ledger = Ledger::with_log(recorder.position());
    let position = recorder.position();
    let server = Server::try_spawn(&recorder.disk.data(), &[], Told::Errors).unwrap();
    let session = runtime().block_on(async {
        let session = Session::open(&server.base).await;
        let logged_in = position();
        let worker = Worker { session: &session, ledger: &ledger, prefix: "replay", sizes: SIZES };
        // The moment at which it stops is as good as any: requests are cut off in the middle.
        let noted = ledger.clone();
        let enough = tokio::task::spawn_blocking(move || noted.wait_for(FACTS, WORK_MAX));
        tokio::select! {
            () = worker.work(random) => {}
            _ = enough => {}
        }
        (logged_in, session)
    });
    server.kill();
    Recording { recorded: recorder.end(), ledger, session }
}

/// What was found, over all points.
#[derive(Default)]
struct Found {
    points: AtomicU64,
    reordered: AtomicU64,
    dropped: AtomicU64,
    settled: AtomicU64,
    broken: Mutex<Vec<String>>,
}

impl Recording {
    /// Checks these points, which come in order, each on a copy of its own.
    fn check(&self, points: &[Point], lane: usize, found: &Found) {
        let folder = self.recorded.folder.path();
        let device = folder.join(format!("device-{lane}"));
        copy(&self.recorded.start, &device);
        let mut player = Player::new(&self.recorded.log, &device);
        for point in points {
            let trial = folder.join(format!("trial-{lane}"));
            player.advance(*point);
            copy(&device, &trial);
            found.dropped.fetch_add(player.add_rest(*point, &trial), Ordering::Relaxed);
            let number = found.points.fetch_add(1, Ordering::Relaxed);
            found.reordered.fetch_add(u64::from(point.dropping.is_some()), Ordering::Relaxed);
            let broken = self.look(*point, trial, number.is_multiple_of(SETTLE_EVERY), found);
            let broken = broken.into_iter().map(|why| format!("{point:?}: {why}"));
            found.broken.lock().unwrap().extend(broken);
        }
    }

    /// Mounts one state, looks at its files, then starts a server on it and asks that.
    fn look(&self, point: Point, trial: PathBuf, settles: bool, found: &Found) -> Vec<String> {
        let mount = tempfile::Builder::new().prefix("ls-power-").tempdir().unwrap();
        let mut disk = Disk::of(mount, trial);
        let entries = self.ledger.entries_at(point.position);
        let mut broken = verify::broken_files(&disk.data(), &entries);
        match Server::try_spawn(&disk.data(), &[], Told::Panics) {
            Err(why) => broken.push(why),
            Ok(server) => {
                let (since, session) = &self.session;
                if point.position >= *since {
                    let session = session.at(&server.base);
                    runtime().block_on(async {
                        broken.extend(verify::broken_promises(&session, &entries).await);
                        if settles && broken.is_empty() {
                            found.settled.fetch_add(1, Ordering::Relaxed);
                            verify::settle(&session, &entries).await;
                            verify::no_strays(&session, &disk.data()).await;
                        }
                    });
                }
                server.kill();
            }
        }
        disk.unmount();
        broken
    }
}

/// `wanted` of all points, evenly spread from a random one on; all of them if there are no more.
fn spread(points: &[Point], wanted: usize, random: &mut Random) -> Vec<Point> {
    if points.len() <= wanted {
        return points.to_vec();
    }
    let first = random.below(points.len() as u64 / wanted as u64) as usize;
    (0..wanted).map(|number| points[first + number * (points.len() - first) / wanted]).collect()
}

#[test]
#[ignore = "needs root, loop devices and FUSE: scripts/test power and scripts/soak powerlog run it"]
fn every_crash_point_keeps_what_was_acknowledged() {
    if !can_mount() {
        return;
    }
    let wanted = from_environment("POWER_POINTS").unwrap_or(200);
    let mut random = Random::seeded("POWER_SEED");
    let found = Found::default();
    let (mut recordings, mut flushes, mut entries) = (0, 0, 0);
    while found.points.load(Ordering::Relaxed) < wanted {
        let recording = record(&mut random);
        let log = &recording.recorded.log;
        recordings += 1;
        flushes += log.flushes();
        entries += log.len();
        let missing = wanted - found.points.load(Ordering::Relaxed);
        let points = spread(&log.points(REORDERINGS), missing as usize, &mut random);
        let counts = Counts::of(&recording.ledger.entries());
        println!(
            "recorded {} entries, {} flushes, {counts}; checking {} points",
            log.len(),
            log.flushes(),
            points.len()
        );
        assert!(counts.finished > 0 && counts.discarded > 0, "too little was done: {counts}");
        std::thread::scope(|scope| {
            for (lane, points) in points.chunks(points.len().div_ceil(CHECKERS)).enumerate() {
                let (recording, found) = (&recording, &found);
                scope.spawn(move || recording.check(points, lane, found));
            }
        });
    }
    let count = |number: &AtomicU64| number.load(Ordering::Relaxed);
    println!(
        "{} points ({} reordered, {} writes dropped, {} brought to the end) of {recordings} recordings with {entries} entries and {flushes} flushes",
        count(&found.points),
        count(&found.reordered),
        count(&found.dropped),
        count(&found.settled),
    );
    assert!(count(&found.dropped) > 0, "no write was ever missing: nothing was reordered");
    assert!(count(&found.settled) > 0, "no point was brought to its end");
    let broken = found.broken.into_inner().unwrap();
    assert!(
        broken.is_empty(),
        "{} broken promises: {:#?}",
        broken.len(),
        &broken[..broken.len().min(20)]
    );
}

/// Finishes and discards a few uploads with the records elsewhere, so that no sync of theirs carries a name along by accident;
/// then looks at the files at every position at which an end was acknowledged.
fn broken_ends(lie: Option<&Path>) -> (usize, Vec<String>) {
    let run = Recorder::new();
    let ledger = Ledger::with_log(run.position());
    let elsewhere = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", elsewhere.path().join("records.db").display());
    let mut environment = vec![("LONGSHORE_DATABASE_URL", database.as_str()), crate::PAST_CACHE];
    Server::try_spawn(&run.disk.data(), &environment, Told::Errors).unwrap().kill();
    if let Some(library) = lie {
        environment.push(("LD_PRELOAD", library.to_str().unwrap()));
        environment.push(("NO_SYNC_OF", "directories"));
    }
    let server = Server::try_spawn(&run.disk.data(), &environment, Told::Errors).unwrap();
    runtime().block_on(async {
        let session = Session::open(&server.base).await;
        let worker = Worker { session: &session, ledger: &ledger, prefix: "ends", sizes: SIZES };
        worker.finish_small(Random(1), 10).await;
        worker.give_up(Random(2), 10).await;
    });
    server.kill();
    let recorded = run.end();
    let ends = ledger.ends();
    let mut broken = Vec::new();
    let device = recorded.folder.path().join("device");
    copy(&recorded.start, &device);
    let mut player = Player::new(&recorded.log, &device);
    for position in &ends {
        let point = Point { position: *position, dropping: None };
        player.advance(point);
        let trial = recorded.folder.path().join("trial");
        copy(&device, &trial);
        player.add_rest(point, &trial);
        let mount = tempfile::Builder::new().prefix("ls-power-").tempdir().unwrap();
        let mut disk = Disk::of(mount, trial);
        broken.extend(verify::broken_files(&disk.data(), &ledger.entries_at(*position)));
        disk.unmount();
    }
    (ends.len(), broken)
}

/// Negative control: a directory sync that does nothing MUST leave an end without its name at some point; the same points of an
/// honest run have none.
#[test]
#[ignore = "needs root, loop devices and FUSE: scripts/test power and scripts/soak powerlog run it"]
fn without_directory_syncs_the_replay_finds_names_missing() {
    if !can_mount() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let library = no_sync_library(folder.path());
    let (honest_ends, honest) = broken_ends(None);
    assert_eq!(honest, Vec::<String>::new(), "with directory syncs");
    assert!(honest_ends > 10, "only {honest_ends} ends");
    let (ends, broken) = broken_ends(Some(&library));
    println!(
        "without directory syncs: {} broken at {ends} ends, such as {:?}",
        broken.len(),
        broken.first()
    );
    assert!(!broken.is_empty(), "nothing was missing: the oracle is blind");
}
