//! For every finding an image that differs from a good one in just that; the good one is the negative control.

use super::{
    super::{Format, Kind, Level, Rules},
    codes, declared,
    images::{self, DESCRIPTOR, Image, MIB, VHDX_ITEMS, VHDX_METADATA},
    inspect, open_rules,
};

type Row = (&'static str, Rules, Image);

fn row(code: &'static str, image: Image) -> Row {
    (code, Rules::default(), image)
}

fn qcow2() -> Vec<Row> {
    let good = images::qcow2;
    let features = |bits: u64| good().be64(72, bits);
    vec![
        row("header_cut", good().cut(100)),
        row("qcow_version_1", good().be32(4, 1)),
        row("qcow2_version", good().be32(4, 4)),
        row("qcow2_version", good().be32(4, 0)),
        row("qcow2_header_length", good().be32(100, 103)),
        row("qcow2_header_length", good().be32(100, 65_544)),
        row("qcow2_header_length", good().be32(100, 105)),
        row("qcow2_cluster_bits", good().be32(20, 8)),
        row("qcow2_cluster_bits", good().be32(20, 22)),
        row("qcow2_cluster_bits", good().be32(20, u32::MAX)),
        row("qcow2_refcount_order", good().be32(96, 7)),
        row("qcow2_table_position", good().be64(40, 0x30001)),
        row("qcow2_table_position", good().be64(40, 0)),
        row("qcow2_table_position", good().be64(48, 512)),
        row("qcow2_table_position", good().be32(60, 1).be64(64, 8)),
        row("qcow2_l1_size", good().be32(36, 19)),
        row("qcow2_l1_size", good().be32(36, 0)),
        row("qcow2_l1_bytes", good().be32(36, (4 << 20) + 1)),
        row("qcow2_refcounts", good().be32(56, 0)),
        row("qcow2_refcounts", good().be32(56, 129)),
        row("qcow2_snapshots", good().be32(60, 65_537).be64(64, 0x20000)),
        row("qcow2_has_snapshots", good().be32(60, 1).be64(64, 0x20000)),
        row("qcow2_extensions", good().be32(116, 65_536)),
        row("qcow2_extensions", good().be32(116, u32::MAX)),
        row("qcow2_backing_file", good().be64(8, 0x200).be32(16, 11)),
        row("qcow2_backing_file", good().be64(8, 0x200)),
        row("qcow2_backing_file", images::qcow2_v2().be64(8, 1)),
        row("qcow2_backing_size", good().be32(16, 11)),
        row("qcow2_backing_format", good().be32(112, 0xe279_2aca)),
        row("qcow2_dirty", features(1)),
        row("qcow2_corrupt", features(2)),
        row("qcow2_data_file", features(4)),
        row("qcow2_data_file", good().be32(112, 0x4441_5441)),
        row("qcow2_compression", features(8).put(104, &[2])),
        row("qcow2_compression", good().put(104, &[1])),
        row("qcow2_extended_l2", features(16).be32(36, 40)),
        row("qcow2_l1_size", features(16)),
        row("qcow2_features", features(32)),
        row("qcow2_features", features(1 << 63)),
        row("qcow2_aes", good().be32(32, 1)),
        row("qcow2_luks", good().be32(32, 2)),
        row("qcow2_encryption", good().be32(32, 3)),
        row("virtual_size", good().be64(24, u64::MAX)),
        ("virtual_size", Rules { virtual_bytes_max: (10 << 30) - 1, ..Rules::default() }, good()),
        ("virtual_ratio", Rules { virtual_ratio_max: Some(1000), ..Rules::default() }, good()),
        ("too_small", Rules { virtual_bytes_min: (10 << 30) + 1, ..Rules::default() }, good()),
        row("truncated", good().cut(0x30000 + 159)),
        row("truncated", good().be64(40, u64::MAX << 16)),
    ]
}

fn vmdk() -> Vec<Row> {
    let good = images::vmdk;
    let text = |from: &str, to: &str| images::vmdk_with(&DESCRIPTOR.replace(from, to));
    let stream = images::vmdk_stream;
    let footer = 65_536 + 512;
    vec![
        row("vmdk_version", good().le32(4, 0)),
        row("vmdk_version", good().le32(4, 4)),
        row("vmdk_header", good().le64(12, 0)),
        row("vmdk_header", good().le64(12, u64::MAX)),
        row("vmdk_header", good().le64(20, 0)),
        row("vmdk_header", good().le64(20, 3)),
        row("vmdk_header", good().le32(44, 0)),
        row("vmdk_header", good().le64(56, 0)),
        row("vmdk_unclean", good().put(72, &[1])),
        row("vmdk_descriptor_place", good().le64(28, 2)),
        row("vmdk_descriptor_place", good().le64(28, 0)),
        row("vmdk_descriptor_size", good().le64(36, 0)),
        row("vmdk_descriptor_size", good().le64(36, 2048)),
        row("vmdk_not_ascii", text("DDB", "D\u{e9}B")),
        row("vmdk_not_ascii", text("DDB", "D\u{1}B")),
        row("vmdk_create_type", text("monolithicSparse", "monolithicFlat")),
        row("vmdk_create_type", text("createType=\"monolithicSparse\"", "")),
        row("vmdk_create_type", text("#DDB", "# createType=\"vmfs\"")),
        row("vmdk_line", text("#DDB", "load other.vmdk")),
        row("vmdk_line", text("#DDB", "=x")),
        row("vmdk_extents", text("RW 20480 SPARSE \"disk.vmdk\"", "")),
        row("vmdk_extents", text("#DDB", "RW 20480 SPARSE \"disk.vmdk\"")),
        row("vmdk_extent", text("\"disk.vmdk\"", "\"/etc/passwd\"")),
        row("vmdk_extent", text("\"disk.vmdk\"", "\"..\"")),
        row("vmdk_extent", text("\"disk.vmdk\"", "\"nbd:host\"")),
        row("vmdk_extent", text("\"disk.vmdk\"", "\"a\\\\b\"")),
        row("vmdk_extent", text("SPARSE", "FLAT")),
        row("vmdk_extent", text("\"disk.vmdk\"", "\"disk.vmdk\" 128")),
        row("vmdk_extent_size", text("20480", "20479")),
        row("vmdk_parent", text("ffffffff", "e9d0469a")),
        row("vmdk_parent", text("parentCID=ffffffff\n", "")),
        row("vmdk_parent", text("#DDB", "parentFileNameHint=\"a.vmdk\"")),
        row("vmdk_parent", text("#DDB", "# PARENTFILENAMEHINT=\"a.vmdk\"")),
        row("vmdk_parent", text("#DDB", "#parentCID=0")),
        row("vmdk_footer", stream().le64(footer + 12, 40_960)),
        row("vmdk_footer", stream().le64(footer + 56, u64::MAX)),
        row("vmdk_header", stream().le64(footer + 56, 0)),
        row("truncated", stream().le64(footer + 56, 1 << 40)),
        row("vmdk_no_end", stream().append(&[0; 512])),
        row("vmdk_no_end", stream().le32(65_536 + 12, 2)),
        row("vmdk_no_end", stream().put(65_536 + 1536 - 1, &[1])),
        row("truncated", good().le64(56, 1 << 20)),
        row("vmdk_descriptor_only", Image(DESCRIPTOR.as_bytes().to_vec())),
        row("vmdk_descriptor_only", Image(b"#x\r\n  \r\nversion=1\r\n".to_vec())),
        row("vmdk_cowd", good().put(0, b"COWD")),
        row("header_cut", good().cut(511)),
    ]
}

fn virtual_pc() -> Vec<Row> {
    let good = images::vhd;
    let header = |image: Image| images::summed(image, 512..1536, 36);
    let both = |change: &dyn Fn(Image) -> Image| {
        let footer = images::summed(change(Image(images::vhd_footer(3, 10 << 20))), 0..512, 64).0;
        good().put(0, &footer).put(4096, &footer)
    };
    let fixed = |footer: Vec<u8>| images::mbr().append(&footer);
    vec![
        row("vhd_checksum", good().put(100, &[1])),
        row("vhd_checksum", good().put(4096 + 100, &[1])),
        row("vhd_checksum", good().put(1500, &[1])),
        row("vhd_type", both(&|footer| footer.be32(60, 2))),
        row("vhd_type", both(&|footer| footer.be32(60, 5))),
        row("vhd_parent", both(&|footer| footer.be32(60, 4))),
        row("vhd_parent", header(good().put(512 + 40, &[1]))),
        row("vhd_parent", header(good().put(512 + 64, &[0, 97]))),
        row("vhd_parent", header(good().put(512 + 576, b"W2ku"))),
        row("vhd_header", both(&|footer| footer.be64(16, 0))),
        row("vhd_header", both(&|footer| footer.be64(16, u64::MAX))),
        row("vhd_header", header(good().put(512, b"x"))),
        row("vhd_header", header(good().be32(544, 3))),
        row("vhd_header", header(good().be32(540, 4))),
        row("vhd_header", header(good().be64(528, 0))),
        row("truncated", header(good().be64(528, 1 << 40))),
        row("truncated", both(&|footer| footer.be64(16, 1 << 40))),
        row("vhd_footer", good().put(4096, &images::vhd_footer(3, 20 << 20))),
        row("vhd_no_footer", good().put(4096, b"x")),
        row("vhd_size", fixed(images::vhd_footer(2, 2 << 20))),
        row("vhd_parent", fixed(images::vhd_footer(4, 1 << 20))),
        row("vhd_header", fixed(images::vhd_footer(3, 1 << 20))),
        row("vhd_checksum", images::vhd_fixed().put(MIB + 100, &[1])),
    ]
}

fn hyper_v() -> Vec<Row> {
    let good = images::vhdx;
    let header = |at: usize, bytes: &[u8]| images::vhdx_summed(good().put((128 << 10) + at, bytes));
    let table = |at, bytes: &[u8]| images::vhdx_tables(good(), at, bytes);
    let metadata = |index: usize, entry: &[u8]| good().put(VHDX_METADATA + 32 + index * 32, entry);
    let added = |id, flags: u32| {
        let entry = Image(images::vhdx_item(id, 65_600, 8)).le32(24, flags).0;
        metadata(5, &entry).le16(VHDX_METADATA + 10, 6)
    };
    let unknown = "00000000-0000-0000-0000-000000000001";
    let region = |id, at, bytes| images::vhdx_region(id, at, bytes);
    vec![
        row("vhdx_header", good().put(64 << 10, b"x").put((128 << 10) + 9, b"x")),
        row("vhdx_log", header(48, &[1])),
        row("vhdx_tables", good().put(192 << 10, b"x")),
        row("vhdx_tables", good().put((256 << 10) + 60_000, b"x")),
        row("vhdx_regions", table(8, &2048_u32.to_le_bytes())),
        row("vhdx_regions", table(8, &1_u32.to_le_bytes())),
        row("vhdx_regions", table(16, &region(images::METADATA, 2 << 20, 1 << 20))),
        row("vhdx_regions", table(16, &region(unknown, 3 << 20, 1 << 20))),
        row("vhdx_regions", table(48, &region(images::METADATA, 64 << 10, 1 << 20))),
        row("vhdx_regions", table(48, &region(images::METADATA, 2 << 20, 0))),
        row("truncated", table(48, &region(images::METADATA, 1 << 40, 1 << 20))),
        row("truncated", table(48, &region(images::METADATA, u64::MAX << 20, 1 << 20))),
        row("truncated", table(16, &region(images::BAT, 4 << 20, 1 << 20))),
        row("vhdx_metadata", good().put(VHDX_METADATA, b"x")),
        row("vhdx_metadata", good().le16(VHDX_METADATA + 10, 2048)),
        row("vhdx_metadata", good().le16(VHDX_METADATA + 10, 2)),
        row("vhdx_metadata", added("CAA16737-FA36-4D43-B3B6-33F0AA44E76B", 4)),
        row("vhdx_metadata", added(unknown, 4)),
        row("vhdx_metadata", good().le32(VHDX_METADATA + 32 + 16, 100)),
        row("vhdx_parent", added(images::PARENT_LOCATOR, 4)),
        row("vhdx_parent", good().le32(VHDX_ITEMS[0] + 4, 2)),
        row("vhdx_parameters", good().le32(VHDX_ITEMS[0], 1 << 19)),
        row("vhdx_parameters", good().le32(VHDX_ITEMS[0], (1 << 20) + 1)),
        row("vhdx_parameters", good().le32(VHDX_ITEMS[0] + 4, 4)),
        row("vhdx_parameters", good().le64(VHDX_ITEMS[1], 63 << 40)),
        row("vhdx_parameters", good().le64(VHDX_ITEMS[1], u64::MAX)),
        row("vhdx_parameters", good().le32(VHDX_ITEMS[2], 1024)),
    ]
}

fn virtual_box() -> Vec<Row> {
    let good = images::vdi;
    vec![
        row("vdi_version", good().le32(0x44, 0x1_0000)),
        row("vdi_type", good().le32(0x4c, 3)),
        row("vdi_parent", good().le32(0x4c, 4)),
        row("vdi_parent", good().put(0x1a8, &[1])),
        row("vdi_parent", good().put(0x1b8 + 15, &[1])),
        row("vdi_header", good().le32(0x178, 0)),
        row("vdi_header", good().le32(0x178, (1 << 20) + 1)),
        row("vdi_header", good().le32(0x180, 9)),
        row("vdi_header", good().le32(0x184, 11)),
        row("vdi_header", good().le32(0x154, 256)),
        row("vdi_header", good().le32(0x158, 513)),
        row("truncated", good().le32(0x184, 1)),
    ]
}

fn others() -> Vec<Row> {
    let start = |mark: &[u8]| images::mbr().put(510, &[0, 0]).put(0, mark);
    let parallels = start(b"WithouFreSpacExt").le64(36, 2048);
    let entry = |index: usize, bytes: &[u8]| images::mbr().put(446 + index * 16, bytes);
    vec![
        row("qed", start(b"QED\0")),
        row("encrypted", images::luks()),
        ("luks_version", open_rules(), images::luks().put(7, &[3])),
        row("format_not_taken", parallels),
        row("format_not_taken", start(b"WithoutFreeSpace")),
        row("format_not_taken", start(b"Bochs Virtual HD Image")),
        row("format_not_taken", start(b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop")),
        row("format_not_taken", images::mbr().put(MIB - 512, b"koly")),
        row("compressed", start(b"\x1f\x8b\x08")),
        row("compressed", start(b"\xfd7zXZ\0")),
        row("compressed", start(b"\x28\xb5\x2f\xfd")),
        row("compressed", start(b"BZh9")),
        row("archive", start(b"7z\xbc\xaf\x27\x1c")),
        row("archive", start(b"PK\x03\x04")),
        row("archive", images::mbr().put(257, b"ustar")),
        row("mbr_flag", entry(1, &[0x81])),
        row("mbr_empty", entry(0, &[0; 16])),
        row("mbr_protective", images::gpt().put(447, &[1])),
        row("mbr_protective", images::gpt().le32(454, 2)),
        row("mbr_protective", images::gpt().put(462 + 4, &[0x83])),
        row("gpt_missing", images::gpt().put(512, b"x")),
        row("gpt_no_mbr", images::gpt().put(510, &[0, 0])),
        row("gpt_header", images::gpt().put(530, &[1])),
        row("gpt_header", images::gpt().put(1030, &[1])),
        row("gpt_backup", images::gpt().put(MIB - 500, &[1])),
        row("gpt_backup", images::gpt().cut(MIB - 512)),
        row("partition_beyond", images::mbr().le32(458, 1 << 20)),
        row("iso_no_primary", images::iso().put(0x8000, &[2])),
        row("iso_no_primary", images::iso().put(0x8000, &[255]).put(0x8800, b"\x01CD001")),
        row("iso_fields", images::iso().le32(0x8050, 100)),
        row("iso_fields", images::iso().le32(0x8050, 0).be32(0x8054, 0)),
        row("iso_fields", images::iso().le16(0x8080, 4096)),
        row("truncated", images::iso().le32(0x8050, 202).be32(0x8054, 202)),
        row("iso_udf", Image::zeros(MIB).put(0x8001, b"BEA01").put(0x8801, b"NSR03")),
        row("empty", Image::zeros(0)),
        row("raw_odd_length", Image::zeros(1000)),
        ("format_differs", declared("qcow2"), images::mbr()),
        ("format_differs", declared("iso"), images::mbr()),
        ("format_differs", declared("vhd"), images::mbr()),
    ]
}

fn several() -> Vec<Row> {
    let end_of = |image: Image| images::vhd_footer(2, image.0.len() as u64);
    let with_footer = |image: Image| {
        let footer = end_of(image.clone());
        image.append(&footer)
    };
    vec![
        row("several_formats", images::qcow2().put(0x8001, b"CD001")),
        row("several_formats", images::qcow2().put(510, b"\x55\xaa")),
        row("several_formats", images::qcow2().put(0x40, &[0x7f, 0x10, 0xda, 0xbe])),
        row("several_formats", with_footer(images::qcow2())),
        row("several_formats", with_footer(images::iso())),
        row("several_formats", images::vdi().put(510, b"\x55\xaa")),
        row("several_formats", images::iso().put(200 * 2048 - 512, b"koly")),
        row("archive", images::qcow2().put(257, b"ustar")),
    ]
}

fn rows() -> Vec<Row> {
    let all = [qcow2(), vmdk(), virtual_pc(), hyper_v(), virtual_box(), others(), several()];
    all.into_iter().flatten().collect()
}

#[test]
fn every_hostile_image_is_told_for_what_it_is() {
    for (number, (code, rules, image)) in rows().into_iter().enumerate() {
        let report = inspect(rules, &image.0);
        assert!(codes(&report).contains(&code), "{number}: {code} was not found: {report:?}");
        let kind = Kind::ALL.iter().find(|kind| kind.code() == code).unwrap();
        let is_refusal = kind.level() == Level::Refusal;
        assert_eq!(report.refusal().is_some(), is_refusal, "{number}: {code}: {report:?}");
    }
}

/// The tables above leave nothing out.
#[test]
fn every_finding_has_an_image() {
    let shown: Vec<_> = rows().into_iter().map(|row| row.0).collect();
    for kind in Kind::ALL {
        // Its image is one whose length was declared: `truncated` has it.
        let elsewhere = kind.code() == "length_differs";
        assert!(elsewhere || shown.contains(&kind.code()), "{} has no image", kind.code());
    }
}

#[test]
fn what_the_operator_allows_passes() {
    let open = open_rules();
    for image in [
        images::qcow2().be32(32, 2),
        images::qcow2().be64(72, 16).be32(36, 40).append(&[0; 160]),
        images::luks(),
        images::qcow2().be64(72, 8).put(104, &[1]),
    ] {
        let report = inspect(open, &image.0);
        assert_eq!(codes(&report), [""; 0]);
    }
    let loose = Rules { loose_partitions: true, ..Rules::default() };
    let strange = images::gpt().put(447, &[1]);
    assert!(inspect(loose, &strange.0).refusal().is_none());
    assert_eq!(codes(&inspect(loose, &strange.0)), ["mbr_protective"]);
    let formats = Rules::default().formats.with(Format::Parallels);
    let parallels = images::Image::zeros(MIB).put(0, b"WithouFreSpacExt").le64(36, 100);
    let report = inspect(Rules { formats, ..Rules::default() }, &parallels.0);
    assert_eq!((report.refusal(), report.virtual_size), (None, 51_200));
    // Never: whatever is listed.
    let formats = Format::ALL.into_iter().collect();
    let qed = images::Image::zeros(MIB).put(0, b"QED\0");
    assert!(inspect(Rules { formats, ..Rules::default() }, &qed.0).refusal().is_some());
}

/// What is proven by the first sector is said when it is there, and not after a terabyte.
#[test]
fn a_refusal_comes_with_the_bytes_that_prove_it() {
    for (image, needed_bytes, code) in [
        (images::qcow2().be64(8, 512), 512, "qcow2_backing_file"),
        (images::mbr().put(0, b"\x1f\x8b"), 512, "compressed"),
        (images::vdi().le32(0x4c, 4), 512, "vdi_parent"),
        (images::qcow2().be32(112, 0x4441_5441), 65_536, "qcow2_data_file"),
        (images::vmdk_with("x"), 65_536, "vmdk_create_type"),
    ] {
        let mut inspector = super::Inspector::new(Rules::default(), None);
        assert_eq!(inspector.feed(0, &image.0[..needed_bytes - 1]), None, "{code}");
        let last = &image.0[needed_bytes - 1..needed_bytes];
        assert!(inspector.feed(needed_bytes as u64 - 1, last).is_some(), "{code}");
        assert!(codes(&inspector.report().unwrap()).contains(&code));
    }
}
