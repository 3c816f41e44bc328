//! Capabilities in paths: whoever reads a log must not be able to upload.

use std::borrow::Cow;

/// What a capability begins with, after a slash.
const CAPABILITY: &str = "v1.";
/// Prefixes of a path segment that is a secret. Percent-encoding would hide `v1.` from a plain comparison.
const ENCODED: [&str; 4] = ["v1.", "v1%2e", "v%31", "%76"];

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
    let start = segment.to_ascii_lowercase();
    // Shorter than an identifier and a MAC can be: an image named `v1.2` is not a secret.
    ENCODED.iter().any(|prefix| start.starts_with(prefix)) && segment.len() > 40
}

/// ZStack's queries (`q`, `sort`, ...) are worth reading; everything else may be a key.
fn holds_a_secret(name: &str, value: &str) -> bool {
    let harmless = ["q", "limit", "start", "sort", "count", "replyWithCount", "fields", "marker"];
    !harmless.contains(&name) || value.contains(CAPABILITY)
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
        for path in ["/imagestore/upload/uploadImage::ls1-00ff", "/uploads/v1.2-disk.qcow2", "/"] {
            assert_eq!(redact_path(path), path);
        }
    }
}
