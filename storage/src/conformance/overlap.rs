//! Two overlapping slices with different bytes, step by step: whose bytes are stored is decided by the claims alone.
//!
//! A request whose range is held does not begin before the holder has ended, so the orders that differ are: when the second
//! one asks, how the first one ends, and, after a takeover, how the late steps of the first mix with those of the second.

use std::{
    ops::{Range, RangeInclusive},
    sync::Arc,
    time::Duration,
};

use tokio::task::JoinSet;
use uuid::Uuid;

use super::{
    Backend, Fixture,
    scenario::{
        STEP, acknowledged, content, expect_writer, interrupted, read_upload, reference_digests,
    },
};
use crate::{
    digest::DigestChoice,
    error::{Result, StoreError},
    store::{Chunk, Claimed, Owned, RangeWriter, UploadKey, UploadSpec},
};

const LENGTH: u64 = 9_000;
const LEFT: Range<u64> = 0..6_000;
const RIGHT: Range<u64> = 3_000..9_000;
/// Each request sends its body in this many pieces.
const PIECES: u64 = 3;
const PIECE_BYTES: u64 = 2_000;

/// One upload with two clients that disagree about its content.
struct Quarrel {
    store: Arc<dyn Backend>,
    owned: Owned,
    first: Range<u64>,
    second: Range<u64>,
    firsts_bytes: Vec<u8>,
    seconds_bytes: Vec<u8>,
}

impl Quarrel {
    async fn new(store: Arc<dyn Backend>, right_is_first: bool) -> Self {
        let owned = Owned { key: UploadKey(Uuid::new_v4()), epoch: 1 };
        let spec = UploadSpec { declared_length: Some(LENGTH), digests: DigestChoice::BOTH };
        store.create(owned, spec).await.expect("created");
        let (first, second) = if right_is_first { (RIGHT, LEFT) } else { (LEFT, RIGHT) };
        let (firsts_bytes, seconds_bytes) = (content(81, LENGTH), content(82, LENGTH));
        Self { store, owned, first, second, firsts_bytes, seconds_bytes }
    }

    async fn ask(&self, range: &Range<u64>) -> Result<Claimed> {
        let length = Some(range.end - range.start);
        let chunk = Chunk { offset: range.start, length, checksum: None };
        let claimed = tokio::time::timeout(STEP, self.store.write(self.owned, chunk)).await;
        claimed.expect("every wait ends")
    }

    async fn claim(&self, range: &Range<u64>) -> Box<dyn RangeWriter> {
        expect_writer(self.ask(range).await)
    }

    /// The piece of a body with this number.
    fn piece<'a>(bytes: &'a [u8], range: &Range<u64>, number: u64) -> &'a [u8] {
        let from = usize::try_from(range.start + number * PIECE_BYTES).expect("small");
        &bytes[from..from + usize::try_from(PIECE_BYTES).expect("small")]
    }

    async fn send_second(&self, mut writer: Box<dyn RangeWriter>) {
        for number in 0..PIECES {
            let piece = Self::piece(&self.seconds_bytes, &self.second, number);
            writer.append(piece).await.expect("the second holds its claim");
        }
        acknowledged(writer).await.expect("the second counts");
    }

    /// What is stored in the end when so many pieces of the first request count: the second's bytes in the rest of its
    /// range, and the first's in what is sent last.
    fn expected(&self, pieces: u64) -> Vec<u8> {
        let mut expected = self.firsts_bytes.clone();
        let firsts = self.first.start..self.first.start + pieces * PIECE_BYTES;
        for position in self.second.clone().filter(|position| !firsts.contains(position)) {
            let at = usize::try_from(position).expect("small");
            expected[at] = self.seconds_bytes[at];
        }
        expected
    }

    /// The upload must hold what is expected for one of these numbers of pieces, and the digests must be those of just
    /// these bytes.
    async fn check(&self, pieces: RangeInclusive<u64>, what: &str) {
        // The last bytes of a request that was dropped may come to count until all of its claim is free: only who asks for the
        // whole waits for that, and is told then whether anything is missing.
        match self.ask(&(0..LENGTH)).await.expect("whoever waits is heard") {
            Claimed::Writer(mut writer) => {
                writer.append(&self.firsts_bytes).await.expect("the rest is taken");
                acknowledged(writer).await.expect("the rest counts");
            }
            Claimed::AlreadyStored(state) => assert!(state.is_complete(), "{what}: {state:?}"),
        }
        let stored = read_upload(&*self.store, self.owned.key, LENGTH).await;
        let possible = pieces.clone().any(|pieces| self.expected(pieces) == stored);
        assert!(possible, "{what}: the stored bytes are torn");
        let finished = self.store.finish(self.owned, Arc::new(|_| {})).await.expect("finished");
        assert_eq!(finished.digests, reference_digests(&stored, DigestChoice::BOTH), "{what}");
        self.store.discard(self.owned).await.expect("discarded");
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Acknowledge,
    Interrupt,
    Drop,
}

