//! Random scripts against the plainest oracle: the bytes themselves, and the ranges that were acknowledged.
//!
//! `LONGSHORE_TEST_CASES` runs more of them, `LONGSHORE_TEST_SEED` others; a failure names its seed and its shortest script.

use std::{ops::Range, path::Path, sync::Arc};

use longshore_storage::{
    Chunk, Claimed, ImageKey, Owned, RangeWriter, Result, StoreError, UploadKey, UploadPhase,
    UploadSpec,
    conformance::{
        Backend,
        local::scratch,
        scenario::{
            assert_image, check_state, content, every_checksum, read_upload, reference_digests,
        },
    },
    digest::{ChunkChecksum, DigestChoice},
    local::{OsDisk, power::PowerDisk},
};
use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};
use uuid::Uuid;

use crate::script::open;

const LENGTH: u64 = 100_000;

#[derive(Debug, Clone, Copy)]
enum End {
    Acknowledge,
    Interrupt,
    Drop,
}

#[derive(Debug, Clone)]
enum Step {
    /// A whole slice; the checksum is of this algorithm, and wrong or right.
    Put(Range<u64>, Option<(usize, bool)>),
    /// A slice whose body breaks off after some bytes.
    Broken(Range<u64>, u64, Option<usize>, End),
    /// Two slices at once, byte by byte in turn where they do not overlap.
    Pair(Range<u64>, Range<u64>),
    PowerCut(u64),
    Kill,
    RevokeAndAdmit,
    Finish,
    DiscardAndBeginAnew,
    NewOwner,
}

fn range() -> impl Strategy<Value = Range<u64>> {
    let sizes = prop_oneof![1..200_u64, 1..5_000_u64, 1..60_000_u64];
    (0..LENGTH, sizes, any::<bool>()).prop_map(|(start, size, aligned)| {
        let start = if aligned { start / 4_096 * 4_096 } else { start };
        start..LENGTH.min(start + size)
    })
}

fn step() -> impl Strategy<Value = Step> {
    let end = prop_oneof![Just(End::Acknowledge), Just(End::Interrupt), Just(End::Drop)];
    prop_oneof![
        6 => (range(), prop::option::of((0..5_usize, any::<bool>())))
            .prop_map(|(range, sum)| Step::Put(range, sum)),
        4 => (range(), 0..60_000_u64, prop::option::of(0..5_usize), end)
            .prop_map(|(range, came, sum, end)| Step::Broken(range, came, sum, end)),
        2 => (range(), range()).prop_map(|(first, second)| Step::Pair(first, second)),
        2 => any::<u64>().prop_map(Step::PowerCut),
        1 => Just(Step::Kill),
        1 => Just(Step::RevokeAndAdmit),
        1 => Just(Step::Finish),
        1 => Just(Step::DiscardAndBeginAnew),
        1 => Just(Step::NewOwner),
    ]
}

struct World<'a> {
    root: &'a Path,
    disk: PowerDisk,
    store: Option<Arc<dyn Backend>>,
    owned: Owned,
    content: Vec<u8>,
    /// Ranges that were acknowledged, and that were ever sent without a wrong checksum.
    acknowledged: Vec<Range<u64>>,
    sent: Vec<Range<u64>>,
}

impl<'a> World<'a> {
    async fn new(root: &'a Path) -> Self {
        let disk = PowerDisk::new(Arc::new(OsDisk), root).unwrap();
        let store = open(root, Arc::new(disk.clone())).await;
        let owned = Owned { key: UploadKey(Uuid::new_v4()), epoch: 1 };
        let content = content(7, LENGTH);
        let (acknowledged, sent) = (Vec::new(), Vec::new());
        let mut world = Self { root, disk, store: Some(store), owned, content, acknowledged, sent };
        world.begin().await;
        world
    }

    fn store(&self) -> Arc<dyn Backend> {
        Arc::clone(self.store.as_ref().unwrap())
    }

    async fn begin(&mut self) {
        self.owned = Owned { key: UploadKey(Uuid::new_v4()), epoch: 1 };
        self.acknowledged.clear();
        self.sent.clear();
        let spec = UploadSpec { declared_length: Some(LENGTH), digests: DigestChoice::BOTH };
        self.store().create(self.owned, spec).await.unwrap();
    }

    fn bytes(&self, range: &Range<u64>) -> &[u8] {
        let at = |position| usize::try_from(position).unwrap();
        &self.content[at(range.start)..at(range.end)]
    }

