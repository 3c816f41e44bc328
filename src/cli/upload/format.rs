//! The format of a file, where nobody says it.

use std::{io::Read, path::Path};

/// First bytes that show a format.
pub(super) const HEAD_BYTES: u64 = 0x8800;

/// The format by the first bytes, else by the extension. The server decides by the content in the end.
pub(super) fn format_of(file: &Path) -> &'static str {
    let mut head = Vec::new();
    // Only a regular file: a named pipe would wait, and is refused in words later.
    if file.is_file()
        && let Ok(file) = std::fs::File::open(file)
    {
        // A file that cannot be read is told so by the upload itself.
        let _ = file.take(HEAD_BYTES).read_to_end(&mut head);
    }
    if let Some(format) = of_head(&head) {
        return format;
    }
    let extension = file.extension().unwrap_or_default().to_ascii_lowercase();
    match extension.to_str() {
        Some("vhd" | "vpc") => "vhd",
        Some("vmdk") => "vmdk",
        _ => "raw",
    }
}

/// The format that the first bytes show, if they do.
pub(super) fn of_head(head: &[u8]) -> Option<&'static str> {
    let at = |offset: usize, magic: &[u8]| head.get(offset..).is_some_and(|h| h.starts_with(magic));
    let marks: [(usize, &[u8], &str); 6] = [
        (0, b"QFI\xfb", "qcow2"),
        (0, b"KDMV", "vmdk"),
        (0, b"vhdxfile", "vhdx"),
        (0, b"conectix", "vhd"),
        (0x40, &[0x7f, 0x10, 0xda, 0xbe], "vdi"),
        (0x8001, b"CD001", "iso"),
    ];
    marks.into_iter().find(|(offset, magic, _)| at(*offset, magic)).map(|(.., format)| format)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_seen_in_the_first_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.img");
        let mut iso = vec![0; 0x8001];
        iso.extend_from_slice(b"CD001");
        for (head, format) in [
            (&b"QFI\xfb\0\0"[..], "qcow2"),
            (b"KDMV", "vmdk"),
            (b"vhdxfile", "vhdx"),
            (&iso, "iso"),
            (b"hello", "raw"),
            (b"", "raw"),
        ] {
            std::fs::write(&path, head).unwrap();
            assert_eq!(format_of(&path), format);
        }
    }
}
