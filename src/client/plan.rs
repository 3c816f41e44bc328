//! Which bytes are sent next. Pure bookkeeping: no clock, no network.

use std::collections::BTreeMap;

use crate::wire::native::ByteRange;

/// The bytes of one upload that are not stored yet: still to send, or on the wire.
#[derive(Debug, Default)]
pub struct Plan {
    missing: BTreeMap<u64, u64>,
    flying: BTreeMap<u64, u64>,
}

impl Plan {
    /// Takes what the server says is missing, less what is on the wire.
    pub fn reset(&mut self, missing: &[ByteRange]) {
        self.missing.clear();
        for range in missing {
            self.add(*range);
        }
        for (start, end) in self.flying.clone() {
            self.cut(ByteRange { start, end });
        }
    }

    /// The next slice: the lowest missing bytes, at most `slice_bytes`, of which none is further than `window_bytes` from the
    /// lowest byte that is not stored: a slice that would go further waits. That byte's own slice never does. Slices near each other
    /// are hashed by the server while they are in its cache.
    pub fn next(&mut self, slice_bytes: u64, window_bytes: u64) -> Option<ByteRange> {
        let (&start, &end) = self.missing.first_key_value()?;
        let lowest = self.flying.first_key_value().map_or(start, |(&flying, _)| flying.min(start));
        let slice = ByteRange { start, end: end.min(start.saturating_add(slice_bytes.max(1))) };
        if slice.end - lowest > window_bytes && start > lowest {
            return None;
        }
        self.missing.remove(&start);
        if slice.end < end {
            self.missing.insert(slice.end, end);
        }
        self.flying.insert(slice.start, slice.end);
        Some(slice)
    }

    /// A slice is stored.
    pub fn landed(&mut self, slice: ByteRange) {
        self.flying.remove(&slice.start);
    }

    /// A slice has to be sent again.
    pub fn failed(&mut self, slice: ByteRange) {
        self.flying.remove(&slice.start);
        self.add(slice);
    }

    /// Everything below `offset` is stored, by whomever: it need not be sent any more.
    pub fn stored_below(&mut self, offset: u64) {
        self.cut(ByteRange { start: 0, end: offset });
    }

    /// Nothing is left to send; slices may be on the wire.
    pub fn is_drained(&self) -> bool {
        self.missing.is_empty()
    }

    /// Slices on the wire.
    pub fn flying(&self) -> usize {
        self.flying.len()
    }

    /// Bytes that are not stored.
    pub fn remaining_bytes(&self) -> u64 {
        let sum = |ranges: &BTreeMap<u64, u64>| ranges.iter().map(|(start, end)| end - start).sum();
        let (missing, flying): (u64, u64) = (sum(&self.missing), sum(&self.flying));
        missing + flying
    }

    /// Adds a range and joins it with its neighbours, so that an adaptive size can grow over old borders.
    fn add(&mut self, range: ByteRange) {
        if range.len() == 0 {
            return;
        }
        let (mut start, mut end) = (range.start, range.end);
        let touching: Vec<_> = self
            .missing
            .range(..=end)
            .rev()
            .take_while(|&(_, &their_end)| their_end >= start)
            .map(|(&their_start, &their_end)| (their_start, their_end))
            .collect();
        for (their_start, their_end) in touching {
            self.missing.remove(&their_start);
            start = start.min(their_start);
            end = end.max(their_end);
        }
        self.missing.insert(start, end);
    }

    fn cut(&mut self, hole: ByteRange) {
        let hit: Vec<_> = self
            .missing
            .range(..hole.end)
            .filter(|&(_, &end)| end > hole.start)
            .map(|(&start, &end)| (start, end))
            .collect();
        for (start, end) in hit {
            self.missing.remove(&start);
            if start < hole.start {
                self.missing.insert(start, hole.start);
            }
            if hole.end < end {
                self.missing.insert(hole.end, end);
            }
        }
    }
}

/// How long slices are: shorter after an error, longer while they arrive quickly.
#[derive(Debug, Clone, Copy)]
pub struct SliceSize {
    now: u64,
    min: u64,
    max: u64,
}

/// A slice that took longer is halved: a cut costs at most one slice.
const SLOW_SECS: f64 = 30.0;
/// A slice that took less is doubled.
const QUICK_SECS: f64 = 5.0;

impl SliceSize {
    /// Begins in the middle of `min..=max`, by halvings of `max`.
    pub fn between(min: u64, max: u64) -> Self {
        let max = max.max(1);
        let min = min.clamp(1, max);
        Self { now: (max / 2).max(min), min, max }
    }

    /// Bytes of the next slice.
    pub const fn bytes(self) -> u64 {
        self.now
    }

    /// A slice failed.
    pub fn failed(&mut self) {
        self.now = (self.now / 2).max(self.min);
    }

    /// The server takes at most `bytes` from now on.
    pub fn limited(&mut self, bytes: u64) {
        self.max = bytes.clamp(1, self.max);
        self.min = self.min.min(self.max);
        self.now = self.now.min(self.max);
    }

