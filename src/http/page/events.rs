//! `GET /v1/events`: server-sent events, read by the page with fetch so that the session goes along.
//!
//! *Guarantees.* A stream tells what its account may see, and only as long as whoever asked may ask: what they show is looked at again with
//! each beat. It ends after five minutes, or when its reader takes nothing for a beat, and then leaves its place, whatever becomes of
//! the connection.

use std::{convert::Infallible, time::Duration};

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use bytes::Bytes;
use futures::stream;
use tokio::{
    sync::mpsc::{Receiver, Sender, channel},
    time::{Instant, timeout_at},
};

use crate::{
    accounts::Proof,
    domain::account::Caller,
    http::{
        App,
        caller::caller_by,
        headers::digits,
        problem::{self, Fault},
        request_id::RequestId,
    },
    jobs::{Heard, Listener},
    uploads::{Admission, Party, UploadError},
    wire::page::{Event, JobNews},
};

/// Then the page comes again: a proxy sees no request without an end.
const STREAM_MAX: Duration = Duration::from_mins(5);
/// Without news a line is sent this often, so that nobody in between takes the connection for dead. So often the session is looked up.
const BEAT: Duration = Duration::from_secs(15);
/// Lines that wait for a slow reader. What comes meanwhile is gathered.
const LINES_WAITING_MAX: usize = 2;

/// The news of the caller's jobs and images. `?for=SECONDS` shortens the stream.
pub(super) async fn events(app: web::Data<App>, request: HttpRequest) -> HttpResponse {
    match begin(&app, &request).await {
        Ok(answer) => answer,
        Err(fault) => problem::answer(&fault, RequestId::of(&request)),
    }
}

async fn begin(app: &App, request: &HttpRequest) -> Result<HttpResponse, Fault> {
    let (caller, proof) = caller_by(app, request).await?;
    let admission = app.uploads.admit_request(Party::Account(caller.account))?;
    let listener = app.jobs.listen(caller).map_err(|full| UploadError::TooManyRequests {
        max: u32::try_from(full.max).unwrap_or(u32::MAX),
    })?;
    let until = Instant::now() + wanted(request.query_string()).min(STREAM_MAX);
    let (lines, read) = channel(LINES_WAITING_MAX);
    let right = Right { app: app.clone(), proof, caller, _admission: admission };
    // Not by polling the answer's body: of a reader that has gone without a word nobody asks for the next line any more.
    actix_web::rt::spawn(tell(lines, listener, right, until));
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/event-stream"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        // nginx would gather events otherwise.
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(stream::unfold(read, next_line)))
}

async fn next_line(
    mut read: Receiver<Bytes>,
) -> Option<(Result<Bytes, Infallible>, Receiver<Bytes>)> {
    let line = read.recv().await?;
    Some((Ok(line), read))
}

fn wanted(query: &str) -> Duration {
    let seconds = query.split('&').find_map(|pair| pair.strip_prefix("for="));
    seconds.and_then(digits).map_or(STREAM_MAX, Duration::from_secs)
}

/// By what somebody listens.
struct Right {
    app: App,
    proof: Proof,
    caller: Caller,
    _admission: Admission,
}

impl Right {
    /// Whether it still holds. What cannot be looked up holds no longer: who asks anew is told why.
    async fn holds(&self) -> bool {
        let now = self.app.accounts.identify(&self.proof).await;
        now.is_ok_and(|now| now.caller == self.caller)
    }
}

/// Sends lines until the time is over, the right has ended, the service stops, or the reader takes nothing for a beat or has gone.
async fn tell(lines: Sender<Bytes>, mut listener: Listener, right: Right, until: Instant) {
    // The first line at once: the page knows by it that it listens, and asks for what was before.
    let mut line = Bytes::from_static(b": listening\n\n");
    let mut look_at = Instant::now() + BEAT;
    loop {
        let patience = until.min(Instant::now() + BEAT);
        if !matches!(timeout_at(patience, lines.send(line)).await, Ok(Ok(()))) {
            return;
        }
        let now = Instant::now();
        if now >= until {
            return;
        }
        if now >= look_at {
            if !right.holds().await {
                return;
            }
            look_at = now + BEAT;
        }
        let heard = tokio::select! {
            () = lines.closed() => return,
            heard = listener.next(until.min(look_at)) => heard,
        };
        if heard == Heard::Nothing && Instant::now() >= until {
            return;
        }
        let is_last = heard == Heard::Stopping;
        line = line_of(heard);
        if is_last {
            // A reader that stands still learns it by the end of the connection.
            let _ = lines.try_send(line);
            return;
        }
    }
}

fn line_of(heard: Heard) -> Bytes {
    let event = match heard {
        Heard::Nothing => return Bytes::from_static(b": still here\n\n"),
        Heard::Stopping => return Bytes::from_static(b": stopping\n\n"),
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
    format!("data: {json}\n\n").into()
}
