//! What is known of a file so far. Small: the bytes that it was learnt from are not kept.

use super::{
    finding::{Finding, Kind, Level},
    format::{Format, Formats, PartitionTable},
    region::{Part, Region},
    rules::Rules,
};

/// What the end of the file must say, by what its beginning says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Seal {
    /// Nothing.
    #[default]
    Open,
    /// The footer of a vmdk stream: what its header says too.
    Vmdk([u8; VMDK_SEAL_BYTES]),
    /// The footer of a dynamic vhd: the fields that its copy at the beginning has.
    Vhd([u8; VHD_SEAL_BYTES]),
    /// The second copy of a GPT: its sector, and the bytes that a sector has.
    Gpt { sector: u64, sector_bytes: u16 },
}

/// Bytes of the fields that header and footer of a vmdk share.
pub(super) const VMDK_SEAL_BYTES: usize = 54;
/// Bytes of the fields that both copies of a vhd footer share.
pub(super) const VHD_SEAL_BYTES: usize = 36;

/// What the parts of a vhdx say of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct VhdxFacts {
    /// Sequence number of the newest whole header, plus one; 0 for none.
    pub(super) newest: u64,
    /// Whether that header names a log.
    pub(super) has_log: bool,
    /// Checksum over the first region table.
    pub(super) table_sum: u32,
    /// Bytes of the block allocation table.
    pub(super) bat_bytes: u64,
    pub(super) block_bytes: u32,
    pub(super) disk_bytes: u64,
}

/// What is known of a file so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Facts {
    /// Formats whose mark was found; none means raw.
    pub(super) matches: Formats,
    /// The mark of a boot record stands at the end of the first sector.
    pub(super) has_boot_mark: bool,
    /// The vhd was found by its footer alone: what stands before it is the disk itself.
    pub(super) is_fixed_vhd: bool,
    pub(super) partitions: Option<PartitionTable>,
    /// Where the last partition ends, in bytes.
    pub(super) partitions_end: u64,
    pub(super) virtual_size: Option<u64>,
    /// Where the disk begins that goes to the end of the file.
    pub(super) payload_start: Option<u64>,
    pub(super) volume_id: Option<[u8; 32]>,
    /// What the header speaks of ends here: a shorter file is cut off.
    pub(super) needed_bytes: u64,
    pub(super) seal: Seal,
    pub(super) vhdx: VhdxFacts,
    /// Counts if the file turns out to be a raw disk.
    pub(super) if_raw: Option<Finding>,
    /// Each kind at most once; added by [`add`](Self::add) alone.
    pub(super) findings: Vec<Finding>,
    /// Parts to read next.
    pub(super) next: Vec<(Part, u64, usize)>,
}

impl Facts {
    /// Writes down a finding without numbers.
    pub(super) fn find(&mut self, kind: Kind) {
        self.find_with(kind, 0, 0);
    }

    /// Writes down a finding. Each kind counts once, so that their number has a bound.
    pub(super) fn find_with(&mut self, kind: Kind, a: u64, b: u64) {
        self.add(Finding::new(kind, a, b));
    }

    pub(super) fn add(&mut self, finding: Finding) {
        if !self.findings.iter().any(|found| found.kind == finding.kind) {
            self.findings.push(finding);
        }
    }

    pub(super) fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Why the file is refused, if it is: the first reason.
    pub(super) fn refusal(&self) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.level == Level::Refusal)
    }

    /// Sets the size of the disk inside, within its bounds.
    pub(super) fn disk(&mut self, bytes: u64, rules: &Rules) {
        self.virtual_size = Some(bytes);
        if bytes > rules.virtual_bytes_max {
            self.find_with(Kind::VirtualSize, bytes, rules.virtual_bytes_max);
        }
    }

    /// The header speaks of something that ends at `end`; `None` where no number is large enough.
    pub(super) fn needs(&mut self, end: Option<u64>) {
        self.needed_bytes = self.needed_bytes.max(end.unwrap_or(u64::MAX));
    }

    /// Asks for a part of the file.
    pub(super) fn read_next(&mut self, part: Part, start: u64, length: usize) {
        self.next.push((part, start, length));
    }

    /// What the file is, as far as is known.
    pub(super) fn format(&self) -> Format {
        self.matches.iter().next().unwrap_or(Format::Raw)
    }

    /// The parts that were asked for.
    pub(super) fn take_next(&mut self) -> Vec<Region> {
        let next = std::mem::take(&mut self.next);
        next.into_iter().map(|(part, start, length)| Region::new(part, start, length)).collect()
    }
}
