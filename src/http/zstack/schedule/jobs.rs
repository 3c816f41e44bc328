//! Jobs of the scheduler: create, update, run, delete, enable.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use super::{
    super::{
        body::{Body, Params},
        call::{Call, Work},
        error::{Fault, Refusal},
        longjobs::NAME_CHARS_MAX,
        reply::StoredReply,
    },
    chosen, description, done, group_reply, job_named, job_reply, name, parameters,
};
use crate::{
    domain::text::shown,
    jobs::{Kept, NewScheduledJob, StateChanged},
    wire::zstack::Schema,
};

const CREATE: &str = "org.zstack.scheduler.APICreateSchedulerJobMsg";
const ACTIONS: [(&str, &str); 2] = [
    ("updateSchedulerJob", "org.zstack.scheduler.APIUpdateSchedulerJobMsg"),
    ("runSchedulerJob", "APIRunSchedulerJobMsg"),
];
const STATE: (&str, &str) =
    ("changeSchedulerState", "org.zstack.scheduler.APIChangeSchedulerStateMsg");

/// CreateSchedulerJob.
pub(crate) async fn create(call: Call, body: Body) -> Result<HttpResponse, Fault> {
    let params = body.params(CREATE)?;
    call.accept(Kept::Durably, |work| created(work, params)).await
}

async fn created(work: Work, mut params: Params) -> Result<StoredReply, Refusal> {
    let new = NewScheduledJob {
        uuid: chosen(&mut params)?,
        name: params.needed("name", NAME_CHARS_MAX)?,
        description: description(&mut params)?,
        job_type: params.needed("type", NAME_CHARS_MAX)?,
        target: params.text("targetResourceUuid", NAME_CHARS_MAX)?,
        parameters: parameters(&mut params)?.unwrap_or_default(),
    };
    let job = work.app.scheduler.create_job(work.caller, new).await?;
    job_reply(&work, &job)
}

/// UpdateSchedulerJob, and our runSchedulerJob.
pub(crate) async fn act(
    call: Call,
    request: HttpRequest,
    uuid: web::Path<String>,
    body: Body,
) -> Result<HttpResponse, Fault> {
    let (action, params) = body.action(&ACTIONS, request.path())?;
    let uuid = uuid.into_inner();
    call.accept(Kept::Durably, move |work| acted(work, ACTIONS[action].0, uuid, params)).await
}

/// The number of a run that was begun.
#[derive(Serialize)]
struct Run {
    id: i64,
}

async fn acted(
    work: Work,
    action: &'static str,
    uuid: String,
    mut params: Params,
) -> Result<StoredReply, Refusal> {
    let (scheduler, caller) = (&work.app.scheduler, work.caller);
    if action == "runSchedulerJob" {
        let id = scheduler.run_job(caller, job_named(&uuid)?).await?;
        return work.done(Run { id }, Schema::default());
    }
    let (name, description) = (name(&mut params)?, description(&mut params)?);
    let parameters = parameters(&mut params)?;
    let job = scheduler.update_job(caller, job_named(&uuid)?, name, description, parameters);
    job_reply(&work, &job.await?)
}

/// DeleteSchedulerJob.
pub(crate) async fn delete(call: Call, uuid: web::Path<String>) -> Result<HttpResponse, Fault> {
    let uuid = uuid.into_inner();
    call.accept(Kept::Durably, |work| async move {
        work.app.scheduler.delete_job(work.caller, job_named(&uuid)?).await?;
        done(&work)
    })
    .await
}

/// ChangeSchedulerState, of a job or a group.
pub(crate) async fn change_state(
    call: Call,
    request: HttpRequest,
    uuid: web::Path<String>,
    body: Body,
) -> Result<HttpResponse, Fault> {
    let ((_, mut params), uuid) = (body.action(&[STATE], request.path())?, uuid.into_inner());
    call.accept(Kept::Durably, |work| async move {
        let event = params.needed("stateEvent", NAME_CHARS_MAX)?;
        let enabled = match event.as_str() {
            "enable" => true,
            "disable" => false,
            other => {
                return Err(Refusal::invalid(format!(
                    "valid value for field[stateEvent] of message[{}] are [enable, disable], but {} found",
                    STATE.1,
                    shown(other)
                )));
            }
        };
        match work.app.scheduler.change_state(work.caller, &uuid, enabled).await? {
            StateChanged::Job(job) => job_reply(&work, &job),
            StateChanged::Group(group) => group_reply(&work, &group),
        }
    })
    .await
}
