//! LUKS 1 and 2. Fields are big-endian.

use super::{facts::Facts, finding::Kind, format::Format, rules::Look, sector::is_cut};

const HEADER_V1_BYTES: usize = 592;
const HEADER_V2_BYTES: usize = 4096;

/// Version, and whether it is wanted.
pub(super) fn sector(look: &Look<'_>, facts: &mut Facts) {
    // An image that is encrypted is taken as it is, or because it was said to be.
    if !look.rules.encrypted {
        facts.find_with(Kind::Encrypted, Format::Luks.number(), 0);
    }
    if is_cut(look, facts, 8) {
        return;
    }
    let version = look.bytes.be16(6);
    if !matches!(version, 1 | 2) {
        facts.find_with(Kind::LuksVersion, version.into(), 0);
    }
}

/// Where the disk begins.
pub(super) fn head(look: &Look<'_>, facts: &mut Facts) {
    if look.bytes.be16(6) == 2 {
        // Where its disk begins stands in JSON: its size is taken as that of the file, which is a little more.
        let _ = is_cut(look, facts, HEADER_V2_BYTES);
        return;
    }
    if is_cut(look, facts, HEADER_V1_BYTES) {
        return;
    }
    let start = u64::from(look.bytes.be32(104)) * 512;
    facts.payload_start = Some(start);
    facts.needs(Some(start));
}
