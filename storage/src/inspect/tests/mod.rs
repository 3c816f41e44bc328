//! Images made by hand, good and bad; bytes that come in any way; images of QEMU.

mod hostile;
mod images;
mod qemu;
mod streams;
mod truncated;

use super::{Finding, Format, Inspector, PartitionTable, Report, Rules};

/// Rules under which everything is taken that can be.
pub(super) fn open_rules() -> Rules {
    Rules { encrypted: true, extended_l2: true, ..Rules::default() }
}

pub(super) fn declared(format: &str) -> Rules {
    Rules { declared: Some(Format::from_name(format).unwrap()), ..Rules::default() }
}

/// The verdict on bytes that come in one piece.
pub(super) fn inspect(rules: Rules, bytes: &[u8]) -> Report {
    let mut inspector = Inspector::new(rules, None);
    inspector.feed(0, bytes);
    inspector.end(bytes.len() as u64);
    finished(inspector, bytes)
}

/// Feeds what is wanted until the verdict is known.
pub(super) fn finished(mut inspector: Inspector, bytes: &[u8]) -> Report {
    for _ in 0..100 {
        if let Some(report) = inspector.report() {
            return report;
        }
        for range in inspector.wanted() {
            let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
            inspector.feed(range.start as u64, &bytes[range]);
        }
    }
    panic!("wants for ever: {:?}", inspector.wanted());
}

/// The codes of everything that was found.
pub(super) fn codes(report: &Report) -> Vec<&'static str> {
    report.findings.iter().map(Finding::code).collect()
}

/// The code of the refusal.
pub(super) fn refused(rules: Rules, bytes: &[u8]) -> Option<&'static str> {
    inspect(rules, bytes).refusal().map(Finding::code)
}

#[test]
fn every_good_image_passes_without_a_word_and_shows_its_size() {
    for (name, image, format, virtual_size) in images::good() {
        let report = inspect(Rules::default(), &image.0);
        assert_eq!(codes(&report), [""; 0], "{name}: {report:?}");
        assert_eq!((report.format.name(), report.virtual_size), (format, virtual_size), "{name}");
        let under_its_name = inspect(declared(format), &image.0);
        assert_eq!(under_its_name, report, "{name}");
    }
    for (name, image, disk_bytes) in
        [("luks", images::luks(), 1 << 20), ("luks 2", images::luks2(), 2 << 20)]
    {
        let report = inspect(open_rules(), &image.0);
        assert_eq!(codes(&report), [""; 0], "{name}");
        assert_eq!((report.format, report.virtual_size), (Format::Luks, disk_bytes), "{name}");
    }
    let partitions = |image: images::Image| inspect(Rules::default(), &image.0).partitions;
    assert_eq!(partitions(images::mbr()).map(PartitionTable::name), Some("mbr"));
    assert_eq!(partitions(images::gpt()).map(PartitionTable::name), Some("gpt"));
    assert_eq!(partitions(images::fat()), None);
    let volume = inspect(Rules::default(), &images::iso().0).volume_id;
    assert_eq!(volume.as_deref(), Some("DEBIAN_13"));
}

#[test]
fn every_format_is_refused_under_every_other_name() {
    for (name, image, format, _) in images::good() {
        for said in ["raw", "qcow2", "vmdk", "vhd", "vhdx", "vdi", "iso", "luks"] {
            let found = refused(declared(said), &image.0);
            let expected = (said != format).then_some("format_differs");
            assert_eq!(found, expected, "{name} said to be {said}");
        }
    }
}
