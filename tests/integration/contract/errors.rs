//! Every error code and every status of ZStack's surface, provoked over the wire.

use std::collections::BTreeSet;

use longshore::{
    jobs::{ApiJobResult, Begun, Kept},
    wire::zstack::Code,
};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::sync::watch;

use super::{
    answer::{Answer, DESCRIPTIONS},
    world::{Ask, Objects, Stage, Who, World, id},
};
use crate::zstack::PASSWORD_SHA512;

/// Codes that no test can provoke, each with its reason.
const UNPROVOKED: [(&str, &str); 1] = [(
    "SYS.1001",
    "a call would have to hang for longer than its X-API-Timeout; how it is told is a unit test's",
)];

/// What was seen so far.
#[derive(Default)]
struct Seen {
    codes: BTreeSet<String>,
    statuses: BTreeSet<u16>,
}

impl Seen {
    /// The code, or the status and plain text, that a request has to be answered with.
    fn expect(&mut self, answer: &Answer, expected: &str) {
        let end = answer.end.as_deref().unwrap_or(answer);
        self.statuses.extend([answer.status, end.status]);
        let code = answer.error_code();
        let told = code.clone().unwrap_or_else(|| format!("{} {}", end.status, end.text()));
        assert!(told.starts_with(expected), "not {expected}: {} {}", end.status, end.text());
        self.codes.extend(code);
    }
}

/// Codes that are neither provoked nor excused, excused ones that were provoked, and codes without a description in our list.
fn gaps(codes: &[&str], seen: &BTreeSet<String>, excused: &[(&str, &str)]) -> Vec<String> {
    let is_excused = |code: &str| excused.iter().any(|(excused, _)| *excused == code);
    let mut gaps = Vec::new();
    for code in codes {
        if seen.contains(*code) == is_excused(code) {
            gaps.push(format!("{code}: provoked {}", seen.contains(*code)));
        }
        if DESCRIPTIONS.iter().all(|(known, _)| known != code) {
            gaps.push(format!("{code} has no description in the table"));
        }
    }
    let unknown = DESCRIPTIONS.iter().filter(|(known, _)| !codes.contains(known));
    gaps.extend(unknown.map(|(code, _)| format!("{code} is described and no code of ours")));
    gaps
}

fn post(params: &serde_json::Value) -> Ask {
    Ask::new("POST", "/zstack/v1/images").body(json!({ "params": params }).to_string())
}

fn act(objects: &Objects, body: &str) -> Ask {
    Ask::new("PUT", &format!("/zstack/v1/longjobs/{}/actions", objects.job)).body(body)
}

/// A statement behind the service's back.
async fn sabotage(world: &World, sql: &str) {
    let file = world.service.data_dir().join("longshore.db");
    let options = SqliteConnectOptions::new().filename(file).foreign_keys(false);
    let mut link = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&mut link).await.unwrap();
    link.close().await.unwrap();
}

