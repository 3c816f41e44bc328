//! The scheduler: everybody may ask and sees what is theirs, an admin alone changes anything.

use super::{ASYNC, Row, SYNC, row};

const NOT_ADMIN: &str =
    "202 then 503 ID.1002: only an admin may change or run what is scheduled; nothing was changed";
const NO_JOB: &str = "202 then 503 SYS.1003: invalid field[uuid], resource[uuid:{new}, type:SchedulerJobVO] not found";
const NO_TRIGGER: &str = "202 then 503 SYS.1003: invalid field[uuid], resource[uuid:{new}, type:SchedulerTriggerVO] not found";
const NO_GROUP: &str = "202 then 503 SYS.1003: invalid field[uuid], resource[uuid:{new}, type:SchedulerJobGroupVO] not found";
const MADE: &str = "202 then 200 inventory: {new}";

/// A change: the admin is told `admin`, everybody else that they are none.
fn change(route: &'static str, path: &'static str, body: &'static str, admin: &'static str) -> Row {
    let mut row = row(route, ASYNC).path(path).body(body).other(NOT_ADMIN).own(NOT_ADMIN);
    row.admin = admin;
    row
}

fn question(route: &'static str, path: &'static str, told: &'static str) -> Row {
    row(route, SYNC).path(path).other(told).own(told)
}

pub(super) fn schedule() -> Vec<Row> {
    [questions(), jobs(), triggers(), groups()].concat()
}

fn questions() -> Vec<Row> {
    let none = "200 inventories: []";
    let report = "/zstack/v1/scheduler/report?startTime=1000&intervalTimeUnit=Day&range=1&schedulerJobTypes=scrubImages";
    let counts = r#"200 {"failureRecords":[0],"partialSuccessRecords":[0],"success":true,"successRecords":[0],"waitingRecords":[0]}"#;
    let mut rows = vec![
        question(
            "GET /zstack/v1/scheduler/job/history",
            "/zstack/v1/scheduler/job/history?q=id%3C0",
            none,
        ),
        question(
            "GET /zstack/v1/scheduler/job/history",
            "/zstack/v1/scheduler/job/history?q=nope%3D0",
            "503 SYS.1007: condition name[nope] is invalid, no such field on inventory class[org.zstack.header.scheduler.SchedulerJobHistoryInventory]",
        ),
        question("GET /zstack/v1/scheduler/report", report, counts),
        question(
            "GET /zstack/v1/scheduler/report",
            "/zstack/v1/scheduler/report?startTime=1000&intervalTimeUnit=Week&range=1",
            "503 SYS.1007: valid value for field[intervalTimeUnit] of message[org.zstack.scheduler.APIGetSchedulerExecutionReportMsg] are [Hour, Day, Month], but Week found",
        ),
        question(
            "GET /zstack/v1/scheduler/jobgroups",
            "/zstack/v1/scheduler/jobgroups?q=name%3Dnone",
            none,
        ),
        question(
            "GET /zstack/v1/scheduler/jobgroups/{uuid}",
            "/zstack/v1/scheduler/jobgroups/00000000000040008000000000000000",
            none,
        ),
    ];
    // The defaults are an admin's: for everybody else they do not exist.
    for (route, path) in [
        ("GET /zstack/v1/scheduler/jobs", "/zstack/v1/scheduler/jobs?q=name%3Dscrub%20images"),
        (
            "GET /zstack/v1/scheduler/jobs/{uuid}",
            "/zstack/v1/scheduler/jobs/5ced01e0000040008000000000000005",
        ),
        (
            "GET /zstack/v1/scheduler/triggers",
            "/zstack/v1/scheduler/triggers?q=name%3Dwhen%20to%20scrub%20images",
        ),
        (
            "GET /zstack/v1/scheduler/triggers/{uuid}",
            "/zstack/v1/scheduler/triggers/5ced01e0000040008000000000010005",
        ),
    ] {
        let mut defaults = question(route, path, none);
        defaults.admin = "200 inventories: [{new}]";
        rows.push(defaults);
    }
    rows.push(question(
        "GET /zstack/v1/scheduler/jobs/candidates",
        "/zstack/v1/scheduler/jobs/candidates",
        none,
    ));
    rows
}

