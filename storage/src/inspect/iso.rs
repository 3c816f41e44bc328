//! ISO 9660 and UDF: the volume descriptors from sector 16 on, as far as the head goes.

use super::{
    facts::Facts, fields::Fields, finding::Kind, format::Format, rules::Look, sector::HEAD_BYTES,
};

const SECTOR_BYTES: usize = 2048;
const FIRST_BYTES: usize = 16 * SECTOR_BYTES;
/// Where the mark of ISO 9660 is looked for: some systems believe in any of these.
const ISO_PLACES: usize = 3;
const PRIMARY: u8 = 1;
const END: u8 = 255;
/// What a file may lack at its end.
const PAD_BYTES: u64 = 2048;

/// The volume descriptors that are there, each with its number.
fn descriptors(head: Fields<'_>) -> impl Iterator<Item = (usize, Fields<'_>)> {
    let places = (FIRST_BYTES..HEAD_BYTES).step_by(SECTOR_BYTES).enumerate();
    places.map(move |(number, at)| (number, Fields(head.part(at, SECTOR_BYTES))))
}

/// Finds the marks.
pub(super) fn detect(look: &Look<'_>, facts: &mut Facts) {
    let has_mark = |(number, descriptor): (usize, Fields<'_>)| {
        let is_iso = number < ISO_PLACES && descriptor.has(1, b"CD001");
        is_iso || descriptor.has(1, b"NSR02") || descriptor.has(1, b"NSR03")
    };
    if descriptors(look.bytes).any(has_mark) {
        facts.matches = facts.matches.with(Format::Iso);
    }
}

/// The primary volume descriptor.
pub(super) fn read(look: &Look<'_>, facts: &mut Facts) {
    let is_iso = |descriptor: &Fields<'_>| descriptor.has(1, b"CD001");
    let mut all = descriptors(look.bytes).map(|(_, descriptor)| descriptor);
    if !all.any(|descriptor| is_iso(&descriptor)) {
        return facts.find(Kind::IsoUdf);
    }
    let primary = descriptors(look.bytes)
        .map(|(_, descriptor)| descriptor)
        .filter(is_iso)
        .take_while(|descriptor| descriptor.byte(0) != END)
        .find(|descriptor| descriptor.byte(0) == PRIMARY);
    match primary {
        Some(primary) if primary.0.len() == SECTOR_BYTES => volume(primary, facts),
        Some(_) => {
            let length = look.bytes.0.len() as u64;
            facts.find_with(Kind::HeaderCut, Format::Iso.number(), length);
        }
        None => facts.find(Kind::IsoNoPrimary),
    }
}

/// Length and name of the volume. Numbers stand there twice, little-endian and big-endian.
fn volume(primary: Fields<'_>, facts: &mut Facts) {
    let (blocks, block_bytes) = (primary.le32(80), primary.le16(128));
    if blocks != primary.be32(84) || blocks == 0 {
        return facts.find_with(Kind::IsoFields, 80, 0);
    }
    if block_bytes != primary.be16(130) || !matches!(block_bytes, 512 | 1024 | 2048) {
        return facts.find_with(Kind::IsoFields, 128, 0);
    }
    facts.volume_id = Some(primary.array(40));
    let end = u64::from(blocks) * u64::from(block_bytes);
    facts.needs(Some(end.saturating_sub(PAD_BYTES)));
}
