//! Which trigger fires what: a job or a group, bound and taken off again.

use actix_web::{HttpResponse, web};

use super::{
    super::{
        body::{Body, Params},
        call::Call,
        error::{Fault, Refusal},
    },
    done, group_named, job_named, trigger_named,
};
use crate::{domain::schedule::Target, jobs::Kept};

const BIND_JOB: &str = "org.zstack.scheduler.APIAddSchedulerJobToSchedulerTriggerMsg";
const BIND_GROUP: &str = "org.zstack.scheduler.APIAddSchedulerJobGroupToSchedulerTriggerMsg";

/// What a path names first; the trigger comes after it.
type Named = fn(&str) -> Result<Target, Refusal>;
type Path = web::Path<(String, String)>;

/// AddSchedulerJobToSchedulerTrigger.
pub(crate) async fn bind_job(call: Call, path: Path, body: Body) -> Result<HttpResponse, Fault> {
    bind(call, path, body.params(BIND_JOB)?, a_job).await
}

/// RemoveSchedulerJobFromSchedulerTrigger.
pub(crate) async fn unbind_job(call: Call, path: Path) -> Result<HttpResponse, Fault> {
    unbind(call, path, a_job).await
}

/// AddSchedulerJobGroupToSchedulerTrigger.
pub(crate) async fn bind_group(call: Call, path: Path, body: Body) -> Result<HttpResponse, Fault> {
    bind(call, path, body.params(BIND_GROUP)?, a_group).await
}

/// RemoveSchedulerJobGroupFromSchedulerTrigger.
pub(crate) async fn unbind_group(call: Call, path: Path) -> Result<HttpResponse, Fault> {
    unbind(call, path, a_group).await
}

fn a_job(uuid: &str) -> Result<Target, Refusal> {
    job_named(uuid).map(Target::Job)
}

fn a_group(uuid: &str) -> Result<Target, Refusal> {
    group_named(uuid).map(Target::Group)
}

async fn bind(
    call: Call,
    path: Path,
    mut params: Params,
    named: Named,
) -> Result<HttpResponse, Fault> {
    let (target, trigger) = path.into_inner();
    call.accept(Kept::Durably, move |work| async move {
        let at_once = params.flag("triggerNow")?;
        let (trigger, target) = (trigger_named(&trigger)?, named(&target)?);
        work.app.scheduler.bind(work.caller, trigger, target, at_once).await?;
        done(&work)
    })
    .await
}

async fn unbind(call: Call, path: Path, named: Named) -> Result<HttpResponse, Fault> {
    let (target, trigger) = path.into_inner();
    call.accept(Kept::Durably, move |work| async move {
        let (trigger, target) = (trigger_named(&trigger)?, named(&target)?);
        work.app.scheduler.unbind(work.caller, trigger, target).await?;
        done(&work)
    })
    .await
}
