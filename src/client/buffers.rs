//! Memory for slices that is used again: the system would clear new pages for each.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use bytes::Bytes;

use super::locked;

/// Buffers that are kept for the next slices: as many as a client may send at once.
const SPARE_MAX: usize = 8;

/// Buffers that nobody uses now.
#[derive(Default)]
pub(super) struct Buffers {
    spare: Arc<Mutex<Vec<Vec<u8>>>>,
}

/// Without the bytes: they are an image's.
impl fmt::Debug for Buffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffers").finish_non_exhaustive()
    }
}

impl Buffers {
    /// A buffer of `length` bytes, whatever they are.
    pub(super) fn take(&self, length: usize) -> Vec<u8> {
        let spare = locked(&self.spare).pop();
        let mut buffer = spare.unwrap_or_default();
        buffer.resize(length, 0);
        buffer
    }

    /// The same bytes, whose memory comes back when the last of them is sent.
    pub(super) fn lend(&self, bytes: Vec<u8>) -> Bytes {
        Bytes::from_owner(Lent { bytes, home: Arc::clone(&self.spare) })
    }

    /// Gives the memory back to the system, but for what is lent now.
    pub(super) fn clear(&self) {
        *locked(&self.spare) = Vec::new();
    }
}

struct Lent {
    bytes: Vec<u8>,
    home: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut spare = locked(&self.home);
        if spare.len() < SPARE_MAX {
            spare.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_with_the_last_part_of_it() {
        let buffers = Buffers::default();
        let lent = buffers.lend(b"0123456789".to_vec());
        let place = lent.as_ptr();
        let part = lent.slice(3..5);
        drop(lent);
        let other = buffers.take(4);
        assert_ne!(other.as_ptr(), place, "a part of it is still on its way");
        assert_eq!(&part[..], b"34");
        drop(part);
        let again = buffers.take(4);
        assert_eq!((again.as_ptr(), again.len()), (place, 4));
    }

    #[test]
    fn no_more_are_kept_than_can_be_sent_at_once() {
        let buffers = Buffers::default();
        drop([0; 20].map(|byte| buffers.lend(vec![byte])));
        assert_eq!(buffers.spare.lock().unwrap().len(), SPARE_MAX);
        buffers.clear();
        assert_eq!(buffers.spare.lock().unwrap().len(), 0);
    }
}
