//! VirtualBox disks. Fields are little-endian.

use super::{
    facts::Facts,
    fields::is_zero,
    finding::Kind,
    rules::Look,
    sector::{SECTOR_BYTES, is_cut},
};

const DYNAMIC: u32 = 1;
const FIXED: u32 = 2;
const DIFFERENCING: u32 = 4;
const BLOCK_BYTES: std::ops::RangeInclusive<u32> = 64 << 10..=256 << 20;

/// The whole header.
pub(super) fn sector(look: &Look<'_>, facts: &mut Facts) {
    if is_cut(look, facts, SECTOR_BYTES) {
        return;
    }
    let h = look.bytes;
    let (major, minor) = (h.le16(0x46), h.le16(0x44));
    if (major, minor) != (1, 1) {
        return facts.find_with(Kind::VdiVersion, major.into(), minor.into());
    }
    // The uuids of the parent and of its state.
    let has_parent = !is_zero(h.part(0x1a8, 32));
    match h.le32(0x4c) {
        DYNAMIC | FIXED if !has_parent => {}
        DYNAMIC | FIXED | DIFFERENCING => facts.find(Kind::VdiParent),
        other => facts.find_with(Kind::VdiType, other.into(), 0),
    }
    let disk_bytes = h.le64(0x170);
    facts.disk(disk_bytes, look.rules);

    let (map_at, data_at) = (u64::from(h.le32(0x154)), u64::from(h.le32(0x158)));
    let (block_bytes, blocks, allocated) = (h.le32(0x178), h.le32(0x180), h.le32(0x184));
    if !BLOCK_BYTES.contains(&block_bytes) || !block_bytes.is_power_of_two() {
        return facts.find_with(Kind::VdiHeader, 0x178, 0);
    }
    let block_bytes = u64::from(block_bytes);
    if u64::from(blocks) * block_bytes < disk_bytes || allocated > blocks {
        facts.find_with(Kind::VdiHeader, 0x180, 0);
    }
    if map_at < SECTOR_BYTES as u64 || !map_at.is_multiple_of(512) {
        facts.find_with(Kind::VdiHeader, 0x154, 0);
    }
    if map_at + u64::from(blocks) * 4 > data_at || !data_at.is_multiple_of(512) {
        facts.find_with(Kind::VdiHeader, 0x158, 0);
    }
    // What stands before each block besides it is counted with it.
    let stored_bytes = block_bytes + u64::from(h.le32(0x17c));
    let stored = u64::from(allocated).checked_mul(stored_bytes);
    facts.needs(stored.and_then(|bytes| bytes.checked_add(data_at)));
}
