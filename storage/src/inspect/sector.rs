//! The first sector: which marks it has, and the headers that fit into it.

use super::{
    facts::Facts, finding::Kind, format::Format, iso, luks, partitions, qcow2, rules::Look, vdi,
    vhd, vhdx, vmdk,
};

/// Bytes of the first sector.
pub(super) const SECTOR_BYTES: usize = 512;
/// Bytes of the head: as far as the marks of all formats lie, and the header extensions of a qcow2.
pub(super) const HEAD_BYTES: usize = 64 << 10;

/// Marks that stand at a fixed place of the first sector.
const MARKS: [(Format, usize, &[u8]); 19] = [
    (Format::Qcow2, 0, b"QFI\xfb"),
    (Format::Vmdk, 0, b"KDMV"),
    (Format::Vhd, 0, b"conectix"),
    (Format::Vhdx, 0, b"vhdxfile"),
    (Format::Vdi, 0x40, &[0x7f, 0x10, 0xda, 0xbe]),
    (Format::Luks, 0, b"LUKS\xba\xbe"),
    (Format::Parallels, 0, b"WithoutFreeSpace"),
    (Format::Parallels, 0, b"WithouFreSpacExt"),
    (Format::Bochs, 0, b"Bochs Virtual HD Image"),
    (Format::Cloop, 0, b"#!/bin/sh\n#V2.0 Format\n"),
    (Format::Qed, 0, b"QED\0"),
    (Format::Cowd, 0, b"COWD"),
    (Format::Gzip, 0, b"\x1f\x8b"),
    (Format::Xz, 0, b"\xfd7zXZ\0"),
    (Format::Zstd, 0, b"\x28\xb5\x2f\xfd"),
    (Format::Bzip2, 0, b"BZh"),
    (Format::SevenZip, 0, b"7z\xbc\xaf"),
    (Format::Zip, 0, b"PK\x03\x04"),
    (Format::Tar, 257, b"ustar"),
];

/// Finds the formats whose mark lies in the first sector.
pub(super) fn detect(look: &Look<'_>, facts: &mut Facts) {
    if look.length == Some(0) {
        facts.find(Kind::Empty);
        return;
    }
    for (format, at, mark) in MARKS {
        if look.bytes.has(at, mark) {
            facts.matches = facts.matches.with(format);
        }
    }
    if look.bytes.has(0, b"QFI\xfb\0\0\0\x01") {
        facts.matches = facts.matches.iter().filter(|other| *other != Format::Qcow2).collect();
        facts.matches = facts.matches.with(Format::Qcow);
    }
    if vmdk::is_descriptor(look.bytes.0) {
        facts.matches = facts.matches.with(Format::VmdkText);
    }
    partitions::detect(look, facts);
}

/// Reads the headers that begin in the first sector.
pub(super) fn read(look: &Look<'_>, facts: &mut Facts) {
    match facts.format() {
        Format::Qcow2 => qcow2::sector(look, facts),
        Format::Vmdk => vmdk::sector(look, facts),
        Format::Vhd => vhd::sector(look, facts),
        Format::Vhdx => vhdx::sector(look, facts),
        Format::Vdi => vdi::sector(look, facts),
        Format::Luks => luks::sector(look, facts),
        Format::Parallels => parallels(look, facts),
        // The head shows more of a raw disk and of an ISO; of the others nothing is read, for they are not taken.
        Format::Raw
        | Format::Iso
        | Format::Bochs
        | Format::Cloop
        | Format::Dmg
        | Format::Qcow
        | Format::Qed
        | Format::Cowd
        | Format::VmdkText
        | Format::Gzip
        | Format::Xz
        | Format::Zstd
        | Format::Bzip2
        | Format::SevenZip
        | Format::Zip
        | Format::Tar => {}
    }
}

/// Reads the head.
pub(super) fn head(look: &Look<'_>, facts: &mut Facts) {
    iso::detect(look, facts);
    match facts.format() {
        Format::Qcow2 => qcow2::extensions(look, facts),
        Format::Luks => luks::head(look, facts),
        Format::Iso => iso::read(look, facts),
        Format::Raw => partitions::head(look, facts),
        Format::Vmdk
        | Format::Vhd
        | Format::Vhdx
        | Format::Vdi
        | Format::Parallels
        | Format::Bochs
        | Format::Cloop
        | Format::Dmg
        | Format::Qcow
        | Format::Qed
        | Format::Cowd
        | Format::VmdkText
        | Format::Gzip
        | Format::Xz
        | Format::Zstd
        | Format::Bzip2
        | Format::SevenZip
        | Format::Zip
        | Format::Tar => {}
    }
}

/// Says that the file ends within its header, if the part is shorter than `bytes`. Answers whether it is.
pub(super) fn is_cut(look: &Look<'_>, facts: &mut Facts, bytes: usize) -> bool {
    let is_cut = look.is_shorter_than(bytes);
    if is_cut {
        let length = look.bytes.0.len() as u64;
        facts.find_with(Kind::HeaderCut, facts.format().number(), length);
    }
    is_cut
}

fn parallels(look: &Look<'_>, facts: &mut Facts) {
    if is_cut(look, facts, 64) {
        return;
    }
    // The older of the two marks has a number of sectors of 32 bits.
    let sectors = if look.bytes.has(0, b"WithoutFreeSpace") {
        u64::from(look.bytes.le32(36))
    } else {
        look.bytes.le64(36)
    };
    facts.disk(sectors.saturating_mul(512), look.rules);
}
