//! Capabilities in paths: whoever reads a log must not be able to upload.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// What a capability begins with, after a slash.
const CAPABILITY: &str = "v1.";
/// Shorter than an identifier and a MAC can be: an image named `v1.2` is not a secret.
const CAPABILITY_BYTES_MIN: usize = 40;
/// How often a text may be percent-encoded. What is still encoded then is shown to nobody.
const ENCODINGS_MAX: usize = 8;

/// A request's path and query as it may be logged: each capability is replaced by `[capability]`, and so is the value of each
/// query parameter (they carry sessions and download capabilities). IMAGE_IDs and uuids stay, because people search for them.
pub fn redact_path(path_and_query: &str) -> Cow<'_, str> {
    let (path, query) = match path_and_query.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path_and_query, None),
    };
    if query.is_none() && !path.split('/').any(is_capability) {
        return Cow::Borrowed(path_and_query);
    }
    let mut redacted: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        redacted.push(if is_capability(segment) { "[capability]" } else { segment });
    }
    let mut shown = redacted.join("/");
    if let Some(query) = query {
        let parameters = query.split('&').map(|parameter| match parameter.split_once('=') {
            Some((name, value)) if holds_a_secret(name, value) => format!("{name}=[redacted]"),
            _ => parameter.to_owned(),
        });
        shown.push('?');
        shown.push_str(&parameters.collect::<Vec<_>>().join("&"));
    }
    Cow::Owned(shown)
}

fn is_capability(segment: &str) -> bool {
    // Also behind a slash that is encoded itself.
    fully_decoded(segment).is_none_or(|text| {
        let start = |part: &str| part.get(..3).is_some_and(|s| s.eq_ignore_ascii_case(CAPABILITY));
        text.split('/').any(|part| part.len() > CAPABILITY_BYTES_MIN && start(part))
    })
}

/// The text without percent-encoding, however often it was encoded: a proxy or a confused client may have done so once more than the
/// router undoes it, and a secret that leads nowhere today is a secret all the same. `None` if it does not come to an end.
pub fn fully_decoded(text: &str) -> Option<String> {
    let mut text = text.to_owned();
    for _ in 0..ENCODINGS_MAX {
        let decoded = percent_decode_str(&text).decode_utf8_lossy().into_owned();
        if decoded == text {
            return Some(text);
        }
        text = decoded;
    }
    None
}

/// ZStack's queries (`q`, `sort`, ...) are worth reading; everything else may be a key.
fn holds_a_secret(name: &str, value: &str) -> bool {
    let harmless = ["q", "limit", "start", "sort", "count", "replyWithCount", "fields", "marker"];
    let holds = |text: String| text.to_ascii_lowercase().contains(CAPABILITY);
    !harmless.contains(&name) || fully_decoded(value).is_none_or(holds)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "v1.k1.3q2-7wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    #[test]
    fn a_capability_never_reaches_a_log() {
        let path = format!("/imagestore/upload/{KEY}");
        assert_eq!(redact_path(&path), "/imagestore/upload/[capability]");
        let longer = format!("/imagestore/upload/{KEY}/more");
        assert_eq!(redact_path(&longer), "/imagestore/upload/[capability]/more");
        let encoded = path.replace("v1.", "v1%2E");
        assert_eq!(redact_path(&encoded), "/imagestore/upload/[capability]");
        for (once, twice) in [
            ("v1.", "v1%252E"),
            ("v1.", "%2576%2531."),
            ("/v1.", "%2Fv1."),
            ("/v1.", "%252Fv1%252e"),
        ] {
            let path = path.replace(once, twice);
            assert!(!redact_path(&path).contains("3q2-7w"), "{path} became {}", redact_path(&path));
        }
        let mut deep = KEY.replace('.', "%2E");
        for _ in 0..20 {
            deep = deep.replace('%', "%25");
        }
        assert_eq!(redact_path(&format!("/{deep}")), "/[capability]", "nobody encodes so often");
        assert_eq!(redact_path(&format!("/x?q={}", KEY.replace('.', "%252E"))), "/x?q=[redacted]");
        let elsewhere = format!("//images/x/{KEY}");
        assert_eq!(redact_path(&elsewhere), "//images/x/[capability]");
    }

    #[test]
    fn query_values_are_hidden_unless_they_are_conditions() {
        let download = format!("/images/7f/content?capability={KEY}&x=1");
        assert_eq!(redact_path(&download), "/images/7f/content?capability=[redacted]&x=[redacted]");
        let query = "/zstack/v1/longjobs?q=state=Running&limit=5";
        assert_eq!(redact_path(query), query);
        assert_eq!(redact_path(&format!("/x?q={KEY}")), "/x?q=[redacted]");
    }

    #[test]
    fn what_people_search_for_stays() {
        for path in [
            "/imagestore/upload/uploadImage::ls1-00ff",
            "/uploads/v1.2-disk.qcow2",
            "/",
            "/uploads/a%2Fb%25.raw",
        ] {
            assert_eq!(redact_path(path), path);
        }
    }
}
