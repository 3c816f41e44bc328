//! qcow2, versions 2 and 3: header and header extensions. Fields are big-endian.

use super::{
    facts::Facts,
    finding::Kind,
    rules::Look,
    sector::{HEAD_BYTES, is_cut},
};

const HEADER_V2_BYTES: usize = 72;
const HEADER_V3_BYTES: usize = 104;
/// QEMU opens no image with larger tables.
const L1_BYTES_MAX: u64 = 32 << 20;
const REFCOUNT_TABLE_BYTES_MAX: u64 = 8 << 20;
const SNAPSHOTS_MAX: u32 = 65_536;
/// Bytes that a snapshot takes at least.
const SNAPSHOT_BYTES: u64 = 40;

const DIRTY: u64 = 1;
const CORRUPT: u64 = 1 << 1;
const DATA_FILE: u64 = 1 << 2;
const COMPRESSION: u64 = 1 << 3;
const EXTENDED_L2: u64 = 1 << 4;
const KNOWN: u64 = DIRTY | CORRUPT | DATA_FILE | COMPRESSION | EXTENDED_L2;

const BACKING_FORMAT: u32 = 0xe279_2aca;
const DATA_FILE_NAME: u32 = 0x4441_5441;

/// Everything that the first sector shows.
pub(super) fn sector(look: &Look<'_>, facts: &mut Facts) {
    if is_cut(look, facts, HEADER_V2_BYTES) {
        return;
    }
    let h = look.bytes;
    let version = h.be32(4);
    match version {
        2 => {}
        3 if is_cut(look, facts, HEADER_V3_BYTES) => return,
        3 => version_3(look, facts),
        other => return facts.find_with(Kind::QcowVersion, other.into(), 0),
    }
    let (backing, backing_bytes) = (h.be64(8), h.be32(16));
    if backing != 0 {
        facts.find(Kind::QcowBackingFile);
    } else if backing_bytes != 0 {
        facts.find(Kind::QcowBackingSize);
    }
    match h.be32(32) {
        0 => {}
        1 => facts.find(Kind::QcowAes),
        2 if look.rules.encrypted => {}
        2 => facts.find(Kind::QcowLuks),
        other => facts.find_with(Kind::QcowCrypt, other.into(), 0),
    }
    let snapshots = h.be32(60);
    if snapshots > SNAPSHOTS_MAX {
        facts.find_with(Kind::QcowSnapshots, snapshots.into(), SNAPSHOTS_MAX.into());
    } else if snapshots > 0 {
        facts.find_with(Kind::QcowHasSnapshots, snapshots.into(), 0);
    }
    facts.disk(h.be64(24), look.rules);
    match h.be32(20) {
        bits @ 9..=21 => tables(look, facts, 1 << bits),
        bits => facts.find_with(Kind::QcowClusterBits, bits.into(), 0),
    }
}

/// Fields that only version 3 has.
fn version_3(look: &Look<'_>, facts: &mut Facts) {
    let h = look.bytes;
    let features = h.be64(72);
    if features & DIRTY != 0 {
        facts.find(Kind::QcowDirty);
    }
    if features & CORRUPT != 0 {
        facts.find(Kind::QcowCorrupt);
    }
    if features & DATA_FILE != 0 {
        facts.find(Kind::QcowDataFile);
    }
    if features & EXTENDED_L2 != 0 && !look.rules.extended_l2 {
        facts.find(Kind::QcowExtendedL2);
    }
    if features & !KNOWN != 0 {
        facts.find_with(Kind::QcowFeatures, features & !KNOWN, 0);
    }
    let header_bytes = h.be32(100);
    // Before this field was added every image was compressed with zlib.
    let compression = if header_bytes > 104 { h.byte(104) } else { 0 };
    let fits = if features & COMPRESSION != 0 { compression <= 1 } else { compression == 0 };
    if !fits {
        facts.find_with(Kind::QcowCompression, compression.into(), 0);
    }
    let order = h.be32(96);
    if order > 6 {
        facts.find_with(Kind::QcowRefcountOrder, order.into(), 0);
    }
    let cluster_bytes = 1_u64.checked_shl(h.be32(20)).unwrap_or(0);
    let possible = u64::from(header_bytes) <= cluster_bytes && header_bytes.is_multiple_of(8);
    if header_bytes < 104 || !possible {
        facts.find_with(Kind::QcowHeaderLength, header_bytes.into(), 0);
    }
}

/// Where the tables stand, and that they are as large as they must be.
fn tables(look: &Look<'_>, facts: &mut Facts, cluster_bytes: u64) {
    let h = look.bytes;
    let extended = h.be32(4) == 3 && h.be64(72) & EXTENDED_L2 != 0;
    let entries = cluster_bytes / if extended { 16 } else { 8 };
    let l1_entries = u64::from(h.be32(36));
    let l1_needed = h.be64(24).div_ceil(cluster_bytes * entries);
    let l1_bytes = l1_entries * 8;
    if l1_entries < l1_needed {
        facts.find_with(Kind::QcowL1Size, l1_entries, l1_needed);
    }
    if l1_bytes > L1_BYTES_MAX {
        facts.find_with(Kind::QcowL1Bytes, l1_bytes, L1_BYTES_MAX);
    }
    let refcount_clusters = u64::from(h.be32(56));
    let refcount_bytes = refcount_clusters * cluster_bytes;
    if refcount_clusters == 0 || refcount_bytes > REFCOUNT_TABLE_BYTES_MAX {
        facts.find_with(Kind::QcowRefcounts, refcount_clusters, 0);
    }
    let snapshot_bytes = u64::from(h.be32(60)) * SNAPSHOT_BYTES;
    for (at, bytes) in [(40, l1_bytes), (48, refcount_bytes), (64, snapshot_bytes)] {
        let offset = h.be64(at);
        if bytes == 0 {
            continue;
        }
        // At 0 stands the header.
        if offset == 0 || !offset.is_multiple_of(cluster_bytes) {
            facts.find_with(Kind::QcowTable, offset, 0);
        } else {
            facts.needs(offset.checked_add(bytes));
        }
    }
}

/// The header extensions, from the head.
pub(super) fn extensions(look: &Look<'_>, facts: &mut Facts) {
    let h = look.bytes;
    let header_bytes = if h.be32(4) == 2 { HEADER_V2_BYTES as u64 } else { h.be32(100).into() };
    // Both were checked with the first sector.
    let area_bytes = usize::try_from(1_u64 << h.be32(20).min(21)).unwrap_or(HEAD_BYTES);
    let mut at = usize::try_from(header_bytes).unwrap_or(area_bytes);
    while at + 8 <= area_bytes {
        if at + 8 > h.0.len() {
            // A file that ends here is told to be cut off by its tables. What goes on behind the head is nothing that is made.
            if h.0.len() >= HEAD_BYTES {
                facts.find_with(Kind::QcowExtensions, at as u64, 0);
            }
            return;
        }
        let (kind, length) = (h.be32(at), h.be32(at + 4));
        match kind {
            0 => return,
            BACKING_FORMAT if h.be64(8) == 0 => facts.find(Kind::QcowBackingFormat),
            DATA_FILE_NAME => facts.find(Kind::QcowDataFile),
            _ => {}
        }
        let padded = usize::try_from(length).unwrap_or(usize::MAX).checked_next_multiple_of(8);
        match padded.and_then(|padded| (at + 8).checked_add(padded)) {
            Some(end) if end <= area_bytes => at = end,
            Some(_) | None => return facts.find_with(Kind::QcowExtensions, at as u64, 0),
        }
    }
}
