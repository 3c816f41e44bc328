//! Writes streams into a local store and prints what it cost: `throughput <directory> <MiB of each> [piece KiB] [streams]`.
#![expect(clippy::print_stdout, reason = "a measuring tool prints its numbers")]

use std::{path::Path, sync::Arc, time::Instant};

use longshore_storage::{
    Chunk, Claimed, Durability, Limits, Owned, StoreRecovery, UploadKey, UploadSpec, UploadStore,
    digest::{DigestChoice, DigestState},
    local::{LocalStore, OsDisk},
};

fn cpu_secs() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("/proc is there");
    let ticks: Vec<f64> = stat
        .rsplit(')')
        .next()
        .expect("the name ends with a parenthesis")
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse().ok())
        .collect();
    ticks.iter().sum::<f64>() / 100.0
}

/// One upload of `length` bytes, finished and discarded; answers the first byte of its SHA-256.
async fn upload(store: Arc<LocalStore>, spec: UploadSpec, length: u64, piece: Arc<[u8]>) -> u8 {
    let owned = Owned { key: UploadKey(uuid::Uuid::new_v4()), epoch: 1 };
    store.create(owned, spec).await.expect("created");
    let chunk = Chunk { offset: 0, length: Some(length), checksum: None };
    let Claimed::Writer(mut writer) = store.write(owned, chunk).await.expect("claimed") else {
        panic!("nothing is stored yet");
    };
    for _ in 0..length / piece.len() as u64 {
        writer.append(&piece).await.expect("appended");
    }
    let acknowledged = writer.acknowledge().await.expect("acknowledged");
    assert_eq!(acknowledged.state.offset, length);
    let finished = store.finish(owned, Arc::new(|_| ())).await.expect("finished");
    store.discard(owned).await.expect("discarded");
    finished.digests.sha256.map_or(0, |sha256| sha256[0])
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().expect("a directory");
    let mut number =
        |default| arguments.next().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (mib, kib, streams): (u64, u64, u64) = (number(1024), number(64), number(1));
    let root = Path::new(&directory).join("throughput-store");
    let digests = DigestChoice {
        md5: std::env::var_os("NO_MD5").is_none(),
        sha256: std::env::var_os("NO_SHA256").is_none(),
    };
    let limits = Limits::for_cores(2);
    let store = LocalStore::open(&root, Arc::new(OsDisk), limits, Durability::PowerLoss)
        .expect("the store opens");
    let length = mib << 20;
    let spec = UploadSpec { declared_length: Some(length), digests };
    let piece: Arc<[u8]> = (0..kib << 10).map(|index| index.to_le_bytes()[0] ^ 0x5a).collect();
    let (mut alone, cpu) = (DigestState::new(digests), cpu_secs());
    for _ in 0..(64 << 20) / piece.len() {
        limits.digest_engine.update(&mut [(&mut alone, &piece)]);
    }
    println!("hashing one stream alone: {:.2} CPU-s/GiB", (cpu_secs() - cpu) * 16.0);
    let (started, cpu) = (Instant::now(), cpu_secs());
    let uploads: Vec<_> = (0..streams)
        .map(|_| tokio::spawn(upload(Arc::clone(&store), spec, length, Arc::clone(&piece))))
        .collect();
    let mut firsts = Vec::new();
    for upload in uploads {
        firsts.push(upload.await.expect("it does not panic"));
    }
    let (secs, cpu) = (started.elapsed().as_secs_f64(), cpu_secs() - cpu);
    #[expect(clippy::cast_precision_loss, reason = "for people to read")]
    let gib = (length * streams) as f64 / f64::from(1 << 30);
    println!(
        "{streams} streams: {:.0} MB/s, {:.2} CPU-s/GiB\n{firsts:?}\n{:?}",
        gib * 1_073.741_824 / secs,
        cpu / gib,
        store.statistics()
    );
    drop(store);
    std::fs::remove_dir_all(root).expect("removed");
}
