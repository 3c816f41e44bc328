//! `Upload-Concat`: uploads that are parts, and the upload that is made of them.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{HeaderMap, LOCATION},
};

use super::{InsertSome, UPLOAD_LENGTH, UPLOAD_OFFSET, create::DEFER_LENGTH, in_order, request};
use crate::{
    accounts::Capability,
    domain::{
        account::Caller,
        ids::UploadUuid,
        upload::{Completion, UploadKind, UploadRecord},
    },
    http::{
        App,
        body::RequestBody,
        headers::{BadHeader, text},
        problem::Fault,
        resumable::{Wishes, expires, location, new_job, of_creation},
        target::{last_segment, of_capability},
    },
    uploads::{PartFault, Slice, UploadError, check_part_count},
};

/// Name of the header.
pub(super) const UPLOAD_CONCAT: &str = "upload-concat";

/// What the header of a final upload begins with.
const FINAL: &str = "final;";
/// Longest list of parts that HEAD tells again. Proxies refuse answers whose headers are larger than a page or two of memory, node
/// those above 16 KiB, and both then fail a question that has to be answered: with 256 parts they were 35 KiB. tus wants the list as it
/// was sent; no client is known that reads it.
const SHOWN_BYTES_MAX: usize = 2 << 10;

/// What a creation says of parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Concat {
    /// It is one.
    Partial,
    /// It is made of the uploads with these URLs, in this order.
    Final(Vec<String>),
}

/// Reads the header; `None` if it is not there.
pub(super) fn read(headers: &HeaderMap) -> Result<Option<Concat>, BadHeader> {
    let Some(value) = text(headers, UPLOAD_CONCAT)? else { return Ok(None) };
    let bad = |words: &str| BadHeader::new(UPLOAD_CONCAT, words);
    if value.trim() == "partial" {
        return Ok(Some(Concat::Partial));
    }
    let Some(urls) = value.trim().strip_prefix(FINAL) else {
        return Err(bad("it is partial, or final; and the URLs of the partial uploads"));
    };
    let urls: Vec<_> = urls.split_ascii_whitespace().map(str::to_owned).collect();
    if urls.is_empty() {
        return Err(bad("name the URLs of the partial uploads, with a blank between two"));
    }
    Ok(Some(Concat::Final(urls)))
}

/// Makes a partial upload, perhaps with its first bytes.
pub(super) async fn create_partial(
    app: &App,
    request: &HttpRequest,
    by: Caller,
    wishes: Wishes,
    first: Option<Slice>,
    body: &mut RequestBody,
) -> Result<HttpResponse, Fault> {
    let made = app.jobs.create_partial(by, wishes.length, wishes.client_metadata).await?;
    let (mut now, mut offset) = (made.clone(), None);
    let answered = async {
        let url = location(app, request, &made)?;
        if let Some(slice) = first {
            let append = in_order(slice);
            match app.uploads.append_partial(made.uuid, append, body).await {
                Ok(status) => (now, offset) = (status.record, Some(status.offset)),
                // It is kept: the client goes on at its URL.
                Err(UploadError::Draining { offset: kept }) => offset = Some(kept),
                Err(error) => return Err(error.into()),
            }
        }
        Ok::<_, Fault>(url)
    };
    let url = match answered.await {
        Ok(url) => url,
        Err(fault) => {
            if let Err(error) = app.jobs.discard_partial(&made).await {
                tracing::warn!(upload = %made.uuid, %error, "a partial upload whose first bytes were refused could not be removed; it expires");
            }
            return Err(of_creation(fault));
        }
    };
    let mut response = HttpResponse::Created();
    response.insert_header((LOCATION, url));
    if let Some(offset) = offset {
        response.insert_header((UPLOAD_OFFSET, offset));
    }
    Ok(response.insert_some(("upload-expires", expires(app, &now))).finish())
}

