//! Acknowledged and missing ranges, and the way in which four senders fill the gaps.

use std::{
    ops::Range,
    sync::{Arc, Mutex},
};

use serde_json::Value;

use super::{client::Session, random::Random};

const SENDERS: usize = 4;

/// Acknowledged ranges that the server lists as missing.
pub(crate) fn lost(acknowledged: &[Range<u64>], missing: &[Range<u64>]) -> Vec<Range<u64>> {
    let overlaps = |a: &Range<u64>| missing.iter().any(|m| m.start < a.end && a.start < m.end);
    acknowledged.iter().filter(|range| overlaps(range)).cloned().collect()
}

/// End of what is there from the first byte on.
pub(crate) fn contiguous_end(ranges: &[Range<u64>]) -> u64 {
    let mut sorted = ranges.to_vec();
    sorted.sort_by_key(|range| range.start);
    sorted.iter().fold(0, |end, range| if range.start <= end { end.max(range.end) } else { end })
}

/// Sends all missing ranges in slices of random size, four at a time in shuffled order, until it is done or the server dies.
/// Notes every acknowledged slice, with the state that came with it.
pub(crate) async fn send_in_parallel(
    session: &Session,
    path: &str,
    image: &Arc<Vec<u8>>,
    missing: &[Range<u64>],
    random: &mut Random,
    note: impl Fn(Range<u64>, Value) + Clone + Send + 'static,
) {
    let mut slices = Vec::new();
    for range in missing {
        let mut at = range.start;
        while at < range.end {
            let end = range.end.min(at + 1 + random.below(3 << 20));
            slices.push((at..end, random.below(2) == 0));
            at = end;
        }
    }
    for index in (1..slices.len()).rev() {
        // Near each other, as clients send them: swapped within a window of eight.
        let other = index - random.below(8.min(index as u64 + 1)) as usize;
        slices.swap(index, other);
    }
    let queue = Arc::new(Mutex::new(slices.into_iter()));
    let senders = (0..SENDERS).map(|_| {
        let (session, path, image) = (session.clone(), path.to_owned(), Arc::clone(image));
        let (queue, note) = (Arc::clone(&queue), note.clone());
        tokio::spawn(async move {
            loop {
                let Some((range, checked)) = queue.lock().unwrap().next() else { return };
                let bytes = image[range.start as usize..range.end as usize].to_vec();
                let total = image.len() as u64;
                match session.put(&path, bytes, range.start, total, checked).await {
                    Ok(Some(state)) => note(range, state),
                    Ok(None) => {}
                    Err(_) => return,
                }
            }
        })
    });
    for sender in senders.collect::<Vec<_>>() {
        sender.await.unwrap();
    }
}
