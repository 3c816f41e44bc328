//! `Content-Disposition` (RFC 6266): the file name of a download, and the one that a client sends with an upload.

use actix_web::http::header::HeaderMap;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};

use super::{BadHeader, list, params};

/// Name of the header.
pub const CONTENT_DISPOSITION: &str = "content-disposition";

/// Longest file name of a download, in characters: most file systems take 255 bytes.
const NAME_CHARS_MAX: usize = 120;

/// What RFC 8187 lets stand besides letters and digits.
const ATTR: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// The header of a download under this name: always `attachment`, so that no browser ever shows a user's bytes as a page.
pub fn attachment(name: &str) -> String {
    let name = file_name(name);
    let ascii: String = name
        .chars()
        .map(|c| match c {
            '"' | '\\' | '%' => '_',
            c if c.is_ascii_graphic() || c == ' ' => c,
            _ => '_',
        })
        .collect();
    format!(
        "attachment; filename=\"{ascii}\"; filename*=UTF-8''{}",
        utf8_percent_encode(&name, ATTR)
    )
}

/// The file name that a request carries, without folders; `None` if it carries none.
pub fn sent_name(headers: &HeaderMap) -> Result<Option<String>, BadHeader> {
    let Some(value) = list(headers, CONTENT_DISPOSITION)? else { return Ok(None) };
    let unreadable = || BadHeader::new(CONTENT_DISPOSITION, "it cannot be read");
    let (_, found) = params::parse(value.as_bytes()).ok_or_else(unreadable)?;
    let extended = match params::get(&found, "filename*") {
        Some(value) => Some(extended(value).ok_or_else(unreadable)?),
        None => None,
    };
    let plain =
        params::get(&found, "filename").map(|name| String::from_utf8_lossy(name).into_owned());
    let name = extended.or(plain);
    let name = name.as_deref().and_then(|name| name.rsplit(['/', '\\']).next());
    Ok(name.map(file_name).filter(|name| name != UNNAMED))
}

/// `UTF-8'language'percent-encoded`
fn extended(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    let (charset, rest) = text.split_once('\'')?;
    let (_language, encoded) = rest.split_once('\'')?;
    if !charset.eq_ignore_ascii_case("utf-8") {
        return None;
    }
    percent_decode(encoded.as_bytes()).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

const UNNAMED: &str = "image";

/// Longest extension that a cut leaves alone, in characters and with its dot.
const EXTENSION_CHARS_MAX: usize = 16;

/// At most so many characters, the extension among them: what opens the file goes by it.
fn cut(name: &str) -> String {
    let chars = name.chars().count();
    if chars <= NAME_CHARS_MAX {
        return name.to_owned();
    }
    let extension = name.rfind('.').map_or("", |dot| &name[dot..]);
    let kept = extension.chars().count();
    let extension = if kept <= EXTENSION_CHARS_MAX { extension } else { "" };
    let stem = NAME_CHARS_MAX - extension.chars().count();
    name.chars().take(stem).chain(extension.chars()).collect()
}

/// Without folders, control characters and those that turn the reading direction (with which `gpj.exe` looks like `exe.jpg`).
fn file_name(name: &str) -> String {
    let clean = |c: char| match c {
        '/'
        | '\\'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}' => '_',
        c if c.is_control() => '_',
        c => c,
    };
    let name: String = cut(name.trim()).chars().map(clean).collect();
    if name.chars().all(|c| c == '.') { UNNAMED.to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    fn sent(value: &str) -> Result<Option<String>, BadHeader> {
        let mut headers = HeaderMap::new();
        headers.insert(
            HeaderName::from_static(CONTENT_DISPOSITION),
            HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        );
        sent_name(&headers)
    }

    #[test]
    fn a_name_is_told_twice_and_never_is_a_path() {
        assert_eq!(
            attachment("debian 12.qcow2"),
            "attachment; filename=\"debian 12.qcow2\"; filename*=UTF-8''debian%2012.qcow2"
        );
        assert_eq!(
            attachment("日\"本\r\n../x"),
            "attachment; filename=\"_____.._x\"; filename*=UTF-8''%E6%97%A5%22%E6%9C%AC__.._x"
        );
        assert!(attachment("..").contains("filename=\"image\""));
        assert!(attachment("").contains("filename=\"image\""));
        assert!(attachment("a\u{202e}gpj.exe").contains("filename*=UTF-8''a_gpj.exe"));
    }

    #[test]
    fn a_long_name_keeps_its_extension() {
        for (long, end, stem) in [
            (format!("{}.qcow2", "é".repeat(300)), ".qcow2", 114),
            (format!("{}.qcow2", "x".repeat(115)), ".qcow2", 114),
            (format!("{}.qcow2", "x".repeat(114)), ".qcow2", 114),
            (format!("x.{}", "y".repeat(300)), "", 120),
            ("x".repeat(300), "", 120),
        ] {
            let cut = file_name(&long);
            assert!(cut.ends_with(end) && long.starts_with(&cut[..cut.len() - end.len()]), "{cut}");
            assert_eq!(cut.chars().count(), stem + end.len(), "{cut}");
        }
    }

    #[test]
    fn a_sent_name_is_read() {
        for (value, name) in [
            ("attachment; filename=\"a.img\"", Some("a.img")),
            ("inline; filename=a.img; filename*=UTF-8''%E6%97%A5.img", Some("日.img")),
            ("attachment; filename=\"C:\\dir\\a.img\"", Some("a.img")),
            ("attachment; filename=\"../../etc/passwd\"", Some("passwd")),
            ("attachment", None),
            ("attachment; filename=\"..\"", None),
        ] {
            assert_eq!(sent(value), Ok(name.map(str::to_owned)), "{value}");
        }
        assert!(sent("attachment; filename=\"open").is_err());
        assert!(sent("attachment; filename*=latin1''%E4").is_err());
        assert!(sent("attachment; filename*=UTF-8''%FF").is_err());
    }

    proptest! {
        #[test]
        fn any_name_makes_a_header_that_reads_back_as_a_file_name(name in "\\PC{0,200}|[\\x00-\\x7f]{0,40}") {
            let header = attachment(&name);
            prop_assert!(header.bytes().all(|b| (0x20..0x7f).contains(&b)), "{}", header);
            let back = sent(&header).unwrap();
            prop_assert!(back.is_none_or(|back| !back.contains(['/', '\\', '\n'])));
        }
    }
}
