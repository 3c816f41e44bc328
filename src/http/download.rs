//! `GET /images/<uuid>/content`: the bytes of a Ready image, whole or in part.

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    body::SizedStream,
    http::{Method, StatusCode, header},
    web,
};
use futures::{StreamExt, stream};

use super::{
    App,
    caller::caller,
    headers::{digest, disposition::attachment, etag, list, range, text},
    problem::{self, Fault, RequestFault},
    refuse_method,
    request_id::RequestId,
    routes::{Table, at, get, head},
};
use crate::{
    domain::{account::Caller, ids::ImageUuid, image::ImageRecord},
    uploads::{ReadyImage, UploadError},
};

/// The download.
pub(super) fn routes() -> Table {
    Table::flat(refuse_method)
        .service(at("/images/{uuid}/content", [get().to(content), head().to(content)]))
}

async fn content(
    app: web::Data<App>,
    request: HttpRequest,
    uuid: web::Path<String>,
) -> HttpResponse {
    let answered = send(&app, &request, &uuid).await;
    answered.unwrap_or_else(|fault| problem::answer(&fault, RequestId::of(&request)))
}

async fn send(app: &App, request: &HttpRequest, uuid: &str) -> Result<HttpResponse, Fault> {
    let caller = caller(app, request).await?;
    let uuid: ImageUuid = uuid.parse().map_err(|_| RequestFault::NoImage)?;
    let found = app.uploads.ready_image(caller, uuid).await;
    let found = found.map_err(|error| match error {
        UploadError::NotFound => Fault::from(RequestFault::NoImage),
        other => other.into(),
    })?;
    answer(app, request, caller, &found)
}

/// The bytes that a request asks for, of an image that the reader may see.
pub(super) fn answer(
    app: &App,
    request: &HttpRequest,
    reader: Caller,
    found: &ReadyImage,
) -> Result<HttpResponse, Fault> {
    let (image, length) = (&found.record, found.length);
    let (tag, uuid) = (entity_tag(image), image.uuid);
    let plan = Plan::of(request, length, &tag)?;
    let mut response = HttpResponse::build(plan.status());
    describe(&mut response, image, &tag);
    let range = match plan {
        Plan::Unchanged | Plan::Changed => return Ok(response.finish()),
        Plan::Unsatisfiable => {
            response.insert_header((header::CONTENT_RANGE, format!("bytes */{length}")));
            return Ok(response.finish());
        }
        Plan::Part(range) => {
            let (first, last) = (range.start, range.end - 1);
            response
                .insert_header((header::CONTENT_RANGE, format!("bytes {first}-{last}/{length}")));
            range
        }
        Plan::Whole => 0..length,
    };
    let bytes = range.end - range.start;
    if *request.method() == Method::HEAD {
        return Ok(
            response.body(SizedStream::new(bytes, stream::empty::<Result<_, UploadError>>()))
        );
    }
    let id = RequestId::of(request);
    let stream = app.uploads.image_bytes(reader, found, range)?.inspect(move |block| {
        // Too late for a status: the connection is closed before the announced end, and the client sees that.
        if let Err(error) = block {
            tracing::warn!(request_id = %id, image = %uuid, %error, "a download broke off");
        }
    });
    Ok(response.body(SizedStream::new(bytes, Box::pin(stream))))
}

/// What a request for an image is answered with.
#[derive(Debug, PartialEq, Eq)]
enum Plan {
    Whole,
    Part(std::ops::Range<u64>),
    Unsatisfiable,
    Unchanged,
    Changed,
}

impl Plan {
    fn of(request: &HttpRequest, length: u64, tag: &str) -> Result<Self, Fault> {
        let headers = request.headers();
        if list(headers, "if-match")?.is_some_and(|tags| !etag::any_matches(&tags, tag)) {
            return Ok(Self::Changed);
        }
        if list(headers, "if-none-match")?.is_some_and(|tags| etag::any_matches(&tags, tag)) {
            return Ok(Self::Unchanged);
        }
        // A range means nothing to HEAD (RFC 9110 14.2); one with a tag of other bytes is not honoured.
        let header = text(headers, "range")?.filter(|_| *request.method() == Method::GET);
        let holds = etag::if_range_holds(text(headers, "if-range")?, tag);
        Ok(match range::wanted(header.filter(|_| holds), length) {
            range::Wanted::Whole => Self::Whole,
            range::Wanted::Part(range) => Self::Part(range),
            range::Wanted::Unsatisfiable => Self::Unsatisfiable,
        })
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::Whole => StatusCode::OK,
            Self::Part(_) => StatusCode::PARTIAL_CONTENT,
            Self::Unsatisfiable => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::Unchanged => StatusCode::NOT_MODIFIED,
            Self::Changed => StatusCode::PRECONDITION_FAILED,
        }
    }
}

