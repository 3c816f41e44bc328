//! `GET /v1/events`: server-sent events, read by the page with fetch so that the session goes along.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use bytes::Bytes;
use futures::stream;
use tokio::time::Instant;

use crate::{
    http::{
        App,
        caller::caller,
        headers::digits,
        problem::{self, Fault},
        request_id::RequestId,
    },
    jobs::{Heard, Listener},
    uploads::{Party, UploadError},
    wire::page::{Event, JobNews},
};

/// Then the page comes again: so a session that has ended ends its stream, and a proxy sees no request without an end.
const STREAM_MAX: Duration = Duration::from_mins(5);
/// Without news a line is sent this often, so that nobody in between takes the connection for dead.
const BEAT: Duration = Duration::from_secs(15);

/// The news of the caller's jobs and images. `?for=SECONDS` shortens the stream.
pub(super) async fn events(app: web::Data<App>, request: HttpRequest) -> HttpResponse {
    match begin(&app, &request).await {
        Ok(answer) => answer,
        Err(fault) => problem::answer(&fault, RequestId::of(&request)),
    }
}

async fn begin(app: &App, request: &HttpRequest) -> Result<HttpResponse, Fault> {
    let caller = caller(app, request).await?;
    let admission = app.uploads.admit_request(Party::Account(caller.account))?;
    let too_many = || UploadError::TooManyRequests { max: crate::jobs::LISTENERS_MAX };
    let listener = app.jobs.listen(caller).ok_or_else(too_many)?;
    let until = Instant::now() + wanted(request.query_string()).min(STREAM_MAX);
    let first = Some((listener, until, admission));
    // The first line at once: the page knows by it that it listens, and asks for what was before.
    let hello =
        stream::iter([Ok::<_, std::convert::Infallible>(Bytes::from_static(b": listening\n\n"))]);
    let news = stream::unfold(first, |state| async move {
        let (mut listener, until, admission) = state?;
        let (line, is_last) = next_line(&mut listener, until).await?;
        Some((Ok(line), (!is_last).then_some((listener, until, admission))))
    });
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/event-stream"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        // nginx would gather events otherwise.
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(futures::StreamExt::chain(hello, news)))
}

fn wanted(query: &str) -> Duration {
    let seconds = query.split('&').find_map(|pair| pair.strip_prefix("for="));
    seconds.and_then(digits).map_or(STREAM_MAX, Duration::from_secs)
}

/// The next line and whether it is the last; `None` once the time is over.
async fn next_line(listener: &mut Listener, until: Instant) -> Option<(Bytes, bool)> {
    if Instant::now() >= until {
        return None;
    }
    let event = match listener.next(until.min(Instant::now() + BEAT)).await {
        Heard::Nothing => return Some((Bytes::from_static(b": still here\n\n"), false)),
        Heard::Stopping => return Some((Bytes::from_static(b": stopping\n\n"), true)),
        Heard::Behind => Event { jobs: Vec::new(), images: true, all: true },
        Heard::Changes { jobs, images } => {
            let jobs = jobs.into_iter().map(|(job, state)| JobNews {
                job: job.to_string(),
                state: state.name().to_owned(),
            });
            Event { jobs: jobs.collect(), images, all: false }
        }
    };
    let json = serde_json::to_string(&event).unwrap_or_default();
    Some((format!("data: {json}\n\n").into(), false))
}
