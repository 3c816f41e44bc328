//! The inspector: collects the parts that matter, reads each when it is whole, and adds up the verdict.

use std::ops::Range;

use super::{
    descriptor,
    facts::{Facts, Seal},
    finding::{Finding, Kind, PARTITIONED},
    format::{Format, PartitionTable},
    partitions,
    region::{Part, Region},
    rules::{Look, Rules},
    sector::{self, HEAD_BYTES, SECTOR_BYTES},
    vhd, vhdx, vmdk,
};
use crate::extents::Extents;

/// Bytes of the end that are looked at.
const TAIL_BYTES: usize = 4096;

/// Most that an inspector holds of what it was fed: first sector, head, the descriptor of a vmdk (or the tables of a vhdx), tail.
pub const HELD_BYTES_MAX: usize = SECTOR_BYTES + HEAD_BYTES + (1 << 20) + 3 * TAIL_BYTES;

/// What an image is, and what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Its format.
    pub format: Format,
    /// Bytes of the disk inside; of the file where the format has no other size.
    pub virtual_size: u64,
    /// How a raw disk is divided.
    pub partitions: Option<PartitionTable>,
    /// Name of the volume of an ISO, without what a terminal would take as a command.
    pub volume_id: Option<String>,
    /// Everything that was found, the first refusal before the others.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Why the image is not to be taken, if it is not.
    pub fn refusal(&self) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.level == super::Level::Refusal)
    }
}

/// Looks at an image while its bytes flow.
#[derive(Debug)]
pub struct Inspector {
    pub(super) rules: Rules,
    /// Length of the file, once known.
    pub(super) length: Option<u64>,
    pub(super) facts: Facts,
    /// Parts to read, in this order. The tail is the last.
    pub(super) parts: Vec<Region>,
    /// The last bytes so far, while nobody knows where the end is.
    end: End,
    pub(super) is_done: bool,
}

impl Inspector {
    /// Of a file of which nothing has come yet. `length` is that of the whole, where it was declared.
    pub fn new(rules: Rules, length: Option<u64>) -> Self {
        let parts = vec![
            Region::new(Part::Sector, 0, SECTOR_BYTES),
            Region::new(Part::Head, 0, HEAD_BYTES),
        ];
        let mut inspector = Self {
            rules,
            length: None,
            facts: Facts::default(),
            parts,
            end: End::default(),
            is_done: false,
        };
        if let Some(length) = length {
            inspector.set_length(length);
        }
        inspector
    }

    /// Takes the bytes at `at`. Answers why the image is refused, as soon as that is proven; it stays so. Bytes that came before
    /// count, not those that come again.
    pub fn feed(&mut self, at: u64, bytes: &[u8]) -> Option<&Finding> {
        if !self.is_done && !bytes.is_empty() {
            for part in &mut self.parts {
                part.take(at, bytes);
            }
            if self.length.is_none() {
                self.end.take(at, bytes);
            }
            self.advance(at, bytes);
        }
        self.refusal()
    }

    /// The file ends here. Another length than the declared one is a reason to refuse it. Ask for [`wanted`](Self::wanted) parts
    /// afterwards.
    pub fn end(&mut self, length: u64) -> Option<&Finding> {
        match self.length {
            Some(declared) if declared != length && !self.is_done => {
                self.facts.find_with(Kind::LengthDiffers, declared, length);
                self.stop();
            }
            Some(_) => {}
            None => self.set_length(length),
        }
        self.advance(0, &[]);
        self.refusal()
    }

    /// Parts of the file that are not there yet: those that are still to come, and those that had passed before it was known that
    /// they matter. Sorted. Empty when the verdict is known; a part may lead to another one.
    pub fn wanted(&self) -> Vec<Range<u64>> {
        let mut wanted = Extents::new();
        for range in self.parts.iter().flat_map(|part| part.missing(self.length)) {
            wanted.insert(range);
        }
        wanted.to_vec()
    }

    /// Why the image is refused, if that is proven: the first reason.
    pub fn refusal(&self) -> Option<&Finding> {
        self.facts.refusal()
    }

    /// The verdict; `None` while something is missing that it depends on.
    pub fn report(&self) -> Option<Report> {
        self.is_done.then(|| self.so_far())
    }

    /// What is known now.
    pub fn so_far(&self) -> Report {
        let mut findings = self.facts.findings().to_vec();
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
        Report {
            format: self.facts.format(),
            virtual_size: self.virtual_size(),
            partitions: self.facts.partitions.filter(|_| self.facts.format() == Format::Raw),
            volume_id: self.facts.volume_id.map(|name| shown(&name)),
            findings,
        }
    }

    /// Memory that it holds of what it was fed; at most [`HELD_BYTES_MAX`].
    pub fn held_bytes(&self) -> usize {
        self.parts.iter().map(Region::held_bytes).sum::<usize>() + self.end.bytes.capacity()
    }