/// Strong: the content never changes under it. A uuid alone would not say that: a job that runs again makes another image under it.
fn entity_tag(image: &ImageRecord) -> String {
    image.sha256.as_ref().map_or_else(
        || format!("\"{}-{}\"", image.uuid, image.created_ms),
        |sha256| format!("\"{sha256}\""),
    )
}

/// The headers that go with every answer about an image. Users' bytes are never shown as a page.
fn describe(response: &mut HttpResponseBuilder, image: &ImageRecord, tag: &str) {
    response
        .insert_header((header::ETAG, tag))
        .insert_header((header::ACCEPT_RANGES, "bytes"))
        .insert_header((header::CACHE_CONTROL, "private, no-transform"))
        .insert_header((header::CONTENT_TYPE, "application/octet-stream"))
        .insert_header((header::CONTENT_DISPOSITION, attachment(&file_name(image))))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::CONTENT_SECURITY_POLICY, "sandbox"));
    if let Some(digest) = digest::render(image.md5.as_deref(), image.sha256.as_deref()) {
        response.insert_header(("Repr-Digest", digest));
    }
}

/// The image's name with the extension of its format.
fn file_name(image: &ImageRecord) -> String {
    let extension = format!(".{}", image.format);
    let name = image.name.trim();
    let has_it = name.len() >= extension.len()
        && name.as_bytes()[name.len() - extension.len()..]
            .eq_ignore_ascii_case(extension.as_bytes());
    if has_it || image.format.is_empty() { name.to_owned() } else { format!("{name}{extension}") }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn plan(pairs: &[(&'static str, &'static str)]) -> Plan {
        let mut request = TestRequest::get();
        for pair in pairs {
            request = request.append_header(*pair);
        }
        Plan::of(&request.to_http_request(), 10, "\"abc\"").unwrap()
    }

    #[test]
    fn conditions_come_before_ranges() {
        let range = ("range", "bytes=2-4");
        for (pairs, expected) in [
            (vec![], Plan::Whole),
            (vec![range], Plan::Part(2..5)),
            (vec![("range", "bytes=10-")], Plan::Unsatisfiable),
            (vec![("range", "bytes=0-1,4-5")], Plan::Whole),
            (vec![range, ("if-range", "\"abc\"")], Plan::Part(2..5)),
            (vec![range, ("if-range", "\"old\"")], Plan::Whole),
            (vec![range, ("if-none-match", "\"abc\"")], Plan::Unchanged),
            (vec![range, ("if-none-match", "\"old\"")], Plan::Part(2..5)),
            (vec![range, ("if-match", "\"old\"")], Plan::Changed),
            (vec![range, ("if-match", "\"old\", \"abc\"")], Plan::Part(2..5)),
        ] {
            assert_eq!(plan(&pairs), expected, "{pairs:?}");
        }
        let head =
            TestRequest::default().method(Method::HEAD).insert_header(range).to_http_request();
        assert_eq!(Plan::of(&head, 10, "\"abc\"").unwrap(), Plan::Whole);
    }

    #[test]
    fn another_image_under_the_same_uuid_has_another_tag() {
        let image = |created_ms, sha256: Option<&str>| ImageRecord {
            uuid: "0123456789ab4def8123456789abcdef".parse().unwrap(),
            account: crate::domain::ids::AccountUuid::random(),
            name: "debian".to_owned(),
            description: None,
            enabled: true,
            status: crate::domain::image::ImageStatus::Ready,
            size: 1,
            actual_size: 1,
            md5: None,
            sha256: sha256.map(str::to_owned),
            url: "upload://d".to_owned(),
            media_type: crate::domain::image::MediaType::RootVolumeTemplate,
            guest_os_type: None,
            platform: "Linux".to_owned(),
            architecture: None,
            format: "raw".to_owned(),
            system: false,
            virtio: true,
            storage: crate::domain::ids::StorageUuid::random(),
            created_ms,
            last_op_ms: created_ms,
            deleted_ms: None,
            inspection: None,
        };
        let (first, second) = (entity_tag(&image(1, None)), entity_tag(&image(2, None)));
        assert_ne!(first, second, "it was made anew by another run");
        assert_eq!(first, entity_tag(&image(1, None)));
        // What the content is goes before when it came.
        assert_eq!(entity_tag(&image(1, Some("ab"))), entity_tag(&image(2, Some("ab"))));
    }
}
