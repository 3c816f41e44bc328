//! What can be found in an image: every sentence that the inspector can say, with its rule and what to do about it.

use std::fmt;

use super::format::{Format, Formats};

/// What a finding means for the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Worth knowing.
    Warning,
    /// The image is not taken.
    Refusal,
}

impl Level {
    /// Its short name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Refusal => "refusal",
        }
    }
}

/// One row for each kind: name, number of the rule, level, code, words, advice. In the words `{a}` and `{b}` are the numbers of the
/// finding, `{f}` and `{g}` the formats with these numbers, `{s}` the formats whose set is the first number.
macro_rules! kinds {
    ($($kind:ident $rule:literal $level:ident $code:literal: $words:literal => $advice:expr;)*) => {
        /// What was found.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[expect(missing_docs, reason = "the words of each say what it is")]
        pub enum Kind { $($kind),* }

        impl Kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            const fn row(self) -> Row {
                match self {
                    $(Self::$kind => Row {
                        rule: $rule, level: Level::$level, code: $code, words: $words, advice: $advice,
                    }),*
                }
            }
        }
    };
}

struct Row {
    rule: u8,
    level: Level,
    code: &'static str,
    words: &'static str,
    advice: &'static str,
}

const FLATTEN: &str = "make one file of it that needs no other, such as with `qemu-img convert -O qcow2`, and send that";
const CONVERT: &str = "convert it, such as with `qemu-img convert -O qcow2`, and send the result";
const CHECK: &str =
    "check the file where it comes from (such as with `qemu-img check`) and send it again";
const AGAIN: &str = "get the whole file again from where it comes from, and send that";
const UNPACK: &str = "unpack it and send the image itself";
const NOTHING: &str = "nothing needs to be done";
const PARTITIONS: &str = "check the partition table (such as with `fdisk -l`), or ask the operator to set `inspect.loose_partitions`";
const DECLARE: &str = "state the format that it has, or convert it";
const DECRYPT: &str = "send it without encryption, or ask the operator to set `inspect.encrypted`";

