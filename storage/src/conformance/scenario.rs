//! One upload with known content, and the steps that cases are made of.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{Backend, Fixture};
use crate::{
    digest::{ChunkChecksum, DigestChoice, Digests},
    error::Result,
    store::{
        Acknowledged, Chunk, Claimed, Finished, ImageKey, Owned, RangeWriter, UploadKey,
        UploadSpec, UploadState,
    },
};

/// Longest time that any single step of a case may take.
pub const STEP: Duration = Duration::from_secs(30);

/// A small seeded generator (splitmix64), so that every run is the same run.
#[derive(Debug, Clone)]
pub struct Dice(pub u64);

impl Dice {
    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 where the bound is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.roll().checked_rem(bound).unwrap_or(0)
    }

    /// One of several.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        let at = self.below(items.len() as u64);
        &items[usize::try_from(at).expect("below the number of items")]
    }

    /// Shuffles in place.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = usize::try_from(self.below(last as u64 + 1)).unwrap_or(0);
            items.swap(last, other);
        }
    }
}

/// Bytes that do not repeat, the same for the same seed.
pub fn content(seed: u64, length: u64) -> Vec<u8> {
    let mut dice = Dice(seed);
    let mut bytes: Vec<u8> =
        (0..length.div_ceil(8)).flat_map(|_| dice.roll().to_le_bytes()).collect();
    bytes.truncate(usize::try_from(length).expect("test content fits into memory"));
    bytes
}

/// Digests computed apart from the store.
pub fn reference_digests(bytes: &[u8], choice: DigestChoice) -> Digests {
    Digests {
        md5: choice.md5.then(|| Md5::digest(bytes).into()),
        sha256: choice.sha256.then(|| Sha256::digest(bytes).into()),
    }
}

/// A checksum of every algorithm over `bytes`, each with its name.
pub fn every_checksum(bytes: &[u8]) -> [ChunkChecksum; 5] {
    [
        ChunkChecksum::Md5(Md5::digest(bytes).into()),
        ChunkChecksum::Sha1(Sha1::digest(bytes).into()),
        ChunkChecksum::Sha256(Sha256::digest(bytes).into()),
        ChunkChecksum::Xxh3(twox_hash::XxHash3_64::oneshot(bytes)),
        ChunkChecksum::Crc32c(crc32c::crc32c(bytes)),
    ]
}

/// A checksum as lower-case hex, the way that errors name it.
pub fn checksum_hex(checksum: &ChunkChecksum) -> String {
    let bytes = match checksum {
        ChunkChecksum::Md5(sum) => sum.to_vec(),
        ChunkChecksum::Sha1(sum) => sum.to_vec(),
        ChunkChecksum::Sha256(sum) => sum.to_vec(),
        ChunkChecksum::Xxh3(sum) => sum.to_be_bytes().to_vec(),
        ChunkChecksum::Crc32c(sum) => sum.to_be_bytes().to_vec(),
    };
    bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// One upload with known content in the store of a fixture.
pub struct Scenario<'a> {
    /// The store under test.
    pub fixture: &'a dyn Fixture,
    /// The upload, with the epoch that steps use.
    pub owned: Owned,
    /// What the client sends.
    pub content: Vec<u8>,
    /// Which digests it wants.
    pub digests: DigestChoice,
}

impl<'a> Scenario<'a> {
    /// Creates an upload of declared length with content from `seed`.
    pub async fn new(fixture: &'a dyn Fixture, seed: u64, length: u64) -> Self {
        Self::create(fixture, content(seed, length), Some(length), DigestChoice::BOTH).await
    }

    /// Creates an upload whose length is not declared yet.
    pub async fn undeclared(fixture: &'a dyn Fixture, seed: u64, length: u64) -> Self {
        Self::create(fixture, content(seed, length), None, DigestChoice::BOTH).await
    }

    /// Creates an upload.
    pub async fn create(
        fixture: &'a dyn Fixture,
        content: Vec<u8>,
        declared_length: Option<u64>,
        digests: DigestChoice,
    ) -> Self {
        let owned = Owned { key: UploadKey(Uuid::new_v4()), epoch: 1 };
        let scenario = Self { fixture, owned, content, digests };
        let spec = UploadSpec { declared_length, digests };
        scenario.store().create(owned, spec).await.expect("an upload can be created");
        scenario
    }

