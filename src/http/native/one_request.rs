//! `PUT /uploads/<IMAGE_ID>`: a job, its bytes, its digests and a Ready image in one request. `curl -T` is enough.

use std::borrow::Cow;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web,
};
use percent_encoding::percent_decode_str;

use super::{PutHeaders, settle, show, write};
use crate::{
    domain::{
        add_image::AddImageRequest,
        ids::ApiId,
        image_id::{ImageId, InvalidImageId},
        job_state::JobState,
        upload::Completion,
    },
    http::{
        App,
        body::{BodyLimits, LimitedBody, RequestBody},
        caller::caller,
        headers::disposition,
        problem::{Fault, RequestFault},
        target::last_segment,
    },
    jobs::{Joined, NewJob, Put},
    uploads::{Replay, UploadError, Verdict, Written},
};

/// Longest name of an image.
const NAME_CHARS_MAX: usize = 255;

/// Handles the request.
pub(super) async fn put(
    app: web::Data<App>,
    request: HttpRequest,
    payload: web::Payload,
) -> HttpResponse {
    let mut body = LimitedBody::new(payload, BodyLimits::of(&app.settings));
    let answered = take(&app, &request, &mut body).await;
    settle(&app, &request, answered, &mut body).await
}

async fn take(
    app: &App,
    request: &HttpRequest,
    body: &mut RequestBody,
) -> Result<HttpResponse, Fault> {
    let caller = caller(app, request).await?;
    let segment = last_segment(request.uri().path()).ok_or(InvalidImageId::NotUtf8)?;
    let image_id: ImageId = segment.parse()?;
    let headers = PutHeaders::read(request)?;
    let wishes = Wishes::read(request)?;
    let new = wishes.new_job(&image_id, &headers);
    let mut body = Replay::new(body);
    let put = app.jobs.put_image(caller, image_id, new, &headers.slice, &mut body).await?;
    let (record, slice) = match put {
        Put::Ready(written) => return Ok(answer(&written)),
        Put::Goes(Joined::Live(record)) => {
            let slice = headers.slice_for(&record)?;
            (*record, slice)
        }
        Put::Goes(Joined::Made(view)) => (view.upload.ok_or(UploadError::NotFound)?, headers.slice),
    };
    Ok(answer(&write(app, record.uuid, slice, &mut body).await?))
}

fn answer(written: &Written) -> HttpResponse {
    let status = &written.status;
    let code = match written.verdict {
        Some(Verdict::Ready { .. }) => StatusCode::CREATED,
        // Another request made the image of the same bytes while this one waited.
        None if status.job.state == JobState::Succeeded => StatusCode::CREATED,
        Some(Verdict::Refused { .. } | Verdict::Failed { .. } | Verdict::Stopped { .. }) | None
            if status.length == Some(status.offset) =>
        {
            StatusCode::ACCEPTED
        }
        // A part of it, and the rest is still to come.
        Some(Verdict::Refused { .. } | Verdict::Failed { .. } | Verdict::Stopped { .. }) | None => {
            StatusCode::OK
        }
    };
    let mut response = show(code, status, written.verdict.as_ref());
    let location = format!("/images/{}/content", status.record.image).parse();
    if let (StatusCode::CREATED, Ok(location)) = (code, location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// What the client wants of the new image.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wishes {
    name: Option<String>,
    description: Option<String>,
    format: Option<String>,
    media_type: Option<String>,
    platform: Option<String>,
    architecture: Option<String>,
}

impl Wishes {
    fn read(request: &HttpRequest) -> Result<Self, Fault> {
        let mut wishes = Self::of_query(request.query_string())?;
        if wishes.name.is_none() {
            wishes.name = disposition::sent_name(request.headers())?;
        }
        Ok(wishes)
    }

    fn of_query(query: &str) -> Result<Self, RequestFault> {
        let mut wishes = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let slot = match key {
                "name" => &mut wishes.name,
                "description" => &mut wishes.description,
                "format" => &mut wishes.format,
                "mediaType" => &mut wishes.media_type,
                "platform" => &mut wishes.platform,
                "architecture" => &mut wishes.architecture,
                _ => {
                    return Err(RequestFault::Query(
                        "use name, description, format, mediaType, platform or architecture",
                    ));
                }
            };
            let value = value.replace('+', " ");
            let value = percent_decode_str(&value).decode_utf8().map(Cow::into_owned);
            let value = value.map_err(|_| RequestFault::Query("it is not UTF-8"))?;
            if slot.replace(value).is_some() {
                return Err(RequestFault::Query("a field is given twice"));
            }
        }
        Ok(wishes)
    }

    fn new_job(self, image_id: &ImageId, headers: &PutHeaders) -> NewJob {
        let shortened = |text: &str| text.chars().take(NAME_CHARS_MAX).collect::<String>();
        let name = self.name.unwrap_or_else(|| shortened(image_id.as_str()));
        NewJob {
            uuid: None,
            name: Some(name.clone()),
            description: None,
            image: AddImageRequest {
                url: Some(format!("upload://{}", shortened(&name))),
                name: Some(name),
                description: self.description,
                format: Some(self.format.unwrap_or_else(|| "auto".to_owned())),
                media_type: self.media_type,
                platform: self.platform,
                architecture: self.architecture,
                ..AddImageRequest::default()
            },
            system_tags: vec![format!("uploadImage::{image_id}")],
            user_tags: Vec::new(),
            api_id: ApiId::random(),
            completion: Completion::ByLength,
            expected: headers.expected,
            length: headers.slice.total,
            client_metadata: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_says_what_the_image_is() {
        let wishes = Wishes::of_query("name=debian%2012+x&format=qcow2").unwrap();
        assert_eq!(wishes.name.as_deref(), Some("debian 12 x"));
        assert_eq!(wishes.format.as_deref(), Some("qcow2"));
        assert_eq!(Wishes::of_query("").unwrap(), Wishes::default());
        for bad in ["nmae=x", "name=a&name=b", "name=%ff"] {
            assert!(Wishes::of_query(bad).is_err(), "{bad}");
        }
    }
}
