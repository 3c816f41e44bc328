//! Writes streams into a local store and prints what it cost:
//! `throughput <directory> <MiB of each> [streams] [slice MiB] [requests at once]`.
//!
//! With a slice size every upload comes as slices, some at once, so that most of it arrives ahead of the prefix. `NO_MD5`,
//! `NO_SHA256`, `NO_DIRECT` leave something out; `AHEAD_MIB` bounds what is kept in the cache of the system.
#![expect(clippy::print_stdout, reason = "a measuring tool prints its numbers")]

use std::{fs, path::Path, sync::Arc, time::Instant};

use longshore_storage::{
    Chunk, Claimed, Durability, Limits, Owned, StoreRecovery, UploadKey, UploadSpec, UploadStore,
    digest::DigestChoice,
    local::{LocalStore, OsDisk},
};

const PIECE_BYTES: usize = 64 << 10;

/// CPU seconds of the threads that hash, and of all others of this process.
fn cpu_secs() -> (f64, f64) {
    let mut spent = (0.0, 0.0);
    for thread in fs::read_dir("/proc/self/task").expect("/proc is there").flatten() {
        let Ok(stat) = fs::read_to_string(thread.path().join("schedstat")) else { continue };
        let name = fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
        let nanos: f64 =
            stat.split_whitespace().next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0.0);
        let sum = if name.starts_with("store-hash") { &mut spent.0 } else { &mut spent.1 };
        *sum += nanos / 1e9;
    }
    spent
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

async fn send(store: Arc<LocalStore>, owned: Owned, start: u64, length: u64) {
    let chunk = Chunk { offset: start, length: Some(length), checksum: None };
    let Claimed::Writer(mut writer) = store.write(owned, chunk).await.expect("claimed") else {
        panic!("nothing is stored yet");
    };
    let piece = vec![0x5a; PIECE_BYTES];
    for _ in 0..length / PIECE_BYTES as u64 {
        writer.append(&piece).await.expect("appended");
    }
    writer.acknowledge().await.expect("acknowledged");
}

/// One upload from its creation to its digests.
async fn upload(
    store: Arc<LocalStore>,
    digests: DigestChoice,
    length: u64,
    slice: u64,
    at_once: u64,
) {
    let owned = Owned { key: UploadKey(uuid::Uuid::new_v4()), epoch: 1 };
    let spec = UploadSpec { declared_length: Some(length), digests };
    store.create(owned, spec).await.expect("created");
    let step = usize::try_from(at_once).expect("few at once");
    let requests: Vec<_> = (0..at_once)
        .map(|request| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for number in (request..length / slice).step_by(step) {
                    send(Arc::clone(&store), owned, number * slice, slice).await;
                }
            })
        })
        .collect();
    for request in requests {
        request.await.expect("a request ends");
    }
    store.finish(owned, Arc::new(|_| ())).await.expect("finished");
    store.discard(owned).await.expect("discarded");
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).and_then(|number| number.parse::<u64>().ok());
    let directory = arguments.first().expect("a directory");
    let length = number(1).unwrap_or(1024) << 20;
    let streams = number(2).unwrap_or(1);
    let slice = number(3).map_or(length, |mib| mib << 20);
    let at_once = number(4).unwrap_or(1);
    let left_out = |name| std::env::var_os(name).is_some();
    let digests = DigestChoice { md5: !left_out("NO_MD5"), sha256: !left_out("NO_SHA256") };
    let mut limits = Limits::for_cores(2);
    if left_out("NO_DIRECT") {
        limits.past_cache_bytes_min = usize::MAX;
    }
    if let Some(mib) = from_environment("AHEAD_MIB") {
        limits.ahead_cache_bytes_max = mib << 20;
    }
    let root = Path::new(directory).join(format!("throughput-{}", std::process::id()));
    let store = LocalStore::open(&root, Arc::new(OsDisk), limits, Durability::PowerLoss)
        .expect("the store opens");
    let (started, before) = (Instant::now(), cpu_secs());
    let uploads: Vec<_> = (0..streams)
        .map(|_| tokio::spawn(upload(Arc::clone(&store), digests, length, slice, at_once)))
        .collect();
    for upload in uploads {
        upload.await.expect("an upload ends");
    }
    let (secs, after) = (started.elapsed().as_secs_f64(), cpu_secs());
    #[expect(clippy::cast_precision_loss, reason = "for people to read")]
    let gib = (length * streams) as f64 / f64::from(1 << 30);
    let numbers = store.statistics();
    println!(
        "{:.0} MB/s; CPU-s/GiB: hash threads {:.3}, others {:.3}; of {} MiB {} past the cache, {} read back; {} syncs",
        gib * 1_073.741_824 / secs,
        (after.0 - before.0) / gib,
        (after.1 - before.1) / gib,
        numbers.written_bytes >> 20,
        numbers.past_cache_bytes >> 20,
        numbers.read_back_bytes >> 20,
        numbers.syncs
    );
    drop(store);
    fs::remove_dir_all(root).expect("removed");
}
