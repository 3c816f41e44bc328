//! Sorted, disjoint byte ranges: which bytes of an upload are there.

use std::ops::Range;

/// A set of bytes as ranges that are sorted, not empty, and neither overlap nor touch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extents {
    ranges: Vec<Range<u64>>,
}

impl Extents {
    /// The empty set.
    pub const fn new() -> Self {
        Self { ranges: Vec::new() }
    }

    /// Takes ranges that are sorted, not empty, and neither overlap nor touch; `None` when they are not.
    /// For records that are read back: a damaged one must not become a set that breaks the promise.
    pub fn from_sorted(ranges: Vec<Range<u64>>) -> Option<Self> {
        let each = ranges.iter().all(|range| range.start < range.end);
        let order = ranges.windows(2).all(|pair| pair[0].end < pair[1].start);
        (each && order).then_some(Self { ranges })
    }

    /// Adds `range`; what is there already stays, what touches becomes one.
    pub fn insert(&mut self, range: Range<u64>) {
        if range.start >= range.end {
            return;
        }
        let first = self.ranges.partition_point(|held| held.end < range.start);
        let last = self.ranges.partition_point(|held| held.start <= range.end);
        let mut merged = range;
        if first < last {
            merged.start = merged.start.min(self.ranges[first].start);
            merged.end = merged.end.max(self.ranges[last - 1].end);
        }
        self.ranges.splice(first..last, std::iter::once(merged));
    }

    /// Takes out every byte before `position`; answers how many there were.
    pub fn remove_before(&mut self, position: u64) -> u64 {
        let whole = self.ranges.partition_point(|held| held.end <= position);
        let mut removed = self.ranges.drain(..whole).map(|held| held.end - held.start).sum();
        if let Some(first) = self.ranges.first_mut()
            && first.start < position
        {
            removed += position - first.start;
            first.start = position;
        }
        removed
    }

    /// The parts of `range` that are not in the set, sorted.
    pub fn missing(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut missing = Vec::new();
        let mut position = range.start;
        let first = self.ranges.partition_point(|held| held.end <= range.start);
        for held in &self.ranges[first..] {
            if position >= range.end || held.start >= range.end {
                break;
            }
            if position < held.start {
                missing.push(position..held.start);
            }
            position = position.max(held.end);
        }
        if position < range.end {
            missing.push(position..range.end);
        }
        missing
    }

    /// The parts of `range` that are in the set, sorted.
    pub fn present(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let first = self.ranges.partition_point(|held| held.end <= range.start);
        self.ranges[first..]
            .iter()
            .take_while(|held| held.start < range.end)
            .map(|held| held.start.max(range.start)..held.end.min(range.end))
            .filter(|part| part.start < part.end)
            .collect()
    }

    /// First missing byte: the end of the range that begins at 0, else 0.
    pub fn prefix(&self) -> u64 {
        self.ranges.first().filter(|first| first.start == 0).map_or(0, |first| first.end)
    }

    /// Whether every byte of `range` is in the set; the empty range always is.
    pub fn contains(&self, range: Range<u64>) -> bool {
        if range.start >= range.end {
            return true;
        }
        let index = self.ranges.partition_point(|held| held.end < range.end);
        self.ranges
            .get(index)
            .is_some_and(|held| held.start <= range.start && held.end >= range.end)
    }

    /// Whether `range` would lie alone: it begins after the prefix and touches nothing that is there.
    pub fn would_add_island(&self, range: Range<u64>) -> bool {
        if range.start >= range.end || range.start == 0 {
            return false;
        }
        let first = self.ranges.partition_point(|held| held.end < range.start);
        self.ranges.get(first).is_none_or(|held| held.start > range.end)
    }

    /// First byte after the last range, 0 when there is none.
    pub fn end(&self) -> u64 {
        self.ranges.last().map_or(0, |last| last.end)
    }

    /// Bytes in the set.
    pub fn bytes(&self) -> u64 {
        self.ranges.iter().map(|range| range.end - range.start).sum()
    }

    /// Number of ranges.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The ranges, sorted.
    pub fn as_slice(&self) -> &[Range<u64>] {
        &self.ranges
    }

    /// The ranges as a list of their own.
    pub fn to_vec(&self) -> Vec<Range<u64>> {
        self.ranges.clone()
    }
}

/// The part of `left` that also lies in `right`; `None` when there is none.
pub fn overlap(left: &Range<u64>, right: &Range<u64>) -> Option<Range<u64>> {
    let part = left.start.max(right.start)..left.end.min(right.end);
    (part.start < part.end).then_some(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The slow, obvious model: one bool per byte.
    fn model(ranges: &[(u64, u64)]) -> ([bool; 64], Extents) {
        let mut bytes = [false; 64];
        let mut extents = Extents::new();
        for &(start, length) in ranges {
            extents.insert(start..start + length);
            for byte in start..start + length {
                bytes[usize::try_from(byte).unwrap()] = true;
            }
        }
        (bytes, extents)
    }

    #[test]
    fn touching_ranges_become_one() {
        let mut extents = Extents::new();
        extents.insert(10..20);
        extents.insert(30..40);
        assert_eq!(extents.prefix(), 0);
        extents.insert(20..30);
        assert_eq!((extents.len(), extents.contains(10..40)), (1, true));
        extents.insert(0..10);
        assert_eq!(extents.prefix(), 40);
    }

    #[test]
    fn records_that_break_the_order_are_refused() {
        assert!(Extents::from_sorted(vec![0..5, 6..9]).is_some());
        for broken in [[0..5, 5..9], [6..9, 0..5], [3..3, 8..9], [0..5, 4..9]] {
            assert!(Extents::from_sorted(broken.to_vec()).is_none(), "{broken:?} was taken");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_a_bool_per_byte(
            ranges in prop::collection::vec((0u64..48, 0u64..16), 0..12),
            start in 0u64..48, length in 0u64..16,
        ) {
            let (bytes, extents) = model(&ranges);
            let asked = start..start + length;
            let at = |byte: u64| bytes[usize::try_from(byte).unwrap()];
            prop_assert!(Extents::from_sorted(extents.to_vec()).is_some());
            prop_assert_eq!(extents.bytes(), bytes.iter().filter(|byte| **byte).count() as u64);
            prop_assert_eq!(extents.prefix(), bytes.iter().take_while(|byte| **byte).count() as u64);
            prop_assert_eq!(extents.contains(asked.clone()), asked.clone().all(at));
            let listed = |parts: Vec<Range<u64>>| parts.into_iter().flatten().collect::<Vec<_>>();
            let expected: Vec<u64> = asked.clone().filter(|byte| !at(*byte)).collect();
            prop_assert_eq!(listed(extents.missing(asked.clone())), expected);
            let expected: Vec<u64> = asked.clone().filter(|byte| at(*byte)).collect();
            prop_assert_eq!(listed(extents.present(asked.clone())), expected);
            let (mut rest, before) = (extents.clone(), extents.present(0..start));
            prop_assert_eq!(rest.remove_before(start), listed(before).len() as u64);
            prop_assert_eq!(rest.to_vec(), extents.present(start..u64::MAX));
        }

        #[test]
        fn an_island_is_what_adds_a_range(
            ranges in prop::collection::vec((0u64..48, 1u64..8), 0..8),
            start in 0u64..48, length in 1u64..8,
        ) {
            let (_, mut extents) = model(&ranges);
            let island = extents.would_add_island(start..start + length);
            let before = extents.len();
            extents.insert(start..start + length);
            prop_assert_eq!(island, extents.len() > before && start > 0);
        }
    }
}