    /// The store as it runs now.
    pub fn store(&self) -> Arc<dyn Backend> {
        self.fixture.store()
    }

    /// Length of the content.
    pub fn length(&self) -> u64 {
        self.content.len() as u64
    }

    /// The bytes of one range of the content.
    pub fn bytes(&self, range: &Range<u64>) -> &[u8] {
        let at = |position| usize::try_from(position).expect("test content fits into memory");
        &self.content[at(range.start)..at(range.end)]
    }

    /// Asks for the right to write a range.
    pub async fn claim(&self, range: &Range<u64>) -> Result<Claimed> {
        self.claim_checked(range, None).await
    }

    /// Asks for the right to write a range under a checksum.
    pub async fn claim_checked(
        &self,
        range: &Range<u64>,
        checksum: Option<ChunkChecksum>,
    ) -> Result<Claimed> {
        let length = Some(range.end - range.start);
        let chunk = Chunk { offset: range.start, length, checksum };
        let asked = self.store();
        tokio::time::timeout(STEP, asked.write(self.owned, chunk)).await.expect("every wait ends")
    }

    /// A writer for a range that is missing.
    pub async fn writer(&self, range: &Range<u64>) -> Box<dyn RangeWriter> {
        expect_writer(self.claim(range).await)
    }

    /// Sends one range in one go. Nothing to send is as good as sent.
    pub async fn try_put(
        &self,
        range: &Range<u64>,
        checksum: Option<ChunkChecksum>,
    ) -> Result<Acknowledged> {
        let mut writer = match self.claim_checked(range, checksum).await? {
            Claimed::Writer(writer) => writer,
            Claimed::AlreadyStored(state) => {
                return Ok(Acknowledged { counted_bytes: range.end - range.start, state });
            }
        };
        for block in self.bytes(range).chunks(10_000) {
            writer.append(block).await?;
        }
        acknowledged(writer).await
    }

    /// Sends one range; it must count.
    pub async fn put(&self, range: Range<u64>) -> UploadState {
        let acknowledged = self.try_put(&range, None).await.expect("the range is stored");
        assert_eq!(acknowledged.counted_bytes, range.end - range.start);
        acknowledged.state
    }

    /// The durable state.
    pub async fn state(&self) -> UploadState {
        let state = self.store().state(self.owned.key).await.expect("the upload is there");
        check_state(&state);
        state
    }

    /// Sends everything that is missing.
    pub async fn complete(&self) {
        let mut position = 0;
        for extent in self.state().await.extents {
            if position < extent.start {
                self.put(position..extent.start).await;
            }
            position = extent.end;
        }
        if position < self.length() {
            self.put(position..self.length()).await;
        }
        assert_eq!(self.state().await.offset, self.length());
    }

    /// Finishes; the digests must equal those computed apart.
    pub async fn finish(&self) -> Finished {
        let finished = self.try_finish().await.expect("a complete upload can be finished");
        assert_eq!(finished.length, self.length());
        assert_eq!(finished.digests, reference_digests(&self.content, self.digests));
        finished
    }

    /// Asks to finish.
    pub async fn try_finish(&self) -> Result<Finished> {
        let store = self.store();
        let finish = store.finish(self.owned, Arc::new(|_| {}));
        tokio::time::timeout(STEP, finish).await.expect("every wait ends")
    }

    /// Completes, finishes and publishes; the image must hold the content.
    pub async fn publish(&self) -> ImageKey {
        self.complete().await;
        self.finish().await;
        let image = ImageKey(Uuid::new_v4());
        self.store().publish(self.owned, image).await.expect("a finished upload can be published");
        assert_image(&*self.store(), image, &self.content).await;
        image
    }

    /// The stored prefix must equal the content; a claim in the state that is not backed by bytes fails here.
    pub async fn check_prefix(&self) {
        let state = self.state().await;
        let stored = read_upload(&*self.store(), self.owned.key, state.offset).await;
        assert!(stored == self.bytes(&(0..state.offset)), "stored bytes differ from those sent");
    }
}

