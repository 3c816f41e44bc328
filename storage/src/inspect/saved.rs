//! The state of an inspector as bytes, so that it can lie in a checkpoint.

use super::{
    facts::{Facts, Seal, VhdxFacts},
    finding::{Finding, Kind, Level},
    format::{Formats, PartitionTable},
    inspector::Inspector,
    region::{Part, Region},
    rules::Rules,
};

/// Most that a saved state has. It depends on the number of [`Kind`]s that one file can have, not on the file.
pub const SAVED_BYTES_MAX: usize = 2048;

const VERSION: u8 = 1;
const FINDINGS_MAX: usize = 48;
const PARTS_MAX: usize = 16;
const PART_BYTES_MAX: u64 = 1 << 20;
const CRC_BYTES: usize = 4;

impl Inspector {
    /// The state. Parts that were collected but not judged are not in it.
    pub fn save(&self) -> Vec<u8> {
        let mut out = Out(vec![VERSION]);
        out.u32(self.rules.fingerprint());
        out.optional(self.length);
        out.u8(self.is_done.into());
        save_facts(&mut out, &self.facts);
        let parts: Vec<_> = self.parts.iter().filter(|part| part.part != Part::Tail).collect();
        out.u8(parts.len().try_into().unwrap_or(u8::MAX));
        for part in parts {
            out.u8(part.part as u8);
            out.u64(part.start);
            out.u64(part.length as u64);
        }
        let sum = crc32c::crc32c(&out.0);
        out.u32(sum);
        out.0
    }

    /// Goes on from a state. `None` where it is damaged, of another version, or was saved under other rules or for a file of
    /// another length: begin anew then, and feed what is wanted.
    pub fn restore(rules: Rules, length: Option<u64>, saved: &[u8]) -> Option<Self> {
        let (state, sum) = saved.split_at_checked(saved.len().checked_sub(CRC_BYTES)?)?;
        if crc32c::crc32c(state).to_le_bytes() != sum {
            return None;
        }
        let mut from = In(state);
        if from.u8()? != VERSION || from.u32()? != rules.fingerprint() {
            return None;
        }
        let mut saved_length = None;
        from.optional(&mut saved_length)?;
        if saved_length.is_some() && saved_length != length {
            return None;
        }
        let mut inspector = Self::new(rules, None);
        inspector.is_done = from.u8()? != 0;
        inspector.facts = facts(&mut from)?;
        let count = from.u8()?;
        inspector.parts = (0..count).map(|_| part(&mut from)).collect::<Option<_>>()?;
        if inspector.is_done {
            inspector.length = length;
        } else if let Some(length) = length {
            inspector.set_length(length);
        }
        (from.0.is_empty() && usize::from(count) <= PARTS_MAX).then_some(inspector)
    }
}

fn part(from: &mut In<'_>) -> Option<Region> {
    let part = *Part::ALL.get(usize::from(from.u8()?))?;
    let (start, length) = (from.u64()?, from.u64()?);
    let length = usize::try_from(length).ok().filter(|length| *length as u64 <= PART_BYTES_MAX)?;
    Some(Region::new(part, start, length))
}

fn save_facts(out: &mut Out, facts: &Facts) {
    out.u32(facts.matches.bits());
    out.u8(facts.has_boot_mark.into());
    out.u8(facts.is_fixed_vhd.into());
    out.u8(match facts.partitions {
        None => 0,
        Some(PartitionTable::Mbr) => 1,
        Some(PartitionTable::Gpt) => 2,
    });
    out.u64(facts.partitions_end);
    out.optional(facts.virtual_size);
    out.optional(facts.payload_start);
    out.u8(facts.volume_id.is_some().into());
    out.bytes(&facts.volume_id.unwrap_or_default());
    out.u64(facts.needed_bytes);
    match &facts.seal {
        Seal::Open => out.u8(0),
        Seal::Vmdk(sealed) => {
            out.u8(1);
            out.bytes(sealed);
        }
        Seal::Vhd(sealed) => {
            out.u8(2);
            out.bytes(sealed);
        }
        Seal::Gpt { sector, sector_bytes } => {
            out.u8(3);
            out.u64(*sector);
            out.u32((*sector_bytes).into());
        }
    }
    let VhdxFacts { newest, has_log, table_sum, bat_bytes, block_bytes, disk_bytes } = facts.vhdx;
    out.u64(newest);
    out.u8(has_log.into());
    out.u32(table_sum);
    out.u64(bat_bytes);
    out.u32(block_bytes);
    out.u64(disk_bytes);
    let all = || facts.findings().iter().take(FINDINGS_MAX).chain(&facts.if_raw);
    out.u8(facts.if_raw.is_some().into());
    out.u8(all().count().try_into().unwrap_or(u8::MAX));
    for finding in all() {
        out.u8(finding.kind as u8);
        out.u8((finding.level == Level::Refusal).into());
        out.u64(finding.a);
        out.u64(finding.b);
    }
}

fn facts(from: &mut In<'_>) -> Option<Facts> {
    let (mut virtual_size, mut payload_start) = (None, None);
    let mut facts = Facts {
        matches: Formats::from_bits(from.u32()?),
        has_boot_mark: from.u8()? != 0,
        is_fixed_vhd: from.u8()? != 0,
        partitions: match from.u8()? {
            0 => None,
            1 => Some(PartitionTable::Mbr),
            2 => Some(PartitionTable::Gpt),
            _ => return None,
        },
        partitions_end: from.u64()?,
        virtual_size: from.optional(&mut virtual_size).map(|()| virtual_size)?,
        payload_start: from.optional(&mut payload_start).map(|()| payload_start)?,
        volume_id: (from.u8()? != 0).then_some(from.array()?),
        needed_bytes: from.u64()?,
        seal: match from.u8()? {
            0 => Seal::Open,
            1 => Seal::Vmdk(from.array()?),
            2 => Seal::Vhd(from.array()?),
            3 => {
                let sector = from.u64()?;
                let sector_bytes = u16::try_from(from.u32()?).ok().filter(|bytes| *bytes > 0)?;
                Seal::Gpt { sector, sector_bytes }
            }
            _ => return None,
        },
        vhdx: VhdxFacts {
            newest: from.u64()?,
            has_log: from.u8()? != 0,
            table_sum: from.u32()?,
            bat_bytes: from.u64()?,
            block_bytes: from.u32()?,
            disk_bytes: from.u64()?,
        },
        ..Facts::default()
    };
    let has_if_raw = from.u8()? != 0;
    let count = from.u8()?;
    for number in 1..=count {
        let kind = Kind::from_number(from.u8()?)?;
        let level = if from.u8()? == 0 { Level::Warning } else { Level::Refusal };
        let finding = Finding { kind, level, a: from.u64()?, b: from.u64()? };
        if has_if_raw && number == count {
            facts.if_raw = Some(finding);
        } else {
            facts.add(finding);
        }
    }
    Some(facts)
}

/// Numbers are little-endian.
struct Out(Vec<u8>);

impl Out {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    fn u32(&mut self, value: u32) {
        self.bytes(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.bytes(&value.to_le_bytes());
    }

    fn optional(&mut self, value: Option<u64>) {
        self.u8(value.is_some().into());
        self.u64(value.unwrap_or(0));
    }
}

struct In<'b>(&'b [u8]);

impl In<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (found, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*found)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// Reads into `value`; `None` where nothing is left to read.
    fn optional(&mut self, value: &mut Option<u64>) -> Option<()> {
        let is_some = self.u8()? != 0;
        let found = self.u64()?;
        *value = is_some.then_some(found);
        Some(())
    }
}