kinds! {
    FormatDiffers 2 Refusal "format_differs": "it was said to be {f}, and its content is {g}" => DECLARE;
    ManyFormats 3 Refusal "several_formats": "its content is several formats at once ({s}), so that programs would disagree on what it is" => CONVERT;
    HeaderCut 4 Refusal "header_cut": "it begins like {f}, but the file ends after {b} bytes, within the header" => AGAIN;

    QcowVersion1 5 Refusal "qcow_version_1": "it is qcow version 1, which was given up" => CONVERT;
    QcowVersion 5 Refusal "qcow2_version": "it is qcow2 version {a}; there are only 2 and 3" => CONVERT;
    QcowHeaderLength 5 Refusal "qcow2_header_length": "its qcow2 header has an impossible length of {a} bytes" => CHECK;
    QcowClusterBits 5 Refusal "qcow2_cluster_bits": "its qcow2 clusters have 2^{a} bytes; 9 to 21 bits are possible" => CHECK;
    QcowRefcountOrder 5 Refusal "qcow2_refcount_order": "its qcow2 reference counts have an order of {a}; at most 6 is possible" => CHECK;
    QcowTable 5 Refusal "qcow2_table_position": "a table of its qcow2 header stands at {a}, where none can stand" => CHECK;
    QcowL1Size 5 Refusal "qcow2_l1_size": "its qcow2 L1 table has {a} entries, and its disk needs {b}" => CHECK;
    QcowL1Bytes 5 Refusal "qcow2_l1_bytes": "its qcow2 L1 table has {a} bytes; at most {b} are possible" => CHECK;
    QcowRefcounts 5 Refusal "qcow2_refcounts": "its qcow2 table of reference counts has {a} clusters, which cannot be" => CHECK;
    QcowSnapshots 5 Refusal "qcow2_snapshots": "it names {a} snapshots; at most {b} are possible" => CHECK;
    QcowExtensions 5 Refusal "qcow2_extensions": "its qcow2 header extensions are broken at byte {a}" => CHECK;

    QcowBackingFile 6 Refusal "qcow2_backing_file": "it is only the changes to another file (a backing file)" => FLATTEN;
    QcowBackingFormat 6 Warning "qcow2_backing_format": "it names the format of a backing file, but no backing file" => NOTHING;
    QcowBackingSize 6 Warning "qcow2_backing_size": "it has the length of a backing file's name, but no backing file" => NOTHING;

    QcowDirty 7 Warning "qcow2_dirty": "it was not closed in order; its reference counts may be wrong" => "run `qemu-img check -r all` on it before it is used";
    QcowCorrupt 7 Refusal "qcow2_corrupt": "it is marked as corrupt" => "repair it with `qemu-img check -r all` and send the result";
    QcowDataFile 7 Refusal "qcow2_data_file": "its disk lies in another file (an external data file)" => FLATTEN;
    QcowCompression 7 Refusal "qcow2_compression": "it is compressed in a way ({a}) that is not known or does not fit its features" => CONVERT;
    QcowExtendedL2 7 Refusal "qcow2_extended_l2": "it has extended L2 entries, which older software cannot read" => "convert it with `qemu-img convert -O qcow2 -o extended_l2=off`, or ask the operator to set `inspect.extended_l2`";
    QcowFeatures 7 Refusal "qcow2_features": "it needs features (bits {a}) that are not known" => CONVERT;

    QcowAes 8 Refusal "qcow2_aes": "it is encrypted with AES the old way, which is broken" => CONVERT;
    QcowLuks 8 Refusal "qcow2_luks": "it is encrypted (LUKS)" => DECRYPT;
    QcowCrypt 8 Refusal "qcow2_encryption": "it is encrypted in a way ({a}) that is not known" => CONVERT;
    QcowHasSnapshots 8 Warning "qcow2_has_snapshots": "it holds {a} snapshots: their data goes along with it" => "remove them with `qemu-img snapshot -d` if they are not meant to be shared";

    VirtualSize 9 Refusal "virtual_size": "its disk has {a} bytes; at most {b} are allowed" => "send a smaller disk, or ask the operator to raise `inspect.virtual_bytes_max`";
    VirtualRatio 9 Refusal "virtual_ratio": "its disk is {a} times as large as its file; at most {b} times is allowed" => "send it as a file with more of its disk in it, or ask the operator to raise `inspect.virtual_ratio_max`";

    VmdkVersion 10 Refusal "vmdk_version": "it is vmdk version {a}; there are only 1 to 3" => CONVERT;
    VmdkHeader 10 Refusal "vmdk_header": "its vmdk header is impossible (at byte {a})" => CHECK;
    VmdkDescriptorPlace 10 Refusal "vmdk_descriptor_place": "its vmdk descriptor is not where it belongs (sector {a} and not 1): it is part of a disk in several files" => FLATTEN;
    VmdkDescriptorSize 10 Refusal "vmdk_descriptor_size": "its vmdk descriptor has {a} sectors; 1 to {b} are possible" => CHECK;
    VmdkNotAscii 10 Refusal "vmdk_not_ascii": "its vmdk descriptor is no plain text" => CHECK;
    VmdkCreateType 10 Refusal "vmdk_create_type": "its vmdk descriptor names {a} times a createType, and it must be monolithicSparse or streamOptimized, once: others lie in several files" => FLATTEN;
    VmdkLine 10 Refusal "vmdk_line": "line {a} of its vmdk descriptor is none that a descriptor has" => CHECK;
    VmdkExtents 10 Refusal "vmdk_extents": "its vmdk descriptor has {a} extents, and one belongs there: its disk lies in several files" => FLATTEN;
    VmdkExtent 10 Refusal "vmdk_extent": "the extent in line {a} of its vmdk descriptor is not the file itself (a name with a path, or not of the type SPARSE)" => FLATTEN;
    VmdkParent 10 Refusal "vmdk_parent": "it is only the changes to another file (a vmdk parent)" => FLATTEN;
    VmdkExtentSize 10 Warning "vmdk_extent_size": "its vmdk descriptor speaks of {a} sectors and its header of {b}" => NOTHING;
    VmdkUnclean 10 Warning "vmdk_unclean": "it was not closed in order" => "repair it, such as with `vmware-vdiskmanager -R`, before it is used";
    VmdkFooter 10 Refusal "vmdk_footer": "its vmdk footer says something else than its header (at byte {a})" => CHECK;
    VmdkText 10 Refusal "vmdk_descriptor_only": "it is a vmdk descriptor only: its disk lies in other files" => FLATTEN;
    Cowd 10 Refusal "vmdk_cowd": "it is a copy-on-write disk of VMware ESX, which may need other files" => FLATTEN;

    VhdChecksum 11 Refusal "vhd_checksum": "the checksum of its vhd header or footer is wrong" => AGAIN;
    VhdType 11 Refusal "vhd_type": "its vhd disk type is {a}; there are only 2 (fixed) and 3 (dynamic)" => CONVERT;
    VhdParent 11 Refusal "vhd_parent": "it is only the changes to another file (a differencing vhd)" => FLATTEN;
    VhdHeader 11 Refusal "vhd_header": "its vhd header is impossible (at byte {a})" => CHECK;
    VhdFooter 11 Refusal "vhd_footer": "its vhd footer says something else than its header" => CHECK;
    VhdSize 11 Refusal "vhd_size": "its vhd footer speaks of a disk of {a} bytes, and {b} come before it" => AGAIN;
    VhdxHeader 11 Refusal "vhdx_header": "neither of its two vhdx headers is whole" => CHECK;
    VhdxTables 11 Refusal "vhdx_tables": "its vhdx region tables are broken, or differ (at byte {a})" => CHECK;
    VhdxRegions 11 Refusal "vhdx_regions": "its vhdx region table is impossible (entry {a})" => CHECK;
    VhdxMetadata 11 Refusal "vhdx_metadata": "its vhdx metadata is impossible (entry {a})" => CHECK;
    VhdxParameters 11 Refusal "vhdx_parameters": "its vhdx disk has impossible measures ({a}, {b})" => CHECK;
    VhdxParent 11 Refusal "vhdx_parent": "it is only the changes to another file (a vhdx parent)" => FLATTEN;
    VhdxLog 11 Warning "vhdx_log": "it was not closed in order; its log holds changes" => "open it once where it comes from, so that the log is played back";
    VdiVersion 11 Refusal "vdi_version": "its vdi version is {a}.{b}, which is not known" => CONVERT;
    VdiType 11 Refusal "vdi_type": "its vdi image type is {a}; there are only 1 (dynamic) and 2 (fixed)" => CONVERT;
    VdiParent 11 Refusal "vdi_parent": "it is only the changes to another file (a vdi parent)" => FLATTEN;
    VdiHeader 11 Refusal "vdi_header": "its vdi header is impossible (at byte {a})" => CHECK;

    Qed 12 Refusal "qed": "it is qed, which was given up" => CONVERT;
    Encrypted 12 Refusal "encrypted": "it is encrypted ({f})" => DECRYPT;
    LuksVersion 12 Refusal "luks_version": "its LUKS version is {a}; there are only 1 and 2" => CHECK;
    NotTaken 12 Refusal "format_not_taken": "it is in the format {f}, which is not taken" => CONVERT;

    MbrFlag 13 Refusal "mbr_flag": "partition {a} of its master boot record has an impossible boot flag ({b})" => PARTITIONS;
    MbrEmpty 13 Refusal "mbr_empty": "its master boot record has no partition" => PARTITIONS;
    MbrProtective 13 Refusal "mbr_protective": "the record that protects its GPT is not as it must be (partition {a})" => PARTITIONS;
    GptNoMbr 13 Warning "gpt_no_mbr": "its GPT is not protected by a master boot record" => NOTHING;
    GptMissing 13 Warning "gpt_missing": "its master boot record speaks of a GPT that is not there" => NOTHING;
    GptHeader 13 Warning "gpt_header": "the checksum of its GPT is wrong, or its measures are" => "repair it, such as with `sgdisk -e`, if the guest does not start";
    GptBackup 13 Warning "gpt_backup": "the second copy of its GPT is missing or damaged" => "repair it, such as with `sgdisk -e`, if the guest does not start";

    IsoNoPrimary 14 Refusal "iso_no_primary": "it has no primary volume descriptor" => CHECK;
    IsoFields 14 Refusal "iso_fields": "its primary volume descriptor is impossible (at byte {a})" => CHECK;
    IsoUdf 14 Warning "iso_udf": "it is UDF alone, whose length cannot be checked" => NOTHING;

    Compressed 15 Refusal "compressed": "it is compressed ({f})" => UNPACK;
    Archive 15 Refusal "archive": "it is an archive ({f}), such as an OVA" => UNPACK;

    Empty 16 Refusal "empty": "it is empty" => "send the image itself";
    LengthDiffers 16 Refusal "length_differs": "it was said to have {a} bytes, and has {b}" => AGAIN;
    RawOdd 16 Warning "raw_odd_length": "its length of {a} bytes is no multiple of 512, as that of a disk is" => NOTHING;
    TooSmall 16 Refusal "too_small": "its disk has {a} bytes, and at least {b} are needed" => "send a larger disk";

    Truncated 17 Refusal "truncated": "it is cut off: its header speaks of {a} bytes, and it has {b}" => AGAIN;
    VmdkNoEnd 17 Refusal "vmdk_no_end": "it is cut off: the end of its vmdk stream is missing" => AGAIN;
    VhdNoFooter 17 Refusal "vhd_no_footer": "it is cut off: its vhd footer is missing" => AGAIN;
    PartitionBeyond 17 Warning "partition_beyond": "it may be cut off: a partition ends at byte {a}, and it has {b}" => AGAIN;
}

