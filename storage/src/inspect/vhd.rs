//! Virtual PC disks: the footer, its copy at the beginning, and the header of a dynamic disk. Fields are big-endian.

use super::{
    facts::{Facts, Seal, VHD_SEAL_BYTES},
    fields::{Fields, is_zero},
    finding::Kind,
    format::Format,
    region::Part,
    rules::{Look, Rules},
    sector::{SECTOR_BYTES, is_cut},
};

pub(super) const COOKIE: &[u8] = b"conectix";
const DYNAMIC_COOKIE: &[u8] = b"cxsparse";
const DYNAMIC_BYTES: usize = 1024;
const FIXED: u32 = 2;
const DYNAMIC: u32 = 3;
const DIFFERENCING: u32 = 4;

/// The copy of the footer that a dynamic disk begins with.
pub(super) fn sector(look: &Look<'_>, facts: &mut Facts) {
    if is_cut(look, facts, SECTOR_BYTES) {
        return;
    }
    let h = look.bytes;
    let kind = footer(h, facts, look.rules);
    if kind == FIXED {
        // A fixed disk begins with its own bytes.
        facts.find_with(Kind::VhdType, kind.into(), 0);
    }
    facts.seal = Seal::Vhd(seal(h));
    let at = h.be64(16);
    if at < SECTOR_BYTES as u64 || at.checked_add(DYNAMIC_BYTES as u64).is_none() {
        return facts.find_with(Kind::VhdHeader, 16, 0);
    }
    facts.needs(at.checked_add(DYNAMIC_BYTES as u64));
    facts.read_next(Part::VhdDynamic, at, DYNAMIC_BYTES);
}

/// What every footer must say. Answers the disk type.
fn footer(footer: Fields<'_>, facts: &mut Facts, rules: &Rules) -> u32 {
    if !sum_is_right(footer.part(0, SECTOR_BYTES), 64) {
        facts.find(Kind::VhdChecksum);
    }
    let kind = footer.be32(60);
    match kind {
        FIXED | DYNAMIC => {}
        DIFFERENCING => facts.find(Kind::VhdParent),
        other => facts.find_with(Kind::VhdType, other.into(), 0),
    }
    facts.disk(footer.be64(48), rules);
    kind
}

/// The header of a dynamic disk.
pub(super) fn dynamic(look: &Look<'_>, facts: &mut Facts) {
    let h = look.bytes;
    if !h.has(0, DYNAMIC_COOKIE) {
        return facts.find_with(Kind::VhdHeader, 0, 0);
    }
    if !sum_is_right(h.0, 36) {
        facts.find(Kind::VhdChecksum);
    }
    // Uuid and name of the parent, and where to find it.
    if !is_zero(h.part(40, 16)) || !is_zero(h.part(64, 704)) {
        facts.find(Kind::VhdParent);
    }
    let (table_at, entries, block_bytes) = (h.be64(16), u64::from(h.be32(28)), h.be32(32));
    if block_bytes < 512 || !block_bytes.is_power_of_two() {
        return facts.find_with(Kind::VhdHeader, 32, 0);
    }
    let disk_bytes = facts.virtual_size.unwrap_or(0);
    if entries * u64::from(block_bytes) < disk_bytes {
        facts.find_with(Kind::VhdHeader, 28, 0);
    }
    if table_at < SECTOR_BYTES as u64 {
        facts.find_with(Kind::VhdHeader, 16, 0);
    }
    facts.needs(table_at.checked_add(entries * 4));
}

/// The footer at the end of the file.
pub(super) fn tail(look: &Look<'_>, facts: &mut Facts) {
    let found = look.bytes.last(SECTOR_BYTES).filter(|footer| footer.has(0, COOKIE));
    if let Seal::Vhd(sealed) = facts.seal {
        match found {
            None => facts.find(Kind::VhdNoFooter),
            Some(found) => {
                if !sum_is_right(found.0, 64) {
                    facts.find(Kind::VhdChecksum);
                }
                if seal(found) != sealed {
                    facts.find(Kind::VhdFooter);
                }
            }
        }
        return;
    }
    let Some(found) = found else { return };
    let disk_before = facts.virtual_size;
    facts.matches = facts.matches.with(Format::Vhd);
    facts.is_fixed_vhd = true;
    if footer(found, facts, look.rules) == DYNAMIC {
        // It has lost its beginning.
        facts.find_with(Kind::VhdHeader, 0, 0);
    }
    let disk_bytes = found.be64(48);
    let before = look.length.unwrap_or(0).saturating_sub(SECTOR_BYTES as u64);
    if disk_bytes != before {
        facts.find_with(Kind::VhdSize, disk_bytes, before);
    }
    // Of two formats neither is to be believed.
    facts.virtual_size = disk_before.or(facts.virtual_size);
}

/// Where the disk goes on, how large it is, of which type, and its uuid.
fn seal(footer: Fields<'_>) -> [u8; VHD_SEAL_BYTES] {
    let mut seal = [0; VHD_SEAL_BYTES];
    seal[..8].copy_from_slice(&footer.array::<8>(16));
    seal[8..16].copy_from_slice(&footer.array::<8>(48));
    seal[16..20].copy_from_slice(&footer.array::<4>(60));
    seal[20..].copy_from_slice(&footer.array::<16>(68));
    seal
}

/// Whether the 32 bits at `at` are the complement of the sum of all other bytes.
fn sum_is_right(bytes: &[u8], at: usize) -> bool {
    let sum = |bytes: &[u8]| bytes.iter().fold(0_u32, |sum, byte| sum + u32::from(*byte));
    let own = Fields(bytes).array::<4>(at);
    sum(bytes) - sum(&own) == !u32::from_be_bytes(own)
}
