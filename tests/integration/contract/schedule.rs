//! The scheduler over the wire: a job from its making to its history, and what is refused.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::world::{Ask, Stage, Who, World, id};

async fn post(world: &World, path: &str, params: &Value) -> Value {
    let ask = Ask::new("POST", &format!("/zstack/v1/scheduler/{path}"));
    let ask = ask.with("X-JSON-Schema", "true").body(json!({ "params": params }).to_string());
    world.ask(Who::Admin, &ask).await.result()
}

async fn put(world: &World, path: &str, body: &Value) -> Value {
    let ask = Ask::new("PUT", &format!("/zstack/v1/{path}")).body(body.to_string());
    world.ask(Who::Admin, &ask).await.result()
}

async fn delete(world: &World, path: &str) -> Value {
    world
        .ask(Who::Admin, &Ask::new("DELETE", &format!("/zstack/v1/scheduler/{path}")))
        .await
        .result()
}

async fn get(world: &World, path: &str) -> Value {
    world.ask(Who::Admin, &Ask::new("GET", &format!("/zstack/v1/scheduler/{path}"))).await.result()
}

async fn until(world: &World, path: &str, told: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let answer = get(world, path).await;
        if told(&answer) {
            return answer;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{path}: {answer}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::too_many_lines, reason = "one life, in its order")]