impl Kind {
    /// Its name for programs; never changes.
    pub const fn code(self) -> &'static str {
        self.row().code
    }

    /// Number of the rule that it breaks, 1 to 18.
    pub const fn rule(self) -> u8 {
        self.row().rule
    }

    pub(super) const fn level(self) -> Level {
        self.row().level
    }

    pub(super) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

/// Something that was found: what it is, how bad, and its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub kind: Kind,
    /// What it means.
    pub level: Level,
    pub(super) a: u64,
    pub(super) b: u64,
}

impl Finding {
    pub(super) const fn new(kind: Kind, a: u64, b: u64) -> Self {
        Self { kind, level: kind.level(), a, b }
    }

    /// Its name for programs; never changes.
    pub const fn code(&self) -> &'static str {
        self.kind.code()
    }

    /// Number of the rule that it breaks, 1 to 18.
    pub const fn rule(&self) -> u8 {
        self.kind.rule()
    }

    /// What to do about it.
    pub const fn advice(&self) -> &'static str {
        self.kind.row().advice
    }
}

/// What was found, as the rest of a sentence about the image; without advice, path, or text from the image.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.kind.row().words;
        while let Some((before, after)) = rest.split_once('{') {
            f.write_str(before)?;
            match after.as_bytes().first() {
                Some(b'a') => write!(f, "{}", self.a)?,
                Some(b'b') => write!(f, "{}", self.b)?,
                Some(b'f') => write!(f, "{}", name(self.a))?,
                Some(b'g') => write!(f, "{}", name(self.b))?,
                Some(_) | None => set(f, self.a)?,
            }
            rest = after.get(2..).unwrap_or_default();
        }
        f.write_str(rest)
    }
}

