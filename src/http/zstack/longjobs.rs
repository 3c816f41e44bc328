//! Long jobs: submit, query, update, cancel, resume, rerun, clean, suspend, delete.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::Value;

use super::{
    body::{Body, Params},
    call::{Call, Work},
    error::{Fault, Refusal},
    query::Queried,
    render::{self, Tags, Urls},
    reply::StoredReply,
};
use crate::{
    domain::{
        account::Caller,
        add_image::AddImageRequest,
        ids::{JobUuid, is_resource_uuid},
        job::ADD_IMAGE_JOB,
        query::{Page, Query},
        text::shown,
        upload::{Completion, ExpectedDigests},
    },
    jobs::{JobError, Kept, NewJob},
    wire::zstack::{Code, Empty, LongJobInventory, Schema},
};

const SUBMIT: &str = "org.zstack.header.longjob.APISubmitLongJobMsg";
const ACTIONS: [(&str, &str); 6] = [
    ("updateLongJob", "org.zstack.header.longjob.APIUpdateLongJobMsg"),
    ("cancelLongJob", "org.zstack.header.longjob.APICancelLongJobMsg"),
    ("resumeLongJob", "org.zstack.header.longjob.APIResumeLongJobMsg"),
    ("suspendLongJob", "APISuspendLongJobMsg"),
    ("rerunLongJob", "org.zstack.header.longjob.APIRerunLongJobMsg"),
    ("cleanLongJob", "org.zstack.header.longjob.APICleanLongJobMsg"),
];
/// Longest name of a job, and of a job type.
pub(super) const NAME_CHARS_MAX: usize = 255;
/// Longest description.
pub(super) const DESCRIPTION_CHARS_MAX: usize = 2048;

/// SubmitLongJob.
pub(super) async fn submit(call: Call, body: Body) -> Result<HttpResponse, Fault> {
    let params = body.params(SUBMIT)?;
    // Boxed: submitting opens files, and its future is larger than what a stack should carry about.
    call.accept(Kept::Durably, |work| Box::pin(submitted(work, params))).await
}

async fn submitted(work: Work, mut params: Params) -> Result<StoredReply, Refusal> {
    let new = new_job(&work, &mut params)?;
    let view = work.app.jobs.submit(work.caller, new).await?;
    render::job_reply(&work, &view).await
}

fn new_job(work: &Work, params: &mut Params) -> Result<NewJob, Refusal> {
    let job_name = params.needed("jobName", NAME_CHARS_MAX)?;
    if job_name != ADD_IMAGE_JOB {
        return Err(Refusal::invalid(format!("{} is not an API", shown(&job_name))));
    }
    let uuid = params.text("resourceUuid", NAME_CHARS_MAX)?.map(|uuid| chosen_uuid(&uuid));
    let image = job_data(params)?;
    let (system_tags, user_tags) = params.tags()?;
    Ok(NewJob {
        uuid: uuid.transpose()?,
        name: params.text("name", NAME_CHARS_MAX)?,
        description: params.text("description", DESCRIPTION_CHARS_MAX)?,
        image,
        system_tags,
        user_tags,
        api_id: work.api_id,
        completion: Completion::ByLength,
        expected: ExpectedDigests::default(),
        length: None,
        client_metadata: None,
    })
}

/// A job's uuid that the client chose.
fn chosen_uuid(text: &str) -> Result<JobUuid, Refusal> {
    text.parse().ok().filter(|_| is_resource_uuid(text)).ok_or_else(|| {
        Refusal::invalid(format!(
            "invalid value[{}] of field [resourceUuid]: give a UUID without dashes",
            shown(text)
        ))
    })
}

/// jobData is JSON in a string; an object is taken as well. Unknown fields are dropped.
fn job_data(params: &mut Params) -> Result<AddImageRequest, Refusal> {
    let data = match params.value("jobData") {
        Some(Value::String(text)) if !text.is_empty() => serde_json::from_str(&text)
            .map_err(|error| Refusal::unreadable("field[jobData] is not JSON", &error))?,
        Some(object @ Value::Object(_)) => object,
        Some(
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_),
        )
        | None => {
            return Err(Refusal::invalid(format!(
                "field[jobData] of message[{SUBMIT}] is mandatory, can not be null: give the parameters of {ADD_IMAGE_JOB} as JSON in a string"
            )));
        }
    };
    if !data.is_object() {
        return Err(Refusal::invalid("field[jobData] is not a JSON object in a string"));
    }
    serde_json::from_value(data)
        .map_err(|error| Refusal::unreadable("field[jobData] does not fit", &error))
}

impl Queried for LongJobInventory {
    async fn find(call: &Call, caller: Caller, query: &Query) -> Result<Page<Self>, Refusal> {
        let page = call.app.jobs.query(caller, query).await.map_err(Self::refusal)?;
        let images = page.rows.iter().filter_map(|view| view.image.as_ref());
        let mut tags = Tags::of(&call.app.jobs, images).await?;
        let urls = Urls::Now(&call.app, &call.base);
        let rows = page.rows.iter().map(|view| render::job(view, urls, &mut tags, call.zone()));
        Ok(Page { rows: rows.collect(), total: page.total })
    }
}

/// UpdateLongJob, CancelLongJob, ResumeLongJob, RerunLongJob, CleanLongJob and our suspendLongJob.
pub(super) async fn act(
    call: Call,
    request: HttpRequest,
    uuid: web::Path<String>,
    body: Body,
) -> Result<HttpResponse, Fault> {
    let (action, params) = body.action(&ACTIONS, request.path())?;
    let uuid = uuid.into_inner();
    call.accept(Kept::Durably, move |work| acted(work, ACTIONS[action].0, uuid, params)).await
}

async fn acted(
    work: Work,
    action: &'static str,
    uuid: String,
    mut params: Params,
) -> Result<StoredReply, Refusal> {
    let job: JobUuid = uuid.parse().map_err(|_| JobError::NotFound { uuid: shown(&uuid) })?;
    let (jobs, caller) = (&work.app.jobs, work.caller);
    let view = match action {
        "updateLongJob" => {
            let name = params.text("name", NAME_CHARS_MAX)?;
            let description = params.text("description", DESCRIPTION_CHARS_MAX)?;
            jobs.rename(caller, job, name, description).await?
        }
        "cancelLongJob" => {
            jobs.cancel(caller, job).await?;
            return work.done(Empty {}, Schema::default());
        }
        "resumeLongJob" => jobs.resume(caller, job).await?,
        "suspendLongJob" => jobs.suspend(caller, job).await?,
        "rerunLongJob" => jobs.rerun(caller, job, work.api_id).await?,
        // The last of `ACTIONS`: nothing else comes here.
        _ => {
            jobs.clean(caller, job).await?;
            return work.done(Empty {}, Schema::default());
        }
    };
    render::job_reply(&work, &view).await
}

/// DeleteLongJob. A job that does not exist is deleted already, if the name looks like one.
pub(super) async fn delete(call: Call, uuid: web::Path<String>) -> Result<HttpResponse, Fault> {
    let uuid = uuid.into_inner();
    call.accept(Kept::Durably, |work| async move {
        let job = uuid.parse().ok().filter(|_| is_resource_uuid(&uuid)).ok_or_else(|| {
            Refusal::new(Code::NotFound, format!("invalid value[{}] of field [uuid]", shown(&uuid)))
        })?;
        work.app.jobs.delete(work.caller, job).await?;
        work.done(Empty {}, Schema::default())
    })
    .await
}