/// Makes the upload that is joined from others: its job puts them together after the answer.
pub(super) async fn create_final(
    app: &App,
    request: &HttpRequest,
    by: Caller,
    wishes: Wishes,
    urls: &[String],
) -> Result<HttpResponse, Fault> {
    for header in [UPLOAD_LENGTH, DEFER_LENGTH] {
        if request.headers().contains_key(header) {
            let words =
                "an upload that is joined has the length of its parts; leave this header out";
            return Err(BadHeader::new(header, words).into());
        }
    }
    if request::first_bytes(request)?.is_some_and(|slice| slice.length != Some(0)) {
        let words = "an upload that is joined takes no bytes; send none";
        return Err(BadHeader::new("content-length", words).into());
    }
    check_part_count(urls.len())?;
    let mut parts = Vec::with_capacity(urls.len());
    for (at, url) in urls.iter().enumerate() {
        let missing = UploadError::Part { number: at + 1, fault: PartFault::Missing };
        parts.push(named(app, url).await?.ok_or(missing)?.uuid);
    }
    let job = new_job(wishes, Completion::ByLength);
    let record = app.jobs.submit_joined(by, job, parts).await?;
    let url = location(app, request, &record)?;
    let mut response = HttpResponse::Created();
    response.insert_header((LOCATION, url));
    Ok(response.insert_some(("upload-expires", expires(app, &record))).finish())
}

/// The upload with this URL, absolute or a path. Whose it is, and what it is, the uploads know.
async fn named(app: &App, url: &str) -> Result<Option<UploadRecord>, Fault> {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    match last_segment(path) {
        Some(segment) => of_capability(app, &segment).await,
        None => Ok(None),
    }
}

/// The header as HEAD tells it again: the parts by references that are relative to the URL that is asked, in at most
/// [`SHOWN_BYTES_MAX`]; the word `final` alone where they are too many for that.
pub(super) fn show(app: &App, record: &UploadRecord) -> Option<String> {
    match record.kind {
        UploadKind::Whole => None,
        UploadKind::Partial => Some("partial".to_owned()),
        UploadKind::Joined => {
            // Of partial uploads no URL is ever revoked.
            let generation = UploadRecord::FIRST_URL_GENERATION;
            let reference = |part: &UploadUuid| {
                app.capabilities.issue(Capability { upload: *part, generation })
            };
            let parts: Vec<_> = record.parts.iter().map(reference).collect();
            Some(shown(&parts))
        }
    }
}

fn shown(parts: &[String]) -> String {
    let list = format!("{FINAL}{}", parts.join(" "));
    if list.len() > SHOWN_BYTES_MAX { "final".to_owned() } else { list }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    fn headers(value: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let name = HeaderName::from_static(UPLOAD_CONCAT);
        headers.insert(name, HeaderValue::from_static(value));
        headers
    }

    #[test]
    fn what_is_told_again_is_a_list_or_the_word_alone() {
        let parts = |count: usize| vec!["v1.0123456789abcdef.x".to_owned(); count];
        assert_eq!(shown(&parts(2)), format!("final;{0} {0}", parts(1)[0]));
        let most = (1..300).filter(|count| shown(&parts(*count)).len() > 5).max();
        assert_eq!(most, Some((SHOWN_BYTES_MAX - 5) / 22));
        assert!((1..300).all(|count| shown(&parts(count)).len() <= SHOWN_BYTES_MAX));
        assert_eq!(shown(&parts(256)), "final");
    }

    #[test]
    fn the_header_is_read_strictly() {
        assert_eq!(read(&HeaderMap::new()).unwrap(), None);
        assert_eq!(read(&headers("partial")).unwrap(), Some(Concat::Partial));
        let two = Concat::Final(vec!["/a".to_owned(), "http://b/c".to_owned()]);
        assert_eq!(read(&headers("final;/a http://b/c")).unwrap(), Some(two.clone()));
        assert_eq!(read(&headers("final; /a   http://b/c ")).unwrap(), Some(two));
        for bad in
            ["", "final", "final;", "final; ", "Partial", "partial;/a", "finally;/a", "whole"]
        {
            assert!(read(&headers(bad)).is_err(), "{bad}");
        }
    }
}
