//! Small images that are right in every field, made by hand; what is hostile differs from one of them in as little as possible.

use super::super::partitions::crc32;

pub(super) const MIB: usize = 1 << 20;

/// Bytes of an image, and ways to change them.
#[derive(Clone)]
pub(super) struct Image(pub(super) Vec<u8>);

impl Image {
    pub(super) fn zeros(bytes: usize) -> Self {
        Self(vec![0; bytes])
    }

    pub(super) fn put(mut self, at: usize, bytes: &[u8]) -> Self {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    pub(super) fn be32(self, at: usize, value: u32) -> Self {
        self.put(at, &value.to_be_bytes())
    }

    pub(super) fn be64(self, at: usize, value: u64) -> Self {
        self.put(at, &value.to_be_bytes())
    }

    pub(super) fn le16(self, at: usize, value: u16) -> Self {
        self.put(at, &value.to_le_bytes())
    }

    pub(super) fn le32(self, at: usize, value: u32) -> Self {
        self.put(at, &value.to_le_bytes())
    }

    pub(super) fn le64(self, at: usize, value: u64) -> Self {
        self.put(at, &value.to_le_bytes())
    }

    pub(super) fn cut(mut self, bytes: usize) -> Self {
        self.0.truncate(bytes);
        self
    }

    pub(super) fn append(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }
}

/// 10 GiB, version 3, clusters of 64 KiB.
pub(super) fn qcow2() -> Image {
    Image::zeros(196_768)
        .put(0, b"QFI\xfb\0\0\0\x03")
        .be32(20, 16)
        .be64(24, 10 << 30)
        .be32(36, 20)
        .be64(40, 0x30000)
        .be64(48, 0x10000)
        .be32(56, 1)
        .be32(96, 4)
        .be32(100, 112)
        .be32(112, 0x6803_f857)
        .be32(116, 48)
}

/// The same in version 2.
pub(super) fn qcow2_v2() -> Image {
    qcow2().be32(4, 2).put(72, &[0; 100])
}

pub(super) const DESCRIPTOR: &str = "# Disk DescriptorFile\nversion=1\nCID=e9d0469a\nparentCID=ffffffff\n\
createType=\"monolithicSparse\"\n\n# Extent description\nRW 20480 SPARSE \"disk.vmdk\"\n\n#DDB\n\
ddb.adapterType = \"ide\"\n";

/// 10 MiB, monolithicSparse.
pub(super) fn vmdk() -> Image {
    vmdk_with(DESCRIPTOR)
}

pub(super) fn vmdk_with(descriptor: &str) -> Image {
    Image::zeros(65_536)
        .put(0, b"KDMV")
        .le32(4, 1)
        .le32(8, 3)
        .le64(12, 20_480)
        .le64(20, 128)
        .le64(28, 1)
        .le64(36, 20)
        .le32(44, 512)
        .le64(48, 21)
        .le64(56, 26)
        .le64(64, 128)
        .put(73, b"\n \r\n")
        .put(512, descriptor.as_bytes())
}

/// The same as a stream, whose footer says where the grain directory is.
pub(super) fn vmdk_stream() -> Image {
    let text = DESCRIPTOR.replace("monolithicSparse", "streamOptimized");
    let header = vmdk_with(&text).le64(48, 0).le16(77, 1);
    let footer = header.clone().cut(512).0;
    let marker = Image::zeros(512).le64(0, 1).le32(12, 3).0;
    header.le64(56, u64::MAX).append(&marker).append(&footer).append(&[0; 512])
}

fn vhd_sum(bytes: &mut [u8], at: usize) {
    bytes[at..at + 4].fill(0);
    let sum: u32 = bytes.iter().map(|byte| u32::from(*byte)).sum();
    bytes[at..at + 4].copy_from_slice(&(!sum).to_be_bytes());
}

pub(super) fn vhd_footer(kind: u32, disk_bytes: u64) -> Vec<u8> {
    let at = if kind == 2 { u64::MAX } else { 512 };
    let footer = Image::zeros(512)
        .put(0, b"conectix")
        .be32(8, 2)
        .be32(12, 0x1_0000)
        .be64(16, at)
        .put(28, b"qem2")
        .be64(40, disk_bytes)
        .be64(48, disk_bytes)
        .be32(60, kind)
        .put(68, &[7; 16]);
    summed(footer, 0..512, 64).0
}

/// Puts the checksum of a range right again.
pub(super) fn summed(mut image: Image, range: std::ops::Range<usize>, at: usize) -> Image {
    vhd_sum(&mut image.0[range], at);
    image
}

/// 10 MiB, dynamic.
pub(super) fn vhd() -> Image {
    let footer = vhd_footer(3, 10 << 20);
    let image = Image::zeros(4096)
        .put(0, &footer)
        .put(512, b"cxsparse")
        .be64(520, u64::MAX)
        .be64(528, 1536)
        .be32(536, 0x1_0000)
        .be32(540, 5)
        .be32(544, 2 << 20)
        .put(1536, &[0xff; 20]);
    summed(image, 512..1536, 36).append(&footer)
}

/// A megabyte, fixed; its disk has a partition.
pub(super) fn vhd_fixed() -> Image {
    let disk = mbr();
    let footer = vhd_footer(2, disk.0.len() as u64);
    disk.append(&footer)
}

/// 10 MiB; bytes of its table of blocks have none yet.
pub(super) fn vdi() -> Image {
    Image::zeros(1024)
        .put(0, b"<<< Oracle VM VirtualBox Disk Image >>>\n")
        .put(0x40, &[0x7f, 0x10, 0xda, 0xbe])
        .le32(0x44, 0x1_0001)
        .le32(0x48, 0x190)
        .le32(0x4c, 1)
        .le32(0x154, 512)
        .le32(0x158, 1024)
        .le32(0x168, 512)
        .le64(0x170, 10 << 20)
        .le32(0x178, 1 << 20)
        .le32(0x180, 10)
        .put(0x188, &[9; 32])
}

pub(super) const VHDX_METADATA: usize = 2 * MIB;
/// Where the items of the metadata stand: file parameters, size of the disk, bytes of a sector.
pub(super) const VHDX_ITEMS: [usize; 3] =
    [VHDX_METADATA + 65_536, VHDX_METADATA + 65_544, VHDX_METADATA + 65_552];

fn guid(text: &str) -> [u8; 16] {
    *uuid::Uuid::parse_str(text).unwrap().to_bytes_le().first_chunk().unwrap()
}

/// One entry of the metadata: which item, where in the metadata, how long.
pub(super) fn vhdx_item(id: &str, at: u32, bytes: u32) -> Vec<u8> {
    Image::zeros(32).put(0, &guid(id)).le32(16, at).le32(20, bytes).le32(24, 4).0
}

/// One region: which, where, how long.
pub(super) fn vhdx_region(id: &str, at: u64, bytes: u32) -> Vec<u8> {
    Image::zeros(32).put(0, &guid(id)).le64(16, at).le32(24, bytes).le32(28, 1).0
}

pub(super) const BAT: &str = "2DC27766-F623-4200-9D64-115E9BFD4A08";
pub(super) const METADATA: &str = "8B7CA206-4790-4B9A-B8FE-575F050F886E";
pub(super) const PARENT_LOCATOR: &str = "A8D35F2D-B30B-454D-ABF7-D3D84834AB0C";

/// 10 MiB, dynamic.
pub(super) fn vhdx() -> Image {
    let table = Image::zeros(65_536)
        .put(0, b"regi")
        .le32(8, 2)
        .put(16, &vhdx_region(BAT, 3 << 20, 1 << 20))
        .put(48, &vhdx_region(METADATA, VHDX_METADATA as u64, 1 << 20));
    let header = Image::zeros(4096)
        .put(0, b"head")
        .le64(8, 1)
        .le16(66, 1)
        .le32(68, 1 << 20)
        .le64(72, 1 << 20);
    let items = [
        vhdx_item("CAA16737-FA36-4D43-B3B6-33F0AA44E76B", 65_536, 8),
        vhdx_item("2FA54224-CD1B-4876-B211-5DBED83BF4B8", 65_544, 8),
        vhdx_item("8141BF1D-A96F-4709-BA47-F233A8FAAB5F", 65_552, 4),
        vhdx_item("CDA348C7-445D-4471-9CC9-E9885251C556", 65_556, 4),
        vhdx_item("BECA12AB-B2E6-4523-93EF-C309E000C746", 65_560, 16),
    ];
    let image = Image::zeros(4 * MIB)
        .put(0, b"vhdxfile")
        .put(64 << 10, &header.0)
        .put(128 << 10, &header.le64(8, 2).0)
        .put(192 << 10, &table.0)
        .put(256 << 10, &table.0)
        .put(VHDX_METADATA, b"metadata")
        .le16(VHDX_METADATA + 10, 5)
        .put(VHDX_METADATA + 32, &items.concat())
        .le32(VHDX_ITEMS[0], 1 << 20)
        .le64(VHDX_ITEMS[1], 10 << 20)
        .le32(VHDX_ITEMS[2], 512)
        .le32(VHDX_ITEMS[2] + 4, 512);
    vhdx_summed(image)
}

/// Puts the checksums of the headers and tables right again.
pub(super) fn vhdx_summed(mut image: Image) -> Image {
    for (at, bytes) in [(64, 4), (128, 4), (192, 64), (256, 64)] {
        let part = &mut image.0[at << 10..(at + bytes) << 10];
        part[4..8].fill(0);
        let sum = crc32c::crc32c(part);
        part[4..8].copy_from_slice(&sum.to_le_bytes());
    }
    image
}

/// Changes both region tables.
pub(super) fn vhdx_tables(image: Image, at: usize, bytes: &[u8]) -> Image {
    vhdx_summed(image.put((192 << 10) + at, bytes).put((256 << 10) + at, bytes))
}

/// 400 KiB.
pub(super) fn iso() -> Image {
    Image::zeros(200 * 2048)
        .put(0x8000, b"\x01CD001\x01")
        .put(0x8028, b"DEBIAN_13                       ")
        .le32(0x8050, 200)
        .be32(0x8054, 200)
        .le16(0x8080, 2048)
        .put(0x8082, &2048_u16.to_be_bytes())
        .put(0x8800, b"\xffCD001\x01")
}

/// Version 1; 1 MiB of header, 1 MiB of disk.
pub(super) fn luks() -> Image {
    Image::zeros(2 * MIB).put(0, b"LUKS\xba\xbe\0\x01").be32(104, 2048)
}

/// Version 2.
pub(super) fn luks2() -> Image {
    Image::zeros(2 * MIB).put(0, b"LUKS\xba\xbe\0\x02")
}

/// One partition.
pub(super) fn mbr() -> Image {
    Image::zeros(MIB)
        .put(446, &[0x80, 0, 2, 0, 0x83, 0, 0, 0])
        .le32(454, 64)
        .le32(458, 1024)
        .put(510, b"\x55\xaa")
}

fn gpt_header(own: u64, other: u64, entries_at: u64, entries: &[u8]) -> Vec<u8> {
    let header = Image::zeros(512)
        .put(0, b"EFI PART\0\0\x01\0")
        .le32(12, 92)
        .le64(24, own)
        .le64(32, other)
        .le64(72, entries_at)
        .le32(80, 128)
        .le32(84, 128)
        .le32(88, crc32(entries));
    let sum = crc32(&header.0[..92]);
    header.le32(16, sum).0
}

/// Two copies of a table with one partition.
pub(super) fn gpt() -> Image {
    let entries = Image::zeros(16_384).put(0, &[5; 32]).le64(32, 64).le64(40, 1000).0;
    let last = (MIB / 512 - 1) as u64;
    Image::zeros(MIB)
        .put(446, &[0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff])
        .le32(454, 1)
        .le32(458, u32::MAX)
        .put(510, b"\x55\xaa")
        .put(512, &gpt_header(1, last, 2, &entries))
        .put(1024, &entries)
        .put(MIB - 512 - 16_384, &entries)
        .put(MIB - 512, &gpt_header(last, 1, last - 32, &entries))
}

/// Every good image, with its format and the size of its disk.
pub(super) fn good() -> Vec<(&'static str, Image, &'static str, u64)> {
    vec![
        ("qcow2", qcow2(), "qcow2", 10 << 30),
        ("qcow2 version 2", qcow2_v2(), "qcow2", 10 << 30),
        ("vmdk", vmdk(), "vmdk", 10 << 20),
        ("vmdk stream", vmdk_stream(), "vmdk", 10 << 20),
        ("vhd", vhd(), "vhd", 10 << 20),
        ("vhd fixed", vhd_fixed(), "vhd", 1 << 20),
        ("vhdx", vhdx(), "vhdx", 10 << 20),
        ("vdi", vdi(), "vdi", 10 << 20),
        ("iso", iso(), "iso", 200 * 2048),
        ("hybrid iso", hybrid(), "iso", 200 * 2048),
        ("mbr", mbr(), "raw", 1 << 20),
        ("gpt", gpt(), "raw", 1 << 20),
        ("fat", fat(), "raw", 1 << 20),
        ("zeros", Image::zeros(MIB), "raw", 1 << 20),
        ("text", Image(b"version = 1\n".repeat(128)), "raw", 1536),
    ]
}

/// An ISO that also starts from a stick.
pub(super) fn hybrid() -> Image {
    iso().put(446, &[0x80, 0, 0, 0, 0x17, 0, 0, 0]).le32(458, 800).put(510, b"\x55\xaa")
}

/// A file system without partitions, whose boot record has code where they would stand.
pub(super) fn fat() -> Image {
    Image::zeros(MIB)
        .put(0, b"\xeb\x3c\x90mkfs.fat")
        .put(16, &[2])
        .put(21, &[0xf8])
        .put(446, &[0xcd; 64])
        .put(510, b"\x55\xaa")
}