    pub(super) fn set_length(&mut self, length: u64) {
        self.length = Some(length);
        if self.is_done {
            return;
        }
        let tail_bytes = usize::try_from(length).unwrap_or(TAIL_BYTES).min(TAIL_BYTES);
        let mut tail = Region::new(Part::Tail, length - tail_bytes as u64, tail_bytes);
        for part in &self.parts {
            tail.take_from(part);
        }
        let end = std::mem::take(&mut self.end);
        tail.take(end.start, &end.bytes);
        self.parts.push(tail);
        self.advance(0, &[]);
    }

    /// Reads every part that is whole, in order. `bytes` at `at` are those that have just come: a part that is named by another
    /// one may lie among them.
    fn advance(&mut self, at: u64, bytes: &[u8]) {
        while !self.is_done {
            if let Some(length) = self.length
                && self.facts.needed_bytes > length
            {
                self.facts.find_with(Kind::Truncated, self.facts.needed_bytes, length);
            }
            if self.refusal().is_some() {
                return self.stop();
            }
            match self.parts.first() {
                Some(part) if self.is_beyond(part) => drop(self.parts.remove(0)),
                Some(part) if part.is_complete(self.length) => {
                    let part = self.parts.remove(0);
                    self.read(&part);
                    self.collect_next(&part, at, bytes);
                }
                None if self.length.is_some() => {
                    self.conclude();
                    self.stop();
                }
                Some(_) | None => return,
            }
        }
    }

    /// Whether the file ends within a part that a header has named: that it is cut off has been said.
    fn is_beyond(&self, part: &Region) -> bool {
        !part.part.may_be_cut() && self.length.is_some_and(|length| part.range().end > length)
    }

    /// Takes up the parts that the one just read has named.
    fn collect_next(&mut self, read: &Region, at: u64, bytes: &[u8]) {
        for mut next in self.facts.take_next() {
            // Whether or not the file goes so far.
            self.facts.needs(Some(next.range().end));
            next.take_from(read);
            for part in &self.parts {
                next.take_from(part);
            }
            next.take(at, bytes);
            let tail = self.parts.iter().position(|part| part.part == Part::Tail);
            self.parts.insert(tail.unwrap_or(self.parts.len()), next);
        }
    }

    fn stop(&mut self) {
        self.is_done = true;
        self.parts = Vec::new();
        self.end = End::default();
    }

    /// Lets the rules of one part look at it.
    fn read(&mut self, region: &Region) {
        let bytes = super::fields::Fields(region.bytes(self.length));
        let look = Look { bytes, length: self.length, rules: &self.rules };
        let facts = &mut self.facts;
        match region.part {
            Part::Sector => {
                sector::detect(&look, facts);
                judge_formats(facts, &self.rules, Part::Sector);
                if facts.refusal().is_none() {
                    sector::read(&look, facts);
                }
            }
            Part::Head => {
                sector::head(&look, facts);
                judge_formats(facts, &self.rules, Part::Head);
            }
            Part::VmdkDescriptor => descriptor::read(&look, facts),
            Part::VhdDynamic => vhd::dynamic(&look, facts),
            Part::VhdxHeaderA => vhdx::header(&look, facts, false),
            Part::VhdxHeaderB => vhdx::header(&look, facts, true),
            Part::VhdxTableA => vhdx::table_a(&look, facts),
            Part::VhdxTableB => vhdx::table_b(&look, facts),
            Part::VhdxMetadata => vhdx::metadata(&look, facts, region.start),
            Part::VhdxParameters => vhdx::parameters(&look, facts),
            Part::VhdxDiskSize => vhdx::disk_size(&look, facts),
            Part::VhdxSectorBytes => vhdx::sector_bytes(&look, facts),
            Part::Tail => {
                tail(&look, facts);
                judge_formats(facts, &self.rules, Part::Tail);
            }
        }
    }

    fn virtual_size(&self) -> u64 {
        let length = self.length.unwrap_or(0);
        let payload = self.facts.payload_start.map(|start| length.saturating_sub(start));
        self.facts.virtual_size.or(payload).unwrap_or(length)
    }

    /// What only the whole file shows.
    fn conclude(&mut self) {
        let length = self.length.unwrap_or(0);
        let format = self.facts.format();
        if format == Format::Raw {
            if let Some(finding) = self.facts.if_raw {
                self.facts.add(finding);
            }
            if !length.is_multiple_of(512) {
                self.facts.find_with(Kind::RawOdd, length, 0);
            }
            if self.facts.partitions_end > length {
                self.facts.find_with(Kind::PartitionBeyond, self.facts.partitions_end, length);
            }
        }
        if !self.rules.formats.has(format) {
            self.facts.find_with(Kind::NotTaken, format.number(), 0);
        }
        let disk = self.virtual_size();
        let Rules { virtual_bytes_max: max, virtual_bytes_min: min, .. } = self.rules;
        if disk > max {
            self.facts.find_with(Kind::VirtualSize, disk, max);
        }
        if disk < min {
            self.facts.find_with(Kind::TooSmall, disk, min);
        }
        let ratio = disk / length.max(1);
        if let Some(max) = self.rules.virtual_ratio_max.filter(|max| ratio > *max) {
            self.facts.find_with(Kind::VirtualRatio, ratio, max);
        }
    }
}

