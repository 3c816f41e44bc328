//! The examples of the vendor's API pages, word for word: host, session and identifiers are replaced, nothing else, and the whole
//! body has to be the same. What the pages leave out of a reply stands in `examples/`.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use longshore::{
    domain::tag::hex,
    wire::zstack::{Code, read_timestamp},
};
use md5::{Digest, Md5};
use serde_json::{Value, json};
use sha2::Sha256;

use super::world::{Ask, Stage, Who, World, id};
use crate::zstack::image_bytes;

const TOTAL: usize = 1_000_000;
const SENT: usize = 452_984;
const IMAGE_ID: &str = "68b329da9893e34099c7d8ad5cb9c940";
const MIGRATE: &str = r#"{"params":{"name":"migrate-volume","description":"migrate volume to another Ceph primary storage","jobName":"APIPrimaryStorageMigrateVolumeMsg",
 "jobData":"{\"volumeUuid\":\"45a53d3d93384433add8ead7616586cf\",\"dstPrimaryStorageUuid\":\"70a0618804864b3dabe8be9824c8028c\"}",
 "targetResourceUuid":"45a53d3d93384433add8ead7616586cf"},"systemTags":[],"userTags":[]}"#;
const UPLOAD: &str = r#"{"params":{"name":"upload debian","jobName":"APIAddImageMsg","jobData":"{\"name\":\"debian-12\",\"url\":\"upload://debian-12.qcow2\",\"mediaType\":\"RootVolumeTemplate\",\"format\":\"qcow2\",\"platform\":\"Linux\",\"backupStorageUuids\":[\"<uuid>\"]}"},
 "systemTags":["uploadImage::68b329da9893e34099c7d8ad5cb9c940"]}"#;
const JSON: (&str, &str) = ("Content-Type", "application/json;charset=UTF-8");

/// An example of the folder.
macro_rules! example {
    ($name:literal) => {
        serde_json::from_str::<Value>(include_str!(concat!("examples/", $name, ".json"))).unwrap()
    };
}

/// What stands for what in the examples.
struct Names(Vec<(String, String)>);

impl Names {
    /// A body with the examples' names in it. JSON in strings is opened, so that its order of keys does not matter.
    fn plain(&self, name: &str, value: &Value) -> Value {
        match value {
            Value::Object(object) => {
                let plain =
                    |(name, value): (&String, &Value)| (name.clone(), self.plain(name, value));
                object.iter().map(plain).collect()
            }
            Value::Array(list) => list.iter().map(|value| self.plain(name, value)).collect(),
            Value::String(text) => self.plain_text(name, text),
            Value::Number(number) if name == "time" => {
                let is_now = number.as_i64().is_some_and(|ms| (now_ms() - ms).abs() < 600_000);
                assert!(is_now, "{number} is no time of today in epoch milliseconds");
                json!("<time>")
            }
            Value::Number(_) if name == "executeTime" => {
                assert!((1..600).contains(&value.as_u64().unwrap()), "{value}");
                json!("<seconds>")
            }
            Value::Number(_) | Value::Bool(_) | Value::Null => value.clone(),
        }
    }

    fn plain_text(&self, name: &str, text: &str) -> Value {
        if name == "jobData" || name == "jobResult" {
            return self.plain("", &serde_json::from_str(text).unwrap());
        }
        if name.ends_with("Date") {
            let ms = read_timestamp(text, &jiff::tz::TimeZone::UTC).expect("a date");
            assert!((now_ms() - ms).abs() < 600_000, "{text} is not now");
            return json!("<date>");
        }
        let named = self
            .0
            .iter()
            .fold(text.to_owned(), |text, (actual, name)| text.replace(actual.as_str(), name));
        json!(named)
    }
}

/// Line by line, so that a difference can be seen.
fn same(actual: &Value, expected: &Value) {
    let lines = |value: &Value| serde_json::to_string_pretty(value).unwrap();
    let (actual, expected) = (lines(actual), lines(expected));
    let differ = actual.lines().zip(expected.lines()).find(|(actual, expected)| actual != expected);
    assert!(actual == expected, "{differ:?} in\n{actual}");
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// One upload job of the examples.
struct Job<'a> {
    world: &'a World,
    names: Names,
    uuid: String,
    api: String,
    url: String,
}

