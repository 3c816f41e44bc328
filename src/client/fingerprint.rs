//! The name of a file by its content: cheap for a terabyte, the same on every machine and in the browser.
//!
//! ```text
//! B        = 65,536
//! start(i) = floor(max(size - B, 0) * i / 7)              for i = 0 .. 7
//! block(i) = the bytes start(i) .. min(start(i) + B, size)
//! IMAGE_ID = "ls1-" + hex(SHA-256(size as 8 bytes big-endian, block(0), block(1), ..., block(7)))
//! ```
//! All eight blocks are hashed, in order, also where they overlap; a file of at most `B` bytes is hashed eight times.
//! The name decides only which upload is gone on with. Two files that differ between the blocks share it: that is
//! found by the digests of the whole at the end.

use std::{fs::File, io, os::unix::fs::FileExt};

use sha2::{Digest, Sha256};

use crate::domain::{image_id::ImageId, tag::hex};

/// Bytes of one block.
pub const BLOCK_BYTES: u64 = 65_536;
/// Blocks that are read.
pub const BLOCKS: u64 = 8;

/// First byte and length of block `index` in a file of `size` bytes.
pub fn block(size: u64, index: u64) -> (u64, u64) {
    let room = u128::from(size.saturating_sub(BLOCK_BYTES));
    let start = room * u128::from(index) / u128::from(BLOCKS - 1);
    let start = u64::try_from(start).unwrap_or(size); // never beyond the size
    (start, BLOCK_BYTES.min(size - start))
}

/// The `IMAGE_ID` of an open file of `size` bytes. Blocks: for async callers, run it on a blocking thread.
pub fn image_id(file: &File, size: u64) -> io::Result<ImageId> {
    let mut hash = Sha256::new();
    hash.update(size.to_be_bytes());
    let mut buffer = vec![0; usize::try_from(BLOCK_BYTES.min(size)).map_err(io::Error::other)?];
    for index in 0..BLOCKS {
        let (start, _) = block(size, index);
        file.read_exact_at(&mut buffer, start)?;
        hash.update(&buffer);
    }
    let name = format!("ls1-{}", hex(&hash.finalize()));
    name.parse().map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// Byte `i` of a test file; docs/image-id.md gives the same vectors.
    fn pattern(size: u64) -> Vec<u8> {
        (0..size).map(|i| (i * 7 + (i >> 8) * 13 + (i >> 16) * 31).to_le_bytes()[0]).collect()
    }

    fn id_of(content: &[u8]) -> String {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        image_id(&file, content.len() as u64).unwrap().to_string()
    }

    #[test]
    fn vectors_of_the_documentation() {
        for (size, name) in [
            (1, "ls1-783825822a6f9e62da2190e828e4c9d2576e5977e3a0b3620b092dfb9e9996fa"),
            (65535, "ls1-418f891d23085bc387cf6acdf108dbc089e1fffce29075c6e988823ba837940a"),
            (65536, "ls1-2346f886f858498feb67e7445d9f3c5ba35f9ca528f8978288104c5d87ba0b7b"),
            (65537, "ls1-413f88494e73cc012b7ded91c05c8db30d8d1d95ac2b706fba6f1492e2680e56"),
            (100_000, "ls1-af3ccba29f230a4fa93655f4939663cfa49c32dbc03473ab93897594465b692d"),
            (1_048_576, "ls1-820da4f45afaa2e58b8929b0f4fd7caa5bf58f4756bbba88408c0dd84dac42fd"),
            (3_000_001, "ls1-4191597db1a8bba79af14e4827e26a5e5faebf5f44512a996c2097cd8b2420d5"),
        ] {
            assert_eq!(id_of(&pattern(size)), name, "{size} bytes");
        }
    }

    #[test]
    fn blocks_are_the_first_the_last_and_six_between() {
        let tib = 1 << 40;
        assert_eq!(block(tib, 0), (0, BLOCK_BYTES));
        assert_eq!(block(tib, 7), (tib - BLOCK_BYTES, BLOCK_BYTES));
        assert_eq!(block(10, 7), (0, 10));
        assert_eq!(block(BLOCK_BYTES + 7, 3), (3, BLOCK_BYTES));
        assert_eq!(block(u64::MAX, 7).0, u64::MAX - BLOCK_BYTES);
        let starts: Vec<_> = (0..BLOCKS).map(|i| block(tib, i).0).collect();
        assert!(starts.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn a_change_in_a_block_or_of_the_size_is_another_name() {
        let mut content = pattern(1_000_000);
        let before = id_of(&content);
        content[999_999] ^= 1;
        let last = id_of(&content);
        content.push(0);
        let longer = id_of(&content);
        assert!(before != last && last != longer && before != longer);
    }

    #[test]
    fn a_file_that_is_shorter_than_said_is_an_error() {
        assert!(image_id(&tempfile::tempfile().unwrap(), 5).is_err());
    }
}
