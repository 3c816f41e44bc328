//! Copies from file to file: where the bytes land, and what ends them.

use std::{io, ops::Range, path::Path, sync::mpsc};

use tokio::sync::oneshot;

use super::{fault_disk::FaultDisk, *};
use crate::local::disk::DiskFile;

const MIB: usize = 1 << 20;
const NEITHER: DigestChoice = DigestChoice { md5: false, sha256: false };

/// Of each way that a copy takes: by the system within a file system, between two of them, and through memory from a file that has no
/// descriptor.
fn ways(bytes: &[u8]) -> Vec<(&'static str, TempDir, Arc<dyn DiskFile>)> {
    let (here, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir_in("/dev/shm").unwrap());
    let hidden = tempfile::tempdir().unwrap();
    let made = |disk: &dyn Disk, dir: &Path| {
        let file = disk.create_new(&dir.join("source")).unwrap();
        file.write_all_at(bytes, 0).unwrap();
        file
    };
    let files = [
        made(&OsDisk, here.path()),
        made(&OsDisk, other.path()),
        made(&FaultDisk::default(), hidden.path()),
    ];
    assert!(files[1].descriptor().is_some() && files[2].descriptor().is_none());
    let names = ["here", "from another file system", "without a descriptor"];
    let files = names.into_iter().zip([here, other, hidden]).zip(files);
    files.map(|((name, dir), file)| (name, dir, file)).collect()
}

#[test]
fn every_byte_of_a_copy_lands_where_it_belongs_and_no_other() {
    let bytes = image(700_001);
    for (way, _dir, source) in ways(&bytes) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("target");
        let target = OsDisk.create_new(&path).unwrap();
        let mut expected = vec![0xee; 800_000];
        target.write_all_at(&expected, 0).unwrap();
        let copies: [(usize, Range<usize>); 6] = [
            (0, 0..0),
            (0, 1..2),
            (4_096, 8_192..12_288),
            (12_345, 100_001..400_000),
            (700_000, 799_999..800_000),
            // Beyond the end of the target.
            (3, 790_001..1_100_000),
        ];
        for (from, into) in copies {
            let end = from + into.len();
            target.copy_from(&*source, from as u64, into.start as u64..into.end as u64).unwrap();
            expected.resize(expected.len().max(into.end), 0);
            expected[into.clone()].copy_from_slice(&bytes[from..end]);
            assert!(std::fs::read(&path).unwrap() == expected, "{way}: {from} into {into:?}");
        }
    }
}

/// The system copies what there is and then nothing: the rest is asked for where that ended, and not from the begin again.
#[test]
fn a_source_that_ends_early_is_told_and_nothing_is_made_up() {
    let bytes = image(50_000);
    for (way, _dir, source) in ways(&bytes) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("target");
        let target = OsDisk.create_new(&path).unwrap();
        let told = target.copy_from(&*source, 10_000, 5_000..55_000).unwrap_err();
        assert_eq!(told.kind(), io::ErrorKind::UnexpectedEof, "{way}: {told}");
        let there = std::fs::read(&path).unwrap();
        assert!(there.len() <= 45_000, "{way}: {} bytes are there", there.len());
        let copied = there.get(5_000..).unwrap_or_default();
        assert!(copied == &bytes[10_000..10_000 + copied.len()], "{way}: other bytes");
    }
}

/// The disk stands in the first of three pieces, and the second is handed over: the third is never begun.
#[tokio::test]
async fn a_revoke_does_not_wait_for_a_whole_copy() {
    let disk = FaultDisk::default();
    let bench = Bench::with(Arc::new(disk.clone()), LIMITS);
    let mut bytes: Vec<u8> = image(MIB).repeat(24);
    for (number, bytes) in bytes.chunks_mut(MIB).enumerate() {
        bytes[..8].copy_from_slice(&number.to_be_bytes());
    }
    let length = bytes.len() as u64;
    let create = async || {
        let owned = Owned { key: UploadKey(Uuid::new_v4()), epoch: 1 };
        let spec = UploadSpec { declared_length: Some(length), digests: NEITHER };
        bench.store.create(owned, spec).await.unwrap();
        owned
    };
    let (part, whole) = (create().await, create().await);
    bench.send(part, chunk(0, None), &bytes).await.unwrap();
    let ((reached, is_reached), (release, released)) = (oneshot::channel(), mpsc::channel());
    *disk.faults.held_write.lock().unwrap() = Some((reached, released));
    let copy = || bench.store.copy(whole, 0, part.key, 0..length);
    let revoke = async {
        is_reached.await.unwrap();
        let revoke = bench.store.revoke(whole);
        tokio::pin!(revoke);
        let early = tokio::time::timeout(Duration::from_millis(50), &mut revoke).await;
        assert!(early.is_err(), "a write is on its way");
        release.send(()).unwrap();
        revoke.await.unwrap()
    };
    let (copied, revoked) = tokio::join!(copy(), revoke);
    assert!(matches!(copied, Err(StoreError::Revoked { .. })), "{copied:?}");
    assert_eq!((revoked.offset, revoked.writers), (16 * MIB as u64, 0));
    assert!(bench.prefix(whole.key).await == bytes[..16 * MIB], "what it did is right");
    bench.store.admit(whole).await.unwrap();
    assert_eq!(copy().await.unwrap().offset, length);
    assert!(bench.prefix(whole.key).await == bytes);
}