/// The second request asks after any number of steps of the first, which then is acknowledged, cut, or disappears.
pub async fn the_first_claim_decides_however_it_ends(fixture: &dyn Fixture) {
    for right_is_first in [false, true] {
        for asks_after in 0..=PIECES {
            for sent in asks_after..=PIECES {
                for end in [End::Acknowledge, End::Interrupt, End::Drop] {
                    if end != End::Acknowledge || sent == PIECES {
                        let quarrel = Quarrel::new(fixture.store(), right_is_first).await;
                        one_after_the_other(quarrel, asks_after, sent, end).await;
                    }
                }
            }
        }
    }
}

async fn one_after_the_other(quarrel: Quarrel, asks_after: u64, sent: u64, end: End) {
    let what = format!("{:?} first, {asks_after} of {sent} pieces, {end:?}", quarrel.first);
    let mut writer = quarrel.claim(&quarrel.first).await;
    let mut asking = Box::pin(quarrel.claim(&quarrel.second));
    let mut second = None;
    for number in 0..=sent {
        if number >= asks_after && second.is_none() {
            second = tokio::time::timeout(Duration::ZERO, &mut asking).await.ok();
            // Bytes that have come may count before their request ends; then only the others are given out.
            let came_to = quarrel.first.start + number * PIECE_BYTES;
            let overlap_came = came_to >= quarrel.first.end.min(quarrel.second.end);
            assert!(second.is_none() || overlap_came, "{what}: the overlap was given out twice");
        }
        if number < sent {
            let piece = Quarrel::piece(&quarrel.firsts_bytes, &quarrel.first, number);
            writer.append(piece).await.expect("the first holds its claim");
        }
    }
    match end {
        End::Acknowledge => drop(acknowledged(writer).await.expect("the first counts")),
        End::Interrupt => drop(interrupted(writer).await.expect("what came counts")),
        End::Drop => drop(writer),
    }
    let second = match second {
        Some(second) => second,
        None => asking.await,
    };
    quarrel.send_second(second).await;
    // What a dropped request sent may count, or a part of it, or nothing.
    let least = if end == End::Drop { 0 } else { sent };
    quarrel.check(least..=sent, &what).await;
}

/// The first request goes silent after any number of pieces and is superseded; whatever it still tries, in every
/// interleaving with the steps of the second, changes nothing.
pub async fn a_superseded_writer_changes_nothing_in_any_interleaving(fixture: &dyn Fixture) {
    let mut running = JoinSet::new();
    let mut interleavings = 0;
    for right_is_first in [false, true] {
        for sent in 0..PIECES {
            // Late steps: the pieces that are left, and the end. The second: its pieces, and the end.
            let (late, steps) = (PIECES - sent + 1, PIECES - sent + 1 + PIECES + 1);
            let orders = (0..1_u32 << steps).filter(|order| u64::from(order.count_ones()) == late);
            for order in orders {
                interleavings += 1;
                let quarrel = Quarrel::new(fixture.store(), right_is_first).await;
                running.spawn(take_over(quarrel, sent, steps, order));
                if running.len() >= 64 {
                    running.join_next().await.expect("one is running").expect("no panic");
                }
            }
        }
    }
    while let Some(done) = running.join_next().await {
        done.expect("no panic");
    }
    assert_eq!(interleavings, 2 * (70 + 35 + 15));
}

/// Bit `n` of `order` says whether step `n` is a late one of the first request.
async fn take_over(quarrel: Quarrel, sent: u64, steps: u64, order: u32) {
    let what = format!("{:?} first, {sent} pieces, order {order:b}", quarrel.first);
    let mut first = Some(quarrel.claim(&quarrel.first).await);
    for number in 0..sent {
        let piece = Quarrel::piece(&quarrel.firsts_bytes, &quarrel.first, number);
        let writer = first.as_mut().expect("it runs");
        writer.append(piece).await.expect("the first holds its claim");
    }
    let mut second = Some(quarrel.claim(&quarrel.second).await);
    let (mut late, mut number) = (sent, 0);
    for step in 0..steps {
        if order >> step & 1 == 1 {
            if late < PIECES {
                let piece = Quarrel::piece(&quarrel.firsts_bytes, &quarrel.first, late);
                let writer = first.as_mut().expect("it runs");
                let error = writer.append(piece).await;
                assert!(matches!(error, Err(StoreError::Superseded)), "{what}: {error:?}");
            } else {
                let done = interrupted(first.take().expect("it runs")).await;
                let counted = done.expect("what came counts").counted_bytes;
                assert!(counted >= sent * PIECE_BYTES, "{what}: {counted} bytes count");
            }
            late += 1;
        } else if number < PIECES {
            let piece = Quarrel::piece(&quarrel.seconds_bytes, &quarrel.second, number);
            let writer = second.as_mut().expect("it runs");
            writer.append(piece).await.expect("the second holds its claim");
            number += 1;
        } else {
            acknowledged(second.take().expect("it runs")).await.expect("the second counts");
        }
    }
    quarrel.check(sent..=sent, &what).await;
}
