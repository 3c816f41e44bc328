//! Files that end too early: never raw, never whole, never a panic.

use super::{super::Finding, Rules, declared, images, inspect, open_rules};

/// Bytes of the mark that each format begins with, and of everything that its headers speak of.
const CUTS: [(&str, usize, usize); 10] = [
    ("qcow2", 4, 0x30000 + 160),
    ("qcow2 version 2", 4, 0x30000 + 160),
    ("vmdk", 4, 26 * 512 + 4),
    ("vmdk stream", 4, 65_536 + 1536),
    ("vhd", 8, 4096 + 512),
    ("vhdx", 8, 4 << 20),
    ("vdi", 0x44, 1024),
    ("iso", 0x8006, 199 * 2048),
    ("luks", 6, 1 << 20),
    ("luks 2", 6, 4096),
];

fn image(name: &str) -> images::Image {
    let good = images::good().into_iter().find(|row| row.0 == name);
    let encrypted = || if name == "luks" { images::luks() } else { images::luks2() };
    good.map_or_else(encrypted, |row| row.1)
}

/// Every byte of the first 4 KiB, then those around every multiple of 512 up to `end`, then the last ones.
fn lengths(end: usize) -> impl Iterator<Item = usize> {
    let step = if end > 1 << 20 { 16_384 } else { 512 };
    let around = (4096..end).step_by(step).flat_map(|at| [at - 1, at, at + 1]);
    (1..end.min(4096)).chain(around).chain([end - 1]).filter(move |length| *length < end)
}

#[test]
fn a_header_that_is_cut_anywhere_is_refused() {
    for (name, mark_bytes, needed_bytes) in CUTS {
        let whole = image(name).0;
        for length in lengths(needed_bytes) {
            let report = inspect(open_rules(), &whole[..length]);
            if length < mark_bytes {
                assert_eq!(report.format.name(), "raw", "{name} of {length} bytes");
                continue;
            }
            let refusal = report.refusal().map(|finding| (finding.rule(), finding.code()));
            let is_right = matches!(refusal, Some((4 | 17, _)));
            assert!(is_right, "{name} of {length} bytes: {refusal:?}");
        }
        let report = inspect(open_rules(), &whole[..needed_bytes]);
        let refusal = report.refusal();
        assert!(refusal.is_none(), "{name} of {needed_bytes} bytes is whole: {refusal:?}");
    }
}

/// With a length that is declared, the first sector is enough.
#[test]
fn a_declared_length_that_is_too_short_is_refused_at_once() {
    let whole = images::qcow2().0;
    let mut inspector = super::Inspector::new(Rules::default(), Some(0x30000));
    let refusal = inspector.feed(0, &whole[..512]).map(Finding::code);
    assert_eq!(refusal, Some("truncated"));
    let mut inspector = super::Inspector::new(Rules::default(), Some(whole.len() as u64));
    assert_eq!(inspector.feed(0, &whole[..512]), None);
}

#[test]
fn no_byte_and_wrong_lengths_are_refused() {
    assert_eq!(super::refused(Rules::default(), &[]), Some("empty"));
    assert_eq!(super::refused(declared("raw"), &[]), Some("empty"));
    for (said, fed, expected) in [(1024, 512, Some("length_differs")), (512, 512, None)] {
        let mut inspector = super::Inspector::new(Rules::default(), Some(said));
        inspector.feed(0, &vec![0; fed]);
        let refusal = inspector.end(fed as u64).map(Finding::code);
        assert_eq!(refusal, expected);
    }
}

#[test]
fn a_fixed_vhd_without_its_last_byte_is_a_raw_disk_and_not_a_vhd() {
    let whole = images::vhd_fixed().0;
    let cut = &whole[..whole.len() - 1];
    assert_eq!(super::refused(declared("vhd"), cut), Some("format_differs"));
    assert_eq!(super::refused(declared("vhd"), &whole), None);
    assert_eq!(inspect(Rules::default(), cut).format.name(), "raw");
}
