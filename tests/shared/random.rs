//! SplitMix64: all that randomness has to be here is repeatable.

use std::time::SystemTime;

pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// From the environment variable `name`, else from the time; printed, so that a run can be repeated.
    pub(crate) fn seeded(name: &str) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let seed = super::from_environment(name).unwrap_or(now.as_nanos() as u64);
        println!("{name}={seed}");
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Of an image that nobody refuses: chance made the two first bytes of gzip in one upload of many thousands.
    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(length);
        if let Some(first) = bytes.first_mut() {
            *first = 0;
        }
        bytes
    }
}
