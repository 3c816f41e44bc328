//! Questions about what is scheduled, and QuerySchedulerJobHistory.

use actix_web::{HttpRequest, HttpResponse};

use super::{
    super::{
        call::Call,
        error::{Fault, Refusal},
        query::{Queried, pairs},
    },
    group,
    groups::listed,
    job, trigger,
};
use crate::{
    domain::{
        account::Caller,
        query::{Page, Query},
        schedule::{JobType, ReportUnit, start_ms_of},
        text::shown,
    },
    jobs::{JobError, ReportAsked, ScheduleError},
    wire::zstack::{
        ExecutionReport, Inventories, SchedulerJobGroupInventory, SchedulerJobHistoryInventory,
        SchedulerJobInventory, SchedulerTriggerInventory, Schema, scheduler_history_inventory,
    },
};

const REPORT: &str = "org.zstack.scheduler.APIGetSchedulerExecutionReportMsg";

/// Unknown fields name the class of the inventory.
fn refused<T: Queried>(error: ScheduleError) -> Refusal {
    match error {
        ScheduleError::Db(error) => T::refusal(JobError::Db(error)),
        other => other.into(),
    }
}

impl Queried for SchedulerJobInventory {
    async fn find(call: &Call, caller: Caller, query: &Query) -> Result<Page<Self>, Refusal> {
        let page = call.app.scheduler.query_jobs(caller, query).await;
        let page = page.map_err(refused::<Self>)?;
        let rows = page.rows.iter().map(|shown| job(shown, call.zone()));
        Ok(Page { rows: rows.collect(), total: page.total })
    }
}

impl Queried for SchedulerTriggerInventory {
    async fn find(call: &Call, caller: Caller, query: &Query) -> Result<Page<Self>, Refusal> {
        let page = call.app.scheduler.query_triggers(caller, query).await;
        let page = page.map_err(refused::<Self>)?;
        let rows = page.rows.iter().map(|shown| trigger(shown, call.zone()));
        Ok(Page { rows: rows.collect(), total: page.total })
    }
}

impl Queried for SchedulerJobGroupInventory {
    async fn find(call: &Call, caller: Caller, query: &Query) -> Result<Page<Self>, Refusal> {
        let page = call.app.scheduler.query_groups(caller, query).await;
        let page = page.map_err(refused::<Self>)?;
        let rows = page.rows.iter().map(|shown| group(shown, call.zone()));
        Ok(Page { rows: rows.collect(), total: page.total })
    }
}

impl Queried for SchedulerJobHistoryInventory {
    async fn find(call: &Call, caller: Caller, query: &Query) -> Result<Page<Self>, Refusal> {
        let page = call.app.scheduler.query_runs(caller, query).await;
        let page = page.map_err(refused::<Self>)?;
        let rows = page.rows.iter().map(|run| scheduler_history_inventory(run, call.zone()));
        Ok(Page { rows: rows.collect(), total: page.total })
    }
}

/// GetNoTriggerSchedulerJobs.
pub(crate) async fn candidates(call: Call) -> Result<HttpResponse, Fault> {
    let caller = call.caller().await?;
    let jobs = call.check(call.app.scheduler.jobs_without_trigger(caller).await)?;
    let rows: Vec<_> = jobs.iter().map(|shown| job(shown, call.zone())).collect();
    let schema = Schema::list("inventories", &rows, None);
    Ok(Call::query_reply(Inventories { inventories: Some(rows), total: None }, schema))
}

/// GetSchedulerExecutionReport.
pub(crate) async fn report(call: Call, request: HttpRequest) -> Result<HttpResponse, Fault> {
    let caller = call.caller().await?;
    let asked = call.check(asked(&pairs(request.query_string())?))?;
    let report = call.check(call.app.scheduler.report(caller, &asked).await)?;
    let body = ExecutionReport {
        success: true,
        partial_success_records: vec![0; report.succeeded.len()],
        success_records: report.succeeded,
        failure_records: report.failed,
        waiting_records: report.running,
    };
    Ok(call.reply(body, Schema::default()))
}

fn asked(pairs: &[(String, String)]) -> Result<ReportAsked, Refusal> {
    let one = |name: &str| {
        let value = pairs.iter().find(|(given, _)| given == name).map(|(_, value)| value.trim());
        value.filter(|value| !value.is_empty()).ok_or_else(|| {
            Refusal::invalid(format!(
                "field[{name}] of message[{REPORT}] is mandatory, can not be null"
            ))
        })
    };
    let start = one("startTime")?;
    let start_ms = start.parse().ok().and_then(|start| start_ms_of(start).ok()).flatten();
    let start_ms = start_ms.ok_or_else(|| {
        Refusal::invalid(format!(
            "field[startTime] of message[{REPORT}] has to be seconds or milliseconds since 1970, but {} found",
            shown(start)
        ))
    })?;
    let unit = one("intervalTimeUnit")?;
    let unit = ReportUnit::from_name(unit).ok_or_else(|| {
        Refusal::invalid(format!(
            "valid value for field[intervalTimeUnit] of message[{REPORT}] are [{}], but {} found",
            ReportUnit::NAMES.join(", "),
            shown(unit)
        ))
    })?;
    let range = one("range")?;
    let range = range.parse().map_err(|_| {
        Refusal::invalid(format!(
            "field[range] of message[{REPORT}] has to be a number, but {} found",
            shown(range)
        ))
    })?;
    let job_types = listed(pairs, "schedulerJobTypes").map(|name| {
        JobType::from_name(name).ok_or_else(|| {
            Refusal::invalid(format!(
                "valid value for field[schedulerJobTypes] of message[{REPORT}] are [{}], but {} found",
                JobType::ALL.map(JobType::name).join(", "),
                shown(name)
            ))
        })
    });
    Ok(ReportAsked { start_ms, unit, range, job_types: job_types.collect::<Result<_, _>>()? })
}
