//! Who may write which missing bytes of one upload. Pure: time and what is stored come in as arguments.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use crate::{
    extents::{Extents, overlap},
    limits::Limits,
};

/// One granted claim; never used twice within a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClaimId(pub u64);

/// What a request for a range is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Nothing is missing in the range.
    Stored,
    /// The missing sub-ranges belong to this claim alone until it is released.
    Granted(ClaimId, Vec<Range<u64>>),
    /// These holders have been silent: end them, then wait for their release and ask again.
    End(Vec<ClaimId>),
    /// Ask again after a release, or when this moment has come (a holder may have gone silent by then).
    Wait(Duration),
    /// Every place is taken and nobody has been silent for long enough.
    Full,
    /// The chunk would lie alone, and the upload has as many separate ranges as are kept track of.
    TooManyExtents,
}

#[derive(Debug)]
struct Holder {
    parts: Vec<Range<u64>>,
    heard: Duration,
    island: bool,
    ending: bool,
}

/// All claims of one upload.
///
/// Guarantee: the parts of two claims never overlap, and a claim has only bytes that were not stored when it was granted.
/// All moments are durations since one fixed instant of the caller's monotonic clock.
#[derive(Debug, Default)]
pub struct Ledger {
    holders: BTreeMap<ClaimId, Holder>,
    next: u64,
}

impl Ledger {
    /// No claims.
    pub fn new() -> Self {
        Self::default()
    }

    /// Decides about a request for `range`, where `stored` counts already and `now` is the moment.
    pub fn request(
        &mut self,
        range: Range<u64>,
        stored: &Extents,
        now: Duration,
        limits: &Limits,
    ) -> Decision {
        let missing = stored.missing(range.clone());
        if missing.is_empty() {
            return Decision::Stored;
        }
        let conflicting = self.conflicting(&missing, stored);
        if !conflicting.is_empty() {
            return self.end_or_wait(&conflicting, now, limits);
        }
        if self.holders.len() >= limits.writers_max as usize {
            return self.make_room(now, limits);
        }
        // Judged by its first byte: a body that is to end at a stored range may break off before it gets there.
        let first = missing[0].start;
        let island = stored.would_add_island(first..first + 1);
        let islands = self.holders.values().filter(|holder| holder.island).count();
        if island && stored.len() + islands >= limits.extents_max {
            return Decision::TooManyExtents;
        }
        let id = ClaimId(self.next);
        self.next += 1;
        let parts = missing.clone();
        self.holders.insert(id, Holder { parts, heard: now, island, ending: false });
        Decision::Granted(id, missing)
    }

    /// Holders that may still write a byte of `missing`.
    fn conflicting(&self, missing: &[Range<u64>], stored: &Extents) -> Vec<ClaimId> {
        let writes_into = |holder: &Holder| {
            holder.parts.iter().any(|part| {
                missing
                    .iter()
                    .any(|gap| overlap(part, gap).is_some_and(|both| !stored.contains(both)))
            })
        };
        self.holders.iter().filter(|(_, holder)| writes_into(holder)).map(|(id, _)| *id).collect()
    }

    /// A range is handed over only when every holder in it is silent: ending one of two would cost its client the
    /// connection without helping the newcomer.
    fn end_or_wait(&mut self, ids: &[ClaimId], now: Duration, limits: &Limits) -> Decision {
        let alive = ids
            .iter()
            .filter_map(|id| self.holders.get(id))
            .filter(|holder| !holder.ending)
            .map(|holder| holder.heard + limits.claim_silent)
            .max();
        match alive {
            // All are ending: their release wakes us.
            None => Decision::Wait(now + limits.claim_silent),
            Some(moment) if moment > now => Decision::Wait(moment),
            Some(_) => {
                let ended: Vec<_> = ids.iter().copied().filter(|id| self.mark(*id)).collect();
                Decision::End(ended)
            }
        }
    }

    fn make_room(&mut self, now: Duration, limits: &Limits) -> Decision {
        if self.holders.values().any(|holder| holder.ending) {
            return Decision::Wait(now + limits.claim_silent);
        }
        let longest = self.holders.iter().min_by_key(|(_, holder)| holder.heard);
        match longest {
            Some((id, holder)) if holder.heard + limits.writer_evict_silent <= now => {
                let id = *id;
                self.mark(id);
                Decision::End(vec![id])
            }
            Some(_) | None => Decision::Full,
        }
    }

    /// Marks a claim as ending; answers whether it was not before.
    fn mark(&mut self, id: ClaimId) -> bool {
        self.holders.get_mut(&id).is_some_and(|holder| !std::mem::replace(&mut holder.ending, true))
    }

    /// Bytes of the claim arrived at `moment`; an earlier one than known changes nothing.
    pub fn heard(&mut self, id: ClaimId, moment: Duration) {
        if let Some(holder) = self.holders.get_mut(&id) {
            holder.heard = holder.heard.max(moment);
        }
    }