async fn a_job_lives_from_its_making_to_its_history() {
    let world = World::start(&[]).await;
    let objects = world.objects(Stage::Ready).await;
    let new = json!({"name": "look at it", "type": "verifyImage", "targetResourceUuid": objects.image,
        "parameters": {"mebibytesPerSec": "5"}});
    let job = post(&world, "jobs", &new).await["inventory"].clone();
    let uuid = job["uuid"].as_str().unwrap().to_owned();
    assert_eq!((&job["state"], &job["jobClassName"]), (&json!("Enabled"), &json!("verifyImage")));
    assert_eq!(job["targetResourceUuid"], json!(objects.image));
    let data: Value = serde_json::from_str(job["jobData"].as_str().unwrap()).unwrap();
    assert_eq!(data, json!({"mebibytesPerSec": 5}));
    assert_eq!(get(&world, "jobs/candidates").await["inventories"][0]["uuid"], json!(uuid));

    let new = json!({"name": "often", "schedulerType": "simple", "schedulerInterval": 3600, "repeatCount": 2,
        "startTime": 0});
    let trigger = post(&world, "triggers", &new).await["inventory"].clone();
    let fires = trigger["uuid"].as_str().unwrap().to_owned();
    assert_eq!((&trigger["schedulerInterval"], &trigger["repeatCount"]), (&json!(3600), &json!(2)));
    post(&world, &format!("jobs/{uuid}/scheduler/triggers/{fires}"), &json!({})).await;
    assert_eq!(
        get(&world, &format!("jobs/{uuid}")).await["inventories"][0]["triggersUuid"],
        json!([fires])
    );
    assert_eq!(
        get(&world, &format!("triggers/{fires}")).await["inventories"][0]["jobsUuid"],
        json!([uuid])
    );
    assert_eq!(get(&world, "jobs/candidates").await["inventories"], json!([]));

    // Bound without a start it fires at once.
    let history = format!(
        "job/history?q=schedulerJobUuid%3D{uuid}&q=success%3Dtrue&replyWithCount=true&sort=-startTime"
    );
    let told = until(&world, &history, |told| told["total"] == 1).await;
    let run = &told["inventories"][0];
    assert_eq!((&run["triggerUuid"], &run["jobType"]), (&json!(fires), &json!("verifyImage")));
    assert_eq!(run["targetResourceUuid"], json!(objects.image));
    let result: Value = serde_json::from_str(run["resultDump"].as_str().unwrap()).unwrap();
    assert_eq!(result["counts"]["sound"], 1);
    put(
        &world,
        &format!("scheduler/triggers/{fires}/actions"),
        &json!({"runSchedulerTrigger": {"jobUuids": [uuid]}}),
    )
    .await;
    until(&world, &history, |told| told["total"] == 2).await;
    put(&world, &format!("scheduler/jobs/{uuid}/actions"), &json!({"runSchedulerJob": {}})).await;
    let told = until(&world, &history, |told| told["total"] == 3).await;
    assert!(told["inventories"][0].get("triggerUuid").is_none(), "somebody ran it: {told}");
    let counted =
        get(&world, &format!("{}&count=true", history.replace("&replyWithCount=true", ""))).await;
    assert_eq!(counted, json!({"total": 3, "schema": {}}));
    let cut = get(&world, &format!("{history}&fields=id,success&limit=1&start=1")).await;
    let fields: Vec<_> = cut["inventories"][0].as_object().unwrap().keys().cloned().collect();
    assert_eq!(fields, ["id", "success"]);
    let day = jiff::Timestamp::now().as_second() - 3600;
    let report = format!(
        "report?startTime={day}&intervalTimeUnit=Hour&range=3&schedulerJobTypes=verifyImage"
    );
    let report = get(&world, &report).await;
    let sum: u64 =
        report["successRecords"].as_array().unwrap().iter().filter_map(Value::as_u64).sum();
    assert_eq!((sum, report["failureRecords"].clone()), (3, json!([0, 0, 0])));

    let changed =
        json!({"updateSchedulerTrigger": {"cron": "0 0 2 * * ?", "schedulerType": "cron"}});
    let changed = put(&world, &format!("scheduler/triggers/{fires}/actions"), &changed).await;
    assert_eq!(changed["inventory"]["cron"], "0 0 2 * * ?");
    let renamed = json!({"updateSchedulerJob": {"name": "b", "parameters": {}}});
    let renamed = put(&world, &format!("scheduler/jobs/{uuid}/actions"), &renamed).await;
    assert_eq!(
        (&renamed["inventory"]["name"], &renamed["inventory"]["jobData"]),
        (&json!("b"), &json!("{}"))
    );
    let state = json!({"changeSchedulerState": {"stateEvent": "disable"}});
    let disabled = put(&world, &format!("schedulers/{uuid}"), &state).await;
    assert_eq!(disabled["inventory"]["state"], "Disabled");
    delete(&world, &format!("jobs/{uuid}/scheduler/triggers/{fires}")).await;
    delete(&world, &format!("triggers/{fires}?deleteMode=Permissive")).await;
    delete(&world, &format!("jobs/{uuid}")).await;
    assert_eq!(get(&world, &format!("jobs/{uuid}")).await["inventories"], json!([]));
    assert_eq!(get(&world, &history).await["total"], 3, "its history stays");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_runs_all_of_its_jobs() {
    let world = World::start(&[]).await;
    let group = post(&world, "jobgroups", &json!({"name": "nightly"})).await["inventory"].clone();
    let group = group["uuid"].as_str().unwrap().to_owned();
    let mut jobs = Vec::new();
    for kind in ["pruneRecords", "reconcileStore"] {
        let job = post(&world, "jobs", &json!({"name": kind, "type": kind})).await;
        jobs.push(job["inventory"]["uuid"].as_str().unwrap().to_owned());
    }
    let joined =
        post(&world, &format!("jobgroups/{group}/job"), &json!({"schedulerJobUuids": jobs})).await;
    assert_eq!(joined["inventories"].as_array().unwrap().len(), 2);
    let trigger = json!({"name": "once", "schedulerType": "simple", "schedulerInterval": 60, "repeatCount": 1});
    let trigger = post(&world, "triggers", &trigger).await["inventory"]["uuid"].clone();
    let trigger = trigger.as_str().unwrap();
    post(&world, &format!("jobgroups/{group}/scheduler/triggers/{trigger}"), &json!({})).await;
    let history = format!(
        "job/history?q=schedulerJobGroupUuid%3D{group}&q=success%3Dtrue&replyWithCount=true"
    );
    let told = until(&world, &history, |told| told["total"] == 2).await;
    for job in &jobs {
        let ran = told["inventories"]
            .as_array()
            .unwrap()
            .iter()
            .any(|run| run["schedulerJobUuid"] == json!(job));
        assert!(ran, "{told}");
    }
    let shown = get(&world, &format!("jobgroups/{group}")).await["inventories"][0].clone();
    // Those that joined by one call are told by their identifiers.
    jobs.sort();
    assert_eq!((&shown["jobsUuid"], &shown["triggersUuid"]), (&json!(jobs), &json!([trigger])));
    assert_eq!(
        get(&world, &format!("jobs/{}", jobs[0])).await["inventories"][0]["schedulerJobGroupUuids"],
        json!([group])
    );
    let renamed = json!({"updateSchedulerJobGroup": {"name": "daily"}});
    let renamed = put(&world, &format!("scheduler/jobgroups/{group}/actions"), &renamed).await;
    assert_eq!(renamed["inventory"]["name"], "daily");
    let state = json!({"changeSchedulerState": {"stateEvent": "disable"}});
    let disabled = put(&world, &format!("schedulers/{group}"), &state).await;
    assert_eq!(disabled["inventory"]["state"], "Disabled");
    delete(&world, &format!("jobgroups/{group}/job?schedulerJobUuids={}", jobs[0])).await;
    let left = get(&world, &format!("jobgroups/{group}")).await;
    assert_eq!(left["inventories"][0]["jobsUuid"], json!([jobs[1]]));
    delete(&world, &format!("jobgroups/{group}/scheduler/triggers/{trigger}")).await;
    delete(&world, &format!("jobgroups/{group}")).await;
    assert_eq!(
        get(&world, &format!("jobs/{}", jobs[1])).await["inventories"].as_array().unwrap().len(),
        1
    );
    let typed = post(&world, "jobgroups", &json!({"name": "typed", "type": "scrubImages"})).await;
    let typed = typed["inventory"]["uuid"].as_str().unwrap();
    let join = Ask::new("POST", &format!("/zstack/v1/scheduler/jobgroups/{typed}/job"));
    let join = join.body(json!({"params": {"schedulerJobUuids": [jobs[1]]}}).to_string());
    assert_eq!(world.ask(Who::Admin, &join).await.error_code().as_deref(), Some("SYS.1007"));
    world.stop().await;
}

/// Every field of the calls that make something: missing, of another type, too long, beyond its bounds, unknown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::too_many_lines, reason = "one table")]
async fn nonsense_is_refused_in_words_and_the_scheduler_goes_on() {
    let world = World::start(&[]).await;
    let objects = world.objects(Stage::Running).await;
    let long = "x".repeat(256);
    let job = |fields: Value| {
        let mut new = json!({"name": "a", "type": "scrubImages"});
        new.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        ("POST", "scheduler/jobs".to_owned(), json!({ "params": new }))
    };
    let trigger = |fields: Value| {
        let mut new = json!({"name": "a", "schedulerType": "simple", "schedulerInterval": 60});
        new.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        ("POST", "scheduler/triggers".to_owned(), json!({ "params": new }))
    };
    let default = "5ced01e0000040008000000000000003";
    let table = [
        (job(json!({"name": null})), "SYS.1007", "field[name]"),
        (job(json!({"name": long})), "SYS.1007", "exceeds max length"),
        (job(json!({"name": ["x"]})), "SYS.1007", "field[name]"),
        (job(json!({"description": "x".repeat(2049)})), "SYS.1007", "field[description]"),
        (job(json!({"type": null})), "SYS.1007", "field[type]"),
        (job(json!({"type": "startVm"})), "SYS.1007", "expireUploads, purgeDeletedImages"),
        (job(json!({"type": {"a": 1}})), "SYS.1007", "field[type]"),
        (job(json!({"resourceUuid": "x"})), "SYS.1007", "resourceUuid"),
        (job(json!({"resourceUuid": default})), "SYS.1007", "there already"),
        (job(json!({"parameters": [1]})), "SYS.1007", "field[parameters]"),
        (job(json!({"parameters": {"speed": 1}})), "SYS.1007", "mebibytesPerSec"),
        (job(json!({"parameters": {"secsPerRun": 0}})), "SYS.1007", "from 1 to 86400"),
        (job(json!({"parameters": {"secsPerRun": u64::MAX}})), "SYS.1007", "secsPerRun"),
        (job(json!({"type": "verifyImage"})), "SYS.1007", "targetResourceUuid"),
        (job(json!({"type": "verifyImage", "targetResourceUuid": "x"})), "SYS.1003", "ImageVO"),
        (job(json!({"type": "verifyImage", "targetResourceUuid": id()})), "SYS.1003", "ImageVO"),
        (
            job(json!({"type": "verifyImage", "targetResourceUuid": objects.image})),
            "SYS.1007",
            "Ready",
        ),
        (trigger(json!({"name": ""})), "SYS.1007", "field[name]"),
        (trigger(json!({"schedulerInterval": null})), "SYS.1007", "schedulerInterval"),
        (trigger(json!({"schedulerInterval": 0})), "SYS.1007", "schedulerInterval"),
        (trigger(json!({"schedulerInterval": -1})), "SYS.1007", "schedulerInterval"),
        (trigger(json!({"schedulerInterval": i64::MAX})), "SYS.1007", "schedulerInterval"),
        (
            trigger(json!({"schedulerInterval": 9_223_372_036_854_775_808_u64})),
            "SYS.1007",
            "whole number",
        ),
        (trigger(json!({"schedulerInterval": "often"})), "SYS.1007", "whole number"),
        (trigger(json!({"schedulerInterval": 1.5})), "SYS.1007", "whole number"),
        (trigger(json!({"repeatCount": -1})), "SYS.1007", "repeatCount"),
        (trigger(json!({"repeatCount": i64::MAX})), "SYS.1007", "repeatCount"),
        (trigger(json!({"startTime": -1})), "SYS.1007", "startTime"),
        (trigger(json!({"startTime": i64::MAX})), "SYS.1007", "startTime"),
        (trigger(json!({"startTime": "tomorrow"})), "SYS.1007", "whole number"),
        (trigger(json!({"schedulerType": "lunar"})), "SYS.1007", "simple, cron"),
        (trigger(json!({"schedulerType": "cron"})), "SYS.1007", "field[cron]"),
        (trigger(json!({"schedulerType": "cron", "cron": "* * * * *"})), "SYS.1007", "field[cron]"),
        (
            trigger(json!({"schedulerType": "cron", "cron": "99 * * * * ?"})),
            "SYS.1007",
            "field[cron]",
        ),
        (
            trigger(json!({"schedulerType": "cron", "cron": "0 0 0 30 2 ?"})),
            "SYS.1007",
            "never fires",
        ),
        (
            trigger(json!({"schedulerType": "cron", "cron": "x".repeat(2000)})),
            "SYS.1007",
            "max length",
        ),
        (
            (
                "PUT",
                format!("schedulers/{default}"),
                json!({"changeSchedulerState": {"stateEvent": "explode"}}),
            ),
            "SYS.1007",
            "enable, disable",
        ),
        (
            (
                "POST",
                format!("scheduler/jobs/{default}/scheduler/triggers/{default}"),
                json!({"params": {"triggerNow": "True"}}),
            ),
            "SYS.1007",
            "true, false",
        ),
        (
            (
                "PUT",
                "schedulers/x".to_owned(),
                json!({"changeSchedulerState": {"stateEvent": "enable"}}),
            ),
            "SYS.1003",
            "SchedulerJobVO",
        ),
        (
            ("PUT", "scheduler/jobs/x/actions".to_owned(), json!({"updateSchedulerJob": {}})),
            "SYS.1003",
            "SchedulerJobVO",
        ),
        (
            (
                "PUT",
                "scheduler/triggers/5ced01e0000040008000000000010003/actions".to_owned(),
                json!({"runSchedulerTrigger": {"jobUuids": ["5ced01e0000040008000000000000001"]}}),
            ),
            "SYS.1007",
            "does not fire",
        ),
        (
            ("DELETE", format!("scheduler/triggers/{}", id()), json!({})),
            "SYS.1003",
            "SchedulerTriggerVO",
        ),
    ];
    for ((method, path, body), code, words) in table {
        let ask = Ask::new(method, &format!("/zstack/v1/{path}")).body(body.to_string());
        let answer = world.ask(Who::Admin, &ask).await;
        let end = answer.end.as_deref().unwrap_or(&answer);
        let told = end.text();
        assert_eq!(answer.error_code().as_deref(), Some(code), "{path} {body}: {told}");
        assert!(told.contains(words), "{path} {body}: {told}");
        assert!(told.len() < 1500, "{told}");
    }
    for (path, status) in [
        ("report", 503),
        ("report?startTime=1&intervalTimeUnit=Day&range=32", 503),
        ("report?startTime=x&intervalTimeUnit=Day&range=1", 503),
        ("report?startTime=1&intervalTimeUnit=Day&range=1&schedulerJobTypes.0=startVm", 503),
        ("job/history?q=id%3Done", 503),
        ("job/history?q=id", 400),
        ("job/history?limit=x", 400),
        ("job/history?fields=nope", 503),
    ] {
        let ask = Ask::new("GET", &format!("/zstack/v1/scheduler/{path}"));
        assert_eq!(world.ask(Who::Admin, &ask).await.status, status, "{path}");
    }
    // By whoever is asked: the scheduler refuses what it would have to cut.
    let too_many = "/zstack/v1/scheduler/report?startTime=1&intervalTimeUnit=Day&range=300";
    let told = world.ask(Who::Admin, &Ask::new("GET", too_many)).await;
    assert!(told.text().contains("has to be 0 to 31, but 300 found"), "{}", told.text());
    put(&world, &format!("scheduler/jobs/{default}/actions"), &json!({"runSchedulerJob": {}}))
        .await;
    let history = format!(
        "job/history?q=schedulerJobUuid%3D{default}&q=triggerUuid%20is%20null&q=success%3Dtrue"
    );
    until(&world, &history, |told| told["inventories"][0].is_object()).await;
    world.stop().await;
}
