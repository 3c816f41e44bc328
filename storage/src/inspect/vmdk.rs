//! VMware disks in one sparse file: header and footer. Fields are little-endian, positions are in sectors.

use super::{
    facts::{Facts, Seal, VMDK_SEAL_BYTES},
    fields::{Fields, is_zero},
    finding::Kind,
    region::Part,
    rules::Look,
    sector::{SECTOR_BYTES, is_cut},
};

/// Less than a mebibyte, as QEMU has it too.
const DESCRIPTOR_SECTORS_MAX: u64 = 2047;
/// Stands for the position of a grain directory that only the footer names.
const AT_END: u64 = u64::MAX;
/// Where the position of the grain directory stands.
const GD_OFFSET: usize = 56;
/// Three sectors end a stream: a marker, the footer, the end-of-stream marker.
const FOOTER_BYTES: usize = 3 * SECTOR_BYTES;
const FOOTER_MARKER: u32 = 3;
const END_MARKER: u32 = 0;

/// Whether the file is a descriptor without a disk, as QEMU finds it out: after comments and blank lines comes the version.
pub(super) fn is_descriptor(head: &[u8]) -> bool {
    if head.to_ascii_lowercase().starts_with(b"# disk descriptorfile") {
        return true;
    }
    for line in head.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.starts_with(b"#") || line.iter().all(|byte| *byte == b' ') {
            continue;
        }
        return matches!(line, b"version=1" | b"version=2" | b"version=3");
    }
    false
}

/// The header.
pub(super) fn sector(look: &Look<'_>, facts: &mut Facts) {
    if is_cut(look, facts, SECTOR_BYTES) {
        return;
    }
    let h = look.bytes;
    let version = h.le32(4);
    if !(1..=3).contains(&version) {
        return facts.find_with(Kind::VmdkVersion, version.into(), 0);
    }
    let sectors = h.le64(12);
    // Without a capacity QEMU takes the descriptor as that of a disk in several files.
    match sectors.checked_mul(512) {
        Some(bytes) if bytes > 0 => facts.disk(bytes, look.rules),
        Some(_) | None => facts.find_with(Kind::VmdkHeader, 12, 0),
    }
    if h.byte(72) != 0 {
        facts.find(Kind::VmdkUnclean);
    }
    let (at, length) = (h.le64(28), h.le64(36));
    if at != 1 {
        facts.find_with(Kind::VmdkDescriptorPlace, at, 0);
    } else if length == 0 || length > DESCRIPTOR_SECTORS_MAX {
        facts.find_with(Kind::VmdkDescriptorSize, length, DESCRIPTOR_SECTORS_MAX);
    } else {
        let bytes = usize::try_from(length).unwrap_or(0) * SECTOR_BYTES;
        facts.read_next(Part::VmdkDescriptor, 512, bytes);
        facts.needs(Some((1 + length) * 512));
    }
    match h.le64(GD_OFFSET) {
        AT_END => facts.seal = Seal::Vmdk(seal(h)),
        _ => grain_directory(h, facts),
    }
}

/// Where the directory of the grains is, and what it takes.
fn grain_directory(header: Fields<'_>, facts: &mut Facts) {
    let (grain, entries_per_table) = (header.le64(20), u64::from(header.le32(44)));
    if !grain.is_power_of_two() || !(1..=1 << 32).contains(&grain) {
        return facts.find_with(Kind::VmdkHeader, 20, 0);
    }
    // QEMU takes no more than this either.
    if !(1..=512).contains(&entries_per_table) {
        return facts.find_with(Kind::VmdkHeader, 44, 0);
    }
    let tables = header.le64(12).div_ceil(grain * entries_per_table);
    let start = header.le64(GD_OFFSET);
    if start == 0 {
        return facts.find_with(Kind::VmdkHeader, GD_OFFSET as u64, 0);
    }
    let end = start.checked_mul(512).and_then(|start| start.checked_add(tables.checked_mul(4)?));
    facts.needs(end);
}

/// What header and footer must both say: all but the places of the grain directories and whether it was closed in order.
fn seal(header: Fields<'_>) -> [u8; VMDK_SEAL_BYTES] {
    let mut seal = [0; VMDK_SEAL_BYTES];
    seal[..48].copy_from_slice(&header.array::<48>(0));
    seal[48..].copy_from_slice(&header.array::<6>(73));
    seal
}

/// The end of a stream.
pub(super) fn tail(look: &Look<'_>, facts: &mut Facts, sealed: &[u8; VMDK_SEAL_BYTES]) {
    let Some(end) = look.bytes.last(FOOTER_BYTES) else { return facts.find(Kind::VmdkNoEnd) };
    let (marker, footer) =
        (end.part(0, SECTOR_BYTES), Fields(end.part(SECTOR_BYTES, SECTOR_BYTES)));
    let end_marker = end.part(2 * SECTOR_BYTES, SECTOR_BYTES);
    if !is_marker(marker, FOOTER_MARKER) || !is_marker(end_marker, END_MARKER) {
        return facts.find(Kind::VmdkNoEnd);
    }
    let gd_offset = footer.le64(GD_OFFSET);
    if seal(footer) != *sealed {
        facts.find(Kind::VmdkFooter);
    } else if gd_offset == AT_END {
        // It would have another footer.
        facts.find_with(Kind::VmdkFooter, GD_OFFSET as u64, 0);
    } else {
        grain_directory(footer, facts);
    }
}

/// A marker: how many sectors follow, that no data does, what it is, and nothing else.
fn is_marker(sector: &[u8], kind: u32) -> bool {
    let marker = Fields(sector);
    let follow = u64::from(kind == FOOTER_MARKER);
    marker.le64(0) == follow
        && marker.le32(8) == 0
        && marker.le32(12) == kind
        && is_zero(&sector[16.min(sector.len())..])
}