    /// The claim is over: its last write has returned. Idempotent.
    pub fn release(&mut self, id: ClaimId) {
        self.holders.remove(&id);
    }

    /// Claims that are held, also those that are ending.
    pub fn len(&self) -> usize {
        self.holders.len()
    }

    /// Whether nobody holds a claim.
    pub fn is_empty(&self) -> bool {
        self.holders.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits::for_cores(2);

    fn ms(value: u64) -> Duration {
        Duration::from_millis(value)
    }

    fn granted(decision: Decision) -> (ClaimId, Vec<Range<u64>>) {
        match decision {
            Decision::Granted(id, parts) => (id, parts),
            other => panic!("not granted: {other:?}"),
        }
    }

    #[test]
    fn only_missing_parts_are_granted() {
        let mut stored = Extents::new();
        stored.insert(10..20);
        let mut ledger = Ledger::new();
        let (_, parts) = granted(ledger.request(0..30, &stored, ms(0), &LIMITS));
        assert_eq!(parts, [0..10, 20..30]);
        assert_eq!(ledger.request(12..18, &stored, ms(0), &LIMITS), Decision::Stored);
    }

    #[test]
    fn a_live_holder_stays_and_a_silent_one_is_ended_once() {
        let stored = Extents::new();
        let mut ledger = Ledger::new();
        let (first, _) = granted(ledger.request(0..100, &stored, ms(0), &LIMITS));
        ledger.heard(first, ms(400));
        assert_eq!(ledger.request(50..150, &stored, ms(500), &LIMITS), Decision::Wait(ms(900)));
        let decision = ledger.request(50..150, &stored, ms(900), &LIMITS);
        assert_eq!(decision, Decision::End(vec![first]));
        let decision = ledger.request(50..150, &stored, ms(901), &LIMITS);
        assert_eq!(decision, Decision::Wait(ms(1401)));
        ledger.release(first);
        granted(ledger.request(50..150, &stored, ms(902), &LIMITS));
    }

    #[test]
    fn what_a_holder_has_stored_already_is_no_conflict() {
        let mut stored = Extents::new();
        let mut ledger = Ledger::new();
        granted(ledger.request(0..100, &stored, ms(0), &LIMITS));
        stored.insert(0..50);
        assert_eq!(ledger.request(0..40, &stored, ms(0), &LIMITS), Decision::Stored);
        assert!(matches!(ledger.request(40..60, &stored, ms(0), &LIMITS), Decision::Wait(_)));
    }

    #[test]
    fn a_full_house_makes_room_only_for_the_longest_silent() {
        let stored = Extents::new();
        let mut ledger = Ledger::new();
        let ids: Vec<_> = (0..8)
            .map(|slot| {
                granted(ledger.request(slot * 10..slot * 10 + 10, &stored, ms(slot), &LIMITS)).0
            })
            .collect();
        ledger.heard(ids[0], ms(100));
        assert_eq!(ledger.request(80..90, &stored, ms(2000), &LIMITS), Decision::Full);
        let decision = ledger.request(80..90, &stored, ms(2001), &LIMITS);
        assert_eq!(decision, Decision::End(vec![ids[1]]));
    }

    #[test]
    fn islands_are_counted_with_those_on_their_way() {
        let mut stored = Extents::new();
        stored.insert(100..110);
        let mut ledger = Ledger::new();
        let limits = Limits { extents_max: 2, ..LIMITS };
        granted(ledger.request(200..210, &stored, ms(0), &limits));
        let decision = ledger.request(300..310, &stored, ms(0), &limits);
        assert_eq!(decision, Decision::TooManyExtents);
        granted(ledger.request(0..10, &stored, ms(0), &limits));
        granted(ledger.request(110..120, &stored, ms(0), &limits));
    }

    proptest! {
        #[test]
        fn claims_never_overlap(
            steps in prop::collection::vec((0u64..100, 1u64..30, 0u64..700, any::<bool>()), 1..60),
        ) {
            let mut ledger = Ledger::new();
            let mut stored = Extents::new();
            let mut held: Vec<(ClaimId, Vec<Range<u64>>)> = Vec::new();
            let mut now = ms(0);
            for (start, length, pause, stores) in steps {
                now += ms(pause);
                match ledger.request(start..start + length, &stored, now, &LIMITS) {
                    Decision::Granted(id, parts) => {
                        for part in &parts {
                            prop_assert!(stored.present(part.clone()).is_empty());
                            for other in held.iter().flat_map(|(_, parts)| parts) {
                                prop_assert!(overlap(part, other).is_none());
                            }
                        }
                        held.push((id, parts));
                    }
                    Decision::End(ids) => for id in ids {
                        let at = held.iter().position(|(holder, _)| *holder == id).unwrap();
                        let (_, parts) = held.remove(at);
                        if stores {
                            for part in parts {
                                stored.insert(part);
                            }
                        }
                        ledger.release(id);
                    },
                    Decision::Stored | Decision::Wait(_) | Decision::Full
                    | Decision::TooManyExtents => {}
                }
            }
        }
    }
}
