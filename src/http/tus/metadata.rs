//! `Upload-Metadata`: `key base64,key2 base64,key3`.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{
    domain::{image_id::ImageId, tag::hex_bytes},
    http::{
        headers::{BadHeader, shown},
        problem::Fault,
        resumable::Wishes,
    },
};

/// Name of the header.
pub(super) const UPLOAD_METADATA: &str = "upload-metadata";
/// Keys and bytes that one upload may have: they are kept and told with every HEAD.
const KEYS_MAX: usize = 64;
const BYTES_MAX: usize = 8 << 10;

/// What the metadata says of the image: `filename` (or `name`), `imageId`, `format`, `md5` and `sha256` in hex. All other keys are
/// the client's own. Empty metadata is none: some clients send that.
pub(super) fn read(header: &str) -> Result<Wishes, Fault> {
    let mut wishes = Wishes::default();
    if header.trim().is_empty() {
        return Ok(wishes);
    }
    if header.len() > BYTES_MAX {
        return Err(bad(format!("it may have {BYTES_MAX} bytes")).into());
    }
    let (mut seen, mut second_name) = (Vec::new(), None);
    for pair in header.split(',') {
        let (key, encoded) = pair.trim().split_once(' ').unwrap_or((pair.trim(), ""));
        let is_plain = key.bytes().all(|b| b.is_ascii_graphic());
        if key.is_empty() || !is_plain {
            return Err(bad("a key is empty, or holds a blank or what is not ASCII").into());
        }
        if seen.contains(&key) {
            return Err(bad(format!("the key [{}] is there twice", shown(key))).into());
        }
        seen.push(key);
        if seen.len() > KEYS_MAX {
            return Err(bad(format!("it may have {KEYS_MAX} keys")).into());
        }
        let value = STANDARD.decode(encoded.trim());
        let value = value.map_err(|_| {
            bad(format!("the value of [{}] is not Base64 with its padding", shown(key)))
        })?;
        let text = || {
            let words = format!("the value of [{}] is not UTF-8", shown(key));
            String::from_utf8(value.clone()).map_err(|_| bad(words))
        };
        match key {
            "filename" => wishes.name = Some(base_name(&text()?)),
            "name" => second_name = Some(base_name(&text()?)),
            "imageId" => wishes.image_id = Some(text()?.parse::<ImageId>()?),
            "format" => wishes.format = Some(text()?.to_ascii_lowercase()),
            "md5" => wishes.expected.md5 = Some(digest(key, &text()?)?),
            "sha256" => wishes.expected.sha256 = Some(digest(key, &text()?)?),
            _ => {}
        }
    }
    wishes.name = wishes.name.or(second_name);
    wishes.client_metadata = Some(header.to_owned());
    Ok(wishes)
}

fn digest<const N: usize>(key: &str, text: &str) -> Result<[u8; N], BadHeader> {
    hex_bytes(text).ok_or_else(|| bad(format!("the value of [{key}] is not such a digest in hex")))
}

/// A file name without the folders that some browsers send before it, and without what no name needs.
fn base_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    last.chars().filter(|c| !c.is_control()).collect()
}

fn bad(words: impl Into<String>) -> BadHeader {
    BadHeader::new(UPLOAD_METADATA, words)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pair(key: &str, value: &str) -> String {
        format!("{key} {}", STANDARD.encode(value))
    }

    #[test]
    fn known_keys_become_wishes_and_all_of_it_is_kept() {
        let header = [
            pair("name", "other"),
            pair("filename", "C:\\images\\debian 12.qcow2"),
            pair("imageId", "a/b"),
            pair("format", "QCOW2"),
            pair("md5", "d41d8cd98f00b204e9800998ecf8427e"),
            pair("filetype", "application/x-qemu-disk"),
            "is_confidential".to_owned(),
        ]
        .join(",");
        let wishes = read(&header).unwrap();
        assert_eq!(wishes.name.as_deref(), Some("debian 12.qcow2"));
        assert_eq!(wishes.image_id.as_ref().map(ImageId::as_str), Some("a/b"));
        assert_eq!(wishes.format.as_deref(), Some("qcow2"));
        assert!(wishes.expected.md5.is_some() && wishes.expected.sha256.is_none());
        assert_eq!(wishes.client_metadata, Some(header));
        assert_eq!(read(&pair("name", "b")).unwrap().name.as_deref(), Some("b"));
        assert_eq!(read("").unwrap(), Wishes::default());
        assert_eq!(read(" ").unwrap(), Wishes::default());
    }

    #[test]
    fn what_is_not_metadata_is_refused_by_name() {
        let many: Vec<_> = (0..65).map(|n| format!("k{n}")).collect();
        for bad in [
            "filename Zm9",
            "filename Zm9v=",
            "filename *",
            "filename Zm9v,filename Zm9v",
            "filename Zm9v,,b",
            ",",
            "k\u{e9} Zm9v",
            "a b c",
            &pair("md5", "xyz"),
            &pair("imageId", ""),
            "filename /w==",
            &many.join(","),
            &format!("a {}", "A".repeat(9 << 10)),
        ] {
            let fault = read(bad).unwrap_err();
            assert!(matches!(fault, Fault::Header(_) | Fault::ImageId(_)), "{bad}: {fault}");
        }
        assert!(read(&many[..64].join(",")).is_ok());
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(header in "\\PC{0,60}|((filename|md5|imageId|a)( [A-Za-z0-9+/=]{0,9})?,?){0,5}") {
            if let Ok(wishes) = read(&header) && let Some(kept) = wishes.client_metadata {
                prop_assert_eq!(kept, header);
            }
        }
    }
}
