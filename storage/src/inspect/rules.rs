//! What the operator decides; everything else is decided by the content.

use super::{
    fields::Fields,
    format::{Format, Formats},
};

/// The choices that the rules leave open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// What the file was said to be; `None` takes what it is.
    pub declared: Option<Format>,
    /// Formats that are taken. Those that name other files or were given up (qcow, qed, cowd, a vmdk descriptor alone), compressed
    /// files and archives are never taken, whatever stands here.
    pub formats: Formats,
    /// Largest disk, in bytes.
    pub virtual_bytes_max: u64,
    /// Smallest disk, in bytes: what the disk must have at least.
    pub virtual_bytes_min: u64,
    /// How many times as large as its file a disk may be; `None` for no such bound.
    pub virtual_ratio_max: Option<u64>,
    /// Whether encrypted images are taken: LUKS, and qcow2 encrypted with it.
    pub encrypted: bool,
    /// Whether qcow2 images with extended L2 entries are taken; older software cannot read them.
    pub extended_l2: bool,
    /// Whether a strange partition table on a raw disk is only a warning.
    pub loose_partitions: bool,
}

/// More than any disk has: 64 TiB, the most that VHDX allows.
const VIRTUAL_BYTES_MAX: u64 = 64 << 40;

impl Default for Rules {
    fn default() -> Self {
        let taken = [
            Format::Raw,
            Format::Qcow2,
            Format::Vmdk,
            Format::Vhd,
            Format::Vhdx,
            Format::Vdi,
            Format::Iso,
            Format::Luks,
        ];
        Self {
            declared: None,
            formats: taken.into_iter().collect(),
            virtual_bytes_max: VIRTUAL_BYTES_MAX,
            virtual_bytes_min: 0,
            virtual_ratio_max: None,
            encrypted: false,
            extended_l2: false,
            loose_partitions: false,
        }
    }
}

impl Rules {
    /// A number that changes with every choice: a state that was saved under other rules is not continued.
    pub(super) fn fingerprint(&self) -> u32 {
        let flag = |set: bool| u8::from(set);
        let declared = self.declared.map_or(u8::MAX, |format| format as u8);
        let mut bytes = vec![
            declared,
            flag(self.encrypted),
            flag(self.extended_l2),
            flag(self.loose_partitions),
            flag(self.virtual_ratio_max.is_some()),
        ];
        bytes.extend_from_slice(&self.formats.bits().to_le_bytes());
        bytes.extend_from_slice(&self.virtual_bytes_max.to_le_bytes());
        bytes.extend_from_slice(&self.virtual_bytes_min.to_le_bytes());
        bytes.extend_from_slice(&self.virtual_ratio_max.unwrap_or(0).to_le_bytes());
        crc32c::crc32c(&bytes)
    }
}

/// What a rule looks at: one part of the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look<'l> {
    /// The bytes of the part; fewer than it should have only where the file ends.
    pub(super) bytes: Fields<'l>,
    /// Length of the whole file, once known.
    pub(super) length: Option<u64>,
    pub(super) rules: &'l Rules,
}

impl Look<'_> {
    /// Whether the part has fewer than `bytes` bytes: the file ends within it.
    pub(super) fn is_shorter_than(&self, bytes: usize) -> bool {
        self.bytes.0.len() < bytes
    }
}