    async fn claim(
        &self,
        range: &Range<u64>,
        checksum: Option<ChunkChecksum>,
    ) -> Result<Option<Box<dyn RangeWriter>>> {
        let length = Some(range.end - range.start);
        let chunk = Chunk { offset: range.start, length, checksum };
        match self.store().write(self.owned, chunk).await {
            Ok(Claimed::Writer(writer)) => Ok(Some(writer)),
            Ok(Claimed::AlreadyStored(state)) => {
                check_state(&state);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn put(&mut self, range: Range<u64>, sum: Option<(usize, bool)>) {
        let wrong = sum.is_some_and(|(_, wrong)| wrong);
        let checksum = sum.map(|(algorithm, wrong)| {
            let beyond = if wrong { &self.content[..1] } else { &[][..] };
            every_checksum(&[self.bytes(&range), beyond].concat())[algorithm]
        });
        let mut writer = match self.claim(&range, checksum).await {
            Ok(Some(writer)) => writer,
            Ok(None) => return self.acknowledged.push(range),
            Err(StoreError::TooManyExtents { .. }) => return,
            Err(error) => panic!("refused: {error}"),
        };
        for block in self.bytes(&range).chunks(6_000) {
            writer.append(block).await.unwrap();
        }
        match writer.acknowledge().await {
            Ok(done) => {
                assert!(!wrong, "a wrong checksum was accepted");
                check_state(&done.state);
                assert_eq!(done.counted_bytes, range.end - range.start);
                self.sent.push(range.clone());
                self.acknowledged.push(range);
            }
            Err(StoreError::ChecksumMismatch { .. }) => assert!(wrong, "a right one was not"),
            Err(error) => panic!("not acknowledged: {error}"),
        }
    }

    async fn broken(&mut self, range: Range<u64>, came: u64, sum: Option<usize>, end: End) {
        let checksum = sum.map(|algorithm| every_checksum(self.bytes(&range))[algorithm]);
        let came = range.start..range.end.min(range.start + came);
        let whole = came == range;
        let mut writer = match self.claim(&range, checksum).await {
            Ok(Some(writer)) => writer,
            Ok(None) => return self.acknowledged.push(range),
            Err(StoreError::TooManyExtents { .. }) => return,
            Err(error) => panic!("refused: {error}"),
        };
        for block in self.bytes(&came).chunks(6_000) {
            writer.append(block).await.unwrap();
        }
        if checksum.is_none() || whole {
            self.sent.push(came.clone());
        }
        let answer = match end {
            End::Drop => return,
            End::Interrupt => writer.interrupt().await.map(|done| check_state(&done.state)),
            End::Acknowledge => match writer.acknowledge().await {
                Err(StoreError::WrongChunkLength { .. }) => {
                    assert!(!whole, "a whole body was called short");
                    Ok(())
                }
                Ok(_) => {
                    assert!(whole, "a short body was called whole");
                    return self.acknowledged.push(range);
                }
                Err(error) => Err(error),
            },
        };
        answer.unwrap();
        if checksum.is_none() {
            self.acknowledged.push(came);
        }
    }

    async fn pair(&mut self, first: Range<u64>, second: Range<u64>) {
        let overlap = first.start < second.end && second.start < first.end;
        if overlap {
            self.put(first, None).await;
            return self.put(second, None).await;
        }
        let mut writers = Vec::new();
        for range in [first, second] {
            match self.claim(&range, None).await {
                Ok(Some(writer)) => writers.push((writer, range)),
                Ok(None) => self.acknowledged.push(range),
                Err(StoreError::TooManyExtents { .. }) => {}
                Err(error) => panic!("refused: {error}"),
            }
        }
        for turn in 0..10 {
            for (writer, range) in &mut writers {
                let size = (range.end - range.start).div_ceil(10);
                let from = (range.start + turn * size).min(range.end);
                let to = (from + size).min(range.end);
                writer.append(self.bytes(&(from..to))).await.unwrap();
            }
        }
        for (writer, range) in writers {
            self.sent.push(range.clone());
            writer.acknowledge().await.unwrap();
            self.acknowledged.push(range);
        }
    }

    async fn reopen(&mut self, cut: Option<u64>) {
        if let Some(seed) = cut {
            self.disk.cut(seed).unwrap();
            self.disk = PowerDisk::new(Arc::new(OsDisk), self.root).unwrap();
        } else {
            self.disk.kill_at(0);
        }
        self.store = None;
        self.disk.revive();
        self.store = Some(open(self.root, Arc::new(self.disk.clone())).await);
    }

    async fn finish(&self) {
        let state = self.store().state(self.owned.key).await.unwrap();
        match self.store().finish(self.owned, Arc::new(|_| {})).await {
            Ok(finished) => {
                assert_eq!(finished.length, LENGTH);
                let expected = reference_digests(&self.content, DigestChoice::BOTH);
                assert_eq!(finished.digests, expected);
            }
            Err(StoreError::Incomplete { offset }) => {
                assert!(offset >= state.offset && offset < LENGTH);
            }
            Err(error) => panic!("not finished: {error}"),
        }
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Put(range, sum) => self.put(range, sum).await,
            Step::Broken(range, came, sum, end) => self.broken(range, came, sum, end).await,
            Step::Pair(first, second) => self.pair(first, second).await,
            Step::PowerCut(seed) => self.reopen(Some(seed)).await,
            Step::Kill => self.reopen(None).await,
            Step::RevokeAndAdmit => {
                let state = self.store().revoke(self.owned).await.unwrap();
                assert_eq!((state.writers, state.phase), (0, UploadPhase::Revoked));
                assert!(matches!(
                    self.claim(&(0..LENGTH), None).await,
                    Err(StoreError::Revoked { .. })
                ));
                self.store().admit(self.owned).await.unwrap();
            }
            Step::Finish => self.finish().await,
            Step::DiscardAndBeginAnew => {
                self.store().discard(self.owned).await.unwrap();
                assert!(self.store().uploads().await.unwrap().is_empty());
                self.begin().await;
            }
            Step::NewOwner => {
                let old = self.owned;
                self.owned.epoch += 1;
                self.store().admit(self.owned).await.unwrap();
                let refused = self.store().admit(old).await;
                assert!(matches!(refused, Err(StoreError::Fenced { .. })), "{refused:?}");
            }
        }
        self.check().await;
    }

    async fn check(&mut self) {
        let state = self.store().state(self.owned.key).await.unwrap();
        check_state(&state);
        for range in &self.acknowledged {
            let kept = |e: &Range<u64>| e.start <= range.start && range.end <= e.end;
            let kept = range.is_empty() || state.extents.iter().any(kept);
            assert!(kept, "{range:?} was acknowledged: {state:?}");
        }
        for extent in &state.extents {
            let mut position = extent.start;
            while let Some(end) = self.sent_from(position).filter(|_| position < extent.end) {
                position = end;
            }
            assert!(position >= extent.end, "{position} was never sent: {state:?}");
        }
        let stored = read_upload(&*self.store(), self.owned.key, state.offset).await;
        assert!(stored == self.bytes(&(0..state.offset)), "stored bytes differ: {state:?}");
        // What a state has told is as good as acknowledged.
        self.acknowledged.clone_from(&state.extents);
    }

    /// How far what was sent reaches without a gap from this byte.
    fn sent_from(&self, position: u64) -> Option<u64> {
        let covers = self.sent.iter().filter(|range| range.contains(&position));
        covers.map(|range| range.end).max()
    }

    async fn end(mut self) {
        loop {
            let state = self.store().state(self.owned.key).await.unwrap();
            if state.is_complete() {
                break;
            }
            let end = state.extents.iter().map(|e| e.start).find(|start| *start > state.offset);
            self.put(state.offset..end.unwrap_or(LENGTH), None).await;
        }
        self.check().await;
        self.finish().await;
        let image = ImageKey(Uuid::new_v4());
        self.store().publish(self.owned, image).await.unwrap();
        self.reopen(Some(1)).await;
        assert_image(&*self.store(), image, &self.content).await;
    }
}

fn setting(name: &str, default: u32) -> u32 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[test]
fn random_scripts_keep_every_acknowledged_byte() {
    let (cases, seed) = (setting("LONGSHORE_TEST_CASES", 256), setting("LONGSHORE_TEST_SEED", 1));
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let bytes = [seed.to_le_bytes(); 8].concat();
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let outcome = runner.run(&prop::collection::vec(step(), 1..20), |steps| {
        let directory = scratch();
        runtime.block_on(async {
            let mut world = World::new(directory.path()).await;
            for step in steps {
                world.step(step).await;
            }
            world.end().await;
        });
        Ok(())
    });
    assert!(outcome.is_ok(), "LONGSHORE_TEST_SEED={seed}: {}", outcome.unwrap_err());
}
