//! Which upload a request means, and by what right.

use actix_web::HttpRequest;
use percent_encoding::percent_decode_str;

use super::{
    App,
    caller::caller,
    headers::{BadHeader, text},
    problem::Fault,
};
use crate::{
    domain::{account::Caller, ids::ImageUuid, image_id::ImageId, upload::UploadRecord},
    uploads::UploadError,
};

/// The image that a slice is for, as ZStack's clients name it.
pub const X_IMAGE_UUID: &str = "x-image-uuid";
/// What the keyed form of the upload URL begins with.
const KEYED: &str = "uploadImage::";

/// By what right a request speaks of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// It has the upload's URL.
    Capability,
    /// It has a session that may see the upload.
    Session(Caller),
}

/// An upload that a request may speak of.
#[derive(Debug, Clone)]
pub struct Target {
    /// The upload, whatever has become of it.
    pub record: UploadRecord,
    /// The right.
    pub right: Right,
}

/// `/imagestore/upload/<capability>` or `/imagestore/upload/uploadImage::<IMAGE_ID>`.
pub async fn of_path(app: &App, request: &HttpRequest) -> Result<Target, Fault> {
    let segment = last_segment(request.uri().path()).ok_or(UploadError::NotFound)?;
    let target = if let Some(image_id) = segment.strip_prefix(KEYED) {
        let caller = caller(app, request).await?;
        let image_id: ImageId = image_id.parse()?;
        let live = app.jobs.live_upload(caller, &image_id).await?;
        let record = app.uploads.record(live.ok_or(UploadError::NotFound)?).await?;
        Target { record, right: Right::Session(caller) }
    } else {
        let record = of_capability(app, &segment).await?.ok_or(UploadError::NotFound)?;
        Target { record, right: Right::Capability }
    };
    check_named_image(request, &target)?;
    Ok(target)
}

/// The upload whose URL ends in `segment`; `None` where no URL that is valid does.
pub async fn of_capability(app: &App, segment: &str) -> Result<Option<UploadRecord>, Fault> {
    let Some(read) = app.capabilities.read(segment) else { return Ok(None) };
    match app.uploads.record(read.upload).await {
        Ok(record) => Ok(Some(record).filter(|now| now.url_generation == read.generation)),
        Err(UploadError::NotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// `/imagestore/upload` with `X-IMAGE-UUID` and a session.
pub async fn of_header(app: &App, request: &HttpRequest) -> Result<Target, Fault> {
    let caller = caller(app, request).await?;
    let image = named_image(request)?.ok_or_else(|| {
        BadHeader::new(X_IMAGE_UUID, "name the image, or use the upload URL of the job")
    })?;
    let record = app.uploads.of_image(caller, image).await?;
    Ok(Target { record, right: Right::Session(caller) })
}

/// The last segment of a path, percent-decoded once; `None` if it is not UTF-8.
pub fn last_segment(path: &str) -> Option<String> {
    let (_, segment) = path.rsplit_once('/')?;
    percent_decode_str(segment).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

fn named_image(request: &HttpRequest) -> Result<Option<ImageUuid>, BadHeader> {
    let Some(value) = text(request.headers(), X_IMAGE_UUID)? else { return Ok(None) };
    let uuid = value.parse::<ImageUuid>();
    uuid.map(Some).map_err(|error| BadHeader::new(X_IMAGE_UUID, error.to_string()))
}

fn check_named_image(request: &HttpRequest, target: &Target) -> Result<(), BadHeader> {
    match named_image(request)? {
        Some(image) if image != target.record.image => {
            Err(BadHeader::new(X_IMAGE_UUID, "the URL belongs to an upload of another image"))
        }
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_decoded_once() {
        for (path, segment) in [
            ("/imagestore/upload/v1.a.b", Some("v1.a.b")),
            ("/imagestore/upload/uploadImage::a%2Fb%20c", Some("uploadImage::a/b c")),
            ("/imagestore/upload/uploadImage%3A%3Ax", Some("uploadImage::x")),
            ("/uploads/%252e", Some("%2e")),
            ("/uploads/a+b", Some("a+b")),
            ("/uploads/%ff", None),
            ("/uploads/", Some("")),
        ] {
            assert_eq!(last_segment(path).as_deref(), segment, "{path}");
        }
    }
}
