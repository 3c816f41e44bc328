//! Hyper-V disks: headers, region tables and metadata. Fields are little-endian.

use super::{
    facts::Facts,
    fields::{Fields, is_zero},
    finding::Kind,
    region::Part,
    rules::Look,
};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const HEADER_BYTES: usize = 4 << 10;
const TABLE_BYTES: usize = 64 << 10;
const ENTRY_BYTES: usize = 32;
const ENTRIES_MAX: usize = 2047;
const BLOCK_BYTES: std::ops::RangeInclusive<u32> = 1 << 20..=256 << 20;
/// The format's own bound.
const DISK_BYTES_MAX: u64 = 64 << 40;
/// Sectors that one block of the sector bitmap covers.
const BITMAP_SECTORS: u64 = 1 << 23;

type Guid = [u8; 16];

/// Of its five groups the first three are little-endian.
const fn guid(first: u32, second: u16, third: u16, rest: [u8; 8]) -> Guid {
    let (a, b, c) = (first.to_le_bytes(), second.to_le_bytes(), third.to_le_bytes());
    [
        a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], rest[0], rest[1], rest[2], rest[3],
        rest[4], rest[5], rest[6], rest[7],
    ]
}

const BAT: Guid =
    guid(0x2dc2_7766, 0xf623, 0x4200, [0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08]);
const METADATA: Guid =
    guid(0x8b7c_a206, 0x4790, 0x4b9a, [0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e]);
const FILE_PARAMETERS: Guid =
    guid(0xcaa1_6737, 0xfa36, 0x4d43, [0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b]);
const DISK_SIZE: Guid =
    guid(0x2fa5_4224, 0xcd1b, 0x4876, [0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8]);
const SECTOR_SIZE: Guid =
    guid(0x8141_bf1d, 0xa96f, 0x4709, [0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f]);
const PHYSICAL_SECTOR_SIZE: Guid =
    guid(0xcda3_48c7, 0x445d, 0x4471, [0x9c, 0xc9, 0xe9, 0x88, 0x52, 0x51, 0xc5, 0x56]);
const DISK_ID: Guid =
    guid(0xbeca_12ab, 0xb2e6, 0x4523, [0x93, 0xef, 0xc3, 0x09, 0xe0, 0x00, 0xc7, 0x46]);
const PARENT_LOCATOR: Guid =
    guid(0xa8d3_5f2d, 0xb30b, 0x454d, [0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34, 0xab, 0x0c]);

/// The mark: everything else stands at fixed places further on.
pub(super) fn sector(_look: &Look<'_>, facts: &mut Facts) {
    facts.read_next(Part::VhdxHeaderA, 64 * KIB, HEADER_BYTES);
    facts.read_next(Part::VhdxHeaderB, 128 * KIB, HEADER_BYTES);
    facts.read_next(Part::VhdxTableA, 192 * KIB, TABLE_BYTES);
    facts.read_next(Part::VhdxTableB, 256 * KIB, TABLE_BYTES);
    facts.needs(Some(MIB));
}

/// One of two headers; the newer whole one counts.
pub(super) fn header(look: &Look<'_>, facts: &mut Facts, is_last: bool) {
    let h = look.bytes;
    let is_whole = h.has(0, b"head") && sum(h.0) == h.le32(4) && h.le16(66) == 1;
    let newer = h.le64(8).saturating_add(1);
    if is_whole && newer > facts.vhdx.newest {
        facts.vhdx.newest = newer;
        facts.vhdx.has_log = !is_zero(h.part(48, 16));
    }
    if is_last {
        if facts.vhdx.newest == 0 {
            facts.find(Kind::VhdxHeader);
        } else if facts.vhdx.has_log {
            facts.find(Kind::VhdxLog);
        }
    }
}

/// The first of two region tables.
pub(super) fn table_a(look: &Look<'_>, facts: &mut Facts) {
    let h = look.bytes;
    if !h.has(0, b"regi") || sum(h.0) != h.le32(4) {
        return facts.find_with(Kind::VhdxTables, 192 * KIB, 0);
    }
    facts.vhdx.table_sum = crc32c::crc32c(h.0);
    let mut found = [0_u64; 2];
    let count = usize::try_from(h.le32(8)).unwrap_or(usize::MAX);
    if count > ENTRIES_MAX {
        return facts.find_with(Kind::VhdxRegions, count as u64, 0);
    }
    for index in 0..count {
        let entry = Fields(h.part(16 + index * ENTRY_BYTES, ENTRY_BYTES));
        let (start, length) = (entry.le64(16), u64::from(entry.le32(24)));
        let end = start.checked_add(length);
        let is_placed = start >= MIB && start.is_multiple_of(MIB) && length.is_multiple_of(MIB);
        let id = entry.array(0);
        let which = [BAT, METADATA].iter().position(|known| *known == id);
        match which {
            Some(which) if found[which] == 0 && is_placed && length > 0 => {
                found[which] = length;
                facts.needs(end);
                if id == METADATA {
                    facts.read_next(Part::VhdxMetadata, start, TABLE_BYTES);
                } else {
                    facts.vhdx.bat_bytes = length;
                }
            }
            // What nobody has to know may be there.
            None if entry.le32(28) & 1 == 0 => {}
            Some(_) | None => facts.find_with(Kind::VhdxRegions, index as u64, 0),
        }
    }
    if found.contains(&0) {
        facts.find_with(Kind::VhdxRegions, count as u64, 0);
    }
}

