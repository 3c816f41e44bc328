//! The descriptor of a vmdk: a text that says where its disk lies. Only what is known to be harmless passes.

use super::{facts::Facts, finding::Kind, rules::Look};

/// What the lines say, taken together.
#[derive(Default)]
struct Lines {
    extents: u64,
    sectors: u64,
}

/// The descriptor: as text up to its first zero byte. Case does not matter in it.
pub(super) fn read(look: &Look<'_>, facts: &mut Facts) {
    let bytes = look.bytes.0;
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let text = bytes[..end].to_ascii_lowercase();
    let is_text = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    let Some(text) =
        std::str::from_utf8(&text).ok().filter(|text| text.bytes().all(|b| is_text(&b)))
    else {
        return facts.find(Kind::VmdkNotAscii);
    };
    let mut lines = Lines::default();
    for (number, line) in (1..).zip(text.split('\n')) {
        read_line(line.trim(), number, &mut lines, facts);
    }
    keys(text, facts);
    if lines.extents != 1 {
        facts.find_with(Kind::VmdkExtents, lines.extents, 0);
    }
    let capacity = facts.virtual_size.unwrap_or(0) / 512;
    if lines.extents == 1 && lines.sectors != capacity {
        facts.find_with(Kind::VmdkExtentSize, lines.sectors, capacity);
    }
}

fn read_line(line: &str, number: u64, lines: &mut Lines, facts: &mut Facts) {
    let is_key = |key: &str| !key.is_empty() && !key.contains(|c: char| c.is_whitespace());
    let first = line.split_whitespace().next().unwrap_or_default();
    if line.is_empty() || line.starts_with('#') || line.starts_with("ddb") {
        return;
    }
    if matches!(first, "rw" | "rdonly" | "noaccess") {
        lines.extents += 1;
        match extent(line) {
            Some(sectors) => lines.sectors = sectors,
            None => facts.find_with(Kind::VmdkExtent, number, 0),
        }
    } else if !line.split_once('=').is_some_and(|(key, _)| is_key(key.trim_end())) {
        facts.find_with(Kind::VmdkLine, number, 0);
    }
}

/// Sectors of an extent that is the file itself: `RW 20480 SPARSE "disk.vmdk"`.
fn extent(line: &str) -> Option<u64> {
    let (before, quoted) = line.split_once('"')?;
    let (name, after) = quoted.split_once('"')?;
    let mut words = before.split_whitespace();
    let (_access, sectors, kind) = (words.next()?, words.next()?, words.next()?);
    let is_plain = !name.is_empty() && !name.contains(['/', '\\', ':']) && !name.contains("..");
    let is_sparse = kind == "sparse" && words.next().is_none() && after.trim().is_empty();
    sectors.parse().ok().filter(|_| is_plain && is_sparse)
}

/// The keys that decide where the disk lies. Some readers take the first place where a key stands, be it in a comment: so each may
/// stand in the text only once.
fn keys(text: &str, facts: &mut Facts) {
    let types = text.matches("createtype").count();
    let kind = value(text, "createtype").unwrap_or_default();
    if types != 1 || !matches!(kind, "monolithicsparse" | "streamoptimized") {
        facts.find_with(Kind::VmdkCreateType, types as u64, 0);
    }
    let no_parent = value(text, "parentcid") == Some("ffffffff");
    if text.matches("parentcid").count() != 1 || !no_parent || text.contains("parentfilenamehint") {
        facts.find(Kind::VmdkParent);
    }
}

/// The value of a key that begins a line, without quotes.
fn value<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    text.split('\n').find_map(|line| {
        let (found, value) = line.split_once('=')?;
        (found.trim() == key).then(|| value.trim().trim_matches('"'))
    })
}
