//! The bytes that a load test sends: cheap to make, so that the tester does not measure itself.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path, sync::Arc};

use sha2::{Digest, Sha256};

use crate::{client::error::ClientError, domain::tag::hex};

/// Bytes of the ring. Small enough for a processor's cache; no multiple of any chunk, so that two chunks never hold the same bytes
/// and a server that confuses them is found out by the digest.
const RING_BYTES: usize = (1 << 20) - 61;
/// Read from a file at once.
const READ_BYTES: usize = 1 << 20;

/// What every upload of a run consists of; byte `n` is the same in each.
#[derive(Debug, Clone)]
pub enum Source {
    /// Repeats itself after 1,048,515 bytes; made once.
    Ring(Arc<[u8]>),
    /// A file.
    File(Arc<File>),
}

impl Source {
    /// Pseudo-random bytes (SplitMix64) that no compression makes smaller. Equal seeds give equal bytes.
    pub fn random(seed: u64) -> Self {
        let mut state = seed;
        let mut ring = Vec::with_capacity(RING_BYTES + 8);
        while ring.len() < RING_BYTES {
            ring.extend_from_slice(&split_mix(&mut state).to_le_bytes());
        }
        ring.truncate(RING_BYTES);
        // The first bytes must not look like the head of a format that the server inspects.
        ring[..4].copy_from_slice(b"load");
        Self::Ring(ring.into())
    }

    /// Nothing but zeros.
    pub fn zeros() -> Self {
        Self::Ring(vec![0; RING_BYTES].into())
    }

    /// A file, and its length.
    pub fn file(path: &Path) -> Result<(Self, u64), ClientError> {
        let failed = |doing, source| ClientError::File { path: path.to_owned(), doing, source };
        let file = File::open(path).map_err(|error| failed("open it", error))?;
        let length = file.metadata().map_err(|error| failed("read its size", error))?.len();
        Ok((Self::File(Arc::new(file)), length))
    }

    /// At least one and at most `most` bytes from `offset` on. `scratch` keeps its room from call to call.
    ///
    /// # Errors
    /// Reading the file; `UnexpectedEof` where it has become shorter.
    pub async fn piece<'a>(
        &'a self,
        offset: u64,
        most: u64,
        scratch: &'a mut Vec<u8>,
    ) -> io::Result<&'a [u8]> {
        match self {
            Self::Ring(ring) => Ok(of_ring(ring, offset, most)),
            Self::File(file) => {
                let (file, mut room) = (Arc::clone(file), std::mem::take(scratch));
                room.resize(READ_BYTES.min(usize::try_from(most).unwrap_or(READ_BYTES)), 0);
                let read = tokio::task::spawn_blocking(move || {
                    file.read_exact_at(&mut room, offset).map(|()| room)
                });
                *scratch = read.await.map_err(io::Error::other)??;
                Ok(scratch)
            }
        }
    }

    /// SHA-256 of the first `length` bytes, lower-case hex. Blocks for as long as hashing takes.
    pub fn sha256(&self, length: u64) -> io::Result<String> {
        let mut digest = Sha256::new();
        let mut room = vec![0; READ_BYTES];
        let mut at = 0;
        while at < length {
            let most = length - at;
            let piece = match self {
                Self::Ring(ring) => of_ring(ring, at, most),
                Self::File(file) => {
                    let end = READ_BYTES.min(usize::try_from(most).unwrap_or(READ_BYTES));
                    file.read_exact_at(&mut room[..end], at)?;
                    &room[..end]
                }
            };
            digest.update(piece);
            at += piece.len() as u64;
        }
        Ok(hex(&digest.finalize()))
    }
}

fn of_ring(ring: &[u8], offset: u64, most: u64) -> &[u8] {
    let length = ring.len() as u64;
    let start = usize::try_from(offset % length).unwrap_or(0);
    let end = ring.len().min(start.saturating_add(usize::try_from(most).unwrap_or(usize::MAX)));
    &ring[start..end]
}

/// The next number of SplitMix64.
pub(super) const fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(source: &Source, range: std::ops::Range<u64>) -> Vec<u8> {
        let (mut bytes, mut scratch, mut at) = (Vec::new(), Vec::new(), range.start);
        while at < range.end {
            let piece = source.piece(at, range.end - at, &mut scratch).await.unwrap();
            assert!(!piece.is_empty(), "no progress at {at}");
            bytes.extend_from_slice(piece);
            at += piece.len() as u64;
        }
        bytes
    }

    #[tokio::test]
    async fn a_range_is_the_same_however_it_is_cut_and_two_chunks_differ() {
        let source = Source::random(7);
        let whole = all(&source, 0..3 << 20).await;
        assert_eq!(whole.len(), 3 << 20);
        let middle = all(&source, 1_000_000..2_000_003).await;
        assert!(middle == whole[1_000_000..2_000_003]);
        assert!(whole[..1 << 20] != whole[1 << 20..2 << 20], "chunks of a mebibyte are told apart");
        assert!(all(&Source::random(8), 0..4096).await != whole[..4096], "the seed counts");
        assert_eq!(source.sha256(3 << 20).unwrap(), hex(&Sha256::digest(&whole)));
    }

    #[tokio::test]
    async fn a_file_is_sent_as_it_is_and_its_shortening_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let text: Vec<u8> = (0..=250).cycle().take(READ_BYTES + 77).collect();
        std::fs::write(&path, &text).unwrap();
        let (source, length) = Source::file(&path).unwrap();
        assert_eq!(length, text.len() as u64);
        assert!(all(&source, 5..length).await == text[5..]);
        assert_eq!(source.sha256(length).unwrap(), hex(&Sha256::digest(&text)));
        let mut room = Vec::new();
        let beyond = source.piece(length - 1, 2, &mut room).await;
        assert_eq!(beyond.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert!(Source::file(&folder.path().join("none")).is_err());
    }
}