/// The last bytes so far.
#[derive(Debug, Default)]
struct End {
    start: u64,
    bytes: Vec<u8>,
}

impl End {
    /// Keeps the end of what is furthest; what lies before the end alone is known to nobody then and will be wanted.
    fn take(&mut self, at: u64, bytes: &[u8]) {
        let known_end = self.start + self.bytes.len() as u64;
        if at.saturating_add(bytes.len() as u64) <= known_end {
            return;
        }
        if at != known_end || bytes.len() >= TAIL_BYTES {
            let kept = &bytes[bytes.len().saturating_sub(TAIL_BYTES)..];
            self.start = at.saturating_add((bytes.len() - kept.len()) as u64);
            self.bytes.clear();
            self.bytes.extend_from_slice(kept);
            return;
        }
        self.bytes.reserve_exact(2 * TAIL_BYTES - self.bytes.len());
        self.bytes.extend_from_slice(bytes);
        // Seldom, so that single bytes do not move all others each time.
        let surplus = self.bytes.len().saturating_sub(TAIL_BYTES);
        if self.bytes.len() + TAIL_BYTES > self.bytes.capacity() && surplus > 0 {
            self.bytes.drain(..surplus);
            self.start += surplus as u64;
        }
    }
}

/// The rules that compare the formats found with each other and with what is wanted, after the part `after` was read.
fn judge_formats(facts: &mut Facts, rules: &Rules, after: Part) {
    let found = facts.matches;
    for format in found.iter() {
        let number = format.number();
        match format {
            Format::Qcow => facts.find(Kind::QcowVersion1),
            Format::Qed => facts.find(Kind::Qed),
            Format::Cowd => facts.find(Kind::Cowd),
            Format::VmdkText => facts.find(Kind::VmdkText),
            Format::Gzip | Format::Xz | Format::Zstd | Format::Bzip2 => {
                facts.find_with(Kind::Compressed, number, 0);
            }
            Format::SevenZip | Format::Zip | Format::Tar => {
                facts.find_with(Kind::Archive, number, 0);
            }
            Format::Raw
            | Format::Qcow2
            | Format::Vmdk
            | Format::Vhd
            | Format::Vhdx
            | Format::Vdi
            | Format::Iso
            | Format::Luks
            | Format::Parallels
            | Format::Bochs
            | Format::Cloop
            | Format::Dmg => {
                if !rules.formats.has(format) {
                    facts.find_with(Kind::NotTaken, number, 0);
                }
            }
        }
    }
    // An ISO may be a disk with partitions too, so that it starts from a stick. What begins like a boot record by chance or because
    // the disk itself begins there is no second format.
    let may_boot = matches!(facts.format(), Format::Iso | Format::Luks) || facts.is_fixed_vhd;
    let is_divided = facts.has_boot_mark && found.count() == 1 && !may_boot;
    if found.count() > 1 || is_divided {
        let mark = if is_divided { PARTITIONED } else { 0 };
        facts.find_with(Kind::ManyFormats, u64::from(found.bits()) | mark, 0);
    }
    let Some(declared) = rules.declared else { return };
    // From here on a file without the mark of this format cannot get it any more.
    let marked_by = if matches!(declared, Format::Vhd | Format::Dmg) {
        Part::Tail
    } else if declared == Format::Iso {
        Part::Head
    } else {
        Part::Sector
    };
    let other = found.iter().find(|format| *format != declared);
    let is_late = after as u8 >= marked_by as u8 && declared != Format::Raw;
    if let Some(other) = other {
        facts.find_with(Kind::FormatDiffers, declared.number(), other.number());
    } else if is_late && !found.has(declared) {
        facts.find_with(Kind::FormatDiffers, declared.number(), Format::Raw.number());
    }
}

/// The rules for the end of the file.
fn tail(look: &Look<'_>, facts: &mut Facts) {
    match facts.seal {
        Seal::Vmdk(sealed) => vmdk::tail(look, facts, &sealed),
        Seal::Gpt { sector, sector_bytes } => partitions::tail(look, facts, sector, sector_bytes),
        Seal::Open | Seal::Vhd(_) => {}
    }
    vhd::tail(look, facts);
    if look.bytes.last(512).is_some_and(|trailer| trailer.has(0, b"koly")) {
        facts.matches = facts.matches.with(Format::Dmg);
    }
}

/// A name from an image, for people.
fn shown(name: &[u8]) -> String {
    let shown = |byte: &u8| if (b' '..=b'~').contains(byte) { char::from(*byte) } else { '?' };
    let end = name.iter().rposition(|byte| !matches!(byte, 0 | b' ')).map_or(0, |last| last + 1);
    name[..end].iter().map(shown).collect()
}
