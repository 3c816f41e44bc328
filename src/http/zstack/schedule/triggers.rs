//! Triggers: create, update, run, delete.

use actix_web::{HttpRequest, HttpResponse, web};

use super::{
    super::{
        body::{Body, Params},
        call::{Call, Work},
        error::{Fault, Refusal},
        longjobs::NAME_CHARS_MAX,
        reply::StoredReply,
    },
    CRON_CHARS_MAX, chosen, description, done, job_uuids, name, trigger_named, trigger_reply,
};
use crate::jobs::{Kept, NewTrigger};

const CREATE: &str = "org.zstack.scheduler.APICreateSchedulerTriggerMsg";
const ACTIONS: [(&str, &str); 2] = [
    ("updateSchedulerTrigger", "org.zstack.scheduler.APIUpdateSchedulerTriggerMsg"),
    ("runSchedulerTrigger", "org.zstack.scheduler.APIRunSchedulerTriggerMsg"),
];

fn read(params: &mut Params) -> Result<NewTrigger, Refusal> {
    Ok(NewTrigger {
        uuid: None,
        name: name(params)?,
        description: description(params)?,
        kind: params.text("schedulerType", NAME_CHARS_MAX)?,
        interval_secs: params.number("schedulerInterval")?,
        repeat_count: params.number("repeatCount")?,
        start_time: params.number("startTime")?,
        cron: params.text("cron", CRON_CHARS_MAX)?,
    })
}

/// CreateSchedulerTrigger.
pub(crate) async fn create(call: Call, body: Body) -> Result<HttpResponse, Fault> {
    let mut params = body.params(CREATE)?;
    call.accept(Kept::Durably, |work| async move {
        let name = Some(params.needed("name", NAME_CHARS_MAX)?);
        let uuid = chosen(&mut params)?;
        let new = NewTrigger { uuid, name, ..read(&mut params)? };
        let trigger = work.app.scheduler.create_trigger(work.caller, new).await?;
        trigger_reply(&work, &trigger)
    })
    .await
}

/// UpdateSchedulerTrigger and RunSchedulerTrigger.
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

async fn acted(
    work: Work,
    action: &'static str,
    uuid: String,
    mut params: Params,
) -> Result<StoredReply, Refusal> {
    let (scheduler, caller) = (&work.app.scheduler, work.caller);
    if action == "runSchedulerTrigger" {
        let only = job_uuids(&mut params, "jobUuids")?;
        scheduler.run_trigger(caller, trigger_named(&uuid)?, &only).await?;
        return done(&work);
    }
    let new = read(&mut params)?;
    let trigger = scheduler.update_trigger(caller, trigger_named(&uuid)?, new).await?;
    trigger_reply(&work, &trigger)
}

/// DeleteSchedulerTrigger.
pub(crate) async fn delete(call: Call, uuid: web::Path<String>) -> Result<HttpResponse, Fault> {
    let uuid = uuid.into_inner();
    call.accept(Kept::Durably, |work| async move {
        work.app.scheduler.delete_trigger(work.caller, trigger_named(&uuid)?).await?;
        done(&work)
    })
    .await
}
