//! SIGKILL at random moments with four slices in flight: no acknowledged byte is lost, no job is stuck, no file is left over.
//!
//! `scripts/soak kill` runs 1,000 cycles. What a killed process had written stays in the page cache, so that this shows the order of
//! our records, not the order of our syncs: power cuts are another suite.

#![expect(clippy::cast_possible_truncation, reason = "images of some MiB on 64 bits")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking and tells its figures"
)]

mod appending;
mod joining;
#[path = "../shared/mod.rs"]
#[expect(dead_code, reason = "each suite uses its part of what they share")]
mod shared;

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use shared::{
    client::Session,
    files::{files_below, sum_of},
    from_environment,
    random::Random,
    ranges::{contiguous_end, lost, send_in_parallel},
    runtime,
    server::{Server, Told},
};

/// One image, killed once or twice on its way. Answers acknowledged bytes.
async fn cycle(number: u64, data: &Path, scratch: &Path, random: &mut Random) -> u64 {
    let length = 1 + random.below(24 << 20);
    let image = Arc::new(random.bytes(length as usize));
    let source = scratch.join("source");
    fs::write(&source, &**image).unwrap();
    let name = format!("cycle-{number}");
    let acknowledged = Arc::<Mutex<Vec<Range<u64>>>>::default();
    let log = Arc::clone(&acknowledged);
    let note = move |range, _| log.lock().unwrap().push(range);

    let mut server = Server::spawn(data);
    let mut session = Session::open(&server.base).await;
    let path = session.submit(&name, number.is_multiple_of(2).then_some(length)).await;
    for _ in 0..=random.below(2) {
        let state = session.state(&path).await;
        let missing = if state.missing.is_empty() && state.name != "Succeeded" && state.offset == 0
        {
            // The length is not declared before the first slice of half of the cycles.
            vec![0..length]
        } else {
            state.missing
        };
        let delay = Duration::from_millis(random.below(400));
        let mut choices = Random(random.next());
        let note = note.clone();
        let sending = send_in_parallel(&session, &path, &image, &missing, &mut choices, note);
        tokio::select! {
            () = sending => {}
            () = tokio::time::sleep(delay) => {}
        }
        server.kill();
        // Senders that were told "stored" before the process died have noted it by now.
        tokio::time::sleep(Duration::from_millis(20)).await;

        server = Server::spawn(data);
        session = Session::open(&server.base).await;
        let state = session.state(&path).await;
        let kept = acknowledged.lock().unwrap().clone();
        let lost = lost(&kept, &state.missing);
        assert!(lost.is_empty(), "cycle {number}: acknowledged and lost: {lost:?} of {state:?}");
        if state.name != "Succeeded" {
            let contiguous = contiguous_end(&kept);
            assert!(state.offset >= contiguous, "cycle {number}: {} < {contiguous}", state.offset);
        }
        if matches!(state.name.as_str(), "Suspended" | "Running") {
            let found = session.details(&name).await.len();
            // One whose last byte was there is finished by itself, perhaps between the two questions; then it is listed no more.
            let finished = found == 0 && session.state(&path).await.name == "Succeeded";
            assert!(
                found == 1 || finished,
                "cycle {number}: {found} jobs are found by the IMAGE_ID"
            );
        }
    }
    session.finish(&path, &image).await;
    compare(&session, &name, &source, &image).await;
    let kept = acknowledged.lock().unwrap();
    kept.iter().map(|range| range.end - range.start).sum()
}

/// The image is Ready, has the digests that `md5sum` and `sha256sum` find, and downloads to the same bytes.
async fn compare(session: &Session, name: &str, source: &Path, image: &[u8]) {
    let inventory = session.image_named(name).await;
    assert_eq!(inventory["status"], "Ready", "{name}: {inventory}");
    assert_eq!(inventory["md5Sum"], sum_of("md5sum", source), "{name}");
    assert_eq!(inventory["sha256Sum"], sum_of("sha256sum", source), "{name}");
    assert_eq!(inventory["actualSize"], image.len() as u64, "{name}");
    let stored = session.download(inventory["uuid"].as_str().unwrap()).await;
    assert!(stored == image, "{name}: the stored bytes differ from the source");
}

fn base64_of(text: &str) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.encode(text)
}

/// Path of the upload that this answer has made.
fn path_of(made: &reqwest::Response) -> String {
    let url = made.headers()["location"].to_str().unwrap();
    format!("/{}", url.splitn(4, '/').nth(3).expect("a path"))
}