async fn arguments_and_rights(seen: &mut Seen) {
    let world = World::start(&[]).await;
    let objects = world.objects(Stage::Running).await;
    let image = json!({"name": "a", "url": "upload://a", "format": "raw"});
    let elsewhere =
        json!({"name": "a", "url": "upload://a", "format": "raw", "backupStorageUuids": [id()]});
    let unknown_format = json!({"name": "a", "url": "upload://a", "format": "floppy"});
    let log_in = |password: &str| {
        let body = json!({"logInByAccount": {"accountName": "admin", "password": password}});
        Ask::new("PUT", "/zstack/v1/accounts/login").body(body.to_string())
    };
    let renew = format!("/zstack/v1/accounts/sessions/{}/renew", objects.session);
    let missing = Objects::missing(String::new());
    let get = |path: &str| Ask::new("GET", path);
    for (who, ask, expected) in [
        (Who::Own, post(&image), "200 {\"inventory\""),
        (Who::Own, post(&unknown_format), "SYS.1007"),
        (Who::Own, post(&elsewhere), "SYS.1006"),
        (Who::Own, act(&missing, r#"{"updateLongJob":{}}"#), "SYS.1003"),
        (Who::Own, act(&objects, r#"{"cleanLongJob":{}}"#), "LONG_JOB.1003"),
        (Who::Nobody, log_in("x"), "ID.1000"),
        (Who::Expired, get("/zstack/v1/images"), "ID.1001"),
        (Who::Other, Ask::new("PUT", &renew).body(r#"{"renewSession":{}}"#), "ID.1002"),
        (Who::Late, get("/zstack/v1/images"), "403 requestTimeTooSkewed"),
        (Who::Nobody, get("/zstack/v1/images"), "400 missing header 'Authorization'"),
        (
            Who::Own,
            get("/zstack/v1/images?q=name"),
            "400 Invalid query parameter. The 'name' in the parameter[q] doesn't contain any query operator",
        ),
        (Who::Own, get("/zstack/v1/images?q=nope%3D1"), "SYS.1007"),
        (Who::Own, get("/zstack/v1/nope"), "404 no api mapping to /v1/nope"),
        (Who::Own, get(&format!("/zstack/v1/api-jobs/{}", id())), "404 the job has been expired"),
        (Who::Own, Ask::new("POST", "/zstack/v1/api-jobs/x"), "405 the method POST"),
    ] {
        seen.expect(&world.ask(who, &ask).await, expected);
    }
    world.stop().await;
}

async fn bounds(seen: &mut Seen) {
    let world = World::start(&[
        ("LONGSHORE_UPLOADS__OPEN_UPLOADS_MAX", "1"),
        ("LONGSHORE_SESSIONS__PER_ACCOUNT_MAX", "2"),
    ])
    .await;
    let image = json!({"name": "a", "url": "upload://a", "format": "raw"});
    seen.expect(&world.ask(Who::Own, &post(&image)).await, "200");
    seen.expect(&world.ask(Who::Own, &post(&image)).await, "ID.1003");
    let body = json!({"logInByAccount": {"accountName": "admin", "password": PASSWORD_SHA512}});
    let log_in = Ask::new("PUT", "/zstack/v1/accounts/login").body(body.to_string());
    seen.expect(&world.ask(Who::Nobody, &log_in).await, "200");
    seen.expect(&world.ask(Who::Nobody, &log_in).await, "ID.1006");
    world.stop().await;
}

async fn broken_storage_and_records(seen: &mut Seen) {
    let world = World::start(&[]).await;
    let objects = world.objects(Stage::Running).await;
    let image = json!({"name": "a", "url": "upload://a", "format": "raw"});
    // Uploads are staged in a folder; here a file stands in its place.
    let staging = world.service.data_dir().join("uploads");
    let away = world.service.data_dir().join("away");
    std::fs::rename(&staging, &away).unwrap();
    std::fs::write(&staging, "no folder").unwrap();
    seen.expect(&world.ask(Who::Own, &post(&image)).await, "SYS.1016");
    std::fs::remove_file(&staging).unwrap();
    std::fs::rename(&away, &staging).unwrap();
    seen.expect(&world.ask(Who::Own, &post(&image)).await, "200");

    sabotage(
        &world,
        &format!("UPDATE long_job SET image_uuid = 'x' WHERE uuid = '{}'", objects.job),
    )
    .await;
    seen.expect(
        &world.ask(Who::Own, &act(&objects, r#"{"updateLongJob":{"name":"b"}}"#)).await,
        "SYS.1000",
    );
    let query = Ask::new("GET", &format!("/zstack/v1/longjobs/{}", objects.job));
    seen.expect(
        &world.ask(Who::Own, &query).await,
        "500 the service failed; everything that was acknowledged is kept",
    );
    world.stop().await;
}

async fn too_many_calls(seen: &mut Seen) {
    let world = World::start(&[]).await;
    let (end, ended) = watch::channel(());
    let told = |_| ApiJobResult { success: false, body: String::new() };
    loop {
        let mut ended = ended.clone();
        let work = async move {
            let _ = ended.changed().await;
            ApiJobResult { success: true, body: "{}".to_owned() }
        };
        let calls = &world.service.app.calls;
        let begun = calls.start(id().parse().unwrap(), Kept::InMemory, told, work).await;
        if begun.unwrap() == Begun::Busy {
            break;
        }
    }
    let image = json!({"name": "a", "url": "upload://a", "format": "raw"});
    seen.expect(&world.ask(Who::Own, &post(&image)).await, "SYS.1012");
    drop(end);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_code_and_status_is_provoked() {
    let mut seen = Seen::default();
    arguments_and_rights(&mut seen).await;
    bounds(&mut seen).await;
    broken_storage_and_records(&mut seen).await;
    too_many_calls(&mut seen).await;
    let codes = Code::ALL.map(Code::code);
    let gaps = gaps(&codes, &seen.codes, &UNPROVOKED);
    assert!(gaps.is_empty(), "{}", gaps.join("\n"));
    assert_eq!(Vec::from_iter(seen.statuses), [200, 202, 400, 403, 404, 405, 500, 503]);
}

/// Negative controls of the check above.
#[test]
fn a_code_without_a_test_is_found() {
    let codes = Code::ALL.map(Code::code);
    let all: BTreeSet<_> = codes.iter().map(ToString::to_string).collect();
    assert_eq!(gaps(&codes, &all, &[]), Vec::<String>::new());
    for code in codes {
        let mut without = all.clone();
        without.remove(code);
        assert_eq!(gaps(&codes, &without, &[]).len(), 1, "{code}");
        assert_eq!(gaps(&codes, &without, &[(code, "why")]), Vec::<String>::new());
        assert_eq!(gaps(&codes, &all, &[(code, "why")]).len(), 1, "{code}");
    }
    let with_new = [codes.as_slice(), &["SYS.9999"]].concat();
    assert_eq!(gaps(&with_new, &all, &[]).len(), 2);
    assert_eq!(gaps(&codes[1..], &all, &[]).len(), 1);
}
