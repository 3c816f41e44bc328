//! Digests that follow the prefix of one upload. Runs on the hash worker of the upload only, one step after the other.

use std::{ops::Range, sync::Arc};

use super::{
    block::Block,
    entries::too_short,
    lane::{Lane, Outcome},
    reading_back::ReadBack,
    statistics::add,
    threads::locked,
    upload::{Inner, Upload},
};
use crate::{
    claims::ClaimId,
    digest::{DigestState, Digests, SavedDigests},
    error::StoreError,
};

/// The digests of the prefix, and at most one copy that runs ahead over a chunk whose checksum is not known to match yet.
pub(super) struct Track {
    main: DigestState,
    ahead: Option<(ClaimId, DigestState)>,
}

impl Track {
    pub(super) fn new(main: DigestState) -> Self {
        Self { main, ahead: None }
    }

    /// What a checkpoint may keep: never the copy that runs ahead.
    pub(super) fn saved(&self) -> SavedDigests {
        self.main.save()
    }

    pub(super) fn finished(&self, length: u64) -> Option<Digests> {
        (self.main.offset() == length).then(|| self.main.clone().finish())
    }

    /// Takes bytes that count, where they continue the digests.
    fn follow(&mut self, part: &Range<u64>, bytes: &[u8]) -> u64 {
        advance(&mut self.main, part, bytes)
    }

    /// Takes bytes of a chunk that is not verified yet.
    fn follow_ahead(&mut self, id: ClaimId, part: &Range<u64>, bytes: &[u8]) -> u64 {
        if self.ahead.is_none() && part.contains(&self.main.offset()) {
            self.ahead = Some((id, self.main.clone()));
        }
        match &mut self.ahead {
            Some((owner, state)) if *owner == id => advance(state, part, bytes),
            Some(_) | None => 0,
        }
    }

    /// The chunk of `id` is settled: its copy becomes the truth, or is forgotten.
    fn settle(&mut self, id: ClaimId, counts: bool) {
        if self.ahead.as_ref().is_some_and(|(owner, _)| *owner == id)
            && let Some((_, state)) = self.ahead.take()
            && counts
            && state.offset() > self.main.offset()
        {
            self.main = state;
        }
    }
}

/// Shows a state the bytes of `part` from its offset on, when it stands in the part; answers how many.
fn advance(state: &mut DigestState, part: &Range<u64>, bytes: &[u8]) -> u64 {
    if !part.contains(&state.offset()) {
        return 0;
    }
    let skipped = usize::try_from(state.offset() - part.start).expect("a part fits into memory");
    state.update(&bytes[skipped..]);
    (bytes.len() - skipped) as u64
}

impl Upload {
    /// Hashes one block of a lane: for the checksum of its chunk, and for the digests where it continues them. `parts` are the
    /// bytes that were written, and that count unless the chunk is checked.
    pub(super) fn hash_block(self: &Arc<Self>, lane: &Lane, block: Block, parts: &[Range<u64>]) {
        lane.check(block.bytes());
        let mut track = locked(&self.track);
        let mut hashed = 0;
        for part in parts {
            let bytes = block.part(part);
            hashed += if lane.checked {
                track.follow_ahead(lane.id, part, bytes)
            } else {
                track.follow(part, bytes)
            };
        }
        add(&self.shared.counters.hashed_bytes, hashed);
        let mut inner = self.lock();
        if !lane.checked {
            inner.in_pipeline.retain(|queued| !parts.contains(queued));
        }
        self.hashed_to(&mut inner, track.main.offset());
        drop(inner);
        drop(track);
        lane.block_home(block);
        self.beat();
    }

    /// Decides about a checked chunk whose blocks have all been hashed.
    pub(super) fn settle(self: &Arc<Self>, lane: &Lane, verify: bool) {
        let verdict = if verify { lane.verdict() } else { None };
        let mut track = locked(&self.track);
        let mut inner = self.lock();
        let stands = inner.failed.is_none() && lane.epoch == inner.epoch;
        let outcome = match verdict {
            Some(Ok(())) if stands => {
                self.count(&mut inner, lane.parts.as_slice());
                Outcome::Counted
            }
            Some(Err(actual)) => Outcome::Mismatch(actual),
            Some(Ok(())) | None => Outcome::Nothing,
        };
        track.settle(lane.id, matches!(outcome, Outcome::Counted));
        self.hashed_to(&mut inner, track.main.offset());
        drop(inner);
        drop(track);
        lane.release(outcome);
    }

    fn hashed_to(self: &Arc<Self>, inner: &mut Inner, offset: u64) {
        if inner.finished.is_some() {
            return;
        }
        inner.hashed = offset;
        self.leave_cache(inner, offset);
        if offset >= inner.sync.snapshot_hashed + self.shared.limits.checkpoint_bytes
            && !inner.sync.running
        {
            inner.version += 1;
            let version = inner.version;
            self.request_sync(inner, version);
        }
        self.kick_catch_up(inner);
    }

    /// Lets the digests catch up with bytes that count and are not on their way to the hash worker.
    pub(super) fn kick_catch_up(self: &Arc<Self>, inner: &mut Inner) {
        if inner.catching_up || inner.failed.is_some() || inner.closed || inner.finished.is_some() {
            return;
        }
        if catch_up_end(inner) > inner.hashed {
            inner.catching_up = true;
            let upload = Arc::clone(self);
            if !self.shared.hash.submit(self.worker, Box::new(move || upload.catch_up())) {
                inner.catching_up = false;
            }
        }
    }

    /// One step: reads back and hashes at most one block, then queues behind whatever has come meanwhile.
    fn catch_up(self: Arc<Self>) {
        let (start, end) = {
            let mut inner = self.lock();
            inner.catching_up = false;
            if inner.failed.is_some() || inner.closed || inner.finished.is_some() {
                return;
            }
            (inner.hashed, catch_up_end(&inner))
        };
        let mut track = locked(&self.track);
        if track.main.is_idle() {
            track.main.skip_to(end);
        } else if end > start {
            let read = self.read_back(start..end, |bytes| track.main.update(bytes));
            let Some(read) = read.transpose() else {
                return;
            };
            if let Some(error) = self.read_back_error(read) {
                drop(track);
                self.poison(error);
                return;
            }
        }
        let mut inner = self.lock();
        self.hashed_to(&mut inner, track.main.offset());
        drop(inner);
        drop(track);
        self.beat();
    }

    fn read_back_error(&self, read: std::io::Result<ReadBack>) -> Option<StoreError> {
        match read {
            Ok((read, wanted)) if read == wanted => {
                add(&self.shared.counters.hashed_bytes, read as u64);
                add(&self.shared.counters.read_back_bytes, read as u64);
                None
            }
            Ok(_) => Some(too_short(self.key)),
            Err(error) => Some(StoreError::from_io("read data back", &error)),
        }
    }
}

/// How far reading back makes sense: to the end of the prefix, or to bytes that are in memory anyway.
pub(super) fn catch_up_end(inner: &Inner) -> u64 {
    let queued = inner
        .in_pipeline
        .iter()
        .filter(|queued| queued.end > inner.hashed)
        .map(|queued| queued.start)
        .min();
    queued.map_or(inner.counted.prefix(), |start| start.min(inner.counted.prefix()))
}
