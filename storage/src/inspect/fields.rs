//! Fields of a header. What lies beyond the end reads as zero, so that nothing here can panic.

/// The bytes of a header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'b>(pub(super) &'b [u8]);

impl<'b> Fields<'b> {
    /// `N` bytes at `at`; zeros unless all of them are there.
    pub(super) fn array<const N: usize>(self, at: usize) -> [u8; N] {
        let found = self.0.get(at..).and_then(|rest| rest.first_chunk());
        found.copied().unwrap_or([0; N])
    }

    /// Whether `mark` stands at `at`.
    pub(super) fn has(self, at: usize, mark: &[u8]) -> bool {
        self.0.get(at..).is_some_and(|rest| rest.starts_with(mark))
    }

    /// What there is from `at`, at most `length` bytes.
    pub(super) fn part(self, at: usize, length: usize) -> &'b [u8] {
        let rest = self.0.get(at..).unwrap_or_default();
        &rest[..length.min(rest.len())]
    }

    /// The last `length` bytes; `None` when there are fewer.
    pub(super) fn last(self, length: usize) -> Option<Self> {
        let at = self.0.len().checked_sub(length)?;
        Some(Self(&self.0[at..]))
    }

    pub(super) fn byte(self, at: usize) -> u8 {
        self.0.get(at).copied().unwrap_or(0)
    }

    pub(super) fn be16(self, at: usize) -> u16 {
        u16::from_be_bytes(self.array(at))
    }

    pub(super) fn be32(self, at: usize) -> u32 {
        u32::from_be_bytes(self.array(at))
    }

    pub(super) fn be64(self, at: usize) -> u64 {
        u64::from_be_bytes(self.array(at))
    }

    pub(super) fn le16(self, at: usize) -> u16 {
        u16::from_le_bytes(self.array(at))
    }

    pub(super) fn le32(self, at: usize) -> u32 {
        u32::from_le_bytes(self.array(at))
    }

    pub(super) fn le64(self, at: usize) -> u64 {
        u64::from_le_bytes(self.array(at))
    }
}

/// Whether all bytes are zero.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}
