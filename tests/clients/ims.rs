//! The clients of IMS: huaweicloudsdkims, signing with an access key and with a token, and otcextensions with Keystone.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::{
    script::{Script, are_installed},
    service::{File, Service},
    shared::{PASSWORD, runtime},
};

const FILE_BYTES: usize = 200_000;
const UNKNOWN: &str = "00000000000040008000000000000000";

/// A job, and how each client is to show it.
struct Shown {
    id: String,
    status: &'static str,
    /// `process_percent`.
    percent: Value,
    /// `current_task`: by it alone a Suspended job is told from a Running one.
    task: &'static str,
}

/// A service with a job of each state that lasts.
struct World {
    service: Service,
    /// Uuid of the account, which is the project.
    project: String,
    jobs: Vec<Shown>,
}

impl World {
    fn start() -> Self {
        let service = Service::start();
        let project = String::new();
        let mut world = Self { service, project, jobs: Vec::new() };
        world.project = world.account();
        let file = File::of(FILE_BYTES);
        let bytes = std::fs::read(&file.path).unwrap();
        let half = &bytes[..FILE_BYTES / 2];
        let (init, running, suspended) = (world.make(), world.make(), world.make());
        let (succeeded, canceled, refused) = (world.make(), world.make(), world.make());
        world.set_waiting(&init);
        world.send(&running, half);
        world.send(&suspended, half);
        world.act(&suspended, "suspendLongJob");
        world.send(&succeeded, &bytes);
        world.becomes(&succeeded, "SUCCESS");
        world.act(&canceled, "cancelLongJob");
        world.becomes(&canceled, "FAIL");
        world.send(&refused, &[&[0x1f, 0x8b][..], &[0; 4094]].concat());
        world.becomes(&refused, "FAIL");
        let shown = |id, status, percent, task| Shown { id, status, percent, task };
        world.jobs = vec![
            shown(init, "INIT", Value::Null, "UploadImageTask:Waiting"),
            shown(running, "RUNNING", json!(0.5), "UploadImageTask:Receiving"),
            shown(suspended, "RUNNING", json!(0.5), "UploadImageTask:Suspended(user)"),
            shown(succeeded, "SUCCESS", json!(1.0), "UploadImageTask:Succeeded"),
            shown(canceled, "FAIL", Value::Null, "UploadImageTask:Canceled"),
            shown(refused, "FAIL", Value::Null, "UploadImageTask:Failed"),
        ];
        for Shown { id, task, .. } in &world.jobs {
            assert_eq!(world.job(id)["entities"]["current_task"], *task, "{id}");
        }
        world
    }

    fn ids(&self) -> Vec<&str> {
        self.jobs.iter().map(|job| job.id.as_str()).chain([UNKNOWN]).collect()
    }

    /// With a token of Keystone's, unless the request says otherwise.
    fn ask(&self, request: impl FnOnce(reqwest::Client) -> reqwest::RequestBuilder) -> Value {
        runtime().block_on(async {
            let http = reqwest::Client::builder().no_proxy().build().unwrap();
            let request = request(http).header("X-Auth-Token", &self.service.token);
            request.send().await.unwrap().json().await.unwrap_or_default()
        })
    }

    fn status_of(&self, request: impl FnOnce(reqwest::Client) -> reqwest::RequestBuilder) -> u16 {
        runtime().block_on(async {
            let http = reqwest::Client::builder().no_proxy().build().unwrap();
            let request = request(http).header("X-Auth-Token", &self.service.token);
            request.send().await.unwrap().status().as_u16()
        })
    }

    fn account(&self) -> String {
        let user = json!({"name": "admin", "password": PASSWORD});
        let identity = json!({"methods": ["password"], "password": {"user": user}});
        let url = format!("{}/v3/auth/tokens", self.service.base());
        let body = json!({"auth": {"identity": identity}});
        let token = self.ask(|http| http.post(url).json(&body));
        token["token"]["project"]["id"].as_str().expect("a project").to_owned()
    }

    /// A new job by IMS's own call.
    fn make(&self) -> String {
        let body = json!({"name": "image", "min_disk": 40, "image_url": "upload://image.raw"});
        let url = format!("{}/v2/cloudimages/action", self.service.base());
        let made = self.ask(|http| http.post(url).json(&body));
        made["job_id"].as_str().expect("a job").to_owned()
    }

    fn job(&self, id: &str) -> Value {
        let url = format!("{}/v1/cloudimages/job/{id}", self.service.base());
        self.ask(|http| http.get(url))
    }