impl<'a> Job<'a> {
    /// Submits the job of the example and compares the answers. `tag` goes along.
    async fn submit(world: &'a World, tag: Option<&str>) -> Self {
        let api = id();
        let body = UPLOAD.replace("<uuid>", &world.storage);
        let body = match tag {
            Some(tag) => body.replace("\"systemTags\":[", &format!("\"systemTags\":[\"{tag}\",")),
            None => body,
        };
        let submit = Ask::new("POST", "/zstack/v1/longjobs")
            .with(JSON.0, JSON.1)
            .with("X-Job-UUID", &api)
            .with("X-JSON-Schema", "true")
            .body(body);
        let accepted = world.ask(Who::Own, &submit).await;
        assert_eq!(accepted.status, 202);
        let reply = accepted.result();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let job = &reply["inventory"];
        let event: Value = serde_json::from_str(&text(&job["jobResult"])).unwrap();
        let url = text(&event["inventory"]["backupStorageRefs"][0]["installPath"]);
        let (base, capability) = url.rsplit_once('/').unwrap();
        assert_eq!(base, format!("{}/imagestore/upload", world.service.base()));
        let image = image_bytes(0, TOTAL, TOTAL);
        let names = [
            (capability.to_owned(), "<capability>"),
            (world.service.base(), "http://HOST:8080"),
            (text(&job["uuid"]), "<job>"),
            (text(&job["targetResourceUuid"]), "<image>"),
            (text(&job["managementNodeUuid"]), "<node>"),
            (api.clone(), "<api>"),
            (world.storage.clone(), "<storage>"),
            (hex(&Md5::digest(&image)), "<md5>"),
            (hex(&Sha256::digest(&image)), "<sha256>"),
        ];
        let names = Names(names.map(|(actual, name)| (actual, name.to_owned())).into());
        let expected = json!({"location": "http://HOST:8080/zstack/v1/api-jobs/<api>", "apiTimeout": 1_800_000});
        assert_eq!(names.plain("", &accepted.json()), expected);
        let mut submitted = example!("submitted");
        let tags = &mut submitted["inventory"]["jobResult"]["inventory"]["systemTags"];
        tags.as_array_mut().unwrap().splice(..0, tag.map(Value::from));
        same(&names.plain("", &reply), &submitted);
        let uuid = text(&job["uuid"]);
        Self { world, names, uuid, api, url }
    }

    /// The whole body of an answer, with the examples' names.
    async fn asked(&self, ask: &Ask) -> Value {
        let answer = self.world.ask(Who::Own, ask).await;
        self.names.plain("", &answer.result())
    }

    async fn queried(&self) -> Value {
        self.asked(&Ask::new("GET", &format!("/zstack/v1/longjobs/{}", self.uuid))).await
    }

    async fn progress(&self) -> Value {
        self.asked(&Ask::new("GET", &format!("/zstack/v1/task-progresses/{}", self.api))).await
    }

    /// Acts as the pages do.
    async fn act(&self, body: &str) -> Value {
        let act = Ask::new("PUT", &format!("/zstack/v1/longjobs/{}/actions", self.uuid))
            .with(JSON.0, JSON.1)
            .with("X-JSON-Schema", "true")
            .body(body);
        self.asked(&act).await
    }

    async fn send(&self, offset: usize, size: usize) -> u16 {
        let path = self.url.strip_prefix(&self.world.service.base()).unwrap();
        let put = Ask::new("PUT", path)
            .with("Content-Range", &format!("bytes {offset}-{}/{TOTAL}", offset + size - 1))
            .body(image_bytes(offset, size, TOTAL).to_vec());
        let status = self.world.ask(Who::Nobody, &put).await.status;
        self.world.service.app.uploads.write_down().await.unwrap();
        status
    }

