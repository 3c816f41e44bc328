//! Images of QEMU: what it makes, and what it says of what was made by hand.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use super::{super::Rules, codes, declared, images, inspect, open_rules, refused};

fn qemu_img(folder: &Path, arguments: &str) -> Output {
    let mut command = Command::new("qemu-img");
    command.current_dir(folder).args(arguments.split_whitespace());
    command.output().expect("qemu-img is installed (Debian: qemu-utils)")
}

fn made(folder: &Path, arguments: &str) {
    let output = qemu_img(folder, arguments);
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "qemu-img {arguments}: {words}");
}

/// A disk with bytes here and there.
fn disk(folder: &Path) {
    let mut disk = images::mbr().0;
    disk.resize(8 << 20, 0);
    for at in (1 << 20..8 << 20).step_by(700_001) {
        disk[at..at + 1000].fill(0xa5);
    }
    fs::write(folder.join("disk.raw"), disk).unwrap();
}

/// How each is made: format as we name it, arguments, findings.
const MADE: [(&str, &str, &[&str]); 36] = [
    ("qcow2", "create -f qcow2 F 10G", &[]),
    ("qcow2", "create -f qcow2 F 0", &[]),
    ("qcow2", "create -f qcow2 F 60T", &[]),
    ("qcow2", "create -f qcow2 -o compat=0.10 F 1G", &[]),
    ("qcow2", "create -f qcow2 -o cluster_size=512 F 1G", &[]),
    ("qcow2", "create -f qcow2 -o cluster_size=2M F 1G", &[]),
    ("qcow2", "create -f qcow2 -o lazy_refcounts=on,refcount_bits=1 F 1G", &[]),
    ("qcow2", "create -f qcow2 -o refcount_bits=64 F 1G", &[]),
    ("qcow2", "create -f qcow2 -o preallocation=metadata F 1G", &[]),
    ("qcow2", "create -f qcow2 -o preallocation=falloc F 8M", &[]),
    ("qcow2", "create -f qcow2 -o compression_type=zstd F 1G", &[]),
    ("qcow2", "create -f qcow2 -o extended_l2=on F 1G", &["qcow2_extended_l2"]),
    ("qcow2", "convert -f raw -O qcow2 disk.raw F", &[]),
    ("qcow2", "convert -f raw -O qcow2 -c disk.raw F", &[]),
    ("qcow2", "convert -f raw -O qcow2 -c -o compression_type=zstd disk.raw F", &[]),
    ("qcow2", "create -f qcow2 -o data_file=data F 8M", &["qcow2_data_file"]),
    ("qcow2", "create -f qcow2 -o data_file=data,data_file_raw=on F 8M", &["qcow2_data_file"]),
    ("qcow2", "create -f qcow2 -b disk.raw -F raw F", &["qcow2_backing_file"]),
    (
        "qcow2",
        "create -f qcow2 -u -b json:{\"driver\":\"nbd\"} -F raw F 8M",
        &["qcow2_backing_file"],
    ),
    (
        "qcow2",
        "create -f qcow2 --object secret,id=s,data=x -o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10 F 8M",
        &["qcow2_luks"],
    ),
    ("vmdk", "create -f vmdk F 10G", &[]),
    ("vmdk", "convert -f raw -O vmdk disk.raw F", &[]),
    ("vmdk", "convert -f raw -O vmdk -o subformat=streamOptimized disk.raw F", &[]),
    (
        "vmdk-descriptor",
        "create -f vmdk -o subformat=monolithicFlat F 8M",
        &["vmdk_descriptor_only"],
    ),
    (
        "vmdk-descriptor",
        "create -f vmdk -o subformat=twoGbMaxExtentSparse F 8M",
        &["vmdk_descriptor_only"],
    ),
    ("vhd", "create -f vpc F 10G", &[]),
    ("vhd", "convert -f raw -O vpc disk.raw F", &[]),
    ("vhd", "convert -f raw -O vpc -o subformat=fixed disk.raw F", &[]),
    ("vhd", "convert -f raw -O vpc -o subformat=fixed,force_size=on disk.raw F", &[]),
    ("vhdx", "create -f vhdx F 10G", &[]),
    ("vhdx", "convert -f raw -O vhdx -o subformat=fixed disk.raw F", &[]),
    ("vdi", "create -f vdi F 10G", &[]),
    ("vdi", "convert -f raw -O vdi -o static=on disk.raw F", &[]),
    ("qed", "create -f qed F 1G", &["qed"]),
    ("qcow", "create -f qcow F 1G", &["qcow_version_1"]),
    ("parallels", "create -f parallels F 1G", &["format_not_taken"]),
];

