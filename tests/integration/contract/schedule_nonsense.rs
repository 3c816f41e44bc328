//! What the scheduler's other calls are given that is none: changes, groups, what is joined and what is asked.

use serde_json::{Value, json};

use super::world::{Ask, Who, World, id};

const JOB: &str = "5ced01e0000040008000000000000003";
const TRIGGER: &str = "5ced01e0000040008000000000010003";

/// Method, path, body, and the code and the words of the refusal.
type Row = (&'static str, String, Value, &'static str, &'static str);

fn long(chars: usize) -> String {
    "x".repeat(chars)
}

/// The same fields are nonsense in whatever call takes them.
fn texts(call: impl Fn(Value) -> (&'static str, String, Value)) -> Vec<Row> {
    let rows = [
        (json!({"name": long(256)}), "exceeds max length"),
        (json!({"name": {"a": 1}}), "field[name]"),
        (json!({"name": ["x"]}), "field[name]"),
        (json!({"description": long(2049)}), "field[description]"),
        (json!({"description": [7]}), "field[description]"),
    ];
    let rows = rows.into_iter().map(|(fields, words)| {
        let (method, path, body) = call(fields);
        (method, path, body, "SYS.1007", words)
    });
    rows.collect()
}

fn changes() -> Vec<Row> {
    let job = |fields: Value| {
        ("PUT", format!("scheduler/jobs/{JOB}/actions"), json!({"updateSchedulerJob": fields}))
    };
    let trigger = |fields: Value| {
        let path = format!("scheduler/triggers/{TRIGGER}/actions");
        ("PUT", path, json!({"updateSchedulerTrigger": fields}))
    };
    let mut rows = [texts(job), texts(trigger)].concat();
    for (fields, words) in [
        (json!({"parameters": "x"}), "field[parameters]"),
        (json!({"parameters": {"speed": 1}}), "takes [historyDays]"),
    ] {
        let (method, path, body) = job(fields);
        rows.push((method, path, body, "SYS.1007", words));
    }
    for (fields, words) in [
        (json!({"schedulerInterval": 0}), "schedulerInterval"),
        (json!({"schedulerInterval": {}}), "whole number"),
        (json!({"repeatCount": -1}), "repeatCount"),
        (json!({"repeatCount": [1]}), "whole number"),
        (json!({"startTime": i64::MAX}), "startTime"),
        // Shown, it would be another year.
        (json!({"startTime": 253_402_300_799_000_i64}), "startTime"),
        (json!({"schedulerType": []}), "field[schedulerType]"),
        (json!({"schedulerType": "lunar"}), "simple, cron"),
        (json!({"cron": "99 * * * * ?"}), "field[cron]"),
        (json!({"cron": {"a": 1}}), "field[cron]"),
        (json!({"cron": "0 0 0 30 2 ?"}), "never fires"),
    ] {
        let (method, path, body) = trigger(fields);
        rows.push((method, path, body, "SYS.1007", words));
    }
    let state = |body: Value| ("PUT", format!("schedulers/{JOB}"), body);
    for (body, words) in [
        (json!({"changeSchedulerState": {}}), "field[stateEvent]"),
        (json!({"changeSchedulerState": {"stateEvent": null}}), "field[stateEvent]"),
        (json!({"changeSchedulerState": {"stateEvent": ["enable"]}}), "field[stateEvent]"),
        (json!({"changeSchedulerState": {"stateEvent": long(300)}}), "exceeds max length"),
    ] {
        let (method, path, body) = state(body);
        rows.push((method, path, body, "SYS.1007", words));
    }
    rows
}

fn groups(group: &str) -> Vec<Row> {
    let made = |fields: Value| {
        let mut new = json!({"name": "a"});
        new.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        ("POST", "scheduler/jobgroups".to_owned(), json!({ "params": new }))
    };
    let renamed = |fields: Value| {
        let path = format!("scheduler/jobgroups/{group}/actions");
        ("PUT", path, json!({"updateSchedulerJobGroup": fields}))
    };
    let mut rows = [texts(made), texts(renamed)].concat();
    for (fields, words) in [
        (json!({"name": null}), "field[name]"),
        (json!({"type": "startVm"}), "expireUploads, purgeDeletedImages"),
        (json!({"type": [1]}), "field[type]"),
        (json!({"resourceUuid": "x"}), "resourceUuid"),
        (json!({"resourceUuid": group}), "there already"),
    ] {
        let (method, path, body) = made(fields);
        rows.push((method, path, body, "SYS.1007", words));
    }
    rows
}

fn joined(group: &str) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let many: Vec<_> = (0..501).map(|_| id()).collect();
    let join = format!("scheduler/jobgroups/{group}/job");
    let run = format!("scheduler/triggers/{TRIGGER}/actions");
    for (uuids, code, words) in [
        (json!("x"), "SYS.1007", "is not a list"),
        (json!([{"a": 1}]), "SYS.1007", "is not a list"),
        (json!(["x"]), "SYS.1003", "SchedulerJobVO"),
        (json!([id()]), "SYS.1003", "SchedulerJobVO"),
        (json!(many), "SYS.1007", "at most 500 different jobs"),
    ] {
        let params = json!({"params": {"schedulerJobUuids": uuids}});
        rows.push(("POST", join.clone(), params, code, words));
        // A job that nobody knows is one that the trigger does not fire.
        let is_unknown = words == "SchedulerJobVO" && uuids[0] != "x";
        let (code, words) = if is_unknown { ("SYS.1007", "does not fire") } else { (code, words) };
        let params = json!({"runSchedulerTrigger": {"jobUuids": uuids}});
        rows.push(("PUT", run.clone(), params, code, words));
    }
    let leave = |query: &str| ("DELETE", format!("{join}{query}"), json!({}));
    for (query, code, words) in [
        ("", "SYS.1007", "field[schedulerJobUuids]"),
        ("?schedulerJobUuids=x", "SYS.1003", "SchedulerJobVO"),
    ] {
        let (method, path, body) = leave(query);
        rows.push((method, path, body, code, words));
    }
    for (path, kind) in [
        (format!("scheduler/jobs/{JOB}/scheduler/triggers/x"), "SchedulerTriggerVO"),
        (format!("scheduler/jobs/x/scheduler/triggers/{TRIGGER}"), "SchedulerJobVO"),
        (format!("scheduler/jobs/{}/scheduler/triggers/{TRIGGER}", id()), "SchedulerJobVO"),
        (format!("scheduler/jobgroups/{}/scheduler/triggers/{TRIGGER}", id()), "JobGroupVO"),
        (format!("scheduler/jobgroups/{group}/scheduler/triggers/x"), "SchedulerTriggerVO"),
    ] {
        rows.push(("POST", path, json!({}), "SYS.1003", kind));
    }
    for path in [
        format!("scheduler/jobs/{JOB}/scheduler/triggers/{TRIGGER}"),
        format!("scheduler/jobgroups/{group}/scheduler/triggers/{TRIGGER}"),
    ] {
        let now = json!({"params": {"triggerNow": {"a": 1}}});
        rows.push(("POST", path, now, "SYS.1007", "field[triggerNow]"));
    }
    rows
}

/// Every field of the calls that change or join something: missing, of another type, too long, beyond its bounds, unknown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_in_changes_and_groups_is_refused_in_words() {
    let world = World::start(&[]).await;
    let put = async |path: &str, body: &Value, method: &'static str| {
        let ask = Ask::new(method, &format!("/zstack/v1/{path}")).with("X-JSON-Schema", "true");
        world.ask(Who::Admin, &ask.body(body.to_string())).await
    };
    let made = put("scheduler/jobgroups", &json!({"params": {"name": "g"}}), "POST").await;
    let group = made.result()["inventory"]["uuid"].as_str().unwrap().to_owned();
    let shown = async || {
        let mut all = Vec::new();
        for path in ["jobs", "triggers", "jobgroups"] {
            let ask = Ask::new("GET", &format!("/zstack/v1/scheduler/{path}"));
            all.push(world.ask(Who::Admin, &ask).await.result()["inventories"].clone());
        }
        all
    };
    let before = shown().await;
    for (method, path, body, code, words) in [changes(), groups(&group), joined(&group)].concat() {
        let answer = put(&path, &body, method).await;
        let told = answer.end.as_deref().unwrap_or(&answer).text();
        let asked: String = body.to_string().chars().take(200).collect();
        assert_eq!(answer.error_code().as_deref(), Some(code), "{method} {path} {asked}: {told}");
        assert!(told.contains(words), "{method} {path} {asked}: {told}");
        assert!(told.len() < 1500, "{told}");
    }
    assert_eq!(shown().await, before, "what was refused has changed nothing");
    // Unknown fields are left out, as ZStack leaves them out; the same job many times is one.
    let body = json!({"params": {"schedulerJobUuids": vec![JOB; 600], "colour": "red"}});
    let joined = put(&format!("scheduler/jobgroups/{group}/job"), &body, "POST").await.result();
    assert_eq!(joined["inventories"].as_array().unwrap().len(), 1, "{joined}");
    world.stop().await;
}