#[test]
#[ignore = "needs minutes: scripts/test and scripts/soak kill run it"]
fn killed_servers_lose_nothing() {
    let cycles = from_environment("KILL_CYCLES").unwrap_or(25);
    let mut random = Random::seeded("KILL_SEED");
    let (data, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut acknowledged_bytes = 0;
    runtime().block_on(async {
        for number in 0..cycles {
            acknowledged_bytes += cycle(number, data.path(), scratch.path(), &mut random).await;
        }
        let server = Server::spawn(data.path());
        let session = Session::open(&server.base).await;
        let jobs = session.jobs().await;
        assert_eq!(jobs.len() as u64, cycles);
        for job in jobs {
            assert_eq!(job["state"], "Succeeded", "stuck: {job}");
        }
    });
    assert_eq!(files_below(&data.path().join("uploads")), Vec::<PathBuf>::new(), "left in staging");
    assert_eq!(files_below(&data.path().join("images")).len() as u64, cycles, "one file per image");
    assert_eq!(files_below(&data.path().join("lost+found")), Vec::<PathBuf>::new(), "strays");
    println!("{cycles} kills or more, {acknowledged_bytes} acknowledged bytes, 0 lost");
}

/// Small images of one request each, until the server is gone: names and bytes of those that were called Ready.
async fn send_small(session: &Session, name: &str, mut random: Random) -> Vec<(String, Vec<u8>)> {
    let mut ready = Vec::new();
    for number in 0.. {
        let length = 1 + random.below(64 << 10);
        let (image_id, bytes) = (format!("{name}-{number}"), random.bytes(length as usize));
        match session.one_request(&image_id, bytes.clone()).await {
            Ok(Some(state)) => {
                assert_eq!(state["state"], "Succeeded", "{state}");
                ready.push((image_id, bytes));
            }
            Ok(None) | Err(_) => break,
        }
    }
    ready
}

/// All that were called Ready are there, nothing waits, and every file of an image has its row.
async fn small_ones_are_kept(session: &Session, data: &Path, ready: &[(String, Vec<u8>)]) {
    for (name, bytes) in ready {
        let inventory = session.image_named(name).await;
        assert_eq!(inventory["status"], "Ready", "{name}: {inventory}");
        let stored = session.download(inventory["uuid"].as_str().unwrap()).await;
        assert!(stored == *bytes, "{name}: the stored bytes differ from the source");
    }
    let left = || files_below(&data.join("whole"));
    for _ in 0..200 {
        if left().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(left(), Vec::<PathBuf>::new(), "an image that is not settled");
    let mut images = session.images().await.unwrap();
    images.retain(|image| image["status"] == "Ready");
    assert_eq!(files_below(&data.join("images")).len(), images.len(), "files and rows of images");
}

/// Killed at each named place on the way of an image that comes whole, at the 1st and at the 30th image; and at random moments.
#[test]
#[ignore = "needs minutes: scripts/test and scripts/soak kill run it"]
fn killed_servers_keep_small_images() {
    let mut random = Random::seeded("KILL_SEED");
    let points = longshore_storage::kill::KILL_POINTS.iter();
    let mut kill_at: Vec<_> = points
        .filter(|point| point.starts_with("whole."))
        .flat_map(|point| [Some(format!("{point}:1")), Some(format!("{point}:30"))])
        .collect();
    assert_eq!(kill_at.len(), 12, "six places");
    kill_at.extend(std::iter::repeat_n(None, 6));
    let data = tempfile::tempdir().unwrap();
    let mut ready = Vec::new();
    runtime().block_on(async {
        for (cycle, kill_at) in kill_at.into_iter().enumerate() {
            let environment = kill_at.as_deref().map(|at| ("STORE_KILL_AT", at));
            let environment = environment.as_slice();
            let server = Server::try_spawn(data.path(), environment, Told::Errors).unwrap();
            let session = Session::open(&server.base).await;
            let names = (0..4).map(|sender| format!("small-{cycle}-{sender}")).collect::<Vec<_>>();
            let sending =
                names.iter().map(|name| send_small(&session, name, Random(random.next())));
            let sending = futures::future::join_all(sending);
            let after = Duration::from_millis(50 + random.below(400));
            let kill = async {
                if let Some(at) = &kill_at {
                    let gone = server.gone(Duration::from_mins(1)).await;
                    assert!(gone, "{at} was never passed");
                } else {
                    tokio::time::sleep(after).await;
                    server.kill();
                }
            };
            let (sent, ()) = tokio::join!(sending, kill);
            ready.extend(sent.into_iter().flatten());
            let server = Server::spawn(data.path());
            let session = Session::open(&server.base).await;
            small_ones_are_kept(&session, data.path(), &ready).await;
        }
    });
    assert!(ready.len() > 100, "only {} images were made", ready.len());
    let aside = files_below(&data.path().join("lost+found")).len();
    println!("18 kills, {} small images called Ready, 0 lost, {aside} never recorded", ready.len());
}

/// Negative controls: the checks above notice an acknowledged range that is gone, and a stored byte that is not the source's.
#[test]
fn the_checks_notice_a_loss() {
    let mut random = Random(7);
    let (data, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let image = Arc::new(random.bytes(3 << 20));
    runtime().block_on(async {
        let server = Server::spawn(data.path());
        let session = Session::open(&server.base).await;
        let path = session.submit("control", Some(image.len() as u64)).await;
        let staged = files_below(&data.path().join("uploads"));
        let checkpoint = staged.iter().find(|path| path.extension().unwrap() == "checkpoint");
        let checkpoint = checkpoint.expect("a checkpoint from the beginning").clone();
        let empty = fs::read(&checkpoint).unwrap();
        let first = image[..1 << 20].to_vec();
        assert!(session.send(&path, first, 0, image.len() as u64, false).await.unwrap());
        server.kill();

        // The checkpoint as it was before the acknowledgement: as if it had never been written.
        let kept = fs::read(&checkpoint).unwrap();
        fs::write(&checkpoint, empty).unwrap();
        let server = Server::spawn(data.path());
        let session = Session::open(&server.base).await;
        let missing = session.state(&path).await.missing;
        assert_eq!(lost(&[0..1 << 20], &missing), vec![0..1 << 20], "the loss is noticed");
        server.kill();
        fs::write(&checkpoint, kept).unwrap();

        // One byte of the acknowledged range flipped on disk.
        let file = checkpoint.with_extension("data");
        let mut stored = fs::read(&file).unwrap();
        stored[12_345] ^= 1;
        fs::write(&file, stored).unwrap();
        let server = Server::spawn(data.path());
        let session = Session::open(&server.base).await;
        assert_eq!(lost(&[0..1 << 20], &session.state(&path).await.missing), vec![]);
        session.finish(&path, &image).await;
        let source = scratch.path().join("source");
        fs::write(&source, &**image).unwrap();
        let inventory = session.image_named("control").await;
        let stored = session.download(inventory["uuid"].as_str().unwrap()).await;
        assert!(stored != **image, "a flipped byte shows in the download");
    });
}

/// A server that was killed with a large upload open answers its offset soon after it listens: recovery reads checkpoints, not bytes.
#[test]
#[ignore = "needs a sparse file of 100 GiB: scripts/test runs it"]
fn a_large_upload_is_answered_soon_after_the_start() {
    let data = tempfile::tempdir().unwrap();
    let length = 100_u64 << 30;
    runtime().block_on(async {
        let server = Server::spawn(data.path());
        let session = Session::open(&server.base).await;
        // Without a declared length, so that no machine needs 100 GiB of free space for this.
        let path = session.submit("large", None).await;
        let mut random = Random(9);
        // Islands far apart, so that the checkpoint describes 100 GiB although few bytes are sent.
        let mut acknowledged = Vec::new();
        for island in 0..64 {
            let at = island * (length / 64);
            let bytes = random.bytes(64 << 10);
            acknowledged.push(at..at + bytes.len() as u64);
            assert!(session.send(&path, bytes, at, None, true).await.unwrap());
        }
        // The median of seven kills: a single figure on a shared machine says more about its neighbours.
        let mut server = server;
        let mut answered = Vec::new();
        for _ in 0..7 {
            server.kill();
            server = Server::spawn(data.path());
            let listening = std::time::Instant::now();
            let http = reqwest::Client::builder().no_proxy().build().unwrap();
            let answer = http.get(format!("{}{path}", server.base)).send().await.unwrap();
            answered.push(listening.elapsed());
            assert!(answer.status().is_success());
        }
        answered.sort();
        let answered_in = answered[answered.len() / 2];
        let session = Session::open(&server.base).await;
        let state = session.state(&path).await;
        assert_eq!(state.offset, 64 << 10);
        assert_eq!(state.missing.len(), 63, "the gaps between 64 islands over 100 GiB");
        assert_eq!(lost(&acknowledged, &state.missing), vec![]);
        println!("listening after {:?}, offset {answered:?} later", server.started_in);
        assert!(answered_in < Duration::from_millis(100), "{answered_in:?}");
    });
}