fn jobs() -> Vec<Row> {
    let missing = "/zstack/v1/scheduler/jobs/00000000000040008000000000000000";
    let bind = "/zstack/v1/scheduler/jobs/5ced01e0000040008000000000000005/scheduler/triggers/00000000000040008000000000000000";
    vec![
        change(
            "POST /zstack/v1/scheduler/jobs",
            "/zstack/v1/scheduler/jobs",
            r#"{"params":{"name":"a","type":"pruneRecords","targetResourceUuid":"x","parameters":{"historyDays":"7"}}}"#,
            MADE,
        ),
        change(
            "POST /zstack/v1/scheduler/jobs",
            "/zstack/v1/scheduler/jobs",
            r#"{"params":{"name":"a","type":"startVm"}}"#,
            "202 then 503 SYS.1007: valid value for field[type] of message[org.zstack.scheduler.APICreateSchedulerJobMsg] are [expireUploads, purgeDeletedImages, scrubImages, reconcileStore, pruneRecords, verifyImage], but startVm found",
        ),
        change(
            "PUT /zstack/v1/scheduler/jobs/{uuid}/actions",
            "/zstack/v1/scheduler/jobs/5ced01e0000040008000000000000005/actions",
            r#"{"updateSchedulerJob":{"description":"b"}}"#,
            MADE,
        ),
        change(
            "PUT /zstack/v1/scheduler/jobs/{uuid}/actions",
            "/zstack/v1/scheduler/jobs/00000000000040008000000000000000/actions",
            r#"{"runSchedulerJob":{}}"#,
            NO_JOB,
        ),
        change("DELETE /zstack/v1/scheduler/jobs/{uuid}", missing, "", NO_JOB),
        change(
            "POST /zstack/v1/scheduler/jobs/{uuid}/scheduler/triggers/{trigger}",
            bind,
            r#"{"params":{"triggerNow":false}}"#,
            NO_TRIGGER,
        ),
        change(
            "DELETE /zstack/v1/scheduler/jobs/{uuid}/scheduler/triggers/{trigger}",
            bind,
            "",
            "202 then 503 SYS.1007: the trigger[uuid:{new}] does not fire [uuid:{new}]: nothing was changed",
        ),
        change(
            "PUT /zstack/v1/schedulers/{uuid}",
            "/zstack/v1/schedulers/5ced01e0000040008000000000000005",
            r#"{"changeSchedulerState":{"stateEvent":"enable"}}"#,
            MADE,
        ),
    ]
}

fn triggers() -> Vec<Row> {
    let act = |uuid, body, admin| {
        change("PUT /zstack/v1/scheduler/triggers/{uuid}/actions", uuid, body, admin)
    };
    let scrub = "/zstack/v1/scheduler/triggers/5ced01e0000040008000000000010005/actions";
    let missing = "/zstack/v1/scheduler/triggers/00000000000040008000000000000000/actions";
    vec![
        change(
            "POST /zstack/v1/scheduler/triggers",
            "/zstack/v1/scheduler/triggers",
            r#"{"params":{"name":"a","schedulerType":"simple","schedulerInterval":60,"repeatCount":0}}"#,
            MADE,
        ),
        act(scrub, r#"{"updateSchedulerTrigger":{"cron":"0 0 3 * * ?"}}"#, MADE),
        act(missing, r#"{"runSchedulerTrigger":{}}"#, NO_TRIGGER),
        change(
            "DELETE /zstack/v1/scheduler/triggers/{uuid}",
            "/zstack/v1/scheduler/triggers/00000000000040008000000000000000",
            "",
            NO_TRIGGER,
        ),
    ]
}

fn groups() -> Vec<Row> {
    let at = |route, path, body, admin| change(route, path, body, admin);
    let group = "/zstack/v1/scheduler/jobgroups/00000000000040008000000000000000";
    let jobs = "/zstack/v1/scheduler/jobgroups/00000000000040008000000000000000/job";
    let leave = "/zstack/v1/scheduler/jobgroups/00000000000040008000000000000000/job?schedulerJobUuids=5ced01e0000040008000000000000001";
    let bind = "/zstack/v1/scheduler/jobgroups/00000000000040008000000000000000/scheduler/triggers/5ced01e0000040008000000000010001";
    vec![
        at(
            "POST /zstack/v1/scheduler/jobgroups",
            "/zstack/v1/scheduler/jobgroups",
            r#"{"params":{"name":"a","type":"pruneRecords"}}"#,
            MADE,
        ),
        at(
            "PUT /zstack/v1/scheduler/jobgroups/{uuid}/actions",
            "/zstack/v1/scheduler/jobgroups/00000000000040008000000000000000/actions",
            r#"{"updateSchedulerJobGroup":{"name":"b"}}"#,
            NO_GROUP,
        ),
        at("DELETE /zstack/v1/scheduler/jobgroups/{uuid}", group, "", NO_GROUP),
        at(
            "POST /zstack/v1/scheduler/jobgroups/{uuid}/job",
            jobs,
            r#"{"params":{"schedulerJobUuids":[]}}"#,
            NO_GROUP,
        ),
        at("DELETE /zstack/v1/scheduler/jobgroups/{uuid}/job", leave, "", NO_GROUP),
        at(
            "POST /zstack/v1/scheduler/jobgroups/{uuid}/scheduler/triggers/{trigger}",
            bind,
            "{}",
            NO_GROUP,
        ),
        at(
            "DELETE /zstack/v1/scheduler/jobgroups/{uuid}/scheduler/triggers/{trigger}",
            bind,
            "",
            "202 then 503 SYS.1007: the trigger[uuid:{new}] does not fire [uuid:{new}]: nothing was changed",
        ),
    ]
}
