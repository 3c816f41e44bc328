//! Partition tables of raw disks: master boot records and GPT. Fields are little-endian.

use super::{
    facts::{Facts, Seal},
    fields::Fields,
    finding::{Finding, Kind, Level},
    format::{Format, PartitionTable},
    rules::Look,
    sector::SECTOR_BYTES,
};

const BOOT_MARK: &[u8] = b"\x55\xaa";
const GPT_MARK: &[u8] = b"EFI PART";
const ENTRIES_AT: usize = 446;
const ENTRY_BYTES: usize = 16;
const PROTECTIVE: u8 = 0xee;
const GPT_HEADER_BYTES: usize = 92;

/// Finds the mark of a boot record.
pub(super) fn detect(look: &Look<'_>, facts: &mut Facts) {
    facts.has_boot_mark = look.bytes.has(510, BOOT_MARK);
    if facts.has_boot_mark && !is_volume(look.bytes) {
        facts.partitions = Some(PartitionTable::Mbr);
    }
}

/// Whether the sector begins a file system and no disk: its boot record has the same mark, and code where partitions would stand.
fn is_volume(sector: Fields<'_>) -> bool {
    let is_fat = sector.byte(0x10) == 2 && sector.byte(0x15) == 0xf8;
    is_fat || sector.has(3, b"NTFS    ") || sector.has(3, b"EXFAT   ")
}

/// The partition tables of a disk that is raw, as far as its head shows.
pub(super) fn head(look: &Look<'_>, facts: &mut Facts) {
    let h = look.bytes;
    let sector_bytes = [512_u16, 4096].into_iter().find(|at| h.has((*at).into(), GPT_MARK));
    if let Some(sector_bytes) = sector_bytes {
        gpt(h, facts, sector_bytes);
    }
    if facts.partitions == Some(PartitionTable::Mbr) {
        let protects = boot_record(look, facts);
        if protects && sector_bytes.is_none() {
            facts.find(Kind::GptMissing);
        }
    }
    if let Some(sector_bytes) = sector_bytes {
        let is_protected = facts.partitions.is_some();
        if !is_protected {
            facts.find(Kind::GptNoMbr);
        }
        facts.partitions = Some(PartitionTable::Gpt);
        let sector = h.le64(usize::from(sector_bytes) + 32);
        facts.seal = Seal::Gpt { sector, sector_bytes };
    }
}

/// A master boot record. Answers whether it protects a GPT.
fn boot_record(look: &Look<'_>, facts: &mut Facts) -> bool {
    let mut wrong = None;
    let (mut used, mut protective) = (Vec::new(), None);
    for number in 0..4_u8 {
        let entry =
            Fields(look.bytes.part(ENTRIES_AT + usize::from(number) * ENTRY_BYTES, ENTRY_BYTES));
        let (flag, kind) = (entry.byte(0), entry.byte(4));
        if !matches!(flag, 0 | 0x80) {
            wrong = wrong.or(Some(Finding::new(Kind::MbrFlag, number.into(), flag.into())));
        }
        if kind == 0 {
            continue;
        }
        used.push(number);
        let (start, sectors) = (u64::from(entry.le32(8)), u64::from(entry.le32(12)));
        if kind == PROTECTIVE {
            let is_right = entry.has(1, &[0, 2, 0]) && start == 1;
            protective = Some((number, is_right));
        } else {
            facts.partitions_end =
                facts.partitions_end.max((start + sectors) * SECTOR_BYTES as u64);
        }
    }
    if let Some((number, is_right)) = protective
        && (!is_right || used != [0])
    {
        wrong = wrong.or(Some(Finding::new(Kind::MbrProtective, number.into(), 0)));
    }
    if used.is_empty() {
        wrong = wrong.or(Some(Finding::new(Kind::MbrEmpty, 0, 0)));
    }
    if let Some(mut finding) = wrong {
        if look.rules.loose_partitions {
            finding.level = Level::Warning;
        }
        match look.rules.declared {
            // It may still turn out to be a fixed vhd, whose disk is its owner's matter.
            None | Some(Format::Vhd) => facts.if_raw = Some(finding),
            Some(_) => facts.add(finding),
        }
    }
    protective.is_some()
}

/// The first copy of a GPT. What is wrong with it harms nobody but the guest.
fn gpt(head: Fields<'_>, facts: &mut Facts, sector_bytes: u16) {
    let at = usize::from(sector_bytes);
    let header = Fields(head.part(at, at));
    let entries_at = header.le64(72).saturating_mul(sector_bytes.into());
    let entries_bytes = u64::from(header.le32(80)) * u64::from(header.le32(84));
    let entries = usize::try_from(entries_at).ok().zip(usize::try_from(entries_bytes).ok());
    let entries = entries.map_or(&[][..], |(at, bytes)| head.part(at, bytes));
    // Tables that are larger than the head are believed.
    let is_whole = entries.len() as u64 == entries_bytes;
    let sum_is_right = !is_whole || crc32(entries) == header.le32(88);
    if !is_header(header, 1) || !sum_is_right {
        facts.find(Kind::GptHeader);
    }
}

/// Whether this is the whole header of a GPT that stands in `sector`.
fn is_header(header: Fields<'_>, sector: u64) -> bool {
    let length = usize::try_from(header.le32(12)).unwrap_or(usize::MAX);
    if !header.has(0, GPT_MARK) || length < GPT_HEADER_BYTES || length > header.0.len() {
        return false;
    }
    let mut summed = header.0[..length].to_vec();
    summed[16..20].fill(0);
    crc32(&summed) == header.le32(16) && header.le64(24) == sector
}

/// The second copy, in the last sector.
pub(super) fn tail(look: &Look<'_>, facts: &mut Facts, sector: u64, sector_bytes: u16) {
    let sectors = look.length.unwrap_or(0) / u64::from(sector_bytes);
    let last = look.bytes.last(sector_bytes.into());
    let is_there = last.is_some_and(|last| is_header(last, sector));
    if !is_there || sectors != sector.saturating_add(1) {
        facts.find(Kind::GptBackup);
    }
}

/// CRC-32 as Ethernet has it; over some kilobytes, once an image.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            let lowest = sum & 1;
            (sum >> 1) ^ (0xedb8_8320 * lowest)
        })
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_checksum_is_the_usual_one() {
        assert_eq!(super::crc32(b"123456789"), 0xcbf4_3926);
    }
}
