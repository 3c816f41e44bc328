//! Groups of jobs: create, update, delete, fill.

use actix_web::{HttpRequest, HttpResponse, web};

use super::{
    super::{
        body::Body,
        call::Call,
        error::{Fault, Refusal},
        longjobs::NAME_CHARS_MAX,
        query::pairs,
    },
    chosen, description, done, group_named, group_reply, job_uuids, jobs_listed, name,
};
use crate::{
    jobs::{Kept, NewJobGroup},
    wire::zstack::{Inventories, SchedulerJobGroupJobRefInventory, Schema, timestamp},
};

const CREATE: &str = "org.zstack.scheduler.APICreateSchedulerJobGroupMsg";
const UPDATE: (&str, &str) =
    ("updateSchedulerJobGroup", "org.zstack.scheduler.APIUpdateSchedulerJobGroupMsg");
const JOIN: &str = "org.zstack.scheduler.APIAddSchedulerJobsToSchedulerJobGroupMsg";
/// The list of jobs that join or leave.
const JOBS: &str = "schedulerJobUuids";

/// CreateSchedulerJobGroup.
pub(crate) async fn create(call: Call, body: Body) -> Result<HttpResponse, Fault> {
    let mut params = body.params(CREATE)?;
    call.accept(Kept::Durably, |work| async move {
        let new = NewJobGroup {
            uuid: chosen(&mut params)?,
            name: params.needed("name", NAME_CHARS_MAX)?,
            description: description(&mut params)?,
            job_type: params.text("type", NAME_CHARS_MAX)?,
        };
        let group = work.app.scheduler.create_group(work.caller, new).await?;
        group_reply(&work, &group)
    })
    .await
}

/// UpdateSchedulerJobGroup.
pub(crate) async fn act(
    call: Call,
    request: HttpRequest,
    uuid: web::Path<String>,
    body: Body,
) -> Result<HttpResponse, Fault> {
    let ((_, mut params), uuid) = (body.action(&[UPDATE], request.path())?, uuid.into_inner());
    call.accept(Kept::Durably, |work| async move {
        let (name, description) = (name(&mut params)?, description(&mut params)?);
        let uuid = group_named(&uuid)?;
        let group = work.app.scheduler.update_group(work.caller, uuid, name, description);
        group_reply(&work, &group.await?)
    })
    .await
}

/// DeleteSchedulerJobGroup.
pub(crate) async fn delete(call: Call, uuid: web::Path<String>) -> Result<HttpResponse, Fault> {
    let uuid = uuid.into_inner();
    call.accept(Kept::Durably, |work| async move {
        work.app.scheduler.delete_group(work.caller, group_named(&uuid)?).await?;
        done(&work)
    })
    .await
}

/// AddSchedulerJobsToSchedulerJobGroup.
pub(crate) async fn join(
    call: Call,
    uuid: web::Path<String>,
    body: Body,
) -> Result<HttpResponse, Fault> {
    let (mut params, uuid) = (body.params(JOIN)?, uuid.into_inner());
    call.accept(Kept::Durably, |work| async move {
        let jobs = job_uuids(&mut params, JOBS)?;
        let group = group_named(&uuid)?;
        let joined = work.app.scheduler.join_group(work.caller, group, jobs).await?;
        let rows = joined.into_iter().map(|(job, since_ms)| {
            let date = timestamp(since_ms, work.zone());
            SchedulerJobGroupJobRefInventory {
                scheduler_job_group_uuid: uuid.clone(),
                scheduler_job_uuid: job.to_string(),
                create_date: date.clone(),
                last_op_date: date,
            }
        });
        let rows: Vec<_> = rows.collect();
        let schema = Schema::list("inventories", &rows, None);
        work.done(Inventories { inventories: Some(rows), total: None }, schema)
    })
    .await
}

/// RemoveSchedulerJobsFromSchedulerJobGroup: the jobs are in the query string.
pub(crate) async fn leave(
    call: Call,
    request: HttpRequest,
    uuid: web::Path<String>,
) -> Result<HttpResponse, Fault> {
    let (asked, uuid) = (pairs(request.query_string())?, uuid.into_inner());
    call.accept(Kept::Durably, |work| async move {
        let jobs = jobs_listed(JOBS, listed(&asked, JOBS))?;
        if jobs.is_empty() {
            return Err(Refusal::invalid(format!("field[{JOBS}] is mandatory, can not be null")));
        }
        work.app.scheduler.leave_group(work.caller, group_named(&uuid)?, jobs).await?;
        done(&work)
    })
    .await
}

/// The values of a list in a query string: the name repeated, or `name.0=`, `name.1=`.
pub(super) fn listed<'p>(
    asked: &'p [(String, String)],
    name: &'p str,
) -> impl Iterator<Item = &'p str> {
    let is_it = move |given: &str| {
        given.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    asked.iter().filter(move |(given, _)| is_it(given)).map(|(_, value)| value.as_str())
}