/// The second region table. One that differs would show another disk to whoever reads it.
pub(super) fn table_b(look: &Look<'_>, facts: &mut Facts) {
    if crc32c::crc32c(look.bytes.0) != facts.vhdx.table_sum {
        facts.find_with(Kind::VhdxTables, 256 * KIB, 0);
    }
}

/// The table of the metadata: where its items are. `start` is where it begins in the file.
pub(super) fn metadata(look: &Look<'_>, facts: &mut Facts, start: u64) {
    let h = look.bytes;
    let count = usize::from(h.le16(10));
    if !h.has(0, b"metadata") || count > ENTRIES_MAX {
        return facts.find_with(Kind::VhdxMetadata, count as u64, 0);
    }
    let parts = [
        (FILE_PARAMETERS, Part::VhdxParameters, 8_u32),
        (DISK_SIZE, Part::VhdxDiskSize, 8),
        (SECTOR_SIZE, Part::VhdxSectorBytes, 4),
    ];
    let mut places = [None; 3];
    for index in 0..count {
        let entry = Fields(h.part(32 + index * ENTRY_BYTES, ENTRY_BYTES));
        let (id, at, length) = (entry.array(0), entry.le32(16), entry.le32(20));
        if id == PARENT_LOCATOR {
            facts.find(Kind::VhdxParent);
        } else if let Some(which) = parts.iter().position(|part| part.0 == id) {
            let is_placed = u64::from(at) >= 64 * KIB && length == parts[which].2;
            if places[which].is_some() || !is_placed {
                facts.find_with(Kind::VhdxMetadata, index as u64, 0);
            }
            places[which] = start.checked_add(at.into());
        } else if ![PHYSICAL_SECTOR_SIZE, DISK_ID].contains(&id) && entry.le32(24) & 4 != 0 {
            // It must be known to whoever reads the disk.
            facts.find_with(Kind::VhdxMetadata, index as u64, 0);
        }
    }
    for ((_, part, length), place) in parts.into_iter().zip(places) {
        match place {
            Some(place) => facts.read_next(part, place, length as usize),
            None => facts.find_with(Kind::VhdxMetadata, count as u64, 0),
        }
    }
}

/// Bytes of a block, and whether there is a parent.
pub(super) fn parameters(look: &Look<'_>, facts: &mut Facts) {
    let (block_bytes, flags) = (look.bytes.le32(0), look.bytes.le32(4));
    if flags & 2 != 0 {
        facts.find(Kind::VhdxParent);
    }
    if !BLOCK_BYTES.contains(&block_bytes) || !block_bytes.is_power_of_two() || flags & !3 != 0 {
        facts.find_with(Kind::VhdxParameters, block_bytes.into(), flags.into());
    }
    facts.vhdx.block_bytes = block_bytes;
}

/// Bytes of the disk.
pub(super) fn disk_size(look: &Look<'_>, facts: &mut Facts) {
    let disk_bytes = look.bytes.le64(0);
    if disk_bytes > DISK_BYTES_MAX {
        facts.find_with(Kind::VhdxParameters, disk_bytes, 0);
    }
    facts.vhdx.disk_bytes = disk_bytes;
    facts.disk(disk_bytes, look.rules);
}

/// Bytes of a sector, and with it whether the table of the blocks is large enough for the disk.
pub(super) fn sector_bytes(look: &Look<'_>, facts: &mut Facts) {
    let sector_bytes = u64::from(look.bytes.le32(0));
    let (disk_bytes, block_bytes) = (facts.vhdx.disk_bytes, u64::from(facts.vhdx.block_bytes));
    if !matches!(sector_bytes, 512 | 4096) || !disk_bytes.is_multiple_of(sector_bytes) {
        return facts.find_with(Kind::VhdxParameters, sector_bytes, disk_bytes);
    }
    if block_bytes == 0 {
        return;
    }
    let blocks = disk_bytes.div_ceil(block_bytes);
    let blocks_per_bitmap = (BITMAP_SECTORS * sector_bytes / block_bytes).max(1);
    let entries = blocks.saturating_add(blocks.saturating_sub(1) / blocks_per_bitmap);
    if entries.saturating_mul(8) > facts.vhdx.bat_bytes {
        facts.find_with(Kind::VhdxParameters, disk_bytes, facts.vhdx.bat_bytes);
    }
}

/// CRC-32C of a structure whose checksum is the 32 bits at 4, which count as zero.
fn sum(bytes: &[u8]) -> u32 {
    let (before, after) = (bytes.get(..4), bytes.get(8..));
    let begun = crc32c::crc32c_append(crc32c::crc32c(before.unwrap_or_default()), &[0; 4]);
    crc32c::crc32c_append(begun, after.unwrap_or_default())
}
