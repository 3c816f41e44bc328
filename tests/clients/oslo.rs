//! A second opinion on images: oslo.utils, whose inspector OpenStack uses. What it refuses is refused here; where the two differ, it is
//! listed with the reason.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

use crate::script::{Script, are_installed};

/// Made by qemu-img: name, arguments.
const MADE: [(&str, &str); 27] = [
    ("plain.qcow2", "create -f qcow2 F 10G"),
    ("v2.qcow2", "create -f qcow2 -o compat=0.10 F 1G"),
    ("empty.qcow2", "create -f qcow2 F 0"),
    ("zstd.qcow2", "create -f qcow2 -o compression_type=zstd F 1G"),
    ("lazy.qcow2", "create -f qcow2 -o lazy_refcounts=on F 1G"),
    ("full.qcow2", "convert -f raw -O qcow2 mbr.raw F"),
    ("packed.qcow2", "convert -f raw -O qcow2 -c mbr.raw F"),
    ("extended-l2.qcow2", "create -f qcow2 -o extended_l2=on F 1G"),
    ("data-file.qcow2", "create -f qcow2 -o data_file=data F 8M"),
    ("backing.qcow2", "create -f qcow2 -b mbr.raw -F raw F"),
    ("json-backing.qcow2", "create -f qcow2 -u -b json:{\"driver\":\"nbd\"} -F raw F 8M"),
    (
        "luks.qcow2",
        "create -f qcow2 --object secret,id=s,data=x -o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10 F 8M",
    ),
    ("snapshot.qcow2", "create -f qcow2 F 8M"),
    ("sparse.vmdk", "create -f vmdk F 10G"),
    ("stream.vmdk", "convert -f raw -O vmdk -o subformat=streamOptimized mbr.raw F"),
    ("flat.vmdk", "create -f vmdk -o subformat=monolithicFlat F 8M"),
    ("split.vmdk", "create -f vmdk -o subformat=twoGbMaxExtentSparse F 8M"),
    ("dynamic.vhd", "create -f vpc F 10G"),
    ("fixed.vhd", "convert -f raw -O vpc -o subformat=fixed,force_size=on mbr.raw F"),
    ("dynamic.vhdx", "create -f vhdx F 10G"),
    ("fixed.vhdx", "convert -f raw -O vhdx -o subformat=fixed mbr.raw F"),
    ("dynamic.vdi", "create -f vdi F 10G"),
    ("static.vdi", "convert -f raw -O vdi -o static=on mbr.raw F"),
    ("a.qed", "create -f qed F 1G"),
    ("a.qcow", "create -f qcow F 1G"),
    ("a.parallels", "create -f parallels F 1G"),
    ("a.luks", "create -f luks --object secret,id=s,data=x -o key-secret=s,iter-time=10 F 8M"),
];

/// Made from one of those: name, of which, what is written where, length if it is cut.
type Changed = (&'static str, &'static str, &'static [(usize, &'static [u8])], Option<usize>);

const CHANGED: [Changed; 14] = [
    ("dirty.qcow2", "plain.qcow2", &[(79, &[1])], None),
    ("corrupt.qcow2", "plain.qcow2", &[(79, &[2])], None),
    ("unknown-feature.qcow2", "plain.qcow2", &[(79, &[0x20])], None),
    ("v4.qcow2", "plain.qcow2", &[(7, &[4])], None),
    ("aes.qcow2", "plain.qcow2", &[(35, &[1])], None),
    ("huge.qcow2", "plain.qcow2", &[(24, &[0x40, 0, 0, 0, 0, 0, 0, 0])], None),
    ("clusters.qcow2", "plain.qcow2", &[(23, &[30])], None),
    ("short.qcow2", "plain.qcow2", &[], Some(300)),
    ("short-backing.qcow2", "backing.qcow2", &[], Some(500)),
    ("and-mbr.qcow2", "plain.qcow2", &[(446, &PARTITION), (510, b"\x55\xaa")], None),
    ("child.vdi", "dynamic.vdi", &[(76, &[4])], None),
    ("bad-flag.raw", "mbr.raw", &[(446, &[0x81])], None),
    ("odd.raw", "mbr.raw", &[], Some(1000)),
    ("zip.raw", "mbr.raw", &[(0, b"PK\x03\x04")], None),
];