    fn becomes(&self, id: &str, status: &str) {
        let begun = Instant::now();
        while self.job(id)["status"] != status {
            assert!(begun.elapsed() < Duration::from_secs(30), "{}", self.job(id));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The first bytes of an image.
    fn send(&self, id: &str, bytes: &[u8]) {
        let url =
            self.job(id)["entities"]["upload_url"].as_str().expect("it takes bytes").to_owned();
        let range = format!("bytes 0-{}/{FILE_BYTES}", bytes.len() - 1);
        let _ = self.ask(|http| http.put(url).header("Content-Range", range).body(bytes.to_vec()));
    }

    /// Asks for an action, and returns when it is done.
    fn act(&self, id: &str, action: &str) {
        let url = format!("{}/zstack/v1/longjobs/{id}/actions", self.service.base());
        let session = format!("OAuth {}", self.service.token);
        let body = json!({action: {}});
        let accepted = self.ask(|http| http.put(url).header("Authorization", session).json(&body));
        let location = accepted["location"].as_str().expect("it is accepted").to_owned();
        let begun = Instant::now();
        let end = loop {
            let status = self.status_of(|http| http.get(&location));
            // A call at work is answered 202.
            if status != 202 {
                break status;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "{action} of {id} has no end");
            std::thread::sleep(Duration::from_millis(10));
        };
        assert_eq!(end, 200, "{action} of {id}");
    }

    /// No job of this service waits for long: its row is made to say so.
    fn set_waiting(&self, id: &str) {
        let options = SqliteConnectOptions::new().filename(self.service.database());
        let sql = format!("UPDATE long_job SET state = 'Waiting' WHERE uuid = '{id}'");
        runtime().block_on(async {
            let mut link = SqliteConnection::connect_with(&options).await.unwrap();
            let done = sqlx::query(AssertSqlSafe(sql)).execute(&mut link).await.unwrap();
            assert_eq!(done.rows_affected(), 1);
            link.close().await.unwrap();
        });
    }

    /// Id and secret.
    fn access_key(&self) -> (String, String) {
        let made = Command::new(env!("CARGO_BIN_EXE_longshore"))
            .args(["admin", "--data-dir"])
            .arg(self.service.data_dir())
            .args(["access-key", "create", "admin", "--json"])
            .env_clear()
            .output()
            .expect("the command runs");
        let key: Value = serde_json::from_slice(&made.stdout).expect("JSON");
        let text = |name: &str| key[name].as_str().expect("a text").to_owned();
        (text("id"), text("secret"))
    }

    fn ask_huawei(&self, more: &Value) -> Value {
        let mut ask = json!({
            "base": self.service.base(),
            "project": self.project,
            "jobs": self.ids(),
        });
        ask.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        ask
    }
}

/// Runs the script to its end; everything that it said before.
fn huawei(ask: &Value) -> Vec<Value> {
    let mut script = Script::python("ims_huawei.py", ask);
    script.until(|said| said["done"] == true);
    script.said.pop();
    std::mem::take(&mut script.said)
}

/// What was said of each job by both calls, and of the unknown one.
fn check_shown(world: &World, said: &[Value]) {
    for (Shown { id, status, percent, task }, shown) in world.jobs.iter().zip(said.chunks(2)) {
        for shown in shown {
            assert_eq!(shown["status"], *status, "{id}: {shown}");
            assert_eq!(shown["percent"], *percent, "{id}: {shown}");
            assert_eq!(shown["task"], *task, "{id}: {shown}");
        }
        let stages = shown[0]["stages"].as_array().unwrap();
        assert_eq!(stages.len(), 4, "{shown:?}");
        let failed = shown[0]["error_code"].is_string();
        assert_eq!(failed, *status == "FAIL", "{shown:?}");
    }
    for unknown in &said[2 * world.jobs.len()..2 * world.jobs.len() + 2] {
        assert_eq!((&unknown["http"], &unknown["code"]), (&json!(404), &json!("IMG.0023")));
        assert_eq!(unknown["request_id"].as_str().unwrap().len(), 32, "{unknown}");
    }
}

#[test]
#[ignore = "needs node"]
fn huaweicloudsdkims_signs_with_an_access_key() {
    if !are_installed() {
        return;
    }
    let world = World::start();
    let (ak, sk) = world.access_key();
    let key = json!({"ak": ak, "sk": sk, "other_project": "not-a-project", "make": true});
    let said = huawei(&world.ask_huawei(&key));
    check_shown(&world, &said);
    let rest = &said[2 * world.jobs.len() + 2..];
    assert_eq!((&rest[0]["http"], &rest[0]["code"]), (&json!(400), &json!("IMG.0067")));
    assert_eq!(rest[1]["status"], "RUNNING", "{rest:?}");
    let file = File::of(FILE_BYTES);
    let made = rest[1]["job"].as_str().unwrap();
    assert_eq!(rest[1]["url"], world.job(made)["entities"]["upload_url"]);
    // As docs/ims.md shows it.
    let url = rest[1]["url"].as_str().unwrap();
    let sent = Command::new("curl")
        .args(["--silent", "--noproxy", "*", "--fail", "--output", "/dev/null", "-T"])
        .args([file.path.as_os_str(), url.as_ref()])
        .status();
    assert!(sent.unwrap().success());
    world.becomes(made, "SUCCESS");
    assert_eq!(rest[2]["type"], "imsImportDataImageJob", "{rest:?}");

    // Negative control: the same key with another secret.
    let wrong = json!({"ak": ak, "sk": format!("{sk}x")});
    for refused in huawei(&world.ask_huawei(&wrong)) {
        let told = (&refused["http"], &refused["code"]);
        assert_eq!(told, (&json!(401), &json!("APIGW.0301")), "{refused}");
    }
}

#[test]
#[ignore = "needs node"]
fn huaweicloudsdkims_sends_a_token() {
    if !are_installed() {
        return;
    }
    let world = World::start();
    let token = json!({"token": world.service.token, "other_project": UNKNOWN, "make": true});
    let said = huawei(&world.ask_huawei(&token));
    check_shown(&world, &said);
    let rest = &said[2 * world.jobs.len() + 2..];
    // The token is the admin's: it may look into every project that there is, and this one is nobody's.
    assert_eq!((&rest[0]["http"], &rest[0]["code"]), (&json!(400), &json!("IMG.0030")));
    assert_eq!(rest[1]["status"], "RUNNING", "{rest:?}");
    let ask = json!({"token": world.service.token, "other_project": "not-a-project"});
    let refused = huawei(&world.ask_huawei(&ask)).pop().expect("the last thing it asked");
    assert_eq!((&refused["http"], &refused["code"]), (&json!(400), &json!("IMG.0067")));
    assert_eq!(refused["request_id"].as_str().unwrap().len(), 32, "{refused}");
    for refused in huawei(&world.ask_huawei(&json!({"token": UNKNOWN}))) {
        assert_eq!(refused["http"], 401, "{refused}");
    }
}

/// What a job began is when its last run began: a rerun begins anew, for whoever asks.
#[test]
#[ignore = "needs node"]
fn a_rerun_begins_anew_for_both_clients() {
    if !are_installed() {
        return;
    }
    let world = World::start();
    let canceled =
        world.jobs.iter().find(|job| job.status == "FAIL").expect("one has failed").id.clone();
    let begins = || {
        let mut ask = world.ask_huawei(&json!({"token": world.service.token}));
        ask["jobs"] = json!([canceled]);
        let said = huawei(&ask);
        assert_eq!(said[0]["begin"], said[1]["begin"], "both calls say the same");
        let ask = json!({"base": world.service.base(), "name": "admin", "password": PASSWORD,
            "jobs": [canceled]});
        let mut script = Script::python("ims_otc.py", &ask);
        let shown = script.until(|said| said["job"] == canceled.as_str());
        assert_eq!(shown["begin"], said[0]["begin"]);
        (said[0]["begin"].as_str().expect("it began").to_owned(), said[0]["status"].clone())
    };
    let (first, ended) = begins();
    assert_eq!(ended, "FAIL");
    // Times are shown to the second.
    std::thread::sleep(Duration::from_millis(1_100));
    assert_eq!(begins().0, first, "the control: a look changes nothing");
    world.act(&canceled, "rerunLongJob");
    world.becomes(&canceled, "RUNNING");
    let (again, status) = begins();
    assert_eq!(status, "RUNNING");
    assert!(again > first, "{again} is not later than {first}");
}

#[test]
#[ignore = "needs node"]
fn otcextensions_logs_in_and_waits() {
    if !are_installed() {
        return;
    }
    let world = World::start();
    let file = File::of(FILE_BYTES);
    let waited = world.make();
    let ask = json!({
        "base": world.service.base(),
        "name": "admin",
        "password": PASSWORD,
        "jobs": world.ids(),
        "wait": waited,
        "other_project": "not-a-project",
    });
    let mut script = Script::python("ims_otc.py", &ask);
    script.until(|said| said["waiting"] == true);
    world.send(&waited, &std::fs::read(&file.path).unwrap());
    let end = script.until(|said| said["waited"] == waited.as_str());
    assert_eq!(end["status"], "SUCCESS");
    script.until(|said| said["done"] == true);
    let said = &script.said;
    assert_eq!(said[0]["project"], world.project.as_str(), "{said:?}");
    let of = |id: &str| said.iter().find(|said| said["job"] == id).expect("it is shown");
    // The model of this client has no field for the task.
    for Shown { id, status, percent, .. } in &world.jobs {
        assert_eq!((&of(id)["status"], &of(id)["percent"]), (&json!(status), percent), "{said:?}");
        let waited = said.iter().find(|said| said["waited"] == id.as_str());
        match *status {
            "SUCCESS" => assert_eq!(waited.unwrap()["status"], "SUCCESS"),
            "FAIL" => assert!(waited.unwrap()["failed"].is_string(), "it raises RuntimeError"),
            _ => assert!(waited.is_none()),
        }
    }
    assert_eq!(of(UNKNOWN)["http"], 404);
    assert_eq!(of(UNKNOWN)["kind"], "NotFoundException");
    let other = said.iter().find(|said| said["other"] == true).expect("it asked");
    assert_eq!((&other["http"], &other["kind"]), (&json!(400), &json!("BadRequestException")));

    let wrong = json!({"base": world.service.base(), "name": "admin", "password": "x", "jobs": []});
    let mut script = Script::python("ims_otc.py", &wrong);
    let refused = script.until(|said| said["login_refused"].is_string());
    let words = refused["login_refused"].as_str().unwrap();
    assert!(words.contains("Wrong account name or password"), "{words}");
}