    async fn becomes(&self, state: &str) -> Value {
        let began = Instant::now();
        loop {
            let job = self.queried().await;
            if job["inventories"][0]["state"] == state {
                return job;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "not {state}: {job}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// `DELETE /zstack/v1/longjobs/{uuid}?` byte for byte: clients' libraries may drop a bare `?`.
    async fn delete(&self) -> (u16, Value) {
        let (world, api) = (self.world, id());
        let ask = Ask::new("DELETE", &format!("/zstack/v1/longjobs/{}?", self.uuid))
            .with("X-Job-UUID", &api)
            .with("Connection", "close");
        let Ask { method, path, headers, .. } = world.by(Who::Own, ask);
        let host = ("Host".to_owned(), world.service.address.to_string());
        let lines = std::iter::once(host).chain(headers);
        let lines: Vec<_> = lines.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let request = format!("{method} {path} HTTP/1.1\r\n{}\r\n", lines.concat());
        let address = world.service.address;
        let answer = tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        });
        let answer = answer.await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
        let end = world.poll(&format!("/zstack/v1/api-jobs/{api}")).await;
        (end.status, self.names.plain("", &end.json()))
    }
}

/// SubmitLongJob, UpdateLongJob, GetUploadImageJobDetails, DeleteLongJob and "One upload job over its life".
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_upload_job_over_its_life() {
    let world = World::start(&[("LONGSHORE_UPLOADS__IDLE_SUSPEND_SECS", "1")]).await;
    let job = Job::submit(&world, None).await;

    let update = r#"{"updateLongJob":{"name":"new-name","description":"new-description"},"systemTags":[],"userTags":[]}"#;
    same(&job.act(update).await, &example!("updated"));
    // As the newer page spells it.
    assert_eq!(
        job.act(&update.replace("updateLongJob", "updatelongjob")).await,
        example!("updated")
    );

    assert_eq!(job.send(0, SENT).await, 200);
    same(&job.progress().await, &example!("progress"));
    same(&job.becomes("Suspended").await, &example!("suspended"));
    let details = format!("/zstack/v1/images/upload-job/details/{IMAGE_ID}");
    let by_put = Ask::new("PUT", &details).body(r#"{"systemTags":["<t>"],"userTags":["<t>"]}"#);
    for ask in [Ask::new("GET", &details), Ask::new("PUT", &details), by_put] {
        same(&job.asked(&ask).await, &example!("details"));
    }

    // The failure that the page shows has another reason and the same shape.
    let words = "delete longjob only when it's succeeded, canceled, or failed";
    let code = Code::InvalidArgument;
    let error = json!({"error": {"code": code.code(), "description": code.description(), "details": words}});
    assert_eq!(job.delete().await, (503, error));

    assert_eq!(job.act(r#"{"resumeLongJob":{}}"#).await["inventory"]["state"], "Running");
    assert_eq!(job.send(SENT, TOTAL - SENT).await, 200);
    same(&job.becomes("Succeeded").await, &example!("succeeded"));
    assert_eq!(job.progress().await, json!({"inventories": []}));
    assert_eq!(job.asked(&Ask::new("GET", &details)).await, json!({"success": true}));
    assert_eq!(job.delete().await, (200, json!({})));
    assert_eq!(job.queried().await, json!({"inventories": [], "schema": {}}));
    // Deleted already.
    assert_eq!(job.delete().await, (200, json!({})));
    world.stop().await;
}

/// The ends that are no success.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_upload_job_that_comes_to_nothing() {
    let world = World::start(&[]).await;
    let wrong = format!("imageSha256::{}", "0".repeat(64));
    let job = Job::submit(&world, Some(&wrong)).await;
    assert_eq!(job.send(0, TOTAL).await, 422);
    same(&job.becomes("Failed").await, &example!("failed"));
    assert_eq!(job.progress().await, json!({"inventories": []}));
    assert_eq!(job.delete().await, (200, json!({})));

    let job = Job::submit(&world, None).await;
    assert_eq!(job.send(0, SENT).await, 200);
    assert_eq!(job.act(r#"{"cancelLongJob":{}}"#).await, json!({"schema": {}}));
    same(&job.becomes("Canceled").await, &example!("canceled"));
    world.stop().await;
}

/// A job type of another product, and calls that this service does not have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn examples_of_what_is_not_offered_are_refused_in_words() {
    let world = World::start(&[]).await;
    let submit = Ask::new("POST", "/zstack/v1/longjobs").with(JSON.0, JSON.1).body(MIGRATE);
    let answer = world.ask(Who::Own, &submit).await;
    let end = answer.end.as_deref().unwrap();
    let words = json!({"error": {
        "code": "SYS.1007",
        "description": "One or more API argument is invalid",
        "details": "APIPrimaryStorageMigrateVolumeMsg is not an API"
    }});
    assert_eq!((answer.status, end.status, end.json()), (202, 503, words));

    world.stop().await;
}

/// What the page of IMS shows of a job.
const IMS_JOB: &str = r#"{"status":"SUCCESS","entities":{"image_id":"e9e91bff-14b6-4a0b-8377-4ed0813e3360","image_name":"asdfasdfasdfas",
"process_percent":0.20,"current_task":"CreateImageByInstanceTask"},"job_id":"ff8080814dbd65d7014dbe0d84db0013",
"job_type":"createImageByInstance","begin_time":"04-Jun-2015 18:11:06:586","end_time":"","error_code":null,"fail_reason":null}"#;

/// Fields that the page shows and an answer has not, or in another type.
fn lacks(example: &Value, answer: &Value) -> Vec<String> {
    let same = |one: &Value, other: &Value| {
        std::mem::discriminant(one) == std::mem::discriminant(other) || one.is_null()
    };
    let fields = example.as_object().unwrap().iter();
    let lacking = fields.filter(|(name, value)| !answer.get(name).is_some_and(|a| same(value, a)));
    lacking.map(|(name, _)| name.clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_of_an_ims_job_has_every_field_of_the_page() {
    let world = World::start(&[]).await;
    let objects = world.objects(Stage::Ready).await;
    let path = format!("/v1/{}/jobs/{}", objects.account, objects.job);
    let job = world.ask(Who::Own, &Ask::new("GET", &path)).await.result();
    let example: Value = serde_json::from_str(IMS_JOB).unwrap();
    assert_eq!(lacks(&example, &job), Vec::<String>::new(), "{job}");
    let entities = (&example["entities"], &job["entities"]);
    assert_eq!(lacks(entities.0, entities.1), Vec::<String>::new(), "{job}");
    assert_eq!(lacks(&example, &json!({"status": 1})).len(), 8, "the check finds what lacks");
    world.stop().await;
}

/// The page's example of QuerySchedulerJobHistory: its fields, of a run of ours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_history_of_the_scheduler_has_the_fields_of_the_page() {
    let world = World::start(&[]).await;
    let run =
        Ask::new("PUT", "/zstack/v1/scheduler/triggers/5ced01e0000040008000000000010003/actions");
    let run = run.with(JSON.0, JSON.1).body(r#"{"runSchedulerTrigger":{}}"#);
    let fired = || world.ask(Who::Admin, &run);
    let begun = std::time::Instant::now();
    // The first run of all is at work at this moment, perhaps.
    while fired().await.end.unwrap().status != 200 {
        assert!(begun.elapsed() < std::time::Duration::from_secs(20), "it never runs");
    }
    let path = "/zstack/v1/scheduler/job/history?q=jobType%3DpruneRecords&q=success%3Dtrue&sort=-id&limit=1";
    let history = loop {
        let history = world.ask(Who::Admin, &Ask::new("GET", path)).await.json();
        if history["inventories"][0].is_object() {
            break history;
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(20), "no run is told: {history}");
    };
    let row = history["inventories"][0].as_object().unwrap();
    for field in ["triggerUuid", "schedulerJobUuid", "startTime", "requestDump", "resultDump"] {
        assert!(row[field].is_string(), "{field}: {history}");
    }
    assert!(row["id"].is_u64() && row["executeTime"].is_u64(), "{history}");
    assert_eq!((&row["success"], &row["jobType"]), (&json!(true), &json!("pruneRecords")));
    let dump = |field: &str| -> serde_json::Value {
        serde_json::from_str(row[field].as_str().unwrap()).unwrap()
    };
    assert_eq!(dump("requestDump")["type"], "pruneRecords");
    assert_eq!(dump("resultDump")["success"], true);
    let class = "org.zstack.header.scheduler.SchedulerJobHistoryInventory";
    assert_eq!(history["schema"], json!({"inventories[0]": class}));
    world.stop().await;
}

/// Negative control: a body that differs in one place from the example is not the same.
#[test]
fn a_body_that_differs_is_found() {
    let names = Names(vec![("abc".to_owned(), "<job>".to_owned())]);
    let text = r#"{"inventory":{"uuid":"abc","jobData":"{\"a\":1,\"b\":2}"}}"#;
    let expected = json!({"inventory": {"uuid": "<job>", "jobData": {"b": 2, "a": 1}}});
    let plain = |text: &str| names.plain("", &serde_json::from_str(text).unwrap());
    assert_eq!(plain(text), expected);
    for other in [
        text.replace("abc", "abd"),
        text.replace(":1", ":1.5"),
        text.replace("\"uuid\"", "\"extra\":true,\"uuid\""),
        text.replace(",\\\"b\\\":2", ""),
    ] {
        assert_ne!(plain(&other), expected, "{other}");
    }
}