const PARTITION: [u8; 16] = [0x80, 0, 2, 0, 0x83, 0, 0, 0, 64, 0, 0, 0, 0, 4, 0, 0];

const READ_SO_FAR: &str = "oslo tells as size of a raw disk what it had read when it was sure";
const STRICTER: &str =
    "a header that no program writes, or that QEMU refuses to open: oslo does not look at it";
const WRAPPED: &str = "oslo takes what it does not know for raw; here it is told what it is, and that it has to be unpacked";
const CUT: &str =
    "oslo takes a file that ends within its header for raw, and QEMU follows its backing file";
const ENCRYPTED: &str = "taken only with inspect.encrypted, which is off by default";
const PARENT: &str = "a part of it is in another file, which oslo does not look for";

/// Where the two differ, and why: name, ours, theirs.
const DIFFERENT: [(&str, &str, &str, &str); 20] = [
    ("a.luks", "refused", "luks", ENCRYPTED),
    ("luks.qcow2", "refused", "qcow2", ENCRYPTED),
    (
        "aes.qcow2",
        "refused",
        "qcow2",
        "the old AES of qcow2 is broken, and QEMU itself warns of it",
    ),
    ("a.parallels", "refused", "raw", "QEMU opens it as a format when nobody names one"),
    ("corrupt.qcow2", "refused", "qcow2", "it says of itself that it is damaged"),
    ("huge.qcow2", "refused", "qcow2", STRICTER),
    ("clusters.qcow2", "refused", "qcow2", STRICTER),
    ("short.qcow2", "refused", "raw", CUT),
    ("short-backing.qcow2", "refused", "raw", CUT),
    ("child.vdi", "refused", "vdi", PARENT),
    ("child.vmdk", "refused", "vmdk", PARENT),
    ("raw.gz", "refused", "raw", WRAPPED),
    ("raw.xz", "refused", "raw", WRAPPED),
    ("raw.zst", "refused", "raw", WRAPPED),
    ("raw.7z", "refused", "raw", WRAPPED),
    ("zip.raw", "refused", "raw", WRAPPED),
    ("a.ova", "refused", "raw", WRAPPED),
    ("mbr.raw", "raw of 8388608", "raw of 262144", READ_SO_FAR),
    ("zeros.raw", "raw of 1048576", "raw of 262144", READ_SO_FAR),
    (
        "fixed.vhd",
        "vhd of 8388608",
        "raw of 262144",
        "what makes it a vhd stands at its end, where oslo does not look",
    ),
];

