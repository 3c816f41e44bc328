//! One job, by both of IMS's paths, and our own list of them.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use super::{
    call::{Call, reply},
    error::Fault,
};
use crate::{
    domain::{
        account::Caller,
        add_image::AddImageRequest,
        ids::{JobUuid, without_dashes},
        job::LongJob,
        query::{Condition, Operator, Query},
        upload::UploadFate,
    },
    http::{App, links::Base, query::pairs},
    jobs::{JobError, JobProgress, JobView},
    wire::ims::{
        Code, Job, JobList, Received, Shown, Status, SubJob, job, job_in_list, split_job_id,
        sub_job,
    },
};

/// Jobs in one answer if the call does not say how many, and the most it may ask for.
const LIMIT_DEFAULT: u64 = 50;
const LIMIT_MAX: u64 = 200;
/// Furthest that a list can be asked from.
const OFFSET_MAX: u64 = 1_000_000_000;
/// Longest name that is looked for.
const NAME_CHARS_MAX: usize = 255;

/// A job, or one of its stages.
#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    Whole(Box<Job>),
    Stage(Box<SubJob>),
}

/// `GET /v1/cloudimages/job/{job_id}`
pub(super) async fn show(
    app: web::Data<App>,
    request: HttpRequest,
    job_id: web::Path<String>,
    payload: web::Payload,
) -> HttpResponse {
    let found = async {
        let call = Call::read(&app, &request, payload).await?;
        find(&app, &request, call.caller, &job_id).await
    };
    let found = found.await;
    reply(&request, found)
}

/// `GET /v1/{project_id}/jobs/{job_id}`
pub(super) async fn show_in_project(
    app: web::Data<App>,
    request: HttpRequest,
    path: web::Path<(String, String)>,
    payload: web::Payload,
) -> HttpResponse {
    let (project, job_id) = path.into_inner();
    let found = async {
        let call = Call::read(&app, &request, payload).await?;
        let caller = call.in_project(&app, &project).await?;
        find(&app, &request, caller, &job_id).await
    };
    let found = found.await;
    reply(&request, found)
}

async fn find(app: &App, request: &HttpRequest, caller: Caller, id: &str) -> Result<Answer, Fault> {
    let base = Base::of(request, &app.settings.trusted_proxies)?;
    let (whole, stage) = split_job_id(id);
    let uuid: JobUuid = without_dashes(whole).parse().map_err(|_| Fault::no_job(id))?;
    let progress = app.jobs.job_progress(caller, uuid).await.map_err(|error| match error {
        JobError::NotFound { .. } => Fault::no_job(id),
        other => other.into(),
    })?;
    let upload = progress.view.upload.as_ref();
    let url = upload.map(|upload| base.upload(app, upload.uuid, upload.url_generation));
    let asked = asked(&progress.view.job);
    let shown = Shown {
        received: received(&progress),
        upload_url: url.as_deref(),
        ..shown(&progress.view, &asked)
    };
    Ok(match stage {
        None => Answer::Whole(Box::new(job(shown))),
        Some(stage) => Answer::Stage(Box::new(sub_job(shown, stage))),
    })
}

/// What the image was to be, as its job was submitted.
fn asked(job: &LongJob) -> AddImageRequest {
    serde_json::from_str(&job.job_data).unwrap_or_default()
}

fn shown<'a>(view: &'a JobView, asked: &'a AddImageRequest) -> Shown<'a> {
    Shown {
        job: &view.job,
        image: view.image.as_ref(),
        asked_name: asked.name.as_deref(),
        media: view.image.as_ref().map_or_else(|| asked.media(), |image| image.media_type),
        received: None,
        upload_url: None,
    }
}

fn received(progress: &JobProgress) -> Option<Received> {
    let run = progress.run.as_ref()?;
    let bytes = progress.bytes;
    // Of an upload that has ended the row may be older than its last byte.
    let last_byte_ms = run.last_byte_ms.filter(|_| run.fate == UploadFate::Open);
    Some(Received {
        offset: bytes.map(|bytes| bytes.offset),
        stored_bytes: bytes.map(|bytes| bytes.stored_bytes),
        length: bytes.and_then(|bytes| bytes.length),
        began_ms: run.created_ms,
        last_byte_ms,
    })
}