    /// A slice of `bytes` arrived after `secs`. Short ones, at the end of a range, say little.
    pub fn landed(&mut self, bytes: u64, secs: f64) {
        if secs > SLOW_SECS {
            self.failed();
        } else if secs < QUICK_SECS && bytes >= self.now {
            self.now = self.now.saturating_mul(2).min(self.max);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(start: u64, end: u64) -> ByteRange {
        ByteRange { start, end }
    }

    fn spot(byte: u64) -> usize {
        usize::try_from(byte).unwrap()
    }

    #[test]
    fn slices_are_cut_from_the_lowest_missing_bytes() {
        let mut plan = Plan::default();
        plan.reset(&[range(100, 350), range(1000, 1010)]);
        let slices: Vec<_> = std::iter::from_fn(|| plan.next(100, u64::MAX)).collect();
        assert_eq!(slices, [range(100, 200), range(200, 300), range(300, 350), range(1000, 1010)]);
        assert_eq!((plan.remaining_bytes(), plan.flying()), (260, 4));
        for slice in slices {
            plan.landed(slice);
        }
        assert_eq!((plan.remaining_bytes(), plan.is_drained()), (0, true));
    }

    #[test]
    fn a_stuck_slice_holds_the_others_near_it() {
        let mut plan = Plan::default();
        plan.reset(&[range(0, 1000)]);
        let stuck = plan.next(100, 300).unwrap();
        for _ in 0..2 {
            let slice = plan.next(100, 300).unwrap();
            plan.landed(slice);
        }
        assert_eq!(plan.next(100, 300), None, "300 is a window away from byte 0");
        plan.landed(stuck);
        assert_eq!(plan.next(100, 300), Some(range(300, 400)));
        assert_eq!(plan.next(201, 300), None, "its end would be 301 from byte 300");
        assert_eq!(plan.next(200, 300), Some(range(400, 600)));
        let mut plan = Plan::default();
        plan.reset(&[range(0, 1000)]);
        assert_eq!(plan.next(400, 300), Some(range(0, 400)), "somebody has to begin");
    }

    #[test]
    fn a_failed_slice_comes_first_and_joins_its_neighbours() {
        let mut plan = Plan::default();
        plan.reset(&[range(0, 400)]);
        let first = plan.next(100, u64::MAX).unwrap();
        let second = plan.next(100, u64::MAX).unwrap();
        plan.failed(second);
        assert_eq!(plan.next(1000, u64::MAX), Some(range(100, 400)));
        plan.failed(first);
        assert_eq!(plan.next(50, u64::MAX), Some(range(0, 50)));
    }

    #[test]
    fn a_reset_does_not_send_again_what_is_on_the_wire() {
        let mut plan = Plan::default();
        plan.reset(&[range(0, 300)]);
        let flying = plan.next(100, u64::MAX).unwrap();
        plan.reset(&[range(0, 300)]);
        assert_eq!(plan.next(1000, u64::MAX), Some(range(100, 300)));
        plan.landed(flying);
        assert_eq!(plan.remaining_bytes(), 200);
    }

    #[test]
    fn what_somebody_else_stored_is_not_sent() {
        let mut plan = Plan::default();
        plan.reset(&[range(0, 100), range(150, 300)]);
        plan.stored_below(200);
        assert_eq!((plan.remaining_bytes(), plan.next(1000, 1000)), (100, Some(range(200, 300))));
    }

    #[test]
    fn sizes_halve_on_errors_and_grow_while_it_is_quick() {
        let mib = 1 << 20;
        let mut size = SliceSize::between(mib, 16 * mib);
        assert_eq!(size.bytes(), 8 * mib);
        size.landed(8 * mib, 1.0);
        size.landed(16 * mib, 1.0);
        assert_eq!(size.bytes(), 16 * mib);
        for _ in 0..9 {
            size.failed();
        }
        assert_eq!(size.bytes(), mib);
        size.landed(mib / 2, 0.1);
        assert_eq!(size.bytes(), mib, "a short slice at the end proves nothing");
        size.limited(1000);
        assert_eq!(size.bytes(), 1000);
        size.landed(1000, 0.1);
        assert_eq!(size.bytes(), 1000);
    }

    proptest! {
        /// Whatever fails and in whatever order, every missing byte is sent, none twice at once, none that is not missing.
        #[test]
        fn every_missing_byte_lands_once(
            ranges in prop::collection::vec((0u64..2000, 1u64..300), 1..8),
            steps in prop::collection::vec((any::<bool>(), 1u64..200, 0usize..8), 1..200),
        ) {
            let missing: Vec<_> = ranges.iter().map(|&(start, len)| range(start, start + len)).collect();
            let mut wanted = vec![false; 3000];
            for r in &missing {
                wanted[spot(r.start)..spot(r.end)].fill(true);
            }
            let mut stored = vec![false; 3000];
            let mut plan = Plan::default();
            plan.reset(&missing);
            let mut flying: Vec<ByteRange> = Vec::new();
            let mut steps = steps.into_iter();
            loop {
                let (fail, bytes, index) = steps.next().unwrap_or((false, 64, 0));
                if let Some(slice) = plan.next(bytes, 500) {
                    prop_assert!(slice.len() <= bytes);
                    prop_assert!(flying.iter().all(|other| slice.end <= other.start || other.end <= slice.start));
                    flying.push(slice);
                }
                if flying.is_empty() {
                    break;
                }
                let slice = flying.swap_remove(index % flying.len());
                if fail {
                    plan.failed(slice);
                } else {
                    plan.landed(slice);
                    for byte in spot(slice.start)..spot(slice.end) {
                        prop_assert!(wanted[byte] && !stored[byte]);
                        stored[byte] = true;
                    }
                }
            }
            prop_assert_eq!(stored, wanted);
            prop_assert_eq!(plan.remaining_bytes(), 0);
        }
    }
}