fn qemu_img(folder: &Path, arguments: &str) {
    let mut command = Command::new("qemu-img");
    command.current_dir(folder).args(arguments.split_whitespace());
    let output = command.output().expect("qemu-img is installed (Debian: qemu-utils)");
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// All images in a folder; their names.
fn make(folder: &Path) -> Vec<String> {
    let mut disk = vec![0; 8 << 20];
    disk[446..462].copy_from_slice(&PARTITION);
    disk[510..512].copy_from_slice(b"\x55\xaa");
    for at in (1 << 20..8 << 20).step_by(700_001) {
        disk[at..at + 1000].fill(0xa5);
    }
    fs::write(folder.join("mbr.raw"), disk).unwrap();
    let mut names = vec!["mbr.raw".to_owned()];
    for (name, arguments) in MADE {
        qemu_img(folder, &arguments.replace(" F", &format!(" {name}")));
        names.push(name.to_owned());
    }
    qemu_img(folder, "snapshot -c one snapshot.qcow2");
    for (name, of, changes, length) in CHANGED {
        let mut bytes = fs::read(folder.join(of)).unwrap();
        for (at, change) in changes {
            bytes[*at..*at + change.len()].copy_from_slice(change);
        }
        bytes.truncate(length.unwrap_or(usize::MAX));
        fs::write(folder.join(name), bytes).unwrap();
        names.push(name.to_owned());
    }
    let tar = |name: &str| {
        let mut tar = vec![0; 1 << 20];
        tar[..name.len()].copy_from_slice(name.as_bytes());
        tar[257..262].copy_from_slice(b"ustar");
        tar
    };
    let padded = |magic: &[u8]| [magic, &vec![0x5a; 8000]].concat();
    for (name, bytes) in [
        ("zeros.raw", vec![0; 1 << 20]),
        ("child.vmdk", child_vmdk(&fs::read(folder.join("sparse.vmdk")).unwrap())),
        ("raw.gz", padded(b"\x1f\x8b\x08")),
        ("raw.xz", padded(b"\xfd7zXZ\0")),
        ("raw.zst", padded(b"\x28\xb5\x2f\xfd")),
        ("raw.7z", padded(b"7z\xbc\xaf\x27\x1c")),
        ("a.ova", tar("a.ovf")),
    ] {
        fs::write(folder.join(name), bytes).unwrap();
        names.push(name.to_owned());
    }
    names
}

/// The descriptor names a parent; its zeroes at the end make room for that.
fn child_vmdk(plain: &[u8]) -> Vec<u8> {
    let (own, parent) =
        (b"parentCID=ffffffff\n", b"parentCID=12345678\nparentFileNameHint=\"a\"\n");
    let at = plain.windows(own.len()).position(|window| window == own).expect("a descriptor");
    let mut child = [&plain[..at], parent, &plain[at + own.len()..]].concat();
    let more = child.len() - plain.len();
    let end = at + child[at..].iter().position(|byte| *byte == 0).expect("it ends");
    child.drain(end..end + more);
    child
}

fn verdict(taken: bool, format: &Value, size: &Value) -> String {
    if taken {
        format!("{} of {size}", format.as_str().unwrap_or("?"))
    } else {
        "refused".to_owned()
    }
}

/// What `longshore inspect` says, by the default rules.
fn ours(folder: &Path, name: &str) -> String {
    let said = Command::new(env!("CARGO_BIN_EXE_longshore"))
        .args(["inspect", "--json", name])
        .current_dir(folder)
        .env_clear()
        .output();
    let said: Value = serde_json::from_slice(&said.expect("it runs").stdout).expect("JSON");
    verdict(said["taken"] == true, &said["format"], &said["virtualSize"])
}

/// What oslo.utils says of each. A raw disk with a partition table of any kind is `gpt` there.
fn theirs(folder: &Path, names: &[String]) -> Vec<String> {
    let files: Vec<_> = names.iter().map(|name| folder.join(name)).collect();
    let mut script = Script::python("oslo_inspect.py", &json!({ "files": files }));
    script.until(|said| said["done"] == true);
    let said = script.said.iter().filter(|said| said.get("file").is_some());
    let said = said.map(|said| {
        let format = Some(&said["format"]).filter(|format| **format != "gpt");
        let format = format.cloned().unwrap_or_else(|| json!("raw"));
        verdict(said.get("refused").is_none(), &format, &said["size"])
    });
    said.collect()
}

#[test]
#[ignore = "needs oslo.utils and qemu-img"]
fn what_oslo_refuses_is_refused_and_every_difference_is_listed() {
    if !are_installed() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let names = make(folder.path());
    let theirs = theirs(folder.path(), &names);
    assert_eq!(theirs.len(), names.len());
    let (mut wrong, mut alike) = (Vec::new(), 0);
    for (name, theirs) in names.iter().zip(&theirs) {
        let ours = ours(folder.path(), name);
        if theirs == "refused" && ours != "refused" {
            wrong.push(format!("{name}: oslo refuses it, and here it is {ours}"));
        }
        let listed = DIFFERENT.iter().find(|(listed, ..)| listed == name);
        match listed {
            None if ours == *theirs => alike += 1,
            // A refusal has no size.
            Some((_, our, their, why)) if ours == *our && theirs.starts_with(their) => {
                println!("{name}: {ours}, oslo: {theirs}: {why}");
            }
            _ => wrong.push(format!("{name}: {ours}, oslo: {theirs}; listed: {listed:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(alike + DIFFERENT.len(), names.len());
}
