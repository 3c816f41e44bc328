//! The formats that are told apart, and sets of them.

use std::fmt;

/// What a file is, by its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Format {
    /// The bytes of a disk as they are; with a partition table, a file system or anything unknown.
    Raw,
    /// QEMU's copy-on-write format, version 2 or 3.
    Qcow2,
    /// VMware, one sparse file.
    Vmdk,
    /// Virtual PC; QEMU says `vpc`.
    Vhd,
    /// Hyper-V.
    Vhdx,
    /// VirtualBox.
    Vdi,
    /// ISO 9660 or UDF.
    Iso,
    /// An encrypted disk, LUKS 1 or 2.
    Luks,
    /// Parallels expanding disk.
    Parallels,
    /// Bochs.
    Bochs,
    /// Compressed loop device.
    Cloop,
    /// Apple disk image.
    Dmg,
    /// The first version of qcow.
    Qcow,
    /// QEMU enhanced disk.
    Qed,
    /// VMware ESX copy-on-write disk.
    Cowd,
    /// A VMware descriptor alone, whose extents are other files.
    VmdkText,
    /// Compressed.
    Gzip,
    /// Compressed.
    Xz,
    /// Compressed.
    Zstd,
    /// Compressed.
    Bzip2,
    /// An archive.
    SevenZip,
    /// An archive.
    Zip,
    /// An archive; an OVA is one.
    Tar,
}

impl Format {
    /// All of them, each at the place of its number.
    pub const ALL: [Self; 23] = [
        Self::Raw,
        Self::Qcow2,
        Self::Vmdk,
        Self::Vhd,
        Self::Vhdx,
        Self::Vdi,
        Self::Iso,
        Self::Luks,
        Self::Parallels,
        Self::Bochs,
        Self::Cloop,
        Self::Dmg,
        Self::Qcow,
        Self::Qed,
        Self::Cowd,
        Self::VmdkText,
        Self::Gzip,
        Self::Xz,
        Self::Zstd,
        Self::Bzip2,
        Self::SevenZip,
        Self::Zip,
        Self::Tar,
    ];

    /// Its short name, as records and settings have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Vmdk => "vmdk",
            Self::Vhd => "vhd",
            Self::Vhdx => "vhdx",
            Self::Vdi => "vdi",
            Self::Iso => "iso",
            Self::Luks => "luks",
            Self::Parallels => "parallels",
            Self::Bochs => "bochs",
            Self::Cloop => "cloop",
            Self::Dmg => "dmg",
            Self::Qcow => "qcow",
            Self::Qed => "qed",
            Self::Cowd => "cowd",
            Self::VmdkText => "vmdk-descriptor",
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
            Self::SevenZip => "7z",
            Self::Zip => "zip",
            Self::Tar => "tar",
        }
    }

    /// The format with this name; `vpc` is what QEMU calls `vhd`.
    pub fn from_name(name: &str) -> Option<Self> {
        if name == "vpc" {
            return Some(Self::Vhd);
        }
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// The format with this number.
    pub(super) fn from_number(number: u64) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }

    /// Its number, the same in every version of a saved state.
    pub(super) const fn number(self) -> u64 {
        self as u64
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Formats(u32);

impl Formats {
    /// None.
    pub const NONE: Self = Self(0);

    /// This set and one more.
    #[must_use]
    pub const fn with(self, format: Format) -> Self {
        Self(self.0 | 1 << format as u32)
    }

    /// Whether `format` is in it.
    pub const fn has(self, format: Format) -> bool {
        self.0 & 1 << format as u32 != 0
    }

    /// How many there are.
    pub const fn count(self) -> u32 {
        self.0.count_ones()
    }

    /// The formats, in the order of [`Format::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Format> {
        Format::ALL.into_iter().filter(move |format| self.has(*format))
    }

    pub(super) const fn bits(self) -> u32 {
        self.0
    }

    /// The set with these bits; those that stand for nothing are dropped.
    pub(super) const fn from_bits(bits: u32) -> Self {
        Self(bits & ((1 << Format::ALL.len()) - 1))
    }
}

impl FromIterator<Format> for Formats {
    fn from_iter<I: IntoIterator<Item = Format>>(formats: I) -> Self {
        formats.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Display for Formats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(Format::name).collect();
        f.write_str(&names.join(", "))
    }
}

/// How a disk is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionTable {
    /// A master boot record.
    Mbr,
    /// A GUID partition table.
    Gpt,
}

impl PartitionTable {
    /// Its short name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mbr => "mbr",
            Self::Gpt => "gpt",
        }
    }
}