/// `GET /v1/{project_id}/jobs`
pub(super) async fn list(
    app: web::Data<App>,
    request: HttpRequest,
    project: web::Path<String>,
    payload: web::Payload,
) -> HttpResponse {
    let found = async {
        let call = Call::read(&app, &request, payload).await?;
        let caller = call.in_project(&app, &project).await?;
        let query = query(request.query_string())?;
        let page = app.jobs.query(caller, &query).await?;
        let jobs = page.rows.iter().map(|view| {
            let asked = asked(&view.job);
            // As the records have it: a list asks the store for nothing.
            let received = view.upload.as_ref().map(|upload| Received {
                offset: Some(upload.offset_cached),
                stored_bytes: Some(upload.stored_cached),
                length: upload.declared_length,
                began_ms: upload.created_ms,
                last_byte_ms: upload.last_byte_ms,
            });
            job_in_list(Shown { received, ..shown(view, &asked) })
        });
        Ok(JobList { jobs: jobs.collect::<Vec<Job>>(), total: page.total.unwrap_or(0) })
    };
    let found = found.await;
    reply(&request, found)
}

/// `status`, `name`, `limit` and `offset`; the newest first.
fn query(text: &str) -> Result<Query, Fault> {
    let mut query = Query {
        limit: LIMIT_DEFAULT,
        sort: Some(("createDate".to_owned(), true)),
        reply_with_count: true,
        ..Query::default()
    };
    let mut given = Vec::new();
    for (key, value) in pairs(text)? {
        let condition = |field: &str, operator, value: &str| Condition {
            field: field.to_owned(),
            operator,
            value: value.to_owned(),
        };
        match key.as_str() {
            "status" => {
                let status = Status::from_name(&value);
                let status = status
                    .ok_or_else(|| bad_query("status has to be INIT, RUNNING, SUCCESS or FAIL"))?;
                let shown_as_it = status.states().join(",");
                query.conditions.push(condition("state", Operator::In, &shown_as_it));
            }
            "name" => {
                if value.is_empty() || value.chars().count() > NAME_CHARS_MAX {
                    return Err(bad_query("name has to have 1 to 255 characters"));
                }
                query.conditions.push(condition("name", Operator::Equal, &value));
            }
            "limit" => query.limit = number(&value, "limit", 1, LIMIT_MAX)?,
            "offset" => query.start = number(&value, "offset", 0, OFFSET_MAX)?,
            _ => return Err(bad_query("a list of jobs takes status, name, limit and offset")),
        }
        if given.contains(&key) {
            return Err(bad_query("a field of the query is given twice"));
        }
        given.push(key);
    }
    Ok(query)
}

fn number(value: &str, name: &str, min: u64, max: u64) -> Result<u64, Fault> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let number = value.parse().ok().filter(|number| digits && (min..=max).contains(number));
    number.ok_or_else(|| bad_query(&format!("{name} has to be a number from {min} to {max}")))
}

fn bad_query(words: &str) -> Fault {
    Fault::bad(Code::BadFormat, words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::query::QUERY_BYTES_MAX;

    #[test]
    fn a_list_is_bounded_and_filtered() {
        let all = query("").unwrap();
        assert_eq!((all.limit, all.start, all.conditions.len()), (LIMIT_DEFAULT, 0, 0));
        let some = query("status=running&name=a+b%20c&limit=200&offset=7").unwrap();
        assert_eq!((some.limit, some.start), (200, 7));
        let conditions = some.conditions.iter().map(|c| (c.field.as_str(), c.value.as_str()));
        assert_eq!(
            conditions.collect::<Vec<_>>(),
            [("state", "Running,Suspended,Canceling"), ("name", "a b c")]
        );
        for bad in [
            "status=",
            "status=DONE",
            "status=Running%00",
            "name=",
            "name=%ff",
            "limit=0",
            "limit=201",
            "limit=+1",
            "limit=",
            "limit=18446744073709551616",
            "offset=-1",
            "offset=1000000001",
            "marker=x",
            "limit=1&limit=1",
        ] {
            assert!(query(bad).is_err(), "{bad}");
        }
        assert!(query(&format!("name={}", "x".repeat(256))).is_err());
        assert!(query(&"&".repeat(QUERY_BYTES_MAX + 1)).is_err(), "its length has a bound");
    }
}
