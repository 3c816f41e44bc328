//! What an image is, judged by its first bytes. Fixed positions, no seeking, nothing executed.
//!
//! Full inspection (backing files, truncation, two formats in one) is not here yet: this only names the format and
//! the virtual size.

/// First bytes that [`probe`] wants to see: up to the third place where an ISO 9660 volume descriptor may begin.
pub const HEAD_BYTES: usize = 64 << 10;

/// What the first bytes show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// `qcow2`, `vmdk`, `vhdx`, `vhd`, `vdi`, `iso`, or `raw` for everything else.
    pub format: &'static str,
    /// Size of the disk inside in bytes, where the header tells. Not for `raw` and `iso`: there it is the length of the file.
    pub virtual_size: Option<u64>,
}

/// Judges the first [`HEAD_BYTES`] (or fewer) of an image.
pub fn probe(head: &[u8]) -> Probe {
    let found = |format, virtual_size| Probe { format, virtual_size };
    if head.starts_with(b"QFI\xfb") && matches!(be32(head, 4), Some(2 | 3)) {
        return found("qcow2", be64(head, 24));
    }
    if head.starts_with(b"KDMV") {
        return found("vmdk", le64(head, 12).and_then(|sectors| sectors.checked_mul(512)));
    }
    if head.starts_with(b"vhdxfile") {
        return found("vhdx", None);
    }
    if head.starts_with(b"conectix") {
        return found("vhd", be64(head, 48));
    }
    if head.get(0x40..0x44) == Some(&0xbeda_107f_u32.to_le_bytes()) {
        return found("vdi", le64(head, 0x170));
    }
    // ISO 9660 volume descriptors: logical sectors of 2,048 bytes from sector 16 on.
    if [0x8001, 0x8801, 0x9001].iter().any(|&at| head.get(at..at + 5) == Some(b"CD001")) {
        return found("iso", None);
    }
    found("raw", None)
}

fn bytes<const N: usize>(head: &[u8], at: usize) -> Option<[u8; N]> {
    head.get(at..at + N)?.try_into().ok()
}

fn be32(head: &[u8], at: usize) -> Option<u32> {
    bytes(head, at).map(u32::from_be_bytes)
}

fn be64(head: &[u8], at: usize) -> Option<u64> {
    bytes(head, at).map(u64::from_be_bytes)
}

fn le64(head: &[u8], at: usize) -> Option<u64> {
    bytes(head, at).map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(parts: &[(usize, &[u8])]) -> Vec<u8> {
        let mut head = vec![0; HEAD_BYTES];
        for (at, part) in parts {
            head[*at..at + part.len()].copy_from_slice(part);
        }
        head
    }

    #[test]
    #[expect(clippy::type_complexity, reason = "a table: parts of a head, what they show")]
    fn formats_are_told_apart_by_their_magic() {
        let size = 5_u64 << 30;
        let rows: [(&[(usize, &[u8])], &str, Option<u64>); 9] = [
            (&[(0, b"QFI\xfb\0\0\0\x03"), (24, &size.to_be_bytes())], "qcow2", Some(size)),
            (&[(0, b"QFI\xfb\0\0\0\x09")], "raw", None),
            (&[(0, b"KDMV"), (12, &10_u64.to_le_bytes())], "vmdk", Some(5120)),
            (&[(0, b"vhdxfile")], "vhdx", None),
            (&[(0, b"conectix"), (48, &size.to_be_bytes())], "vhd", Some(size)),
            (&[(0x40, &[0x7f, 0x10, 0xda, 0xbe]), (0x170, &size.to_le_bytes())], "vdi", Some(size)),
            (&[(0x8801, b"CD001")], "iso", None),
            (&[(510, b"\x55\xaa")], "raw", None),
            (&[], "raw", None),
        ];
        for (parts, format, virtual_size) in rows {
            assert_eq!(probe(&head(parts)), Probe { format, virtual_size });
        }
    }

    #[test]
    fn no_length_is_too_short() {
        let whole = head(&[(0, b"QFI\xfb\0\0\0\x03"), (24, &[1; 8])]);
        for length in 0..64 {
            let probe = probe(&whole[..length]);
            assert_eq!(probe.format, if length >= 8 { "qcow2" } else { "raw" });
            assert_eq!(probe.virtual_size.is_some(), length >= 32, "{length}");
        }
    }
}