/// Stands for a partition table in the set of a [`Kind::ManyFormats`].
pub(super) const PARTITIONED: u64 = 1 << 31;

fn name(number: u64) -> &'static str {
    Format::from_number(number).map_or("something unknown", Format::name)
}

fn set(f: &mut fmt::Formatter<'_>, bits: u64) -> fmt::Result {
    let formats = Formats::from_bits(u32::try_from(bits & !PARTITIONED).unwrap_or(0));
    write!(f, "{formats}")?;
    if bits & PARTITIONED != 0 {
        f.write_str(", a disk with partitions")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_named_once_and_speaks_in_whole_words() {
        let mut codes: Vec<_> = Kind::ALL.iter().map(|kind| kind.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Kind::ALL.len());
        for (number, kind) in Kind::ALL.iter().enumerate() {
            assert_eq!(Kind::from_number(u8::try_from(number).unwrap()), Some(*kind));
            assert!((1..=18).contains(&kind.rule()));
            let words = Finding::new(*kind, 3, 5).to_string();
            assert!(words.starts_with("it") || words.contains("its"), "{words}");
            assert!(!words.contains(['{', '}', '\n']) && words.len() < 200, "{words}");
            assert!(!kind.row().advice.is_empty());
        }
        assert_eq!(Kind::from_number(255), None);
    }

    #[test]
    fn numbers_formats_and_sets_stand_in_their_places() {
        let differs = Finding::new(Kind::FormatDiffers, Format::Raw as u64, Format::Qcow2 as u64);
        assert_eq!(differs.to_string(), "it was said to be raw, and its content is qcow2");
        let both = Formats::NONE.with(Format::Qcow2).with(Format::Iso);
        let many = Finding::new(Kind::ManyFormats, u64::from(both.bits()) | PARTITIONED, 0);
        assert!(many.to_string().contains("(qcow2, iso, a disk with partitions)"), "{many}");
        let length = Finding::new(Kind::LengthDiffers, 7, 8);
        assert_eq!(length.to_string(), "it was said to have 7 bytes, and has 8");
    }
}