#[test]
#[ignore = "needs qemu-img"]
fn what_qemu_makes_is_told_as_it_was_made() {
    let folder = tempfile::tempdir().unwrap();
    disk(folder.path());
    for (number, (format, arguments, expected)) in MADE.into_iter().enumerate() {
        let name = format!("{number}.{format}");
        made(folder.path(), &arguments.replace(" F", &format!(" {name}")));
        let bytes = fs::read(folder.path().join(&name)).unwrap();
        let report = inspect(Rules::default(), &bytes);
        assert_eq!(codes(&report), expected, "{arguments}: {report:?}");
        assert_eq!(report.format.name(), format, "{arguments}");
        if report.refusal().is_some() {
            continue;
        }
        let theirs = said(folder.path(), &name, format);
        assert_eq!(Some(report.virtual_size), theirs, "{arguments}");
        assert_eq!(refused(declared(format), &bytes), None);
        assert_eq!(refused(declared("raw"), &bytes), Some("format_differs"), "{arguments}");
    }
}

/// The size of the disk as QEMU reads it; `None` where it does not open the file.
fn said(folder: &Path, name: &str, format: &str) -> Option<u64> {
    let format = if format == "vhd" { "vpc" } else { format };
    let output = qemu_img(folder, &format!("info --output=json -f {format} {name}"));
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        eprintln!("{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let (_, after) = text.rsplit_once("\"virtual-size\": ").filter(|_| output.status.success())?;
    after.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Encrypted images and what QEMU changes in place.
#[test]
#[ignore = "needs qemu-img"]
fn snapshots_and_encryption_are_seen() {
    let folder = tempfile::tempdir().unwrap();
    disk(folder.path());
    made(folder.path(), "convert -f raw -O qcow2 disk.raw a.qcow2");
    made(folder.path(), "snapshot -c one a.qcow2");
    let bytes = fs::read(folder.path().join("a.qcow2")).unwrap();
    assert_eq!(codes(&inspect(Rules::default(), &bytes)), ["qcow2_has_snapshots"]);
    made(folder.path(), "resize -f qcow2 a.qcow2 +1G");
    let bytes = fs::read(folder.path().join("a.qcow2")).unwrap();
    let report = inspect(Rules::default(), &bytes);
    assert_eq!((report.refusal(), report.virtual_size), (None, (8 << 20) + (1 << 30)));

    made(
        folder.path(),
        "create -f luks --object secret,id=s,data=x -o key-secret=s,iter-time=10 a.luks 8M",
    );
    let bytes = fs::read(folder.path().join("a.luks")).unwrap();
    assert_eq!(refused(Rules::default(), &bytes), Some("encrypted"));
    let report = inspect(open_rules(), &bytes);
    assert_eq!((report.refusal(), report.virtual_size), (None, 8 << 20));
}

/// QEMU opens nothing by itself that we would take for raw: that is how a host's file came into a guest's disk.
#[test]
#[ignore = "needs qemu-img"]
fn what_qemu_takes_for_a_format_is_not_taken_for_raw() {
    let folder = tempfile::tempdir().unwrap();
    let tiny = images::qcow2().be64(8, 0x1c0).be32(16, 8).put(0x1c0, b"disk.raw").cut(500);
    let samples = [
        tiny,
        images::qcow2().cut(300),
        images::vmdk().cut(400),
        images::Image(b"# x\n \nversion=1\ncreateType=\"x\"\n".to_vec()),
        images::vhd().cut(600),
        images::vdi().cut(500),
        images::vhdx().cut(66_000),
        images::Image::zeros(4096).put(0, b"WithouFreSpacExt").le32(16, 2),
        images::Image::zeros(4096).put(0, b"QED\0"),
        images::luks().cut(1000),
        images::Image::zeros(4096)
            .put(0, b"Bochs Virtual HD Image")
            .put(32, b"Redolog")
            .put(48, b"Growing")
            .le32(64, 0x2_0000)
            .le32(68, 512),
    ];
    for (number, image) in samples.into_iter().enumerate() {
        let name = format!("{number}.img");
        fs::write(folder.path().join(&name), &image.0).unwrap();
        assert!(refused(declared("raw"), &image.0).is_some(), "{number} passes as raw");
        let output = qemu_img(folder.path(), &format!("info --output=json {name}"));
        let text = String::from_utf8_lossy(&output.stdout);
        // Where it cannot open what it has found, it says so.
        let found = !output.status.success() || !text.contains("\"format\": \"raw\"");
        assert!(found, "{number}: QEMU takes it for raw: {text}");
    }
}

/// A table that QEMU would not open is not called a good image: every header that we pass it opens.
#[test]
#[ignore = "needs qemu-img"]
fn what_passes_by_hand_is_opened_by_qemu_with_the_same_size() {
    let folder = tempfile::tempdir().unwrap();
    for (number, (name, image, format, virtual_size)) in images::good().into_iter().enumerate() {
        let format = if format == "iso" { "raw" } else { format };
        let file = format!("{number}.img");
        fs::write(folder.path().join(&file), &image.0).unwrap();
        let theirs = said(folder.path(), &file, format);
        assert_eq!(theirs, Some(virtual_size), "{name}");
    }
}
