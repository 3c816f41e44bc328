//! Digests that follow the prefix of one upload. They change on hash workers only, and one item of an upload after the other.

use std::{ops::Range, sync::Arc};

use super::{
    block::Block,
    entries::too_short,
    hash_task::{HashItem, Source, Span, Task},
    lane::{Lane, Outcome},
    reading_back::{Back, give_back},
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

    /// The copy that runs ahead over the chunk of `id`; it begins where the chunk continues the digests. `None` while another
    /// chunk has one.
    fn ahead(&mut self, id: ClaimId, parts: &[Range<u64>]) -> Option<&mut DigestState> {
        let at = self.main.offset();
        if self.ahead.is_none() && parts.iter().any(|part| part.contains(&at)) {
            self.ahead = Some((id, self.main.clone()));
        }
        self.ahead.as_mut().filter(|(owner, _)| *owner == id).map(|(_, state)| state)
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

/// A copy of the state, and the bytes of the block that continue it. Parts have gaps between them: one at most does.
fn continued(state: &DigestState, block_start: u64, parts: &[Range<u64>]) -> Option<Span> {
    let at = state.offset();
    let part = parts.iter().find(|part| part.contains(&at))?;
    let in_block =
        |position: u64| usize::try_from(position - block_start).expect("a block fits into memory");
    Some(Span::new(state.clone(), in_block(at)..in_block(part.end)))
}

impl Upload {
    /// Takes a block of a lane: for the checksum of its chunk, and for the digests where it continues them. `parts` are the
    /// bytes that were written, and that count unless the chunk is checked.
    pub(super) fn begin_block(
        self: &Arc<Self>,
        lane: Arc<Lane>,
        block: Block,
        parts: Vec<Range<u64>>,
    ) -> Task {
        let mut track = locked(&self.track);
        let state = if lane.checked { track.ahead(lane.id, &parts) } else { Some(&mut track.main) };
        let prefix = state.and_then(|state| continued(state, block.start(), &parts));
        drop(track);
        Task::new(Arc::clone(self), Source::Written { lane, block, parts }, prefix)
    }

    /// What a task has hashed becomes what everybody sees. Nobody else has changed it meanwhile: only the worker that has the upload does.
    pub(super) fn hashed_task(self: &Arc<Self>, source: Source, prefix: Option<Span>) {
        let counters = &self.shared.counters;
        let mut track = locked(&self.track);
        if let Some(span) = prefix {
            add(&counters.hashed_bytes, span.length as u64);
            match &source {
                Source::Written { lane, .. } if lane.checked => {
                    track.ahead = Some((lane.id, span.state));
                }
                Source::Written { .. } => track.main = span.state,
                Source::Read(_) => {
                    add(&counters.read_back_bytes, span.length as u64);
                    track.main = span.state;
                }
            }
        }
        let mut inner = self.lock();
        if let Source::Written { lane, parts, .. } = &source
            && !lane.checked
        {
            inner.in_pipeline.retain(|queued| !parts.contains(queued));
        }
        self.hashed_to(&mut inner, track.main.offset());
        drop(inner);
        drop(track);
        match source {
            Source::Written { lane, block, .. } => lane.block_home(block),
            Source::Read(read) => give_back(read),
        }
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
            inner.catching_up = self.shared.hash.submit(self, HashItem::CatchUp);
        }
    }

    /// Reads back at most one piece; the next one queues behind whatever has come meanwhile.
    pub(super) fn begin_catch_up(self: &Arc<Self>) -> Option<Task> {
        let (start, end) = {
            let mut inner = self.lock();
            inner.catching_up = false;
            if inner.failed.is_some() || inner.closed || inner.finished.is_some() {
                drop(inner);
                self.forget_fetched();
                return None;
            }
            (inner.hashed, catch_up_end(&inner))
        };
        let mut track = locked(&self.track);
        if track.main.is_idle() {
            track.main.skip_to(end);
        }
        let state = track.main.clone();
        drop(track);
        if state.is_idle() || end <= start {
            let mut inner = self.lock();
            self.hashed_to(&mut inner, state.offset());
            drop(inner);
            self.beat();
            return None;
        }
        match self.read_back(start..end) {
            Ok(Back::Here(read)) => {
                let prefix = Some(Span::new(state, 0..read.bytes().len()));
                return Some(Task::new(Arc::clone(self), Source::Read(read), prefix));
            }
            Ok(Back::OnItsWay) => {}
            Ok(Back::TooShort) => self.poison(too_short(self.key)),
            Err(error) => self.poison(StoreError::from_io("read data back", &error)),
        }
        None
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