/// What every state must satisfy.
pub fn check_state(state: &UploadState) {
    let first = state.extents.first().filter(|first| first.start == 0);
    assert_eq!(state.offset, first.map_or(0, |first| first.end), "{state:?}");
    assert!(state.extents.iter().all(|extent| extent.start < extent.end), "{state:?}");
    assert!(state.extents.windows(2).all(|pair| pair[0].end < pair[1].start), "{state:?}");
    assert!(state.hashed_offset <= state.offset, "{state:?}");
    assert!(state.hashed_offset.is_multiple_of(64) || state.is_complete(), "{state:?}");
    let end = state.extents.last().map_or(0, |last| last.end);
    assert!(state.declared_length.is_none_or(|length| end <= length), "{state:?}");
}

/// The writer, where the chunk was admitted.
pub fn expect_writer(claimed: Result<Claimed>) -> Box<dyn RangeWriter> {
    match claimed {
        Ok(Claimed::Writer(writer)) => writer,
        Ok(Claimed::AlreadyStored(state)) => panic!("nothing is missing: {state:?}"),
        Err(error) => panic!("refused: {error}"),
    }
}

/// The error, where the chunk was refused.
pub fn expect_refusal(claimed: Result<Claimed>) -> crate::StoreError {
    match claimed {
        Ok(Claimed::Writer(_)) => panic!("a writer was given out"),
        Ok(Claimed::AlreadyStored(state)) => panic!("nothing is missing: {state:?}"),
        Err(error) => error,
    }
}

/// The state, where everything was stored already.
pub fn expect_stored(claimed: Result<Claimed>) -> UploadState {
    match claimed {
        Ok(Claimed::Writer(_)) => panic!("a writer was given out"),
        Ok(Claimed::AlreadyStored(state)) => state,
        Err(error) => panic!("refused: {error}"),
    }
}

/// Acknowledges within bounded time.
pub async fn acknowledged(writer: Box<dyn RangeWriter>) -> Result<Acknowledged> {
    let acknowledged =
        tokio::time::timeout(STEP, writer.acknowledge()).await.expect("every wait ends")?;
    check_state(&acknowledged.state);
    Ok(acknowledged)
}

/// Interrupts within bounded time.
pub async fn interrupted(writer: Box<dyn RangeWriter>) -> Result<Acknowledged> {
    let acknowledged =
        tokio::time::timeout(STEP, writer.interrupt()).await.expect("every wait ends")?;
    check_state(&acknowledged.state);
    Ok(acknowledged)
}

/// Reads the first `length` bytes of an upload.
pub async fn read_upload(store: &dyn Backend, key: UploadKey, length: u64) -> Vec<u8> {
    let mut stored = Vec::new();
    while (stored.len() as u64) < length {
        let range = stored.len() as u64..length;
        let bytes = store.read_upload(key, range).await.expect("stored bytes can be read");
        assert!(!bytes.is_empty(), "{} of {length} stored bytes can be read", stored.len());
        stored.extend_from_slice(&bytes);
    }
    stored
}

/// The image must be there with exactly these bytes.
pub async fn assert_image(store: &dyn Backend, image: ImageKey, content: &[u8]) {
    let length = store.image_length(image).await.expect("the image is there");
    assert_eq!(length, content.len() as u64);
    let mut stored = Vec::new();
    while (stored.len() as u64) < length {
        let range = stored.len() as u64..length;
        let bytes = store.read_image(image, range).await.expect("the image can be read");
        assert!(!bytes.is_empty(), "{} of {length} image bytes can be read", stored.len());
        stored.extend_from_slice(&bytes);
    }
    assert!(stored == content, "the image differs from what was sent");
    let mut listed = store.images().await.expect("the images can be listed");
    listed
        .extend(store.unsettled(Duration::ZERO).await.expect("the unsettled images can be listed"));
    assert!(listed.contains(&image));
}

/// A progress callback that remembers the highest value, and whether it ever fell.
pub fn progress() -> (Arc<AtomicU64>, Arc<dyn Fn(u64) + Send + Sync>) {
    let seen = Arc::new(AtomicU64::new(0));
    let sink = Arc::clone(&seen);
    let callback = move |hashed| {
        let before = sink.fetch_max(hashed, Ordering::SeqCst);
        if before > hashed {
            sink.store(u64::MAX, Ordering::SeqCst);
        }
    };
    (seen, Arc::new(callback))
}
