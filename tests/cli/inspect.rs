//! `longshore inspect`: no server, no session, a file or a pipe.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::run::{Ran, Running, json};

fn inspect(folder: &Path, args: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_longshore"));
    command.arg("inspect").args(args).env_clear().current_dir(folder);
    Running::start(command, "").end()
}

/// A disk with one partition.
fn disk() -> Vec<u8> {
    let mut disk = vec![0; 1 << 20];
    disk[446..454].copy_from_slice(&[0x80, 0, 2, 0, 0x83, 0, 0, 0]);
    disk[454..462].copy_from_slice(&[64, 0, 0, 0, 0, 4, 0, 0]);
    disk[510..512].copy_from_slice(b"\x55\xaa");
    disk
}

#[test]
fn a_disk_would_be_taken_and_the_same_under_another_name_not() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("disk.img"), disk()).unwrap();
    let said = inspect(folder.path(), &["disk.img"]).ends(0).out;
    assert!(said.contains("disk.img: raw, partition table mbr, disk of 1.00 MiB"), "{said}");
    assert!(said.contains("it would be taken"), "{said}");

    let refused = inspect(folder.path(), &["--format", "qcow2", "disk.img"]).ends(8).out;
    assert!(refused.contains("it was said to be qcow2, and its content is raw"), "{refused}");
    assert!(refused.contains("[format_differs, rule 2]"), "{refused}");
    inspect(folder.path(), &["--format", "floppy", "disk.img"]).ends(2).complains("no format");
    inspect(folder.path(), &["none.img"]).ends(2).complains("cannot open none.img");
    inspect(folder.path(), &["."]).ends(2).complains("it is a folder");
}

#[test]
fn what_names_other_files_is_told_in_json_with_advice() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = b"QFI\xfb\0\0\0\x03".to_vec();
    child.resize(500, 0);
    child[15] = 0x70;
    fs::write(folder.path().join("child.qcow2"), &child).unwrap();
    let said = json(&inspect(folder.path(), &["--json", "child.qcow2"]).ends(8));
    assert_eq!((&said["taken"], &said["format"]), (&false.into(), &"qcow2".into()), "{said}");
    let findings = said["findings"].as_array().unwrap();
    let backing = findings.iter().find(|finding| finding["code"] == "qcow2_backing_file").unwrap();
    assert_eq!((&backing["rule"], &backing["level"]), (&6.into(), &"refusal".into()));
    assert!(backing["advice"].as_str().unwrap().contains("qemu-img convert"));
}

#[test]
fn a_pipe_is_inspected_as_the_file_is() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("disk.img"), disk()).unwrap();
    let of_file = json(&inspect(folder.path(), &["--json", "disk.img"]).ends(0));
    let mut command = Command::new(env!("CARGO_BIN_EXE_longshore"));
    command.args(["inspect", "--json", "-"]).env_clear();
    let file = fs::File::open(folder.path().join("disk.img")).unwrap();
    let mut cat = Command::new("cat").stdin(file).stdout(Stdio::piped()).spawn().unwrap();
    let output = command.stdin(cat.stdout.take().unwrap()).output().unwrap();
    cat.wait().unwrap();
    let mut of_pipe: Value = serde_json::from_slice(&output.stdout).unwrap();
    of_pipe["file"] = "disk.img".into();
    assert_eq!(of_pipe, of_file);
}
